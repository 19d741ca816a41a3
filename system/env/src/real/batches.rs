//! UDP with many datagrams per system call, each in a buffer of its own: `recvmmsg` and `sendmmsg`.
//!
//! quinn-udp's sockets let the kernel merge what comes from one address, and send one datagram per call. No ECN here: its
//! control messages cost a fifth of a forwarded packet, and QUIC does without where a path does not carry it.

use std::cell::RefCell;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use nix::sys::socket::sockopt::{RcvBuf, RcvBufForce, ReusePort};
use nix::sys::socket::{
    AddressFamily, MsgFlags, MultiHeaders, SockFlag, SockType, SockaddrIn, SockaddrIn6, SockaddrLike,
    SockaddrStorage, bind, recvmmsg, sendmmsg, setsockopt, socket,
};
use quinn_udp::{RecvMeta, Transmit};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::net::{Writable, poll_received};
use crate::{Datagrams, PollWritable};

/// Most datagrams per system call. Beyond some thirty the call itself is no longer seen.
const BATCH_MAX: usize = 64;

/// What the kernel may keep for us, as far as it lets us: 100 ms of a router's full rate at 200 bytes. More are lost.
const RECEIVE_BUFFER_BYTES: usize = 8 << 20;

thread_local! {
    /// Headers of a call. A thread's, not a socket's: whoever receives next on this thread writes them anew.
    static HEADERS: Headers = Headers::default();
}

/// Headers by direction and family. Separate, because the kernel leaves lengths of addresses in those of a receive.
struct Headers {
    receive_v4: RefCell<MultiHeaders<SockaddrIn>>,
    receive_v6: RefCell<MultiHeaders<SockaddrIn6>>,
    send_v4: RefCell<MultiHeaders<SockaddrIn>>,
    send_v6: RefCell<MultiHeaders<SockaddrIn6>>,
}

impl Default for Headers {
    fn default() -> Self {
        Self {
            receive_v4: RefCell::new(MultiHeaders::preallocate(BATCH_MAX, None)),
            receive_v6: RefCell::new(MultiHeaders::preallocate(BATCH_MAX, None)),
            send_v4: RefCell::new(MultiHeaders::preallocate(BATCH_MAX, None)),
            send_v6: RefCell::new(MultiHeaders::preallocate(BATCH_MAX, None)),
        }
    }
}

/// A socket of one family.
#[derive(Debug)]
pub(super) struct Batches {
    io: Arc<UdpSocket>,
    is_v4: bool,
}

impl Batches {
    pub(super) fn bind(bind: SocketAddr) -> io::Result<Arc<Self>> {
        Self::open(std::net::UdpSocket::bind(bind)?, bind)
    }

    /// One of several of the same address.
    pub(super) fn bind_shared(addr: SocketAddr) -> io::Result<Arc<Self>> {
        let family = if addr.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let socket = socket(family, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
        setsockopt(&socket, ReusePort, &true)?;
        bind(socket.as_raw_fd(), &SockaddrStorage::from(addr))?;
        Self::open(socket.into(), addr)
    }

    fn open(socket: std::net::UdpSocket, bind: SocketAddr) -> io::Result<Arc<Self>> {
        socket.set_nonblocking(true)?;
        // Above the system's limit only with a privilege; without it as much as there is.
        if setsockopt(&socket, RcvBufForce, &RECEIVE_BUFFER_BYTES).is_err() {
            setsockopt(&socket, RcvBuf, &RECEIVE_BUFFER_BYTES)?;
        }
        Ok(Arc::new(Self { io: Arc::new(UdpSocket::from_std(socket)?), is_v4: bind.is_ipv4() }))
    }

    fn receive(&self, buffers: &mut [IoSliceMut<'_>], meta: &mut [RecvMeta]) -> io::Result<usize> {
        let fd = self.io.as_raw_fd();
        HEADERS.with(|headers| match self.is_v4 {
            true => receive(fd, &mut headers.receive_v4.borrow_mut(), buffers, meta),
            false => receive(fd, &mut headers.receive_v6.borrow_mut(), buffers, meta),
        })
    }

    fn send(&self, batch: &[Transmit<'_>]) -> io::Result<usize> {
        let fd = self.io.as_raw_fd();
        HEADERS.with(|headers| match self.is_v4 {
            true => send(fd, &mut headers.send_v4.borrow_mut(), batch),
            false => send(fd, &mut headers.send_v6.borrow_mut(), batch),
        })
    }
}

/// An address as a socket of one family has it.
trait Family: SockaddrLike + Copy {
    fn socket_addr(self) -> SocketAddr;

    /// `None` if a socket of this family can not reach it.
    fn of(addr: SocketAddr) -> Option<Self>;
}

impl Family for SockaddrIn {
    fn socket_addr(self) -> SocketAddr {
        SocketAddrV4::from(self).into()
    }

    fn of(addr: SocketAddr) -> Option<Self> {
        match addr {
            SocketAddr::V4(addr) => Some(addr.into()),
            SocketAddr::V6(_) => None,
        }
    }
}

impl Family for SockaddrIn6 {
    fn socket_addr(self) -> SocketAddr {
        let addr = SocketAddrV6::from(self);
        match addr.ip().to_ipv4_mapped() {
            Some(ip) => SocketAddr::from((ip, addr.port())),
            None => addr.into(),
        }
    }

    fn of(addr: SocketAddr) -> Option<Self> {
        Some(match addr {
            SocketAddr::V4(addr) => SocketAddrV6::new(addr.ip().to_ipv6_mapped(), addr.port(), 0, 0).into(),
            SocketAddr::V6(addr) => addr.into(),
        })
    }
}

fn receive<S: Family>(
    fd: i32,
    headers: &mut MultiHeaders<S>,
    buffers: &mut [IoSliceMut<'_>],
    meta: &mut [RecvMeta],
) -> io::Result<usize> {
    let count = buffers.len().min(meta.len()).min(BATCH_MAX);
    let mut buffers = buffers.iter_mut();
    let mut slices: [[IoSliceMut<'_>; 1]; BATCH_MAX] = std::array::from_fn(|_| {
        [IoSliceMut::new(buffers.next().map_or(&mut [][..], |buffer| &mut buffer[..]))]
    });
    let received = recvmmsg(fd, headers, slices.iter_mut().take(count), MsgFlags::MSG_DONTWAIT, None)?;
    let mut filled = 0;
    for (message, meta) in received.zip(meta) {
        *meta = RecvMeta::default();
        // Without a sender there is nobody to answer: an address that belongs to nobody.
        meta.addr = message.address.map_or(SocketAddr::from(([0, 0, 0, 0], 0)), S::socket_addr);
        (meta.len, meta.stride) = (message.bytes, message.bytes);
        filled += 1;
    }
    Ok(filled)
}

/// Sends from the first on; returns how many are done with, be it because they can not be sent at all.
fn send<S: Family>(fd: i32, headers: &mut MultiHeaders<S>, batch: &[Transmit<'_>]) -> io::Result<usize> {
    let batch = &batch[..batch.len().min(BATCH_MAX)];
    let addr = |transmit: &Transmit<'_>| S::of(transmit.destination);
    let sendable = batch.iter().position(|transmit| addr(transmit).is_none()).unwrap_or(batch.len());
    if sendable == 0 {
        return Ok(batch.len().min(1));
    }
    let mut left = batch.iter();
    let slices: [[IoSlice<'_>; 1]; BATCH_MAX] =
        std::array::from_fn(|_| [IoSlice::new(left.next().map_or(&[], |transmit| transmit.contents))]);
    let addrs: [Option<S>; BATCH_MAX] = std::array::from_fn(|at| batch.get(at).and_then(addr));
    let sent =
        sendmmsg(fd, headers, slices.iter().take(sendable), &addrs[..sendable], [], MsgFlags::MSG_DONTWAIT);
    match sent {
        Ok(sent) => Ok(sent.count()),
        Err(nix::Error::EAGAIN) => Err(io::ErrorKind::WouldBlock.into()),
        Err(nix::Error::EBADF | nix::Error::ENOTSOCK) => Err(io::ErrorKind::NotConnected.into()),
        // A full table of neighbours, no route, too long for the link: lost, as it could be anywhere on its way.
        Err(_) => Ok(1),
    }
}

impl Datagrams for Batches {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    fn poll_recv_batch(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let count = buffers.len().min(meta.len()).min(BATCH_MAX);
        poll_received(&self.io, cx, count, || self.receive(buffers, meta))
    }

    fn try_send_batch(&self, batch: &[Transmit<'_>]) -> io::Result<usize> {
        self.io.try_io(Interest::WRITABLE, || self.send(batch))
    }

    fn writable(self: Arc<Self>) -> Pin<Box<dyn PollWritable>> {
        Box::pin(Writable::new(self.io.clone()))
    }

    fn may_fragment(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use super::*;
    use crate::Net;

    async fn received(socket: &dyn Datagrams) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut space = vec![[0; 2048]; BATCH_MAX];
        let mut meta = vec![RecvMeta::default(); BATCH_MAX];
        let mut buffers: Vec<_> = space.iter_mut().map(|buffer| IoSliceMut::new(buffer)).collect();
        let count =
            poll_fn(|cx| socket.poll_recv_batch(cx, &mut buffers, &mut meta)).await.expect("received");
        drop(buffers);
        let datagram = |at: usize| (meta[at].addr, space[at][..meta[at].len].to_vec());
        (0..count).map(datagram).collect()
    }

    async fn send(socket: &Arc<Batches>, batch: &[Transmit<'_>]) {
        let mut done = 0;
        while done < batch.len() {
            match socket.try_send_batch(&batch[done..]) {
                Ok(sent) => done += sent,
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                    let mut writable = socket.clone().writable();
                    poll_fn(|cx| writable.as_mut().poll_writable(cx)).await.expect("room");
                }
            }
        }
    }

    async fn check(ip: IpAddr) {
        let bind = || Batches::bind((ip, 0).into()).expect("a socket");
        let (one, two, to) = (bind(), bind(), bind());
        let destination = to.local_addr().expect("an address");
        let contents: Vec<Vec<u8>> = (0..200usize).map(|at| vec![at as u8; 1 + at * 6]).collect();
        let transmit =
            |contents| Transmit { destination, ecn: None, contents, segment_size: None, src_ip: None };
        let batch: Vec<_> = contents.iter().map(|contents| transmit(contents)).collect();
        let mut seen = Vec::new();
        send(&one, &batch[..100]).await;
        send(&two, &batch[100..]).await;
        while seen.len() < 200 {
            seen.extend(received(&*to).await);
        }
        let addr = |socket: &Batches| socket.local_addr().expect("an address");
        for (at, (from, bytes)) in seen.iter().enumerate() {
            assert_eq!((*from, bytes), (addr(if at < 100 { &one } else { &two }), &contents[at]), "{at}");
        }
    }

    #[tokio::test]
    async fn datagrams_of_several_senders_arrive_one_by_one() {
        check(Ipv4Addr::LOCALHOST.into()).await;
    }

    #[tokio::test]
    async fn what_comes_to_a_socket_that_was_found_empty_wakes_its_reader() {
        let any = (Ipv4Addr::LOCALHOST, 0).into();
        let from = Batches::bind(any).expect("a socket");
        let sockets = [crate::real::SystemNet.datagrams(any), crate::real::SystemNet.datagrams_apart(any)];
        for to in sockets.map(|socket| socket.expect("a socket")) {
            let destination = to.local_addr().expect("an address");
            for round in 0..100 {
                let contents = [[round; 3], [round + 100; 3]];
                let transmit = |contents| Transmit {
                    destination,
                    ecn: None,
                    contents,
                    segment_size: None,
                    src_ip: None,
                };
                // The second one comes while the reader waits.
                send(&from, &[transmit(&contents[0])]).await;
                assert_eq!(received(&*to).await[0].1, contents[0]);
                let later = async {
                    tokio::task::yield_now().await;
                    send(&from, &[transmit(&contents[1])]).await;
                };
                assert_eq!(tokio::join!(received(&*to), later).0[0].1, contents[1]);
            }
        }
    }

    #[tokio::test]
    async fn several_sockets_share_an_address_and_get_each_a_part() {
        let any = (Ipv4Addr::LOCALHOST, 0).into();
        let one = Batches::bind_shared(any).expect("a socket");
        let there = one.local_addr().expect("an address");
        let two = Batches::bind_shared(there).expect("the same again");
        assert!(Batches::bind(there).is_err(), "who does not share it has no part");
        for _ in 0..64 {
            let from = Batches::bind(any).expect("a socket");
            let transmit =
                Transmit { destination: there, ecn: None, contents: b"x", segment_size: None, src_ip: None };
            send(&from, &[transmit]).await;
        }
        // That one of them gets all of 64 senders is as likely as 64 heads.
        let (some, rest) = (received(&*one).await.len(), received(&*two).await.len());
        assert_eq!(some + rest, 64);
    }

    #[tokio::test]
    async fn the_same_by_ipv6() {
        check(Ipv6Addr::LOCALHOST.into()).await;
    }

    #[tokio::test]
    async fn a_socket_of_both_families_shows_plain_ipv4() {
        let both = Batches::bind((Ipv6Addr::UNSPECIFIED, 0).into()).expect("a socket");
        let four = Batches::bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a socket");
        let port = both.local_addr().expect("an address").port();
        let to = |destination| Transmit {
            destination,
            ecn: None,
            contents: b"x",
            segment_size: None,
            src_ip: None,
        };
        let there = to(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        send(&four, &[there]).await;
        let (from, _) = received(&*both).await.remove(0);
        assert_eq!(from, four.local_addr().expect("an address"));
        // The other way round there is no way: lost, and the rest goes on.
        let nowhere = to(SocketAddr::from((Ipv6Addr::LOCALHOST, port)));
        send(&four, &[nowhere]).await;
        send(&both, &[to(from)]).await;
        assert_eq!(received(&*four).await.len(), 1);
    }
}
