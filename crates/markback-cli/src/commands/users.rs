//! `markback users`: the users of the pages. Works on the database directly, also while the service runs.

use std::{collections::BTreeSet, io::IsTerminal as _, path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use markback::{
    settings::Settings,
    store::Store,
    users::{self, NewUser, Role, User, UserError, name_of},
};
use markback_console::{
    BadInput, block_on,
    output::{self, TableOrJson, TextOrJson},
};
use mis_core::SchoolId;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde_json::json;

use super::{
    ConfigArg,
    events::time,
    named,
    open_store::{Access, open_store},
    recorded, stored,
};

/// The arguments of `markback users`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Add a user, with a password that is asked for or read from a file
    Add(Add),
    /// List the users, with those that are disabled
    Ls(Ls),
    /// Set a user's password, which ends all of their sessions
    Passwd(Passwd),
    /// Set what a user may do, and at which schools
    Role(SetRole),
    /// Disable a user, whose sessions end at once
    Disable(One),
    /// Enable a user again, with the same password
    Enable(One),
    /// Remove a user; the audit log keeps what they did
    Remove(One),
}

#[derive(Debug, clap::Args)]
struct Add {
    /// The name for signing in: letters, digits and . - _ + @
    name: String,
    /// What the user may do: look, tend (look, and decide about events and sign people in), set (tend, and change rules) or
    /// admin (everything)
    #[arg(long, value_name = "ROLE", value_parser = role_parser())]
    role: Role,
    /// A school that exists for the user; can be repeated. Without one, all schools do, also those that come later
    #[arg(long, value_name = "ID")]
    school: Vec<String>,
    /// The name that pages show; default: the name for signing in
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    shown: String,
    #[command(flatten)]
    password: PasswordArg,
    #[command(flatten)]
    config: ConfigArg,
    /// Output format
    #[arg(long, value_enum, default_value = "text")]
    format: TextOrJson,
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
struct Passwd {
    #[command(flatten)]
    one: One,
    #[command(flatten)]
    password: PasswordArg,
}

#[derive(Debug, clap::Args)]
struct SetRole {
    #[command(flatten)]
    one: One,
    /// What the user may do: look, tend, set or admin
    #[arg(value_name = "ROLE", value_parser = role_parser())]
    role: Role,
    /// A school that exists for the user; can be repeated. Without one, the schools stay as they are
    #[arg(long, value_name = "ID")]
    school: Vec<String>,
    /// All schools, also those that come later
    #[arg(long, conflicts_with = "school")]
    all_schools: bool,
}

#[derive(Debug, clap::Args)]
struct One {
    /// The user's name for signing in
    name: String,
    #[command(flatten)]
    config: ConfigArg,
    /// Output format
    #[arg(long, value_enum, default_value = "text")]
    format: TextOrJson,
}

#[derive(Debug, clap::Args)]
struct PasswordArg {
    /// The file with the password, `-` for standard input; without it, the terminal asks
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

impl PasswordArg {
    /// Never from the command line, which others can see.
    fn read(&self) -> anyhow::Result<SecretString> {
        if let Some(file) = &self.password_file {
            let text: SecretString = stored::text_of(file)?.into();
            return Ok(text.expose_secret().trim_end_matches(['\r', '\n']).into());
        }
        if !std::io::stdin().is_terminal() {
            return Err(BadInput(
                "there is no terminal to ask for the password; name a file with --password-file FILE, or - for standard input"
                    .to_owned(),
            )
            .into());
        }
        let ask = |prompt| {
            let typed = rpassword::prompt_password(prompt).map(SecretString::from);
            typed.context("the password could not be read from the terminal")
        };
        let (first, second) = (ask("Password: ")?, ask("The same again: ")?);
        if first.expose_secret() != second.expose_secret() {
            return Err(
                BadInput("the two passwords differ; nothing was changed".to_owned()).into(),
            );
        }
        Ok(first)
    }
}

fn role_parser() -> impl clap::builder::TypedValueParser<Value = Role> {
    let words = Role::ALL.iter().map(|role| role.as_str());
    PossibleValuesParser::new(words).try_map(|word| word.parse::<Role>())
}

/// A user as they are printed.
#[derive(Serialize)]
struct Line<'u> {
    state: &'static str,
    #[serde(flatten)]
    user: &'u User,
}

impl<'u> From<&'u User> for Line<'u> {
    fn from(user: &'u User) -> Self {
        Self {
            state: user.state(),
            user,
        }
    }
}

/// Runs the command. The exit code is 1 if there is no such user.
///
/// # Errors
/// Returns an error if the settings or the arguments are invalid, or if a database query fails.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.command {
        Command::Add(args) => add(args),
        Command::Ls(args) => list(args),
        Command::Passwd(args) => {
            let password = args.password.read()?;
            change(
                &args.one,
                "has another password; all sessions have ended",
                async |store, name| {
                    users::set_password(store, name, &password, &recorded::actor(None, None)).await
                },
            )
        }
        Command::Role(args) => set_role(args),
        Command::Disable(args) => change(
            args,
            "is disabled; all sessions have ended",
            async |store, name| {
                users::set_disabled(store, name, true, &recorded::actor(None, None)).await
            },
        ),
        Command::Enable(args) => change(args, "is enabled", async |store, name| {
            users::set_disabled(store, name, false, &recorded::actor(None, None)).await
        }),
        Command::Remove(args) => remove(args),
    }
}

fn add(args: &Add) -> anyhow::Result<ExitCode> {
    let settings = args.config.load()?.settings;
    let schools = schools_of(&settings, &args.school)?;
    let password = args.password.read()?;
    block_on(async {
        let store = open_store(&settings, Access::Write).await?;
        let new = NewUser {
            name: args.name.clone(),
            shown: args.shown.clone(),
            role: args.role,
            schools,
        };
        let actor = recorded::actor(None, None);
        let user = users::add(&store, &new, &password, &actor)
            .await
            .map_err(told)?;
        match args.format {
            TextOrJson::Json => output::json(&Line::from(&user))?,
            TextOrJson::Text => output::line(format!(
                "{} ({}) can sign in on the pages",
                user.name, user.role
            ))?,
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// `None` without ids.
fn schools_of(settings: &Settings, ids: &[String]) -> Result<Option<BTreeSet<SchoolId>>, BadInput> {
    let mut schools = BTreeSet::new();
    for id in ids {
        schools.insert(named::school(settings, id)?.id.clone());
    }
    Ok((!schools.is_empty()).then_some(schools))
}

fn list(args: &Ls) -> anyhow::Result<ExitCode> {
    let settings = args.config.load_file()?.settings;
    let found = block_on(async {
        let store = open_store(&settings, Access::Read).await?;
        Ok(store.users().await?)
    })?;
    match args.format {
        TableOrJson::Json => {
            let lines: Vec<_> = found.iter().map(Line::from).collect();
            output::json(&json!({ "users": lines }))?;
        }
        TableOrJson::Table => {
            let columns = [
                "name",
                "shown",
                "role",
                "schools",
                "state",
                "last signed in",
                "added",
                "by",
            ];
            output::line(output::table(columns, found.iter().map(row)).to_string())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn row(user: &User) -> [String; 8] {
    let schools = user.schools.as_ref().map(|schools| {
        let ids: Vec<_> = schools.iter().map(SchoolId::as_str).collect();
        ids.join("\n")
    });
    [
        user.name.clone(),
        user.shown.clone(),
        user.role.to_string(),
        schools.unwrap_or_else(|| "all".to_owned()),
        user.state().to_owned(),
        user.signed_in_at
            .map_or_else(|| "never".to_owned(), |at| time(Some(at))),
        time(user.created_at),
        user.created_by.clone().unwrap_or_default(),
    ]
}

fn set_role(args: &SetRole) -> anyhow::Result<ExitCode> {
    let settings = args.one.config.load()?.settings;
    let named = schools_of(&settings, &args.school)?;
    change(
        &args.one,
        "has another role from the next page on",
        async |store, name| {
            let schools = match (&named, args.all_schools) {
                (Some(named), _) => Some(named.clone()),
                (None, true) => None,
                (None, false) => store.user(name).await?.ok_or(UserError::Unknown)?.schools,
            };
            let actor = recorded::actor(None, None);
            users::set_role(store, name, args.role, schools.as_ref(), &actor).await
        },
    )
}

/// Changes one user and prints them as they are now.
fn change(
    args: &One,
    done: &str,
    change: impl AsyncFnOnce(&Store, &str) -> Result<User, UserError>,
) -> anyhow::Result<ExitCode> {
    let settings = args.config.load_file()?.settings;
    block_on(async {
        let store = open_store(&settings, Access::Write).await?;
        let name = name_of(&args.name).unwrap_or_default();
        let user = match change(&store, &name).await {
            Err(error @ UserError::Unknown) => {
                output::error_line(error.to_string());
                return Ok(ExitCode::FAILURE);
            }
            user => user.map_err(told)?,
        };
        match args.format {
            TextOrJson::Json => output::json(&Line::from(&user))?,
            TextOrJson::Text => output::line(format!("{} ({}) {done}", user.name, user.role))?,
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn remove(args: &One) -> anyhow::Result<ExitCode> {
    let settings = args.config.load_file()?.settings;
    block_on(async {
        let store = open_store(&settings, Access::Write).await?;
        match users::remove(&store, &args.name, &recorded::actor(None, None)).await {
            Ok(()) => {}
            Err(error @ UserError::Unknown) => {
                output::error_line(error.to_string());
                return Ok(ExitCode::FAILURE);
            }
            Err(error) => return Err(told(error)),
        }
        match args.format {
            TextOrJson::Json => output::json(&json!({ "removed": name_of(&args.name) }))?,
            TextOrJson::Text => output::line(format!(
                "{} is removed; all sessions have ended",
                name_of(&args.name).unwrap_or_default()
            ))?,
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn told(error: UserError) -> anyhow::Error {
    match error {
        UserError::Invalid { .. } => BadInput(error.to_string()).into(),
        error => error.into(),
    }
}
