-- What does the planner need to know of where fixes are?
--
-- Nothing: whoever asks for a place gives a tenant and a span too, and a past partition is looked at by its index of places. To
-- ANALYZE, though, a column of geometries is a histogram in several dimensions, which takes a core for seconds, every minute
-- while fixes come. So it leaves those columns out.

ALTER TABLE newest_positions ALTER COLUMN location SET STATISTICS 0;
DO $$
DECLARE
    parent regclass;
BEGIN
    FOR parent IN SELECT relid FROM pg_partition_tree('vehicle_telemetry') LOOP
        EXECUTE format('ALTER TABLE ONLY %s ALTER COLUMN location SET STATISTICS 0', parent);
    END LOOP;
END $$;

CREATE FUNCTION set_partition_statistics() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    EXECUTE format('ALTER TABLE public.%I ALTER COLUMN location SET STATISTICS 0', NEW.table_name);
    RETURN NEW;
END $$;
REVOKE EXECUTE ON FUNCTION set_partition_statistics FROM PUBLIC;

CREATE TRIGGER set_partition_statistics AFTER INSERT ON telemetry_partitions
    FOR EACH ROW EXECUTE FUNCTION set_partition_statistics();
