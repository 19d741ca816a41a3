//! TCP: bytes stand still while nothing passes, and come late or slowly; their order and their number are TCP's to keep.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use drover_simnet::{Carried, Effect};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use super::{Direction, Link};

const CHUNK: usize = 16 * 1024;

/// Passes connections on to `to` from now on. Returns where clients connect.
pub(super) async fn start(link: Arc<Link>, to: SocketAddr) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let addr = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(connection(link.clone(), client, to));
        }
    });
    Ok(addr)
}

async fn connection(link: Arc<Link>, client: TcpStream, to: SocketAddr) {
    // A connection is not set up through a link on which nothing passes.
    passable(&link, Direction::Up).await;
    let Ok(server) = TcpStream::connect(to).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let up = copy(&link, Direction::Up, from_client, to_server);
    let down = copy(&link, Direction::Down, from_server, to_client);
    tokio::join!(up, down);
}

/// Waits until something passes.
async fn passable(link: &Link, direction: Direction) {
    loop {
        let freed = link.freed.notified();
        if !link.has(direction, |effect| matches!(effect, Effect::Partition | Effect::Clog)) {
            return;
        }
        freed.await;
    }
}

async fn copy(link: &Link, direction: Direction, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    let mut buffer = vec![0; CHUNK];
    while let Ok(len @ 1..) = from.read(&mut buffer).await {
        passable(link, direction).await;
        // What comes later waits too: bytes keep their order.
        if let Carried::Arrives { delay, .. } = link.carry(direction, &mut buffer[..len]) {
            tokio::time::sleep(delay).await;
        }
        if to.write_all(&buffer[..len]).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}
