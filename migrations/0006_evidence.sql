-- What the rules of evidence need to know of a cluster.

-- How many starts without an answer of etcd make a member count as failing
alter table cluster add column max_failed_starts bigint not null default 5;
