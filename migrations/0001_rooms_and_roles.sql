-- Whose is what, and who may see it?
--
-- Everything belongs to a tenant. Two group roles share the work: `drover_writer` is what services act as (it inserts and
-- selects, and sees every tenant), `drover_reader` is what people and reports act as (it sees one tenant only). A login role is
-- made a member of one of them. A reader's tenant is found by its login name in `reader_tenants`: `session_user` is the one
-- name that neither SET ROLE nor a security-definer function changes (PostgreSQL 15, 9.26 "System Information Functions").

CREATE EXTENSION IF NOT EXISTS postgis;

-- Roles belong to the whole cluster: another database may have made them. BYPASSRLS spares the writer the policies, but only
-- a superuser may give it, and members do not inherit it: the policies below let the writer through as well.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'drover_writer') THEN
        CREATE ROLE drover_writer NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'drover_reader') THEN
        CREATE ROLE drover_reader NOLOGIN;
    END IF;
    IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        ALTER ROLE drover_writer BYPASSRLS;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL; -- made at the same moment by a migration of another database
END $$;

DO $$
BEGIN
    -- The writer compares repeats with what is stored in a temporary table.
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO drover_writer', current_database());
END $$;
GRANT USAGE ON SCHEMA public TO drover_writer, drover_reader;
-- A service asks which version the schema has.
GRANT SELECT ON _sqlx_migrations TO drover_writer;

-- A name of a tenant, vehicle, driver: the rule of the services' own type.
CREATE DOMAIN short_name AS text CHECK (VALUE ~ '^[A-Za-z0-9._-]{1,32}$');

CREATE TABLE tenants (
    tenant_id short_name PRIMARY KEY,
    title text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE reader_tenants (
    role_name name PRIMARY KEY,
    tenant_id short_name NOT NULL REFERENCES tenants
);
COMMENT ON TABLE reader_tenants IS 'The one tenant that a login role reads.';

CREATE FUNCTION current_tenant() RETURNS text
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS $$ SELECT tenant_id FROM public.reader_tenants WHERE role_name = session_user $$;
COMMENT ON FUNCTION current_tenant() IS 'Tenant of the login that asks; null for one that has none, which then sees nothing.';

CREATE TABLE users (
    tenant_id short_name NOT NULL REFERENCES tenants,
    user_id uuid NOT NULL DEFAULT gen_random_uuid(),
    email text NOT NULL,
    title text NOT NULL DEFAULT '',
    kind text NOT NULL CHECK (kind IN ('dispatcher', 'driver', 'customer', 'analyst', 'operator')),
    created_at timestamptz NOT NULL DEFAULT now(),
    disabled_at timestamptz,
    PRIMARY KEY (tenant_id, user_id),
    UNIQUE (tenant_id, email)
);

CREATE TABLE depots (
    tenant_id short_name NOT NULL REFERENCES tenants,
    depot_id short_name NOT NULL,
    title text NOT NULL DEFAULT '',
    location geometry(Point, 4326) NOT NULL,
    PRIMARY KEY (tenant_id, depot_id)
);

CREATE TABLE vehicles (
    tenant_id short_name NOT NULL REFERENCES tenants,
    vehicle_id short_name NOT NULL,
    kind text NOT NULL DEFAULT 'van',
    plate text,
    depot_id short_name,
    retired_at timestamptz,
    PRIMARY KEY (tenant_id, vehicle_id),
    FOREIGN KEY (tenant_id, depot_id) REFERENCES depots
);

CREATE TABLE drivers (
    tenant_id short_name NOT NULL REFERENCES tenants,
    driver_id short_name NOT NULL,
    title text NOT NULL DEFAULT '',
    left_at timestamptz,
    PRIMARY KEY (tenant_id, driver_id)
);

-- A unit may move to another vehicle: what it is, and where it was when.
CREATE TABLE devices (
    tenant_id short_name NOT NULL REFERENCES tenants,
    device_id bigint NOT NULL CHECK (device_id >= 0),
    serial text NOT NULL DEFAULT '',
    PRIMARY KEY (tenant_id, device_id)
);
CREATE TABLE device_placements (
    tenant_id short_name NOT NULL,
    device_id bigint NOT NULL,
    vehicle_id short_name NOT NULL,
    placed_at timestamptz NOT NULL,
    removed_at timestamptz CHECK (removed_at > placed_at),
    PRIMARY KEY (tenant_id, device_id, placed_at),
    FOREIGN KEY (tenant_id, device_id) REFERENCES devices,
    FOREIGN KEY (tenant_id, vehicle_id) REFERENCES vehicles
);

-- A route is never changed: a change is the next version, so that what a driver was told can be looked up later.
CREATE TABLE routes (
    tenant_id short_name NOT NULL REFERENCES tenants,
    route_id uuid NOT NULL DEFAULT gen_random_uuid(),
    version integer NOT NULL CHECK (version > 0),
    vehicle_id short_name NOT NULL,
    driver_id short_name,
    path geometry(LineString, 4326),
    planned_for timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, route_id, version),
    FOREIGN KEY (tenant_id, vehicle_id) REFERENCES vehicles,
    FOREIGN KEY (tenant_id, driver_id) REFERENCES drivers
);

CREATE TABLE orders (
    tenant_id short_name NOT NULL REFERENCES tenants,
    order_id uuid NOT NULL DEFAULT gen_random_uuid(),
    customer text NOT NULL DEFAULT '',
    state text NOT NULL DEFAULT 'planned'
        CHECK (state IN ('planned', 'assigned', 'under_way', 'delivered', 'failed', 'cancelled')),
    created_at timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, order_id)
);

CREATE TABLE stops (
    tenant_id short_name NOT NULL,
    stop_id uuid NOT NULL DEFAULT gen_random_uuid(),
    order_id uuid NOT NULL,
    route_id uuid,
    route_version integer,
    place integer NOT NULL CHECK (place >= 0),
    location geometry(Point, 4326) NOT NULL,
    due_from timestamptz,
    due_until timestamptz CHECK (due_until > due_from),
    state text NOT NULL DEFAULT 'planned' CHECK (state IN ('planned', 'arrived', 'done', 'failed', 'skipped')),
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, stop_id),
    FOREIGN KEY (tenant_id, order_id) REFERENCES orders,
    FOREIGN KEY (tenant_id, route_id, route_version) REFERENCES routes
);

CREATE TABLE messages (
    tenant_id short_name NOT NULL,
    message_id uuid NOT NULL DEFAULT gen_random_uuid(),
    vehicle_id short_name NOT NULL,
    to_vehicle boolean NOT NULL,
    body text NOT NULL CHECK (octet_length(body) <= 4096),
    state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'delivered', 'read', 'expired')),
    created_at timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, message_id),
    FOREIGN KEY (tenant_id, vehicle_id) REFERENCES vehicles
);

CREATE TABLE geofences (
    tenant_id short_name NOT NULL REFERENCES tenants,
    geofence_id uuid NOT NULL DEFAULT gen_random_uuid(),
    title text NOT NULL DEFAULT '',
    area geometry(MultiPolygon, 4326) NOT NULL CHECK (ST_IsValid(area)),
    PRIMARY KEY (tenant_id, geofence_id)
);
CREATE INDEX geofences_area ON geofences USING gist (area);

-- Only a hash of the link's secret is kept: whoever reads this table can not follow a link.
CREATE TABLE share_links (
    tenant_id short_name NOT NULL REFERENCES tenants,
    share_link_id uuid NOT NULL DEFAULT gen_random_uuid(),
    secret_sha256 bytea NOT NULL UNIQUE CHECK (octet_length(secret_sha256) = 32),
    vehicle_id short_name NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    PRIMARY KEY (tenant_id, share_link_id),
    FOREIGN KEY (tenant_id, vehicle_id) REFERENCES vehicles
);

-- Certificates that are no longer believed, by the serial number that their CA gave them.
CREATE TABLE revocations (
    serial text PRIMARY KEY,
    principal text NOT NULL,
    reason text NOT NULL DEFAULT '',
    revoked_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE audit (
    audit_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id short_name,
    at timestamptz NOT NULL DEFAULT now(),
    actor text NOT NULL,
    action text NOT NULL,
    subject text NOT NULL,
    detail jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_by_tenant ON audit (tenant_id, at);

-- A lease names the life of its hub and ends with it: a hub renews one row, not one per topic.
CREATE TABLE hubs (
    hub text PRIMARY KEY,
    epoch bigint NOT NULL,
    addr text NOT NULL,
    alive_until timestamptz NOT NULL
);
CREATE TABLE directory_leases (
    key text NOT NULL,
    hub text NOT NULL REFERENCES hubs ON DELETE CASCADE,
    epoch bigint NOT NULL,
    PRIMARY KEY (key, hub)
);

-- States change only forwards. One function serves all tables: the steps that a table allows are its trigger's arguments.
CREATE FUNCTION check_state_change() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF NEW.state <> OLD.state THEN
        IF NOT (OLD.state || '>' || NEW.state) = ANY (TG_ARGV) THEN
            RAISE EXCEPTION '% can not go from % to %', TG_TABLE_NAME, OLD.state, NEW.state
                USING ERRCODE = 'check_violation', HINT = 'allowed are ' || array_to_string(TG_ARGV, ', ');
        END IF;
        NEW.changed_at := now();
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER orders_state BEFORE UPDATE OF state ON orders FOR EACH ROW EXECUTE FUNCTION check_state_change(
    'planned>assigned', 'planned>cancelled', 'assigned>planned', 'assigned>under_way', 'assigned>cancelled',
    'under_way>delivered', 'under_way>failed', 'failed>planned');
CREATE TRIGGER stops_state BEFORE UPDATE OF state ON stops FOR EACH ROW EXECUTE FUNCTION check_state_change(
    'planned>arrived', 'planned>skipped', 'arrived>done', 'arrived>failed', 'failed>planned', 'skipped>planned');
CREATE TRIGGER messages_state BEFORE UPDATE OF state ON messages FOR EACH ROW EXECUTE FUNCTION check_state_change(
    'queued>delivered', 'queued>expired', 'delivered>read');

-- The same two policies and grants on everything that has a tenant.
DO $$
DECLARE
    room text;
BEGIN
    FOREACH room IN ARRAY ARRAY['tenants', 'users', 'depots', 'vehicles', 'drivers', 'devices', 'device_placements', 'routes',
        'orders', 'stops', 'messages', 'geofences', 'share_links', 'audit']
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', room);
        EXECUTE format('CREATE POLICY reads_its_tenant ON %I FOR SELECT TO drover_reader'
            ' USING (tenant_id = (SELECT current_tenant()))', room);
        EXECUTE format('CREATE POLICY writes_every_tenant ON %I TO drover_writer USING (true) WITH CHECK (true)', room);
        EXECUTE format('GRANT SELECT, INSERT ON %I TO drover_writer', room);
        IF room NOT IN ('users', 'share_links', 'audit') THEN
            EXECUTE format('GRANT SELECT ON %I TO drover_reader', room);
        END IF;
    END LOOP;
END $$;
GRANT SELECT (tenant_id, user_id, title, kind, disabled_at) ON users TO drover_reader;
GRANT SELECT (tenant_id, share_link_id, vehicle_id, created_at, expires_at, revoked_at) ON share_links TO drover_reader;
GRANT SELECT, INSERT ON revocations, hubs, directory_leases TO drover_writer;
-- What changes after it was written, and no more.
GRANT UPDATE (state) ON orders, stops, messages TO drover_writer;
GRANT UPDATE (epoch, addr, alive_until) ON hubs TO drover_writer;
GRANT UPDATE (epoch), DELETE ON directory_leases TO drover_writer;
GRANT UPDATE (revoked_at) ON share_links TO drover_writer;

-- A view acts as its owner unless it says otherwise, and would show other tenants' rows: these act as whoever asks.
CREATE VIEW open_orders WITH (security_invoker = true) AS
    SELECT * FROM orders WHERE state IN ('planned', 'assigned', 'under_way');
CREATE VIEW current_routes WITH (security_invoker = true) AS
    SELECT DISTINCT ON (tenant_id, route_id) * FROM routes ORDER BY tenant_id, route_id, version DESC;
GRANT SELECT ON open_orders, current_routes TO drover_writer, drover_reader;
REVOKE EXECUTE ON FUNCTION current_tenant() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION current_tenant() TO drover_writer, drover_reader;
