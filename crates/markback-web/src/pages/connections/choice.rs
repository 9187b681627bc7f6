//! The choice of schools in a form: all that the visitor sees, or some of them.

use std::collections::BTreeSet;

use markback::service::Markback;
use mis_core::SchoolId;

use super::reach;
use crate::visitor::Visitor;

/// So many schools are boxes to tick; more are written as ids.
const BOXES: usize = 40;

/// The fields of a posted form, in their order and as often as they come.
#[derive(Clone, Debug, Default)]
pub(in crate::pages) struct Fields(pub(in crate::pages) Vec<(String, String)>);

impl Fields {
    /// The first value of a field, without spaces at its ends; empty if there is none.
    pub(super) fn text(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(own, _)| own == name);
        found.map_or("", |(_, value)| value.trim())
    }

    pub(in crate::pages) fn all<'f>(&'f self, name: &'f str) -> impl Iterator<Item = &'f str> {
        let of_name = self.0.iter().filter(move |(own, _)| own == name);
        of_name.map(|(_, value)| value.as_str())
    }

    /// The schools that were chosen: `None` for all.
    pub(super) fn schools(&self) -> Option<BTreeSet<SchoolId>> {
        if self.text("which") == "all" {
            return None;
        }
        let ticked = self.all("school");
        let written = self
            .all("schools")
            .flat_map(|text| text.split([' ', ',', '\n', '\r', '\t']));
        let ids = ticked.chain(written).filter(|id| !id.is_empty());
        Some(ids.map(SchoolId::from).collect())
    }
}

/// The choice as a form shows it.
pub(super) struct Choice {
    pub(super) may_all: bool,
    pub(super) is_all: bool,
    pub(super) boxes: Vec<Ticked>,
    pub(super) written: Option<String>,
}

/// A box for a school.
pub(super) struct Ticked {
    pub(super) id: String,
    pub(super) is_ticked: bool,
}

impl Choice {
    /// The choice of a visitor with these schools chosen already; `None` for all.
    pub(super) fn new(
        markback: &Markback,
        visitor: &Visitor,
        chosen: Option<&BTreeSet<SchoolId>>,
    ) -> Self {
        let schools = visitor.schools(markback);
        let may_all = reach(visitor).sees_all_of(None);
        let is_chosen = |id: &SchoolId| chosen.is_some_and(|chosen| chosen.contains(id));
        let ids = || chosen.into_iter().flatten().map(SchoolId::as_str);
        Self {
            may_all,
            is_all: may_all && chosen.is_none(),
            written: (schools.len() > BOXES).then(|| ids().collect::<Vec<_>>().join(" ")),
            boxes: if schools.len() > BOXES {
                Vec::new()
            } else {
                let boxes = schools.iter().map(|school| Ticked {
                    id: school.id.to_string(),
                    is_ticked: is_chosen(&school.id),
                });
                boxes.collect()
            },
        }
    }
}

/// Whether a visitor may give these schools to a key or a user: all of them exist, and exist for the visitor.
pub(super) fn may_give(
    markback: &Markback,
    visitor: &Visitor,
    schools: Option<&BTreeSet<SchoolId>>,
) -> Result<(), String> {
    let settings = markback.settings();
    let Some(schools) = schools else {
        return if reach(visitor).sees_all_of(None) {
            Ok(())
        } else {
            Err("You see some schools only, so you cannot give all. Choose the schools.".to_owned())
        };
    };
    let exists = |id: &&SchoolId| settings.school(id).is_some() & visitor.sees(id);
    match schools.iter().find(|id| !exists(id)) {
        Some(unknown) => Err(format!("There is no school {unknown}. Correct its id.")),
        None => Ok(()),
    }
}
