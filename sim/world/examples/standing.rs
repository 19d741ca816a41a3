//! Prints what standing receivers write: `standing GRADE TALKER SECONDS COUNT`, with the vehicle's number before each
//! sentence. `tests/peers/receiver_error.py` holds it against recordings.

use std::io::{BufWriter, Write};
use std::sync::Arc;

use drover_model::WallTime;
use drover_world::{Fleet, Grade, RadioSpec, ReceiverSpec, Roads, Talker, World, WorldSpec};

fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [grade, talker, seconds, count] = &arguments[..] else {
        eprintln!("usage: standing modern|held|weak plain|ublox|mtk|sirf|quectel SECONDS COUNT");
        std::process::exit(64);
    };
    let grade = match grade.as_str() {
        "held" => Grade::Held,
        "weak" => Grade::Weak,
        _ => Grade::Modern,
    };
    let talker = match talker.as_str() {
        "ublox" => Talker::Ublox,
        "mtk" => Talker::Mtk,
        "sirf" => Talker::Sirf,
        "quectel" => Talker::Quectel,
        _ => Talker::Plain,
    };
    let (seconds, count): (u32, u32) = (seconds.parse().unwrap_or(60), count.parse().unwrap_or(1));
    let receiver = ReceiverSpec { grade, talker, open_sky: true, ..ReceiverSpec::default() };
    let mut world = World::new(WorldSpec {
        seed: 1,
        start: WallTime::from_secs(1_772_434_800),
        roads: Arc::new(Roads::grid(6, 6, 120.0)),
        fleets: vec![Fleet { receiver, ..Fleet { count, ..Fleet::default() } }],
        radio: RadioSpec::default(),
        nodes: Vec::new(),
        faults: Vec::new(),
        traffic: None,
    });
    world.park();
    let mut out = BufWriter::new(std::io::stdout().lock());
    for _ in 0..seconds * 10 {
        world.step();
        for (vehicle, chunk) in world.outputs().nmea() {
            for line in chunk.split_inclusive(|&byte| byte == b'\n') {
                write!(out, "{vehicle} ")?;
                out.write_all(line)?;
            }
        }
    }
    out.flush()
}
