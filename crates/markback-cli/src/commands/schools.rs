//! `markback schools`: the schools of the settings file and of the database.

use std::{path::PathBuf, process::ExitCode};

use markback::{overview, settings::Settings, store::SettingsKey};
use markback_console::{
    BadInput, block_on,
    output::{self, TableOrJson, TextOrJson},
};

use super::{
    ConfigArg, named,
    open_store::Access,
    stored::{self, By},
};

/// The arguments of `markback schools`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List all schools with their owner, the settings file or the database, and their version
    Ls(Ls),
    /// Show the settings of a school as its owner has them
    Show(Show),
    /// Add a school to the database; it rules at once, on every node within seconds
    Add(Add),
    /// Take a school out of the database; its versions stay, and `markback settings undo` brings it back
    Remove(Remove),
    /// Move schools from the settings file into the database
    ///
    /// The file's entries are ignored from then on; a hint asks to remove them.
    Adopt(Adopt),
    /// Print schools, with the templates that they name, in the form of the settings file
    Export(Export),
    /// Take the schools and templates of a file into the database: all of them, or none
    ///
    /// The file is TOML with `[[school]]` and `[[template]]`, or a list in CSV as for `schools_file`.
    Import(Import),
}

#[derive(Debug, clap::Args)]
struct Ls {
    #[command(flatten)]
    config: ConfigArg,
    /// Output format
    #[arg(long, value_enum, default_value = "table")]
    format: TableOrJson,
}

#[derive(Debug, clap::Args)]
struct Show {
    #[command(flatten)]
    config: ConfigArg,
    /// The school
    #[arg(value_name = "SCHOOL")]
    school: String,
    /// Output format
    #[arg(long, value_enum, default_value = "text")]
    format: TextOrJson,
}

#[derive(Debug, clap::Args)]
struct Add {
    #[command(flatten)]
    config: ConfigArg,
    /// The school's id at Wonde
    #[arg(value_name = "SCHOOL")]
    school: String,
    /// Its settings in TOML, as in a `[[school]]` of the settings file without `id`; `-` reads standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Write a draft only, which does not rule
    #[arg(long)]
    draft: bool,
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
    /// The school
    #[arg(value_name = "SCHOOL")]
    school: String,
    /// The newest version that you have seen; without it, whichever is the newest
    #[arg(long, value_name = "N")]
    base: Option<u32>,
    #[command(flatten)]
    by: By,
    /// Output format
    #[arg(long, value_enum, default_value = "text")]
    format: TextOrJson,
}

#[derive(Debug, clap::Args)]
struct Adopt {
    #[command(flatten)]
    config: ConfigArg,
    /// The schools
    #[arg(value_name = "SCHOOL", required_unless_present = "all")]
    schools: Vec<String>,
    /// All schools of the settings file
    #[arg(long, conflicts_with = "schools")]
    all: bool,
    #[command(flatten)]
    by: By,
    /// Output format
    #[arg(long, value_enum, default_value = "text")]
    format: TextOrJson,
}

#[derive(Debug, clap::Args)]
struct Export {
    #[command(flatten)]
    config: ConfigArg,
    /// The schools; default: all
    #[arg(value_name = "SCHOOL")]
    schools: Vec<String>,
    /// Release the schools to the settings file: it rules as soon as it has them, and until then the database does
    #[arg(long, requires = "schools")]
    release: bool,
    #[command(flatten)]
    by: By,
    /// Output format
    #[arg(long, value_enum, default_value = "text")]
    format: TextOrJson,
}

#[derive(Debug, clap::Args)]
struct Import {
    #[command(flatten)]
    config: ConfigArg,
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    by: By,
    /// Output format
    #[arg(long, value_enum, default_value = "text")]
    format: TextOrJson,
}

/// Runs the command. The exit code is 2 if settings have problems, and 1 if they cannot be changed as asked.
///
/// # Errors
/// Returns an error if the settings or the arguments are invalid, somebody else was faster, or a database query fails.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    block_on(async {
        match &args.command {
            Command::Ls(ls) => list(ls).await,
            Command::Show(show) => show_one(show).await,
            Command::Add(add) => {
                let (mut all, _) = stored::open(&add.config, Access::Write).await?;
                let text = stored::text_of(&add.file)?;
                let key = SettingsKey::school(&add.school);
                let done = all.add(&key, &text, add.draft, &add.by.actor()).await;
                let done = done.map_err(stored::told)?;
                let what = if add.draft { "a draft" } else { "it rules" };
                stored::tell(&[done], what, add.format)
            }
            Command::Remove(remove) => {
                let (mut all, _) = stored::open(&remove.config, Access::Write).await?;
                let key = SettingsKey::school(&remove.school);
                let done = all.remove(&key, remove.base, &remove.by.actor()).await;
                let done = done.map_err(stored::told)?;
                match remove.format {
                    TextOrJson::Json => output::json(&done)?,
                    TextOrJson::Text => output::line(format!("{key}: removed"))?,
                }
                Ok(())
            }
            Command::Adopt(adopt) => {
                let (mut all, _) = stored::open(&adopt.config, Access::Write).await?;
                let ids = if adopt.all { all.ids_of_file() } else { adopt.schools.clone() };
                let done = all.adopt(&ids, &adopt.by.actor()).await;
                let done = done.map_err(stored::told)?;
                stored::tell(&done, "the store has it", adopt.format)?;
                if adopt.format == TextOrJson::Text {
                    output::line("remove the schools from the settings file; until then its entries are ignored")?;
                }
                Ok(())
            }
            Command::Export(export) => export_schools(export).await,
            Command::Import(import) => {
                let (mut all, _) = stored::open(&import.config, Access::Write).await?;
                let done = all.import(&import.file, &import.by.actor()).await;
                let (done, hints) = done.map_err(stored::told)?;
                for hint in hints {
                    output::error_line(format!("hint: {hint}"));
                }
                stored::tell(&done, "it rules", import.format)
            }
        }
        .map(|()| ExitCode::SUCCESS)
    })
}

async fn list(args: &Ls) -> anyhow::Result<()> {
    let (all, store) = stored::open(&args.config, Access::Read).await?;
    let mut schools = overview::schools(&all, &store).await?;
    // Schools that were taken out of the settings file are none of the settings'; `markback status` has them.
    schools.retain(|school| school.owner.is_some() || school.draft.is_some() || school.removed);
    match args.format {
        TableOrJson::Json => output::json(&serde_json::json!({ "schools": schools }))?,
        TableOrJson::Table => {
            let rows = schools.into_iter().map(|line| {
                let state = match (line.removed, line.draft) {
                    (true, _) => "removed".to_owned(),
                    (_, Some(draft)) => format!("draft {draft}"),
                    (_, None) => String::new(),
                };
                [
                    line.id,
                    line.name.unwrap_or_default(),
                    line.owner
                        .map_or_else(String::new, |owner| owner.to_string()),
                    line.version.unwrap_or_default(),
                    line.template.unwrap_or_default(),
                    line.mis.unwrap_or_default(),
                    line.groups.to_string(),
                    state,
                    line.notes.join("; "),
                ]
            });
            let columns = [
                "school", "name", "owner", "version", "template", "MIS", "groups", "state", "note",
            ];
            output::line(output::table(columns, rows).to_string())?;
        }
    }
    Ok(())
}

async fn show_one(args: &Show) -> anyhow::Result<()> {
    let (all, _) = stored::open(&args.config, Access::Read).await?;
    let key = SettingsKey::school(&args.school);
    let settings = all.settings();
    let text = all.text(&key).await.map_err(stored::told)?;
    let Some(text) = text else {
        return Err(unknown(&settings, &args.school).into());
    };
    let school = settings.school(&args.school.as_str().into());
    let version = school.map(|school| school.version.to_string());
    let owner = all.owner(&key);
    match args.format {
        TextOrJson::Json => output::json(&serde_json::json!({
            "id": args.school,
            "owner": owner,
            "version": version,
            "text": text,
        }))?,
        TextOrJson::Text => {
            let state = version.unwrap_or_else(|| "a draft, which does not rule".to_owned());
            output::line(format!("# {key}: {state}\n{}", text.trim_end()))?;
        }
    }
    Ok(())
}

async fn export_schools(args: &Export) -> anyhow::Result<()> {
    let access = if args.release {
        Access::Write
    } else {
        Access::Read
    };
    let (mut all, _) = stored::open(&args.config, access).await?;
    let text = all.export(&args.schools).await.map_err(stored::told)?;
    if args.release {
        let done = all.release(&args.schools, &args.by.actor()).await;
        done.map_err(stored::told)?;
    }
    match args.format {
        TextOrJson::Json => output::json(&serde_json::json!({ "toml": text }))?,
        TextOrJson::Text => output::line(text.trim_end())?,
    }
    Ok(())
}

fn unknown(settings: &Settings, id: &str) -> BadInput {
    match named::school(settings, id) {
        Err(error) => error,
        Ok(_) => BadInput(format!("the settings file has the school `{id}` no more")),
    }
}
