//! A reader sees its own tenant's rows by no way but those meant for it, and nobody else's by any.

use drover_store::Store;
use drover_tests::{Disk, Postgres};

use super::{DATABASE, batch, migrated, row, store};

/// Two tenants with a vehicle and an order each, and a login for one of them.
async fn two_tenants() -> Postgres {
    let server = migrated(Disk::Cached).await;
    server.sql(
        DATABASE,
        "INSERT INTO tenants VALUES ('acme'), ('rival');
         INSERT INTO vehicles (tenant_id, vehicle_id) VALUES ('acme', 'V'), ('rival', 'V');
         INSERT INTO orders (tenant_id) VALUES ('acme'), ('rival');
         INSERT INTO newest_positions SELECT tenant, 'V', now(), ST_Point(24, 60, 4326) FROM (VALUES ('acme'), ('rival')) AS t (tenant);
         INSERT INTO daily_totals SELECT tenant, now(), 'V', 1, 1, 1, 1, now(), now() FROM (VALUES ('acme'), ('rival')) AS t (tenant);
         INSERT INTO geofences (tenant_id, area)
             SELECT tenant, ST_Multi(ST_MakeEnvelope(24, 60, 25, 61, 4326)) FROM (VALUES ('acme'), ('rival')) AS t (tenant);
         INSERT INTO users (tenant_id, email, kind) VALUES ('acme', 'a@acme.example', 'analyst');
         CREATE ROLE analyst LOGIN IN ROLE drover_reader;
         CREATE ROLE nobodys LOGIN IN ROLE drover_reader;
         INSERT INTO reader_tenants VALUES ('analyst', 'acme')",
    );
    let mut rivals = row("V", 1);
    rivals.tenant = drover_model::TenantId::new("rival").expect("a valid name");
    store(&server).commit(batch(vec![row("V", 0), rivals])).await.expect("stored");
    server
}

#[tokio::test]
async fn a_reader_sees_one_tenant_in_tables_and_views_and_none_without_a_tenant() {
    let server = two_tenants().await;
    let read = |user: &str, text: &str| server.try_sql(DATABASE, user, text);
    for room in
        ["vehicles", "orders", "tenants", "open_orders", "newest_positions", "daily_totals", "fleet_days"]
    {
        let select = format!("SELECT string_agg(tenant_id, ',') FROM {room}");
        assert_eq!(read("analyst", &select), Ok("acme".to_owned()), "{room}");
        assert_eq!(read("nobodys", &select), Ok(String::new()), "{room}");
    }
    assert_eq!(read("analyst", "SELECT current_tenant()"), Ok("acme".to_owned()));
}

#[tokio::test]
async fn what_a_reader_is_not_granted_is_refused() {
    let server = two_tenants().await;
    let partition = server.sql(DATABASE, "SELECT table_name FROM telemetry_partitions");
    for text in [
        "SELECT * FROM vehicle_telemetry",
        "SELECT * FROM vehicle_telemetry_class_0",
        &format!("SELECT * FROM {partition}"),
        "SELECT * FROM reader_tenants",
        "SELECT email FROM users",
        "SELECT secret_sha256 FROM share_links",
        "SELECT * FROM outbox",
        "SELECT * FROM dead_letters",
        "SELECT * FROM audit",
        "INSERT INTO vehicles (tenant_id, vehicle_id) VALUES ('acme', 'W')",
        "UPDATE reader_tenants SET tenant_id = 'rival'",
        "SELECT * FROM touched_days",
        "SELECT * FROM tenant_track('rival', 'V', '2000-01-01', '2099-01-01')",
        "SELECT * FROM tenant_trips('rival', 'V', '2000-01-01', '2099-01-01')",
        "SELECT * FROM tenant_visits('rival', ST_MakeEnvelope(0, 0, 90, 90, 4326), '2000-01-01', '2099-01-01')",
        "SELECT derive_day('rival', current_date)",
        "SELECT rederive('rival', current_date)",
        "SELECT * FROM measure_day('rival', current_date)",
        "SELECT * FROM tenant_totals('rival', '2000-01-01', '2099-01-01')",
        "SELECT * FROM commands",
        "SELECT carry_out('rival', gen_random_uuid(), '{}')",
        "SELECT drop_letters('{}')",
        "SELECT * FROM revocations",
        "SELECT to_hypertable()",
        "SELECT move_plain_partition()",
        "SELECT drop_expired()",
        "SELECT make_partitions(0::smallint, now(), now())",
        "SELECT set_retention('acme', 1::smallint, now() + interval '2 days')",
        "SET ROLE drover_writer; SELECT 1",
    ] {
        let error = server.try_sql(DATABASE, "analyst", text).expect_err(text);
        assert!(error.contains("permission denied"), "{text}: {error}");
    }
}

#[tokio::test]
async fn functions_for_readers_ask_for_the_readers_own_tenant() {
    let server = two_tenants().await;
    let read = |user: &str, text: &str| server.try_sql(DATABASE, user, text).expect("granted");
    // Both tenants have a fix of a vehicle of that name.
    let track = "SELECT count(*) FROM track('V', '2000-01-01', '2099-01-01')";
    assert_eq!((read("analyst", track), read("nobodys", track)), ("1".to_owned(), "0".to_owned()));
    let entered = "SELECT count(*) FROM visits('FENCE', '2000-01-01', '2099-01-01')";
    let of = |tenant: &str| {
        let fence = format!("SELECT geofence_id FROM geofences WHERE tenant_id = '{tenant}'");
        entered.replace("FENCE", &server.sql(DATABASE, &fence))
    };
    assert_eq!(
        (read("analyst", &of("acme")), read("analyst", &of("rival"))),
        ("1".to_owned(), "0".to_owned())
    );
    let totals = "SELECT string_agg(DISTINCT tenant_id, ',') FROM totals('2000-01-01', '2099-01-01')";
    assert_eq!((read("analyst", totals), read("nobodys", totals)), ("acme".to_owned(), String::new()));
    assert_eq!(read("analyst", "SELECT count(*) FROM trips('V', '2000-01-01', '2099-01-01')"), "0");
}

#[tokio::test]
async fn a_reader_can_not_pose_as_another_by_what_it_sets_or_makes() {
    let server = two_tenants().await;
    // A function of the same name in a schema of its own is not the one that policies use; a role that it takes is not its login.
    let tricks = "SET ROLE drover_reader; \
                  CREATE TEMPORARY TABLE reader_tenants AS SELECT 'analyst'::name AS role_name, 'rival' AS tenant_id; \
                  SET search_path = pg_temp, public; \
                  SELECT string_agg(tenant_id, ',') FROM public.vehicles";
    server.sql(DATABASE, "GRANT TEMPORARY ON DATABASE telemetry TO PUBLIC");
    assert_eq!(server.try_sql(DATABASE, "analyst", tricks), Ok("acme".to_owned()));
}

#[tokio::test]
async fn states_change_only_forwards_and_a_class_only_ahead() {
    let server = two_tenants().await;
    let write = |text: &str| server.try_sql(DATABASE, "postgres", &format!("SET ROLE drover_writer; {text}"));
    assert!(write("UPDATE orders SET state = 'assigned'").is_ok());
    let error = write("UPDATE orders SET state = 'delivered'").expect_err("a step is left out");
    assert!(error.contains("orders can not go from assigned to delivered"), "{error}");
    let error = write("UPDATE orders SET customer = 'x'").expect_err("not granted");
    assert!(error.contains("permission denied"), "{error}");
    let set = |when: &str| {
        server.try_sql(DATABASE, "postgres", &format!("SELECT set_retention('acme', 1::smallint, {when})"))
    };
    let error = set("now()").expect_err("too soon");
    assert!(error.contains("a retention class can change from"), "{error}");
    assert!(set("now() + interval '2 days'").is_ok());
}
