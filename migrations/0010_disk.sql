-- The disk of the node when it was instructed to bootstrap or to join; null: its client did not report it
alter table member add column told_disk text;
