-- Who was heard of when, where several servers share a database and none of them hears of everybody: one JSON text for each
-- cluster whose nodes check in.
create table listening (
    cluster bigint primary key not null references cluster (id) on delete cascade,
    sightings text not null
);
