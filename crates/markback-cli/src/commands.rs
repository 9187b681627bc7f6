//! The commands, one module each.

pub mod adapters;
pub mod check;
pub mod doctor;
pub mod events;
pub mod explain;
pub mod groups;
pub mod migrate;
mod named;
mod open_store;
pub mod replay;
pub mod schema;
pub mod serve;
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

/// All adapters that this program has.
pub(crate) fn registry() -> anyhow::Result<Registry> {
    // Named, so that the linker keeps the crate that brings the adapters.
    use mis_adapters as _;
    Ok(Registry::discover()?)
}
