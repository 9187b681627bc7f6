//! The service on a Wonde simulator: the demo, the benchmark, and the harness of the tests.

pub mod bench;
pub mod demo;
#[cfg(feature = "harness")]
pub mod harness;
pub mod hostile;
