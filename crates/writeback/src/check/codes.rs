//! Checks the codes in the settings against the school's code book.

use mis_core::{AttendanceCodeId, Code, CodeBook};

use super::fields::options_key;
use crate::{
    findings::Findings,
    settings::{Field, OptionCode, WritebackSettings},
    text::{listed, quoted},
};

/// The codes of the settings, with defaults.
pub(super) struct Codes {
    pub(super) late: Code,
    pub(super) unauthorised: Code,
    pub(super) present_am: Code,
    pub(super) present_pm: Code,
    pub(super) leaver: Option<Code>,
    /// All codes that are set or used, with their keys, for the hints.
    pub(super) named: Vec<(String, Code)>,
}

pub(super) fn compile(
    settings: &WritebackSettings,
    book: Option<&CodeBook>,
    found: &mut Findings,
) -> Codes {
    let codes = &settings.codes;
    let mut named = Vec::new();
    let mut take = |key: &str, written: Option<&str>, default: &str, used: bool| {
        let code = Code::new(written.unwrap_or(default));
        if used || written.is_some() {
            one(key, &code, book, found);
            named.push((key.to_owned(), code.clone()));
        }
        code
    };
    let late_used = settings.sets_time(|late, _| late.is_some());
    let unauthorised_used = settings.sets_time(|_, unauthorised| unauthorised.is_some());

    let late = take(
        "writeback.codes.late",
        codes.late.as_deref(),
        "L",
        late_used,
    );
    let unauthorised = take(
        "writeback.codes.unauthorised",
        codes.unauthorised.as_deref(),
        "U",
        unauthorised_used,
    );
    let present_am = take(
        "writeback.codes.present_am",
        codes.present_am.as_deref(),
        "/",
        settings.present,
    );
    let present_pm = take(
        "writeback.codes.present_pm",
        codes.present_pm.as_deref(),
        "\\",
        settings.present,
    );
    let leaver = settings
        .leaver_code
        .as_deref()
        .map(|code| take("writeback.leaver_code", Some(code), "", true));
    for code in &settings.protected {
        take("writeback.protected", Some(code), "", true);
    }
    for code in settings.hold.iter().flat_map(|hold| &hold.codes) {
        take("writeback.hold.codes", Some(code), "", true);
    }
    let only_read = ["writeback.protected", "writeback.hold.codes"];
    let written = named
        .iter()
        .filter(|(key, _)| !only_read.contains(&key.as_str()));
    for (key, code) in written {
        repeated(key, code, book, found);
    }
    if book.is_none() {
        found.hint(
            "writeback",
            "",
            "the school's code book could not be read, so no code was checked against it",
            "let the token read attendance codes at this school, then check again",
        );
    }
    Codes {
        late,
        unauthorised,
        present_am,
        present_pm,
        leaver,
        named,
    }
}

/// Checks the explicit codes of options.
pub(super) fn of_options(fields: &[Field], book: Option<&CodeBook>, found: &mut Findings) {
    for field in fields {
        for option in &field.options {
            if let Some(OptionCode::Code(code)) = &option.code {
                let key = format!(
                    "{}.{}.code",
                    options_key(field),
                    quoted([option.text.trim()])
                );
                let code = Code::new(code);
                one(&key, &code, book, found);
                repeated(&key, &code, book, found);
            }
        }
    }
}

fn one(key: &str, code: &Code, book: Option<&CodeBook>, found: &mut Findings) {
    if code.is_empty() {
        found.problem(
            key,
            "\"\"",
            "a code cannot be blank",
            "write a code of the school's code book, or leave it out",
        );
        return;
    }
    let Some(book) = book else { return };
    if book.find(code.as_str()).is_none() {
        found.problem(
            key,
            quoted([code.as_str()]),
            "the school's code book has no such code",
            format!("write one of its codes: {}", listed(book.letters())),
        );
    }
}

/// Reports a code to write that the book has more than once.
fn repeated(key: &str, code: &Code, book: Option<&CodeBook>, found: &mut Findings) {
    let Some(line) = book.and_then(|book| Some((book, book.find(code.as_str())?))) else {
        return;
    };
    let (book, line) = line;
    if let Err(why) = book.to_write(code.as_str()) {
        found.problem(
            key,
            quoted([code.as_str()]),
            why.to_string(),
            "ask the school to withdraw the entries that it does not use; until then nothing is written with this code",
        );
    } else if let Some(repeated) = book.repeated().find(|one| *one.code == line.code)
        && let Some((chosen, why)) = repeated.to_write
    {
        let id = chosen.id.as_ref().map_or("", AttendanceCodeId::as_str);
        found.hint(
            key,
            quoted([code.as_str()]),
            format!("the school's code book has it {} times", repeated.lines.len()),
            format!("nothing to do if {why}, with the id {id}, is the right one; otherwise ask the school to withdraw it"),
        );
    }
}
