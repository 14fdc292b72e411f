//! A journal whose disk fails where it hurts.

use std::rc::Rc;

use dayshift_core::event::Entry;
use dayshift_engine::{Journal, JournalFailure};

use crate::shared::{About, Durable, Shared};

/// Where the next append goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Before or inside: nothing is stored.
    Nothing,
    /// After: everything is stored, and the caller hears of a failure.
    Stored,
}

/// Entries in memory that survive the engine.
#[derive(Debug)]
pub(crate) struct SimJournal {
    shared: Rc<Shared>,
    batch: u64,
    /// Whether each entry is written as text and read back.
    is_thorough: bool,
}

impl SimJournal {
    pub(crate) fn new(shared: Rc<Shared>, is_thorough: bool) -> Self {
        Self { shared, batch: 0, is_thorough }
    }

    fn store(&mut self, entries: &[Entry]) {
        self.batch += 1;
        for entry in entries {
            let entry = if self.is_thorough { self.read_back(entry) } else { entry.clone() };
            let mut disk = self.shared.entries.borrow_mut();
            self.shared.note("stored", About::Entry(disk.len()));
            disk.push(Durable { batch: self.batch, entry });
        }
    }

    fn read_back(&self, entry: &Entry) -> Entry {
        let text = serde_json::to_string(entry).unwrap_or_default();
        match serde_json::from_str::<Entry>(&text) {
            Ok(read) if read == *entry => read,
            Ok(_) | Err(_) => {
                self.shared.torn.borrow_mut().get_or_insert(text);
                entry.clone()
            }
        }
    }

    /// Whether the disk is full this time.
    fn is_full(&self) -> bool {
        let left = self.shared.failing.get();
        self.shared.failing.set(left.saturating_sub(1));
        left > 0
    }
}

fn failure(message: &str) -> JournalFailure {
    JournalFailure { message: message.to_owned(), is_passing: true }
}

impl Journal for SimJournal {
    fn append(&mut self, entries: &[Entry]) -> Result<(), JournalFailure> {
        let slow = self.shared.slow.take();
        if slow > 0 {
            self.shared.note("slow disk", About::Nothing);
            self.shared.now.set(self.shared.now.get() + slow);
        }
        if self.is_full() {
            self.shared.note("disk full", About::Nothing);
            return Err(failure("no space left"));
        }
        match self.shared.fault.take() {
            None => {
                self.store(entries);
                Ok(())
            }
            Some(Fault::Nothing) => {
                self.shared.note("not stored", About::Nothing);
                Err(failure("the append failed"))
            }
            Some(Fault::Stored) => {
                self.shared.note("answer lost", About::Nothing);
                self.store(entries);
                Err(failure("the answer was lost"))
            }
        }
    }

    fn replay(&mut self, visit: &mut dyn FnMut(&Entry)) -> Result<(), JournalFailure> {
        self.shared.generation.set(self.shared.generation.get() + 1);
        if self.is_full() {
            return Err(failure("no space left"));
        }
        self.shared.note("replay", About::Nothing);
        for durable in self.shared.entries.borrow().iter() {
            visit(&durable.entry);
        }
        Ok(())
    }
}
