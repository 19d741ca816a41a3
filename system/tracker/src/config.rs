//! Settings of the tracker. Every bound says what happens at it.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use drover_env::Env;
use drover_wire::geostream::BATCH_FIXES_MAX;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Largest segment that a spool reads back. A longer file is damaged from there on.
pub(crate) const SEGMENT_BYTES_LIMIT: u64 = 64 << 20;
/// Fewest segments that the bound of the spool must have room for: with fewer, shedding one would lose most of it.
const SEGMENTS_MIN: u64 = 4;

/// What a tracker's servers are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Via {
    /// They end sessions.
    #[default]
    Gateways,
    /// They forward to those who do.
    Routers,
}

/// Settings of the tracker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Gateways or routers, used in turn from a random one on, so that a fleet spreads over them.
    pub servers: Vec<SocketAddr>,
    /// What `servers` are. `gateways`: a session ends with its gateway, and another begins elsewhere. `routers`: all lead to the
    /// same gateways, and a session that hears nothing goes on through the next one.
    pub via: Via,
    /// Name and port of routers, as `routers.drover.internal:443`, instead of `servers`: looked up at the start, and again when the
    /// one that is used is silent and the answer may be kept no longer. Empty: `servers` are used.
    pub routers: String,
    /// DNS servers to ask for it, of the IP version of `bind`. One at random is asked first, and whichever answers is kept.
    pub dns_servers: Vec<SocketAddr>,
    /// How long one of them may take before the next is asked; twice and four times as long when all were asked once and twice.
    #[serde(rename = "dns_timeout_ms", with = "drover_env::millis")]
    #[schemars(with = "u64")]
    pub dns_timeout: Duration,
    /// Through routers: nothing was heard for this long, although something was sent: the next router is used. Some probes
    /// of QUIC, and longer than a handover takes; changing costs nothing but a check of the new path.
    #[serde(rename = "router_silence_ms", with = "drover_env::millis")]
    #[schemars(with = "u64")]
    pub router_silence: Duration,
    /// Local address of the session's socket.
    pub bind: SocketAddr,
    /// How often fresh fixes are sent. Longer saves data and battery, a packet and its answer cost more than the fix in
    /// it; shorter shows the vehicle earlier.
    #[serde(rename = "send_interval_ms", with = "drover_env::millis")]
    #[schemars(with = "u64")]
    pub send_interval: Duration,
    /// Longest wait of a fix for its sync. Longer wears the flash less, and raises what a power cut can lose.
    #[serde(rename = "sync_interval_ms", with = "drover_env::millis")]
    #[schemars(with = "u64")]
    pub sync_interval: Duration,
    /// A batch without acknowledgement for this long is sent again, as backlog. Longer than a gateway's call to
    /// persistence may take (5 s) plus a slow round trip.
    #[serde(rename = "ack_timeout_ms", with = "drover_env::millis")]
    #[schemars(with = "u64")]
    pub ack_timeout: Duration,
    /// How long a server may take to accept a session; then the next one is tried. Far less than QUIC's idle timeout,
    /// which must outlast tunnels.
    #[serde(rename = "connect_timeout_ms", with = "drover_env::millis")]
    #[schemars(with = "u64")]
    pub connect_timeout: Duration,
    /// Nothing at all was heard from the gateway for this long, although something is owed to it: another server is
    /// tried while the session is kept, and whichever answers first is used. The vehicle may just be in a tunnel.
    #[serde(rename = "silence_max_ms", with = "drover_env::millis")]
    #[schemars(with = "u64")]
    pub silence_max: Duration,
    /// The gateway answers, but has acknowledged nothing for this long: another server is tried, since this one may be
    /// cut off from persistence. Doubles with each such move (three times at most) until an acknowledgement comes, for
    /// the database may be away for all of them.
    #[serde(rename = "stalled_max_ms", with = "drover_env::millis")]
    #[schemars(with = "u64")]
    pub stalled_max: Duration,
    /// Bound of the wait after a first failed attempt; it doubles with each further one. The wait itself is drawn between
    /// zero and the bound, so that vehicles that lost a gateway together do not come back together.
    #[serde(rename = "backoff_first_ms", with = "drover_env::millis")]
    #[schemars(with = "u64")]
    pub backoff_first: Duration,
    /// Largest bound of that wait.
    #[serde(rename = "backoff_max_ms", with = "drover_env::millis")]
    #[schemars(with = "u64")]
    pub backoff_max: Duration,
    /// Bytes that the spool may take on disk. At the bound the oldest segment is dropped whole; its unsettled fixes are
    /// counted as shed, also those whose batch is on its way and may be stored all the same. The default holds some 70 days at one fix per second, and 7 days of fixes ten times as long.
    pub spool_bytes_max: u64,
    /// Size at which a new segment is begun: what is dropped at once at the bound, and what damage can take with it.
    pub segment_bytes_max: u64,
    /// Fixes that wait in memory while they can not be written (a full disk, between syncs). At the bound the oldest
    /// falls off and is counted as unrecorded.
    pub waiting_fixes_max: usize,
    /// Newest fixes that are kept in memory too, so that sending them needs no read.
    pub fresh_fixes_max: usize,
    /// End once the receiver's input has ended and everything is settled, instead of waiting for a cancel.
    pub exit_at_end: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            via: Via::Gateways,
            routers: String::new(),
            dns_servers: Vec::new(),
            dns_timeout: Duration::from_millis(1500),
            router_silence: Duration::from_secs(3),
            bind: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            send_interval: Duration::from_secs(5),
            sync_interval: Duration::from_secs(1),
            ack_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
            silence_max: Duration::from_secs(15),
            stalled_max: Duration::from_secs(60),
            backoff_first: Duration::from_millis(500),
            backoff_max: Duration::from_secs(30),
            spool_bytes_max: 512 << 20,
            segment_bytes_max: 1 << 20,
            // Five minutes of a full disk at one fix per second; some 100 KB.
            waiting_fixes_max: 300,
            // Twelve default send intervals at one fix per second; some 6 KB.
            fresh_fixes_max: 60,
            exit_at_end: false,
        }
    }
}

impl Config {
    /// As a simulation wants it: limits so small, and time-outs so short, that they are met.
    pub(crate) fn buggified(mut self, env: &Env) -> Self {
        if env.buggify("tracker.short_ack_timeout") {
            self.ack_timeout = (self.ack_timeout / 8).max(Duration::from_millis(10));
        }
        if env.buggify("tracker.small_segments") {
            self.segment_bytes_max = 4096;
        }
        if env.buggify("tracker.no_cache") {
            self.fresh_fixes_max = 1;
        }
        if env.buggify("tracker.short_connect_timeout") {
            self.connect_timeout = (self.connect_timeout / 8).max(Duration::from_millis(10));
        }
        self
    }

    /// The routers' name and port, if they are found by name.
    pub(crate) fn router_name(&self) -> Option<(&str, u16)> {
        let (name, port) = self.routers.rsplit_once(':')?;
        Some((name, port.parse().ok()?))
    }

    /// An address to which packets of the session leave as they will to its servers.
    pub(crate) fn way_out(&self) -> Option<SocketAddr> {
        self.servers.first().or_else(|| self.dns_servers.first()).copied()
    }

    fn check_name(&self) -> Result<(), String> {
        let Some((name, port)) = self.router_name() else {
            return Err(format!(
                "routers of {:?} is no name and port, such as routers.drover.internal:443",
                self.routers
            ));
        };
        if port == 0 {
            return Err("routers: port 0 leads nowhere".into());
        }
        drover_resolver::check_name(name).map_err(|error| format!("routers: {error}"))?;
        if self.dns_servers.is_empty() {
            return Err(
                "routers is a name: list at least one of dns_servers, such as \"192.0.2.53:53\"".into()
            );
        }
        if !self.servers.is_empty() || self.via == Via::Gateways {
            return Err("routers is a name: leave out servers, and write via = \"routers\"".into());
        }
        Ok(())
    }

    /// Checks what types can not.
    ///
    /// # Errors
    /// Names the first key with a useless value, and a way out.
    pub fn check(&self) -> Result<(), String> {
        if !self.routers.is_empty() {
            self.check_name()?;
        } else if self.servers.is_empty() {
            return Err(
                "servers is empty: list at least one gateway, such as servers = [\"192.0.2.1:443\"]".into()
            );
        }
        let mut all = self.servers.iter().chain(&self.dns_servers);
        if let Some(server) = all.find(|server| server.is_ipv4() != self.bind.is_ipv4()) {
            return Err(format!(
                "bind of {} can not reach {server}: use one IP version, such as [::]:0",
                self.bind
            ));
        }
        let waits = [
            ("send_interval_ms", self.send_interval),
            ("sync_interval_ms", self.sync_interval),
            ("ack_timeout_ms", self.ack_timeout),
            ("connect_timeout_ms", self.connect_timeout),
            ("silence_max_ms", self.silence_max),
            ("dns_timeout_ms", self.dns_timeout),
            ("router_silence_ms", self.router_silence),
            ("stalled_max_ms", self.stalled_max),
            ("backoff_first_ms", self.backoff_first),
        ];
        for (key, wait) in waits {
            if wait < Duration::from_millis(10) || wait > Duration::from_secs(24 * 3600) {
                return Err(format!("{key} of {} is not between 10 and 86400000", wait.as_millis()));
            }
        }
        if self.backoff_max < self.backoff_first {
            return Err("backoff_max_ms is less than backoff_first_ms".into());
        }
        if !(4096..=SEGMENT_BYTES_LIMIT / 2).contains(&self.segment_bytes_max) {
            let max = SEGMENT_BYTES_LIMIT / 2;
            return Err(format!(
                "segment_bytes_max of {} is not between 4096 and {max}",
                self.segment_bytes_max
            ));
        }
        if self.spool_bytes_max < self.segment_bytes_max * SEGMENTS_MIN {
            return Err(format!(
                "spool_bytes_max must hold at least {SEGMENTS_MIN} segments of segment_bytes_max"
            ));
        }
        if !(1..=100_000).contains(&self.waiting_fixes_max) {
            return Err(format!(
                "waiting_fixes_max of {} is not between 1 and 100000",
                self.waiting_fixes_max
            ));
        }
        if self.fresh_fixes_max > BATCH_FIXES_MAX {
            return Err(format!(
                "fresh_fixes_max of {} exceeds a batch's {BATCH_FIXES_MAX}",
                self.fresh_fixes_max
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_useless_value_is_named_with_its_key() {
        let check = |text: &str, expected: &str| {
            let config: Config = toml::from_str(text).expect("known keys");
            let problem = config.check().err().unwrap_or_default();
            assert!(problem.contains(expected), "{text}: {problem}");
        };
        let server = "servers = [\"192.0.2.1:443\"]\n";
        check("", "servers is empty: list at least one");
        check(server, "");
        check(&format!("{server}send_interval_ms = 0"), "send_interval_ms of 0");
        check(&format!("{server}segment_bytes_max = 10"), "segment_bytes_max of 10");
        check(&format!("{server}spool_bytes_max = 10000"), "at least 4 segments");
        check(&format!("{server}waiting_fixes_max = 0"), "waiting_fixes_max of 0");
        let name = |name: &str, rest: &str| format!("via = \"routers\"\nrouters = \"{name}\"\n{rest}");
        let dns = "dns_servers = [\"192.0.2.53:53\"]\n";
        check(&name("routers.fleet.example:443", dns), "");
        check(&name("routers.fleet.example", dns), "is no name and port");
        check(&name("routers.fleet.example:0", dns), "port 0 leads nowhere");
        check(&name("a b:443", dns), "no domain name");
        check(&name("a.b:443", ""), "list at least one of dns_servers");
        check(&name("a.b:443", "dns_servers = [\"[::1]:53\"]\n"), "can not reach [::1]:53");
        check(&name("a.b:443", &format!("{dns}{server}")), "leave out servers");
        check(&name("a.b:443", dns).replace("routers\"\nr", "gateways\"\nr"), "leave out servers");
        assert_eq!(toml::from_str::<Config>(server).expect("known keys").check(), Ok(()));
    }

    #[test]
    fn an_unknown_key_is_refused() {
        assert!(toml::from_str::<Config>("send_interval_s = 5").is_err());
    }
}
