//! Chalkboard, an MIS that does not exist: session marks with short comments, and no mark for a day in the future.
//!
//! Most MISs behave like others, and their adapter is a descriptor that names a standard adapter of
//! [`mis_wonde::strategies`]. Chalkboard behaves differently, so its adapter implements [`MisAdapter`] and calls the
//! shared functions for the rest.

use std::sync::Arc;

use mis_wonde::{
    Ability, Capabilities, CodeBook, Connection, Deletion, Descriptor, Error, ErrorKind, Group,
    Lesson, Mark, MarkResult, MisAdapter, PeopleQuery, Person, PersonKind, Receipt, Register,
    RegisterQuery, RegisterRow, Result, WritebackOutcome, async_trait,
    chrono::{DateTime, NaiveDate, Utc},
    futures::stream::BoxStream,
    register_adapter,
    strategies::{self, people, read, session},
};

/// The descriptor of Chalkboard.
pub static DESCRIPTOR: Descriptor = Descriptor::new("chalkboard", "Chalkboard", |context| {
    Box::pin(async move {
        let connection = strategies::connection(&DESCRIPTOR, &context)?;
        let adapter: Arc<dyn MisAdapter> = Arc::new(Chalkboard { connection });
        Ok(adapter)
    })
})
.with_aliases(&["Chalkboard Cloud"])
.with_capabilities(
    Capabilities::SESSION_MARKS
        .with(Ability::Comment)
        .with(Ability::EarlyLeaver)
        .with_comment_max(80),
)
.with_notes("An example. Marks for future days are rejected.")
.with_source("made up for this example", "2026-11-23");

register_adapter!(DESCRIPTOR);

#[derive(Debug)]
struct Chalkboard {
    connection: Connection,
}

impl Chalkboard {
    /// Chalkboard would accept a mark for a future day and discard it, so the adapter rejects it.
    fn rejection(&self, mark: &Mark) -> Option<MarkResult> {
        let (today, _) = self.connection.clock().session_at(self.connection.now());
        (mark.date > today).then(|| {
            MarkResult::Refused(Error::new(
                ErrorKind::InvalidMark,
                format!(
                    "{} takes no mark for {}, which is in the future; write it on the day",
                    DESCRIPTOR.name, mark.date
                ),
            ))
        })
    }
}

#[async_trait]
impl MisAdapter for Chalkboard {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn capabilities(&self) -> Capabilities {
        self.connection.effective(&DESCRIPTOR)
    }

    async fn write(&self, marks: &[Mark]) -> Result<Vec<MarkResult>> {
        let rejections: Vec<_> = marks.iter().map(|mark| self.rejection(mark)).collect();
        let sent: Vec<Mark> = marks
            .iter()
            .zip(&rejections)
            .filter(|(_, rejection)| rejection.is_none())
            .map(|(mark, _)| mark.clone())
            .collect();
        let mut results = session::write(&self.connection, &DESCRIPTOR, &sent)
            .await?
            .into_iter();
        // Each mark has its rejection or the next result, because results come in the order of the sent marks.
        Ok(rejections
            .into_iter()
            .filter_map(|rejection| rejection.or_else(|| results.next()))
            .collect())
    }

    async fn outcome(&self, receipt: &Receipt) -> Result<WritebackOutcome> {
        read::outcome(&self.connection, &DESCRIPTOR, receipt).await
    }

    async fn code_book(&self) -> Result<Arc<CodeBook>> {
        read::code_book(&self.connection).await
    }

    async fn register(&self, date: NaiveDate) -> Result<Register> {
        session::read_register(&self.connection, date).await
    }

    fn register_rows(&self, query: RegisterQuery) -> BoxStream<'static, Result<RegisterRow>> {
        session::register_rows(&self.connection, query)
    }

    async fn register_of(
        &self,
        date: NaiveDate,
        read_at: DateTime<Utc>,
        rows: Vec<RegisterRow>,
    ) -> Result<Register> {
        session::register_of(&self.connection, date, read_at, rows).await
    }

    async fn lessons(&self, date: NaiveDate) -> Result<Arc<Vec<Lesson>>> {
        read::lessons(&self.connection, date).await.map(Arc::new)
    }

    fn people(&self, query: PeopleQuery) -> BoxStream<'static, Result<Person>> {
        people::people(&self.connection, &DESCRIPTOR, query)
    }

    fn groups(&self) -> BoxStream<'static, Result<Group>> {
        people::groups(&self.connection, &DESCRIPTOR)
    }

    fn deletions(&self, since: Option<DateTime<Utc>>) -> BoxStream<'static, Result<Deletion>> {
        people::deletions(&self.connection, &DESCRIPTOR, since)
    }

    async fn people_count(&self, kind: PersonKind) -> Result<Option<u64>> {
        people::people_count(&self.connection, &DESCRIPTOR, kind).await
    }
}
