-- Where TimescaleDB is there, can it keep the fixes: the same columns and answers, packed once they are past?
--
-- A hypertable can not be partitioned by anything else (create_hypertable's documentation), so the classes of retention become its
-- second dimension: a chunk is of one class, and what has expired is dropped chunk by chunk, as partitions are. TimescaleDB's own
-- retention policy knows times only. Its functions are called by EXECUTE: without the extension these functions exist all the same.

CREATE FUNCTION has_hypertable() RETURNS boolean
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    -- Looked up whenever it is asked: the table may have changed places since the question was planned.
    AS $$ SELECT relkind = 'r' FROM pg_class WHERE oid = to_regclass('public.vehicle_telemetry') $$;
COMMENT ON FUNCTION has_hypertable IS 'True if fixes are in a hypertable: otherwise their table is a partitioned one.';

-- Installed here, or there to be installed: its loader must be preloaded, or CREATE EXTENSION ends the session.
CREATE FUNCTION has_timescale() RETURNS boolean
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb')
        OR (current_setting('timescaledb.disable_load', true) IS NOT NULL
            AND EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb'))
$$;

-- The table changes places with an empty hypertable; what is in its partitions is moved by move_plain_partition, one at a time.
-- Services go on meanwhile.
CREATE FUNCTION to_hypertable() RETURNS boolean
    LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF has_hypertable() THEN
        RETURN false;
    END IF;
    -- Nobody makes or drops a partition meanwhile.
    PERFORM pg_advisory_xact_lock(hashtextextended('drover telemetry partitions', 0));
    ALTER TABLE public.vehicle_telemetry RENAME TO vehicle_telemetry_plain;
    ALTER INDEX public.vehicle_telemetry_pkey RENAME TO vehicle_telemetry_plain_pkey;
    CREATE TABLE public.vehicle_telemetry (LIKE public.vehicle_telemetry_plain INCLUDING ALL);
    EXECUTE $ts$SELECT create_hypertable('public.vehicle_telemetry'::regclass, by_range('time', interval '7 days'),
        create_default_indexes => false)$ts$;
    EXECUTE $ts$SELECT add_dimension('public.vehicle_telemetry'::regclass, by_range('retention_class', 1))$ts$;
    -- Every column of the key packs by group or by order: then a late fix finds its repeat in a packed chunk too.
    IF current_setting('timescaledb.license', true) = 'timescale' THEN
        EXECUTE $ts$ALTER TABLE public.vehicle_telemetry SET (timescaledb.compress,
            timescaledb.compress_segmentby = 'tenant_id, vehicle_id',
            timescaledb.compress_orderby = 'time, epoch, sequence, retention_class')$ts$;
        -- Until then trackers that were out of reach still bring their backlog.
        EXECUTE $ts$SELECT add_compression_policy('public.vehicle_telemetry'::regclass, compress_after => interval '9 days')$ts$;
    END IF;
    COMMENT ON TABLE public.vehicle_telemetry IS
        'One row per fix. No reader is granted it: readers use functions that know their tenant.';
    GRANT SELECT, INSERT ON public.vehicle_telemetry TO drover_writer;
    REVOKE INSERT ON public.vehicle_telemetry_plain FROM drover_writer;
    RETURN true;
END $$;
COMMENT ON FUNCTION to_hypertable IS 'Makes a hypertable take the place of the partitioned table. False if it has already.';

-- A fix that came again since is in the hypertable already: it is left where it is. Totals of the days that were out of sight
-- meanwhile are made anew.
CREATE FUNCTION move_plain_partition() RETURNS bigint
    LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    part public.telemetry_partitions;
    moved bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('drover telemetry partitions', 0));
    -- The newest first: it is what is asked for most.
    SELECT * INTO part FROM public.telemetry_partitions ORDER BY starts_at DESC, retention_class LIMIT 1;
    IF NOT FOUND THEN
        DROP TABLE IF EXISTS public.vehicle_telemetry_plain;
        RETURN NULL;
    END IF;
    EXECUTE format('INSERT INTO public.vehicle_telemetry SELECT * FROM public.%I ON CONFLICT DO NOTHING', part.table_name);
    GET DIAGNOSTICS moved = ROW_COUNT;
    EXECUTE format('INSERT INTO public.touched_days (tenant_id, day)'
        ' SELECT DISTINCT tenant_id, (time AT TIME ZONE ''UTC'')::date FROM public.%I', part.table_name);
    EXECUTE format('DROP TABLE public.%I', part.table_name);
    DELETE FROM public.telemetry_partitions
        WHERE retention_class = part.retention_class AND starts_at = part.starts_at;
    RETURN moved;
END $$;
COMMENT ON FUNCTION move_plain_partition IS
    'Moves the fixes of one partition into the hypertable, and says how many; null once none is left.';

-- A hypertable makes its chunks itself.
CREATE OR REPLACE FUNCTION make_partitions(p_class smallint, p_from timestamptz, p_until timestamptz) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    width interval;
    next_start timestamptz;
    next_end timestamptz;
    parent text := 'vehicle_telemetry_class_' || p_class;
    child text;
    made integer := 0;
BEGIN
    SELECT partition_width INTO width FROM public.retention_classes WHERE retention_class = p_class;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no retention class %', p_class USING HINT = 'add_retention_class makes one';
    END IF;
    IF p_from IS NULL OR p_until IS NULL OR p_from < timestamptz '2000-01-01 00:00:00+00'
        OR p_until > timestamptz '2100-01-01 00:00:00+00' THEN
        RAISE EXCEPTION 'no partition is made for % to %', p_from, p_until
            USING ERRCODE = 'datetime_field_overflow', HINT = 'fixes are of the years 2000 to 2099';
    END IF;
    IF p_until - p_from > width * 400 THEN
        RAISE EXCEPTION '% to % is more than 400 partitions of %', p_from, p_until, width USING HINT = 'ask for less at once';
    END IF;
    -- One maker at a time: two would make the same table.
    PERFORM pg_advisory_xact_lock(hashtextextended('drover telemetry partitions', 0));
    IF public.has_hypertable() THEN
        RETURN 0;
    END IF;
    next_start := public.partition_start(width, p_from);
    WHILE next_start < p_until LOOP
        next_end := next_start + width;
        IF NOT EXISTS (SELECT FROM public.telemetry_partitions
                       WHERE retention_class = p_class AND starts_at = next_start) THEN
            child := format('%s_%s', parent, to_char(next_start AT TIME ZONE 'UTC', 'YYYYMMDD"_"HH24'));
            EXECUTE format('CREATE TABLE public.%I (LIKE public.%I INCLUDING ALL)', child, parent);
            EXECUTE format('ALTER TABLE public.%I ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
                parent, child, next_start, next_end);
            INSERT INTO public.telemetry_partitions VALUES (p_class, next_start, next_end, child);
            made := made + 1;
        END IF;
        next_start := next_end;
    END LOOP;
    RETURN made;
END $$;

CREATE OR REPLACE FUNCTION add_retention_class(p_class smallint, p_title text, p_keep interval, p_width interval) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO retention_classes VALUES (p_class, p_title, p_keep, p_width);
    IF NOT has_hypertable() THEN
        EXECUTE format('CREATE TABLE public.%I PARTITION OF public.vehicle_telemetry FOR VALUES IN (%s) PARTITION BY RANGE (time)',
            'vehicle_telemetry_class_' || p_class, p_class);
    END IF;
END $$;

-- Drops the chunks of a hypertable that have expired. A chunk is of one class: any of its rows says which.
CREATE FUNCTION drop_expired_chunks() RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    class public.retention_classes;
    expired regclass[];
    chunk regclass;
    class_found smallint;
    dropped integer := 0;
BEGIN
    FOR class IN SELECT * FROM public.retention_classes ORDER BY retention_class LOOP
        EXECUTE $ts$SELECT array_agg(c) FROM show_chunks('public.vehicle_telemetry'::regclass, older_than => $1) AS c$ts$
            INTO expired USING now() - class.keep;
        FOREACH chunk IN ARRAY coalesce(expired, '{}') LOOP
            EXECUTE format('SELECT retention_class FROM %s LIMIT 1', chunk) INTO class_found;
            IF class_found = class.retention_class THEN
                EXECUTE format('DROP TABLE %s', chunk);
                dropped := dropped + 1;
            END IF;
        END LOOP;
    END LOOP;
    RETURN dropped;
END $$;

CREATE OR REPLACE FUNCTION drop_expired() RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    part record;
    dropped integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('drover telemetry partitions', 0));
    FOR part IN SELECT p.* FROM public.telemetry_partitions p JOIN public.retention_classes c USING (retention_class)
        WHERE p.ends_at + c.keep < now() ORDER BY p.ends_at
    LOOP
        EXECUTE format('DROP TABLE public.%I', part.table_name);
        DELETE FROM public.telemetry_partitions
            WHERE retention_class = part.retention_class AND starts_at = part.starts_at;
        dropped := dropped + 1;
    END LOOP;
    IF public.has_hypertable() THEN
        dropped := dropped + public.drop_expired_chunks();
    END IF;
    RETURN dropped;
END $$;

REVOKE EXECUTE ON FUNCTION has_hypertable, has_timescale, to_hypertable, move_plain_partition, drop_expired_chunks FROM PUBLIC;
GRANT EXECUTE ON FUNCTION has_hypertable, has_timescale TO drover_writer;
