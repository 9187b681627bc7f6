//! A typed client for the Wonde API: schools' people, timetables and registers, out of whatever MIS each school has.
//!
//! # From a token to a mark
//!
//! A [`Client`] stands for a token. It lists schools, and [`Client::at`] takes a [`School`] to the host of its own region,
//! as a [`SchoolClient`]. That lists people, groups, lessons and registers, and hands marks in.
//!
//! ```no_run
//! use futures::TryStreamExt as _;
//! use wonde::{AttendanceQuery, Client, PeopleQuery, SchoolId};
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
//! # Lists
//!
//! A list is a stream over all its pages. A page is asked for when the stream comes to it, at the address that the page
//! before it gave, and only if that is at the school's own host. A list ends after its last row or its first error; one that
//! leads back to a page it came from, or that says there is more and not where, is an error: half a list would look like
//! people who have left.
//!
//! **An empty list proves nothing.** The wrong region answers without data, and a property or a list may be withheld: see
//! to it that a school was reached by [`Client::at`], and do not believe an empty roster.
//!
//! # Errors
//!
//! An [`Error`] tells [what](ErrorKind) went wrong and, apart from that, [how to go on](Recovery). The important word is
//! [`Recovery::Unknown`]: a write whose answer was lost may have taken hold. Look before repeating it.
//!
//! | what happened | a read | a write |
//! |---|---|---|
//! | no connection: nothing was sent | `Retry` | `Retry` |
//! | no answer in time, connection cut | `Retry` | `Unknown` |
//! | 400, 401, 403, 404, 422, a redirect | `Never` | `Never` |
//! | 429, 503 | `Retry`, or `RetryAfter` where the answer says how long | as a read |
//! | 500, 502, 504 and their kin | as for 503 | `Unknown` |
//! | success, with a body that is no JSON | `Retry` | `Unknown` |
//! | success, with JSON that does not fit | `Never` | `Unknown` |
//!
//! Reads that may be retried are, [twice](ClientBuilder::read_retries), before their error is handed on; a wait that Wonde
//! asks for is the caller's. Writes are never repeated here.
//!
//! # What is kept to itself
//!
//! The token goes in one header, over TLS, to Wonde's hosts, the base URL's host and those that were
//! [allowed](ClientBuilder::allow_host); redirects are not followed. It is in no error and no `Debug` text. Neither are
//! names, dates of birth, contact details, comments and answers' texts: an error about an answer names the field and what
//! was expected there. What Wonde itself says of a failure is kept apart, in [`Error::server_message`]. Answers are read up to 64 MiB
//! and refusals up to 1 MiB.
//!
//! TLS is rustls with the system's certificates. The environment's proxies (`HTTPS_PROXY` and so on) are used, but never for
//! a base URL on loopback. A base URL may be `http` for a stand-in, but not at Wonde's own hosts.
//!
//! # What is known of Wonde
//!
//! This client was written without a live Wonde to try it on. What it takes to be so bears its weight, here and at each
//! item:
//!
//! - **\[D\]** *documented*: Wonde's own documentation, or that of its own client libraries.
//! - **\[T\]** *transcribed*: somebody else's transcription of it, or a sample that seems real.
//! - **\[C\]** *client code*: read out of the code of Wonde's own client libraries.
//! - **\[?\]** *guessed*, or unknown.
//!
//! So it is lenient in reading. Ids come as texts or numbers, flags as words or 0 and 1, times as PHP writes them or as
//! texts; a related record as an id, whole, or wrapped in `data`. Properties that are not known are passed over, words that
//! are not known are kept, and nearly every property may be missing. What still cannot be read ends a list with an error, or, on
//! a [lenient](SchoolClient::lenient) way to a school, is named and passed over. Where a live answer disagrees, the live answer is right.
//!
//! Traps that it cannot take away: attendance codes have ids of their own at each school, and a write takes the id; a pupil's
//! id changes on enrolling again; `null` may mean that there is nothing or that nothing is allowed; a register read here is as
//! old as Wonde's last look into the MIS, an hour or two \[T\]; a write is only taken in, and its outcome asked for later.

mod client;
mod error;
mod id;
mod origin;
mod pages;
mod query;
mod records;
mod refusal;
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
pub use transport::{Asked, Gate, GateClosed, RawAnswer, Watch};
pub use wire::lenient::DecodeIssue;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
