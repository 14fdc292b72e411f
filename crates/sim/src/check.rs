//! What must be true. Each check has a name, which the table of defects shows.

pub(crate) mod history;
pub(crate) mod rest;
pub(crate) mod turn;

/// A check that does not hold: its name, and what was found.
pub(crate) type Broken = (&'static str, String);

/// Passes when it holds.
pub(crate) fn ensure(holds: bool, check: &'static str, found: impl FnOnce() -> String) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err((check, found())) }
}
