//! `markback serve`: the service.

use std::process::ExitCode;

use markback_console::{block_on, logging, signals::Signals};
use markback_http::server::Running;

use super::ConfigArg;
use markback::{
    service::{Markback, Options},
    settings, sight,
};
use markback_console::output;

/// What the service goes by.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The settings
    #[command(flatten)]
    pub config: ConfigArg,
}

/// Runs it until it is told to stop.
///
/// # Errors
/// When the settings do not hold, the store or the address cannot be had, or stopping takes too long.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    logging::start(logging::SERVICE)?;
    let loaded = settings::load(&args.config.path)?;
    for hint in &loaded.hints {
        tracing::warn!(%hint, "the settings deserve a second look");
    }
    block_on(serve(loaded.settings))
}

async fn serve(settings: settings::Settings) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    let markback = Markback::open(
        settings,
        Options {
            metrics: Some(sight::install()?),
            ..Options::default()
        },
    )
    .await?;
    let mut running = Running::start(markback).await?;
    output::line(format!("markback listens on http://{}", running.address))?;
    tokio::select! {
        () = signals.next() => {}
        error = running.ended() => return Err(error),
    }
    tracing::info!("told to stop; finishing what is in hand");
    tokio::select! {
        stopped = running.stop() => stopped?,
        () = signals.next() => anyhow::bail!(
            "told twice to stop; what was in hand is taken up again when its lease lapses"
        ),
    }
    Ok(ExitCode::SUCCESS)
}
