//! Customers whose delivery is over, or whose link was taken back.

use drover_api::Ended;
use drover_model::{OrderId, ShareLinkId, StopId};

use super::*;

const LINK: ShareLinkId = ShareLinkId::from_bits(7);
const ORDER: OrderId = OrderId::from_bits(12);
const STOP: StopId = StopId::from_bits(90);
/// When it was over, as the hub heard.
const OVER: WallTime = WallTime::from_secs(1_500);

impl Bench {
    /// Hears of the tenant's deliveries at [`OVER`].
    fn hear(&mut self, steps: &[Step]) {
        self.core.take_steps(self.now, OVER, tenant(), steps);
    }

    fn is_let_in(&mut self, token: &str) -> bool {
        let opened = self.try_open(PEER, Encoding::Json, Some(token));
        assert!(matches!(opened, Ok(_) | Err(Turned::Denied(Denied::Revoked))), "{opened:?}");
        opened.is_ok()
    }
}

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
        bench.hear(&[Step::Ended(ended)]);
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
    let elsewhere = "elsewhere".parse().expect("a name");
    bench.core.take_steps(bench.now, OVER, elsewhere, &[Step::Ended(Ended::Link(LINK))]);
    assert_eq!(bench.core.farewell(stays), None);
}

#[tokio::test(start_paused = true)]
async fn an_order_that_sets_out_again_is_seen_again_and_a_link_that_was_taken_back_is_not() {
    let (before, after) = (customer(7, 12, 90, 1_499), customer(7, 12, 90, 1_501));
    for (ended, again) in [(Ended::Order(ORDER), true), (Ended::Stop(STOP), true), (Ended::Link(LINK), false)]
    {
        let mut bench = bench();
        bench.hear(&[Step::Ended(ended)]);
        assert!(!bench.is_let_in(&before), "{ended:?}");
        assert_eq!(bench.is_let_in(&after), again, "{ended:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_order_that_sets_out_again_is_seen_again_by_a_phone_whose_clock_is_slow() {
    // The second way is said to have begun before the first had ended, or had begun.
    for second in [1_400, 900] {
        let set_out = |at| Step::SetOut(ORDER, WallTime::from_micros(at * 1_000_000 + 700_000));
        let (before, after) = (customer(7, 12, 90, 1_000), customer(7, 12, 90, second));
        for ended in [Ended::Order(ORDER), Ended::Stop(STOP), Ended::Link(LINK)] {
            let mut bench = bench();
            bench.hear(&[set_out(1_000), Step::Ended(ended)]);
            assert!(!bench.is_let_in(&before) && !bench.is_let_in(&after), "{ended:?}");
            bench.hear(&[set_out(second)]);
            assert!(!bench.is_let_in(&before), "{ended:?}");
            let again = bench.is_let_in(&after);
            assert_eq!(again, !matches!(ended, Ended::Link(_)), "{ended:?}");
            bench.hear(&[Step::Ended(Ended::Order(ORDER))]);
            assert!(!bench.is_let_in(&after), "the second way is over, too");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_sees_the_second_way_stays_when_the_end_of_the_first_is_heard() {
    let mut bench = bench();
    let (first, second) = (customer(7, 12, 90, 1_000), customer(7, 12, 90, 1_400));
    let (gone, stays) = (bench.open(&first, Encoding::Json), bench.open(&second, Encoding::Json));
    let later = bench.open(&customer(7, 12, 90, 1_501), Encoding::Json);
    let set_out = Step::SetOut(ORDER, WallTime::from_secs(1_400));
    bench.hear(&[Step::Ended(Ended::Stop(STOP)), Step::Ended(Ended::Order(ORDER)), set_out]);
    assert_eq!(bench.core.farewell(gone), Some(Farewell::Revoked));
    assert_eq!((bench.core.farewell(stays), bench.core.farewell(later)), (None, None));
    bench.hear(&[Step::Ended(Ended::Order(ORDER))]);
    assert_eq!(bench.core.farewell(stays), Some(Farewell::Revoked));
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_is_planned_again_is_seen_again() {
    let mut bench = bench();
    let token = customer(7, 12, 90, 1_000);
    let sees = bench.open(&token, Encoding::Json);
    bench.hear(&[Step::Ended(Ended::Stop(STOP)), Step::Reopened(STOP)]);
    assert_eq!(bench.core.farewell(sees), None, "it was a slip");
    bench.hear(&[Step::Ended(Ended::Stop(STOP))]);
    let elsewhere = "elsewhere".parse().expect("a name");
    bench.core.take_steps(bench.now, OVER, elsewhere, &[Step::Reopened(STOP)]);
    assert!(!bench.is_let_in(&token));
    bench.hear(&[Step::Reopened(STOP)]);
    assert!(bench.is_let_in(&token));
    bench.hear(&[Step::Ended(Ended::Order(ORDER)), Step::Reopened(STOP)]);
    assert!(!bench.is_let_in(&token), "its order is over all the same");
}
