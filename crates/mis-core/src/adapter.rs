//! The trait of adapters, and the guard in front of them.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};
use futures::stream::{BoxStream, StreamExt as _};

use crate::{
    Ability, CalendarEntry, Capabilities, CodeBook, Deletion, Descriptor, Error, Group, Lesson,
    Mark, MarkResult, PeopleQuery, Person, PersonKind, Quirks, Receipt, Register, RegisterQuery,
    RegisterRow, Result, Slot, WritebackOutcome,
};

/// One school, seen through the adapter of its MIS.
///
/// The methods with a body are for what not every MIS has: an adapter that declares no session marks needs no
/// [`write`](Self::write), one that writes marks at once needs no [`outcome`](Self::outcome). What the [`Descriptor`]
/// does not declare must fail with [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) before any request, also
/// without the guard.
#[async_trait]
pub trait MisAdapter: Send + Sync + fmt::Debug {
    /// The description of this MIS, for every school of it.
    fn descriptor(&self) -> &'static Descriptor;

    /// The capabilities at this school: declared, granted by the school, and not taken away by the operator.
    fn capabilities(&self) -> Capabilities;

    /// The codes that this school's registers know.
    ///
    /// # Errors
    /// Returns an error if they cannot be read, or if there are none: a withdrawn permission must not look like a
    /// school without codes.
    async fn code_book(&self) -> Result<Arc<CodeBook>>;

    /// The marks of a school day, for hosts that keep nothing.
    ///
    /// This may read everything that changed for months. A host that asks often keeps the rows and reads only what
    /// changed since: see [`MisAdapter::register_rows`].
    ///
    /// # Errors
    /// Returns an error if the register cannot be read in full.
    async fn register(&self, date: NaiveDate) -> Result<Register>;

    /// The rows of registers, of whatever day, that changed in this time, for a host to keep. A stream that ends with
    /// an error is incomplete.
    ///
    /// A row replaces the kept one of the same student, slot and key, unless that one changed later. Removed rows are
    /// not reported: they are missing when everything is read again.
    fn register_rows(&self, query: RegisterQuery) -> BoxStream<'static, Result<RegisterRow>>;

    /// The slots of a school day: the rows of these slots make up its register. AM and PM unless overridden.
    ///
    /// # Errors
    /// Returns an error if a timetable cannot be read, where there is one.
    async fn register_slots(&self, date: NaiveDate) -> Result<Vec<Slot>> {
        Ok(Slot::sessions_of(date).into())
    }

    /// The register of a school day from the rows that a host keeps of [its slots](MisAdapter::register_slots). The
    /// last reading of changes began at `read_at`.
    ///
    /// # Errors
    /// Returns an error if the code book, or a timetable, cannot be read.
    async fn register_of(
        &self,
        date: NaiveDate,
        read_at: DateTime<Utc>,
        rows: Vec<RegisterRow>,
    ) -> Result<Register> {
        let book = self.code_book().await?;
        Ok(Register::from_rows(date, read_at, &book, rows))
    }

    /// The school's students, staff or parents. [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) unless
    /// overridden.
    fn people(&self, query: PeopleQuery) -> BoxStream<'static, Result<Person>> {
        let _ = query;
        failed(Error::unsupported(self.descriptor().name, Ability::Roster))
    }

    /// The groups that the MIS sorts people into. None unless overridden.
    fn groups(&self) -> BoxStream<'static, Result<Group>> {
        futures::stream::empty().boxed()
    }

    /// The people whose records were removed or restored since then, or all that are known. A host needs a full reading
    /// from time to time all the same. None unless overridden.
    fn deletions(&self, since: Option<DateTime<Utc>>) -> BoxStream<'static, Result<Deletion>> {
        let _ = since;
        futures::stream::empty().boxed()
    }

    /// The MIS's own count of people of a kind, to recognise a list that was cut off; `None` if it has none, which is
    /// the answer unless overridden.
    ///
    /// # Errors
    /// Returns an error if the count cannot be read.
    async fn people_count(&self, kind: PersonKind) -> Result<Option<u64>> {
        let _ = kind;
        Ok(None)
    }

    /// The lessons of a school day, in the order of their start. None unless overridden.
    ///
    /// # Errors
    /// Returns an error if they cannot be read.
    async fn lessons(&self, date: NaiveDate) -> Result<Arc<Vec<Lesson>>> {
        let _ = date;
        Ok(Arc::default())
    }

    /// The entries of the school's own calendar with a day from `from` to `until`, in the order of their first days; `None`
    /// if the MIS has no calendar, which is the answer unless overridden.
    ///
    /// # Errors
    /// Returns an error if the calendar cannot be read in full, or the school does not grant that.
    async fn calendar(
        &self,
        from: NaiveDate,
        until: NaiveDate,
    ) -> Result<Option<Vec<CalendarEntry>>> {
        let _ = (from, until);
        Ok(None)
    }

    /// Writes marks in as few requests as possible, and returns the result of each in the same order.
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) unless overridden.
    ///
    /// Nothing is sent for no marks. A register that is rejected because of one bad mark is split until the bad mark is
    /// alone. Marks for one student, date and session must not appear twice.
    ///
    /// # Errors
    /// Returns only errors that apply to all marks before any was sent, such as
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported).
    async fn write(&self, marks: &[Mark]) -> Result<Vec<MarkResult>> {
        let _ = marks;
        Err(Error::unsupported(self.descriptor().name, Ability::Session))
    }

    /// How far the marks of a receipt have come. They are done only when there is no error for any of them. Not needed
    /// by adapters that never return [`MarkResult::Accepted`].
    ///
    /// # Errors
    /// Returns an error if the outcome cannot be read.
    async fn outcome(&self, receipt: &Receipt) -> Result<WritebackOutcome> {
        let _ = receipt;
        Err(Error::unsupported(self.descriptor().name, Ability::Session))
    }

    /// How far the marks of several receipts have come, in the same order. An adapter overrides this if it can ask about
    /// several with fewer requests than one for each; the answers must be as reliable as those of
    /// [`MisAdapter::outcome`].
    async fn outcomes(&self, receipts: &[Receipt]) -> Vec<Result<WritebackOutcome>> {
        let asked = receipts.iter().map(|receipt| self.outcome(receipt));
        futures::stream::iter(asked.collect::<Vec<_>>())
            .buffered(OUTCOMES_AT_ONCE)
            .collect()
            .await
    }
}

/// Receipts asked about at the same time where each needs a request of its own.
const OUTCOMES_AT_ONCE: usize = 8;

/// An adapter behind the guard, for hosts.
///
/// The guard answers every call that the capabilities do not cover with
/// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) and sends no request.
#[derive(Clone, Debug)]
pub struct Mis {
    adapter: Arc<dyn MisAdapter>,
}

impl Mis {
    /// Puts the guard in front of an adapter.
    pub fn new(adapter: Arc<dyn MisAdapter>) -> Self {
        Self { adapter }
    }

    /// The description of this MIS.
    pub fn descriptor(&self) -> &'static Descriptor {
        self.adapter.descriptor()
    }

    /// The capabilities at this school; never more than the descriptor declares.
    pub fn capabilities(&self) -> Capabilities {
        self.adapter
            .capabilities()
            .narrowed_to(self.descriptor().capabilities)
    }

    /// The quirks of this MIS: how it treats single marks beyond its capabilities.
    pub fn quirks(&self) -> Quirks {
        self.descriptor().quirks
    }

    /// See [`MisAdapter::code_book`].
    ///
    /// # Errors
    /// Returns the adapter's errors.
    pub async fn code_book(&self) -> Result<Arc<CodeBook>> {
        self.adapter.code_book().await
    }

    /// See [`MisAdapter::register`].
    ///
    /// # Errors
    /// Returns the adapter's errors.
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
    /// Returns the adapter's errors.
    pub async fn register_slots(&self, date: NaiveDate) -> Result<Vec<Slot>> {
        self.adapter.register_slots(date).await
    }

    /// See [`MisAdapter::register_of`].
    ///
    /// # Errors
    /// Returns the adapter's errors.
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
            Err(error) => failed(error),
        }
    }

    /// See [`MisAdapter::groups`].
    pub fn groups(&self) -> BoxStream<'static, Result<Group>> {
        match self.needs(Ability::Roster) {
            Ok(()) => self.adapter.groups(),
            Err(error) => failed(error),
        }
    }

    /// See [`MisAdapter::deletions`].
    pub fn deletions(&self, since: Option<DateTime<Utc>>) -> BoxStream<'static, Result<Deletion>> {
        match self.needs(Ability::Roster) {
            Ok(()) => self.adapter.deletions(since),
            Err(error) => failed(error),
        }
    }

    /// See [`MisAdapter::people_count`].
    ///
    /// # Errors
    /// Returns [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) and the adapter's errors.
    pub async fn people_count(&self, kind: PersonKind) -> Result<Option<u64>> {
        self.needs(Ability::Roster)?;
        self.adapter.people_count(kind).await
    }

    /// See [`MisAdapter::lessons`].
    ///
    /// # Errors
    /// Returns the adapter's errors.
    pub async fn lessons(&self, date: NaiveDate) -> Result<Arc<Vec<Lesson>>> {
        self.adapter.lessons(date).await
    }

    /// See [`MisAdapter::calendar`].
    ///
    /// # Errors
    /// Returns the adapter's errors.
    pub async fn calendar(
        &self,
        from: NaiveDate,
        until: NaiveDate,
    ) -> Result<Option<Vec<CalendarEntry>>> {
        self.adapter.calendar(from, until).await
    }

    /// See [`MisAdapter::write`].
    ///
    /// # Errors
    /// Returns [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if a mark asks for what this school's MIS
    /// cannot keep, and the adapter's errors.
    pub async fn write(&self, marks: &[Mark]) -> Result<Vec<MarkResult>> {
        self.descriptor().check_marks(self.capabilities(), marks)?;
        if marks.is_empty() {
            return Ok(Vec::new());
        }
        self.adapter.write(marks).await
    }

    /// See [`MisAdapter::outcome`].
    ///
    /// # Errors
    /// Returns the adapter's errors.
    pub async fn outcome(&self, receipt: &Receipt) -> Result<WritebackOutcome> {
        self.needs(Ability::Session)?;
        self.adapter.outcome(receipt).await
    }

    /// See [`MisAdapter::outcomes`].
    pub async fn outcomes(&self, receipts: &[Receipt]) -> Vec<Result<WritebackOutcome>> {
        match self.needs(Ability::Session) {
            Ok(()) => self.adapter.outcomes(receipts).await,
            Err(error) => receipts.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    fn needs(&self, ability: Ability) -> Result<()> {
        if self.capabilities().has(ability) {
            Ok(())
        } else {
            Err(Error::unsupported(self.descriptor().name, ability))
        }
    }
}

fn failed<T: Send + 'static>(error: Error) -> BoxStream<'static, Result<T>> {
    futures::stream::once(async { Err(error) }).boxed()
}
