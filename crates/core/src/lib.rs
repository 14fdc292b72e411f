#![doc = include_str!("../README.md")]

pub mod ids;
pub mod money;
pub mod time;
pub mod types;
