//! What all pages share: head, navigation, search.

use askama::Template;
use axum::response::{Html, IntoResponse as _, Response};
use markback::settings::School;
use mis_core::SchoolId;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{
    assets::{Addresses, addresses},
    error::PageError,
    session::FormToken,
    visitor::{Role, Visitor},
};

/// A page that the navigation leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Section {
    /// A school's day.
    Today,
    /// Signing people in and out by hand.
    FrontDesk,
    /// What needs a person.
    Problems,
    /// Groups and their people.
    Groups,
    /// Groups' rules.
    Rules,
    /// All schools.
    Schools,
    /// Keys, webhooks, users.
    Connections,
    /// Who did what.
    Audit,
}

/// A row of the navigation.
struct Row {
    section: Section,
    label: &'static str,
    /// The role that sees it.
    role: Role,
    /// Its address; below `/schools/{school}/` if it is about one school.
    path: &'static str,
    of_school: bool,
}

impl Row {
    const fn of_all(section: Section, label: &'static str, role: Role, path: &'static str) -> Self {
        Self {
            section,
            label,
            role,
            path,
            of_school: false,
        }
    }

    const fn of_school(
        section: Section,
        label: &'static str,
        role: Role,
        path: &'static str,
    ) -> Self {
        Self {
            section,
            label,
            role,
            path,
            of_school: true,
        }
    }
}

/// The navigation in its order. A page adds its row here.
const NAVIGATION: &[Row] = &[
    Row::of_school(Section::Today, "Today", Role::Look, "today"),
    Row::of_school(Section::FrontDesk, "Front desk", Role::Tend, "desk"),
    Row::of_school(Section::Problems, "Problems", Role::Look, "problems"),
    Row::of_school(Section::Groups, "Groups", Role::Look, "groups"),
    Row::of_school(Section::Rules, "Rules", Role::Look, "rules"),
    Row::of_all(Section::Schools, "Schools", Role::Admin, "/schools"),
    Row::of_all(
        Section::Connections,
        "Connections",
        Role::Admin,
        "/connections",
    ),
    Row::of_all(Section::Audit, "Audit", Role::Admin, "/audit"),
];

/// A link of the navigation.
#[derive(Clone, Debug)]
pub struct Link {
    /// Its words.
    pub label: &'static str,
    /// Its address.
    pub href: String,
    /// Whether it leads to this page.
    pub is_current: bool,
}

/// The school of a page.
#[derive(Clone, Debug)]
pub struct FrameSchool {
    /// Its id.
    pub id: String,
    /// Its name, or its id where the name is not known.
    pub name: String,
    /// The address of its pages: `/schools/{school}`.
    pub base: String,
}

/// What all pages share. Templates that extend `layout.html` have it as `frame`.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The title of the page.
    pub title: String,
    /// The name of the visitor.
    pub user: Option<String>,
    /// The school, if the page is about one.
    pub school: Option<FrameSchool>,
    /// The navigation.
    pub links: Vec<Link>,
    /// What is in the search field.
    pub searched: String,
    /// Whether the page freshens itself.
    pub is_live: bool,
    /// The token of the visitor's forms; see `csrf.html`.
    pub token: FormToken,
    /// Style, script, icon.
    pub assets: Addresses,
}

impl Frame {
    /// The frame of a page that is about no school.
    pub fn new(title: impl Into<String>, visitor: Option<&Visitor>) -> Self {
        Self {
            title: title.into(),
            user: visitor.map(|visitor| visitor.user.clone()),
            school: None,
            links: links(visitor, None, None),
            searched: String::new(),
            is_live: false,
            token: visitor
                .map(|visitor| visitor.form.clone())
                .unwrap_or_default(),
            assets: addresses(),
        }
    }

    /// The frame of a page in a section.
    pub fn of_section(title: impl Into<String>, visitor: &Visitor, section: Section) -> Self {
        Self {
            links: links(Some(visitor), None, Some(section)),
            ..Self::new(title, Some(visitor))
        }
    }

    /// The frame of a page about a school; `section` is the one that the navigation shows as the present one.
    pub fn of_school(
        title: impl Into<String>,
        visitor: &Visitor,
        school: &School,
        section: Option<Section>,
    ) -> Self {
        let of_school = FrameSchool {
            id: school.id.to_string(),
            name: school.title().to_owned(),
            base: base(&school.id),
        };
        Self {
            links: links(Some(visitor), Some(&of_school), section),
            school: Some(of_school),
            ..Self::new(title, Some(visitor))
        }
    }
}

impl Frame {
    /// The page freshens itself when something changes at its school: the regions with `data-fresh` are taken from the page
    /// as it is then.
    #[must_use]
    pub fn live(self) -> Self {
        Self {
            is_live: true,
            ..self
        }
    }

    /// What was searched for.
    #[must_use]
    pub fn searched(self, searched: &str) -> Self {
        Self {
            searched: searched.to_owned(),
            ..self
        }
    }
}

/// The address of a school's pages: `/schools/{school}`.
pub fn base(school: &SchoolId) -> String {
    format!("/schools/{}", segment(school.as_str()))
}

/// All but what RFC 3986 calls unreserved.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A text as a segment of an address.
pub fn segment(text: &str) -> String {
    // A text that is only dots would be a step up.
    if text.bytes().all(|byte| byte == b'.') {
        return "%2E".repeat(text.len());
    }
    utf8_percent_encode(text, RESERVED).to_string()
}

fn links(
    visitor: Option<&Visitor>,
    school: Option<&FrameSchool>,
    current: Option<Section>,
) -> Vec<Link> {
    let Some(visitor) = visitor else {
        return Vec::new();
    };
    let link = |row: &Row| {
        let href = match (row.of_school, school) {
            (false, _) => row.path.to_owned(),
            (true, Some(school)) => format!("{}/{}", school.base, row.path),
            (true, None) => return None,
        };
        visitor.may(row.role).then_some(Link {
            label: row.label,
            href,
            is_current: current == Some(row.section),
        })
    };
    NAVIGATION.iter().filter_map(link).collect()
}

/// A page as an answer.
///
/// # Errors
/// Returns an error if the template cannot be drawn.
pub fn html(page: &impl Template) -> Result<Response, PageError> {
    Ok(Html(page.render()?).into_response())
}
