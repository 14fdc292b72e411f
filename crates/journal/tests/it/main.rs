//! Tests of the journal from outside.

mod common;
mod conformance;
mod crash;
mod damage;
mod file;
mod golden;

mod memory;
mod speed;
