-- The disk of the node when it was instructed to bootstrap or to join; null: its client did not report it
alter table member add column told_disk text;

-- Whether an administrator has given up a removed member, by adopting a list without it
alter table member add column given_up bigint not null default 0;
