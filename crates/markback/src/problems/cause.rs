//! The cause of an event's problem, in words for a school's office.

use outbox::Pause;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use strum::IntoStaticStr;

use crate::{
    store::{EventRecord, EventState},
    waiting::TOKEN,
};

/// The letters of a cause's id that come from its text.
const ID_BYTES: usize = 6;

/// A sort of cause.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema, IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum CauseKind {
    /// Marks that wait for a person's release.
    Held,
    /// The school's key for Wonde is not accepted, or has too many requests: all schools with it rest.
    TokenRests,
    /// The school rests after an error.
    SchoolRests,
    /// Events that have to wait for something else.
    Waiting,
    /// The MIS does not have the code, so no mark was written.
    UnknownCode,
    /// The school has no such person.
    UnknownPerson,
    /// The pupils have no lesson in the session.
    NoLesson,
    /// The MIS, or Wonde, refused the marks.
    Refused,
    /// It is not known whether the MIS has the marks.
    Unconfirmed,
    /// Something else, which the text tells.
    Failed,
}

impl CauseKind {
    /// The name in ids and JSON.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A cause in words: what it is, what it means for the register, and what to do.
pub(super) struct CauseWords {
    pub(super) title: String,
    pub(super) meaning: String,
    pub(super) cure: String,
}

/// The cause of one event's problem.
pub(super) struct Found {
    pub(super) id: String,
    pub(super) kind: CauseKind,
    /// Why this event is in it.
    pub(super) why: String,
}

/// The cause of an event's problem; `None` if it has none. `pause` is what makes its school rest.
pub(super) fn of(record: &EventRecord, pause: Option<&Pause>) -> Option<Found> {
    let outcome = record.outcome.clone().unwrap_or_default();
    let decided = |field: &str| {
        let decision = record.decision.as_ref()?;
        Some(decision[field].as_str()?.to_owned())
    };
    let (kind, why) = match record.state {
        EventState::Held => {
            let why = decided("hold").or_else(|| record.waiting.clone());
            (CauseKind::Held, why.unwrap_or_default())
        }
        EventState::Rejected if outcome.contains("no lesson") => (CauseKind::NoLesson, outcome),
        EventState::Rejected => (CauseKind::Refused, outcome),
        EventState::Unconfirmed => (CauseKind::Unconfirmed, outcome),
        EventState::Failed if is_about_nobody(&outcome) => (CauseKind::UnknownPerson, outcome),
        EventState::Failed => (CauseKind::Failed, outcome),
        EventState::Skipped => (CauseKind::UnknownCode, decided("detail")?),
        EventState::Received | EventState::Planned => match (pause, &record.waiting) {
            (Some(pause), _) if pause.key.starts_with(TOKEN) => {
                (CauseKind::TokenRests, pause.reason.clone())
            }
            (Some(pause), _) => (CauseKind::SchoolRests, pause.reason.clone()),
            (None, Some(waiting)) => (CauseKind::Waiting, waiting.clone()),
            (None, None) => return None,
        },
        _ => return None,
    };
    // What is the same for all events of the cause.
    let same = match kind {
        CauseKind::NoLesson | CauseKind::Unconfirmed | CauseKind::UnknownPerson => String::new(),
        _ => without_details(&why),
    };
    Some(Found {
        id: id_of(kind, record.state, &same),
        kind,
        why,
    })
}

fn is_about_nobody(outcome: &str) -> bool {
    outcome.starts_with("no person at the school") || outcome.starts_with("the id is that of")
}

/// A text without what differs from event to event: words with digits, such as ids, dates and numbers.
fn without_details(text: &str) -> String {
    let words = text.split_whitespace().map(|word| {
        if word.chars().any(|c| c.is_ascii_digit()) {
            "…"
        } else {
            word
        }
    });
    let mut kept: Vec<&str> = words.collect();
    kept.dedup_by(|a, b| *a == "…" && *b == "…");
    kept.join(" ")
}

fn id_of(kind: CauseKind, state: EventState, same: &str) -> String {
    let hash = Sha256::digest(format!("{}\n{same}", state.as_str()));
    let hash = hash.iter().take(ID_BYTES);
    let hash: String = hash.map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{hash}", kind.as_str().replace('_', "-"))
}

/// The part of an outcome that the MIS or Wonde said.
fn said(text: &str) -> &str {
    text.split_once("said: ").map_or(text, |(_, said)| said)
}

/// A cause in words. `whys` says why each of its events is in it; what differs between them is left out.
pub(super) fn words<'w>(kind: CauseKind, whys: impl IntoIterator<Item = &'w str>) -> CauseWords {
    let mut whys = whys.into_iter();
    let first = whys.next().unwrap_or_default();
    let same = if whys.all(|why| why == first) {
        first.to_owned()
    } else {
        without_details(first)
    };
    words_of(kind, &same)
}

fn words_of(kind: CauseKind, same: &str) -> CauseWords {
    let all = |title: &str, meaning: &str, cure: &str| CauseWords {
        title: title.to_owned(),
        meaning: meaning.to_owned(),
        cure: cure.to_owned(),
    };
    match kind {
        CauseKind::Held => all(
            &format!("Marks wait for somebody to release them: {same}"),
            "The rules say that a person looks at these marks before they are written. The register does not have them yet.",
            "Look at the marks. Release those that are right, and they are written; drop the others. A mark that nobody \
             releases is not written.",
        ),
        CauseKind::TokenRests => all(
            "The connection to Wonde is paused",
            &format!("Nothing is written or read at the moment: {same}"),
            "If the key was revoked or has run out, ask whoever looks after the connection for a new one. Afterwards \
             everything that waits is written by itself.",
        ),
        CauseKind::SchoolRests => all(
            "Writing to the school’s MIS is paused",
            &format!("Nothing is written at the moment: {same}"),
            "It is tried again by itself. If it lasts, check whether the MIS and its link to Wonde are running, and whether \
             the school has approved all permissions at Wonde.",
        ),
        CauseKind::Waiting => all(
            &format!("Events wait: {same}"),
            "They are decided and written by themselves as soon as they can be.",
            "Nothing, unless it lasts for long.",
        ),
        CauseKind::UnknownCode => all(
            &format!("The school’s MIS does not have this code: {same}"),
            "No mark was written for these sign-ins and sign-outs.",
            "Enter these marks in the MIS by hand. For the next ones, choose a code that the MIS has under Rules, or ask for \
             the code to be added in the MIS.",
        ),
        CauseKind::UnknownPerson => all(
            "The school has nobody with these ids",
            "The sign-in system named people whom the MIS does not have, or does not name clearly, so nothing was written.",
            "Check the people’s ids in the sign-in system, sync the groups, then write the marks again.",
        ),
        CauseKind::NoLesson => all(
            "Pupils have no lesson to write the mark into",
            "This MIS keeps marks in lessons, and these pupils have none in that session. The register does not have the marks.",
            "Correct the timetable in the MIS and write the marks again; or enter them in the MIS by hand and set them \
             aside here.",
        ),
        CauseKind::Refused => all(
            &format!("The MIS refused the marks: {}", said(same)),
            "The register does not have these marks.",
            "Put right what the message names, at the school or under Rules, then write the marks again; or enter them in the \
             MIS by hand and set them aside here.",
        ),
        CauseKind::Unconfirmed => all(
            "It is not known whether the MIS has these marks",
            "They were sent, but nobody has said in time that they arrived.",
            "Look into the register. Where a mark is missing, write it again; where it is there, set it aside here.",
        ),
        CauseKind::Failed => all(
            &format!("Events could not be handled: {same}"),
            "Nothing was written for them.",
            "Put right what the message names, then write the marks again; or enter them in the MIS by hand and set them \
             aside here.",
        ),
    }
}

/// Why a decision writes nothing, as a reason in a sentence of its own: `a mark that must stay is in the register`.
pub(super) fn left_alone(decision: &Value) -> String {
    let reason = decision["reason"].as_str().unwrap_or_default();
    let words = match reason.parse() {
        Ok(writeback::SkipReason::Protected) => {
            "somebody has entered a code that is not overwritten"
        }
        Ok(writeback::SkipReason::AlreadyRecorded) => "the register already has the mark",
        Ok(writeback::SkipReason::AlreadyArrived) => "an earlier arrival counts",
        Ok(writeback::SkipReason::LaterEventStands) => "a later sign-in or sign-out counts",
        Ok(writeback::SkipReason::PresentWritebackOff) => {
            "they were in time, and marks for that are not written"
        }
        Ok(writeback::SkipReason::UnknownCode) => "the MIS does not have the code",
        Ok(writeback::SkipReason::NotWrittenBack | writeback::SkipReason::LeaverWritebackOff) => {
            "the rules write nothing for them"
        }
        Ok(writeback::SkipReason::SchoolClosed | writeback::SkipReason::NotASchoolDay) => {
            "the school is closed on that day"
        }
        _ => return decision["detail"].as_str().unwrap_or(reason).to_owned(),
    };
    words.to_owned()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(
        "student A123 has no lesson in AM on 2026-11-23",
        "student … has no lesson in AM on …"
    )]
    #[case(
        "U is held by the group's settings",
        "U is held by the group's settings"
    )]
    #[case("failed 3 4 5 times", "failed … times")]
    fn details_are_left_out(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(without_details(text), expected);
    }

    #[test]
    fn an_id_is_of_the_text_and_the_state() {
        let id = |state, text| id_of(CauseKind::Refused, state, text);
        let one = id(EventState::Rejected, "no");
        assert_eq!(one, id(EventState::Rejected, "no"));
        assert_ne!(one, id(EventState::Rejected, "yes"));
        assert_ne!(one, id(EventState::Failed, "no"));
        assert!(one.starts_with("refused-") && one.len() == "refused-".len() + 12);
    }
}
