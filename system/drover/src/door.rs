//! Who may see the live map: a file of tokens, of each its digest and what it is good for. Whoever has the file can let nobody in.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use drover_hub::{DRIVE, Denied, Door, FLEET_VIEW, MAP_VIEW, Principal, Role, Visible};
use drover_model::{TenantId, VehicleId, WallTime};
use ring::digest::{SHA256, digest};
use serde::Deserialize;
use tokio::time::sleep;
use tracing::warn;

/// How often the file is read again: a token that is taken out of it is good for so long, and as long as hubs take to look.
const READ_AGAIN: Duration = Duration::from_secs(10);

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    tokens: Vec<Entry>,
}

/// One token.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// SHA-256 of the token, in hexadecimal.
    sha256: String,
    /// Who has it.
    sub: String,
    tenant: TenantId,
    /// dispatcher, viewer or driver.
    role: String,
    /// A driver's vehicle.
    vehicle: Option<VehicleId>,
    expires: WallTime,
}

/// Tokens by their digests.
type Known = BTreeMap<String, (Role, Entry)>;

/// Lets in whoever has a token of the file.
#[derive(Debug)]
pub(crate) struct TokenFile {
    path: PathBuf,
    known: RwLock<Known>,
}

impl TokenFile {
    /// Reads the file.
    ///
    /// # Errors
    /// It can not be read, or what is wrong with it.
    pub(crate) fn open(path: PathBuf) -> Result<Arc<Self>, String> {
        let known = RwLock::new(read(&path)?);
        Ok(Arc::new(Self { path, known }))
    }

    /// Reads it again and again, until the process ends. While it can not be read the last one holds.
    pub(crate) async fn keep_reading(self: Arc<Self>) {
        loop {
            sleep(READ_AGAIN).await;
            match read(&self.path) {
                Ok(known) => *self.known.write().unwrap_or_else(PoisonError::into_inner) = known,
                Err(error) => warn!(error, "the file of tokens can not be read; what it said last holds"),
            }
        }
    }
}

fn read(path: &Path) -> Result<Known, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("read {}: {error}", path.display()))?;
    parse(&text).map_err(|problem| format!("{}: {problem}", path.display()))
}

fn parse(text: &str) -> Result<Known, String> {
    let file: File = toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
    let mut known = Known::new();
    for entry in file.tokens {
        let digits = entry.sha256.len() == 64 && entry.sha256.bytes().all(|digit| digit.is_ascii_hexdigit());
        let role = Role::ALL.into_iter().find(|role| role.name() == entry.role && *role != Role::Customer);
        let role = match (digits, role, entry.vehicle) {
            (false, ..) => return Err(format!("sha256 of {:?} must be 64 hexadecimal digits", entry.sub)),
            (_, None, _) => return Err(format!("{:?} is no role: dispatcher, viewer, driver", entry.role)),
            (_, Some(Role::Driver), None) => return Err(format!("driver {:?} needs a vehicle", entry.sub)),
            (_, Some(role), _) => role,
        };
        known.insert(entry.sha256.to_ascii_lowercase(), (role, entry));
    }
    Ok(known)
}

impl Door for TokenFile {
    fn admit(&self, token: &str, now: WallTime) -> Result<Principal, Denied> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        // Looked up by digest, so that how long it takes tells nothing of any token.
        let id = hex(digest(&SHA256, token.as_bytes()).as_ref());
        let (role, entry) = known.get(&id).ok_or(Denied::Invalid)?;
        if now >= entry.expires {
            return Err(Denied::Expired);
        }
        let scopes: &[&str] = match role {
            Role::Dispatcher => {
                &[MAP_VIEW, "route:read", FLEET_VIEW, "orders:write", "messages:write", "share:write"]
            }
            Role::Driver => &[DRIVE],
            Role::Viewer | Role::Customer => &[MAP_VIEW],
        };
        Ok(Principal {
            sub: entry.sub.clone(),
            tenant: entry.tenant,
            role: *role,
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect::<BTreeSet<_>>(),
            visible: entry.vehicle.map_or(Visible::All, |vehicle| Visible::Only([vehicle].into())),
            since: None,
            expires: entry.expires,
            token_id: id,
        })
    }

    fn is_revoked(&self, token_id: &str) -> bool {
        !self.known.read().unwrap_or_else(PoisonError::into_inner).contains_key(token_id)
    }
}

/// The line of a file that lets in whoever has `token`.
pub(crate) fn entry(token: &str, sub: &str, tenant: TenantId, expires: WallTime) -> String {
    let sha256 = hex(digest(&SHA256, token.as_bytes()).as_ref());
    format!(
        "[[tokens]]\nsha256 = \"{sha256}\"\nsub = \"{sub}\"\ntenant = \"{tenant}\"\nrole = \"dispatcher\"\nexpires = \"{expires}\"\n"
    )
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door(text: &str) -> TokenFile {
        TokenFile { path: PathBuf::new(), known: RwLock::new(parse(text).expect("a good file")) }
    }

    #[test]
    fn a_token_of_the_file_is_good_until_it_expires_or_is_taken_out() {
        let tenant = TenantId::new("acme").expect("a name");
        let text = entry("secret", "desk", tenant, WallTime::from_secs(1_000));
        let known = door(&text);
        let now = WallTime::from_secs(999);
        let who = known.admit("secret", now).expect("let in");
        assert!(who.tenant == tenant && who.may(FLEET_VIEW) && who.visible == Visible::All);
        assert_eq!(known.admit("Secret", now), Err(Denied::Invalid));
        assert_eq!(known.admit("secret", WallTime::from_secs(1_000)), Err(Denied::Expired));
        assert!(!known.is_revoked(&who.token_id) && door("").is_revoked(&who.token_id));
        assert!(!text.contains("secret"), "the file has the digest alone");
    }

    #[test]
    fn a_driver_sees_one_vehicle_and_what_is_wrong_is_named() {
        let of = |role: &str, rest: &str| {
            let sha256 = hex(digest(&SHA256, b"t").as_ref());
            format!("[[tokens]]\nsha256 = \"{sha256}\"\nsub = \"x\"\ntenant = \"acme\"\nrole = \"{role}\"\n\
                     expires = \"2030-01-01T00:00:00Z\"\n{rest}")
        };
        let driver = door(&of("driver", "vehicle = \"VAN-1\"\n")).admit("t", WallTime::from_secs(0));
        assert_eq!(driver.expect("let in").vehicle(), VehicleId::new("VAN-1").ok());
        let problem = |text: &str| parse(text).err().unwrap_or_default();
        assert!(problem(&of("driver", "")).contains("driver \"x\" needs a vehicle"));
        assert!(problem(&of("customer", "")).contains("\"customer\" is no role"));
        assert!(problem(&of("viewer", "rol = 1\n")).contains("unknown field"));
        assert!(problem(&of("viewer", "").replace("sha256 = \"", "sha256 = \"0")).contains("64 hexadecimal"));
    }
}
