//! Standard adapters made of the shared functions. They differ only in where the mark of a session is kept.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};
use futures::stream::BoxStream;
use mis_core::{
    Ability, CalendarEntry, Capabilities, CodeBook, ConnectContext, Connecting, Deletion,
    Descriptor, Error, ErrorKind, Group, Lesson, Mark, MarkResult, MisAdapter, PeopleQuery, Person,
    PersonKind, Receipt, Register, RegisterQuery, RegisterRow, Result, Slot, WritebackOutcome,
};

use super::{
    calendar,
    first_lesson::{self, Timetable},
    outcomes, people, read, session,
};
use crate::Connection;

/// The adapter for an MIS that keeps AM and PM marks, for [`Descriptor::new`].
pub fn session_marks(descriptor: &'static Descriptor, context: ConnectContext) -> Connecting {
    standard(descriptor, context, Placement::Session)
}

/// The adapter for an MIS that keeps the mark of a session on its first lesson, for [`Descriptor::new`].
pub fn first_lesson_marks(descriptor: &'static Descriptor, context: ConnectContext) -> Connecting {
    standard(
        descriptor,
        context,
        Placement::FirstLesson(Timetable::default()),
    )
}

/// The adapter for an MIS that takes no marks, for [`Descriptor::new`].
pub fn read_only(descriptor: &'static Descriptor, context: ConnectContext) -> Connecting {
    standard(descriptor, context, Placement::None)
}

/// The connection to Wonde in a context.
///
/// # Errors
/// Returns [`ErrorKind::Config`] if the host did not connect the school through Wonde.
pub fn connection(descriptor: &Descriptor, context: &ConnectContext) -> Result<Connection> {
    context.client::<Connection>().cloned().ok_or_else(|| {
        Error::new(
            ErrorKind::Config,
            format!(
                "the adapter `{}` works through Wonde, but school {} is not linked through Wonde; remove its `link`",
                descriptor.id, context.school
            ),
        )
    })
}

fn standard(
    descriptor: &'static Descriptor,
    context: ConnectContext,
    placement: Placement,
) -> Connecting {
    Box::pin(async move {
        let adapter: Arc<dyn MisAdapter> = Arc::new(StandardAdapter {
            descriptor,
            connection: connection(descriptor, &context)?,
            placement,
        });
        Ok(adapter)
    })
}

#[derive(Debug)]
struct StandardAdapter {
    descriptor: &'static Descriptor,
    connection: Connection,
    placement: Placement,
}

/// Where the MIS keeps the mark of a session.
#[derive(Debug)]
enum Placement {
    /// In a mark of its own: AM or PM.
    Session,
    /// On the student's first lesson of the session.
    FirstLesson(Timetable),
    /// Nowhere: it takes no marks.
    None,
}

#[async_trait]
impl MisAdapter for StandardAdapter {
    fn descriptor(&self) -> &'static Descriptor {
        self.descriptor
    }

    fn capabilities(&self) -> Capabilities {
        self.connection.effective(self.descriptor)
    }

    async fn code_book(&self) -> Result<Arc<CodeBook>> {
        read::code_book(&self.connection).await
    }

    async fn register(&self, date: NaiveDate) -> Result<Register> {
        match &self.placement {
            Placement::Session | Placement::None => {
                session::read_register(&self.connection, date).await
            }
            Placement::FirstLesson(timetable) => {
                first_lesson::read_register(&self.connection, timetable, date).await
            }
        }
    }

    fn register_rows(&self, query: RegisterQuery) -> BoxStream<'static, Result<RegisterRow>> {
        match &self.placement {
            Placement::Session | Placement::None => session::register_rows(&self.connection, query),
            Placement::FirstLesson(_) => first_lesson::register_rows(&self.connection, query),
        }
    }

    async fn register_slots(&self, date: NaiveDate) -> Result<Vec<Slot>> {
        match &self.placement {
            Placement::Session | Placement::None => Ok(Slot::sessions_of(date).into()),
            Placement::FirstLesson(timetable) => {
                first_lesson::register_slots(&self.connection, timetable, date).await
            }
        }
    }

    async fn register_of(
        &self,
        date: NaiveDate,
        read_at: DateTime<Utc>,
        rows: Vec<RegisterRow>,
    ) -> Result<Register> {
        match &self.placement {
            Placement::Session | Placement::None => {
                session::register_of(&self.connection, date, read_at, rows).await
            }
            Placement::FirstLesson(timetable) => {
                first_lesson::register_of(&self.connection, timetable, date, read_at, rows).await
            }
        }
    }

    fn people(&self, query: PeopleQuery) -> BoxStream<'static, Result<Person>> {
        people::people(&self.connection, self.descriptor, query)
    }

    fn groups(&self) -> BoxStream<'static, Result<Group>> {
        people::groups(&self.connection, self.descriptor)
    }

    fn deletions(&self, since: Option<DateTime<Utc>>) -> BoxStream<'static, Result<Deletion>> {
        people::deletions(&self.connection, self.descriptor, since)
    }

    async fn people_count(&self, kind: PersonKind) -> Result<Option<u64>> {
        people::people_count(&self.connection, self.descriptor, kind).await
    }

    async fn lessons(&self, date: NaiveDate) -> Result<Arc<Vec<Lesson>>> {
        match &self.placement {
            Placement::Session | Placement::None => {
                read::lessons(&self.connection, date).await.map(Arc::new)
            }
            Placement::FirstLesson(timetable) => timetable.lessons(&self.connection, date).await,
        }
    }

    async fn calendar(
        &self,
        from: NaiveDate,
        until: NaiveDate,
    ) -> Result<Option<Vec<CalendarEntry>>> {
        calendar::calendar(&self.connection, from, until).await
    }

    async fn write(&self, marks: &[Mark]) -> Result<Vec<MarkResult>> {
        match &self.placement {
            Placement::Session => session::write(&self.connection, self.descriptor, marks).await,
            Placement::FirstLesson(timetable) => {
                first_lesson::write(&self.connection, self.descriptor, timetable, marks).await
            }
            Placement::None => Err(Error::unsupported(self.descriptor.name, Ability::Session)),
        }
    }

    async fn outcome(&self, receipt: &Receipt) -> Result<WritebackOutcome> {
        match &self.placement {
            Placement::Session | Placement::FirstLesson(_) => {
                read::outcome(&self.connection, self.descriptor, receipt).await
            }
            Placement::None => Err(Error::unsupported(self.descriptor.name, Ability::Session)),
        }
    }

    async fn outcomes(&self, receipts: &[Receipt]) -> Vec<Result<WritebackOutcome>> {
        match &self.placement {
            Placement::Session | Placement::FirstLesson(_) => {
                outcomes::outcomes(&self.connection, self.descriptor, receipts).await
            }
            Placement::None => {
                let unsupported = || Error::unsupported(self.descriptor.name, Ability::Session);
                receipts.iter().map(|_| Err(unsupported())).collect()
            }
        }
    }
}
