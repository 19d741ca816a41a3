//! What is asked of the stored fixes: the same answers in whatever order, however late and however often they came.

use std::collections::BTreeMap;
use std::time::Duration;

use drover_env::{SeedTree, real};
use drover_model::{MetersPerSecond, Position, TenantId, VehicleId, WallTime};
use drover_store::postgres::{Bounds, PostgresStore, Span};
use drover_store::{Row, Store};
use drover_tests::{Disk, Postgres};
use rand::seq::SliceRandom;

use super::{DATABASE, batch, migrated, row, store};

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
    store.write_newest().await.expect("written");
    store.keep_up().await.expect("kept up");
    let span = Span { from: day, until: after(day, 2 * 86_400) };
    let ring = [(59.9, 24.02), (60.1, 24.02), (60.1, 24.05), (59.9, 24.05)];
    let ring = ring.map(|(lat, lon)| Position::new(lat, lon).expect("in range"));
    let bounds = Bounds { min: place(-180.0), max: Position::new(90.0, 180.0).expect("in range") };
    let totals = store.daily_totals(acme(), span).await.expect("totals");
    let trips = store.trips(acme(), vehicle(), span).await.expect("trips");
    let visits = store.visits(acme(), &ring, span).await.expect("visits");
    let track = store.track(acme(), vehicle(), span).await.expect("a track");
    let newest = store.newest_in(acme(), bounds).await.expect("positions");
    assert_eq!(server.sql(DATABASE, "SELECT count(*) FROM touched_days"), "0");
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

    let totals = store.daily_totals(acme(), span).await.expect("totals");
    assert_eq!(totals.len(), 1);
    assert_eq!((totals[0].day, totals[0].fixes, totals[0].moving_s), (day, 1501, 900.0));
    assert!((totals[0].distance_m - 9000.0).abs() < 10.0, "{totals:?}");

    let trips = store.trips(acme(), vehicle(), span).await.expect("trips");
    let times: Vec<_> = trips.iter().map(|trip| (trip.started, trip.ended)).collect();
    let at = |second: u64| after(day, 3600 + second);
    assert_eq!(times, [(at(0), at(600)), (at(1200), at(1500))]);
    assert!((trips[0].distance.value() - 6000.0).abs() < 7.0 && trips[1].from == trips[0].to, "{trips:?}");

    // The area begins 2,000 m from the start and ends 3,000 m from it: the drive enters once and leaves.
    let metres = |metres: f64| 24.0 + metres / DEGREE_M;
    let corner = |lat, lon| Position::new(lat, lon).expect("in range");
    let ring = [
        corner(59.9, metres(1995.0)),
        corner(60.1, metres(1995.0)),
        corner(60.1, metres(3005.0)),
        corner(59.9, metres(3005.0)),
    ];
    let visits = store.visits(acme(), &ring, span).await.expect("visits");
    let stays: Vec<_> = visits.iter().map(|visit| (visit.entered, visit.last_inside)).collect();
    assert_eq!(stays, [(at(200), at(300))]);
    // Who stood inside before the span began has not entered in it.
    let late = Span { from: at(250), ..span };
    assert_eq!(store.visits(acme(), &ring, late).await.expect("visits"), []);
    assert!(store.visits(acme(), &ring[..2], span).await.is_err_and(|error| error.contains("2 corners")));

    let bounds = |from: f64, to: f64| Bounds { min: corner(59.0, from), max: corner(61.0, to) };
    let newest = store.newest_in(acme(), bounds(24.0, 25.0)).await.expect("positions");
    assert_eq!(newest.iter().map(|seen| seen.time).collect::<Vec<_>>(), [at(1500)]);
    assert_eq!(store.newest_in(acme(), bounds(23.0, 24.1)).await.expect("positions"), []);
    let nobody = TenantId::new("rival").expect("a valid name");
    assert_eq!(store.newest_in(nobody, bounds(24.0, 25.0)).await.expect("positions"), []);
    assert_eq!(store.track(nobody, vehicle(), span).await.expect("a track"), []);
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
    let seen = next.newest_in(acme(), bounds).await.expect("positions");
    assert_eq!(seen.iter().map(|seen| seen.time).collect::<Vec<_>>(), [now]);
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
    put(&store, &rows).await;
    let span = Span { from: day, until: after(day, 86_400) };
    assert_eq!(store.track(acme(), vehicle(), span).await.expect("a track").len(), rows.len());
    assert_eq!(store.keep_up().await.expect("kept up").sealed, 0);
}
