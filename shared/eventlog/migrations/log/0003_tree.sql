-- The RFC 6962 tree over the log. A range gives consecutive positions of one partition consecutive places among the
-- leaves, and keeps their hashes; a tile keeps 256 hashes of one height and the root over them. Nothing here is trusted:
-- what is signed is hashed anew from the events themselves, and what was signed is kept outside the database.

CREATE TABLE tree_ranges (
    first_index    bigint PRIMARY KEY,
    partition      integer NOT NULL,
    first_position bigint  NOT NULL,
    size           integer NOT NULL CHECK (size > 0 AND octet_length(hashes) = 32 * size),
    hashes         bytea   NOT NULL,
    UNIQUE (partition, first_position)
);

CREATE TABLE tree_tiles (
    level  integer NOT NULL,
    number bigint  NOT NULL,
    hashes bytea   NOT NULL CHECK (octet_length(hashes) = 32 * 256),
    root   bytea   NOT NULL,
    PRIMARY KEY (level, number)
);

CREATE TABLE checkpoints (
    number       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    size         bigint NOT NULL,
    note         text   NOT NULL,
    published_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TRIGGER tree_ranges_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON tree_ranges
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER tree_tiles_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON tree_tiles
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER checkpoints_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON checkpoints
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
