//! What the commands of the `markback` program share: output, logging, signals, and errors about invalid input.

pub mod logging;
pub mod output;
pub mod signals;

/// Invalid input, such as an option, an event or a name. Ends the program with exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadInput(pub String);

/// Runs asynchronous work on a new runtime.
///
/// # Errors
/// Returns the error of the work, or of starting the runtime.
pub fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(work)
}
