//! How the engine of this process is, for its own eyes and for those who ask over its socket.

use std::sync::{Mutex, PoisonError};

/// Shared by the engine's journal, its loop and its socket.
#[derive(Debug, Default)]
pub(crate) struct Health {
    journal: Mutex<Option<String>>,
    gone: Mutex<Option<String>>,
}

impl Health {
    /// An append or a replay failed, and may succeed later.
    pub(crate) fn journal_fails(&self, message: &str) {
        *lock(&self.journal) = Some(message.to_owned());
    }

    /// An append succeeded.
    pub(crate) fn journal_works(&self) {
        *lock(&self.journal) = None;
    }

    /// Why the journal cannot be written, if it cannot.
    pub(crate) fn journal_trouble(&self) -> Option<String> {
        lock(&self.journal).clone()
    }

    /// The journal was removed or exchanged under us: there is no way on.
    pub(crate) fn journal_is_gone(&self, message: String) {
        *lock(&self.gone) = Some(message);
    }

    /// Why there is no way on, if there is none.
    pub(crate) fn gone(&self) -> Option<String> {
        lock(&self.gone).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
