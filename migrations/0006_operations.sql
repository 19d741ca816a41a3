-- What did they drive today, what was put aside and may be stored after all, whose certificate is believed no longer, and can a past
-- partition get its indexes while late fixes come?

-- Totals as they can be measured at any time; a day that is not over has those of its hours so far.
CREATE FUNCTION measure_day(p_tenant text, p_day date, p_vehicle text DEFAULT NULL) RETURNS SETOF daily_totals
    LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT p_tenant, p_day, vehicle_id, count(*), coalesce(sum(step_m), 0),
        -- Slower than a metre per second is standing.
        coalesce(sum(step_s) FILTER (WHERE step_m > step_s), 0),
        max(speed_mps), min(time), max(time)
    FROM (
        -- A step belongs to the day in which it ends; one longer than an hour is no drive that anybody saw.
        SELECT vehicle_id, time, speed_mps,
            CASE WHEN time - lag(time) OVER way <= interval '1 hour'
                THEN ST_DistanceSphere(location, lag(location) OVER way) END AS step_m,
            CASE WHEN time - lag(time) OVER way <= interval '1 hour'
                THEN extract(epoch FROM time - lag(time) OVER way)::double precision END AS step_s
        FROM vehicle_telemetry
        WHERE tenant_id = p_tenant AND (p_vehicle IS NULL OR vehicle_id = p_vehicle) AND flags & 1 = 0
            AND time >= p_day::timestamp AT TIME ZONE 'UTC' - interval '1 hour'
            AND time < (p_day + 1)::timestamp AT TIME ZONE 'UTC'
        WINDOW way AS (PARTITION BY vehicle_id ORDER BY time, epoch, sequence)
    ) AS steps
    WHERE time >= p_day::timestamp AT TIME ZONE 'UTC'
    GROUP BY vehicle_id
$$;
COMMENT ON FUNCTION measure_day IS 'Totals of a day from the fixes themselves, whether it is over or not.';

-- What is left of a day that has expired is not the day: its totals stay as they are.
CREATE FUNCTION is_expired(p_tenant text, p_day date) RETURNS boolean
    LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT p_day::timestamp AT TIME ZONE 'UTC' + keep < now() FROM retention_classes WHERE retention_class = coalesce(
        (SELECT retention_class FROM retention_rules
         WHERE tenant_id = p_tenant AND valid_from <= p_day::timestamp AT TIME ZONE 'UTC'
         ORDER BY valid_from DESC LIMIT 1), 0)
$$;

CREATE OR REPLACE FUNCTION derive_day(p_tenant text, p_day date) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF is_expired(p_tenant, p_day) THEN
        RETURN;
    END IF;
    DELETE FROM daily_totals WHERE tenant_id = p_tenant AND day = p_day;
    INSERT INTO daily_totals SELECT * FROM measure_day(p_tenant, p_day);
END $$;

CREATE FUNCTION rederive(p_tenant text, p_day date, p_vehicle text DEFAULT NULL) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    made bigint := 0;
BEGIN
    -- The upkeep of another agent may be at the same day.
    PERFORM pg_advisory_xact_lock(hashtextextended('drover daily totals', 0));
    IF p_day >= (now() AT TIME ZONE 'UTC')::date OR is_expired(p_tenant, p_day) THEN
        RETURN 0;
    END IF;
    DELETE FROM daily_totals
        WHERE tenant_id = p_tenant AND day = p_day AND (p_vehicle IS NULL OR vehicle_id = p_vehicle);
    INSERT INTO daily_totals SELECT * FROM measure_day(p_tenant, p_day, p_vehicle);
    GET DIAGNOSTICS made = ROW_COUNT;
    RETURN made;
END $$;
COMMENT ON FUNCTION rederive IS
    'Makes totals of a past day anew, of one vehicle or all, and says how many there are. One that has expired, or is not over, is left alone.';

-- Rolled up where a day is over and was not written to since; measured where it is not over, or its roll-up is on its way.
CREATE FUNCTION tenant_totals(p_tenant text, p_from date, p_until date) RETURNS SETOF daily_totals
    LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
    WITH open_days AS (
        SELECT DISTINCT day FROM touched_days
        WHERE tenant_id = p_tenant AND day >= p_from AND day < p_until
            AND day >= (now() AT TIME ZONE 'UTC')::date - 1
    )
    SELECT t.* FROM daily_totals t
        WHERE t.tenant_id = p_tenant AND t.day >= p_from AND t.day < p_until
            AND t.day NOT IN (SELECT day FROM open_days)
    UNION ALL
    SELECT m.* FROM open_days CROSS JOIN LATERAL measure_day(p_tenant, day) m
    ORDER BY 2, 3
$$;
COMMENT ON FUNCTION tenant_totals IS 'Totals per day and vehicle, today''s so far included.';

CREATE FUNCTION totals(p_from date, p_until date) RETURNS SETOF daily_totals
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$ SELECT * FROM tenant_totals(current_tenant(), p_from, p_until) $$;

-- A dead letter goes once its row is stored after all.
CREATE FUNCTION drop_letters(p_letters bigint[]) RETURNS bigint
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    WITH gone AS (
        DELETE FROM dead_letters d WHERE dead_letter_id = ANY (p_letters)
            AND EXISTS (SELECT FROM vehicle_telemetry t
                WHERE t.time = timestamptz 'epoch' + d.time_us * interval '1 microsecond'
                    AND t.tenant_id = d.tenant_id AND t.vehicle_id = d.vehicle_id
                    AND t.epoch = d.epoch AND t.sequence = d.sequence)
        RETURNING 1
    ) SELECT count(*) FROM gone
$$;
COMMENT ON FUNCTION drop_letters IS 'Drops those of the letters whose rows are in the table by now.';

-- Whoever asks which certificates are revoked asks for what it does not know yet: the version rises with each.
ALTER TABLE revocations ADD COLUMN version bigint GENERATED ALWAYS AS IDENTITY UNIQUE;

-- Indexes of a past partition are made by whoever owns it, outside of any transaction, while fixes go on into it (CREATE INDEX
-- CONCURRENTLY). Then this says so, if it is true.
CREATE FUNCTION mark_sealed(p_class smallint, p_start timestamptz) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    UPDATE telemetry_partitions p SET sealed_at = now()
        WHERE retention_class = p_class AND starts_at = p_start AND sealed_at IS NULL AND ends_at <= now()
            AND 2 = (SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
                WHERE i.indrelid = to_regclass(format('public.%I', p.table_name)) AND i.indisvalid
                    AND c.relname IN (p.table_name || '_vehicle', p.table_name || '_location'));
    RETURN FOUND;
END $$;

REVOKE EXECUTE ON FUNCTION measure_day, is_expired, rederive, tenant_totals, totals, drop_letters, mark_sealed FROM PUBLIC;
GRANT EXECUTE ON FUNCTION measure_day, is_expired, rederive, tenant_totals, drop_letters, mark_sealed TO drover_writer;
GRANT EXECUTE ON FUNCTION totals TO drover_reader;
