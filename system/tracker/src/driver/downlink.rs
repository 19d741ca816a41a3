//! Commands from the gateway: answered, written down, carried out.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use drover_env::{Env, Value};
use drover_model::WallTime;
use drover_wire::downlink::CommandState;
use drover_wire::geostream::{Channel, Command, CommandAck, Frame};
use tokio::time::Instant;
use tracing::{info, warn};

use super::Driver;
use crate::commands::{Commands, Decision, Entry, Journal, Told};

/// Commands that wait to be written down. A gateway sends fewer at once; what is more is passed over, and comes again.
const WAITING_MAX: usize = 64;
/// Wait before a disk that did not take a command is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Commands, and where they are written down.
pub(super) struct Downlink {
    commands: Commands,
    /// Read when the first session begins; until it can be no command is taken.
    journal: Option<Journal>,
    /// Of this session, in the order in which they came.
    waiting: VecDeque<(u64, Command)>,
    /// When the first of them may be tried, if one waits.
    due: Option<Instant>,
    /// The receiver's time, and when it said so.
    clock: Option<(WallTime, Instant)>,
}

impl Downlink {
    /// Reads what was written down before.
    pub(super) fn open(env: &Env, told: Told) -> Self {
        let mut commands = Commands::new(told);
        let journal = match Journal::open(env.disk().clone()) {
            Ok((journal, found)) => {
                if found.cut {
                    info!("the journal of commands ended in the beginning of a record");
                    env.event("tracker.commands_cut", &[]);
                }
                if !env.planted("applied_forgotten") {
                    found.entries.into_iter().for_each(|entry| commands.take(entry));
                }
                Some(journal)
            }
            Err(error) => {
                warn!(%error, "the journal of commands can not be read: none is carried out");
                env.event("tracker.disk_error", &[("reason", Value::Str("broken"))]);
                None
            }
        };
        for id in commands.done() {
            env.event("tracker.command_recovered", &[("command", Value::U64(id))]);
        }
        Self { commands, journal, waiting: VecDeque::new(), due: None, clock: None }
    }

    /// The receiver has said what time it is.
    pub(super) const fn hear_time(&mut self, time: WallTime, at: Instant) {
        self.clock = Some((time, at));
    }

    /// What the time is: by the receiver, which no battery and nobody's hand sets, and without it by the tracker's own clock.
    fn now(&self, env: &Env) -> WallTime {
        match self.clock {
            Some((time, at)) => time.plus(Instant::now().duration_since(at)),
            None => env.wall(),
        }
    }

    /// A session has ended, or another begins: what waits comes again.
    pub(super) fn end_session(&mut self) {
        self.waiting.clear();
        self.due = None;
    }

    /// When something is to be done.
    pub(super) const fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }
}

impl Driver {
    /// Takes a command; false if it is none, because it has no identity.
    pub(super) fn take_command(&mut self, command: Command) -> bool {
        let Some(id) = command.id else { return false };
        let waits = self.downlink.waiting.iter().any(|(waiting, _)| *waiting == id);
        if waits || self.downlink.journal.is_none() || self.downlink.waiting.len() >= WAITING_MAX {
            self.env.event("tracker.command_passed_over", &[("command", Value::U64(id))]);
            return true;
        }
        self.answer(id, CommandState::Delivered, None);
        self.downlink.waiting.push_back((id, command));
        self.downlink.due.get_or_insert_with(Instant::now);
        true
    }

    fn answer(&mut self, id: u64, state: CommandState, detail: Option<&str>) {
        let Some(link) = &mut self.link else { return };
        let ack = CommandAck { id: Some(id), state: Some(state.code()), detail: detail.map(str::to_owned) };
        link.say(Channel::Live, &Frame::CommandAck(ack));
    }

    /// Carries out what is due.
    pub(super) async fn carry_out(&mut self, now: Instant) {
        if self.downlink.due.is_none_or(|due| due > now) {
            return;
        }
        if let Some(journal) = &mut self.downlink.journal
            && let Err(error) = journal.settle().await
        {
            self.disk_error(&error);
            return;
        }
        while let Some((id, command)) = self.downlink.waiting.front() {
            let time = self.downlink.now(&self.env);
            let time = if self.env.planted("expiry_ignored") { WallTime::UNIX_EPOCH } else { time };
            let id = *id;
            if self.downlink.commands.is_full() {
                self.downlink.commands.forget(time);
            }
            let (state, detail) = match self.downlink.commands.decide(time, id, command) {
                Decision::Known => {
                    self.env.event("tracker.command_repeated", &[("command", Value::U64(id))]);
                    (CommandState::Applied, None)
                }
                Decision::Write(entry) => {
                    if !self.write_down(entry).await {
                        return;
                    }
                    (CommandState::Applied, None)
                }
                Decision::Late => {
                    self.env.event("tracker.command_expired", &[("command", Value::U64(id))]);
                    (CommandState::Expired, None)
                }
                Decision::Unknown(why) => {
                    warn!(why, "a command that can not be carried out");
                    self.env.event("tracker.command_failed", &[("command", Value::U64(id))]);
                    (CommandState::Failed, Some(why))
                }
                Decision::NoRoom => {
                    self.downlink.due = Some(Instant::now() + AGAIN_AFTER);
                    return;
                }
            };
            self.downlink.waiting.pop_front();
            self.answer(id, state, detail);
        }
        self.downlink.due = None;
    }

    /// Writes a command down, by which it is carried out. False if the disk does not take it.
    async fn write_down(&mut self, entry: Entry) -> bool {
        let id = entry.id.unwrap_or_default();
        let fields =
            [("command", Value::U64(id)), ("expires_us", Value::U64(entry.expires_us.unwrap_or_default()))];
        let Downlink { commands, journal, .. } = &mut self.downlink;
        let Some(journal) = journal else { return false };
        // Without a file all is written; else this alone.
        let all = commands.entries();
        let grown = journal.has_grown();
        let written = async {
            if grown {
                journal.rewrite(&all).await?;
            }
            journal.append(&entry, &all).await
        };
        match written.await {
            Ok(()) => {
                commands.take(entry);
                self.env.event("tracker.command_applied", &fields);
                true
            }
            Err(error) => {
                self.disk_error(&error);
                false
            }
        }
    }

    /// The disk does not take what is to be written: it is tried again.
    fn disk_error(&mut self, error: &io::Error) {
        warn!(%error, "a command waits for the disk");
        let full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        let reason = if full { "full" } else { "broken" };
        self.env.event("tracker.disk_error", &[("reason", Value::Str(reason))]);
        self.downlink.due = Some(Instant::now() + AGAIN_AFTER);
    }
}
