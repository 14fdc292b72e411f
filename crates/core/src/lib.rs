#![doc = include_str!("../README.md")]

pub mod event;
pub mod ids;
pub mod input;
pub mod money;
pub mod time;
pub mod types;
