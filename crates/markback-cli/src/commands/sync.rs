//! `markback sync`: reads the schools' people now, or shows the changes.

mod show;

use std::{process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context as _;
use chrono::NaiveDate;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use mis_core::SchoolId;
use roster::{PersonKind, Progress};
use serde_json::json;
use tokio_util::sync::CancellationToken;

pub(super) use self::show::migrated;
use self::show::{Names, Preview, Told};
use markback_console::{BadInput, block_on, logging, signals::Signals};
use markback_http::server::{STOP_WITHIN, ended_well};

use super::{
    ConfigArg, named,
    open_store::{Access, open_store},
    recorded,
};
use markback::{
    audit_log::AuditAction,
    service::{Markback, Options},
    settings::{School, Settings},
    store::{Store, SyncRecord},
    sync::{PeopleSync, SyncObserver, SyncRequest, morning_of},
};
use markback_console::output::{self, TextOrJson};

/// How often a sync is polled for its end.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The arguments of `markback sync`.
///
/// Reads only changes, or everything if changes are not enough. Implausible results are held back and reported: an empty response, a group
/// that shrinks suddenly, a property that nobody has any more. The exit code is 0 on success, 1 if something was held back or failed.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// Only this school; can be repeated
    #[arg(long, value_name = "ID")]
    school: Vec<String>,
    /// Read everything, not only changes
    #[arg(long)]
    full: bool,
    /// Accept changes that were held back; reads everything
    #[arg(long)]
    accept: bool,
    /// Pause scheduled syncs until this day, such as 2027-09-01 for the summer; the groups stay as they are
    #[arg(long, value_name = "DATE", conflicts_with_all = ["full", "accept", "dry_run", "resume"])]
    pause_until: Option<NaiveDate>,
    /// Resume scheduled syncs
    #[arg(long, conflicts_with_all = ["full", "accept", "dry_run"])]
    resume: bool,
    /// Show who would join, change and leave, without saving anything
    #[arg(long)]
    dry_run: bool,
    /// Show people's names as well as their ids, in a dry run
    #[arg(long, requires = "dry_run")]
    names: bool,
    /// Output format
    #[arg(long, value_enum, default_value = "text")]
    format: TextOrJson,
}

/// Runs it.
///
/// # Errors
/// Returns an error if the settings are invalid, a school is not in them, or a database query fails.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    logging::start(logging::COMMAND)?;
    let settings = args.config.load()?.settings;
    let schools = named::schools(&settings, &args.school)?;
    block_on(async {
        if args.pause_until.is_some() || args.resume {
            return pause(&settings, &schools, args).await;
        }
        let markback = Markback::open(settings, Options::default()).await?;
        let results = if args.dry_run {
            preview(&markback, &schools, args).await?
        } else {
            sync(&markback, &schools, args).await?
        };
        match args.format {
            TextOrJson::Json => output::json(&show::json(&results, Names(args.names)))?,
            TextOrJson::Text => output::line(show::text(&results, Names(args.names)))?,
        }
        let well = results.iter().all(Told::is_well);
        Ok(if well {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    })
}

/// Stores the day until which scheduled syncs of the schools are paused.
async fn pause(settings: &Settings, schools: &[School], args: &Args) -> anyhow::Result<ExitCode> {
    let store = open_store(settings, Access::Write).await?;
    let mut paused = Vec::with_capacity(schools.len());
    for school in schools {
        let until = args
            .pause_until
            .map(|day| {
                morning_of(day, school.timezone).with_context(|| format!("there is no day {day}"))
            })
            .transpose()?;
        if let (Some(day), Some(until)) = (args.pause_until, until)
            && until <= store.now()
        {
            return Err(BadInput(format!(
                "--pause-until {day} has already begun; name the day on which scheduled syncs resume"
            ))
            .into());
        }
        store.pause_syncs(&school.id, until).await?;
        let action = match until {
            Some(_) => AuditAction::SyncsPaused,
            None => AuditAction::SyncsResumed,
        };
        let entry = recorded::entry(action).school(&school.id);
        store.record(&[entry]).await?;
        paused.push((school.id.clone(), until));
    }
    match args.format {
        TextOrJson::Json => {
            let schools: Vec<_> = paused
                .iter()
                .map(|(school, until)| json!({"school": school, "paused_until": until}))
                .collect();
            output::json(&json!({ "schools": schools }))?;
        }
        TextOrJson::Text => {
            for (school, until) in &paused {
                output::line(match until {
                    Some(_) => format!(
                        "{school}: scheduled syncs are paused until {}; its groups do not change, but `markback sync` still reads it",
                        args.pause_until
                            .map_or_else(String::new, |day| day.to_string())
                    ),
                    None => format!("{school}: scheduled syncs are on"),
                })?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn preview(
    markback: &Markback,
    schools: &[School],
    args: &Args,
) -> anyhow::Result<Vec<Told>> {
    let ask = ask(args);
    let rosters = watched(markback, schools, args);
    let at_once = markback.settings().service.sync.at_once.get();
    let previews = stream::iter(schools.iter().cloned()).map(|school| {
        let rosters = rosters.clone();
        async move {
            let outcome = rosters.preview(&school, ask).await;
            let preview =
                outcome.with_context(|| format!("school {} cannot be read", school.id))?;
            let look = recorded::entry(AuditAction::SyncPreviewed).school(&school.id);
            markback.store().record(&[look]).await?;
            anyhow::Ok(Told::Preview(Preview {
                school: school.id.clone(),
                outcome: preview,
            }))
        }
    });
    previews.buffered(at_once).try_collect().await
}

async fn sync(markback: &Markback, schools: &[School], args: &Args) -> anyhow::Result<Vec<Told>> {
    let mut signals = Signals::listen()?;
    let rosters = watched(markback, schools, args);
    let mut asked = Vec::with_capacity(schools.len());
    for school in schools {
        let id = rosters.ask(school, ask(args)).await?;
        let action = match args.accept {
            true => AuditAction::SyncAccepted,
            false => AuditAction::SyncStarted,
        };
        let entry = recorded::entry(action).school(&school.id).subject(&id);
        markback.store().record(&[entry]).await?;
        asked.push((school.id.clone(), id));
    }
    let stop = CancellationToken::new();
    let workers = tokio::spawn({
        let stop = stop.clone();
        async move { rosters.run_workers(stop).await }
    });
    let records = tokio::select! {
        records = all_ended(markback.store(), &asked) => records?,
        () = signals.next() => anyhow::bail!(
            "interrupted; what was read so far is kept, and a running service or the next sync continues it"
        ),
    };
    stop.cancel();
    let ended = tokio::time::timeout(STOP_WITHIN, workers).await;
    ended_well("the workers", ended.context("stopping took too long")?)?;
    Ok(records.into_iter().map(Told::Sync).collect())
}

fn ask(args: &Args) -> SyncRequest {
    SyncRequest {
        full: args.full,
        accept: args.accept,
    }
}

/// Waits for each sync until it has ended or is blocked; a running service continues it then.
async fn all_ended(store: &Store, asked: &[(SchoolId, String)]) -> anyhow::Result<Vec<SyncRecord>> {
    let mut records = Vec::with_capacity(asked.len());
    for (school, id) in asked {
        loop {
            let record = store.sync(school, id).await?;
            let record = record.context("the sync is no longer in the database")?;
            if record.state.is_final() || record.error.is_some() {
                records.push(record);
                break;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
    Ok(records)
}

/// Shows progress on a terminal.
fn watched(markback: &Markback, schools: &[School], args: &Args) -> PeopleSync {
    let rosters = markback.sync().clone();
    if args.format == TextOrJson::Json {
        return rosters;
    }
    let bars = MultiProgress::new();
    let style = ProgressStyle::with_template("{prefix} {spinner} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner());
    let bars: Vec<(SchoolId, ProgressBar)> = schools
        .iter()
        .map(|school| {
            let bar = bars.add(ProgressBar::new_spinner().with_style(style.clone()));
            (school.id.clone(), bar.with_prefix(school.id.to_string()))
        })
        .collect();
    let watch: SyncObserver = Arc::new(move |school: &SchoolId, progress: Progress| {
        if let Some((_, bar)) = bars.iter().find(|(id, _)| id == school) {
            bar.set_message(said(&progress));
            bar.tick();
        }
    });
    rosters.with_observer(watch)
}

fn said(progress: &Progress) -> String {
    let whom = match progress.kind {
        PersonKind::Student => "students",
        PersonKind::Staff => "staff",
        PersonKind::Parent => "parents",
    };
    match progress.counted {
        Some(counted) if !progress.done => format!("{} of {counted} {whom}", progress.read),
        _ => format!("{} {whom}", progress.read),
    }
}
