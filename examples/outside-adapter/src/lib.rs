//! Chalkboard, an MIS that does not exist: session marks with short comments, and no mark for a day that has not come.
//!
//! Most MISs behave like others, and their adapter is a descriptor that names a whole adapter of
//! [`mis_core::shapes`]. This one has a way of its own, so it implements [`MisAdapter`] and calls the shared functions
//! for all the rest.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};
use futures::stream::BoxStream;
use mis_core::{
    Capabilities, CodeBook, Connection, Deletion, Descriptor, Error, ErrorKind, Group, Lesson,
    Mark, MarkResult, MisAdapter, PeopleQuery, Person, PersonKind, Quirks, Register, RegisterQuery,
    RegisterRow, Result, SessionWriteback, Slot, Source, WritebackOutcome, register_adapter,
    shapes::{people, read, session},
    Receipt,
};

/// Chalkboard by nobody.
pub static DESCRIPTOR: Descriptor = Descriptor {
    id: "chalkboard",
    name: "Chalkboard",
    wonde_names: &["Chalkboard Cloud"],
    capabilities: Capabilities {
        session: SessionWriteback::Session,
        comment: true,
        minutes_late: false,
        early_leaver: true,
        comment_max: Some(80),
        roster: true,
    },
    quirks: Quirks::NONE,
    notes: "An example. Marks for days to come are refused.",
    source: Source {
        what: "made up for this example",
        date: "2026-11-23",
    },
    connect: |connection| Arc::new(Chalkboard { connection }),
};

register_adapter!(DESCRIPTOR);

#[derive(Debug)]
struct Chalkboard {
    connection: Connection,
}

impl Chalkboard {
    /// The way of its own: what Chalkboard would accept and then throw away is refused here, with the reason.
    fn refusal(&self, mark: &Mark) -> Option<MarkResult> {
        let (today, _) = self.connection.session_at(self.connection.now());
        (mark.date > today).then(|| {
            MarkResult::Refused(Error::new(
                ErrorKind::InvalidMark,
                format!(
                    "{} takes no mark for {}, which is still to come; write it on the day",
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
        let refusals: Vec<_> = marks.iter().map(|mark| self.refusal(mark)).collect();
        let sent: Vec<Mark> = marks
            .iter()
            .zip(&refusals)
            .filter(|(_, refusal)| refusal.is_none())
            .map(|(mark, _)| mark.clone())
            .collect();
        let mut results = session::write(&self.connection, &DESCRIPTOR, &sent)
            .await?
            .into_iter();
        // Each mark has either its refusal or the next result, for those come in the order of what was sent.
        Ok(refusals
            .into_iter()
            .filter_map(|refusal| refusal.or_else(|| results.next()))
            .collect())
    }

    async fn outcome(&self, writeback: &WritebackId) -> Result<WritebackOutcome> {
        read::outcome(&self.connection, &DESCRIPTOR, writeback).await
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

    async fn register_slots(&self, date: NaiveDate) -> Result<Vec<Slot>> {
        Ok(session::register_slots(date))
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
