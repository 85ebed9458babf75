-- null: discovery did not make the members complete, or did so before this was written down
alter table cluster add column formed_at bigint;

-- How often a key of v3 discovery was written since it came to be, and when a member's registration was: all else that
-- happens to a member is nothing that stock etcds see. What was written before counts as one time.
alter table cluster add column size_version bigint not null default 1;
alter table member add column registered_revision bigint not null default 0;
alter table member add column version bigint not null default 1;
update member set registered_revision = modified_revision;

-- 0: the subject is gone, or has no value
alter table event add column version bigint not null default 0;
-- null: the subject was not there before
alter table event add column previous_version bigint;
update event set version = 1 where value is not null;
update event set previous_version = 1 where previous_modified_revision is not null;
