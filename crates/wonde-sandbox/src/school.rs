//! One school: its people, its register, its writebacks and the token's access.

mod history;

use std::collections::{BTreeSet, HashSet};

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde_json::Value;

use crate::codes::{self, Code};
use crate::extraction::{Extraction, Window};
use crate::ids::{Ids, Kind};
use crate::mis::{self, Register, Shape};
use crate::register::{Entry, Key, Slot, Table};
use crate::wire::OpenChanges;
use crate::world::model::{Student, World};
use crate::world::timetable::{self, Lesson};
use crate::world::{self, Plan, names};
use crate::writeback::{Fate, State, Writeback, Writebacks};

/// A school's answer to the application's request for access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Access {
    /// Access was not requested.
    Unasked,
    /// Access was requested, without a response so far.
    Pending,
    /// Access is approved.
    Approved,
    /// Access was declined.
    Declined,
    /// Access was approved and then revoked.
    Revoked,
}

/// The inputs that schools are generated from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ground {
    pub(crate) seed: u64,
    pub(crate) pupils: u32,
    pub(crate) pupils_of_smallest: Option<u32>,
    pub(crate) history_days: u32,
    pub(crate) today: NaiveDate,
    pub(crate) start: DateTime<Utc>,
    pub(crate) extraction_every: TimeDelta,
    pub(crate) ids: Ids,
}

impl Ground {
    /// The number of pupils of a school.
    fn pupils_of(&self, school: u32) -> u32 {
        let Some(smallest) = self.pupils_of_smallest else {
            return self.pupils;
        };
        let (smallest, largest) = (f64::from(smallest), f64::from(self.pupils));
        // The golden ratio spreads the first few schools as evenly as thousands of them.
        let share = (f64::from(school) * 0.618_033_988_749_895).fract();
        let pupils = smallest * (largest / smallest).powf(share);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between two numbers of that type"
        )]
        let pupils = pupils.round() as u32;
        pupils
    }
}

/// A writeback that has just been settled, for webhooks.
#[derive(Clone, Debug)]
pub(crate) struct Settled {
    pub(crate) number: u32,
    pub(crate) status: String,
    pub(crate) sort: Register,
}

/// The times at which a school's sessions begin, in its local time.
#[derive(Clone, Copy, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hours {
    /// The start of the morning: lessons that end before it belong to no session. `None` if all lessons belong to one.
    #[serde(default)]
    pub morning_from: Option<NaiveTime>,
    /// The start of the afternoon.
    pub afternoon_from: NaiveTime,
}

impl Default for Hours {
    fn default() -> Self {
        Self {
            morning_from: None,
            afternoon_from: NaiveTime::from_hms_opt(12, 0, 0).unwrap_or_default(),
        }
    }
}

/// Days before the start for which lessons exist.
const LESSON_DAYS_BACK: i64 = 400;
/// The range of lesson numbers per day.
const LESSONS_A_DAY: u32 = 4_096;

/// The number of ids of one kind of people until all of them are renumbered.
const ERA: u32 = 1_000_000;

/// One school of the sandbox.
#[derive(Debug)]
pub(crate) struct School {
    pub(crate) n: u32,
    pub(crate) name: String,
    pub(crate) shape: &'static Shape,
    pub(crate) tz: Tz,
    pub(crate) access: Access,
    /// 0 for the region of the main address, 1 for the other.
    pub(crate) region: usize,
    pub(crate) ground: Ground,
    pub(crate) world: World,
    pub(crate) codes: Vec<Code>,
    /// Incremented when the MIS changes, which invalidates old code ids.
    pub(crate) code_era: u32,
    pub(crate) sessions: Table,
    pub(crate) lessons: Table,
    pub(crate) cancelled: HashSet<(NaiveDate, usize)>,
    pub(crate) hours: Hours,
    pub(crate) extraction: Extraction,
    pub(crate) writebacks: Writebacks,
    pub(crate) withdrawn: BTreeSet<String>,
    /// Records such as achievements that were written or deleted.
    pub(crate) open: OpenChanges,
    /// Values that the API returns instead of the MIS's: record id, JSON pointer, value.
    pub(crate) overrides: Vec<(String, String, Value)>,
    /// How often all people were renumbered.
    pub(crate) people_era: u32,
    pub(crate) settled: Vec<Settled>,
    /// The number of changes made by the school office.
    pub(crate) changes: u64,
    populated: bool,
}

impl School {
    /// Returns a school without people; they are generated on first access.
    pub(crate) fn new(n: u32, ground: Ground) -> Self {
        let shape = mis::of(n);
        let ending = match shape.phase {
            mis::Phase::Primary => "Primary School",
            mis::Phase::Secondary => "Academy",
            mis::Phase::Independent => "College",
        };
        Self {
            n,
            name: names::school(n, ending),
            shape,
            tz: shape.timezone.parse().unwrap_or(Tz::Europe__London),
            access: Access::Approved,
            region: 0,
            ground,
            world: World::default(),
            codes: Vec::new(),
            code_era: 0,
            overrides: Vec::new(),
            people_era: 0,
            sessions: Table::default(),
            lessons: Table::default(),
            cancelled: HashSet::new(),
            hours: Hours::default(),
            extraction: Extraction::new(ground.start, ground.extraction_every),
            writebacks: Writebacks::default(),
            withdrawn: BTreeSet::new(),
            open: OpenChanges::default(),
            settled: Vec::new(),
            changes: 0,
            populated: false,
        }
    }

    pub(crate) fn plan(&self) -> Plan {
        Plan {
            seed: self.ground.seed,
            school: self.n,
            pupils: self.ground.pupils_of(self.n),
            shape: self.shape,
            today: self.ground.today,
        }
    }

    /// Generates the school's people if necessary and applies everything that is due.
    pub(crate) fn wake(&mut self, now: DateTime<Utc>) {
        if !self.populated {
            self.populated = true;
            let plan = self.plan();
            self.world = world::generate(&plan);
            self.codes = codes::book(self.shape, self.n as usize * 7);
            history::write(self, &plan);
        }
        self.advance(now);
    }

    fn advance(&mut self, now: DateTime<Utc>) {
        while let Some((number, due)) = self.writebacks.next_due(now) {
            self.writebacks.shift();
            self.extract_through(due);
            self.apply(number, due);
            self.extract_through(due);
        }
        self.extract_through(now);
    }

    fn extract_through(&mut self, t: DateTime<Utc>) {
        if let Some(at) = self.extraction.advance(t) {
            self.copy(at);
        }
    }

    pub(crate) fn copy(&mut self, at: DateTime<Utc>) {
        self.sessions.copy(at);
        self.lessons.copy(at);
    }

    /// Extracts the register immediately, unless the MIS is offline. Returns whether it did.
    pub(crate) fn extract_now(&mut self, now: DateTime<Utc>) -> bool {
        let online = self.extraction.online(now);
        if online {
            self.extraction.now(now);
            self.copy(now);
        }
        online
    }

    /// Accepts a register and returns the writeback's number.
    pub(crate) fn accept(&mut self, mut writeback: Writeback) -> u32 {
        if let Some(window) = self.extraction.offline
            && window.holds(writeback.due)
        {
            writeback.due = window.until;
        }
        self.writebacks.accept(writeback)
    }

    fn apply(&mut self, number: u32, at: DateTime<Utc>) {
        let Some(writeback) = self.writebacks.get_mut(number) else {
            return;
        };
        let marks = std::mem::take(&mut writeback.marks);
        let sort = writeback.sort;
        let rejected = match &writeback.fate {
            Fate::Rejected(message) => Some(message.clone()),
            _ => self.shape.rejects(sort).map(str::to_owned),
        };
        let lost = matches!(writeback.fate, Fate::Lossy { .. });
        let mut errors = Vec::new();
        let mut kept = 0usize;
        if rejected.is_none() {
            for (place, key, entry) in marks {
                let done = match lost {
                    true if place == 0 => Err("The mark was lost."),
                    _ => self.keep(key, entry, number, at),
                };
                match done {
                    Ok(()) => kept += 1,
                    Err(why) => errors.push((place, why.to_owned())),
                }
            }
        }
        let words = self.shape.words;
        let Some(writeback) = self.writebacks.get_mut(number) else {
            return;
        };
        writeback.errors.extend(errors);
        writeback.settled = Some(at);
        writeback.state = if kept > 0 { State::Done } else { State::Failed };
        writeback.message =
            rejected.or_else(|| (kept == 0).then(|| "No mark could be stored.".to_owned()));
        let status = writeback.status(words, at).to_owned();
        self.settled.push(Settled {
            number,
            status,
            sort,
        });
    }

    /// Writes one mark into the MIS, within its limits.
    fn keep(
        &mut self,
        key: Key,
        mut entry: Entry,
        number: u32,
        at: DateTime<Utc>,
    ) -> Result<(), &'static str> {
        let today = self.day(at);
        if !self
            .world
            .students
            .get(key.student as usize)
            .is_some_and(|s| s.on_roll(today))
        {
            return Err("The student is not on roll.");
        }
        if !self.shape.comment {
            entry.comment = None;
        }
        if !self.shape.minutes_late {
            entry.minutes_late = None;
        }
        if let Slot::Lesson(place) = key.slot {
            if self.cancelled.contains(&(key.date, usize::from(place))) {
                return Err("The lesson does not take place.");
            }
            self.lessons.set(key, Some(entry), Some(number), at);
        } else {
            self.sessions.set(key, Some(entry), Some(number), at);
        }
        Ok(())
    }

    /// A teacher writes or clears a mark in the MIS.
    pub(crate) fn teacher_sets(&mut self, key: Key, entry: Option<Entry>, at: DateTime<Utc>) {
        match key.slot {
            Slot::Lesson(_) => self.lessons.set(key, entry, None, at),
            _ => self.sessions.set(key, entry, None, at),
        }
        if self.ground.extraction_every <= TimeDelta::zero() {
            self.extract_through(at);
        }
    }

    /// Takes the MIS offline until `until`, or back online.
    pub(crate) fn set_offline(&mut self, now: DateTime<Utc>, until: Option<DateTime<Utc>>) {
        match until {
            Some(until) => {
                self.extraction.offline = Some(Window { from: now, until });
                self.writebacks.hold_until(until);
            }
            None => {
                if let Some(window) = &mut self.extraction.offline
                    && window.holds(now)
                {
                    window.until = now;
                    self.writebacks.release(now);
                }
            }
        }
    }

    /// Stops extractions until `until`, or resumes them.
    pub(crate) fn set_frozen(&mut self, now: DateTime<Utc>, until: Option<DateTime<Utc>>) {
        self.extraction.frozen = until.map(|until| Window { from: now, until });
    }

    /// The date at the school.
    pub(crate) fn day(&self, t: DateTime<Utc>) -> NaiveDate {
        t.with_timezone(&self.tz).date_naive()
    }

    /// True unless this scope has been withdrawn.
    pub(crate) fn granted(&self, scope: &str) -> bool {
        !self.withdrawn.contains(scope)
    }

    pub(crate) fn id(&self, kind: Kind, n: usize) -> String {
        let n = u32::try_from(n).unwrap_or(u32::MAX);
        let n = n.saturating_add(self.first_of_era(kind));
        self.ground.ids.text(self.n, kind, n)
    }

    /// The position of a current id of this kind.
    pub(crate) fn place(&self, id: &str, kind: Kind) -> Option<usize> {
        let n = self.ground.ids.at(self.n, id, kind)?;
        n.checked_sub(self.first_of_era(kind) as usize)
            .filter(|n| *n < ERA as usize)
    }

    /// The number of an id of the kind `Misc`.
    pub(crate) fn place_of_misc(&self, id: &str) -> Option<usize> {
        self.ground.ids.at(self.n, id, Kind::Misc)
    }

    /// The first number of the current ids of a kind.
    fn first_of_era(&self, kind: Kind) -> u32 {
        match kind {
            Kind::Student | Kind::Contact | Kind::Employee => self.people_era * ERA,
            _ => 0,
        }
    }

    /// A code's id in the current code book.
    pub(crate) fn code_id(&self, code: usize) -> String {
        self.id(Kind::Code, self.code_era as usize * 1_000 + code)
    }

    /// The position of a code by its id at this school.
    pub(crate) fn find_code(&self, id: &str) -> Option<usize> {
        let n = self.ground.ids.at(self.n, id, Kind::Code)?;
        let code = n.checked_sub(self.code_era as usize * 1_000)?;
        (code < self.codes.len()).then_some(code)
    }

    /// The position of a code by its letter; of several, the first in use.
    pub(crate) fn find_letter(&self, letter: &str) -> Option<usize> {
        let in_use = |c: &Code| c.letter == letter && c.active != Some(false);
        self.codes.iter().position(in_use)
    }

    /// A pupil on roll by id.
    pub(crate) fn find_student(&self, id: &str, now: DateTime<Utc>) -> Option<usize> {
        let n = self.place(id, Kind::Student)?;
        let today = self.day(now);
        self.world
            .students
            .get(n)
            .is_some_and(|s| s.on_roll(today))
            .then_some(n)
    }

    fn first_lesson_day(&self) -> NaiveDate {
        self.ground.today - TimeDelta::days(LESSON_DAYS_BACK)
    }

    /// A lesson's id; lessons too far from the start have none.
    pub(crate) fn lesson_id(&self, date: NaiveDate, place: usize) -> Option<String> {
        let day = u32::try_from((date - self.first_lesson_day()).num_days()).ok()?;
        let n = day
            .checked_mul(LESSONS_A_DAY)?
            .checked_add(u32::try_from(place).ok()?)?;
        (n < 10_000_000).then(|| self.id(Kind::Lesson, n as usize))
    }

    /// A lesson that takes place, by id.
    pub(crate) fn find_lesson(&self, id: &str) -> Option<Lesson> {
        let n = self.ground.ids.at(self.n, id, Kind::Lesson)?;
        let days = i64::try_from(n / LESSONS_A_DAY as usize).ok()?;
        let date = self
            .first_lesson_day()
            .checked_add_signed(TimeDelta::days(days))?;
        let place = n % LESSONS_A_DAY as usize;
        self.world
            .lesson(date, place)
            .filter(|_| !self.cancelled.contains(&(date, place)))
    }

    /// When a lesson begins and ends.
    pub(crate) fn lesson_times(&self, lesson: &Lesson) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        let period = self.world.periods.get(lesson.period)?;
        Some((
            timetable::utc(self.tz, lesson.date, period.start),
            timetable::utc(self.tz, lesson.date, period.end),
        ))
    }

    /// The session whose mark this lesson carries for the pupil, if it is the pupil's first lesson in that session.
    pub(crate) fn carries_session(
        &self,
        student: usize,
        date: NaiveDate,
        place: usize,
    ) -> Option<Slot> {
        let this = self.world.lesson(date, place)?;
        let slot = self.session_of(&this)?;
        let first = self
            .world
            .pupils_lessons(student, date)
            .filter(|l| !self.cancelled.contains(&(date, l.place)))
            .filter(|l| self.session_of(l) == Some(slot))
            .min_by_key(|l| self.world.periods.get(l.period).map(|p| p.start))?;
        (first.place == place).then_some(slot)
    }

    /// The session in which a lesson begins. A lesson that ends before the morning has none.
    pub(crate) fn session_of(&self, lesson: &Lesson) -> Option<Slot> {
        let period = self.world.periods.get(lesson.period)?;
        if period.start >= self.hours.afternoon_from {
            Some(Slot::Afternoon)
        } else {
            let too_early = self
                .hours
                .morning_from
                .is_some_and(|from| period.end <= from);
            (!too_early).then_some(Slot::Morning)
        }
    }

    /// Pupils on roll, with their positions.
    pub(crate) fn on_roll(&self, now: DateTime<Utc>) -> impl Iterator<Item = (usize, &Student)> {
        let today = self.day(now);
        self.world
            .students
            .iter()
            .enumerate()
            .filter(move |(_, s)| s.on_roll(today))
    }
}
