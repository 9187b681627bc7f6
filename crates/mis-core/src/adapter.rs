//! What an adapter for an MIS must do, and the guard that hosts hold it by.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};
use futures::stream::{BoxStream, StreamExt as _};
use wonde::WritebackId;

use crate::{
    Ability, Capabilities, CodeBook, Deletion, Descriptor, Error, EventKind, Group, Lesson, Mark,
    MarkResult, PeopleQuery, Person, PersonKind, Quirks, Register, RegisterQuery, RegisterRow,
    Result, SessionWriteback, Slot, WritebackOutcome, error::ErrorKind,
};

/// One school, seen through the adapter of its MIS.
///
/// There are no default bodies: an adapter says each thing itself, mostly by calling a function of
/// [`shapes`](crate::shapes). What the signatures need is in this crate, too: [`async_trait`](crate::async_trait),
/// [`chrono`](crate::chrono), [`futures`](crate::futures) and [`wonde`](crate::wonde). What is not declared in the [`Descriptor`] must fail with
/// [`ErrorKind::Unsupported`] before any request, also when it is called without the guard.
#[async_trait]
pub trait MisAdapter: Send + Sync + fmt::Debug {
    /// What this MIS is, for every school of it.
    fn descriptor(&self) -> &'static Descriptor;

    /// What holds for this school: declared, granted by the school, and not taken away by the operator.
    fn capabilities(&self) -> Capabilities;

    /// The codes that this school's registers know.
    ///
    /// # Errors
    /// Those of the read. A book without codes is an error too: a withdrawn permission must not pass for a school
    /// without codes.
    async fn code_book(&self) -> Result<Arc<CodeBook>>;

    /// The marks held for a school day, as Wonde's copy has them: the simple way, for hosts that keep nothing.
    ///
    /// Each call reads all that changed since the connection's `register_lookback`, which are many pages at a large school. A
    /// host that asks often keeps the rows and reads only what changed since: see [`MisAdapter::register_rows`].
    ///
    /// # Errors
    /// Those of the read. An answer that could be read in part only is an error.
    async fn register(&self, date: NaiveDate) -> Result<Register>;

    /// The rows of registers, of whatever day, that changed then, page by page, for a host to keep. A stream that ends
    /// with an error has not told everything.
    ///
    /// A row takes the place of the one kept before for the same pupil and slot, unless that changed later. Of a row that was
    /// removed nothing is told: it is missing when everything is read again.
    fn register_rows(&self, query: RegisterQuery) -> BoxStream<'static, Result<RegisterRow>>;

    /// Where the marks of a school day stand: the rows of these slots make up its register.
    ///
    /// # Errors
    /// Those of the read of a timetable, where there is one.
    async fn register_slots(&self, date: NaiveDate) -> Result<Vec<Slot>>;

    /// The register of a school day, made of the rows that a host keeps of [its slots](MisAdapter::register_slots). The last
    /// reading of what changed began at `read_at`.
    ///
    /// # Errors
    /// Those of the reads of the code book and the timetable.
    async fn register_of(
        &self,
        date: NaiveDate,
        read_at: DateTime<Utc>,
        rows: Vec<RegisterRow>,
    ) -> Result<Register>;

    /// The school's students, staff or parents, one after the other, page by page.
    fn people(&self, query: PeopleQuery) -> BoxStream<'static, Result<Person>>;

    /// The groups that the MIS sorts people into.
    fn groups(&self) -> BoxStream<'static, Result<Group>>;

    /// The records of people that are gone from the lists, or came back, since then; all that are told of without it.
    /// What hung on them is not told, so a full read now and then is needed all the same.
    fn deletions(&self, since: Option<DateTime<Utc>>) -> BoxStream<'static, Result<Deletion>>;

    /// How many people of a kind there are by Wonde's own count, to hold a list against that may have been cut off;
    /// `None` where it does not tell.
    ///
    /// # Errors
    /// Those of the read.
    async fn people_count(&self, kind: PersonKind) -> Result<Option<u64>>;

    /// The lessons of a school day, in the order of their start.
    ///
    /// # Errors
    /// Those of the read.
    async fn lessons(&self, date: NaiveDate) -> Result<Arc<Vec<Lesson>>>;

    /// Sends marks to be written, as few requests as may be, and tells for each what became of it, in the same order.
    ///
    /// Nothing is sent for no marks. A register that is refused for one bad mark is split until the bad mark stands
    /// alone. Marks for one pupil, date and session must not appear twice.
    ///
    /// # Errors
    /// Only what holds for all marks before any was sent, such as [`ErrorKind::Unsupported`].
    async fn write(&self, marks: &[Mark]) -> Result<Vec<MarkResult>>;

    /// How far a writeback has come. It is done only when nothing is said against any mark of it.
    ///
    /// # Errors
    /// Those of the read.
    async fn outcome(&self, writeback: &WritebackId) -> Result<WritebackOutcome>;
}

/// An adapter behind the guard: what a host holds.
///
/// Every call that the capabilities do not cover is answered with [`ErrorKind::Unsupported`], and no request is sent.
#[derive(Clone, Debug)]
pub struct Mis {
    adapter: Arc<dyn MisAdapter>,
}

impl Mis {
    /// Puts the guard before an adapter.
    pub fn new(adapter: Arc<dyn MisAdapter>) -> Self {
        Self { adapter }
    }

    /// What this MIS is, for every school of it.
    pub fn descriptor(&self) -> &'static Descriptor {
        self.adapter.descriptor()
    }

    /// What holds for this school; never more than the descriptor declares.
    pub fn capabilities(&self) -> Capabilities {
        self.adapter
            .capabilities()
            .narrowed_to(self.descriptor().capabilities)
    }

    /// What this MIS does with single marks that its capabilities do not say.
    pub fn quirks(&self) -> Quirks {
        self.descriptor().quirks
    }

    /// See [`MisAdapter::code_book`].
    ///
    /// # Errors
    /// Those of the adapter.
    pub async fn code_book(&self) -> Result<Arc<CodeBook>> {
        self.adapter.code_book().await
    }

    /// See [`MisAdapter::register`].
    ///
    /// # Errors
    /// Those of the adapter.
    pub async fn register(&self, date: NaiveDate) -> Result<Register> {
        self.adapter.register(date).await
    }

    /// See [`MisAdapter::register_rows`].
    pub fn register_rows(&self, query: RegisterQuery) -> BoxStream<'static, Result<RegisterRow>> {
        self.adapter.register_rows(query)
    }

    /// See [`MisAdapter::register_slots`].
    ///
    /// # Errors
    /// Those of the adapter.
    pub async fn register_slots(&self, date: NaiveDate) -> Result<Vec<Slot>> {
        self.adapter.register_slots(date).await
    }

    /// See [`MisAdapter::register_of`].
    ///
    /// # Errors
    /// Those of the adapter.
    pub async fn register_of(
        &self,
        date: NaiveDate,
        read_at: DateTime<Utc>,
        rows: Vec<RegisterRow>,
    ) -> Result<Register> {
        self.adapter.register_of(date, read_at, rows).await
    }

    /// See [`MisAdapter::people`].
    pub fn people(&self, query: PeopleQuery) -> BoxStream<'static, Result<Person>> {
        match self.needs(Ability::Roster) {
            Ok(()) => self.adapter.people(query),
            Err(error) => futures::stream::once(async { Err(error) }).boxed(),
        }
    }

    /// See [`MisAdapter::groups`].
    pub fn groups(&self) -> BoxStream<'static, Result<Group>> {
        match self.needs(Ability::Roster) {
            Ok(()) => self.adapter.groups(),
            Err(error) => futures::stream::once(async { Err(error) }).boxed(),
        }
    }

    /// See [`MisAdapter::deletions`].
    pub fn deletions(&self, since: Option<DateTime<Utc>>) -> BoxStream<'static, Result<Deletion>> {
        match self.needs(Ability::Roster) {
            Ok(()) => self.adapter.deletions(since),
            Err(error) => futures::stream::once(async { Err(error) }).boxed(),
        }
    }

    /// See [`MisAdapter::people_count`].
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`], and those of the adapter.
    pub async fn people_count(&self, kind: PersonKind) -> Result<Option<u64>> {
        self.needs(Ability::Roster)?;
        self.adapter.people_count(kind).await
    }

    /// See [`MisAdapter::lessons`].
    ///
    /// # Errors
    /// Those of the adapter.
    pub async fn lessons(&self, date: NaiveDate) -> Result<Arc<Vec<Lesson>>> {
        self.adapter.lessons(date).await
    }

    /// See [`MisAdapter::write`].
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] when a mark asks for what this school's MIS cannot keep, and those of the adapter.
    pub async fn write(&self, marks: &[Mark]) -> Result<Vec<MarkResult>> {
        check_marks(self.descriptor(), self.capabilities(), marks)?;
        if marks.is_empty() {
            return Ok(Vec::new());
        }
        self.adapter.write(marks).await
    }

    /// See [`MisAdapter::outcome`].
    ///
    /// # Errors
    /// Those of the adapter.
    pub async fn outcome(&self, writeback: &WritebackId) -> Result<WritebackOutcome> {
        self.needs(Ability::Session)?;
        self.adapter.outcome(writeback).await
    }

    fn needs(&self, ability: Ability) -> Result<()> {
        if self.capabilities().has(ability) {
            Ok(())
        } else {
            Err(Error::unsupported(self.descriptor().name, ability))
        }
    }
}

/// Refuses marks that ask for more than can be kept. The guard asks this, and so does every shared writer, so that an
/// adapter without its guard is no weaker.
pub(crate) fn check_marks(
    descriptor: &Descriptor,
    capabilities: Capabilities,
    marks: &[Mark],
) -> Result<()> {
    if capabilities.session == SessionWriteback::No {
        return Err(Error::unsupported(descriptor.name, Ability::Session));
    }
    for mark in marks {
        let asked = [
            (Ability::Comment, mark.comment.is_some()),
            (Ability::MinutesLate, mark.minutes_late.is_some()),
            (Ability::EarlyLeaver, mark.cause == EventKind::SignOut),
        ];
        for (ability, asked) in asked {
            if asked && !capabilities.has(ability) {
                return Err(Error::unsupported(descriptor.name, ability));
            }
        }
        if let (Some(comment), Some(max)) = (&mark.comment, capabilities.comment_max)
            && comment.chars().count() > usize::from(max)
        {
            return Err(Error::new(
                ErrorKind::InvalidMark,
                format!(
                    "the comment for student {} is longer than the {max} characters that {} keeps; shorten it",
                    mark.student, descriptor.name
                ),
            ));
        }
        if mark.minutes_late == Some(0) {
            return Err(Error::new(
                ErrorKind::InvalidMark,
                format!(
                    "the mark for student {} says 0 minutes late; leave the minutes out",
                    mark.student
                ),
            ));
        }
    }
    Ok(())
}
