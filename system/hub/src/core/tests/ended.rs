//! Customers whose delivery is over, or whose link was taken back.

use drover_api::Ended;
use drover_model::{OrderId, ShareLinkId, StopId};

use super::*;

const LINK: ShareLinkId = ShareLinkId::from_bits(7);
const ORDER: OrderId = OrderId::from_bits(12);
const STOP: StopId = StopId::from_bits(90);
/// When it was over.
const OVER: WallTime = WallTime::from_secs(1_500);

/// A customer's token; its delivery is under way since a second.
fn customer(link: u128, order: u128, stop: u128, since: i64) -> String {
    let (link, order) = (ShareLinkId::from_bits(link), OrderId::from_bits(order));
    format!("customer:VAN-1/{link}/{order}/{}/{since}", StopId::from_bits(stop))
}

#[tokio::test(start_paused = true)]
async fn a_customer_sees_nothing_more_once_the_delivery_is_over_or_the_link_was_taken_back() {
    let (ours, others) = (customer(7, 12, 90, 1_000), customer(8, 13, 91, 1_000));
    for ended in [Ended::Link(LINK), Ended::Order(ORDER), Ended::Stop(STOP)] {
        let mut bench = bench();
        let (over, stays) = (bench.open(&ours, Encoding::Json), bench.open(&others, Encoding::Json));
        let away = bench.open(&ours, Encoding::Json);
        bench.core.lost(bench.now, away);
        bench.core.end(bench.now, tenant(), ended, OVER);
        assert_eq!(bench.core.farewell(over), Some(Farewell::Revoked), "{ended:?}");
        assert_eq!(bench.core.farewell(stays), None, "a link to another order");
        assert_eq!(bench.counts().detached, 0, "nothing is kept for whoever would resume");
        let again = bench.try_open(PEER, Encoding::Json, Some(&ours));
        assert_eq!(again, Err(Turned::Denied(Denied::Revoked)));
        assert_eq!(bench.core.customer_tenants(), [tenant()]);
        bench.core.lost(bench.now, stays);
        bench.core.lost(bench.now, over);
        bench.pass(61_000);
        assert_eq!(bench.core.customer_tenants(), [], "nobody waits for an end any more");
    }
    // Of another tenant it ends nothing.
    let mut bench = bench();
    let stays = bench.open(&ours, Encoding::Json);
    bench.core.end(bench.now, "elsewhere".parse().expect("a name"), Ended::Link(LINK), OVER);
    assert_eq!(bench.core.farewell(stays), None);
}

#[tokio::test(start_paused = true)]
async fn an_order_that_sets_out_again_is_seen_again_and_a_link_that_was_taken_back_is_not() {
    let (before, after) = (customer(7, 12, 90, 1_499), customer(7, 12, 90, 1_501));
    for (ended, again) in [
        (Ended::Order(ORDER), Ok(())),
        (Ended::Stop(STOP), Ok(())),
        (Ended::Link(LINK), Err(Turned::Denied(Denied::Revoked))),
    ] {
        let mut bench = bench();
        bench.core.end(bench.now, tenant(), ended, OVER);
        let opened = |bench: &mut Bench, token| bench.try_open(PEER, Encoding::Json, Some(token)).map(drop);
        assert_eq!(opened(&mut bench, &before), Err(Turned::Denied(Denied::Revoked)), "{ended:?}");
        assert_eq!(opened(&mut bench, &after), again, "{ended:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_is_planned_again_is_seen_again() {
    let mut bench = bench();
    let token = customer(7, 12, 90, 1_000);
    bench.core.end(bench.now, tenant(), Ended::Stop(STOP), OVER);
    bench.core.reopen("elsewhere".parse().expect("a name"), Ended::Stop(STOP));
    let refused = bench.try_open(PEER, Encoding::Json, Some(&token));
    assert_eq!(refused, Err(Turned::Denied(Denied::Revoked)));
    bench.core.reopen(tenant(), Ended::Stop(STOP));
    assert!(bench.try_open(PEER, Encoding::Json, Some(&token)).is_ok());
}
