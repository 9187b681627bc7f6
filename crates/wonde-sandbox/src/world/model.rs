//! The people, groups and timetable of a school's MIS.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};

/// As the MIS records it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gender {
    Female,
    Male,
}

/// A person's names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) forename: String,
    pub(crate) middle: Option<String>,
    pub(crate) surname: String,
    /// The legal forename, if it differs from the one used.
    pub(crate) legal_forename: Option<String>,
}

/// When a record was created, changed and deleted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) created: DateTime<Utc>,
    pub(crate) updated: DateTime<Utc>,
    pub(crate) removed: Option<DateTime<Utc>>,
    pub(crate) restored: Option<DateTime<Utc>>,
}

impl Times {
    pub(crate) fn at(created: DateTime<Utc>) -> Self {
        Self {
            created,
            updated: created,
            removed: None,
            restored: None,
        }
    }

    /// Whether the record is not deleted.
    pub(crate) fn present(&self) -> bool {
        self.removed.is_none() || self.restored.is_some()
    }
}

/// The properties of all people.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) upi: String,
    pub(crate) mis_id: String,
    pub(crate) title: Option<&'static str>,
    pub(crate) name: Name,
    pub(crate) gender: Gender,
    pub(crate) born: Option<NaiveDate>,
    pub(crate) email: Option<String>,
    pub(crate) phone: Option<String>,
    pub(crate) address: u32,
    pub(crate) times: Times,
}

/// A pupil. Groups and classes are positions in the school's lists.
#[derive(Clone, Debug)]
pub(crate) struct Student {
    pub(crate) person: Person,
    pub(crate) upn: String,
    /// 0 for Reception, else the national curriculum year.
    pub(crate) year: u8,
    pub(crate) year_group: usize,
    pub(crate) registration: usize,
    pub(crate) house: usize,
    pub(crate) boarding: Option<usize>,
    pub(crate) campus: Option<usize>,
    pub(crate) clubs: Vec<usize>,
    pub(crate) classes: Vec<usize>,
    pub(crate) contacts: Vec<Link>,
    pub(crate) admission: NaiveDate,
    pub(crate) leaving: Option<NaiveDate>,
}

impl Student {
    /// On roll that day.
    pub(crate) fn on_roll(&self, day: NaiveDate) -> bool {
        self.person.times.present()
            && self.admission <= day
            && self.leaving.is_none_or(|last| last >= day)
    }

    /// All groups the pupil is in.
    pub(crate) fn groups(&self) -> impl Iterator<Item = usize> + '_ {
        [self.year_group, self.registration, self.house]
            .into_iter()
            .chain(self.boarding)
            .chain(self.campus)
            .chain(self.clubs.iter().copied())
    }
}

/// The relationship of a contact to a pupil.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) contact: usize,
    pub(crate) relationship: String,
    pub(crate) parental_responsibility: bool,
    pub(crate) lives_with: bool,
    pub(crate) priority: u8,
}

/// A parent, carer or emergency contact.
#[derive(Clone, Debug)]
pub(crate) struct Contact {
    pub(crate) person: Person,
}

/// A member of staff.
#[derive(Clone, Debug)]
pub(crate) struct Employee {
    pub(crate) person: Person,
    pub(crate) teaching: bool,
    pub(crate) role: &'static str,
    pub(crate) start: NaiveDate,
    pub(crate) end: Option<NaiveDate>,
    /// Registration group this person is tutor of.
    pub(crate) tutor_of: Option<usize>,
}

impl Employee {
    /// Employed that day.
    pub(crate) fn current(&self, day: NaiveDate) -> bool {
        self.start <= day && self.end.is_none_or(|last| last >= day)
    }
}

/// The API's words for types of groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GroupKind {
    Year,
    Registration,
    House,
    Boarding,
    Campus,
    User,
}

impl GroupKind {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Year => "YEAR",
            Self::Registration => "REGISTRATION",
            Self::House => "HOUSE",
            Self::Boarding => "BOARDING",
            Self::Campus => "CAMPUS",
            Self::User => "USER",
        }
    }
}

/// A group of pupils.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) kind: GroupKind,
    pub(crate) name: String,
    pub(crate) code: String,
    /// For a registration group, the year it belongs to.
    pub(crate) year: Option<u8>,
    pub(crate) times: Times,
}

/// A teaching class.
#[derive(Clone, Debug)]
pub(crate) struct Class {
    pub(crate) name: String,
    pub(crate) subject: Option<usize>,
    pub(crate) teacher: Option<usize>,
    pub(crate) room: usize,
    /// Weekday (0 is Monday) and number of the period in the day.
    pub(crate) slots: Vec<(u8, u8)>,
    pub(crate) times: Times,
}

/// A period of one weekday, in local time.
#[derive(Clone, Debug)]
pub(crate) struct Period {
    pub(crate) name: String,
    pub(crate) weekday: u8,
    pub(crate) start: NaiveTime,
    pub(crate) end: NaiveTime,
}

/// All people, groups and lessons of one school.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) students: Vec<Student>,
    pub(crate) contacts: Vec<Contact>,
    pub(crate) employees: Vec<Employee>,
    pub(crate) groups: Vec<Group>,
    pub(crate) classes: Vec<Class>,
    pub(crate) periods: Vec<Period>,
    pub(crate) rooms: Vec<String>,
    pub(crate) subjects: Vec<(&'static str, &'static str)>,
    /// Lessons of each weekday as (class, period), ordered by period, with added ones at the end. A lesson's number is
    /// its position in the list.
    pub(crate) week: [Vec<(usize, usize)>; 5],
}
