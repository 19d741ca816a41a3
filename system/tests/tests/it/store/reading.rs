//! What is asked of the stored fixes: the same answers in whatever order, however late and however often they came.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use drover_bus::history::{
    AreaQuery, Corner, DailyTotals, NewestOf, NewestPositions, ROWS_MAX, SpanQuery, Track, Trips,
    VehicleQuery, VehiclesQuery, VisitQuery, Visits,
};
use drover_bus::{CallOptions, NodeAddr, Pool, PoolConfig, Route};
use drover_env::real::{self, Metrics};
use drover_env::{Env, SeedTree};
use drover_model::{MetersPerSecond, NodeKind, NodeName, Position, TenantId, VehicleId, WallTime};
use drover_persistence::Persistence;
use drover_quic::{Ca, Principal, Profile};
use drover_store::postgres::PostgresStore;
use drover_store::{Area, Bounds, History, MemoryStore, Ring, Row, Span, Store};
use drover_tests::{Disk, Postgres};
use drover_wire::mcp;
use rand::seq::SliceRandom;
use tokio_util::sync::CancellationToken;

use super::{DATABASE, batch, migrated, row, store};
use crate::platform::ANY;

/// More rows than any answer here has.
const ALL: usize = 100_000;
/// One degree of longitude at 60 degrees north, in metres.
const DEGREE_M: f64 = 55_597.5;
const DAY_S: i64 = 86_400;

fn acme() -> TenantId {
    TenantId::new("acme").expect("a valid name")
}

fn vehicle() -> VehicleId {
    VehicleId::new("V").expect("a valid name")
}

fn place(lon: f64) -> Position {
    Position::new(60.0, lon).expect("in range")
}

/// Midnight of UTC so many days ago: only days that are over are rolled up, and only those that are kept.
fn midnight(days_ago: i64) -> WallTime {
    WallTime::from_secs((real::wall().as_secs() / DAY_S - days_ago) * DAY_S)
}

fn after(start: WallTime, seconds: u64) -> WallTime {
    start.plus(Duration::from_secs(seconds))
}

/// From so many seconds after a day's begin: ten minutes east at 10 m/s, ten minutes of standing, five minutes east.
fn drive(day: WallTime, from_s: u64) -> Vec<Row> {
    let fix = |second: u64| {
        let moved_s = second.min(600) + second.saturating_sub(1200);
        let mut row = row("V", from_s + second);
        row.fix.time = after(day, from_s + second);
        row.fix.position = place(24.0 + moved_s as f64 * 10.0 / DEGREE_M);
        // It idles while it stands, but for the last minute.
        row.fix.engine.engine_speed_rpm = Some(if (1141..=1200).contains(&second) { 0.0 } else { 800.0 });
        row.fix.engine.fuel_rate_l_per_h = Some(6.0);
        row.fix.speed = MetersPerSecond::new(if (600..1200).contains(&second) { 0.0 } else { 10.0 }).ok();
        row
    };
    (0..=1500).map(fix).collect()
}

async fn put(store: &PostgresStore, rows: &[Row]) {
    for rows in rows.chunks(200) {
        store.commit(batch(rows.to_vec())).await.expect("stored");
    }
}

/// All of two days, as far as anybody can ask for it.
async fn everything(
    server: &Postgres,
    store: &PostgresStore,
    day: WallTime,
) -> BTreeMap<&'static str, String> {
    store.write_all_newest().await.expect("written");
    store.keep_up().await.expect("kept up");
    assert_eq!(server.sql(DATABASE, "SELECT count(*) FROM touched_days"), "0");
    asked(store, day).await
}

/// The same questions to any store.
async fn asked(store: &dyn History, day: WallTime) -> BTreeMap<&'static str, String> {
    let span = Span { from: day, until: after(day, 2 * 86_400) };
    let ring = [(59.9, 24.02), (60.1, 24.02), (60.1, 24.05), (59.9, 24.05)];
    let ring = ring.map(|(lat, lon)| Position::new(lat, lon).expect("in range"));
    let ring = Ring::new(ring.to_vec()).expect("an inside");
    let bounds = Bounds { min: place(-180.0), max: Position::new(90.0, 180.0).expect("in range") };
    let totals = store.daily_totals(acme(), span, ALL).await.expect("totals");
    let trips = store.trips(acme(), vehicle(), span, ALL).await.expect("trips");
    let visits = store.visits(acme(), Area::Ring(ring), span, ALL).await.expect("visits");
    let track = store.track(acme(), vehicle(), span, ALL).await.expect("a track");
    let newest = store.newest_in(acme(), bounds, ALL).await.expect("positions");
    BTreeMap::from([
        ("totals", format!("{totals:?}")),
        ("trips", format!("{trips:?}")),
        ("visits", format!("{visits:?}")),
        ("newest", format!("{newest:?}")),
        ("track", format!("{track:?}")),
    ])
}

#[tokio::test]
async fn a_drive_has_its_trips_its_visits_its_totals_and_its_newest_place() {
    let server = migrated(Disk::Cached).await;
    let (store, day) = (store(&server), midnight(2));
    put(&store, &drive(day, 3600)).await;
    everything(&server, &store, day).await;
    let span = Span { from: day, until: after(day, 86_400) };

    let totals = store.daily_totals(acme(), span, ALL).await.expect("totals");
    assert_eq!(totals.len(), 1);
    assert_eq!((totals[0].day, totals[0].fixes, totals[0].moving_s), (day, 1501, 900.0));
    assert!((totals[0].distance_m - 9000.0).abs() < 10.0, "{totals:?}");
    assert_eq!(totals[0].idling_s, Some(540.0), "{totals:?}");
    assert!(totals[0].fuel_l.is_some_and(|litres| (litres - 2.5).abs() < 1e-9), "{totals:?}");

    let trips = store.trips(acme(), vehicle(), span, ALL).await.expect("trips");
    let times: Vec<_> = trips.iter().map(|trip| (trip.started, trip.ended)).collect();
    let at = |second: u64| after(day, 3600 + second);
    assert_eq!(times, [(at(0), at(600)), (at(1200), at(1500))]);
    assert!((trips[0].distance.value() - 6000.0).abs() < 7.0 && trips[1].from == trips[0].to, "{trips:?}");

    // The area begins 2,000 m from the start and ends 3,000 m from it: the drive enters once and leaves.
    let metres = |metres: f64| 24.0 + metres / DEGREE_M;
    let corner = |lat, lon| Position::new(lat, lon).expect("in range");
    let ring = vec![
        corner(59.9, metres(1995.0)),
        corner(60.1, metres(1995.0)),
        corner(60.1, metres(3005.0)),
        corner(59.9, metres(3005.0)),
    ];
    let ring = Area::Ring(Ring::new(ring).expect("an inside"));
    let visits = store.visits(acme(), ring.clone(), span, ALL).await.expect("visits");
    let stays: Vec<_> = visits.iter().map(|visit| (visit.entered, visit.last_inside)).collect();
    assert_eq!(stays, [(at(200), at(300))]);
    // Who stood inside before the span began has not entered in it.
    let late = Span { from: at(250), ..span };
    assert_eq!(store.visits(acme(), ring, late, ALL).await.expect("visits"), []);
    let few = store.track(acme(), vehicle(), span, 100).await.expect_err("too long an answer").to_string();
    assert!(few.starts_with("the answer has more than 100 rows"), "{few}");

    let bounds = |from: f64, to: f64| Bounds { min: corner(59.0, from), max: corner(61.0, to) };
    let newest = store.newest_in(acme(), bounds(24.0, 25.0), ALL).await.expect("positions");
    assert_eq!(newest.iter().map(|seen| seen.time).collect::<Vec<_>>(), [at(1500)]);
    assert_eq!(store.newest_in(acme(), bounds(23.0, 24.1), ALL).await.expect("positions"), []);
    let nobody = TenantId::new("rival").expect("a valid name");
    assert_eq!(store.newest_in(nobody, bounds(24.0, 25.0), ALL).await.expect("positions"), []);
    let unknown = VehicleId::new("NOBODY").expect("a valid name");
    assert_eq!(store.newest_of(acme(), [vehicle(), unknown].into()).await.expect("positions"), newest);
    assert_eq!(store.newest_of(acme(), [unknown].into()).await.expect("positions"), []);
    assert_eq!(store.newest_of(nobody, [vehicle()].into()).await.expect("positions"), []);
    assert_eq!(store.track(nobody, vehicle(), span, ALL).await.expect("a track"), []);
}

#[tokio::test]
async fn answers_are_the_same_in_whatever_order_and_however_often_fixes_come() {
    let server = migrated(Disk::Cached).await;
    let day = midnight(3);
    // The second drive goes on over midnight.
    let mut rows = drive(day, 3600);
    rows.extend(drive(day, 86_400 - 400));
    let first = store(&server);
    put(&first, &rows).await;
    let expected = everything(&server, &first, day).await;
    let memory = MemoryStore::new();
    memory.commit(batch(rows.clone())).await.expect("stored");
    let in_memory = asked(&memory, day).await;
    for (name, answer) in &in_memory {
        assert!(rounded(answer) == rounded(&expected[name]), "{name}: {answer}, not {}", expected[name]);
    }
    let newest = async |store: &PostgresStore| store.write_newest().await.expect("written");

    let mut rng = SeedTree::from_number(3).rng("order");
    for round in 0..3 {
        server.sql(DATABASE, "TRUNCATE vehicle_telemetry, daily_totals, newest_positions, touched_days");
        let store = store(&server);
        rows.shuffle(&mut rng);
        let (early, late) = rows.split_at(rows.len() / 2 + round);
        put(&store, early).await;
        newest(&store).await;
        store.keep_up().await.expect("kept up");
        // Late ones, and some again.
        put(&store, late).await;
        put(&store, &early[..500]).await;
        let answers = everything(&server, &store, day).await;
        for (name, answer) in &answers {
            assert!(*answer == expected[name], "round {round}: {name}: {answer}, not {}", expected[name]);
        }
    }
    // An agent that ended before it wrote the newest positions leaves them to the next one.
    let now = real::wall();
    let mut last = row("V", 9_999_999);
    last.fix.time = now;
    put(&store(&server), &[last]).await;
    let next = store(&server);
    next.recover_newest().await.expect("recovered");
    let bounds = Bounds { min: place(-180.0), max: Position::new(90.0, 180.0).expect("in range") };
    let seen = next.newest_in(acme(), bounds, ALL).await.expect("positions");
    assert_eq!(seen.iter().map(|seen| seen.time).collect::<Vec<_>>(), [now]);
}

#[tokio::test]
async fn a_newest_place_is_written_now_and_then_and_its_agent_knows_it_before() {
    let server = migrated(Disk::Cached).await;
    let (agent, other) = (store(&server), store(&server));
    let bounds = Bounds { min: place(-180.0), max: Position::new(90.0, 180.0).expect("in range") };
    let time_in = async |store: &PostgresStore| {
        let seen = store.newest_in(acme(), bounds, ALL).await.expect("positions");
        seen.iter().map(|seen| seen.time).collect::<Vec<_>>()
    };
    let rows = drive(midnight(3), 3600);
    let time = |at: usize| vec![rows[at].fix.time];
    put(&agent, &rows[..1]).await;
    agent.write_newest().await.expect("written");
    put(&agent, &rows[1..2]).await;
    agent.write_newest().await.expect("not yet");
    assert_eq!((time_in(&agent).await, time_in(&other).await), (time(1), time(0)));
    let newest_of = async |store: &PostgresStore| {
        store.newest_of(acme(), [rows[0].vehicle].into()).await.expect("positions")[0].time
    };
    assert_eq!([newest_of(&agent).await], time(1)[..]);
    assert_eq!([newest_of(&other).await], time(0)[..]);
    // Gone from where the database still has it.
    let there = Bounds { min: rows[0].fix.position, max: rows[0].fix.position };
    assert_eq!(other.newest_in(acme(), there, ALL).await.expect("positions").len(), 1);
    assert_eq!(agent.newest_in(acme(), there, ALL).await.expect("positions"), []);
    agent.write_all_newest().await.expect("written");
    assert_eq!(time_in(&other).await, time(1));
}

/// Numbers to a thousandth: sums of distances differ in their last digits with the order of the sum.
fn rounded(answer: &str) -> String {
    let number =
        |word: &str| word.parse::<f64>().map_or_else(|_| word.to_owned(), |value| format!("{value:.3}"));
    let is_of_number = |letter: char| letter.is_ascii_digit() || letter == '.';
    let mut text = String::new();
    let mut word = String::new();
    for letter in answer.chars().chain([' ']) {
        if is_of_number(letter) {
            word.push(letter);
        } else {
            text.push_str(&number(&std::mem::take(&mut word)));
            text.push(letter);
        }
    }
    text
}

#[tokio::test]
async fn totals_of_today_are_those_of_its_hours_so_far_and_a_late_fix_is_in_them_at_once() {
    let server = migrated(Disk::Cached).await;
    let (store, memory) = (store(&server), MemoryStore::new());
    let now = real::wall();
    let today = WallTime::from_secs(now.as_secs() / 86_400 * 86_400);
    let mut rows = drive(today, 0);
    rows.truncate(600);
    let span = Span { from: today, until: after(today, 86_400) };
    for part in rows.chunks(250) {
        put(&store, part).await;
        memory.commit(batch(part.to_vec())).await.expect("stored");
        let totals = store.daily_totals(acme(), span, ALL).await.expect("totals");
        let in_memory = memory.daily_totals(acme(), span, ALL).await.expect("totals");
        assert_eq!(rounded(&format!("{totals:?}")), rounded(&format!("{in_memory:?}")));
    }
    assert_eq!(store.daily_totals(acme(), span, ALL).await.expect("totals")[0].fixes, 600);
    // Nobody has rolled up yesterday yet: it is measured all the same.
    let yesterday = WallTime::from_secs(today.as_secs() - 86_400);
    put(&store, &drive(yesterday, 100)).await;
    let span = Span { from: yesterday, until: after(today, 86_400) };
    let days =
        |totals: Vec<drover_store::DailyTotal>| totals.iter().map(|total| total.day).collect::<Vec<_>>();
    let before = days(store.daily_totals(acme(), span, ALL).await.expect("totals"));
    assert_eq!(before, [yesterday, today]);
    store.keep_up().await.expect("kept up");
    assert_eq!(days(store.daily_totals(acme(), span, ALL).await.expect("totals")), before);
}

#[tokio::test]
async fn an_area_with_a_name_is_asked_for_by_it() {
    let server = migrated(Disk::Cached).await;
    let (store, day) = (store(&server), midnight(2));
    put(&store, &drive(day, 3600)).await;
    let id = "67e55044-10b1-426f-9247-bb680e5fe0c8";
    server.sql(
        DATABASE,
        &format!(
            "INSERT INTO tenants VALUES ('acme'), ('rival'); INSERT INTO geofences VALUES ('acme', '{id}', 'yard', \
             ST_Multi(ST_MakeEnvelope(24.02, 59.9, 24.05, 60.1, 4326)))"
        ),
    );
    let area = Area::Geofence(id.parse().expect("a UUID"));
    let span = Span { from: day, until: after(day, 86_400) };
    assert_eq!(store.visits(acme(), area.clone(), span, ALL).await.expect("visits").len(), 1);
    let rival = TenantId::new("rival").expect("a valid name");
    for (store, tenant) in [(&store as &dyn History, rival), (&MemoryStore::new(), acme())] {
        let error = store.visits(tenant, area.clone(), span, ALL).await.expect_err("not theirs").to_string();
        assert_eq!(error, format!("there is no geofence {id}"));
    }
}

#[tokio::test]
async fn a_day_that_has_expired_keeps_its_totals_when_a_straggler_comes() {
    let server = migrated(Disk::Cached).await;
    let (store, day) = (store(&server), midnight(12));
    put(&store, &drive(day, 3600)).await;
    everything(&server, &store, day).await;
    server.sql(DATABASE, "UPDATE retention_classes SET keep = '2 days'");
    put(&store, &drive(day, 50_000)[..1]).await;
    let before = server.sql(DATABASE, "SELECT fixes FROM daily_totals");
    assert_eq!(before, "1501");
    store.keep_up().await.expect("kept up");
    assert_eq!(server.sql(DATABASE, "SELECT fixes FROM daily_totals"), before);
    assert_eq!(
        server.sql(DATABASE, "SELECT count(*) FROM vehicle_telemetry"),
        "0",
        "what has expired is dropped"
    );
}

#[tokio::test]
async fn past_partitions_are_sealed_and_still_take_what_comes_late() {
    let server = migrated(Disk::Cached).await;
    let (store, day) = (store(&server), midnight(30));
    let rows = drive(day, 3600);
    put(&store, &rows[..1000]).await;
    let done = store.keep_up().await.expect("kept up");
    assert_eq!((done.sealed, done.derived), (1, 1));
    assert!(done.made >= 9, "three spans ahead of three classes: {done:?}");
    let indexes = "SELECT count(*) FROM pg_indexes WHERE indexname LIKE 'vehicle_telemetry_class_0_%' \
                   AND (indexname LIKE '%_vehicle' OR indexname LIKE '%_location')";
    assert_eq!(server.sql(DATABASE, indexes), "2");
    // Vacuums of rows that still come take a core for nothing.
    let wrong = "SELECT count(*) FROM telemetry_partitions p JOIN pg_class c ON c.relname = p.table_name \
                 WHERE (p.sealed_at IS NULL) <> coalesce('autovacuum_vacuum_insert_threshold=-1' = ANY (c.reloptions), false)";
    assert_eq!(server.sql(DATABASE, wrong), "0");
    // So does the ANALYZE of places.
    let analyzed = "SELECT count(*) FROM pg_attribute JOIN pg_class c ON c.oid = attrelid WHERE attname = 'location' \
                    AND relkind IN ('r', 'p') AND attstattarget <> 0 \
                    AND (relname LIKE 'vehicle_telemetry%' OR relname = 'newest_positions')";
    assert_eq!(server.sql(DATABASE, analyzed), "0");
    put(&store, &rows).await;
    let span = Span { from: day, until: after(day, 86_400) };
    assert_eq!(store.track(acme(), vehicle(), span, ALL).await.expect("a track").len(), rows.len());
    assert_eq!(store.keep_up().await.expect("kept up").sealed, 0);
}

#[tokio::test]
async fn a_late_fix_does_not_wait_for_the_indexes_of_its_partition() {
    let server = migrated(Disk::Cached).await;
    let (store, day) = (store(&server), midnight(30));
    let rows = drive(day, 3600);
    put(&store, &rows[..1000]).await;
    let table = server.sql(DATABASE, "SELECT table_name FROM telemetry_partitions");
    // Somebody writes into it, and takes their time: whoever wants to keep writers out has to wait, and all others behind them.
    let hold = format!("BEGIN; LOCK TABLE {table} IN ROW EXCLUSIVE MODE; SELECT pg_sleep(3); COMMIT");
    let _writer = server.session(DATABASE, &hold);
    let held =
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(3)%' AND wait_event = 'PgSleep'";
    while server.sql(DATABASE, held) == "0" {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let sealing = async {
        let began = tokio::time::Instant::now();
        (store.keep_up().await.expect("kept up").sealed, began.elapsed())
    };
    let late = async {
        let building = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONCURRENTLY%'";
        while server.sql(DATABASE, building) == "0" {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let began = tokio::time::Instant::now();
        put(&store, &rows[1000..1100]).await;
        began.elapsed()
    };
    let ((sealed, took), waited) = tokio::join!(sealing, late);
    assert_eq!(sealed, 1);
    assert!(
        took > Duration::from_secs(1) && waited < Duration::from_secs(1),
        "sealing took {took:?}, the fix {waited:?}"
    );
    let span = Span { from: day, until: after(day, 86_400) };
    assert_eq!(store.track(acme(), vehicle(), span, ALL).await.expect("a track").len(), 1100);
}

#[tokio::test]
async fn an_index_that_was_left_half_built_is_built_anew_and_a_login_that_owns_nothing_seals_too() {
    let server = migrated(Disk::Cached).await;
    let (owner, day) = (store(&server), midnight(30));
    put(&owner, &drive(day, 3600)[..100]).await;
    let table = server.sql(DATABASE, "SELECT table_name FROM telemetry_partitions");
    server.sql(DATABASE, &format!("CREATE INDEX {table}_vehicle ON {table} (time)"));
    server.sql(
        DATABASE,
        &format!("UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{table}_vehicle'::regclass"),
    );
    assert_eq!(owner.keep_up().await.expect("kept up").sealed, 1);
    let columns = format!(
        "SELECT pg_get_indexdef('{table}_vehicle'::regclass) LIKE '%(tenant_id, vehicle_id, \"time\")'"
    );
    assert_eq!(server.sql(DATABASE, &columns), "t");

    server.sql(DATABASE, "CREATE ROLE agent LOGIN IN ROLE drover_writer");
    let config = drover_store::postgres::Config { user: "agent".to_owned(), ..server.config(DATABASE) };
    let agent = PostgresStore::new(config).expect("a config");
    put(&agent, &drive(midnight(50), 3600)[..100]).await;
    assert_eq!(agent.keep_up().await.expect("kept up").sealed, 1);
}

/// A way of a service of this kind to an agent that offers what `store` has.
fn ask_as(env: &Env, kind: NodeKind, store: Arc<PostgresStore>) -> Pool {
    let seeds = SeedTree::from_number(7);
    let ca = Ca::new(&seeds, env.wall()).expect("a CA");
    let trust = ca.trust().expect("a root");
    let identity = |kind| ca.issue(&Principal::service(kind, 0), &seeds).expect("a certificate");
    let config = drover_persistence::Config { listen: ANY, ..Default::default() };
    let own = identity(NodeKind::Persistence);
    let agent = Persistence::bind(env.clone(), config, &own, &trust, store.clone()).expect("an agent");
    let agent = agent.with_history(store);
    let addr = agent.local_addr().expect("an address");
    drop(env.spawn("agent", async move { agent.run(CancellationToken::new()).await }));
    let config = drover_quic::client_config(env, &identity(kind), &trust, mcp::ALPN, &Profile::service());
    let endpoint = drover_quic::client(env, ANY).expect("an endpoint");
    let pool = Pool::new(env.clone(), config.expect("a config"), endpoint, PoolConfig::default());
    pool.set_nodes(vec![NodeAddr { name: NodeName::new(NodeKind::Persistence, 0), addr }]);
    pool
}

#[tokio::test]
async fn a_hub_asks_over_the_bus_and_a_gateway_may_not() {
    let server = migrated(Disk::Cached).await;
    let (store, day) = (Arc::new(store(&server)), midnight(2));
    put(&store, &drive(day, 3600)).await;
    everything(&server, &store, day).await;
    let folder = tempfile::tempdir().expect("a folder");
    let env = real::env("hub/0", folder.path(), Arc::new(Metrics::default())).expect("an env");
    let hub = ask_as(&env, NodeKind::Hub, store.clone());
    let at = |second: u64| Some(after(day, second).as_micros() as u64);
    let (tenant, options) = (Some("acme".to_owned()), CallOptions::default);

    let of_vehicle = VehicleQuery {
        tenant: tenant.clone(),
        vehicle_id: Some("V".to_owned()),
        from_us: at(0),
        until_us: at(86_400),
        points_max: Some(5),
    };
    let track = hub.call::<Track>(Route::RoundRobin, &of_vehicle, options()).await.expect("a track");
    let times: Vec<_> = track.fixes.iter().map(|fix| fix.time_us).collect();
    assert_eq!((times.len(), times[0], times[4]), (5, at(3600), at(5100)));
    let trips = hub.call::<Trips>(Route::RoundRobin, &of_vehicle, options()).await.expect("trips").trips;
    assert_eq!(trips.iter().map(|trip| trip.ended_us).collect::<Vec<_>>(), [at(4200), at(5100)]);

    let area = AreaQuery {
        tenant: tenant.clone(),
        south: Some(59.0),
        west: Some(24.0),
        north: Some(61.0),
        east: Some(25.0),
    };
    let newest =
        hub.call::<NewestPositions>(Route::RoundRobin, &area, options()).await.expect("positions").fixes;
    assert_eq!(newest.iter().map(|fix| fix.time_us).collect::<Vec<_>>(), [at(5100)]);
    let by_name = VehiclesQuery { tenant: tenant.clone(), vehicle_ids: vec!["V".to_owned()] };
    let by_name = hub.call::<NewestOf>(Route::RoundRobin, &by_name, options()).await.expect("positions");
    assert_eq!(by_name.fixes, newest);
    let many = VehiclesQuery { tenant: tenant.clone(), vehicle_ids: vec!["V".to_owned(); ROWS_MAX + 1] };
    let refused = hub.call::<NewestOf>(Route::RoundRobin, &many, options()).await.expect_err("too many");
    assert!(refused.to_string().contains("at most 10000"), "{refused}");

    let corner = |lat, lon| Corner { lat: Some(lat), lon: Some(lon) };
    let corners = vec![corner(59.9, 24.02), corner(60.1, 24.02), corner(60.1, 24.05), corner(59.9, 24.05)];
    let mut query = VisitQuery {
        tenant: tenant.clone(),
        from_us: at(0),
        until_us: at(86_400),
        corners,
        ..Default::default()
    };
    let visits = hub.call::<Visits>(Route::RoundRobin, &query, options()).await.expect("visits").visits;
    assert_eq!(visits.len(), 1);
    query.corners.truncate(2);
    let error = hub.call::<Visits>(Route::RoundRobin, &query, options()).await.expect_err("no area");
    assert!(error.to_string().contains("an area of 2 corners has no inside"), "{error}");

    let days = SpanQuery { tenant, from_us: at(0), until_us: at(86_400) };
    let totals = hub.call::<DailyTotals>(Route::RoundRobin, &days, options()).await.expect("totals").totals;
    assert_eq!(
        totals.iter().map(|total| (total.fixes, total.moving_s)).collect::<Vec<_>>(),
        [(Some(1501), Some(900.0))]
    );

    let gateway = ask_as(&env, NodeKind::Gateway, store);
    let error =
        gateway.call::<Track>(Route::RoundRobin, &of_vehicle, options()).await.expect_err("not allowed");
    assert!(error.to_string().contains("may not call PersistenceService.history.track"), "{error}");
}
