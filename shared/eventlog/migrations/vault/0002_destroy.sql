-- A key is destroyed by this function alone, on behalf of whoever may call it: nobody may change or delete a row.
ALTER TABLE subject_keys ADD COLUMN IF NOT EXISTS destroyed_at timestamptz;
CREATE INDEX IF NOT EXISTS subject_keys_destroyed ON subject_keys (destroyed_at) WHERE destroyed_at IS NOT NULL;

CREATE OR REPLACE FUNCTION destroy_keys(refs text[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = vault, pg_temp AS $$
    UPDATE subject_keys SET wrapped = NULL, destroyed_at = clock_timestamp()
    WHERE ref = ANY(refs) AND wrapped IS NOT NULL AND ref NOT LIKE 'system:%'
$$;
REVOKE ALL ON FUNCTION destroy_keys(text[]) FROM PUBLIC;
