//! `drover pki`: a private CA in a folder.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use drover_bus::revocations::TOKEN;
use drover_env::SeedTree;
use drover_env::real::{entropy, wall};
use drover_model::{NodeName, TenantId, TimeError, VehicleId, WallTime, is_forgotten};
use drover_quic::{Ca, ClusterSecret, PkiError, Principal, Serial, SerialError};
use drover_store::postgres;

use crate::cli::PkiCommand;
use crate::{Stop, show};

/// List of what was revoked, beside the CA.
pub(crate) const REVOKED_FILE: &str = "revoked.txt";
/// What the last word of a line in it begins with that says when something expires.
const EXPIRES: &str = "expires=";

pub(crate) fn run(command: &PkiCommand) -> Result<(), Stop> {
    match command {
        PkiCommand::Init { dir } => init(dir),
        PkiCommand::Secret { dir } => {
            make_secret(dir)?;
            let dir = dir.display();
            show(&format!(
                "wrote {dir}/cluster.secret: every gateway, router, hub and DNS server of the cluster needs it, nobody else\n"
            ));
            Ok(())
        }
        PkiCommand::Tokens { dir } => {
            crate::token::make_key(dir)?;
            let dir = dir.display();
            show(&format!(
                "wrote {dir}/tokens.key (whoever has it can sign in as anybody) and {dir}/tokens.jwks (hubs need it)\n\
                 next: drover token --key {dir} --tenant NAME\n"
            ));
            Ok(())
        }
        PkiCommand::Issue { dir, who } => issue(dir, who),
        PkiCommand::Revoke { dir, who, serial, token, config, reason } => {
            let entry = match token {
                Some(token) => {
                    let (id, principal, expires) = crate::token::named(token)?;
                    Entry { name: format!("{TOKEN}{id}"), principal, expires }
                }
                None => {
                    let (serial, principal, expires) = which(dir, who.as_deref(), serial.as_deref())?;
                    Entry { name: serial.to_string(), principal, expires }
                }
            };
            revoke(dir, &entry, config.as_deref(), reason)
        }
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

/// A list of what was revoked that names nothing yet.
pub(crate) fn make_revoked(dir: &Path) -> Result<(), Stop> {
    write_new(
        &dir.join(REVOKED_FILE),
        "# Certificates and tokens that `drover pki revoke` took back.\n",
        0o644,
    )
}

/// The certificate that is meant, whom it names, and when it expires, if its file is there.
fn which(
    dir: &Path,
    who: Option<&str>,
    serial: Option<&str>,
) -> Result<(Serial, String, Option<WallTime>), Stop> {
    match (who, serial) {
        (_, Some(text)) => {
            let serial = text.parse().map_err(|error: SerialError| Stop::Usage(error.to_string()))?;
            Ok((serial, String::new(), None))
        }
        (who, None) => {
            let principal = parse(who.unwrap_or_default())?;
            let path = dir.join(format!("{}.pem", stem(who.unwrap_or_default())));
            let pem = fs::read(&path).map_err(|error| {
                Stop::Usage(format!("read {}: {error}; --serial names it without its file", path.display()))
            })?;
            let serial = drover_quic::serial_in_pem(&pem).map_err(failed)?;
            let expires = drover_quic::expires_in_pem(&pem).map_err(failed)?;
            Ok((serial, principal.to_string(), Some(expires)))
        }
    }
}

/// What is revoked.
struct Entry {
    /// A certificate's serial number, or `token:` and a token's name.
    name: String,
    /// Whose it is, as far as that is known.
    principal: String,
    /// When it expires, if that is known.
    expires: Option<WallTime>,
}

/// The database first: the file alone is heard by gateways and hubs that read it.
fn revoke(dir: &Path, entry: &Entry, config: Option<&Path>, reason: &str) -> Result<(), Stop> {
    let Entry { name: entry, principal, expires } = entry;
    if let Some(config) = config {
        let config = crate::config::database(config)?;
        let written = postgres::revoke(&config, entry, principal, reason, *expires);
        let is_new = crate::database::block_on(written)?.map_err(|error| Stop::Failed(error.to_string()))?;
        let what = if is_new { "is revoked" } else { "was revoked already" };
        show(&format!(
            "in the database: {entry} {what}; gateways and hubs hear of it within `revocation_interval_ms`\n"
        ));
    }
    let path = dir.join(REVOKED_FILE);
    let there = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(Stop::Usage(format!("read {}: {error}", path.display()))),
    };
    revoked_in(&there, wall()).map_err(|problem| Stop::Usage(format!("{}: {problem}", path.display())))?;
    if !there.lines().any(|line| line.split_whitespace().next() == Some(entry)) {
        let expires = expires.map(|time| format!(" {EXPIRES}{time}")).unwrap_or_default();
        let line = format!("{entry} {principal} {}{expires}\n", wall());
        let mut file = OpenOptions::new().append(true).create(true).open(&path);
        let written = file.as_mut().map_err(|error| error.to_string()).and_then(|file| {
            file.write_all(line.as_bytes()).and_then(|()| file.sync_all()).map_err(|error| error.to_string())
        });
        written.map_err(|error| Stop::Usage(format!("write {}: {error}", path.display())))?;
    }
    show(&format!("{}: {entry} is listed\n", path.display()));
    Ok(())
}

/// What a list of revoked things names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct RevokedList {
    pub(crate) certificates: BTreeSet<Serial>,
    /// What they are called.
    pub(crate) tokens: BTreeSet<String>,
}

/// Reads such a list: a certificate's serial number or `token:` and a token's name at the beginning of each line, what people want to
/// know behind it, and at its end when it expires, if that is known. What is forgotten at `now` is left out.
pub(crate) fn revoked_in(text: &str, now: WallTime) -> Result<RevokedList, String> {
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    let mut list = RevokedList::default();
    for (number, line) in lines {
        let wrong = |error: &dyn std::fmt::Display| format!("line {number}: {error}");
        let first = line.split_whitespace().next().unwrap_or_default();
        let expires = line.split_whitespace().next_back().and_then(|last| last.strip_prefix(EXPIRES));
        let expires = expires.map(str::parse).transpose().map_err(|error: TimeError| wrong(&error))?;
        let serial = match first.strip_prefix(TOKEN) {
            Some(_) => None,
            None => Some(first.parse().map_err(|error: SerialError| wrong(&error))?),
        };
        match serial {
            _ if is_forgotten(expires, now) => {}
            Some(serial) => drop(list.certificates.insert(serial)),
            None => drop(list.tokens.insert(first[TOKEN.len()..].to_owned())),
        }
    }
    Ok(list)
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

pub(crate) fn fresh_seeds() -> Result<SeedTree, Stop> {
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
    use std::time::Duration;

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
    fn a_revoked_certificate_is_listed_once_and_a_list_that_is_none_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(init(folder.path()).is_ok() && issue(folder.path(), "acme/V").is_ok());
        let (serial, principal, expires) =
            which(folder.path(), Some("acme/V"), None).unwrap_or_else(|_| panic!("it is there"));
        assert_eq!(principal, "drover://acme/vehicle/V");
        let expires = expires.expect("its file says so");
        assert!(
            expires > wall()
                && which(folder.path(), None, Some(serial.as_str())).is_ok_and(|it| it.2.is_none())
        );
        let entry =
            |name: &str, expires| Entry { name: name.to_owned(), principal: principal.clone(), expires };
        let ends = wall().plus(Duration::from_secs(60));
        for entry in
            [entry(serial.as_str(), Some(expires)), entry("token:7", Some(ends)), entry("token:8", None)]
        {
            assert!(revoke(folder.path(), &entry, None, "stolen").is_ok());
            assert!(revoke(folder.path(), &entry, None, "stolen").is_ok(), "again");
        }
        let text = fs::read_to_string(folder.path().join(REVOKED_FILE)).expect("written");
        let mut listed =
            RevokedList { certificates: [serial].into(), tokens: ["7", "8"].map(str::to_owned).into() };
        assert_eq!((text.lines().count(), revoked_in(&text, wall()).as_ref()), (3, Ok(&listed)));
        listed.tokens.remove("7");
        let long_after = ends.plus(drover_model::REVOKED_KEPT);
        assert_eq!(revoked_in(&text, long_after).as_ref(), Ok(&listed), "it has expired");
        listed.certificates.clear();
        let long_after = expires.plus(drover_model::REVOKED_KEPT);
        assert_eq!(revoked_in(&text, long_after).as_ref(), Ok(&listed), "so has the certificate");
        assert!(which(folder.path(), Some("acme/W"), None).is_err());
        let problem = |text: &str| revoked_in(text, wall()).expect_err("none");
        assert!(problem("# a word\n\nno number").starts_with("line 3: \"no\" is no serial number"));
        assert!(problem("token:7 anna expires=soon").starts_with("line 1: "));
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
