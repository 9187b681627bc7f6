//! How each change is made.

use chrono::{DateTime, Days, NaiveDate, Utc};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::Change;
use crate::error::Error;
use crate::ids::Kind;
use crate::school::School;
use crate::world::families::{self, Rules};
use crate::world::model::{Gender, GroupKind, Name, Student, Times};
use crate::world::staff::{self, Hire};
use crate::world::{names, year_code};

/// A school office on one day.
pub(super) struct Office<'a> {
    pub(super) school: &'a mut School,
    pub(super) now: DateTime<Utc>,
    pub(super) today: NaiveDate,
    pub(super) chance: ChaCha8Rng,
}

impl Office<'_> {
    /// Makes the change and returns the id of the created or changed record.
    pub(super) fn make(&mut self, change: &Change) -> Result<String, Error> {
        match change {
            Change::Join {
                on,
                year,
                forename,
                surname,
                sibling_of,
            } => {
                let sibling = sibling_of
                    .as_deref()
                    .map(|id| self.student(id))
                    .transpose()?;
                let year = year.as_deref().map(|code| self.year(code)).transpose()?;
                let n = self.join(on.unwrap_or(self.today), year, sibling)?;
                self.rename(n, forename.as_deref(), surname.as_deref())?;
                Ok(self.school.id(Kind::Student, n))
            }
            Change::Leave { student, on } => {
                let n = self.student(student)?;
                let last = on.unwrap_or(self.today - Days::new(1));
                self.edit(n)?.leaving = Some(last);
                Ok(student.clone())
            }
            Change::Remove { student } => {
                let (n, now) = (self.student(student)?, self.now);
                let times = &mut self.edit(n)?.person.times;
                (times.removed, times.restored) = (Some(now), None);
                Ok(student.clone())
            }
            Change::Restore { student } => {
                let (n, now) = (self.student(student)?, self.now);
                let times = &mut self.edit(n)?.person.times;
                if times.present() {
                    return Err(Error::Impossible(
                        "the pupil has not been deleted".to_owned(),
                    ));
                }
                times.restored = Some(now);
                Ok(student.clone())
            }
            Change::ReEnrol { student } => self.re_enrol(student),
            Change::Rename {
                student,
                forename,
                surname,
            } => {
                let n = self.student(student)?;
                self.rename(n, forename.as_deref(), surname.as_deref())?;
                Ok(student.clone())
            }
            Change::Move { student, group } => {
                let (n, to) = (
                    self.student(student)?,
                    self.find(group, Kind::Group, "group")?,
                );
                self.move_to(n, to)?;
                Ok(student.clone())
            }
            Change::RenameGroup { group, name } => {
                let (n, now) = (self.find(group, Kind::Group, "group")?, self.now);
                let found = self.school.world.groups.get_mut(n);
                let found = found.ok_or_else(|| Error::unknown("group", group))?;
                found.name.clone_from(name);
                found.times.updated = now;
                Ok(group.clone())
            }
            Change::DeleteContact { contact } => {
                let n = self.find(contact, Kind::Contact, "contact")?;
                let found = self.school.world.contacts.get_mut(n);
                let found = found.ok_or_else(|| Error::unknown("contact", contact))?;
                found.person.times.removed = Some(self.now);
                Ok(contact.clone())
            }
            Change::Relationship {
                student,
                contact,
                lives_with,
                parental_responsibility,
                priority,
            } => {
                let (n, c) = (
                    self.student(student)?,
                    self.find(contact, Kind::Contact, "contact")?,
                );
                let link = self.edit(n)?.contacts.iter_mut().find(|l| l.contact == c);
                let link =
                    link.ok_or_else(|| Error::Impossible("they are not related".to_owned()))?;
                link.lives_with = lives_with.unwrap_or(link.lives_with);
                link.parental_responsibility =
                    parental_responsibility.unwrap_or(link.parental_responsibility);
                link.priority = priority.unwrap_or(link.priority);
                if let Some(contact) = self.school.world.contacts.get_mut(c) {
                    contact.person.times.updated = self.now;
                }
                Ok(student.clone())
            }
            Change::Hire {
                teaching,
                forename,
                surname,
            } => Ok(self.hire(*teaching, forename.as_deref(), surname.as_deref())),
            Change::Dismiss { employee, on } => {
                let n = self.find(employee, Kind::Employee, "employee")?;
                let last = on.unwrap_or(self.today - Days::new(1));
                let found = self.school.world.employees.get_mut(n);
                let found = found.ok_or_else(|| Error::unknown("employee", employee))?;
                found.end = Some(last);
                found.person.times.updated = self.now;
                Ok(employee.clone())
            }
        }
    }

    fn find(&self, id: &str, kind: Kind, what: &'static str) -> Result<usize, Error> {
        let school = &self.school;
        school
            .place(id, kind)
            .ok_or_else(|| Error::unknown(what, id))
    }

    fn student(&self, id: &str) -> Result<usize, Error> {
        self.find(id, Kind::Student, "student")
            .ok()
            .filter(|n| *n < self.school.world.students.len())
            .ok_or_else(|| Error::unknown("student", id))
    }

    /// Returns a pupil's record and marks it as changed.
    fn edit(&mut self, n: usize) -> Result<&mut Student, Error> {
        let student = self.school.world.students.get_mut(n);
        let student = student.ok_or_else(|| Error::unknown("student", &n.to_string()))?;
        student.person.times.updated = self.now;
        Ok(student)
    }

    fn year(&self, code: &str) -> Result<u8, Error> {
        self.school
            .plan()
            .years()
            .find(|y| year_code(*y) == code)
            .ok_or_else(|| Error::unknown("year", code))
    }

    fn join(
        &mut self,
        on: NaiveDate,
        year: Option<u8>,
        sibling: Option<usize>,
    ) -> Result<usize, Error> {
        let mut plan = self.school.plan();
        plan.today = plan.today.max(self.today);
        let rules = Rules::new(&self.school.world, &plan);
        let n = families::family(&mut self.school.world, &plan, &rules, &mut self.chance, 1).start;
        let kin = sibling
            .and_then(|s| self.school.world.students.get(s))
            .cloned();
        let times = Times::at(self.now);
        let student = self.edit(n)?;
        student.person.times = times;
        student.admission = on;
        if let Some(kin) = kin {
            student.contacts = kin.contacts;
            student.person.name.surname = kin.person.name.surname;
            student.person.address = kin.person.address;
        }
        let year = year.unwrap_or(student.year);
        self.place(n, year)?;
        if sibling.is_none() {
            let links = self.edit(n)?.contacts.clone();
            for link in links {
                if let Some(contact) = self.school.world.contacts.get_mut(link.contact) {
                    contact.person.times = times;
                }
            }
        }
        Ok(n)
    }

    /// Moves a pupil into a year, with the registration group and classes of another pupil in it.
    fn place(&mut self, n: usize, year: u8) -> Result<(), Error> {
        let model = self
            .school
            .world
            .students
            .iter()
            .enumerate()
            .find(|(m, s)| *m != n && s.year == year)
            .map(|(_, s)| (s.year_group, s.registration, s.classes.clone()));
        let student = self.edit(n)?;
        student.year = year;
        if let Some((year_group, registration, classes)) = model {
            student.year_group = year_group;
            student.registration = registration;
            student.classes = classes;
        }
        Ok(())
    }

    fn re_enrol(&mut self, id: &str) -> Result<String, Error> {
        let (old, now, today) = (self.student(id)?, self.now, self.today);
        let times = &mut self.edit(old)?.person.times;
        (times.removed, times.restored) = (Some(now), None);
        let mut new = self.edit(old)?.clone();
        let n = self.school.world.students.len();
        new.person.mis_id = format!("{}", 10_000 + n);
        new.person.times = Times::at(now);
        new.admission = today;
        new.leaving = None;
        self.school.world.students.push(new);
        Ok(self.school.id(Kind::Student, n))
    }

    fn rename(
        &mut self,
        n: usize,
        forename: Option<&str>,
        surname: Option<&str>,
    ) -> Result<(), Error> {
        let name = &mut self.edit(n)?.person.name;
        if let Some(forename) = forename {
            forename.clone_into(&mut name.forename);
        }
        if let Some(surname) = surname {
            surname.clone_into(&mut name.surname);
        }
        Ok(())
    }

    fn move_to(&mut self, n: usize, to: usize) -> Result<(), Error> {
        let group = self.school.world.groups.get(to);
        let (kind, year) = group
            .map(|g| (g.kind, g.year))
            .ok_or_else(|| Error::unknown("group", &to.to_string()))?;
        if kind == GroupKind::Year
            && let Some(year) = year
        {
            return self.place(n, year);
        }
        let student = self.edit(n)?;
        match kind {
            GroupKind::Registration if year.is_some_and(|y| y != student.year) => {
                return Err(Error::Impossible(
                    "that registration group is of another year; move the pupil to the year"
                        .to_owned(),
                ));
            }
            GroupKind::Registration => student.registration = to,
            GroupKind::House => student.house = to,
            GroupKind::Boarding => student.boarding = Some(to),
            GroupKind::Campus => student.campus = Some(to),
            GroupKind::User if student.clubs.contains(&to) => student.clubs.retain(|g| *g != to),
            GroupKind::User | GroupKind::Year => student.clubs.push(to),
        }
        Ok(())
    }

    fn hire(&mut self, teaching: bool, forename: Option<&str>, surname: Option<&str>) -> String {
        let gender = if self.chance.random_bool(0.5) {
            Gender::Female
        } else {
            Gender::Male
        };
        let mut name: Name = names::person(&mut self.chance, gender, surname);
        if let Some(forename) = forename {
            forename.clone_into(&mut name.forename);
        }
        let role = if teaching {
            "Teacher"
        } else {
            "Teaching Assistant"
        };
        let hire = Hire {
            name,
            gender,
            teaching,
            role,
        };
        let n = self.school.world.employees.len();
        let mut employee = staff::employee(n, &self.school.plan(), &mut self.chance, hire);
        employee.start = self.today;
        employee.person.times = Times::at(self.now);
        self.school.world.employees.push(employee);
        self.school.id(Kind::Employee, n)
    }
}
