-- When is a partition vacuumed?
--
-- Nothing is ever changed in one: all that a vacuum finds is new rows to freeze, again and again while they still come, and it
-- takes the better part of a core for that. So the present partitions are left alone, and each is vacuumed once it is past.

CREATE FUNCTION set_partition_vacuum() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF NEW.sealed_at IS NULL THEN
        EXECUTE format('ALTER TABLE public.%I SET (autovacuum_vacuum_insert_threshold = -1)', NEW.table_name);
    ELSE
        EXECUTE format('ALTER TABLE public.%I RESET (autovacuum_vacuum_insert_threshold)', NEW.table_name);
    END IF;
    RETURN NEW;
END $$;
REVOKE EXECUTE ON FUNCTION set_partition_vacuum FROM PUBLIC;

CREATE TRIGGER set_partition_vacuum AFTER INSERT OR UPDATE OF sealed_at ON telemetry_partitions
    FOR EACH ROW EXECUTE FUNCTION set_partition_vacuum();

UPDATE telemetry_partitions SET sealed_at = sealed_at WHERE sealed_at IS NULL;
