//! A typed client for the Wonde API: people, timetables and registers of schools, whatever MIS each of them has.
//!
//! # Getting started
//!
//! A [`Client`] belongs to a token. It lists schools, and [`Client::at`] returns a [`SchoolClient`] for a [`School`] at
//! the host of its region. That lists people, groups, lessons and registers, and submits marks.
//!
//! ```no_run
//! use futures::TryStreamExt as _;
//! use wonde::{Client, PeopleQuery, SchoolId};
//!
//! # async fn example(token: secrecy::SecretString) -> wonde::Result<()> {
//! let client = Client::builder(token).user_agent_suffix("school-door/2.1").build()?;
//! let school = client.school(&SchoolId::from("A1930499544")).await?;
//! let school = client.at(&school)?;
//!
//! let query = PeopleQuery::new().include(["education_details", "registration"]);
//! let mut students = school.students(query);
//! while let Some(student) = students.try_next().await? {
//!     println!("{} is in {:?}", student.id, student.registration.id());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! [`resources`] has a constant for every resource of a school; [`SchoolClient::list`], [`get`](SchoolClient::get),
//! [`create`](SchoolClient::create), [`update`](SchoolClient::update) and [`delete`](SchoolClient::delete) take any of
//! them.
//!
//! # Lists
//!
//! A list is a stream over all its pages. The stream requests a page when it reaches it, at the address that the
//! previous page returned, and only if that address is at the school's own host. A list ends after its last row or its
//! first error. A page that links back to an earlier one, or that has more rows but no link, is an error, because an
//! incomplete list would look as if people had left.
//!
//! **An empty list proves nothing.** The wrong region returns no data, and a property or a list may be withheld: reach
//! schools through [`Client::at`], and do not trust an empty roster.
//!
//! # Errors
//!
//! An [`Error`] has a [kind](ErrorKind) and, separately, a [recovery](Recovery). [`Recovery::Unknown`] is the important
//! one: a write whose response was lost may have taken effect. Check before repeating it.
//!
//! | event | a read | a write |
//! |---|---|---|
//! | no connection: nothing was sent | `Retry` | `Retry` |
//! | no response in time, connection cut | `Retry` | `Unknown` |
//! | 400, 401, 403, 404, 422, a redirect | `Never` | `Never` |
//! | 429, 503 | `Retry`, or `RetryAfter` if the response says how long | like a read |
//! | 500, 502, 504 and similar | like 503 | `Unknown` |
//! | success, with a body that is not JSON | `Retry` | `Unknown` |
//! | success, with JSON of an unexpected format | `Never` | `Unknown` |
//!
//! Reads with `Retry` are retried [twice](ClientBuilder::read_retries) before their error is returned; a wait that
//! Wonde asks for is left to the caller. Writes are never retried.
//!
//! # Privacy
//!
//! The token is sent in one header, over TLS, to Wonde's hosts, the base URL's host and
//! [allowed](ClientBuilder::allow_host) hosts; redirects are not followed. It is in no error and no `Debug` text.
//! Neither are names, dates of birth, contact details, comments and texts of responses: an error about a response names
//! the field and the expected format. Wonde's own message is separate, in [`Error::server_message`]. Responses are read
//! up to 64 MiB, error responses up to 1 MiB.
//!
//! TLS is rustls with the system's certificates. The environment's proxies (`HTTPS_PROXY` and so on) are used, but
//! never for a base URL on loopback. A base URL may be `http` for a test server, but not at Wonde's own hosts.
//!
//! # What is known of Wonde
//!
//! This client was written without access to a live Wonde. Statements about Wonde are labelled, here and at each item:
//!
//! - **\[D\]** *documented*: Wonde's own documentation, or that of its own client libraries.
//! - **\[T\]** *transcribed*: a third party's transcription of it, or a sample that seems real.
//! - **\[C\]** *client code*: the code of Wonde's own client libraries.
//! - **\[?\]** *guessed*, or unknown.
//!
//! The client is therefore lenient when reading. Ids may be strings or numbers, flags words or 0 and 1, times PHP
//! objects or strings; a related record may be an id, the record, or wrapped in `data`. Unknown properties are ignored,
//! unknown words are kept, and nearly every property may be missing. A value that still cannot be read ends a list with
//! an error, or is reported and skipped by a [lenient](SchoolClient::lenient) client. Where a live response disagrees,
//! the response is right.
//!
//! Pitfalls that the client cannot remove: attendance codes have different ids at each school, and a write takes the
//! id; a pupil's id changes on re-enrolment; `null` may mean that there is nothing or that nothing is allowed; a
//! register read here is as old as Wonde's last sync with the MIS, an hour or two \[T\]; a write is accepted first, and
//! its outcome is available later.

mod client;
mod error;
mod id;
mod origin;
mod pages;
mod query;
mod records;
mod rejection;
pub mod resources;
mod school_client;
mod transport;
mod wire;

pub use client::{Client, ClientBuilder, DEFAULT_BASE_URL, SchoolList};
pub use error::{Context, Error, ErrorKind, Recovery, Result};
pub use id::{
    AttendanceCodeId, AttendanceId, ClassId, ContactId, DoctorId, EmployeeId, GroupId, LessonId,
    PeriodId, RoomId, SchoolId, StudentId, SubjectId, WritebackId,
};
pub use pages::OnIssue;
pub use query::{
    AttendanceQuery, LessonQuery, ListQuery, PER_PAGE, Paging, PeopleQuery, SchoolQuery,
};
pub use records::{
    Included, Record,
    attendance::{
        AttendanceCode, AttendanceSummary, LessonAttendance, LessonMark, NotASession, Session,
        SessionAttendance, SessionMark,
    },
    counts::{Counts, Deletion},
    doctor::Doctor,
    failures::MarkFailure,
    group::{Class, Group, GroupType},
    open::OpenRecord,
    people::{
        Contact, ContactDetails, Emails, Employee, EmploymentDetails, Phones, Relationship, Role,
    },
    school::{
        AccessChange, AccessList, AccessListEntry, Address, Country, Permission, Region, School,
        SchoolContact, SchoolExtended, SchoolMeta,
    },
    status::WritebackStatus,
    student::{EducationDetails, ExtendedDetails, Student},
    timetable::{Lesson, Period, Room, Subject},
    writeback::{Writeback, WritebackReceipt},
};
pub use resources::Resource;
pub use school_client::SchoolClient;
pub use transport::{Gate, GateClosed, RawAnswer, RequestInfo, RequestObserver};
pub use wire::{lenient::DecodeIssue, time::WrittenTime};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
