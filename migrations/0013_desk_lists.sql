-- Has an area another shape or another name now, and is it still the same area? What comes after this order, this message, this note?

CREATE FUNCTION area_of(p_corners jsonb) RETURNS geometry
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT ST_Multi(ST_MakePolygon(ST_AddPoint(line, ST_StartPoint(line))))
    FROM (SELECT ST_MakeLine(ST_SetSRID(ST_MakePoint((corner->>'lon')::float8, (corner->>'lat')::float8), 4326) ORDER BY place)
          FROM jsonb_array_elements(p_corners) WITH ORDINALITY AS given (corner, place)) AS drawn (line)
$$;

-- Whatever is not given stays as it was. Visits are told from where vehicles were and from the area as it is when somebody asks: none is
-- kept, so none has to be changed.
CREATE FUNCTION change_geofence(p_tenant text, p_action jsonb) RETURNS text
    LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    UPDATE geofences SET
        title = coalesce(p_action->>'title', title),
        area = CASE jsonb_typeof(p_action->'corners') WHEN 'array' THEN area_of(p_action->'corners') ELSE area END
    WHERE tenant_id = p_tenant AND geofence_id = (p_action->>'geofence')::uuid;
    RETURN CASE WHEN FOUND THEN 'applied' ELSE 'missing' END;
END $$;
GRANT UPDATE (title, area) ON geofences TO drover_writer;

-- As that of migration 11, with areas that change.
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
        WHEN 'change_geofence' THEN verdict := change_geofence(p_tenant, p_action);
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

REVOKE EXECUTE ON FUNCTION change_geofence, area_of FROM PUBLIC;
GRANT EXECUTE ON FUNCTION change_geofence, area_of TO drover_writer;

-- Lists are read page by page, each page from where the one before ended.
CREATE INDEX orders_by_vehicle_in_order ON orders (tenant_id, vehicle_id, order_id);
DROP INDEX orders_by_vehicle;
CREATE INDEX orders_open ON orders (tenant_id, order_id) WHERE state IN ('planned', 'assigned', 'under_way');
CREATE INDEX messages_by_time ON messages (tenant_id, created_at, message_id);
CREATE INDEX messages_by_vehicle_and_time ON messages (tenant_id, vehicle_id, created_at, message_id);
DROP INDEX messages_by_vehicle;
CREATE INDEX audit_by_actor ON audit (tenant_id, actor, at DESC, entry_id DESC);
CREATE INDEX audit_by_subject ON audit (tenant_id, subject, at DESC, entry_id DESC);
