//! `markback groups`: the schools' groups as of the last sync. Reads the database directly, also while the service runs.

use std::{
    collections::BTreeSet,
    io::{self, Write as _},
    process::ExitCode,
};

use clap::{Subcommand, ValueEnum};
use roster::{Member, Property};
use serde_json::{Value, json};

use markback_console::{BadInput, block_on};

use super::{
    ConfigArg, named,
    open_store::{Access, open_store},
    recorded,
};
use markback::{
    audit_log::AuditAction,
    settings::{Group, School, Settings},
    store::MemberJson,
};
use markback_console::output::{self, TableOrJson};

/// The command.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the groups and their sizes
    Ls(Ls),
    /// Print the members of groups with all properties in the settings; treat the output as pupils' data
    Export(Export),
}

#[derive(Debug, clap::Args)]
struct Ls {
    #[command(flatten)]
    config: ConfigArg,
    /// Only this school; can be repeated
    #[arg(long, value_name = "ID")]
    school: Vec<String>,
    /// Output format
    #[arg(long, value_enum, default_value = "table")]
    format: TableOrJson,
}

#[derive(Debug, clap::Args)]
struct Export {
    #[command(flatten)]
    config: ConfigArg,
    /// Only this school; can be repeated
    #[arg(long, value_name = "ID")]
    school: Vec<String>,
    /// Only this group; can be repeated
    #[arg(long, value_name = "NAME")]
    group: Vec<String>,
    /// Output format
    #[arg(long, value_enum, default_value = "csv")]
    format: CsvOrJson,
    /// CSV for Excel: with a byte order mark, so that it reads names as UTF-8, and Windows line endings
    #[arg(long)]
    excel: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum CsvOrJson {
    /// One line per person, with a header. A cell that a spreadsheet would interpret as a formula begins with an
    /// apostrophe; JSON has the original values. Add --excel for Excel.
    Csv,
    /// JSON.
    Json,
}

/// Runs it.
///
/// # Errors
/// Returns an error if the settings are invalid, a school or group is not in them, or a database query fails.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.command {
        Command::Ls(ls) => list(ls),
        Command::Export(export) => print(export),
    }
}

fn list(args: &Ls) -> anyhow::Result<ExitCode> {
    let settings = args.config.load()?.settings;
    let schools = named::schools(&settings, &args.school)?;
    let listed = block_on(async {
        let store = open_store(&settings, Access::Read).await?;
        let mut listed = Vec::new();
        for school in &schools {
            let read = store.groups_read(&school.id).await?;
            for group in school.groups.iter() {
                let people = read
                    .as_ref()
                    .and_then(|read| read.people.get(&group.name).copied());
                listed.push((
                    school.id.to_string(),
                    group.name.clone(),
                    group.kind,
                    people,
                ));
            }
        }
        Ok(listed)
    })?;
    match args.format {
        TableOrJson::Json => {
            let groups: Vec<_> = listed
                .iter()
                .map(|(school, name, kind, people)| {
                    json!({"school": school, "name": name, "kind": kind, "people": people})
                })
                .collect();
            output::json(&json!({ "groups": groups }))?;
        }
        TableOrJson::Table => {
            let rows = listed.into_iter().map(|(school, name, kind, people)| {
                let people = people.map_or_else(|| "not read yet".to_owned(), |n| n.to_string());
                [school, name, kind.to_string(), people]
            });
            output::line(output::table(["school", "group", "kind", "people"], rows).to_string())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A group with its people.
struct Filled<'s> {
    school: &'s School,
    group: &'s Group,
    people: Vec<Member>,
}

fn print(args: &Export) -> anyhow::Result<ExitCode> {
    if args.excel && args.format != CsvOrJson::Csv {
        return Err(BadInput("--excel needs --format csv".to_owned()).into());
    }
    let settings = args.config.load()?.settings;
    let schools = named::schools(&settings, &args.school)?;
    let filled = block_on(fill(&settings, &schools, &args.group))?;
    match args.format {
        CsvOrJson::Json => {
            let groups: Vec<_> = filled
                .iter()
                .map(|filled| {
                    json!({
                        "school": filled.school.id,
                        "name": filled.group.name,
                        "kind": filled.group.kind,
                        "people": filled.people.iter().map(MemberJson).collect::<Vec<_>>(),
                    })
                })
                .collect();
            output::json(&json!({ "groups": groups }))?;
        }
        CsvOrJson::Csv => csv(&filled, args.excel)?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn fill<'s>(
    settings: &Settings,
    schools: &'s [School],
    names: &[String],
) -> anyhow::Result<Vec<Filled<'s>>> {
    let store = recorded::open_to_look(settings).await?;
    let mut filled = Vec::new();
    for name in names {
        if !schools.iter().any(|school| school.group(name).is_some()) {
            return Err(BadInput(format!(
                "there is no group `{name}` at these schools; name another with --group, as `markback groups ls` lists them"
            ))
            .into());
        }
    }
    for school in schools {
        let wanted = |group: &&Group| names.is_empty() || names.contains(&group.name);
        for group in school.groups.iter().filter(wanted) {
            let Some(page) = store.group_people(&school.id, &group.name).await? else {
                anyhow::bail!(
                    "group {:?} of school {} has not been read yet; run `markback sync` first",
                    group.name,
                    school.id
                );
            };
            let people = page.people;
            filled.push(Filled {
                school,
                group,
                people,
            });
        }
    }
    let looks: Vec<_> = filled
        .iter()
        .map(|filled| {
            recorded::entry(AuditAction::GroupShown)
                .school(&filled.school.id)
                .subject(&filled.group.name)
                .amount(filled.people.len())
        })
        .collect();
    store.record(&looks).await?;
    Ok(filled)
}

/// The columns besides the ids that at least one group publishes.
fn columns(filled: &[Filled<'_>]) -> Vec<&'static str> {
    let told: BTreeSet<Property> = filled
        .iter()
        .flat_map(|filled| {
            filled
                .group
                .as_roster()
                .membership
                .told(filled.group.as_roster().kind)
        })
        .collect();
    let mut columns = vec!["school", "group", "kind", "id", "wonde_id", "upi", "mis_id"];
    for property in told {
        columns.extend(match property {
            Property::Name => &["forename", "surname"][..],
            Property::Year => &["year", "year_code"],
            Property::DateOfBirth => &["born"],
            Property::Registration => &["registration"],
            Property::House => &["house"],
            Property::Boarding => &["boarding"],
            Property::Campus => &["campus"],
            Property::Classes => &["classes"],
            Property::Groups => &["groups"],
            Property::Contacts => &["contacts"],
            Property::Teaching => &["teaching"],
            Property::Roles => &["roles"],
            Property::Email => &["email"],
            Property::Phone => &["phone"],
            Property::Gender => &["gender"],
            Property::AdmissionNumber => &["admission_number"],
            Property::Card => &["card"],
        });
    }
    columns.push("children");
    columns
}

fn csv(filled: &[Filled<'_>], excel: bool) -> anyhow::Result<()> {
    let columns = columns(filled);
    let mut out = io::stdout().lock();
    let marked = if excel {
        out.write_all("\u{feff}".as_bytes())
    } else {
        Ok(())
    };
    let terminator = if excel {
        csv::Terminator::CRLF
    } else {
        csv::Terminator::Any(b'\n')
    };
    let mut writer = csv::WriterBuilder::new()
        .terminator(terminator)
        .from_writer(out);
    let write = || -> csv::Result<()> {
        marked?;
        writer.write_record(&columns)?;
        for group in filled {
            for member in &group.people {
                let person = serde_json::to_value(MemberJson(member)).unwrap_or_default();
                writer.write_record(columns.iter().map(|column| {
                    harmless(match *column {
                        "school" => group.school.id.to_string(),
                        "group" => group.group.name.clone(),
                        "kind" => group.group.kind.to_string(),
                        other => cell(&person[other]),
                    })
                }))?;
            }
        }
        Ok(writer.flush()?)
    };
    match write() {
        // A reader that has gone away, such as `head`, is no error.
        Err(error) if matches!(error.kind(), csv::ErrorKind::Io(io) if io.kind() == io::ErrorKind::BrokenPipe) => {
            Ok(())
        }
        other => Ok(other?),
    }
}

/// A cell that neither a spreadsheet nor a terminal interprets. A formula gets an apostrophe before it, as OWASP
/// advises (<https://owasp.org/www-community/attacks/CSV_Injection>), and no cell has more than one line.
fn harmless(cell: String) -> String {
    let one_line = cell.replace(['\n', '\r', '\t'], " ");
    let cell = output::printable(&one_line);
    if cell
        .trim_start()
        .starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠'])
    {
        format!("'{cell}")
    } else {
        cell.into_owned()
    }
}

/// A value in one cell; the entries of a list with semicolons between them.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().map(cell).collect::<Vec<_>>().join("; "),
        Value::Object(fields) => cell(
            fields
                .get("name")
                .or(fields.get("contact"))
                .unwrap_or(&Value::Null),
        ),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(
        "=HYPERLINK(\"http://x.invalid\",\"a\")",
        "'=HYPERLINK(\"http://x.invalid\",\"a\")"
    )]
    #[case("@SUM(1)", "'@SUM(1)")]
    #[case("-2+3", "'-2+3")]
    #[case("+44", "'+44")]
    #[case("＝1", "'＝1")]
    #[case("\t=1", "' =1")]
    #[case("\u{1b}[2J", r"\u{1b}[2J")]
    #[case("Štefan-Zoë", "Štefan-Zoë")]
    fn a_cell_is_never_obeyed(#[case] value: &str, #[case] cell: &str) {
        assert_eq!(harmless(value.to_owned()), cell);
    }
}
