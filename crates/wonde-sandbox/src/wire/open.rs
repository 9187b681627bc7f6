//! Records that are generated from templates, and records that were written.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};

use super::{View, data};
use crate::ids::Kind;
use crate::query::Includes;
use crate::resources::{Field, Owner, Resource, Template};
use crate::school::School;

/// Position of the first written record.
const WRITTEN: usize = 50_000;
/// The number of ids per resource, after those of other small records.
const SPAN: usize = 100_000;
const FIRST: usize = 2_000_000;

/// Records that were written and deleted through the API.
#[derive(Debug, Default)]
pub(crate) struct OpenChanges {
    written: Vec<Written>,
    gone: BTreeSet<(usize, usize)>,
}

/// A record that was written, or the new values of one.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) students: Vec<usize>,
    pub(crate) employee: Option<usize>,
    pub(crate) values: Map<String, Value>,
    pub(crate) at: DateTime<Utc>,
    resource: usize,
    n: usize,
    created: DateTime<Utc>,
}

impl Written {
    pub(crate) fn new(at: DateTime<Utc>) -> Self {
        Self {
            students: Vec::new(),
            employee: None,
            values: Map::new(),
            at,
            resource: 0,
            n: 0,
            created: at,
        }
    }
}

impl School {
    /// Adds a record and returns its position.
    pub(crate) fn create_open(&mut self, resource: &Resource, mut record: Written) -> usize {
        record.resource = resource.number();
        record.n = WRITTEN + self.open.written.len();
        let n = record.n;
        self.open.written.push(record);
        n
    }

    /// Updates a record.
    pub(crate) fn update_open(&mut self, resource: &Resource, n: usize, change: Written) {
        let place = resource.number();
        let old = self
            .open
            .written
            .iter_mut()
            .find(|w| (w.resource, w.n) == (place, n));
        match old {
            Some(old) => {
                old.values.extend(change.values);
                old.employee = change.employee.or(old.employee);
                old.at = change.at;
            }
            None => self.open.written.push(Written {
                resource: place,
                n,
                created: self.plan().settled(),
                ..change
            }),
        }
    }

    /// Removes a record.
    pub(crate) fn remove_open(&mut self, resource: &Resource, n: usize) {
        self.open.gone.insert((resource.number(), n));
    }
}

impl View<'_> {
    fn written(&self, resource: &Resource, n: usize) -> Option<&Written> {
        let place = resource.number();
        let mut all = self.school.open.written.iter();
        all.find(|w| (w.resource, w.n) == (place, n))
    }

    /// Positions of all records of a resource, in ascending order.
    pub(crate) fn open_places(&self, resource: &Resource) -> Vec<usize> {
        let Some(template) = &resource.template else {
            return Vec::new();
        };
        let world = &self.school.world;
        let made: Vec<usize> = match template.owner {
            Owner::Student(share, rest) => self
                .school
                .on_roll(self.now)
                .map(|(n, _)| n)
                .filter(|n| n % share == rest)
                .collect(),
            Owner::Employee(share, rest) => (0..world.employees.len())
                .filter(|n| n % share == rest)
                .filter(|n| {
                    world
                        .employees
                        .get(*n)
                        .is_some_and(|e| e.person.times.present())
                })
                .collect(),
            Owner::School(count) => (0..count).collect(),
        };
        let place = resource.number();
        let written = self.school.open.written.iter();
        let written = written
            .filter(|w| w.resource == place && w.n >= WRITTEN)
            .map(|w| w.n);
        made.into_iter()
            .chain(written)
            .filter(|n| !self.school.open.gone.contains(&(place, *n)))
            .collect()
    }

    /// When a record last changed.
    pub(crate) fn open_updated(&self, resource: &Resource, n: usize) -> DateTime<Utc> {
        self.written(resource, n)
            .map_or_else(|| self.school.plan().settled(), |w| w.at)
    }

    pub(crate) fn open_id(&self, resource: &Resource, n: usize) -> String {
        let number = FIRST + resource.number() * SPAN + n;
        self.school.id(Kind::Misc, number)
    }

    /// Position of a record by its id.
    pub(crate) fn open_place(&self, resource: &Resource, id: &str) -> Option<usize> {
        let n = self
            .school
            .place_of_misc(id)?
            .checked_sub(FIRST + resource.number() * SPAN)?;
        (n < SPAN && self.open_places(resource).contains(&n)).then_some(n)
    }

    /// A record as the API returns it.
    pub(crate) fn open(&self, resource: &Resource, n: usize, includes: &Includes) -> Value {
        let Some(template) = &resource.template else {
            return Value::Null;
        };
        let written = self.written(resource, n);
        let mut map = Map::new();
        map.insert("id".into(), json!(self.open_id(resource, n)));
        map.insert("mis_id".into(), json!((n + 1).to_string()));
        for (name, field) in template.fields {
            let below = includes.get(name);
            map.insert(
                (*name).to_owned(),
                self.field(template, *field, n, written, below),
            );
        }
        for (name, below) in includes.iter() {
            let value = match (name, resource.include(name)) {
                ("students", _) => {
                    let students = self.students_of(template, n, written);
                    data(students.iter().map(|s| self.student(*s, below)).collect())
                }
                ("employees", _) => {
                    let employee = self.employee_of(template, n, written);
                    data(json!([self.employee(employee, below)]))
                }
                (_, Some(other)) if !map.contains_key(name) => {
                    match self.students_of(template, n, written).first() {
                        Some(student) => self.owned(other, *student, below),
                        None => data(json!([])),
                    }
                }
                _ => continue,
            };
            map.insert(name.to_owned(), value);
        }
        if let Some(written) = written {
            map.extend(written.values.clone());
        }
        let created = written.map_or_else(|| self.school.plan().settled(), |w| w.created);
        map.insert("created_at".into(), self.time(created));
        map.insert(
            "updated_at".into(),
            self.time(self.open_updated(resource, n)),
        );
        self.veil(resource.scope, &mut map);
        Value::Object(map)
    }

    /// A pupil's records of one kind, as an include.
    pub(crate) fn owned(&self, resource: &Resource, student: usize, includes: &Includes) -> Value {
        let Some(template) = &resource.template else {
            return Value::Null;
        };
        let place = resource.number();
        let made = match template.owner {
            Owner::Student(share, rest) => (student % share == rest).then_some(student),
            Owner::School(count) => student.checked_rem(count),
            Owner::Employee(..) => None,
        };
        let written = self.school.open.written.iter();
        let written = written
            .filter(|w| w.resource == place && w.n >= WRITTEN && w.students.contains(&student));
        let rows = made
            .into_iter()
            .chain(written.map(|w| w.n))
            .filter(|n| !self.school.open.gone.contains(&(place, *n)));
        let mut rows = rows.map(|n| self.open(resource, n, includes));
        if template.one {
            rows.next().map_or_else(|| self.nowhere(), data)
        } else {
            data(rows.collect())
        }
    }

    fn field(
        &self,
        template: &Template,
        field: Field,
        n: usize,
        written: Option<&Written>,
        below: Option<&Includes>,
    ) -> Value {
        match field {
            Field::Null => Value::Null,
            Field::Flag(flag) => json!(flag),
            Field::Number(number) => json!(number),
            Field::Text(text) => json!(text),
            Field::Pick(texts) => json!(texts.get(n % texts.len().max(1))),
            Field::Day(back) => self.date(self.school.ground.today - TimeDelta::days(back)),
            Field::Student => match (self.students_of(template, n, written).first(), below) {
                (None, _) => Value::Null,
                (Some(student), None) => json!(self.school.id(Kind::Student, *student)),
                (Some(student), Some(below)) => data(self.student(*student, below)),
            },
            Field::Employee => {
                let employee = self.employee_of(template, n, written);
                match below {
                    None => json!(self.school.id(Kind::Employee, employee)),
                    Some(below) => data(self.employee(employee, below)),
                }
            }
            Field::One(other) => {
                let places = self.open_places(other);
                match (places.get(n % places.len().max(1)), below) {
                    (None, _) => Value::Null,
                    (Some(place), None) => json!(self.open_id(other, *place)),
                    (Some(place), Some(below)) => data(self.open(other, *place, below)),
                }
            }
        }
    }

    fn students_of(&self, template: &Template, n: usize, written: Option<&Written>) -> Vec<usize> {
        match (written, template.owner) {
            (Some(written), _) if !written.students.is_empty() => written.students.clone(),
            (_, Owner::Student(..)) => vec![n],
            _ => Vec::new(),
        }
    }

    fn employee_of(&self, template: &Template, n: usize, written: Option<&Written>) -> usize {
        match (written.and_then(|w| w.employee), template.owner) {
            (Some(employee), _) => employee,
            (None, Owner::Employee(..)) => n,
            _ => n % self.school.world.employees.len().max(1),
        }
    }
}
