//! `markback events`: lists and shows events, replays their decisions, retries or discards them, and releases or drops held
//! marks. Works on the database directly, also while
//! the service runs.

mod correct;
mod replay_decision;
mod show;

pub(super) use show::time;

use std::{collections::BTreeMap, path::PathBuf, process::ExitCode, time::Duration};

use chrono::NaiveDate;
use clap::Subcommand;
use mis_core::SchoolId;
use serde::Serialize;

use markback_console::{BadInput, block_on};

use super::{
    ConfigArg,
    open_store::{Access, open_store},
    recorded,
};
use markback::{
    audit_log::AuditAction,
    operator::{self, Actor, OperatorError},
    overview::{self, PauseOverview},
    people::PersonIndex,
    settings::Settings,
    store::{EventFilter, EventRecord, EventState, Store},
    waiting,
};
use markback_console::output::{self, TableOrJson, TextOrJson};

/// The command.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List events, latest first
    Ls(Ls),
    /// Show one event: decision, reason and history
    Show(Show),
    /// Decide an event again from the input kept with its decision, and compare
    ReplayDecision(Show),
    /// Retry failed, rejected or unconfirmed events from the start
    Retry(Tend),
    /// Discard events: they are not processed any further
    Discard(Tend),
    /// Withdraw an event that was wrong, and repair its mark
    Correct(Correct),
    /// Release held marks: they are decided again and sent
    Release(Held),
    /// Drop held marks: they are never written
    Drop(Held),
}

#[derive(Debug, clap::Args)]
struct Ls {
    #[command(flatten)]
    config: ConfigArg,
    /// Only this school
    #[arg(long, value_name = "ID")]
    school: Option<String>,
    /// Only in these states, separated by commas, or `problem` for all that need attention
    #[arg(long, value_name = "STATE", value_delimiter = ',')]
    state: Vec<String>,
    /// Only this person, by the sign-in system's id
    #[arg(long, value_name = "ID")]
    person: Option<String>,
    /// From this school day on
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = day)]
    from: Option<NaiveDate>,
    /// Up to and including this school day
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = day)]
    to: Option<NaiveDate>,
    /// Maximum number of events
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u32,
    /// Output format
    #[arg(long, value_enum, default_value = "table")]
    format: TableOrJson,
}

#[derive(Debug, clap::Args)]
struct Show {
    #[command(flatten)]
    config: ConfigArg,
    /// School; optional if the settings have only one
    #[arg(long, value_name = "ID")]
    school: Option<String>,
    /// The event
    #[arg(value_name = "EVENT")]
    event: String,
    /// Output format
    #[arg(long, value_enum, default_value = "text")]
    format: TextOrJson,
}

#[derive(Debug, clap::Args)]
struct Tend {
    #[command(flatten)]
    config: ConfigArg,
    /// School; optional if the settings have only one
    #[arg(long, value_name = "ID")]
    school: Option<String>,
    /// The events
    #[arg(value_name = "EVENT", required = true)]
    events: Vec<String>,
    /// Reason for the audit trail
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Name for the audit trail; defaults to the system user
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

#[derive(Debug, clap::Args)]
struct Correct {
    #[command(flatten)]
    config: ConfigArg,
    /// School; optional if the settings have only one
    #[arg(long, value_name = "ID")]
    school: Option<String>,
    /// The event that was wrong
    #[arg(value_name = "EVENT")]
    event: String,
    /// Why it was wrong
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// File with the event that replaces it, as JSON; `-` reads from standard input
    #[arg(long, value_name = "FILE")]
    replacement: Option<PathBuf>,
    /// Name for the audit trail; defaults to the system user
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

#[derive(Debug, clap::Args)]
struct Held {
    #[command(flatten)]
    config: ConfigArg,
    /// School; optional if the settings have only one
    #[arg(long, value_name = "ID")]
    school: Option<String>,
    /// The events
    #[arg(value_name = "EVENT", required_unless_present = "all_held")]
    events: Vec<String>,
    /// All events of the school that are held, oldest first
    #[arg(long, conflicts_with = "events")]
    all_held: bool,
    /// Of all that are held only those with this code
    #[arg(long, value_name = "CODE", requires = "all_held")]
    code: Option<String>,
    /// Reason for the audit trail
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Name for the audit trail; defaults to the system user
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

/// What to do with events.
#[derive(Clone, Copy)]
enum Deed {
    Retry,
    Discard,
    Release,
    Drop,
}

impl Deed {
    fn done(self) -> &'static str {
        match self {
            Self::Retry => "retried from the start; `markback events show` shows its progress",
            Self::Discard => "discarded",
            Self::Release => "released; `markback events show` shows its progress",
            Self::Drop => "dropped",
        }
    }
}

/// Runs the command. The exit code is 1 if there is no such event, or if its state does not allow the operation.
///
/// # Errors
/// Returns an error if the settings or the arguments are invalid, or if a database query fails.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.command {
        Command::Ls(ls) => {
            let settings = ls.config.load()?.settings;
            block_on(list(settings, ls))
        }
        Command::Show(show) => {
            let settings = show.config.load()?.settings;
            block_on(show_one(settings, show))
        }
        Command::ReplayDecision(show) => {
            let settings = show.config.load()?.settings;
            block_on(replay_decision::run(settings, show))
        }
        Command::Retry(tend) => {
            let settings = tend.config.load()?.settings;
            block_on(tend_all(settings, tend, Deed::Retry))
        }
        Command::Discard(tend) => {
            let settings = tend.config.load()?.settings;
            block_on(tend_all(settings, tend, Deed::Discard))
        }
        Command::Correct(args) => {
            let settings = args.config.load()?.settings;
            block_on(correct::run(settings, args))
        }
        Command::Release(held) => {
            let settings = held.config.load()?.settings;
            block_on(tend_held(settings, held, Deed::Release))
        }
        Command::Drop(held) => {
            let settings = held.config.load()?.settings;
            block_on(tend_held(settings, held, Deed::Drop))
        }
    }
}

#[derive(Serialize)]
struct Listed {
    events: Vec<EventRecord>,
    pauses: Vec<PauseOverview>,
}

async fn list(settings: Settings, ls: &Ls) -> anyhow::Result<ExitCode> {
    if let (Some(from), Some(to)) = (ls.from, ls.to)
        && to < from
    {
        return Err(BadInput(format!("--to {to} is before --from {from}; swap them")).into());
    }
    let filter = EventFilter {
        school: ls.school.as_deref().map(SchoolId::from),
        states: EventState::read_list(ls.state.iter().map(String::as_str))
            .map_err(|unknown| BadInput(unknown.to_string()))?,
        person: ls.person.clone(),
        from: ls.from,
        to: ls.to,
        after: None,
        limit: ls.limit,
        accept_age: settings.service.accept_age,
    };
    let store = recorded::open_to_look(&settings).await?;
    let mut events = store.search(&filter).await?;
    record_list(&store, &filter, &events).await?;
    waiting::tell(&store, &settings, &mut events).await?;
    if events.is_empty() {
        if let Some(school) = &filter.school {
            known(&settings, school)?;
        }
        if let Some(person) = &filter.person {
            known_person(&settings, &store, filter.school.as_ref(), person).await?;
        }
    }
    let pauses = overview::pauses(&store).await?;
    match ls.format {
        TableOrJson::Json => output::json(&Listed { events, pauses })?,
        TableOrJson::Table => {
            output::line(show::table(&events).to_string())?;
            output::line(show::footer(&events, &pauses, ls.limit))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Records whose events are shown: an entry for each school.
async fn record_list(
    store: &Store,
    filter: &EventFilter,
    events: &[EventRecord],
) -> anyhow::Result<()> {
    let mut by_school: BTreeMap<&str, usize> = BTreeMap::new();
    for event in events {
        *by_school.entry(event.school.as_str()).or_default() += 1;
    }
    let looks = by_school.into_iter().map(|(school, amount)| {
        let look = recorded::entry(AuditAction::EventsListed).school(&school.into());
        match &filter.person {
            Some(person) => look.subject(person).amount(amount),
            None => look.amount(amount),
        }
    });
    let looks: Vec<_> = looks.collect();
    Ok(store.record(&looks).await?)
}

async fn show_one(settings: Settings, args: &Show) -> anyhow::Result<ExitCode> {
    let school = one_school(&settings, args.school.as_deref())?;
    let store = recorded::open_to_look(&settings).await?;
    let Some(mut record) = store.event(&school, &args.event).await? else {
        known(&settings, &school)?;
        anyhow::bail!("{}", OperatorError::UnknownEvent);
    };
    let look = recorded::entry(AuditAction::EventShown).school(&school);
    store.record(&[look.subject(&args.event)]).await?;
    waiting::tell(&store, &settings, std::slice::from_mut(&mut record)).await?;
    match args.format {
        TextOrJson::Json => output::json(&record)?,
        TextOrJson::Text => output::line(show::whole(&record))?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn tend_all(settings: Settings, args: &Tend, deed: Deed) -> anyhow::Result<ExitCode> {
    let school = one_school(&settings, args.school.as_deref())?;
    let store = open_store(&settings, Access::Write).await?;
    let actor = recorded::actor(args.by.as_ref(), args.note.as_ref());
    do_to(&store, &settings, &school, &args.events, deed, &actor).await
}

async fn tend_held(settings: Settings, args: &Held, deed: Deed) -> anyhow::Result<ExitCode> {
    let school = one_school(&settings, args.school.as_deref())?;
    let store = open_store(&settings, Access::Write).await?;
    let actor = recorded::actor(args.by.as_ref(), args.note.as_ref());
    if !args.all_held {
        return do_to(&store, &settings, &school, &args.events, deed, &actor).await;
    }
    let events = operator::held(&store, &school, args.code.as_deref()).await?;
    if events.is_empty() {
        known(&settings, &school)?;
        output::line("no such mark is held")?;
    }
    do_to(&store, &settings, &school, &events, deed, &actor).await
}

async fn do_to(
    store: &Store,
    settings: &Settings,
    school: &SchoolId,
    events: &[String],
    deed: Deed,
    actor: &Actor,
) -> anyhow::Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for event in events {
        let done = match deed {
            Deed::Retry => operator::retry(store, settings, school, event, actor).await,
            Deed::Discard => operator::discard(store, school, event, actor).await,
            Deed::Release => operator::release(store, settings, school, event, actor).await,
            Deed::Drop => operator::drop_held(store, school, event, actor).await,
        };
        match done {
            Ok(_) => output::line(format!("{event}: {}", deed.done()))?,
            Err(OperatorError::Store(error)) => return Err(error.into()),
            Err(error) => {
                if matches!(error, OperatorError::UnknownEvent) {
                    known(settings, school)?;
                }
                output::error_line(format!("{event}: {error}"));
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

/// The named school, or the only one.
pub(super) fn one_school(settings: &Settings, named: Option<&str>) -> Result<SchoolId, BadInput> {
    match (named, settings.schools.as_slice()) {
        (Some(id), _) => Ok(SchoolId::from(id)),
        (None, [only]) => Ok(only.id.clone()),
        (None, schools) => {
            const SHOWN: usize = 10;
            let ids = schools.iter().take(SHOWN).map(|school| school.id.as_str());
            let ids: Vec<_> = ids.collect();
            let more = if schools.len() > SHOWN { " …" } else { "" };
            Err(BadInput(format!(
                "the settings have several schools, and event ids are unique only within a school; name the school with --school: {}{more}",
                ids.join(", ")
            )))
        }
    }
}

/// A hint if nothing was found because there is no such person. It is unknown if the school's people were not read yet.
async fn known_person(
    settings: &Settings,
    store: &Store,
    school: Option<&SchoolId>,
    person: &str,
) -> anyhow::Result<()> {
    let directories = PersonIndex::open(store.clone()).await?;
    let asked = settings
        .schools
        .iter()
        .filter(|known| school.is_none_or(|school| *school == known.id));
    for school in asked {
        match directories.of(&school.id).await? {
            Some(directory) if directory.find(person).is_none() => {}
            Some(_) => return Ok(()),
            None => {
                output::error_line(format!(
                    "school {}: its people have not been read yet, so it is unknown whether it has this person",
                    school.id
                ));
                return Ok(());
            }
        }
    }
    let place = school.map_or_else(
        || "no school of the settings has".to_owned(),
        |school| format!("school {school} does not have"),
    );
    Err(BadInput(format!(
        "{place} a person `{person}`, and no event of theirs is stored; `markback groups export` lists the ids"
    ))
    .into())
}

/// A hint if nothing was found because there is no such school. Events of a school that was removed from the settings remain.
pub(super) fn known(settings: &Settings, school: &SchoolId) -> Result<(), BadInput> {
    match settings.school(school) {
        Some(_) => Ok(()),
        None => Err(BadInput(format!(
            "there are no events of a school `{school}`, and it is not in the settings; name another with --school; `markback status` lists them"
        ))),
    }
}

fn day(text: &str) -> Result<NaiveDate, &'static str> {
    text.parse()
        .map_err(|_| "this is not a date; write year, month and day, such as 2026-11-23")
}

pub(super) fn user() -> Option<String> {
    ["SUDO_USER", "USER", "LOGNAME", "USERNAME"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()))
}

/// A duration as text, without the smaller units.
pub(super) fn about(length: Duration) -> String {
    let seconds = length.as_secs();
    let whole = match seconds {
        0..60 => seconds,
        60..3600 => seconds / 60 * 60,
        _ => seconds / 3600 * 3600,
    };
    humantime::format_duration(Duration::from_secs(whole)).to_string()
}
