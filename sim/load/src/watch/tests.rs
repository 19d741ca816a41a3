//! A whole town, as `twin watch` runs it: what is broken by its endpoint is broken, and comes back.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Mutex, mpsc};

use serde_json::Value;

use super::*;

const TOWN: &str = "name = \"w\"\nquestion = \"?\"\nduration_s = 60\n[[vehicles]]\ncount = 2\n\
                    [cluster]\ngateway = 1\npersistence = 1\nhub = 1\n\
                    [world]\nroads = { grid = { columns = 3, rows = 3, block_m = 120 } }\n\
                    [[faults]]\nat_s = 5\nfor_s = 2\nkill = \"hub/0\"\n\
                    [[faults]]\nat_s = 5\nfor_s = 2\ndb_away = \"db/0\"\n";
/// Vehicles find routers by name, those stand before two gateways, and a health agent tells everybody of everybody.
const EDGE: &str = "name = \"e\"\nquestion = \"?\"\nduration_s = 60\n[[vehicles]]\ncount = 4\nfix_interval_s = 0.5\nsend_interval_s = 1\n\
                    [cluster]\nrouter = 2\ndns = 2\nhealth = 1\ngateway = 2\npersistence = 1\nhub = 2\n\
                    [world]\nroads = { grid = { columns = 3, rows = 3, block_m = 120 } }\n\
                    [[faults]]\nat_s = 5\nfor_s = 2\ndrain = \"router/1\"\n";
/// Longest that anything here may take: a vehicle gives a silent gateway up after two minutes.
const PATIENCE: Duration = Duration::from_secs(60);

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
    /// Fixes that vehicles have recorded, and that are durable.
    fixes: Arc<Mutex<[u64; 2]>>,
}

impl Watched {
    fn fixes(&self) -> [u64; 2] {
        *self.fixes.lock().expect("nobody panicked")
    }

    fn deed(&self, node: &str, deed: &str) {
        let (status, told) = self.told("POST", &format!("/nodes/{node}/{deed}"));
        assert_eq!(status, 200, "{deed} {node}: {told}");
    }

    /// Waits until every vehicle has recorded a dozen more fixes, and all but the newest are durable: one that is cut off would lack
    /// as many as that.
    fn until_fixes_arrive(&self, what: &str) {
        let [before, _] = self.fixes();
        until(what, || {
            let [recorded, durable] = self.fixes();
            recorded >= before + 48 && recorded - durable < 12
        });
    }

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

    /// Opens a session of the live map, as pages do without WebTransport: its connection, and which hub took it.
    fn session(&self) -> Option<(TcpStream, String)> {
        let mut stream = TcpStream::connect_timeout(&self.page, Duration::from_secs(2)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        let head = format!(
            "GET /live-map HTTP/1.1\r\nhost: {}\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: drover.json\r\n\
             authorization: Bearer {}\r\n\r\n",
            self.page, self.token
        );
        stream.write_all(head.as_bytes()).ok()?;
        let mut told = String::new();
        loop {
            let mut chunk = [0; 4096];
            let read = stream.read(&mut chunk).ok().filter(|read| *read > 0)?;
            told.push_str(&String::from_utf8_lossy(&chunk[..read]));
            // Servers do not mask what they say.
            let hub = told.split_once("\"hub\":\"").and_then(|(_, rest)| rest.split_once('"'));
            if let Some((hub, _)) = hub {
                return Some((stream, hub.to_owned()));
            }
        }
    }

    /// Waits until a new session is taken by a hub that is `wanted`.
    fn until_session(&self, what: &str, wanted: impl Fn(&str) -> bool) -> (TcpStream, String) {
        let mut found = None;
        until(what, || {
            found = self.session().filter(|(_, hub)| wanted(hub));
            found.is_some()
        });
        found.expect("it was waited for")
    }

    fn serves(&self) -> bool {
        ask(self.page, "GET", "/api/v1/me", &self.token).is_some_and(|(status, _)| status == 200)
    }
}

/// Runs a town in this process while `act` does things to it.
fn watched(text: &str, act: impl FnOnce(&Watched)) {
    let scenario = Scenario::parse(text, "w.toml").unwrap_or_else(|errors| panic!("{errors}"));
    let roads = drover_harness::run::roads(&scenario, "w.toml").expect("roads");
    let interrupt = AtomicBool::new(false);
    let (pages, opened) = mpsc::channel();
    let fixes = Arc::new(Mutex::new([0; 2]));
    let counted = fixes.clone();
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
                    progress: &mut { |seen: &Seen| *counted.lock().expect("nobody panicked") = seen.fixes },
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
            fixes,
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
    watched(TOWN, |town| {
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

#[test]
fn vehicles_come_through_routers_and_get_over_the_loss_of_one_and_of_a_gateway() {
    watched(EDGE, |town| {
        let nodes = ["router/0", "router/1", "dns/0", "dns/1", "health/0", "gateway/0", "gateway/1"];
        assert_eq!(nodes.map(|node| town.state(node)), nodes.map(|_| "up".to_owned()));
        town.until_fixes_arrive("sessions through routers");

        town.deed("router/0", "kill");
        town.until_fixes_arrive("the other router carries all of them");
        town.deed("router/1", "kill");
        let more = |count| {
            let [before, _] = town.fixes();
            until("vehicles go on", || town.fixes()[0] >= before + count);
        };
        more(8);
        let [_, durable] = town.fixes();
        more(16);
        assert_eq!(town.fixes()[1], durable, "there is no way in beside routers");
        town.deed("router/1", "start");
        town.until_fixes_arrive("spools are emptied through the one that is back");
        town.deed("router/0", "start");
        assert_eq!(town.told("POST", "/faults/0/strike").0, 200);
        until("it has drained", || town.state("router/1") == "down");
        until("it is over", || town.fault(0) == "over" && town.state("router/1") == "up");

        town.deed("gateway/0", "kill");
        town.until_fixes_arrive("routers leave a dead gateway out");
        town.deed("gateway/0", "start");
        town.deed("dns/0", "kill");
        town.deed("gateway/1", "hang");
        assert_eq!((town.state("gateway/1"), town.state("dns/0")), ("hung".to_owned(), "down".to_owned()));
        town.until_fixes_arrive("routers leave a hung one out, too");
        town.deed("health/0", "restart");
        assert_eq!(town.state("health/0"), "up");
    });
}

#[test]
fn pages_come_through_routers_and_get_over_the_loss_of_one_and_of_a_hub() {
    /// Waits until whoever has the other end is gone.
    fn ends(mut stream: TcpStream) {
        let mut bytes = [0; 4096];
        loop {
            match stream.read(&mut bytes) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("it is still open"),
                Err(_) => return,
            }
        }
    }
    watched(EDGE, |town| {
        let (stream, home) = town.until_session("a session", |_| true);
        town.deed(&home, "kill");
        ends(stream);
        let (stream, _) = town.until_session("the other hub takes it", |hub| hub != home);
        assert!(town.serves(), "and whatever else pages ask for");
        town.deed(&home, "start");
        let _back = town.until_session("whoever comes now is at home again", |hub| hub == home);

        town.deed("router/0", "kill");
        let _kept = town.until_session("by the other router", |_| true);
        town.deed("router/1", "kill");
        ends(stream);
        assert!(town.session().is_none(), "there is no way in beside routers");
        assert!(ask(town.page, "GET", "/config.json", "").is_none());
        town.deed("router/0", "start");
        let _again = town.until_session("by the one that is back", |_| true);
        assert!(town.serves());
    });
}
