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
    /// How wrong its device's clock is.
    Device = 20,
    /// Its driver's style, and how the driver follows others.
    Manner = 24,
    /// As `Driver`, of a background car. They are numbered apart, so that a fleet's size leaves them alone.
    BackgroundDriver = 25,
    /// As `Manner`, of a background car.
    BackgroundManner = 26,
}

/// The stream of one vehicle for one purpose.
pub(crate) fn stream(seed: u64, vehicle_index: u32, purpose: Purpose) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(u64::from(vehicle_index) << 8 | purpose as u64);
    rng
}

/// A number from 0 up to 1 that `who` draws for a fault: a hash (SplitMix64's finaliser), so that it neither depends on
/// who asks when, nor moves any stream on.
pub(crate) fn lot(seed: u64, fault: u32, who: u64) -> f64 {
    let mix = |value: u64| {
        let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        value ^ (value >> 31)
    };
    let mixed = mix(mix(seed ^ 0x9E37_79B9_7F4A_7C15).wrapping_add(u64::from(fault) << 1 | 1) ^ mix(who));
    (mixed >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
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

    #[test]
    fn lots_are_even_and_differ_by_seed_fault_and_who() {
        let mut tenths = [0; 10];
        (0..10_000).for_each(|who| tenths[(lot(1, 0, who) * 10.0) as usize] += 1);
        assert!(tenths.iter().all(|count| (850..1_150).contains(count)), "{tenths:?}");
        let one = lot(1, 0, 0);
        assert!(lot(2, 0, 0) != one && lot(1, 1, 0) != one && lot(1, 0, 1) != one);
    }
}
