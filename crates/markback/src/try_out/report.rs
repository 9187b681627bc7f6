//! The differences between the active settings and a draft, in words and as data.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use chrono::{DateTime, FixedOffset, NaiveDate};
use mis_core::{EventKind, HeldCode, SchoolId};
use schemars::JsonSchema;
use serde::Serialize;
use writeback::{Decision, DecisionOutcome, SkipReason};

use super::{history::History, side::Outcome};
use crate::settings::School;

/// The most events that are named for each reason why they are counted apart.
const NAMED: usize = 20;

/// What a draft would have decided otherwise than the active settings. It names people by the ids in their events, and holds
/// no comment.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[non_exhaustive]
#[schemars(rename = "TrialReport")]
pub struct Report {
    /// The school.
    #[schemars(with = "String")]
    pub school: SchoolId,
    /// The version of the active settings.
    pub active: String,
    /// The version of the draft.
    pub draft: String,
    /// The number of events.
    pub events: usize,
    /// The number of events about which both settings decide. The others are counted apart.
    pub compared: usize,
    /// Of these, the number whose marks already differ from what was recorded, because the active settings are newer.
    pub changed_since: usize,
    /// Of these, the number about which both write nothing, for different reasons.
    pub other_reasons: usize,
    /// The summary, a sentence for each day with differences.
    pub summary: Vec<String>,
    /// The days, in order.
    pub days: Vec<Day>,
    /// The events whose marks differ, in order.
    pub differences: Vec<Difference>,
    /// The events that are not compared, by reason.
    pub apart: Vec<ApartCount>,
}

/// The differences of one day.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[non_exhaustive]
#[schemars(rename = "TrialDay")]
pub struct Day {
    /// The day, by the school's clock.
    pub date: NaiveDate,
    /// The number of events.
    pub events: usize,
    /// The number of events about which both settings decide.
    pub compared: usize,
    /// The changes, most frequent first.
    pub changes: Vec<ChangeCount>,
}

/// How often a change occurs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
#[schemars(rename = "TrialChangeCount")]
pub struct ChangeCount {
    /// The change.
    #[serde(flatten)]
    pub change: Change,
    /// The number of events.
    pub count: usize,
    /// In words, with the number: "14 L become U".
    pub text: String,
}

/// The sort of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
#[schemars(rename = "TrialChangeSort")]
pub enum Sort {
    /// The mark has another code.
    OtherCode,
    /// The mark is not written any more.
    NotWritten,
    /// A mark is written where there was none.
    Written,
    /// The mark has the same code in another session.
    OtherSession,
    /// The mark waits for a person's release.
    Held,
    /// The mark does not wait for a person's release any more.
    NotHeld,
    /// The mark has other minutes late.
    OtherMinutes,
    /// The mark has another comment.
    OtherComment,
    /// The mark is the same, apart from the employee who takes it.
    OtherEmployee,
}

/// How the mark of an event changes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[non_exhaustive]
#[schemars(rename = "TrialChange")]
pub struct Change {
    /// The sort of change.
    pub sort: Sort,
    /// The code by the active settings; `None` if they write nothing.
    pub from: Option<String>,
    /// The code by the draft; `None` if it writes nothing.
    pub to: Option<String>,
    /// Why the draft writes nothing, or why the active settings do not.
    pub because: Option<String>,
}

impl Change {
    /// In words, for so many events.
    pub fn text(&self, count: usize) -> String {
        let from = self.from.as_deref().unwrap_or("");
        let to = self.to.as_deref().unwrap_or("");
        let is = if count == 1 { "is" } else { "are" };
        let because = |text: &str| match &self.because {
            Some(why) => format!("{text}, because {why}"),
            None => text.to_owned(),
        };
        match self.sort {
            Sort::OtherCode if count == 1 => format!("1 {from} becomes {to}"),
            Sort::OtherCode => format!("{count} {from} become {to}"),
            Sort::NotWritten => because(&format!("{count} {from} {is} not written any more")),
            Sort::Written => {
                let more = format!("{count} {to} {is} written in addition");
                match &self.because {
                    Some(why) => {
                        format!("{more}; the active settings write nothing, because {why}")
                    }
                    None => more,
                }
            }
            Sort::OtherSession => format!("{count} {from} {is} written in another session"),
            Sort::Held if count == 1 => format!("1 {from} waits for release"),
            Sort::Held => format!("{count} {from} wait for release"),
            Sort::NotHeld => format!("{count} {from} {is} written without release"),
            Sort::OtherMinutes => format!("{count} {from} {is} written with other minutes late"),
            Sort::OtherComment => format!("{count} {from} {is} written with another comment"),
            Sort::OtherEmployee => format!("{count} {from} {is} taken by another employee"),
        }
    }
}

/// An event whose mark differs.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[non_exhaustive]
#[schemars(rename = "TrialDifference")]
pub struct Difference {
    /// The event.
    pub event: String,
    /// The person, by the id in the event.
    pub person: String,
    /// In or out.
    pub kind: EventKind,
    /// When it was.
    pub at: DateTime<FixedOffset>,
    /// The day, by the school's clock.
    pub date: NaiveDate,
    /// The change.
    pub change: Change,
    /// What the active settings decide.
    pub active: Explained,
    /// What the draft decides.
    pub draft: Explained,
}

/// A decision in words, without the comment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
#[schemars(rename = "TrialDecision")]
pub struct Explained {
    /// The outcome.
    pub outcome: String,
    /// The steps.
    pub steps: Vec<String>,
}

impl Explained {
    fn of(decision: &Decision) -> Self {
        Self {
            outcome: decision.outcome.to_string(),
            steps: decision.steps.clone(),
        }
    }
}

/// Why an event is not compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
#[schemars(rename = "TrialApart")]
pub enum Apart {
    /// The event is not decided yet.
    Undecided,
    /// The input of its decision is not kept, or cannot be read.
    NoSnapshot,
    /// The rules of this version decide it otherwise than was recorded.
    OtherVersion,
    /// The group of the person is not known: the conditions for members have changed.
    Members,
    /// The draft has another MIS.
    OtherMis,
    /// The draft's sessions begin at other times, and the MIS keeps marks on lessons.
    OtherLessons,
    /// The draft uses abilities of the MIS that were switched off.
    MoreAbilities,
    /// The event is in another session, whose register was not read.
    OtherSession,
    /// An earlier event on which this one depends is not compared.
    Earlier,
    /// What it follows from cannot be derived: a mark or an event came to nothing meanwhile, in a way that was not recorded.
    Underivable,
    /// It would have waited until a mark that the draft changes is confirmed.
    Waits,
    /// It depends on a mark that the draft holds until a person releases it.
    Held,
    /// The MIS refused a mark of the session. Whether it would have taken the other one is not known.
    Refused,
    /// The event, or another of the same session, was withdrawn.
    Withdrawn,
}

impl Apart {
    /// Why a later event of the same session is not compared.
    pub(super) fn of_later(self) -> Self {
        match self {
            Self::Held | Self::Refused | Self::Withdrawn => self,
            _ => Self::Earlier,
        }
    }
}

impl fmt::Display for Apart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Undecided => "it is not decided yet",
            Self::NoSnapshot => "the input of its decision is not kept",
            Self::OtherVersion => "this version decides it otherwise than was recorded",
            Self::Members => "the person's group is not known, because the conditions for members have changed",
            Self::OtherMis => "the draft has another MIS",
            Self::OtherLessons => {
                "the draft's sessions begin at other times, and the MIS keeps marks on lessons"
            }
            Self::MoreAbilities => "the draft uses abilities of the MIS that were switched off",
            Self::OtherSession => "it is in another session, whose register was not read",
            Self::Earlier => "it depends on an earlier event that is not compared",
            Self::Underivable => {
                "it depends on a mark or an event that came to nothing meanwhile, and how is not recorded"
            }
            Self::Held => "it depends on a mark that the draft holds until a person releases it",
            Self::Waits => "it would have waited for the confirmation of another mark",
            Self::Refused => "the MIS refused a mark of the session, and might have taken the other",
            Self::Withdrawn => "it, or another event of its session, was withdrawn",
        })
    }
}

/// Events that are not compared for one reason.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[non_exhaustive]
#[schemars(rename = "TrialApartCount")]
pub struct ApartCount {
    /// The reason.
    pub why: Apart,
    /// The reason in words.
    pub text: String,
    /// The number of events.
    pub count: usize,
    /// The first of them, 20 at most.
    pub events: Vec<String>,
}

impl Report {
    pub(super) fn of(
        active: &School,
        draft: &School,
        history: &History,
        recorded: &[Option<Outcome>],
        by_active: &[Option<Outcome>],
        by_draft: &[Option<Outcome>],
    ) -> Self {
        let mut report = Self {
            school: active.id.clone(),
            active: active.version.to_string(),
            draft: draft.version.to_string(),
            events: history.events.len(),
            compared: 0,
            changed_since: 0,
            other_reasons: 0,
            summary: Vec::new(),
            days: Vec::new(),
            differences: Vec::new(),
            apart: Vec::new(),
        };
        let mut days: BTreeMap<NaiveDate, (usize, usize, BTreeMap<Change, usize>)> =
            BTreeMap::new();
        let mut apart: BTreeMap<Apart, Vec<String>> = BTreeMap::new();
        for (place, past) in history.events.iter().enumerate() {
            let (events, compared, changes) = days.entry(past.date).or_default();
            *events += 1;
            let undecided = || {
                Err(past
                    .first
                    .as_ref()
                    .err()
                    .copied()
                    .unwrap_or(Apart::Undecided))
            };
            let of = |outcomes: &[Option<Outcome>]| {
                outcomes
                    .get(place)
                    .cloned()
                    .flatten()
                    .unwrap_or_else(undecided)
            };
            let (one, other) = match (of(by_active), of(by_draft)) {
                (Ok(one), Ok(other)) => (one, other),
                (Err(why), _) | (_, Err(why)) => {
                    apart.entry(why).or_default().push(past.event.id.clone());
                    continue;
                }
            };
            report.compared += 1;
            *compared += 1;
            if of(recorded).is_ok_and(|then| change(&then, &one).is_some()) {
                report.changed_since += 1;
            }
            let Some(change) = change(&one, &other) else {
                if one.skipped() != other.skipped() {
                    report.other_reasons += 1;
                }
                continue;
            };
            *changes.entry(change.clone()).or_default() += 1;
            report.differences.push(Difference {
                event: past.event.id.clone(),
                person: past.event.person.clone(),
                kind: past.event.kind,
                at: past.event.at,
                date: past.date,
                change,
                active: Explained::of(&one),
                draft: Explained::of(&other),
            });
        }
        report.differences.sort_by_key(|difference| difference.at);
        report.days = days
            .into_iter()
            .map(|(date, (events, compared, changes))| Day {
                date,
                events,
                compared,
                changes: counted(changes),
            })
            .collect();
        report.apart = apart
            .into_iter()
            .map(|(why, events)| ApartCount {
                why,
                text: why.to_string(),
                count: events.len(),
                events: events.into_iter().take(NAMED).collect(),
            })
            .collect();
        report.summary = report.days.iter().filter_map(sentence).collect();
        report
    }

    /// The number of events that are not compared.
    pub fn not_compared(&self) -> usize {
        self.events - self.compared
    }

    /// The people with a difference.
    pub fn people(&self) -> usize {
        let people: BTreeSet<_> = self.differences.iter().map(|one| &one.person).collect();
        people.len()
    }
}

fn counted(changes: BTreeMap<Change, usize>) -> Vec<ChangeCount> {
    let mut counted: Vec<_> = changes
        .into_iter()
        .map(|(change, count)| ChangeCount {
            text: change.text(count),
            change,
            count,
        })
        .collect();
    counted.sort_by_key(|counted| std::cmp::Reverse(counted.count));
    counted
}

/// "Tuesday 24 November: 14 L become U; 3 are not written any more, because M is now protected"
fn sentence(day: &Day) -> Option<String> {
    let changes: Vec<_> = day.changes.iter().map(|one| one.text.as_str()).collect();
    (!changes.is_empty())
        .then(|| format!("{}: {}", day.date.format("%A %-d %B"), changes.join("; ")))
}

/// How the mark changes; `None` if it is the same, or if there is none either way.
fn change(one: &Decision, other: &Decision) -> Option<Change> {
    let code = |decision: &Decision| {
        let planned = decision.planned()?;
        Some(planned.mark.code.to_string())
    };
    let (sort, because) = match (one.planned(), other.planned()) {
        (None, None) => return None,
        (Some(_), None) => (Sort::NotWritten, reason(other, true)),
        (None, Some(_)) => (Sort::Written, reason(one, false)),
        (Some(planned), Some(other_planned)) => {
            let holds = (one.hold.is_some(), other.hold.is_some());
            let (one, other) = (&planned.mark, &other_planned.mark);
            let sort = if one.code != other.code {
                Sort::OtherCode
            } else if (one.date, one.session) != (other.date, other.session) {
                Sort::OtherSession
            } else if holds == (false, true) {
                Sort::Held
            } else if holds == (true, false) {
                Sort::NotHeld
            } else if one.minutes_late != other.minutes_late {
                Sort::OtherMinutes
            } else if one.comment != other.comment {
                Sort::OtherComment
            } else if one.employee != other.employee {
                Sort::OtherEmployee
            } else {
                return None;
            };
            (sort, None)
        }
    };
    Some(Change {
        sort,
        from: code(one),
        to: code(other),
        because,
    })
}

/// Why nothing is written, as a clause. `now` says that it is new.
fn reason(decision: &Decision, now: bool) -> Option<String> {
    let now = if now { "now " } else { "" };
    let reason = match &decision.outcome {
        DecisionOutcome::Write(_) => return None,
        DecisionOutcome::Wait { .. } | DecisionOutcome::Fail { .. } => {
            return Some("an operator would have to act".to_owned());
        }
        DecisionOutcome::Skip { reason, .. } => *reason,
    };
    Some(match reason {
        SkipReason::Withdrawn => "the event was withdrawn".to_owned(),
        SkipReason::Protected => {
            let found = decision
                .found
                .as_ref()
                .and_then(|found| found.code.as_ref());
            match found {
                Some(HeldCode::Known(code)) => format!("{code} is {now}protected"),
                _ => format!("the code in the register is {now}protected"),
            }
        }
        SkipReason::NotWrittenBack => format!("the event {now}counts for no register"),
        SkipReason::AnswerNotWritten => format!("the answer is {now}one that writes nothing"),
        SkipReason::NotASchoolDay => format!("the day is {now}no school day"),
        SkipReason::SchoolClosed => format!("the school is {now}closed on that day"),
        SkipReason::OutsideSchoolDay => format!("the school day is {now}over by then"),
        SkipReason::DoubleTap => format!("the event {now}counts as a double tap"),
        SkipReason::Unsupported => format!("the MIS {now}does not take it"),
        SkipReason::PresentWritebackOff => {
            format!("the pupil is {now}in time and present marks are off")
        }
        SkipReason::LeaverWritebackOff => format!("sign-outs {now}have no code"),
        SkipReason::UnknownCode => "the school does not have the code".to_owned(),
        SkipReason::AlreadyArrived => format!("an earlier arrival {now}stands"),
        SkipReason::LaterEventStands => format!("a later event {now}stands"),
        SkipReason::AlreadyRecorded => format!("the register {now}has the mark already"),
    })
}
