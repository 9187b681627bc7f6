//! Writes of achievements, behaviours and absences of staff.

use serde_json::{Map, Value, json};

use super::{Request, Verb, allowed, approved};
use crate::ids::Kind;
use crate::query::Includes;
use crate::reply::{Rejection, Reply};
use crate::resources::{Resource, Sort, Take, Writes};
use crate::school::School;
use crate::wire::{View, Written};

/// A writable resource at a path below a school, and the id of a record in the path.
pub(crate) struct Target<'p> {
    resource: &'static Resource,
    writes: &'static Writes,
    id: Option<&'p str>,
}

impl<'p> Target<'p> {
    pub(crate) fn find(below: &[&'p str]) -> Option<Self> {
        let (resource, id) = Resource::find(below)?;
        let writes = resource.template.as_ref()?.writes.as_ref()?;
        Some(Self {
            resource,
            writes,
            id,
        })
    }
}

/// Creates, updates or deletes a record.
pub(crate) fn write(request: &Request<'_>, target: &Target<'_>) -> Reply {
    let Target {
        resource,
        writes,
        id,
    } = *target;
    let n = allowed(request)?;
    let Some(mut school) = request.inner.awake(n, request.now) else {
        return Err(Rejection::not_found("school"));
    };
    if school.region != request.region {
        return Ok(json!({"data": []}));
    }
    approved(&school)?;
    if !school.granted(writes.scope) {
        return Err(Rejection::forbidden(writes.scope));
    }
    let place = |school: &School, id: &str| {
        let view = View {
            school,
            now: request.now,
        };
        view.open_place(resource, id)
            .ok_or_else(|| Rejection::not_found("record"))
    };
    let n = match (request.call.verb, id) {
        (Verb::Post, None) => {
            let record = read(request, &school, writes, true)?;
            school.create_open(resource, record)
        }
        (Verb::Put, Some(id)) if writes.update => {
            let n = place(&school, id)?;
            let change = read(request, &school, writes, false)?;
            school.update_open(resource, n, change);
            n
        }
        (Verb::Delete, Some(id)) => {
            let n = place(&school, id)?;
            school.remove_open(resource, n);
            return Ok(json!({"success": true}));
        }
        _ => return Err(Rejection::wrong_method()),
    };
    let view = View {
        school: &school,
        now: request.now,
    };
    Ok(json!({"data": view.open(resource, n, &Includes::default())}))
}

fn read(
    request: &Request<'_>,
    school: &School,
    writes: &Writes,
    whole: bool,
) -> Result<Written, Rejection> {
    let body: Value =
        serde_json::from_slice(request.body).map_err(|_| Rejection::invalid_json())?;
    let mut reader = Reader {
        request,
        school,
        whole,
        record: Written::new(request.now),
        errors: Vec::new(),
    };
    let values = reader.object("", &body, writes.create);
    reader.record.values.extend(values);
    if reader.errors.is_empty() {
        Ok(reader.record)
    } else {
        Err(Rejection::invalid(&reader.errors))
    }
}

struct Reader<'a> {
    request: &'a Request<'a>,
    school: &'a School,
    /// Whether required fields must be present.
    whole: bool,
    record: Written,
    errors: Vec<(String, String)>,
}

impl Reader<'_> {
    /// Validates an object and returns its plain values; people go into the record.
    fn object(&mut self, at: &str, value: &Value, takes: &[Take]) -> Map<String, Value> {
        let path = |name: &str| match at {
            "" => name.to_owned(),
            at => format!("{at}.{name}"),
        };
        let mut kept = Map::new();
        let Some(map) = value.as_object() else {
            self.errors
                .push((path("body"), "This must be an object.".to_owned()));
            return kept;
        };
        for name in map
            .keys()
            .filter(|name| takes.iter().all(|(known, ..)| known != name))
        {
            self.errors
                .push((path(name), "This field is not known.".to_owned()));
        }
        for (name, required, sort) in takes {
            match map.get(*name).filter(|value| !value.is_null()) {
                None if *required && self.whole => {
                    self.errors
                        .push((path(name), "This field is required.".to_owned()));
                }
                None => {}
                Some(value) => {
                    if let Some(value) = self.value(&path(name), value, *sort) {
                        kept.insert((*name).to_owned(), value);
                    }
                }
            }
        }
        kept
    }

    fn value(&mut self, at: &str, value: &Value, sort: Sort) -> Option<Value> {
        let wrong = match sort {
            Sort::Text if value.is_string() => return Some(value.clone()),
            Sort::Text => "This must be text.",
            Sort::Number if value.is_i64() => return Some(value.clone()),
            Sort::Number => "This must be a whole number.",
            Sort::Date if super::writes::date(value.as_str().unwrap_or_default()).is_some() => {
                return Some(value.clone());
            }
            Sort::Date => "This must be a date as YYYY-MM-DD.",
            Sort::Employee => match value.as_str().and_then(|id| self.school.find_employee(id)) {
                Some(n) => {
                    self.record.employee = Some(n);
                    return None;
                }
                None => "The employee is not at this school.",
            },
            Sort::Student => match value
                .as_str()
                .and_then(|id| self.school.find_student(id, self.request.now))
            {
                Some(n) => {
                    self.record.students.push(n);
                    return None;
                }
                None => "The student is not at this school.",
            },
            Sort::Students(takes) => match value.as_array().filter(|list| !list.is_empty()) {
                Some(list) => {
                    for (place, one) in list.iter().enumerate() {
                        let kept = self.object(&format!("{at}.{place}"), one, takes);
                        if let Some(points) = kept.get("points").filter(|_| place == 0) {
                            self.record
                                .values
                                .insert("points".to_owned(), points.clone());
                        }
                    }
                    return None;
                }
                None => "This must be a list of students.",
            },
        };
        self.errors.push((at.to_owned(), wrong.to_owned()));
        None
    }
}

impl School {
    /// A member of staff by id.
    pub(crate) fn find_employee(&self, id: &str) -> Option<usize> {
        self.place(id, Kind::Employee).filter(|n| {
            self.world
                .employees
                .get(*n)
                .is_some_and(|e| e.person.times.present())
        })
    }
}
