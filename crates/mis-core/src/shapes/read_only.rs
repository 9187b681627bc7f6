//! MISs whose people and registers can be read, and nothing written.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};
use futures::stream::BoxStream;
use wonde::WritebackId;

use super::{people, read, session};
use crate::{
    Ability, Capabilities, CodeBook, Connection, Deletion, Descriptor, Error, Group, Lesson, Mark,
    MarkResult, MisAdapter, PeopleQuery, Person, PersonKind, Register, Result, WritebackOutcome,
};

/// A whole adapter for an MIS that takes no marks, for the descriptor's `connect`.
pub fn read_only(descriptor: &'static Descriptor, connection: Connection) -> Arc<dyn MisAdapter> {
    Arc::new(ReadOnly {
        descriptor,
        connection,
    })
}

#[derive(Debug)]
struct ReadOnly {
    descriptor: &'static Descriptor,
    connection: Connection,
}

#[async_trait]
impl MisAdapter for ReadOnly {
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
        session::read_register(&self.connection, date).await
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
        read::lessons(&self.connection, date).await.map(Arc::new)
    }

    async fn write(&self, _marks: &[Mark]) -> Result<Vec<MarkResult>> {
        Err(Error::unsupported(self.descriptor.name, Ability::Session))
    }

    async fn outcome(&self, _writeback: &WritebackId) -> Result<WritebackOutcome> {
        Err(Error::unsupported(self.descriptor.name, Ability::Session))
    }
}
