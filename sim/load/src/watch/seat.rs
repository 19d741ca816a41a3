//! One service on a thread of its own, as a process is: it can be killed, hung, drained and started again beside all others.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use drover_env::BoxFuture;
use drover_model::NodeName;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Longest that a service may take to open its sockets.
const BOUND_WITHIN: Duration = Duration::from_secs(10);
/// A service does nothing that takes longer without giving way.
const HOLDS_WITHIN: Duration = Duration::from_secs(1);

/// Makes a service's whole life, for each time that it is started.
pub(crate) type Make = Box<dyn Fn(Life) -> BoxFuture<'static, Result<(), String>> + Send>;

/// What a service is given for one life.
pub(crate) struct Life {
    /// Ends it politely.
    pub(crate) cancel: CancellationToken,
    told: SyncSender<Result<(), String>>,
}

impl Life {
    /// To be called once its sockets are open.
    pub(crate) fn bound(&self) {
        // Whoever started it may have given up.
        let _ = self.told.try_send(Ok(()));
    }
}

/// How a service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Up,
    Hung,
    Draining,
    Down,
}

impl State {
    /// The word that pages are told.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Hung => "hung",
            Self::Draining => "draining",
            Self::Down => "down",
        }
    }
}

/// While it is shut nothing of a service runs.
#[derive(Debug, Default)]
struct Gate {
    way: Mutex<Way>,
    changed: Condvar,
}

/// How a gate is.
#[derive(Debug, Default)]
struct Way {
    shut: bool,
    /// Its thread stands before it.
    holds: bool,
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, Way> {
        self.way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, shut: bool) {
        self.lock().shut = shut;
        self.changed.notify_all();
    }

    /// Blocks the thread while it is shut.
    fn pass(&self) {
        let mut way = self.lock();
        way.holds = true;
        self.changed.notify_all();
        let way = self.changed.wait_while(way, |way| way.shut);
        way.unwrap_or_else(PoisonError::into_inner).holds = false;
    }

    /// Waits until the thread stands before it.
    fn wait_until_it_holds(&self) {
        let waited = self.changed.wait_timeout_while(self.lock(), HOLDS_WITHIN, |way| way.shut && !way.holds);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

/// The life that it lives now.
struct Running {
    thread: JoinHandle<()>,
    handle: Handle,
    gate: Arc<Gate>,
    kill: Option<oneshot::Sender<()>>,
    cancel: CancellationToken,
    ended: Arc<AtomicBool>,
}

/// A service that can be killed and started again. Dropped, it is killed.
pub(crate) struct Seat {
    pub(crate) node: NodeName,
    make: Make,
    running: Option<Running>,
}

impl Seat {
    /// A service that does not run yet.
    pub(crate) fn new(node: NodeName, make: Make) -> Self {
        Self { node, make, running: None }
    }

    /// How it is.
    pub(crate) fn state(&self) -> State {
        match &self.running {
            None => State::Down,
            Some(running) if running.ended.load(Ordering::Relaxed) => State::Down,
            Some(running) if running.gate.lock().shut => State::Hung,
            Some(running) if running.cancel.is_cancelled() => State::Draining,
            Some(_) => State::Up,
        }
    }

    /// Starts it, and waits until its sockets are open; one that still drains is killed first.
    ///
    /// # Errors
    /// Why it could not start.
    pub(crate) fn start(&mut self) -> Result<(), String> {
        self.kill();
        let failed = |error: std::io::Error| format!("start {}: {error}", self.node);
        let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (handle, gate) = (runtime.handle().clone(), Arc::<Gate>::default());
        let ended = Arc::<AtomicBool>::default();
        let (kill, killed) = oneshot::channel();
        let (told, tells) = sync_channel(1);
        let cancel = CancellationToken::new();
        let service = (self.make)(Life { cancel: cancel.clone(), told: told.clone() });
        let (node, over) = (self.node, Arc::clone(&ended));
        let live = move || live(node, runtime, service, killed, &told, &over);
        let thread = std::thread::Builder::new().name(node.to_string()).spawn(live).map_err(failed)?;
        self.running = Some(Running { thread, handle, gate, kill: Some(kill), cancel, ended });
        self.wait_until_bound(&tells)
    }

    fn wait_until_bound(&mut self, tells: &Receiver<Result<(), String>>) -> Result<(), String> {
        let late = || Err(format!("{} has not opened its sockets within {BOUND_WITHIN:?}", self.node));
        let told = tells.recv_timeout(BOUND_WITHIN).unwrap_or_else(|_| late());
        if told.is_err() {
            self.kill();
        }
        told
    }

    /// Ends it at once, without a goodbye, and closes its sockets.
    pub(crate) fn kill(&mut self) {
        let Some(mut running) = self.running.take() else { return };
        if let Some(kill) = running.kill.take() {
            // It may have ended by itself.
            let _ = kill.send(());
        }
        running.gate.set(false);
        let _ = running.thread.join();
    }

    /// Stops all that it does, or lets it go on.
    pub(crate) fn hang(&self, hung: bool) {
        let Some(running) = &self.running else { return };
        running.gate.set(hung);
        if hung {
            let gate = running.gate.clone();
            // It has one thread: whoever blocks that stops everything.
            drop(running.handle.spawn(async move { gate.pass() }));
            running.gate.wait_until_it_holds();
        }
    }

    /// Asks it to finish what it does, and to end.
    pub(crate) fn drain(&self) {
        if let Some(running) = &self.running {
            running.cancel.cancel();
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.kill();
    }
}

/// One life, until it ends or is ended.
fn live(
    node: NodeName,
    runtime: Runtime,
    service: BoxFuture<'static, Result<(), String>>,
    killed: oneshot::Receiver<()>,
    told: &SyncSender<Result<(), String>>,
    ended: &AtomicBool,
) {
    let outcome = runtime.block_on(async move {
        tokio::select! {
            biased;
            _ = killed => Ok(()),
            outcome = service => outcome,
        }
    });
    // As with a process, what still runs ends with it.
    runtime.shutdown_background();
    ended.store(true, Ordering::Relaxed);
    if let Err(reason) = outcome
        && let Err(refused) = told.try_send(Err(reason))
    {
        warn!(node.id = %node, ?refused, "a service has ended");
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};
    use std::sync::atomic::AtomicU64;

    use drover_model::NodeKind;
    use tokio::net::UdpSocket;
    use tokio::time::{Instant, sleep, timeout};

    use super::*;

    /// A service that answers datagrams and counts; it drains in no time.
    fn echo(addr: SocketAddr, answered: Arc<AtomicU64>) -> Seat {
        let make = move |life: Life| -> BoxFuture<'static, Result<(), String>> {
            let answered = answered.clone();
            Box::pin(async move {
                let socket = UdpSocket::bind(addr).await.map_err(|error| error.to_string())?;
                life.bound();
                let mut bytes = [0; 16];
                loop {
                    tokio::select! {
                        biased;
                        () = life.cancel.cancelled() => return Ok(()),
                        received = socket.recv_from(&mut bytes) => {
                            let (len, from) = received.map_err(|error| error.to_string())?;
                            answered.fetch_add(1, Ordering::Relaxed);
                            drop(socket.send_to(&bytes[..len], from).await);
                        }
                    }
                }
            })
        };
        Seat::new(NodeName::new(NodeKind::Hub, 0), Box::new(make))
    }

    fn free_addr() -> SocketAddr {
        let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        socket.local_addr().expect("an address")
    }

    async fn answers(addr: SocketAddr, within: Duration) -> bool {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        // To a port that nobody has, the system may say so.
        drop(socket.send_to(b"hello", addr).await);
        let mut bytes = [0; 16];
        timeout(within, socket.recv_from(&mut bytes)).await.is_ok_and(|received| received.is_ok())
    }

    #[tokio::test]
    async fn a_service_is_killed_and_comes_back_at_its_address() {
        let (addr, answered) = (free_addr(), Arc::<AtomicU64>::default());
        let mut seat = echo(addr, answered);
        assert_eq!(seat.state(), State::Down);
        seat.start().expect("started");
        assert!(answers(addr, Duration::from_secs(5)).await);
        seat.kill();
        assert_eq!(seat.state(), State::Down);
        assert!(!answers(addr, Duration::from_millis(200)).await, "its socket is closed");
        seat.start().expect("the port is free again");
        assert!(answers(addr, Duration::from_secs(5)).await);
        assert_eq!(seat.state(), State::Up);
    }

    #[tokio::test]
    async fn a_hung_service_answers_nobody_until_it_goes_on() {
        let (addr, answered) = (free_addr(), Arc::<AtomicU64>::default());
        let mut seat = echo(addr, answered.clone());
        seat.start().expect("started");
        assert!(answers(addr, Duration::from_secs(5)).await);
        seat.hang(true);
        assert_eq!(seat.state(), State::Hung);
        let before = answered.load(Ordering::Relaxed);
        assert!(!answers(addr, Duration::from_millis(300)).await);
        assert_eq!(answered.load(Ordering::Relaxed), before, "nothing of it runs");
        seat.hang(false);
        assert!(answers(addr, Duration::from_secs(5)).await);
        seat.hang(true);
        seat.kill();
        assert_eq!(seat.state(), State::Down, "one that hangs can be killed");
    }

    #[tokio::test]
    async fn a_drained_service_ends_by_itself_and_a_taken_port_is_said() {
        let (addr, answered) = (free_addr(), Arc::<AtomicU64>::default());
        let mut seat = echo(addr, answered.clone());
        seat.start().expect("started");
        let refused = echo(addr, answered).start();
        assert!(refused.is_err_and(|reason| reason.contains("in use")));
        seat.drain();
        let give_up = Instant::now() + Duration::from_secs(5);
        while seat.state() != State::Down && Instant::now() < give_up {
            sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(seat.state(), State::Down);
    }
}
