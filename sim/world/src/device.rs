//! The tracking device as a piece of hardware: it sleeps to spare the battery of a parked vehicle, and its clock is wrong.

use std::time::Duration;

use bevy_ecs::prelude::*;
use rand_chacha::ChaCha8Rng;

use crate::Action;
use crate::math::normal_pair;
use crate::motion::{Drive, Phase};
use crate::outputs::Outputs;
use crate::receiver::{Receiver, Sky};
use crate::tick::Tick;

/// When a device sleeps, and how wrong its clock is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DeviceSpec {
    /// It is switched off this long after the engine was, its receiver with it. `None`: never.
    pub sleep_after: Option<Duration>,
    /// It is switched on again this often while the vehicle is parked. `None`: only by the engine.
    pub wake_every: Option<Duration>,
    /// How long it then stays on.
    pub awake: Duration,
    /// Spread of its clock's error when it is first switched on, in seconds.
    pub clock_error_s: f64,
    /// Spread of its clock's drift, in millionths.
    pub clock_drift_ppm: f64,
}

impl Default for DeviceSpec {
    /// Always on, and right.
    fn default() -> Self {
        Self {
            sleep_after: None,
            wake_every: None,
            awake: Duration::from_secs(30),
            clock_error_s: 0.0,
            clock_drift_ppm: 0.0,
        }
    }
}

/// How wrong a device's clock is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClockError {
    /// At the start, in microseconds; positive is ahead.
    pub offset_us: i64,
    /// How fast that grows, in thousandths of a millionth.
    pub drift_ppb: i64,
}

impl ClockError {
    pub(crate) fn draw(spec: &DeviceSpec, rng: &mut ChaCha8Rng) -> Self {
        let (offset, drift) = normal_pair(rng);
        Self {
            offset_us: (offset * spec.clock_error_s * 1e6) as i64,
            drift_ppb: (drift * spec.clock_drift_ppm * 1e3) as i64,
        }
    }
}

/// One vehicle's device.
#[derive(Debug, Clone, Copy, Component)]
pub(crate) struct Device {
    vehicle: u32,
    spec: DeviceSpec,
    pub(crate) clock: ClockError,
    state: State,
    /// A fault keeps it switched off.
    switched_off: bool,
    /// What was last said of it.
    said_awake: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// On, with the engine or for as long as it takes to notice that it is off.
    Awake,
    /// On, and due to be switched off.
    AwakeUntil(Tick),
    /// Off, and due to be switched on, if ever.
    Asleep(Option<Tick>),
}

/// Set once devices are to stay awake for good, so that what they hold can be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Resource)]
pub(crate) struct StayAwake(pub(crate) bool);

impl Device {
    pub(crate) fn new(vehicle: u32, spec: DeviceSpec, mut rng: ChaCha8Rng) -> Self {
        let clock = ClockError::draw(&spec, &mut rng);
        Self { vehicle, spec, clock, state: State::Awake, switched_off: false, said_awake: true }
    }

    /// A fault switches it off, or no longer does.
    pub(crate) fn switch(&mut self, off: bool) {
        self.switched_off = off;
    }

    const fn is_awake(&self) -> bool {
        !self.switched_off && !matches!(self.state, State::Asleep(_))
    }

    fn next(&self, tick: Tick, engine: bool, stay: bool) -> State {
        let Some(sleep_after) = self.spec.sleep_after.filter(|_| !engine && !stay) else {
            return State::Awake;
        };
        match self.state {
            State::Awake => State::AwakeUntil(tick.after(sleep_after)),
            State::AwakeUntil(until) if tick >= until => {
                State::Asleep(self.spec.wake_every.map(|every| tick.after(every)))
            }
            State::Asleep(Some(due)) if tick >= due => State::AwakeUntil(tick.after(self.spec.awake)),
            other => other,
        }
    }
}

/// Calls `change` for every device that a fault among `actions` switches off, or no longer does.
pub(crate) fn apply_faults(actions: &[Action], mut change: impl FnMut(u32, bool)) {
    for action in actions {
        if let Action::Sleep(node, off) = action {
            change(node.index, *off);
        }
    }
}

/// Lets faults of this step switch devices off, or end.
pub(crate) fn switch(outputs: Res<Outputs>, mut devices: Query<&mut Device>) {
    if outputs.actions.iter().any(|action| matches!(action, Action::Sleep(..))) {
        let mut devices: Vec<_> = devices.iter_mut().collect();
        devices.sort_unstable_by_key(|device| device.vehicle);
        apply_faults(&outputs.actions, |vehicle, off| {
            if let Ok(place) = devices.binary_search_by_key(&vehicle, |device| device.vehicle) {
                devices[place].switch(off);
            }
        });
    }
}

/// Lets devices fall asleep and wake up.
pub(crate) fn rest(
    tick: Res<Tick>,
    sky: Res<Sky>,
    stay: Res<StayAwake>,
    mut outputs: ResMut<Outputs>,
    mut vehicles: Query<(&mut Device, Option<&Drive>, Option<&mut Receiver>)>,
) {
    for (mut device, drive, receiver) in &mut vehicles {
        // One that replays a recording has no engine, and sleeps by a fault alone.
        if let Some(drive) = drive.filter(|_| device.spec.sleep_after.is_some()) {
            let engine = drive.ignition || drive.phase == Phase::Driving;
            let next = device.next(*tick, engine, stay.0);
            if next != device.state {
                device.state = next;
            }
        }
        let awake = device.is_awake();
        if awake != device.said_awake {
            device.said_awake = awake;
            if let Some(mut receiver) = receiver {
                receiver.switch(awake, *tick, *sky);
            }
            outputs.power.push((device.vehicle, awake));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, stream};

    const fn seconds(seconds: u64) -> Tick {
        Tick(seconds * 10)
    }

    fn device(wake_every: Option<Duration>) -> Device {
        let sleep_after = Some(Duration::from_secs(60));
        let spec =
            DeviceSpec { sleep_after, wake_every, awake: Duration::from_secs(20), ..DeviceSpec::default() };
        Device::new(0, spec, stream(1, 0, Purpose::Device))
    }

    /// The seconds at which a device of a vehicle that is parked at once falls asleep or wakes up.
    fn changes(mut device: Device, until_s: u64, engine: impl Fn(u64) -> bool) -> Vec<(u64, bool)> {
        let mut changes = Vec::new();
        for second in 0..until_s {
            let was = device.is_awake();
            device.state = device.next(seconds(second), engine(second), false);
            if device.is_awake() != was {
                changes.push((second, !was));
            }
        }
        changes
    }

    #[test]
    fn a_parked_device_sleeps_and_looks_up_now_and_then() {
        let every = Some(Duration::from_secs(300));
        let expected = [(60, false), (360, true), (380, false), (680, true), (700, false)];
        assert_eq!(changes(device(every), 800, |_| false), expected);
        assert_eq!(changes(device(None), 800, |_| false), [(60, false)]);
    }

    #[test]
    fn the_engine_wakes_it_at_once_and_keeps_it_awake() {
        let engine = |second| (100..200).contains(&second);
        assert_eq!(changes(device(None), 400, engine), [(60, false), (100, true), (260, false)]);
    }

    #[test]
    fn a_device_that_a_fault_switches_off_sleeps_whatever_the_engine_does() {
        let mut device = device(None);
        device.switch(true);
        device.state = device.next(seconds(1), true, false);
        assert!(!device.is_awake());
        device.switch(false);
        assert!(device.is_awake());
    }

    #[test]
    fn clocks_are_wrong_by_what_the_spread_says() {
        let spec = DeviceSpec { clock_error_s: 30.0, clock_drift_ppm: 20.0, ..DeviceSpec::default() };
        let drawn = |vehicle| Device::new(vehicle, spec, stream(1, vehicle, Purpose::Device)).clock;
        let squares = |of: fn(&ClockError) -> i64| -> f64 {
            (0..2_000).map(|vehicle| (of(&drawn(vehicle)) as f64).powi(2)).sum::<f64>() / 2_000.0
        };
        let (offset_s, drift_ppm) =
            (squares(|error| error.offset_us).sqrt() / 1e6, squares(|error| error.drift_ppb).sqrt() / 1e3);
        assert!(
            (28.0..32.0).contains(&offset_s) && (18.5..21.5).contains(&drift_ppm),
            "{offset_s} {drift_ppm}"
        );
        let right = Device::new(0, DeviceSpec::default(), stream(1, 0, Purpose::Device)).clock;
        assert_eq!(right, ClockError::default());
    }
}
