//! A random school morning: arrivals, answers, and the delivery of their events.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use rand::{RngExt as _, SeedableRng as _, seq::SliceRandom as _};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::schools::School;

/// The morning's first minute: 08:30 on Monday 23 November 2026, in London, whatever day it is today.
pub(super) fn begins() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_422_600, 0).unwrap_or_default()
}

/// The duration of the morning.
pub(super) const LENGTH: TimeDelta = TimeDelta::minutes(150);

const LATE_REASON: &str = "Reason for being late";
const LEAVING_REASON: &str = "Reason for leaving";

/// All events of a morning, in the order in which they reach the service.
pub(super) struct Morning {
    pub(super) events: Vec<Planned>,
    /// A pupil of the SIMS school who has not arrived by the end.
    pub(super) absent: Option<String>,
}

/// One event and its delivery to the service.
pub(super) struct Planned {
    /// The position of the school in the list.
    pub(super) school: usize,
    pub(super) event: Event,
    /// When it reaches the service.
    pub(super) arrives: DateTime<Utc>,
    /// The response was lost: the same request is sent again.
    pub(super) resent: bool,
}

/// An event as a sign-in system sends it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Event {
    pub(super) id: String,
    person: String,
    kind: &'static str,
    at: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    answers: BTreeMap<&'static str, &'static str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    automatic: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    remote: bool,
}

/// The kinds of a person's morning, with their percentages.
#[derive(Clone, Copy, Debug)]
enum Plot {
    InTime,
    Late,
    VeryLate,
    LateForTheDoctor,
    Errand,
    Scooter,
    TappedTwice,
    LeavesForTheDentist,
    LateAndLeavesForTheDentist,
    LateAndGoesHomeIll,
    OutAndBack,
    KioskWasOffline,
    SignedOutByTheSystem,
    Remote,
    Staff,
}

const PLOTS: [(Plot, u32); 15] = [
    (Plot::InTime, 46),
    (Plot::Late, 15),
    (Plot::VeryLate, 7),
    (Plot::LateForTheDoctor, 4),
    (Plot::Errand, 2),
    (Plot::Scooter, 2),
    (Plot::TappedTwice, 3),
    (Plot::LeavesForTheDentist, 3),
    (Plot::LateAndLeavesForTheDentist, 4),
    (Plot::LateAndGoesHomeIll, 3),
    (Plot::OutAndBack, 2),
    (Plot::KioskWasOffline, 3),
    (Plot::SignedOutByTheSystem, 2),
    (Plot::Remote, 1),
    (Plot::Staff, 3),
];

impl Morning {
    /// Draws the given number of events. The same seed draws the same events.
    pub(super) fn draw(schools: &[School], seed: u64, events: usize) -> Self {
        let mut draw = Draw {
            chance: ChaCha8Rng::seed_from_u64(seed),
            events: Vec::with_capacity(events + 2),
        };
        let mut cast: Vec<_> = schools
            .iter()
            .enumerate()
            .flat_map(|(at, school)| (0..school.pupils.len()).map(move |pupil| (at, pupil)))
            .collect();
        cast.shuffle(&mut draw.chance);
        for &(at, pupil) in cast.iter().cycle() {
            if draw.events.len() >= events || cast.is_empty() {
                break;
            }
            let Some(school) = schools.get(at) else {
                continue;
            };
            draw.person(at, school, pupil);
        }
        draw.events.truncate(events);
        let came = |id: &String| {
            draw.events
                .iter()
                .any(|planned| planned.event.person == *id)
        };
        let absent = schools.first().and_then(|school| {
            let lower = school
                .pupils
                .iter()
                .filter(|(_, year)| !matches!(year.as_str(), "12" | "13"));
            lower.map(|(id, _)| id).find(|id| !came(id)).cloned()
        });
        draw.events.sort_by_key(|planned| planned.arrives);
        Self {
            events: draw.events,
            absent,
        }
    }
}

/// The events drawn so far.
struct Draw {
    chance: ChaCha8Rng,
    events: Vec<Planned>,
}

impl Draw {
    fn person(&mut self, at: usize, school: &School, pupil: usize) {
        let Some((person, year)) = school.pupils.get(pupil) else {
            return;
        };
        // Only years 7 to 11 answer more than the reason for being late.
        let asked = year.parse().is_ok_and(|year: u8| (7..=11).contains(&year));
        let older = matches!(year.as_str(), "12" | "13");
        match self.plot() {
            Plot::Late | Plot::VeryLate | Plot::LateForTheDoctor if older => {
                let when = self.minutes(32, 90);
                self.sign_in(at, person, when, None);
            }
            Plot::Late => self.late(at, person),
            Plot::VeryLate => {
                let when = self.minutes(51, 120);
                let reason = self.one_of(&[Some("Bus"), Some("Overslept"), None]);
                self.sign_in(at, person, when, reason);
            }
            Plot::LateForTheDoctor => {
                let when = self.minutes(35, 110);
                self.sign_in(at, person, when, Some("M - Medical appointment"));
            }
            Plot::Errand if asked => {
                let when = self.minutes(31, 60);
                self.sign_in(at, person, when, Some("Sent on an errand"));
            }
            Plot::Scooter if asked => {
                let when = self.minutes(31, 48);
                self.sign_in(at, person, when, Some("E-scooter broke down"));
            }
            Plot::TappedTwice => {
                let when = self.minutes(5, 28);
                self.sign_in(at, person, when, None);
                self.sign_in(at, person, when + TimeDelta::seconds(4), None);
            }
            Plot::LeavesForTheDentist if asked => {
                let when = self.minutes(5, 28);
                self.sign_in(at, person, when, None);
                let when = self.minutes(95, 145);
                self.sign_out(at, person, when, Some("M - Dentist"));
            }
            Plot::LateAndLeavesForTheDentist if asked => {
                self.late(at, person);
                let when = self.minutes(95, 145);
                self.sign_out(at, person, when, Some("M - Dentist"));
            }
            Plot::LateAndGoesHomeIll if asked => {
                self.late(at, person);
                let when = self.minutes(95, 145);
                self.sign_out(at, person, when, Some("Going home ill"));
            }
            Plot::OutAndBack => {
                let when = self.minutes(32, 45);
                self.sign_in(at, person, when, None);
                let when = self.minutes(100, 145);
                self.sign_in(at, person, when, None);
            }
            Plot::KioskWasOffline => {
                let early = self.minutes(5, 28);
                let seen_again = self.minutes(40, 70);
                self.sign_in(at, person, seen_again, None);
                self.sign_in(at, person, early, None);
                self.delay_last(seen_again + TimeDelta::minutes(20));
            }
            Plot::SignedOutByTheSystem => {
                let when = self.minutes(5, 28);
                self.sign_in(at, person, when, None);
                let when = self.minutes(120, 148);
                self.sign_out(at, person, when, None);
                self.change_last(|event| event.automatic = true);
            }
            Plot::Remote => {
                let when = self.minutes(5, 60);
                self.sign_in(at, person, when, None);
                self.change_last(|event| event.remote = true);
            }
            Plot::Staff if !school.staff.is_empty() => {
                let one = self.chance.random_range(0..school.staff.len());
                let when = self.minutes(0, 25);
                if let Some(person) = school.staff.get(one) {
                    self.sign_in(at, person, when, None);
                }
            }
            // Arrivals in time, and people without further questions.
            _ => {
                let when = self.minutes(2, 29);
                self.sign_in(at, person, when, None);
            }
        }
    }

    fn late(&mut self, at: usize, person: &str) {
        let when = self.minutes(31, 49);
        let reason = self.one_of(&[Some("Bus"), Some("Overslept"), None]);
        self.sign_in(at, person, when, reason);
    }

    fn plot(&mut self) -> Plot {
        let whole = PLOTS.iter().map(|(_, share)| share).sum();
        let mut left = self.chance.random_range(0..whole);
        for (plot, share) in PLOTS {
            if left < share {
                return plot;
            }
            left -= share;
        }
        Plot::InTime
    }

    fn sign_in(&mut self, at: usize, person: &str, when: TimeDelta, answer: Option<&'static str>) {
        let answers = answer.map(|answer| (LATE_REASON, answer));
        self.add(at, person, "sign_in", when, answers);
    }

    fn sign_out(&mut self, at: usize, person: &str, when: TimeDelta, answer: Option<&'static str>) {
        let answers = answer.map(|answer| (LEAVING_REASON, answer));
        self.add(at, person, "sign_out", when, answers);
    }

    fn add(
        &mut self,
        school: usize,
        person: &str,
        kind: &'static str,
        when: TimeDelta,
        answers: Option<(&'static str, &'static str)>,
    ) {
        let when = begins() + when;
        let on_its_way = TimeDelta::seconds(self.chance.random_range(1..20));
        self.events.push(Planned {
            school,
            arrives: when + on_its_way,
            resent: self.chance.random_ratio(1, 40),
            event: Event {
                id: format!("e{}", self.events.len() + 1),
                person: person.to_owned(),
                kind,
                at: when.to_rfc3339_opts(SecondsFormat::Secs, true),
                answers: answers.into_iter().collect(),
                automatic: false,
                remote: false,
            },
        });
    }

    fn change_last(&mut self, change: impl FnOnce(&mut Event)) {
        if let Some(last) = self.events.last_mut() {
            change(&mut last.event);
        }
    }

    fn delay_last(&mut self, until: TimeDelta) {
        if let Some(last) = self.events.last_mut() {
            last.arrives = begins() + until;
        }
    }

    /// A random time between two minutes of the morning.
    fn minutes(&mut self, from: i64, to: i64) -> TimeDelta {
        TimeDelta::seconds(self.chance.random_range(from * 60..to * 60))
    }

    fn one_of<T: Copy>(&mut self, choices: &[T; 3]) -> T {
        choices[self.chance.random_range(0..3)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schools() -> Vec<School> {
        let school = |n: usize| School {
            id: format!("A{n}"),
            name: "School".to_owned(),
            mis: "SIMS".to_owned(),
            pupils: (0..90)
                .map(|p| (format!("P{n}-{p}"), (7 + p % 7).to_string()))
                .collect(),
            staff: vec![format!("S{n}")],
        };
        vec![school(0), school(1), school(2)]
    }

    fn texts(morning: &Morning) -> Vec<String> {
        let events = morning.events.iter();
        events
            .map(|planned| serde_json::to_string(&planned.event).unwrap())
            .collect()
    }

    #[test]
    fn a_morning_begins_at_half_past_eight_on_a_monday() {
        assert_eq!(begins().to_rfc3339(), "2026-11-23T08:30:00+00:00");
    }

    #[test]
    fn the_same_seed_gives_the_same_morning() {
        let draw = |seed| texts(&Morning::draw(&schools(), seed, 300));
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn a_morning_has_the_requested_number_of_distinct_events() {
        for count in [1, 2, 250, 1000] {
            let morning = Morning::draw(&schools(), 1, count);
            let ids: std::collections::BTreeSet<_> = morning
                .events
                .iter()
                .map(|planned| &planned.event.id)
                .collect();
            assert_eq!((morning.events.len(), ids.len()), (count, count));
            for planned in &morning.events {
                assert!(planned.arrives >= begins() && planned.arrives <= begins() + LENGTH);
            }
        }
    }

    #[test]
    fn an_empty_school_has_no_events() {
        assert!(Morning::draw(&[], 1, 5).events.is_empty());
    }
}
