//! Many byte strings, one pass.
//!
//! The text is looked at through a window as long as the shortest needle (at most eight bytes).
//! A table tells from the window's last `BLOCK` bytes how far the window may jump before any
//! needle can begin in it; so most bytes are never read. Needles are compared only where it
//! cannot jump. Their length is bounded by the caller, and so the time is linear in the text.

use std::ops::Range;

/// The widest window: a longer one gains little and needs longer needles.
const WINDOW_MAX: usize = 8;
/// Entries of the table of jumps; small enough to stay in the first-level cache.
const SLOTS: usize = 1 << SLOT_BITS;
const SLOT_BITS: usize = 15;

/// Where a needle was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hit {
    /// The first byte of it.
    pub(super) start: usize,
    /// Which needle, counted as they were handed in.
    pub(super) needle: usize,
    /// How long it is.
    pub(super) len: usize,
}

/// A set of byte strings to look for.
#[derive(Debug)]
pub(super) struct Finder<const BLOCK: usize> {
    /// Bytes of each needle and its number, by slot, the longest first.
    needles: Vec<(Vec<u8>, usize)>,
    /// Which of `needles` belong to a slot, sorted by slot.
    buckets: Vec<(usize, Range<usize>)>,
    jumps: Vec<u8>,
    window: usize,
}

impl<const BLOCK: usize> Finder<BLOCK> {
    /// Prepares the search. Needles shorter than `BLOCK` bytes are never found.
    pub(super) fn new(needles: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let mut needles: Vec<(Vec<u8>, usize)> =
            needles.into_iter().enumerate().map(|(number, bytes)| (bytes, number)).collect();
        needles.retain(|(bytes, _)| bytes.len() >= BLOCK);
        let window = needles.iter().map(|(bytes, _)| bytes.len()).min().unwrap_or(0).min(WINDOW_MAX);
        let slot_of = |bytes: &[u8]| slot::<BLOCK>(&bytes[window - BLOCK..window]);
        needles.sort_by_key(|(bytes, number)| (slot_of(bytes), usize::MAX - bytes.len(), *number));

        let farthest = (window + 1).saturating_sub(BLOCK);
        let mut jumps = vec![u8::try_from(farthest).unwrap_or(u8::MAX); SLOTS];
        let mut buckets: Vec<(usize, Range<usize>)> = Vec::new();
        for (index, (bytes, _)) in needles.iter().enumerate() {
            for (start, block) in bytes[..window].windows(BLOCK).enumerate() {
                let jump = &mut jumps[slot::<BLOCK>(block)];
                *jump = (*jump).min(u8::try_from(window - BLOCK - start).unwrap_or(u8::MAX));
            }
            match buckets.last_mut() {
                Some((last, range)) if *last == slot_of(bytes) => range.end = index + 1,
                Some(_) | None => buckets.push((slot_of(bytes), index..index + 1)),
            }
        }
        Self { needles, buckets, jumps, window }
    }

    /// The first needle at or after `from`; of those that begin at the same byte, the longest.
    pub(super) fn find(&self, text: &[u8], from: usize) -> Option<Hit> {
        if self.needles.is_empty() {
            return None;
        }
        let mut start = from;
        while let Some(block) = text.get(start + self.window - BLOCK..start + self.window) {
            let slot = slot::<BLOCK>(block);
            match self.jumps[slot] {
                0 => {
                    if let Some(hit) = self.compare(text, start, slot) {
                        return Some(hit);
                    }
                    start += 1;
                }
                jump => start += usize::from(jump),
            }
        }
        None
    }

    fn compare(&self, text: &[u8], start: usize, slot: usize) -> Option<Hit> {
        let bucket = self.buckets.binary_search_by_key(&slot, |(of, _)| *of).ok()?;
        let range = self.buckets[bucket].1.clone();
        let (bytes, needle) =
            self.needles[range].iter().find(|(bytes, _)| text[start..].starts_with(bytes))?;
        Some(Hit { start, needle: *needle, len: bytes.len() })
    }
}

/// The table entry of a block.
fn slot<const BLOCK: usize>(block: &[u8]) -> usize {
    let mut slot = 0;
    for byte in block {
        slot = (slot << (SLOT_BITS / BLOCK)) ^ usize::from(*byte);
    }
    slot & (SLOTS - 1)
}
