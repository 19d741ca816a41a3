//! The certificate that browsers are shown: the operator's, read again while the hub runs, or one made here for a fortnight.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use drover_env::real::wall;
use drover_env::{Chain, Env};
use drover_quic::{Identity, LOCAL_CERT_LIFE, Shown, local_cert};
use tokio::time::sleep;
use tracing::{info, warn};

use crate::config::Site;
use crate::pki::fresh_seeds;

/// How often the operator's files are read again.
const FILES_INTERVAL: Duration = Duration::from_secs(10);

/// Where a certificate is from.
#[derive(Debug)]
pub(crate) enum Source {
    /// The operator's files.
    Files { certificate: PathBuf, key: PathBuf },
    /// Made here.
    Local,
}

impl Source {
    /// What the config says.
    pub(crate) fn of(site: &Site) -> Result<Self, String> {
        match (&site.certificate, &site.key) {
            (Some(certificate), Some(key)) => {
                Ok(Self::Files { certificate: certificate.clone(), key: key.clone() })
            }
            (None, None) => Ok(Self::Local),
            (Some(_), None) => Err("certificate: its key is missing".to_owned()),
            (None, Some(_)) => Err("key: its certificate is missing".to_owned()),
        }
    }

    /// True if browsers know who has signed it.
    pub(crate) const fn is_public(&self) -> bool {
        matches!(self, Self::Files { .. })
    }

    fn interval(&self) -> Duration {
        match self {
            Self::Files { .. } => FILES_INTERVAL,
            Self::Local => LOCAL_CERT_LIFE / 2,
        }
    }

    /// The bytes that a certificate is made of: they tell whether it is another.
    fn read(&self) -> Result<[Vec<u8>; 2], String> {
        let Self::Files { certificate, key } = self else { return Ok([Vec::new(), Vec::new()]) };
        let read =
            |file: &PathBuf| fs::read(file).map_err(|error| format!("read {}: {error}", file.display()));
        Ok([read(certificate)?, read(key)?])
    }

    fn identity(&self, [certificate, key]: &[Vec<u8>; 2]) -> Result<Identity, String> {
        match self {
            Self::Files { .. } => {
                Identity::from_pem(certificate, key).map_err(|error| Chain(&error).to_string())
            }
            Self::Local => {
                let seeds = fresh_seeds().map_err(|_| "the system gives no entropy".to_owned())?;
                local_cert(&seeds, wall()).map_err(|error| Chain(&error).to_string())
            }
        }
    }

    /// Takes what is there now.
    ///
    /// # Errors
    /// It can not be read, or is no pair.
    fn show(&self, env: &Env, shown: &Shown, last: &mut [Vec<u8>; 2]) -> Result<(), String> {
        let bytes = self.read()?;
        if shown.is_set() && self.is_public() && bytes == *last {
            return Ok(());
        }
        shown.set(env, &self.identity(&bytes)?).map_err(|error| Chain(&error).to_string())?;
        if !last[0].is_empty() {
            info!("browsers are shown another certificate from now on");
        }
        *last = bytes;
        Ok(())
    }

    /// Shows what there is, and whatever is newer for ever after. While files can not be read the last ones hold.
    ///
    /// # Errors
    /// There is nothing to begin with.
    pub(crate) fn start(self, env: &Env, shown: Shown) -> Result<(), String> {
        let mut last = [Vec::new(), Vec::new()];
        self.show(env, &shown, &mut last)?;
        let own = env.clone();
        drop(env.spawn("hub.certificate", async move {
            loop {
                sleep(self.interval()).await;
                if let Err(error) = self.show(&own, &shown, &mut last) {
                    warn!(error, "the certificate for browsers can not be read; the last one holds");
                }
            }
        }));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use drover_env::real::{self, Metrics};

    use super::*;

    #[test]
    fn files_are_read_again_and_a_broken_one_changes_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let env = real::env("hub/0", folder.path(), Arc::new(Metrics::default())).expect("an env");
        let pairs = [1, 2].map(|_| {
            let key = rcgen::KeyPair::generate().expect("a key");
            let params = rcgen::CertificateParams::new(vec!["map.example.com".to_owned()]).expect("a name");
            (params.self_signed(&key).expect("a certificate").pem(), key.serialize_pem())
        });
        let write = |(certificate, key): (&str, &str)| {
            fs::write(at("site.pem"), certificate).expect("written");
            fs::write(at("site.key"), key).expect("written");
        };
        let site = Site { certificate: Some(at("site.pem")), key: Some(at("site.key")), ..Site::default() };
        let source = Source::of(&site).expect("both");
        let (shown, mut last) = (Shown::default(), [Vec::new(), Vec::new()]);
        assert!(source.show(&env, &shown, &mut last).is_err_and(|error| error.contains("site.pem")));
        write((&pairs[0].0, &pairs[0].1));
        assert_eq!(source.show(&env, &shown, &mut last), Ok(()));
        let first = shown.hash();
        write((&pairs[1].0, &pairs[0].1));
        assert!(source.show(&env, &shown, &mut last).is_err(), "another certificate's key");
        assert_eq!(shown.hash(), first);
        write((&pairs[1].0, &pairs[1].1));
        assert_eq!(source.show(&env, &shown, &mut last), Ok(()));
        assert_ne!(shown.hash(), first);
        assert!(Source::of(&Site { key: None, ..site }).is_err());
        assert!(Source::of(&Site::default()).is_ok_and(|source| !source.is_public()));
    }
}
