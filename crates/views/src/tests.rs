//! States are built by driving the core with small scripts; what the views make of them is
//! compared with snapshots that people have read.

mod forms;
mod hostile;
mod people;
mod sections;
mod snapshots;
mod world;

use world::World;
