-- What the rules of evidence need to know of a cluster.

-- How many starts without an answer of etcd make a member count as failing
alter table cluster add column max_failed_starts bigint not null default 5;

-- How many witnesses a dead voter takes: 2 for probes and the voters' side, 1 for probes alone
alter table cluster add column witnesses bigint not null default 2;

-- Why nobody may found the cluster; null, all four: it may be founded, or has been
alter table cluster add column held_since bigint;
alter table cluster add column held_reason text;
-- null as well: the registry itself found the reason
alter table cluster add column held_node text;
-- Hexadecimal; null as well: it is not known which etcd cluster may exist
alter table cluster add column held_cluster_id text;

-- Counts what must not be forgotten: clusters that form, exist, or begin an epoch. On SQLite, a file next to the database
-- has the same number, so that an older copy of the database is noticed.
alter table registry add column generation bigint not null default 0;
-- PostgreSQL's system identifier and time line, with a slash between; null: not known, or SQLite
alter table registry add column system text;

-- null: no ticket is out, or a server of the version before granted it; when its change last progressed in etcd's list
alter table cluster add column ticket_progress_at bigint;
-- The nodes that lost their last ticket without progress: `name=count@milliseconds`, comma between
alter table cluster add column setbacks text not null default '';

-- The last refusal of each node that has refused an instruction, as JSON; empty: none
alter table cluster add column refusals text not null default '';
alter table cluster add column refusal_count bigint not null default 0;
