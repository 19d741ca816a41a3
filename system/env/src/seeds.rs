//! A tree of seeds: every purpose has its own stream, so that one more draw here leaves all others alone.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// A seed with a place in the tree. A child depends on its parent and its label alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeedTree {
    seed: [u8; 32],
}

impl SeedTree {
    /// A root from a number that a person can type.
    pub fn from_number(seed: u64) -> Self {
        Self { seed: [0; 32] }.derive(&seed.to_le_bytes())
    }

    /// A root from true entropy.
    pub const fn from_bytes(seed: [u8; 32]) -> Self {
        Self { seed }
    }

    /// The seed below this one that `label` names.
    #[must_use]
    pub fn child(&self, label: &str) -> Self {
        self.derive(label.as_bytes())
    }

    /// The seed itself.
    pub const fn bytes(&self) -> [u8; 32] {
        self.seed
    }

    /// The random stream of `label`.
    pub fn rng(&self, label: &str) -> ChaCha8Rng {
        ChaCha8Rng::from_seed(self.child(label).seed)
    }

    fn derive(&self, label: &[u8]) -> Self {
        let mut input = Vec::with_capacity(32 + label.len());
        input.extend_from_slice(&self.seed);
        input.extend_from_slice(label);
        let mut seed = [0; 32];
        seed[..16].copy_from_slice(&xxh3_128_with_seed(&input, 0).to_le_bytes());
        seed[16..].copy_from_slice(&xxh3_128_with_seed(&input, 1).to_le_bytes());
        Self { seed }
    }
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::*;

    #[test]
    fn streams_depend_on_seed_and_label_alone() {
        let draw = |seed, label: &str| SeedTree::from_number(seed).rng(label).next_u64();
        assert_eq!(draw(7, "net"), draw(7, "net"));
        assert_ne!(draw(7, "net"), draw(8, "net"));
        assert_ne!(draw(7, "net"), draw(7, "faults"));
    }
}
