//! The sandbox's schools and their people.

use wonde_sandbox::{Sandbox, SchoolInfo};

/// A school with the people who may arrive.
pub(super) struct School {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) mis: String,
    /// Pupils on roll, by their ids and years.
    pub(super) pupils: Vec<(String, String)>,
    pub(super) staff: Vec<String>,
}

/// All schools of the sandbox.
pub(super) fn schools(sandbox: &Sandbox) -> anyhow::Result<Vec<School>> {
    let school = |school: SchoolInfo| {
        let pupils = sandbox.students(&school.id)?.into_iter();
        let staff = sandbox.employees(&school.id)?.into_iter();
        anyhow::Ok(School {
            pupils: pupils
                .filter(|pupil| pupil.on_roll)
                .map(|pupil| (pupil.id, pupil.year))
                .collect(),
            staff: staff.filter(|one| one.current).map(|one| one.id).collect(),
            id: school.id,
            name: school.name,
            mis: school.mis,
        })
    };
    sandbox.schools().into_iter().map(school).collect()
}
