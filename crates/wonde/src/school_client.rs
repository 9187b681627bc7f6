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

/// A client for one school at one host. Cheap to clone; clones share their connections.
///
/// An empty list means that there are no rows, or that this is not the school's region \[D\]: check before you trust an
/// empty roster.
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

    /// Returns a client whose lists of people skip what they cannot read: a value counts as missing, a record without
    /// an id is left out, and `on_issue` is called for each. By default the first such value ends the list with an
    /// error. Registers are always read strictly, because a skipped code could be the current one.
    #[must_use]
    pub fn lenient(&self, on_issue: OnIssue) -> Self {
        Self {
            on_issue: Some(on_issue),
            ..self.clone()
        }
    }

    /// Returns the school's id.
    pub fn id(&self) -> &SchoolId {
        &self.id
    }

    /// Returns the client that this one was made from.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Lists the rows of any resource of the [table](resources). A page is requested when the
    /// stream reaches it.
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

    /// Reads an address below the school as it comes, to inspect Wonde's formats. It is not retried.
    ///
    /// # Errors
    /// Returns an error if the request fails or the response is not JSON.
    pub async fn raw(&self, path: &str, query: &[(&str, &str)]) -> Result<RawAnswer> {
        self.root.raw(&self.path(path), query).await
    }

    /// Creates a record \[D\]. Wonde's response is not known \[?\]; an empty response is an empty record. The
    /// request is never retried.
    ///
    /// # Errors
    /// Returns an error if the request fails, and [`Config`](crate::ErrorKind::Config) before any request for a
    /// resource that takes no new records.
    pub async fn create<T>(
        &self,
        resource: Resource<T>,
        record: &impl Serialize,
    ) -> Result<OpenRecord> {
        self.write(resource, Write::Create, None, Some(record))
            .await
    }

    /// Updates a record \[T\]; otherwise like [`create`](Self::create).
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

    /// Deletes a record \[D\]; otherwise like [`create`](Self::create).
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
                "`{}` does not support this kind of write",
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

    /// Lists pupils on roll \[D\]. Future starters are not listed before they start \[T\].
    pub fn students(&self, query: PeopleQuery) -> BoxStream<'static, Result<Student>> {
        self.list(resources::STUDENTS, query)
    }

    /// Lists pupils who have not started yet \[D\]; it needs a permission of its own. Rows are assumed to look like
    /// those of [`students`](Self::students) \[?\].
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

    /// Lists session marks \[T\]. They are as old as Wonde's last sync with the MIS, an hour or two \[T\].
    pub fn session_attendance(
        &self,
        query: AttendanceQuery,
    ) -> BoxStream<'static, Result<SessionAttendance>> {
        self.list(resources::SESSION_ATTENDANCE, query)
    }

    /// Lists lesson marks \[D\]. They are as old as Wonde's last sync with the MIS, an hour or two \[T\].
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

    /// Lists deleted records \[T\], optionally only those deleted since a time.
    pub fn deletions(&self, since: Option<DateTime<Utc>>) -> BoxStream<'static, Result<Deletion>> {
        let query = ListQuery {
            updated_after: since,
            ..ListQuery::default()
        };
        self.list(resources::DELETIONS, query)
    }

    /// Counts rows by Wonde's names for their kinds, such as `students` and `contacts` \[D\].
    ///
    /// # Errors
    /// Returns an error if the request fails.
    pub async fn counts(&self, kinds: &[&str]) -> Result<Counts> {
        let query = [("include".to_owned(), kinds.join(","))];
        self.root.one(&self.path("counts"), &query).await
    }

    /// Submits session marks \[C\]. Wonde accepts them first and writes them to the MIS later;
    /// [`writeback`](Self::writeback) returns the outcome. The request is never retried.
    ///
    /// It is not known whether one bad mark rejects the whole register \[?\]: assume that it does, and split the
    /// register.
    ///
    /// # Errors
    /// Returns an error if the request fails. With [`Recovery::Unknown`](crate::Recovery::Unknown) Wonde may have
    /// accepted the marks: read the register back before sending them again. [`Config`](crate::ErrorKind::Config) if
    /// there are no marks.
    pub async fn write_session_attendance(
        &self,
        marks: &[SessionMark],
    ) -> Result<WritebackReceipt> {
        self.hand_in(resources::SESSION_ATTENDANCE, marks).await
    }

    /// Submits lesson marks \[C\]; otherwise like [session marks](Self::write_session_attendance).
    ///
    /// # Errors
    /// The same as for session marks.
    pub async fn write_lesson_attendance(&self, marks: &[LessonMark]) -> Result<WritebackReceipt> {
        self.hand_in(resources::LESSON_ATTENDANCE, marks).await
    }

    /// Returns the outcome of a register that was submitted at this school \[C\], from the school's own region.
    ///
    /// # Errors
    /// Returns an error if the request fails.
    pub async fn writeback(&self, id: &WritebackId) -> Result<Writeback> {
        self.root.writeback(id).await
    }

    /// Lists submitted registers \[C\] as [`Client::writebacks`](crate::Client::writebacks), from the school's own
    /// region. The list may have those of all schools of the token \[?\].
    pub fn writebacks(&self) -> BoxStream<'static, Result<Writeback>> {
        self.root.writebacks()
    }

    async fn hand_in<T, M: Serialize>(
        &self,
        resource: Resource<T>,
        marks: &[M],
    ) -> Result<WritebackReceipt> {
        if marks.is_empty() {
            return Err(Error::config("there are no marks to submit"));
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
