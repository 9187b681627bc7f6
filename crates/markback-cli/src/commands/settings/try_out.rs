//! `markback settings try`: what a draft of a school's settings would have decided otherwise in the last school days.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use chrono::Utc;
use markback::{
    audit_log::AuditAction,
    settings::{self, Hint, School, Settings},
    text,
    try_out::{Day, Difference, Explained, Report, try_out},
};
use markback_console::{
    BadInput, block_on,
    output::{self, TextOrJson},
};

use crate::commands::{ConfigArg, named, recorded, registry};

/// The longest bar of the chart, in characters.
const BAR: usize = 40;

/// The arguments of `markback settings try`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// Id of the school
    #[arg(long, value_name = "ID")]
    school: String,
    /// The draft: the school's table in TOML as in the settings file, without `[[school]]` and `id`; or a whole settings
    /// file that has the school
    #[arg(long, value_name = "FILE")]
    draft: PathBuf,
    /// Number of school days
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=366))]
    days: u32,
    /// Number of differing events that the text explains
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// Output format
    #[arg(long, value_enum, default_value = "text")]
    format: TextOrJson,
}

/// Prints the differences.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let settings = args.config.load()?.settings;
    let active = named::school(&settings, &args.school)?;
    let (draft, hints) = draft(&settings, active, &args.draft)?;
    for hint in hints {
        output::error_line(format!("hint: {hint}"));
    }
    block_on(compare(&settings, active, &draft, args))
}

async fn compare(
    settings: &Settings,
    active: &School,
    draft: &School,
    args: &Args,
) -> anyhow::Result<ExitCode> {
    let store = recorded::open_to_look(settings).await?;
    let report = try_out(&store, &registry()?, active, draft, args.days, Utc::now()).await?;
    let look = recorded::entry(AuditAction::SettingsTried).school(&active.id);
    store
        .record(&[look.amount(report.differences.len())])
        .await?;
    match args.format {
        TextOrJson::Json => output::json(&report)?,
        TextOrJson::Text => output::line(whole(&report, args.limit))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The draft of the school in this file.
fn draft(settings: &Settings, active: &School, path: &Path) -> anyhow::Result<(School, Vec<Hint>)> {
    let text = text::read_file(path).map_err(|why| {
        BadInput(format!(
            "the draft {} cannot be read: {why}; name another with --draft",
            path.display()
        ))
    })?;
    let is_whole_file = toml_has_schools(&text);
    if !is_whole_file {
        let name = path.display().to_string();
        return Ok(settings::school_from_text(
            settings, &active.id, &name, &text,
        )?);
    }
    let loaded = settings::from_text(path, &text)?;
    let school = loaded.settings.school(&active.id).ok_or_else(|| {
        BadInput(format!(
            "the draft {} has no school {}; add it, or name another with --draft",
            path.display(),
            active.id
        ))
    })?;
    Ok((school.clone(), Vec::new()))
}

/// Whether a text has a list of schools, as the settings file has.
fn toml_has_schools(text: &str) -> bool {
    let lines = text.lines().map(str::trim);
    lines.into_iter().any(|line| {
        let name = line
            .strip_prefix("[[")
            .and_then(|rest| rest.split_once("]]"));
        name.is_some_and(|(name, _)| name.trim() == "school")
    })
}

fn whole(report: &Report, limit: usize) -> String {
    let mut text = headline(report);
    for sentence in &report.summary {
        let _ = write!(text, "\n{sentence}");
    }
    if !report.differences.is_empty() {
        let _ = write!(text, "\n\n{}", chart(&report.days));
    }
    if report.changed_since > 0 {
        let _ = write!(
            text,
            "\n\n{} compared with what was decided then, the active settings differ already: they are newer",
            events(report.changed_since)
        );
    }
    for difference in report.differences.iter().take(limit) {
        let _ = write!(text, "\n\n{}", explained(difference));
    }
    if report.differences.len() > limit {
        let more = report.differences.len() - limit;
        let _ = write!(
            text,
            "\n\nand {more} more; --limit shows more of them, and --format json all"
        );
    }
    if !report.apart.is_empty() {
        let _ = write!(text, "\n\nnot compared: {}", events(report.not_compared()));
        for apart in &report.apart {
            let more = if apart.count > apart.events.len() {
                ", …"
            } else {
                ""
            };
            let _ = write!(
                text,
                "\n  {}: {} ({}{more})",
                events(apart.count),
                apart.text,
                apart.events.join(", ")
            );
        }
    }
    text
}

fn headline(report: &Report) -> String {
    let school = &report.school;
    let (Some(first), Some(last)) = (report.days.first(), report.days.last()) else {
        return format!("school {school} has no events in its last school days");
    };
    let differ = match (report.differences.len(), report.people()) {
        (0, _) => "no mark differs".to_owned(),
        (1, _) => "1 mark differs".to_owned(),
        (marks, 1) => format!("{marks} marks of 1 person differ"),
        (marks, people) => format!("{marks} marks of {people} people differ"),
    };
    let until = last.date.format("%A %-d %B %Y").to_string();
    let days = if first.date == last.date {
        until
    } else {
        format!("{} to {until}", first.date.format("%A %-d %B"))
    };
    format!(
        "school {school}, {days}, draft {} beside the active settings {}: {} of {} compared, {differ}",
        report.draft,
        report.active,
        report.compared,
        events(report.events),
    )
}

/// A line for each day and kind of change, with a bar as long as it is frequent.
fn chart(days: &[Day]) -> String {
    let counts = days.iter().flat_map(|day| &day.changes);
    let most = counts.map(|change| change.count).max().unwrap_or(1).max(1);
    let mut lines = Vec::new();
    for day in days {
        let mut label = day.date.format("%a %d %b").to_string();
        if day.changes.is_empty() {
            lines.push(format!("{label}  no difference"));
        }
        for change in &day.changes {
            let length = (change.count * BAR).div_ceil(most);
            lines.push(format!(
                "{label:<10}  {} {}",
                "█".repeat(length),
                change.text
            ));
            label.clear();
        }
    }
    lines.join("\n")
}

fn explained(difference: &Difference) -> String {
    let mut text = format!(
        "{}, {} of person {} at {}: {}",
        difference.event,
        difference.kind.to_string().replace('_', " "),
        difference.person,
        difference.at.format("%Y-%m-%d %H:%M:%S %:z"),
        difference.change.text(1)
    );
    for (side, decision) in [
        ("active settings", &difference.active),
        ("draft", &difference.draft),
    ] {
        let _ = write!(text, "\n  {side}: {}", decision.outcome);
        steps(&mut text, decision);
    }
    text
}

/// The steps without the last, which is the outcome.
fn steps(text: &mut String, decision: &Explained) {
    let before = decision.steps.len().saturating_sub(1);
    for (number, step) in (1..).zip(decision.steps.iter().take(before)) {
        let _ = write!(text, "\n    {number}. {step}");
    }
}

fn events(count: usize) -> String {
    match count {
        1 => "1 event".to_owned(),
        count => format!("{count} events"),
    }
}
