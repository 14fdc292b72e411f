//! What the machine bears: facts about it while agents live, and what follows for how many may.

use serde::{Deserialize, Serialize};

/// How the machine is while agents live, as the kernel tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostLoad {
    /// The memory of all agents and what they started, in bytes.
    pub agents_bytes: u64,
    /// That of the largest attempt among them.
    pub largest_bytes: u64,
    /// What all of them together may use.
    pub cap_bytes: u64,
    /// What the machine can still give to programs.
    pub free_bytes: u64,
    /// What it has.
    pub total_bytes: u64,
    /// How long programs had to wait for what; `None` where the kernel does not measure it.
    pub pressure: Option<Pressure>,
    /// How many programs want to run for each processor, over a minute, in percent.
    pub load_percent: u32,
}

/// In how much of the last ten seconds some program waited, in percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pressure {
    /// For a processor.
    pub cpu: u32,
    /// For memory.
    pub memory: u32,
    /// For a disk.
    pub io: u32,
}

/// Of what the machine has too little.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strain {
    /// Time: of processors and disks. A person who says how many agents are to work outranks it.
    Load,
    /// Memory: what is short of it gets killed, so it outranks everybody.
    Memory,
}
