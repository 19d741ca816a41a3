//! Bad input: each kind is refused with a reason that says what and where, is counted, and costs no good fix.

use std::time::Duration;

use drover_env::{SeedTree, real};
use drover_model::{NodeKind, Refusal};
use drover_quic::{Ca, Principal};
use drover_store::MemoryStore;
use drover_wire::GeoTelemetry;
use drover_wire::geostream::{Channel, Frame};
use prost::Message;
use tokio::time::sleep;

use crate::platform::Platform;

/// A good fix still gets through on a new session.
async fn still_serves(platform: &Platform) {
    let vehicle = platform.connect("TRUCK-007").await;
    let mut live = vehicle.open(Channel::Live).await;
    let before = platform.rows().len();
    live.batch(vec![platform.fix(99)]).await;
    assert_eq!(live.acknowledged().await, [99, 99]);
    assert_eq!(platform.rows().len(), before + 1);
}

/// What a session is closed with after it has said `bytes`.
async fn closed_after(bytes: &[u8], expected: &str) {
    let platform = Platform::start();
    let vehicle = platform.connect("TRUCK-042").await;
    let mut live = vehicle.open(Channel::Live).await;
    live.send.write_all(bytes).await.expect("room");
    let reason = vehicle.closed().await;
    assert!(reason.contains(expected), "{reason}");
    platform.happened("gateway.session_refused", "protocol").await;
    still_serves(&platform).await;
}

#[tokio::test]
async fn a_frame_without_length_ends_the_session() {
    closed_after(&[0], "malformed length").await;
}

#[tokio::test]
async fn an_oversized_frame_is_refused_before_it_is_read() {
    closed_after(&[0xff, 0xff, 0x7f], "frame of 2097151 bytes exceeds the limit of 65536").await;
}

#[tokio::test]
async fn a_frame_of_an_unknown_kind_ends_the_session() {
    closed_after(&[1, 77], "frame of unknown kind 77").await;
}

#[tokio::test]
async fn a_broken_body_is_named_with_its_field() {
    // A batch whose field 4 of field 2 holds 2^35.
    closed_after(&[10, 2, 0x12, 7, 0x20, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01], "field 4 holds").await;
}

#[tokio::test]
async fn a_frame_of_the_other_side_ends_the_session() {
    closed_after(&[1, 3], "unexpected durable ack frame").await;
}

#[tokio::test]
async fn a_second_hello_ends_the_session() {
    closed_after(&[1, 1], "unexpected hello frame").await;
}

#[tokio::test]
async fn a_batch_of_another_epoch_ends_the_session() {
    closed_after(&[3, 2, 0x08, 0x09], "a batch of another epoch than the hello's").await;
}

#[tokio::test]
async fn a_hello_of_an_epoch_beyond_63_bits_ends_the_session() {
    let platform = Platform::start();
    let vehicle = platform.connect("TRUCK-042").await;
    // Cut to 63 bits it would be epoch 7, and its fixes others than those of epoch 7.
    let _stream = vehicle.open_epoch(Channel::Live, (1 << 63) + 7).await;
    let reason = vehicle.closed().await;
    assert!(reason.contains("epoch of 9223372036854775815 exceeds 63 bits"), "{reason}");
    platform.happened("gateway.session_refused", "protocol").await;
    still_serves(&platform).await;
}

#[tokio::test]
async fn an_empty_batch_ends_the_session() {
    closed_after(&[3, 2, 0x08, 0x07], "a batch must have 1 to 500 fixes").await;
}

#[tokio::test]
async fn a_batch_before_the_hello_ends_the_session() {
    let platform = Platform::start();
    let vehicle = platform.connect("TRUCK-042").await;
    let (mut send, _recv) = vehicle.connection.open_bi().await.expect("a stream");
    send.write_all(&[3, 2, 0x08, 0x07]).await.expect("room");
    let reason = vehicle.closed().await;
    assert!(reason.contains("unexpected batch frame"), "{reason}");
}

#[tokio::test]
async fn backlog_beyond_the_credit_ends_the_session() {
    let platform = Platform::start_with(MemoryStore::new(), |config| config.credit_fixes = 10);
    let vehicle = platform.connect("TRUCK-042").await;
    let mut backlog = vehicle.open(Channel::Backlog).await;
    assert!(matches!(backlog.hear().await, Frame::Credit(credit) if credit.fixes == Some(10)));
    backlog.batch((0..11).map(|sequence| platform.fix(sequence)).collect()).await;
    let reason = vehicle.closed().await;
    assert!(reason.contains("backlog beyond the credit"), "{reason}");
}

/// Sends a good fix, one changed by `change`, and another good one: the two good ones are stored, the third refused.
async fn refused(reason: Refusal, expected: &str, change: impl FnOnce(&Platform, &mut GeoTelemetry)) {
    let platform = Platform::start();
    let vehicle = platform.connect("TRUCK-042").await;
    let mut live = vehicle.open(Channel::Live).await;
    let mut bad = platform.fix(1);
    change(&platform, &mut bad);
    live.batch(vec![platform.fix(0), bad, platform.fix(2)]).await;
    let (sequence, code, detail) = live.refused().await;
    assert_eq!((sequence, code), (1, reason.code()), "{detail}");
    assert!(detail.contains(expected), "{detail}");
    assert_eq!(live.acknowledged().await, [0, 0, 2, 2]);
    assert_eq!(platform.rows().len(), 2);
    assert_eq!(platform.counted("gateway.refused", reason.name()), 1);
}

#[tokio::test]
async fn a_fix_for_another_vehicle_is_refused_alone() {
    refused(Refusal::WrongVehicle, "the fix names \"TRUCK-007\", the certificate TRUCK-042", |_, fix| {
        fix.vehicle_id = Some("TRUCK-007".to_owned());
    })
    .await;
}

#[tokio::test]
async fn a_fix_from_the_future_is_refused_alone() {
    refused(Refusal::Future, "ahead", |platform, fix| {
        fix.time_us = Some(platform.now_us() + 3_600_000_000);
    })
    .await;
}

#[tokio::test]
async fn a_fix_older_than_the_platform_keeps_is_refused_alone() {
    refused(Refusal::TooOld, "older than", |_, fix| fix.time_us = Some(1)).await;
}

#[tokio::test]
async fn a_fix_off_the_globe_is_refused_alone() {
    refused(Refusal::OutOfRange, "latitude of 91 deg is outside -90 to 90", |_, fix| fix.lat = Some(91.0))
        .await;
}

#[tokio::test]
async fn a_fix_that_is_no_number_is_refused_alone() {
    refused(Refusal::OutOfRange, "longitude of NaN deg", |_, fix| fix.lon = Some(f64::NAN)).await;
}

#[tokio::test]
async fn a_fix_without_a_place_is_refused_alone() {
    refused(Refusal::OutOfRange, "latitude is missing", |_, fix| fix.lat = None).await;
}

#[tokio::test]
async fn an_identity_with_other_content_is_refused_and_the_first_stays() {
    let platform = Platform::start();
    let vehicle = platform.connect("TRUCK-042").await;
    let mut live = vehicle.open(Channel::Live).await;
    live.batch(vec![platform.fix(0)]).await;
    assert_eq!(live.acknowledged().await, [0, 0]);
    live.batch(vec![GeoTelemetry { lat: Some(61.0), ..platform.fix(0) }, platform.fix(1)]).await;
    let (sequence, code, detail) = live.refused().await;
    assert_eq!((sequence, code), (0, Refusal::IdentityReused.code()));
    assert_eq!(detail, "the same identity was stored before with other content");
    assert_eq!(live.acknowledged().await, [0, 1]);
    let lats: Vec<f64> = platform.rows().iter().map(|row| row.fix.position.lat()).collect();
    assert_eq!(lats, [60.17, 60.17]);
}

#[tokio::test]
async fn a_row_that_the_store_can_not_hold_goes_to_the_dead_letters_alone() {
    let store = MemoryStore::new().with_constraint(|row| match row.fix.sequence {
        3 => Err("no partition for this row".to_owned()),
        _ => Ok(()),
    });
    let platform = Platform::start_with(store, |_| ());
    let vehicle = platform.connect("TRUCK-042").await;
    let mut live = vehicle.open(Channel::Live).await;
    live.batch((0..8).map(|sequence| platform.fix(sequence)).collect()).await;
    let (sequence, code, detail) = live.refused().await;
    assert_eq!(
        (sequence, code, detail.as_str()),
        (3, Refusal::DeadLetter.code(), "no partition for this row")
    );
    assert_eq!(live.acknowledged().await, [0, 2, 4, 7]);
    assert_eq!((platform.rows().len(), platform.store.dead_letters().len()), (7, 1));
}

#[tokio::test]
async fn a_certificate_of_another_ca_gets_no_session() {
    let platform = Platform::start();
    let stranger = Ca::new(&SeedTree::from_number(8), real::wall()).expect("a CA");
    let who = Principal::Vehicle {
        tenant: "acme".parse().expect("a valid name"),
        vehicle: "TRUCK-042".parse().expect("a valid name"),
    };
    let forged = stranger.issue(&who, &SeedTree::from_number(8)).expect("a certificate");
    let (_, trust) = platform.identity("acme", "TRUCK-042");
    // TLS 1.3 lets a client believe that it is connected before the server has seen its certificate.
    if let Ok(vehicle) = platform.try_connect(&forged, &trust).await {
        let reason = vehicle.closed().await;
        assert!(
            reason.contains("unknown") || reason.contains("certificate") || reason.contains("signature"),
            "{reason}"
        );
    }
    platform.happened("gateway.handshake_failed", "").await;
    assert_eq!(platform.counted("gateway.connected", ""), 0);
    still_serves(&platform).await;
}

#[tokio::test]
async fn once_half_of_the_places_are_taken_an_address_is_to_be_proven_and_who_can_comes_in() {
    let platform = Platform::start_with(MemoryStore::new(), |config| config.sessions_max = 4);
    let mut vehicles = Vec::new();
    for vehicle in ["TRUCK-001", "TRUCK-002", "TRUCK-003"] {
        vehicles.push(platform.connect(vehicle).await);
    }
    assert_eq!(platform.counted("gateway.address_asked", ""), 0, "there is room");
    let fourth = platform.connect("TRUCK-004").await;
    assert_eq!(platform.counted("gateway.address_asked", ""), 1);
    let mut live = fourth.open(Channel::Live).await;
    live.batch(vec![platform.fix(1)]).await;
    assert_eq!(live.acknowledged().await, [1, 1]);
    let (identity, trust) = platform.identity("acme", "TRUCK-005");
    assert!(platform.try_connect(&identity, &trust).await.is_err(), "all places are taken");
    assert_eq!(platform.counted("gateway.overloaded", ""), 1);
}

#[tokio::test]
async fn a_service_certificate_is_no_vehicle() {
    let platform = Platform::start();
    let ca_seeds = SeedTree::from_number(7);
    let ca = Ca::new(&ca_seeds, real::wall()).expect("a CA");
    let identity = ca.issue(&Principal::service(NodeKind::Gateway, 5), &ca_seeds).expect("a certificate");
    let (_, trust) = platform.identity("acme", "TRUCK-042");
    let vehicle = platform.try_connect(&identity, &trust).await.expect("the same CA");
    let reason = vehicle.closed().await;
    assert!(reason.contains("the certificate names no vehicle"), "{reason}");
    platform.happened("gateway.identity_refused", "").await;
}

#[tokio::test]
async fn a_silent_peer_loses_its_session() {
    let platform =
        Platform::start_with(MemoryStore::new(), |config| config.silence_max = Duration::from_millis(100));
    let silent = platform.connect("TRUCK-042").await;
    let reason = silent.closed().await;
    assert!(reason.contains("no stream was opened in time"), "{reason}");
    platform.happened("gateway.session_refused", "silent").await;
    // Once, the session's task went on for ever after it had closed the connection.
    platform.happened("gateway.disconnected", "").await;
    let mute = platform.connect("TRUCK-043").await;
    let (mut send, _recv) = mute.connection.open_bi().await.expect("a stream");
    // Half of a hello, and then nothing.
    send.write_all(&[9, 1, 8]).await.expect("room");
    let reason = mute.closed().await;
    assert!(reason.contains("no hello came in time"), "{reason}");
    assert_eq!(platform.counted("gateway.session_refused", "silent"), 2, "late is not wrong");
}

#[tokio::test]
async fn a_peer_that_takes_no_answers_loses_its_session_and_holds_up_nobody() {
    let platform = Platform::start_with(MemoryStore::new(), |config| {
        config.silence_max = Duration::from_millis(300);
        config.rate_fixes_per_s = 1_000_000;
        config.rate_burst_fixes = 1_000_000;
    });
    let vehicle = platform.connect("TRUCK-042").await;
    let mut stream = vehicle.open(Channel::Live).await;
    // Refusals with long details fill the window that the vehicle never empties.
    let bad = |sequence| GeoTelemetry { vehicle_id: Some("x".repeat(60)), ..platform.fix(sequence) };
    let mut bytes = bytes::BytesMut::new();
    let fixes = (0..400).map(bad).collect();
    Frame::Batch(drover_wire::geostream::Batch { epoch: Some(7), fixes }).encode(&mut bytes);
    let flood = async { while stream.send.write_all(&bytes).await.is_ok() {} };
    let _ = tokio::time::timeout(Duration::from_secs(10), flood).await;
    let reason = vehicle.closed().await;
    assert!(reason.contains("takes no acknowledgements"), "{reason}");
    still_serves(&platform).await;
}

#[tokio::test]
async fn a_legacy_report_is_stored_once_acknowledged_and_held_to_its_certificate() {
    let platform = Platform::start();
    let vehicle = platform.connect("TRUCK-042").await;
    let golden = GeoTelemetry {
        vehicle_id: Some("TRUCK-042".to_owned()),
        lat: Some(48.8584),
        lon: Some(2.2945),
        speed_kmh: Some(85),
        timestamp: Some(1_749_600_000),
        ..GeoTelemetry::default()
    };
    for _ in 0..2 {
        let mut send = vehicle.connection.open_uni().await.expect("a stream");
        send.write_all(&golden.encode_to_vec()).await.expect("room");
        send.finish().expect("not finished before");
        let mut answer = vehicle.connection.accept_uni().await.expect("an answer");
        assert_eq!(answer.read_to_end(64).await.expect("whole"), [0x0a, 0x02, 0x4f, 0x4b]);
    }
    assert_eq!(platform.rows().len(), 1);
    assert_eq!(platform.rows()[0].tenant.as_str(), "acme");
    let other = GeoTelemetry { vehicle_id: Some("TRUCK-007".to_owned()), ..golden };
    let mut send = vehicle.connection.open_uni().await.expect("a stream");
    send.write_all(&other.encode_to_vec()).await.expect("room");
    send.finish().expect("not finished before");
    platform.happened("gateway.legacy_refused", "wrong_vehicle").await;
    assert_eq!(platform.rows().len(), 1);
}

#[tokio::test]
async fn a_gateway_that_stops_acknowledges_what_is_under_way_and_says_goodbye() {
    let platform = Platform::start();
    let vehicle = platform.connect("TRUCK-042").await;
    let mut live = vehicle.open(Channel::Live).await;
    live.batch(vec![platform.fix(0)]).await;
    while platform.rows().is_empty() {
        sleep(Duration::from_millis(1)).await;
    }
    platform.stop();
    assert_eq!(live.acknowledged().await, [0, 0]);
    let reason = vehicle.closed().await;
    assert!(reason.contains("about to stop") || reason.contains("has stopped"), "{reason}");
}
