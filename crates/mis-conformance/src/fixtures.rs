//! The adapter's fixtures: its expected requests, and the responses of its MIS.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use mis_wonde::{Capabilities, Person, SessionWriteback};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::answer::Answer;

/// The placeholder for the writeback's id in a response.
const WRITEBACK: &str = "{writeback}";

/// A file that an adapter may need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fixture {
    Mark,
    Comment,
    MinutesLate,
    EarlyLeaver,
    Answers,
    Student,
}

impl Fixture {
    pub(crate) const ALL: [Self; 6] = [
        Self::Mark,
        Self::Comment,
        Self::MinutesLate,
        Self::EarlyLeaver,
        Self::Answers,
        Self::Student,
    ];

    pub(crate) fn file(self) -> &'static str {
        match self {
            Self::Mark => "write_mark.json",
            Self::Comment => "write_mark_comment.json",
            Self::MinutesLate => "write_mark_minutes_late.json",
            Self::EarlyLeaver => "write_early_leaver.json",
            Self::Answers => "answers.json",
            Self::Student => "read_student.json",
        }
    }

    /// Whether an adapter that declares this needs it.
    pub(crate) fn is_needed(self, declared: &Capabilities) -> bool {
        let writes = declared.session != SessionWriteback::No;
        match self {
            Self::Mark | Self::Answers => writes,
            Self::Comment => declared.comment,
            Self::MinutesLate => declared.minutes_late,
            Self::EarlyLeaver => declared.early_leaver,
            Self::Student => declared.roster,
        }
    }

    /// The expected content, for the author of the file.
    fn holds(self) -> &'static str {
        match self {
            Self::Mark => {
                r#"{"request": "POST /v1.0/schools/...", "body": {...}}: the request that marks pupil A1100000001 L on the morning of 2026-11-23"#
            }
            Self::Comment => {
                r#"{"request": ..., "body": ...} as in write_mark.json, with the comment "Missed the bus" stored with the mark"#
            }
            Self::MinutesLate => {
                r#"{"request": ..., "body": ...} as in write_mark.json, with 7 minutes late stored with the mark"#
            }
            Self::EarlyLeaver => {
                r#"{"request": ..., "body": ...}: the request that marks pupil A1100000001 M on the afternoon of 2026-11-23, for a sign-out"#
            }
            Self::Answers => {
                r#"{"accepted": <body>, "refused": {"status": 422, "body": <body>}, "done": <body>, "rejected": <body>, "open": <body>}: the answers to a register taken in and to one refused, and what /writebacks/{id} says in each end; "{writeback}" stands for the id"#
            }
            Self::Student => {
                r#"{"row": {...}, "person": {...}}: a made-up pupil as Wonde's `students` list has one of this MIS, and as it should be read"#
            }
        }
    }
}

/// A request as a fixture holds it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WriteFixture {
    /// Method and path: `POST /v1.0/schools/A1000000001/attendance/session`.
    pub(crate) request: String,
    pub(crate) body: Value,
}

/// A row and the person that it should be read as.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StudentFixture {
    pub(crate) row: Value,
    pub(crate) person: Person,
}

/// The outcome of a writeback in a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    Rejected,
    Open,
    /// An unknown status.
    Unheard,
    /// Done, with an error for one mark.
    InPart,
    /// Done, with an error that does not identify its mark.
    InDoubt,
}

/// The responses of the MIS to writes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answers {
    accepted: Value,
    refused: Refused,
    done: Value,
    rejected: Value,
    open: Value,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Refused {
    status: u16,
    body: Value,
}

impl Default for Answers {
    fn default() -> Self {
        let status = |word: &str| json!({"data": {"id": WRITEBACK, "status": word}});
        Self {
            accepted: json!({"writeback_id": WRITEBACK}),
            refused: Refused {
                status: 422,
                body: json!({"error": "validation_failed"}),
            },
            done: status("completed"),
            rejected: status("failed"),
            open: status("queued"),
        }
    }
}

impl Answers {
    pub(crate) fn accepted(&self, id: &str) -> Answer {
        Answer::json(200, with_id(&self.accepted, id))
    }

    pub(crate) fn refused(&self) -> Answer {
        Answer::json(self.refused.status, self.refused.body.clone())
    }

    pub(crate) fn outcome(&self, outcome: Outcome, id: &str) -> Answer {
        let unheard = json!({"data": {"id": WRITEBACK, "status": "frobnicated"}});
        let but = |errors: Value| {
            let mut body = self.done.clone();
            let record = match body.get_mut("data") {
                Some(data) => data,
                None => &mut body,
            };
            if let Some(record) = record.as_object_mut() {
                record.insert("errors".to_owned(), errors);
            }
            body
        };
        let message = "The mark was not written.";
        let in_part = but(json!([{"index": 0, "message": message}]));
        let in_doubt = but(json!([message]));
        let body = match outcome {
            Outcome::Done => &self.done,
            Outcome::InPart => &in_part,
            Outcome::InDoubt => &in_doubt,
            Outcome::Rejected => &self.rejected,
            Outcome::Open => &self.open,
            Outcome::Unheard => &unheard,
        };
        Answer::json(200, with_id(body, id))
    }

    fn check(&self) -> anyhow::Result<()> {
        ensure!(
            self.accepted.to_string().contains(WRITEBACK),
            "`accepted` must contain \"{WRITEBACK}\" in place of the writeback's id"
        );
        ensure!(
            (400..500).contains(&self.refused.status)
                && ![401, 403, 404, 429].contains(&self.refused.status),
            "`refused.status` must be a status that rejects a register, such as 422"
        );
        Ok(())
    }
}

fn with_id(value: &Value, id: &str) -> Value {
    match value {
        Value::String(text) => json!(text.replace(WRITEBACK, id)),
        Value::Array(items) => items.iter().map(|item| with_id(item, id)).collect(),
        Value::Object(map) => map
            .iter()
            .map(|(key, item)| (key.clone(), with_id(item, id)))
            .collect(),
        other => other.clone(),
    }
}

/// The folder of an adapter's fixtures.
#[derive(Clone, Debug)]
pub(crate) struct Fixtures {
    folder: PathBuf,
}

impl Fixtures {
    pub(crate) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    pub(crate) fn request(&self, fixture: Fixture) -> anyhow::Result<WriteFixture> {
        self.read(fixture)
    }

    pub(crate) fn student(&self) -> anyhow::Result<StudentFixture> {
        self.read(Fixture::Student)
    }

    pub(crate) fn answers(&self) -> anyhow::Result<Answers> {
        let answers: Answers = self.read(Fixture::Answers)?;
        answers
            .check()
            .with_context(|| format!("in {}", self.path(Fixture::Answers).display()))?;
        Ok(answers)
    }

    /// The fixtures that are missing, unreadable, or not needed for the declared abilities, one line each.
    pub(crate) fn complaints(&self, declared: &Capabilities) -> Vec<String> {
        let complaint = |fixture: Fixture| {
            if !fixture.is_needed(declared) {
                let path = self.path(fixture);
                return path.exists().then(|| {
                    format!(
                        "{} is for an ability that is not declared; declare it or delete the file",
                        path.display()
                    )
                });
            }
            let read = match fixture {
                Fixture::Answers => self.answers().map(drop),
                Fixture::Student => self.student().map(drop),
                _ => self.request(fixture).map(drop),
            };
            read.err().map(|error| format!("{error:#}"))
        };
        Fixture::ALL.into_iter().filter_map(complaint).collect()
    }

    fn path(&self, fixture: Fixture) -> PathBuf {
        self.folder.join(fixture.file())
    }

    fn read<T: DeserializeOwned>(&self, fixture: Fixture) -> anyhow::Result<T> {
        let path = self.path(fixture);
        let text = std::fs::read_to_string(&path).map_err(|error| {
            anyhow::anyhow!(
                "{}",
                Unread {
                    path: &path,
                    why: error.to_string(),
                    fixture
                }
            )
        })?;
        serde_json::from_str(&text).map_err(|error| {
            anyhow::anyhow!(
                "{}",
                Unread {
                    path: &path,
                    why: error.to_string(),
                    fixture
                }
            )
        })
    }
}

struct Unread<'a> {
    path: &'a Path,
    why: String,
    fixture: Fixture,
}

impl fmt::Display for Unread<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the fixture {} cannot be read ({}); it should contain {}",
            self.path.display(),
            self.why,
            self.fixture.holds()
        )
    }
}
