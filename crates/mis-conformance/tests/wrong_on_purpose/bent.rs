//! A correct adapter with one changed call.

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};
use futures::{future::BoxFuture, stream::BoxStream};
use mis_wonde::{
    Ability, CalendarEntry, Capabilities, CodeBook, ConnectContext, Connecting, Connection,
    Deletion, Descriptor, Group, Lesson, Mark, MarkResult, MisAdapter, PeopleQuery, Person,
    PersonKind, Receipt, Register, RegisterQuery, RegisterRow, Result, Session, SessionWriteback,
    Slot, WritebackOutcome, first_lesson_marks, read_only, session_marks, strategies,
    wonde::{self, AttendanceCodeId, SessionMark},
};

/// A replacement of one call.
pub(crate) type Call<A, T> = Option<for<'a> fn(&'a Bent, A) -> BoxFuture<'a, Result<T>>>;

/// The rows of a list.
pub(crate) type Rows<T> = BoxStream<'static, Result<T>>;

/// The replaced calls; the correct adapter handles all others.
#[derive(Clone, Copy)]
pub(crate) struct Bend {
    /// The correct adapter is built for other capabilities than the declared ones.
    pub(crate) as_if: Option<&'static Descriptor>,
    pub(crate) capabilities: Option<fn(&Bent) -> Capabilities>,
    pub(crate) debug: Option<fn(&Bent) -> String>,
    pub(crate) code_book: Call<(), Arc<CodeBook>>,
    pub(crate) register: Call<NaiveDate, Register>,
    pub(crate) register_rows: Option<fn(&Bent, RegisterQuery) -> Rows<RegisterRow>>,
    pub(crate) register_of: Call<(NaiveDate, DateTime<Utc>, Vec<RegisterRow>), Register>,
    pub(crate) lessons: Call<NaiveDate, Arc<Vec<Lesson>>>,
    pub(crate) calendar: Call<(NaiveDate, NaiveDate), Option<Vec<CalendarEntry>>>,
    pub(crate) people: Option<fn(&Bent, PeopleQuery) -> Rows<Person>>,
    pub(crate) groups: Option<fn(&Bent) -> Rows<Group>>,
    pub(crate) deletions: Option<fn(&Bent) -> Rows<Deletion>>,
    pub(crate) write: Call<Vec<Mark>, Vec<MarkResult>>,
    pub(crate) outcome: Call<Receipt, WritebackOutcome>,
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
    calendar: None,
    people: None,
    groups: None,
    deletions: None,
    write: None,
    outcome: None,
};

pub(crate) struct Bent {
    pub(crate) right: Arc<dyn MisAdapter>,
    pub(crate) connection: Connection,
    /// State that a correct adapter does not keep.
    pub(crate) memory: Mutex<Vec<Mark>>,
    descriptor: &'static Descriptor,
    bend: Bend,
}

/// Builds an adapter with replaced calls.
pub(crate) fn bent(
    descriptor: &'static Descriptor,
    context: ConnectContext,
    bend: Bend,
) -> Connecting {
    Box::pin(async move {
        let right = bend.as_if.unwrap_or(descriptor);
        let strategy = match right.capabilities.session {
            SessionWriteback::Session => session_marks,
            SessionWriteback::FirstLesson => first_lesson_marks,
            SessionWriteback::No => read_only,
        };
        let adapter: Arc<dyn MisAdapter> = Arc::new(Bent {
            connection: strategies::connection(right, &context)?,
            right: strategy(right, context).await?,
            memory: Mutex::default(),
            descriptor,
            bend,
        });
        Ok(adapter)
    })
}

/// Declares a descriptor whose adapter has replaced calls.
macro_rules! wrong {
    ($name:ident: $like:expr, $bend:expr) => {
        static $name: mis_wonde::Descriptor =
            $like.with_connect(|context| crate::bent::bent(&$name, context, $bend));
    };
}
pub(crate) use wrong;

pub(crate) const SESSION: Descriptor =
    Descriptor::new("wrongsession", "Wrong Session", |context| {
        session_marks(&WHOLE, context)
    })
    .with_capabilities(
        Capabilities::SESSION_MARKS
            .with(Ability::Comment)
            .with(Ability::MinutesLate)
            .with(Ability::EarlyLeaver),
    )
    .with_notes("Wrong on purpose.")
    .with_source("made up", "2026-11-23");

/// All abilities of an MIS with session marks.
pub(crate) static WHOLE: Descriptor = SESSION;

pub(crate) const FIRST_LESSON: Descriptor =
    named(SESSION, "wrongfirstlesson", "Wrong First Lesson").with_capabilities(
        Capabilities::FIRST_LESSON_MARKS
            .with(Ability::Comment)
            .with(Ability::MinutesLate),
    );

pub(crate) const READ_ONLY: Descriptor =
    named(SESSION, "wrongreader", "Wrong Reader").with_capabilities(Capabilities::READ_ONLY);

/// An MIS with session marks that stores only the code.
pub(crate) const BARE: Descriptor = SESSION.with_capabilities(Capabilities::SESSION_MARKS);

pub(crate) const WITHOUT_ROSTER: Descriptor = READ_ONLY.with_capabilities({
    let mut capabilities = Capabilities::READ_ONLY;
    capabilities.roster = false;
    capabilities
});

/// The same under another id and name.
pub(crate) const fn named(
    mut descriptor: Descriptor,
    id: &'static str,
    name: &'static str,
) -> Descriptor {
    descriptor.id = id;
    descriptor.name = name;
    descriptor
}

impl Bent {
    /// Converts marks for the wire, with ids from the school's code book.
    pub(crate) async fn bodies(&self, marks: &[Mark]) -> Result<Vec<SessionMark>> {
        let book = self.right.code_book().await?;
        let id = |mark: &Mark| {
            book.find(mark.code.as_str())
                .and_then(|line| Some(AttendanceCodeId::new(line.id.as_ref()?.as_str())))
        };
        let body = |mark: &Mark| SessionMark {
            student_id: mark.student.as_str().into(),
            date: mark.date,
            session: match mark.session {
                Session::Am => wonde::Session::Am,
                Session::Pm => wonde::Session::Pm,
            },
            attendance_code_id: id(mark).unwrap_or_else(|| "none".into()),
            comment: mark.comment.clone(),
            minutes_late: mark.minutes_late,
            employee_id: mark.employee.as_ref().map(|id| id.as_str().into()),
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

    async fn calendar(
        &self,
        from: NaiveDate,
        until: NaiveDate,
    ) -> Result<Option<Vec<CalendarEntry>>> {
        match self.bend.calendar {
            Some(calendar) => calendar(self, (from, until)).await,
            None => self.right.calendar(from, until).await,
        }
    }

    async fn write(&self, marks: &[Mark]) -> Result<Vec<MarkResult>> {
        match self.bend.write {
            Some(write) => write(self, marks.to_vec()).await,
            None => self.right.write(marks).await,
        }
    }

    async fn outcome(&self, receipt: &Receipt) -> Result<WritebackOutcome> {
        match self.bend.outcome {
            Some(outcome) => outcome(self, receipt.clone()).await,
            None => self.right.outcome(receipt).await,
        }
    }
}
