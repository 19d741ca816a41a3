use drover_model::Epoch;
use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn epoch(bits: u64) -> Epoch {
    Epoch::from_bits(bits)
}

fn set(ranges: &[(u64, u64)]) -> SequenceSet {
    let mut set = SequenceSet::new();
    ranges.iter().for_each(|&(first, last)| set.insert_range(first..=last));
    set
}

fn recorded(of: Epoch, generation: u32, count: u64) -> EpochHoldings {
    let mut holdings = EpochHoldings::new(of, generation, 0);
    holdings.next = count;
    holdings
}

fn session() -> (Instant, Session) {
    let now = Instant::now();
    (now, Session::new(5 * SECOND, 10 * SECOND, now))
}

/// Sends what is wanted, all of it.
fn send(
    session: &mut Session,
    now: Instant,
    channel: Channel,
    holdings: &Holdings,
) -> Option<(SequenceSet, Option<Resent>)> {
    let wanted = session.wanted(now, channel, holdings)?;
    let resent = session.sent(now, channel, wanted.epoch, wanted.sequences.clone(), holdings);
    Some((wanted.sequences, resent))
}

/// A session with much credit, whose first three fixes are on their way.
fn three_under_way() -> (Instant, Session, Holdings) {
    let (now, mut session) = session();
    let mut holdings = Holdings::new(vec![], recorded(epoch(1), 0, 0));
    session.begin(&holdings);
    session.credit(500);
    session.expect_live(now);
    holdings.current_mut().next = 3;
    send(&mut session, now, Channel::Live, &holdings);
    (now, session, holdings)
}

#[tokio::test(start_paused = true)]
async fn fresh_fixes_go_live_at_their_slot_and_older_ones_as_backlog_within_the_credit() {
    let (now, mut session) = session();
    let mut holdings = Holdings::new(vec![], recorded(epoch(1), 0, 10));
    let (live, backlog) = session.begin(&holdings);
    assert_eq!((live.channel, backlog.channel, backlog.recorded_next), (Some(0), Some(1), Some(10)));
    assert_eq!(session.wanted(now, Channel::Backlog, &holdings), None, "no credit yet");
    session.credit(4);
    assert_eq!(send(&mut session, now, Channel::Backlog, &holdings), Some((set(&[(0, 3)]), None)));
    assert_eq!(session.wanted(now, Channel::Backlog, &holdings), None, "the credit is used up");
    let later = now + SECOND;
    session.expect_live(later);
    holdings.current_mut().next = 12;
    assert_eq!(
        session.poll_timeout(true),
        Some(now + 5 * SECOND),
        "slots are whole intervals from the phase"
    );
    assert_eq!(session.wanted(later, Channel::Live, &holdings), None);
    let slot = now + 5 * SECOND;
    assert_eq!(send(&mut session, slot, Channel::Live, &holdings), Some((set(&[(10, 11)]), None)));
    session.credit(100);
    assert_eq!(send(&mut session, slot, Channel::Backlog, &holdings), Some((set(&[(4, 9)]), None)));
}

#[tokio::test(start_paused = true)]
async fn a_batch_without_an_answer_is_backlog_and_counted_when_sent_again() {
    let (now, mut session, mut holdings) = three_under_way();
    holdings.current_mut().remove(&set(&[(1, 1)]));
    session.settled(&holdings);
    session.expire(now + 9 * SECOND);
    assert_eq!(session.wanted(now + 9 * SECOND, Channel::Backlog, &holdings), None);
    let late = now + 10 * SECOND;
    session.expire(late);
    let resent = Resent { first: 0, last: 2, count: 2 };
    assert_eq!(
        send(&mut session, late, Channel::Backlog, &holdings),
        Some((set(&[(0, 0), (2, 2)]), Some(resent)))
    );
}

#[tokio::test(start_paused = true)]
async fn no_time_counts_while_the_gateway_can_not_be_reached() {
    let (now, mut session, holdings) = three_under_way();
    session.set_reachable(now + 4 * SECOND, false);
    assert_eq!(session.poll_timeout(true), None);
    session.expire(now + 60 * SECOND);
    session.set_reachable(now + 60 * SECOND, true);
    session.expire(now + 69 * SECOND);
    assert_eq!(session.wanted(now + 69 * SECOND, Channel::Backlog, &holdings), None);
    session.expire(now + 70 * SECOND);
    assert!(session.wanted(now + 70 * SECOND, Channel::Backlog, &holdings).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_link_that_falls_silent_again_and_again_does_not_stop_the_clock_for_ever() {
    let (now, mut session, holdings) = three_under_way();
    // Four seconds heard, one silent: ten that count have passed in the third round.
    for round in 0..3 {
        session.set_reachable(now + (5 * round + 4) * SECOND, false);
        session.set_reachable(now + (5 * round + 5) * SECOND, true);
    }
    session.expire(now + 11 * SECOND);
    session.expire(now + 15 * SECOND);
    assert!(session.wanted(now + 15 * SECOND, Channel::Backlog, &holdings).is_some());
}

#[tokio::test(start_paused = true)]
async fn an_older_epoch_is_sent_first_on_a_stream_of_its_own() {
    let (now, mut session) = session();
    let mut holdings = Holdings::new(vec![recorded(epoch(7), 0, 2)], recorded(epoch(8), 1, 4));
    let (live, backlog) = session.begin(&holdings);
    assert_eq!((live.epoch, backlog.epoch), (Some(8), Some(7)));
    session.credit(500);
    assert_eq!(send(&mut session, now, Channel::Backlog, &holdings).map(|sent| sent.0), Some(set(&[(0, 1)])));
    assert_eq!(session.wanted(now, Channel::Backlog, &holdings), None);
    assert_eq!(session.next_backlog(&holdings), None, "it is not settled");
    holdings.of_mut(epoch(7)).expect("held").remove(&set(&[(0, 1)]));
    session.settled(&holdings);
    let hello = session.next_backlog(&holdings).expect("the next epoch's turn");
    assert_eq!(hello.epoch, Some(8));
    session.backlog_replaced(&hello);
    assert_eq!(session.wanted(now, Channel::Backlog, &holdings), None, "a new stream has no credit");
    session.credit(500);
    assert_eq!(send(&mut session, now, Channel::Backlog, &holdings).map(|sent| sent.0), Some(set(&[(0, 3)])));
}

#[tokio::test(start_paused = true)]
async fn an_answer_for_what_was_never_sent_is_refused() {
    let (now, mut session) = session();
    let mut holdings = Holdings::new(vec![], recorded(epoch(1), 0, 3));
    session.begin(&holdings);
    session.credit(2);
    send(&mut session, now, Channel::Backlog, &holdings);
    let check = |answered| session.check_answer(holdings.current(), &set(&[answered]));
    assert_eq!(check((0, 1)), Ok(()));
    assert!(check((0, 2)).is_err());
    assert!(check((0, u64::MAX)).is_err());
    holdings.current_mut().remove(&set(&[(0, u64::MAX)]));
    assert!(holdings.is_settled());
}

/// What may happen to a session.
#[derive(Debug, Clone)]
enum Step {
    Record(u64),
    Begin,
    End,
    Send(bool, u64),
    Grant(u64),
    Acknowledge(usize),
    Wait(u64),
    Reachable(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..20u64).prop_map(Step::Record),
        1 => Just(Step::Begin),
        1 => Just(Step::End),
        6 => (any::<bool>(), 1..600u64).prop_map(|(live, most)| Step::Send(live, most)),
        2 => (1..200u64).prop_map(Step::Grant),
        4 => (0..4usize).prop_map(Step::Acknowledge),
        3 => (1..8u64).prop_map(Step::Wait),
        1 => any::<bool>().prop_map(Step::Reachable),
    ]
}

/// A session with a gateway that counts credit as the real one does.
struct World {
    now: Instant,
    session: Session,
    holdings: Holdings,
    linked: bool,
    granted: u64,
    received: u64,
    batches: Vec<(Epoch, SequenceSet)>,
}

impl World {
    fn step(&mut self, step: &Step) {
        match *step {
            Step::Record(count) => {
                self.session.expect_live(self.now);
                self.holdings.current_mut().next += count;
            }
            Step::Begin => {
                self.session.begin(&self.holdings);
                (self.linked, self.granted, self.received) = (true, 0, 0);
            }
            Step::End => {
                self.session.end();
                self.linked = false;
            }
            Step::Send(live, most) => self.send(if live { Channel::Live } else { Channel::Backlog }, most),
            Step::Grant(more) if self.linked => {
                self.granted += more;
                self.session.credit(self.granted);
            }
            Step::Grant(_) => {}
            Step::Acknowledge(index) => self.acknowledge(index),
            Step::Wait(seconds) => {
                self.now += Duration::from_secs(seconds);
                self.session.expire(self.now);
            }
            Step::Reachable(reachable) => self.session.set_reachable(self.now, reachable),
        }
    }

    fn send(&mut self, channel: Channel, most: u64) {
        if let Some(hello) = self.session.next_backlog(&self.holdings) {
            self.session.backlog_replaced(&hello);
            (self.granted, self.received) = (0, 0);
        }
        let Some(wanted) = self.session.wanted(self.now, channel, &self.holdings) else { return };
        assert!(!wanted.sequences.is_empty() && wanted.sequences.len() <= BATCH_FIXES_MAX as u64);
        // The frame may be full before the batch is.
        let some: SequenceSet = wanted.sequences.iter().take(most as usize).collect();
        if channel == Channel::Backlog {
            self.received += some.len();
            assert!(self.received <= self.granted, "credit exceeded");
        }
        self.session.sent(self.now, channel, wanted.epoch, some.clone(), &self.holdings);
        self.batches.push((wanted.epoch, some));
    }

    fn acknowledge(&mut self, index: usize) {
        if self.batches.is_empty() {
            return;
        }
        let (epoch, sequences) = self.batches.swap_remove(index % self.batches.len());
        if let Some(of) = self.holdings.of_mut(epoch) {
            assert_eq!(self.session.check_answer(of, &sequences), Ok(()));
            of.remove(&sequences);
        }
        self.session.settled(&self.holdings);
    }
}

proptest! {
    #[test]
    fn no_fix_is_forgotten_and_no_credit_exceeded(older in 0..300u64, steps in prop::collection::vec(step(), 0..120)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let _guard = runtime.as_ref().expect("a runtime").enter();
        let (now, session) = session();
        let holdings = Holdings::new(vec![recorded(epoch(1), 0, older)], recorded(epoch(2), 1, 0));
        let batches = Vec::new();
        let mut world = World { now, session, holdings, linked: false, granted: 0, received: 0, batches };
        steps.iter().for_each(|step| world.step(step));
        // From here on all is well: everything must get settled, in this session.
        if !world.linked {
            world.step(&Step::Begin);
        }
        world.step(&Step::Reachable(true));
        for _ in 0..200 {
            world.step(&Step::Grant(100));
            world.step(&Step::Send(true, 500));
            world.step(&Step::Send(false, 500));
            world.step(&Step::Acknowledge(0));
            world.step(&Step::Wait(1));
        }
        prop_assert!(world.holdings.is_settled(), "{:?}", world.holdings);
    }
}
