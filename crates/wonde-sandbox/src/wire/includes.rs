//! Which relations can be included where; it differs by MIS.

use super::View;
use crate::query::Includes;
use crate::reply::Refusal;

/// A sort of object that lists are made of or that can be included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resource {
    Student,
    Contact,
    Employee,
    Group,
    Class,
    Period,
    Room,
    Subject,
    Lesson,
    Code,
    SessionMark,
    LessonMark,
    Summary,
    Deletion,
    /// A bundle of properties of the object around it.
    Details,
}

impl Resource {
    /// The scope that reading it takes.
    pub(crate) fn scope(self) -> Option<&'static str> {
        match self {
            Self::Details => None,
            Self::Student => Some("students"),
            Self::Contact => Some("contacts"),
            Self::Employee => Some("employees"),
            Self::Group => Some("groups"),
            Self::Class => Some("classes"),
            Self::Period => Some("periods"),
            Self::Room => Some("rooms"),
            Self::Subject => Some("subjects"),
            Self::Lesson => Some("lessons"),
            Self::Code => Some("attendance-codes"),
            Self::SessionMark => Some("attendance-session"),
            Self::LessonMark => Some("attendance-lesson"),
            Self::Summary => Some("attendance-summaries"),
            Self::Deletion => Some("deletions"),
        }
    }

    fn below(self) -> &'static [(&'static str, Self)] {
        match self {
            Self::Student => &[
                ("education_details", Self::Details),
                ("contact_details", Self::Details),
                ("extended_details", Self::Details),
                ("contacts", Self::Contact),
                ("year", Self::Group),
                ("registration", Self::Group),
                ("house", Self::Group),
                ("boarding", Self::Group),
                ("campus", Self::Group),
                ("groups", Self::Group),
                ("classes", Self::Class),
            ],
            Self::Contact => &[
                ("contact_details", Self::Details),
                ("students", Self::Student),
            ],
            Self::Employee => &[
                ("employment_details", Self::Details),
                ("contact_details", Self::Details),
                ("roles", Self::Details),
                ("groups", Self::Group),
                ("classes", Self::Class),
            ],
            Self::Group => &[("students", Self::Student), ("employees", Self::Employee)],
            Self::Class => &[
                ("students", Self::Student),
                ("employees", Self::Employee),
                ("subject", Self::Subject),
            ],
            Self::Lesson => &[
                ("class", Self::Class),
                ("room", Self::Room),
                ("period", Self::Period),
                ("employee", Self::Employee),
            ],
            Self::SessionMark => &[
                ("student", Self::Student),
                ("employee", Self::Employee),
                ("attendance_code", Self::Code),
            ],
            Self::LessonMark => &[
                ("student", Self::Student),
                ("employee", Self::Employee),
                ("attendance_code", Self::Code),
                ("lesson", Self::Lesson),
            ],
            Self::Summary => &[("student", Self::Student)],
            _ => &[],
        }
    }
}

impl View<'_> {
    /// Refuses an object or an include without scope (403) and an include that is not known here (400).
    pub(crate) fn allow(&self, resource: Resource, includes: &Includes) -> Result<(), Refusal> {
        if let Some(scope) = resource.scope()
            && !self.school.granted(scope)
        {
            return Err(Refusal::forbidden(scope));
        }
        for (name, below) in includes.iter() {
            let known = resource
                .below()
                .iter()
                .find(|(n, _)| *n == name)
                .filter(|_| name != "boarding" || self.school.shape.boards())
                .filter(|_| name != "campus" || self.school.shape.campus);
            match known {
                Some((_, child)) => self.allow(*child, below)?,
                None => return Err(Refusal::invalid_include(name)),
            }
        }
        Ok(())
    }
}
