//! The rules as scenarios: what comes in, and what is decided on it.

mod gates;
mod money;
mod people;
mod pipelines;
mod proposals;
mod scenario;
mod watching;
mod work;
