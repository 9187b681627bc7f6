//! `markback adapters`: the adapters and their capabilities.

use std::process::ExitCode;

use mis_core::{Ability, Descriptor, Requirements, SessionWriteback};
use serde::Serialize;

use super::registry;
use markback_console::output::{self, TableOrJson};

/// The arguments of `markback adapters`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Required capabilities: session, comment, minutes_late, early_leaver, roster
    #[arg(long, value_delimiter = ',', value_name = "ABILITY,…")]
    needs: Vec<Ability>,
    /// Output format
    #[arg(long, value_enum, default_value = "table")]
    format: TableOrJson,
}

#[derive(Serialize)]
struct Report {
    adapters: Vec<Adapter>,
}

#[derive(Serialize)]
struct Adapter {
    id: &'static str,
    name: &'static str,
    capabilities: Abilities,
    fits: bool,
    lacks: Vec<Ability>,
}

/// The columns of the capability table.
#[derive(Serialize)]
struct Abilities {
    session: SessionWriteback,
    comment: bool,
    minutes_late: bool,
    early_leaver: bool,
    roster: bool,
}

/// Prints the adapters.
///
/// # Errors
/// Returns an error if the registry is invalid or standard output cannot be written.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let needs: Requirements = args.needs.iter().copied().collect();
    let registry = registry()?;
    let report = Report {
        adapters: registry
            .iter()
            .map(|descriptor| adapter(descriptor, &needs))
            .collect(),
    };
    match args.format {
        TableOrJson::Json => output::json(&report)?,
        TableOrJson::Table => output::line(as_table(&report, !args.needs.is_empty()))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn adapter(descriptor: &Descriptor, needs: &Requirements) -> Adapter {
    let can = descriptor.capabilities;
    let lacks = can.lacks(needs);
    Adapter {
        id: descriptor.id,
        name: descriptor.name,
        capabilities: Abilities {
            session: can.session,
            comment: can.comment,
            minutes_late: can.minutes_late,
            early_leaver: can.early_leaver,
            roster: can.roster,
        },
        fits: lacks.is_empty(),
        lacks,
    }
}

fn as_table(report: &Report, asked: bool) -> String {
    let yes = |can: bool| if can { "yes" } else { "-" }.to_owned();
    let rows = report.adapters.iter().map(|adapter| {
        let can = &adapter.capabilities;
        let session = match can.session {
            SessionWriteback::No => "-",
            SessionWriteback::Session => "session",
            SessionWriteback::FirstLesson => "first lesson",
        };
        let lacks: Vec<_> = adapter
            .lacks
            .iter()
            .map(|ability| ability.as_str())
            .collect();
        [
            adapter.name.to_owned(),
            adapter.id.to_owned(),
            session.to_owned(),
            yes(can.comment),
            yes(can.minutes_late),
            yes(can.early_leaver),
            yes(can.roster),
            if lacks.is_empty() {
                "fits".to_owned()
            } else {
                format!("lacks {}", lacks.join(", "))
            },
        ]
    });
    let columns = [
        "MIS",
        "id",
        "marks",
        "comment",
        "minutes late",
        "early leaver",
        "roster",
        "fits",
    ];
    let mut table = output::table(columns, rows);
    if !asked && let Some(verdict) = table.column_mut(columns.len() - 1) {
        verdict.set_constraint(comfy_table::ColumnConstraint::Hidden);
    }
    table.to_string()
}
