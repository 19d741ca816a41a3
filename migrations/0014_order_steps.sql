-- From whom was this order taken?
--
-- A step that takes an order away from a vehicle does not name it, and its driver reads the feed for what is theirs. Of steps before
-- this migration it is not known.
ALTER TABLE commands ADD COLUMN had_by short_name;
COMMENT ON COLUMN commands.had_by IS 'The vehicle that had the order until this step of it.';

-- As that of migration 13, with who had an order.
CREATE OR REPLACE FUNCTION carry_out(p_tenant text, p_command uuid, p_action jsonb, p_at_us bigint, OUT verdict text, OUT is_repeat boolean)
    LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    before jsonb;
    moment timestamptz := micros(p_at_us);
    holder text;
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
            -- As change_state does: others wait at the row, and then see who has it.
            SELECT o.vehicle_id INTO holder FROM orders o
                WHERE o.tenant_id = p_tenant AND o.order_id = (p_action->>'order')::uuid FOR UPDATE;
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
    INSERT INTO commands (tenant_id, command_id, action, verdict, at, had_by)
        VALUES (p_tenant, p_command, p_action, verdict, moment, CASE verdict WHEN 'applied' THEN holder END);
END $$;
