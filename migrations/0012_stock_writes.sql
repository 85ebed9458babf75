-- Whether v2 and v3 clients may change the cluster after it has formed: refuse or allow
alter table cluster add column stock_writes text not null default 'refuse';
