//! The bare server: takes WebSockets, and writes the same text to one after the other. No more than tokio-tungstenite needs for that.

use std::io::{BufRead, Write};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::SinkExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, accept_async_with_config};

/// As the hub has it: the default keeps 128 KiB for each socket.
const READ_BYTES: usize = 1024;

type Sockets = Arc<Mutex<Vec<WebSocketStream<TcpStream>>>>;

/// Says where it listens; then each line of its input is an order: rounds a second, seconds, bytes of a message.
pub(crate) fn serve() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        println!("{}", listener.local_addr().expect("an address"));
        let sockets = Sockets::default();
        tokio::spawn(accept(listener, sockets.clone()));
        let (send, mut orders) = tokio::sync::mpsc::unbounded_channel();
        std::thread::spawn(move || {
            std::io::stdin().lock().lines().map_while(Result::ok).for_each(|line| drop(send.send(line)));
        });
        while let Some(order) = orders.recv().await {
            let numbers: Vec<u64> = order.split(' ').filter_map(|word| word.parse().ok()).collect();
            let &[rate, seconds, bytes] = numbers.as_slice() else { panic!("{order:?} is no order") };
            tell(&sockets, rate, seconds, bytes as usize).await;
            println!("told");
            std::io::stdout().flush().expect("somebody listens");
        }
    });
}

async fn accept(listener: TcpListener, sockets: Sockets) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let sockets = sockets.clone();
        tokio::spawn(async move {
            stream.set_nodelay(true).expect("a socket");
            // Each message goes out at once, and nothing is kept for more.
            let config = WebSocketConfig::default().read_buffer_size(READ_BYTES).write_buffer_size(0);
            if let Ok(socket) = accept_async_with_config(stream, Some(config)).await {
                sockets.lock().unwrap_or_else(PoisonError::into_inner).push(socket);
            }
        });
    }
}

/// Writes to all so often a second.
async fn tell(sockets: &Sockets, rate: u64, seconds: u64, bytes: usize) {
    let message = Message::text("x".repeat(bytes));
    let mut all = std::mem::take(&mut *sockets.lock().unwrap_or_else(PoisonError::into_inner));
    let begun = Instant::now();
    for round in 0..rate * seconds {
        sleep_until(begun + Duration::from_secs(1) * round as u32 / rate as u32).await;
        for socket in &mut all {
            socket.send(message.clone()).await.expect("a client");
        }
    }
    *sockets.lock().unwrap_or_else(PoisonError::into_inner) = all;
}
