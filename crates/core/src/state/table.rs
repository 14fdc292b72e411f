//! A table whose ids are counters from 1: rows in blocks, with the right index type.

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

/// Rows of one block. They never move: a vector that grows to ten thousand rows would copy them again and
/// again, and leave holes in memory as large as itself.
const BLOCK: usize = 64;

/// Rows in the order of their ids; rows are never removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table<Id, Row> {
    /// Each but the last one holds [`BLOCK`] rows.
    blocks: Vec<Vec<Row>>,
    id: PhantomData<Id>,
}

impl<Id, Row> Default for Table<Id, Row> {
    fn default() -> Self {
        Self { blocks: Vec::new(), id: PhantomData }
    }
}

impl<Id: Position, Row> Table<Id, Row> {
    pub(super) fn get(&self, id: Id) -> Option<&Row> {
        let position = id.position();
        self.blocks.get(position / BLOCK)?.get(position % BLOCK)
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Row> {
        self.blocks.iter().flatten()
    }

    /// The number of the row that is pushed next.
    pub(super) fn next(&self) -> u32 {
        let full = self.blocks.len().saturating_sub(1) * BLOCK;
        let rows = full + self.blocks.last().map_or(0, Vec::len);
        u32::try_from(rows).unwrap_or(u32::MAX).saturating_add(1)
    }

    pub(super) fn push(&mut self, row: Row) {
        match self.blocks.last_mut() {
            // The first block grows like any vector: most tables are small.
            Some(block) if block.len() < BLOCK => block.push(row),
            Some(_) => {
                let mut block = Vec::with_capacity(BLOCK);
                block.push(row);
                self.blocks.push(block);
            }
            None => self.blocks.push(vec![row]),
        }
    }
}

/// Indexing is for ids that the journal itself handed out: it cannot miss.
impl<Id: Position, Row> Index<Id> for Table<Id, Row> {
    type Output = Row;

    fn index(&self, id: Id) -> &Row {
        &self.blocks[id.position() / BLOCK][id.position() % BLOCK]
    }
}

impl<Id: Position, Row> IndexMut<Id> for Table<Id, Row> {
    fn index_mut(&mut self, id: Id) -> &mut Row {
        &mut self.blocks[id.position() / BLOCK][id.position() % BLOCK]
    }
}
