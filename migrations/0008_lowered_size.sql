-- The revision that last set a smaller size than the one before; null: none did
alter table cluster add column size_lowered_revision bigint;

-- So far, every size that was set requested removals. One that is not finished goes on.
update cluster set size_lowered_revision = size_modified_revision where size_modified_revision > size_created_revision;
