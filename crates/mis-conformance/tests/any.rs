//! The cases for any adapter, on an MIS in memory. A correct adapter passes; each faulty one fails the case about its
//! fault.

#![allow(clippy::unwrap_used, reason = "a failed assertion may panic")]

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};
use futures::stream::{self, BoxStream, StreamExt as _};
use mis_conformance::any::{School, check};
use mis_core::{
    Ability, Accepted, AttendanceCode, Capabilities, CodeBook, ConnectContext, Connecting,
    Descriptor, Error, ErrorKind, Mark, MarkResult, MisAdapter, PeopleQuery, Person, PersonKind,
    Receipt, Register, RegisterQuery, RegisterRow, Result, Session, Slot, StudentId,
    WritebackOutcome, chrono_tz::Europe::London, register_adapter,
};
use rstest::rstest;
use serde_json::json;

static MEMORY: Descriptor = Descriptor::new("memory", "Memory", connect)
    .with_capabilities(Capabilities::SESSION_MARKS.with(Ability::Comment))
    .with_notes("A test.")
    .with_source("this test", "2026-11-27");
register_adapter!(MEMORY);

type Marks = Arc<Mutex<BTreeMap<(StudentId, NaiveDate, Session), (Mark, DateTime<Utc>)>>>;

#[derive(Debug)]
struct Memory {
    context: ConnectContext,
    marks: Marks,
}

fn connect(context: ConnectContext) -> Connecting {
    Box::pin(async move {
        let marks = context.client::<Marks>().cloned().unwrap_or_default();
        let adapter: Arc<dyn MisAdapter> = Arc::new(Memory { context, marks });
        Ok(adapter)
    })
}

impl Memory {
    fn has(&self, flaw: &str) -> bool {
        self.context.link["flaw"] == flaw
    }

    fn rows(&self) -> Vec<RegisterRow> {
        let marks = self.marks.lock().unwrap();
        let row = |(mark, at): &(Mark, DateTime<Utc>)| RegisterRow {
            id: None,
            student: mark.student.clone(),
            slot: Slot::Session(mark.date, mark.session),
            date: Some(mark.date),
            code: Some(mark.code.as_str().into()),
            comment: mark.comment.clone(),
            minutes_late: None,
            changed_at: Some(*at),
        };
        marks.values().map(row).collect()
    }

    async fn write_one(&self, mark: &Mark, book: &CodeBook) -> MarkResult {
        let code = match book.to_write(mark.code.as_str()) {
            Ok(line) => line.code.clone(),
            Err(_) if self.has("takes another code") => "M".into(),
            Err(why) => {
                let comment = mark.comment.as_deref().unwrap_or_default();
                let text = match self.has("quotes the comment") {
                    true => format!("{why}: {comment}"),
                    false => why.to_string(),
                };
                return MarkResult::Refused(Error::new(ErrorKind::UnknownCode, text));
            }
        };
        if !self.has("ignores the gate")
            && let Err(error) = self.context.before_request().await
        {
            return MarkResult::Failed(error);
        }
        if self.has("writes nothing") {
            return MarkResult::Written;
        }
        let mut kept = Mark {
            code,
            ..mark.clone()
        };
        if self.has("drops comments") {
            kept.comment = None;
        }
        let key = (kept.student.clone(), kept.date, kept.session);
        let now = (self.context.now)();
        self.marks.lock().unwrap().insert(key, (kept, now));
        if self.has("accepts") || self.has("loses what it accepts") {
            return MarkResult::Accepted(Accepted::new("R1"));
        }
        MarkResult::Written
    }
}

#[async_trait]
impl MisAdapter for Memory {
    fn descriptor(&self) -> &'static Descriptor {
        &MEMORY
    }

    fn capabilities(&self) -> Capabilities {
        if self.has("ignores the operator") {
            return MEMORY.capabilities;
        }
        self.context.effective(&MEMORY)
    }

    async fn code_book(&self) -> Result<Arc<CodeBook>> {
        let codes = ["L", "M"].map(|code| AttendanceCode::new(code).with_id(code));
        Ok(Arc::new(CodeBook::new(codes)))
    }

    async fn register(&self, date: NaiveDate) -> Result<Register> {
        let now = (self.context.now)();
        self.register_of(date, now, self.rows()).await
    }

    fn register_rows(&self, query: RegisterQuery) -> BoxStream<'static, Result<RegisterRow>> {
        let mut rows = self.rows();
        if !self.has("reads all rows") {
            rows.retain(|row| {
                query
                    .updated_after
                    .is_none_or(|after| row.changed_at > Some(after))
            });
        }
        if self.has("keeps rows back") {
            rows.clear();
        }
        stream::iter(rows.into_iter().map(Ok)).boxed()
    }

    fn people(&self, query: PeopleQuery) -> BoxStream<'static, Result<Person>> {
        if !self.capabilities().roster {
            return stream::iter([Err(Error::unsupported("Memory", Ability::Roster))]).boxed();
        }
        let students = ["S1", "S2"].map(|id| {
            let mut student = Person::new(PersonKind::Student, id);
            student.surname = Some("Lovelace".to_owned());
            if self.has("hands everything on") {
                student
            } else {
                student.trimmed(&query.properties)
            }
        });
        stream::iter(students.map(Ok)).boxed()
    }

    async fn write(&self, marks: &[Mark]) -> Result<Vec<MarkResult>> {
        if !self.has("checks nothing") {
            MEMORY.check_marks(self.capabilities(), marks)?;
        }
        let book = self.code_book().await?;
        let mut results = Vec::new();
        for mark in marks {
            results.push(self.write_one(mark, &book).await);
        }
        Ok(results)
    }

    async fn outcome(&self, _: &Receipt) -> Result<WritebackOutcome> {
        if self.has("loses what it accepts") {
            return Ok(WritebackOutcome::Refused {
                server_message: None,
            });
        }
        Ok(WritebackOutcome::Done)
    }
}

fn failed(flaw: &str) -> Vec<String> {
    let report = check(&MEMORY, || {
        let mut context = ConnectContext::new("S1").with_client(Marks::default());
        context.timezone = Some(London);
        context.link = json!({"flaw": flaw});
        Ok(School::new(context, ["S1", "S2"], ["L", "M"]).hiding(["Lovelace"]))
    });
    assert!(report.cases.len() > 15, "{report}");
    let failed = report.cases.into_iter().filter(|case| !case.passed());
    failed.map(|case| case.name).collect()
}

#[rstest]
#[case("")]
#[case("accepts")]
fn a_correct_adapter_passes(#[case] way: &str) {
    assert_eq!(failed(way), Vec::<String>::new());
}

#[rstest]
#[case("writes nothing", "session::a_mark_is_stored")]
#[case("drops comments", "session::a_mark_is_stored")]
#[case("loses what it accepts", "session::a_mark_is_stored")]
#[case(
    "takes another code",
    "session::only_the_mark_with_an_unknown_code_is_rejected"
)]
#[case("quotes the comment", "secrets::stay_out_of_errors_and_debug")]
#[case(
    "ignores the gate",
    "session::a_write_held_back_by_the_host_is_not_sent"
)]
#[case("ignores the operator", "capabilities::are_never_wider_than_declared")]
#[case("ignores the operator", "session::the_operator_can_remove_marks")]
#[case(
    "ignores the operator",
    "roster::is_rejected_if_the_operator_removes_it"
)]
#[case("checks nothing", "session::undeclared_abilities_are_rejected")]
#[case("reads all rows", "register::only_changed_rows_are_read")]
#[case("keeps rows back", "register::is_read_with_the_rows_of_its_slots")]
#[case("hands everything on", "roster::only_requested_properties_are_read")]
fn a_faulty_adapter_fails_the_case_about_its_fault(#[case] flaw: &str, #[case] case: &str) {
    let failed = failed(flaw);
    assert!(failed.iter().any(|name| name == case), "{failed:?}");
}
