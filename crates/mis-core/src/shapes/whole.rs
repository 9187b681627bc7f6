//! Whole adapters made of the shared functions: they differ in where the mark of a session is kept, and in nothing else.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};
use futures::stream::BoxStream;
use wonde::WritebackId;

use super::{
    first_lesson::{self, Timetable},
    people, read, session,
};
use crate::{
    Ability, Capabilities, CodeBook, Connection, Deletion, Descriptor, Error, Group, Lesson, Mark,
    MarkResult, MisAdapter, PeopleQuery, Person, PersonKind, Register, RegisterQuery, RegisterRow,
    Result, Slot, WritebackOutcome,
};

/// A whole adapter for an MIS that keeps session marks, for the descriptor's `connect`.
pub fn session_marks(
    descriptor: &'static Descriptor,
    connection: Connection,
) -> Arc<dyn MisAdapter> {
    whole(descriptor, connection, Keeps::Session)
}

/// A whole adapter for an MIS that keeps session marks on first lessons, for the descriptor's `connect`.
pub fn first_lesson_marks(
    descriptor: &'static Descriptor,
    connection: Connection,
) -> Arc<dyn MisAdapter> {
    whole(
        descriptor,
        connection,
        Keeps::OnFirstLesson(Timetable::default()),
    )
}

/// A whole adapter for an MIS that takes no marks, for the descriptor's `connect`.
pub fn read_only(descriptor: &'static Descriptor, connection: Connection) -> Arc<dyn MisAdapter> {
    whole(descriptor, connection, Keeps::Nothing)
}

fn whole(
    descriptor: &'static Descriptor,
    connection: Connection,
    keeps: Keeps,
) -> Arc<dyn MisAdapter> {
    Arc::new(Whole {
        descriptor,
        connection,
        keeps,
    })
}

#[derive(Debug)]
struct Whole {
    descriptor: &'static Descriptor,
    connection: Connection,
    keeps: Keeps,
}

/// Where the MIS keeps the marks that are written to it.
#[derive(Debug)]
enum Keeps {
    /// As such: AM or PM.
    Session,
    /// On the pupil's first lesson of the session.
    OnFirstLesson(Timetable),
    /// Nowhere: it takes none.
    Nothing,
}

#[async_trait]
impl MisAdapter for Whole {
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
        match &self.keeps {
            Keeps::Session | Keeps::Nothing => session::read_register(&self.connection, date).await,
            Keeps::OnFirstLesson(timetable) => {
                first_lesson::read_register(&self.connection, timetable, date).await
            }
        }
    }

    fn register_rows(&self, query: RegisterQuery) -> BoxStream<'static, Result<RegisterRow>> {
        match &self.keeps {
            Keeps::Session | Keeps::Nothing => session::register_rows(&self.connection, query),
            Keeps::OnFirstLesson(_) => first_lesson::register_rows(&self.connection, query),
        }
    }

    async fn register_slots(&self, date: NaiveDate) -> Result<Vec<Slot>> {
        match &self.keeps {
            Keeps::Session | Keeps::Nothing => Ok(session::register_slots(date)),
            Keeps::OnFirstLesson(timetable) => {
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
        match &self.keeps {
            Keeps::Session | Keeps::Nothing => {
                session::register_of(&self.connection, date, read_at, rows).await
            }
            Keeps::OnFirstLesson(timetable) => {
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
        match &self.keeps {
            Keeps::Session | Keeps::Nothing => {
                read::lessons(&self.connection, date).await.map(Arc::new)
            }
            Keeps::OnFirstLesson(timetable) => timetable.lessons(&self.connection, date).await,
        }
    }

    async fn write(&self, marks: &[Mark]) -> Result<Vec<MarkResult>> {
        match &self.keeps {
            Keeps::Session => session::write(&self.connection, self.descriptor, marks).await,
            Keeps::OnFirstLesson(timetable) => {
                first_lesson::write(&self.connection, self.descriptor, timetable, marks).await
            }
            Keeps::Nothing => Err(Error::unsupported(self.descriptor.name, Ability::Session)),
        }
    }

    async fn outcome(&self, writeback: &WritebackId) -> Result<WritebackOutcome> {
        match &self.keeps {
            Keeps::Session | Keeps::OnFirstLesson(_) => {
                read::outcome(&self.connection, self.descriptor, writeback).await
            }
            Keeps::Nothing => Err(Error::unsupported(self.descriptor.name, Ability::Session)),
        }
    }
}
