//! The least that a router costs: one datagram received, and sent on.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use crate::cpu::of_thread;

/// Bytes of a datagram.
const BYTES: usize = 200;
/// Datagrams that wait at once: less than any socket's default holds.
const BATCH: usize = 64;
/// Batches of a slice.
const BATCHES: usize = 8;

pub(super) struct Forward {
    from: UdpSocket,
    through: UdpSocket,
    to: UdpSocket,
    to_addr: SocketAddr,
    through_addr: SocketAddr,
}

impl Forward {
    pub(super) fn new() -> Result<Self, String> {
        let text = |error: std::io::Error| error.to_string();
        let open = || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(text);
        let (from, through, to) = (open()?, open()?, open()?);
        let (through_addr, to_addr) = (through.local_addr().map_err(text)?, to.local_addr().map_err(text)?);
        // Datagrams of one's own machine can be lost, too.
        to.set_nonblocking(true).map_err(text)?;
        through.set_nonblocking(true).map_err(text)?;
        Ok(Self { from, through, to, to_addr, through_addr })
    }

    /// CPU time per datagram, in microseconds.
    pub(super) fn slice(&mut self) -> Result<f64, String> {
        let text = |error: std::io::Error| error.to_string();
        let (mut used, mut forwarded, mut buffer) = (0.0, 0u32, [0; BYTES]);
        for _ in 0..BATCHES {
            for _ in 0..BATCH {
                self.from.send_to(&[7; BYTES], self.through_addr).map_err(text)?;
            }
            let before = of_thread();
            while let Ok(len) = self.through.recv(&mut buffer) {
                self.through.send_to(&buffer[..len], self.to_addr).map_err(text)?;
                forwarded += 1;
            }
            used += (of_thread() - before).as_secs_f64();
            while self.to.recv(&mut buffer).is_ok() {}
        }
        if forwarded == 0 {
            Err("no datagram came".to_owned())
        } else {
            Ok(used * 1e6 / f64::from(forwarded))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwarding_costs_something() {
        let us = Forward::new().and_then(|mut forward| forward.slice()).expect("datagrams pass");
        assert!(us > 0.1, "{us}");
    }
}
