//! Orders, stops and messages: the same commands have the same verdicts in both stores, and are carried out once.

use std::time::Duration;

use drover_model::orders::{
    Action, Command, Cursor, MessageState, NewStop, OrderState, PassageState, RouteState, StopState, Verdict,
};
use drover_model::{
    CommandId, GeofenceId, MessageId, OrderId, Position, RouteId, ShareHash, ShareLinkId, StopId, TenantId,
    VehicleId, WallTime,
};
use drover_store::postgres::{Config as PostgresConfig, PostgresStore};
use drover_store::{MemoryStore, Orders, OrdersError, Outcome, Which, WhichMessages};
use drover_tests::{Disk, Postgres};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use tokio::time::{Instant, sleep};

use super::{DATABASE, START, migrated, store};
use crate::cut::{Cut, Proxy};

/// Sequences of commands that are tried.
const CASES: u32 = 64;
/// More than there are.
const ALL: usize = 1_000;

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).expect("a valid name")
}

fn van(name: &str) -> VehicleId {
    VehicleId::new(name).expect("a valid name")
}

/// Few identities, so that they meet often.
fn any_action() -> impl Strategy<Value = Action> {
    let id = || 0u128..3;
    let vehicle = || select(vec![van("V"), van("TRUCK-042")]);
    let time = || option::of((0i64..3).prop_map(|later| WallTime::from_micros(START.as_micros() + later)));
    let stop = (id(), -90.0..=90.0f64, -180.0..=180.0f64, time(), time());
    let stop = stop.prop_map(|(id, lat, lon, due_from, due_until)| NewStop {
        id: StopId::from_bits(id),
        position: Position::new(lat, lon).expect("in range"),
        due_from,
        due_until,
    });
    let create = (id(), "[A-Zé' \\\\]{0,6}", vec(stop, 0..3)).prop_map(|(order, customer, stops)| {
        Action::CreateOrder { order: OrderId::from_bits(order), customer, stops }
    });
    let states = || (select(OrderState::ALL), select(OrderState::ALL));
    let change = (id(), states(), vehicle(), 0u8..8).prop_map(|(order, (from, to), vehicle, wrong)| {
        let named = (to == OrderState::Assigned) != (wrong == 0);
        Action::ChangeOrder { order: OrderId::from_bits(order), from, to, vehicle: named.then_some(vehicle) }
    });
    let change_stop = (id(), select(StopState::ALL), select(StopState::ALL))
        .prop_map(|(stop, from, to)| Action::ChangeStop { stop: StopId::from_bits(stop), from, to });
    let send = (id(), vehicle(), any::<bool>(), "[a-z\\n\"]{0,9}", 0i64..2).prop_map(
        |(message, vehicle, to_vehicle, body, later)| Action::SendMessage {
            message: MessageId::from_bits(message),
            vehicle,
            to_vehicle,
            body,
            expires: WallTime::from_micros(START.as_micros() + later),
        },
    );
    let change_message =
        (id(), select(MessageState::ALL), select(MessageState::ALL)).prop_map(|(message, from, to)| {
            Action::ChangeMessage { message: MessageId::from_bits(message), from, to }
        });
    let orders = prop_oneof![2 => create, 6 => change, 4 => change_stop, 1 => send, 2 => change_message];
    prop_oneof![2 => orders, 1 => any_other_action()]
}

/// Share links, areas and routes.
fn any_other_action() -> impl Strategy<Value = Action> {
    let id = || 0u128..3;
    let place = || (-9..=9i8, -9..=9i8).prop_map(|(lat, lon)| Position::new(lat.into(), lon.into()));
    let place = move || place().prop_map(|place| place.expect("in range"));
    let share = (id(), id(), 0u8..4, 0i64..2).prop_map(|(link, order, secret, later)| Action::ShareOrder {
        link: ShareLinkId::from_bits(link),
        order: OrderId::from_bits(order),
        secret: ShareHash([secret; 32]),
        expires: WallTime::from_micros(START.as_micros() + later),
    });
    let revoke = id().prop_map(|link| Action::RevokeShareLink { link: ShareLinkId::from_bits(link) });
    let draw = (id(), "[a-z']{0,4}", vec(place(), 2..5)).prop_map(|(geofence, title, corners)| {
        Action::DrawGeofence { geofence: GeofenceId::from_bits(geofence), title, corners }
    });
    let title = option::of("[a-z']{0,4}");
    let redraw = (id(), title, option::of(vec(place(), 2..5))).prop_map(|(geofence, title, corners)| {
        Action::ChangeGeofence { geofence: GeofenceId::from_bits(geofence), title, corners }
    });
    let remove =
        id().prop_map(|geofence| Action::RemoveGeofence { geofence: GeofenceId::from_bits(geofence) });
    let vehicle = select(vec![van("V"), van("TRUCK-042")]);
    let plan = (id(), 0u32..4, vehicle, vec(id(), 0..3), vec(place(), 0..4), "[a-z\\\\]{0,4}").prop_map(
        |(route, version, vehicle, stops, path, reason)| Action::PlanRoute {
            route: RouteId::from_bits(route),
            version,
            vehicle,
            stops: stops.into_iter().map(StopId::from_bits).collect(),
            path,
            reason,
        },
    );
    let change = (id(), 0u32..4, select(RouteState::ALL), select(RouteState::ALL)).prop_map(
        |(route, version, from, to)| Action::ChangeRoute {
            route: RouteId::from_bits(route),
            version,
            from,
            to,
        },
    );
    prop_oneof![2 => share, 1 => revoke, 2 => draw, 2 => redraw, 1 => remove, 3 => plan, 4 => change, 4 => any_passage()]
}

/// What trackers say, in any order, of things that are theirs and of others.
fn any_passage() -> impl Strategy<Value = Action> {
    let vehicle = || select(vec![van("V"), van("TRUCK-042")]);
    let message = (0u128..3, vehicle(), select(PassageState::ALL.to_vec()))
        .prop_map(|(id, vehicle, to)| Action::PassMessage { message: MessageId::from_bits(id), vehicle, to });
    let route = (0u128..3, 1u32..4, vehicle(), select(PassageState::ALL.to_vec())).prop_map(
        |(id, version, vehicle, to)| Action::PassRoute {
            route: RouteId::from_bits(id),
            version,
            vehicle,
            to,
        },
    );
    prop_oneof![message, route]
}

/// Most often another wish; sometimes one that was here before, with the same words or others.
fn any_command() -> impl Strategy<Value = Command> {
    (select(vec!["acme", "b.v_2"]), 0u128..60, 0i64..1_000_000, any_action()).prop_map(
        |(name, id, later, action)| Command {
            tenant: tenant(name),
            id: CommandId::from_bits(id),
            at: WallTime::from_micros(START.as_micros() + later),
            action,
        },
    )
}

fn emptied(server: &Postgres) -> (MemoryStore, PostgresStore) {
    server.sql(DATABASE, "TRUNCATE commands, stops, messages, share_links, geofences, routes, orders");
    (MemoryStore::new(), store(server))
}

/// Everything that is stored of orders.
async fn content(store: &dyn Orders) -> String {
    let mut text = String::new();
    for name in ["acme", "b.v_2"] {
        for open in [false, true] {
            for vehicle in [None, Some(van("V"))] {
                let which = Which { vehicle, open, ..Which::default() };
                text += &format!("{:?}\n", store.orders(tenant(name), which, ALL).await.expect("orders"));
            }
        }
        text += &listed(store, tenant(name)).await;
        for vehicle in ["V", "TRUCK-042"] {
            let which = WhichMessages { vehicle: Some(van(vehicle)), ..WhichMessages::default() };
            let messages = store.messages(tenant(name), which, ALL).await.expect("messages");
            text += &format!("{messages:?}\n");
            // Which of two of the same moment comes first is each store's own.
            let mut routes = store.routes(tenant(name), van(vehicle), ALL).await.expect("routes");
            assert!(routes.is_sorted_by_key(|route| std::cmp::Reverse(route.created)));
            routes.sort_by_key(|route| (route.id, route.version));
            text += &format!("{routes:?}\n");
        }
        // When all of it waits, when some messages are over, and when the last is.
        for (later, each) in [(-1, ALL), (0, ALL), (1, ALL), (-1, 1), (-1, 2)] {
            let now = WallTime::from_micros(START.as_micros() + later);
            let vehicles = vec![van("TRUCK-042"), van("V"), van("NOBODY")];
            let waiting = store.waiting(tenant(name), vehicles, now, each).await.expect("what waits");
            text += &format!("{later} {each}: {waiting:?}\n");
        }
        for order in 0..3 {
            let links = store.share_links(tenant(name), OrderId::from_bits(order), ALL).await.expect("links");
            text += &format!("{links:?}\n");
        }
        text += &format!("{:?}\n", store.geofences(tenant(name), ALL).await.expect("areas"));
        text += &followed(store, tenant(name)).await;
    }
    for secret in 0..4 {
        text += &format!("{:?}\n", store.share_link(ShareHash([secret; 32])).await.expect("a link"));
    }
    text
}

/// Lists, page by page, and by what they can be narrowed to.
async fn listed(store: &dyn Orders, tenant: TenantId) -> String {
    let mut text = String::new();
    for open in [false, true] {
        let mut which = Which { open, first: Some(1), ..Which::default() };
        // As many as there may be: the limit is for whoever wants all at once.
        while let [order] = &store.orders(tenant, which.clone(), 1).await.expect("a page")[..] {
            text += &format!("{order:?}\n");
            which.after = Some(order.id);
        }
    }
    let mut narrow: Vec<Which> =
        OrderState::ALL.iter().map(|state| Which { state: Some(*state), ..Which::default() }).collect();
    for few in [vec![0], vec![2, 1], vec![9]] {
        let stops = few.iter().map(|id| StopId::from_bits(*id)).collect();
        let orders: Vec<OrderId> = few.into_iter().map(OrderId::from_bits).collect();
        narrow.push(Which { orders: orders.clone(), ..Which::default() });
        narrow.push(Which { orders, vehicle: Some(van("V")), ..Which::default() });
        narrow.push(Which { stops, ..Which::default() });
    }
    for which in narrow {
        text += &format!("{:?}\n", store.orders(tenant, which, ALL).await.expect("orders"));
    }
    for (newest_first, vehicle) in [(false, None), (true, None), (true, Some(van("V")))] {
        let all = WhichMessages { vehicle, newest_first, ..WhichMessages::default() };
        let mut which = WhichMessages { first: Some(2), ..all.clone() };
        let mut pages = Vec::new();
        loop {
            let page = store.messages(tenant, which.clone(), 2).await.expect("a page");
            let Some(last) = page.last() else { break };
            which.after = Some((last.created, last.id));
            pages.extend(page);
        }
        assert_eq!(
            pages,
            store.messages(tenant, all, ALL).await.expect("messages"),
            "nothing twice or left out"
        );
        text += &format!("{pages:?}\n");
    }
    let which = WhichMessages { messages: vec![MessageId::from_bits(1)], ..WhichMessages::default() };
    text + &format!("{:?}\n", store.messages(tenant, which, ALL).await.expect("messages"))
}

/// The feed of changes, read three at a time. Places differ from store to store; the order does not.
async fn followed(store: &dyn Orders, tenant: TenantId) -> String {
    let (mut text, mut after) = (String::new(), Cursor::default());
    loop {
        let changes = store.changes(tenant, after, 3).await.expect("changes");
        let Some(last) = changes.last() else { return text };
        assert!(changes.is_sorted_by_key(|change| change.cursor) && changes[0].cursor > after);
        after = last.cursor;
        for change in &changes {
            // On their way through JSON places may lose a unit in the last place.
            let action = serde_json::to_string(&change.action).expect("JSON");
            let action: Action = serde_json::from_str(&action).expect("an action");
            text += &format!("{} {action:?} {:?}\n", change.at, change.had_by);
        }
    }
}

#[test]
fn any_commands_have_the_same_verdicts_and_leave_the_same_orders() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let server = runtime.block_on(migrated(Disk::Cached));
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let checked = TestRunner::new(config).run(&vec(any_command(), 1..60), |commands| {
        runtime.block_on(async {
            let (memory, postgres) = emptied(&server);
            let again = commands.iter().step_by(3);
            for command in commands.iter().chain(again) {
                let ours = memory.carry_out(command.clone()).await;
                let theirs = postgres.carry_out(command.clone()).await;
                if ours != theirs {
                    let failed = format!("{command:?}: memory {ours:?}, postgres {theirs:?}");
                    return Err(TestCaseError::fail(failed));
                }
            }
            prop_assert_eq!(content(&memory).await, content(&postgres).await);
            Ok(())
        })
    });
    checked.unwrap_or_else(|failure| panic!("{failure}"));
}

#[tokio::test]
async fn nothing_appears_in_the_feed_behind_a_place_that_was_passed() {
    let server = migrated(Disk::Cached).await;
    let store = store(&server);
    assert_eq!(store.carry_out(create(1, 1)).await, applied(false));
    // One that has drawn its number, and takes its time.
    let begun = "BEGIN; INSERT INTO commands (tenant_id, command_id, action, verdict) VALUES ('acme', gen_random_uuid(), \
         '{\"kind\":\"revoke_share_link\", \"link\":\"00000000-0000-0000-0000-000000000001\"}', 'applied'); \
         SELECT pg_sleep(60)";
    let _slow = server.session(DATABASE, begun);
    let sleeping = "FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    while server.sql(DATABASE, &format!("SELECT count(*) {sleeping}")) == "0" {}
    assert_eq!(store.carry_out(create(2, 2)).await, applied(false));
    let seen = store.changes(tenant("acme"), Cursor::default(), ALL).await.expect("changes");
    assert_eq!(seen.len(), 1, "what began later waits for it: {seen:?}");
    server.sql(DATABASE, &format!("SELECT pg_terminate_backend(pid) {sleeping}"));
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let rest = store.changes(tenant("acme"), seen[0].cursor, ALL).await.expect("changes");
        if let [second] = &rest[..] {
            assert!(matches!(second.action, Action::CreateOrder { .. }), "{second:?}");
            break;
        }
        assert!(rest.is_empty() && Instant::now() < until, "{rest:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

fn command(id: u128, action: Action) -> Command {
    Command { tenant: tenant("acme"), id: CommandId::from_bits(id), at: START, action }
}

fn create(id: u128, order: u128) -> Command {
    let stop = NewStop {
        id: StopId::from_bits(order * 10),
        position: Position::new(60.17, 24.94).expect("in range"),
        due_from: None,
        due_until: Some(START),
    };
    let (order, customer) = (OrderId::from_bits(order), "Ann".to_owned());
    command(id, Action::CreateOrder { order, customer, stops: vec![stop] })
}

fn assign(id: u128, order: u128, vehicle: &str) -> Command {
    let (from, to) = (OrderState::Planned, OrderState::Assigned);
    let order = OrderId::from_bits(order);
    command(id, Action::ChangeOrder { order, from, to, vehicle: Some(van(vehicle)) })
}

fn applied(is_repeat: bool) -> Result<Outcome, OrdersError> {
    Ok(Outcome { verdict: Verdict::Applied, is_repeat })
}

#[tokio::test]
async fn two_who_want_the_same_order_do_not_both_get_it_and_one_wish_said_twice_at_once_is_done_once() {
    let server = migrated(Disk::Cached).await;
    let store = store(&server);
    for round in 0..10u128 {
        let (order, id) = (round + 1, round * 10);
        assert_eq!(store.carry_out(create(id, order)).await, applied(false));
        let (one, other) = (assign(id + 1, order, "V"), assign(id + 2, order, "TRUCK-042"));
        let all = [one.clone(), other, one.clone()].map(|command| store.carry_out(command));
        let [a, b, c] = all;
        let (a, b, c) = tokio::join!(a, b, c);
        let verdicts = [&a, &b, &c].map(|outcome| outcome.as_ref().expect("an outcome").verdict);
        assert_eq!(verdicts[0], verdicts[2], "one wish has one verdict");
        let winners =
            [verdicts[0], verdicts[1]].iter().filter(|verdict| **verdict == Verdict::Applied).count();
        assert_eq!(winners, 1, "{verdicts:?}");
        let repeats =
            [&a, &c].iter().filter(|outcome| outcome.as_ref().is_ok_and(|done| done.is_repeat)).count();
        assert_eq!(repeats, 1);
    }
}

#[tokio::test]
async fn a_command_whose_answer_is_lost_is_unknown_and_said_again_it_tells() {
    let server = migrated(Disk::Cached).await;
    let proxy = Proxy::start(server.port(), Cut::InsideCommand).await;
    let config = PostgresConfig { endpoints: vec![proxy.endpoint()], ..server.config(DATABASE) };
    let store = PostgresStore::new(config).expect("a config");
    let error = store.carry_out(create(1, 1)).await.expect_err("cut off");
    assert!(matches!(error, OrdersError::Unknown { .. }), "{error}");
    let outcome = store.carry_out(create(1, 1)).await.expect("an outcome");
    assert_eq!(outcome.verdict, Verdict::Applied);
    assert_eq!(server.sql(DATABASE, "SELECT count(*) FROM orders"), "1");
}

#[tokio::test]
async fn what_was_answered_is_there_after_the_server_was_killed_and_away_is_said() {
    let mut server = migrated(Disk::Synced).await;
    let store = store(&server);
    for round in 0..3u128 {
        assert_eq!(store.carry_out(create(round * 2, round + 1)).await, applied(false));
        assert_eq!(store.carry_out(assign(round * 2 + 1, round + 1, "V")).await, applied(false));
        server.kill();
        // What served the connection may live a moment longer than its server, and still do what it is asked, durably.
        if let Err(error) = store.carry_out(create(100, 100)).await {
            assert!(
                matches!(error, OrdersError::Unavailable { .. } | OrdersError::Unknown { .. }),
                "{error}"
            );
        }
        server.start_again();
        let until = Instant::now() + Duration::from_secs(20);
        let which = Which { vehicle: Some(van("V")), open: true, ..Which::default() };
        let orders = loop {
            match store.orders(tenant("acme"), which.clone(), ALL).await {
                Ok(orders) => break orders,
                Err(error) => assert!(Instant::now() < until, "{error}"),
            }
            sleep(Duration::from_millis(20)).await;
        };
        assert_eq!(orders.len() as u128, round + 1);
        // What was said before is known still.
        assert_eq!(store.carry_out(create(round * 2, round + 1)).await, applied(true));
    }
}

#[tokio::test]
async fn no_hand_can_take_a_forbidden_step_in_the_table_and_commands_are_the_writers_to_add_only() {
    let server = migrated(Disk::Cached).await;
    let store = store(&server);
    assert_eq!(store.carry_out(create(1, 1)).await, applied(false));
    let refused = |statement: &str, expected: &str| {
        let error = server.try_sql(DATABASE, "postgres", statement).expect_err("refused");
        assert!(error.contains(expected), "{error}");
    };
    refused("UPDATE orders SET state = 'delivered'", "orders can not go from planned to delivered");
    for statement in ["DELETE FROM commands", "UPDATE commands SET verdict = 'exists'", "DELETE FROM orders"]
    {
        refused(&format!("SET ROLE drover_writer; {statement}"), "permission denied");
    }
    // One that somebody has made by hand, without stops, is an order all the same.
    server.sql(DATABASE, "INSERT INTO orders (tenant_id) VALUES ('acme')");
    assert_eq!(store.orders(tenant("acme"), Which::default(), ALL).await.expect("orders").len(), 2);
    server.sql(DATABASE, "UPDATE commands SET at = now() - interval '31 days'");
    assert_eq!(server.sql(DATABASE, "SET ROLE drover_writer; SELECT forget_commands()"), "1");
    let too_many = store.orders(tenant("acme"), Which::default(), 0).await.expect_err("more than none");
    assert!(too_many.to_string().contains("more than 0 rows"), "{too_many}");
}
