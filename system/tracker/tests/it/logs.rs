//! Recordings of some fifty receivers (gpsd's regression logs), where they are at hand.

use std::path::Path;
use std::time::Duration;

use drover_model::{FixFlags, WallTime};
use drover_tracker::NmeaReader;
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn recordings_of_real_receivers_give_sane_fixes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/nmea");
    #[expect(clippy::disallowed_methods, reason = "recordings lie outside any node's disk")]
    let read = |path: &Path| std::fs::read(path).expect("the recording is readable");
    let Ok(entries) = folder.read_dir() else {
        println!("SKIP: no recordings in {}", folder.display());
        return;
    };
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    paths.sort();
    let mut total = 0;
    for path in &paths {
        let (mut reader, mut fixes, mut now) = (NmeaReader::new(), Vec::new(), Instant::now());
        for piece in read(path).chunks(57) {
            reader.push(now, piece, &mut fixes);
            now += Duration::from_millis(5);
        }
        reader.finish(now, &mut fixes);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        println!("{name}: {:?}", reader.counts());
        assert_eq!(reader.counts().fixes, fixes.len() as u64);
        let year = |text: &str| text.parse::<WallTime>().expect("a time");
        for fix in &fixes {
            assert!(
                (year("1990-01-01T00:00:00Z")..year("2060-01-01T00:00:00Z")).contains(&fix.time),
                "{name}: {fix:?}"
            );
            assert!(fix.position.to_e7() != (0, 0), "{name}: {fix:?}");
        }
        let twice = fixes.windows(2).filter(|pair| pair[0].time == pair[1].time).count();
        assert_eq!(twice, 0, "{name}: two fixes of one moment");
        let jumps = fixes.iter().filter(|fix| fix.flags.contains(FixFlags::JUMP)).count();
        // Some recordings were cut together, and a first fix may be far off.
        assert!(jumps <= 2 + fixes.len() / 50, "{name}: {jumps} jumps in {} fixes", fixes.len());
        total += fixes.len();
    }
    println!("{total} fixes in {} recordings", paths.len());
    assert!(paths.is_empty() || total > 1000);
}
