//! `markback audit`: who changed what, and who looked at a person.

use std::process::ExitCode;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use markback::audit_log::{AuditEntry, AuditFilter};
use markback_console::{
    BadInput, block_on,
    output::{self, TextOrJson},
};
use mis_core::SchoolId;
use serde_json::json;

use super::{
    ConfigArg,
    open_store::{Access, open_store},
};

/// The arguments of `markback audit`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// Only entries about this school
    #[arg(long, value_name = "ID")]
    school: Option<String>,
    /// Only entries of this key, by its id or its name, or of this system user
    #[arg(long, value_name = "KEY")]
    by: Option<String>,
    /// From then on: a day, a time such as 2026-11-23T08:00:00Z, or a span before now such as 7d
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Only entries before the one with this number, to read on
    #[arg(long, value_name = "SEQ")]
    before: Option<i64>,
    /// Maximum number of entries
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u32,
    /// Output format
    #[arg(long, value_enum, default_value = "text")]
    format: TextOrJson,
}

/// Prints the entries, latest first.
///
/// # Errors
/// Returns an error if the settings or the arguments are invalid, or if the database query fails.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let settings = args.config.load_file()?.settings;
    let since = args
        .since
        .as_deref()
        .map(|text| moment(text, Utc::now()))
        .transpose()?;
    let filter = AuditFilter {
        schools: args
            .school
            .as_deref()
            .map(|school| vec![SchoolId::from(school)]),
        by: args.by.clone(),
        since,
        before: args.before,
        limit: args.limit,
    };
    let entries = block_on(async {
        let store = open_store(&settings, Access::Read).await?;
        Ok(store.audit_entries(&filter).await?)
    })?;
    match args.format {
        TextOrJson::Json => output::json(&json!({ "entries": entries }))?,
        TextOrJson::Text => {
            let columns = [
                "seq", "at", "by", "via", "action", "school", "subject", "amount",
            ];
            let last = entries.last().map(|entry| entry.seq);
            let full = u32::try_from(entries.len()).is_ok_and(|found| found == args.limit);
            let rows = entries.into_iter().map(row);
            output::line(output::table(columns, rows).to_string())?;
            if let Some(last) = last.filter(|_| full) {
                output::line(format!(
                    "there may be more: --limit shows more at once, and --before {last} the earlier ones"
                ))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn row(entry: AuditEntry) -> [String; 8] {
    let by = match (entry.caller, entry.key) {
        (Some(name), Some(key)) => format!("{name} ({key})"),
        (Some(name), None) => name,
        (None, key) => key.unwrap_or_default(),
    };
    [
        entry.seq.to_string(),
        super::events::time(entry.at),
        by,
        entry.via,
        entry.action.replace('_', " "),
        entry.school.unwrap_or_default(),
        entry.subject.unwrap_or_default(),
        entry
            .amount
            .map_or_else(String::new, |amount| amount.to_string()),
    ]
}

/// A day begins at midnight, UTC.
fn moment(text: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>, BadInput> {
    let text = text.trim();
    let day = || {
        let day: NaiveDate = text.parse().ok()?;
        Some(day.and_time(chrono::NaiveTime::MIN).and_utc())
    };
    let ago = || {
        let length = TimeDelta::from_std(humantime::parse_duration(text).ok()?).ok()?;
        now.checked_sub_signed(length)
    };
    let time = || Some(DateTime::parse_from_rfc3339(text).ok()?.to_utc());
    day().or_else(time).or_else(ago).ok_or_else(|| {
        BadInput(format!(
            "--since {text:?} is no time; write a day such as 2026-11-23, a time such as 2026-11-23T08:00:00Z, or a span \
             such as 7d"
        ))
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("2026-11-20", Some("2026-11-20T00:00:00Z"))]
    #[case("2026-11-20T10:00:00+01:00", Some("2026-11-20T09:00:00Z"))]
    #[case(" 7d ", Some("2026-11-16T08:00:00Z"))]
    #[case("yesterday", None)]
    #[case("", None)]
    fn a_time_is_a_day_a_moment_or_a_span(#[case] text: &str, #[case] read: Option<&str>) {
        let now = "2026-11-23T08:00:00Z".parse().unwrap();
        let read = read.map(|at| at.parse::<DateTime<Utc>>().unwrap());
        assert_eq!(moment(text, now).ok(), read);
    }
}
