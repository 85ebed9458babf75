-- Identifies the write that made the event: 63 random bits, the same for all events of a cluster in one commit. After a failover
-- that has lost writes, another event can have the same revision, and never the same write_id.
-- null: a server of the version before wrote it
alter table event add column write_id bigint;
