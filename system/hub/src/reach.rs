//! By which ways browsers reach a hub: what the pages are told of it, and what their policy lets them connect to.

use std::sync::atomic::{AtomicBool, Ordering};

use drover_quic::Shown;
use ring::digest::SHA256_OUTPUT_LEN;
use serde_json::{Value, json};

/// How browsers reach a hub.
#[derive(Debug, Default)]
pub(crate) struct Reach {
    /// The certificate that they are shown.
    pub(crate) shown: Shown,
    /// True if a CA that browsers know has signed it: then TCP ends TLS, too, and no hash is needed.
    secure: AtomicBool,
    /// The port of WebTransport, if there is one.
    port: Option<u16>,
}

impl Reach {
    pub(crate) fn new(shown: Shown, port: Option<u16>) -> Self {
        Self { shown, port, ..Self::default() }
    }

    pub(crate) fn set_secure(&self) {
        self.secure.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_secure(&self) -> bool {
        self.secure.load(Ordering::Relaxed)
    }

    /// The port of WebTransport, once there is a certificate for it.
    fn offered(&self) -> Option<u16> {
        self.port.filter(|_| self.shown.is_set())
    }

    /// What pages are told: `null`, or the port, and the hashes of certificates that are to be taken although no CA has signed them.
    pub(crate) fn described(&self) -> Value {
        let Some(port) = self.offered() else { return Value::Null };
        let hash = self.shown.hash().filter(|_| !self.is_secure());
        json!({ "port": port, "hashes": hash.iter().map(hex).collect::<Vec<_>>() })
    }

    /// Where a page of `host` (the header's value) connects to beside its own origin.
    pub(crate) fn origin(&self, host: &str) -> Option<String> {
        let port = self.offered()?;
        let name = match host.strip_prefix('[') {
            Some(rest) => &host[..rest.find(']')? + 2],
            None => host.split(':').next()?,
        };
        // It becomes a part of a policy, in which signs have a meaning.
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:[]".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_name) {
            return None;
        }
        // Browsers try IPv6 alone for QUIC to that name.
        let name = if name == "localhost" { "127.0.0.1" } else { name };
        Some(format!("https://{name}:{port}"))
    }
}

fn hex(hash: &[u8; SHA256_OUTPUT_LEN]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use drover_env::real::{self, Metrics};

    use super::*;

    #[test]
    fn pages_are_told_of_what_is_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let env = real::env("test", folder.path(), Arc::new(Metrics::default())).expect("an env");
        let reach = Reach::new(Shown::default(), Some(4433));
        assert_eq!((reach.described(), reach.origin("hub")), (Value::Null, None), "no certificate yet");
        let local = drover_quic::local_cert(env.seeds(), env.wall()).expect("a certificate");
        reach.shown.set(&env, &local).expect("a pair");
        assert_eq!(reach.described()["port"], 4433);
        assert_eq!(reach.described()["hashes"][0].as_str().map(str::len), Some(64));
        reach.set_secure();
        assert_eq!(reach.described()["hashes"], json!([]));
        assert_eq!(Reach::new(reach.shown.clone(), None).described(), Value::Null);
        for (host, expected) in [
            ("map.example.com", Some("https://map.example.com:4433")),
            ("127.0.0.1:8080", Some("https://127.0.0.1:4433")),
            ("localhost:8080", Some("https://127.0.0.1:4433")),
            ("[::1]:8080", Some("https://[::1]:4433")),
            ("[::1", None),
            ("a; script-src *", None),
            ("", None),
        ] {
            assert_eq!(reach.origin(host).as_deref(), expected, "{host}");
        }
    }
}
