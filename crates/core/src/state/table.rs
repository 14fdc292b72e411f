//! A table whose ids are counters from 1: a vector with the right index type.

use std::marker::PhantomData;
use std::ops::{Index, IndexMut};

use crate::ids::{AttemptId, JobId, QuestionId, RunId, TaskId};

/// An id that is a position in a table.
pub(super) trait Position: Copy {
    fn position(self) -> usize;
}

macro_rules! position {
    ($($id:ty),*) => { $(impl Position for $id { fn position(self) -> usize { self.index() } })* };
}
position!(RunId, TaskId, JobId, AttemptId, QuestionId);

/// Rows in the order of their ids; rows are never removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table<Id, Row> {
    rows: Vec<Row>,
    id: PhantomData<Id>,
}

impl<Id, Row> Default for Table<Id, Row> {
    fn default() -> Self {
        Self { rows: Vec::new(), id: PhantomData }
    }
}

impl<Id: Position, Row> Table<Id, Row> {
    pub(super) fn get(&self, id: Id) -> Option<&Row> {
        self.rows.get(id.position())
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Row> {
        self.rows.iter()
    }

    /// The number of the row that is pushed next.
    pub(super) fn next(&self) -> u32 {
        u32::try_from(self.rows.len()).unwrap_or(u32::MAX).saturating_add(1)
    }

    pub(super) fn push(&mut self, row: Row) {
        self.rows.push(row);
    }
}

/// Indexing is for ids that the journal itself handed out: it cannot miss.
impl<Id: Position, Row> Index<Id> for Table<Id, Row> {
    type Output = Row;

    fn index(&self, id: Id) -> &Row {
        &self.rows[id.position()]
    }
}

impl<Id: Position, Row> IndexMut<Id> for Table<Id, Row> {
    fn index_mut(&mut self, id: Id) -> &mut Row {
        &mut self.rows[id.position()]
    }
}
