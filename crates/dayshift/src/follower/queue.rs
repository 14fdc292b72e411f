//! The queue in front of the follower. Most news can wait a moment, so that a thousand tiny jobs
//! wake it a few times a second and not a thousand times.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long news wait for more to come: too short to be seen.
const GATHER: Duration = Duration::from_millis(50);

/// News in order.
#[derive(Debug)]
pub(super) struct Queue<T> {
    waiting: Mutex<Waiting<T>>,
    arrived: Condvar,
}

#[derive(Debug)]
struct Waiting<T> {
    news: VecDeque<T>,
    /// When the first of them came.
    since: Option<Instant>,
    is_urgent: bool,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        let waiting = Waiting { news: VecDeque::new(), since: None, is_urgent: false };
        Self { waiting: Mutex::new(waiting), arrived: Condvar::new() }
    }
}

impl<T> Queue<T> {
    /// Puts in news that can wait a moment.
    pub(super) fn put(&self, news: T) {
        let mut waiting = self.lock();
        waiting.news.push_back(news);
        // Whoever waits for more was told of the first already.
        if waiting.since.is_none() {
            waiting.since = Some(Instant::now());
            self.arrived.notify_one();
        }
    }

    /// Puts in news that somebody waits for.
    pub(super) fn put_urgent(&self, news: T) {
        let mut waiting = self.lock();
        waiting.news.push_back(news);
        waiting.since.get_or_insert_with(Instant::now);
        waiting.is_urgent = true;
        self.arrived.notify_one();
    }

    /// Waits for news, at most for `pause`, and takes all there are.
    pub(super) fn take(&self, pause: Duration) -> VecDeque<T> {
        let begin = Instant::now();
        let mut waiting = self.lock();
        loop {
            let left = match waiting.since {
                Some(_) if waiting.is_urgent => Duration::ZERO,
                Some(since) => GATHER.saturating_sub(since.elapsed()),
                None => pause.saturating_sub(begin.elapsed()),
            };
            if left.is_zero() {
                waiting.since = None;
                waiting.is_urgent = false;
                return std::mem::take(&mut waiting.news);
            }
            let woken = self.arrived.wait_timeout(waiting, left);
            waiting = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<T>> {
        // Each change under it is whole.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    #[test]
    fn news_are_gathered_and_urgent_ones_take_all_others_along() {
        let queue = Queue::default();
        let begin = Instant::now();
        queue.put(1);
        queue.put(2);
        assert_eq!(queue.take(LONG), [1, 2]);
        assert!(begin.elapsed() >= GATHER && begin.elapsed() < LONG);
        queue.put(3);
        queue.put_urgent(4);
        assert_eq!(queue.take(LONG), [3, 4]);
    }

    #[test]
    fn without_news_the_pause_ends() {
        let begin = Instant::now();
        assert!(Queue::<u8>::default().take(Duration::from_millis(5)).is_empty());
        assert!(begin.elapsed() < LONG);
    }

    #[test]
    fn a_sleeper_is_woken() {
        let queue = Queue::default();
        std::thread::scope(|scope| {
            let taken = scope.spawn(|| queue.take(LONG));
            queue.put_urgent(1);
            assert_eq!(taken.join().unwrap(), [1]);
        });
    }
}
