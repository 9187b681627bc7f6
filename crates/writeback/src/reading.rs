//! How an answer names a code: explicitly in the option's table, or as `CODE - reason` in its text.

use mis_core::{Code, CodeBook, nfc};
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory as _};

use crate::settings::{FieldOption, OptionCode};

/// The code of an answer, as far as it can be read without a code book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// The option's table states the code, which applies even if the code book does not have it.
    Named(Code),
    /// The option's table states that it is not a code.
    Never,
    /// The text before the first dash, which is a code if the code book has it.
    Before(String),
    /// There is no dash, or nothing before it.
    Plain,
}

impl Reading {
    pub(crate) fn of(option: &FieldOption) -> Self {
        match &option.code {
            Some(OptionCode::Code(code)) => Self::Named(Code::new(code)),
            Some(OptionCode::Never) => Self::Never,
            None => Self::of_text(&option.text),
        }
    }

    pub(crate) fn of_text(text: &str) -> Self {
        match split_at_first_dash(text) {
            Some((before, _)) if !before.trim().is_empty() => {
                Self::Before(nfc(before.trim()).into_owned())
            }
            _ => Self::Plain,
        }
    }

    /// The code of this answer, in the code book's spelling if the book has it.
    pub(crate) fn code(&self, book: &CodeBook) -> Option<Code> {
        match self {
            Self::Named(code) => Some(in_the_books_spelling(code, book)),
            Self::Before(text) => book.find(text).map(|line| line.code.clone()),
            Self::Never | Self::Plain => None,
        }
    }
}

/// The parts before and after the first dash.
pub(crate) fn split_at_first_dash(text: &str) -> Option<(&str, &str)> {
    text.split_once(is_dash)
}

/// Whether the character is a Unicode dash (general category Pd) or the minus sign, which is not in that category but
/// looks like a dash.
fn is_dash(character: char) -> bool {
    character == '\u{2212}' || character.general_category() == GeneralCategory::DashPunctuation
}

/// The code in the book's spelling, or as given if the book does not have it.
pub(crate) fn in_the_books_spelling(code: &Code, book: &CodeBook) -> Code {
    book.find(code.as_str())
        .map_or_else(|| code.clone(), |line| line.code.clone())
}

/// Whether two spellings mean the same code at this school. A code that is not in the book is compared without letter
/// case, because protecting too much is better than protecting too little.
pub(crate) fn same_code(a: &Code, b: &Code, book: &CodeBook) -> bool {
    match (book.find(a.as_str()), book.find(b.as_str())) {
        (Some(a), Some(b)) => a.code == b.code,
        _ => a.as_str().to_lowercase() == b.as_str().to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use mis_core::AttendanceCode;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("M - Medical appointment", Some("M"))]
    #[case("M – Dentist", Some("M"))]
    #[case("M — Dentist", Some("M"))]
    #[case("m-dentist", Some("M"))]
    #[case("  c1   –  on stage", Some("C1"))]
    #[case("\u{a0}M\u{a0}- Dentist", Some("M"))]
    #[case("M -", Some("M"))]
    #[case("/ - here", Some("/"))]
    #[case("M - E - both", Some("M"))]
    #[case("E-scooter broke", Some("E"))]
    #[case("Drop-off was late", None)]
    #[case("Drop off - M", None)]
    #[case("M M - twice", None)]
    #[case("ML - no such code", None)]
    #[case("M", None)]
    #[case("- M", None)]
    #[case("-", None)]
    #[case("M: Dentist", None)]
    #[case("M \u{2010} hyphen", Some("M"))]
    #[case("M \u{2011} non-breaking hyphen", Some("M"))]
    #[case("M \u{2012} figure dash", Some("M"))]
    #[case("M \u{2015} horizontal bar", Some("M"))]
    #[case("M \u{2212} minus sign", Some("M"))]
    #[case("M \u{fe63} small hyphen-minus", Some("M"))]
    #[case("M \u{ff0d} fullwidth hyphen-minus", Some("M"))]
    #[case("M \u{ad} soft hyphen", None)]
    #[case("M _ no dash", None)]
    #[case("", None)]
    fn texts(#[case] text: &str, #[case] code: Option<&str>) {
        assert_eq!(
            Reading::of_text(text).code(&CodeBook::england()),
            code.map(Code::new)
        );
    }

    #[test]
    fn a_table_overrides_the_text() {
        let book = CodeBook::england();
        let option = |code| FieldOption {
            code: Some(code),
            ..FieldOption::from("E-scooter broke down")
        };
        assert_eq!(Reading::of(&option(OptionCode::Never)).code(&book), None);
        assert_eq!(
            Reading::of(&option(OptionCode::Code(" l ".into()))).code(&book),
            Some(Code::new("L"))
        );
        assert_eq!(
            Reading::of(&option(OptionCode::Code("QQ".into()))).code(&book),
            Some(Code::new("QQ"))
        );
    }

    #[test]
    fn the_same_code_in_other_letters() {
        let book = CodeBook::new(["l", "L", "M"].map(AttendanceCode::new));
        assert!(same_code(&"m".into(), &"M".into(), &book));
        assert!(!same_code(&"l".into(), &"L".into(), &book));
        assert!(same_code(&"x".into(), &"X".into(), &book));
    }
}
