//! A group's rules as a form: what it shows, and the text that it makes of the settings.

pub(crate) mod text;
pub(crate) mod timeline;

/// How a field of the form is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A time of day.
    Time,
    /// A short text, such as a code.
    Text,
    /// Texts with commas between.
    List,
    /// Yes or no. What it is if the settings do not say.
    Flag(bool),
}

/// A field of the form: one key of the writeback settings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FormField {
    /// The key below the writeback settings, and the name in the form.
    pub(crate) key: &'static str,
    /// What the form calls it.
    pub(crate) label: &'static str,
    /// What it does.
    pub(crate) help: &'static str,
    /// How it is written.
    pub(crate) kind: Kind,
}

/// Fields that belong together.
pub(crate) struct FormPart {
    pub(crate) title: &'static str,
    pub(crate) fields: &'static [FormField],
}

const fn field(
    key: &'static str,
    label: &'static str,
    help: &'static str,
    kind: Kind,
) -> FormField {
    FormField {
        key,
        label,
        help,
        kind,
    }
}

/// The form. What is not in it is changed in the text of the settings.
pub(crate) const FORM: &[FormPart] = &[
    FormPart {
        title: "Morning",
        fields: &[
            field(
                "am.late",
                "Late after",
                "Whoever signs in after this time is late.",
                Kind::Time,
            ),
            field(
                "am.unauthorised",
                "Unauthorised after",
                "Whoever signs in after this time counts as an unauthorised absence.",
                Kind::Time,
            ),
        ],
    },
    FormPart {
        title: "Afternoon",
        fields: &[
            field(
                "pm.opens",
                "Begins at",
                "From here on it is the afternoon session; 12:00 if left empty.",
                Kind::Time,
            ),
            field(
                "pm.late",
                "Late after",
                "Whoever signs in after this time is late.",
                Kind::Time,
            ),
            field(
                "pm.unauthorised",
                "Unauthorised after",
                "Whoever signs in after this time counts as an unauthorised absence.",
                Kind::Time,
            ),
            field(
                "closes",
                "School ends at",
                "Nothing is written after this time.",
                Kind::Time,
            ),
        ],
    },
    FormPart {
        title: "Marks",
        fields: &[
            field(
                "present",
                "Write a mark for those in time",
                "If not, only late and absent pupils get a mark.",
                Kind::Flag(false),
            ),
            field(
                "codes.late",
                "Code for late",
                "L if left empty.",
                Kind::Text,
            ),
            field(
                "codes.unauthorised",
                "Code for unauthorised",
                "U if left empty.",
                Kind::Text,
            ),
            field(
                "leaver_code",
                "Code for leaving early",
                "If empty, a sign-out writes nothing unless its answer has a code.",
                Kind::Text,
            ),
            field(
                "minutes_late",
                "Write the minutes late",
                "Where the MIS can keep them.",
                Kind::Flag(true),
            ),
        ],
    },
    FormPart {
        title: "What is left alone",
        fields: &[
            field(
                "protected",
                "Codes that are never overwritten",
                "With commas between, such as M, I, C.",
                Kind::List,
            ),
            field(
                "first_arrival_stands",
                "The first arrival counts",
                "A later sign-in of the same session does not change it, unless it has a code of its own.",
                Kind::Flag(true),
            ),
            field(
                "shortest_stay",
                "Double tap within",
                "A second tap within this time does nothing; 60s if left empty, 0s for never.",
                Kind::Text,
            ),
        ],
    },
    FormPart {
        title: "What somebody looks at first",
        fields: &[
            field(
                "hold.codes",
                "Hold marks with these codes",
                "They wait until somebody in the office releases them. With commas between.",
                Kind::List,
            ),
            field(
                "hold.over_teacher",
                "Hold marks over a teacher’s",
                "A mark that would overwrite somebody else’s waits for a release.",
                Kind::Flag(false),
            ),
            field(
                "hold.lapse_after",
                "A held mark lapses after",
                "Such as 4h; at the end of the day if left empty.",
                Kind::Text,
            ),
        ],
    },
];

/// All fields of the form.
pub(crate) fn fields() -> impl Iterator<Item = &'static FormField> {
    FORM.iter().flat_map(|part| part.fields)
}
