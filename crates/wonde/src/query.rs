//! Queries of lists.

use chrono::{DateTime, Utc};

/// The default number of rows per page. Wonde's own default is 50 \[D\]; 200 is generally accepted \[T\].
pub const PER_PAGE: u16 = 200;

/// How a list is paged. Either way the client follows the address that Wonde returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Paging {
    /// By number. Rows may shift between pages while the list is read.
    #[default]
    Pages,
    /// By a cursor, for long lists \[T\].
    Cursor,
}

macro_rules! queries {
    ($($(#[$doc:meta])* $query:ident { $($(#[$field_doc:meta])* $field:ident => $name:literal),* $(,)? })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $query {
            $($(#[$field_doc])* pub $field: Option<DateTime<Utc>>,)*
            /// What to include, such as `education_details` or `contacts.contact_details`. An unknown one fails
            /// the whole request with 400 `invalid_include`, and which ones are known differs by MIS \[T\].
            pub include: Vec<String>,
            /// Further filters by Wonde's names for them, such as `has_class` \[T\].
            pub filters: Vec<(String, String)>,
            /// Rows per page; 0 uses Wonde's default.
            pub per_page: u16,
            /// How the list is paged.
            pub paging: Paging,
        }

        impl Default for $query {
            fn default() -> Self {
                Self {
                    $($field: None,)*
                    include: Vec::new(),
                    filters: Vec::new(),
                    per_page: PER_PAGE,
                    paging: Paging::default(),
                }
            }
        }

        impl $query {
            /// Returns a query for everything, without includes.
            pub fn new() -> Self {
                Self::default()
            }

            /// Adds includes.
            #[must_use]
            pub fn include<I: Into<String>>(mut self, names: impl IntoIterator<Item = I>) -> Self {
                self.include.extend(names.into_iter().map(Into::into));
                self
            }

            /// Adds a filter by Wonde's name for it.
            #[must_use]
            pub fn filter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
                self.filters.push((name.into(), value.into()));
                self
            }

            fn times(&self) -> Pairs {
                let mut pairs = Vec::new();
                $(if let Some(time) = self.$field {
                    pairs.push(($name.to_owned(), stamp(time)));
                })*
                pairs
            }
        }
    )+};
}

impl SchoolQuery {
    /// Only schools whose postcode begins like this \[D\].
    #[must_use]
    pub fn postcode(self, start: impl Into<String>) -> Self {
        self.filter("postcode", start)
    }

    /// Only schools with this number within their local authority \[D\].
    #[must_use]
    pub fn establishment_number(self, number: impl Into<String>) -> Self {
        self.filter("establishment_number", number)
    }

    /// Only the school with this unique reference number \[T\].
    #[must_use]
    pub fn urn(self, urn: impl Into<String>) -> Self {
        self.filter("urn", urn)
    }

    /// Only schools of this local authority \[T\].
    #[must_use]
    pub fn la_code(self, code: impl Into<String>) -> Self {
        self.filter("la_code", code)
    }
}

impl ListQuery {
    pub(crate) fn pairs(&self) -> Pairs {
        let mut pairs = Vec::new();
        if !self.include.is_empty() {
            pairs.push(("include".to_owned(), self.include.join(",")));
        }
        pairs.extend(self.times());
        pairs.extend(self.filters.iter().cloned());
        if self.per_page > 0 {
            pairs.push(("per_page".to_owned(), self.per_page.to_string()));
        }
        if self.paging == Paging::Cursor {
            pairs.push(("cursor".to_owned(), "true".to_owned()));
        }
        pairs
    }
}

macro_rules! into_list_query {
    ($($query:ty),+) => {$(
        impl From<$query> for ListQuery {
            fn from(query: $query) -> Self {
                Self {
                    filters: query.times().into_iter().chain(query.filters).collect(),
                    include: query.include,
                    per_page: query.per_page,
                    paging: query.paging,
                    ..Self::default()
                }
            }
        }
    )+};
}

into_list_query!(PeopleQuery, LessonQuery, AttendanceQuery, SchoolQuery);

/// A query's names and values, in order.
pub(crate) type Pairs = Vec<(String, String)>;

queries! {
    /// Which people to list.
    PeopleQuery {
        /// Only those changed after this \[D\].
        updated_after => "updated_after",
        /// Only those changed before this \[D\].
        updated_before => "updated_before",
    }

    /// Which schools to list.
    SchoolQuery {
        /// Only those changed after this \[T\].
        updated_after => "updated_after",
        /// Only those changed before this \[T\].
        updated_before => "updated_before",
    }

    /// Which rows of any other list.
    ListQuery {
        /// Only those changed after this \[D\].
        updated_after => "updated_after",
        /// Only those changed before this \[D\].
        updated_before => "updated_before",
    }

    /// Which lessons to list. Wonde may return one academic week at a time \[T\]\[?\], and whether the bounds are
    /// inclusive is not known \[?\]: check each lesson's time.
    LessonQuery {
        /// Only those that start after this \[T\].
        start_after => "lessons_start_after",
        /// Only those that start before this \[T\].
        start_before => "lessons_start_before",
    }

    /// Which rows of registers to list. A filter by the register's own date is not known \[?\].
    AttendanceQuery {
        /// Only rows changed after this \[D\].
        updated_after => "updated_after",
        /// Only rows changed before this \[D\].
        updated_before => "updated_before",
    }
}

/// Formats a time for Wonde \[D\], in UTC because no time zone is documented \[?\].
pub(crate) fn stamp(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::{LessonQuery, ListQuery, Paging, PeopleQuery, SchoolQuery};

    #[test]
    fn a_query_contains_all_parameters() {
        let query = PeopleQuery {
            updated_after: Some("2026-11-23T08:00:00Z".parse().unwrap()),
            per_page: 50,
            paging: Paging::Cursor,
            ..PeopleQuery::default()
        };
        let query = query
            .include(["year", "contacts.contact_details"])
            .filter("has_class", "true");
        let pairs = ListQuery::from(query).pairs();
        let pairs: Vec<(&str, &str)> = pairs
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(
            pairs,
            [
                ("include", "year,contacts.contact_details"),
                ("updated_after", "2026-11-23 08:00:00"),
                ("has_class", "true"),
                ("per_page", "50"),
                ("cursor", "true"),
            ]
        );
    }

    #[test]
    fn an_empty_query_requests_the_whole_list() {
        assert_eq!(
            ListQuery::from(LessonQuery::new()).pairs(),
            [("per_page".to_owned(), "200".to_owned())]
        );
        let unpaged = LessonQuery {
            per_page: 0,
            ..LessonQuery::new()
        };
        assert!(ListQuery::from(unpaged).pairs().is_empty());
    }

    #[test]
    fn each_query_has_its_own_time_parameters() {
        let time = Some("2026-11-23T08:00:00Z".parse().unwrap());
        let lessons = LessonQuery {
            start_before: time,
            per_page: 0,
            ..LessonQuery::new()
        };
        let stamp = "2026-11-23 08:00:00".to_owned();
        let pair = ("lessons_start_before".to_owned(), stamp.clone());
        assert_eq!(ListQuery::from(lessons).pairs(), [pair]);
        let schools = SchoolQuery {
            updated_after: time,
            per_page: 0,
            ..SchoolQuery::new().urn("100000")
        };
        let pairs = [
            ("updated_after".to_owned(), stamp),
            ("urn".to_owned(), "100000".to_owned()),
        ];
        assert_eq!(ListQuery::from(schools).pairs(), pairs);
    }
}
