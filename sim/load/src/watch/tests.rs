//! A whole town, as `twin watch` runs it: what is broken by its endpoint is broken, and comes back.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc;

use serde_json::Value;

use super::*;

const TOWN: &str = "name = \"w\"\nquestion = \"?\"\nduration_s = 60\n[[vehicles]]\ncount = 2\n\
                    [cluster]\ngateway = 1\npersistence = 1\nhub = 1\n\
                    [world]\nroads = { grid = { columns = 3, rows = 3, block_m = 120 } }\n\
                    [[faults]]\nat_s = 5\nfor_s = 2\nkill = \"hub/0\"\n\
                    [[faults]]\nat_s = 5\nfor_s = 2\ndb_away = \"db/0\"\n";
/// Longest that anything here may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks by HTTP/1.1, once; `None` if nobody answers.
fn ask(addr: SocketAddr, method: &str, path: &str, token: &str) -> Option<(u16, Value)> {
    let mut stream = TcpStream::connect_timeout(&addr, Duration::from_secs(2)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    let head = format!("{method} {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n");
    stream
        .write_all(format!("{head}authorization: Bearer {token}\r\ncontent-length: 0\r\n\r\n").as_bytes())
        .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    // What has no length comes in chunks: the JSON is between the first and the last brace.
    let json = body.find('{').zip(body.rfind('}')).map(|(first, last)| &body[first..=last]);
    Some((status, json.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()))
}

fn until(what: &str, mut ask: impl FnMut() -> bool) {
    let give_up = std::time::Instant::now() + PATIENCE;
    while !ask() {
        assert!(std::time::Instant::now() < give_up, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A town under way: its pages, its endpoint of faults, and a dispatcher's token.
struct Watched {
    page: SocketAddr,
    faults: SocketAddr,
    token: String,
}

impl Watched {
    fn told(&self, method: &str, path: &str) -> (u16, Value) {
        ask(self.faults, method, path, &self.token).expect("the endpoint goes on, whatever is broken")
    }

    fn state(&self, node: &str) -> String {
        let (_, told) = self.told("GET", "/faults");
        let nodes = told["nodes"].as_array().expect("nodes").clone();
        let found = nodes.iter().find(|there| there["node"] == node).expect("there");
        found["state"].as_str().expect("a state").to_owned()
    }

    fn fault(&self, number: usize) -> String {
        self.told("GET", "/faults").1["faults"][number]["state"].as_str().expect("a state").to_owned()
    }

    fn serves(&self) -> bool {
        ask(self.page, "GET", "/api/v1/me", &self.token).is_some_and(|(status, _)| status == 200)
    }
}

/// Runs a town in this process while `act` does things to it.
fn watched(act: impl FnOnce(&Watched)) {
    let scenario = Scenario::parse(TOWN, "w.toml").unwrap_or_else(|errors| panic!("{errors}"));
    let roads = drover_harness::run::roads(&scenario, "w.toml").expect("roads");
    let interrupt = AtomicBool::new(false);
    let (pages, opened) = mpsc::channel();
    std::thread::scope(|scope| {
        let running = scope.spawn(|| {
            watch(
                &scenario,
                Options {
                    roads,
                    file: "w.toml",
                    extract: None,
                    listen: "127.0.0.1:0".parse().expect("an address"),
                    interrupt: &interrupt,
                    ready: &mut { |addrs: &[SocketAddr]| pages.send(addrs[0]).expect("somebody waits") },
                    progress: &mut { |_: &Seen| {} },
                },
            )
        });
        let page = opened.recv_timeout(PATIENCE).expect("pages");
        let (_, config) = ask(page, "GET", "/config.json", "").expect("a hub");
        let faults =
            config["faults"].as_str().and_then(|url| url.strip_prefix("http://")).expect("an address");
        let town = Watched {
            page,
            faults: faults.parse().expect("an address"),
            token: config["demo"][0]["token"].as_str().expect("a token").to_owned(),
        };
        let acted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| act(&town)));
        interrupt.store(true, Ordering::Relaxed);
        running.join().expect("no panic").expect("a town");
        if let Err(panic) = acted {
            std::panic::resume_unwind(panic);
        }
    });
}

#[test]
fn a_hub_that_is_killed_is_gone_until_it_is_started_and_faults_have_their_time() {
    watched(|town| {
        until("a hub", || town.serves());
        assert_eq!((town.state("hub/0"), town.fault(0)), ("up".to_owned(), "waiting".to_owned()));
        assert_eq!(town.told("POST", "/nodes/hub/0/kill").0, 200);
        assert_eq!(town.state("hub/0"), "down");
        assert!(ask(town.page, "GET", "/config.json", "").is_none(), "its port is closed");
        assert_eq!(town.told("POST", "/nodes/hub/0/kill").0, 409, "it is so already");
        assert_eq!(town.told("POST", "/nodes/hub/0/start").0, 200);
        until("the hub is back at its address, and believes the same tokens", || town.serves());

        assert_eq!(town.told("POST", "/faults/0/strike").0, 200);
        assert_eq!((town.state("hub/0"), town.fault(0)), ("down".to_owned(), "active".to_owned()));
        until("it is over", || town.fault(0) == "over");
        until("the hub is back", || town.serves());

        let orders = || ask(town.page, "GET", "/api/v1/orders", &town.token).map(|(status, _)| status);
        until("orders", || orders() == Some(200));
        assert_eq!(town.told("POST", "/faults/1/strike").0, 200);
        assert_eq!(town.state("db/0"), "down");
        assert!(orders().is_some_and(|status| status >= 500), "the database is away");
        until("the database is back", || orders() == Some(200));

        assert_eq!(town.told("POST", "/nodes/hub/0/hang").0, 200);
        assert_eq!(town.state("hub/0"), "hung");
        assert_eq!(town.told("POST", "/nodes/hub/0/resume").0, 200);
        until("it goes on", || town.serves());
        assert_eq!(ask(town.faults, "POST", "/nodes/hub/0/kill", "").map(|(status, _)| status), Some(401));
    });
}
