-- Lists with a filter, and the search for abandoned clusters, read what they return and not all clusters. Each index has only the
-- rows that its query looks for.
create index cluster_name on cluster (name, id) where name is not null;
create index cluster_forming on cluster (id) where formed_revision is null;
create index cluster_formed on cluster (id) where formed_revision is not null;
create index cluster_paused on cluster (id) where paused <> 0;
create index cluster_unseen on cluster (first_registered_at)
    where first_registered_at is not null and bootstrapped_revision is null;
