//! A slowdown that is planted, to see whether gates find it. Only `just creep` builds with it; what is shipped has none of this.

use std::thread;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// What is slow, and how much: `gateway=0.15` adds 15 % to the CPU time of each gateway.
const VARIABLE: &str = "DROVER_SLOWDOWN";
/// How often the share is taken: seldom, since each waking costs as much as many microseconds of it.
const EVERY: Duration = Duration::from_millis(100);

/// Makes this process slower by the share that the environment gives for its kind of service, as code that got slower
/// everywhere would: a thread that spends that share of what the rest of the process spends.
///
/// # Errors
/// The variable is no share, or the system has no more threads.
pub(crate) fn plant(service: &str) -> Result<(), String> {
    let Ok(text) = std::env::var(VARIABLE) else { return Ok(()) };
    let wrong = || format!("{VARIABLE}={text:?} is no share of a service: say such as gateway=0.15");
    let (kind, share) = text.split_once('=').ok_or_else(wrong)?;
    let share: f64 = share.parse().map_err(|_| wrong())?;
    if !(0.0..=10.0).contains(&share) {
        return Err(wrong());
    }
    if kind == service {
        let burn = move || burn(share);
        thread::Builder::new().name("slowdown".to_owned()).spawn(burn).map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn burn(share: f64) {
    loop {
        thread::sleep(EVERY);
        let others = used(ClockId::ProcessCPUTime).saturating_sub(used(ClockId::ThreadCPUTime));
        let due = others.mul_f64(share);
        while used(ClockId::ThreadCPUTime) < due {
            std::hint::spin_loop();
        }
    }
}

fn used(clock: ClockId) -> Duration {
    let now = clock_gettime(clock);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}
