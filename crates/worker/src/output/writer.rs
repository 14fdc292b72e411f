//! The one thread that waits for the disk, and the bounded queue in front of it.

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use dayshift_core::ids::AttemptId;
use dayshift_core::time::Timestamp;
use rustix::event::{EventfdFlags, eventfd};

use super::lines::Source;
use super::recorder::{Plan, Recorder, Summary};
use crate::error::WorkerError;

/// Bytes of one attempt that may wait for the disk; then its pipes are not read.
const ATTEMPT_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of all attempts that may wait for the disk.
const TOTAL_BYTES_MAX: usize = 32 * 1024 * 1024;

enum Work {
    Open(AttemptId, Box<Plan>),
    Chunk { attempt: AttemptId, source: Source, at: Timestamp, bytes: Bytes, gauge: Gauge },
    Finish(AttemptId),
}

/// What was read at once: the front of a buffer.
pub(crate) struct Bytes {
    buffer: Vec<u8>,
    length: usize,
}

impl Bytes {
    /// Takes the first `length` bytes of `scratch`. Much is handed over with its buffer, for
    /// which `scratch` gets a fresh one of the same length from `writer`; little is copied, so
    /// that what waits takes no more memory than it is counted for.
    pub(crate) fn take(scratch: &mut Vec<u8>, length: usize, writer: &Writer) -> Self {
        if length < scratch.len() / 2 {
            return Self { buffer: scratch[..length].to_vec(), length };
        }
        let fresh = lock(&writer.shared.spare).pop().filter(|fresh| fresh.len() == scratch.len());
        let fresh = fresh.unwrap_or_else(|| vec![0; scratch.len()]);
        Self { buffer: std::mem::replace(scratch, fresh), length }
    }
}

/// Buffers that are kept for the next chunks: as many as can wait for one attempt.
const SPARE_MAX: usize = 16;
/// A buffer below this size is not worth being kept.
const SPARE_BYTES_MIN: usize = 64 * 1024;

/// How many bytes of an attempt wait for the disk.
pub(crate) type Gauge = Arc<AtomicUsize>;

/// What the writer has to tell.
#[derive(Default)]
pub(crate) struct News {
    /// How much of each attempt's `stream` can be read.
    pub(crate) written: BTreeMap<AttemptId, u64>,
    pub(crate) finished: Vec<(AttemptId, Summary)>,
}

struct Shared {
    queue: Mutex<VecDeque<Work>>,
    arrived: Condvar,
    news: Mutex<News>,
    /// Buffers whose bytes have been written.
    spare: Mutex<Vec<Vec<u8>>>,
    total: AtomicUsize,
    /// A pipe is not being read because there was no room.
    starved: AtomicBool,
    closing: AtomicBool,
    wake: OwnedFd,
}

/// The loop's end of the writer.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(crate) fn start() -> Result<Self, WorkerError> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(WorkerError::kernel("an eventfd"))?;
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            arrived: Condvar::new(),
            news: Mutex::default(),
            spare: Mutex::default(),
            total: AtomicUsize::new(0),
            starved: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            wake,
        });
        let for_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("writer".into())
            .spawn(move || serve(&for_thread))
            .map_err(|source| WorkerError::Kernel { what: "a thread", source })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Readable when there is news or room.
    pub(crate) fn wake_fd(&self) -> BorrowedFd<'_> {
        self.shared.wake.as_fd()
    }

    /// Whether an attempt's pipes may be read now. After a no, the wake descriptor tells when to ask again.
    pub(crate) fn has_room(&self, gauge: &Gauge) -> bool {
        if self.room(gauge) {
            return true;
        }
        self.shared.starved.store(true, Ordering::SeqCst);
        // Asked again: the writer may have made room before it could see the flag.
        self.room(gauge)
    }

    fn room(&self, gauge: &Gauge) -> bool {
        gauge.load(Ordering::SeqCst) < ATTEMPT_BYTES_MAX
            && self.shared.total.load(Ordering::SeqCst) < TOTAL_BYTES_MAX
    }

    pub(crate) fn open(&self, attempt: AttemptId, plan: Plan) {
        self.put(Work::Open(attempt, Box::new(plan)));
    }

    pub(crate) fn chunk(
        &self,
        attempt: AttemptId,
        source: Source,
        at: Timestamp,
        bytes: Bytes,
        gauge: &Gauge,
    ) {
        gauge.fetch_add(bytes.length, Ordering::SeqCst);
        self.shared.total.fetch_add(bytes.length, Ordering::SeqCst);
        self.put(Work::Chunk { attempt, source, at, bytes, gauge: Arc::clone(gauge) });
    }

    /// Asks for the attempt's summary; it comes as news after everything is in the files.
    pub(crate) fn finish(&self, attempt: AttemptId) {
        self.put(Work::Finish(attempt));
    }

    fn put(&self, work: Work) {
        lock(&self.shared.queue).push_back(work);
        self.shared.arrived.notify_one();
    }

    /// What there is to tell since the last call; quiets the wake descriptor.
    pub(crate) fn news(&self) -> News {
        let mut count = [0_u8; 8];
        // Nothing there to read: the news was fetched by an earlier call.
        let _ = rustix::io::read(&self.shared.wake, &mut count);
        std::mem::take(&mut *lock(&self.shared.news))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        {
            // Under the lock, or the thread could miss it between its look and its sleep.
            let _queue = lock(&self.shared.queue);
            self.shared.closing.store(true, Ordering::SeqCst);
        }
        self.shared.arrived.notify_one();
        if let Some(thread) = self.thread.take() {
            // It catches the panics of the hooks; another one has been printed by the runtime.
            let _ = thread.join();
        }
    }
}

/// A lock that a panic elsewhere does not make useless: each change under it is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(shared: &Shared) {
    let mut recorders: BTreeMap<AttemptId, Recorder> = BTreeMap::new();
    while let Some(work) = next(shared) {
        match work {
            Work::Open(attempt, plan) => {
                recorders.insert(attempt, Recorder::new(*plan));
            }
            Work::Chunk { attempt, source, at, bytes, gauge } => {
                let Bytes { buffer, length } = bytes;
                if let Some(recorder) = recorders.get_mut(&attempt) {
                    let stream_bytes = recorder.chunk(source, at, &buffer[..length]);
                    tell_written(shared, attempt, stream_bytes);
                }
                keep(shared, buffer);
                let left = gauge.fetch_sub(length, Ordering::SeqCst) - length;
                let total = shared.total.fetch_sub(length, Ordering::SeqCst) - length;
                // Half empty, so that readers do not stop and go for each chunk.
                let is_roomy = left < ATTEMPT_BYTES_MAX / 2 && total < TOTAL_BYTES_MAX / 2;
                if is_roomy && shared.starved.swap(false, Ordering::SeqCst) {
                    wake(shared);
                }
            }
            Work::Finish(attempt) => {
                let summary = recorders.remove(&attempt).map(Recorder::finish).unwrap_or_default();
                lock(&shared.news).finished.push((attempt, summary));
                wake(shared);
            }
        }
    }
}

fn keep(shared: &Shared, buffer: Vec<u8>) {
    let mut spare = lock(&shared.spare);
    if buffer.len() >= SPARE_BYTES_MIN && spare.len() < SPARE_MAX {
        spare.push(buffer);
    }
}

fn tell_written(shared: &Shared, attempt: AttemptId, stream_bytes: u64) {
    if stream_bytes == 0 {
        return;
    }
    let before = lock(&shared.news).written.insert(attempt, stream_bytes);
    if before.is_none() {
        wake(shared);
    }
}

fn next(shared: &Shared) -> Option<Work> {
    let mut queue = lock(&shared.queue);
    loop {
        if let Some(work) = queue.pop_front() {
            return Some(work);
        }
        if shared.closing.load(Ordering::SeqCst) {
            return None;
        }
        queue = shared.arrived.wait(queue).unwrap_or_else(PoisonError::into_inner);
    }
}

fn wake(shared: &Shared) {
    // A counter that is full already wakes.
    let _ = rustix::io::write(&shared.wake, &1_u64.to_ne_bytes());
}
