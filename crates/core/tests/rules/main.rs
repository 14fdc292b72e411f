//! The rules as scenarios: what comes in, and what is decided on it.

mod conflicts;
mod evidence;
mod forecast;
mod gates;
mod governing;
mod isolated;
mod money;
mod order;
mod people;
mod pipelines;
mod proposals;
mod scenario;
mod watching;
mod work;
