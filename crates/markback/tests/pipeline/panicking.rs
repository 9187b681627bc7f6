//! An adapter like that of SIMS which panics where a test says.

use std::sync::{Arc, LazyLock, Mutex};

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};
use futures::stream::BoxStream;
use mis_core::{
    Capabilities, CodeBook, Deletion, Descriptor, Group, Lesson, Mark, MarkResult, MisAdapter,
    PeopleQuery, Person, PersonKind, Receipt, Register, RegisterQuery, RegisterRow, Registry,
    Result, Slot, WritebackOutcome,
};

/// Stands in every panic's message, as a pupil's data might.
pub(crate) const SECRET: &str = "overslept again";

/// Where to panic. Tests that use it do so one after the other.
#[derive(Clone, Debug, Default)]
pub(crate) struct Panics {
    /// Before a register with a mark of this pupil goes out.
    pub(crate) before_write: Option<String>,
    /// When a register with a mark of this pupil has gone out.
    pub(crate) after_write: Option<String>,
    /// When a register is made of its rows; so many times.
    pub(crate) reads: u32,
    /// When a writeback is asked about; so many times.
    pub(crate) outcomes: u32,
    /// When people are read; so many times.
    pub(crate) people: u32,
}

static PANICS: LazyLock<Mutex<Panics>> = LazyLock::new(Mutex::default);
static ONE_TEST: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// The panics of one test, which end with it.
pub(crate) struct Guard(#[allow(dead_code, reason = "held")] tokio::sync::MutexGuard<'static, ()>);

impl Guard {
    pub(crate) async fn new() -> Self {
        let guard = Self(ONE_TEST.lock().await);
        guard.set(Panics::default());
        guard
    }

    pub(crate) fn set(&self, panics: Panics) {
        *lock() = panics;
    }
}

fn lock() -> std::sync::MutexGuard<'static, Panics> {
    PANICS
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// All adapters, with this one in the place of that of SIMS.
pub(crate) fn registry() -> Registry {
    let linked = Registry::discover().unwrap();
    let others = linked.iter().filter(|descriptor| descriptor.id != "sims");
    Registry::from_descriptors(others.chain([&*DESCRIPTOR])).unwrap()
}

static DESCRIPTOR: LazyLock<Descriptor> = LazyLock::new(|| {
    sims().with_connect(|context| {
        Box::pin(async move {
            let inner = sims().connect_unguarded(context).await?;
            let adapter: Arc<dyn MisAdapter> = Arc::new(Panicking(inner));
            Ok(adapter)
        })
    })
});

fn sims() -> &'static Descriptor {
    Registry::discover().unwrap().get("sims").unwrap()
}

#[derive(Debug)]
struct Panicking(Arc<dyn MisAdapter>);

/// Counts one down; panics while there are some.
fn one_of(counted: impl Fn(&mut Panics) -> &mut u32) {
    let mut panics = lock();
    let left = counted(&mut panics);
    if *left > 0 {
        *left -= 1;
        drop(panics);
        panic!("{SECRET}");
    }
}

#[async_trait]
impl MisAdapter for Panicking {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    async fn code_book(&self) -> Result<Arc<CodeBook>> {
        self.0.code_book().await
    }

    async fn register(&self, date: NaiveDate) -> Result<Register> {
        self.0.register(date).await
    }

    fn register_rows(&self, query: RegisterQuery) -> BoxStream<'static, Result<RegisterRow>> {
        self.0.register_rows(query)
    }

    async fn register_slots(&self, date: NaiveDate) -> Result<Vec<Slot>> {
        self.0.register_slots(date).await
    }

    async fn register_of(
        &self,
        date: NaiveDate,
        read_at: DateTime<Utc>,
        rows: Vec<RegisterRow>,
    ) -> Result<Register> {
        one_of(|panics| &mut panics.reads);
        self.0.register_of(date, read_at, rows).await
    }

    fn people(&self, query: PeopleQuery) -> BoxStream<'static, Result<Person>> {
        one_of(|panics| &mut panics.people);
        self.0.people(query)
    }

    fn groups(&self) -> BoxStream<'static, Result<Group>> {
        self.0.groups()
    }

    fn deletions(&self, since: Option<DateTime<Utc>>) -> BoxStream<'static, Result<Deletion>> {
        self.0.deletions(since)
    }

    async fn people_count(&self, kind: PersonKind) -> Result<Option<u64>> {
        self.0.people_count(kind).await
    }

    async fn lessons(&self, date: NaiveDate) -> Result<Arc<Vec<Lesson>>> {
        self.0.lessons(date).await
    }

    async fn write(&self, marks: &[Mark]) -> Result<Vec<MarkResult>> {
        let panics = lock().clone();
        let has = |student: &Option<String>| {
            let student = student.as_deref();
            student.is_some_and(|student| marks.iter().any(|mark| mark.student.as_str() == student))
        };
        assert!(!has(&panics.before_write), "{SECRET}");
        let results = self.0.write(marks).await;
        assert!(!has(&panics.after_write), "{SECRET}");
        results
    }

    async fn outcome(&self, receipt: &Receipt) -> Result<WritebackOutcome> {
        one_of(|panics| &mut panics.outcomes);
        self.0.outcome(receipt).await
    }
}
