//! A way to a PostgreSQL server that is cut at a chosen moment. Messages are those of the manual, chapter 55.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use drover_env::real::{self, Metrics};
use drover_env::{ByteStream, Env, Task};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::platform::ANY;

/// When the first connection that gets so far is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The client has asked for the commit; the server never hears of it.
    BeforeCommit,
    /// The server has committed; the client never hears of it.
    AfterCommit,
    /// The server has carried out a command about a new order; the client never hears of it.
    InsideCommand,
    /// Some rows are on their way.
    InsideRows,
    /// The server has committed; the connection stays, and says nothing.
    SilentCommit,
    /// Never; but where the server says the first number, the client hears the second.
    Never {
        /// As the server says it.
        said: i32,
        /// What is made of it.
        heard: i32,
    },
}

/// Listens on a port of its own and passes everything on to the server.
pub(crate) struct Proxy {
    port: u16,
    task: Task<()>,
    _folder: tempfile::TempDir,
}

impl Proxy {
    pub(crate) async fn start(server: u16, cut: Cut) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let env = real::env("proxy", folder.path(), Arc::new(Metrics::default())).expect("an env");
        let mut listener = env.listen(ANY).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let armed = Arc::new(AtomicBool::new(true));
        let serve = {
            let env = env.clone();
            async move {
                while let Ok(client) = listener.accept().await {
                    let to = std::net::SocketAddr::new(ANY.ip(), server);
                    let Ok(server) = env.connect(to).await else { continue };
                    drop(env.spawn("way", way(env.clone(), client, server, cut, armed.clone())));
                }
            }
        };
        Self { port, task: env.spawn("proxy", serve), _folder: folder }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One connection, until either side ends it or it is cut.
async fn way(
    _env: Env,
    mut client: Box<dyn ByteStream>,
    mut server: Box<dyn ByteStream>,
    cut: Cut,
    armed: Arc<AtomicBool>,
) {
    let (mut from_client, mut from_server) = ([0; 16_384], [0; 16_384]);
    // Set once the commit was passed on: the next words of the server answer it.
    let mut answer_is_due = false;
    loop {
        tokio::select! {
            biased;
            said = client.read(&mut from_client) => {
                let Some(said) = said.ok().filter(|len| *len > 0).map(|len| &from_client[..len]) else { return };
                // Ends a statement: tables that are emptied ON COMMIT are named in one that commits nothing.
                let has_commit = said.windows(7).any(|word| word == b"COMMIT\0");
                let has_rows = said.windows(6).any(|word| word == b"PGCOPY");
                let is_now = match cut {
                    Cut::BeforeCommit | Cut::AfterCommit | Cut::SilentCommit => has_commit,
                    Cut::InsideCommand => said.windows(12).any(|word| word == b"create_order"),
                    Cut::InsideRows => has_rows,
                    Cut::Never { .. } => false,
                };
                if is_now && armed.swap(false, Ordering::Relaxed) {
                    match cut {
                        Cut::BeforeCommit | Cut::Never { .. } => return,
                        Cut::InsideRows => {
                            // Some of it arrives.
                            let _ = server.write_all(&said[..said.len() / 2]).await;
                            return;
                        }
                        Cut::AfterCommit | Cut::InsideCommand | Cut::SilentCommit => answer_is_due = true,
                    }
                }
                if server.write_all(said).await.is_err() {
                    return;
                }
            }
            said = server.read(&mut from_server) => {
                let Some(len) = said.ok().filter(|len| *len > 0) else { return };
                if let Cut::Never { said, heard } = cut {
                    replace(&mut from_server[..len], said, heard);
                }
                let said = &from_server[..len];
                if answer_is_due && cut != Cut::SilentCommit {
                    return;
                }
                if !answer_is_due && client.write_all(said).await.is_err() {
                    return;
                }
            }
        }
    }
}

fn replace(bytes: &mut [u8], said: i32, heard: i32) {
    let mut start = 0;
    while let Some(place) = bytes[start..].windows(4).position(|word| word == said.to_be_bytes()) {
        bytes[start + place..start + place + 4].copy_from_slice(&heard.to_be_bytes());
        start += place + 4;
    }
}
