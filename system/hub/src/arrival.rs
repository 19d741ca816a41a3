//! A TCP connection as it arrives: from whom it is, if a router has passed it on, and TLS where the hub ends it.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use bytes::{Buf, BytesMut};
use drover_bus::discovery::Snapshot;
use drover_env::ByteStream;
use drover_model::NodeKind;
use drover_wire::proxy::{self, HEADER_BYTES_MAX, Proxied, ProxyError};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;

/// First byte of a TLS record that begins a handshake (RFC 8446 section 5.1): no request of HTTP begins with it.
const HANDSHAKE_RECORD: u8 = 0x16;

/// Whose word on a client's address is taken: the addresses of routers. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trusted(Arc<ArcSwap<BTreeSet<IpAddr>>>);

impl Trusted {
    pub(crate) fn new(routers: &[IpAddr]) -> Self {
        let trusted = Self::default();
        trusted.set(routers, &Snapshot::default());
        trusted
    }

    /// Those of the config, and those that have registered, as their certificates name them.
    pub(crate) fn set(&self, listed: &[IpAddr], snapshot: &Snapshot) {
        let known = snapshot.of_kind(NodeKind::Router);
        let known = known.flat_map(|(_, node)| node.addresses.values().map(SocketAddr::ip));
        let routers: BTreeSet<IpAddr> =
            listed.iter().copied().chain(known).map(|ip| ip.to_canonical()).collect();
        if **self.0.load() != routers {
            self.0.store(Arc::new(routers));
        }
    }

    /// True if what comes from there is passed on for others.
    pub(crate) fn has(&self, ip: IpAddr) -> bool {
        self.0.load().contains(&ip.to_canonical())
    }
}

/// Why a connection is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArrivalError {
    /// It ended before it had said anything.
    #[error("the connection ended before it had begun")]
    Ended,
    /// Somebody who is no router says that it is of somebody else.
    #[error("a PROXY header of somebody who is no router")]
    Forged,
    /// A router's header that can not be read.
    #[error("read a router's PROXY header")]
    Header(#[source] ProxyError),
}

impl ArrivalError {
    /// As events name it; nothing of what happens to any port.
    pub(crate) const fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Ended => None,
            Self::Forged => Some("forged_proxy"),
            Self::Header(_) => Some("bad_proxy"),
        }
    }
}

/// A connection of whom it is, with what was read of it put back.
///
/// A router writes a header in front of everything that it passes on, and neither HTTP nor TLS begins as one does: so what comes from
/// a router's address without one is of somebody on that machine, and what comes from elsewhere with one is forged.
pub(crate) async fn arrived(
    mut stream: Box<dyn ByteStream>,
    trusted: &Trusted,
) -> Result<Box<dyn ByteStream>, ArrivalError> {
    let (peer, local) = (stream.peer_addr(), stream.local_addr());
    let mut ahead = BytesMut::with_capacity(64);
    loop {
        let read = stream.read_buf(&mut ahead).await.map_err(|_| ArrivalError::Ended)?;
        if read == 0 {
            return Err(ArrivalError::Ended);
        }
        let (peer, local) = match proxy::parse(&ahead) {
            Err(ProxyError::Signature) => (peer, local),
            _ if ahead.len() >= proxy::FIXED_BYTES && !trusted.has(peer.ip()) => {
                return Err(ArrivalError::Forged);
            }
            Ok(None) if ahead.len() <= HEADER_BYTES_MAX => continue,
            Ok(None) => return Err(ArrivalError::Ended),
            Ok(Some((proxied, len))) => {
                ahead.advance(len);
                match proxied {
                    Proxied::Local => (peer, local),
                    Proxied::Tcp { client, server } => (client, Some(server)),
                }
            }
            Err(error) => return Err(ArrivalError::Header(error)),
        };
        return Ok(Box::new(Ahead { stream, ahead, peer, local }));
    }
}

/// True if a connection begins with TLS. What was read for it is put back.
pub(crate) async fn begins_with_tls(stream: Box<dyn ByteStream>) -> io::Result<(Box<dyn ByteStream>, bool)> {
    let (peer, local) = (stream.peer_addr(), stream.local_addr());
    let mut stream = Ahead { stream, ahead: BytesMut::new(), peer, local };
    let mut first = [0];
    stream.read_exact(&mut first).await?;
    stream.ahead = BytesMut::from(first.as_slice());
    Ok((Box::new(stream), first[0] == HANDSHAKE_RECORD))
}

/// A stream of which something was read already.
struct Ahead {
    stream: Box<dyn ByteStream>,
    ahead: BytesMut,
    peer: SocketAddr,
    local: Option<SocketAddr>,
}

impl ByteStream for Ahead {
    fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    fn local_addr(&self) -> Option<SocketAddr> {
        self.local
    }
}

impl AsyncRead for Ahead {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let len = self.ahead.len().min(buffer.remaining());
        buffer.put_slice(&self.ahead.split_to(len));
        if self.ahead.is_empty() {
            // Its memory is not kept for each client.
            self.ahead = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

/// What is written goes through `$inner` as it is.
macro_rules! writes_through {
    ($stream:ty, $inner:tt) => {
        impl AsyncWrite for $stream {
            fn poll_write(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.$inner).poll_write(cx, bytes)
            }

            fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut self.$inner).poll_flush(cx)
            }

            fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut self.$inner).poll_shutdown(cx)
            }
        }
    };
}

#[cfg(test)]
pub(crate) use writes_through;

writes_through!(Ahead, stream);
writes_through!(Secured, tls);

/// A stream inside TLS.
pub(crate) struct Secured {
    tls: TlsStream<Box<dyn ByteStream>>,
}

impl Secured {
    pub(crate) fn boxed(tls: TlsStream<Box<dyn ByteStream>>) -> Box<dyn ByteStream> {
        Box::new(Self { tls })
    }
}

impl ByteStream for Secured {
    fn peer_addr(&self) -> SocketAddr {
        self.tls.get_ref().0.peer_addr()
    }

    fn local_addr(&self) -> Option<SocketAddr> {
        self.tls.get_ref().0.local_addr()
    }
}

impl AsyncRead for Secured {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_read(cx, buffer)
    }
}

#[cfg(test)]
mod tests {
    use drover_wire::proxy::Header;
    use tokio::io::{AsyncWriteExt, DuplexStream};

    use super::*;

    struct Wire(DuplexStream, SocketAddr);

    impl ByteStream for Wire {
        fn peer_addr(&self) -> SocketAddr {
            self.1
        }
    }

    impl AsyncRead for Wire {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_read(cx, buffer)
        }
    }

    writes_through!(Wire, 0);

    fn addr(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    /// What becomes of these bytes, a piece at a time, from `peer`: the address and the rest of them.
    async fn of(peer: &str, pieces: &[&[u8]]) -> Result<(SocketAddr, Vec<u8>), Option<&'static str>> {
        let (mut client, server) = tokio::io::duplex(4096);
        let writes = async {
            for piece in pieces {
                // Who is refused is not read to the end.
                let _ = client.write_all(piece).await;
                tokio::task::yield_now().await;
            }
            drop(client);
        };
        let trusted = Trusted::new(&["10.0.0.1".parse().expect("an address")]);
        let reads = async {
            let taken = arrived(Box::new(Wire(server, addr(peer))), &trusted).await;
            let mut stream = taken.map_err(|error| error.reason())?;
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await.expect("bytes");
            Ok((stream.peer_addr(), rest))
        };
        tokio::join!(writes, reads).1
    }

    #[tokio::test]
    async fn a_router_s_word_is_taken_and_nobody_else_s() {
        let (router, stranger, client) = ("10.0.0.1:9", "10.0.0.2:9", addr("203.0.113.7:5000"));
        let header = Header::of(Proxied::Tcp { client, server: addr("192.0.2.1:443") });
        let (head, request) = (header.as_bytes(), b"GET / HTTP/1.1\r\n\r\n".as_slice());
        assert_eq!(of(router, &[head, request]).await, Ok((client, request.to_vec())));
        assert_eq!(of(router, &[&[head, request].concat()]).await, Ok((client, request.to_vec())));
        assert_eq!(
            of(router, &[&head[..5], &head[5..20], &head[20..], b"x"]).await,
            Ok((client, b"x".to_vec()))
        );
        assert_eq!(of(stranger, &[head, request]).await, Err(Some("forged_proxy")));
        assert_eq!(of("[::ffff:10.0.0.1]:9", &[head]).await, Ok((client, Vec::new())), "the same machine");
        // Directly, from anywhere.
        for peer in [router, stranger] {
            assert_eq!(of(peer, &[request]).await, Ok((addr(peer), request.to_vec())));
            assert_eq!(
                of(peer, &[b"\r", b"\nGET / HTTP/1.1\r\n\r\n"]).await.map(|(peer, _)| peer),
                Ok(addr(peer))
            );
        }
        let local = Header::of(Proxied::Local);
        assert_eq!(of(router, &[local.as_bytes(), b"x"]).await, Ok((addr(router), b"x".to_vec())));
        let mut wrong = head.to_vec();
        *wrong.last_mut().expect("bytes") ^= 1;
        assert_eq!(of(router, &[&wrong]).await, Err(Some("bad_proxy")));
        assert_eq!(of(router, &[&head[..20]]).await, Err(None));
        assert_eq!(of(router, &[]).await, Err(None));
    }
}
