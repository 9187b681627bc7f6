//! People as the MIS has them, and changing them.

use chrono::NaiveDate;
use serde::Serialize;

use super::Handle;
use crate::changes::{self, Change};
use crate::error::Error;
use crate::ids::Kind;
use crate::school::School;
use crate::world::model::Student;
use crate::world::year_code;

/// A pupil as the MIS has it; also those who are not on roll now.
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
    /// Last day on roll, where it is known.
    pub leaving: Option<NaiveDate>,
    /// On roll today.
    pub on_roll: bool,
    /// Those contacts that are still there.
    pub contacts: Vec<LinkInfo>,
}

/// How a contact stands to a pupil.
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
    /// Place in the order of who is called, from 1.
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
    /// Address for mail.
    pub email: Option<String>,
    /// The record is still there, and a member of staff is employed today.
    pub current: bool,
    /// What a member of staff does.
    pub role: Option<&'static str>,
    /// Teaches.
    pub teaching: bool,
}

impl Handle {
    /// Pupils of a school, also those who have left or are yet to come.
    ///
    /// # Errors
    /// If there is no such school.
    pub fn students(&self, school: &str) -> Result<Vec<StudentInfo>, Error> {
        let school = self.awake(school)?;
        let today = school.day(self.now());
        let students = school.world.students.iter().enumerate();
        Ok(students
            .map(|(n, student)| info(&school, n, student, today))
            .collect())
    }

    /// Contacts of a school, also deleted ones.
    ///
    /// # Errors
    /// If there is no such school.
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

    /// Staff of a school, also those who have left.
    ///
    /// # Errors
    /// If there is no such school.
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

    /// Makes a change; gives the id of the record it made or changed.
    ///
    /// # Errors
    /// If somebody or something it names is not there, or the change makes no sense.
    pub fn change(&self, school: &str, change: &Change) -> Result<String, Error> {
        let now = self.now();
        changes::make(&mut *self.awake(school)?, change, now)
    }

    /// Makes a plausible day's changes, drawn from a seed: joiners, leavers, a re-enrolment, new names, moves, family matters
    /// and a new member of staff. Gives what was changed.
    ///
    /// # Errors
    /// If there is no such school.
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
