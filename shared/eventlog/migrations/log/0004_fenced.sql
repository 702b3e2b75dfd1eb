-- append_batch runs with its owner's rights, in a schema where the service may create things. PostgreSQL prefers a function
-- whose parameters fit exactly, wherever it is found on the path: a service's own array_agg(text) would be run by the
-- owner instead of array_agg(anynonarray). So the path ends at pg_catalog, and the three tables are named with their schema.
-- And where a partition has no head an event has no position, which fails; it was left out, and called appended.
DO $$
DECLARE
    append pg_catalog.regprocedure := (
        SELECT p.oid FROM pg_catalog.pg_proc p
        WHERE p.proname = 'append_batch' AND p.pronamespace = pg_catalog.current_schema()::pg_catalog.regnamespace
    );
BEGIN
    EXECUTE pg_catalog.regexp_replace(
        pg_catalog.replace(pg_catalog.pg_get_functiondef(append), 'a JOIN moved', 'a LEFT JOIN moved'),
        '\m(FROM|JOIN|INTO|UPDATE) (log_heads|events|idempotency)\M',
        pg_catalog.format('\1 %I.\2', pg_catalog.current_schema()), 'g'
    );
    EXECUTE pg_catalog.format('ALTER FUNCTION %s SET search_path = pg_catalog, pg_temp', append);
END $$;

-- Not even in a session that plays replica (`SET session_replication_role`).
ALTER TABLE events ENABLE ALWAYS TRIGGER events_append_only;
ALTER TABLE idempotency ENABLE ALWAYS TRIGGER idempotency_append_only;
ALTER TABLE tree_ranges ENABLE ALWAYS TRIGGER tree_ranges_append_only;
ALTER TABLE tree_tiles ENABLE ALWAYS TRIGGER tree_tiles_append_only;
ALTER TABLE checkpoints ENABLE ALWAYS TRIGGER checkpoints_append_only;

ALTER TABLE events ADD CONSTRAINT a_leaf_is_a_sha256 CHECK (octet_length(leaf_hash) = 32) NOT VALID;
