//! `drover pki`: a private CA in a folder.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use drover_env::SeedTree;
use drover_env::real::{entropy, wall};
use drover_model::{NodeName, TenantId, VehicleId};
use drover_quic::{Ca, ClusterSecret, PkiError, Principal};

use crate::cli::PkiCommand;
use crate::{Stop, show};

pub(crate) fn run(command: &PkiCommand) -> Result<(), Stop> {
    match command {
        PkiCommand::Init { dir } => init(dir),
        PkiCommand::Secret { dir } => {
            make_secret(dir)?;
            let dir = dir.display();
            show(&format!(
                "wrote {dir}/cluster.secret: every gateway and router of the cluster needs it, nobody else\n"
            ));
            Ok(())
        }
        PkiCommand::Issue { dir, who } => issue(dir, who),
    }
}

fn init(dir: &Path) -> Result<(), Stop> {
    make_ca(dir)?;
    let dir = dir.display();
    show(&format!(
        "wrote {dir}/ca.pem (every node needs it) and {dir}/ca.key (whoever has it can pose as any node)\n\
         next: drover pki issue {dir} gateway/0\n"
    ));
    Ok(())
}

/// Makes a CA in a folder.
pub(crate) fn make_ca(dir: &Path) -> Result<(), Stop> {
    let seeds = fresh_seeds()?;
    let ca = Ca::new(&seeds, wall()).map_err(failed)?;
    fs::create_dir_all(dir).map_err(|error| Stop::Usage(format!("make {}: {error}", dir.display())))?;
    let (certificate, key) = ca.to_pem();
    // The key first: a certificate without its key would look like a CA.
    write_new(&dir.join("ca.key"), key, 0o600)?;
    write_new(&dir.join("ca.pem"), certificate, 0o644)
}

/// Makes a cluster's secret in a folder.
pub(crate) fn make_secret(dir: &Path) -> Result<(), Stop> {
    let bytes = entropy().map_err(|error| Stop::Failed(format!("draw a secret: {error}")))?;
    fs::create_dir_all(dir).map_err(|error| Stop::Usage(format!("make {}: {error}", dir.display())))?;
    let text = ClusterSecret::from_bytes(bytes).to_hex() + "\n";
    write_new(&dir.join("cluster.secret"), &text, 0o600)
}

fn issue(dir: &Path, who: &str) -> Result<(), Stop> {
    let (certificate, key, principal) = issue_into(dir, who)?;
    show(&format!("wrote {} and {} for {principal}\n", certificate.display(), key.display()));
    Ok(())
}

/// Name of the files of a node's certificate and key.
pub(crate) fn stem(who: &str) -> String {
    who.replace('/', "-")
}

/// Issues a certificate by the CA in a folder: where it is, where its key is, and whom it names.
pub(crate) fn issue_into(dir: &Path, who: &str) -> Result<(PathBuf, PathBuf, Principal), Stop> {
    let principal = parse(who)?;
    let read = |name: &str| {
        let path = dir.join(name);
        fs::read_to_string(&path).map_err(|error| {
            Stop::Usage(format!(
                "read {}: {error}; `drover pki init {}` makes a CA",
                path.display(),
                dir.display()
            ))
        })
    };
    let ca = Ca::from_pem(&read("ca.pem")?, &read("ca.key")?, wall()).map_err(failed)?;
    let (certificate, key) = ca.issue_pem(&principal, &fresh_seeds()?).map_err(failed)?;
    let stem = stem(who);
    let (certificate_path, key_path) = (dir.join(format!("{stem}.pem")), dir.join(format!("{stem}.key")));
    write_new(&key_path, &key, 0o600)?;
    write_new(&certificate_path, &certificate, 0o644)?;
    Ok((certificate_path, key_path, principal))
}

/// `gateway/0`, or `acme/TRUCK-042`.
pub(crate) fn parse(who: &str) -> Result<Principal, Stop> {
    if let Ok(node) = who.parse::<NodeName>() {
        return Ok(Principal::Service(node));
    }
    let wrong = |detail: String| {
        Stop::Usage(format!(
            "{who:?} is neither a service (gateway/0, persistence/1) nor a vehicle (acme/TRUCK-042): {detail}"
        ))
    };
    let (tenant, vehicle) = who.split_once('/').ok_or_else(|| wrong("there is no slash".to_owned()))?;
    let tenant_id = TenantId::new(tenant).map_err(|error| wrong(format!("tenant: {error}")))?;
    let vehicle = VehicleId::new(vehicle).map_err(|error| wrong(format!("vehicle: {error}")))?;
    if tenant == "svc" || tenant.parse::<drover_model::NodeKind>().is_ok() {
        return Err(wrong(format!("no tenant can be called {tenant}")));
    }
    Ok(Principal::Vehicle { tenant: tenant_id, vehicle })
}

fn fresh_seeds() -> Result<SeedTree, Stop> {
    entropy()
        .map(SeedTree::from_bytes)
        .map_err(|error| Stop::Failed(format!("the system gives no entropy: {error}")))
}

/// Never over an existing file: a key that is lost can not be made again.
pub(crate) fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), Stop> {
    let wrong = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => Stop::Usage(format!(
            "{} is there already; move it away first if it is to be replaced",
            path.display()
        )),
        _ => Stop::Usage(format!("write {}: {error}", path.display())),
    };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(wrong)?;
    file.write_all(text.as_bytes()).map_err(wrong)
}

fn failed(error: PkiError) -> Stop {
    Stop::Usage(drover_env::Chain(&error).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_services_or_vehicles() {
        let check = |who: &str, expected: &str| match parse(who) {
            Ok(principal) => assert_eq!(principal.to_string(), expected),
            Err(Stop::Usage(message) | Stop::Failed(message)) => {
                assert!(message.contains(expected), "{message}");
            }
        };
        check("gateway/0", "drover://svc/gateway/0");
        check("acme/TRUCK-042", "drover://acme/vehicle/TRUCK-042");
        check("TRUCK-042", "there is no slash");
        check("gateway/x", "no tenant can be called gateway");
        check("acme/a b", "vehicle: name");
    }

    #[test]
    fn a_certificate_is_never_written_over() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(init(folder.path()).is_ok());
        assert!(issue(folder.path(), "gateway/0").is_ok());
        let Err(Stop::Usage(message)) = issue(folder.path(), "gateway/0") else { panic!("written over") };
        assert!(message.contains("gateway-0.key is there already"), "{message}");
        let Err(Stop::Usage(message)) = init(folder.path()) else { panic!("written over") };
        assert!(message.contains("ca.key is there already"), "{message}");
    }
}
