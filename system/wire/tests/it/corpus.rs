//! Every input that a fuzzer found worth keeping, through the fuzz targets' own checks.

use std::path::PathBuf;

use bytes::BytesMut;
use drover_wire::{live_map, probe, proxy};

use crate::golden;

#[path = "../../fuzz/checks.rs"]
#[expect(unreachable_pub, reason = "the fuzz targets use it as a library")]
mod checks;

type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 12] = [
    ("geo_telemetry", checks::geo_telemetry),
    ("ack", checks::ack),
    ("record_batch", checks::record_batch),
    ("record_outcome", checks::record_outcome),
    ("geostream_frames", checks::geostream_frames),
    ("command_bodies", checks::command_bodies),
    ("mcp_frames", checks::mcp_frames),
    ("frame_decoder", checks::frame_decoder),
    ("fix_conversion", checks::fix_conversion),
    ("probe", checks::probe),
    ("proxy_header", checks::proxy_header),
    ("live_map_frames", checks::live_map_frames),
];

fn folder(target: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "fuzz", "corpus", target].iter().collect()
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the corpus is files, and a test has no Env")]
fn the_corpus_passes_its_checks() {
    for (target, check) in TARGETS {
        let inputs = std::fs::read_dir(folder(target)).expect("each target has a corpus");
        let mut paths: Vec<_> = inputs.map(|input| input.expect("a readable folder").path()).collect();
        paths.sort();
        assert!(paths.len() >= 5, "{target} has {} inputs", paths.len());
        for path in paths {
            // A failed check is told apart by what was printed last.
            eprintln!("{}", path.display());
            check(&std::fs::read(&path).expect("a readable file"));
        }
    }
}

/// The golden bytes of each target, in the form that it takes.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let messages = |schema: &str| -> Vec<_> {
        golden::messages().filter(|(name, _)| *name == schema).map(|(_, bytes)| bytes).collect()
    };
    // All golden frames are shorter than 16 KiB: their lengths have one or two bytes.
    let unframed = |bytes: Vec<u8>| bytes[if bytes[0] < 0x80 { 1 } else { 2 }..].to_vec();
    match target {
        "geo_telemetry" | "fix_conversion" => messages("GeoTelemetry"),
        "ack" => messages("Ack"),
        "record_batch" => messages("RecordBatch"),
        "record_outcome" => messages("RecordOutcome"),
        "command_bodies" => {
            let [message, route] = ["MessageBody", "RouteBody"].map(|schema| messages(schema).remove(0));
            let cut = |bytes: &[u8]| bytes[..bytes.len() - 1].to_vec();
            // A field of 33 bits, and half a point.
            let wide = [&route[..], &[0x10, 0xff, 0xff, 0xff, 0xff, 0x1f]].concat();
            let half = [&route[..], &[0x32, 1, 2]].concat();
            vec![cut(&message), cut(&route), message, route, wide, half]
        }
        "geostream_frames" => golden::geostream_frames().map(unframed).collect(),
        "mcp_frames" => golden::mcp_frames().map(unframed).collect(),
        "frame_decoder" => {
            let small = || golden::geostream_frames().chain(golden::mcp_frames()).filter(|f| f.len() <= 64);
            let stream = small().fold(vec![3], |stream, frame| [stream, frame].concat());
            small().map(|frame| [vec![1], frame].concat()).chain([stream]).collect()
        }
        "probe" => {
            let asked = probe::question(7);
            let answer = probe::answer_to(&asked).expect("a question");
            vec![
                asked.to_vec(),
                answer.to_vec(),
                asked[..15].to_vec(),
                [&asked[..], &[0]].concat(),
                vec![0; 16],
            ]
        }
        "proxy_header" => {
            let addr = |text: &str| text.parse().expect("an address");
            let of = |client, server| {
                let tcp = proxy::Proxied::Tcp { client: addr(client), server: addr(server) };
                proxy::Header::of(tcp).as_bytes().to_vec()
            };
            let v4 = of("127.0.0.9:40009", "127.0.0.1:31111");
            let local = proxy::Header::of(proxy::Proxied::Local).as_bytes().to_vec();
            let longest = [&local[..14], &[2, 8], &[0; 520]].concat();
            let skipped = [&v4[..15], &[15], &v4[16..28], &[0xe0, 0, 0]].concat();
            vec![
                [&v4[..], b"GET / HTTP/1.1\r\n"].concat(),
                of("[2001:db8::1]:5", "192.0.2.1:443"),
                v4[..20].to_vec(),
                local,
                longest,
                skipped,
            ]
        }
        "live_map_frames" => {
            let frames = [
                live_map::Frame::Open("drover.bin".to_owned()),
                live_map::Frame::Text(r#"{"action":"PING"}"#.to_owned()),
                live_map::Frame::Binary(vec![1, 0, 24, 0].into()),
                live_map::Frame::Ping,
                live_map::Frame::Pong,
                live_map::Frame::Close { code: 4508, reason: "slow".to_owned() },
            ];
            let bytes = |frame: &live_map::Frame| {
                let mut bytes = BytesMut::new();
                frame.push(&mut bytes);
                bytes.to_vec()
            };
            let each: Vec<_> = frames.iter().map(bytes).collect();
            let wrong = [vec![0], vec![1, 3], vec![3, 1, 0xc3, 0x28], vec![2, 9, 0]];
            [each.concat()].into_iter().chain(each).chain(wrong).collect()
        }
        other => panic!("no target is named {other}"),
    }
}

#[test]
fn the_golden_bytes_pass_the_checks() {
    for (target, check) in TARGETS {
        let seeds = seeds(target);
        assert!(!seeds.is_empty());
        seeds.iter().for_each(|seed| check(seed));
    }
}

#[test]
#[ignore = "writes the golden bytes into the corpus: run it after a kind of frame was added"]
#[expect(clippy::disallowed_methods, reason = "the corpus is files, and a test has no Env")]
fn write_seeds() {
    for (target, _) in TARGETS {
        std::fs::create_dir_all(folder(target)).expect("a folder");
        for (number, seed) in seeds(target).iter().enumerate() {
            std::fs::write(folder(target).join(format!("golden_{number:02}")), seed).expect("a file");
        }
    }
}
