//! `markback explain`: the decision about one event and the reason, without any request.

mod codes;

use std::{
    io::Read as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use mis_core::CodeBook;
use writeback::{Decision, Event, check_answers};

use markback_console::BadInput;

use super::{ConfigArg, named, registry};
use markback::{
    calendar::ReadClosures,
    explain,
    settings::{Group, School},
    text,
};
use markback_console::output::{self, TextOrJson};

/// The arguments of `markback explain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// Id of the school
    #[arg(long, value_name = "ID")]
    school: String,
    /// Group of the person
    #[arg(long, value_name = "NAME")]
    group: String,
    /// Code in the register; none by default
    #[arg(long, value_name = "CODE")]
    register: Option<String>,
    /// Code book of the school: a JSON list of codes or of objects with `code`, `id` and `description`; or a text with
    /// a code on each line, followed by a space and its description. Defaults to England's codes
    #[arg(long, value_name = "FILE")]
    codes: Option<PathBuf>,
    /// Output format
    #[arg(long, value_enum, default_value = "text")]
    format: TextOrJson,
    /// JSON file with the event; `-` reads standard input
    #[arg(value_name = "EVENT.json")]
    event: PathBuf,
}

/// Prints the decision.
///
/// # Errors
/// Returns an error if the settings are invalid, the school, the group or the MIS is unknown, or the event is invalid.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let settings = args.config.load_and_tell()?.settings;
    let school = named::school(&settings, &args.school)?;
    let group = named::group(school, &args.group)?;
    let registry = registry()?;
    let (capabilities, quirks) =
        explain::declared(&registry, school).ok_or_else(|| no_mis(school))?;
    let book = match &args.codes {
        Some(path) => codes::read(path)?,
        None => CodeBook::england(),
    };
    let held = args.register.as_deref();
    if held.is_some_and(|code| code.trim().is_empty()) {
        return Err(BadInput(
            "--register is empty; name the code in the register, or omit the option".to_owned(),
        )
        .into());
    }
    let event = event(&args.event, group)?;
    let given = explain::Given {
        capabilities,
        quirks,
        codes: &book,
        held,
        closures: &closures(school),
    };
    let decision = explain::explain(school, group, &event, &given);
    match args.format {
        TextOrJson::Json => output::json(&decision)?,
        TextOrJson::Text => output::line(as_text(&decision))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The school's permissions are not known here, so what its adapter declares counts, and which it is must be named.
fn no_mis(school: &School) -> BadInput {
    BadInput(format!(
        "the settings do not name the MIS of school {}, and this command sends no request; add `mis = \"…\"` to it",
        school.id
    ))
}

/// The closures of the iCalendar file as it is now. One that cannot be read, or is at an address, counts as never read.
fn closures(school: &School) -> ReadClosures {
    let ical = school
        .calendar
        .as_deref()
        .and_then(|calendar| calendar.ical.as_ref());
    let read = ical.and_then(|ical| ical.read_file()?.ok());
    let closures = read.map(|read| ReadClosures::of_ical(read.closures));
    closures.unwrap_or_default()
}

fn event(path: &Path, group: &Group) -> Result<Event, BadInput> {
    let (name, text) = read(path)?;
    let mut reader = serde_json::Deserializer::from_str(&text);
    let event: Event = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let at = if path == "." {
            String::new()
        } else {
            format!(" in `{path}`")
        };
        BadInput(format!(
            "{name} does not contain an event: {}{at}",
            error.inner()
        ))
    })?;
    reader.end().map_err(|_| {
        BadInput(format!(
            "{name} contains several events; explain takes one at a time"
        ))
    })?;
    let problems = check_answers(&event, &group.fields);
    if problems.is_empty() {
        return Ok(event);
    }
    let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
    Err(BadInput(format!("{name}: {}", problems.join("\n  "))))
}

/// The text of a file, or of standard input for `-`, with its name.
fn read(path: &Path) -> Result<(String, String), BadInput> {
    if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .map_err(|error| BadInput(format!("standard input cannot be read: {error}")))?;
        return Ok((
            "standard input".to_owned(),
            text::without_bom(&text).to_owned(),
        ));
    }
    let text = text::read_file(path).map_err(|error| {
        BadInput(format!(
            "the event file {} cannot be read: {error}; name another, or - for standard input",
            path.display()
        ))
    })?;
    Ok((path.display().to_string(), text))
}

/// The decision as text, including the comment, which the user has in the event anyway.
fn as_text(decision: &Decision) -> String {
    match decision
        .planned()
        .and_then(|planned| planned.mark.comment.as_deref())
    {
        Some(comment) => format!("{decision}\ncomment: {comment}"),
        None => decision.to_string(),
    }
}
