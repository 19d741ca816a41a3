-- What was stored since I last looked, and what could not be stored?
--
-- An event is committed with the rows that it tells of, one per batch. Identities are given out before the commit, so that a
-- smaller one may appear after a larger one: whoever reads in order takes only events whose transaction is older than every one
-- that still runs (`xact < pg_snapshot_xmin(pg_current_snapshot())`).

CREATE TABLE outbox (
    event_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xact xid8 NOT NULL DEFAULT pg_current_xact_id(),
    at timestamptz NOT NULL DEFAULT now(),
    topic text NOT NULL,
    rows integer NOT NULL CHECK (rows >= 0)
);

-- A row that no table of ours can hold is kept as text, with its identity beside it: its time may be of no year that a
-- timestamp knows, its numbers none at all. Put aside once, however often the same transaction is tried.
CREATE TABLE dead_letters (
    dead_letter_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    tenant_id text NOT NULL,
    vehicle_id text NOT NULL,
    time_us bigint NOT NULL,
    epoch bigint NOT NULL,
    sequence numeric(20) NOT NULL,
    reason text NOT NULL,
    detail text NOT NULL,
    content jsonb NOT NULL,
    UNIQUE (tenant_id, vehicle_id, time_us, epoch, sequence, reason)
);

GRANT SELECT, INSERT ON outbox, dead_letters TO drover_writer;

-- Positions of standbys are shown to those who may read all statistics only, hence the function.
CREATE FUNCTION is_replicated(p_position pg_lsn) RETURNS boolean
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$ SELECT EXISTS (SELECT FROM pg_stat_replication
                         WHERE sync_state IN ('sync', 'quorum') AND flush_lsn >= p_position) $$;
COMMENT ON FUNCTION is_replicated IS
    'True if a synchronous standby has flushed the log up to that position. Its owner must be a member of pg_read_all_stats.';
CREATE FUNCTION has_standby() RETURNS boolean
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$ SELECT current_setting('synchronous_standby_names') <> ''
        OR EXISTS (SELECT FROM pg_replication_slots WHERE slot_type = 'physical' AND NOT temporary)
        OR EXISTS (SELECT FROM pg_stat_replication WHERE state IN ('catchup', 'streaming')
            AND application_name NOT IN ('pg_basebackup', 'pg_receivewal')
            AND pid NOT IN (SELECT active_pid FROM pg_replication_slots WHERE slot_type = 'logical' AND active_pid IS NOT NULL)) $$;
COMMENT ON FUNCTION has_standby IS
    'True if a physical standby is attached, has a slot, or is waited for. Its owner must be a member of pg_read_all_stats.';
REVOKE EXECUTE ON FUNCTION is_replicated, has_standby FROM PUBLIC;
GRANT EXECUTE ON FUNCTION is_replicated, has_standby TO drover_writer;
