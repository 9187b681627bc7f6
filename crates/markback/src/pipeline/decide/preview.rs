//! What deciding events now would do, without doing it: for somebody who wants to know before they act.

use std::collections::HashSet;

use mis_core::StudentId;
use roster::PersonMatch;
use writeback::{Decision, Event};

use super::{Decider, Look};
use crate::{
    ledger::Change,
    mirror::MaxAge,
    people::{nobody, person_of, several},
    pipeline::{Workers, planned::PlannedMark},
    settings::{Group, School},
    store::LedgerKey,
};

/// An event to decide for a preview.
pub(crate) struct Asked {
    pub(crate) event: Event,
    /// Its held mark, if the question is what becomes of that when it is released.
    pub(crate) planned: Option<PlannedMark>,
}

/// What would be decided about an event.
#[derive(Debug)]
pub(crate) enum Expected {
    /// This.
    Decided(Box<Decision>),
    /// It depends on an earlier one of these events, of the same pupil's session.
    Behind,
    /// It cannot be decided now, for this reason.
    Unknown(String),
}

/// An event that is taken for withdrawn.
pub(crate) struct Withdrawing<'a> {
    pub(crate) event: &'a str,
    /// Whether its mark may be in the MIS.
    pub(crate) may_stand: bool,
}

/// An event whose person is known.
struct Case<'a> {
    asked: &'a Asked,
    student: StudentId,
    group: Option<&'a Group>,
    key: Option<LedgerKey>,
}

impl Workers {
    /// What would be decided about these events of one school now, one after the other. Nothing is stored, except what is
    /// read of the register on the way.
    pub(crate) async fn preview(
        &self,
        school: &School,
        asked: &[Asked],
    ) -> outbox::Result<Vec<Expected>> {
        self.preview_without(school, asked, None).await
    }

    /// The same, as if this event, if any, had been withdrawn. Events that would be decided anew then, because that one no longer
    /// counts, are left as they are.
    pub(crate) async fn preview_without(
        &self,
        school: &School,
        asked: &[Asked],
        withdrawn: Option<&Withdrawing<'_>>,
    ) -> outbox::Result<Vec<Expected>> {
        self.decider.preview(school, asked, withdrawn).await
    }
}

impl Decider {
    async fn preview(
        &self,
        school: &School,
        asked: &[Asked],
        withdrawn: Option<&Withdrawing<'_>>,
    ) -> outbox::Result<Vec<Expected>> {
        let unknown = |why: &str| {
            let all = asked.iter().map(|_| Expected::Unknown(why.to_owned()));
            Ok(all.collect())
        };
        let Some(directory) = self.people.of(&school.id).await? else {
            return unknown("the school's people have not been read yet");
        };
        let cases: Vec<_> = asked
            .iter()
            .map(|asked| {
                if let Some(planned) = &asked.planned {
                    return Ok(Case {
                        asked,
                        student: planned.mark.student.clone(),
                        group: school.group(&planned.group),
                        key: Some(planned.ledger_key(school.id.as_str())),
                    });
                }
                let entry = match person_of(school, &directory, &asked.event) {
                    PersonMatch::One(entry) => entry,
                    PersonMatch::Nobody => return Err(nobody(school, &asked.event)),
                    PersonMatch::Several(people) => return Err(several(&people).0),
                };
                let group = entry.group.as_deref().and_then(|name| school.group(name));
                let student = StudentId::from(entry.id.as_str());
                let session = group
                    .and_then(|group| group.rules.as_ref())
                    .and_then(|rules| rules.session_of(asked.event.at, school.timezone));
                let key = session.map(|(date, session)| LedgerKey {
                    school: school.id.to_string(),
                    student: student.clone(),
                    date,
                    session,
                });
                Ok(Case {
                    asked,
                    student,
                    group,
                    key,
                })
            })
            .collect();
        let known = || cases.iter().filter_map(|case| case.as_ref().ok());
        let keys: Vec<_> = known().filter_map(|case| case.key.clone()).collect();
        let mut context = match self.contexts.read(school, &keys, MaxAge::Window).await? {
            Ok(context) => context,
            Err(error) => return unknown(&error.to_string()),
        };
        let taps: Vec<_> = known()
            .filter_map(|case| {
                let rules = case.group?.rules.as_ref()?;
                Some((&case.asked.event, rules.shortest_stay()?))
            })
            .collect();
        let mut previous = self.store.events_before(school.id.as_str(), &taps).await?;
        let now = self.now();
        if let Some(withdrawn) = withdrawn {
            let change = Change::Withdraw {
                event: withdrawn.event.to_owned(),
                may_stand: withdrawn.may_stand,
            };
            for row in context.ledger.values_mut() {
                row.apply(&change, now);
            }
            previous.retain(|_, previous| previous.event != withdrawn.event);
        }
        let mut taken = HashSet::new();
        let expected = cases.into_iter().map(|case| {
            let case = match case {
                Ok(case) => case,
                Err(why) => return Expected::Unknown(why),
            };
            let (event, key) = (&case.asked.event, case.key.as_ref());
            if key.is_some_and(|key| !taken.insert(key.clone())) {
                return Expected::Behind;
            }
            let look = match &case.asked.planned {
                Some(planned) => Look::Again(planned),
                None => Look::First {
                    previous: previous.remove(&event.id),
                },
            };
            let decided = context.decide(event, &case.student, case.group, key, now, look);
            Expected::Decided(Box::new(decided.decision))
        });
        Ok(expected.collect())
    }
}
