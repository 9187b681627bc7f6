//! The table of a school's resources: one constant each, for [`SchoolClient::list`](crate::SchoolClient::list) and
//! similar methods.
//!
//! ```no_run
//! use futures::TryStreamExt as _;
//! use wonde::{ListQuery, SchoolClient, resources};
//!
//! # async fn example(school: &SchoolClient) -> wonde::Result<()> {
//! let query = ListQuery::new().include(["student"]);
//! let mut detentions = school.list(resources::DETENTIONS, query);
//! while let Some(detention) = detentions.try_next().await? {
//!     println!("{:?}", detention.get("date"));
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A resource whose properties a source gives has a type of its own. All others are [`OpenRecord`]s, which keep what
//! Wonde sends. [`Resource::open`] reads any resource that way, and [`Resource::at`] one that the table does not have.

use std::{fmt, marker::PhantomData};

use crate::{
    AttendanceCode, AttendanceSummary, Class, Contact, Deletion, Doctor, Employee, Group, Lesson,
    LessonAttendance, OpenRecord, Period, Room, SessionAttendance, Student, Subject,
};

/// A list below a school, and how its rows are read.
pub struct Resource<T = OpenRecord> {
    path: &'static str,
    source: &'static str,
    writes: &'static [Write],
    pub(crate) people: bool,
    record: PhantomData<fn() -> T>,
}

/// What can be done with a resource besides reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Write {
    /// `POST` to the list.
    Create,
    /// `PUT` to one record.
    Update,
    /// `DELETE` of one record.
    Delete,
}

impl<T> Resource<T> {
    const fn new(
        path: &'static str,
        source: &'static str,
        writes: &'static [Write],
        people: bool,
    ) -> Self {
        Self {
            path,
            source,
            writes,
            people,
            record: PhantomData,
        }
    }

    /// The path below the school: `attendance/session`.
    pub const fn path(&self) -> &'static str {
        self.path
    }

    /// How well the resource is known: `D`, `T`, `C` or `?`, as the crate's documentation explains.
    pub const fn source(&self) -> &'static str {
        self.source
    }

    /// What can be done besides reading.
    pub const fn writes(&self) -> &'static [Write] {
        self.writes
    }

    /// The same resource, with rows as Wonde sends them.
    pub const fn open(self) -> Resource {
        Resource::new(self.path, self.source, self.writes, false)
    }
}

impl Resource {
    /// A resource that is not in the table. All writes are allowed.
    pub const fn at(path: &'static str) -> Self {
        Self::new(
            path,
            "?",
            &[Write::Create, Write::Update, Write::Delete],
            false,
        )
    }

    /// The resource of the table at this path.
    ///
    /// ```
    /// use wonde::resources::{Resource, Write};
    ///
    /// let absences = Resource::find("employee-absences").unwrap();
    /// assert!(absences.writes().contains(&Write::Update));
    /// assert!(Resource::find("nothing-of-the-kind").is_none());
    /// ```
    pub fn find(path: &str) -> Option<Self> {
        ALL.iter().copied().find(|resource| resource.path == path)
    }
}

impl<T> Clone for Resource<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Resource<T> {}

impl<T> fmt::Debug for Resource<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Resource").field(&self.path).finish()
    }
}

macro_rules! resources {
    ($($(#[$doc:meta])* $name:ident: $record:ty = $path:literal, $source:literal $(, $write:ident)* $(=> $people:ident)?;)+) => {
        $(
            $(#[$doc])*
            pub const $name: Resource<$record> =
                Resource::new($path, $source, &[$(Write::$write),*], people!($($people)?));
        )+

        /// All resources of the table, as open records.
        pub const ALL: &[Resource] = &[$($name.open()),+];
    };
}

/// Whether rows are people, whose lists may be read leniently.
macro_rules! people {
    () => {
        false
    };
    (people) => {
        true
    };
}

resources! {
    /// Pupils on roll. Future starters are not among them before they start \[T\].
    STUDENTS: Student = "students", "D" => people;
    /// Pupils who are yet to start.
    STUDENTS_PRE_ADMISSION: Student = "students-pre-admission", "D" => people;
    /// Pupils who have left.
    STUDENTS_LEAVER: Student = "students-leaver", "C" => people;
    /// Pupils' contacts, such as parents.
    CONTACTS: Contact = "contacts", "D" => people;
    /// Staff.
    EMPLOYEES: Employee = "employees", "D" => people;
    /// Absences of staff. `PUT` is known from a list of the documentation's endpoints alone \[T\].
    EMPLOYEE_ABSENCES: OpenRecord = "employee-absences", "D", Create, Update, Delete;
    /// Registration groups, years, houses and so on.
    GROUPS: Group = "groups", "D";
    /// Classes.
    CLASSES: Class = "classes", "D";
    /// Subjects.
    SUBJECTS: Subject = "subjects", "D";
    /// Rooms.
    ROOMS: Room = "rooms", "D";
    /// Periods of the week.
    PERIODS: Period = "periods", "D";
    /// Lessons.
    LESSONS: Lesson = "lessons", "D";
    /// The school's attendance codes: the ids that a write takes.
    ATTENDANCE_CODES: AttendanceCode = "attendance-codes", "D";
    /// Session marks. Registers are written with
    /// [`write_session_attendance`](crate::SchoolClient::write_session_attendance).
    SESSION_ATTENDANCE: SessionAttendance = "attendance/session", "D";
    /// Session marks of pupils who have left.
    LEAVERS_SESSION_ATTENDANCE: SessionAttendance = "attendance-leavers/session", "T";
    /// Lesson marks. Registers are written with
    /// [`write_lesson_attendance`](crate::SchoolClient::write_lesson_attendance).
    LESSON_ATTENDANCE: LessonAttendance = "attendance/lesson", "D";
    /// Sessions of each pupil, counted.
    ATTENDANCE_SUMMARIES: AttendanceSummary = "attendance-summaries", "D";
    /// Absences of pupils.
    ABSENCES: OpenRecord = "attendance/absence", "T";
    /// Attendance at detentions.
    DETENTION_ATTENDANCE: OpenRecord = "attendance/detention", "T";
    /// Codes for attendance at detentions.
    DETENTION_ATTENDANCE_CODES: OpenRecord = "detention-attendance-codes", "T";
    /// Kinds of detentions.
    DETENTION_TYPES: OpenRecord = "detention-types", "T";
    /// Detentions.
    DETENTIONS: OpenRecord = "detentions", "T";
    /// Achievements.
    ACHIEVEMENTS: OpenRecord = "achievements", "D", Create, Delete;
    /// Types, awards and activities that an achievement can have.
    ACHIEVEMENTS_ATTRIBUTES: OpenRecord = "achievements/attributes", "D";
    /// Behaviour incidents.
    BEHAVIOURS: OpenRecord = "behaviours", "D", Create, Delete;
    /// Types, roles, actions and places that a behaviour incident can have.
    BEHAVIOURS_ATTRIBUTES: OpenRecord = "behaviours/attributes", "D";
    /// Exclusions.
    EXCLUSIONS: OpenRecord = "exclusions", "C";
    /// Entries of the school's calendar. Their properties are not documented: probably `name`, `description`, `start_at`,
    /// `end_at` and `all_day` \[?\].
    EVENTS: OpenRecord = "events", "D";
    /// Photos of pupils.
    PHOTOS: OpenRecord = "photos", "D";
    /// Pupils' doctors.
    DOCTORS: Doctor = "doctors", "D";
    /// Medical conditions.
    MEDICAL_CONDITIONS: OpenRecord = "medical-conditions", "D";
    /// Medical events.
    MEDICAL_EVENTS: OpenRecord = "medical-events", "D";
    /// Medical notes.
    MEDICAL_NOTES: OpenRecord = "medical-notes", "C";
    /// Aspects of assessment.
    ASSESSMENT_ASPECTS: OpenRecord = "assessment/aspects", "D";
    /// Mark sheets.
    ASSESSMENT_MARKSHEETS: OpenRecord = "assessment/marksheets", "D";
    /// Results of assessment.
    ASSESSMENT_RESULTS: OpenRecord = "assessment/results", "D";
    /// Sets of results.
    ASSESSMENT_RESULTSETS: OpenRecord = "assessment/resultsets", "D";
    /// Templates of mark sheets.
    ASSESSMENT_TEMPLATES: OpenRecord = "assessment/templates", "D";
    /// Deleted records. They cannot be read one by one.
    DELETIONS: Deletion = "deletions", "D";
}
