//! The results of the adapters' conformance runs: counts, failures, and tables.

use anyhow::Result;
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use serde::{Deserialize, Serialize};

use crate::catalogue::{Capabilities, Place};

/// The report on one adapter.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Report {
    pub(crate) adapter: String,
    pub(crate) capabilities: Capabilities,
    pub(crate) cases: Vec<Case>,
}

/// The result of one case; `ability` is the one that it tests, if any.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) ability: Option<String>,
    pub(crate) failure: Option<String>,
    pub(crate) millis: u64,
}

/// The kind of a case: something works, something is rejected, or something fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Positive,
    Negative,
    Fault,
}

/// The result of one adapter: its report, if there is one, and the failures.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Line {
    adapter: String,
    positive: usize,
    negative: usize,
    fault: usize,
    failed: usize,
    /// The failures as text; empty if it passes.
    pub(crate) wrong: Vec<String>,
    report: Option<Report>,
}

/// Counts the cases of a run, and lists the failures.
pub(crate) fn judge(id: &str, report: Result<Report>) -> Line {
    let mut line = Line {
        adapter: id.to_owned(),
        positive: 0,
        negative: 0,
        fault: 0,
        failed: 0,
        wrong: Vec::new(),
        report: None,
    };
    match report {
        Err(error) => line.wrong.push(format!("{error:#}")),
        Ok(report) => {
            let count = |kind| report.cases.iter().filter(|case| case.kind == kind).count();
            line.positive = count(Kind::Positive);
            line.negative = count(Kind::Negative);
            line.fault = count(Kind::Fault);
            line.failed = report
                .cases
                .iter()
                .filter(|case| case.failure.is_some())
                .count();
            line.wrong = wrong(id, &report);
            line.report = Some(report);
        }
    }
    line
}

/// The failed cases, and expected cases that did not run.
fn wrong(id: &str, report: &Report) -> Vec<String> {
    let mut wrong = Vec::new();
    if report.adapter != id {
        wrong.push(format!(
            "the report is of `{}`; the folder and the descriptor's id must have the same name",
            report.adapter
        ));
    }
    let mut told = String::new();
    for case in &report.cases {
        if let Some(failure) = case.failure.as_deref().map(str::trim) {
            let again = told.contains(failure);
            let what = if again {
                "for a reason shown above"
            } else {
                failure
            };
            wrong.push(format!("{}: {what}", case.name));
            told.push_str(failure);
        }
    }
    for kind in [Kind::Positive, Kind::Negative, Kind::Fault] {
        if !report.cases.iter().any(|case| case.kind == kind) {
            wrong.push(format!("no {} case ran", word(kind)));
        }
    }
    for (ability, declared) in abilities(&report.capabilities) {
        let (kind, says) = if declared {
            (Kind::Positive, "yes")
        } else {
            (Kind::Negative, "x")
        };
        let tried = report
            .cases
            .iter()
            .any(|case| case.kind == kind && case.ability.as_deref() == Some(ability));
        if !tried {
            wrong.push(format!(
                "the table says {says} for {ability}, but no {} case about it ran",
                word(kind)
            ));
        }
    }
    wrong
}

fn abilities(can: &Capabilities) -> [(&'static str, bool); 5] {
    [
        ("session", can.session != Place::None),
        ("comment", can.comment),
        ("minutes_late", can.minutes_late),
        ("early_leaver", can.early_leaver),
        ("roster", can.roster),
    ]
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Positive => "positive",
        Kind::Negative => "negative",
        Kind::Fault => "fault",
    }
}

/// The table of cases and adapters, the counts, and the failures.
pub(crate) fn shown(lines: &[Line]) -> String {
    let mut text = format!("{}\n\n{}\n", cases(lines), counts(lines));
    for line in lines.iter().filter(|line| !line.wrong.is_empty()) {
        text.push_str(&format!("\n{} is red:\n", line.adapter));
        for wrong in &line.wrong {
            let lines: Vec<_> = wrong.lines().map(str::trim).collect();
            text.push_str(&format!(" - {}\n", lines.join("\n   ")));
        }
    }
    text
}

/// One row per case and one numbered column per adapter: `+` passed, `FAIL`, or empty if the case does not apply.
fn cases(lines: &[Line]) -> Table {
    let reports: Vec<_> = lines.iter().map(|line| line.report.as_ref()).collect();
    let names = in_order(&reports);
    let mut table = table();
    let numbers = (1..=lines.len()).map(|number| number.to_string());
    table.set_header(
        ["case".to_owned(), "kind".to_owned()]
            .into_iter()
            .chain(numbers),
    );
    for (name, kind) in names {
        let cells = reports.iter().map(|report| {
            let case = report.and_then(|report| report.cases.iter().find(|case| case.name == name));
            match case {
                None => "",
                Some(Case { failure: None, .. }) => "+",
                Some(_) => "FAIL",
            }
        });
        table.add_row([name, word(kind)].into_iter().chain(cells));
    }
    table
}

/// All cases that ran for any adapter, in the suite's order.
fn in_order<'a>(reports: &[Option<&'a Report>]) -> Vec<(&'a str, Kind)> {
    let mut names: Vec<(&str, Kind)> = Vec::new();
    for report in reports.iter().flatten() {
        let mut next = 0;
        for case in &report.cases {
            let place = names.iter().position(|(name, _)| *name == case.name);
            let place = place.unwrap_or_else(|| {
                names.insert(next, (&case.name, case.kind));
                next
            });
            next = place + 1;
        }
    }
    names
}

fn counts(lines: &[Line]) -> Table {
    let mut table = table();
    table.set_header([
        "#", "adapter", "positive", "negative", "fault", "failed", "",
    ]);
    for (place, line) in lines.iter().enumerate() {
        table.add_row([
            (place + 1).to_string(),
            line.adapter.clone(),
            line.positive.to_string(),
            line.negative.to_string(),
            line.fault.to_string(),
            line.failed.to_string(),
            if line.wrong.is_empty() { "ok" } else { "RED" }.to_owned(),
        ]);
    }
    table
}

fn table() -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(cases: &[(Kind, Option<&str>, bool)]) -> Report {
        Report {
            adapter: "alpha".to_owned(),
            capabilities: Capabilities {
                session: Place::Session,
                comment: false,
                minutes_late: false,
                early_leaver: false,
                comment_max: None,
                roster: true,
            },
            cases: cases
                .iter()
                .enumerate()
                .map(|(place, (kind, ability, passed))| Case {
                    name: format!("case::{place}"),
                    kind: *kind,
                    ability: ability.map(str::to_owned),
                    failure: (!passed).then(|| "the mark is lost".to_owned()),
                    millis: 1,
                })
                .collect(),
        }
    }

    fn full() -> Vec<(Kind, Option<&'static str>, bool)> {
        vec![
            (Kind::Positive, Some("session"), true),
            (Kind::Negative, Some("comment"), true),
            (Kind::Negative, Some("minutes_late"), true),
            (Kind::Negative, Some("early_leaver"), true),
            (Kind::Positive, Some("roster"), true),
            (Kind::Fault, None, true),
        ]
    }

    #[test]
    fn a_complete_report_is_green() {
        let line = judge("alpha", Ok(report(&full())));
        assert_eq!(
            (line.positive, line.negative, line.fault, line.failed),
            (2, 3, 1, 0)
        );
        assert!(line.wrong.is_empty(), "{:?}", line.wrong);
        assert!(shown(&[line]).contains("alpha"));
    }

    #[test]
    fn missing_and_failed_cases_are_red() {
        for left_out in 0..full().len() {
            let mut cases = full();
            cases.remove(left_out);
            assert!(
                !judge("alpha", Ok(report(&cases))).wrong.is_empty(),
                "without case {left_out}"
            );
        }
        let mut cases = full();
        cases[0].2 = false;
        let text = shown(&[judge("alpha", Ok(report(&cases)))]);
        assert!(
            text.contains("alpha is red") && text.contains("case::0: the mark is lost"),
            "{text}"
        );
    }

    #[test]
    fn cases_keep_the_suites_order() {
        let [mut one, mut two] = [report(&full()), report(&full())];
        one.cases.remove(2);
        two.cases.remove(4);
        let whole = in_order(&[Some(&one), None, Some(&two)]);
        let names: Vec<_> = whole.iter().map(|(name, _)| *name).collect();
        assert_eq!(
            names,
            [
                "case::0", "case::1", "case::2", "case::3", "case::4", "case::5"
            ]
        );
    }

    #[test]
    fn a_missing_report_or_one_of_another_adapter_is_red() {
        assert!(!judge("beta", Ok(report(&full()))).wrong.is_empty());
        assert!(
            !judge("beta", Err(anyhow::anyhow!("no report")))
                .wrong
                .is_empty()
        );
    }
}
