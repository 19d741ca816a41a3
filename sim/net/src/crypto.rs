//! TLS whose every random byte follows from the run's seed.
//!
//! rustls wants its randomness `&'static`. Providers are therefore leaked, and used again by later runs: a sweep over
//! thousands of seeds leaks as many as run at once.

use std::sync::{Arc, Mutex, PoisonError};

use drover_env::SeedTree;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rustls::crypto::{
    ActiveKeyExchange, CryptoProvider, GetRandomFailed, SecureRandom, SharedSecret, SupportedKxGroup,
};
use rustls::{CipherSuite, Error, NamedGroup, PeerMisbehaved};
use x25519_dalek::{PublicKey, StaticSecret};

/// The provider of one run. Returns to the pool when the run ends.
pub(crate) struct SeededCrypto {
    random: &'static SeededRandom,
    provider: Arc<CryptoProvider>,
}

static POOL: Mutex<Vec<&'static SeededRandom>> = Mutex::new(Vec::new());

impl SeededCrypto {
    pub(crate) fn new(seeds: &SeedTree) -> Self {
        let rng = seeds.rng("tls");
        let spare = POOL.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let random = match spare {
            Some(random) => {
                *random.rng.lock().unwrap_or_else(PoisonError::into_inner) = rng;
                random
            }
            None => SeededRandom::leaked(rng),
        };
        #[expect(clippy::disallowed_methods, reason = "what draws from the machine is replaced below")]
        let mut provider = rustls::crypto::ring::default_provider();
        provider.cipher_suites.retain(|suite| suite.suite() == CipherSuite::TLS13_AES_128_GCM_SHA256);
        provider.secure_random = random;
        let group: &'static SeededX25519 =
            random.group.get_or_init(|| Box::leak(Box::new(SeededX25519 { random })));
        provider.kx_groups = vec![group];
        Self { random, provider: Arc::new(provider) }
    }

    pub(crate) fn provider(&self) -> Arc<CryptoProvider> {
        self.provider.clone()
    }
}

impl Drop for SeededCrypto {
    fn drop(&mut self) {
        POOL.lock().unwrap_or_else(PoisonError::into_inner).push(self.random);
    }
}

#[derive(Debug)]
struct SeededRandom {
    rng: Mutex<ChaCha8Rng>,
    group: std::sync::OnceLock<&'static SeededX25519>,
}

impl SeededRandom {
    fn leaked(rng: ChaCha8Rng) -> &'static Self {
        Box::leak(Box::new(Self { rng: Mutex::new(rng), group: std::sync::OnceLock::new() }))
    }

    fn bytes(&self, buffer: &mut [u8]) {
        self.rng.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(buffer);
    }
}

impl SecureRandom for SeededRandom {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), GetRandomFailed> {
        self.bytes(buffer);
        Ok(())
    }
}

/// X25519 with a seeded key: ring's own draws from the machine.
#[derive(Debug)]
struct SeededX25519 {
    random: &'static SeededRandom,
}

impl SupportedKxGroup for SeededX25519 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let mut key = [0; 32];
        self.random.bytes(&mut key);
        let secret = StaticSecret::from(key);
        let public = PublicKey::from(&secret);
        Ok(Box::new(Exchange { secret, public }))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

struct Exchange {
    secret: StaticSecret,
    public: PublicKey,
}

impl ActiveKeyExchange for Exchange {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let peer: [u8; 32] = peer.try_into().map_err(|_| Error::from(PeerMisbehaved::InvalidKeyShare))?;
        let shared = self.secret.diffie_hellman(&PublicKey::from(peer));
        Ok(SharedSecret::from(shared.as_bytes().as_slice()))
    }

    fn pub_key(&self) -> &[u8] {
        self.public.as_bytes()
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}
