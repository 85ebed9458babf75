-- What the registry knows of a cluster beyond the minute in which it forms.

-- null: has no name
alter table cluster add column name text;
alter table cluster add column epoch bigint not null default 1;
-- null: nobody has registered in this epoch; else 'v2' or 'check_in'
alter table cluster add column face text;
-- Hexadecimal, as etcd prints it; null: not known
alter table cluster add column cluster_id text;
-- null: nobody has shown that the etcd cluster exists
alter table cluster add column bootstrapped_revision bigint;
-- IDs of etcd clusters of earlier epochs, comma between
alter table cluster add column earlier text not null default '';
alter table cluster add column strategy text not null default 'replace';
alter table cluster add column dead_after_ms bigint not null default 60000;
alter table cluster add column learner bigint not null default 1;
alter table cluster add column check_in_every_ms bigint not null default 10000;
alter table cluster add column paused bigint not null default 0;
-- The number of the last ticket; 0: there never was one
alter table cluster add column tickets bigint not null default 0;
-- null, all five: no ticket is out
alter table cluster add column ticket_holder text;
alter table cluster add column ticket_granted_at bigint;
alter table cluster add column ticket_purpose text;
-- null as well: the purpose names no member
alter table cluster add column ticket_member text;
-- null as well: the purpose names no peer URLs; comma between
alter table cluster add column ticket_peer_urls text;

update cluster set face = 'v2' where first_registered_at is not null;

-- Comma between
alter table member add column client_urls text not null default '';
alter table member add column learner bigint not null default 0;
alter table member add column started bigint not null default 0;
alter table member add column founder bigint not null default 0;
-- null, both: no founder, or not told to bootstrap
alter table member add column told_run text;
alter table member add column told_at bigint;
-- null: nobody asked for its removal
alter table member add column evicted_at bigint;
-- null: no downtime was announced
alter table member add column downtime_until bigint;
alter table member add column removal_confirmed bigint not null default 0;

-- Events of more kinds. SQLite can't change a check, so the table is made anew.
create table event_anew (
    cluster bigint not null references cluster (id) on delete cascade,
    revision bigint not null,
    at bigint not null,
    action text not null,
    subject text not null check (subject in ('cluster', 'size', 'member', 'lifecycle')),
    -- null: the subject is no member
    member_key text,
    -- null: the subject is gone, or has no value
    value text,
    created_revision bigint not null,
    -- null, all three: the subject was not there before
    previous_value text,
    previous_created_revision bigint,
    previous_modified_revision bigint,
    while_forming bigint not null,
    kind text not null,
    message text not null,
    primary key (cluster, revision)
);

insert into event_anew
select cluster, revision, at, action, subject, member_key, value, created_revision, previous_value,
    previous_created_revision, previous_modified_revision, while_forming,
    case
        when subject = 'member' and value is null then 'member_removed'
        when subject = 'member' then 'member_registered'
        when previous_modified_revision is null then 'cluster_created'
        else 'size_set'
    end,
    ''
from event;

drop table event;
alter table event_anew rename to event;

-- When members were last heard of, as of the last time that it was written down: what is newer is in the
-- server's memory.
create table sighting (
    cluster bigint not null references cluster (id) on delete cascade,
    member_key text not null,
    at bigint not null,
    primary key (cluster, member_key)
);
