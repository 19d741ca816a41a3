//! What one hub hears or is told, on the pages of another.

use std::time::Duration;

use drover_bus::hub::{InsightPush, PushInsight, PushRoute, RoutePush};
use drover_bus::{CallOptions, Route};
use drover_model::NodeKind;
use drover_simnet::{Effect, Rule};
use tokio::time::sleep;

use super::{LATER, Town, hub, play, vehicle_id};

/// A van is watched at the second hub alone, then from the first one too; the second one dies, and comes back.
async fn a_watched_van(town: &Town, only_who_asks: bool) {
    let (van, customer) = (vehicle_id(0), format!("customer/{}", vehicle_id(0)));
    let topic = format!("vehicle:{van}");
    let mut there = town.page(1, &customer, &topic).await;
    there.newer().await;
    assert_eq!(town.count(hub(0), "hub.fix") == 0, only_who_asks, "nobody watches at the first hub");
    let known = there.newer().await;
    let mut here = town.page(0, "office", &topic).await;
    assert!(here.newer().await >= known, "it has not heard of the van, and shows no older place of it");
    here.newer().await;

    town.crash(hub(1));
    let known = there.position;
    for _ in 0..5 {
        here.newer().await;
    }
    let mut moved = town.page(0, &customer, &topic).await;
    assert!(moved.newer().await > known, "whoever was at the dead hub goes on at the other one");

    // Its next life knows of no watcher: it is sent what it asks for, and not what its last life did.
    let before = town.count(hub(1), "hub.fix");
    town.start(hub(1));
    sleep(2 * LATER).await;
    assert_eq!(town.count(hub(1), "hub.fix") == before, only_who_asks);
    let known = moved.newer().await;
    let mut back = town.page(1, &customer, &topic).await;
    assert!(back.newer().await >= known);
    here.newer().await;
}

#[test]
fn a_van_that_one_hub_alone_hears_is_seen_at_another_by_directory() {
    play(2, "[gateway]\ndelivery = \"directory\"\n", async |town| a_watched_van(town, true).await);
}

#[test]
fn a_van_is_seen_at_every_hub_by_broadcast_through_the_death_of_one() {
    play(2, "[gateway]\ndelivery = \"broadcast\"\n", async |town| a_watched_van(town, false).await);
}

fn insight(id: &str, vehicle: Option<u32>) -> InsightPush {
    InsightPush {
        id: Some(id.to_owned()),
        tenant: Some(super::tenant().to_string()),
        vehicle: vehicle.map(|index| vehicle_id(index).to_string()),
        topic: Some("maintenance".to_owned()),
        severity: Some("warning".to_owned()),
        text: Some(format!("{id}: a battery is low")),
    }
}

#[test]
fn what_one_hub_is_told_reaches_those_who_may_see_it_at_the_others_once() {
    play(3, "", async |town| {
        let mut office = town.page(0, "office", "events").await;
        let mut driver = town.page(2, &format!("driver/{}", vehicle_id(0)), "events").await;
        let mut other = town.page(2, &format!("driver/{}", vehicle_id(1)), "events").await;
        let agent = town.service(NodeKind::Agent).await;
        let tell = async |at, push: &InsightPush| {
            agent.call::<PushInsight>(Route::Node(hub(at)), push, CallOptions::default()).await.expect("told")
        };
        // Of nobody's page here: all of them are at other hubs.
        let told = tell(1, &insight("of-a-van", Some(0))).await;
        assert_eq!((told.sessions, told.hubs, told.hubs_missed), (Some(2), Some(2), Some(0)));
        for page in [&mut office, &mut driver] {
            let event = page.event().await;
            assert_eq!(
                (&event["kind"], &event["text"]),
                (&"insight".into(), &"of-a-van: a battery is low".into())
            );
        }
        let again = tell(0, &insight("of-a-van", Some(0))).await;
        assert_eq!((again.sessions, again.repeated), (Some(0), Some(true)), "it has heard of it by relay");
        assert_eq!(tell(1, &insight("of-all", None)).await.sessions, Some(1));
        assert_eq!(office.event().await["text"], "of-all: a battery is low");
        let route = RoutePush {
            id: Some("r-1".to_owned()),
            tenant: Some(super::tenant().to_string()),
            vehicle: Some(vehicle_id(1).to_string()),
            stops: vec!["s-1".to_owned()],
            ..RoutePush::default()
        };
        let told = agent.call::<PushRoute>(Route::Node(hub(1)), &route, CallOptions::default()).await;
        assert_eq!(told.expect("told").sessions, Some(2));
        assert_eq!(
            (&office.event().await["kind"], &other.event().await["stops"][0]),
            (&"route".into(), &"s-1".into())
        );
        for page in [&mut office, &mut driver, &mut other] {
            page.hears_no_more().await;
        }
    });
}

#[test]
fn what_a_hub_was_passing_on_when_it_died_reaches_the_rest_when_it_is_said_again() {
    play(3, "", async |town| {
        let mut near = town.page(0, "office", "events").await;
        let mut far = town.page(2, "office", "events").await;
        let agent = town.service(NodeKind::Agent).await;
        let tell = async |at| {
            let options = CallOptions::within(Duration::from_secs(8));
            agent.call::<PushInsight>(Route::Node(hub(at)), &insight("late", None), options).await
        };
        let cut = Rule { from: hub(1).into(), to: hub(2).into(), both_ways: true, effect: Effect::Partition };
        town.sim.add_rule(1, cut);
        let (told, ()) = tokio::join!(tell(1), async {
            assert_eq!(near.event().await["text"], "late: a battery is low");
            town.crash(hub(1));
        });
        told.expect_err("it died before it had an answer");
        far.hears_no_more().await;
        // The caller says it again, to a hub that has told its own clients.
        let again = tell(0).await.expect("told");
        assert_eq!((again.sessions, again.repeated), (Some(1), Some(true)));
        assert_eq!(far.event().await["text"], "late: a battery is low");
        near.hears_no_more().await;
        far.hears_no_more().await;
    });
}
