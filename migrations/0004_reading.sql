-- Where is everybody now, where was one of them, who was there yesterday, and how far did they drive?
--
-- Each question is a function of the tenant, for services, and one without, for readers, which asks it for the reader's own
-- tenant. What is read from telemetry itself is in the order of event time, so that a late fix is in its place; what is rolled
-- up is made anew from telemetry whenever a day was written to again, so that it is right however late, shuffled or often
-- fixes come.

CREATE TABLE newest_positions (
    tenant_id text COLLATE "C" NOT NULL,
    vehicle_id text COLLATE "C" NOT NULL,
    time timestamptz NOT NULL,
    location geometry(Point, 4326) NOT NULL,
    speed_mps double precision,
    heading_deg double precision,
    PRIMARY KEY (tenant_id, vehicle_id)
) WITH (fillfactor = 60);
COMMENT ON TABLE newest_positions IS
    'Newest fix of each vehicle. No index on the place: every update would have to move in it, and a fleet is soon looked through.';

CREATE TABLE daily_totals (
    tenant_id text COLLATE "C" NOT NULL,
    day date NOT NULL,
    vehicle_id text COLLATE "C" NOT NULL,
    fixes bigint NOT NULL,
    distance_m double precision NOT NULL,
    moving_s double precision NOT NULL,
    speed_max_mps double precision,
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, day, vehicle_id)
);
COMMENT ON TABLE daily_totals IS 'One row per vehicle and day of UTC on which it has fixes, once the day is over.';

-- Written with every batch, never changed: a mark that was taken as done could belong to a batch that commits later. So it is
-- taken only when every transaction that could still write under it has ended.
CREATE TABLE touched_days (
    tenant_id text COLLATE "C" NOT NULL,
    day date NOT NULL,
    xact xid8 NOT NULL DEFAULT pg_current_xact_id()
);
CREATE INDEX touched_days_by_day ON touched_days (tenant_id, day);

CREATE FUNCTION derive_day(p_tenant text, p_day date) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    -- A step longer than this is no drive that anybody saw.
    gap_max CONSTANT interval := interval '1 hour';
    moving_min_mps CONSTANT double precision := 1;
    jump CONSTANT integer := 1;
    starts timestamptz := p_day::timestamp AT TIME ZONE 'UTC';
    kept interval;
BEGIN
    SELECT keep INTO kept FROM retention_classes WHERE retention_class = coalesce(
        (SELECT retention_class FROM retention_rules WHERE tenant_id = p_tenant AND valid_from <= starts
         ORDER BY valid_from DESC LIMIT 1), 0);
    -- What is left of a day that has expired is not the day: its totals stay as they are.
    IF starts + kept < now() THEN
        RETURN;
    END IF;
    DELETE FROM daily_totals WHERE tenant_id = p_tenant AND day = p_day;
    INSERT INTO daily_totals
    SELECT p_tenant, p_day, vehicle_id, count(*), coalesce(sum(step_m), 0),
        coalesce(sum(step_s) FILTER (WHERE step_m > moving_min_mps * step_s), 0),
        max(speed_mps), min(time), max(time)
    FROM (
        -- A step belongs to the day in which it ends.
        SELECT vehicle_id, time, speed_mps,
            CASE WHEN time - lag(time) OVER way <= gap_max
                THEN ST_DistanceSphere(location, lag(location) OVER way) END AS step_m,
            CASE WHEN time - lag(time) OVER way <= gap_max
                THEN extract(epoch FROM time - lag(time) OVER way)::double precision END AS step_s
        FROM vehicle_telemetry
        WHERE tenant_id = p_tenant AND time >= starts - gap_max AND time < starts + interval '1 day' AND flags & jump = 0
        WINDOW way AS (PARTITION BY vehicle_id ORDER BY time, epoch, sequence)
    ) AS steps
    WHERE time >= starts
    GROUP BY vehicle_id;
END $$;
COMMENT ON FUNCTION derive_day IS 'Makes the totals of a day anew from what is stored. Safe to repeat.';

CREATE FUNCTION derive_touched_days(p_days_max integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    horizon xid8;
    touched record;
    derived integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('drover daily totals', 0));
    horizon := pg_snapshot_xmin(pg_current_snapshot());
    FOR touched IN SELECT DISTINCT tenant_id, day FROM touched_days
        WHERE xact < horizon AND day < (now() AT TIME ZONE 'UTC')::date ORDER BY day LIMIT p_days_max
    LOOP
        -- A day of the next belongs to it as well: the first step after midnight began in this one.
        PERFORM derive_day(touched.tenant_id, touched.day);
        IF EXISTS (SELECT FROM daily_totals WHERE tenant_id = touched.tenant_id AND day = touched.day + 1) THEN
            PERFORM derive_day(touched.tenant_id, touched.day + 1);
        END IF;
        DELETE FROM touched_days
            WHERE tenant_id = touched.tenant_id AND day = touched.day AND xact < horizon;
        derived := derived + 1;
    END LOOP;
    RETURN derived;
END $$;
COMMENT ON FUNCTION derive_touched_days IS 'Makes the totals of past days anew that were written to since; the oldest first.';

CREATE FUNCTION tenant_track(p_tenant text, p_vehicle text, p_from timestamptz, p_until timestamptz)
    RETURNS TABLE ("time" timestamptz, location geometry, speed_mps double precision, heading_deg double precision)
    LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT t.time, t.location, t.speed_mps, t.heading_deg FROM vehicle_telemetry t
    WHERE t.tenant_id = p_tenant AND t.vehicle_id = p_vehicle AND t.time >= p_from AND t.time < p_until
    ORDER BY t.time, t.epoch, t.sequence
$$;
COMMENT ON FUNCTION tenant_track IS 'Where a vehicle was in a span, in the order of event time.';

-- A stay begins with the first fix inside after one outside, or after a day without any.
CREATE FUNCTION tenant_visits(p_tenant text, p_area geometry, p_from timestamptz, p_until timestamptz)
    RETURNS TABLE (vehicle_id text, entered_at timestamptz, last_inside_at timestamptz)
    LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
    WITH visitors AS (
        SELECT DISTINCT t.vehicle_id FROM vehicle_telemetry t
        WHERE t.tenant_id = p_tenant AND t.time >= p_from AND t.time < p_until
            AND t.location && p_area AND ST_Covers(p_area, t.location)
    ), fixes AS (
        SELECT t.vehicle_id, t.time, t.epoch, t.sequence, t.location && p_area AND ST_Covers(p_area, t.location) AS is_inside
        FROM vehicle_telemetry t JOIN visitors USING (vehicle_id)
        WHERE t.tenant_id = p_tenant AND t.time >= p_from - interval '1 day' AND t.time < p_until
    ), changes AS (
        SELECT f.*, is_inside AND NOT coalesce(lag(is_inside) OVER way, false) AS is_entry FROM fixes f
        WINDOW way AS (PARTITION BY f.vehicle_id ORDER BY f.time, f.epoch, f.sequence)
    ), stays AS (
        SELECT c.*, count(*) FILTER (WHERE is_entry)
            OVER (PARTITION BY c.vehicle_id ORDER BY c.time, c.epoch, c.sequence) AS stay FROM changes c
    )
    SELECT s.vehicle_id, min(s.time), max(s.time) FROM stays s WHERE is_inside
    GROUP BY s.vehicle_id, stay HAVING min(s.time) >= p_from ORDER BY 2, 1
$$;
COMMENT ON FUNCTION tenant_visits IS 'Who entered an area in a span, and until when each was seen inside.';

-- A trip is a row of fixes none of which stands for as long as a stop lasts. Made from what is stored whenever it is asked for:
-- a late fix is in it.
CREATE FUNCTION tenant_trips(p_tenant text, p_vehicle text, p_from timestamptz, p_until timestamptz)
    RETURNS TABLE (started_at timestamptz, ended_at timestamptz, distance_m double precision, started_in geometry, ended_in geometry)
    LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
    WITH steps AS (
        SELECT t.*, lag(t.time) OVER way AS time_before, lag(t.location) OVER way AS location_before
        FROM vehicle_telemetry t
        WHERE t.tenant_id = p_tenant AND t.vehicle_id = p_vehicle AND t.time >= p_from AND t.time < p_until
            AND t.flags & 1 = 0
        WINDOW way AS (ORDER BY t.time, t.epoch, t.sequence)
    ), moves AS (
        SELECT s.*, ST_DistanceSphere(location, location_before) AS step_m FROM steps s
        WHERE ST_DistanceSphere(location, location_before) > extract(epoch FROM time - time_before)
    ), trips AS (
        -- Five minutes without a move are a stop.
        SELECT m.*, count(*) FILTER (WHERE is_first) OVER (ORDER BY m.time, m.epoch, m.sequence) AS trip
        FROM (SELECT moves.*, coalesce(time_before - lag(moves.time) OVER (ORDER BY moves.time, epoch, sequence)
                  >= interval '5 minutes', true) AS is_first FROM moves) AS m
    )
    SELECT min(time_before), max(t.time), sum(step_m),
        (array_agg(location_before ORDER BY t.time, t.epoch, t.sequence))[1],
        (array_agg(location ORDER BY t.time DESC, t.epoch DESC, t.sequence DESC))[1]
    FROM trips t GROUP BY trip ORDER BY 1
$$;
COMMENT ON FUNCTION tenant_trips IS 'Trips of a vehicle in a span; between two of them it stood for five minutes or longer.';

-- For readers: the same questions, each for the tenant of the login.
CREATE FUNCTION track(p_vehicle text, p_from timestamptz, p_until timestamptz)
    RETURNS TABLE ("time" timestamptz, location geometry, speed_mps double precision, heading_deg double precision)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$ SELECT * FROM tenant_track(current_tenant(), p_vehicle, p_from, p_until) $$;
CREATE FUNCTION visits(p_geofence uuid, p_from timestamptz, p_until timestamptz)
    RETURNS TABLE (vehicle_id text, entered_at timestamptz, last_inside_at timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT v.* FROM geofences g CROSS JOIN LATERAL tenant_visits(g.tenant_id, g.area, p_from, p_until) v
    WHERE g.tenant_id = current_tenant() AND g.geofence_id = p_geofence
$$;
CREATE FUNCTION trips(p_vehicle text, p_from timestamptz, p_until timestamptz)
    RETURNS TABLE (started_at timestamptz, ended_at timestamptz, distance_m double precision, started_in geometry, ended_in geometry)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$ SELECT * FROM tenant_trips(current_tenant(), p_vehicle, p_from, p_until) $$;

DO $$
DECLARE
    room text;
BEGIN
    FOREACH room IN ARRAY ARRAY['newest_positions', 'daily_totals'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', room);
        EXECUTE format('CREATE POLICY reads_its_tenant ON %I FOR SELECT TO drover_reader'
            ' USING (tenant_id = (SELECT current_tenant()))', room);
        EXECUTE format('CREATE POLICY writes_every_tenant ON %I TO drover_writer USING (true) WITH CHECK (true)', room);
        EXECUTE format('GRANT SELECT ON %I TO drover_reader, drover_writer', room);
    END LOOP;
END $$;
GRANT INSERT, UPDATE ON newest_positions TO drover_writer;
GRANT SELECT, INSERT ON touched_days TO drover_writer;

CREATE VIEW fleet_days WITH (security_invoker = true) AS
    SELECT tenant_id, day, count(*) AS vehicles, sum(fixes)::bigint AS fixes, sum(distance_m) AS distance_m,
        sum(moving_s) AS moving_s, max(speed_max_mps) AS speed_max_mps
    FROM daily_totals GROUP BY tenant_id, day;
COMMENT ON VIEW fleet_days IS 'Totals of a whole fleet per day.';
GRANT SELECT ON fleet_days TO drover_reader, drover_writer;

REVOKE EXECUTE ON FUNCTION derive_day, derive_touched_days, tenant_track, tenant_visits, tenant_trips, track, visits, trips
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION derive_day, derive_touched_days, tenant_track, tenant_visits, tenant_trips TO drover_writer;
GRANT EXECUTE ON FUNCTION track, visits, trips TO drover_reader;
