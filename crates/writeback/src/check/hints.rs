//! Hints: settings that work, but probably not as intended.

use mis_core::{Code, CodeBook, EventKind};

use super::{codes::Codes, fields::options_key, times::Written};
use crate::{
    england,
    findings::Findings,
    reading::{Reading, same_code, split_at_first_dash},
    rules::Clock,
    settings::{Field, FieldOption, GroupKind, OptionCode, WritebackSettings},
    text::{clock, plain, quoted},
};

pub(super) fn give(
    kind: GroupKind,
    fields: &[Field],
    settings: &WritebackSettings,
    times: &Written,
    codes: &Codes,
    book: Option<&CodeBook>,
    found: &mut Findings,
) {
    // Without the school's own book, England's shows how an option is read at most schools.
    let england = CodeBook::england();
    let book = book.unwrap_or(&england);

    if kind != GroupKind::Students {
        found.hint(
            "writeback",
            "",
            format!("only groups of students write back; for {kind} these settings do nothing"),
            "remove the table, or set kind = \"students\"",
        );
    }
    for field in fields {
        options(field, settings, book, found);
    }
    leaver_without_protection(settings, codes, book, found);
    protection_never_on(settings, found);
    let (am, pm) = (times.am_clock(), times.pm_clock());
    register_open_too_long("am", &am, found);
    register_open_too_long("pm", &pm, found);
    minutes_from_nowhere("am", settings, &am, found);
    minutes_from_nowhere("pm", settings, &pm, found);
    for (key, code) in &codes.named {
        withdrawn(key, code, found);
    }
}

fn options(field: &Field, settings: &WritebackSettings, book: &CodeBook, found: &mut Findings) {
    let carries_codes = settings
        .custom_codes
        .on(field.on)
        .is_some_and(|name| plain(name) == plain(&field.name));
    for option in &field.options {
        let key = options_key(field);
        if !carries_codes {
            code_without_effect(&key, field, option, found);
            continue;
        }
        let Some(code) = Reading::of(option).code(book) else {
            withdrawn_before_a_dash(&key, option, found);
            continue;
        };
        if option.code.is_none() {
            reads_as_a_code(&key, option, &code, book, found);
        }
        withdrawn(
            &format!("{key}.{}", quoted([option.text.trim()])),
            &code,
            found,
        );
        if field.on == EventKind::SignIn && england::is_absence(code.as_str()) {
            found.hint(
                &key,
                quoted([option.text.trim()]),
                format!("a pupil who gives this answer at a sign-in gets {code}, an absence code; by law an arrival before the register closes is L"),
                "set code = false to let the time decide, or keep it if the school intends this",
            );
        }
        if england::is_not_for_a_screen(code.as_str()) {
            found.hint(
                &key,
                quoted([option.text.trim()]),
                format!("a pupil could choose {code} on a screen, but only the school or the authority may decide on this code"),
                "remove the option, or set code = false",
            );
        }
    }
}

fn code_without_effect(key: &str, field: &Field, option: &FieldOption, found: &mut Findings) {
    if let Some(OptionCode::Code(code)) = &option.code {
        let kind = field.on;
        found.hint(
            key,
            quoted([option.text.trim()]),
            format!("its code {code} does nothing: custom_codes.{kind} does not name this field"),
            format!(
                "set custom_codes.{kind} to {}, or remove the code",
                quoted([field.name.trim()])
            ),
        );
    }
}

fn reads_as_a_code(
    key: &str,
    option: &FieldOption,
    code: &Code,
    book: &CodeBook,
    found: &mut Findings,
) {
    let text = option.text.trim();
    let meaning = book
        .find(code.as_str())
        .and_then(|line| line.description.as_deref())
        .map(|description| format!(" ({description})"))
        .unwrap_or_default();
    let table = |code: &str| format!("{{ text = {}, code = {code} }}", quoted([text]));
    if is_probably_prose(text) {
        found.hint(
            key,
            quoted([text]),
            format!("is read as the code {code}{meaning}, but looks like plain text"),
            format!(
                "write {} if it is not a code, or {} if it is",
                table("false"),
                table(&quoted([code.as_str()]))
            ),
        );
    } else {
        found.hint(
            key,
            quoted([text]),
            format!("is read as the code {code}{meaning}"),
            format!(
                "nothing to do if this is intended; otherwise write {}",
                table("false")
            ),
        );
    }
}

/// A dash that joins two words, as in `E-scooter broke`, instead of separating a code from its reason.
fn is_probably_prose(text: &str) -> bool {
    split_at_first_dash(text).is_some_and(|(before, after)| {
        before.ends_with(char::is_alphanumeric) && after.starts_with(char::is_alphanumeric)
    })
}

/// `H - Holiday` is not read as a code if the book no longer has H, which a school may not have noticed.
fn withdrawn_before_a_dash(key: &str, option: &FieldOption, found: &mut Findings) {
    if let Reading::Before(text) = Reading::of(option)
        && !is_probably_prose(option.text.trim())
    {
        withdrawn(
            &format!("{key}.{}", quoted([option.text.trim()])),
            &Code::new(text),
            found,
        );
    }
}

fn withdrawn(key: &str, code: &Code, found: &mut Findings) {
    if let Some(instead) = england::withdrawn(code.as_str()) {
        found.hint(
            key,
            quoted([code.as_str()]),
            "the code has been withdrawn from England's registers",
            format!("use {instead}"),
        );
    }
}

fn leaver_without_protection(
    settings: &WritebackSettings,
    codes: &Codes,
    book: &CodeBook,
    found: &mut Findings,
) {
    let Some(leaver) = &codes.leaver else { return };
    let protects = |present: &Code| {
        settings.protect_on.contains(&EventKind::SignOut)
            && settings
                .protected
                .iter()
                .any(|code| same_code(&Code::new(code), present, book))
    };
    let open: Vec<_> = [&codes.present_am, &codes.present_pm]
        .into_iter()
        .filter(|present| !protects(present))
        .collect();
    if !open.is_empty() {
        let open = quoted(open.into_iter().map(Code::as_str));
        found.hint(
            "writeback.leaver_code",
            quoted([leaver.as_str()]),
            format!("a sign-out may overwrite the present code {open}; a pupil who left after registration still counts as present"),
            format!("add {open} to protected, with sign_out in protect_on"),
        );
    }
}

fn protection_never_on(settings: &WritebackSettings, found: &mut Findings) {
    if !settings.protected.is_empty() && settings.protect_on.is_empty() {
        found.hint(
            "writeback.protect_on",
            "[]",
            "the protected codes are never protected",
            "leave protect_on out to protect them at sign-ins and sign-outs",
        );
    }
}

fn register_open_too_long(session: &str, times: &Clock, found: &mut Findings) {
    if let (Some(from), Some(unauthorised)) = (times.counted_from(), times.unauthorised)
        && (unauthorised - from).num_seconds() > england::REGISTER_OPEN_MINUTES * 60
    {
        let limit = england::REGISTER_OPEN_MINUTES;
        found.hint(
            format!("writeback.{session}.unauthorised"),
            format!("\"{}\"", clock(unauthorised)),
            format!("is more than {limit} minutes after {}; England's guidance keeps a register open for {limit} minutes at most", clock(from)),
            "set an earlier time, or keep it if the school's policy says so",
        );
    }
}

fn minutes_from_nowhere(
    session: &str,
    settings: &WritebackSettings,
    times: &Clock,
    found: &mut Findings,
) {
    if let (None, Some(unauthorised)) = (times.counted_from(), times.unauthorised)
        && settings.minutes_late
    {
        found.hint(
            format!("writeback.{session}.unauthorised"),
            format!("\"{}\"", clock(unauthorised)),
            format!("without {session}.starts or {session}.late there is nothing to count minutes late from, so none are sent"),
            format!("set {session}.starts, or minutes_late = false"),
        );
    }
}
