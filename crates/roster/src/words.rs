//! Text values of settings and MISs: normalised for comparison, and read from one value or a list.

use mis_core::nfc;
use serde::{
    Deserializer,
    de::{self, SeqAccess, Visitor},
};

/// A value in NFC, in lower case and with single blanks, for comparison.
pub(crate) fn plain(word: &str) -> String {
    nfc(word)
        .split_whitespace()
        .map(str::to_lowercase)
        .collect::<Vec<_>>()
        .join(" ")
}

/// Whether a value is in the list.
pub(crate) fn among(value: &str, words: &[String]) -> bool {
    let value = plain(value);
    words.iter().any(|word| plain(word) == value)
}

/// Reads one value or a list, for `#[serde(deserialize_with = …)]`. Whole numbers are accepted as text, so that
/// `years = [7, 8]` works.
///
/// # Errors
/// Returns an error for any other type.
pub fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    deserializer.deserialize_any(Words)
}

/// The JSON schema of [`one_or_many`].
pub fn one_or_many_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let word = schemars::json_schema!({"type": ["string", "integer"]});
    schemars::json_schema!({"type": ["string", "integer", "array"], "items": word})
}

struct Words;

impl<'de> Visitor<'de> for Words {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a text or a list of texts")
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<Vec<String>, E> {
        Ok(vec![word.to_owned()])
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Vec<String>, E> {
        Ok(vec![number.to_string()])
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Vec<String>, E> {
        Ok(vec![number.to_string()])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<String>, A::Error> {
        let mut words = Vec::new();
        while let Some(Word(word)) = list.next_element()? {
            words.push(word);
        }
        Ok(words)
    }
}

/// A text, or a whole number as one.
struct Word(String);

impl<'de> de::Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct One;
        impl Visitor<'_> for One {
            type Value = Word;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a text")
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<Word, E> {
                Ok(Word(word.to_owned()))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Word, E> {
                Ok(Word(number.to_string()))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Word, E> {
                Ok(Word(number.to_string()))
            }
        }
        deserializer.deserialize_any(One)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letter_case_blanks_and_unicode_form_do_not_matter() {
        let asked = ["Zo\u{eb}  House".to_owned()];
        assert!(among(" zoe\u{308} house ", &asked));
        assert!(!among("zoe house", &asked));
        assert_eq!(plain("E\u{301}COLE"), plain("\u{e9}cole"));
    }
}
