-- The log of one service, in the service's own schema (search_path). Owned by the migrating role; the service's role
-- may read everything here and may write events only through append_batch.

CREATE TABLE log_heads (
    partition integer PRIMARY KEY,
    position  bigint NOT NULL DEFAULT 0
);

CREATE TABLE events (
    partition   integer NOT NULL,
    position    bigint  NOT NULL,
    stream      text    NOT NULL,
    version     integer NOT NULL,
    event_id    uuid    NOT NULL,
    type        text    NOT NULL,
    body        bytea   NOT NULL,
    leaf_hash   bytea   NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (partition, position),
    CONSTRAINT one_event_per_version UNIQUE (stream, version),
    CONSTRAINT one_event_per_id UNIQUE (event_id)
);

CREATE TABLE idempotency (
    client      text  NOT NULL,
    key         text  NOT NULL,
    fingerprint bytea NOT NULL,
    answer      bytea NOT NULL,
    partition   integer NOT NULL,
    position    bigint  NOT NULL,
    PRIMARY KEY (client, key)
);

-- A consumer's inbox is one row per source partition, locked and advanced in the transaction that holds the effect.
CREATE TABLE cursors (
    consumer  text    NOT NULL,
    source    text    NOT NULL,
    partition integer NOT NULL,
    sequence  bigint  NOT NULL DEFAULT 0,
    PRIMARY KEY (consumer, source, partition)
);

-- Deadlines are a projection of the service's own events; the sweeper only reads and removes.
CREATE TABLE deadlines (
    stream  text NOT NULL,
    name    text NOT NULL,
    subject text NOT NULL,
    due_at  timestamptz NOT NULL,
    PRIMARY KEY (stream, name)
);
CREATE INDEX deadlines_due ON deadlines (due_at);

-- What could not be handled waits here, and later events of the same subject wait behind it.
CREATE TABLE parked (
    consumer  text    NOT NULL,
    source    text    NOT NULL,
    partition integer NOT NULL,
    sequence  bigint  NOT NULL,
    subject   text    NOT NULL,
    reason    text    NOT NULL,
    body      bytea   NOT NULL,
    parked_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer, source, partition, sequence)
);
CREATE INDEX parked_subject ON parked (consumer, subject);

-- Which physical table stands behind each view, and under which consumer name it is kept.
CREATE TABLE view_generations (
    view       text    PRIMARY KEY,
    version    integer NOT NULL,
    generation integer NOT NULL
);

CREATE SEQUENCE ticket_numbers INCREMENT BY 1000 CACHE 1;

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the log is append-only: % on % is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE TRIGGER events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER idempotency_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON idempotency
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Append many requests, each to its own stream, in one round trip. Every request keeps its own outcome:
--   appended  its events are stored;
--   present   its events were stored before (a COMMIT whose answer was lost is found again by event id);
--   conflict  its stream is not at the version it expects;
--   claimed   one of its idempotency keys is taken.
-- The caller sends no stream and no key twice in one call. Heads are locked in ascending order, and every statement
-- after that lock sees what the previous holder committed: positions come without gaps, in commit order.
CREATE FUNCTION append_batch(
    r_partition integer[], r_stream text[], r_expected integer[], r_first uuid[], r_last integer[],
    e_request integer[], e_version integer[], e_id uuid[], e_type text[], e_body bytea[], e_leaf bytea[],
    c_request integer[], c_client text[], c_key text[], c_fingerprint bytea[], c_answer bytea[]
) RETURNS TABLE (request integer, outcome text, log_partition integer, log_position bigint)
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    verdicts text[];
BEGIN
    PERFORM 1 FROM log_heads h WHERE h.partition = ANY (r_partition) ORDER BY h.partition FOR UPDATE;

    SELECT array_agg(
        CASE
            WHEN present.version IS NOT NULL THEN 'present'
            WHEN EXISTS (
                SELECT 1 FROM unnest(c_request, c_client, c_key) AS c (request, client, key)
                JOIN idempotency i ON i.client = c.client AND i.key = c.key
                WHERE c.request = r.request
            ) THEN 'claimed'
            WHEN coalesce(latest.version, 0) <> r.expected THEN 'conflict'
            ELSE 'appended'
        END ORDER BY r.request)
    INTO verdicts
    FROM unnest(r_stream, r_expected, r_first) WITH ORDINALITY AS r (stream, expected, first_id, request)
    LEFT JOIN LATERAL (
        SELECT e.version FROM events e WHERE e.stream = r.stream ORDER BY e.version DESC LIMIT 1
    ) latest ON true
    LEFT JOIN LATERAL (
        SELECT e.version FROM events e WHERE e.event_id = r.first_id AND latest.version > r.expected
    ) present ON true;

    WITH accepted AS (
        SELECT e.*, r_partition[e.request] AS partition, r_stream[e.request] AS stream,
               row_number() OVER (PARTITION BY r_partition[e.request] ORDER BY e.request, e.version) AS place
        FROM unnest(e_request, e_version, e_id, e_type, e_body, e_leaf)
             AS e (request, version, event_id, type, body, leaf_hash)
        WHERE verdicts[e.request] = 'appended'
    ), moved AS (
        UPDATE log_heads h SET position = h.position + added.events
        FROM (SELECT a.partition, count(*) AS events FROM accepted a GROUP BY a.partition) added
        WHERE h.partition = added.partition
        RETURNING h.partition, h.position - added.events AS before
    )
    INSERT INTO events (partition, position, stream, version, event_id, type, body, leaf_hash)
    SELECT a.partition, m.before + a.place, a.stream, a.version, a.event_id, a.type, a.body, a.leaf_hash
    FROM accepted a JOIN moved m ON m.partition = a.partition
    ORDER BY a.partition, a.place;

    INSERT INTO idempotency (client, key, fingerprint, answer, partition, position)
    SELECT c.client, c.key, c.fingerprint, c.answer, last.partition, last.position
    FROM unnest(c_request, c_client, c_key, c_fingerprint, c_answer) AS c (request, client, key, fingerprint, answer)
    JOIN events last ON last.stream = r_stream[c.request] AND last.version = r_last[c.request]
    WHERE verdicts[c.request] = 'appended';

    RETURN QUERY
    SELECT r.request::integer, verdicts[r.request], last.partition, last.position
    FROM unnest(r_stream, r_last) WITH ORDINALITY AS r (stream, last_version, request)
    LEFT JOIN events last ON verdicts[r.request] IN ('appended', 'present')
        AND last.stream = r.stream AND last.version = r.last_version
    ORDER BY r.request;
END $$;
