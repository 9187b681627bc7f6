//! Compiles the custom fields and checks that names and options are unique.

use std::collections::BTreeMap;

use crate::{
    findings::{Findings, Hint, Problem},
    reading::Reading,
    rules::{OptionRule, Options, PerKind},
    settings::Field,
    text::{plain, quoted},
};

/// Checks a group's custom fields alone, for a group without writeback. [`Rules::check`](crate::Rules::check) checks them too.
pub fn check_fields(fields: &[Field]) -> (Vec<Problem>, Vec<Hint>) {
    let mut found = Findings::default();
    compile(fields, &mut found);
    (found.problems, found.hints)
}

/// The key of a field's options.
pub(super) fn options_key(field: &Field) -> String {
    format!("field.{}.options", quoted([field.name.trim()]))
}

pub(super) fn compile(
    fields: &[Field],
    found: &mut Findings,
) -> PerKind<BTreeMap<String, Options>> {
    let mut compiled = PerKind::<BTreeMap<String, Options>>::default();
    for field in fields {
        let name = field.name.trim();
        if name.is_empty() {
            found.problem(
                "field.name",
                quoted([field.name.as_str()]),
                "a field has no name",
                "write the question",
            );
        }
        let options = options(field, found);
        if compiled
            .on_mut(field.on)
            .insert(plain(name).into_owned(), options)
            .is_some()
        {
            found.problem(
                "field.name",
                quoted([name]),
                format!("two fields asked at a {} have this name", field.on),
                "give each its own name, or make them one field",
            );
        }
    }
    compiled
}

fn options(field: &Field, found: &mut Findings) -> Options {
    let key = options_key(field);
    if field.options.is_empty() {
        found.hint(
            &key,
            "[]",
            "the field has no options, so it cannot be answered",
            "add options, or leave the field out",
        );
    }
    let mut options = Options::new();
    for option in &field.options {
        let text = option.text.trim();
        if text.is_empty() {
            found.problem(
                &key,
                quoted([option.text.as_str()]),
                "an option has no text",
                "write the answer, or remove the option",
            );
        }
        let rule = OptionRule {
            reading: Reading::of(option),
            write: option.write,
        };
        if options.insert(plain(text).into_owned(), rule).is_some() {
            found.problem(
                &key,
                quoted([text]),
                "the option is listed twice",
                "remove one, or change its text",
            );
        }
    }
    options
}
