//! Hints that compare a group's settings with the school year and England's guidance, and find options that were
//! intended as a code but are not read as one.

use mis_core::{CodeBook, EventKind};
use unicode_security::skeleton;

use super::fields::options_key;
use crate::{
    england,
    findings::{Findings, Hint},
    reading::{Reading, same_code},
    settings::{Field, FieldOption, GroupKind, WritebackSettings},
    text::{listed, plain, quoted},
};

/// Further hints than those of [`Rules::check`](crate::Rules::check), for valid settings: missing closed days,
/// codes that a sign-in should never replace, and options that only look like a code.
///
/// Empty for a group whose settings write no marks. `book` is the school's code book, or England's if it is unknown.
pub fn guidance_hints(
    kind: GroupKind,
    fields: &[Field],
    settings: &WritebackSettings,
    book: &CodeBook,
) -> Vec<Hint> {
    let mut found = Findings::default();
    if kind == GroupKind::Students && writes_marks(settings) {
        no_closed_days(settings, &mut found);
        unprotected(settings, book, &mut found);
        for field in fields.iter().filter(|field| carries_codes(field, settings)) {
            for option in &field.options {
                looks_like_a_code(field, option, book, &mut found);
            }
        }
        present_code_of_a_return(settings, book, &mut found);
    }
    found.hints
}

/// Whether any event can write a mark.
fn writes_marks(settings: &WritebackSettings) -> bool {
    settings.present
        || settings.sets_time(|late, unauthorised| late.is_some() || unauthorised.is_some())
        || writes_sign_outs(settings)
        || settings.custom_codes.sign_in.is_some()
}

fn writes_sign_outs(settings: &WritebackSettings) -> bool {
    settings.leaver_code.is_some() || settings.custom_codes.sign_out.is_some()
}

fn carries_codes(field: &Field, settings: &WritebackSettings) -> bool {
    let named = settings.custom_codes.on(field.on);
    named.is_some_and(|name| plain(name) == plain(&field.name))
}

fn no_closed_days(settings: &WritebackSettings, found: &mut Findings) {
    if settings.closed.is_empty() {
        found.hint(
            "writeback.closed",
            "[]",
            "no closed day is listed, so a sign-in in the holidays or on a training day writes a mark",
            "list the dates on which the school is closed: closed = [\"2026-12-21\", \"2026-12-22\"], or give the school a calendar",
        );
    }
}

fn unprotected(settings: &WritebackSettings, book: &CodeBook, found: &mut Findings) {
    let at_sign_in = settings.protect_on.contains(&EventKind::SignIn);
    let protects = |code: &mis_core::Code| {
        at_sign_in
            && settings
                .protected
                .iter()
                .any(|protected| same_code(&protected.as_str().into(), code, book))
    };
    let open: Vec<_> = england::NEVER_REPLACED
        .iter()
        .filter_map(|code| book.find(code))
        .map(|line| &line.code)
        .filter(|code| !protects(code))
        .collect();
    if !open.is_empty() {
        let codes = listed(&open);
        found.hint(
            "writeback.protected",
            "",
            format!("a sign-in may overwrite {codes}, which the school enters and England's guidance does not let a sign-in replace"),
            format!("add {} to protected, with sign_in in protect_on", quoted(open.iter().map(|code| code.as_str()))),
        );
    }
}

/// `M: Dentist`, or a Cyrillic М before the dash.
fn looks_like_a_code(field: &Field, option: &FieldOption, book: &CodeBook, found: &mut Findings) {
    if option.code.is_some() || Reading::of(option).code(book).is_some() {
        return;
    }
    let text = option.text.trim();
    let Some(word) = leading_word(text) else {
        return;
    };
    let meant = book
        .iter()
        .find(|line| looks_alike(word, line.code.as_str()));
    let Some(meant) = meant.map(|line| &line.code) else {
        return;
    };
    let what = if book.find(word).is_some() {
        format!("looks like the code {meant} but is not read as one, because no dash follows it")
    } else {
        format!(
            "looks like the code {meant} but is not read as one, because it contains other characters that look the same"
        )
    };
    let reason = text
        .strip_prefix(word)
        .unwrap_or_default()
        .trim_matches(|c: char| !c.is_alphanumeric());
    let written = if reason.is_empty() {
        format!("{{ text = {}, code = \"{meant}\" }}", quoted([text]))
    } else {
        quoted([format!("{meant} - {reason}").as_str()])
    };
    found.hint(
        options_key(field),
        quoted([text]),
        what,
        format!(
            "write {written} if the code is intended, or {{ text = {}, code = false }} if it is not",
            quoted([text])
        ),
    );
}

/// The text before the first separator, which is the end of the text or a sign next to a blank; so `I'm ill` and
/// `E-scooter` count as words.
fn leading_word(text: &str) -> Option<&str> {
    let end = text
        .find(|c: char| !c.is_alphanumeric())
        .unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    let sign = rest.trim_start();
    let mut after = sign.chars();
    let separates = match after.next() {
        None => true,
        Some(c) if c.is_alphanumeric() || c == '&' || c == '+' => false,
        Some(_) => rest.len() > sign.len() || after.next().is_none_or(char::is_whitespace),
    };
    (!word.is_empty() && separates).then_some(word)
}

/// Whether two words look alike in upper case, by Unicode's table of confusable characters (UTS 39).
fn looks_alike(word: &str, code: &str) -> bool {
    let shape = |text: &str| skeleton(&text.to_uppercase()).collect::<String>();
    shape(word) == shape(code)
}

/// After a sign-out of ours, a return in time is marked present even if present marks are off.
fn present_code_of_a_return(settings: &WritebackSettings, book: &CodeBook, found: &mut Findings) {
    if settings.present || !writes_sign_outs(settings) {
        return;
    }
    let codes = &settings.codes;
    for (key, written, default) in [
        ("present_am", &codes.present_am, "/"),
        ("present_pm", &codes.present_pm, "\\"),
    ] {
        if written.is_none() && book.find(default).is_none() {
            found.hint(
                format!("writeback.codes.{key}"),
                quoted([default]),
                "the code book has no such code, so a pupil who leaves and comes back in time keeps the leaver's mark",
                format!("set codes.{key} to the school's own code for present"),
            );
        }
    }
}
