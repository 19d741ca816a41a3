//! How long a run took, in real and in CPU time. The only clock of the twin, and no gate sees it.

use std::fs;
use std::time::{Duration, Instant};

use drover_harness::report::Speed;

/// Runs from its making.
#[derive(Debug)]
pub(crate) struct Stopwatch {
    wall: Instant,
    cpu: Option<Duration>,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        #[expect(clippy::disallowed_methods, reason = "real time is what is measured here")]
        let wall = Instant::now();
        Self { wall, cpu: cpu_time() }
    }

    /// Real time since the start.
    pub(crate) fn wall(&self) -> Duration {
        self.wall.elapsed()
    }

    /// The speed of a run of `virtual_s` seconds. Where the system does not tell CPU time, real time stands for it.
    pub(crate) fn speed(&self, virtual_s: f64) -> Speed {
        let wall = self.wall();
        let cpu = match (self.cpu, cpu_time()) {
            (Some(before), Some(now)) => now.saturating_sub(before),
            _ => wall,
        };
        let cpu_s = cpu.as_secs_f64();
        let virtual_per_cpu = if cpu_s > 0.0 { virtual_s / cpu_s } else { 0.0 };
        Speed { virtual_s, cpu_s, wall_s: wall.as_secs_f64(), virtual_per_cpu }
    }
}

/// CPU time of this thread, which is the one that runs the simulation. Linux only; other systems tell it through calls
/// that need `unsafe`.
fn cpu_time() -> Option<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_takes_cpu_time() {
        let watch = Stopwatch::start();
        let mut sum = 0_u64;
        while watch.wall() < Duration::from_millis(20) {
            sum = sum.wrapping_mul(31).wrapping_add(7);
        }
        let speed = watch.speed(10.0);
        assert!(std::hint::black_box(sum) != 1 && speed.wall_s >= 0.02);
        assert!(speed.cpu_s > 0.0 && speed.virtual_per_cpu > 0.0, "{speed:?}");
    }
}
