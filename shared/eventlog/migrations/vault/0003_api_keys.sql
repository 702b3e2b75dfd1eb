-- Keys of integrators, as hashes of 32 random bytes: whoever reads this table can do nothing with it. Written by intake from
-- its events; read by every service; each may note that a key was used.
CREATE TABLE IF NOT EXISTS api_keys (
    key_id     text PRIMARY KEY,
    digest     bytea NOT NULL CHECK (octet_length(digest) = 32),
    client     text NOT NULL,
    role       text NOT NULL,
    unit_id    text,
    district   text,
    scopes     text[] NOT NULL DEFAULT '{}',
    expires_at timestamptz NOT NULL,
    issued_at  timestamptz NOT NULL,
    revoked_at timestamptz,
    used_on    date
);

-- The master key may change: every key of a subject is wrapped anew, and nothing else about it.
CREATE OR REPLACE FUNCTION rewrap_keys(refs text[], old_keys bytea[], new_keys bytea[]) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH given AS (SELECT * FROM unnest(refs, old_keys, new_keys) AS g (ref, old, new)), done AS (
        UPDATE vault.subject_keys k SET wrapped = given.new FROM given
        WHERE k.ref = given.ref AND k.wrapped = given.old AND octet_length(given.new) = 65 RETURNING 1)
    SELECT count(*) FROM done
$$;
REVOKE ALL ON FUNCTION rewrap_keys(text[], bytea[], bytea[]) FROM PUBLIC;
