-- One row per webhook; its cursor rows are in `cursors` (consumer `webhook:<id>`) and move one delivered event at a time.
CREATE TABLE webhooks (
    id            uuid PRIMARY KEY,
    owner         text NOT NULL,            -- account that made it
    reach         jsonb NOT NULL,           -- roles, unit and district of that account: what it may be told
    url           text NOT NULL,
    types         text[] NOT NULL,          -- empty: every type
    secret        bytea NOT NULL,           -- sealed
    old_secret    bytea,                    -- sealed; signs as well until old_until
    old_until     timestamptz,
    state         text NOT NULL DEFAULT 'ACTIVE',
    reason        text,                     -- why it is disabled
    attempts      integer NOT NULL DEFAULT 0,
    next_try_at   timestamptz,
    created_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX webhooks_owner ON webhooks (owner, id);
