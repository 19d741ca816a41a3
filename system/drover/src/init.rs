//! `drover init`: a folder with all that a cluster on this machine needs.

use std::path::Path;

use drover_model::TenantId;
use drover_quic::Principal;

use crate::cli::InitArgs;
use crate::pki::{self, write_new};
use crate::{Stop, show, token};

const GATEWAY: &str = "gateway/0";
const PERSISTENCE: &str = "persistence/0";
const ROUTER: &str = "router/0";
const DNS: &str = "dns/0";
const HEALTH: &str = "health/0";
const HUB: &str = "hub/0";

/// Ports from one service's first to the next one's: so many of each can run.
const PORTS_EACH: u16 = 10;

/// Where the services listen, on this machine alone.
struct Addrs {
    gateway: String,
    persistence: String,
    gateway_admin: String,
    persistence_admin: String,
    tracker_admin: String,
    supervisor_admin: String,
    router: String,
    router_inner: String,
    router_admin: String,
    dns: String,
    dns_admin: String,
    health: String,
    health_admin: String,
    hub: String,
    hub_bus: String,
    hub_admin: String,
    /// Where browsers come, over TCP and UDP.
    browsers: String,
    live_inner: String,
}

impl Addrs {
    fn from_port(first: u16) -> Self {
        let at = |place| format!("127.0.0.1:{}", first + place * PORTS_EACH);
        Self {
            router: at(0),
            persistence: at(1),
            gateway_admin: at(2),
            persistence_admin: at(3),
            tracker_admin: at(4),
            supervisor_admin: at(5),
            gateway: at(6),
            router_inner: at(7),
            router_admin: at(8),
            dns: at(11),
            dns_admin: at(12),
            health: at(9),
            health_admin: at(10),
            hub: at(13),
            hub_bus: at(14),
            hub_admin: at(15),
            browsers: at(16),
            live_inner: at(17),
        }
    }
}

pub(crate) fn run(args: &InitArgs) -> Result<(), Stop> {
    let dir = &args.dir;
    let Principal::Vehicle { tenant, .. } = pki::parse(&args.vehicle)? else {
        return Err(Stop::Usage(format!("--vehicle {}: that is a service, not a vehicle", args.vehicle)));
    };
    let addrs = Addrs::from_port(args.port);
    let configs = [
        ("health.toml", health_config(&addrs)),
        ("router.toml", router_config(&addrs)),
        ("gateway.toml", gateway_config(&addrs)),
        ("hub.toml", hub_config(&addrs)),
        ("dns.toml", dns_config(&addrs)),
        ("persistence.toml", persistence_config(&addrs, args.postgres.as_deref())),
        ("tracker.toml", tracker_config(&addrs, &args.vehicle)),
        ("cluster.toml", cluster_file(&addrs)),
    ];
    // Nothing is half made because the last of it is in the way.
    let there = ["pki"].into_iter().chain(configs.iter().map(|(name, _)| *name));
    if let Some(name) = there.into_iter().find(|name| dir.join(name).exists()) {
        let there = dir.join(name);
        return Err(Stop::Usage(format!(
            "{} is there already; move it away first, or choose another folder",
            there.display()
        )));
    }
    let folder = dir.join("pki");
    pki::make_ca(&folder)?;
    pki::make_secret(&folder)?;
    pki::make_revoked(&folder)?;
    token::make_key(&folder)?;
    for who in [HEALTH, DNS, ROUTER, GATEWAY, HUB, PERSISTENCE, &args.vehicle] {
        pki::issue_into(&folder, who)?;
    }
    for (name, text) in configs {
        write_new(&dir.join(name), &text, 0o644)?;
    }
    show(&next_steps(dir, args.postgres.is_some(), &addrs.browsers, tenant));
    Ok(())
}

fn next_steps(dir: &Path, has_database: bool, browsers: &str, tenant: TenantId) -> String {
    let dir = dir.display();
    let migrate = if has_database {
        format!("  drover migrate --config {dir}/persistence.toml      makes the tables, once\n")
    } else {
        String::new()
    };
    format!(
        "wrote {dir}: certificates, health.toml, dns.toml, router.toml, gateway.toml, hub.toml, persistence.toml, tracker.toml,\n\
         cluster.toml\n\
         {dir}/pki/ca.key can issue any certificate: keep it away from the machines that run services\n\
         {dir}/pki/cluster.secret is for gateways, routers, hubs and DNS servers alone\n\
         {dir}/pki/tokens.key can sign in as anybody: it is for whoever gives tokens to people\n\
         next:\n\
         {migrate}  \
         drover up {dir}\n  \
         drover ctl --cluster {dir} status      in another terminal\n  \
         drover token --key {dir}/pki --tenant {tenant}      with it a dispatcher signs in at http://{browsers}/\n\
         or each service in a terminal of its own, with a drive of yours:\n  \
         drover health --config {dir}/health.toml\n  \
         drover persistence --config {dir}/persistence.toml\n  \
         drover gateway --config {dir}/gateway.toml\n  \
         drover router --config {dir}/router.toml\n  \
         drover hub --config {dir}/hub.toml\n  \
         drover dns --config {dir}/dns.toml\n  \
         drover tracker --config {dir}/tracker.toml < drive.nmea      with `demo = false`\n"
    )
}

/// What every config begins with. The certificate and the folder are those of `stem`, which may hold `{index}`.
fn head(service: &str, stem: &str, admin: &str) -> String {
    let revoked = match service {
        "gateway" | "hub" => format!("revoked = \"pki/{}\"\n", pki::REVOKED_FILE),
        _ => String::new(),
    };
    format!(
        "# Every key with its default: drover {service} --config {service}.toml --print-config\n\n\
         [tls]\ncertificate = \"pki/{stem}.pem\"\nkey = \"pki/{stem}.key\"\nca = \"pki/ca.pem\"\n{revoked}\n\
         [process]\nstate_dir = \"state/{stem}\"\nadmin = \"{admin}\"\n"
    )
}

/// What gateways, routers, hubs and DNS servers share.
const CLUSTER: &str = "[cluster]\nsecret = \"pki/cluster.secret\"\n";

/// Whom a service registers with, and hears of others from.
fn discovery(service: &str, addrs: &Addrs) -> String {
    format!(
        "\n# One for each health agent of the cluster. The lists above hold until there is news.\n\
         [[{service}.discovery.agents]]\nnode = \"{HEALTH}\"\naddr = \"{}\"\n",
        addrs.health
    )
}

fn health_config(addrs: &Addrs) -> String {
    format!(
        "{}\n[health]\n# Services call here, by UDP.\nlisten = \"{}\"\nprobe_bind = \"127.0.0.1:0\"\n",
        head("health", "health-{index}", &addrs.health_admin),
        addrs.health
    )
}

fn router_config(addrs: &Addrs) -> String {
    let Addrs { router, router_inner, router_admin, gateway, hub, browsers, live_inner, .. } = addrs;
    format!(
        "{}\n{CLUSTER}\n[router]\n# Vehicles connect here, by UDP.\nlisten = \"{router}\"\n\
         # Gateways answer to here. Of several routers, each takes the next port.\ninner = \"{router_inner}\"\n\n\
         # One for each gateway of the cluster.\n\
         [[router.gateways]]\nnode = \"{GATEWAY}\"\naddr = \"{gateway}\"\n\n\
         # Browsers connect here, by TCP: pages, HTTP API and live map.\n\
         [router.tcp]\nlisten = \"{browsers}\"\n\n\
         [[router.tcp.hubs]]\nnode = \"{HUB}\"\naddr = \"{hub}\"\n\n\
         # And here, by UDP, for live maps over QUIC; hubs answer to `inner`.\n\
         [router.live]\nlisten = \"{browsers}\"\ninner = \"{live_inner}\"\n\n\
         [[router.live.hubs]]\nnode = \"{HUB}\"\naddr = \"{hub}\"\n{}",
        head("router", "router-{index}", router_admin),
        discovery("router", addrs)
    )
}

fn dns_config(addrs: &Addrs) -> String {
    let Addrs { dns, dns_admin, router, .. } = addrs;
    let (router_ip, router_port) = router.rsplit_once(':').unwrap_or_default();
    format!(
        "{}\n{CLUSTER}\n[dns]\n# Clients ask here, by UDP and TCP: dig @127.0.0.1 -p <port> routers.drover.internal\n\
         listen = \"{dns}\"\n\n\
         # Named while no health agent says more.\n\
         [[dns.nodes]]\nnode = \"{ROUTER}\"\naddrs = [\"{router_ip}\"]\nport = {router_port}\n{}",
        head("dns", "dns-{index}", dns_admin),
        discovery("dns", addrs)
    )
}

fn gateway_config(addrs: &Addrs) -> String {
    let Addrs { gateway, persistence, gateway_admin, router_inner, hub_bus, .. } = addrs;
    format!(
        "{}\n{CLUSTER}\n[gateway]\n# Routers send here, by UDP, and vehicles may.\nlisten = \"{gateway}\"\n\
         # `inner` of each router.\nrouters = [\"{router_inner}\"]\nbus_bind = \"127.0.0.1:0\"\n\n\
         # One for each persistence agent of the cluster.\n\
         [[gateway.persistence]]\nnode = \"{PERSISTENCE}\"\naddr = \"{persistence}\"\n\n\
         # One for each hub of the cluster.\n[[gateway.live]]\nnode = \"{HUB}\"\naddr = \"{hub_bus}\"\n{}",
        head("gateway", "gateway-{index}", gateway_admin),
        discovery("gateway", addrs)
    )
}

fn hub_config(addrs: &Addrs) -> String {
    let Addrs { hub, hub_bus, hub_admin, persistence, browsers, live_inner, .. } = addrs;
    let (_, public_port) = browsers.rsplit_once(':').unwrap_or_default();
    format!(
        "{}\n{CLUSTER}\n[access]\nkeys = \"pki/tokens.jwks\"\ntickets = \"pki/tokens.key\"\n\n# Pages show a street map with `streets`, an OpenStreetMap extract (.osm.pbf).\n\
         # With `certificate` and `key` of a CA that browsers know the hub ends TLS.\n[site]\nname = \"Drover\"\n\n\
         [hub]\n# Pages, HTTP API and live map (ws://{hub}/live-map), by TCP.\nlisten = \"{hub}\"\n\
         # Gateways publish here, by UDP. Of several hubs, each takes the next port.\nbus_listen = \"{hub_bus}\"\nbus_bind = \"127.0.0.1:0\"\n\n\
         # Routers: from there a connection says whose it is. Here that is everybody on this machine.\n\
         [hub.proxy]\nfrom = [\"127.0.0.1\"]\n\n\
         # Live map over QUIC (WebTransport), by UDP; `live.inner` of each router, and where browsers find it.\n\
         [hub.quic]\nlisten = \"{hub}\"\nrouters = [\"{live_inner}\"]\npublic_port = {public_port}\n\n\
         # One for each persistence agent of the cluster.\n\
         [[hub.persistence]]\nnode = \"{PERSISTENCE}\"\naddr = \"{persistence}\"\n{}",
        head("hub", "hub-{index}", hub_admin),
        discovery("hub", addrs)
    )
}

fn persistence_config(addrs: &Addrs, postgres: Option<&str>) -> String {
    let Addrs { persistence, persistence_admin, .. } = addrs;
    let database = match postgres {
        Some(endpoint) => {
            format!("\n# Password: PGPASSWORD.\n[postgres]\nendpoints = [{}]\n", toml_string(endpoint))
        }
        None => {
            "\n# Without [postgres] fixes are kept in memory, and are gone with the process.\n".to_owned()
        }
    };
    format!(
        "{}\n[persistence]\n# Gateways call here, by UDP.\nlisten = \"{persistence}\"\n{}{database}",
        head("persistence", "persistence-{index}", persistence_admin),
        discovery("persistence", addrs).replace(" The lists above hold until there is news.", "")
    )
}

fn tracker_config(addrs: &Addrs, vehicle: &str) -> String {
    format!(
        "{}\n[tracker.session]\nservers = [\"{}\"]\nvia = \"routers\"\n\n[tracker.source]\n\
         # A round through the middle of Helsinki; without it, `nmea` is read.\ndemo = true\n\
         # Standard input; a receiver is a device such as /dev/ttyACM0.\nnmea = \"-\"\n",
        head("tracker", &pki::stem(vehicle), &addrs.tracker_admin),
        addrs.router
    )
}

fn cluster_file(addrs: &Addrs) -> String {
    let service = |kind: &str, listen: Option<&str>, admin: &str| {
        let listen = listen.map(|addr| format!("listen = \"{addr}\"\n")).unwrap_or_default();
        format!(
            "\n[[services]]\nkind = \"{kind}\"\ncount = 1\nconfig = \"{kind}.toml\"\n{listen}admin = \"{admin}\"\n"
        )
    };
    format!(
        "# What runs in this cluster, and where: `drover up` reads it. Of several of a kind, each takes the next port.\n\n\
         [supervisor]\nadmin = \"{}\"\n{}{}{}{}{}{}{}",
        addrs.supervisor_admin,
        service("health", Some(&addrs.health), &addrs.health_admin),
        service("persistence", Some(&addrs.persistence), &addrs.persistence_admin),
        service("hub", Some(&addrs.hub), &addrs.hub_admin),
        service("gateway", Some(&addrs.gateway), &addrs.gateway_admin),
        service("router", Some(&addrs.router), &addrs.router_admin),
        service("dns", Some(&addrs.dns), &addrs.dns_admin),
        service("tracker", None, &addrs.tracker_admin)
    )
}

fn toml_string(text: &str) -> String {
    toml::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::cli::Placement;
    use crate::config;

    fn args(dir: &Path) -> InitArgs {
        InitArgs { dir: dir.to_owned(), postgres: None, vehicle: "acme/TRUCK-042".to_owned(), port: 4430 }
    }

    #[test]
    fn what_is_made_is_good_as_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path().join("cluster");
        let postgres = Some("/run/a \"b\"".to_owned());
        assert!(run(&InitArgs { postgres, ..args(&dir) }).is_ok());
        let none = Placement::default();
        let gateway =
            config::load::<drover_gateway::Config>(&dir.join("gateway.toml"), "gateway", &none).ok();
        let gateway = gateway.expect("a good config");
        assert_eq!(gateway.service.check(), Ok(()));
        assert_eq!(gateway.process.admin, "127.0.0.1:4450".parse().ok());
        let router = config::load::<drover_router::Config>(&dir.join("router.toml"), "router", &none).ok();
        let router = router.expect("a good config");
        assert_eq!(router.service.check(), Ok(()));
        assert!(router.cluster.is_some() && gateway.cluster.is_some());
        assert_eq!(router.service.gateways[0].addr, gateway.service.listen);
        assert_eq!(gateway.service.routers, [router.service.inner]);
        let dns = config::load::<drover_dns::Config>(&dir.join("dns.toml"), "dns", &none).ok();
        let dns = dns.expect("a good config");
        assert_eq!(dns.service.check(), Ok(()));
        assert_eq!(dns.service.nodes[0].port, router.service.listen.port());
        let agent = config::load::<drover_persistence::Config>(
            &dir.join("persistence.toml"),
            config::PERSISTENCE,
            &none,
        )
        .ok();
        let agent = agent.expect("a good config");
        assert_eq!(agent.service.listen, gateway.service.persistence[0].addr);
        assert_eq!(agent.postgres.map(|postgres| postgres.endpoints), Some(vec!["/run/a \"b\"".to_owned()]));
        let cluster =
            drover_supervisor::Cluster::load(&dir.join("cluster.toml")).expect("a good cluster file");
        assert_eq!(cluster.instances().len(), 7);
        let hub = config::load::<drover_hub::Config>(&dir.join("hub.toml"), "hub", &none).ok();
        let hub = hub.expect("a good config");
        assert_eq!(hub.service.check(), Ok(()));
        assert_eq!(hub.service.bus_listen, gateway.service.live[0].addr);
        assert!(crate::door::open(&hub.access).is_ok());
        let (tcp, live) = (router.service.tcp.expect("browsers"), router.service.live.expect("live maps"));
        assert_eq!(tcp.hubs[0].addr, hub.service.listen);
        let quic = hub.service.quic.expect("live maps");
        assert_eq!((live.hubs[0].addr, quic.routers), (quic.listen, vec![live.inner]));
        assert_eq!(quic.public_port, Some(live.listen.port()));
        assert!(hub.cluster.is_some() && hub.service.proxy.from.contains(&tcp.listen.ip()));
        let health = config::load::<drover_health::Config>(&dir.join("health.toml"), "health", &none).ok();
        let health = health.expect("a good config");
        assert_eq!(health.service.check(), Ok(()));
        for joined in [&gateway.service.discovery, &router.service.discovery] {
            assert_eq!(joined.agents[0].addr, health.service.listen);
        }
    }

    #[test]
    fn nothing_is_written_over_and_nothing_is_half_made() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("tracker.toml"), "mine").expect("written");
        let Err(Stop::Usage(message)) = run(&args(folder.path())) else { panic!("written over") };
        assert!(message.contains("tracker.toml is there already"), "{message}");
        assert!(!folder.path().join("pki").exists());
        let wrong = InitArgs { vehicle: "gateway/1".to_owned(), ..args(folder.path()) };
        let Err(Stop::Usage(message)) = run(&wrong) else { panic!("taken") };
        assert!(message.contains("a service, not a vehicle"), "{message}");
    }
}
