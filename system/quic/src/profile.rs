//! Transport limits of the two kinds of connection, with reasons.

use std::sync::Arc;
use std::time::Duration;

use quinn::{AckFrequencyConfig, IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt};

/// Largest UDP payload that is tried: Ethernet's 1500 bytes less the headers of IPv6 and UDP. quinn's own bound.
const MTU_MAX: u16 = 1452;

/// Bytes of datagrams that wait to be read: nobody reads them here.
const DATAGRAM_BYTES: usize = 4 * 1024;

/// Limits of a connection. The effective idle timeout is the smaller one of both ends, so both use the same profile.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Silence after which the connection is given up.
    pub idle_timeout: Duration,
    /// A ping goes out after this much silence. Only the connecting side sends them.
    pub keep_alive: Option<Duration>,
    /// Bytes that a peer may send on one stream before we have read them.
    pub stream_window_bytes: u32,
    /// The same over all streams of a connection.
    pub connection_window_bytes: u32,
    /// Unacknowledged bytes that we keep for sending again.
    pub send_window_bytes: u64,
    /// Bidirectional streams that the peer may have open.
    pub bidi_streams_max: u32,
    /// Unidirectional streams that the peer may have open.
    pub uni_streams_max: u32,
    /// Look for a larger MTU than 1200 bytes.
    pub mtu_discovery: bool,
    /// How long the peer may hold back an acknowledgement (draft-ietf-quic-ack-frequency; a peer that does not know it
    /// keeps to its own 25 ms).
    pub ack_delay: Duration,
    /// Packets after which the peer acknowledges at once.
    pub ack_every: u32,
    /// Round trip that is assumed before one was measured; `None`: the third of a second of RFC 9002. Less of it repairs the loss
    /// of a first packet sooner.
    pub initial_rtt: Option<Duration>,
    /// A client goes on with an earlier TLS session where a server of the cluster has given it a ticket.
    pub resume: bool,
    /// Takes datagrams beside streams (RFC 9221): browsers open no WebTransport session without.
    pub datagrams: bool,
}

impl Profile {
    /// Between a tracker and a gateway, over a mobile network.
    ///
    /// The idle timeout of two minutes outlasts the longest tunnel without a new handshake; a NAT binding dies after 20
    /// to 30 s of silence, hence a ping every 15. Windows of 64 KiB hold some 700 fixes: more would cost memory for
    /// each of 100,000 vehicles and gain nothing at 1 kB/s. MTU probes are lost exactly where links are worst. A durable
    /// ack follows its batch after some 50 ms of batching and commit: an acknowledgement that waits 200 ms rides on it
    /// instead of costing a packet of its own.
    pub const fn vehicle() -> Self {
        Self {
            idle_timeout: Duration::from_secs(120),
            keep_alive: Some(Duration::from_secs(15)),
            stream_window_bytes: 64 * 1024,
            connection_window_bytes: 128 * 1024,
            send_window_bytes: 64 * 1024,
            bidi_streams_max: 2,
            uni_streams_max: 16,
            mtu_discovery: false,
            ack_delay: Duration::from_millis(200),
            ack_every: 10,
            initial_rtt: None,
            resume: false,
            datagrams: false,
        }
    }

    /// Between services in one data centre.
    ///
    /// A peer that is silent for five seconds, although it is pinged every second, is dead or cut off: calls move to
    /// another. Windows of 1 and 8 MiB keep a 10 Gbit/s link of 1 ms busy. Answers take up to 50 ms: acknowledgements
    /// ride on them.
    pub const fn service() -> Self {
        Self {
            idle_timeout: Duration::from_secs(5),
            keep_alive: Some(Duration::from_secs(1)),
            stream_window_bytes: 1 << 20,
            connection_window_bytes: 8 << 20,
            send_window_bytes: 8 << 20,
            bidi_streams_max: 256,
            uni_streams_max: 64,
            mtu_discovery: true,
            ack_delay: Duration::from_millis(100),
            ack_every: 10,
            initial_rtt: None,
            resume: false,
            datagrams: false,
        }
    }

    /// Between a hub and whoever watches.
    ///
    /// One that was not heard of for 30 s comes back, and goes on where it was; a page asks every 10 s whether its hub is there. What a
    /// browser's session takes are three streams of HTTP/3 each way and two of its own. A client says little: 64 KiB are some
    /// hundred of its messages. A hub that sends to a slow client keeps half a megabyte for it, beside what the tick gave it.
    pub const fn watcher() -> Self {
        Self {
            idle_timeout: Duration::from_secs(30),
            keep_alive: Some(Duration::from_secs(10)),
            stream_window_bytes: 64 * 1024,
            connection_window_bytes: 128 * 1024,
            send_window_bytes: 512 * 1024,
            bidi_streams_max: 4,
            uni_streams_max: 8,
            mtu_discovery: true,
            ack_delay: Duration::from_millis(25),
            ack_every: 10,
            initial_rtt: None,
            resume: false,
            datagrams: true,
        }
    }

    /// The same on the client's side: it takes more than it says. A snapshot of ten thousand vehicles has three megabytes.
    pub const fn watching() -> Self {
        Self {
            stream_window_bytes: 1 << 20,
            connection_window_bytes: 1 << 20,
            send_window_bytes: 64 * 1024,
            bidi_streams_max: 0,
            uni_streams_max: 0,
            datagrams: false,
            ..Self::watcher()
        }
    }

    /// Between a health agent and what it probes, within one data centre: a handshake and a goodbye.
    ///
    /// It is over in milliseconds or too late. A lost packet is repaired after 60 ms, which is three round trips of what is assumed.
    pub const fn probe() -> Self {
        Self {
            idle_timeout: Duration::from_secs(3),
            keep_alive: None,
            mtu_discovery: false,
            initial_rtt: Some(Duration::from_millis(20)),
            ..Self::service()
        }
    }

    /// `overhead_bytes`: what is added to every datagram on its way through the data centre.
    pub(crate) fn transport(&self, connecting: bool, overhead_bytes: usize) -> Arc<TransportConfig> {
        let mut discovery = MtuDiscoveryConfig::default();
        discovery.upper_bound(MTU_MAX - overhead_bytes as u16);
        let mut acks = AckFrequencyConfig::default();
        acks.max_ack_delay(Some(self.ack_delay)).ack_eliciting_threshold(self.ack_every.into());
        let mut transport = TransportConfig::default();
        let idle_ms = u32::try_from(self.idle_timeout.as_millis()).unwrap_or(u32::MAX);
        transport
            .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(idle_ms))))
            .keep_alive_interval(self.keep_alive.filter(|_| connecting))
            .stream_receive_window(self.stream_window_bytes.into())
            .receive_window(self.connection_window_bytes.into())
            .send_window(self.send_window_bytes)
            .max_concurrent_bidi_streams(self.bidi_streams_max.into())
            .max_concurrent_uni_streams(self.uni_streams_max.into())
            .datagram_receive_buffer_size(self.datagrams.then_some(DATAGRAM_BYTES))
            .ack_frequency_config(Some(acks))
            .mtu_discovery_config(self.mtu_discovery.then_some(discovery));
        if let Some(rtt) = self.initial_rtt {
            transport.initial_rtt(rtt);
        }
        Arc::new(transport)
    }
}
