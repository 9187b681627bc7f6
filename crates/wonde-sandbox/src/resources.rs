//! The table of a school's resources: path, scope, includes, filters, and a template for records that the sandbox does
//! not model.

use crate::ids::Kind;

/// A list below a school, or a relation of one.
#[derive(Debug)]
pub(crate) struct Resource {
    /// Path below the school; empty for a resource that can only be included.
    pub(crate) path: &'static str,
    /// The scope for reading; empty if the parent's scope is enough.
    pub(crate) scope: &'static str,
    pub(crate) includes: &'static [(&'static str, &'static Resource)],
    /// The filters: query parameters other than those for includes and paging.
    pub(crate) filters: &'static [&'static str],
    /// The kind of the ids. The position in an id is that of the record in the school's list.
    pub(crate) kind: Kind,
    /// The template of records that are not modelled.
    pub(crate) template: Option<Template>,
}

/// Generates records.
#[derive(Debug)]
pub(crate) struct Template {
    pub(crate) owner: Owner,
    pub(crate) fields: &'static [(&'static str, Field)],
    /// Included, it is one object instead of a list.
    pub(crate) one: bool,
    pub(crate) writes: Option<Writes>,
}

/// The owner of records, which decides their number.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Owner {
    /// One per pupil whose position modulo the first number is the second.
    Student(usize, usize),
    /// The same for employees.
    Employee(usize, usize),
    /// A fixed number per school.
    School(usize),
}

/// The source of a property's value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Field {
    Null,
    Flag(bool),
    Number(u64),
    Text(&'static str),
    /// One of these, by the record's position.
    Pick(&'static [&'static str]),
    /// This many days before the sandbox's first day.
    Day(i64),
    /// The record's pupil.
    Student,
    /// A member of staff.
    Employee,
    /// A record of another list.
    One(&'static Resource),
}

/// A writable resource.
#[derive(Debug)]
pub(crate) struct Writes {
    pub(crate) scope: &'static str,
    pub(crate) create: &'static [Take],
    pub(crate) update: bool,
}

/// A property of a written record: name, whether it is required, and its sort.
pub(crate) type Take = (&'static str, bool, Sort);

/// The sort of a written property.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sort {
    Text,
    Number,
    Date,
    Employee,
    Student,
    /// A list of objects with a `student_id` each.
    Students(&'static [Take]),
}

const BASE: Resource = Resource {
    path: "",
    scope: "",
    includes: &[],
    filters: &[],
    kind: Kind::Misc,
    template: None,
};

/// Filters of lists whose rows have times.
const TIMES: &[&str] = &["updated_after", "updated_before"];

/// A list of made-up records under its own name.
const fn listed(
    path: &'static str,
    owner: Owner,
    fields: &'static [(&'static str, Field)],
) -> Resource {
    Resource {
        path,
        scope: path,
        filters: TIMES,
        ..only_included(owner, fields)
    }
}

const fn only_included(owner: Owner, fields: &'static [(&'static str, Field)]) -> Resource {
    let template = Template {
        owner,
        fields,
        one: false,
        writes: None,
    };
    Resource {
        template: Some(template),
        ..BASE
    }
}

const fn including(
    resource: Resource,
    includes: &'static [(&'static str, &'static Resource)],
) -> Resource {
    Resource {
        includes,
        ..resource
    }
}

const fn one(owner: Owner, fields: &'static [(&'static str, Field)]) -> Resource {
    let template = Template {
        owner,
        fields,
        one: true,
        writes: None,
    };
    Resource {
        template: Some(template),
        ..BASE
    }
}

const fn writable(
    path: &'static str,
    owner: Owner,
    fields: &'static [(&'static str, Field)],
    includes: &'static [(&'static str, &'static Resource)],
    writes: Writes,
) -> Resource {
    let template = Template {
        owner,
        fields,
        one: false,
        writes: Some(writes),
    };
    Resource {
        path,
        scope: path,
        includes,
        filters: TIMES,
        template: Some(template),
        ..BASE
    }
}

use Field::{Day, Employee, Flag, Null, Number, One, Pick, Student, Text};

const RANGE: &[(&str, Field)] = &[("start_date", Day(120)), ("end_date", Null)];

/// Properties of the enclosing object.
pub(crate) static DETAILS: Resource = BASE;

pub(crate) static STUDENT: Resource = Resource {
    path: "students",
    scope: "students",
    kind: Kind::Student,
    filters: &[
        "updated_after",
        "updated_before",
        "has_class",
        "has_group",
        "only_upns",
        "only_mis_ids",
        "user_defined_field",
        "only_user_defined_fields",
        "aspect_id",
    ],
    includes: &[
        ("education_details", &DETAILS),
        ("contact_details", &DETAILS),
        ("extended_details", &DETAILS),
        ("permissions", &DETAILS),
        ("identifiers", &DETAILS),
        ("contacts", &CONTACT),
        ("year", &GROUP),
        ("registration", &GROUP),
        ("house", &GROUP),
        ("boarding", &GROUP),
        ("campus", &GROUP),
        ("groups", &GROUP),
        ("classes", &CLASS),
        ("siblings", &STUDENT),
        ("attendance_summary", &SUMMARY),
        ("achievements", &ACHIEVEMENT),
        ("behaviours", &BEHAVIOUR),
        ("exclusions", &EXCLUSION),
        ("photo", &PHOTO),
        ("doctors", &DOCTOR),
        ("medical_conditions", &MEDICAL_CONDITION),
        ("medical_events", &MEDICAL_EVENT),
        ("medical_notes", &MEDICAL_NOTE),
        ("results", &RESULT),
        ("sen_needs", &SEN_NEED),
        ("user_defined_fields", &USER_DEFINED_FIELD),
        ("in_care_date_ranges", &IN_CARE),
        ("sen_date_ranges", &SEN_RANGE),
        ("fsm_date_ranges", &FSM),
        ("upfsm_date_ranges", &UPFSM),
        ("child_protection_plan_date_ranges", &PROTECTION),
    ],
    ..BASE
};
pub(crate) static PRE_ADMISSION: Resource = Resource {
    path: "students-pre-admission",
    scope: "students-pre-admission",
    kind: Kind::Student,
    filters: TIMES,
    includes: STUDENT_RELATIONS,
    ..BASE
};
pub(crate) static LEAVER: Resource = Resource {
    path: "students-leaver",
    scope: "students-leaver",
    kind: Kind::Student,
    filters: TIMES,
    includes: STUDENT_RELATIONS,
    ..BASE
};
const STUDENT_RELATIONS: &[(&str, &Resource)] = &[
    ("education_details", &DETAILS),
    ("contact_details", &DETAILS),
    ("extended_details", &DETAILS),
    ("contacts", &CONTACT),
    ("year", &GROUP),
    ("registration", &GROUP),
    ("house", &GROUP),
    ("boarding", &GROUP),
    ("campus", &GROUP),
    ("groups", &GROUP),
    ("classes", &CLASS),
];
pub(crate) static CONTACT: Resource = Resource {
    path: "contacts",
    scope: "contacts",
    kind: Kind::Contact,
    filters: TIMES,
    includes: &[("contact_details", &DETAILS), ("students", &STUDENT)],
    ..BASE
};
pub(crate) static EMPLOYEE: Resource = Resource {
    path: "employees",
    scope: "employees",
    kind: Kind::Employee,
    filters: &[
        "updated_after",
        "updated_before",
        "has_role",
        "has_class",
        "has_group",
        "has_contract",
        "employment_start_before",
        "employment_start_after",
        "only_mis_ids",
        "user_defined_field",
        "only_user_defined_fields",
    ],
    includes: &[
        ("employment_details", &DETAILS),
        ("contact_details", &DETAILS),
        ("extended_details", &DETAILS),
        ("roles", &DETAILS),
        ("groups", &GROUP),
        ("classes", &CLASS),
    ],
    ..BASE
};
pub(crate) static GROUP: Resource = Resource {
    path: "groups",
    scope: "groups",
    kind: Kind::Group,
    filters: TIMES,
    includes: &[("students", &STUDENT), ("employees", &EMPLOYEE)],
    ..BASE
};
pub(crate) static CLASS: Resource = Resource {
    path: "classes",
    scope: "classes",
    kind: Kind::Class,
    filters: &[
        "updated_after",
        "updated_before",
        "class_name",
        "class_subject",
        "has_students",
        "has_lessons",
    ],
    includes: &[
        ("students", &STUDENT),
        ("employees", &EMPLOYEE),
        ("subject", &SUBJECT),
        ("lessons", &LESSON),
    ],
    ..BASE
};
pub(crate) static PERIOD: Resource = Resource {
    path: "periods",
    scope: "periods",
    kind: Kind::Period,
    filters: TIMES,
    ..BASE
};
pub(crate) static ROOM: Resource = Resource {
    path: "rooms",
    scope: "rooms",
    kind: Kind::Room,
    filters: TIMES,
    ..BASE
};
pub(crate) static SUBJECT: Resource = Resource {
    path: "subjects",
    scope: "subjects",
    kind: Kind::Subject,
    filters: &[
        "updated_after",
        "updated_before",
        "subject_code",
        "subject_name",
    ],
    ..BASE
};
pub(crate) static LESSON: Resource = Resource {
    path: "lessons",
    scope: "lessons",
    kind: Kind::Lesson,
    filters: &[
        "updated_after",
        "updated_before",
        "lessons_start_after",
        "lessons_start_before",
    ],
    includes: &[
        ("class", &CLASS),
        ("room", &ROOM),
        ("period", &PERIOD),
        ("employee", &EMPLOYEE),
    ],
    ..BASE
};
pub(crate) static CODE: Resource = Resource {
    path: "attendance-codes",
    scope: "attendance-codes",
    kind: Kind::Code,
    ..BASE
};
const MARK_RELATIONS: &[(&str, &Resource)] = &[
    ("student", &STUDENT),
    ("employee", &EMPLOYEE),
    ("attendance_code", &CODE),
];
pub(crate) static SESSION_MARK: Resource = Resource {
    path: "attendance/session",
    scope: "attendance-session",
    kind: Kind::SessionMark,
    filters: TIMES,
    includes: MARK_RELATIONS,
    ..BASE
};
pub(crate) static LEAVER_MARK: Resource = Resource {
    path: "attendance-leavers/session",
    scope: "attendance-leavers-session",
    kind: Kind::SessionMark,
    filters: TIMES,
    includes: MARK_RELATIONS,
    ..BASE
};
pub(crate) static LESSON_MARK: Resource = Resource {
    path: "attendance/lesson",
    scope: "attendance-lesson",
    kind: Kind::LessonMark,
    filters: TIMES,
    includes: &[
        ("student", &STUDENT),
        ("employee", &EMPLOYEE),
        ("attendance_code", &CODE),
        ("lesson", &LESSON),
    ],
    ..BASE
};
pub(crate) static SUMMARY: Resource = Resource {
    path: "attendance-summaries",
    scope: "attendance-summaries",
    filters: TIMES,
    includes: &[("student", &STUDENT)],
    ..BASE
};
pub(crate) static DELETION: Resource = Resource {
    path: "deletions",
    scope: "deletions",
    filters: &["updated_after", "updated_before", "type"],
    ..BASE
};

static ACHIEVEMENT: Resource = writable(
    "achievements",
    Owner::Student(4, 1),
    &[
        ("type", Pick(&["NYPA", "MERIT"])),
        ("comment", Pick(&["Helped a new pupil", "Excellent work"])),
        ("activity_type", Text("RE")),
        ("points", Number(2)),
        ("award", Null),
        ("award_date", Null),
        ("date", Day(9)),
        ("recorded_date", Day(8)),
        ("student", Student),
        ("employee", Employee),
    ],
    &[
        ("student", &STUDENT),
        ("employee", &EMPLOYEE),
        ("students", &STUDENT),
        ("employees", &EMPLOYEE),
    ],
    Writes {
        scope: "achievements.write",
        create: &[
            (
                "students",
                true,
                Sort::Students(&[
                    ("student_id", true, Sort::Student),
                    ("points", true, Sort::Number),
                    ("award", false, Sort::Text),
                    ("award_date", false, Sort::Date),
                ]),
            ),
            ("employee_id", true, Sort::Employee),
            ("date", true, Sort::Date),
            ("type", true, Sort::Text),
            ("comment", false, Sort::Text),
            ("activity_type", false, Sort::Text),
        ],
        update: false,
    },
);
static ACHIEVEMENT_ATTRIBUTE: Resource = Resource {
    scope: "achievements",
    ..listed(
        "achievements/attributes",
        Owner::School(4),
        &[
            ("type", Pick(&["type", "award", "activity_type", "type"])),
            ("code", Pick(&["NYPA", "TROP", "RE", "MERIT"])),
            (
                "description",
                Pick(&["National award", "Trophy", "Religious education", "Merit"]),
            ),
            ("active", Flag(true)),
        ],
    )
};
static BEHAVIOUR: Resource = writable(
    "behaviours",
    Owner::Student(5, 2),
    &[
        ("type", Pick(&["DISR", "LATE"])),
        (
            "incident",
            Pick(&["Talked during a test", "Late to lesson"]),
        ),
        ("comment", Text("Spoken to after the lesson")),
        ("status", Text("RESOLVED")),
        ("bullying_type", Null),
        ("activity_type", Text("RE")),
        ("location", Text("CLAS")),
        ("time", Text("AM")),
        ("points", Number(1)),
        ("date", Day(6)),
        ("recorded_date", Day(6)),
        ("student", Student),
        ("employee", Employee),
    ],
    &[
        ("student", &STUDENT),
        ("employee", &EMPLOYEE),
        ("students", &STUDENT),
        ("employees", &EMPLOYEE),
    ],
    Writes {
        scope: "behaviours.write",
        create: &[
            (
                "students",
                true,
                Sort::Students(&[
                    ("student_id", true, Sort::Student),
                    ("role", false, Sort::Text),
                    ("action", false, Sort::Text),
                    ("action_date", false, Sort::Date),
                    ("points", true, Sort::Number),
                ]),
            ),
            ("employee_id", true, Sort::Employee),
            ("date", true, Sort::Date),
            ("status", true, Sort::Text),
            ("type", true, Sort::Text),
            ("bullying_type", false, Sort::Text),
            ("comment", false, Sort::Text),
            ("activity_type", false, Sort::Text),
            ("location", false, Sort::Text),
            ("time", false, Sort::Text),
        ],
        update: false,
    },
);
static BEHAVIOUR_ATTRIBUTE: Resource = Resource {
    scope: "behaviours",
    ..listed(
        "behaviours/attributes",
        Owner::School(4),
        &[
            ("type", Pick(&["type", "role", "action", "location"])),
            ("code", Pick(&["DISR", "AG", "COOL", "CLAS"])),
            (
                "description",
                Pick(&["Disruption", "Aggressor", "Cool-off period", "Classroom"]),
            ),
            ("active", Flag(true)),
        ],
    )
};
static DETENTION_TYPE: Resource = listed(
    "detention-types",
    Owner::School(3),
    &[
        ("name", Pick(&["Break", "Lunch", "After school"])),
        ("code", Pick(&["BRK", "LUN", "AFT"])),
        ("active", Flag(true)),
    ],
);
static DETENTION_CODE: Resource = listed(
    "detention-attendance-codes",
    Owner::School(3),
    &[
        ("code", Pick(&["P", "A", "E"])),
        ("description", Pick(&["Present", "Absent", "Excused"])),
    ],
);
static DETENTION: Resource = including(
    listed(
        "detentions",
        Owner::School(6),
        &[
            ("name", Pick(&["Lunch detention", "After school detention"])),
            ("date", Day(2)),
            ("start_time", Text("12:15:00")),
            ("end_time", Text("12:45:00")),
            ("detention_type", One(&DETENTION_TYPE)),
            ("employee", Employee),
        ],
    ),
    &[("detention_type", &DETENTION_TYPE), ("employee", &EMPLOYEE)],
);
static DETENTION_MARK: Resource = including(
    listed(
        "attendance/detention",
        Owner::Student(11, 4),
        &[
            ("detention", One(&DETENTION)),
            ("detention_attendance_code", One(&DETENTION_CODE)),
            ("student", Student),
            ("comment", Null),
        ],
    ),
    &[
        ("detention", &DETENTION),
        ("detention_attendance_code", &DETENTION_CODE),
        ("student", &STUDENT),
    ],
);
static ABSENCE: Resource = including(
    listed(
        "attendance/absence",
        Owner::Student(9, 3),
        &[
            ("start_date", Day(3)),
            ("end_date", Day(2)),
            ("reason", Pick(&["Illness", "Medical appointment"])),
            ("comment", Null),
            ("student", Student),
        ],
    ),
    &[("student", &STUDENT)],
);
static EMPLOYEE_ABSENCE: Resource = writable(
    "employee-absences",
    Owner::Employee(6, 1),
    &[
        ("absence_type", Pick(&["SIC", "TRN"])),
        ("start_date", Day(12)),
        ("end_date", Day(11)),
        ("working_days_lost", Number(1)),
        ("comment", Null),
        ("employee", Employee),
    ],
    &[("employee", &EMPLOYEE)],
    Writes {
        scope: "employee-absences.write",
        create: &[
            ("employee_id", true, Sort::Employee),
            ("absence_type", true, Sort::Text),
            ("start_date", true, Sort::Date),
            ("end_date", false, Sort::Date),
            ("comment", false, Sort::Text),
        ],
        update: true,
    },
);
static EVENT: Resource = listed(
    "events",
    Owner::School(3),
    &[
        (
            "name",
            Pick(&["Parents' evening", "Sports day", "Training day"]),
        ),
        ("description", Null),
        ("location", Text("Main hall")),
        ("start_at", Day(-10)),
        ("end_at", Day(-10)),
        ("all_day", Flag(true)),
    ],
);
static EXCLUSION: Resource = including(
    listed(
        "exclusions",
        Owner::Student(60, 5),
        &[
            ("type", Text("SUSPENSION")),
            ("reason", Text("DB")),
            ("start_date", Day(20)),
            ("end_date", Day(19)),
            ("sessions", Number(2)),
            ("comment", Null),
            ("student", Student),
        ],
    ),
    &[("student", &STUDENT)],
);
static PHOTO: Resource = Resource {
    path: "photos",
    scope: "photos",
    filters: TIMES,
    includes: &[("student", &STUDENT)],
    ..one(
        Owner::Student(3, 0),
        &[
            ("hash", Text("b54c8c1f6f1a4d0e9a3d7c5b2e8f0a61")),
            ("content", Text("R0lGODlhAQABAAAAACw=")),
            ("student", Student),
        ],
    )
};
static DOCTOR: Resource = listed(
    "doctors",
    Owner::School(3),
    &[
        ("title", Text("Dr")),
        ("forename", Pick(&["Ada", "Ben", "Cem"])),
        ("middle_name", Null),
        ("surname", Pick(&["Example", "Sample", "Specimen"])),
        ("practice_name", Text("Anytown Medical Centre")),
        ("telephone", Text("01632 960001")),
        ("building_number", Text("1")),
        ("building_name", Null),
        ("street", Text("High Street")),
        ("district", Null),
        ("town", Text("Anytown")),
        ("county", Null),
        ("postcode", Text("ZZ1 1ZZ")),
        ("country", Text("United Kingdom")),
    ],
);
static MEDICAL_CONDITION: Resource = including(
    listed(
        "medical-conditions",
        Owner::Student(10, 2),
        &[
            ("description", Pick(&["Asthma", "Nut allergy"])),
            ("date_advised", Day(300)),
            ("student", Student),
        ],
    ),
    &[("student", &STUDENT), ("notes", &MEDICAL_NOTE)],
);
static MEDICAL_EVENT: Resource = including(
    listed(
        "medical-events",
        Owner::Student(14, 2),
        &[
            ("type", Text("Treatment")),
            ("description", Text("Grazed knee")),
            ("date", Day(5)),
            ("follow_up_date", Null),
            ("student", Student),
        ],
    ),
    &[("student", &STUDENT), ("notes", &MEDICAL_NOTE)],
);
static MEDICAL_NOTE: Resource = including(
    listed(
        "medical-notes",
        Owner::Student(10, 2),
        &[
            ("note", Text("Inhaler in the office")),
            ("student", Student),
        ],
    ),
    &[("student", &STUDENT)],
);
static ASPECT: Resource = listed(
    "assessment/aspects",
    Owner::School(4),
    &[
        (
            "name",
            Pick(&["Reading", "Mathematics", "Effort", "Target"]),
        ),
        ("description", Null),
        ("type", Text("GRADE")),
        ("active", Flag(true)),
    ],
);
static TEMPLATE: Resource = listed(
    "assessment/templates",
    Owner::School(2),
    &[
        ("name", Pick(&["Autumn tracking", "Year end"])),
        ("description", Null),
    ],
);
static RESULT_SET: Resource = listed(
    "assessment/resultsets",
    Owner::School(2),
    &[
        ("name", Pick(&["Autumn term", "Summer term"])),
        ("start_date", Day(80)),
        ("end_date", Day(0)),
    ],
);
static RESULT: Resource = including(
    listed(
        "assessment/results",
        Owner::Student(2, 0),
        &[
            ("result", Pick(&["A", "B", "C"])),
            ("date", Day(30)),
            ("aspect", One(&ASPECT)),
            ("resultset", One(&RESULT_SET)),
            ("student", Student),
        ],
    ),
    &[
        ("aspect", &ASPECT),
        ("resultset", &RESULT_SET),
        ("student", &STUDENT),
    ],
);
static MARK_SHEET: Resource = including(
    listed(
        "assessment/marksheets",
        Owner::School(2),
        &[
            ("name", Pick(&["Year 7 Autumn", "Year 8 Autumn"])),
            ("template", One(&TEMPLATE)),
        ],
    ),
    &[("template", &TEMPLATE)],
);
static SEN_NEED: Resource = only_included(
    Owner::Student(15, 1),
    &[
        ("code", Text("SPLD")),
        ("description", Text("Specific learning difficulty")),
        ("start_date", Day(200)),
        ("end_date", Null),
    ],
);
pub(crate) static USER_DEFINED_FIELD: Resource = only_included(
    Owner::Student(6, 0),
    &[
        ("key", Text("locker")),
        ("name", Text("Locker")),
        ("value", Pick(&["12", "48", "7"])),
    ],
);
static IN_CARE: Resource = only_included(Owner::Student(97, 0), RANGE);
static SEN_RANGE: Resource = only_included(Owner::Student(15, 1), RANGE);
static FSM: Resource = only_included(Owner::Student(7, 0), RANGE);
static UPFSM: Resource = only_included(Owner::Student(8, 0), RANGE);
static PROTECTION: Resource = only_included(Owner::Student(89, 0), RANGE);

/// All lists, and the resources with ids that can only be included. A resource's position is part of its records' ids:
/// only append.
pub(crate) static ALL: &[&Resource] = &[
    &STUDENT,
    &PRE_ADMISSION,
    &LEAVER,
    &CONTACT,
    &EMPLOYEE,
    &GROUP,
    &CLASS,
    &PERIOD,
    &ROOM,
    &SUBJECT,
    &LESSON,
    &CODE,
    &SESSION_MARK,
    &LEAVER_MARK,
    &LESSON_MARK,
    &SUMMARY,
    &DELETION,
    &ACHIEVEMENT,
    &ACHIEVEMENT_ATTRIBUTE,
    &BEHAVIOUR,
    &BEHAVIOUR_ATTRIBUTE,
    &DETENTION_TYPE,
    &DETENTION_CODE,
    &DETENTION,
    &DETENTION_MARK,
    &ABSENCE,
    &EMPLOYEE_ABSENCE,
    &EVENT,
    &EXCLUSION,
    &PHOTO,
    &DOCTOR,
    &MEDICAL_CONDITION,
    &MEDICAL_EVENT,
    &MEDICAL_NOTE,
    &ASPECT,
    &TEMPLATE,
    &RESULT_SET,
    &RESULT,
    &MARK_SHEET,
    &SEN_NEED,
    &USER_DEFINED_FIELD,
    &IN_CARE,
    &SEN_RANGE,
    &FSM,
    &UPFSM,
    &PROTECTION,
];

impl Resource {
    /// The list at this path below a school.
    pub(crate) fn at(path: &str) -> Option<&'static Self> {
        ALL.iter()
            .copied()
            .find(|r| !path.is_empty() && r.path == path)
    }

    /// The list at these path segments below a school, and the id after it, if any.
    pub(crate) fn find<'p>(steps: &[&'p str]) -> Option<(&'static Self, Option<&'p str>)> {
        if let Some(list) = Self::at(&steps.join("/")) {
            return Some((list, None));
        }
        let (id, list) = steps.split_last()?;
        Some((Self::at(&list.join("/"))?, Some(id)))
    }

    /// The position in the table.
    pub(crate) fn number(&self) -> usize {
        ALL.iter()
            .position(|r| std::ptr::eq(*r, self))
            .unwrap_or_default()
    }

    pub(crate) fn include(&self, name: &str) -> Option<&'static Self> {
        let found = self.includes.iter().find(|(n, _)| *n == name);
        found.map(|(_, resource)| *resource)
    }
}
