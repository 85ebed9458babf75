-- Which nodes may check in. All secrets are stored as SHA-256, in hexadecimal digits.

-- What a node must show: 'open', 'token' or 'certificate'. Clusters from before know no credentials.
alter table cluster add column join_policy text not null default 'open';
-- The revision that last changed a join token or a credential; null: there is neither
alter table cluster add column admission_revision bigint;
-- The check-ins that were refused last, as JSON; empty: none
alter table cluster add column turned_away text not null default '';

-- Secrets that let nodes in.
create table join_token (
    cluster bigint not null references cluster (id) on delete cascade,
    hash text not null,
    -- null: any node may use it
    node text,
    -- null: it may be used from any address
    cidr text,
    created_at bigint not null,
    expires_at bigint not null,
    uses bigint not null,
    -- The names of the nodes that it has let in, comma between
    used_by text not null,
    -- null: it was not revoked
    revoked_at bigint,
    modified_revision bigint not null,
    primary key (cluster, hash)
);

-- The credential that alone speaks for a node.
create table node_credential (
    cluster bigint not null references cluster (id) on delete cascade,
    node text not null,
    public_id text not null,
    hash text not null,
    -- null: the node has announced no other one
    next_hash text,
    created_at bigint not null,
    -- null: it was never renewed
    renewed_at bigint,
    -- null: it was not revoked
    revoked_at bigint,
    modified_revision bigint not null,
    primary key (cluster, node)
);
