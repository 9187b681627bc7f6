//! People in the MIS, and changes to them.

use chrono::NaiveDate;
use serde::Serialize;

use super::Handle;
use crate::changes::{self, Change};
use crate::error::Error;
use crate::ids::Kind;
use crate::school::School;
use crate::world::model::Student;
use crate::world::year_code;

/// A pupil in the MIS, on roll or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct StudentInfo {
    /// Id of this enrolment.
    pub id: String,
    /// Identity across enrolments.
    pub upi: String,
    /// The MIS's own key.
    pub mis_id: String,
    /// The name used.
    pub forename: String,
    /// The family name.
    pub surname: String,
    /// `R` or the national curriculum year.
    pub year: String,
    /// Code of the registration group.
    pub registration: String,
    /// Code of the house.
    pub house: String,
    /// First day on roll.
    pub admission: NaiveDate,
    /// Last day on roll, if known.
    pub leaving: Option<NaiveDate>,
    /// On roll today.
    pub on_roll: bool,
    /// Contacts that are not deleted.
    pub contacts: Vec<LinkInfo>,
}

/// The relationship of a contact to a pupil.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LinkInfo {
    /// The contact.
    pub contact_id: String,
    /// Mother, Father and so on.
    pub relationship: String,
    /// Has parental responsibility.
    pub parental_responsibility: bool,
    /// Lives with the pupil.
    pub lives_with: bool,
    /// Priority, from 1.
    pub priority: u8,
}

/// A contact or a member of staff.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AdultInfo {
    /// Its id.
    pub id: String,
    /// Identity.
    pub upi: String,
    /// The MIS's own key.
    pub mis_id: String,
    /// The name used.
    pub forename: String,
    /// The family name.
    pub surname: String,
    /// Email address.
    pub email: Option<String>,
    /// Whether the record is not deleted and, for staff, the person is employed today.
    pub current: bool,
    /// The role of a member of staff.
    pub role: Option<&'static str>,
    /// Teaches.
    pub teaching: bool,
}

impl Handle {
    /// Pupils of a school, including leavers and future starters.
    ///
    /// # Errors
    /// Returns an error if there is no such school.
    pub fn students(&self, school: &str) -> Result<Vec<StudentInfo>, Error> {
        let school = self.awake(school)?;
        let today = school.day(self.now());
        let students = school.world.students.iter().enumerate();
        Ok(students
            .map(|(n, student)| info(&school, n, student, today))
            .collect())
    }

    /// Contacts of a school, including deleted ones.
    ///
    /// # Errors
    /// Returns an error if there is no such school.
    pub fn contacts(&self, school: &str) -> Result<Vec<AdultInfo>, Error> {
        let school = self.awake(school)?;
        let contacts = school.world.contacts.iter().enumerate();
        Ok(contacts
            .map(|(n, c)| AdultInfo {
                id: school.id(Kind::Contact, n),
                upi: c.person.upi.clone(),
                mis_id: c.person.mis_id.clone(),
                forename: c.person.name.forename.clone(),
                surname: c.person.name.surname.clone(),
                email: c.person.email.clone(),
                current: c.person.times.present(),
                role: None,
                teaching: false,
            })
            .collect())
    }

    /// Staff of a school, including leavers.
    ///
    /// # Errors
    /// Returns an error if there is no such school.
    pub fn employees(&self, school: &str) -> Result<Vec<AdultInfo>, Error> {
        let school = self.awake(school)?;
        let today = school.day(self.now());
        let employees = school.world.employees.iter().enumerate();
        Ok(employees
            .map(|(n, e)| AdultInfo {
                id: school.id(Kind::Employee, n),
                upi: e.person.upi.clone(),
                mis_id: e.person.mis_id.clone(),
                forename: e.person.name.forename.clone(),
                surname: e.person.name.surname.clone(),
                email: e.person.email.clone(),
                current: e.person.times.present() && e.current(today),
                role: Some(e.role),
                teaching: e.teaching,
            })
            .collect())
    }

    /// Makes a change and returns the id of the created or changed record.
    ///
    /// # Errors
    /// Returns an error if something it names does not exist, or the change is not possible.
    pub fn change(&self, school: &str, change: &Change) -> Result<String, Error> {
        let now = self.now();
        changes::make(&mut *self.awake(school)?, change, now)
    }

    /// Makes a plausible day's changes, drawn from a seed: joiners, leavers, a re-enrolment, new names, moves, family
    /// matters and a new member of staff. Returns the changes.
    ///
    /// # Errors
    /// Returns an error if there is no such school.
    pub fn a_day_of_changes(&self, school: &str, seed: u64) -> Result<Vec<Change>, Error> {
        let now = self.now();
        let mut school = self.awake(school)?;
        let day = changes::a_day(&school, seed, now);
        for change in &day {
            changes::make(&mut school, change, now)?;
        }
        Ok(day)
    }
}

fn info(school: &School, n: usize, student: &Student, today: NaiveDate) -> StudentInfo {
    let group = |g: usize| {
        school
            .world
            .groups
            .get(g)
            .map(|g| g.code.clone())
            .unwrap_or_default()
    };
    let there = |c: usize| {
        school
            .world
            .contacts
            .get(c)
            .is_some_and(|c| c.person.times.present())
    };
    StudentInfo {
        id: school.id(Kind::Student, n),
        upi: student.person.upi.clone(),
        mis_id: student.person.mis_id.clone(),
        forename: student.person.name.forename.clone(),
        surname: student.person.name.surname.clone(),
        year: year_code(student.year),
        registration: group(student.registration),
        house: group(student.house),
        admission: student.admission,
        leaving: student.leaving,
        on_roll: student.on_roll(today),
        contacts: student
            .contacts
            .iter()
            .filter(|l| there(l.contact))
            .map(|l| LinkInfo {
                contact_id: school.id(Kind::Contact, l.contact),
                relationship: l.relationship.clone(),
                parental_responsibility: l.parental_responsibility,
                lives_with: l.lives_with,
                priority: l.priority,
            })
            .collect(),
    }
}
