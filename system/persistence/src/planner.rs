//! Decides when buffered rows are written. Holds no clock, socket or pool.

use std::time::Duration;

use tokio::time::Instant;

/// When a batch is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlushLimits {
    /// Rows that close a batch at once, at least 1.
    pub rows_max: usize,
    /// Longest a row waits.
    pub age_max: Duration,
}

/// Collects items, each of some rows, into batches.
///
/// Invariant: `oldest` is set exactly while `items` is not empty.
#[derive(Debug)]
pub struct FlushPlanner<T> {
    limits: FlushLimits,
    items: Vec<T>,
    rows: usize,
    oldest: Option<Instant>,
}

impl<T> FlushPlanner<T> {
    /// An empty planner.
    pub const fn new(limits: FlushLimits) -> Self {
        Self { limits, items: Vec::new(), rows: 0, oldest: None }
    }

    /// Buffers an item of `rows` rows.
    pub fn handle_item(&mut self, now: Instant, item: T, rows: usize) {
        self.oldest.get_or_insert(now);
        self.items.push(item);
        self.rows += rows;
    }

    /// When a batch is next due: at once when it is full, `None` while nothing waits.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let oldest = self.oldest?;
        Some(if self.rows >= self.limits.rows_max { oldest } else { oldest + self.limits.age_max })
    }

    /// The batch that is due, in order of arrival. An item is never split: a batch may exceed the limit by one item.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Vec<T>> {
        self.poll_timeout().filter(|due| *due <= now)?;
        self.oldest = None;
        self.rows = 0;
        Some(std::mem::take(&mut self.items))
    }

    /// What still waits, for a shutdown.
    pub fn into_rest(self) -> Vec<T> {
        self.items
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: FlushLimits = FlushLimits { rows_max: 3, age_max: Duration::from_secs(2) };

    fn planner(items: &[(u64, usize)]) -> (FlushPlanner<u64>, Instant) {
        let (mut planner, start) = (FlushPlanner::new(LIMITS), Instant::now());
        for &(after_ms, rows) in items {
            planner.handle_item(start + Duration::from_millis(after_ms), after_ms, rows);
        }
        (planner, start)
    }

    #[tokio::test(start_paused = true)]
    async fn a_lone_fix_is_written_after_two_seconds() {
        let (mut planner, start) = planner(&[(0, 1)]);
        assert_eq!(planner.handle_timeout(start + Duration::from_millis(1999)), None);
        assert_eq!(planner.poll_timeout(), Some(start + Duration::from_secs(2)));
        assert_eq!(planner.handle_timeout(start + Duration::from_secs(2)), Some(vec![0]));
        assert_eq!(planner.poll_timeout(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_batch_is_due_at_once_and_keeps_its_order() {
        let (mut planner, start) = planner(&[(0, 1), (5, 1), (9, 2)]);
        assert_eq!(planner.handle_timeout(start + Duration::from_millis(9)), Some(vec![0, 5, 9]));
    }

    #[tokio::test(start_paused = true)]
    async fn later_items_do_not_put_off_the_oldest() {
        let (planner, start) = planner(&[(0, 1), (1999, 1)]);
        assert_eq!(planner.poll_timeout(), Some(start + Duration::from_secs(2)));
    }
}
