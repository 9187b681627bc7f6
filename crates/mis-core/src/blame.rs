//! What a rejection's message blames: the comment, the minutes late, or neither.
//!
//! The messages of rejections are not documented. Only unmistakable ones are interpreted: a mark that was rejected
//! without an explanation is tried without its comment anyway.

/// What a rejection's message says about the comment and the minutes late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Blame {
    /// It names the comment.
    pub comment: bool,
    /// It says that something is too long.
    pub too_long: bool,
    /// The longest comment that is kept, in characters, if it names the comment and a limit.
    pub comment_max: Option<u16>,
    /// It names the minutes late.
    pub minutes_late: bool,
}

impl Blame {
    /// Interprets a rejection's message. Where the message repeats the mark's comment, the comment's own words do not
    /// count.
    pub fn of(message: &str, comment: Option<&str>) -> Self {
        let message = match comment {
            Some(comment) if !comment.trim().is_empty() => message.replace(comment.trim(), " "),
            _ => message.to_owned(),
        };
        let message = message.to_lowercase();
        let words: Vec<&str> = message
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .collect();
        let has = |stem: &str| words.iter().any(|word| word.starts_with(stem));
        let comment = has("comment");
        let longest = comment.then(|| longest(&words)).flatten();
        Self {
            comment,
            too_long: longest.is_some()
                || ["long", "length", "character", "exceed", "maxim", "max"]
                    .iter()
                    .any(|stem| has(stem)),
            comment_max: longest,
            minutes_late: has("minute"),
        }
    }
}

/// A number of characters: `20 characters`, `max 20`, `greater than 20`.
fn longest(words: &[&str]) -> Option<u16> {
    let bounds = [
        "than", "max", "maximum", "most", "to", "of", "limit", "exceed", "exceeds", "length", "is",
    ];
    words.iter().enumerate().find_map(|(at, word)| {
        let number = word.parse().ok().filter(|number| *number > 0)?;
        let next = words.get(at + 1).copied().unwrap_or_default();
        let before = at.checked_sub(1).and_then(|at| words.get(at)).copied();
        let counts_characters = next.starts_with("char") || next.starts_with("letter");
        let bounded =
            before.is_some_and(|word| bounds.contains(&word)) && !next.starts_with("minute");
        (counts_characters || bounded).then_some(number)
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("The comment may not be greater than 20 characters.", Some(20))]
    #[case(
        "validation_failed: The attendance.3.comment may not be greater than 255 characters.",
        Some(255)
    )]
    #[case("comment: maximum length is 50", Some(50))]
    #[case("Comment too long (max 30)", Some(30))]
    #[case("comment exceeds 100 chars", Some(100))]
    #[case("The comment is too long", None)]
    #[case("The attendance.3.comment field is prohibited.", None)]
    #[case("The code may not be greater than 2 characters.", None)]
    fn the_maximum_comment_length_is_found(#[case] said: &str, #[case] max: Option<u16>) {
        assert_eq!(Blame::of(said, None).comment_max, max, "{said}");
    }

    #[rstest]
    #[case(
        "The comment may not be greater than 20 characters.",
        true,
        true,
        false
    )]
    #[case("Comments are not supported by this MIS", true, false, false)]
    #[case("The minutes_late must be at most 99", false, false, true)]
    #[case("The attendance_code_id is invalid.", false, false, false)]
    #[case("", false, false, false)]
    fn the_blamed_fields_are_found(
        #[case] said: &str,
        #[case] comment: bool,
        #[case] too_long: bool,
        #[case] minutes_late: bool,
    ) {
        let blame = Blame::of(said, None);
        assert_eq!(
            (blame.comment, blame.too_long, blame.minutes_late),
            (comment, too_long, minutes_late)
        );
    }

    #[test]
    fn words_of_the_comment_itself_are_ignored() {
        let comment = "20 minutes late, no comment";
        let said = format!("refused: {comment}: the pupil is unknown");
        assert_eq!(Blame::of(&said, Some(comment)), Blame::default());
    }
}
