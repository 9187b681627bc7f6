//! `markback settings`: the versions of a school's settings, or of a template, that the database keeps, and
//! what a draft of them would change.

mod marks;
mod try_out;

use std::{path::PathBuf, process::ExitCode};

use chrono::{DateTime, NaiveDate, Utc};
use markback::{
    configuration::{ChangeError, Ruled, diff},
    settings::{Hint, Problem},
    store::{SettingsKey, StoredVersion, TokenEntry},
};
use markback_console::{
    block_on,
    output::{self, TableOrJson, TextOrJson},
};
use serde_json::json;

use super::{
    ConfigArg,
    open_store::Access,
    stored::{self, By},
};

/// The arguments of `markback settings`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    #[command(flatten)]
    Stored(Stored),
    /// Try a draft of a school's settings on the events of the last school days, without changing anything
    Try(try_out::Args),
}

/// The commands about versions in the database.
#[derive(Debug, clap::Subcommand)]
enum Stored {
    /// Show a version
    Show(Show),
    /// Show the lines in which two versions differ
    Diff(Diff),
    /// Write a version that does not rule yet
    Draft(Draft),
    /// Give up the draft: write the text that rules as a new version, which rules at once
    DropDraft(DropDraft),
    /// Check a file as the settings of a school or a template, without writing anything
    Check(Check),
    /// Let the newest version rule, on every node within seconds, or from a day on
    Activate(Activate),
    /// Have a version not rule from its day on; it stays a draft
    Cancel(Cancel),
    /// Show who changed what, when and why
    History(History),
    /// Go back: write an earlier version as a new one, and let it rule
    Undo(Undo),
    /// Take a template out of the database, if no school names it
    Remove(Remove),
}

/// Whose settings.
#[derive(Clone, Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Whose {
    /// The school
    #[arg(long, value_name = "ID")]
    school: Option<String>,
    /// The template
    #[arg(long, value_name = "NAME")]
    template: Option<String>,
}

impl Whose {
    fn key(&self) -> SettingsKey {
        match (&self.school, &self.template) {
            (Some(school), _) => SettingsKey::school(school),
            (None, template) => SettingsKey::template(template.clone().unwrap_or_default()),
        }
    }
}

#[derive(Debug, clap::Args)]
struct Show {
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    whose: Whose,
    /// The version; default: the one that rules
    #[arg(long, value_name = "N")]
    version: Option<u32>,
    /// Output format
    #[arg(long, value_enum, default_value = "text")]
    format: TextOrJson,
}

#[derive(Debug, clap::Args)]
struct Diff {
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    whose: Whose,
    /// From this version; default: the one that rules
    #[arg(long, value_name = "N")]
    from: Option<u32>,
    /// To this version; default: the newest
    #[arg(long, value_name = "N")]
    to: Option<u32>,
    /// Output format
    #[arg(long, value_enum, default_value = "text")]
    format: TextOrJson,
}

#[derive(Debug, clap::Args)]
struct Draft {
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    whose: Whose,
    /// The settings in TOML, as in a `[[school]]` without `id` or a `[[template]]` without `name`; `-` reads standard
    /// input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The version that it is based on; without it, the newest
    #[arg(long, value_name = "N")]
    base: Option<u32>,
    #[command(flatten)]
    by: By,
    /// Output format
    #[arg(long, value_enum, default_value = "text")]
    format: TextOrJson,
}

#[derive(Debug, clap::Args)]
struct DropDraft {
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    whose: Whose,
    /// The draft that you have seen; without it, whichever is the newest
    #[arg(long, value_name = "N")]
    base: Option<u32>,
    #[command(flatten)]
    by: By,
    /// Output format
    #[arg(long, value_enum, default_value = "text")]
    format: TextOrJson,
}

#[derive(Debug, clap::Args)]
struct Check {
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    whose: Whose,
    /// The file; `-` reads standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Output format
    #[arg(long, value_enum, default_value = "text")]
    format: TextOrJson,
}

#[derive(Debug, clap::Args)]
struct Activate {
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    whose: Whose,
    /// The version, which must be the newest; without it, whichever is the newest
    #[arg(long, value_name = "N")]
    version: Option<u32>,
    /// Let it rule from the start of this day at the school instead of at once, such as 2027-01-05
    #[arg(long, value_name = "DATE", conflicts_with = "template")]
    from: Option<NaiveDate>,
    #[command(flatten)]
    by: By,
    /// Output format
    #[arg(long, value_enum, default_value = "text")]
    format: TextOrJson,
}

#[derive(Debug, clap::Args)]
struct Cancel {
    #[command(flatten)]
    config: ConfigArg,
    /// The school
    #[arg(long, value_name = "ID")]
    school: String,
    /// The version; without it, whichever waits for its day
    #[arg(long, value_name = "N")]
    version: Option<u32>,
    #[command(flatten)]
    by: By,
    /// Output format
    #[arg(long, value_enum, default_value = "text")]
    format: TextOrJson,
}

#[derive(Debug, clap::Args)]
struct History {
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    whose: Whose,
    /// Show the marks that this version of a school wrote instead: accepted, confirmed or unconfirmed, latest first
    #[arg(long, value_name = "N", conflicts_with = "template")]
    marks: Option<u32>,
    /// Output format
    #[arg(long, value_enum, default_value = "table")]
    format: TableOrJson,
}

#[derive(Debug, clap::Args)]
struct Undo {
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    whose: Whose,
    /// The version to go back to; default: the one that ruled before
    #[arg(long, value_name = "N")]
    to: Option<u32>,
    #[command(flatten)]
    by: By,
    /// Output format
    #[arg(long, value_enum, default_value = "text")]
    format: TextOrJson,
}

#[derive(Debug, clap::Args)]
struct Remove {
    #[command(flatten)]
    config: ConfigArg,
    /// The template
    #[arg(long, value_name = "NAME")]
    template: String,
    #[command(flatten)]
    by: By,
}

/// Runs the command. The exit code is 2 if settings have problems, and 1 if they cannot be changed as asked.
///
/// # Errors
/// Returns an error if the settings or the arguments are invalid, somebody else was faster, or a database query fails.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let command = match &args.command {
        Command::Stored(command) => command,
        Command::Try(args) => return try_out::run(args),
    };
    block_on(async {
        match command {
            Stored::Show(show) => show_one(show).await,
            Stored::Diff(args) => differences(args).await,
            Stored::Draft(args) => draft(args).await,
            Stored::DropDraft(drop) => {
                let (mut all, _) = stored::open(&drop.config, Access::Write).await?;
                let key = drop.whose.key();
                let done = all.drop_draft(&key, drop.base, &drop.by.actor()).await;
                let done = done.map_err(stored::told)?;
                stored::tell(&[done], "it rules", drop.format)?;
                Ok(ExitCode::SUCCESS)
            }
            Stored::Check(args) => check(args).await,
            Stored::Activate(args) => activate(args).await,
            Stored::Cancel(args) => cancel(args).await,
            Stored::History(args) => match args.marks {
                Some(version) => marks::list(args, version).await,
                None => history(args).await,
            },
            Stored::Undo(undo) => {
                let (mut all, _) = stored::open(&undo.config, Access::Write).await?;
                let done = all.undo(&undo.whose.key(), undo.to, &undo.by.actor()).await;
                let done = done.map_err(stored::told)?;
                stored::tell(&[done], "it rules", undo.format)?;
                Ok(ExitCode::SUCCESS)
            }
            Stored::Remove(remove) => {
                let (mut all, _) = stored::open(&remove.config, Access::Write).await?;
                let key = SettingsKey::template(&remove.template);
                let done = all.remove(&key, None, &remove.by.actor()).await;
                done.map_err(stored::told)?;
                output::line(format!("{key}: removed"))?;
                Ok(ExitCode::SUCCESS)
            }
        }
    })
}

async fn show_one(args: &Show) -> anyhow::Result<ExitCode> {
    let (all, _) = stored::open(&args.config, Access::Read).await?;
    let key = args.whose.key();
    let version = all.version(&key, args.version).await?;
    if let Some(waits) = all.scheduled(&key).await? {
        output::error_line(format!("note: {}", waits.in_a_sentence()));
    }
    match args.format {
        TextOrJson::Json => output::json(&version)?,
        TextOrJson::Text => output::line(format!(
            "# {key}, version {}\n{}",
            version.number,
            version.body.trim_end()
        ))?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn differences(args: &Diff) -> anyhow::Result<ExitCode> {
    let (all, store) = stored::open(&args.config, Access::Read).await?;
    let key = args.whose.key();
    let newest = store
        .settings_versions(&key)
        .await?
        .first()
        .map(|one| one.number);
    let from = all.version(&key, args.from).await?;
    let to = all.version(&key, args.to.or(newest)).await?;
    let name = |version: &StoredVersion| format!("version {}", version.number);
    let text = diff(&from.body, &to.body, &name(&from), &name(&to));
    match args.format {
        TextOrJson::Json => output::json(&json!({
            "from": from.number,
            "to": to.number,
            "diff": text,
        }))?,
        TextOrJson::Text if text.is_empty() => output::line(format!(
            "versions {} and {} are equal",
            from.number, to.number
        ))?,
        TextOrJson::Text => output::line(text.trim_end())?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn draft(args: &Draft) -> anyhow::Result<ExitCode> {
    let (mut all, _) = stored::open(&args.config, Access::Write).await?;
    let text = stored::text_of(&args.file)?;
    let done = all
        .draft(&args.whose.key(), &text, args.base, &args.by.actor())
        .await
        .map_err(stored::told)?;
    let sound = done.problems.is_empty();
    stored::tell(&[done], "a draft", args.format)?;
    Ok(if sound {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(2)
    })
}

async fn activate(args: &Activate) -> anyhow::Result<ExitCode> {
    let (mut all, _) = stored::open(&args.config, Access::Write).await?;
    let (key, actor) = (args.whose.key(), args.by.actor());
    let done = match args.from {
        Some(from) => all.activate_from(&key, args.version, from, &actor).await,
        None => all.activate(&key, args.version, &actor).await,
    };
    let done = done.map_err(stored::told)?;
    let what = match args.from {
        Some(from) => format!("it rules from {} on", long_day(from)),
        None => "it rules".to_owned(),
    };
    stored::tell(&[done], &what, args.format)?;
    Ok(ExitCode::SUCCESS)
}

async fn cancel(args: &Cancel) -> anyhow::Result<ExitCode> {
    let (mut all, _) = stored::open(&args.config, Access::Write).await?;
    let (key, actor) = (SettingsKey::school(&args.school), args.by.actor());
    let done = all.cancel_scheduled(&key, args.version, &actor).await;
    let done = done.map_err(stored::told)?;
    stored::tell(&[done], "cancelled, it stays a draft", args.format)?;
    Ok(ExitCode::SUCCESS)
}

/// A day with its weekday, so that a slip is seen: `Tuesday 5 January 2027`.
fn long_day(day: NaiveDate) -> String {
    day.format("%A %-d %B %Y").to_string()
}

async fn check(args: &Check) -> anyhow::Result<ExitCode> {
    let (all, _) = stored::open(&args.config, Access::Read).await?;
    let text = stored::text_of(&args.file)?;
    let name = args.file.display().to_string();
    let (problems, hints) = match all.check(&args.whose.key(), &name, &text).await {
        Ok(hints) => (Vec::new(), hints),
        Err(ChangeError::Problems { problems, hints }) => (problems, hints),
        Err(error) => return Err(stored::told(error)),
    };
    match args.format {
        TextOrJson::Json => output::json(&json!({
            "ok": problems.is_empty(),
            "problems": problems,
            "hints": hints,
        }))?,
        TextOrJson::Text => output::line(findings(&problems, &hints))?,
    }
    Ok(if problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(2)
    })
}

fn findings(problems: &[Problem], hints: &[Hint]) -> String {
    let problems_told = problems.iter().map(|problem| format!("error: {problem}"));
    let hints = hints.iter().map(|hint| format!("hint: {hint}"));
    let mut lines: Vec<_> = problems_told.chain(hints).collect();
    lines.push(match problems.len() {
        0 => "the settings are valid".to_owned(),
        1 => "the settings are invalid: 1 error".to_owned(),
        many => format!("the settings are invalid: {many} errors"),
    });
    lines.join("\n")
}

async fn history(args: &History) -> anyhow::Result<ExitCode> {
    let (all, store) = stored::open(&args.config, Access::Read).await?;
    let key = args.whose.key();
    let lines = all.history(&key).await?;
    let tokens = match &args.whose.school {
        Some(school) => store.token_history(&school.as_str().into()).await?,
        None => Vec::new(),
    };
    match args.format {
        TableOrJson::Json => {
            output::json(
                &json!({"key": key, "versions": lines, "tokens": tokens, "scheduled": all.scheduled(&key).await?}),
            )?;
        }
        TableOrJson::Table => {
            if let Some(waits) = all.scheduled(&key).await? {
                output::error_line(format!("note: {}", waits.in_a_sentence()));
            }
            let rows = lines.into_iter().map(|line| {
                let ruled: Vec<_> = line.ruled.iter().map(span).collect();
                [
                    line.version.to_string(),
                    moment(line.written_at),
                    line.by.unwrap_or_default(),
                    line.via,
                    line.note.unwrap_or_default(),
                    match line.from {
                        Some(from) => format!("from {from} on"),
                        None if ruled.is_empty() => "draft".to_owned(),
                        None => ruled.join("\n"),
                    },
                ]
            });
            let columns = ["version", "written", "by", "via", "note", "ruled"];
            output::line(output::table(columns, rows).to_string())?;
            if !tokens.is_empty() {
                output::line(format!("\n{}", tokens_table(tokens)))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn tokens_table(tokens: Vec<TokenEntry>) -> String {
    let rows = tokens.into_iter().map(|entry| {
        [
            <&str>::from(entry.what).to_owned(),
            moment(entry.at),
            entry.by.unwrap_or_default(),
            entry.via,
            entry.note.unwrap_or_default(),
            entry.key_id.unwrap_or_default(),
        ]
    });
    let columns = ["token", "at", "by", "via", "note", "key"];
    output::table(columns, rows).to_string()
}

fn span(ruled: &Ruled) -> String {
    match ruled.until {
        Some(until) => format!("{} to {}", moment(ruled.from), moment(Some(until))),
        None => format!("since {}", moment(ruled.from)),
    }
}

fn moment(at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(String::new, |at| {
        at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
    })
}
