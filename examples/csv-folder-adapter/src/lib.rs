//! An adapter for an MIS that is a folder of CSV files.
//!
//! It depends on `mis-core` alone: no Wonde and no network. The service runs it for schools with a link:
//!
//! ```toml
//! [school.link]
//! adapter = "csv-folder"
//! folder = "registers"
//! ```
//!
//! | file | columns |
//! |---|---|
//! | `students.csv` | `id`, `forename`, `surname`, `year`, `registration`, `upn` |
//! | `groups.csv` | `id`, `type`, `name` |
//! | `codes.csv` | `code`, `description` |
//! | `register-2026-11-23.csv` | `student`, `session`, `code`, `comment`, `minutes_late`, `changed_at` |
//!
//! A register is replaced as a whole: it is written to a temporary file, which then takes the place of the old one. So no
//! reader ever sees half a register, and a mark that was written is in the file when [`MisAdapter::write`] returns.

mod files;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Instant};

use mis_core::{
    Ability, Capabilities, CodeBook, ConnectContext, Connecting, Descriptor, Error, ErrorKind,
    Group, Mark, MarkResult, MisAdapter, NoCode, PeopleQuery, Person, PersonKind, Recovery,
    Register, RegisterQuery, RegisterRow, RequestInfo, Result, async_trait,
    chrono::NaiveDate,
    futures::stream::{self, BoxStream, StreamExt as _},
    register_adapter,
};
use serde::Deserialize;

use files::Folder;

/// A folder of CSV files.
pub static DESCRIPTOR: Descriptor = Descriptor::new("csv-folder", "CSV folder", connect)
    .with_capabilities(
        Capabilities::SESSION_MARKS
            .with(Ability::Comment)
            .with(Ability::MinutesLate)
            .with(Ability::EarlyLeaver)
            .with_comment_max(200),
    )
    .with_notes("An example. Every change of a register is a new file.")
    .with_source("this adapter's own documentation", "2026-11-27");

register_adapter!(DESCRIPTOR);

/// The `[school.link]` table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Link {
    /// The folder of the files, relative to the settings file.
    folder: PathBuf,
}

fn connect(context: ConnectContext) -> Connecting {
    Box::pin(async move {
        let link: Link = context.link_settings()?;
        let folder = Folder::open(context.folder.join(link.folder))?;
        let adapter: Arc<dyn MisAdapter> = Arc::new(CsvFolder { folder, context });
        Ok(adapter)
    })
}

#[derive(Clone, Debug)]
struct CsvFolder {
    folder: Folder,
    context: ConnectContext,
}

impl CsvFolder {
    /// Runs a task on the files where it may block, and reports it as a request.
    async fn run<T: Send + 'static>(
        &self,
        method: &'static str,
        task: impl FnOnce(&Folder) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.context.before_request().await?;
        let (folder, began) = (self.folder.clone(), Instant::now());
        let done = tokio::task::spawn_blocking(move || task(&folder)).await;
        (self.context.observer)(RequestInfo::new(method, None, began.elapsed()));
        done.unwrap_or_else(|_| {
            Err(Error::with_recovery(
                ErrorKind::Unavailable,
                Recovery::Unknown,
                "the work on the files was interrupted",
            ))
        })
    }

    /// A list that is read as a whole.
    fn list<T: Send + 'static>(
        &self,
        task: impl FnOnce(&Folder) -> Result<Vec<T>> + Send + 'static,
    ) -> BoxStream<'static, Result<T>> {
        let adapter = self.clone();
        stream::once(async move {
            match adapter.run("read", task).await {
                Ok(rows) => stream::iter(rows.into_iter().map(Ok)).boxed(),
                Err(error) => stream::iter([Err(error)]).boxed(),
            }
        })
        .flatten()
        .boxed()
    }

    fn needs(&self, ability: Ability) -> Result<()> {
        if self.capabilities().has(ability) {
            Ok(())
        } else {
            Err(Error::unsupported(DESCRIPTOR.name, ability))
        }
    }
}

#[async_trait]
impl MisAdapter for CsvFolder {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn capabilities(&self) -> Capabilities {
        self.context.effective(&DESCRIPTOR)
    }

    async fn code_book(&self) -> Result<Arc<CodeBook>> {
        self.run("read", Folder::codes).await.map(Arc::new)
    }

    async fn register(&self, date: NaiveDate) -> Result<Register> {
        let read_at = (self.context.now)();
        let rows = self
            .run("read", move |folder| folder.register(date))
            .await?;
        self.register_of(date, read_at, rows).await
    }

    fn register_rows(&self, query: RegisterQuery) -> BoxStream<'static, Result<RegisterRow>> {
        self.list(move |folder| folder.rows(query))
    }

    fn people(&self, query: PeopleQuery) -> BoxStream<'static, Result<Person>> {
        if let Err(error) = self.needs(Ability::Roster) {
            return stream::iter([Err(error)]).boxed();
        }
        if query.kind != PersonKind::Student || query.pre_admission {
            return stream::empty().boxed();
        }
        self.list(move |folder| {
            let students = folder.students()?.into_iter();
            Ok(students.map(|one| one.trimmed(&query.properties)).collect())
        })
    }

    fn groups(&self) -> BoxStream<'static, Result<Group>> {
        match self.needs(Ability::Roster) {
            Ok(()) => self.list(Folder::groups),
            Err(error) => stream::iter([Err(error)]).boxed(),
        }
    }

    async fn people_count(&self, kind: PersonKind) -> Result<Option<u64>> {
        self.needs(Ability::Roster)?;
        if kind != PersonKind::Student {
            return Ok(Some(0));
        }
        let students = self.run("read", Folder::students).await?;
        Ok(Some(students.len() as u64))
    }

    async fn write(&self, marks: &[Mark]) -> Result<Vec<MarkResult>> {
        DESCRIPTOR.check_marks(self.capabilities(), marks)?;
        if marks.is_empty() {
            return Ok(Vec::new());
        }
        let book = self.code_book().await?;
        let students = self.run("read", Folder::student_ids).await?;
        let mut results: Vec<Option<MarkResult>> = vec![None; marks.len()];
        let mut days: BTreeMap<NaiveDate, Vec<(usize, Mark)>> = BTreeMap::new();
        for ((place, mark), result) in marks.iter().enumerate().zip(&mut results) {
            let checked = DESCRIPTOR.as_kept(mark).and_then(|mark| {
                let line = book
                    .to_write(mark.code.as_str())
                    .map_err(|why| no_code(&why))?;
                if !students.contains(&mark.student) {
                    return Err(no_student(&mark));
                }
                let code = line.code.clone();
                Ok(Mark { code, ..mark })
            });
            match checked {
                Ok(mark) => days.entry(mark.date).or_default().push((place, mark)),
                Err(error) => *result = Some(MarkResult::Refused(error)),
            }
        }
        for (date, marks) in days {
            let places: Vec<_> = marks.iter().map(|(place, _)| *place).collect();
            let now = (self.context.now)();
            let written = self.run("write", move |folder| {
                folder.write(date, marks.into_iter().map(|(_, mark)| mark), now)
            });
            let outcome = match written.await {
                Ok(()) => MarkResult::Written,
                Err(error) => MarkResult::Failed(error),
            };
            for place in places {
                if let Some(result) = results.get_mut(place) {
                    *result = Some(outcome.clone());
                }
            }
        }
        Ok(results.into_iter().flatten().collect())
    }
}

fn no_code(why: &NoCode) -> Error {
    Error::new(
        ErrorKind::UnknownCode,
        format!("{why}; add the code to codes.csv"),
    )
}

fn no_student(mark: &Mark) -> Error {
    Error::new(
        ErrorKind::Refused,
        format!("students.csv has no student {}", mark.student),
    )
}
