//! A cluster that is there already, for generators on other machines than its own.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

use drover_env::real;
use drover_quic::Ca;
use drover_supervisor::Cluster;
use serde::Deserialize;

use crate::cluster::{Entry, Prepared};
use crate::problem::LoadError;

/// Where a cluster is, and what it takes to join it as vehicles. A file of `twin load --onto`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Onto {
    /// Where vehicles connect, as host:port. Empty: through routers.
    #[serde(default)]
    pub gateways: Vec<String>,
    /// Name and port of routers, as `routers.drover.internal:443`, instead of `gateways`.
    #[serde(default)]
    pub routers: String,
    /// DNS servers that know that name, as host:port.
    #[serde(default)]
    pub dns_servers: Vec<String>,
    /// The cluster's CA, and its key: each vehicle gets a certificate. Meant from the file's own folder.
    pub ca: PathBuf,
    /// See [`Self::ca`].
    pub ca_key: PathBuf,
    /// Where fixes are kept, as postgres://user@host:port/name: the ledger is held against it.
    pub database: String,
}

impl Onto {
    /// Reads a file.
    ///
    /// # Errors
    /// It can not be read, or says something else.
    pub fn read(path: &Path) -> Result<Self, LoadError> {
        let wrong = |error: String| LoadError::Usage(format!("{}: {error}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        let mut onto: Self = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        match (onto.gateways.is_empty(), onto.routers.is_empty(), onto.dns_servers.is_empty()) {
            (false, true, true) | (true, false, false) => {}
            (true, true, _) => {
                return Err(wrong(
                    "`gateways` names none: vehicles would have nowhere to connect".to_owned(),
                ));
            }
            (true, false, true) => {
                return Err(wrong("`dns_servers` names none: nobody would know `routers`".to_owned()));
            }
            (false, ..) => {
                return Err(wrong("`gateways`, or `routers` and `dns_servers`, but not both".to_owned()));
            }
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        (onto.ca, onto.ca_key) = (folder.join(&onto.ca), folder.join(&onto.ca_key));
        Ok(onto)
    }

    /// What vehicles need.
    ///
    /// # Errors
    /// The CA can not be read, or the name of a gateway or DNS server has no address.
    pub(crate) fn prepared(&self) -> Result<Prepared, LoadError> {
        let read = |path: &Path| {
            std::fs::read_to_string(path)
                .map_err(|error| LoadError::Usage(format!("{}: {error}", path.display())))
        };
        let ca = Ca::from_pem(&read(&self.ca)?, &read(&self.ca_key)?, real::wall())?;
        let addr = |name: &String| -> Result<SocketAddr, LoadError> {
            let found =
                name.to_socket_addrs().map_err(|error| LoadError::Usage(format!("{name}: {error}")))?;
            found.into_iter().next().ok_or_else(|| LoadError::Usage(format!("{name} has no address")))
        };
        let addrs = |names: &[String]| names.iter().map(addr).collect::<Result<Vec<_>, _>>();
        let entry = match self.routers.as_str() {
            "" => Entry::Gateways(addrs(&self.gateways)?),
            // Where the routers are, DNS says: none of their links is impaired here.
            name => {
                let dns_servers = addrs(&self.dns_servers)?;
                Entry::Named { name: name.to_owned(), dns_servers, routers: Vec::new() }
            }
        };
        let trust = ca.trust()?;
        // Nobody's processes are ours to start.
        Ok(Prepared { cluster: Cluster::default(), ca, trust, entry, hubs: Vec::new(), access: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_and_its_paths_are_meant_from_its_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("onto.toml");
        let read = |text: &str| {
            std::fs::write(&path, text).expect("written");
            Onto::read(&path).map_err(|error| error.to_string())
        };
        let rest = "ca = \"pki/ca.pem\"\nca_key = \"pki/ca.key\"\ndatabase = \"postgres://p@h:1/d\"\n";
        let onto = read(&format!("gateways = [\"gw-0:4433\"]\n{rest}")).expect("a good file");
        assert_eq!(onto.ca, folder.path().join("pki/ca.pem"));
        let routers = "routers = \"routers.example:443\"\n";
        assert!(read(&format!("{routers}dns_servers = [\"dns:53\"]\n{rest}")).is_ok());
        let refused = [
            format!("gateways = []\n{rest}"),
            format!("gateway = \"g\"\n{rest}"),
            String::new(),
            format!("{routers}{rest}"),
            format!("{routers}gateways = [\"g:1\"]\n{rest}"),
        ];
        let expected = ["names none", "unknown field", "missing field", "nobody would know", "but not both"];
        for (text, expected) in refused.iter().zip(expected) {
            assert!(
                read(text).is_err_and(|error| error.contains(expected) && error.contains("onto.toml")),
                "{text}"
            );
        }
        assert!(onto.prepared().is_err_and(|error| error.to_string().contains("ca.pem")));
    }
}
