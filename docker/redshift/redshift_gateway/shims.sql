-- What Redshift has and PostgreSQL has not, put where every search_path finds it (pg_catalog). Safe to run again.
SET allow_system_table_mods = on;
CREATE SCHEMA IF NOT EXISTS redshift_gateway;
GRANT USAGE ON SCHEMA redshift_gateway TO PUBLIC;

-- Functions ---------------------------------------------------------------------------------------------------
CREATE OR REPLACE FUNCTION pg_catalog.getdate() RETURNS timestamp LANGUAGE sql VOLATILE AS
$$ SELECT date_trunc('second', clock_timestamp() AT TIME ZONE current_setting('TimeZone')) $$;
CREATE OR REPLACE FUNCTION pg_catalog.sysdate() RETURNS timestamp LANGUAGE sql STABLE AS
$$ SELECT now() AT TIME ZONE current_setting('TimeZone') $$;
CREATE OR REPLACE FUNCTION pg_catalog.pg_last_copy_count() RETURNS bigint LANGUAGE sql VOLATILE AS
$$ SELECT COALESCE(NULLIF(current_setting('redshift_gateway.last_copy_count', true), ''), '0')::bigint $$;
CREATE OR REPLACE FUNCTION pg_catalog.pg_last_copy_id() RETURNS integer LANGUAGE sql VOLATILE AS
$$ SELECT COALESCE(NULLIF(current_setting('redshift_gateway.last_copy_id', true), ''), '-1')::integer $$;
CREATE OR REPLACE FUNCTION pg_catalog.len(varchar) RETURNS integer LANGUAGE sql IMMUTABLE STRICT AS
$$ SELECT char_length($1) $$;
CREATE OR REPLACE FUNCTION pg_catalog.len(text) RETURNS integer LANGUAGE sql IMMUTABLE STRICT AS
$$ SELECT char_length($1) $$;
CREATE OR REPLACE FUNCTION pg_catalog.len(character) RETURNS integer LANGUAGE sql IMMUTABLE STRICT AS
$$ SELECT char_length($1) $$;
CREATE OR REPLACE FUNCTION pg_catalog.len(bytea) RETURNS integer LANGUAGE sql IMMUTABLE STRICT AS
$$ SELECT octet_length($1) $$;
CREATE OR REPLACE FUNCTION pg_catalog.json_parse(text) RETURNS jsonb LANGUAGE sql IMMUTABLE STRICT AS
$$ SELECT $1::jsonb $$;
CREATE OR REPLACE FUNCTION pg_catalog.json_serialize(jsonb) RETURNS varchar LANGUAGE sql IMMUTABLE STRICT AS
$$ SELECT regexp_replace($1::text, '("(?:[^"\\]|\\.)*")|\s+', '\1', 'g')::varchar $$;
CREATE OR REPLACE FUNCTION pg_catalog.to_hex(bytea) RETURNS varchar LANGUAGE sql IMMUTABLE STRICT AS
$$ SELECT encode($1, 'hex')::varchar $$;
CREATE OR REPLACE FUNCTION pg_catalog.from_hex(text) RETURNS bytea LANGUAGE sql IMMUTABLE STRICT AS
$$ SELECT decode($1, 'hex') $$;
DO $do$ BEGIN
  IF to_regtype('redshift_gateway.geometry') IS NULL THEN
    CREATE DOMAIN redshift_gateway.geometry AS bytea CHECK (octet_length(VALUE) <= 1048447);
  END IF;
END $do$;
CREATE OR REPLACE FUNCTION pg_catalog.st_ashexewkb(bytea) RETURNS varchar LANGUAGE sql IMMUTABLE STRICT AS
$$ SELECT upper(encode($1, 'hex'))::varchar $$;
CREATE OR REPLACE FUNCTION pg_catalog.to_varbyte(text, text) RETURNS bytea LANGUAGE sql IMMUTABLE STRICT AS
$$ SELECT CASE lower($2) WHEN 'hex' THEN decode($1, 'hex') WHEN 'base64' THEN decode($1, 'base64')
               ELSE convert_to($1, 'UTF8') END $$;
CREATE OR REPLACE FUNCTION pg_catalog.from_varbyte(bytea, text) RETURNS varchar LANGUAGE sql IMMUTABLE STRICT AS
$$ SELECT CASE lower($2) WHEN 'hex' THEN encode($1, 'hex') WHEN 'base64' THEN encode($1, 'base64')
               ELSE convert_from($1, 'UTF8') END::varchar $$;

-- VARCHAR comparison: trailing blanks do not count ------------------------------------------------------------
-- CHAR's own C functions on VARCHAR: both are the same varlena, so they can be declared on it. As the default
-- operator classes of VARCHAR they also decide GROUP BY, DISTINCT, PARTITION BY, ORDER BY and joins.
DO $do$
DECLARE
  pair text[];
  op text[];
BEGIN
  IF EXISTS (SELECT FROM pg_opfamily WHERE opfname = 'redshift_varchar_ops') THEN
    RETURN;
  END IF;
  CREATE OPERATOR FAMILY pg_catalog.redshift_varchar_ops USING btree;
  CREATE OPERATOR FAMILY pg_catalog.redshift_varchar_ops USING hash;
  CREATE FUNCTION pg_catalog.redshift_hash(varchar) RETURNS integer
    LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'hashbpchar';
  CREATE FUNCTION pg_catalog.redshift_hash(varchar, bigint) RETURNS bigint
    LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'hashbpcharextended';
  FOREACH pair SLICE 1 IN ARRAY ARRAY[['varchar','varchar'], ['varchar','text'], ['text','varchar'],
                                      ['varchar','bpchar'], ['bpchar','varchar']] LOOP
    FOREACH op SLICE 1 IN ARRAY ARRAY[['eq','=','boolean'], ['ne','<>','boolean'], ['lt','<','boolean'],
        ['le','<=','boolean'], ['gt','>','boolean'], ['ge','>=','boolean'], ['cmp','','integer']] LOOP
      EXECUTE format('CREATE FUNCTION pg_catalog.redshift_%s(%s, %s) RETURNS %s
        LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS %L', op[1], pair[1], pair[2], op[3], 'bpchar' || op[1]);
    END LOOP;
    FOREACH op SLICE 1 IN ARRAY ARRAY[
        ['eq','=','=','<>','eqsel','eqjoinsel'], ['ne','<>','<>','=','neqsel','neqjoinsel'],
        ['lt','<','>','>=','scalarltsel','scalarltjoinsel'], ['le','<=','>=','>','scalarlesel','scalarlejoinsel'],
        ['gt','>','<','<=','scalargtsel','scalargtjoinsel'], ['ge','>=','<=','<','scalargesel','scalargejoinsel']]
    LOOP
      EXECUTE format('CREATE OPERATOR pg_catalog.%s (FUNCTION = pg_catalog.redshift_%s, LEFTARG = %s, RIGHTARG = %s,
        COMMUTATOR = OPERATOR(pg_catalog.%s), NEGATOR = OPERATOR(pg_catalog.%s), RESTRICT = %s, JOIN = %s %s)',
        op[2], op[1], pair[1], pair[2], op[3], op[4], op[5], op[6],
        CASE WHEN op[1] = 'eq' AND pair = ARRAY['varchar','varchar'] THEN ', HASHES, MERGES' ELSE '' END);
    END LOOP;
  END LOOP;
  CREATE OPERATOR CLASS pg_catalog.redshift_varchar_ops DEFAULT FOR TYPE varchar USING btree
    FAMILY redshift_varchar_ops AS OPERATOR 1 pg_catalog.< (varchar, varchar),
    OPERATOR 2 pg_catalog.<= (varchar, varchar), OPERATOR 3 pg_catalog.= (varchar, varchar),
    OPERATOR 4 pg_catalog.>= (varchar, varchar), OPERATOR 5 pg_catalog.> (varchar, varchar),
    FUNCTION 1 pg_catalog.redshift_cmp(varchar, varchar);
  CREATE OPERATOR CLASS pg_catalog.redshift_varchar_ops DEFAULT FOR TYPE varchar USING hash
    FAMILY redshift_varchar_ops AS OPERATOR 1 pg_catalog.= (varchar, varchar),
    FUNCTION 1 pg_catalog.redshift_hash(varchar), FUNCTION 2 pg_catalog.redshift_hash(varchar, bigint);
END $do$;

-- Byte lengths: every VARCHAR(n) and CHAR(n) column gets a CHECK, however its table came about ------------------
CREATE OR REPLACE FUNCTION redshift_gateway.enforce_octets() RETURNS event_trigger LANGUAGE plpgsql AS $fn$
DECLARE
  r record;
BEGIN
  FOR r IN
    WITH wanted AS (
      SELECT DISTINCT a.attrelid, a.attnum, format('rs_%s_%s_%s',
          CASE a.atttypid WHEN 'varchar'::regtype THEN 'octets' ELSE 'ascii' END, a.attnum, a.atttypmod - 4) AS name,
        CASE a.atttypid WHEN 'varchar'::regtype THEN format('octet_length(%I) <= %s', a.attname, a.atttypmod - 4)
          ELSE format('octet_length(%I::text) = char_length(%I::text)', a.attname, a.attname) END AS rule
      FROM pg_event_trigger_ddl_commands() d
        JOIN pg_class c ON c.oid = d.objid AND d.classid = 'pg_class'::regclass AND c.relkind IN ('r', 'p')
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
      WHERE a.atttypid IN ('varchar'::regtype, 'bpchar'::regtype) AND a.atttypmod >= 0
    ), missing AS (
      SELECT * FROM wanted w
      WHERE NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = w.attrelid AND k.conname = w.name)
    ), actions AS (
      SELECT attrelid, 1 AS step, format('ADD CONSTRAINT %I CHECK (%s)', name, rule) AS action FROM missing
      UNION ALL
      SELECT k.conrelid, 0, format('DROP CONSTRAINT %I', k.conname) FROM pg_constraint k JOIN missing m
        ON k.conrelid = m.attrelid AND k.conname ~ format('^rs_(octets|ascii)_%s_', m.attnum)
    )
    SELECT attrelid::regclass AS tab, string_agg(action, ', ' ORDER BY step) AS actions FROM actions GROUP BY attrelid
  LOOP
    EXECUTE format('ALTER TABLE %s %s', r.tab, r.actions);
  END LOOP;
END $fn$;
DROP EVENT TRIGGER IF EXISTS redshift_gateway_octets;
CREATE EVENT TRIGGER redshift_gateway_octets ON ddl_command_end
  WHEN TAG IN ('CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO', 'ALTER TABLE')
  EXECUTE FUNCTION redshift_gateway.enforce_octets();

-- Load errors --------------------------------------------------------------------------------------------------
CREATE SEQUENCE IF NOT EXISTS redshift_gateway.query_id AS integer;
CREATE TABLE IF NOT EXISTS redshift_gateway.load_errors (
  user_id integer, query_id bigint, transaction_id bigint, session_id integer, database_name char(64),
  table_id integer, start_time timestamp, file_name char(256), line_number bigint, column_name char(127),
  column_type char(10), column_length char(10), position integer, error_code integer, error_message char(512));
CREATE OR REPLACE VIEW pg_catalog.sys_load_error_detail AS SELECT * FROM redshift_gateway.load_errors;
CREATE OR REPLACE VIEW pg_catalog.stl_load_errors AS
  SELECT user_id AS userid, 0 AS slice, table_id AS tbl, start_time AS starttime, session_id AS session,
    query_id AS query, file_name AS filename, line_number, column_name AS colname, column_type AS type,
    column_length AS col_length, position, ''::char(1024) AS raw_line, ''::char(1024) AS raw_field_value,
    error_code AS err_code, error_message::char(100) AS err_reason
  FROM redshift_gateway.load_errors;

-- Catalog --------------------------------------------------------------------------------------------------------
CREATE OR REPLACE VIEW redshift_gateway.column_types AS
  SELECT c.oid AS table_id, n.nspname AS table_schema, c.relname AS table_name, a.attname AS column_name, a.attnum,
    row_number() OVER (PARTITION BY c.oid ORDER BY a.attnum) AS ordinal_position, a.attnotnull, a.attidentity,
    pg_get_expr(d.adbin, d.adrelid) AS column_default, b.typname AS base_type,
    CASE WHEN t.oid = 'redshift_gateway.geometry'::regtype THEN 'geometry' ELSE
      CASE b.typname WHEN 'bytea' THEN 'binary varying' WHEN 'jsonb' THEN 'super' WHEN 'json' THEN 'super'
        WHEN 'text' THEN 'character varying' WHEN 'name' THEN 'character varying'
        ELSE format_type(b.oid, NULL) END END AS data_type,
    CASE WHEN b.typname IN ('varchar', 'bpchar') AND a.atttypmod >= 0 THEN a.atttypmod - 4
      WHEN b.typname = 'bytea' THEN substring(t.typname from '^varbyte_(\d+)$')::integer
      WHEN b.typname IN ('varchar', 'text') THEN 65535 WHEN b.typname = 'name' THEN 128 END AS max_length,
    CASE WHEN b.typname = 'numeric' AND a.atttypmod >= 0 THEN ((a.atttypmod - 4) >> 16) & 65535
      ELSE CASE b.typname WHEN 'int2' THEN 16 WHEN 'int4' THEN 32 WHEN 'int8' THEN 64
        WHEN 'float4' THEN 24 WHEN 'float8' THEN 53 END END AS numeric_precision,
    CASE WHEN b.typname = 'numeric' AND a.atttypmod >= 0 THEN (a.atttypmod - 4) & 65535
      WHEN b.typname IN ('int2', 'int4', 'int8') THEN 0 END AS numeric_scale,
    CASE b.typname WHEN 'numeric' THEN 10 WHEN 'int2' THEN 2 WHEN 'int4' THEN 2 WHEN 'int8' THEN 2
      WHEN 'float4' THEN 2 WHEN 'float8' THEN 2 END AS numeric_precision_radix,
    CASE WHEN b.typname IN ('timestamp', 'timestamptz', 'time', 'timetz') THEN 6 END AS datetime_precision
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_type t ON t.oid = a.atttypid
    JOIN pg_type b ON b.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
  WHERE c.relkind IN ('r', 'v', 'p', 'm', 'f');
CREATE OR REPLACE VIEW pg_catalog.svv_columns AS
  SELECT current_database()::varchar(128) AS table_catalog, table_schema::varchar(128), table_name::varchar(128),
    column_name::varchar(128), ordinal_position::integer, column_default::varchar(4000),
    CASE WHEN attnotnull THEN 'NO' ELSE 'YES' END::varchar(3) AS is_nullable, data_type::varchar(128),
    max_length::integer AS character_maximum_length, numeric_precision::integer, numeric_precision_radix::integer,
    numeric_scale::integer, datetime_precision::integer, NULL::varchar(128) AS interval_type,
    NULL::varchar(128) AS interval_precision, NULL::varchar(128) AS character_set_catalog,
    NULL::varchar(128) AS character_set_schema, NULL::varchar(128) AS character_set_name,
    NULL::varchar(128) AS collation_catalog, NULL::varchar(128) AS collation_schema,
    NULL::varchar(128) AS collation_name, NULL::varchar(128) AS domain_name, NULL::varchar(256) AS remarks
  FROM redshift_gateway.column_types;
CREATE OR REPLACE VIEW pg_catalog.pg_table_def AS
  SELECT table_schema AS schemaname, table_name AS tablename, column_name AS "column",
    (data_type || CASE WHEN base_type IN ('varchar', 'bpchar', 'bytea') THEN '(' || max_length || ')'
      WHEN base_type = 'numeric' THEN '(' || numeric_precision || ',' || numeric_scale || ')' ELSE '' END)::varchar
      AS type,
    'none'::char(32) AS encoding, false AS distkey, 0 AS sortkey, attnotnull AS "notnull"
  FROM redshift_gateway.column_types WHERE table_schema = ANY (current_schemas(true)::name[]);
CREATE OR REPLACE VIEW pg_catalog.stv_db_isolation_level AS
  SELECT oid::integer AS db_id, 'Snapshot Isolation'::varchar AS isolation_level FROM pg_database
  WHERE datname = current_database();
CREATE OR REPLACE VIEW pg_catalog.svv_transactions AS
  SELECT :'user'::varchar AS txn_owner, current_database()::varchar AS txn_db,
    COALESCE(a.backend_xid, a.backend_xmin)::text::bigint AS xid, l.pid,
    a.xact_start AT TIME ZONE 'UTC' AS txn_start, l.mode::varchar AS lock_mode,
    l.locktype::varchar AS lockable_object_type, l.relation, l.granted
  FROM pg_locks l JOIN pg_stat_activity a USING (pid)
  WHERE a.datname = current_database();
DO $do$ BEGIN
  IF to_regclass('information_schema.postgresql_columns') IS NULL THEN
    ALTER VIEW information_schema.columns RENAME TO postgresql_columns;
  END IF;
END $do$;
CREATE OR REPLACE VIEW information_schema.columns AS SELECT * FROM pg_catalog.svv_columns;
GRANT SELECT ON ALL TABLES IN SCHEMA redshift_gateway TO PUBLIC;
GRANT SELECT ON information_schema.columns, pg_catalog.svv_columns, pg_catalog.pg_table_def, pg_catalog.stl_load_errors,
  pg_catalog.sys_load_error_detail, pg_catalog.stv_db_isolation_level, pg_catalog.svv_transactions TO PUBLIC;
