//! Datagrams: each client gets a port of its own behind the proxy, and another one when its address changes.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use drover_simnet::Carried;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use super::{Direction, HELD_MAX, Link};

/// Longest datagram of IP.
const DATAGRAM_MAX: usize = 65_535;
const ANY: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

/// Ports towards the server that are not their clients' to change, by client.
type Known = BTreeMap<SocketAddr, Arc<UdpSocket>>;

/// Passes datagrams on to `to` from now on. Returns where clients send them, and from where those of `known` clients arrive.
pub(super) async fn start(
    link: Arc<Link>,
    to: SocketAddr,
    known: &[SocketAddr],
) -> io::Result<(SocketAddr, Vec<SocketAddr>)> {
    let front = Arc::new(UdpSocket::bind(ANY).await?);
    let addr = front.local_addr()?;
    let (mut ports, mut from) = (Known::new(), Vec::new());
    for client in known {
        let socket = UdpSocket::bind(ANY).await?;
        from.push(socket.local_addr()?);
        ports.insert(*client, Arc::new(socket));
    }
    tokio::spawn(run(link, front, to, ports));
    Ok((addr, from))
}

/// A client's port towards the server, and the task that brings what the server answers.
struct Behind {
    socket: Arc<UdpSocket>,
    answers: JoinHandle<()>,
}

impl Drop for Behind {
    fn drop(&mut self) {
        self.answers.abort();
    }
}

async fn run(link: Arc<Link>, front: Arc<UdpSocket>, to: SocketAddr, known: Known) {
    let mut clients: BTreeMap<SocketAddr, Behind> = BTreeMap::new();
    let mut held = Vec::new();
    let mut buffer = vec![0; DATAGRAM_MAX];
    // Made anew before what they told is dealt with: so that nothing is missed.
    let (mut freed, mut rebound) = (pin!(link.freed.notified()), pin!(link.rebound.notified()));
    loop {
        tokio::select! {
            biased;
            () = &mut rebound => {
                rebound.set(link.rebound.notified());
                // What is sent to the old ports finds nobody, as behind a translation that has forgotten.
                clients.clear();
            }
            () = &mut freed => {
                freed.set(link.freed.notified());
                for (socket, bytes) in std::mem::take(&mut held) {
                    pass(&link, Direction::Up, socket, to, bytes, &mut held).await;
                }
            }
            received = front.recv_from(&mut buffer) => {
                // An error is that of an earlier send, which nobody waits for.
                let Ok((len, client)) = received else { continue };
                let socket = match clients.get(&client) {
                    Some(behind) => behind.socket.clone(),
                    None => {
                        let Ok(behind) = open(&link, &front, client, known.get(&client)).await else { continue };
                        let socket = behind.socket.clone();
                        clients.insert(client, behind);
                        socket
                    }
                };
                pass(&link, Direction::Up, socket, to, buffer[..len].to_vec(), &mut held).await;
            }
        }
    }
}

async fn open(
    link: &Arc<Link>,
    front: &Arc<UdpSocket>,
    client: SocketAddr,
    known: Option<&Arc<UdpSocket>>,
) -> io::Result<Behind> {
    let socket = match known {
        Some(socket) => socket.clone(),
        None => Arc::new(UdpSocket::bind(ANY).await?),
    };
    let answers = tokio::spawn(answers(link.clone(), socket.clone(), front.clone(), client));
    Ok(Behind { socket, answers })
}

async fn answers(link: Arc<Link>, socket: Arc<UdpSocket>, front: Arc<UdpSocket>, client: SocketAddr) {
    let mut held = Vec::new();
    let mut buffer = vec![0; DATAGRAM_MAX];
    let mut freed = pin!(link.freed.notified());
    loop {
        tokio::select! {
            biased;
            () = &mut freed => {
                freed.set(link.freed.notified());
                for (front, bytes) in std::mem::take(&mut held) {
                    pass(&link, Direction::Down, front, client, bytes, &mut held).await;
                }
            }
            received = socket.recv_from(&mut buffer) => {
                let Ok((len, _)) = received else { continue };
                pass(&link, Direction::Down, front.clone(), client, buffer[..len].to_vec(), &mut held).await;
            }
        }
    }
}

/// Lets a datagram meet its fate.
async fn pass(
    link: &Link,
    direction: Direction,
    socket: Arc<UdpSocket>,
    to: SocketAddr,
    mut bytes: Vec<u8>,
    held: &mut Vec<(Arc<UdpSocket>, Vec<u8>)>,
) {
    match link.carry(direction, &mut bytes) {
        Carried::Lost => {}
        Carried::Held(_) if held.len() < HELD_MAX => held.push((socket, bytes)),
        Carried::Held(_) => {}
        Carried::Arrives { delay, twice } => {
            if twice {
                send(delay, socket.clone(), to, bytes.clone()).await;
            }
            send(delay, socket, to, bytes).await;
        }
    }
}

async fn send(delay: Duration, socket: Arc<UdpSocket>, to: SocketAddr, bytes: Vec<u8>) {
    // A datagram that can not be delivered is lost, as in any network.
    if delay.is_zero() {
        let _ = socket.send_to(&bytes, to).await;
        return;
    }
    tokio::spawn(async move {
        tokio::time::sleep(delay).await;
        let _ = socket.send_to(&bytes, to).await;
    });
}
