//! A typed client for the Wonde API.

mod client;
mod error;
mod id;
mod origin;
mod pages;
mod query;
mod records;
mod refusal;
mod school_client;
mod transport;
mod wire;

pub use client::{Client, ClientBuilder, DEFAULT_BASE_URL, SchoolList};
pub use error::{Context, Error, ErrorKind, Recovery, Result};
pub use id::{
    AttendanceCodeId, AttendanceId, ClassId, ContactId, EmployeeId, GroupId, LessonId, PeriodId,
    RoomId, SchoolId, StudentId, WritebackId,
};
pub use query::{AttendanceQuery, LessonQuery, ListQuery, PER_PAGE, Paging, PeopleQuery};
pub use records::{
    Included, Record,
    attendance::{
        AttendanceCode, LessonAttendance, LessonMark, NotASession, Session, SessionAttendance,
        SessionMark,
    },
    counts::{Counts, Deletion},
    group::{Class, Group, GroupType},
    people::{
        Contact, ContactDetails, Emails, Employee, EmploymentDetails, Phones, Relationship, Role,
    },
    school::{
        AccessChange, Address, Country, Permission, Region, School, SchoolExtended, SchoolMeta,
    },
    student::{EducationDetails, ExtendedDetails, Student},
    timetable::{Lesson, Period, Room},
    writeback::{Writeback, WritebackReceipt, WritebackStatus},
};
pub use school_client::SchoolClient;
