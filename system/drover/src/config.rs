//! Config files: `[tls]` and `[process]` for what every process needs, and the service's own table.

pub(crate) mod site;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use drover_quic::{ClusterKeys, ClusterSecret, Identity, Trust};
use drover_store::postgres;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Stop;
use crate::cli::Placement;
use crate::commented::Described;
pub(crate) use site::{Access, Site};

/// Table of the service that has a database.
pub(crate) const PERSISTENCE: &str = "persistence";
/// Table of the database.
const POSTGRES: &str = "postgres";
/// Table of what gateways, routers, hubs and DNS servers share.
const CLUSTER: &str = "cluster";
/// Table of who may see the live map.
const ACCESS: &str = "access";
/// And what they show.
const SITE: &str = "site";
/// Service that has clients.
pub(crate) const HUB: &str = "hub";
/// Services that are part of a cluster with routers.
const MEMBERS: [&str; 4] = ["gateway", "router", "dns", HUB];

/// Whose certificate this process shows, and whom it believes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    /// Certificate chain of this node, PEM, its own first.
    pub(crate) certificate: PathBuf,
    /// Its key, PKCS #8 in PEM. Readable by this process alone.
    pub(crate) key: PathBuf,
    /// Certificate of the private CA, PEM.
    pub(crate) ca: PathBuf,
    /// List of revoked certificates and tokens, as `drover pki revoke` writes it: for gateways and hubs, which read it again every ten
    /// seconds. They hear of those in the database without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) revoked: Option<PathBuf>,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            certificate: "pki/node.pem".into(),
            key: "pki/node.key".into(),
            ca: "pki/ca.pem".into(),
            revoked: None,
        }
    }
}

/// What all gateways, routers, hubs and DNS servers of a cluster have in common.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ClusterConfig {
    /// File of the shared secret: 64 hexadecimal digits, for the eyes of gateways, routers, hubs and DNS servers alone. Keys of connection ids,
    /// of resets, of TLS tickets, of the addresses between router and gateway and of DNS cookies follow from it.
    pub(crate) secret: PathBuf,
    /// How long keys of connection ids, tickets and cookies are used. The same everywhere; clocks may differ by as much.
    #[serde(rename = "rotate_s", with = "drover_env::seconds")]
    #[schemars(with = "u64")]
    pub(crate) rotate: Duration,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self { secret: "pki/cluster.secret".into(), rotate: Duration::from_secs(24 * 3600) }
    }
}

/// The process around the service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Process {
    /// Folder of the node's files, such as a tracker's spool. Made if it is absent.
    pub(crate) state_dir: PathBuf,
    /// Threads; 0 is one per core.
    pub(crate) threads: usize,
    /// Where the process answers /live, /ready, /metrics, /status and, from this machine only, POST /drain; nowhere if absent.
    /// It knows no passwords: not for the open network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) admin: Option<SocketAddr>,
    /// What is logged, as `error`, `warn`, `info`, `debug`, `trace`, or per module: `info,drover_gateway=debug`.
    pub(crate) log: String,
    /// How: `human`, or `json`, one object a line.
    pub(crate) log_format: LogFormat,
}

/// How a log is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// Lines for people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

impl Default for Process {
    fn default() -> Self {
        Self {
            state_dir: "state".into(),
            threads: 0,
            admin: None,
            log: "info".to_owned(),
            log_format: LogFormat::Human,
        }
    }
}

/// A config as it was read.
#[derive(Debug)]
pub(crate) struct Loaded<C> {
    pub(crate) process: Process,
    pub(crate) service: C,
    /// The database, if the file names one.
    pub(crate) postgres: Option<postgres::Config>,
    /// The keys of the cluster, if the file names its secret.
    pub(crate) cluster: Option<ClusterKeys>,
    pub(crate) identity: Identity,
    pub(crate) trust: Trust,
    /// List of what was revoked, if the file names one.
    pub(crate) revoked: Option<PathBuf>,
    /// Who may come in, of a hub.
    pub(crate) access: Access,
    /// What its pages show.
    pub(crate) site: Site,
}

#[derive(Debug, Default)]
struct Common {
    access: Option<Access>,
    site: Option<Site>,
    tls: Tls,
    process: Process,
    postgres: Option<postgres::Config>,
    cluster: Option<ClusterConfig>,
}

/// Stands for the number of the instance in paths that several share.
const INDEX: &str = "{index}";

/// Reads the config of the service called `table`, for the instance that `placement` says. Paths in it are meant from the
/// file's own folder.
pub(crate) fn load<C: DeserializeOwned + Default>(
    path: &Path,
    table: &str,
    placement: &Placement,
) -> Result<Loaded<C>, Stop> {
    let (common, service) = parse::<C>(path, table, placement)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let broken = |error: drover_quic::PkiError| usage(path, &format!("[tls]: {}", drover_env::Chain(&error)));
    let [certificate, key, ca] = read_pem(path, folder, &common.tls)?;
    let identity = Identity::from_pem(&certificate, &key).map_err(broken)?;
    let trust = Trust::from_pem(&ca).map_err(broken)?;
    let mut process = common.process;
    process.state_dir = folder.join(process.state_dir);
    let postgres = common.postgres.map(|config| in_folder(config, folder));
    let cluster = common.cluster.map(|config| cluster_keys(path, folder, &config)).transpose()?;
    let revoked = common.tls.revoked.map(|file| folder.join(file));
    let mut access = common.access.unwrap_or_default();
    access.keys = folder.join(access.keys);
    access.tickets = access.tickets.map(|file| folder.join(file));
    let mut site = common.site.unwrap_or_default();
    for file in [&mut site.streets, &mut site.certificate, &mut site.key].into_iter().flatten() {
        *file = folder.join(&*file);
    }
    Ok(Loaded { process, service, postgres, cluster, identity, trust, revoked, access, site })
}

fn cluster_keys(path: &Path, folder: &Path, config: &ClusterConfig) -> Result<ClusterKeys, Stop> {
    let wrong = |problem: String| usage(path, &format!("[cluster]: {problem}"));
    let file = folder.join(&config.secret);
    let text = fs::read_to_string(&file)
        .map_err(|error| wrong(format!("read {}: {error}; `drover pki secret` makes one", file.display())))?;
    let secret =
        ClusterSecret::from_hex(&text).map_err(|error| wrong(format!("{}: {error}", file.display())))?;
    if config.rotate < ClusterKeys::ROTATION_MIN {
        return Err(wrong(format!("rotate_s must be at least {}", ClusterKeys::ROTATION_MIN.as_secs())));
    }
    Ok(ClusterKeys::new(secret).with_rotation(config.rotate))
}

/// The database of a config, which must name one. Certificates are not looked at.
pub(crate) fn database(path: &Path) -> Result<postgres::Config, Stop> {
    let (mut whole, _) = read::<drover_persistence::Config>(path, PERSISTENCE)?;
    let config: Option<postgres::Config> = part(path, POSTGRES, whole.remove(POSTGRES))?;
    let config = config.ok_or_else(|| {
        usage(path, "[postgres] is missing: it names the database; `drover persistence --print-config` shows its keys")
    })?;
    config.check().map_err(|problem| usage(path, &format!("[postgres]: {problem}")))?;
    Ok(in_folder(config, path.parent().unwrap_or(Path::new(""))))
}

/// The database at `url`, with whatever else `config` says.
pub(crate) fn at_url(config: Option<postgres::Config>, url: &str) -> Result<postgres::Config, Stop> {
    config.unwrap_or_default().with_url(url).map_err(Stop::Usage)
}

fn in_folder(config: postgres::Config, folder: &Path) -> postgres::Config {
    postgres::Config { tls_ca: config.tls_ca.as_ref().map(|file| folder.join(file)), ..config }
}

/// The keys of [postgres] with their defaults, for a file that has none: every line is a comment.
fn postgres_to_fill_in() -> Result<String, Stop> {
    let head = "# Without this table fixes are kept in memory, and are gone with the process. Password: PGPASSWORD.\n";
    let text = described(POSTGRES, &postgres::Config::default())?;
    // A comment of the table stays one when the table is filled in.
    let lines = text
        .lines()
        .map(|line| if line.starts_with('#') { format!("#{line}\n") } else { format!("# {line}\n") });
    Ok(head.to_owned() + &lines.collect::<String>())
}

/// One table with the docs of its keys.
fn described<C: Serialize + JsonSchema>(name: &str, config: &C) -> Result<String, Stop> {
    let table = toml::Table::try_from(config);
    let table = table.map_err(|error| Stop::Failed(format!("write the config: {error}")))?;
    Ok(Described::new::<C>(name, table).write())
}

/// Reads certificate, key and CA; says at once which of them are missing.
fn read_pem(path: &Path, folder: &Path, tls: &Tls) -> Result<[Vec<u8>; 3], Stop> {
    let mut problems = Vec::new();
    let read = [&tls.certificate, &tls.key, &tls.ca].map(|file| {
        let file = folder.join(file);
        fs::read(&file).unwrap_or_else(|error| {
            problems.push(format!("read {}: {error}", file.display()));
            Vec::new()
        })
    });
    if problems.is_empty() {
        return Ok(read);
    }
    let problems = problems.join("; ");
    Err(usage(path, &format!("[tls]: {problems}; `drover pki` makes certificates")))
}

/// The service's own part of a config, without certificates.
pub(crate) fn service<C: DeserializeOwned + Default>(path: &Path, table: &str) -> Result<C, Stop> {
    let (_, service) = read::<C>(path, table)?;
    Ok(service)
}

/// The config with every default filled in, as TOML, with what each key is for.
pub(crate) fn resolved<C>(path: Option<&Path>, table: &str, placement: &Placement) -> Result<String, Stop>
where
    C: DeserializeOwned + Default + Serialize + JsonSchema,
{
    let (Common { tls, process, postgres, cluster, access, site }, service) = match path {
        Some(path) => parse::<C>(path, table, placement)?,
        None => (Common::default(), C::default()),
    };
    let mut tables =
        vec![described("tls", &tls)?, described("process", &process)?, described(table, &service)?];
    match &postgres {
        Some(postgres) => tables.push(described(POSTGRES, postgres)?),
        None if table == PERSISTENCE => tables.push(postgres_to_fill_in()?),
        None => {}
    }
    if table == HUB {
        tables.push(described(ACCESS, &access.unwrap_or_default())?);
        tables.push(described(SITE, &site.unwrap_or_default())?);
    }
    match &cluster {
        Some(cluster) => tables.push(described(CLUSTER, cluster)?),
        // Routers and DNS servers are nothing without it; a gateway may do without routers.
        None if matches!(table, "router" | "dns") => {
            tables.push(described(CLUSTER, &ClusterConfig::default())?);
        }
        None => {}
    }
    Ok(tables.join("\n"))
}

fn parse<C: DeserializeOwned + Default>(
    path: &Path,
    table: &str,
    placement: &Placement,
) -> Result<(Common, C), Stop> {
    let (mut whole, service) = read_at(path, table, placement.listen)?;
    let tls: Option<Tls> = part(path, "tls", whole.remove("tls"))?;
    let mut tls = tls.ok_or_else(|| {
        usage(path, "[tls] is missing: it names certificate, key and ca; `drover pki` makes them")
    })?;
    let mut process: Process = part(path, "process", whole.remove("process"))?.unwrap_or_default();
    for shared in [&mut tls.certificate, &mut tls.key, &mut process.state_dir] {
        let own = shared.to_str().map(|text| text.replace(INDEX, &placement.index.to_string()));
        *shared = own.map_or_else(|| shared.clone(), PathBuf::from);
    }
    process.admin = placement.admin.or(process.admin);
    let postgres = part(path, POSTGRES, whole.remove(POSTGRES))?;
    let cluster = part(path, CLUSTER, whole.remove(CLUSTER))?;
    let access = part(path, ACCESS, whole.remove(ACCESS))?;
    let site = part(path, SITE, whole.remove(SITE))?;
    Ok((Common { tls, process, postgres, cluster, access, site }, service))
}

/// Reads the service's table, and gives what is left beside it.
fn read<C: DeserializeOwned + Default>(path: &Path, table: &str) -> Result<(toml::Table, C), Stop> {
    read_at(path, table, None)
}

/// The same, for a service that is told where to listen.
fn read_at<C: DeserializeOwned + Default>(
    path: &Path,
    table: &str,
    listen: Option<SocketAddr>,
) -> Result<(toml::Table, C), Stop> {
    let text =
        fs::read_to_string(path).map_err(|error| Stop::Usage(format!("read {}: {error}", path.display())))?;
    let wrong = |error: toml::de::Error| usage(path, error.to_string().trim_end());
    let mut whole: toml::Table = toml::from_str(&text).map_err(wrong)?;
    let mut known = vec!["tls", "process", table];
    if table == PERSISTENCE {
        known.push(POSTGRES);
    }
    if MEMBERS.contains(&table) {
        known.push(CLUSTER);
    }
    if table == HUB {
        known.extend([ACCESS, SITE]);
    }
    if let Some(other) = whole.keys().find(|key| !known.contains(&key.as_str())) {
        let known = known.into_iter().map(|name| format!("[{name}]")).collect::<Vec<_>>().join(", ");
        return Err(usage(path, &format!("unknown table or key `{other}`; this file has {known}")));
    }
    let mut own = whole.remove(table);
    if let Some(listen) = listen {
        let own = own.get_or_insert_with(|| toml::Table::new().into());
        if let Some(own) = own.as_table_mut() {
            own.insert("listen".to_owned(), listen.to_string().into());
        }
    }
    let service = part(path, table, own)?.unwrap_or_default();
    Ok((whole, service))
}

/// A router's config for the instance that `placement` says: it listens towards gateways and hubs as many ports above as its number, and
/// towards browsers too, unless that port is the one towards vehicles: then each has an address of its own, for both.
pub(crate) fn placed(mut config: drover_router::Config, placement: &Placement) -> drover_router::Config {
    let shift = |addr: &mut SocketAddr| {
        let shared = u16::try_from(placement.index).ok().filter(|_| addr.port() != 0);
        addr.set_port(addr.port().saturating_add(shared.unwrap_or_default()));
    };
    shift(&mut config.inner);
    if let Some(live) = &mut config.live {
        shift(&mut live.inner);
        shift(&mut live.listen);
    }
    if let Some(tcp) = &mut config.tcp {
        match placement.listen {
            Some(listen) if listen.port() == tcp.listen.port() => tcp.listen.set_ip(listen.ip()),
            _ => shift(&mut tcp.listen),
        }
    }
    config
}

/// A hub's config for the instance that `placement` says: it listens on the bus, and for live maps over QUIC, as many ports above as its
/// number.
pub(crate) fn placed_hub(mut config: drover_hub::Config, placement: &Placement) -> drover_hub::Config {
    let shift = |addr: &mut SocketAddr| {
        let shared = u16::try_from(placement.index).ok().filter(|_| addr.port() != 0);
        addr.set_port(addr.port().saturating_add(shared.unwrap_or_default()));
    };
    shift(&mut config.bus_listen);
    if let Some(quic) = &mut config.quic {
        shift(&mut quic.listen);
    }
    config
}

/// Reads one table of a config, if it is there.
fn part<C: DeserializeOwned>(
    path: &Path,
    table: &str,
    value: Option<toml::Value>,
) -> Result<Option<C>, Stop> {
    let wrong = |error: toml::de::Error| usage(path, &format!("[{table}]: {}", error.message().trim()));
    value.map(|value| value.try_into().map_err(wrong)).transpose()
}

/// A problem with the file at `path`.
pub(crate) fn usage(path: &Path, message: &str) -> Stop {
    Stop::Usage(format!("{}: {message}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("gateway.toml");
        fs::write(&path, text).expect("written");
        let result = load::<drover_gateway::Config>(&path, "gateway", &Placement::default());
        let Err(Stop::Usage(message)) = result else { panic!("{text} was taken") };
        assert!(message.contains(expected), "{message}");
    }

    #[test]
    fn a_wrong_config_is_named_with_its_place_and_the_way_out() {
        let tls = "[tls]\ncertificate = \"a\"\nkey = \"b\"\nca = \"c\"\n";
        check("x = ", "TOML parse error at line 1");
        check(
            "[gatway]",
            "unknown table or key `gatway`; this file has [tls], [process], [gateway], [cluster]",
        );
        check(&format!("{tls}[gateway]\nlisten = 7"), "[gateway]: ");
        check(&format!("{tls}[gateway]\nbatchs = 7"), "unknown field `batchs`");
        check("[gateway]", "[tls] is missing");
        check(
            "[process]\nthread = 2\n[tls]\ncertificate = \"a\"\nkey = \"b\"\nca = \"c\"\n",
            "[process]: unknown field `thread`",
        );
        check(tls, "`drover pki` makes certificates");
    }

    #[test]
    fn one_config_serves_many_instances_each_with_its_own_names_and_addresses() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("gateway.toml");
        let tls = "[tls]\ncertificate = \"pki/gateway-{index}.pem\"\nkey = \"pki/gateway-{index}.key\"\nca = \"ca\"\n";
        fs::write(&path, format!("{tls}[process]\nstate_dir = \"state/{{index}}\"\n")).expect("written");
        let (listen, admin) = ("127.0.0.1:7".parse().ok(), "127.0.0.1:8".parse().ok());
        let placement = Placement { index: 3, listen, admin, supervised: false };
        let parsed = parse::<drover_gateway::Config>(&path, "gateway", &placement).ok();
        let (common, service) = parsed.expect("a good config");
        assert_eq!(common.tls.key, Path::new("pki/gateway-3.key"));
        assert_eq!(common.process.state_dir, Path::new("state/3"));
        assert_eq!((Some(service.listen), common.process.admin), (listen, admin));
        let parsed = parse::<crate::services::TrackerConfig>(&path, "gateway", &placement);
        let Err(Stop::Usage(message)) = parsed else { panic!("a tracker listens") };
        assert!(message.contains("unknown field `listen`"), "{message}");
    }

    #[test]
    fn routers_of_one_machine_have_ports_or_addresses_of_their_own() {
        let placed = |listen: &str| {
            let tcp = drover_router::TcpConfig {
                listen: SocketAddr::from(([127, 0, 0, 1], 443)),
                ..Default::default()
            };
            let inner = SocketAddr::from(([127, 0, 0, 1], 9443));
            let config = drover_router::Config { inner, tcp: Some(tcp), ..Default::default() };
            let placement = Placement { index: 2, listen: listen.parse().ok(), ..Placement::default() };
            let config = placed(config, &placement);
            (config.inner.to_string(), config.tcp.map(|tcp| tcp.listen.to_string()))
        };
        let expected = |tcp: &str| ("127.0.0.1:9445".to_owned(), Some(tcp.to_owned()));
        assert_eq!(placed("127.0.0.1:445"), expected("127.0.0.1:445"));
        assert_eq!(placed("127.0.0.3:443"), expected("127.0.0.3:443"));
    }

    #[test]
    fn a_cluster_s_secret_is_read_or_what_is_wrong_with_it_is_said() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("router.toml");
        let keys = |config: &ClusterConfig| cluster_keys(&path, folder.path(), config);
        let config = ClusterConfig { secret: "secret".into(), ..ClusterConfig::default() };
        let says = |config: &ClusterConfig, expected: &str| {
            let Err(Stop::Usage(message)) = keys(config) else { panic!("taken") };
            assert!(message.contains(expected), "{message}");
        };
        says(&config, "`drover pki secret` makes one");
        fs::write(folder.path().join("secret"), "a5").expect("written");
        says(&config, "64 hexadecimal digits");
        fs::write(folder.path().join("secret"), "a5".repeat(32) + "\n").expect("written");
        says(
            &ClusterConfig { rotate: Duration::from_secs(1), ..config.clone() },
            "rotate_s must be at least 20",
        );
        assert!(keys(&config).is_ok());
    }

    #[test]
    fn only_a_persistence_agent_has_a_database() {
        check(
            "[postgres]",
            "unknown table or key `postgres`; this file has [tls], [process], [gateway], [cluster]",
        );
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("persistence.toml");
        let checked = |text: &str| {
            fs::write(&path, text).expect("written");
            database(&path).map_err(|stop| match stop {
                Stop::Usage(message) | Stop::Failed(message) => message,
            })
        };
        let config =
            checked("[postgres]\nendpoints = [\"/run/postgresql\"]\ntls_ca = \"db.pem\"").expect("a config");
        assert_eq!(config.tls_ca, Some(folder.path().join("db.pem")));
        assert!(checked("[persistence]").is_err_and(|problem| problem.contains("[postgres] is missing")));
        let wrong = checked("[postgres]\nendpoints = []");
        assert!(wrong.is_err_and(|problem| problem.contains("[postgres]: endpoints must name")));
        let wrong = checked("[postgres]\nendpoint = \"x\"");
        assert!(wrong.is_err_and(|problem| problem.contains("[postgres]: unknown field `endpoint`")));
        // What is printed to be filled in is good once it is no comment any more.
        let printed = postgres_to_fill_in().unwrap_or_default();
        let lines = printed.lines().filter(|line| line.contains('[') || line.contains(" = "));
        let filled: Vec<&str> = lines.map(|line| line.trim_start_matches("# ")).collect();
        assert_eq!(checked(&filled.join("\n")), Ok(postgres::Config::default()));
    }

    #[test]
    fn what_is_printed_can_be_read_again() {
        let none = Placement::default();
        let text = resolved::<drover_persistence::Config>(None, "persistence", &none).unwrap_or_default();
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("persistence.toml");
        fs::write(&path, &text).expect("written");
        assert_eq!(
            resolved::<drover_persistence::Config>(Some(&path), "persistence", &none).unwrap_or_default(),
            text
        );
    }
}
