//! Compares the decisions with the marks in the schools' MIS.

use std::{cmp::Reverse, collections::BTreeMap, fmt};

use serde::Serialize;
use wonde_sandbox::MisMark;

use super::record::Record;
use markback::service::EventState;

/// The marks that one school's MIS holds.
pub(super) type Marks = BTreeMap<Place, Held>;

/// The place of a mark: pupil, day, and the session or lesson.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Place {
    student: String,
    date: String,
    session: String,
}

/// The content of a mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    code: String,
    comment: Option<String>,
    minutes_late: Option<u32>,
    /// The number of writes through Wonde.
    writes: u32,
}

/// The comparison.
#[derive(Debug, Default, Serialize)]
pub(super) struct Comparison {
    /// The number of compared marks.
    pub(super) compared: usize,
    /// The number of earlier marks without a decision.
    pub(super) untouched: usize,
    /// The differences.
    pub(super) differences: Vec<Difference>,
}

/// A difference.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Difference {
    school: String,
    #[serde(flatten)]
    place: Place,
    what: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place {
            student,
            date,
            session,
        } = &self.place;
        write!(
            f,
            "school {}, pupil {student}, {date} {session}: {}",
            self.school, self.what
        )
    }
}

/// The sandbox's data in our types.
pub(super) fn held(marks: &[MisMark]) -> Marks {
    let place = |mark: &MisMark| Place {
        student: mark.student_id.clone(),
        date: mark.date.to_string(),
        session: match (mark.session, &mark.lesson_id) {
            (Some(session), _) => session.to_owned(),
            (None, lesson) => format!("lesson {}", lesson.as_deref().unwrap_or_default()),
        },
    };
    marks
        .iter()
        .map(|mark| {
            let held = Held {
                code: mark.code.clone(),
                comment: mark.comment.clone(),
                minutes_late: mark.minutes_late.map(u32::from),
                writes: mark.writes,
            };
            (place(mark), held)
        })
        .collect()
}

impl Comparison {
    /// Compares school by school.
    pub(super) fn of(
        before: &BTreeMap<String, Marks>,
        after: &BTreeMap<String, Marks>,
        records: &[Record],
    ) -> Self {
        let mut comparison = Self::default();
        let empty = Marks::new();
        for (school, before) in before {
            let records: Vec<_> = records
                .iter()
                .filter(|record| record.school == *school)
                .collect();
            comparison.unsettled(school, &records);
            comparison.school(
                school,
                before,
                after.get(school).unwrap_or(&empty),
                &decided(&records),
            );
        }
        comparison
    }

    /// Whether there are no differences.
    pub(super) fn holds(&self) -> bool {
        self.differences.is_empty()
    }

    fn school(&mut self, school: &str, before: &Marks, after: &Marks, decided: &Marks) {
        for (place, decided) in decided {
            self.compared += 1;
            let what = match after.get(place) {
                None => Some(format!(
                    "{} was decided, but the MIS has no mark",
                    decided.code
                )),
                Some(held) => decided.unlike(held),
            };
            self.note(school, place, what);
        }
        for (place, held) in after
            .iter()
            .filter(|(place, _)| !decided.contains_key(place))
        {
            let what = match before.get(place) {
                None => Some(format!("the MIS has {}, which was not decided", held.code)),
                Some(before) => before.unlike(held),
            };
            self.untouched += usize::from(what.is_none());
            self.note(school, place, what);
        }
        for (place, held) in before {
            let gone =
                (!after.contains_key(place)).then(|| format!("the earlier {} is gone", held.code));
            self.note(school, place, gone);
        }
    }

    /// Without faults nothing is lost. The MIS can still reject a mark, as for a pupil without a lesson to hold it:
    /// this is reported, and then the mark must not be there.
    fn unsettled(&mut self, school: &str, records: &[&Record]) {
        use EventState::{Confirmed, Rejected, Skipped, Superseded};
        for record in records
            .iter()
            .filter(|record| !matches!(record.state, Confirmed | Rejected | Skipped | Superseded))
        {
            let why = record.outcome.as_deref().unwrap_or("no reason is known");
            let mark = record
                .decision
                .as_ref()
                .and_then(|decision| decision.mark.as_ref());
            let place = Place {
                student: record.student.clone().unwrap_or_default(),
                date: mark.map(|mark| mark.date.clone()).unwrap_or_default(),
                session: mark.map(|mark| mark.session.clone()).unwrap_or_default(),
            };
            let what = format!(
                "event {} ended as {}: {why}",
                record.id,
                record.state.as_str()
            );
            self.note(school, &place, Some(what));
        }
    }

    fn note(&mut self, school: &str, place: &Place, what: Option<String>) {
        let difference = |what| Difference {
            school: school.to_owned(),
            place: place.clone(),
            what,
        };
        self.differences.extend(what.map(difference));
    }
}

impl Held {
    /// The difference between another mark and this one, without the text of a comment.
    fn unlike(&self, other: &Self) -> Option<String> {
        let minutes = |held: &Self| match held.minutes_late {
            Some(minutes) => format!("{minutes} minutes late"),
            None => "no minutes late".to_owned(),
        };
        if self.code != other.code {
            Some(format!(
                "the MIS has {} instead of {}",
                other.code, self.code
            ))
        } else if self.minutes_late != other.minutes_late {
            Some(format!(
                "the MIS has {} instead of {}",
                minutes(other),
                minutes(self)
            ))
        } else if self.comment != other.comment {
            Some("the MIS has another comment".to_owned())
        } else if self.writes != other.writes {
            Some(format!(
                "it was written {} times instead of {}",
                other.writes, self.writes
            ))
        } else {
            None
        }
    }
}

/// The expected marks: the last accepted one of each place.
fn decided(records: &[&Record]) -> Marks {
    let mut taken: Vec<_> = records
        .iter()
        .filter(|record| record.state == EventState::Confirmed)
        .collect();
    taken.sort_by_key(|record| Reverse(record.accepted_at));
    let mut marks = Marks::new();
    for record in taken {
        let mark = record
            .decision
            .as_ref()
            .and_then(|decision| decision.mark.as_ref());
        let (Some(mark), Some(student)) = (mark, &record.student) else {
            continue;
        };
        let place = Place {
            student: student.clone(),
            date: mark.date.clone(),
            session: mark.session.clone(),
        };
        let held = marks.entry(place).or_insert_with(|| Held {
            code: mark.code.clone(),
            comment: mark.comment.clone(),
            minutes_late: mark.minutes_late,
            writes: 0,
        });
        held.writes += 1;
    }
    marks
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn place(session: &str) -> Place {
        Place {
            student: "P1".to_owned(),
            date: "2026-11-23".to_owned(),
            session: session.to_owned(),
        }
    }

    fn mark(code: &str, minutes_late: Option<u32>, writes: u32) -> Held {
        Held {
            code: code.to_owned(),
            comment: None,
            minutes_late,
            writes,
        }
    }

    fn record(id: &str, state: &str, accepted_at: &str, mark: Value) -> Record {
        serde_json::from_value(json!({
            "id": id, "school": "A", "state": state, "event": {}, "student": "P1", "lesson_id": null, "outcome": null,
            "accepted_at": accepted_at, "decision": {"outcome": "write", "mark": mark},
        }))
        .unwrap()
    }

    fn late(minutes: u32) -> Value {
        json!({"date": "2026-11-23", "session": "AM", "code": "L", "comment": null, "minutes_late": minutes})
    }

    fn compare(before: Marks, after: Marks, records: &[Record]) -> Comparison {
        let school = |marks| BTreeMap::from([("A".to_owned(), marks)]);
        Comparison::of(&school(before), &school(after), records)
    }

    #[test]
    fn the_last_accepted_mark_is_expected_and_all_others_unchanged() {
        let records = [
            record("e2", "confirmed", "2026-11-23T09:30:00Z", late(2)),
            record("e1", "confirmed", "2026-11-23T09:10:00Z", late(9)),
            record("e3", "superseded", "2026-11-23T09:40:00Z", late(1)),
        ];
        let old = (place("PM"), mark("I", None, 0));
        let before = Marks::from([old.clone(), (place("AM"), mark("N", None, 0))]);
        let after = Marks::from([old, (place("AM"), mark("L", Some(2), 2))]);
        let comparison = compare(before, after, &records);
        assert!(comparison.holds(), "{comparison:?}");
        assert_eq!((comparison.compared, comparison.untouched), (1, 1));
    }

    #[rstest]
    #[case(None, "the MIS has no mark")]
    #[case(Some(mark("U", Some(5), 1)), "U instead of L")]
    #[case(Some(mark("L", Some(6), 1)), "6 minutes late instead of 5")]
    #[case(Some(mark("L", None, 1)), "no minutes late")]
    #[case(Some(mark("L", Some(5), 2)), "written 2 times")]
    fn a_mark_that_differs_from_the_decision_is_reported(
        #[case] held: Option<Held>,
        #[case] told: &str,
    ) {
        let after = held.map(|held| (place("AM"), held)).into_iter().collect();
        let records = [record("e1", "confirmed", "2026-11-23T09:10:00Z", late(5))];
        let comparison = compare(Marks::new(), after, &records);
        assert_eq!(comparison.differences.len(), 1);
        assert!(
            comparison.differences[0].to_string().contains(told),
            "{comparison:?}"
        );
    }

    #[test]
    fn an_undecided_change_is_reported() {
        let there = Marks::from([(place("AM"), mark("N", None, 0))]);
        let other = Marks::from([(place("AM"), mark("L", None, 1))]);
        for (before, after, told) in [
            (Marks::new(), there.clone(), "was not decided"),
            (there.clone(), Marks::new(), "is gone"),
            (there, other, "L instead of N"),
        ] {
            let comparison = compare(before, after, &[]);
            assert!(
                comparison.differences[0].to_string().contains(told),
                "{comparison:?}"
            );
        }
    }

    #[test]
    fn an_event_that_did_not_settle_well_is_a_difference() {
        let records = [record("e1", "failed", "2026-11-23T09:10:00Z", late(5))];
        let comparison = compare(Marks::new(), Marks::new(), &records);
        assert!(
            comparison.differences[0]
                .to_string()
                .contains("ended as failed")
        );
    }

    #[test]
    fn a_rejected_mark_must_not_be_in_the_mis() {
        let records = [record("e1", "rejected", "2026-11-23T09:10:00Z", late(5))];
        assert!(compare(Marks::new(), Marks::new(), &records).holds());
        let there = Marks::from([(place("AM"), mark("L", Some(5), 1))]);
        assert!(!compare(Marks::new(), there, &records).holds());
    }
}
