//! Copies bytes between two streams, both ways, until both have ended. A direction has a buffer only while the side that it goes to
//! does not take what has come: an idle connection has none.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep_until};

/// Buffers that are kept for the next one who needs one.
const FREE_MAX: usize = 64;
/// Buffers that one direction copies before others have their turn.
const TURNS_MAX: usize = 8;

/// Buffers of one size, lent to whoever has bytes to pass on.
#[derive(Debug)]
pub(crate) struct Pool {
    free: Mutex<Vec<Box<[u8]>>>,
    buffer_bytes: usize,
}

impl Pool {
    pub(crate) const fn new(buffer_bytes: usize) -> Self {
        Self { free: Mutex::new(Vec::new()), buffer_bytes }
    }

    fn take(&self) -> Box<[u8]> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        free.unwrap_or_else(|| vec![0; self.buffer_bytes].into())
    }

    fn give(&self, buffer: Box<[u8]>) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < FREE_MAX {
            free.push(buffer);
        }
    }
}

/// How long a connection may stand still.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) idle: Duration,
    /// Once one side has ended.
    pub(crate) half_closed: Duration,
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Both sides said that they send no more, and all has been passed on.
    Done,
    /// One side broke off.
    Broken,
    /// Nothing moved for too long.
    Idle,
}

impl End {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Broken => "broken",
            Self::Idle => "idle",
        }
    }
}

/// Bytes that were passed on by all connections.
#[derive(Debug, Default)]
pub(crate) struct Moved {
    pub(crate) up: AtomicU64,
    pub(crate) down: AtomicU64,
}

/// One direction.
#[derive(Debug, Default)]
struct Way {
    held: Option<Held>,
    /// The side that it comes from sends no more.
    ended: bool,
    /// And the other side has been told.
    closed: bool,
    /// Something was written since the last flush.
    unflushed: bool,
}

/// What the other side has not taken yet.
#[derive(Debug)]
struct Held {
    buffer: Box<[u8]>,
    from: usize,
    to: usize,
}

/// Passes on what comes from either side to the other, until both have ended or nothing moves any more. When it returns, or is
/// dropped, what is still held is lost: drop both streams then.
pub(crate) async fn splice<C, S>(
    client: &mut C,
    server: &mut S,
    pool: &Pool,
    moved: &Moved,
    patience: Patience,
) -> End
where
    C: AsyncRead + AsyncWrite + Unpin + ?Sized,
    S: AsyncRead + AsyncWrite + Unpin + ?Sized,
{
    let (mut up, mut down) = (Way::default(), Way::default());
    // When something moved last; that a side has ended is something, too.
    let mut last = Instant::now();
    let mut ends = 0;
    let mut timer = pin!(sleep_until(last + patience.idle));
    poll_fn(|cx| {
        let (mut moved_up, mut moved_down) = (0, 0);
        let first = poll_way(cx, client, server, &mut up, pool, &mut moved_up);
        let second = poll_way(cx, server, client, &mut down, pool, &mut moved_down);
        moved.up.fetch_add(moved_up, Ordering::Relaxed);
        moved.down.fetch_add(moved_down, Ordering::Relaxed);
        match (first, second) {
            (Poll::Ready(Err(_)), _) | (_, Poll::Ready(Err(_))) => return Poll::Ready(End::Broken),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(End::Done),
            _ => {}
        }
        let ends_now = u32::from(up.ended) + u32::from(down.ended);
        if moved_up + moved_down > 0 || ends_now > ends {
            (last, ends) = (Instant::now(), ends_now);
        }
        // The timer is set again when it is due, not each time that something moves.
        let allowed = if ends > 0 { patience.half_closed.min(patience.idle) } else { patience.idle };
        let due = last + allowed;
        if due < timer.deadline() {
            timer.as_mut().reset(due);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if due <= Instant::now() {
                return Poll::Ready(End::Idle);
            }
            timer.as_mut().reset(due);
        }
        Poll::Pending
    })
    .await
}

/// Passes on what there is; ready once the direction has ended and the other side knows.
fn poll_way<R, W>(
    cx: &mut Context<'_>,
    from: &mut R,
    to: &mut W,
    way: &mut Way,
    pool: &Pool,
    moved: &mut u64,
) -> Poll<io::Result<()>>
where
    R: AsyncRead + Unpin + ?Sized,
    W: AsyncWrite + Unpin + ?Sized,
{
    if way.closed {
        return Poll::Ready(Ok(()));
    }
    for _ in 0..TURNS_MAX {
        if let Some(held) = &mut way.held {
            while held.from < held.to {
                let written = ready!(Pin::new(&mut *to).poll_write(cx, &held.buffer[held.from..held.to]))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                held.from += written;
                *moved += written as u64;
                way.unflushed = true;
            }
        }
        if let Some(held) = way.held.take() {
            pool.give(held.buffer);
        }
        if way.ended {
            ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
            way.closed = true;
            return Poll::Ready(Ok(()));
        }
        let mut buffer = pool.take();
        let mut read = ReadBuf::new(&mut buffer);
        let result = Pin::new(&mut *from).poll_read(cx, &mut read);
        let len = read.filled().len();
        match result {
            Poll::Ready(Ok(())) if len > 0 => way.held = Some(Held { buffer, from: 0, to: len }),
            Poll::Ready(Ok(())) => {
                pool.give(buffer);
                way.ended = true;
            }
            Poll::Ready(Err(error)) => {
                pool.give(buffer);
                return Poll::Ready(Err(error));
            }
            Poll::Pending => {
                pool.give(buffer);
                if way.unflushed {
                    ready!(Pin::new(&mut *to).poll_flush(cx))?;
                    way.unflushed = false;
                }
                return Poll::Pending;
            }
        }
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}

#[cfg(test)]
mod tests;
