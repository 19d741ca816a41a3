//! TCP_NODELAY for connections to the database.
//!
//! sqlx opens its sockets without it and gives nobody a hold of them. COPY ends with a small message behind its data: the kernel keeps
//! that back until the server has acknowledged the data (RFC 896, Nagle's algorithm), which the server puts off for 40 ms because it
//! has nothing to say yet (RFC 1122 section 4.2.3.2). So each batch would take that much longer.
//!
//! The socket is found among the process's own by its peer's port, and a second descriptor of it is had without `unsafe` by sending
//! it to ourselves (unix(7), SCM_RIGHTS).

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrStorage, getpeername, sendmsg};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType, recvmsg,
    socketpair, sockopt,
};

/// Sets it for every TCP connection of this process to a server's port. Gives how many there are.
///
/// # Errors
/// The system does not say which sockets are open, or has no more.
pub(super) fn set_for_port(port: u16) -> io::Result<usize> {
    let (here, there) = socketpair(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    let mut count = 0;
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let Some(fd) = entry?.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok()) else {
            continue;
        };
        // A descriptor that is no socket, has no peer or is closed by now has none of this port.
        if getpeername::<SockaddrStorage>(fd).is_ok_and(|peer| port_of(&peer) == Some(port)) {
            sendmsg::<()>(
                here.as_raw_fd(),
                &[IoSlice::new(&[0])],
                &[ControlMessage::ScmRights(&[fd])],
                MsgFlags::empty(),
                None,
            )?;
            sockopt::set_tcp_nodelay(received(&there)?, true)?;
            count += 1;
        }
    }
    Ok(count)
}

fn port_of(peer: &SockaddrStorage) -> Option<u16> {
    let v4 = peer.as_sockaddr_in().map(nix::sys::socket::SockaddrIn::port);
    v4.or_else(|| peer.as_sockaddr_in6().map(nix::sys::socket::SockaddrIn6::port))
}

/// The descriptor that was sent.
fn received(socket: &OwnedFd) -> io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let rights = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut rights) => rights.next(),
        _ => None,
    });
    rights.ok_or_else(|| io::ErrorKind::NotFound.into())
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a real socket is what it is about")]
    fn connections_to_a_port_send_at_once() {
        let [server, other] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
        let to = |server: &TcpListener| {
            TcpStream::connect(server.local_addr().expect("an address")).expect("it listens")
        };
        let (ours, foreign) = (to(&server), to(&other));
        assert!(!ours.nodelay().expect("a socket"));
        assert_eq!(set_for_port(server.local_addr().expect("an address").port()).expect("sockets"), 1);
        assert!(ours.nodelay().expect("a socket") && !foreign.nodelay().expect("a socket"));
    }
}
