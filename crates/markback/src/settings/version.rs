//! Which version of a school's settings it is.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use toml::de::DeValue;

/// Who keeps a school's settings, or a template.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "SettingsOwner")]
pub enum Owner {
    /// The settings file, or the list of schools that it names.
    File,
    /// The database.
    Store,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "file",
            Self::Store => "store",
        })
    }
}

/// One version of a school's own settings, or of a template: `store 7`, or `file 3f2a9c1b`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Revision {
    /// In the file. The first four bytes of the SHA-256 of its values; comments and spaces do not count.
    File([u8; 4]),
    /// In the database, by its number, from 1.
    Store(u32),
}

impl Revision {
    /// Who keeps it.
    pub fn owner(self) -> Owner {
        match self {
            Self::File(_) => Owner::File,
            Self::Store(_) => Owner::Store,
        }
    }

    /// The texts of this version together with any version of a template, as a pattern for SQL's `LIKE`.
    pub(crate) fn like_with_template(self) -> String {
        format!("{self}{WITH_TEMPLATE}%")
    }
}

impl Default for Revision {
    fn default() -> Self {
        Self::File([0; 4])
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(first) => write!(f, "file {:08x}", u32::from_be_bytes(*first)),
            Self::Store(number) => write!(f, "store {number}"),
        }
    }
}

/// This is not the text of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not a version of settings, such as \"store 7\" or \"file 3f2a9c1b\"")]
pub struct NoVersion;

impl FromStr for Revision {
    type Err = NoVersion;

    fn from_str(text: &str) -> Result<Self, NoVersion> {
        match text.split_once(' ') {
            Some(("store", number)) => number.parse().map(Self::Store).map_err(|_| NoVersion),
            Some(("file", first)) if first.len() == 8 => u32::from_str_radix(first, 16)
                .map(|first| Self::File(first.to_be_bytes()))
                .map_err(|_| NoVersion),
            _ => Err(NoVersion),
        }
    }
}

/// The version of a school's settings: its own, and that of the template that it names.
///
/// As text: `store 7`, `file 3f2a9c1b`, or `store 7 with template store 2`. A school of the file whose template is in
/// the file too has one fingerprint for both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct SettingsVersion {
    /// That of the school's own settings.
    pub own: Revision,
    /// That of its template; `None` without one, or if [`own`](Self::own) says it already.
    pub template: Option<Revision>,
}

/// Between the two parts of a version's text.
const WITH_TEMPLATE: &str = " with template ";

impl SettingsVersion {
    /// The version of a school that names a template of this version, if any.
    pub fn new(own: Revision, template: Option<Revision>) -> Self {
        match (own, template) {
            (Revision::File(own), Some(Revision::File(template))) => {
                let both = Sha256::new().chain_update(own).chain_update(template);
                Self {
                    own: Revision::File(first_bytes(both)),
                    template: None,
                }
            }
            (own, template) => Self { own, template },
        }
    }

    /// Who keeps the school's settings.
    pub fn owner(&self) -> Owner {
        self.own.owner()
    }
}

impl fmt::Display for SettingsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.own, f)?;
        match &self.template {
            Some(template) => write!(f, "{WITH_TEMPLATE}{template}"),
            None => Ok(()),
        }
    }
}

impl FromStr for SettingsVersion {
    type Err = NoVersion;

    fn from_str(text: &str) -> Result<Self, NoVersion> {
        let (own, template) = match text.split_once(WITH_TEMPLATE) {
            Some((own, template)) => (own, Some(template.parse()?)),
            None => (text, None),
        };
        Ok(Self {
            own: own.parse()?,
            template,
        })
    }
}

impl Serialize for SettingsVersion {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SettingsVersion {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The version of what a file says here.
pub(super) fn of_value(value: &DeValue<'_>) -> Revision {
    let mut digest = Sha256::new();
    add(&mut digest, value);
    Revision::File(first_bytes(digest))
}

/// The version of a line in a list.
pub(super) fn of_cells<'c>(cells: impl IntoIterator<Item = (&'c str, &'c str)>) -> Revision {
    let mut digest = Sha256::new();
    for (name, cell) in cells {
        add_text(&mut digest, b'k', name);
        add_text(&mut digest, b's', cell);
    }
    Revision::File(first_bytes(digest))
}

fn first_bytes(digest: Sha256) -> [u8; 4] {
    digest.finalize().first_chunk().copied().unwrap_or_default()
}

/// Each value with its kind and length, so that no two tables look the same. A table's keys come in their order of text.
fn add(digest: &mut Sha256, value: &DeValue<'_>) {
    match value {
        DeValue::String(text) => add_text(digest, b's', text),
        DeValue::Integer(number) => add_text(digest, b'i', &number.to_string()),
        DeValue::Float(number) => add_text(digest, b'f', &number.to_string()),
        DeValue::Boolean(flag) => add_text(digest, b'b', if *flag { "1" } else { "0" }),
        DeValue::Datetime(time) => add_text(digest, b'd', &time.to_string()),
        DeValue::Array(list) => {
            add_text(digest, b'a', &list.len().to_string());
            for entry in list.iter() {
                add(digest, entry.get_ref());
            }
        }
        DeValue::Table(table) => {
            add_text(digest, b't', &table.len().to_string());
            let mut entries: Vec<_> = table.iter().collect();
            entries.sort_by(|one, other| one.0.get_ref().cmp(other.0.get_ref()));
            for (key, value) in entries {
                add_text(digest, b'k', key.get_ref());
                add(digest, value.get_ref());
            }
        }
    }
}

fn add_text(digest: &mut Sha256, kind: u8, text: &str) {
    digest.update([kind]);
    digest.update((text.len() as u64).to_be_bytes());
    digest.update(text);
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(Revision::Store(7), None, "store 7")]
    #[case(Revision::File([0x3f, 0x2a, 0x9c, 0x1b]), None, "file 3f2a9c1b")]
    #[case(
        Revision::Store(7),
        Some(Revision::Store(2)),
        "store 7 with template store 2"
    )]
    #[case(Revision::File([0, 0, 0, 9]), Some(Revision::Store(2)), "file 00000009 with template store 2")]
    fn a_version_is_written_and_read_the_same(
        #[case] own: Revision,
        #[case] template: Option<Revision>,
        #[case] text: &str,
    ) {
        let version = SettingsVersion::new(own, template);
        assert_eq!(version.to_string(), text);
        assert_eq!(text.parse(), Ok(version));
    }

    #[rstest]
    #[case("")]
    #[case("store")]
    #[case("store seven")]
    #[case("file 12")]
    #[case("store 7 with template")]
    fn other_text_is_no_version(#[case] text: &str) {
        assert_eq!(text.parse::<SettingsVersion>(), Err(NoVersion));
    }

    #[test]
    fn a_template_in_the_file_changes_the_fingerprint_of_its_schools() {
        let own = Revision::File([1; 4]);
        let one = SettingsVersion::new(own, Some(Revision::File([2; 4])));
        let other = SettingsVersion::new(own, Some(Revision::File([3; 4])));
        assert_ne!(one, other);
        assert_eq!(one.template, None);
    }

    #[rstest]
    #[case("a = 1\nb = 'x'", "b = 'x' # note\n\na = 1", true)]
    #[case("a = 1", "a = 2", false)]
    #[case("a = ['x', 'y']", "a = ['xy']", false)]
    #[case("a = '1'", "a = 1", false)]
    #[case("[a]\nb = 1", "a = { b = 1 }", true)]
    fn only_values_count(#[case] one: &str, #[case] other: &str, #[case] same: bool) {
        let of = |text| {
            of_value(&DeValue::Table(
                toml::de::DeTable::parse(text).unwrap().into_inner(),
            ))
        };
        assert_eq!(of(one) == of(other), same);
    }
}
