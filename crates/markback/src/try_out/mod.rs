//! Tries settings on the events of the last school days: what a draft would have decided otherwise, beside the active
//! settings.
//!
//! Both decide each event with the same function and the same inputs as then, apart from what follows from their own
//! earlier decisions: the arrival, the events that stand, our own mark in the register, and the event before. See
//! [`Report`].

mod history;
mod report;
mod service;
mod side;

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use mis_core::{Registry, Session, StudentId};
use roster::{GroupSettings, RosterState};
use tokio_util::sync::CancellationToken;

pub use self::report::{
    Apart, ApartCount, Change, ChangeCount, Day, Difference, Explained, Report, Sort,
};
pub(crate) use self::service::TRIALS;
pub use self::service::TrialError;
use self::{
    history::{Happened, History},
    side::{Regrouped, Side, Track},
};
use crate::{
    calendar::{ReadClosures, reading::kept_closures},
    settings::{Group, School},
    snapshot::SchoolPart,
    store::Store,
};

/// Decides the events of the last `days` school days by the active settings of a school and by a draft of them, and reports
/// the differences. A school day is a day on which an event was in a session. At least one day is taken. Where the draft
/// chooses other members for its groups, people are in them as they would be `now`.
///
/// Nothing is written and nothing is asked of the MIS. `registry` has the adapters, whose quirks are part of a decision.
///
/// # Errors
/// Returns an error if a database query fails.
pub async fn try_out(
    store: &Store,
    registry: &Registry,
    active: &School,
    draft: &School,
    days: u32,
    now: DateTime<Utc>,
) -> outbox::Result<Report> {
    // Ends the comparison if nobody waits for it any more.
    let stop = CancellationToken::new();
    let _stop = stop.clone().drop_guard();
    let history = History::read(store, active, days).await?;
    let parts = [part_of(active)?, part_of(draft)?];
    let regrouped = regrouped(store, active, draft, &parts, now).await?;
    let closures = [
        kept_closures(store, active).await?,
        kept_closures(store, draft).await?,
    ];
    let (registry, active, draft) = (registry.clone(), active.clone(), draft.clone());
    let compared = tokio::task::spawn_blocking(move || {
        compare(
            &history, &registry, &active, &draft, parts, closures, regrouped, &stop,
        )
    });
    let report = compared.await.ok().flatten();
    report.ok_or_else(|| outbox::Error::invalid("the comparison did not end; see the log"))
}

fn part_of(school: &School) -> outbox::Result<SchoolPart> {
    SchoolPart::of(school)
        .map_err(|_| outbox::Error::invalid("the settings of a school have no JSON form"))
}

#[allow(
    clippy::too_many_arguments,
    reason = "two sides of everything, for one caller"
)]
fn compare(
    history: &History,
    registry: &Registry,
    active: &School,
    draft: &School,
    [active_part, draft_part]: [SchoolPart; 2],
    [active_closures, draft_closures]: [ReadClosures; 2],
    regrouped: Option<Regrouped>,
    stop: &CancellationToken,
) -> Option<Report> {
    let mut by_person: HashMap<&str, Vec<usize>> = HashMap::new();
    for (place, past) in history.events.iter().enumerate() {
        by_person
            .entry(past.event.person.as_str())
            .or_default()
            .push(place);
    }
    let active_side = Side {
        school: active,
        part: active_part,
        closures: active_closures,
        same_mis: true,
        regrouped: None,
    };
    let draft_side = Side {
        school: draft,
        part: draft_part,
        closures: draft_closures,
        same_mis: same_mis(active, draft),
        regrouped,
    };
    let mut recorded = Track::new(None, history, &by_person);
    let mut sides =
        [&active_side, &draft_side].map(|side| Track::new(Some(side), history, &by_person));
    for past in &history.events {
        let (Err(why), Some(session)) = (&past.first, &past.session) else {
            continue;
        };
        if let Some(key) = key_of(session) {
            for track in sides.iter_mut().chain([&mut recorded]) {
                track.doubt(key.clone(), *why);
            }
        }
    }
    for (place, what) in &history.steps {
        if stop.is_cancelled() {
            return None;
        }
        let Some(past) = history.events.get(*place) else {
            continue;
        };
        let Ok(first) = &past.first else { continue };
        match what {
            Happened::DecidedFirst => {
                let quirks = first.mis.quirks(registry).quirks;
                let base = recorded.recorded(*place, past, first, quirks);
                let held = base.outcome.as_ref().is_ok_and(|then| then.hold.is_some());
                for track in &mut sides {
                    let decided = track.first(*place, past, first, &base, quirks);
                    track.take_first(*place, past, first, decided, held);
                }
                let decided = recorded.first(*place, past, first, &base, quirks);
                recorded.take_first(*place, past, first, decided, held);
            }
            Happened::DecidedAgain => {
                let Some(Ok(again)) = &past.again else {
                    continue;
                };
                let quirks = again.mis.quirks(registry).quirks;
                let released = again.own.released;
                if released {
                    for track in sides.iter_mut().chain([&mut recorded]) {
                        track.released(*place, past);
                    }
                }
                let base = recorded.recorded_again(past, again, quirks);
                for track in sides.iter_mut().chain([&mut recorded]) {
                    // A side that did not hold the mark has sent it long before.
                    if released && !track.holds(*place) {
                        continue;
                    }
                    if let Some(decided) = track.again(*place, past, again, &base, quirks) {
                        track.take_again(*place, past, decided);
                    }
                }
            }
            Happened::Accepted => {
                for track in sides.iter_mut().chain([&mut recorded]) {
                    track.accepted(*place, past);
                }
            }
            Happened::Settled => {
                let (mark, held) = (recorded.mark(*place, past), recorded.holds(*place));
                for track in sides.iter_mut().chain([&mut recorded]) {
                    track.settled(*place, past, mark.as_ref(), held);
                }
            }
        }
    }
    let [active_track, draft_track] = sides;
    Some(Report::of(
        active,
        draft,
        history,
        &recorded.outcomes,
        &active_track.outcomes,
        &draft_track.outcomes,
    ))
}

/// A session as the event's row names it.
fn key_of((student, day, session): &(String, String, String)) -> Option<side::Key> {
    let session = match session.as_str() {
        "AM" => Session::Am,
        _ => Session::Pm,
    };
    Some((
        StudentId::from(student.as_str()),
        day.parse().ok()?,
        session,
    ))
}

fn same_mis(one: &School, other: &School) -> bool {
    let link = |school: &School| {
        let link = school.link.as_deref()?;
        Some((link.adapter.clone(), link.settings.clone()))
    };
    one.mis == other.mis && link(one) == link(other)
}

/// The students' groups anew, if the draft has other conditions for members. `None` if they are the same, or if the people
/// are not known as the conditions need it.
async fn regrouped(
    store: &Store,
    active: &School,
    draft: &School,
    [one, other]: &[SchoolPart; 2],
    now: DateTime<Utc>,
) -> outbox::Result<Option<Regrouped>> {
    if one.members == other.members || active.persons.by != draft.persons.by {
        return Ok(None);
    }
    let Some(state) = store.roster(&active.id).await? else {
        return Ok(None);
    };
    let (by_active, by_draft) = (students(&state, active, now), students(&state, draft, now));
    let (Some(by_active), Some(by_draft)) = (by_active, by_draft) else {
        return Ok(None);
    };
    let groups = by_active.into_iter().map(|(student, active)| {
        let draft = by_draft.get(&student).copied().flatten();
        (StudentId::from(student), (active, draft))
    });
    Ok(Some(Regrouped {
        active_members: one.members.clone(),
        groups: groups.collect(),
    }))
}

/// The place of each student's group by the student's id at Wonde; `None` if a condition needs what was not read.
fn students(
    state: &RosterState,
    school: &School,
    now: DateTime<Utc>,
) -> Option<HashMap<String, Option<usize>>> {
    let today = now.with_timezone(&school.timezone).date_naive();
    let groups: Vec<GroupSettings> = school.groups.iter().map(Group::as_roster).collect();
    let place = |name: &str| groups.iter().position(|group| group.name == name);
    let found = state.students_by_group(&groups, today)?;
    Some(
        found
            .into_iter()
            .map(|(student, group)| (student, group.and_then(|name| place(&name))))
            .collect(),
    )
}
