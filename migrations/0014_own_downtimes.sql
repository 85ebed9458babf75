-- The end of the announced downtime, if the member's own node announced it. If it is another moment than `downtime_until`, an
-- administrator announced the downtime: servers of the version before don't write this column. Null: an administrator did, or
-- nobody.
alter table member add column own_downtime_until bigint;
