//! What becomes of the bytes an agent prints: cut into lines, redacted, stamped, kept in files
//! of limited size, by one thread that alone waits for the disk.

pub(crate) mod capped;
pub(crate) mod lines;
pub(crate) mod recorder;
pub(crate) mod tally;
pub(crate) mod writer;
