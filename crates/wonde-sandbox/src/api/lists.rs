//! Everything that can be read below a school.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::Request;
use crate::ids::Kind;
use crate::paging::Lister;
use crate::query::Range;
use crate::register::Table;
use crate::reply::{Refusal, Reply};
use crate::wire::{Kinds, Resource, Row, View, data};
use crate::world::model::{Employee, Student};
use crate::world::night;
use crate::world::timetable::Lesson;

/// Answers a read below a school.
pub(crate) fn below(request: &Request<'_>, view: View<'_>, path: &[&str]) -> Reply {
    use Resource as R;
    let list = List { request, view };
    match path {
        ["students"] => list.students(),
        ["students-pre-admission"] => list.students_pre_admission(),
        ["students", id] => list.one(R::Student, Kind::Student, id),
        ["contacts"] => list.contacts(),
        ["contacts", id] => list.one(R::Contact, Kind::Contact, id),
        ["employees"] => list.employees(),
        ["employees", id] => list.one(R::Employee, Kind::Employee, id),
        ["groups"] => list.groups(),
        ["groups", id] => list.one(R::Group, Kind::Group, id),
        ["classes"] => list.classes(),
        ["classes", id] => list.one(R::Class, Kind::Class, id),
        ["periods"] => list.plain(R::Period, view.school.world.periods.len(), |n| {
            view.period(n)
        }),
        ["rooms"] => list.plain(R::Room, view.school.world.rooms.len(), |n| view.room(n)),
        ["subjects"] => list.plain(R::Subject, view.school.world.subjects.len(), |n| {
            view.subject(n)
        }),
        ["attendance-codes"] => {
            let codes = view.school.codes.iter().enumerate();
            let listed = codes.filter(|(_, code)| code.listed).map(|(n, _)| (n, n));
            list.page(R::Code, listed, |n| view.code(n))
        }
        ["lessons"] => list.lessons(),
        ["lessons", id] => list.one(R::Lesson, Kind::Lesson, id),
        ["attendance", "session"] => list.session_marks(),
        ["attendance", "lesson"] => list.lesson_marks(),
        ["attendance-summaries"] => list.summaries(),
        ["deletions"] => list.deletions(),
        ["counts"] => list.counts(),
        _ => Err(Refusal::not_found("address")),
    }
}

struct List<'a> {
    request: &'a Request<'a>,
    view: View<'a>,
}

impl List<'_> {
    fn page<T>(
        &self,
        resource: Resource,
        items: impl Iterator<Item = (usize, T)>,
        shape: impl FnMut(T) -> Value,
    ) -> Reply {
        self.view.allow(resource, &self.request.query.includes())?;
        let lister = Lister {
            url: self.request.url,
            query: self.request.query,
            per_page_max: self.request.inner.options.per_page_max as usize,
        };
        lister.page(items.map(|(n, item)| (n as u64, item)), shape)
    }

    /// A list without filters or includes.
    fn plain(&self, resource: Resource, len: usize, shape: impl FnMut(usize) -> Value) -> Reply {
        self.page(resource, (0..len).map(|n| (n, n)), shape)
    }

    fn one(&self, resource: Resource, kind: Kind, id: &str) -> Reply {
        let includes = self.request.query.includes();
        self.view.allow(resource, &includes)?;
        let school = self.view.school;
        let missing = || Refusal::not_found("record");
        if kind == Kind::Lesson {
            let lesson = school.find_lesson(id).ok_or_else(missing)?;
            return Ok(data(self.view.lesson(&lesson, &includes)));
        }
        let n = school.place(id, kind).ok_or_else(missing)?;
        let world = &school.world;
        let there = match kind {
            Kind::Student => school.find_student(id, self.view.now).is_some(),
            Kind::Contact => world
                .contacts
                .get(n)
                .is_some_and(|c| c.person.times.present()),
            Kind::Employee => world
                .employees
                .get(n)
                .is_some_and(|e| e.person.times.present()),
            Kind::Group => world.groups.get(n).is_some_and(|g| g.times.present()),
            _ => world.classes.get(n).is_some_and(|c| c.times.present()),
        };
        if !there {
            return Err(missing());
        }
        Ok(data(match kind {
            Kind::Student => self.view.student(n, &includes),
            Kind::Contact => self.view.contact(n, &includes),
            Kind::Employee => self.view.employee(n, &includes),
            Kind::Group => self.view.group(n, &includes),
            _ => self.view.class(n, &includes),
        }))
    }

    fn students(&self) -> Reply {
        let (updated, includes) = (self.request.query.updated()?, self.request.query.includes());
        let class = self.filter("has_class", Kind::Class);
        let group = self.filter("has_group", Kind::Group);
        let wanted = |s: &Student| {
            updated.holds(self.view.student_updated(s))
                && class.is_none_or(|c| c.is_some_and(|c| s.classes.contains(&c)))
                && group.is_none_or(|g| g.is_some_and(|g| s.groups().any(|own| own == g)))
        };
        let rows = self
            .view
            .school
            .on_roll(self.view.now)
            .filter(|(_, s)| wanted(s))
            .map(|(n, _)| (n, n));
        self.page(Resource::Student, rows, |n| self.view.student(n, &includes))
    }

    /// Pupils whose first day is yet to come.
    fn students_pre_admission(&self) -> Reply {
        let (updated, includes) = (self.request.query.updated()?, self.request.query.includes());
        let school = self.view.school;
        if !school.granted("students-pre-admission") {
            return Err(Refusal::forbidden("students-pre-admission"));
        }
        let today = school.day(self.view.now);
        let rows = school
            .world
            .students
            .iter()
            .enumerate()
            .filter(|(_, s)| s.person.times.present() && s.admission > today)
            .filter(|(_, s)| updated.holds(s.person.times.updated))
            .map(|(n, _)| (n, n));
        self.page(Resource::Student, rows, |n| self.view.student(n, &includes))
    }

    /// A filter by id: `None` if it is not asked for, `Some(None)` if it names nothing here.
    fn filter(&self, name: &str, kind: Kind) -> Option<Option<usize>> {
        let school = self.view.school;
        let id = self.request.query.get(name)?;
        Some(school.ground.ids.at(school.n, id, kind))
    }

    fn contacts(&self) -> Reply {
        let (updated, includes) = (self.request.query.updated()?, self.request.query.includes());
        let rows = self
            .view
            .school
            .world
            .contacts
            .iter()
            .enumerate()
            .filter(|(_, c)| c.person.times.present() && updated.holds(c.person.times.updated))
            .map(|(n, _)| (n, n));
        self.page(Resource::Contact, rows, |n| self.view.contact(n, &includes))
    }

    fn employees(&self) -> Reply {
        let query = self.request.query;
        let (updated, includes) = (query.updated()?, query.includes());
        let (role, class) = (query.get("has_role"), query.flag("has_class"));
        let world = &self.view.school.world;
        let teaches = |n: usize| world.classes.iter().any(|c| c.teacher == Some(n));
        let wanted = |n: usize, e: &Employee| {
            e.person.times.present()
                && updated.holds(e.person.times.updated)
                && role.is_none_or(|r| r == "true" || r.eq_ignore_ascii_case(e.role))
                && class.is_none_or(|c| teaches(n) == c)
        };
        let rows = world
            .employees
            .iter()
            .enumerate()
            .filter(|(n, e)| wanted(*n, e))
            .map(|(n, _)| (n, n));
        self.page(Resource::Employee, rows, |n| {
            self.view.employee(n, &includes)
        })
    }

    fn groups(&self) -> Reply {
        let (updated, includes) = (self.request.query.updated()?, self.request.query.includes());
        let rows = self
            .view
            .school
            .world
            .groups
            .iter()
            .enumerate()
            .filter(|(_, g)| g.times.present() && updated.holds(g.times.updated))
            .map(|(n, _)| (n, n));
        self.page(Resource::Group, rows, |n| self.view.group(n, &includes))
    }

    fn classes(&self) -> Reply {
        let (updated, includes) = (self.request.query.updated()?, self.request.query.includes());
        let rows = self
            .view
            .school
            .world
            .classes
            .iter()
            .enumerate()
            .filter(|(_, c)| c.times.present() && updated.holds(c.times.updated))
            .map(|(n, _)| (n, n));
        self.page(Resource::Class, rows, |n| self.view.class(n, &includes))
    }

    /// Lessons between the two times asked for; with one or none of them, of one week; of five weeks at most.
    fn lessons(&self) -> Reply {
        let query = self.request.query;
        let school = self.view.school;
        let includes = query.includes();
        let after = query.time("lessons_start_after")?;
        let before = query.time("lessons_start_before")?;
        let (from, to) = week(after, before, self.view.now);
        let (first, last) = (school.day(from), school.day(to));
        let days = first.iter_days().take_while(|d| *d <= last);
        let starts = |l: &Lesson| school.lesson_times(l).map(|t| t.0);
        let rows = days
            .flat_map(|day| school.world.lessons(day))
            .filter(|l| !school.cancelled.contains(&(l.date, l.place)))
            .filter(|l| starts(l).is_some_and(|t| from <= t && t <= to))
            .map(|l| (lesson_ordinal(&l), l));
        self.page(Resource::Lesson, rows, |l| self.view.lesson(&l, &includes))
    }

    fn session_marks(&self) -> Reply {
        let (updated, includes) = (self.request.query.updated()?, self.request.query.includes());
        let rows = marks(&self.view.school.sessions, updated);
        self.page(Resource::SessionMark, rows, |row| {
            self.view.session_mark(&row, &includes)
        })
    }

    fn lesson_marks(&self) -> Reply {
        let (updated, includes) = (self.request.query.updated()?, self.request.query.includes());
        let rows = marks(&self.view.school.lessons, updated);
        self.page(Resource::LessonMark, rows, |row| {
            self.view.lesson_mark(&row, &includes)
        })
    }

    fn summaries(&self) -> Reply {
        let includes = self.request.query.includes();
        let school = self.view.school;
        let mut kinds: BTreeMap<usize, Kinds> = BTreeMap::new();
        for (_, key, copied) in school.sessions.copies().chain(school.lessons.copies()) {
            if let Some(code) = copied
                .entry
                .code
                .and_then(|n| school.codes.get(usize::from(n)))
            {
                kinds
                    .entry(key.student as usize)
                    .or_default()
                    .add(code.kind);
            }
        }
        let rows = school.on_roll(self.view.now).map(|(n, _)| (n, n));
        self.page(Resource::Summary, rows, |n| {
            let counted = kinds.get(&n).copied().unwrap_or_default();
            self.view.summary(n, &counted, &includes)
        })
    }

    /// Top-level records that have gone; the filter is by when they went or came back.
    fn deletions(&self) -> Reply {
        let updated = self.request.query.updated()?;
        let mut gone = self.gone();
        gone.retain(|g| updated.holds(g.restored.unwrap_or(g.at)));
        gone.sort_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
        self.page(Resource::Deletion, gone.into_iter().enumerate(), |g| {
            json!({
                "type": g.sort,
                "id": g.id,
                "mis_id": g.mis_id,
                "deleted_at": self.view.time(g.at),
                "restored_at": self.view.maybe_time(g.restored),
            })
        })
    }

    fn gone(&self) -> Vec<Gone> {
        let school = self.view.school;
        let world = &school.world;
        let today = school.day(self.view.now);
        let mut gone = Vec::new();
        for (n, s) in world.students.iter().enumerate() {
            let left = s
                .leaving
                .filter(|last| *last < today)
                // A last day that was entered late counts from then.
                .map(|d| night(d + TimeDelta::days(1)).max(s.person.times.updated));
            let times = s.person.times;
            let removed = times.removed.map(|at| (at, times.restored));
            let left = left.filter(|_| times.present()).map(|at| (at, None));
            for (at, restored) in removed.into_iter().chain(left) {
                gone.push(Gone {
                    sort: "student",
                    id: school.id(Kind::Student, n),
                    mis_id: s.person.mis_id.clone(),
                    at,
                    restored,
                });
            }
        }
        let people = world
            .contacts
            .iter()
            .enumerate()
            .map(|(n, c)| ("contact", Kind::Contact, n, &c.person))
            .chain(
                world
                    .employees
                    .iter()
                    .enumerate()
                    .map(|(n, e)| ("employee", Kind::Employee, n, &e.person)),
            );
        for (sort, kind, n, person) in people {
            if let Some(at) = person.times.removed {
                gone.push(Gone {
                    sort,
                    id: school.id(kind, n),
                    mis_id: person.mis_id.clone(),
                    at,
                    restored: person.times.restored,
                });
            }
        }
        gone
    }

    fn counts(&self) -> Reply {
        let view = self.view;
        if !view.school.granted("counts") {
            return Err(Refusal::forbidden("counts"));
        }
        let world = &view.school.world;
        let mut counts = serde_json::Map::new();
        for (name, _) in self.request.query.includes().iter() {
            let count = match name {
                "students" => view.school.on_roll(view.now).count(),
                "contacts" => world
                    .contacts
                    .iter()
                    .filter(|c| c.person.times.present())
                    .count(),
                "employees" => world
                    .employees
                    .iter()
                    .filter(|e| e.person.times.present())
                    .count(),
                "groups" => world.groups.iter().filter(|g| g.times.present()).count(),
                "classes" => world.classes.iter().filter(|c| c.times.present()).count(),
                _ => return Err(Refusal::invalid_include(name)),
            };
            counts.insert(name.to_owned(), data(json!({ "count": count })));
        }
        Ok(json!({"data": counts, "meta": {"includes": self.request.query.includes().paths()}}))
    }
}

/// The marks of a register as the API's copy has them, of those that were updated then.
fn marks(register: &Table, updated: Range) -> impl Iterator<Item = (usize, Row<'_>)> {
    register
        .copies()
        .filter(move |(_, _, copied)| updated.holds(copied.updated))
        .map(|(number, key, copied)| {
            let row = Row {
                number,
                key,
                copied,
            };
            (number as usize, row)
        })
}

struct Gone {
    sort: &'static str,
    id: String,
    mis_id: String,
    at: DateTime<Utc>,
    restored: Option<DateTime<Utc>>,
}

/// Lessons never change places, so date and place make a stable order.
fn lesson_ordinal(lesson: &Lesson) -> usize {
    let day = lesson.date.signed_duration_since(NaiveDate::MIN).num_days();
    usize::try_from(day).unwrap_or_default() * 10_000 + lesson.place
}

fn week(
    after: Option<DateTime<Utc>>,
    before: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> (DateTime<Utc>, DateTime<Utc>) {
    let seven = TimeDelta::days(7);
    match (after, before) {
        (Some(a), Some(b)) => (
            a,
            b.min(a.checked_add_signed(TimeDelta::days(35)).unwrap_or(b)),
        ),
        (Some(a), None) => (a, a.checked_add_signed(seven).unwrap_or(a)),
        (None, Some(b)) => (b.checked_sub_signed(seven).unwrap_or(b), b),
        (None, None) => {
            let today = now.date_naive();
            let monday = today
                .week(chrono::Weekday::Mon)
                .checked_first_day()
                .unwrap_or(today);
            let start = monday.and_time(NaiveTime::MIN).and_utc();
            (start, start.checked_add_signed(seven).unwrap_or(start))
        }
    }
}
