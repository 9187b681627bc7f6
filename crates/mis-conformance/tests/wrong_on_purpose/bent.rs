//! A right adapter with one thing bent.

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};
use futures::{future::BoxFuture, stream::BoxStream};
use mis_core::{
    Capabilities, CodeBook, Connection, Deletion, Descriptor, Group, Lesson, Mark, MarkResult,
    MisAdapter, PeopleQuery, Person, PersonKind, Register, RegisterQuery, RegisterRow, Result,
    SessionWriteback, Slot, Source, WritebackOutcome, shapes,
    wonde::{AttendanceCodeId, SessionMark, WritebackId},
};

/// A call that is done in another way than the right one.
pub(crate) type Call<A, T> = Option<for<'a> fn(&'a Bent, A) -> BoxFuture<'a, Result<T>>>;

/// What a list gives.
pub(crate) type Rows<T> = BoxStream<'static, Result<T>>;

/// What is done in another way; where nothing is said, the right one is called.
#[derive(Clone, Copy)]
pub(crate) struct Bend {
    /// The right one is made for another declaration than the one that is shown.
    pub(crate) as_if: Option<&'static Descriptor>,
    pub(crate) capabilities: Option<fn(&Bent) -> Capabilities>,
    pub(crate) debug: Option<fn(&Bent) -> String>,
    pub(crate) code_book: Call<(), Arc<CodeBook>>,
    pub(crate) register: Call<NaiveDate, Register>,
    pub(crate) register_rows: Option<fn(&Bent, RegisterQuery) -> Rows<RegisterRow>>,
    pub(crate) register_of: Call<(NaiveDate, DateTime<Utc>, Vec<RegisterRow>), Register>,
    pub(crate) lessons: Call<NaiveDate, Arc<Vec<Lesson>>>,
    pub(crate) people: Option<fn(&Bent, PeopleQuery) -> Rows<Person>>,
    pub(crate) groups: Option<fn(&Bent) -> Rows<Group>>,
    pub(crate) deletions: Option<fn(&Bent) -> Rows<Deletion>>,
    pub(crate) write: Call<Vec<Mark>, Vec<MarkResult>>,
    pub(crate) outcome: Call<WritebackId, WritebackOutcome>,
}

pub(crate) const STRAIGHT: Bend = Bend {
    as_if: None,
    capabilities: None,
    debug: None,
    code_book: None,
    register: None,
    register_rows: None,
    register_of: None,
    lessons: None,
    people: None,
    groups: None,
    deletions: None,
    write: None,
    outcome: None,
};

pub(crate) struct Bent {
    pub(crate) right: Arc<dyn MisAdapter>,
    pub(crate) connection: Connection,
    /// Room to remember what should be forgotten.
    pub(crate) memory: Mutex<Vec<Mark>>,
    descriptor: &'static Descriptor,
    bend: Bend,
}

/// Puts a bent adapter together.
pub(crate) fn bent(
    descriptor: &'static Descriptor,
    connection: Connection,
    bend: Bend,
) -> Arc<dyn MisAdapter> {
    let right = bend.as_if.unwrap_or(descriptor);
    let shape = match right.capabilities.session {
        SessionWriteback::Session => shapes::session_marks,
        SessionWriteback::FirstLesson => shapes::first_lesson_marks,
        SessionWriteback::No => shapes::read_only,
    };
    Arc::new(Bent {
        right: shape(right, connection.clone()),
        connection,
        memory: Mutex::default(),
        descriptor,
        bend,
    })
}

/// Declares a descriptor whose adapter is bent.
macro_rules! wrong {
    ($name:ident: $like:expr, $bend:expr) => {
        static $name: mis_core::Descriptor = mis_core::Descriptor {
            connect: |connection| crate::bent::bent(&$name, connection, $bend),
            ..$like
        };
    };
}
pub(crate) use wrong;

pub(crate) const SESSION: Descriptor = Descriptor {
    id: "wrongsession",
    name: "Wrong Session",
    wonde_names: &[],
    capabilities: Capabilities {
        session: SessionWriteback::Session,
        comment: true,
        minutes_late: true,
        early_leaver: true,
        comment_max: None,
        roster: true,
    },
    quirks: mis_core::Quirks::NONE,
    notes: "Wrong on purpose.",
    source: Source {
        what: "made up",
        date: "2026-11-23",
    },
    connect: |connection| shapes::session_marks(&WHOLE, connection),
};

/// Everything a session MIS can do.
pub(crate) static WHOLE: Descriptor = SESSION;

pub(crate) const FIRST_LESSON: Descriptor = Descriptor {
    id: "wrongfirstlesson",
    name: "Wrong First Lesson",
    capabilities: Capabilities {
        session: SessionWriteback::FirstLesson,
        early_leaver: false,
        ..SESSION.capabilities
    },
    ..SESSION
};

pub(crate) const READ_ONLY: Descriptor = Descriptor {
    id: "wrongreader",
    name: "Wrong Reader",
    capabilities: Capabilities::READ_ONLY,
    ..SESSION
};

/// A session MIS that keeps the bare mark and nothing with it.
pub(crate) const BARE: Descriptor = Descriptor {
    capabilities: Capabilities {
        session: SessionWriteback::Session,
        ..Capabilities::READ_ONLY
    },
    ..SESSION
};

impl Bent {
    /// The wire's form of marks, with ids from the school's code book.
    pub(crate) async fn bodies(&self, marks: &[Mark]) -> Result<Vec<SessionMark>> {
        let book = self.right.code_book().await?;
        let id = |mark: &Mark| {
            book.find(mark.code.as_str())
                .and_then(|line| line.id.clone())
        };
        let body = |mark: &Mark| SessionMark {
            student_id: mark.student.clone(),
            date: mark.date,
            session: mark.session,
            attendance_code_id: id(mark).unwrap_or_else(|| AttendanceCodeId::new("none")),
            comment: mark.comment.clone(),
            minutes_late: mark.minutes_late,
            employee_id: mark.employee.clone(),
        };
        Ok(marks.iter().map(body).collect())
    }
}

impl fmt::Debug for Bent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bend.debug {
            Some(debug) => f.write_str(&debug(self)),
            None => self.right.fmt(f),
        }
    }
}

#[async_trait]
impl MisAdapter for Bent {
    fn descriptor(&self) -> &'static Descriptor {
        self.descriptor
    }

    fn capabilities(&self) -> Capabilities {
        match self.bend.capabilities {
            Some(capabilities) => capabilities(self),
            None => self.connection.effective(self.descriptor),
        }
    }

    async fn code_book(&self) -> Result<Arc<CodeBook>> {
        match self.bend.code_book {
            Some(code_book) => code_book(self, ()).await,
            None => self.right.code_book().await,
        }
    }

    async fn register(&self, date: NaiveDate) -> Result<Register> {
        match self.bend.register {
            Some(register) => register(self, date).await,
            None => self.right.register(date).await,
        }
    }

    fn register_rows(&self, query: RegisterQuery) -> Rows<RegisterRow> {
        match self.bend.register_rows {
            Some(register_rows) => register_rows(self, query),
            None => self.right.register_rows(query),
        }
    }

    async fn register_slots(&self, date: NaiveDate) -> Result<Vec<Slot>> {
        self.right.register_slots(date).await
    }

    async fn register_of(
        &self,
        date: NaiveDate,
        read_at: DateTime<Utc>,
        rows: Vec<RegisterRow>,
    ) -> Result<Register> {
        match self.bend.register_of {
            Some(register_of) => register_of(self, (date, read_at, rows)).await,
            None => self.right.register_of(date, read_at, rows).await,
        }
    }

    fn people(&self, query: PeopleQuery) -> Rows<Person> {
        match self.bend.people {
            Some(people) => people(self, query),
            None => self.right.people(query),
        }
    }

    fn groups(&self) -> Rows<Group> {
        match self.bend.groups {
            Some(groups) => groups(self),
            None => self.right.groups(),
        }
    }

    fn deletions(&self, since: Option<DateTime<Utc>>) -> Rows<Deletion> {
        match self.bend.deletions {
            Some(deletions) => deletions(self),
            None => self.right.deletions(since),
        }
    }

    async fn people_count(&self, kind: PersonKind) -> Result<Option<u64>> {
        self.right.people_count(kind).await
    }

    async fn lessons(&self, date: NaiveDate) -> Result<Arc<Vec<Lesson>>> {
        match self.bend.lessons {
            Some(lessons) => lessons(self, date).await,
            None => self.right.lessons(date).await,
        }
    }

    async fn write(&self, marks: &[Mark]) -> Result<Vec<MarkResult>> {
        match self.bend.write {
            Some(write) => write(self, marks.to_vec()).await,
            None => self.right.write(marks).await,
        }
    }

    async fn outcome(&self, writeback: &WritebackId) -> Result<WritebackOutcome> {
        match self.bend.outcome {
            Some(outcome) => outcome(self, writeback.clone()).await,
            None => self.right.outcome(writeback).await,
        }
    }
}
