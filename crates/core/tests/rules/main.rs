//! The rules as scenarios: what comes in, and what is decided on it.

mod evidence;
mod gates;
mod money;
mod people;
mod pipelines;
mod scenario;
mod watching;
mod work;
