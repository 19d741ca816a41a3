//! The keeper of one process: starts it, probes it, ends it when it hangs or is told to, starts it again when it has ended.

use std::future::Future;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::ExitStatus;

use rustix::process::Signal;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};

use crate::admin::{Method, ask};
use crate::cgroup::Cgroups;
use crate::cluster::{Instance, Limits};
use crate::liveness::{Answer, Liveness};
use crate::log::Log;
use crate::process::Process;
use crate::restarts::{Restarts, Verdict};
use crate::status::{ServiceStatus, State};

/// Code of a process whose config or certificates are wrong (EX_USAGE): starting it again helps nobody.
const EXIT_USAGE: i32 = 64;

/// What a keeper is told.
#[derive(Debug)]
pub(crate) enum Order {
    /// Send this signal to the process, and carry on: how tests make a process hang.
    Signal(Signal),
    /// End the process at once, and keep it down.
    Kill,
    /// Tell the process to drain, and keep it down.
    Drain,
    /// Start it, if it is down, or as soon as it has drained.
    Start,
    /// Drain the process and start it again; answers once the new one is ready.
    Restart(oneshot::Sender<Result<(), String>>),
    /// Drain the process, and end.
    Stop,
}

/// What comes after the process has ended.
enum After {
    /// It ended by itself: that is for the restarts to judge.
    Judge,
    /// It stays down.
    Hold,
    /// It starts at once.
    Start,
    /// So does its keeper.
    End,
}

enum Next {
    Start,
    Wait(Instant),
    Rest(State),
    End,
}

pub(crate) struct Keeper {
    pub(crate) instance: Instance,
    /// Its place on the board.
    pub(crate) place: usize,
    pub(crate) program: PathBuf,
    pub(crate) limits: Limits,
    /// What may end it for want of memory.
    pub(crate) cgroups: Cgroups,
    pub(crate) log: Log,
    pub(crate) orders: mpsc::Receiver<Order>,
    pub(crate) board: watch::Sender<Vec<ServiceStatus>>,
    pub(crate) restarts: Restarts,
    /// Who waits until the process is ready.
    pub(crate) waiting: Option<oneshot::Sender<Result<(), String>>>,
}

/// What it gives, if anything.
type Probe = Pin<Box<dyn Future<Output = Option<Answer>> + Send>>;

impl Keeper {
    pub(crate) async fn run(mut self) {
        let mut next = Next::Start;
        loop {
            next = match next {
                Next::Start => self.live().await,
                Next::Wait(until) => self.wait(Some(until)).await,
                Next::Rest(state) => {
                    self.show(|status| status.state = state);
                    self.wait(None).await
                }
                Next::End => {
                    self.show(|status| status.state = State::Down);
                    return;
                }
            };
        }
    }

    fn show(&self, change: impl FnOnce(&mut ServiceStatus)) {
        self.board.send_modify(|all| change(&mut all[self.place]));
    }

    fn say(&self, text: &str) {
        self.log.write(&self.instance.node, &format!("supervisor: {text}"));
    }

    /// Without a process: until it is time to start one, or it is told to.
    async fn wait(&mut self, until: Option<Instant>) -> Next {
        let due = async {
            match until {
                Some(until) => sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        let order = tokio::select! {
            biased;
            order = self.orders.recv() => order,
            () = due => return Next::Start,
        };
        match order {
            Some(Order::Start) => Next::Start,
            Some(Order::Restart(waiting)) => {
                self.waiting = Some(waiting);
                Next::Start
            }
            Some(Order::Kill | Order::Drain) => Next::Rest(State::Down),
            Some(Order::Signal(_)) => until.map_or(Next::Rest(State::Down), Next::Wait),
            Some(Order::Stop) | None => Next::End,
        }
    }

    /// One process, from its start to its end.
    async fn live(&mut self) -> Next {
        let mut process = match Process::start(&self.program, &self.instance, &self.log) {
            Ok(process) => process,
            Err(error) => {
                let why = format!("run {}: {error}", self.program.display());
                return self.failed(why);
            }
        };
        let (pid, started, oom_kills) = (process.pid(), Instant::now(), self.cgroups.oom_kills());
        self.show(|status| {
            (status.pid, status.started, status.state) = (Some(pid), Some(started), State::Starting);
        });
        let (after, hung) = self.watch(&mut process).await;
        let ended = process.ended().await;
        let last_words = process.last_words().await;
        self.show(|status| status.pid = None);
        match after {
            After::Hold => Next::Rest(State::Down),
            After::Start => Next::Start,
            After::End => Next::End,
            After::Judge => {
                let starved = self.cgroups.oom_kills() > oom_kills;
                self.judge(ended.ok(), (hung, starved), &last_words)
            }
        }
    }

    /// Until the process has ended, or is about to: what comes then, and whether it hung.
    async fn watch(&mut self, process: &mut Process) -> (After, bool) {
        let mut liveness = Liveness::new(&self.limits);
        let (mut probe, mut asks_at) = (None, Instant::now());
        let (mut after, mut drain_until, mut draining) = (After::Judge, Instant::now(), false);
        loop {
            let hung = liveness.poll_timeout();
            let none = Instant::now();
            tokio::select! {
                biased;
                _ = process.ended() => return (after, false),
                () = sleep_until(drain_until), if draining => {
                    self.say("it did not drain in time, and is ended");
                    process.signal(Signal::KILL);
                    return (after, false);
                }
                // Before the look at whether it hangs: an answer may have come while the supervisor itself stood still.
                answer = answer(&mut probe) => {
                    probe = None;
                    if let Some(answer) = answer {
                        liveness.answered(answer);
                    }
                    self.show_answer(&liveness, draining);
                }
                () = sleep_until(hung.unwrap_or(none)), if hung.is_some() => {
                    if !liveness.handle_timeout(Instant::now()) {
                        self.say("the supervisor itself stood still; it is given its time once more");
                        (probe, asks_at) = (None, Instant::now());
                        continue;
                    }
                    self.say(&format!("no answer for {} ms: it hangs, and is ended", self.limits.hung_after.as_millis()));
                    process.signal(Signal::KILL);
                    return (after, true);
                }
                // Once its keeper is to end, nothing else can be wanted of it.
                order = self.orders.recv(), if !matches!(after, After::End) => {
                    match self.take(order, process) {
                        Told::Nothing => {}
                        // The one that runs is as good as a new one, unless it is about to end.
                        Told::Start if draining => after = After::Start,
                        Told::Start => {}
                        Told::Kill => {
                            self.disappoint("it was killed, and is to stay down");
                            process.signal(Signal::KILL);
                            return (After::Hold, false);
                        }
                        Told::Drain(then) => {
                            after = then;
                            if !matches!(after, After::Start) {
                                self.disappoint("it is to stay down");
                            }
                            // A second SIGTERM would end it at once.
                            if !draining {
                                process.signal(Signal::TERM);
                                self.show(|status| status.state = State::Draining);
                                drain_until = Instant::now() + self.limits.drain;
                                draining = true;
                            }
                        }
                    }
                }
                () = sleep_until(asks_at), if probe.is_none() => {
                    let now = Instant::now();
                    liveness.asked(now);
                    (probe, asks_at) = (Some(self.probe()), now + self.limits.probe_interval);
                }
            }
        }
    }

    fn show_answer(&mut self, liveness: &Liveness, draining: bool) {
        if draining {
            return;
        }
        if liveness.is_ready()
            && let Some(waiting) = self.waiting.take()
        {
            let _ = waiting.send(Ok(()));
        }
        let state = if liveness.is_ready() { State::Ready } else { State::Starting };
        self.board.send_if_modified(|all| std::mem::replace(&mut all[self.place].state, state) != state);
    }

    fn take(&mut self, order: Option<Order>, process: &Process) -> Told {
        match order {
            Some(Order::Signal(signal)) => {
                process.signal(signal);
                Told::Nothing
            }
            Some(Order::Start) => Told::Start,
            Some(Order::Kill) => Told::Kill,
            Some(Order::Drain) => Told::Drain(After::Hold),
            Some(Order::Restart(waiting)) => {
                self.waiting = Some(waiting);
                Told::Drain(After::Start)
            }
            Some(Order::Stop) | None => Told::Drain(After::End),
        }
    }

    fn probe(&self) -> Probe {
        let (addr, patience) = (self.instance.admin, self.limits.hung_after);
        Box::pin(async move {
            let answer = timeout(patience, ask(addr, &Method::GET, "/ready")).await;
            let (status, _) = answer.ok()?.ok()?;
            Some(if status.is_success() { Answer::Ready } else { Answer::NotReady })
        })
    }

    /// The process has ended, and nobody told it to. Meanwhile the system may have ended some for want of memory.
    fn judge(
        &mut self,
        ended: Option<ExitStatus>,
        (hung, starved): (bool, bool),
        last_words: &[String],
    ) -> Next {
        let killed = ended.is_some_and(|status| status.signal() == Some(Signal::KILL.as_raw()));
        let how = match ended {
            _ if hung => "it hung".to_owned(),
            Some(status) if killed && starved => {
                let allowed =
                    self.cgroups.allowed().text().unwrap_or_else(|| "the machine's memory".to_owned());
                format!("{status}: the system ended it for want of memory ({allowed})")
            }
            Some(status) => status.to_string(),
            None => "it ended".to_owned(),
        };
        let why = match last_words {
            [] => how,
            lines => format!("{how}; it said last:\n  {}", lines.join("\n  ")),
        };
        self.show(|status| status.last_exit = Some(why.clone()));
        let code = ended.and_then(|status| status.code());
        if code == Some(0) && !hung {
            self.say("it has ended in good order, and is not started again");
            self.disappoint("it has ended");
            return Next::Rest(State::Ended);
        }
        if code == Some(EXIT_USAGE) {
            return self.failed(why);
        }
        match self.restarts.ended(Instant::now()) {
            Verdict::GiveUp => {
                let count = self.limits.restarts_max;
                let within = self.limits.restarts_within.as_secs();
                self.failed(format!("it ended {count} times in {within} s; the last time: {why}"))
            }
            Verdict::Again(wait) => {
                self.say(&format!("{why}; it is started again in {} ms", wait.as_millis()));
                let restarts = self.restarts.total();
                self.show(|status| {
                    (status.state, status.restarts) = (State::Waiting, restarts);
                    status.hung += u64::from(hung);
                });
                Next::Wait(Instant::now() + wait)
            }
        }
    }

    fn failed(&mut self, why: String) -> Next {
        self.say(&format!("given up: {why}"));
        self.disappoint(&why);
        self.show(|status| status.last_exit = Some(why));
        Next::Rest(State::Failed)
    }

    fn disappoint(&mut self, why: &str) {
        if let Some(waiting) = self.waiting.take() {
            let _ = waiting.send(Err(why.to_owned()));
        }
    }
}

/// What the probe that is under way gives.
async fn answer(probe: &mut Option<Probe>) -> Option<Answer> {
    match probe {
        Some(probe) => probe.await,
        None => std::future::pending().await,
    }
}

/// What an order means for the process that runs.
enum Told {
    Nothing,
    Start,
    Kill,
    /// And then this.
    Drain(After),
}
