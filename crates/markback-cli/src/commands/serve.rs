//! `markback serve`: the service.

use std::{path::Path, process::ExitCode};

use markback_console::{block_on, logging, signals::Signals};
use markback_http::server::Running;

use super::ConfigArg;
use markback::{
    metrics,
    service::{Markback, Options},
    settings,
    store::ServiceLock,
};
use markback_console::output;

/// The arguments of `markback serve`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The settings
    #[command(flatten)]
    pub config: ConfigArg,
}

/// Runs the service until a signal stops it.
///
/// # Errors
/// Returns an error if the settings are invalid, the database or the address is not available, or stopping takes too
/// long.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    logging::start(logging::SERVICE)?;
    let loaded = args.config.load_file()?;
    for hint in &loaded.hints {
        tracing::warn!(%hint, "the settings have a possible mistake");
    }
    for (error, schools) in loaded.settings.absent_tokens() {
        tracing::error!(%error, schools, "a token for Wonde is missing: nothing is read or written for its schools");
    }
    block_on(serve(loaded.settings))
}

async fn serve(settings: settings::Settings) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    // Before a database is made: a start that cannot succeed leaves nothing behind.
    settings.service.api_key()?;
    settings.service.webhook_secret()?;
    let store = settings.service.store_told();
    if let Some(misplaced) = settings.service.misplaced_store()? {
        tracing::error!(
            %store,
            other = %misplaced.display(),
            "a new database is created, but there is another one in the working directory; relative paths are resolved from the \
             folder of the settings: if the other is meant, write its whole path into `store`"
        );
    }
    let file = settings.service.store_file()?;
    // Without its folder the database does not open either, and says so better.
    let file = file.filter(|file| file.parent().is_some_and(Path::is_dir));
    let mut lock = file.as_deref().map(ServiceLock::take).transpose()?;
    let markback = Markback::open(
        settings,
        Options {
            metrics: Some(metrics::install()?),
            ..Options::default()
        },
    )
    .await?;
    tracing::info!(%store, "the database is open");
    let mut running = Running::start(markback).await?;
    if let Some(lock) = &mut lock {
        let (process, address) = (std::process::id(), running.address);
        lock.say(&format!("process {process} at http://{address}"));
    }
    output::line(format!("markback listens on http://{}", running.address))?;
    tokio::select! {
        () = signals.next() => {}
        error = running.ended() => return Err(error),
    }
    tracing::info!("stopping; finishing the work in progress");
    tokio::select! {
        stopped = running.stop() => stopped?,
        () = signals.next() => anyhow::bail!(
            "stopping at once; unfinished work continues when its lease expires"
        ),
    }
    Ok(ExitCode::SUCCESS)
}
