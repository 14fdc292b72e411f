//! The binary as its users meet it.

mod claude;
mod common;
mod demo;
mod faults;
mod files;
mod runs;
