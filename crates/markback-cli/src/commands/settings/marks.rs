//! `markback settings history --marks`: the marks that one version wrote, to see what an undo leaves to repair.

use std::process::ExitCode;

use markback::{audit_log::AuditAction, store::WrittenMark};
use markback_console::output::{self, TableOrJson};
use serde_json::json;

use super::{Access, History, stored};
use crate::commands::recorded;

/// Lists the marks that a version of a school's settings wrote.
///
/// # Errors
/// Returns an error if there is no such version, or if a database query fails.
pub(super) async fn list(args: &History, version: u32) -> anyhow::Result<ExitCode> {
    let (all, store) = stored::open(&args.config, Access::Write).await?;
    let key = args.whose.key();
    all.version(&key, Some(version)).await?;
    let school = key.name.as_str().into();
    let marks = store.marks_written_by(&school, version).await?;
    let look = recorded::entry(AuditAction::EventsListed).school(&school);
    let look = look.subject(format!("version {version}"));
    store.record(&[look.amount(marks.len())]).await?;
    match args.format {
        TableOrJson::Json => {
            output::json(&json!({"key": key, "version": version, "marks": marks}))?;
        }
        TableOrJson::Table => {
            let count = marks.len();
            let columns = ["event", "person", "day", "session", "code", "state"];
            output::line(output::table(columns, marks.into_iter().map(row)).to_string())?;
            output::line(match count {
                1 => "1 mark".to_owned(),
                many => format!("{many} marks"),
            })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn row(mark: WrittenMark) -> [String; 6] {
    [
        mark.event,
        mark.person,
        mark.date.unwrap_or_default(),
        mark.session.unwrap_or_default(),
        mark.code.unwrap_or_default(),
        mark.state.as_str().to_owned(),
    ]
}
