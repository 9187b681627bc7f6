//! Query parameters, with our own error responses.

use std::convert::Infallible;

use axum::{
    extract::{FromRequestParts, Query},
    http::request::Parts,
};
use chrono::NaiveDate;
use markback::settings::nearest;

use super::error::{ApiError, Problem};

/// The parameters in order.
pub(super) struct QueryParams(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for QueryParams {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        // Any text can be read as pairs.
        let pairs =
            Query::try_from_uri(&parts.uri).map_or_else(|_| Vec::new(), |Query(pairs)| pairs);
        Ok(Self(pairs))
    }
}

impl QueryParams {
    /// Checks that there are no other parameters than these, and none twice.
    pub(super) fn only(self, words: &[&str]) -> Result<Self, ApiError> {
        for (place, (word, _)) in self.0.iter().enumerate() {
            if !words.contains(&word.as_str()) {
                let help = match nearest(word, words.iter().copied()) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None if words.is_empty() => "leave it out".to_owned(),
                    None => format!("leave it out; there are: {}", words.join(", ")),
                };
                return Err(wrong(
                    word,
                    None,
                    "this address has no such parameter",
                    help,
                ));
            }
            if self
                .0
                .iter()
                .skip(place + 1)
                .any(|(other, _)| other == word)
            {
                return Err(wrong(
                    word,
                    None,
                    "it stands there twice",
                    "keep one of them",
                ));
            }
        }
        Ok(self)
    }

    /// The value of a parameter.
    pub(super) fn text(&self, word: &str) -> Option<&str> {
        let said = self.0.iter().find(|(other, _)| other == word);
        said.map(|(_, value)| value.as_str())
    }

    /// A day.
    pub(super) fn day(&self, word: &str) -> Result<Option<NaiveDate>, ApiError> {
        self.read(
            word,
            "this is no day",
            "write year, month and day, such as 2026-11-23",
        )
    }

    /// A whole number.
    pub(super) fn number(&self, word: &str) -> Result<Option<u32>, ApiError> {
        self.read(
            word,
            "this is no whole number",
            "write digits only, such as 20",
        )
    }

    /// `true` or `false`, and false when it is left out.
    pub(super) fn flag(&self, word: &str) -> Result<bool, ApiError> {
        Ok(self
            .read(
                word,
                "this is neither true nor false",
                "write true, or leave it out",
            )?
            .unwrap_or_default())
    }

    fn read<T: std::str::FromStr>(
        &self,
        word: &str,
        message: &str,
        help: &str,
    ) -> Result<Option<T>, ApiError> {
        self.text(word)
            .map(|text| {
                text.trim()
                    .parse()
                    .map_err(|_| wrong(word, Some(text), message, help))
            })
            .transpose()
    }
}

/// An error about one parameter.
pub(super) fn wrong(
    word: &str,
    value: Option<&str>,
    message: impl Into<String>,
    help: impl Into<String>,
) -> ApiError {
    ApiError::invalid_input(Problem {
        parameter: Some(word.to_owned()),
        value: value.map(str::to_owned),
        message: message.into(),
        help: help.into(),
        ..Problem::default()
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn asked(text: &str) -> Result<QueryParams, ApiError> {
        let uri = format!("http://x/?{text}").parse().unwrap();
        let Query(pairs) = Query::try_from_uri(&uri).unwrap();
        QueryParams(pairs).only(&["date", "limit", "partial"])
    }

    #[test]
    fn what_is_asked_is_read() {
        let asked = asked("date=2026-11-23&limit=5&partial=true").unwrap();
        assert_eq!(
            asked.day("date").unwrap(),
            NaiveDate::from_ymd_opt(2026, 11, 23)
        );
        assert_eq!(asked.number("limit").unwrap(), Some(5));
        assert!(asked.flag("partial").unwrap());
        assert!(!asked.flag("other").unwrap());
    }

    #[rstest]
    #[case("date=27/11/2026", &["date", "27/11/2026", "no day", "2026-11-23"])]
    #[case("limit=-1", &["limit", "-1", "no whole number"])]
    #[case("partial=yes", &["partial", "yes", "neither true nor false"])]
    #[case("dat=2026-11-23", &["dat", "no such parameter", "did you mean `date`?"])]
    #[case("colour=red", &["colour", "there are: date, limit, partial"])]
    #[case("limit=1&limit=2", &["limit", "twice"])]
    fn what_is_wrong_is_told(#[case] text: &str, #[case] told: &[&str]) {
        let error = asked(text)
            .and_then(|asked| {
                asked.day("date")?;
                asked.number("limit")?;
                asked.flag("partial")
            })
            .unwrap_err();
        let error = format!("{error:?}");
        assert!(told.iter().all(|word| error.contains(word)), "{error}");
    }
}
