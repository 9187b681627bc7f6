//! The demo's report: tables and sentences, or JSON.

use std::{collections::BTreeMap, time::Duration};

use chrono::SecondsFormat;
use serde_json::{Value, json};

use super::{
    compare::Comparison,
    groups::Groups,
    morning::{self, Morning},
    record::Record,
    replays::Replays,
    schools::School,
    stage::{Stage, USER},
};
use markback::service::EventState;
use markback_console::output::{self, TextOrJson};

/// The maximum number of listed differences; further ones are only counted.
const LISTED: usize = 20;

/// The whole report.
pub(super) struct Story<'a> {
    pub(super) stage: &'a Stage,
    pub(super) groups: &'a Groups,
    pub(super) replays: &'a Replays,
    pub(super) morning: &'a Morning,
    pub(super) records: &'a [Record],
    pub(super) comparison: &'a Comparison,
    pub(super) resent: usize,
    pub(super) took: Duration,
    /// The password of the user for the pages, if the service keeps running.
    pub(super) password: Option<String>,
}

/// The introduction.
pub(super) fn opening(stage: &Stage, morning: &Morning) -> std::io::Result<()> {
    let minutes = morning::LENGTH.num_minutes();
    output::line(format!(
        "A school morning at {} made-up schools: {} sign-ins and sign-outs from {} on, {minutes} minutes on an accelerated clock.\n\
         \n  sign-ins ── HTTP ──▶ Markback ── HTTP ──▶ a stand-in for Wonde ──▶ the schools' MIS\n",
        stage.schools.len(),
        morning.events.len(),
        morning::begins().format("%H:%M on %A %-d %B %Y"),
    ))
}

impl Story<'_> {
    /// Prints the report.
    pub(super) fn tell(&self, format: TextOrJson) -> anyhow::Result<()> {
        match format {
            TextOrJson::Json => output::json(&self.as_json()?)?,
            TextOrJson::Text => {
                output::line(format!(
                    "The groups, filled from each school's MIS:\n{}\n",
                    self.groups.table()
                ))?;
                output::line(self.schools_table())?;
                output::line(format!(
                    "\nReasons for writing nothing for {}:",
                    self.count_of(EventState::Skipped)
                ))?;
                output::line(self.reasons_table())?;
                output::line(format!(
                    "\nSome decisions with their steps:\n\n{}",
                    self.decisions_text()
                ))?;
                output::line(self.comparison_text())?;
                output::line(self.replays.text())?;
                if let Some(password) = &self.password {
                    output::line(self.stay_text(password)?)?;
                }
            }
        }
        Ok(())
    }

    fn schools_table(&self) -> String {
        let rows = self.stage.schools.iter().map(|school| {
            let count = |state: Option<EventState>| self.count(Some(school), state).to_string();
            [
                school.name.clone(),
                school.mis.clone(),
                count(None),
                count(Some(EventState::Confirmed)),
                count(Some(EventState::Skipped)),
                self.others(school),
            ]
        });
        output::table(
            [
                "school",
                "MIS",
                "events",
                "mark in the MIS",
                "nothing to write",
                "other",
            ],
            rows,
        )
        .to_string()
    }

    /// Unusual outcomes of events.
    fn others(&self, school: &School) -> String {
        let usual = [EventState::Confirmed, EventState::Skipped];
        let others: Vec<_> = EventState::ALL
            .iter()
            .copied()
            .filter(|state| !usual.contains(state))
            .map(|state| (state, self.count(Some(school), Some(state))))
            .filter(|(_, count)| *count > 0)
            .map(|(state, count)| format!("{count} {}", state.as_str()))
            .collect();
        others.join(", ")
    }

    fn reasons_table(&self) -> String {
        let rows = self
            .reasons()
            .into_iter()
            .map(|(reason, (count, why))| [reason.to_owned(), count.to_string(), why]);
        output::table(["reason", "events", "for instance"], rows).to_string()
    }

    /// The skipped events by reason, with the last step of the first as an example.
    fn reasons(&self) -> BTreeMap<&str, (usize, String)> {
        let mut reasons = BTreeMap::<_, (usize, String)>::new();
        for record in self.records {
            let reason = record
                .decision
                .as_ref()
                .and_then(|decision| decision.reason.as_deref());
            if let (EventState::Skipped, Some(reason)) = (record.state, reason) {
                let last = || record.steps.last().cloned().unwrap_or_default();
                reasons.entry(reason).or_insert_with(|| (0, last())).0 += 1;
            }
        }
        reasons
    }

    /// One decision of each interesting kind.
    fn decisions(&self) -> Vec<(&School, &Record)> {
        let written = |record: &Record, code: &str| {
            let mark = record
                .decision
                .as_ref()
                .and_then(|decision| decision.mark.as_ref());
            mark.is_some_and(|mark| mark.code == code) && record.state == EventState::Confirmed
        };
        let skipped = |record: &Record, reason: &str| {
            let decision = record.decision.as_ref();
            decision.is_some_and(|decision| decision.reason.as_deref() == Some(reason))
        };
        let signed_out = |record: &Record| record.event["kind"] == "sign_out";
        let kinds: [&dyn Fn(&Record) -> bool; 7] = [
            &|record| {
                written(record, "L")
                    && record.event["answers"].is_object()
                    && record.lesson_id.is_none()
            },
            &|record| written(record, "U") && record.lesson_id.is_some(),
            &|record| written(record, "M") && !signed_out(record),
            &|record| written(record, "M") && signed_out(record),
            &|record| skipped(record, "protected") && signed_out(record),
            &|record| skipped(record, "already_arrived"),
            &|record| skipped(record, "unsupported"),
        ];
        kinds
            .iter()
            .filter_map(|is_such| self.records.iter().find(|record| is_such(record)))
            .filter_map(|record| {
                let school = self
                    .stage
                    .schools
                    .iter()
                    .find(|school| school.id == record.school)?;
                Some((school, record))
            })
            .collect()
    }

    fn decisions_text(&self) -> String {
        let decisions = self.decisions().into_iter().map(|(school, record)| {
            let kind = if record.event["kind"] == "sign_out" {
                "sign-out"
            } else {
                "sign-in"
            };
            let steps: Vec<_> = record
                .steps
                .iter()
                .map(|step| format!("      {step}\n"))
                .collect();
            format!(
                "  {} at {}, a {kind} ({}): {}\n{}",
                record.id,
                school.name,
                school.mis,
                ending(record),
                steps.concat()
            )
        });
        decisions.collect::<Vec<_>>().join("\n")
    }

    fn comparison_text(&self) -> String {
        let Comparison {
            compared,
            untouched,
            differences,
        } = self.comparison;
        let differ = match differences.len() {
            0 => "none differs".to_owned(),
            count => format!("{count} DIFFER"),
        };
        let mut text = format!(
            "Decisions compared with the marks that each school's MIS now has: {compared} marks, {differ}; \
             the {untouched} other marks are as they were.\n\
             {} events were sent twice, as after a lost response, and stored once. The run took {:.0} seconds.",
            self.resent,
            self.took.as_secs_f64(),
        );
        let refused = |record: &&Record| record.state == EventState::Rejected;
        if let Some(first) = self.records.iter().find(refused) {
            let words = first.outcome.as_deref().unwrap_or("no reason is known");
            text.push_str(&format!(
                "\nThe MIS rejected the marks of {}, for example that of {}: {words}",
                self.count_of(EventState::Rejected),
                first.id,
            ));
        }
        for difference in differences.iter().take(LISTED) {
            text.push_str(&format!("\n  DIFFERS  {difference}"));
        }
        if differences.len() > LISTED {
            text.push_str(&format!("\n  and {} more", differences.len() - LISTED));
        }
        text
    }

    fn stay_text(&self, password: &str) -> anyhow::Result<String> {
        Ok(format!(
            "\nThe service keeps running at {} until you press ctrl-c; its settings are {}.\n\
             Open {} in a browser and sign in as {USER} with the password {password}.\n\n\
             Its clock goes on from {}, ten times as fast as yours. Sign a pupil in who has not come yet:\n\n{}\n\n\
             and see a quarter of a minute later what became of it:\n\n{}\n",
            self.stage.address(),
            self.stage.folder.path().join("markback.toml").display(),
            self.stage.address(),
            self.stage.now().format("%H:%M"),
            self.sign_in_with_curl()?,
            self.look_with_curl(),
        ))
    }

    fn sign_in_with_curl(&self) -> anyhow::Result<String> {
        let event = json!({
            "id": "mine-1",
            "person": self.morning.absent.as_deref().unwrap_or("the pupil's id"),
            "kind": "sign_in",
            "at": self.stage.now().to_rfc3339_opts(SecondsFormat::Secs, true),
            "answers": {"Reason for being late": "Bus"},
        });
        Ok(format!(
            "  curl -H 'Authorization: Bearer {}' {}/v1/schools/{}/events \\\n       -d '{}'",
            self.stage.key,
            self.stage.address(),
            self.first_school(),
            serde_json::to_string(&event)?,
        ))
    }

    fn look_with_curl(&self) -> String {
        format!(
            "  curl -H 'Authorization: Bearer {}' {}/v1/schools/{}/events/mine-1",
            self.stage.key,
            self.stage.address(),
            self.first_school(),
        )
    }

    fn first_school(&self) -> &str {
        self.stage.schools.first().map_or("", |school| &school.id)
    }

    fn as_json(&self) -> anyhow::Result<Value> {
        let schools = self.stage.schools.iter().map(|school| {
            json!({
                "id": school.id,
                "name": school.name,
                "mis": school.mis,
                "events": self.count(Some(school), None),
                "outcomes": self.outcomes(Some(school)),
            })
        });
        let decisions = self.decisions().into_iter().map(|(school, record)| {
            json!({"school": school.id, "mis": school.mis, "event": record.id, "state": record.state, "steps": record.steps})
        });
        let reasons: BTreeMap<_, _> = self
            .reasons()
            .into_iter()
            .map(|(reason, (count, _))| (reason, count))
            .collect();
        let stay = self
            .password
            .as_ref()
            .map(|password| -> anyhow::Result<Value> {
                let settings = self.stage.folder.path().join("markback.toml");
                Ok(json!({
                    "address": self.stage.address(),
                    "settings": settings,
                    "key": self.stage.key,
                    "user": USER,
                    "password": password,
                    "sandbox": self.stage.sandbox.base_url(),
                    "now": self.stage.now(),
                    "example": self.sign_in_with_curl()?,
                }))
            });
        let requests = self.stage.sandbox.requests();
        Ok(json!({
            "day": morning::begins().date_naive(),
            "events": self.records.len(),
            "sent_twice": self.resent,
            "schools": schools.collect::<Vec<_>>(),
            "groups": self.groups.json(),
            "outcomes": self.outcomes(None),
            "skipped": reasons,
            "decisions": decisions.collect::<Vec<_>>(),
            "comparison": self.comparison,
            "replays": self.replays,
            "requests": {"total": requests.total, "marks": requests.marks_accepted},
            "seconds": self.took.as_secs_f64(),
            "stay": stay.transpose()?,
        }))
    }

    fn outcomes(&self, school: Option<&School>) -> BTreeMap<EventState, usize> {
        EventState::ALL
            .iter()
            .copied()
            .map(|state| (state, self.count(school, Some(state))))
            .filter(|(_, count)| *count > 0)
            .collect()
    }

    fn count_of(&self, state: EventState) -> String {
        match self.count(None, Some(state)) {
            1 => "one event".to_owned(),
            count => format!("{count} events"),
        }
    }

    fn count(&self, school: Option<&School>, state: Option<EventState>) -> usize {
        let records = self.records.iter();
        records
            .filter(|record| school.is_none_or(|school| school.id == record.school))
            .filter(|record| state.is_none_or(|state| state == record.state))
            .count()
    }
}

/// The outcome of an event as short text.
fn ending(record: &Record) -> String {
    let decision = record.decision.as_ref();
    let mark = decision.and_then(|decision| decision.mark.as_ref());
    match (record.state, mark) {
        (EventState::Confirmed, Some(mark)) => {
            let minutes = mark
                .minutes_late
                .map(|minutes| format!(", {minutes} min late"))
                .unwrap_or_default();
            let comment = if mark.comment.is_some() {
                ", with a comment"
            } else {
                ""
            };
            format!("{} in {}{minutes}{comment}", mark.code, mark.session)
        }
        (state, _) => match decision {
            Some(decision) => {
                let reason = decision.reason.as_deref().unwrap_or(&decision.outcome);
                format!("{}, {reason}", state.as_str())
            }
            None => state.as_str().to_owned(),
        },
    }
}
