-- Has the vehicle's tracker got the message or the route, and does it hold by it?
--
-- What a tracker says of it comes late, twice and out of order, so each moment is kept by itself and set once; how far a thing is follows
-- from which are there. When it was queued is when it was made. People's states (delivered, read; applied) stay as they are.

ALTER TABLE messages
    ADD COLUMN delivered_at timestamptz, ADD COLUMN applied_at timestamptz,
    ADD COLUMN expired_at timestamptz, ADD COLUMN refused_at timestamptz;
ALTER TABLE routes
    ADD COLUMN expires_at timestamptz,
    ADD COLUMN delivered_at timestamptz, ADD COLUMN applied_at timestamptz,
    ADD COLUMN expired_at timestamptz, ADD COLUMN refused_at timestamptz;
COMMENT ON COLUMN messages.applied_at IS 'When the tracker of the vehicle had it durably.';
COMMENT ON COLUMN routes.applied_at IS 'When the tracker of the vehicle had it durably.';
COMMENT ON COLUMN routes.expires_at IS 'A tracker does not begin with it later. Null of those of before: they wait for no tracker.';
CREATE INDEX messages_waiting ON messages (tenant_id, vehicle_id, expires_at)
    WHERE to_vehicle AND applied_at IS NULL AND expired_at IS NULL AND refused_at IS NULL;
CREATE INDEX routes_waiting ON routes (tenant_id, vehicle_id, expires_at)
    WHERE applied_at IS NULL AND expired_at IS NULL AND refused_at IS NULL;
GRANT UPDATE (delivered_at, applied_at, expired_at, refused_at) ON messages, routes TO drover_writer;

-- A tracker that has applied something has the last word.
CREATE FUNCTION pass_thing(p_table text, p_which text, p_tenant text, p_id uuid, p_version integer, p_action jsonb, p_at timestamptz)
    RETURNS text LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    there boolean;
    changed bigint;
BEGIN
    -- A step that people took names no vehicle: it is whose it is.
    EXECUTE format('SELECT EXISTS (SELECT FROM public.%I WHERE tenant_id = $1 AND vehicle_id = coalesce($4, vehicle_id) AND %s)', p_table, p_which)
        INTO there USING p_tenant, p_id, p_version, p_action->>'vehicle';
    IF NOT there THEN
        RETURN 'missing';
    END IF;
    EXECUTE format('UPDATE public.%I SET
            delivered_at = CASE WHEN $4 IN (''delivered'', ''applied'') THEN coalesce(delivered_at, $5) ELSE delivered_at END,
            applied_at = CASE WHEN $4 = ''applied'' THEN $5 ELSE applied_at END,
            expired_at = CASE WHEN $4 = ''expired'' THEN $5 ELSE expired_at END,
            refused_at = CASE WHEN $4 = ''refused'' THEN $5 ELSE refused_at END
        WHERE tenant_id = $1 AND %s AND CASE $4 WHEN ''delivered'' THEN delivered_at IS NULL WHEN ''applied'' THEN applied_at IS NULL
            ELSE applied_at IS NULL AND expired_at IS NULL AND refused_at IS NULL END', p_table, p_which)
        USING p_tenant, p_id, p_version, p_action->>'to', p_at;
    GET DIAGNOSTICS changed = ROW_COUNT;
    RETURN CASE WHEN changed > 0 THEN 'applied' ELSE 'elsewhere' END;
END $$;

CREATE FUNCTION pass_message(p_tenant text, p_action jsonb, p_at timestamptz) RETURNS text
    LANGUAGE sql SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT pass_thing('messages', 'to_vehicle AND message_id = $2 AND $3 IS NULL', p_tenant, (p_action->>'message')::uuid, NULL, p_action, p_at)
$$;

CREATE FUNCTION pass_route(p_tenant text, p_action jsonb, p_at timestamptz) RETURNS text
    LANGUAGE sql SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT pass_thing('routes', 'route_id = $2 AND version = $3', p_tenant, (p_action->>'route')::uuid, (p_action->>'version')::integer,
        p_action, p_at)
$$;

-- As that of migration 10; what the tracker does not have yet it need not get any more.
CREATE OR REPLACE FUNCTION plan_route(p_tenant text, p_action jsonb, p_at timestamptz) RETURNS text
    LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    this uuid := (p_action->>'route')::uuid;
    newest integer;
BEGIN
    PERFORM know_vehicle(p_tenant, p_action->>'vehicle');
    -- Two that plan for one vehicle at once come one after the other.
    PERFORM pg_advisory_xact_lock(hashtextextended(p_tenant || ' ' || (p_action->>'vehicle'), 2));
    SELECT max(version) INTO newest FROM routes WHERE tenant_id = p_tenant AND route_id = this;
    IF newest >= (p_action->>'version')::integer THEN
        RETURN 'exists';
    END IF;
    UPDATE routes SET expired_at = p_at WHERE tenant_id = p_tenant AND vehicle_id = p_action->>'vehicle' AND state <> 'expired'
        AND applied_at IS NULL AND expired_at IS NULL AND refused_at IS NULL;
    UPDATE routes SET state = 'expired', changed_at = p_at
        WHERE tenant_id = p_tenant AND vehicle_id = p_action->>'vehicle' AND state <> 'expired';
    INSERT INTO routes (tenant_id, route_id, version, vehicle_id, path, planned_for, created_at, changed_at, expires_at, reason, stops)
        SELECT p_tenant, this, (p_action->>'version')::integer, p_action->>'vehicle',
            (SELECT ST_MakeLine(ST_SetSRID(ST_MakePoint((point->>'lon')::float8, (point->>'lat')::float8), 4326) ORDER BY place)
                FROM jsonb_array_elements(p_action->'path') WITH ORDINALITY AS given (point, place)),
            p_at, p_at, p_at, p_at + interval '24 hours', p_action->>'reason',
            ARRAY(SELECT stop::uuid FROM jsonb_array_elements_text(p_action->'stops') WITH ORDINALITY AS given (stop, place)
                ORDER BY place);
    RETURN 'applied';
EXCEPTION WHEN unique_violation THEN
    RETURN 'exists';
END $$;

-- As that of migration 10, with what trackers say.
CREATE OR REPLACE FUNCTION carry_out(p_tenant text, p_command uuid, p_action jsonb, p_at_us bigint, OUT verdict text, OUT is_repeat boolean)
    LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    before jsonb;
    moment timestamptz := micros(p_at_us);
BEGIN
    -- The same wish at the same moment waits here, and then finds what became of the first.
    PERFORM pg_advisory_xact_lock(hashtextextended(p_tenant || ' ' || p_command, 1));
    SELECT c.verdict, c.action INTO verdict, before FROM commands c
        WHERE c.tenant_id = p_tenant AND c.command_id = p_command;
    is_repeat := FOUND;
    IF is_repeat THEN
        IF before <> p_action THEN
            verdict := 'reused';
        END IF;
        RETURN;
    END IF;
    INSERT INTO tenants (tenant_id) VALUES (p_tenant) ON CONFLICT DO NOTHING;
    CASE p_action->>'kind'
        WHEN 'create_order' THEN
            verdict := create_order(p_tenant, p_action);
            IF verdict = 'applied' THEN
                UPDATE orders SET created_at = moment, changed_at = moment
                    WHERE tenant_id = p_tenant AND order_id = (p_action->>'order')::uuid;
                UPDATE stops SET changed_at = moment WHERE tenant_id = p_tenant AND order_id = (p_action->>'order')::uuid;
            END IF;
        WHEN 'change_order' THEN
            verdict := change_order(p_tenant, p_action);
            IF verdict = 'applied' THEN
                UPDATE orders SET changed_at = moment WHERE tenant_id = p_tenant AND order_id = (p_action->>'order')::uuid;
            END IF;
        WHEN 'change_stop' THEN
            verdict := change_state_at('stops', 'stop_id', p_tenant, (p_action->>'stop')::uuid,
                p_action->>'from', p_action->>'to', moment);
        WHEN 'send_message' THEN
            verdict := send_message(p_tenant, p_action);
            IF verdict = 'applied' THEN
                UPDATE messages SET created_at = moment, changed_at = moment
                    WHERE tenant_id = p_tenant AND message_id = (p_action->>'message')::uuid;
            END IF;
        WHEN 'change_message' THEN
            verdict := change_state_at('messages', 'message_id', p_tenant, (p_action->>'message')::uuid,
                p_action->>'from', p_action->>'to', moment);
            IF verdict = 'applied' AND p_action->>'to' = 'expired' THEN
                PERFORM pass_message(p_tenant, p_action, moment);
            END IF;
        WHEN 'pass_message' THEN verdict := pass_message(p_tenant, p_action, moment);
        WHEN 'share_order' THEN verdict := share_order(p_tenant, p_action, moment);
        WHEN 'revoke_share_link' THEN verdict := revoke_share_link(p_tenant, p_action, moment);
        WHEN 'draw_geofence' THEN verdict := draw_geofence(p_tenant, p_action);
        WHEN 'remove_geofence' THEN verdict := remove_geofence(p_tenant, p_action);
        WHEN 'plan_route' THEN verdict := plan_route(p_tenant, p_action, moment);
        WHEN 'change_route' THEN
            verdict := change_route(p_tenant, p_action, moment);
            IF verdict = 'applied' AND p_action->>'to' = 'expired' THEN
                PERFORM pass_route(p_tenant, p_action, moment);
            END IF;
        WHEN 'pass_route' THEN verdict := pass_route(p_tenant, p_action, moment);
    END CASE;
    INSERT INTO commands (tenant_id, command_id, action, verdict, at) VALUES (p_tenant, p_command, p_action, verdict, moment);
END $$;

REVOKE EXECUTE ON FUNCTION pass_thing, pass_message, pass_route FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pass_thing, pass_message, pass_route TO drover_writer;
