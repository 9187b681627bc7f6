//! JSON as the API returns it.

mod lessons;
mod open;
mod people;
mod register;
mod schools;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use serde_json::{Map, Value, json};

pub(crate) use open::{OpenChanges, Written};
pub(crate) use register::{Row, global_code, session, sort, writeback_id};
pub(crate) use schools::{acl, meta, permissions, school};

use crate::query::Includes;
use crate::reply::Rejection;
use crate::resources::Resource;
use crate::school::School;

/// A school at a point in time.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) school: &'a School,
    pub(crate) now: DateTime<Utc>,
}

/// Wraps an include in its own `data`.
pub(crate) fn data(value: Value) -> Value {
    json!({ "data": value })
}

/// A time as a PHP object.
pub(crate) fn php(t: DateTime<Utc>, fraction: bool) -> Value {
    let format = if fraction {
        "%Y-%m-%d %H:%M:%S.%6f"
    } else {
        "%Y-%m-%d %H:%M:%S"
    };
    json!({"date": t.format(format).to_string(), "timezone_type": 3, "timezone": "UTC"})
}

impl View<'_> {
    /// Rejects an object or an include without scope (403) and an include that is not known here (400).
    pub(crate) fn allow(&self, resource: &Resource, includes: &Includes) -> Result<(), Rejection> {
        if !resource.scope.is_empty() && !self.school.granted(resource.scope) {
            return Err(Rejection::forbidden(resource.scope));
        }
        for (name, below) in includes.iter() {
            match resource.include(name).filter(|_| self.includes_here(name)) {
                Some(child) => self.allow(child, below)?,
                None => return Err(Rejection::invalid_include(name)),
            }
        }
        Ok(())
    }

    /// The supported includes of a resource at this MIS.
    pub(crate) fn includable(&self, resource: &Resource) -> Vec<&'static str> {
        let names = resource.includes.iter().map(|(name, _)| *name);
        names.filter(|name| self.includes_here(name)).collect()
    }

    fn includes_here(&self, name: &str) -> bool {
        match name {
            "boarding" => self.school.shape.boards(),
            "campus" => self.school.shape.campus,
            _ => true,
        }
    }

    pub(crate) fn time(&self, t: DateTime<Utc>) -> Value {
        php(t, self.school.shape.fraction)
    }

    pub(crate) fn maybe_time(&self, t: Option<DateTime<Utc>>) -> Value {
        t.map_or(Value::Null, |t| self.time(t))
    }

    /// A date as midnight.
    pub(crate) fn date(&self, date: NaiveDate) -> Value {
        self.time(date.and_time(NaiveTime::MIN).and_utc())
    }

    /// An empty relation.
    fn nowhere(&self) -> Value {
        if self.school.shape.empty_as_list {
            data(json!([]))
        } else {
            data(Value::Null)
        }
    }

    /// Hides properties that the token has no scope for: they become null.
    fn veil(&self, object: &str, map: &mut Map<String, Value>) {
        for scope in &self.school.withdrawn {
            let Some(path) = scope.strip_prefix(object).and_then(|p| p.strip_prefix('.')) else {
                continue;
            };
            match path.split_once('.') {
                None => {
                    if let Some(value) = map.get_mut(path) {
                        *value = Value::Null;
                    }
                }
                Some((part, property)) => {
                    let pointer = format!("/data/{property}");
                    if let Some(value) = map.get_mut(part).and_then(|p| p.pointer_mut(&pointer)) {
                        *value = Value::Null;
                    }
                }
            }
        }
        self.bend(map);
    }

    /// Applies the values that tests have set.
    fn bend(&self, map: &mut Map<String, Value>) {
        let id = map.get("id").cloned().unwrap_or_default();
        for (_, pointer, value) in self.school.overrides.iter().filter(|(of, ..)| id == **of) {
            let mut names = pointer.trim_start_matches('/').splitn(2, '/');
            let name = names.next().unwrap_or_default();
            match names.next() {
                None => {
                    map.insert(name.to_owned(), value.clone());
                }
                Some(below) => {
                    let place = map
                        .get_mut(name)
                        .and_then(|v| v.pointer_mut(&format!("/{below}")));
                    if let Some(place) = place {
                        place.clone_from(value);
                    }
                }
            }
        }
    }
}
