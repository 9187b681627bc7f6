//! A TOML file that is read table by table and reports every problem, not only the first.

use std::{ops::Range, sync::Arc};

use serde::Deserialize;
use serde::de::IntoDeserializer as _;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    key::{Key, Step},
    problem::Problem,
    words::nearest,
};

/// A value with its place in the text.
pub(super) type Value<'t> = Spanned<DeValue<'t>>;

/// A TOML file with the positions of its values.
pub(super) struct Document<'t> {
    file: Arc<str>,
    line_starts: Vec<usize>,
    root: Value<'t>,
}

impl<'t> Document<'t> {
    /// Reads the text as TOML.
    ///
    /// # Errors
    /// Returns an error with the line if it is not TOML. Only the first syntax error is reported, because later ones
    /// usually follow from it.
    pub(super) fn parse(file: &Arc<str>, text: &'t str) -> Result<Self, Box<Problem>> {
        let line_starts = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        let mut document = Self {
            file: file.clone(),
            line_starts,
            root: Spanned::new(0..0, DeValue::Table(DeTable::new())),
        };
        match DeTable::parse(text) {
            Ok(table) => {
                document.root = Spanned::new(table.span(), DeValue::Table(table.into_inner()));
                Ok(document)
            }
            Err(error) => Err(Box::new(Problem {
                file: document.file.clone(),
                line: error.span().map(|span| document.line_at(&span)),
                key: String::new(),
                value: None,
                message: format!("this is not valid TOML: {}", error.message()),
                help: "correct this line; texts need quotes, and each setting its own line"
                    .to_owned(),
            })),
        }
    }

    /// All settings of the file.
    pub(super) fn root(&self) -> &Value<'t> {
        &self.root
    }

    /// A problem with this setting, with its line and value.
    pub(super) fn problem(
        &self,
        key: &Key,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Problem {
        let (line, value) = self.look_up(key);
        let value = value.filter(|_| !key.may_hold_a_secret()).map(in_short);
        Problem {
            file: self.file.clone(),
            line,
            key: key.to_string(),
            value,
            message: message.into(),
            help: help.into(),
        }
    }

    /// Reads a value into its type. Invalid parts are reported and removed, and the rest is read on, so that all
    /// problems are found. `None` if too little is left.
    pub(super) fn read<T: Deserialize<'t>>(
        &self,
        key: &Key,
        value: &Value<'t>,
        problems: &mut Vec<Problem>,
    ) -> Option<T> {
        let mut rest = value.clone();
        loop {
            let error = match serde_path_to_error::deserialize(rest.clone().into_deserializer()) {
                Ok(read) => return Some(read),
                Err(error) => error,
            };
            let steps = steps_of(error.path());
            let here = key.with(original_steps(&rest, value, &steps));
            let fault = Fault::of(error.inner().message());
            let wrong_at = match &fault {
                Fault::Missing(name) => here.name(name),
                Fault::Unknown { .. } | Fault::Word { .. } | Fault::Other(_) => here,
            };
            let path = wrong_at.to_string();
            let known = problems.iter().any(|problem| problem.key == path);
            // A part that was reported and removed may be missing now.
            if !known {
                problems.push(self.told(&wrong_at, fault));
            }
            if !remove(&mut rest, &steps) {
                return None;
            }
        }
    }

    fn told(&self, key: &Key, fault: Fault) -> Problem {
        match fault {
            Fault::Missing(name) => Problem {
                value: None,
                ..self.problem(key, "this is missing", format!("add `{name} = …`"))
            },
            Fault::Unknown { expected } => self.problem(
                key,
                "there is no such setting",
                unknown_cure(key, &expected),
            ),
            Fault::Word { expected } => {
                let word = self.look_up(key).1.and_then(DeValue::as_str);
                let meant =
                    word.and_then(|word| nearest(word, expected.iter().map(String::as_str)));
                let help = match meant {
                    Some(meant) => format!("did you mean \"{meant}\"?"),
                    None => format!("there are: {}", expected.join(", ")),
                };
                self.problem(key, "this value is not known", help)
            }
            Fault::Other(_) if key.may_hold_a_secret() => self.problem(
                key,
                "the value is of the wrong kind",
                "give a text in quotes",
            ),
            Fault::Other(message) if message == "invalid socket address syntax" => self.problem(
                key,
                "this is not an IP address with a port",
                "write one such as \"127.0.0.1:8350\"; \"0.0.0.0:8350\" listens on all addresses of the machine",
            ),
            Fault::Other(message) => self.problem(
                key,
                message,
                "give a value of the type that `markback schema` shows",
            ),
        }
    }

    /// The line of a setting, or of its parent, and its value.
    fn look_up(&self, key: &Key) -> (Option<usize>, Option<&DeValue<'t>>) {
        let mut line = None;
        let mut at = &self.root;
        for step in key.steps() {
            let found = match (step, at.get_ref()) {
                (Step::Name(name), DeValue::Table(table)) => table
                    .get_key_value(name.as_str())
                    .map(|(key, value)| (key.span(), value)),
                (Step::Index(index), DeValue::Array(list)) => {
                    list.get(*index).map(|value| (value.span(), value))
                }
                _ => None,
            };
            let Some((span, value)) = found else {
                return (line, None);
            };
            line = Some(self.line_at(&span));
            at = value;
        }
        (line, Some(at.get_ref()))
    }

    fn line_at(&self, span: &Range<usize>) -> usize {
        self.line_starts
            .partition_point(|start| *start <= span.start)
    }
}

/// The kind of a serde error, parsed from its message.
enum Fault {
    Missing(String),
    Unknown { expected: Vec<String> },
    Word { expected: Vec<String> },
    Other(String),
}

impl Fault {
    fn of(message: &str) -> Self {
        let mut quoted = message.split('`').skip(1).step_by(2).map(str::to_owned);
        if message.starts_with("missing field `") {
            Self::Missing(quoted.next().unwrap_or_default())
        } else if message.starts_with("unknown field `") {
            Self::Unknown {
                expected: quoted.skip(1).collect(),
            }
        } else if message.starts_with("unknown variant `") {
            Self::Word {
                expected: quoted.skip(1).collect(),
            }
        } else {
            Self::Other(message.to_owned())
        }
    }
}

fn unknown_cure(key: &Key, expected: &[String]) -> String {
    let name = key.last_name().unwrap_or_default();
    let sources = expected
        .iter()
        .filter(|word| word.ends_with("_env") || word.ends_with("_file"));
    let sources: Vec<_> = sources.filter(|word| word.starts_with(name)).collect();
    if let [env, file] = sources.as_slice() {
        return format!(
            "never put a secret into this file: name an environment variable in `{env}` or a file in `{file}`"
        );
    }
    match nearest(name, expected.iter().map(String::as_str)) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None if expected.is_empty() => "remove it".to_owned(),
        None => format!("remove it; there are: {}", expected.join(", ")),
    }
}

fn steps_of(path: &serde_path_to_error::Path) -> Vec<Step> {
    use serde_path_to_error::Segment;
    path.iter()
        .map_while(|segment| match segment {
            Segment::Seq { index } => Some(Step::Index(*index)),
            Segment::Map { key } => Some(Step::Name(key.clone())),
            Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect()
}

/// Translates a path in the reduced value into one in the original: list entries move up when an earlier one is
/// removed.
fn original_steps(rest: &Value<'_>, whole: &Value<'_>, steps: &[Step]) -> Vec<Step> {
    let (mut rest, mut whole) = (Some(rest), Some(whole));
    let mut original = Vec::with_capacity(steps.len());
    for step in steps {
        match step {
            Step::Name(name) => {
                rest = rest.and_then(|value| value.get_ref().get(name.as_str()));
                whole = whole.and_then(|value| value.get_ref().get(name.as_str()));
                original.push(step.clone());
            }
            Step::Index(index) => {
                rest = rest.and_then(|value| value.get_ref().get(*index));
                let span = rest.map(Spanned::span);
                let place = whole
                    .and_then(|value| value.get_ref().as_array())
                    .and_then(|list| list.iter().position(|entry| Some(entry.span()) == span));
                let place = place.unwrap_or(*index);
                whole = whole.and_then(|value| value.get_ref().get(place));
                original.push(Step::Index(place));
            }
        }
    }
    original
}

/// Removes the value at this path; false if there is none.
fn remove(value: &mut Value<'_>, steps: &[Step]) -> bool {
    let Some((last, way)) = steps.split_last() else {
        return false;
    };
    let mut at = value.get_mut();
    for step in way {
        let next = match (step, at) {
            (Step::Name(name), DeValue::Table(table)) => table.get_mut(name.as_str()),
            (Step::Index(index), DeValue::Array(list)) => list.get_mut(*index),
            _ => None,
        };
        let Some(next) = next else { return false };
        at = next.get_mut();
    }
    match (last, at) {
        (Step::Name(name), DeValue::Table(table)) => table.remove(name.as_str()).is_some(),
        (Step::Index(index), DeValue::Array(list)) if *index < list.len() => {
            let others = list.iter().enumerate().filter(|(at, _)| at != index);
            *list = others.map(|(_, entry)| entry.clone()).collect();
            true
        }
        _ => false,
    }
}

/// A value as text, shortened if long.
fn in_short(value: &DeValue<'_>) -> String {
    const LONGEST: usize = 60;
    match value {
        DeValue::String(text) if text.chars().count() > LONGEST => {
            format!("{:?}…", text.chars().take(LONGEST).collect::<String>())
        }
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(_) => "[…]".to_owned(),
        DeValue::Table(_) => "{…}".to_owned(),
    }
}
