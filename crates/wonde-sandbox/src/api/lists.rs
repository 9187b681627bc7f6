//! Reads of everything below a school.

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::Request;
use crate::ids::Kind;
use crate::paging::Lister;
use crate::query::{Includes, Range};
use crate::register::Table;
use crate::reply::{Rejection, Reply};
use crate::resources::{DELETION, LEAVER_MARK, LESSON_MARK, Resource, SUMMARY};
use crate::school::School;
use crate::wire::{Row, View, data};
use crate::world::model::{Class, Employee, Student};
use crate::world::night;
use crate::world::timetable::Lesson;

/// Responds to a read below a school.
pub(crate) fn below(request: &Request<'_>, view: View<'_>, path: &[&str]) -> Reply {
    let missing = || Rejection::not_found("address");
    let (resource, id) = match path {
        ["counts"] => return counts(request, view),
        path => Resource::find(path).ok_or_else(missing)?,
    };
    let list = List {
        request,
        view,
        resource,
        updated: request.query.updated()?,
        includes: request.query.includes(),
    };
    view.allow(resource, &list.includes)?;
    match id {
        None => {
            request.query.only(resource.filters)?;
            list.all()
        }
        Some(_) if std::ptr::eq(resource, &DELETION) => Err(missing()),
        Some(id) => {
            request.query.only(&[])?;
            list.one(id)
        }
    }
}

/// Rejects a request without the scope.
fn granted(school: &School, scope: &str) -> Result<(), Rejection> {
    school
        .granted(scope)
        .then_some(())
        .ok_or_else(|| Rejection::forbidden(scope))
}

struct List<'a> {
    request: &'a Request<'a>,
    view: View<'a>,
    resource: &'static Resource,
    updated: Range,
    includes: Includes,
}

impl List<'_> {
    fn is(&self, resource: &Resource) -> bool {
        std::ptr::eq(self.resource, resource)
    }

    fn all(&self) -> Reply {
        match self.resource.kind {
            Kind::SessionMark => self.page(self.marks(&self.view.school.sessions), |row| {
                self.mark(&row)
            }),
            Kind::LessonMark => {
                self.page(self.marks(&self.view.school.lessons), |row| self.mark(&row))
            }
            Kind::Lesson => self.lessons(),
            _ if self.is(&DELETION) => self.deletions(),
            _ => {
                let places = self.places()?.into_iter();
                self.page(places.map(|n| (n, n)), |n| self.record(n))
            }
        }
    }

    fn page<T>(
        &self,
        items: impl Iterator<Item = (usize, T)>,
        shape: impl FnMut(T) -> Value,
    ) -> Reply {
        let lister = Lister {
            url: self.request.url,
            query: self.request.query,
            per_page_max: self.request.inner.options.per_page_max as usize,
            includes: self.view.includable(self.resource),
            short: self.view.school.shape.short,
        };
        lister.page(items.map(|(n, item)| (n as u64, item)), shape)
    }

    fn one(&self, id: &str) -> Reply {
        let missing = || Rejection::not_found("record");
        let school = self.view.school;
        let ids = &school.ground.ids;
        let place = match self.resource.kind {
            Kind::Student | Kind::Contact | Kind::Employee => school.place(id, self.resource.kind),
            Kind::Code => school.find_code(id),
            Kind::Misc if self.is(&SUMMARY) => self.view.summary_place(id),
            Kind::Misc => self.view.open_place(self.resource, id),
            kind => ids.at(school.n, id, kind),
        };
        let place = place.ok_or_else(missing)?;
        let record = match self.resource.kind {
            Kind::Lesson => school
                .find_lesson(id)
                .map(|lesson| self.view.lesson(&lesson, &self.includes)),
            Kind::SessionMark => {
                Self::found(self.marks(&school.sessions), place).map(|row| self.mark(&row))
            }
            Kind::LessonMark => {
                Self::found(self.marks(&school.lessons), place).map(|row| self.mark(&row))
            }
            _ => self.places()?.contains(&place).then(|| self.record(place)),
        };
        let record = record.ok_or_else(missing)?;
        Ok(json!({"data": record, "meta": {"includes": self.view.includable(self.resource)}}))
    }

    fn found<T>(mut items: impl Iterator<Item = (usize, T)>, place: usize) -> Option<T> {
        items.find(|(n, _)| *n == place).map(|(_, item)| item)
    }

    /// The positions of the requested records.
    fn places(&self) -> Result<Vec<usize>, Rejection> {
        let (view, school, world) = (self.view, self.view.school, &self.view.school.world);
        let updated = |t: DateTime<Utc>| self.updated.holds(t);
        let settled = || updated(school.plan().settled());
        let today = school.day(view.now);
        let fixed = |len: usize| {
            if settled() {
                (0..len).collect()
            } else {
                Vec::new()
            }
        };
        Ok(match self.resource.path {
            "students" => {
                let wanted = self.student_filter()?;
                let on_roll = school.on_roll(view.now);
                on_roll
                    .filter(|(n, s)| wanted(*n, s))
                    .map(|(n, _)| n)
                    .collect()
            }
            "students-pre-admission" => places(&world.students, |_, s| {
                let there = s.person.times.present() && s.admission > today;
                there && updated(s.person.times.updated)
            }),
            "students-leaver" => places(&world.students, |_, s| {
                let left = s.person.times.present() && s.leaving.is_some_and(|last| last < today);
                left && updated(s.person.times.updated)
            }),
            "contacts" => places(&world.contacts, |_, c| {
                c.person.times.present() && updated(c.person.times.updated)
            }),
            "employees" => places(&world.employees, self.employee_filter()?),
            "groups" => places(&world.groups, |_, g| {
                g.times.present() && updated(g.times.updated)
            }),
            "classes" => places(&world.classes, self.class_filter()?),
            "periods" => fixed(world.periods.len()),
            "rooms" => fixed(world.rooms.len()),
            "subjects" => {
                let (code, name) = (self.text("subject_code"), self.text("subject_name"));
                places(&world.subjects, |_, (own_name, own_code)| {
                    settled() && is(code, own_code) && is(name, own_name)
                })
            }
            "attendance-codes" => places(&school.codes, |_, code| code.listed),
            "attendance-summaries" => school
                .on_roll(view.now)
                .map(|(n, _)| n)
                .filter(|n| {
                    let asked = self.updated.after.or(self.updated.before);
                    asked.is_none() || updated(view.kinds(*n).updated(school))
                })
                .collect(),
            _ => {
                let all = view.open_places(self.resource).into_iter();
                all.filter(|n| updated(view.open_updated(self.resource, *n)))
                    .collect()
            }
        })
    }

    /// A record by its position.
    fn record(&self, n: usize) -> Value {
        let (view, includes) = (self.view, &self.includes);
        match self.resource.kind {
            Kind::Student => self.narrow(view.student(n, includes)),
            Kind::Contact => view.contact(n, includes),
            Kind::Employee => view.employee(n, includes),
            Kind::Group => view.group(n, includes),
            Kind::Class => view.class(n, includes),
            Kind::Period => view.period(n),
            Kind::Room => view.room(n),
            Kind::Subject => view.subject(n),
            Kind::Code => view.code(n),
            _ if self.is(&SUMMARY) => view.summary(n, includes),
            _ => view.open(self.resource, n, includes),
        }
    }

    /// Applies the query's filters to included records.
    fn narrow(&self, mut student: Value) -> Value {
        let query = self.request.query;
        for (include, property, filter) in [
            ("user_defined_fields", "key", "only_user_defined_fields"),
            ("results", "aspect", "aspect_id"),
        ] {
            let rows = student.get_mut(include).and_then(|i| i.get_mut("data"));
            if let Some(rows) = rows.and_then(Value::as_array_mut) {
                rows.retain(|row| {
                    let value = &row[property];
                    let id = value.pointer("/data/id").unwrap_or(value);
                    query.lists(filter, id.as_str().unwrap_or_default())
                });
            }
        }
        student
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.request.query.get(name)
    }

    fn student_filter(&self) -> Result<impl Fn(usize, &Student) -> bool, Rejection> {
        let (query, view) = (self.request.query, self.view);
        let class = self.filter("has_class", Kind::Class);
        let group = self.filter("has_group", Kind::Group);
        Ok(move |n: usize, s: &Student| {
            self.updated.holds(view.student_updated(s))
                && class.is_none_or(|c| c.is_some_and(|c| s.classes.contains(&c)))
                && group.is_none_or(|g| g.is_some_and(|g| s.groups().any(|own| own == g)))
                && query.lists("only_upns", &s.upn)
                && query.lists("only_mis_ids", &s.person.mis_id)
                && query
                    .get("user_defined_field")
                    .is_none_or(|key| view.has_user_defined(n, key))
        })
    }

    fn employee_filter(&self) -> Result<impl Fn(usize, &Employee) -> bool, Rejection> {
        let query = self.request.query;
        let school = self.view.school;
        let today = school.day(self.view.now);
        let role = query.get("has_role").map(str::to_owned);
        let (class, group) = (query.flag("has_class")?, query.flag("has_group")?);
        let contract = query.flag("has_contract")?;
        let start = |name| {
            let time = query.time(name)?;
            Ok::<_, Rejection>(time.map(|t| t.date_naive()))
        };
        let (after, before) = (
            start("employment_start_after")?,
            start("employment_start_before")?,
        );
        let teaches = |n: usize| school.world.classes.iter().any(|c| c.teacher == Some(n));
        Ok(move |n: usize, e: &Employee| {
            e.person.times.present()
                && self.updated.holds(e.person.times.updated)
                && match role.as_deref() {
                    None => true,
                    Some("true" | "1") => !e.role.is_empty(),
                    Some("false" | "0") => e.role.is_empty(),
                    Some(role) => role.eq_ignore_ascii_case(e.role),
                }
                && class.is_none_or(|wanted| teaches(n) == wanted)
                && group.is_none_or(|wanted| e.tutor_of.is_some() == wanted)
                && contract.is_none_or(|wanted| e.current(today) == wanted)
                && after.is_none_or(|day| e.start >= day)
                && before.is_none_or(|day| e.start <= day)
                && query.lists("only_mis_ids", &e.person.mis_id)
                // No employee has any.
                && query.get("user_defined_field").is_none()
        })
    }

    fn class_filter(&self) -> Result<impl Fn(usize, &Class) -> bool, Rejection> {
        let query = self.request.query;
        let (students, lessons) = (query.flag("has_students")?, query.flag("has_lessons")?);
        let subject = self.filter("class_subject", Kind::Subject);
        let view = self.view;
        let taken = move |n: usize| {
            view.school
                .on_roll(view.now)
                .any(|(_, s)| s.classes.contains(&n))
        };
        Ok(move |n: usize, c: &Class| {
            c.times.present()
                && self.updated.holds(c.times.updated)
                && is(query.get("class_name"), &c.name)
                && subject.is_none_or(|wanted| wanted.is_some() && c.subject == wanted)
                && students.is_none_or(|wanted| taken(n) == wanted)
                && lessons.is_none_or(|wanted| c.slots.is_empty() != wanted)
        })
    }

    /// A filter by id: `None` if it is not given, `Some(None)` if there is no such record.
    fn filter(&self, name: &str, kind: Kind) -> Option<Option<usize>> {
        let school = self.view.school;
        let id = self.request.query.get(name)?;
        Some(school.ground.ids.at(school.n, id, kind))
    }

    /// Lessons between the two given times, for five weeks at most; with one or none, those of one week.
    fn lessons(&self) -> Reply {
        let query = self.request.query;
        let school = self.view.school;
        let after = query.time("lessons_start_after")?;
        let before = query.time("lessons_start_before")?;
        let (from, to) = week(after, before, self.view.now);
        let (first, last) = (school.day(from), school.day(to));
        let days = first.iter_days().take_while(|d| *d <= last);
        let starts = |l: &Lesson| school.lesson_times(l).map(|t| t.0);
        let rows = days
            .flat_map(|day| school.world.lessons(day))
            .filter(|_| self.updated.holds(school.plan().settled()))
            .filter(|l| !school.cancelled.contains(&(l.date, l.place)))
            .filter(|l| starts(l).is_some_and(|t| from <= t && t <= to))
            .map(|l| (lesson_ordinal(&l), l));
        self.page(rows, |l| self.view.lesson(&l, &self.includes))
    }

    /// The marks in the API's copy that match the filters.
    fn marks<'t>(&'t self, register: &'t Table) -> impl Iterator<Item = (usize, Row<'t>)> {
        let school = self.view.school;
        let today = school.day(self.view.now);
        let leavers = self.is(&LEAVER_MARK);
        let left = move |n: u32| {
            let student = school.world.students.get(n as usize);
            student.is_some_and(|s| s.leaving.is_some_and(|last| last < today))
        };
        register
            .copies()
            .filter(move |(_, key, copied)| {
                self.updated.holds(copied.updated) && (!leavers || left(key.student))
            })
            .map(|(number, key, copied)| {
                let row = Row {
                    number,
                    key,
                    copied,
                };
                (number as usize, row)
            })
    }

    fn mark(&self, row: &Row<'_>) -> Value {
        if self.is(&LESSON_MARK) {
            self.view.lesson_mark(row, &self.includes)
        } else {
            self.view.session_mark(row, &self.includes)
        }
    }

    /// Deleted top-level records; the filter uses the time of deletion or restoration.
    fn deletions(&self) -> Reply {
        let sort = self.text("type");
        let mut gone = self.gone();
        gone.retain(|g| self.updated.holds(g.restored.unwrap_or(g.at)) && is(sort, g.sort));
        gone.sort_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
        self.page(gone.into_iter().enumerate(), |g| {
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
                // A last day that was entered late counts from the time of entry.
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
}

/// Whether a value equals the filter, ignoring case; true without a filter.
fn is(asked: Option<&str>, value: &str) -> bool {
    asked.is_none_or(|asked| asked.eq_ignore_ascii_case(value))
}

/// The positions of matching elements.
fn places<T>(all: &[T], wanted: impl Fn(usize, &T) -> bool) -> Vec<usize> {
    let all = all.iter().enumerate();
    all.filter(|(n, one)| wanted(*n, one))
        .map(|(n, _)| n)
        .collect()
}

fn counts(request: &Request<'_>, view: View<'_>) -> Reply {
    granted(view.school, "counts")?;
    request.query.only(&[])?;
    let world = &view.school.world;
    let mut counts = serde_json::Map::new();
    for (name, _) in request.query.includes().iter() {
        let count = match name {
            "students" => view.school.on_roll(view.now).count(),
            "contacts" => places(&world.contacts, |_, c| c.person.times.present()).len(),
            "employees" => places(&world.employees, |_, e| e.person.times.present()).len(),
            "groups" => places(&world.groups, |_, g| g.times.present()).len(),
            "classes" => places(&world.classes, |_, c| c.times.present()).len(),
            _ => return Err(Rejection::invalid_include(name)),
        };
        counts.insert(name.to_owned(), data(json!({ "count": count })));
    }
    let includes = ["students", "contacts", "employees", "groups", "classes"];
    Ok(json!({"data": counts, "meta": {"includes": includes}}))
}

struct Gone {
    sort: &'static str,
    id: String,
    mis_id: String,
    at: DateTime<Utc>,
    restored: Option<DateTime<Utc>>,
}

/// Lessons keep their positions, so date and position are a stable order.
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
