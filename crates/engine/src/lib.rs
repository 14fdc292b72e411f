#![doc = include_str!("../README.md")]

mod inbox;
mod lock;
mod ports;
mod turn;

pub use inbox::{Answer, Handle, Message, Observer, Service};
pub use lock::{Lock, LockError};
pub use ports::{Clock, Journal, JournalFailure, Outside};
pub use turn::{Engine, EngineError, Turned};
