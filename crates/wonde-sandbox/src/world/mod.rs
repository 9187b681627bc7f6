//! Generates a school from the seed: families, staff, groups and the timetable.

pub(crate) mod families;
pub(crate) mod model;
pub(crate) mod names;
pub(crate) mod staff;
pub(crate) mod timetable;

use chrono::{DateTime, Datelike, Days, NaiveDate, TimeDelta, Utc};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::mis::{Phase, Shape};
use model::{Group, GroupKind, Times, World};

/// The inputs of the generation.
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// Position of the school.
    pub(crate) school: u32,
    pub(crate) pupils: u32,
    pub(crate) shape: &'static Shape,
    /// The first day of the sandbox.
    pub(crate) today: NaiveDate,
}

impl Plan {
    /// The first of September in the school year of `today`.
    pub(crate) fn year_start(&self) -> NaiveDate {
        let year = self.today.year() - i32::from(self.today.month() < 9);
        NaiveDate::from_ymd_opt(year, 9, 1).unwrap_or(self.today)
    }

    /// When records without changes this term were last changed.
    pub(crate) fn settled(&self) -> DateTime<Utc> {
        let day = self.year_start().min(self.today - Days::new(14));
        night(day)
    }

    /// A random number generator for one purpose at this school.
    pub(crate) fn chance(&self, purpose: u64) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(u64::from(self.school) * 64 + purpose);
        rng
    }

    pub(crate) fn years(&self) -> std::ops::RangeInclusive<u8> {
        match self.shape.phase {
            Phase::Primary => 0..=6,
            Phase::Secondary | Phase::Independent => 7..=13,
        }
    }
}

/// Two in the morning of that day, when nightly jobs run.
pub(crate) fn night(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(chrono::NaiveTime::MIN).and_utc() + TimeDelta::hours(2)
}

/// An opaque identity that stays the same after a re-enrolment.
pub(crate) fn upi(rng: &mut ChaCha8Rng) -> String {
    format!("{:016x}{:016x}", rng.next_u64(), rng.next_u64())
}

/// Generates one school.
pub(crate) fn generate(plan: &Plan) -> World {
    let mut world = World {
        groups: fixed_groups(plan),
        ..World::default()
    };
    staff::hire(&mut world, plan);
    families::settle(&mut world, plan);
    registration_groups(&mut world, plan);
    staff::employ_parents(&mut world, plan);
    staff::appoint_tutors(&mut world);
    timetable::arrange(&mut world, plan);
    world
}

fn fixed_groups(plan: &Plan) -> Vec<Group> {
    let times = Times::at(plan.settled());
    let group = |kind, name: String, code: String| Group {
        kind,
        name,
        code,
        year: None,
        times,
    };
    let mut groups: Vec<Group> = plan
        .years()
        .map(|y| Group {
            year: Some(y),
            ..group(GroupKind::Year, year_name(y), year_code(y))
        })
        .collect();
    for house in ["Attenborough", "Brontë", "Curie", "Douglass"] {
        groups.push(group(
            GroupKind::House,
            house.to_owned(),
            house.chars().take(1).collect(),
        ));
    }
    if plan.shape.boards() {
        for house in ["School House", "Abbey House"] {
            groups.push(group(
                GroupKind::Boarding,
                house.to_owned(),
                house.chars().take(2).collect(),
            ));
        }
    }
    if plan.shape.campus {
        for (name, code) in [("Main Site", "MAIN"), ("Riverside", "RIV")] {
            groups.push(group(GroupKind::Campus, name.to_owned(), code.to_owned()));
        }
    }
    for (name, code) in [
        ("Breakfast Club", "BFC"),
        ("Orchestra", "ORCH"),
        ("School Council", "SC"),
    ] {
        groups.push(group(GroupKind::User, name.to_owned(), code.to_owned()));
    }
    groups
}

/// "R" or the number of a national curriculum year.
pub(crate) fn year_code(year: u8) -> String {
    match year {
        0 => "R".to_owned(),
        y => y.to_string(),
    }
}

fn year_name(year: u8) -> String {
    match year {
        0 => "Reception".to_owned(),
        y => format!("Year {y}"),
    }
}

/// Splits each year into registration groups of at most 28.
fn registration_groups(world: &mut World, plan: &Plan) {
    const LETTERS: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZ";
    for year in plan.years() {
        let pupils: Vec<usize> = (0..world.students.len())
            .filter(|&n| world.students.get(n).is_some_and(|s| s.year == year))
            .collect();
        let groups = pupils.len().div_ceil(28).max(1);
        let first = world.groups.len();
        for g in 0..groups {
            let letter = LETTERS
                .get(g)
                .map_or_else(|| format!("{}", g + 1), |l| char::from(*l).to_string());
            let code = format!("{}{letter}", year_code(year));
            world.groups.push(Group {
                kind: GroupKind::Registration,
                name: code.clone(),
                code,
                year: Some(year),
                times: Times::at(plan.settled()),
            });
        }
        for (turn, n) in pupils.into_iter().enumerate() {
            if let Some(student) = world.students.get_mut(n) {
                student.registration = first + turn % groups;
            }
        }
    }
}

/// Positions of the groups of one kind.
pub(crate) fn groups_of(world: &World, kind: GroupKind) -> Vec<usize> {
    world
        .groups
        .iter()
        .enumerate()
        .filter(|(_, g)| g.kind == kind && g.times.present())
        .map(|(n, _)| n)
        .collect()
}
