-- What was asked of an order, a stop or a message, and was it done?
--
-- A wish (command) has an identity that whoever asks has given it. It is carried out and kept with its verdict in one transaction, and
-- never again: said once more, because its answer was lost, it gives the same verdict. A refusal is a verdict too, so that one that
-- was late on its way can not come true after its sender has been told that it failed.

ALTER TABLE orders ADD COLUMN vehicle_id short_name;
ALTER TABLE orders ADD FOREIGN KEY (tenant_id, vehicle_id) REFERENCES vehicles;
COMMENT ON COLUMN orders.vehicle_id IS 'Who has it, or had it last; null once it is planned again.';
CREATE INDEX orders_by_vehicle ON orders (tenant_id, vehicle_id);
CREATE INDEX stops_by_order ON stops (tenant_id, order_id, place);
CREATE INDEX messages_by_vehicle ON messages (tenant_id, vehicle_id);
CREATE OR REPLACE VIEW open_orders WITH (security_invoker = true) AS
    SELECT * FROM orders WHERE state IN ('planned', 'assigned', 'under_way');
GRANT UPDATE (vehicle_id) ON orders TO drover_writer;

CREATE TABLE commands (
    tenant_id short_name NOT NULL REFERENCES tenants,
    command_id uuid NOT NULL,
    action jsonb NOT NULL,
    verdict text NOT NULL CHECK (verdict IN ('applied', 'exists', 'missing', 'elsewhere', 'not_a_step')),
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, command_id)
);
CREATE INDEX commands_by_age ON commands (at);
COMMENT ON TABLE commands IS 'Kept for thirty days: nobody waits longer for an answer. Dropped by forget_commands alone.';
ALTER TABLE commands ENABLE ROW LEVEL SECURITY;
CREATE POLICY writes_every_tenant ON commands TO drover_writer USING (true) WITH CHECK (true);
GRANT SELECT, INSERT ON commands TO drover_writer;

-- Who is named in a command has been seen by our services: nobody has to enter it first.
CREATE FUNCTION know_vehicle(p_tenant text, p_vehicle text) RETURNS void
    LANGUAGE sql SET search_path = pg_catalog, public, pg_temp
    AS $$ INSERT INTO vehicles (tenant_id, vehicle_id) VALUES (p_tenant, p_vehicle) ON CONFLICT DO NOTHING $$;

CREATE FUNCTION create_order(p_tenant text, p_action jsonb) RETURNS text
    LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO orders (tenant_id, order_id, customer)
        VALUES (p_tenant, (p_action->>'order')::uuid, p_action->>'customer');
    INSERT INTO stops (tenant_id, stop_id, order_id, place, location, due_from, due_until)
        SELECT p_tenant, (stop->>'id')::uuid, (p_action->>'order')::uuid, place - 1,
            ST_SetSRID(ST_MakePoint((stop->'position'->>'lon')::float8, (stop->'position'->>'lat')::float8), 4326),
            (stop->>'due_from')::timestamptz, (stop->>'due_until')::timestamptz
        FROM jsonb_array_elements(p_action->'stops') WITH ORDINALITY AS given (stop, place);
    RETURN 'applied';
EXCEPTION WHEN unique_violation THEN
    RETURN 'exists';
END $$;

CREATE FUNCTION send_message(p_tenant text, p_action jsonb) RETURNS text
    LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM know_vehicle(p_tenant, p_action->>'vehicle');
    INSERT INTO messages (tenant_id, message_id, vehicle_id, to_vehicle, body, expires_at)
        VALUES (p_tenant, (p_action->>'message')::uuid, p_action->>'vehicle', (p_action->>'to_vehicle')::boolean,
            p_action->>'body', (p_action->>'expires')::timestamptz);
    RETURN 'applied';
EXCEPTION WHEN unique_violation THEN
    RETURN 'exists';
END $$;

-- One step of one thing. Others wait at the row, and then see what it has become; which steps there are is the trigger's to say.
CREATE FUNCTION change_state(p_table text, p_key text, p_tenant text, p_id uuid, p_from text, p_to text) RETURNS text
    LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    found_in text;
BEGIN
    EXECUTE format('SELECT state FROM public.%I WHERE tenant_id = $1 AND %I = $2 FOR UPDATE', p_table, p_key)
        INTO found_in USING p_tenant, p_id;
    IF found_in IS NULL THEN
        RETURN 'missing';
    ELSIF found_in <> p_from THEN
        RETURN 'elsewhere';
    ELSIF p_from = p_to THEN
        RETURN 'not_a_step';
    END IF;
    EXECUTE format('UPDATE public.%I SET state = $3 WHERE tenant_id = $1 AND %I = $2', p_table, p_key)
        USING p_tenant, p_id, p_to;
    RETURN 'applied';
EXCEPTION WHEN check_violation THEN
    RETURN 'not_a_step';
END $$;

CREATE FUNCTION change_order(p_tenant text, p_action jsonb) RETURNS text
    LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    this uuid := (p_action->>'order')::uuid;
    verdict text := change_state('orders', 'order_id', p_tenant, this, p_action->>'from', p_action->>'to');
BEGIN
    IF verdict = 'applied' AND p_action->>'to' IN ('assigned', 'planned') THEN
        IF p_action->>'to' = 'assigned' THEN
            PERFORM know_vehicle(p_tenant, p_action->>'vehicle');
        END IF;
        UPDATE orders SET vehicle_id = p_action->>'vehicle' WHERE tenant_id = p_tenant AND order_id = this;
    END IF;
    RETURN verdict;
END $$;

CREATE FUNCTION carry_out(p_tenant text, p_command uuid, p_action jsonb, OUT verdict text, OUT is_repeat boolean)
    LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    before jsonb;
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
    verdict := CASE p_action->>'kind'
        WHEN 'create_order' THEN create_order(p_tenant, p_action)
        WHEN 'change_order' THEN change_order(p_tenant, p_action)
        WHEN 'change_stop' THEN change_state('stops', 'stop_id', p_tenant, (p_action->>'stop')::uuid,
            p_action->>'from', p_action->>'to')
        WHEN 'send_message' THEN send_message(p_tenant, p_action)
        WHEN 'change_message' THEN change_state('messages', 'message_id', p_tenant, (p_action->>'message')::uuid,
            p_action->>'from', p_action->>'to')
    END;
    INSERT INTO commands (tenant_id, command_id, action, verdict) VALUES (p_tenant, p_command, p_action, verdict);
END $$;
COMMENT ON FUNCTION carry_out IS
    'Carries out a command once, and says what became of it, the first time as ever after. An identity that belongs to another command: reused.';

CREATE FUNCTION forget_commands() RETURNS bigint
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    WITH gone AS (DELETE FROM commands WHERE at < now() - interval '30 days' RETURNING 1) SELECT count(*) FROM gone
$$;

REVOKE EXECUTE ON FUNCTION know_vehicle, create_order, send_message, change_state, change_order, carry_out, forget_commands
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION know_vehicle, create_order, send_message, change_state, change_order, carry_out, forget_commands
    TO drover_writer;
