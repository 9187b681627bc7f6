//! The timetable: periods, classes and the week's lessons. The lessons of a date are computed, not stored.

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, Offset, TimeZone, Utc};
use chrono_tz::Tz;
use rand::seq::{IndexedRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::Plan;
use super::model::{Class, GroupKind, Period, Times, World};
use super::{groups_of, year_code};
use crate::mis::Phase;

/// Start and end of the five periods of a day, by the school's clock.
const DAY: [((u32, u32), (u32, u32)); 5] = [
    ((8, 50), (9, 50)),
    ((9, 50), (10, 50)),
    ((11, 10), (12, 10)),
    ((13, 0), (14, 0)),
    ((14, 0), (15, 0)),
];

/// The subjects of years 7 to 11, and their number of periods among the week's 25.
const SUBJECTS: [(&str, &str, usize); 12] = [
    ("English", "En", 4),
    ("Mathematics", "Ma", 4),
    ("Science", "Sc", 4),
    ("History", "Hi", 2),
    ("Geography", "Gg", 2),
    ("French", "Fr", 2),
    ("Physical Education", "Pe", 2),
    ("Art", "Ar", 1),
    ("Music", "Mu", 1),
    ("Computing", "Co", 1),
    ("Religious Education", "Re", 1),
    ("Design and Technology", "Dt", 1),
];

/// Option blocks of the sixth form: two subjects each, five periods; a pupil takes three of the four, so has free
/// periods.
const BLOCKS: [[usize; 2]; 4] = [[0, 1], [2, 3], [4, 5], [7, 9]];

fn time(h: u32, m: u32) -> NaiveTime {
    NaiveTime::from_hms_opt(h, m, 0).unwrap_or(NaiveTime::MIN)
}

/// Assigns pupils to classes and classes to periods.
pub(crate) fn arrange(world: &mut World, plan: &Plan) {
    let mut rng = plan.chance(4);
    world.rooms = (0..(plan.pupils / 25).max(20))
        .map(|n| format!("{}{:02}", ["A", "B", "C", "H"][n as usize % 4], n / 4 + 1))
        .collect();
    world.subjects = SUBJECTS
        .iter()
        .map(|(name, code, _)| (*name, *code))
        .collect();
    if plan.shape.phase == Phase::Primary {
        primary_classes(world, plan, &mut rng);
        return;
    }
    world.periods = periods();
    for year in plan.years() {
        match year {
            ..=11 => lower_school(world, plan, year, &mut rng),
            _ => sixth_form(world, plan, year, &mut rng),
        }
    }
    lay_out_week(world);
}

fn periods() -> Vec<Period> {
    let mut all = Vec::new();
    for weekday in 0..5u8 {
        for (number, ((h1, m1), (h2, m2))) in (0..).zip(DAY) {
            all.push(Period {
                name: format!(
                    "{}:{}",
                    ["Mon", "Tue", "Wed", "Thu", "Fri"][usize::from(weekday)],
                    number + 1
                ),
                weekday,
                start: time(h1, m1),
                end: time(h2, m2),
            });
        }
    }
    all
}

fn new_class(
    world: &World,
    plan: &Plan,
    rng: &mut ChaCha8Rng,
    name: String,
    subject: Option<usize>,
) -> Class {
    let teachers: Vec<usize> = world
        .employees
        .iter()
        .enumerate()
        .filter(|(_, e)| e.teaching && e.end.is_none())
        .map(|(n, _)| n)
        .collect();
    let rooms: Vec<usize> = (0..world.rooms.len()).collect();
    Class {
        name,
        subject,
        teacher: teachers.choose(rng).copied(),
        room: rooms.choose(rng).copied().unwrap_or_default(),
        slots: Vec::new(),
        times: Times::at(plan.settled()),
    }
}

fn primary_classes(world: &mut World, plan: &Plan, rng: &mut ChaCha8Rng) {
    for group in groups_of(world, GroupKind::Registration) {
        let Some(code) = world.groups.get(group).map(|g| g.code.clone()) else {
            continue;
        };
        let place = world.classes.len();
        let class = new_class(world, plan, rng, format!("Class {code}"), None);
        world.classes.push(class);
        for student in world
            .students
            .iter_mut()
            .filter(|s| s.registration == group)
        {
            student.classes.push(place);
        }
    }
}

fn pupils_of(world: &World, year: u8) -> Vec<usize> {
    (0..world.students.len())
        .filter(|&n| world.students.get(n).is_some_and(|s| s.year == year))
        .collect()
}

fn week_in_any_order(rng: &mut ChaCha8Rng) -> Vec<(u8, u8)> {
    let mut slots: Vec<(u8, u8)> = (0..5).flat_map(|d| (0..5).map(move |p| (d, p))).collect();
    slots.shuffle(rng);
    slots
}

/// Years 7 to 11: every pupil has a lesson in every period; mathematics is set by ability, the rest by turn.
fn lower_school(world: &mut World, plan: &Plan, year: u8, rng: &mut ChaCha8Rng) {
    let mut pupils = pupils_of(world, year);
    let sets = pupils.len().div_ceil(28).max(1);
    let mut slots = week_in_any_order(rng).into_iter();
    for (subject, (_, code, times)) in SUBJECTS.iter().enumerate() {
        let when: Vec<(u8, u8)> = slots.by_ref().take(*times).collect();
        let first = world.classes.len();
        for set in 0..sets {
            let name = format!("{}{code}{}", year_code(year), set + 1);
            let mut class = new_class(world, plan, rng, name, Some(subject));
            class.slots = when.clone();
            world.classes.push(class);
        }
        if *code == "Ma" {
            pupils.shuffle(rng);
        }
        for (turn, &n) in pupils.iter().enumerate() {
            if let Some(student) = world.students.get_mut(n) {
                student.classes.push(first + turn % sets);
            }
        }
    }
}

/// Years 12 and 13: three of four option blocks each, so days begin and end at different times.
fn sixth_form(world: &mut World, plan: &Plan, year: u8, rng: &mut ChaCha8Rng) {
    let pupils = pupils_of(world, year);
    let mut slots = week_in_any_order(rng).into_iter();
    for (b, block) in BLOCKS.iter().enumerate() {
        let when: Vec<(u8, u8)> = slots.by_ref().take(5).collect();
        let mut takers: Vec<usize> = pupils
            .iter()
            .copied()
            .filter(|n| n % BLOCKS.len() != b)
            .collect();
        takers.shuffle(rng);
        let sets = takers.len().div_ceil(40).max(1);
        let first = world.classes.len();
        for set in 0..sets {
            for &subject in block {
                let code = SUBJECTS.get(subject).map_or("", |s| s.1);
                let name = format!("{}{code}{}", year_code(year), set + 1);
                let mut class = new_class(world, plan, rng, name, Some(subject));
                class.slots = when.clone();
                world.classes.push(class);
            }
        }
        let classes = sets * block.len();
        for (turn, n) in takers.into_iter().enumerate() {
            if let Some(student) = world.students.get_mut(n) {
                student.classes.push(first + turn % classes);
            }
        }
    }
}

fn lay_out_week(world: &mut World) {
    for (class, c) in world.classes.iter().enumerate() {
        for &(weekday, number) in &c.slots {
            let period = usize::from(weekday) * DAY.len() + usize::from(number);
            if let Some(day) = world.week.get_mut(usize::from(weekday)) {
                day.push((class, period));
            }
        }
    }
    for day in &mut world.week {
        day.sort_unstable_by_key(|&(class, period)| (period, class));
    }
}

/// One lesson on one date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lesson {
    pub(crate) date: NaiveDate,
    /// The position among the lessons of its weekday.
    pub(crate) place: usize,
    pub(crate) class: usize,
    pub(crate) period: usize,
}

/// Monday to Friday as a position in the week.
pub(crate) fn weekday(date: NaiveDate) -> Option<usize> {
    let day = date.weekday().num_days_from_monday() as usize;
    (day < 5).then_some(day)
}

impl World {
    /// The lessons of a date, ordered by time; none at weekends.
    pub(crate) fn lessons(&self, date: NaiveDate) -> impl Iterator<Item = Lesson> + '_ {
        weekday(date)
            .and_then(|d| self.week.get(d))
            .into_iter()
            .flatten()
            .enumerate()
            .map(move |(place, &(class, period))| Lesson {
                date,
                place,
                class,
                period,
            })
    }

    /// The lesson at a position on a date.
    pub(crate) fn lesson(&self, date: NaiveDate, place: usize) -> Option<Lesson> {
        let &(class, period) = self.week.get(weekday(date)?)?.get(place)?;
        Some(Lesson {
            date,
            place,
            class,
            period,
        })
    }

    /// All lessons of a pupil on a date, ordered by time.
    pub(crate) fn pupils_lessons(
        &self,
        student: usize,
        date: NaiveDate,
    ) -> impl Iterator<Item = Lesson> + '_ {
        let classes = self
            .students
            .get(student)
            .map(|s| s.classes.as_slice())
            .unwrap_or_default();
        self.lessons(date)
            .filter(move |l| classes.contains(&l.class))
    }
}

/// Converts a local time to UTC; a time in the hour that summer time skips becomes an hour later.
pub(crate) fn utc(tz: Tz, date: NaiveDate, at: NaiveTime) -> DateTime<Utc> {
    let local = date.and_time(at);
    tz.from_local_datetime(&local).earliest().map_or_else(
        || {
            let offset = tz.offset_from_utc_datetime(&local).fix();
            (local - offset).and_utc()
        },
        |t| t.with_timezone(&Utc),
    )
}
