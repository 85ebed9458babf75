-- The registry itself: one row.
create table registry (
    id bigint primary key not null check (id = 1),
    -- 16 hexadecimal digits; what the v2 face sends as X-Etcd-Cluster-Id.
    cluster_id text not null
);

create table cluster (
    -- Grows with time, so that what belongs together and is written together lies together on the disk;
    -- tokens are random. Nothing outside the database knows it.
    id bigint primary key not null,
    token text unique not null,
    size bigint not null,
    size_created_revision bigint not null,
    size_modified_revision bigint not null,
    revision bigint not null,
    created_at bigint not null,
    -- null: nobody has ever registered
    first_registered_at bigint,
    -- null: still forming
    formed_revision bigint
);

create index cluster_unregistered on cluster (created_at) where first_registered_at is null;

-- Tokens of deleted clusters that members had registered under. etcd derives the IDs of members and
-- clusters from the token, and etcds of the old cluster may still ask for it, so it is never used again.
create table used_token (
    token text primary key not null,
    at bigint not null
);

create table member (
    cluster bigint not null references cluster (id) on delete cascade,
    key text not null,
    -- name=URL[,name=URL…]
    registration text not null,
    created_revision bigint not null,
    modified_revision bigint not null,
    -- null: is a member
    removed_revision bigint,
    primary key (cluster, key)
);

create table event (
    cluster bigint not null references cluster (id) on delete cascade,
    revision bigint not null,
    at bigint not null,
    action text not null,
    subject text not null check (subject in ('cluster', 'size', 'member')),
    -- null: the subject is no member
    member_key text,
    -- null: the subject is gone
    value text,
    created_revision bigint not null,
    -- null, all three: the subject was not there before
    previous_value text,
    previous_created_revision bigint,
    previous_modified_revision bigint,
    while_forming bigint not null,
    primary key (cluster, revision)
);
