//! `drover ctl`: asks a running process, or a whole cluster, by its admin address.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use drover_supervisor::admin::{Method, ask};
use drover_supervisor::{Allowed, Cluster, Status};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::timeout;

use crate::cli::{CtlArgs, CtlCommand};
use crate::{Stop, show, up};

/// How long a process may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How long it may work on its database.
const WORK_WITHIN: Duration = Duration::from_secs(4 * 3600);

pub(crate) fn run(args: &CtlArgs) -> Result<(), Stop> {
    let (method, path) = match &args.command {
        CtlCommand::Status => (Method::GET, "/status".to_owned()),
        CtlCommand::Metrics => (Method::GET, "/metrics".to_owned()),
        CtlCommand::Ready => (Method::GET, "/ready".to_owned()),
        CtlCommand::Drain => (Method::POST, "/drain".to_owned()),
        CtlCommand::Cordon => (Method::POST, "/cordon".to_owned()),
        CtlCommand::Uncordon => (Method::POST, "/uncordon".to_owned()),
        CtlCommand::Roll => (Method::POST, "/roll".to_owned()),
        CtlCommand::ReplayLetters => (Method::POST, "/letters/replay".to_owned()),
        CtlCommand::Rederive { tenant, from, to, vehicle } => {
            let vehicle = vehicle.as_ref().map(|vehicle| format!("&vehicle={vehicle}")).unwrap_or_default();
            (Method::POST, format!("/totals/rederive?tenant={tenant}&from={from}&to={to}{vehicle}"))
        }
    };
    let within = match args.command {
        CtlCommand::ReplayLetters | CtlCommand::Rederive { .. } => WORK_WITHIN,
        CtlCommand::Status
        | CtlCommand::Metrics
        | CtlCommand::Ready
        | CtlCommand::Drain
        | CtlCommand::Cordon
        | CtlCommand::Uncordon
        | CtlCommand::Roll => ANSWER_WITHIN,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Stop::Failed(format!("start the runtime: {error}")))?;
    let addr = match (&args.addr, &args.cluster) {
        (Some(addr), _) => *addr,
        (None, Some(cluster)) => supervisor(cluster)?,
        (None, None) => return Err(Stop::Usage("ctl needs --addr or --cluster".to_owned())),
    };
    runtime.block_on(async {
        let body = answer(addr, &method, &path, within).await?;
        let is_table = args.cluster.is_some() && !args.json && matches!(args.command, CtlCommand::Status);
        show(&if is_table { table(addr, &body).await? } else { body });
        Ok(())
    })
}

/// The admin address of a cluster's supervisor.
fn supervisor(cluster: &Path) -> Result<SocketAddr, Stop> {
    let path = up::cluster_file(cluster);
    let cluster = Cluster::load(&path).map_err(|error| Stop::Usage(drover_env::Chain(&error).to_string()))?;
    cluster.supervisor.admin.ok_or_else(|| {
        Stop::Usage(format!("{}: [supervisor] has no `admin`: nobody can ask it", path.display()))
    })
}

async fn answer(addr: SocketAddr, method: &Method, path: &str, within: Duration) -> Result<String, Stop> {
    let failed = |problem: &str| {
        Stop::Failed(format!("{addr}: {problem}; is it the `admin` address of a process that runs?"))
    };
    let asked = timeout(within, ask(addr, method, path)).await;
    let (status, body) = asked.map_err(|_| failed("no answer in time"))?.map_err(|error| failed(&error))?;
    if status.is_success() {
        return Ok(body);
    }
    Err(Stop::Failed(format!("{addr}: {status}: {}", body.trim_end())))
}

/// What a supervisor says of its cluster.
#[derive(Deserialize)]
struct Whole {
    cluster: Status,
    store: String,
    /// By control groups.
    #[serde(default)]
    allowed: Allowed,
}

/// The processes of a cluster, and where its vehicles are.
async fn table(addr: SocketAddr, body: &str) -> Result<String, Stop> {
    let whole: Whole = serde_json::from_str(body)
        .map_err(|error| Stop::Failed(format!("{addr}: this is no supervisor: {error}")))?;
    let mut text = whole.cluster.table();
    let _ = write!(text, "\nstore: {}\n", whole.store);
    if let Some(allowed) = whole.allowed.text() {
        let _ = writeln!(text, "control groups allow {allowed}");
    }
    for service in whole.cluster.services.iter().filter(|service| service.node.starts_with("tracker/")) {
        // One that does not answer is in the table as what it is.
        let Ok(body) = answer(service.admin, &Method::GET, "/status", ANSWER_WITHIN).await else { continue };
        text.push_str(&vehicle(&service.node, &body));
    }
    for service in whole.cluster.services.iter().filter(|service| service.node.starts_with("health/")) {
        let Ok(body) = answer(service.admin, &Method::GET, "/status", ANSWER_WITHIN).await else { continue };
        text.push_str(&seen_by(&service.node, &body));
    }
    Ok(text)
}

/// What a health agent says of everybody.
fn seen_by(agent: &str, body: &str) -> String {
    let status: Value = serde_json::from_str(body).unwrap_or_default();
    let nodes = status["nodes"].as_object();
    let state = |(name, node): (&String, &Value)| {
        let load = node["load_percent"].as_u64().filter(|load| *load > 0);
        let load = load.map(|load| format!(" at {load} %")).unwrap_or_default();
        format!("{name} {}{load}", node["state"].as_str().unwrap_or("?"))
    };
    let states: Vec<String> = nodes.into_iter().flatten().map(state).collect();
    let seen = if states.is_empty() { "nobody has registered".to_owned() } else { states.join(", ") };
    let blind = if status["blind"].as_bool() == Some(true) { "hears of nobody now; last: " } else { "" };
    format!("{agent}: {blind}{seen}\n")
}

/// Where a vehicle is, as its tracker says.
fn vehicle(node: &str, body: &str) -> String {
    let status: Value = serde_json::from_str(body).unwrap_or_default();
    let name = status["node"].as_str().unwrap_or_default();
    let name = name.strip_prefix("drover://").unwrap_or(name).replace("/vehicle/", "/");
    let fix = &status["fix"];
    let (Some(lat), Some(lon)) = (fix["lat"].as_f64(), fix["lon"].as_f64()) else {
        return format!("{node}: {name} has no fix yet\n");
    };
    let speed = fix["speed_kmh"].as_f64().map(|speed| format!(", {speed} km/h")).unwrap_or_default();
    let count = |event: &str| status["events"][event].as_u64().unwrap_or_default();
    let time = fix["time"].as_str().unwrap_or_default();
    let (recorded, acks) = (count("tracker.recorded"), count("tracker.durable"));
    format!(
        "{node}: {name} at {lat:.6} {lon:.6}{speed} ({time}); {recorded} fixes recorded, {acks} durable acks\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_agent_says_of_everybody_is_a_line() {
        let body = r#"{"blind":false,"nodes":{"gateway/0":{"state":"healthy","load_percent":35},
                       "router/0":{"state":"dead","load_percent":0}}}"#;
        assert_eq!(seen_by("health/0", body), "health/0: gateway/0 healthy at 35 %, router/0 dead\n");
        assert_eq!(seen_by("health/0", r#"{"nodes":{}}"#), "health/0: nobody has registered\n");
        let blind = r#"{"blind":true,"nodes":{"hub/0":{"state":"healthy"}}}"#;
        assert_eq!(seen_by("health/0", blind), "health/0: hears of nobody now; last: hub/0 healthy\n");
    }

    #[test]
    fn a_vehicle_is_shown_with_its_place() {
        let body = r#"{"node":"drover://demo/vehicle/VAN-001","events":{"tracker.recorded":20,"tracker.durable":4},
                       "fix":{"time":"2026-03-02T07:00:00Z","lat":60.17,"lon":24.94,"speed_kmh":31.0}}"#;
        let expected = "tracker/0: demo/VAN-001 at 60.170000 24.940000, 31 km/h (2026-03-02T07:00:00Z); \
                        20 fixes recorded, 4 durable acks\n";
        assert_eq!(vehicle("tracker/0", body), expected);
        assert_eq!(vehicle("tracker/0", "{}"), "tracker/0:  has no fix yet\n");
    }
}
