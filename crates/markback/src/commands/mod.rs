//! The commands, one module each.

pub mod adapters;
pub mod bench;
pub mod check;
pub mod demo;
pub mod doctor;
pub mod events;
pub mod explain;
pub mod groups;
mod logging;
mod named;
pub mod replay;
pub mod schema;
pub mod serve;
mod service;
mod signals;
pub mod status;
pub mod sync;

use std::path::PathBuf;

use mis_core::Registry;

/// The option that names the settings file.
#[derive(Clone, Debug, clap::Args)]
pub struct ConfigArg {
    /// The settings file
    #[arg(long = "config", value_name = "FILE", env = "MARKBACK_CONFIG")]
    pub path: PathBuf,
}

/// Something that was handed in is wrong: an option, an event, a name. Ends the program with exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadInput(pub String);

/// All adapters that this program has.
pub(crate) fn registry() -> anyhow::Result<Registry> {
    // Named, so that the linker keeps the crate that brings the adapters.
    use mis_adapters as _;
    Ok(Registry::discover()?)
}

/// Runs what needs to wait for others, on threads that no other command starts.
pub(crate) fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(work)
}
