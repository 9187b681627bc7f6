//! What the `markback` program's commands have in common: how they print, log, stop, and say that something handed in is wrong.

pub mod logging;
pub mod output;
pub mod signals;

/// Something that was handed in is wrong: an option, an event, a name. Ends the program with exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadInput(pub String);

/// Runs asynchronous work to its end on a runtime of its own.
///
/// # Errors
/// Those of the work, and of the runtime's start.
pub fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(work)
}
