//! `markback migrate rehearse`: the effects of a school's change to another MIS on people, codes and abilities, and the
//! settings that do not carry over.

use std::{fmt::Write as _, path::Path, process::ExitCode};

use anyhow::Context as _;
use clap::Subcommand;
use futures::TryStreamExt as _;
use mis_core::{Ability, Capabilities, CodeBook, Mis, SchoolId};
use mis_wonde::wonde;
use serde::Serialize;
use serde_json::Value;
use writeback::{Rules, settings::WritebackSettings};

use super::{ConfigArg, named, registry, sync::migrated};
use markback::{
    service::{Markback, Options},
    settings::{Group, School, SecretSource, nearest},
    sync::migration,
};
use markback_console::{
    BadInput, block_on, logging,
    output::{self, TextOrJson},
};

/// The command.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the effects on people, codes and settings, without saving anything
    ///
    /// The exit code is 0 if everything carries over, 1 if something needs attention.
    Rehearse(Rehearse),
}

#[derive(Debug, clap::Args)]
struct Rehearse {
    #[command(flatten)]
    config: ConfigArg,
    /// Id of the school
    #[arg(long, value_name = "ID")]
    school: String,
    /// Name of the new MIS; or, to compare people and codes as well, the environment variable or the file with a token
    /// for the school in the new MIS; never the token itself
    #[arg(long, value_name = "MIS | VARIABLE | FILE")]
    to: String,
    /// Output format
    #[arg(long, value_enum, default_value = "text")]
    format: TextOrJson,
}

/// The effects of the change.
#[derive(Serialize)]
struct Report {
    school: String,
    from: String,
    to: String,
    /// Capabilities that only the current MIS has.
    lost: Vec<Ability>,
    /// Capabilities that only the new MIS has.
    gained: Vec<Ability>,
    /// Settings that do not carry over, with help.
    settings: Vec<String>,
    /// The matches by kind of people; only with a token.
    people: Option<Vec<Value>>,
}

/// Runs it.
///
/// # Errors
/// Returns an error if the settings or the arguments are invalid, or if Wonde or the database fails.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let Command::Rehearse(args) = &args.command;
    logging::start(logging::COMMAND)?;
    let settings = args.config.load()?.settings;
    let school = named::school(&settings, &args.school)?.clone();
    let report = match token(&args.to) {
        None => by_name(&school, &args.to)?,
        Some(token) => block_on(async {
            let markback = Markback::open(settings, Options::default()).await?;
            by_token(&markback, &school, token).await
        })?,
    };
    match args.format {
        TextOrJson::Json => output::json(&report)?,
        TextOrJson::Text => output::line(report.as_text())?,
    }
    Ok(if report.is_well() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The place of the token, if one is named.
fn token(to: &str) -> Option<SecretSource> {
    if std::env::var_os(to).is_some() {
        Some(SecretSource::Env(to.into()))
    } else if Path::new(to).is_file() {
        Some(SecretSource::File(Path::new(to).into()))
    } else {
        None
    }
}

fn by_name(school: &School, to: &str) -> anyhow::Result<Report> {
    let registry = registry()?;
    if !registry.iter().any(|known| known.answers_to(to)) {
        let names: Vec<_> = registry.iter().map(|known| known.name).collect();
        let help = match nearest(to, names.iter().copied()) {
            Some(meant) => format!("did you mean \"{meant}\"?"),
            None => format!("there are adapters for {}", names.join(", ")),
        };
        return Err(BadInput(format!(
            "--to is neither a set environment variable, a file nor a known MIS; {help}"
        ))
        .into());
    }
    let next = mis_wonde::for_mis(&registry, to);
    let now = school.mis.as_deref();
    let now = now.map(|mis| mis_wonde::for_mis(&registry, mis));
    let mut report = Report::new(
        school,
        now.map_or("the current MIS", |now| now.name),
        next.name,
    );
    report.abilities(school, now.map(|now| now.capabilities), next.capabilities);
    report.carried(school, next.capabilities, None);
    Ok(report)
}

async fn by_token(
    markback: &Markback,
    school: &School,
    token: SecretSource,
) -> anyhow::Result<Report> {
    let present = markback
        .schools()
        .mis(school)
        .await
        .context("the school cannot be read in the current MIS")?;
    let mut other = school.clone();
    other.token = Some(token);
    other.link = None;
    other.mis = None;
    other.id = id_in(markback, &other).await?;
    let next = markback
        .schools()
        .other(&other)
        .await
        .context("the school cannot be read in the new MIS")?;
    let book = next
        .code_book()
        .await
        .context("the codes of the new MIS cannot be read")?;
    let mut report = Report::new(school, name_of(&present), name_of(&next));
    report.abilities(school, Some(present.capabilities()), next.capabilities());
    report.carried(school, next.capabilities(), Some(&book));
    let outcome = markback.sync().rehearse(school, &next).await?;
    let outcome = outcome.ok_or_else(|| {
        BadInput(format!(
            "the people of school {} have not been read yet; run `markback sync` first",
            school.id
        ))
    })?;
    if outcome.report.migrations.is_empty() {
        report.settings.push(
            "most people have their current ids: is the token one for the new MIS?".to_owned(),
        );
    }
    for held in &outcome.report.held {
        if !matches!(held, roster::HeldBack::Migration { .. }) {
            report.settings.push(held.to_string());
        }
    }
    report.people = Some(outcome.report.migrations.iter().map(migration).collect());
    Ok(report)
}

/// The id of the school in the new MIS: the same id, or that of the only school that the token can access.
async fn id_in(markback: &Markback, other: &School) -> anyhow::Result<SchoolId> {
    let client = markback.schools().client(other)?;
    let open: Vec<_> = client
        .schools(wonde::SchoolList::Approved)
        .try_collect()
        .await
        .context("the schools of the token cannot be listed")?;
    if open.iter().any(|one| one.id.as_str() == other.id.as_str()) {
        return Ok(other.id.clone());
    }
    match open.as_slice() {
        [one] => Ok(SchoolId::new(one.id.as_str())),
        _ => Err(BadInput(format!(
            "the token can access {} schools, but not {}; use a token for this school alone",
            open.len(),
            other.id
        ))
        .into()),
    }
}

fn name_of(mis: &Mis) -> &'static str {
    mis.descriptor().name
}

impl Report {
    fn new(school: &School, from: &str, to: &str) -> Self {
        Self {
            school: school.id.to_string(),
            from: from.to_owned(),
            to: to.to_owned(),
            lost: Vec::new(),
            gained: Vec::new(),
            settings: Vec::new(),
            people: None,
        }
    }

    fn abilities(&mut self, school: &School, now: Option<Capabilities>, next: Capabilities) {
        let used = Ability::ALL
            .into_iter()
            .filter(|ability| !school.without.contains(ability));
        let Some(now) = now else { return };
        for ability in used {
            match (now.has(ability), next.has(ability)) {
                (true, false) => self.lost.push(ability),
                (false, true) => self.gained.push(ability),
                _ => {}
            }
        }
    }

    /// Settings that do not match the new MIS.
    fn carried(&mut self, school: &School, next: Capabilities, book: Option<&CodeBook>) {
        if let Some(mis) = &school.mis {
            self.settings.push(format!(
                "`mis = {mis:?}` of the school must be changed or removed"
            ));
        }
        for group in school.groups.iter() {
            self.by_ids(group);
            if let Some(settings) = &group.writeback {
                self.wanted(group, settings, next);
                let Some(book) = book else { continue };
                for problem in
                    Rules::check(group.kind, &group.fields, settings, Some(book)).problems
                {
                    self.settings.push(format!(
                        "group {:?}: {} = {}: {}; {}",
                        group.name, problem.key, problem.value, problem.message, problem.help
                    ));
                }
            }
        }
    }

    /// Conditions with names that may differ in the new MIS.
    fn by_ids(&mut self, group: &Group) {
        let rules = &group.membership;
        let by_name = [
            ("registrations", !rules.registrations.is_empty()),
            ("houses", !rules.houses.is_empty()),
            ("boarding", !rules.boarding.is_empty()),
            ("campuses", !rules.campuses.is_empty()),
            ("classes", !rules.classes.is_empty()),
            ("groups", !rules.groups.is_empty()),
            ("roles", !rules.roles.is_empty()),
        ];
        let named: Vec<_> = by_name
            .iter()
            .filter(|(_, set)| *set)
            .map(|(key, _)| format!("`{key}`"))
            .collect();
        if !named.is_empty() {
            self.settings.push(format!(
                "group {:?} uses {}: check that the new MIS has the same names",
                group.name,
                named.join(", ")
            ));
        }
    }

    fn wanted(&mut self, group: &Group, settings: &WritebackSettings, next: Capabilities) {
        let comment = settings.comment.sign_in.is_some() || settings.comment.sign_out.is_some();
        let leaver = settings.leaver_code.is_some() || settings.custom_codes.sign_out.is_some();
        for (key, wanted, ability) in [
            ("writeback", true, Ability::Session),
            ("comment", comment, Ability::Comment),
            ("minutes_late", settings.minutes_late, Ability::MinutesLate),
            ("leaver_code", leaver, Ability::EarlyLeaver),
        ] {
            if wanted && !next.has(ability) {
                self.settings.push(format!(
                    "group {:?}: `{key}` has no effect, because the new MIS does not support {}",
                    group.name,
                    ability.as_str().replace('_', " ")
                ));
            }
        }
    }

    /// Whether nothing needs attention.
    fn is_well(&self) -> bool {
        let certain = |kind: &Value| {
            ["proposed", "doubtful", "new", "missing"]
                .iter()
                .all(|key| kind[key]["count"] == 0)
        };
        self.lost.is_empty()
            && self.settings.is_empty()
            && self.people.iter().flatten().all(certain)
    }

    fn as_text(&self) -> String {
        let mut text = format!(
            "{}: from {} to {}; nothing was changed\n",
            self.school, self.from, self.to
        );
        for (words, abilities) in [("lost", &self.lost), ("gained", &self.gained)] {
            if !abilities.is_empty() {
                let words_of: Vec<_> = abilities.iter().map(|ability| ability.as_str()).collect();
                let _ = writeln!(text, "  {words}: {}", words_of.join(", "));
            }
        }
        for line in &self.settings {
            let _ = writeln!(text, "  settings: {line}");
        }
        match &self.people {
            None => {
                text += "  people and codes: not compared; name a token with --to to compare them\n"
            }
            Some(people) => people.iter().for_each(|kind| migrated(&mut text, kind)),
        }
        text.truncate(text.trim_end().len());
        text
    }
}
