"""The schema of the log and of the vault, as SQL that can be read aloud; alembic applies it, once per schema."""
