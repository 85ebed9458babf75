-- The discovery URL as the first node spelled it; null: no node came by v2 discovery, or its spelling is unknown
alter table cluster add column discovery_url text;
