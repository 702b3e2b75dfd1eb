-- The keys that personal fields are sealed with, one per subject, each wrapped by a master key kept outside.
-- A schema of its own, so that it can live in a database of its own with short-lived backups.

CREATE TABLE subject_keys (
    ref        text PRIMARY KEY,
    wrapped    bytea,                 -- NULL once destroyed: the texts sealed with it are gone for ever
    created_at timestamptz NOT NULL DEFAULT now()
);
