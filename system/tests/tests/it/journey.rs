//! A tracker, a gateway and a persistence agent together: what comes from the receiver is in the store, each fix once.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use drover_env::real::{self, Metrics};
use drover_store::{MemoryStore, Origin, Row};
use drover_tracker::{Arrived, Config, Spool, Summary, Tracker};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::platform::{ANY, PATIENCE, Platform};

/// Sentences arrive cut anywhere.
const PIECE_BYTES: usize = 57;
/// Recordings are older than a gateway takes by default.
const RECORDING_AGE_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// A vehicle's own folder, which outlasts its tracker.
struct Van {
    platform: Platform,
    env: drover_env::Env,
    _folder: tempfile::TempDir,
}

impl Van {
    fn new() -> Self {
        let platform = Platform::start_with(MemoryStore::new(), |config| config.age_max = RECORDING_AGE_MAX);
        let folder = tempfile::tempdir().expect("a folder");
        let env = real::env("vehicle", folder.path(), Arc::new(Metrics::default())).expect("an env");
        Self { platform, env, _folder: folder }
    }

    /// Feeds a tracker until it has settled everything, or until `cancel`.
    async fn drive(&self, nmea: &[u8], exit_at_end: bool, cancel: CancellationToken) -> Summary {
        let config = Config {
            servers: vec![self.platform.gateway],
            bind: ANY,
            send_interval: Duration::from_millis(20),
            sync_interval: Duration::from_millis(10),
            exit_at_end,
            ..Config::default()
        };
        let (identity, trust) = self.platform.identity("acme", "VAN-7");
        let (port, gps) = mpsc::channel(4);
        let tracker = Tracker::bind(self.env.clone(), config, identity, trust, gps).expect("it binds");
        let feed = async {
            for piece in nmea.chunks(PIECE_BYTES) {
                // A tracker that is told to stop takes no more.
                let _ = port.send(Arrived::now(Bytes::copy_from_slice(piece))).await;
            }
            drop(port);
        };
        let run = async { tokio::join!(tracker.run(cancel), feed).0 };
        let summary = tokio::time::timeout(PATIENCE, run).await.expect("all is settled in time");
        summary.expect("the spool opens")
    }

    /// Recorded, durable and stored are the same fixes.
    fn expect_each_once(&self, recorded: u64, durable: u64) -> Vec<Row> {
        let rows = self.platform.rows();
        let mut sequences: Vec<_> = rows.iter().map(|row| row.fix.sequence).collect();
        sequences.sort_unstable();
        assert_eq!(sequences, (0..recorded).collect::<Vec<_>>(), "each once, and no other");
        assert_eq!(recorded, durable);
        assert!(rows.iter().all(|row| row.vehicle.as_str() == "VAN-7" && row.tenant.as_str() == "acme"));
        let epochs: Vec<Origin> = rows.iter().map(|row| row.origin).collect();
        assert!(epochs.windows(2).all(|pair| pair[0] == pair[1]), "one epoch");
        assert_eq!(Spool::inspect(&self.env).expect("it reads"), [], "nothing is owed");
        assert_eq!(self.platform.counted("gateway.refused", ""), 0);
        rows
    }
}

/// RMC and GGA of each second, due north at 10 m/s from 60 degrees north.
fn synthetic(seconds: std::ops::Range<u32>) -> Vec<u8> {
    let mut nmea = String::new();
    for second in seconds {
        let time = format!("12{:02}{:02}.00", second / 60, second % 60);
        // 10 m are 5.4 thousandths of a minute of latitude.
        let minutes = 10.0 + f64::from(second) * 0.0054;
        for body in [
            format!("GPRMC,{time},A,60{minutes:07.4},N,02456.4000,E,19.4,0.0,020326,,,A"),
            format!("GPGGA,{time},60{minutes:07.4},N,02456.4000,E,1,09,0.9,31.5,M,17.0,M,,"),
        ] {
            let sum = body.bytes().fold(0, |sum, byte| sum ^ byte);
            nmea.push_str(&format!("${body}*{sum:02X}\r\n"));
        }
    }
    nmea.into_bytes()
}

#[tokio::test]
async fn every_fix_of_a_drive_is_stored_once_where_it_was() {
    let van = Van::new();
    let summary = van.drive(&synthetic(0..300), true, CancellationToken::new()).await;
    assert_eq!((summary.recorded, summary.pending, summary.refused, summary.shed), (300, 0, 0, 0));
    for row in van.expect_each_once(summary.recorded, summary.durable) {
        let (fix, second) = (&row.fix, row.fix.sequence as f64);
        let expected = 60.0 + (10.0 + second * 0.0054) / 60.0;
        assert!((fix.position.lat() - expected).abs() < 1e-6, "{fix:?}");
        assert!((fix.position.lon() - 24.94).abs() < 1e-6, "{fix:?}");
        assert_eq!(fix.time.as_micros(), (1_772_452_800 + fix.sequence as i64) * 1_000_000);
        assert!(fix.speed.is_some_and(|speed| (speed.value() - 9.98).abs() < 0.01), "{fix:?}");
    }
}

#[tokio::test]
async fn a_tracker_that_is_stopped_on_its_way_goes_on_where_it_was() {
    let van = Van::new();
    let cancel = CancellationToken::new();
    let stop = async {
        // Something is stored, so something is acknowledged or on its way: the worst moment.
        van.platform.happened("persistence.committed", "").await;
        while van.platform.store.rows_len() == 0 {
            tokio::task::yield_now().await;
        }
        cancel.cancel();
    };
    let first_half = synthetic(0..150);
    let (first, ()) = tokio::join!(van.drive(&first_half, false, cancel.clone()), stop);
    let second = van.drive(&synthetic(150..300), true, CancellationToken::new()).await;
    let recorded = first.recorded + second.recorded;
    assert!(first.recorded > 0 && second.recorded == 150, "{first:?} {second:?}");
    van.expect_each_once(recorded, first.durable + second.durable);
}

#[tokio::test]
async fn recordings_of_real_receivers_are_stored_whole() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/nmea");
    for name in ["ublox-8.log", "neo-m8n.log", "quectel.log"] {
        let path: PathBuf = folder.join(name);
        #[expect(clippy::disallowed_methods, reason = "recordings lie outside any node's disk")]
        let Ok(nmea) = std::fs::read(&path) else {
            println!("SKIP: no recording {}", path.display());
            continue;
        };
        let van = Van::new();
        let summary = van.drive(&nmea, true, CancellationToken::new()).await;
        println!("{name}: {summary:?}");
        assert!(summary.recorded > 0 && summary.recorded == summary.nmea.fixes, "{name}: {summary:?}");
        assert_eq!((summary.pending, summary.refused, summary.shed), (0, 0, 0), "{name}");
        van.expect_each_once(summary.recorded, summary.durable);
    }
}
