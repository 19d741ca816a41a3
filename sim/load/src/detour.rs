//! Vehicles' own network: what they send leaves from their address, and what goes to somebody behind a proxy goes by the proxy,
//! without their knowing. Routers and DNS servers are found by name: the addresses that names lead to can not be proxies'.

use std::collections::BTreeMap;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use drover_env::{BoxFuture, ByteStream, Datagrams, Listener, Net, PollWritable, RecvMeta, Transmit, real};

/// By whom each address is reached instead.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Detours {
    there: BTreeMap<SocketAddr, SocketAddr>,
    back: BTreeMap<SocketAddr, SocketAddr>,
}

impl Detours {
    /// What goes to `to` goes to `by`.
    pub(crate) fn add(&mut self, to: SocketAddr, by: SocketAddr) {
        self.there.insert(to, by);
        self.back.insert(by, to);
    }

    fn there(&self, addr: SocketAddr) -> SocketAddr {
        self.there.get(&addr).copied().unwrap_or(addr)
    }

    fn back(&self, addr: SocketAddr) -> SocketAddr {
        self.back.get(&addr).copied().unwrap_or(addr)
    }
}

/// The machine's sockets, at one of its addresses.
#[derive(Debug)]
pub(crate) struct VehicleNet {
    pub(crate) source: Ipv4Addr,
    pub(crate) detours: Arc<Detours>,
}

impl VehicleNet {
    fn at_source(&self, bind: SocketAddr) -> SocketAddr {
        let ip = if bind.ip().is_unspecified() { self.source.into() } else { bind.ip() };
        SocketAddr::new(ip, bind.port())
    }

    fn detoured(&self, socket: Arc<dyn Datagrams>) -> Arc<dyn Datagrams> {
        if self.detours.there.is_empty() {
            return socket;
        }
        Arc::new(Detoured { socket, detours: self.detours.clone() })
    }
}

impl Net for VehicleNet {
    fn datagrams(&self, bind: SocketAddr) -> io::Result<Arc<dyn Datagrams>> {
        Ok(self.detoured(real::SystemNet.datagrams(self.at_source(bind))?))
    }

    fn datagrams_apart(&self, bind: SocketAddr) -> io::Result<Arc<dyn Datagrams>> {
        Ok(self.detoured(real::SystemNet.datagrams_apart(self.at_source(bind))?))
    }

    fn listen(&self, _: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(std::future::ready(Err(io::Error::other("vehicles of a load listen nowhere"))))
    }

    fn connect(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn ByteStream>>> {
        // A name that is asked for by TCP is too long an answer for UDP: no link of a scenario's stands in its way.
        Box::pin(async move { real::SystemNet.connect(to).await })
    }

    fn source_ip(&self, _: SocketAddr) -> io::Result<IpAddr> {
        Ok(self.source.into())
    }
}

/// A socket whose datagrams go by proxies.
#[derive(Debug)]
struct Detoured {
    socket: Arc<dyn Datagrams>,
    detours: Arc<Detours>,
}

impl Datagrams for Detoured {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn poll_recv_batch(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let received = ready!(self.socket.poll_recv_batch(cx, buffers, meta))?;
        for meta in meta.iter_mut().take(received) {
            meta.addr = self.detours.back(meta.addr);
        }
        Poll::Ready(Ok(received))
    }

    fn try_send_batch(&self, batch: &[Transmit<'_>]) -> io::Result<usize> {
        let by = |transmit: &Transmit<'_>| {
            let Transmit { destination, ecn, contents, segment_size, src_ip } = *transmit;
            let destination = self.detours.there(destination);
            // The system's sockets take one, and say so.
            self.socket.try_send_batch(&[Transmit { destination, ecn, contents, segment_size, src_ip }])
        };
        for (sent, transmit) in batch.iter().enumerate() {
            match by(transmit) {
                Ok(_) => {}
                Err(error) if sent == 0 => return Err(error),
                Err(_) => return Ok(sent),
            }
        }
        Ok(batch.len())
    }

    fn writable(self: Arc<Self>) -> Pin<Box<dyn PollWritable>> {
        self.socket.clone().writable()
    }

    fn send_segments_max(&self) -> usize {
        self.socket.send_segments_max()
    }

    fn receive_segments_max(&self) -> usize {
        self.socket.receive_segments_max()
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test]
    async fn datagrams_go_by_the_proxy_and_come_from_whom_they_were_sent_to() {
        let proxy = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        let proxy_addr = proxy.local_addr().expect("an address");
        let server = SocketAddr::from(([127, 9, 9, 9], 4433));
        let mut detours = Detours::default();
        detours.add(server, proxy_addr);
        let net = VehicleNet { source: Ipv4Addr::new(127, 16, 3, 1), detours: Arc::new(detours) };
        let socket = net.datagrams(SocketAddr::from(([0, 0, 0, 0], 0))).expect("a socket");
        let sent =
            Transmit { destination: server, ecn: None, contents: b"there", segment_size: None, src_ip: None };
        let mut writable = socket.clone().writable();
        poll_fn(|cx| writable.as_mut().poll_writable(cx)).await.expect("open");
        assert_eq!(socket.try_send_batch(&[sent]).expect("sent"), 1);
        let mut bytes = [0; 16];
        let (len, from) = proxy.recv_from(&mut bytes).expect("received");
        assert_eq!((&bytes[..len], from.ip()), (&b"there"[..], IpAddr::from([127, 16, 3, 1])));
        proxy.send_to(b"back", from).expect("sent");
        let mut meta = [RecvMeta::default()];
        let received = poll_fn(|cx| {
            let mut buffers = [IoSliceMut::new(&mut bytes)];
            socket.poll_recv_batch(cx, &mut buffers, &mut meta)
        });
        assert_eq!(received.await.expect("received"), 1);
        assert_eq!(meta[0].addr, server);
    }
}
