-- Who may do what, and who did it.

-- The API tokens of administrators, operators and readers. The secret itself is nowhere: who has the database can't use it.
create table api_token (
    -- The public name: tok- and 16 hexadecimal digits
    id text primary key not null,
    -- SHA-256 of the secret, hexadecimal
    hash text unique not null,
    name text not null,
    role text not null check (role in ('admin', 'operator', 'reader')),
    -- Public IDs of clusters, comma between; null: all clusters
    clusters text,
    created_at bigint not null,
    -- Who created it, as in event.actor
    created_by text not null,
    -- null: it does not expire
    expires_at bigint,
    -- Written every minute at most; null: it was never used
    last_used_at bigint,
    -- null: it is valid
    revoked_at bigint
);

-- Counts the changes of the tokens, so that servers notice one by reading a single row.
alter table registry add column api_token_generation bigint not null default 0;

-- Who asked for the change: the public name of a credential; null: a server of the version before wrote the event
alter table event add column actor text;
-- The IP address of the client; null: the server itself made the change, or actor is null
alter table event add column actor_address text;
