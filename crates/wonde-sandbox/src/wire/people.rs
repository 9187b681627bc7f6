//! Students, contacts, employees and the groups they are in.

use serde_json::{Map, Value, json};

use super::{View, data};
use crate::ids::Kind;
use crate::query::Includes;
use crate::world::model::{Class, Gender, Link, Person, Student};
use crate::world::{night, year_code};

impl View<'_> {
    /// A pupil.
    pub(crate) fn student(&self, n: usize, includes: &Includes) -> Value {
        let Some(student) = self.school.world.students.get(n) else {
            return Value::Null;
        };
        let mut map = self.person(&student.person, self.school.id(Kind::Student, n));
        map.insert(
            "created_at".into(),
            self.time(self.student_created(student)),
        );
        map.insert(
            "updated_at".into(),
            self.time(self.student_updated(student)),
        );
        for (name, below) in includes.iter() {
            let value = match name {
                "education_details" => data(self.education(student)),
                "contact_details" => data(contact_details(&student.person)),
                "extended_details" => data(
                    json!({"in_lea_care": n.is_multiple_of(97), "premium_pupil_indicator": n.is_multiple_of(7)}),
                ),
                "contacts" => data(
                    student
                        .contacts
                        .iter()
                        .filter_map(|l| self.link(l, below))
                        .collect(),
                ),
                "year" => data(self.group(student.year_group, below)),
                "registration" => data(self.group(student.registration, below)),
                "house" => data(self.group(student.house, below)),
                "boarding" => student
                    .boarding
                    .map_or_else(|| self.nowhere(), |g| data(self.group(g, below))),
                "campus" => student
                    .campus
                    .map_or_else(|| self.nowhere(), |g| data(self.group(g, below))),
                "groups" => data(student.groups().map(|g| self.group(g, below)).collect()),
                "classes" => data(
                    student
                        .classes
                        .iter()
                        .map(|&c| self.class(c, below))
                        .collect(),
                ),
                "permissions" => data(json!({"photo": true, "data_exchange": true})),
                "identifiers" => data(json!({"local_upn": null, "uln": null})),
                "siblings" => data(self.siblings(n, below)),
                "attendance_summary" => data(self.summary(n, below)),
                _ => match crate::resources::STUDENT.include(name) {
                    Some(resource) => self.owned(resource, n, below),
                    None => continue,
                },
            };
            map.insert(name.to_owned(), value);
        }
        map.insert("gender_identity".into(), Value::Null);
        self.veil("students", &mut map);
        Value::Object(map)
    }

    /// Other pupils on roll who share a contact that they live with.
    fn siblings(&self, n: usize, includes: &Includes) -> Value {
        let home = |s: &Student| -> Vec<usize> {
            s.contacts
                .iter()
                .filter(|l| l.lives_with)
                .map(|l| l.contact)
                .collect()
        };
        let own = self
            .school
            .world
            .students
            .get(n)
            .map(home)
            .unwrap_or_default();
        self.school
            .on_roll(self.now)
            .filter(|(other, s)| *other != n && home(s).iter().any(|c| own.contains(c)))
            .map(|(other, _)| self.student(other, includes))
            .collect()
    }

    /// Whether the pupil has a user-defined field with this key.
    pub(crate) fn has_user_defined(&self, n: usize, key: &str) -> bool {
        let fields = self.owned(
            &crate::resources::USER_DEFINED_FIELD,
            n,
            &Includes::default(),
        );
        let mut rows = fields["data"].as_array().into_iter().flatten();
        rows.any(|field| field["key"] == key)
    }

    /// When the pupil's record appeared; a future starter's appears on the first day.
    pub(crate) fn student_created(&self, student: &Student) -> chrono::DateTime<chrono::Utc> {
        student.person.times.created.max(night(student.admission))
    }

    /// When the record last changed; becoming visible is a change.
    pub(crate) fn student_updated(&self, student: &Student) -> chrono::DateTime<chrono::Utc> {
        student.person.times.updated.max(night(student.admission))
    }

    fn education(&self, student: &Student) -> Value {
        json!({
            "admission_date": self.date(student.admission),
            "leaving_date": student.leaving.map_or(Value::Null, |d| self.date(d)),
            "current_nc_year": year_code(student.year),
            "upn": student.upn,
            "local_upn": null,
            "former_upn": null,
        })
    }

    fn link(&self, link: &Link, includes: &Includes) -> Option<Value> {
        let contact = self.school.world.contacts.get(link.contact)?;
        if !contact.person.times.present() {
            return None;
        }
        let mut value = self.contact(link.contact, includes);
        let relationship = json!({
            "relationship": link.relationship,
            "parental_responsibility": link.parental_responsibility,
            "lives_with_pupil": link.lives_with,
            "priority": link.priority,
            "bill_payer": link.priority == 1,
        });
        let relationship = if self.school.shape.wrapped {
            data(relationship)
        } else {
            relationship
        };
        value["relationship"] = relationship;
        Some(value)
    }

    /// A parent or other contact.
    pub(crate) fn contact(&self, n: usize, includes: &Includes) -> Value {
        let Some(contact) = self.school.world.contacts.get(n) else {
            return Value::Null;
        };
        let mut map = self.person(&contact.person, self.school.id(Kind::Contact, n));
        if includes.get("contact_details").is_some() {
            map.insert(
                "contact_details".into(),
                data(contact_details(&contact.person)),
            );
        }
        if let Some(below) = includes.get("students") {
            let students = self
                .school
                .on_roll(self.now)
                .filter(|(_, s)| s.contacts.iter().any(|l| l.contact == n))
                .map(|(s, _)| self.student(s, below))
                .collect();
            map.insert("students".into(), data(students));
        }
        self.veil("contacts", &mut map);
        Value::Object(map)
    }

    /// A member of staff.
    pub(crate) fn employee(&self, n: usize, includes: &Includes) -> Value {
        let world = &self.school.world;
        let Some(employee) = world.employees.get(n) else {
            return Value::Null;
        };
        let mut map = self.person(&employee.person, self.school.id(Kind::Employee, n));
        let today = self.school.day(self.now);
        for (name, below) in includes.iter() {
            let value = match name {
                "employment_details" => data(json!({
                    "current": employee.current(today),
                    "teaching_staff": employee.teaching,
                    "employment_start_date": self.date(employee.start),
                    "employment_end_date": employee.end.map_or(Value::Null, |d| self.date(d)),
                    "role_text": employee.role,
                })),
                "extended_details" => data(json!({"car_registration": null})),
                "contact_details" => data(contact_details(&employee.person)),
                "roles" => {
                    data(json!([{"id": self.school.id(Kind::Misc, n), "role": employee.role}]))
                }
                "groups" => data(
                    employee
                        .tutor_of
                        .iter()
                        .map(|&g| self.group(g, below))
                        .collect(),
                ),
                "classes" => data(
                    (0..world.classes.len())
                        .filter(|&c| world.classes.get(c).is_some_and(|c| c.teacher == Some(n)))
                        .map(|c| self.class(c, below))
                        .collect(),
                ),
                _ => continue,
            };
            map.insert(name.to_owned(), value);
        }
        self.veil("employees", &mut map);
        Value::Object(map)
    }

    /// A registration group, year, house and so on.
    pub(crate) fn group(&self, n: usize, includes: &Includes) -> Value {
        let world = &self.school.world;
        let Some(group) = world.groups.get(n) else {
            return Value::Null;
        };
        let mut map = Map::new();
        map.insert("id".into(), json!(self.school.id(Kind::Group, n)));
        map.insert("mis_id".into(), json!(format!("{}", 300 + n)));
        map.insert("name".into(), json!(group.name));
        map.insert("code".into(), json!(group.code));
        map.insert("type".into(), json!(group.kind.word()));
        map.insert("description".into(), Value::Null);
        map.insert("created_at".into(), self.time(group.times.created));
        map.insert("updated_at".into(), self.time(group.times.updated));
        if let Some(below) = includes.get("students") {
            let members = self.members(below, |s| s.groups().any(|g| g == n));
            map.insert("students".into(), members);
        }
        if let Some(below) = includes.get("employees") {
            let tutors = (0..world.employees.len())
                .filter(|&e| {
                    world
                        .employees
                        .get(e)
                        .is_some_and(|e| e.tutor_of == Some(n))
                })
                .map(|e| self.employee(e, below))
                .collect();
            map.insert("employees".into(), data(tutors));
        }
        self.veil("groups", &mut map);
        Value::Object(map)
    }

    /// A teaching class.
    pub(crate) fn class(&self, n: usize, includes: &Includes) -> Value {
        let Some(class) = self.school.world.classes.get(n) else {
            return Value::Null;
        };
        let mut map = self.class_alone(n, class);
        for (name, below) in includes.iter() {
            let value = match name {
                "students" => self.members(below, |s| s.classes.contains(&n)),
                "employees" => data(
                    class
                        .teacher
                        .iter()
                        .map(|&e| self.employee(e, below))
                        .collect(),
                ),
                "subject" => class
                    .subject
                    .map_or_else(|| self.nowhere(), |s| data(self.subject(s))),
                "lessons" => data(self.lessons_of(n, below)),
                _ => continue,
            };
            map.insert(name.to_owned(), value);
        }
        self.veil("classes", &mut map);
        Value::Object(map)
    }

    fn class_alone(&self, n: usize, class: &Class) -> Map<String, Value> {
        let mut map = Map::new();
        map.insert("id".into(), json!(self.school.id(Kind::Class, n)));
        map.insert("mis_id".into(), json!(format!("{}", 700 + n)));
        map.insert("name".into(), json!(class.name));
        map.insert("code".into(), json!(class.name));
        map.insert("description".into(), Value::Null);
        map.insert(
            "subject".into(),
            json!(class.subject.map(|s| self.school.id(Kind::Subject, s))),
        );
        map.insert("alternative".into(), json!(false));
        map.insert("restored_at".into(), self.maybe_time(class.times.restored));
        map.insert("created_at".into(), self.time(class.times.created));
        map.insert("updated_at".into(), self.time(class.times.updated));
        map
    }

    fn members(&self, includes: &Includes, belongs: impl Fn(&Student) -> bool) -> Value {
        data(
            self.school
                .on_roll(self.now)
                .filter(|(_, s)| belongs(s))
                .map(|(n, _)| self.student(n, includes))
                .collect(),
        )
    }

    fn person(&self, person: &Person, id: String) -> Map<String, Value> {
        let initials: String = [
            Some(&person.name.forename),
            person.name.middle.as_ref(),
            Some(&person.name.surname),
        ]
        .into_iter()
        .flatten()
        .filter_map(|n| n.chars().next())
        .collect();
        let mut map = Map::new();
        map.insert("id".into(), json!(id));
        map.insert("upi".into(), json!(person.upi));
        map.insert("mis_id".into(), json!(person.mis_id));
        map.insert("title".into(), json!(person.title));
        map.insert("initials".into(), json!(initials));
        map.insert("surname".into(), json!(person.name.surname));
        map.insert("forename".into(), json!(person.name.forename));
        map.insert("middle_names".into(), json!(person.name.middle));
        map.insert("legal_surname".into(), json!(person.name.surname));
        let legal = person
            .name
            .legal_forename
            .as_ref()
            .unwrap_or(&person.name.forename);
        map.insert("legal_forename".into(), json!(legal));
        map.insert(
            "gender".into(),
            json!(match person.gender {
                Gender::Female => "FEMALE",
                Gender::Male => "MALE",
            }),
        );
        map.insert(
            "date_of_birth".into(),
            person
                .born
                .map_or(Value::Null, |d| match self.school.shape.plain_birth {
                    true => json!(d.to_string()),
                    false => self.date(d),
                }),
        );
        map.insert("restored_at".into(), self.maybe_time(person.times.restored));
        map.insert("created_at".into(), self.time(person.times.created));
        map.insert("updated_at".into(), self.time(person.times.updated));
        map
    }
}

fn contact_details(person: &Person) -> Value {
    json!({
        "phones": {"phone": person.phone, "primary": person.phone, "home": null, "work": null, "mobile": person.phone},
        "emails": {"email": person.email, "primary": person.email, "home": null, "work": null},
        "addresses": {"home": {
            "house_number": (person.address % 200 + 1).to_string(),
            "street": format!("Street {}", person.address / 200),
            "town": "Anytown",
            "county": null,
            "postcode": format!("ZZ{} {}AA", person.address % 90 + 1, person.address % 9 + 1),
        }},
    })
}
