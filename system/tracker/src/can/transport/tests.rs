use proptest::prelude::*;

use super::*;

const DM1: u32 = 65226;

fn id(pgn: u32, source: u8, destination: u8) -> J1939Id {
    J1939Id { priority: 7, pgn, source, destination }
}

/// The frames of one message, announced as `control`.
fn frames(control: u8, payload: &[u8]) -> Vec<(u32, [u8; 8])> {
    let size = (payload.len() as u16).to_le_bytes();
    let packets = payload.len().div_ceil(7) as u8;
    let pgn = DM1.to_le_bytes();
    let mut frames = vec![(CONNECTION, [control, size[0], size[1], packets, 0xFF, pgn[0], pgn[1], pgn[2]])];
    for (number, piece) in payload.chunks(7).enumerate() {
        let mut data = [0xFF; 8];
        data[0] = number as u8 + 1;
        data[1..=piece.len()].copy_from_slice(piece);
        frames.push((DATA, data));
    }
    frames
}

fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|at| at as u8).collect()
}

/// Feeds frames of source 0, `gap_us` apart; returns what was completed.
fn feed(transport: &mut Transport, destination: u8, gap_us: i64, frames: &[(u32, [u8; 8])]) -> Vec<Vec<u8>> {
    let mut complete = Vec::new();
    for (at, (pgn, data)) in frames.iter().enumerate() {
        let found = transport.handle(at as i64 * gap_us, id(*pgn, 0, destination), data);
        complete.extend(found.map(|found| {
            assert_eq!((found.pgn, found.source), (DM1, 0));
            found.payload
        }));
    }
    complete
}

#[test]
fn a_broadcast_is_put_together() {
    for len in [9, 14, 15, 100, 1785] {
        let mut transport = Transport::default();
        assert_eq!(feed(&mut transport, GLOBAL, 50_000, &frames(BAM, &payload(len))), [payload(len)]);
        assert_eq!(transport.counts, TransportCounts { complete: 1, ..Default::default() });
    }
}

#[test]
fn a_lost_packet_costs_its_message_alone() {
    let mut transport = Transport::default();
    let mut all = frames(BAM, &payload(30));
    all.remove(2);
    all.extend(frames(BAM, &payload(20)));
    assert_eq!(feed(&mut transport, GLOBAL, 50_000, &all), [payload(20)]);
    let counts = transport.counts;
    assert_eq!((counts.sequence, counts.stray, counts.complete), (1, 2, 1));
}

#[test]
fn a_late_packet_ends_its_message() {
    let mut transport = Transport::default();
    assert!(feed(&mut transport, GLOBAL, BROADCAST_GAP_US + 1, &frames(BAM, &payload(20))).is_empty());
    assert_eq!((transport.counts.timeout, transport.counts.stray), (1, 3));
    let mut transport = Transport::default();
    assert_eq!(feed(&mut transport, GLOBAL, BROADCAST_GAP_US, &frames(BAM, &payload(20))), [payload(20)]);
}

#[test]
fn a_receiver_may_ask_for_packets_again() {
    let mut transport = Transport::default();
    let all = frames(RTS, &payload(30));
    let grant = |next: u8| [CTS, 5, next, 0xFF, 0xFF, 0xCA, 0xFE, 0];
    assert!(feed(&mut transport, 249, 1000, &all[..1]).is_empty());
    assert_eq!(transport.handle(2000, id(CONNECTION, 249, 0), &grant(1)), None);
    assert!(feed(&mut transport, 249, 1000, &all[1..4]).is_empty());
    // Packets 2 and 3 did not reach the receiver.
    assert_eq!(transport.handle(3000, id(CONNECTION, 249, 0), &grant(2)), None);
    assert_eq!(feed(&mut transport, 249, 1000, &all[2..]), [payload(30)]);
    assert_eq!(transport.counts, TransportCounts { complete: 1, ..Default::default() });
}

#[test]
fn both_kinds_of_one_sender_run_beside_each_other() {
    let mut transport = Transport::default();
    let (broadcast, direct) = (frames(BAM, &payload(20)), frames(RTS, &payload(25)));
    let mut complete = 0;
    for at in 0..broadcast.len() {
        for (destination, frames) in [(GLOBAL, &broadcast), (249, &direct)] {
            let (pgn, data) = frames[at];
            complete += u32::from(transport.handle(0, id(pgn, 0, destination), &data).is_some());
        }
    }
    complete += u32::from(transport.handle(0, id(DATA, 0, 249), &direct[4].1).is_some());
    assert_eq!(complete, 2);
}

#[test]
fn announcements_that_make_no_sense_begin_nothing() {
    let check = |data: [u8; 8]| {
        let mut transport = Transport::default();
        assert_eq!(transport.handle(0, id(CONNECTION, 0, GLOBAL), &data), None);
        assert_eq!((transport.sessions.len(), transport.counts.bad), (0, 1), "{data:?}");
    };
    check([BAM, 8, 0, 2, 0xFF, 0xCA, 0xFE, 0]);
    check([BAM, 0xFA, 0x06, 255, 0xFF, 0xCA, 0xFE, 0]);
    check([BAM, 20, 0, 2, 0xFF, 0xCA, 0xFE, 0]);
    check([BAM, 20, 0, 3, 0xFF, 0xCA, 0xFE, 4]);
    check([RTS, 20, 0, 3, 0xFF, 0xCA, 0xFE, 0]);
    check([99, 20, 0, 3, 0xFF, 0xCA, 0xFE, 0]);
    let mut transport = Transport::default();
    assert_eq!(transport.handle(0, id(CONNECTION, 0, GLOBAL), &[BAM, 20]), None);
    assert_eq!(transport.counts.bad, 1);
}

#[test]
fn senders_without_number_do_not_fill_the_memory() {
    let mut transport = Transport::default();
    for source in 0..=253 {
        let announced = frames(BAM, &payload(1785))[0];
        transport.handle(i64::from(source), id(announced.0, source, GLOBAL), &announced.1);
    }
    assert_eq!(
        (transport.sessions.len(), transport.counts.crowded),
        (SESSIONS_MAX, 254 - SESSIONS_MAX as u64)
    );
}

proptest! {
    #[test]
    fn any_frames_are_survived(
        frames in prop::collection::vec(
            (
                any::<bool>(),
                0..3u8,
                prop_oneof![Just(GLOBAL), 0..3u8],
                prop_oneof![
                    any::<[u8; 8]>().prop_map(|data| data.to_vec()),
                    (prop_oneof![Just(RTS), Just(CTS), Just(BAM), Just(ABORT), Just(19u8)], 0..30u8, 1..5u8)
                        .prop_map(|(control, size, packets)| vec![control, size, 0, packets, 5, 0xCA, 0xFE, 0]),
                    (0..6u8).prop_map(|number| vec![number, 1, 2, 3, 4, 5, 6, 7]),
                    prop::collection::vec(any::<u8>(), 0..8),
                ],
                -1_000_000i64..2_000_000,
            ),
            0..200,
        ),
    ) {
        let (mut transport, mut now_us) = (Transport::default(), 0i64);
        for (data, source, destination, bytes, later_us) in frames {
            now_us += later_us;
            let pgn = if data { DATA } else { CONNECTION };
            if let Some(complete) = transport.handle(now_us, id(pgn, source, destination), &bytes) {
                prop_assert!((9..=1785).contains(&complete.payload.len()));
            }
            prop_assert!(transport.sessions.len() <= SESSIONS_MAX);
        }
    }
}
