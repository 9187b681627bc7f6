//! The set of adapters, and the choice among them.

use crate::{
    Ability, Descriptor, Error, Requirements, Result, SessionWriteback, descriptor::plain_name,
    error::ErrorKind,
};

/// An adapter's entry, collected at start from every linked adapter crate. Made by
/// [`register_adapter!`](crate::register_adapter).
#[derive(Debug)]
pub struct Registration(pub &'static Descriptor);

inventory::collect!(Registration);

/// Registers an adapter's descriptor, so that [`Registry::discover`] finds it wherever the crate is linked.
///
/// A crate that no Rust path names is left out by the compiler: the umbrella `mis-adapters` names every one.
#[macro_export]
macro_rules! register_adapter {
    ($descriptor:expr) => {
        $crate::__private::inventory::submit! { $crate::Registration(&$descriptor) }
    };
}

/// The adapters that a host can choose from, sorted by id.
///
/// ```
/// use mis_core::{Ability, Registry, Requirements};
///
/// let registry = Registry::discover()?;
/// let selection = registry.select(&Requirements::from_iter([Ability::Session, Ability::Comment]));
/// assert!(selection.fits.is_empty(), "this program links no adapter");
/// # Ok::<(), mis_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Registry {
    descriptors: Vec<&'static Descriptor>,
}

/// The answer of [`Registry::select`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Selection {
    /// Adapters that can do all that is required, sorted by id.
    pub fits: Vec<&'static Descriptor>,
    /// The other adapters, each with the abilities it lacks.
    pub lacking: Vec<(&'static Descriptor, Vec<Ability>)>,
}

impl Registry {
    /// All adapters linked into this program.
    ///
    /// Finds nothing in a static library, where the linker drops the entries: use [`Registry::from_descriptors`] there.
    ///
    /// # Errors
    /// Returns the errors of [`Registry::from_descriptors`].
    pub fn discover() -> Result<Self> {
        Self::from_descriptors(
            inventory::iter::<Registration>
                .into_iter()
                .map(|entry| entry.0),
        )
    }

    /// Only these adapters.
    ///
    /// # Errors
    /// Returns [`ErrorKind::Registry`] if an id is missing or malformed, if two adapters share an id or a name, or if a
    /// descriptor declares what cannot be without marks. The error names the descriptor.
    pub fn from_descriptors(
        descriptors: impl IntoIterator<Item = &'static Descriptor>,
    ) -> Result<Self> {
        let mut descriptors: Vec<_> = descriptors.into_iter().collect();
        descriptors.sort_by_key(|descriptor| descriptor.id);
        for descriptor in &descriptors {
            check(descriptor)?;
        }
        for (at, one) in descriptors.iter().enumerate() {
            for other in descriptors.iter().skip(at + 1) {
                check_apart(one, other)?;
            }
        }
        Ok(Self { descriptors })
    }

    /// All descriptors, sorted by id.
    pub fn iter(&self) -> impl Iterator<Item = &'static Descriptor> + '_ {
        self.descriptors.iter().copied()
    }

    /// The adapter with this id.
    ///
    /// # Errors
    /// Returns [`ErrorKind::Registry`] if there is none; the error lists the adapters.
    pub fn get(&self, id: &str) -> Result<&'static Descriptor> {
        self.iter()
            .find(|descriptor| descriptor.id == id)
            .ok_or_else(|| {
                let there: Vec<_> = self.iter().map(|descriptor| descriptor.id).collect();
                Error::new(
                    ErrorKind::Registry,
                    format!(
                        "there is no adapter `{id}`; the adapters are: {}",
                        there.join(", ")
                    ),
                )
            })
    }

    /// The adapter for an MIS by its name; `None` if there is none.
    pub fn for_mis(&self, mis: &str) -> Option<&'static Descriptor> {
        self.iter().find(|descriptor| descriptor.answers_to(mis))
    }

    /// Sorts the adapters into those that can do all of this and the others.
    pub fn select(&self, needs: &Requirements) -> Selection {
        let mut selection = Selection {
            fits: Vec::new(),
            lacking: Vec::new(),
        };
        for descriptor in self.iter() {
            let lacks = descriptor.capabilities.lacks(needs);
            if lacks.is_empty() {
                selection.fits.push(descriptor);
            } else {
                selection.lacking.push((descriptor, lacks));
            }
        }
        selection
    }
}

fn check(descriptor: &Descriptor) -> Result<()> {
    let id = descriptor.id;
    let wrong = |what: &str| Err(Error::new(ErrorKind::Registry, what.to_owned()));
    if id.is_empty() {
        return wrong(&format!(
            "the adapter named `{}` has no id; give it the name of its folder",
            descriptor.name
        ));
    }
    let is_word = |word: &str| {
        !word.is_empty()
            && word
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
    };
    if !id.split('-').all(is_word) {
        return wrong(&format!(
            "the adapter id `{id}` may have lower-case letters, digits and single hyphens only"
        ));
    }
    let can = descriptor.capabilities;
    if can.session == SessionWriteback::No && (can.comment || can.minutes_late || can.early_leaver)
    {
        return wrong(&format!(
            "the adapter `{id}` writes no marks, yet declares what is kept with them"
        ));
    }
    if can.comment_max.is_some() && !can.comment {
        return wrong(&format!(
            "the adapter `{id}` keeps no comments, yet declares their longest length"
        ));
    }
    Ok(())
}

fn check_apart(one: &Descriptor, other: &Descriptor) -> Result<()> {
    if one.id == other.id {
        return Err(Error::new(
            ErrorKind::Registry,
            format!(
                "two adapters have the id `{}`: {} and {}; rename one",
                one.id, one.name, other.name
            ),
        ));
    }
    match one.names().find(|name| other.answers_to(name)) {
        Some(name) => Err(Error::new(
            ErrorKind::Registry,
            format!(
                "the adapters `{}` and `{}` both have the MIS name `{}`; leave it to one",
                one.id,
                other.id,
                plain_name(name)
            ),
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Capabilities;

    const READER: Descriptor = Descriptor::new("reader", "Reader", |_| {
        Box::pin(async { Err(Error::new(ErrorKind::Config, "not in this test")) })
    })
    .with_aliases(&["Reader Pro"]);
    static WRITER: Descriptor = Descriptor {
        id: "awriter",
        name: "A Writer",
        aliases: &[],
        capabilities: Capabilities::SESSION_MARKS.with(Ability::Comment),
        ..READER
    };
    static READER_ONCE: Descriptor = READER;
    static READER_TWICE: Descriptor = READER;

    #[test]
    fn a_registry_is_sorted_and_finds_adapters_by_any_name() {
        let registry = Registry::from_descriptors([&READER_ONCE, &WRITER]).unwrap();
        assert_eq!(
            registry.iter().map(|d| d.id).collect::<Vec<_>>(),
            ["awriter", "reader"]
        );
        assert_eq!(registry.for_mis("READER-PRO").unwrap().id, "reader");
        assert_eq!(registry.for_mis("a writer").unwrap().id, "awriter");
    }

    #[test]
    fn an_mis_without_an_adapter_is_not_found() {
        let registry = Registry::from_descriptors([&WRITER]).unwrap();
        for name in ["Nonesuch", "", "--"] {
            assert!(registry.for_mis(name).is_none(), "{name}");
        }
    }

    #[test]
    fn a_duplicate_id_is_an_error_that_names_it() {
        let error = Registry::from_descriptors([&READER_ONCE, &READER_TWICE]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Registry);
        assert!(error.to_string().contains("`reader`"), "{error}");
    }

    #[test]
    fn a_name_used_by_two_adapters_is_an_error_that_names_it() {
        static OTHER: Descriptor = Descriptor {
            id: "other",
            name: "Other",
            aliases: &["reader pro"],
            ..READER
        };
        let error = Registry::from_descriptors([&READER_ONCE, &OTHER]).unwrap_err();
        assert!(error.to_string().contains("readerpro"), "{error}");
    }

    #[test]
    fn a_bad_descriptor_is_an_error_that_names_it() {
        static NO_ID: Descriptor = Descriptor { id: "", ..READER };
        static CAPITAL: Descriptor = Descriptor {
            id: "Sims",
            ..READER
        };
        static IDLE: Descriptor = Descriptor {
            capabilities: Capabilities::READ_ONLY.with(Ability::Comment),
            ..READER
        };
        for (descriptor, text) in [(&NO_ID, "Reader"), (&CAPITAL, "Sims"), (&IDLE, "reader")] {
            let error = Registry::from_descriptors([descriptor]).unwrap_err();
            assert!(error.to_string().contains(text), "{error}");
        }
    }

    #[test]
    fn an_unknown_id_is_an_error_that_lists_the_adapters() {
        let registry = Registry::from_descriptors([&READER_ONCE, &WRITER]).unwrap();
        let text = registry.get("sims").unwrap_err().to_string();
        assert!(
            text.contains("sims") && text.contains("awriter, reader"),
            "{text}"
        );
    }

    #[test]
    fn select_lists_the_missing_abilities_of_other_adapters() {
        let registry = Registry::from_descriptors([&READER_ONCE, &WRITER]).unwrap();
        let needs =
            Requirements::from_iter([Ability::MinutesLate, Ability::Comment, Ability::Session]);
        let selection = registry.select(&needs);
        assert!(selection.fits.is_empty());
        let lacking: Vec<_> = selection
            .lacking
            .iter()
            .map(|(d, lacks)| (d.id, lacks.clone()))
            .collect();
        assert_eq!(
            lacking,
            [
                ("awriter", vec![Ability::MinutesLate]),
                (
                    "reader",
                    vec![Ability::Session, Ability::Comment, Ability::MinutesLate]
                ),
            ]
        );
        assert_eq!(registry.select(&Requirements::default()).fits.len(), 2);
    }
}
