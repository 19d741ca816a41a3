-- Who was shown which order, which way was a vehicle to drive, and what has changed since somebody looked last?
--
-- Share links, geofences and routes change by commands too (carry_out), and every command that was carried out is an entry in a feed
-- that readers follow from where they were.

-- A wish has the moment at which it was taken up; what comes of it has the same.
CREATE OR REPLACE FUNCTION check_state_change() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF NEW.state <> OLD.state THEN
        IF NOT (OLD.state || '>' || NEW.state) = ANY (TG_ARGV) THEN
            RAISE EXCEPTION '% can not go from % to %', TG_TABLE_NAME, OLD.state, NEW.state
                USING ERRCODE = 'check_violation', HINT = 'allowed are ' || array_to_string(TG_ARGV, ', ');
        END IF;
        IF NEW.changed_at = OLD.changed_at THEN
            NEW.changed_at := now();
        END IF;
    END IF;
    RETURN NEW;
END $$;
GRANT UPDATE (changed_at) ON orders, stops, messages TO drover_writer;

-- A link shows an order, whoever drives it.
ALTER TABLE share_links ADD COLUMN order_id uuid, ALTER COLUMN vehicle_id DROP NOT NULL;
ALTER TABLE share_links ADD FOREIGN KEY (tenant_id, order_id) REFERENCES orders;
ALTER TABLE share_links ADD CHECK (order_id IS NOT NULL OR vehicle_id IS NOT NULL);
CREATE INDEX share_links_by_order ON share_links (tenant_id, order_id);
GRANT SELECT (order_id) ON share_links TO drover_reader;

ALTER TABLE routes
    ADD COLUMN stops uuid[] NOT NULL DEFAULT '{}',
    ADD COLUMN reason text NOT NULL DEFAULT '' CHECK (octet_length(reason) <= 4096),
    ADD COLUMN state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'delivered', 'applied', 'expired')),
    ADD COLUMN changed_at timestamptz NOT NULL DEFAULT now();
CREATE INDEX routes_by_vehicle ON routes (tenant_id, vehicle_id, created_at DESC);
CREATE TRIGGER routes_state BEFORE UPDATE OF state ON routes FOR EACH ROW EXECUTE FUNCTION check_state_change(
    'queued>delivered', 'queued>expired', 'delivered>applied', 'delivered>expired', 'applied>expired');
CREATE OR REPLACE VIEW current_routes WITH (security_invoker = true) AS
    SELECT DISTINCT ON (tenant_id, route_id) * FROM routes ORDER BY tenant_id, route_id, version DESC;
GRANT UPDATE (state, changed_at) ON routes TO drover_writer;
GRANT DELETE ON geofences TO drover_writer;

-- The feed is read in the order in which transactions began, and only as far as all of them have ended: so nothing appears behind a
-- reader. A number alone would not do, because who drew a smaller one may commit later.
ALTER TABLE commands
    ADD COLUMN xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    ADD COLUMN number bigint GENERATED ALWAYS AS IDENTITY;
CREATE INDEX commands_feed ON commands (tenant_id, xid, number) WHERE verdict = 'applied';
COMMENT ON COLUMN commands.xid IS 'Of one cluster: in a database that was restored from a dump the feed begins anew.';

CREATE FUNCTION micros(p_us bigint) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT timestamptz 'epoch' + p_us * interval '1 microsecond' $$;

CREATE FUNCTION change_state_at(p_table text, p_key text, p_tenant text, p_id uuid, p_from text, p_to text, p_at timestamptz)
    RETURNS text LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    verdict text := change_state(p_table, p_key, p_tenant, p_id, p_from, p_to);
BEGIN
    IF verdict = 'applied' THEN
        EXECUTE format('UPDATE public.%I SET changed_at = $3 WHERE tenant_id = $1 AND %I = $2', p_table, p_key)
            USING p_tenant, p_id, p_at;
    END IF;
    RETURN verdict;
END $$;

CREATE FUNCTION share_order(p_tenant text, p_action jsonb, p_at timestamptz) RETURNS text
    LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM orders WHERE tenant_id = p_tenant AND order_id = (p_action->>'order')::uuid) THEN
        RETURN 'missing';
    END IF;
    INSERT INTO share_links (tenant_id, share_link_id, secret_sha256, order_id, created_at, expires_at)
        VALUES (p_tenant, (p_action->>'link')::uuid, decode(p_action->>'secret', 'hex'), (p_action->>'order')::uuid, p_at,
            (p_action->>'expires')::timestamptz);
    RETURN 'applied';
EXCEPTION WHEN unique_violation THEN
    RETURN 'exists';
END $$;

CREATE FUNCTION revoke_share_link(p_tenant text, p_action jsonb, p_at timestamptz) RETURNS text
    LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    this uuid := (p_action->>'link')::uuid;
BEGIN
    UPDATE share_links SET revoked_at = p_at WHERE tenant_id = p_tenant AND share_link_id = this AND revoked_at IS NULL;
    RETURN CASE WHEN FOUND THEN 'applied'
        WHEN EXISTS (SELECT FROM share_links WHERE tenant_id = p_tenant AND share_link_id = this) THEN 'elsewhere'
        ELSE 'missing' END;
END $$;

CREATE FUNCTION draw_geofence(p_tenant text, p_action jsonb) RETURNS text
    LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO geofences (tenant_id, geofence_id, title, area)
        SELECT p_tenant, (p_action->>'geofence')::uuid, p_action->>'title',
            ST_Multi(ST_MakePolygon(ST_AddPoint(line, ST_StartPoint(line))))
        FROM (SELECT ST_MakeLine(ST_SetSRID(ST_MakePoint((corner->>'lon')::float8, (corner->>'lat')::float8), 4326) ORDER BY place)
              FROM jsonb_array_elements(p_action->'corners') WITH ORDINALITY AS given (corner, place)) AS drawn (line);
    RETURN 'applied';
EXCEPTION WHEN unique_violation THEN
    RETURN 'exists';
END $$;

CREATE FUNCTION remove_geofence(p_tenant text, p_action jsonb) RETURNS text
    LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    DELETE FROM geofences WHERE tenant_id = p_tenant AND geofence_id = (p_action->>'geofence')::uuid;
    RETURN CASE WHEN FOUND THEN 'applied' ELSE 'missing' END;
END $$;

-- What the vehicle was to drive before is over with it.
CREATE FUNCTION plan_route(p_tenant text, p_action jsonb, p_at timestamptz) RETURNS text
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
    UPDATE routes SET state = 'expired', changed_at = p_at
        WHERE tenant_id = p_tenant AND vehicle_id = p_action->>'vehicle' AND state <> 'expired';
    INSERT INTO routes (tenant_id, route_id, version, vehicle_id, path, planned_for, created_at, changed_at, reason, stops)
        SELECT p_tenant, this, (p_action->>'version')::integer, p_action->>'vehicle',
            (SELECT ST_MakeLine(ST_SetSRID(ST_MakePoint((point->>'lon')::float8, (point->>'lat')::float8), 4326) ORDER BY place)
                FROM jsonb_array_elements(p_action->'path') WITH ORDINALITY AS given (point, place)),
            p_at, p_at, p_at, p_action->>'reason',
            ARRAY(SELECT stop::uuid FROM jsonb_array_elements_text(p_action->'stops') WITH ORDINALITY AS given (stop, place)
                ORDER BY place);
    RETURN 'applied';
EXCEPTION WHEN unique_violation THEN
    RETURN 'exists';
END $$;

CREATE FUNCTION change_route(p_tenant text, p_action jsonb, p_at timestamptz) RETURNS text
    LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    found_in text;
BEGIN
    SELECT state INTO found_in FROM routes WHERE tenant_id = p_tenant AND route_id = (p_action->>'route')::uuid
        AND version = (p_action->>'version')::integer FOR UPDATE;
    IF found_in IS NULL THEN
        RETURN 'missing';
    ELSIF found_in <> p_action->>'from' THEN
        RETURN 'elsewhere';
    ELSIF p_action->>'from' = p_action->>'to' THEN
        RETURN 'not_a_step';
    END IF;
    UPDATE routes SET state = p_action->>'to', changed_at = p_at WHERE tenant_id = p_tenant
        AND route_id = (p_action->>'route')::uuid AND version = (p_action->>'version')::integer;
    RETURN 'applied';
EXCEPTION WHEN check_violation THEN
    RETURN 'not_a_step';
END $$;

-- As carry_out of migration 5, which agents of before use while they are replaced; with the moment, and with more kinds.
CREATE FUNCTION carry_out(p_tenant text, p_command uuid, p_action jsonb, p_at_us bigint, OUT verdict text, OUT is_repeat boolean)
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
        WHEN 'share_order' THEN verdict := share_order(p_tenant, p_action, moment);
        WHEN 'revoke_share_link' THEN verdict := revoke_share_link(p_tenant, p_action, moment);
        WHEN 'draw_geofence' THEN verdict := draw_geofence(p_tenant, p_action);
        WHEN 'remove_geofence' THEN verdict := remove_geofence(p_tenant, p_action);
        WHEN 'plan_route' THEN verdict := plan_route(p_tenant, p_action, moment);
        WHEN 'change_route' THEN verdict := change_route(p_tenant, p_action, moment);
    END CASE;
    INSERT INTO commands (tenant_id, command_id, action, verdict, at) VALUES (p_tenant, p_command, p_action, verdict, moment);
END $$;
GRANT UPDATE (created_at) ON orders, messages TO drover_writer;

-- Whose link is it? Nobody knows the tenant before the secret was looked up.
CREATE FUNCTION share_link_of(p_secret bytea)
    RETURNS TABLE (tenant_id text, share_link_id uuid, order_id uuid, created_at timestamptz, expires_at timestamptz, revoked_at timestamptz)
    LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp
    AS $$ SELECT s.tenant_id, s.share_link_id, s.order_id, s.created_at, s.expires_at, s.revoked_at FROM share_links s
        WHERE s.secret_sha256 = p_secret AND s.order_id IS NOT NULL $$;

REVOKE EXECUTE ON FUNCTION micros, change_state_at, share_order, revoke_share_link, draw_geofence, remove_geofence, plan_route,
    change_route, carry_out(text, uuid, jsonb, bigint), share_link_of FROM PUBLIC;
GRANT EXECUTE ON FUNCTION micros, change_state_at, share_order, revoke_share_link, draw_geofence, remove_geofence, plan_route,
    change_route, carry_out(text, uuid, jsonb, bigint), share_link_of TO drover_writer;
