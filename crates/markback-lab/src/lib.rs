//! The service on a Wonde simulator: the demo and the benchmark.

pub mod bench;
pub mod demo;
