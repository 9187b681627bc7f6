//! The files of one school, and how a register is replaced.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{ErrorKind as Io, Write as _},
    path::{Path, PathBuf},
};

use mis_core::{
    AttendanceCode, CodeBook, Error, ErrorKind, Group, Mark, Person, PersonKind, Recovery,
    RegisterQuery, RegisterRow, Result, Session, Slot, StudentId,
    chrono::{DateTime, NaiveDate, Utc},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The folder of one school.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    path: PathBuf,
}

#[derive(Deserialize)]
struct StudentLine {
    id: String,
    forename: Option<String>,
    surname: Option<String>,
    year: Option<String>,
    registration: Option<String>,
    upn: Option<String>,
}

#[derive(Deserialize)]
struct GroupLine {
    id: String,
    #[serde(rename = "type")]
    kind: Option<String>,
    name: Option<String>,
}

#[derive(Deserialize)]
struct CodeLine {
    code: String,
    description: Option<String>,
}

#[derive(Clone, Deserialize, Serialize)]
struct MarkLine {
    student: StudentId,
    session: Session,
    code: String,
    comment: Option<String>,
    minutes_late: Option<u32>,
    changed_at: DateTime<Utc>,
}

impl Folder {
    pub(crate) fn open(path: PathBuf) -> Result<Self> {
        if path.is_dir() {
            return Ok(Self { path });
        }
        Err(Error::new(
            ErrorKind::Config,
            format!(
                "{} is not a folder; correct `folder` in the school's link",
                path.display()
            ),
        ))
    }

    pub(crate) fn students(&self) -> Result<Vec<Person>> {
        let lines: Vec<StudentLine> = self.lines("students.csv")?;
        let students = lines.into_iter().map(|line| {
            let mut student = Person::new(PersonKind::Student, line.id);
            student.forename = line.forename;
            student.surname = line.surname;
            student.year = line.year;
            student.registration = line.registration;
            student.upn = line.upn;
            student
        });
        Ok(students.collect())
    }

    pub(crate) fn student_ids(&self) -> Result<BTreeSet<StudentId>> {
        let lines: Vec<StudentLine> = self.lines("students.csv")?;
        Ok(lines.into_iter().map(|line| line.id.into()).collect())
    }

    pub(crate) fn groups(&self) -> Result<Vec<Group>> {
        let lines: Vec<GroupLine> = self.lines("groups.csv")?;
        let group = |line: GroupLine| Group {
            id: line.id,
            kind: line.kind,
            name: line.name,
        };
        Ok(lines.into_iter().map(group).collect())
    }

    pub(crate) fn codes(&self) -> Result<CodeBook> {
        let lines: Vec<CodeLine> = self.lines("codes.csv")?;
        let book = CodeBook::new(lines.into_iter().map(|line| {
            let mut code = AttendanceCode::new(&line.code).with_id(line.code.as_str());
            code.description = line.description;
            code
        }));
        if book.is_empty() {
            return Err(Error::new(ErrorKind::Config, "codes.csv has no codes"));
        }
        Ok(book)
    }

    /// The rows of a day; none if the day has no file yet.
    pub(crate) fn register(&self, date: NaiveDate) -> Result<Vec<RegisterRow>> {
        let lines = self.marks(date)?.into_values();
        Ok(lines.map(|line| row(date, line)).collect())
    }

    /// The rows of all days that changed in this time.
    pub(crate) fn rows(&self, query: RegisterQuery) -> Result<Vec<RegisterRow>> {
        let mut rows = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(|error| self.failed("the folder", &error))? {
            let name = entry
                .map_err(|error| self.failed("the folder", &error))?
                .file_name();
            if let Some(date) = name.to_str().and_then(date_of) {
                rows.extend(self.register(date)?);
            }
        }
        rows.retain(|row| {
            let after = query
                .updated_after
                .is_none_or(|after| row.changed_at > Some(after));
            after
                && query
                    .updated_before
                    .is_none_or(|before| row.changed_at < Some(before))
        });
        Ok(rows)
    }

    /// Replaces marks of a day. When this returns, they are in the file.
    pub(crate) fn write(
        &self,
        date: NaiveDate,
        marks: impl IntoIterator<Item = Mark>,
        now: DateTime<Utc>,
    ) -> Result<()> {
        // Another process may write the same register.
        let lock = File::create(self.path.join(".lock"))
            .and_then(|lock| lock.lock().map(|()| lock))
            .map_err(|error| self.failed("the lock", &error))?;
        let mut lines = self.marks(date)?;
        for mark in marks {
            let line = MarkLine {
                student: mark.student,
                session: mark.session,
                code: mark.code.to_string(),
                comment: mark.comment,
                minutes_late: mark.minutes_late,
                changed_at: now,
            };
            lines.insert((line.student.clone(), line.session), line);
        }
        let replaced = self.replace(&register_name(date), lines.into_values());
        drop(lock);
        replaced
    }

    fn replace(&self, name: &str, lines: impl Iterator<Item = MarkLine>) -> Result<()> {
        let io = |error: std::io::Error| self.failed(name, &error);
        let mut file = tempfile::NamedTempFile::new_in(&self.path).map_err(io)?;
        let mut writer = csv::Writer::from_writer(file.as_file_mut());
        for line in lines {
            writer.serialize(line).map_err(|error| io(error.into()))?;
        }
        writer.flush().map_err(io)?;
        drop(writer);
        file.flush().map_err(io)?;
        file.as_file().sync_all().map_err(io)?;
        file.persist(self.path.join(name))
            .map_err(|error| io(error.error))?;
        // Makes the new name survive a power cut; some systems cannot sync a folder.
        let _ = File::open(&self.path).and_then(|folder| folder.sync_all());
        Ok(())
    }

    fn marks(&self, date: NaiveDate) -> Result<BTreeMap<(StudentId, Session), MarkLine>> {
        let name = register_name(date);
        if !self.path.join(&name).exists() {
            return Ok(BTreeMap::new());
        }
        let lines: Vec<MarkLine> = self.lines(&name)?;
        let keyed = lines
            .into_iter()
            .map(|line| ((line.student.clone(), line.session), line));
        Ok(keyed.collect())
    }

    fn lines<T: DeserializeOwned>(&self, name: &str) -> Result<Vec<T>> {
        let path: &Path = &self.path.join(name);
        let file = File::open(path).map_err(|error| self.failed(name, &error))?;
        let rows = csv::Reader::from_reader(file).into_deserialize();
        // The CSV reader's message may quote a cell.
        let rows = rows.zip(2_usize..).map(|(row, line)| {
            row.map_err(|_| {
                Error::new(
                    ErrorKind::Decode,
                    format!("line {line} of {name} cannot be read"),
                )
            })
        });
        rows.collect()
    }

    /// Nothing was changed: a file is replaced in one step, and every failure comes before it.
    fn failed(&self, name: &str, error: &std::io::Error) -> Error {
        let (kind, recovery) = match error.kind() {
            Io::NotFound => (ErrorKind::NotFound, Recovery::Never),
            Io::PermissionDenied => (ErrorKind::Forbidden, Recovery::Never),
            _ => (ErrorKind::Unavailable, Recovery::Retry),
        };
        Error::with_recovery(
            kind,
            recovery,
            format!("{name} in {}: {error}", self.path.display()),
        )
    }
}

fn row(date: NaiveDate, line: MarkLine) -> RegisterRow {
    RegisterRow {
        id: None,
        student: line.student,
        slot: Slot::Session(date, line.session),
        date: Some(date),
        code: Some(line.code.as_str().into()),
        comment: line.comment,
        minutes_late: line.minutes_late,
        changed_at: Some(line.changed_at),
    }
}

fn register_name(date: NaiveDate) -> String {
    format!("register-{date}.csv")
}

fn date_of(name: &str) -> Option<NaiveDate> {
    name.strip_prefix("register-")?
        .strip_suffix(".csv")?
        .parse()
        .ok()
}
