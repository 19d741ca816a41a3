-- Who signed in, who was refused, and who changed what? How much did a vehicle idle and burn on a day?

-- Notes come in batches from whoever has taken the requests, and may come twice: each has an identity. Nobody wrote to this table
-- before.
ALTER TABLE audit
    ADD COLUMN entry_id uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    ADD COLUMN role text NOT NULL DEFAULT '',
    ADD COLUMN outcome text NOT NULL DEFAULT '',
    ADD COLUMN peer text NOT NULL DEFAULT '',
    ADD CONSTRAINT audit_texts_are_short CHECK (greatest(octet_length(actor), octet_length(role), octet_length(action),
        octet_length(subject), octet_length(outcome), octet_length(peer)) <= 256);
COMMENT ON COLUMN audit.tenant_id IS 'None of somebody whose token was not believed: no tenant is shown that.';
DROP INDEX audit_by_tenant;
CREATE INDEX audit_by_tenant ON audit (tenant_id, at DESC, entry_id DESC);
CREATE INDEX audit_by_age ON audit (at);

CREATE FUNCTION forget_audit(p_keep interval DEFAULT interval '400 days') RETURNS bigint
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    WITH gone AS (
        DELETE FROM audit WHERE audit_id IN (SELECT audit_id FROM audit WHERE at < now() - p_keep ORDER BY at LIMIT 100000)
        RETURNING 1
    ) SELECT count(*) FROM gone
$$;
COMMENT ON FUNCTION forget_audit IS 'Forgets what is older than that, 100,000 notes at a time; the upkeep of agents calls it with 400 days.';
REVOKE EXECUTE ON FUNCTION forget_audit FROM PUBLIC;
GRANT EXECUTE ON FUNCTION forget_audit TO drover_writer;

-- Only of vehicles that tell engine values; days that were measured before have none until they are derived anew.
ALTER TABLE daily_totals ADD COLUMN idling_s double precision, ADD COLUMN fuel_l double precision;
COMMENT ON COLUMN daily_totals.idling_s IS 'Time in which the engine ran and the vehicle stood.';
CREATE OR REPLACE FUNCTION measure_day(p_tenant text, p_day date, p_vehicle text DEFAULT NULL) RETURNS SETOF daily_totals
    LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT p_tenant, p_day, vehicle_id, count(*), coalesce(sum(step_m), 0),
        -- Slower than a metre per second is standing.
        coalesce(sum(step_s) FILTER (WHERE step_m > step_s), 0),
        max(speed_mps), min(time), max(time),
        CASE WHEN count(engine_speed_rpm) > 0
            THEN coalesce(sum(step_s) FILTER (WHERE step_m <= step_s AND engine_speed_rpm > 0), 0) END,
        CASE WHEN count(fuel_rate_l_per_h) > 0 THEN coalesce(sum(fuel_rate_l_per_h::double precision * step_s / 3600), 0) END
    FROM (
        -- A step belongs to the day in which it ends; one longer than an hour is no drive that anybody saw.
        SELECT vehicle_id, time, speed_mps, engine_speed_rpm, fuel_rate_l_per_h,
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
