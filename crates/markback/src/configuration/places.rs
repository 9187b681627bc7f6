//! Places on the server that a text of settings names: files, variables of the environment, and links to other MISs.
//!
//! They belong to the operator. Whoever may only change a school's settings could otherwise have the service read a file, or
//! send a secret, of their choice.

use std::collections::BTreeSet;

use toml::{Table, Value};

use super::{ChangeError, Configuration};
use crate::{settings::Owner, store::SettingsKey};

/// Keys that name a place, each as a path in the table of a school or a template.
const PLACES: [&[&str]; 4] = [
    &["token_env"],
    &["token_file"],
    &["link"],
    &["calendar", "ical_file"],
];

impl Configuration {
    /// Checks that a text names no other place on the server than the version that rules, or the draft.
    ///
    /// # Errors
    /// Returns an error that names the setting, or one if the settings file or the database cannot be read.
    pub async fn check_places(&self, key: &SettingsKey, text: &str) -> Result<(), ChangeError> {
        let mut named = places(text);
        if named.is_empty() {
            return Ok(());
        }
        if self.owner(key) != Some(Owner::File)
            && let Some(newest) = self.store.settings_versions(key).await?.first()
        {
            named.retain(|place| !places(&newest.body).contains(place));
        }
        if let Some(present) = self.text(key).await? {
            named.retain(|place| !places(&present).contains(place));
        }
        match named.into_iter().next() {
            None => Ok(()),
            Some((place, _)) => Err(ChangeError::Place { place }),
        }
    }
}

/// The places with their values. A text that is not TOML names none, because it cannot rule.
fn places(text: &str) -> BTreeSet<(String, String)> {
    let Ok(table) = crate::text::without_bom(text).parse::<Table>() else {
        return BTreeSet::new();
    };
    let table = Value::Table(table);
    let found = PLACES.iter().filter_map(|path| {
        let value = path.iter().try_fold(&table, |value, key| value.get(key))?;
        Some((path.join("."), value.to_string()))
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("mis = 'SIMS'", &[])]
    #[case("token_env = 'A'\ntoken_file = \"b\"", &["token_env", "token_file"])]
    #[case("[calendar]\nical_file = 'x'", &["calendar.ical_file"])]
    #[case("calendar.ical_file = 'x'", &["calendar.ical_file"])]
    #[case("[calendar]\nical_url = 'https://example.org/x'", &[])]
    #[case("link = { adapter = 'csv', folder = '/' }", &["link"])]
    #[case("token_env = ", &[])]
    fn places_are_found_however_they_are_written(#[case] text: &str, #[case] expected: &[&str]) {
        let found: Vec<_> = places(text).into_iter().map(|(place, _)| place).collect();
        assert_eq!(found, expected);
    }
}
