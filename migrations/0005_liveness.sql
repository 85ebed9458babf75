-- The state of the failure detector, one JSON document for each cluster whose nodes check in: a server of its own writes it
-- every few seconds, servers that share a database with each check-in. The fields are in `server/src/store/liveness/document.rs`.
create table liveness (
    cluster bigint primary key not null references cluster (id) on delete cascade,
    document text not null
);

-- Both tables before had one half of this: `listening` the documents of servers that share a database, and `sighting` the last
-- check-ins that a server of its own had seen.
insert into liveness (cluster, document) select cluster, sightings from listening;

insert into liveness (cluster, document)
select cluster,
    '{"since":null,"nodes":{},"members":{'
        || string_agg('"' || member_key || '":{"checked_in":' || at || ',"answered":null,"failing":null}', ',')
        || '}}'
from sighting
where cluster not in (select cluster from listening)
group by cluster;

-- Servers of the version before that run on until they are updated read and write the same documents through this view. They
-- can't read one of this version, and then count silence from that moment on, so that no member counts as dead too early.
-- They also read `sighting`. A later migration drops both.
drop table listening;
create view listening as select cluster, document as sightings from liveness;
