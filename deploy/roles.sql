-- Who may log in, and as which service. Run by psql as a superuser in the city's database; safe to repeat. `jiesu migrate`
-- then runs as owner_login. Passwords are read from the files NAME_password in /run/secrets, or -v secrets=FOLDER.
\set ON_ERROR_STOP on
SET client_min_messages = 'warning';
\if :{?secrets}
\else
    \set secrets /run/secrets
\endif
\set owner `cat :'secrets'/owner_password`
\set intake `cat :'secrets'/intake_password`
\set routing `cat :'secrets'/routing_password`
\set feedback `cat :'secrets'/feedback_password`
\set scoring `cat :'secrets'/scoring_password`

SELECT NOT EXISTS (
    SELECT FROM unnest(ARRAY[:'owner', :'intake', :'routing', :'feedback', :'scoring']) AS password
    WHERE length(password) < 16
) AS complete \gset
\if :complete
\else
    DO $$ BEGIN RAISE EXCEPTION 'a password file is missing, or shorter than 16 characters'; END $$;
\endif

BEGIN;
SET LOCAL password_encryption = 'scram-sha-256';

SELECT format('CREATE ROLE %I', name)
FROM unnest(ARRAY['intake', 'routing', 'feedback', 'scoring']) AS service,
     unnest(ARRAY['jiesu_' || service, service || '_login', 'owner_login']) AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name)
GROUP BY name \gexec

SELECT format('ALTER ROLE %I NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS', 'jiesu_' || service),
       format('ALTER ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS', service || '_login'),
       format('GRANT %I TO %I', 'jiesu_' || service, service || '_login'),
       format('GRANT %I TO owner_login WITH ADMIN OPTION', 'jiesu_' || service)
FROM unnest(ARRAY['intake', 'routing', 'feedback', 'scoring']) AS service \gexec

ALTER ROLE owner_login LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;

ALTER ROLE owner_login PASSWORD :'owner';
ALTER ROLE intake_login PASSWORD :'intake';
ALTER ROLE routing_login PASSWORD :'routing';
ALTER ROLE feedback_login PASSWORD :'feedback';
ALTER ROLE scoring_login PASSWORD :'scoring';

REVOKE ALL ON DATABASE :"DBNAME" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"DBNAME" TO intake_login, routing_login, feedback_login, scoring_login;
GRANT CONNECT, CREATE ON DATABASE :"DBNAME" TO owner_login;

-- A service makes tables for its views, but no functions: its owner, at work in the same schema, would run them.
-- Nor large objects, which nobody would ever erase.
REVOKE USAGE ON LANGUAGE sql, plpgsql FROM PUBLIC;
GRANT USAGE ON LANGUAGE sql, plpgsql TO owner_login;
REVOKE EXECUTE ON FUNCTION lo_creat(integer), lo_create(oid), lo_from_bytea(oid, bytea) FROM PUBLIC;
COMMIT;
