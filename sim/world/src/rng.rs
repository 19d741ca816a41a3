//! Random streams: one per vehicle and purpose, so that an added vehicle leaves the others' days alone.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// What a stream is for. The numbers are part of what a seed means: a new purpose gets a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Purpose {
    /// Where a vehicle starts, how its driver drives, and its deliveries.
    Driver = 1,
    /// What its receiver gets wrong.
    Receiver = 2,
    /// Load, fuel and past of a vehicle.
    Engine = 16,
    /// What wears out, and whose checks fail when.
    Wear = 17,
}

/// The stream of one vehicle for one purpose.
pub(crate) fn stream(seed: u64, vehicle_index: u32, purpose: Purpose) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(u64::from(vehicle_index) << 8 | purpose as u64);
    rng
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::*;

    #[test]
    fn streams_differ_by_seed_vehicle_and_purpose() {
        let first = |seed, vehicle, purpose| stream(seed, vehicle, purpose).next_u64();
        let one = first(7, 0, Purpose::Driver);
        assert_eq!(one, first(7, 0, Purpose::Driver));
        for other in
            [first(8, 0, Purpose::Driver), first(7, 1, Purpose::Driver), first(7, 0, Purpose::Receiver)]
        {
            assert_ne!(one, other);
        }
    }
}
