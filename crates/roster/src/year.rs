//! Year names: `7`, `07`, `Year 7`, `Yr 7` and `Y7` are the same year.
//!
//! The usual spellings of a school year's number are compared as that number: with or without "Year", "Yr", "Y" or "NC
//! Year" before it, leading zeros or not, in any letter case. "R", "Reception" and "YR" are the year before 1; "N" and
//! "Nursery" the one before that, which includes "N1" and "N2". Any other name ("Lower Fourth", "S3") is compared as
//! text, without regard to letter case and blanks.

/// A school year, read from a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Year {
    /// Nursery, or one of its years.
    Nursery(Option<u8>),
    /// Reception.
    Reception,
    /// A numbered year, 1 to 14.
    Number(u8),
    /// Some other name, in lower case.
    Named(String),
}

impl Year {
    /// Reads a name; nothing from a blank one.
    pub fn read(name: &str) -> Option<Self> {
        let plain = crate::words::plain(name);
        if plain.is_empty() {
            return None;
        }
        Some(Self::usual(&plain).unwrap_or(Self::Named(plain)))
    }

    /// The year of a person by the school's name for it. If the name is not a number ("Lower Fourth") and the short or
    /// official one is, that one applies.
    pub fn of(name: Option<&str>, code: Option<&str>) -> Option<Self> {
        let by_name = name.and_then(Self::read);
        match (&by_name, code.and_then(Self::read)) {
            (None | Some(Self::Named(_)), Some(by_code)) if !matches!(by_code, Self::Named(_)) => {
                Some(by_code)
            }
            (None, by_code) => by_code,
            _ => by_name,
        }
    }

    /// Whether the requested year includes this one: the same year, or nursery for one of its halves.
    pub fn is(&self, asked: &Self) -> bool {
        self == asked || (matches!(self, Self::Nursery(_)) && *asked == Self::Nursery(None))
    }

    fn usual(plain: &str) -> Option<Self> {
        let bare = [
            "nc year",
            "national curriculum year",
            "year group",
            "year",
            "yr",
            "y",
        ]
        .iter()
        .find_map(|word| plain.strip_prefix(word))
        .unwrap_or(plain)
        .trim_matches([' ', '.', '-', ':']);
        match bare {
            "r" | "reception" => return Some(Self::Reception),
            "n" | "nursery" => return Some(Self::Nursery(None)),
            _ => {}
        }
        if plain == "yr" {
            return Some(Self::Reception);
        }
        if let Some(half) = bare
            .strip_prefix("nursery")
            .or_else(|| bare.strip_prefix('n'))
        {
            return number(half.trim(), 1..=2).map(|half| Self::Nursery(Some(half)));
        }
        number(bare, 1..=14).map(Self::Number)
    }
}

fn number(digits: &str, of: std::ops::RangeInclusive<u8>) -> Option<u8> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().filter(|number| of.contains(number))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("7", Year::Number(7))]
    #[case("07", Year::Number(7))]
    #[case("Year 7", Year::Number(7))]
    #[case("YEAR  07", Year::Number(7))]
    #[case("Yr 7", Year::Number(7))]
    #[case("Yr. 7", Year::Number(7))]
    #[case("yr7", Year::Number(7))]
    #[case("Y13", Year::Number(13))]
    #[case("NC Year 7", Year::Number(7))]
    #[case("Year Group 7", Year::Number(7))]
    #[case("R", Year::Reception)]
    #[case("Reception", Year::Reception)]
    #[case("Year R", Year::Reception)]
    #[case("YR", Year::Reception)]
    #[case("N", Year::Nursery(None))]
    #[case("nursery", Year::Nursery(None))]
    #[case("N2", Year::Nursery(Some(2)))]
    #[case("Nursery 1", Year::Nursery(Some(1)))]
    #[case("Lower  Fourth", Year::Named("lower fourth".into()))]
    #[case("7A", Year::Named("7a".into()))]
    #[case("S3", Year::Named("s3".into()))]
    #[case("Year 2026", Year::Named("year 2026".into()))]
    #[case("Y", Year::Named("y".into()))]
    fn names_are_read(#[case] name: &str, #[case] year: Year) {
        assert_eq!(Year::read(name), Some(year));
    }

    #[rstest]
    #[case(None, None, None)]
    #[case(Some(" "), Some(""), None)]
    #[case(Some("Year 8"), Some("7"), Some(Year::Number(8)))]
    #[case(Some("Lower Fourth"), Some("9"), Some(Year::Number(9)))]
    #[case(Some("Lower Fourth"), Some("L4"), Some(Year::Named("lower fourth".into())))]
    #[case(None, Some("R"), Some(Year::Reception))]
    #[case(None, Some("L4"), Some(Year::Named("l4".into())))]
    fn a_name_takes_precedence_over_its_code(
        #[case] name: Option<&str>,
        #[case] code: Option<&str>,
        #[case] year: Option<Year>,
    ) {
        assert_eq!(Year::of(name, code), year);
    }

    #[test]
    fn nursery_includes_its_halves_but_not_vice_versa() {
        assert!(Year::Nursery(Some(1)).is(&Year::Nursery(None)));
        assert!(!Year::Nursery(None).is(&Year::Nursery(Some(1))));
        assert!(!Year::Nursery(Some(1)).is(&Year::Nursery(Some(2))));
    }
}
