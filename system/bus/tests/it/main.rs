//! Agents and pools over real sockets: what a caller may rely on.

mod cluster;
mod corpus;
mod tools;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use drover_bus::{CallError, CallOptions, ListTools, PoolConfig, PublishError, Route, Tool};
use drover_model::{NodeKind, NodeName};
use drover_wire::FrameDecoder;
use drover_wire::mcp::{Call, Frame, SHARED_FRAME_BYTES_MAX};
use prost::Message;
use tokio::sync::mpsc;

use crate::cluster::{Cluster, FIRST};
use crate::tools::{Echo, Nobody, Once, Slow, Text, Work, text};

const WAIT: Duration = Duration::from_secs(10);

fn within(wait: Duration) -> CallOptions {
    CallOptions::within(wait)
}

#[tokio::test]
async fn a_call_is_answered_and_its_caller_known_by_certificate() {
    let cluster = Cluster::start(|agent| {
        agent.tool::<Echo, _, _>(|call, input: Text| async move {
            let tenant = call.tenant.unwrap_or_default();
            Ok(text(&format!("{} for {tenant}: {}", call.caller, input.value())))
        })
    });
    let tenant = "acme".parse().expect("a valid name");
    let answer =
        cluster.pool.call::<Echo>(Route::RoundRobin, &text("hello"), within(WAIT).for_tenant(tenant)).await;
    assert_eq!(answer, Ok(text("gateway/0 for acme: hello")));
}

#[tokio::test]
async fn the_listing_shows_what_the_caller_may_use_with_its_schemas() {
    let cluster = Cluster::start(|agent| agent.tool::<Echo, _, _>(|_, input: Text| async move { Ok(input) }));
    let list = cluster.pool.call::<ListTools>(Route::Node(FIRST), &Default::default(), within(WAIT)).await;
    let tools = list.expect("a listing").tools;
    assert_eq!(tools.len(), 1);
    assert_eq!(tools[0].name.as_deref(), Some("Test.echo"));
    assert_eq!(tools[0].safe_to_repeat, Some(true));
    let schema: serde_json::Value =
        serde_json::from_str(tools[0].input_schema.as_deref().expect("a schema")).expect("JSON");
    assert_eq!(schema["properties"]["text"]["description"], "Any text.");
}

#[tokio::test]
async fn every_failure_has_its_kind() {
    let cluster = Cluster::start(|agent| {
        agent.tool::<Echo, _, _>(|_, input: Text| async move {
            Err(match input.value() {
                "refused" => CallError::Refused("no".to_owned()),
                "overloaded" => CallError::Overloaded("full".to_owned()),
                _ => CallError::Unavailable("away".to_owned()),
            })
        })
    });
    let check = async |input: &str| {
        let answer = cluster.pool.call::<Echo>(Route::RoundRobin, &text(input), within(WAIT)).await;
        answer.expect_err("an error").to_string()
    };
    assert_eq!(check("refused").await, "refused: no");
    assert_eq!(check("overloaded").await, "overloaded: full");
    assert_eq!(check("").await, "unavailable: away");
    let unknown = cluster.pool.call::<Work>(Route::RoundRobin, &text(""), within(WAIT)).await;
    assert_eq!(unknown.expect_err("unknown").to_string(), "unknown tool Test offers no Test.work");
    let forbidden = cluster.pool.call::<Nobody>(Route::RoundRobin, &text(""), within(WAIT)).await;
    assert_eq!(forbidden.expect_err("refused").to_string(), "refused: gateway/0 may not call Secret.tool");
    let (nowhere, soon) = (Route::Node(NodeName::new(NodeKind::Hub, 9)), Duration::from_millis(20));
    let nobody = cluster.pool.call::<Echo>(nowhere, &text(""), within(soon)).await;
    assert_eq!(nobody.expect_err("nobody").to_string(), "unavailable: no persistence node is connected");
}

#[tokio::test]
async fn arguments_that_are_no_input_are_bad_arguments() {
    let cluster = Cluster::start(|agent| agent.tool::<Echo, _, _>(|_, input: Text| async move { Ok(input) }));
    let input = tools::Number { number: Some(7) };
    let answer = cluster.pool.call::<tools::BadEcho>(Route::RoundRobin, &input, within(WAIT)).await;
    let error = answer.expect_err("bad arguments");
    assert!(matches!(error, CallError::BadArguments(_)), "{error}");
    assert!(!error.is_retryable());
}

#[tokio::test]
async fn a_tool_that_is_late_is_ended_and_the_caller_told() {
    let (dropped, mut ended) = mpsc::channel::<()>(1);
    let cluster = Cluster::start(move |agent| {
        agent.tool::<Slow, _, _>(move |_, _| {
            let guard = dropped.clone();
            async move {
                std::future::pending::<()>().await;
                drop(guard);
                Ok(text("never"))
            }
        })
    });
    cluster.connected().await;
    let answer =
        cluster.pool.call::<Slow>(Route::RoundRobin, &text(""), within(Duration::from_millis(100))).await;
    assert!(matches!(answer, Err(CallError::Deadline(_))), "{answer:?}");
    // A caller that gives up earlier than the deadline cancels the tool at once.
    let input = text("");
    let call = cluster.pool.call::<Slow>(Route::RoundRobin, &input, within(WAIT));
    assert!(tokio::time::timeout(Duration::from_millis(50), call).await.is_err());
    while cluster.counted("bus.cancelled") == 0 {
        tokio::task::yield_now().await;
    }
    assert!(ended.try_recv().is_err());
}

#[tokio::test]
async fn a_streamed_tool_tells_its_progress() {
    let cluster = Cluster::start(|agent| {
        agent.tool::<Work, _, _>(|call, _| async move {
            for part in 1..=4 {
                call.progress(f64::from(part) / 4.0, Bytes::from(format!("part {part}")));
            }
            Ok(text("done"))
        })
    });
    let (send, mut seen) = mpsc::channel(8);
    let options = within(WAIT).on_progress(move |progress| drop(send.try_send(progress)));
    let answer = cluster.pool.call::<Work>(Route::RoundRobin, &text(""), options).await;
    assert_eq!(answer, Ok(text("done")));
    let mut parts = Vec::new();
    while let Some(progress) = seen.recv().await {
        parts.push((progress.fraction, String::from_utf8(progress.body.to_vec()).expect("text")));
    }
    assert_eq!(parts.len(), 4);
    assert_eq!(parts[3], (1.0, "part 4".to_owned()));
}

#[tokio::test]
async fn large_calls_and_answers_pass_and_hold_up_nobody() {
    let cluster = Cluster::start(|agent| {
        agent.tool::<Echo, _, _>(|_, input: Text| async move {
            // A short input asks for a long answer.
            let long = || text(&"y".repeat(3_000_000));
            Ok(if input.value() == "long" { long() } else { text(&input.value().len().to_string()) })
        })
    });
    let (large, long, short) = (text(&"x".repeat(3_000_000)), text("long"), text("abc"));
    let (there, back, small) = tokio::join!(
        cluster.pool.call::<Echo>(Route::RoundRobin, &large, within(WAIT)),
        cluster.pool.call::<Echo>(Route::RoundRobin, &long, within(WAIT)),
        cluster.pool.call::<Echo>(Route::RoundRobin, &short, within(WAIT)),
    );
    assert_eq!(there, Ok(text("3000000")));
    assert_eq!(back.map(|answer| answer.value().len()), Ok(3_000_000));
    assert_eq!(small, Ok(text("3")));
    let huge = cluster.pool.call::<Echo>(Route::RoundRobin, &text(&"x".repeat(5 << 20)), within(WAIT)).await;
    assert!(matches!(huge, Err(CallError::BadArguments(_))), "{huge:?}");
}

#[tokio::test]
async fn a_publisher_is_held_back_by_a_slow_subscriber_and_nothing_is_lost() {
    let (send, mut seen) = mpsc::channel::<u64>(1);
    let cluster = Cluster::start(move |agent| {
        agent.subscribe("vehicle:", move |message| {
            let send = send.clone();
            async move {
                let number = message.body.as_ref().try_into().map(u64::from_le_bytes).expect("eight bytes");
                // The test is still there, or has failed already.
                let _ = send.send(number).await;
            }
        })
    });
    cluster.connected().await;
    let publish = |number: u64| {
        cluster.pool.publish(
            Route::Node(FIRST),
            "vehicle:TRUCK-042",
            Bytes::copy_from_slice(&number.to_le_bytes()),
        )
    };
    let mut published = 0;
    while publish(published) == Ok(()) {
        published += 1;
    }
    assert!(
        (1024..2048).contains(&published),
        "{published} messages went out before the subscriber took one"
    );
    assert_eq!(publish(published), Err(PublishError::Full));
    for expected in 0..published {
        assert_eq!(seen.recv().await, Some(expected));
    }
    // Taken messages give credit back.
    while publish(published) != Ok(()) {
        tokio::task::yield_now().await;
    }
    assert_eq!(seen.recv().await, Some(published));
}

#[tokio::test]
async fn only_what_is_safe_to_repeat_is_made_again_elsewhere() {
    let calls = Arc::new(AtomicU64::new(0));
    let counted = calls.clone();
    let cluster = Cluster::start_many(2, PoolConfig::default(), move |index, agent| {
        let (echo, once) = (counted.clone(), counted.clone());
        let answer = move |calls: &AtomicU64| {
            calls.fetch_add(1, Ordering::Relaxed);
            match index {
                0 => Err(CallError::Unavailable("away".to_owned())),
                _ => Ok(text("from the other")),
            }
        };
        agent
            .tool::<Echo, _, _>(move |_, _| std::future::ready(answer(&echo)))
            .tool::<Once, _, _>(move |_, _| std::future::ready(answer(&once)))
    });
    cluster.connected().await;
    for _ in 0..4 {
        let answer = cluster.pool.call::<Echo>(Route::RoundRobin, &text(""), within(WAIT)).await;
        assert_eq!(answer, Ok(text("from the other")));
    }
    assert!(calls.swap(0, Ordering::Relaxed) > 4, "some calls were made twice");
    let mut failed = 0;
    for _ in 0..4 {
        let answer = cluster.pool.call::<Once>(Route::RoundRobin, &text(""), within(WAIT)).await;
        failed += u64::from(answer.is_err());
    }
    assert_eq!((calls.load(Ordering::Relaxed), failed > 0), (4, true), "one attempt each");
}

/// Once, a message published between two calls moved the turn, and all calls went to the same node.
#[tokio::test]
async fn calls_are_spread_evenly_whatever_is_published_between_them() {
    let cluster = Cluster::start_many(2, PoolConfig::default(), |index, agent| {
        agent
            .tool::<Echo, _, _>(move |_, _| std::future::ready(Ok(text(&index.to_string()))))
            .subscribe("vehicle:", |_| std::future::ready(()))
    });
    cluster.connected().await;
    let mut answers = Vec::new();
    for _ in 0..8 {
        let published = cluster.pool.publish(Route::Node(FIRST), "vehicle:TRUCK-042", Bytes::new());
        assert_eq!(published, Ok(()));
        let answer = cluster.pool.call::<Echo>(Route::RoundRobin, &text(""), within(WAIT)).await;
        answers.push(answer.expect("an answer").value().to_owned());
    }
    assert_eq!(answers.iter().filter(|answer| *answer == "0").count(), 4, "{answers:?}");
}

#[tokio::test]
async fn calls_move_to_the_node_that_is_left_and_back() {
    let mut cluster = Cluster::start_many(2, PoolConfig::default(), |index, agent| {
        agent.tool::<Echo, _, _>(move |_, _| std::future::ready(Ok(text(&index.to_string()))))
    });
    cluster.connected().await;
    cluster.stop(0).await;
    for _ in 0..4 {
        let answer = cluster.pool.call::<Echo>(Route::RoundRobin, &text(""), within(WAIT)).await;
        assert_eq!(answer, Ok(text("1")));
    }
    // The list may shrink at any time.
    cluster.pool.set_nodes(Vec::new());
    let answer =
        cluster.pool.call::<Echo>(Route::RoundRobin, &text(""), within(Duration::from_millis(50))).await;
    assert!(matches!(answer, Err(CallError::Unavailable(_))), "{answer:?}");
}

#[tokio::test]
async fn an_agent_that_stops_answers_what_it_has_begun() {
    let (begun, mut wait) = mpsc::channel::<()>(1);
    let release = Arc::new(tokio::sync::Notify::new());
    let gate = release.clone();
    let mut cluster = Cluster::start(move |agent| {
        agent.tool::<Echo, _, _>(move |_, input: Text| {
            let (begun, gate) = (begun.clone(), gate.clone());
            async move {
                let _ = begun.send(()).await;
                gate.notified().await;
                Ok(input)
            }
        })
    });
    let pool = cluster.pool.clone();
    let call = cluster.env.spawn("call", async move {
        pool.call::<Echo>(Route::RoundRobin, &text("late"), within(WAIT)).await
    });
    assert_eq!(wait.recv().await, Some(()));
    let stopping = cluster.stop(0);
    release.notify_one();
    stopping.await;
    assert_eq!(call.await, Ok(Ok(text("late"))));
}

#[tokio::test]
async fn a_caller_that_takes_no_answers_is_not_read_and_goes_on_once_it_does() {
    let cluster = Cluster::start(|agent| agent.tool::<Echo, _, _>(|_, input: Text| async move { Ok(input) }));
    let (_endpoint, mut send, mut recv) = cluster.raw_calls(1).await;
    // Far more than the windows of the stream and the bound of waiting answers hold together.
    let calls = 200;
    let call = |id| {
        let (tool, arguments) = (Some(Echo::NAME.to_owned()), text(&"x".repeat(30_000)).encode_to_vec());
        Frame::Call(Call { id: Some(id), tool, arguments: Some(arguments.into()), ..Call::default() })
    };
    let write = cluster.env.spawn("writer", async move {
        for id in 0..calls {
            let mut bytes = BytesMut::new();
            call(id).encode(&mut bytes);
            send.write_all(&bytes).await.expect("alive");
        }
        send.finish().expect("not finished before");
    });
    while cluster.counted("bus.answers_wait") == 0 {
        tokio::task::yield_now().await;
    }
    let mut decoder = FrameDecoder::new(SHARED_FRAME_BYTES_MAX);
    let mut answered = 0;
    let read = async {
        while let Some(chunk) = recv.read_chunk(1 << 16, true).await.expect("alive") {
            decoder.push(&chunk.bytes);
            while let Some((kind, body)) = decoder.next_frame().expect("a frame") {
                let frame = Frame::decode(kind, &body).expect("a known frame");
                assert!(matches!(frame, Frame::Reply(_)), "{frame:?}");
                answered += 1;
            }
        }
    };
    tokio::time::timeout(WAIT, read).await.expect("all answers in time");
    write.await.expect("all calls are written");
    assert_eq!(answered, calls);
}

#[tokio::test]
async fn an_agent_that_stops_gives_up_calls_that_do_not_end() {
    let mut cluster = Cluster::start(|agent| {
        let agent = agent.drain(Duration::from_millis(50));
        agent.tool::<Slow, _, _>(|_, _| async move { std::future::pending().await })
    });
    let (endpoint, mut send, _recv) = cluster.raw_calls(1).await;
    let call = Call { id: Some(1), tool: Some(Slow::NAME.to_owned()), ..Call::default() };
    let mut bytes = BytesMut::new();
    Frame::Call(Call { deadline_ms: Some(u32::MAX), ..call }).encode(&mut bytes);
    send.write_all(&bytes).await.expect("room");
    while cluster.counted("queue") == 0 {
        tokio::task::yield_now().await;
    }
    tokio::time::timeout(WAIT, cluster.stop(0)).await.expect("it stops");
    assert_eq!(cluster.counted("bus.drain_given_up"), 1);
    endpoint.close(0_u32.into(), b"");
}

#[tokio::test]
async fn a_peer_that_is_no_service_is_turned_away() {
    let cluster = Cluster::start(|agent| agent);
    let reason = cluster.connect_as_vehicle().await;
    assert!(reason.contains("the certificate names no service"), "{reason}");
}

#[tokio::test]
async fn broken_frames_end_the_connection_with_a_reason() {
    let cluster = Cluster::start(|agent| agent);
    let check = async |from: u32, bytes: &[u8], expected: &str| {
        let reason = cluster.send_raw(from, bytes).await;
        assert!(reason.contains(expected), "{reason}");
    };
    check(1, &[0x00], "malformed length").await;
    check(2, &[0x02, 0x63, 0x00], "unknown kind 99").await;
    check(3, &[0xff, 0xff, 0xff, 0x7f], "exceeds the limit of 65536").await;
    check(4, &[0x02, 0x01, 0x0b], "decode the body of a call frame").await;
    // A reply from a caller has no place here.
    check(5, &[0x01, 0x02], "unexpected reply frame").await;
}
