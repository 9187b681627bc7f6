//! The meaning of England's attendance codes, as far as the hints need it.
//!
//! Source: "Working together to improve school attendance", Department for Education, in force from August 2024.

/// Codes of authorised and unauthorised absence and of no possible attendance.
const ABSENCE: &[&str] = &[
    "C", "C1", "C2", "E", "I", "J1", "M", "R", "S", "T", "G", "N", "O", "U", "X", "Q", "Y1", "Y2",
    "Y3", "Y4", "Y5", "Y6", "Y7", "Z", "#",
];

/// Withdrawn codes.
const WITHDRAWN: &[(&str, &str)] = &[
    (
        "H",
        "C for exceptional leave or G for a holiday not granted",
    ),
    ("J", "J1"),
    ("Y", "Y1 to Y7"),
    (
        "F",
        "C for exceptional leave or G for a holiday not granted",
    ),
];

/// Codes that need a decision of the school or the authority, so that pupils must not choose them.
const NOT_FOR_A_SCREEN: &[&str] = &["B", "C", "C1", "C2", "D", "E", "K", "X", "Y5", "Z", "#"];

/// Codes that the school or the authority enters and that a sign-in never replaces: at an approved place elsewhere, dual
/// registered, suspended, and those of no possible attendance.
pub(crate) const NEVER_REPLACED: &[&str] = &[
    "#", "X", "Z", "Q", "Y1", "Y2", "Y3", "Y4", "Y5", "Y6", "Y7", "D", "K", "V", "P", "W", "B", "E",
];

/// Minutes for which a register may stay open.
pub(crate) const REGISTER_OPEN_MINUTES: i64 = 30;

pub(crate) fn is_absence(code: &str) -> bool {
    among(ABSENCE, code)
}

pub(crate) fn is_not_for_a_screen(code: &str) -> bool {
    among(NOT_FOR_A_SCREEN, code)
}

/// The replacement of a withdrawn code.
pub(crate) fn withdrawn(code: &str) -> Option<&'static str> {
    WITHDRAWN
        .iter()
        .find(|(old, _)| old.eq_ignore_ascii_case(code.trim()))
        .map(|(_, instead)| *instead)
}

fn among(codes: &[&str], code: &str) -> bool {
    codes
        .iter()
        .any(|known| known.eq_ignore_ascii_case(code.trim()))
}

#[cfg(test)]
mod tests {
    use mis_core::CodeBook;

    use super::*;

    #[test]
    fn the_listed_codes_are_in_englands_book_and_withdrawn_ones_are_not() {
        let book = CodeBook::england();
        assert!(
            ABSENCE
                .iter()
                .chain(NOT_FOR_A_SCREEN)
                .chain(NEVER_REPLACED)
                .all(|code| book.find(code).is_some())
        );
        assert!(WITHDRAWN.iter().all(|(code, _)| book.find(code).is_none()));
        assert!(!is_absence("L") && !is_absence("/") && is_absence("m"));
    }
}
