//! `markback problems`: what needs a person, by cause, and what can be done to all of it. Works also while the service
//! runs.

use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};
use markback::{
    audit_log::AuditAction,
    operator::Actor,
    problems::{self, Action, Cause, DeadEndpoint, Deed, Preview, Problems, act},
    service::{Markback, Options},
    settings::Settings,
};
use markback_console::{
    block_on,
    output::{self, TextOrJson},
};
use mis_core::SchoolId;

use super::{ConfigArg, events, recorded};

/// The command.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List what needs a person, by cause
    Ls(Ls),
    /// Show what an action would do to all events of a cause; with --yes, do it
    Do(Do),
}

#[derive(Debug, clap::Args)]
struct Ls {
    #[command(flatten)]
    config: ConfigArg,
    /// School; optional if the settings have only one
    #[arg(long, value_name = "ID")]
    school: Option<String>,
    /// From this school day on; 14 days ago by default
    #[arg(long, value_name = "YYYY-MM-DD")]
    from: Option<chrono::NaiveDate>,
    /// Up to and including this school day
    #[arg(long, value_name = "YYYY-MM-DD")]
    to: Option<chrono::NaiveDate>,
    /// Output format
    #[arg(long, value_enum, default_value = "text")]
    format: TextOrJson,
}

#[derive(Debug, clap::Args)]
struct Do {
    #[command(flatten)]
    config: ConfigArg,
    /// School; optional if the settings have only one
    #[arg(long, value_name = "ID")]
    school: Option<String>,
    /// What to do
    #[arg(value_enum, value_name = "ACTION")]
    action: ActionArg,
    /// The cause, as `markback problems ls` names it
    #[arg(value_name = "CAUSE")]
    cause: String,
    /// Do it, instead of only showing what it would do
    #[arg(long)]
    yes: bool,
    /// Reason for the audit trail
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Name for the audit trail; defaults to the system user
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Output format
    #[arg(long, value_enum, default_value = "text")]
    format: TextOrJson,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ActionArg {
    /// Decide the events again, and write the marks
    Retry,
    /// End the events: nothing more happens to them
    Discard,
    /// Write the held marks
    Release,
    /// Never write the held marks
    Drop,
}

impl From<ActionArg> for Action {
    fn from(arg: ActionArg) -> Self {
        match arg {
            ActionArg::Retry => Self::Retry,
            ActionArg::Discard => Self::Discard,
            ActionArg::Release => Self::Release,
            ActionArg::Drop => Self::Drop,
        }
    }
}

/// Runs the command. The exit code is 1 if an event was left alone.
///
/// # Errors
/// Returns an error if the settings or the arguments are invalid, or if a database query fails.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.command {
        Command::Ls(ls) => {
            let settings = ls.config.load()?.settings;
            block_on(list(settings, ls))
        }
        Command::Do(args) => {
            let settings = args.config.load()?.settings;
            block_on(preview_or_do(settings, args))
        }
    }
}

async fn list(settings: Settings, args: &Ls) -> anyhow::Result<ExitCode> {
    let school = events::one_school(&settings, args.school.as_deref())?;
    let store = recorded::open_to_look(&settings).await?;
    let found = problems::find(&store, &settings, &school, args.from, args.to).await?;
    if found.events() == 0 {
        events::known(&settings, &school)?;
    } else {
        let look = recorded::entry(AuditAction::EventsListed).school(&school);
        store.record(&[look.amount(found.events())]).await?;
    }
    match args.format {
        TextOrJson::Json => output::json(&found)?,
        TextOrJson::Text => output::line(as_text(&found))?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn preview_or_do(settings: Settings, args: &Do) -> anyhow::Result<ExitCode> {
    let school = events::one_school(&settings, args.school.as_deref())?;
    events::known(&settings, &school)?;
    // A service that only looks: it decides, but its workers do not run.
    let markback = Markback::open(settings, Options::default()).await?;
    let preview = markback
        .preview_problem(&school, &args.cause, args.action.into())
        .await?;
    let look = recorded::entry(AuditAction::EventsListed).school(&school);
    let look = look.amount(preview.events.len());
    markback.store().record(&[look]).await?;
    if args.yes {
        let actor = recorded::actor(args.by.as_ref(), args.note.as_ref());
        return do_it(&markback, &school, &preview, &actor, args.format).await;
    }
    match args.format {
        TextOrJson::Json => output::json(&preview)?,
        TextOrJson::Text => output::line(previewed(&preview))?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn do_it(
    markback: &Markback,
    school: &SchoolId,
    preview: &Preview,
    actor: &Actor,
    format: TextOrJson,
) -> anyhow::Result<ExitCode> {
    let (store, settings) = (markback.store(), markback.settings());
    let named = preview.named();
    let done = act(store, &settings, school, preview.action, &named, actor).await?;
    match format {
        TextOrJson::Json => output::json(&done)?,
        TextOrJson::Text => {
            for one in &done.events {
                match &one.why {
                    Some(why) => output::error_line(format!("{}: {why}", one.id)),
                    None => output::line(format!("{}: done", one.id))?,
                }
            }
            output::line(format!(
                "{} done, {} left alone",
                done.done, done.left_alone
            ))?;
        }
    }
    let all = done.events.iter().all(|one| one.result == Deed::Done);
    Ok(if all {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn as_text(found: &Problems) -> String {
    if found.causes.is_empty() && found.endpoints.is_empty() && found.scheduled.is_none() {
        return "nothing needs a person".to_owned();
    }
    let mut parts: Vec<_> = found.causes.iter().map(cause).collect();
    if found.more {
        parts.push(format!(
            "Only the {} oldest events were looked at.",
            problems::EVENTS_MAX
        ));
    }
    parts.extend(found.endpoints.iter().map(endpoint));
    let scheduled = found.scheduled.iter();
    parts.extend(scheduled.map(|unfit| format!("{}\n  {}", unfit.text, unfit.cure)));
    parts.join("\n\n")
}

fn endpoint(endpoint: &DeadEndpoint) -> String {
    let why = endpoint.error.as_deref().unwrap_or("its deliveries fail");
    format!(
        "The webhook endpoint {} gets nothing any more: {why}\n  {}",
        endpoint.id, endpoint.cure
    )
}

fn cause(cause: &Cause) -> String {
    let events = if cause.count == 1 { "event" } else { "events" };
    let people = if cause.people == 1 {
        "person"
    } else {
        "people"
    };
    let mut text = format!(
        "{} {events} of {} {people}: {}\n  {}\n  {}",
        cause.count, cause.people, cause.title, cause.meaning, cause.cure
    );
    for action in &cause.actions {
        text += &format!("\n  markback problems do {} {}", action.as_str(), cause.id);
    }
    text
}

fn previewed(preview: &Preview) -> String {
    let mut lines = preview.summary.clone();
    lines.extend(
        preview
            .events
            .iter()
            .map(|one| format!("  {}: {}", one.event.id, one.words)),
    );
    lines.push("Nothing was done so far; add --yes to do it.".to_owned());
    lines.join("\n")
}
