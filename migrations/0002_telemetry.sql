-- Where was a vehicle, and when; how long is that kept?
--
-- One row per fix, kept by retention class and then by time: what has expired is dropped as whole tables. The key begins
-- with the time, so that what is written now lands at the end of one small index; and since a partitioned table's unique key
-- must hold what it is partitioned by (PostgreSQL 15, 5.11 "Table Partitioning"), a repeat is found only where its time and
-- class say. Both are fixed for a fix: the class of a tenant changes from a moment on, never for times before it.
-- Names compare by their bytes: a collation of the system costs more, and its next version would spoil the index.

CREATE TABLE retention_classes (
    retention_class smallint PRIMARY KEY,
    title short_name NOT NULL UNIQUE,
    keep interval NOT NULL CHECK (keep >= interval '1 day'),
    partition_width interval NOT NULL
        CHECK (partition_width >= interval '1 hour' AND extract(year FROM partition_width) = 0
               AND extract(month FROM partition_width) = 0)
);
COMMENT ON COLUMN retention_classes.partition_width IS
    'Time that one partition spans, of fixed length: small ones keep late fixes cheap, many of them make planning slow.';

CREATE TABLE retention_rules (
    tenant_id text COLLATE "C" NOT NULL,
    valid_from timestamptz NOT NULL CHECK (isfinite(valid_from)),
    retention_class smallint NOT NULL REFERENCES retention_classes,
    PRIMARY KEY (tenant_id, valid_from)
);
COMMENT ON TABLE retention_rules IS
    'From which time of a fix on a tenant has which class; before its first rule it has class 0. Changed by set_retention alone.';

CREATE TABLE vehicle_telemetry (
    time timestamptz NOT NULL,
    epoch bigint NOT NULL,
    sequence bigint NOT NULL,
    speed_mps double precision,
    heading_deg double precision,
    altitude_m double precision,
    accuracy_m double precision,
    odometer_m bigint,
    location geometry(Point, 4326) NOT NULL,
    speed_kmh integer,
    flags integer NOT NULL DEFAULT 0,
    fuel_level_percent real,
    fuel_rate_l_per_h real,
    engine_speed_rpm real,
    engine_load_percent real,
    coolant_celsius real,
    battery_volts real,
    throttle_percent real,
    brake_percent real,
    satellites smallint,
    retention_class smallint NOT NULL DEFAULT 0,
    ignition boolean,
    vehicle_id text COLLATE "C" NOT NULL,
    tenant_id text COLLATE "C" NOT NULL,
    driver_id text,
    fault_codes integer[],
    PRIMARY KEY (time, vehicle_id, sequence, epoch, tenant_id, retention_class)
) PARTITION BY LIST (retention_class);
COMMENT ON TABLE vehicle_telemetry IS 'One row per fix. No reader is granted it: readers use functions that know their tenant.';
COMMENT ON COLUMN vehicle_telemetry.epoch IS 'Life of the tracker''s spool; -1 for a bare report, which its vehicle and time identify.';
COMMENT ON COLUMN vehicle_telemetry.flags IS '1 jump, 2 estimated, 4 differential.';
COMMENT ON COLUMN vehicle_telemetry.fault_codes IS
    'SPN << 5 | FMI of SAE J1939-73, or 1 << 24 and the two bytes of SAE J2012; null is none.';

CREATE TABLE telemetry_partitions (
    retention_class smallint NOT NULL REFERENCES retention_classes,
    starts_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    table_name name NOT NULL UNIQUE,
    sealed_at timestamptz,
    PRIMARY KEY (retention_class, starts_at)
);

CREATE FUNCTION add_retention_class(p_class smallint, p_title text, p_keep interval, p_width interval) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO retention_classes VALUES (p_class, p_title, p_keep, p_width);
    EXECUTE format('CREATE TABLE public.%I PARTITION OF public.vehicle_telemetry FOR VALUES IN (%s) PARTITION BY RANGE (time)',
        'vehicle_telemetry_class_' || p_class, p_class);
END $$;
COMMENT ON FUNCTION add_retention_class IS 'A new class; its owner alone may call it.';
SELECT add_retention_class(0::smallint, 'standard', interval '400 days', interval '7 days');
SELECT add_retention_class(1::smallint, 'short', interval '31 days', interval '1 day');
SELECT add_retention_class(2::smallint, 'long', interval '3653 days', interval '28 days');

-- Where the partition of a time begins. Counted from a Monday that lies before every fix.
CREATE FUNCTION partition_start(p_width interval, p_time timestamptz) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT date_bin(p_width, p_time, timestamptz '1999-12-27 00:00:00+00') $$;

-- The one way in which partitions come to be. A table is made first and then attached: CREATE TABLE ... PARTITION OF would
-- lock out every writer of its class, ATTACH locks out nobody but other makers.
CREATE FUNCTION make_partitions(p_class smallint, p_from timestamptz, p_until timestamptz) RETURNS integer
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

-- A past partition gets the indexes that history reads need: on the one that is written now they would cost half the rate.
-- A late fix into it waits while they are built, and pays for them from then on.
CREATE FUNCTION seal_partition(p_class smallint, p_start timestamptz) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    part public.telemetry_partitions;
BEGIN
    SELECT * INTO part FROM public.telemetry_partitions
        WHERE retention_class = p_class AND starts_at = p_start FOR UPDATE SKIP LOCKED;
    IF NOT FOUND OR part.sealed_at IS NOT NULL OR part.ends_at > now() THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE INDEX IF NOT EXISTS %I ON public.%I (tenant_id, vehicle_id, time)',
        part.table_name || '_vehicle', part.table_name);
    EXECUTE format('CREATE INDEX IF NOT EXISTS %I ON public.%I USING gist (location)',
        part.table_name || '_location', part.table_name);
    EXECUTE format('ANALYZE public.%I', part.table_name);
    UPDATE public.telemetry_partitions SET sealed_at = now() WHERE retention_class = p_class AND starts_at = p_start;
    RETURN true;
END $$;

CREATE FUNCTION drop_expired() RETURNS integer
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
    RETURN dropped;
END $$;

-- Services keep the rules in memory for minutes. A change that lies a day ahead is known to all of them before the first fix
-- that it is about, so that no fix is ever looked for in another class than it is in.
CREATE FUNCTION set_retention(p_tenant text, p_class smallint, p_from timestamptz) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF p_from < now() + interval '1 day' THEN
        RAISE EXCEPTION 'a retention class can change from % on at the earliest', now() + interval '1 day'
            USING HINT = 'fixes of before then are stored, or on their way';
    END IF;
    IF EXISTS (SELECT FROM vehicle_telemetry WHERE tenant_id = p_tenant AND time >= p_from) THEN
        RAISE EXCEPTION 'tenant % has fixes of % or later', p_tenant, p_from USING HINT = 'choose a later moment';
    END IF;
    INSERT INTO retention_rules VALUES (p_tenant, p_from, p_class)
        ON CONFLICT (tenant_id, valid_from) DO UPDATE SET retention_class = excluded.retention_class;
END $$;

REVOKE EXECUTE ON FUNCTION add_retention_class, make_partitions, seal_partition, drop_expired, set_retention FROM PUBLIC;
GRANT EXECUTE ON FUNCTION make_partitions, seal_partition, drop_expired TO drover_writer;
GRANT SELECT ON retention_classes, retention_rules, telemetry_partitions TO drover_writer;
GRANT SELECT, INSERT ON vehicle_telemetry TO drover_writer;
