//! `markback serve`: the service.

use std::{path::Path, process::ExitCode};

use markback_console::{
    block_on, logging,
    signals::{Hangups, Signals},
};
use markback_http::server::Running;

use super::{
    ConfigArg,
    open_store::{Access, open_store},
};
use markback::{
    metrics,
    service::{Markback, Options, last_good_file},
    settings::{self, Loaded, SecretError, Settings},
    store::ServiceLock,
    text,
};
use markback_console::output;

/// The arguments of `markback serve`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The settings
    #[command(flatten)]
    pub config: ConfigArg,
}

/// Runs the service until a signal stops it. SIGHUP lets it read the settings file again.
///
/// # Errors
/// Returns an error if the settings are invalid, the database or the address is not available, or stopping takes too
/// long.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    logging::start(logging::SERVICE)?;
    let path = args.config.named()?.to_owned();
    let (loaded, is_last_good) = match args.config.load_file() {
        Ok(loaded) => (loaded, false),
        Err(error) => (block_on(last_good(&path, error))?, true),
    };
    for hint in &loaded.hints {
        tracing::warn!(%hint, "the settings have a possible mistake");
    }
    for (error, schools) in loaded.settings.absent_tokens() {
        tracing::error!(%error, schools, "a token for Wonde is missing: nothing is read or written for its schools");
    }
    block_on(serve(loaded, &path, is_last_good))
}

/// The settings file as it was when it was last valid. A node that restarts with a mistake in its file goes on by what
/// was right before, as a whole, instead of leaving the schools without service.
async fn last_good(path: &Path, error: anyhow::Error) -> anyhow::Result<Loaded> {
    // Where the database is must still be in the file, or nothing is known.
    let head = text::read_file(path)
        .ok()
        .and_then(|text| settings::service_of_head(path, &text));
    let Some(head) = head else {
        return Err(error);
    };
    let Ok(store) = open_store(&head, Access::Read).await else {
        return Err(error);
    };
    let kept = last_good_file(&store, path).await;
    store.database().close().await;
    let Ok(Some((loaded, at))) = kept else {
        return Err(error);
    };
    tracing::error!(%error, "the settings file has mistakes");
    let since = at.map_or_else(String::new, |at| at.to_rfc3339());
    tracing::error!(
        since,
        "the service starts with the settings file as it was when it was last valid; correct the file, and send SIGHUP"
    );
    Ok(loaded)
}

/// Whether the database has a key that is valid. Without one, nobody could use the service.
async fn has_key(settings: &Settings) -> bool {
    let Ok(store) = open_store(settings, Access::Read).await else {
        return false;
    };
    let now = store.now();
    let found = store.keys().await.unwrap_or_default();
    store.database().close().await;
    found.iter().any(|key| key.state(now) == "active")
}

async fn serve(loaded: Loaded, path: &Path, is_last_good: bool) -> anyhow::Result<ExitCode> {
    let settings = loaded.settings.clone();
    let mut signals = Signals::listen()?;
    let mut hangups = Hangups::listen()?;
    // Before a database is made: a start that cannot succeed leaves nothing behind.
    match settings.service.api_key() {
        Err(SecretError::NotNamed) if has_key(&settings).await => {
            tracing::info!("the settings name no key; those of `markback keys ls` open the API");
        }
        key => drop(key?),
    }
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
    if is_last_good {
        markback.goes_by_last_good_file();
    } else {
        markback.keep_file(&loaded).await;
    }
    let mut running = if markback.settings().service.pages.enabled {
        let pages = markback_web::router(markback.clone());
        Running::start_with(markback.clone(), pages).await?
    } else {
        Running::start(markback.clone()).await?
    };
    if let Some(lock) = &mut lock {
        let (process, address) = (std::process::id(), running.address);
        lock.say(&format!("process {process} at http://{address}"));
    }
    output::line(format!("markback listens on http://{}", running.address))?;
    loop {
        tokio::select! {
            () = signals.next() => break,
            // It logs what came of it.
            () = hangups.next() => drop(markback.reload_file(path).await),
            error = running.ended() => return Err(error),
        }
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
