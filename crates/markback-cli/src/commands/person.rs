//! `markback person`: exports or erases all that is kept about one person, for their request. Works on the database directly,
//! also while the service runs.

use std::{
    fmt::Write as _,
    fs::{File, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::ValueEnum;
use markback::{
    audit_log::AuditAction,
    data_subject::{self, EraseError, Erasure, Subject, SubjectError},
    settings::Settings,
    store::Store,
};
use markback_console::{
    BadInput, block_on,
    output::{self, TableOrJson, TextOrJson},
};
use mis_core::{PersonKind, SchoolId};
use serde_json::json;

use super::{
    ConfigArg, events,
    open_store::{Access, open_store},
    recorded,
};

/// The arguments of `markback person`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Export all that is kept about a person as one JSON document
    Export(Export),
    /// Show what an erasure would remove and what stays, and with --yes remove it
    Erase(Erase),
    /// List the erasures of a school, which name no one
    Erasures(Erasures),
}

#[derive(Debug, clap::Args)]
struct Whom {
    #[command(flatten)]
    config: ConfigArg,
    /// School; optional if the settings have only one
    #[arg(long, value_name = "ID")]
    school: Option<String>,
    /// The person, by any id that events may name them by
    #[arg(long, value_name = "ID")]
    person: String,
    /// Which kind of person, if the id belongs to people of several
    #[arg(long, value_enum)]
    kind: Option<Kind>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Student,
    Staff,
    Parent,
}

impl From<Kind> for PersonKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Student => Self::Student,
            Kind::Staff => Self::Staff,
            Kind::Parent => Self::Parent,
        }
    }
}

#[derive(Debug, clap::Args)]
struct Export {
    #[command(flatten)]
    whom: Whom,
    /// File for the document, which must not exist yet; only its owner can read it. Without it, standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct Erase {
    #[command(flatten)]
    whom: Whom,
    /// Remove it; without this, nothing is changed
    #[arg(long, requires = "reason")]
    yes: bool,
    /// Why, such as the number of the request. It is kept, so it must not name the person
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Name of who erases; defaults to the system user
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Output format
    #[arg(long, value_enum, default_value = "text")]
    format: TextOrJson,
}

#[derive(Debug, clap::Args)]
struct Erasures {
    #[command(flatten)]
    config: ConfigArg,
    /// School; optional if the settings have only one
    #[arg(long, value_name = "ID")]
    school: Option<String>,
    /// Only those of this person
    #[arg(long, value_name = "ID")]
    person: Option<String>,
    /// Output format
    #[arg(long, value_enum, default_value = "table")]
    format: TableOrJson,
}

/// Runs the command.
///
/// # Errors
/// Returns an error if the settings or the arguments are invalid, if the file exists, or if the database query fails.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.command {
        Command::Export(args) => {
            let settings = args.whom.config.load()?.settings;
            block_on(export(settings, args))
        }
        Command::Erase(args) => {
            let settings = args.whom.config.load()?.settings;
            block_on(erase(settings, args))
        }
        Command::Erasures(args) => {
            let settings = args.config.load()?.settings;
            block_on(erasures(settings, args))
        }
    }
}

async fn export(settings: Settings, args: &Export) -> anyhow::Result<ExitCode> {
    let store = recorded::open_to_look(&settings).await?;
    let subject = find(&settings, &store, &args.whom).await?;
    let found = data_subject::export(&store, &settings, &subject).await?;
    if found.is_empty() {
        nothing(&settings, &subject)?;
    }
    // Before anything is recorded or shown.
    let file = args.output.as_deref().map(new_file).transpose()?;
    let look = recorded::entry(AuditAction::PersonExported).school(&subject.school);
    let amount = found.counts().values().sum();
    store
        .record(&[look.subject(subject.key()).amount(amount)])
        .await?;
    let document = found.document();
    match (file, &args.output) {
        (Some(mut file), Some(path)) => {
            let text = serde_json::to_string_pretty(&document)?;
            writeln!(file, "{text}")
                .and_then(|()| file.sync_all())
                .with_context(|| format!("{} cannot be written", path.display()))?;
            output::line(format!("{amount} entries are in {}", path.display()))?;
        }
        _ => output::json(&document)?,
    }
    for event in &found.unclear {
        output::error_line(format!(
            "{event}: its id belongs to several people, so it is not in the document; look at it with `markback events show`"
        ));
    }
    Ok(ExitCode::SUCCESS)
}

async fn erase(settings: Settings, args: &Erase) -> anyhow::Result<ExitCode> {
    let store = recorded::open_to_look(&settings).await?;
    let subject = find(&settings, &store, &args.whom).await?;
    let erasure = if args.yes {
        let actor = recorded::actor(args.by.as_ref(), args.reason.as_ref());
        match data_subject::erase(&store, &settings, &subject, &actor).await {
            Err(error @ EraseError::NoReason) => return Err(BadInput(error.to_string()).into()),
            erasure => erasure?,
        }
    } else {
        let erasure = data_subject::preview(&store, &settings, &subject).await?;
        // It tells what is kept about whom.
        let look = recorded::entry(AuditAction::PersonShown).school(&subject.school);
        let amount = erasure.removed.get("events").copied().unwrap_or_default();
        store
            .record(&[look.subject(subject.key()).amount(amount)])
            .await?;
        erasure
    };
    if erasure.removed.is_empty() && erasure.stays.is_empty() {
        nothing(&settings, &subject)?;
    }
    match args.format {
        TextOrJson::Json => output::json(&erasure)?,
        TextOrJson::Text => output::line(told(&erasure).trim_end())?,
    }
    // A refusal, told before as after.
    Ok(if erasure.open.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn erasures(settings: Settings, args: &Erasures) -> anyhow::Result<ExitCode> {
    let school = events::one_school(&settings, args.school.as_deref())?;
    let store = open_store(&settings, Access::Read).await?;
    let hash = args
        .person
        .as_ref()
        .map(|person| data_subject::hash(&school, person));
    let mut found = data_subject::erasures(&store, &school).await?;
    found.retain(|entry| hash.as_ref().is_none_or(|hash| *hash == entry.person));
    match args.format {
        TableOrJson::Json => output::json(&json!({ "erasures": found }))?,
        TableOrJson::Table => {
            let rows = found.into_iter().map(|entry| {
                let at = entry
                    .at
                    .map(|at| at.format("%Y-%m-%d %H:%M:%S UTC").to_string());
                let removed: usize = entry.removed.values().sum();
                [
                    at.unwrap_or_default(),
                    entry.by.unwrap_or_default(),
                    entry.person,
                    removed.to_string(),
                    entry.reason,
                ]
            });
            let columns = ["at", "by", "person", "removed", "reason"];
            output::line(output::table(columns, rows).to_string())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn find(settings: &Settings, store: &Store, whom: &Whom) -> anyhow::Result<Subject> {
    let school: SchoolId = events::one_school(settings, whom.school.as_deref())?;
    let kind = whom.kind.map(PersonKind::from);
    match data_subject::find(store, settings, &school, &whom.person, kind).await {
        Err(error @ SubjectError::Several { .. }) => Err(BadInput(error.to_string()).into()),
        found => Ok(found?),
    }
}

/// Tells that nothing is kept. That is an error if the school is unknown, because then its id may be wrong.
fn nothing(settings: &Settings, subject: &Subject) -> Result<(), BadInput> {
    events::known(settings, &subject.school)?;
    output::error_line(format!(
        "nothing is kept about a person `{}` of school {}",
        subject.asked, subject.school
    ));
    Ok(())
}

/// A file that only its owner can read.
fn new_file(path: &Path) -> anyhow::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(path).map_err(|error| {
        BadInput(format!(
            "{} cannot be made: {error}; name a file that does not exist yet",
            path.display()
        ))
        .into()
    })
}

fn told(erasure: &Erasure) -> String {
    let mut text = String::new();
    let head = match (erasure.done, erasure.removed.is_empty()) {
        (true, _) => "removed:",
        (false, true) => "nothing can be removed",
        (false, false) => "would be removed:",
    };
    let _ = writeln!(text, "{head}");
    for (what, count) in &erasure.removed {
        let _ = writeln!(text, "  {} {}", count, what.replace('_', " "));
    }
    if !erasure.stays.is_empty() {
        text.push_str("stays:\n");
    }
    for stays in &erasure.stays {
        let what = stays.what.replace('_', " ");
        let _ = writeln!(text, "  {} {what}: {}", stays.count, stays.why);
    }
    if !erasure.open.is_empty() {
        text.push_str("nothing is removed before this is settled:\n");
    }
    for open in &erasure.open {
        match &open.event {
            Some(event) => {
                let _ = writeln!(text, "  {event}: {}", open.why);
            }
            None => {
                let _ = writeln!(text, "  {}", open.why);
            }
        }
    }
    text.push_str("what stands in the MIS is not touched; backups keep what they have\n");
    if erasure.done {
        let _ = writeln!(text, "the audit log has it as {}", erasure.person);
    } else if erasure.open.is_empty() && !erasure.removed.is_empty() {
        text.push_str("remove it with --yes --reason TEXT\n");
    }
    text
}
