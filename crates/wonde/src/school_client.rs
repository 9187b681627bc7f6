//! One school: its people, its timetable, its registers.

use std::fmt;

use chrono::{DateTime, Utc};
use futures::stream::BoxStream;
use reqwest::Method;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    AttendanceCode, AttendanceQuery, Class, Client, Contact, Counts, Deletion, Employee, Group,
    Lesson, LessonAttendance, LessonMark, LessonQuery, ListQuery, OpenRecord, PeopleQuery, Period,
    SchoolId, SessionAttendance, SessionMark, Student, Writeback, WritebackId, WritebackReceipt,
    client::Root,
    error::{Error, Result},
    pages::OnIssue,
    resources::{self, Resource, Write},
    transport::RawAnswer,
};

/// The way to one school at one host. Cheap to clone; clones share their connections.
///
/// A list without rows may mean that there are none, or that this is not the school's region \[D\]: an empty roster is
/// never to be believed without a check.
#[derive(Clone)]
pub struct SchoolClient {
    client: Client,
    root: Root,
    id: SchoolId,
    on_issue: Option<OnIssue>,
}

impl fmt::Debug for SchoolClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SchoolClient")
            .field("id", &self.id)
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}

/// The body of a write \[C\].
#[derive(Serialize)]
struct Marks<'a, M> {
    attendance: &'a [M],
}

impl SchoolClient {
    pub(crate) fn new(client: Client, root: Root, id: SchoolId) -> Self {
        Self {
            client,
            root,
            id,
            on_issue: None,
        }
    }

    /// The same way, on which lists of people pass over what they cannot read: a value is taken for one that is not
    /// there, a record without an id is left out, and `on_issue` is told of each. Otherwise the first such value ends the
    /// list with an error. Registers are always read to the letter: a code that was passed over could be one that stands.
    #[must_use]
    pub fn lenient(&self, on_issue: OnIssue) -> Self {
        Self {
            on_issue: Some(on_issue),
            ..self.clone()
        }
    }

    /// The school.
    pub fn id(&self) -> &SchoolId {
        &self.id
    }

    /// The client that this way was taken from.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Lists the rows of any resource of the [table](resources). A page is asked for when the stream comes to it.
    pub fn list<T>(
        &self,
        resource: Resource<T>,
        query: impl Into<ListQuery>,
    ) -> BoxStream<'static, Result<T>>
    where
        T: DeserializeOwned + Send + 'static,
    {
        let on_issue = self.on_issue.clone().filter(|_| resource.people);
        let query: ListQuery = query.into();
        self.root
            .rows_with(&self.path(resource.path()), &query.pairs(), on_issue)
    }

    /// Reads one record of any resource of the [table](resources), with these includes.
    ///
    /// # Errors
    /// Returns an error if the request fails; [`NotFound`](crate::ErrorKind::NotFound) if there is no such record.
    pub async fn get<T: DeserializeOwned>(
        &self,
        resource: Resource<T>,
        id: impl AsRef<str>,
        include: &[&str],
    ) -> Result<T> {
        let mut path = self.path(resource.path());
        path.push(id.as_ref());
        let include = (!include.is_empty()).then(|| ("include".to_owned(), include.join(",")));
        self.root.one(&path, include.as_slice()).await
    }

    /// Reads an address below the school as it comes, to look at Wonde's own forms. Not repeated on failure.
    ///
    /// # Errors
    /// Returns an error if the request fails or the answer is no JSON.
    pub async fn raw(&self, path: &str, query: &[(&str, &str)]) -> Result<RawAnswer> {
        self.root.raw(&self.path(path), query).await
    }

    /// Creates a record \[D\]. What Wonde answers is not known \[?\]; an empty answer is an empty record. Nothing is
    /// repeated here.
    ///
    /// # Errors
    /// Returns an error if the request fails, and [`Config`](crate::ErrorKind::Config) before any request for a resource
    /// that takes no new records.
    pub async fn create<T>(
        &self,
        resource: Resource<T>,
        record: &impl Serialize,
    ) -> Result<OpenRecord> {
        self.write(resource, Write::Create, None, Some(record))
            .await
    }

    /// Changes a record \[T\]; the rest as for [`create`](Self::create).
    ///
    /// # Errors
    /// As for [`create`](Self::create).
    pub async fn update<T>(
        &self,
        resource: Resource<T>,
        id: impl AsRef<str>,
        record: &impl Serialize,
    ) -> Result<OpenRecord> {
        self.write(resource, Write::Update, Some(id.as_ref()), Some(record))
            .await
    }

    /// Deletes a record \[D\]; the rest as for [`create`](Self::create).
    ///
    /// # Errors
    /// As for [`create`](Self::create).
    pub async fn delete<T>(
        &self,
        resource: Resource<T>,
        id: impl AsRef<str>,
    ) -> Result<OpenRecord> {
        self.write(resource, Write::Delete, Some(id.as_ref()), None::<&()>)
            .await
    }

    async fn write<T>(
        &self,
        resource: Resource<T>,
        write: Write,
        id: Option<&str>,
        record: Option<&impl Serialize>,
    ) -> Result<OpenRecord> {
        if !resource.writes().contains(&write) {
            return Err(Error::config(format!(
                "`{}` cannot be written that way",
                resource.path()
            )));
        }
        let method = match write {
            Write::Create => Method::POST,
            Write::Update => Method::PUT,
            Write::Delete => Method::DELETE,
        };
        let mut path = self.path(resource.path());
        path.extend(id);
        self.root.write_open(method, &path, record).await
    }

    /// Lists pupils on roll \[D\]. Future starters are not among them before they start \[T\].
    pub fn students(&self, query: PeopleQuery) -> BoxStream<'static, Result<Student>> {
        self.list(resources::STUDENTS, query)
    }

    /// Lists pupils who are yet to start \[D\]; a permission of its own. That rows are like those of
    /// [`students`](Self::students) is a guess \[?\].
    pub fn students_pre_admission(
        &self,
        query: PeopleQuery,
    ) -> BoxStream<'static, Result<Student>> {
        self.list(resources::STUDENTS_PRE_ADMISSION, query)
    }

    /// Lists staff \[D\].
    pub fn employees(&self, query: PeopleQuery) -> BoxStream<'static, Result<Employee>> {
        self.list(resources::EMPLOYEES, query)
    }

    /// Lists pupils' contacts \[D\].
    pub fn contacts(&self, query: PeopleQuery) -> BoxStream<'static, Result<Contact>> {
        self.list(resources::CONTACTS, query)
    }

    /// Lists groups \[D\].
    pub fn groups(&self, query: ListQuery) -> BoxStream<'static, Result<Group>> {
        self.list(resources::GROUPS, query)
    }

    /// Lists classes \[D\].
    pub fn classes(&self, query: ListQuery) -> BoxStream<'static, Result<Class>> {
        self.list(resources::CLASSES, query)
    }

    /// Lists the periods of the week \[D\].
    pub fn periods(&self, query: ListQuery) -> BoxStream<'static, Result<Period>> {
        self.list(resources::PERIODS, query)
    }

    /// Lists lessons \[T\].
    pub fn lessons(&self, query: LessonQuery) -> BoxStream<'static, Result<Lesson>> {
        self.list(resources::LESSONS, query)
    }

    /// Lists session marks \[T\]. They are as old as Wonde's last reading of the MIS, an hour or two \[T\].
    pub fn session_attendance(
        &self,
        query: AttendanceQuery,
    ) -> BoxStream<'static, Result<SessionAttendance>> {
        self.list(resources::SESSION_ATTENDANCE, query)
    }

    /// Lists lesson marks \[D\]. They are as old as Wonde's last reading of the MIS, an hour or two \[T\].
    pub fn lesson_attendance(
        &self,
        query: AttendanceQuery,
    ) -> BoxStream<'static, Result<LessonAttendance>> {
        self.list(resources::LESSON_ATTENDANCE, query)
    }

    /// Lists the school's attendance codes \[T\]: the ids that a write takes.
    pub fn attendance_codes(&self) -> BoxStream<'static, Result<AttendanceCode>> {
        self.list(resources::ATTENDANCE_CODES, ListQuery::new())
    }

    /// Lists records that are gone \[T\], since a time if one is given.
    pub fn deletions(&self, since: Option<DateTime<Utc>>) -> BoxStream<'static, Result<Deletion>> {
        let query = ListQuery {
            updated_after: since,
            ..ListQuery::default()
        };
        self.list(resources::DELETIONS, query)
    }

    /// Counts rows by Wonde's names for their kinds: `students`, `contacts` \[D\].
    ///
    /// # Errors
    /// Those of the request.
    pub async fn counts(&self, kinds: &[&str]) -> Result<Counts> {
        let query = [("include".to_owned(), kinds.join(","))];
        self.root.one(&self.path("counts"), &query).await
    }

    /// Hands in session marks \[C\]. That is not the end of it: they go to the MIS later, and
    /// [`writeback`](Self::writeback) tells. Nothing is repeated here.
    ///
    /// Whether one bad mark refuses the whole register is not known \[?\]: take it that it does, and split.
    ///
    /// # Errors
    /// Those of the request. With [`Recovery::Unknown`](crate::Recovery::Unknown) the marks may be on their way: read the
    /// register back before sending them again. [`Config`](crate::ErrorKind::Config) for no marks at all.
    pub async fn write_session_attendance(
        &self,
        marks: &[SessionMark],
    ) -> Result<WritebackReceipt> {
        self.hand_in(resources::SESSION_ATTENDANCE, marks).await
    }

    /// Hands in lesson marks \[C\]; the rest as for [session marks](Self::write_session_attendance).
    ///
    /// # Errors
    /// As for session marks.
    pub async fn write_lesson_attendance(&self, marks: &[LessonMark]) -> Result<WritebackReceipt> {
        self.hand_in(resources::LESSON_ATTENDANCE, marks).await
    }

    /// How far a register that was handed in at this school has come \[C\], asked in the school's own region.
    ///
    /// # Errors
    /// Those of the request.
    pub async fn writeback(&self, id: &WritebackId) -> Result<Writeback> {
        self.root.writeback(id).await
    }

    async fn hand_in<T, M: Serialize>(
        &self,
        resource: Resource<T>,
        marks: &[M],
    ) -> Result<WritebackReceipt> {
        if marks.is_empty() {
            return Err(Error::config("there are no marks to hand in"));
        }
        let content = Marks { attendance: marks };
        self.root
            .write(Method::POST, &self.path(resource.path()), Some(&content))
            .await
    }

    fn path<'a>(&'a self, below: &'a str) -> Vec<&'a str> {
        let mut path = vec!["schools", self.id.as_str()];
        path.extend(below.split('/'));
        path
    }
}
