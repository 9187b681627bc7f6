//! The check of the settings: every problem at once, with key, value and cure, and every hint.
use crate::common::{EXAMPLE, GroupSettings, example_with, group, school_book};
use mis_core::CodeBook;
use rstest::rstest;
use writeback::{
    Checked, Rules, check_fields, guidance_hints,
    settings::{GroupKind, WritebackSettings},
};

fn check(toml: &str) -> Checked {
    check_as(GroupKind::Students, toml, Some(&school_book()))
}

fn check_as(kind: GroupKind, toml: &str, book: Option<&CodeBook>) -> Checked {
    let GroupSettings { fields, writeback } = group(toml);
    Rules::check(kind, &fields, &writeback, book)
}

/// Options of a sign-in field that carries codes.
fn with_options(options: &str) -> String {
    format!(
        "[[field]]\nname = \"Why\"\non = \"sign_in\"\noptions = [{options}]\n\
         [writeback]\ncloses = \"15:30\"\ncustom_codes = {{ sign_in = \"Why\" }}\n"
    )
}

#[test]
fn valid_settings_have_no_problem() {
    let toml = EXAMPLE.replace("{ text = \"A code of our own\", code = \"QQ\" },", "");
    let checked = check(&toml);
    assert_eq!(checked.problems, []);
    assert!(checked.rules.is_some());
}

#[test]
fn only_closes_is_required() {
    let checked = check("[writeback]\ncloses = 15:30:00");
    assert_eq!((checked.problems.len(), checked.hints.len()), (0, 0));
}

#[rstest]
#[case("pm = { opens = '13:00', starts = '13:00', late = '13:00', unauthorised = '13:00' }")]
#[case("am = { starts = '09:00', late = '09:00', unauthorised = '09:00' }")]
#[case("am = { unauthorised = '11:59:59' }\npm = { opens = '12:00' }\nminutes_late = false")]
#[case("closes = '12:00:01'")]
fn equal_times_are_allowed_where_the_order_allows_them(#[case] lines: &str) {
    let closes = if lines.starts_with("closes") {
        ""
    } else {
        "closes = '15:30'\n"
    };
    assert_eq!(check(&format!("[writeback]\n{closes}{lines}")).problems, []);
}

#[test]
fn a_code_is_checked_even_if_it_is_unused() {
    let checked = check("[writeback]\ncloses = '15:30'\ncodes = { late = 'QQ' }");
    assert_eq!(checked.problems.len(), 1, "{:#?}", checked.problems);
}

#[test]
fn an_absence_code_at_a_sign_out_gives_no_hint() {
    let toml = with_options("\"M - Dentist\"").replace("sign_in", "sign_out");
    let checked = check(&toml);
    assert_eq!(checked.problems, []);
    assert!(
        checked
            .hints
            .iter()
            .all(|hint| !hint.message.contains("absence")),
        "{:#?}",
        checked.hints
    );
}

#[test]
fn defaults_are_those_of_the_rules() {
    let settings: WritebackSettings = toml::from_str("").unwrap();
    assert_eq!(settings, WritebackSettings::default());
    assert_eq!(
        serde_json::to_value(&settings).unwrap(),
        serde_json::json!({
            "am": {}, "pm": {},
            "days": ["monday", "tuesday", "wednesday", "thursday", "friday"], "closed": [],
            "codes": {}, "present": false, "custom_codes": {}, "comment": {}, "minutes_late": true,
            "protected": [], "protect_on": ["sign_in", "sign_out"], "first_arrival_stands": true,
        })
    );
}

#[rstest]
#[case(
    "closes = '1530'",
    "writeback.closes",
    "\"1530\"",
    "is not a time of day",
    "\"09:00\""
)]
#[case(
    "closes = 15",
    "writeback.closes",
    "15",
    "is not a time of day",
    "\"09:00\""
)]
#[case(
    "am = { late = '9:00' }",
    "writeback.am.late",
    "\"9:00\"",
    "is not a time of day",
    "\"09:00\""
)]
#[case(
    "am = { starts = '09:05', late = '09:00' }",
    "writeback.am.starts",
    "\"09:05\"",
    "is after am.late = \"09:00\"",
    "not after am.late"
)]
#[case(
    "am = { late = '09:30', unauthorised = '09:20' }",
    "writeback.am.late",
    "\"09:30\"",
    "is after am.unauthorised",
    "not after am.unauthorised"
)]
#[case(
    "am = { starts = '09:30', unauthorised = '09:20' }",
    "writeback.am.starts",
    "\"09:30\"",
    "is after am.unauthorised",
    "not after"
)]
#[case(
    "am = { late = '12:00' }",
    "writeback.am.late",
    "\"12:00\"",
    "is not before pm.opens = \"12:00\" (the default)",
    "before pm.opens"
)]
#[case(
    "pm = { opens = '09:20', late = '13:00' }",
    "writeback.am.unauthorised",
    "\"09:20\"",
    "is not before pm.opens = \"09:20\"",
    "before pm.opens"
)]
#[case(
    "pm = { opens = '13:01', late = '13:00' }",
    "writeback.pm.late",
    "\"13:00\"",
    "is before pm.opens",
    "not before pm.opens"
)]
#[case(
    "pm = { starts = '11:00', late = '13:00' }",
    "writeback.pm.starts",
    "\"11:00\"",
    "is before pm.opens",
    "not before pm.opens"
)]
#[case(
    "pm = { late = '15:30' }",
    "writeback.pm.late",
    "\"15:30\"",
    "is not before closes",
    "before closes"
)]
#[case(
    "closes = '13:15'",
    "writeback.pm.unauthorised",
    "\"13:15\"",
    "is not before closes",
    "before closes"
)]
#[case(
    "days = ['monday', 'lundi']",
    "writeback.days",
    "\"lundi\"",
    "is not a day of the week",
    "\"mon\""
)]
#[case(
    "days = []",
    "writeback.days",
    "[]",
    "no school day",
    "Monday to Friday"
)]
#[case(
    "closed = ['2026-02-29']",
    "writeback.closed",
    "\"2026-02-29\"",
    "is not a valid date",
    "2026-12-21"
)]
#[case(
    "codes = { late = 'LL' }",
    "writeback.codes.late",
    "\"LL\"",
    "no such code",
    "/, \\, L"
)]
#[case(
    "codes = { present_pm = '' }",
    "writeback.codes.present_pm",
    "\"\"",
    "a code cannot be blank",
    "leave it out"
)]
#[case(
    "leaver_code = 'QQ'",
    "writeback.leaver_code",
    "\"QQ\"",
    "no such code",
    "/, \\, L"
)]
#[case(
    "protected = ['/', 'QQ']",
    "writeback.protected",
    "\"QQ\"",
    "no such code",
    "/, \\, L"
)]
#[case(
    "custom_codes = { sign_in = 'Why' }",
    "writeback.custom_codes.sign_in",
    "\"Why\"",
    "no such field",
    "\"Reason for being late\""
)]
#[case(
    "comment = { sign_out = 'Reason for being late' }",
    "writeback.comment.sign_out",
    "\"Reason for being late\"",
    "not asked at a sign_out",
    "\"Reason for leaving\""
)]
fn a_problem_has_key_value_and_help(
    #[case] line: &str,
    #[case] key: &str,
    #[case] value: &str,
    #[case] what: &str,
    #[case] cure: &str,
) {
    let toml =
        example_with(&[line]).replace("{ text = \"A code of our own\", code = \"QQ\" },", "");
    let checked = check(&toml);
    let [problem] = checked.problems.as_slice() else {
        panic!("{:#?}", checked.problems)
    };
    assert_eq!(problem.key, key);
    assert!(problem.value.contains(value), "{problem}");
    assert!(problem.message.contains(what), "{problem}");
    assert!(problem.help.contains(cure), "{problem}");
    assert!(checked.rules.is_none());
    assert!(problem.to_string().starts_with(key) && problem.to_string().ends_with(&problem.help));
}

#[test]
fn closes_must_be_set() {
    let checked = check("[writeback]\n");
    let [problem] = checked.problems.as_slice() else {
        panic!("{:#?}", checked.problems)
    };
    assert_eq!(
        (problem.key.as_str(), problem.value.as_str()),
        ("writeback.closes", "")
    );
    assert!(problem.help.contains("closes = \"15:30\""), "{problem}");
}

#[test]
fn closes_is_compared_with_the_default_pm_opens() {
    let checked = check("[writeback]\ncloses = '11:30'\n");
    let [problem] = checked.problems.as_slice() else {
        panic!("{:#?}", checked.problems)
    };
    assert_eq!(problem.key, "writeback.pm.opens");
    assert_eq!(problem.value, "\"12:00\" (the default)");
}

#[rstest]
#[case("options = ['Bus', ' Bus ']", "field.\"Why\".options", "listed twice")]
#[case("options = [' ']", "field.\"Why\".options", "no text")]
#[case(
    "options = [{ text = 'Bus', code = 'QQ' }]",
    "field.\"Why\".options.\"Bus\".code",
    "no such code"
)]
#[case(
    "options = [{ text = 'Bus', code = ' ' }]",
    "field.\"Why\".options.\"Bus\".code",
    "a code cannot be blank"
)]
#[case(
    "options = ['Bus']\n[[field]]\nname = ' Why '\non = 'sign_in'\noptions = ['Bus']",
    "field.name",
    "two fields"
)]
#[case(
    "options = ['Bus']\n[[field]]\nname = ' '\non = 'sign_in'\noptions = ['Bus']",
    "field.name",
    "no name"
)]
fn problems_of_fields(#[case] options: &str, #[case] key: &str, #[case] what: &str) {
    let toml = format!(
        "[[field]]\nname = 'Why'\non = 'sign_in'\n{options}\n[writeback]\ncloses = '15:30'\n"
    );
    let checked = check(&toml);
    let [problem] = checked.problems.as_slice() else {
        panic!("{:#?}", checked.problems)
    };
    assert_eq!(problem.key, key);
    assert!(problem.message.contains(what), "{problem}");
    if !key.ends_with("code") {
        assert_eq!(check_fields(&group(&toml).fields).0, checked.problems);
    }
}

#[test]
fn sign_in_and_sign_out_fields_can_share_a_name() {
    let toml = "[[field]]\nname = 'Why'\non = 'sign_in'\noptions = ['Bus']\n\
                [[field]]\nname = 'Why'\non = 'sign_out'\noptions = ['Bus']\n[writeback]\ncloses = '15:30'\n";
    assert_eq!(check(toml).problems, []);
}

#[test]
fn all_problems_are_reported_at_once() {
    let checked = check(&example_with(&[
        "closes = 'late'",
        "am = { starts = 'x', late = '09:30', unauthorised = '09:20' }",
        "days = ['someday']",
        "protected = ['QQ']",
        "comment = { sign_in = 'Nothing of the kind' }",
    ]));
    let mut keys: Vec<_> = checked
        .problems
        .iter()
        .map(|problem| problem.key.as_str())
        .collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "field.\"Reason for being late\".options.\"A code of our own\".code",
            "writeback.am.late",
            "writeback.am.starts",
            "writeback.closes",
            "writeback.comment.sign_in",
            "writeback.days",
            "writeback.protected",
        ]
    );
}

/// A default that is never used need not be in the book.
#[rstest]
#[case("am = {}", "pm = {}", "present = false", &[])]
#[case("am = { late = '09:00' }", "pm = {}", "present = false", &["writeback.codes.late"])]
#[case("am = {}", "pm = { unauthorised = '13:15' }", "present = false", &["writeback.codes.unauthorised"])]
#[case("am = {}", "pm = {}", "present = true", &["writeback.codes.present_am", "writeback.codes.present_pm"])]
fn used_defaults_must_be_in_the_book(
    #[case] am: &str,
    #[case] pm: &str,
    #[case] present: &str,
    #[case] missing: &[&str],
) {
    let book = CodeBook::new(
        school_book()
            .iter()
            .filter(|line| line.code.as_str() == "M")
            .cloned(),
    );
    let toml = format!("[writeback]\ncloses = '15:30'\n{am}\n{pm}\n{present}\nprotected = ['m']");
    let keys: Vec<_> = check_as(GroupKind::Students, &toml, Some(&book))
        .problems
        .into_iter()
        .map(|problem| problem.key)
        .collect();
    assert_eq!(keys, missing);
}

#[rstest]
#[case(None)]
#[case(Some(CodeBook::default()))]
fn an_unreadable_book_is_a_hint(#[case] book: Option<CodeBook>) {
    let toml = "[writeback]\ncloses = '15:30'\nleaver_code = 'QQ'\nprotected = ['/', '\\']";
    let checked = check_as(GroupKind::Students, toml, book.as_ref());
    assert!(checked.rules.is_some());
    assert!(
        checked
            .hints
            .iter()
            .any(|hint| hint.message.contains("code book could not be read")),
        "{:#?}",
        checked.hints
    );
}

#[rstest]
#[case(
    "\"E-scooter broke\"",
    "is read as the code E (Suspended or permanently excluded), but looks like plain text",
    "{ text = \"E-scooter broke\", code = false }"
)]
#[case(
    "\"L - Lost the way\"",
    "is read as the code L (Late, before the register closed)",
    "nothing to do if this is intended"
)]
#[case(
    "\"M - Dentist\"",
    "an absence code; by law an arrival before the register closes is L",
    "code = false"
)]
#[case(
    "{ text = \"Dentist\", code = \"M\" }",
    "an absence code",
    "code = false"
)]
#[case(
    "\"K - Elsewhere\"",
    "a pupil could choose K on a screen",
    "remove the option"
)]
#[case(
    "{ text = \"Suspended\", code = \"e\" }",
    "a pupil could choose E on a screen",
    "remove the option"
)]
#[case("\"H - Holiday\"", "has been withdrawn", "use C")]
#[case("\"J – Interview\"", "has been withdrawn", "use J1")]
#[case("", "no options", "add options")]
fn hints_about_options(#[case] option: &str, #[case] what: &str, #[case] cure: &str) {
    let checked = check(&with_options(option));
    assert_eq!(checked.problems, []);
    let found = checked
        .hints
        .iter()
        .any(|hint| hint.message.contains(what) && hint.help.contains(cure));
    assert!(found, "{:#?}", checked.hints);
}

#[rstest]
#[case("\"Bus\", \"Drop-off was late\"")]
#[case("{ text = \"E-scooter broke down\", code = false }")]
#[case("{ text = \"Missed the bus\", code = \"L\" }")]
#[case("{ text = \"Sent on an errand\", write = false }")]
fn options_that_need_no_hint(#[case] options: &str) {
    assert_eq!(check(&with_options(options)).hints, []);
}

#[test]
fn hyphenated_words_get_a_different_hint_than_codes() {
    for (option, is_prose) in [
        ("E-scooter broke", true),
        ("E - excluded", false),
        ("E– excluded", false),
    ] {
        let hints = check(&with_options(&format!("\"{option}\""))).hints;
        assert_eq!(
            hints.iter().any(|hint| hint.message.contains("plain text")),
            is_prose,
            "{hints:#?}"
        );
    }
}

#[rstest]
#[case(
    "leaver_code = 'I'",
    "writeback.leaver_code",
    "may overwrite the present code \"/\", \"\\\\\""
)]
#[case(
    "leaver_code = 'I'\nprotected = ['/']",
    "writeback.leaver_code",
    "may overwrite the present code \"\\\\\""
)]
#[case(
    "leaver_code = 'I'\nprotected = ['/', '\\']\nprotect_on = ['sign_in']",
    "writeback.leaver_code",
    "may overwrite"
)]
#[case(
    "protected = ['/']\nprotect_on = []",
    "writeback.protect_on",
    "never protected"
)]
#[case(
    "am = { late = '09:00', unauthorised = '09:31' }",
    "writeback.am.unauthorised",
    "more than 30 minutes after 09:00"
)]
#[case(
    "am = { starts = '08:50', late = '09:00', unauthorised = '09:21' }",
    "writeback.am.unauthorised",
    "more than 30 minutes after 08:50"
)]
#[case(
    "pm = { late = '13:00', unauthorised = '13:30:01' }",
    "writeback.pm.unauthorised",
    "more than 30 minutes"
)]
#[case(
    "am = { unauthorised = '09:20' }",
    "writeback.am.unauthorised",
    "nothing to count minutes late from"
)]
fn hints_about_settings(#[case] lines: &str, #[case] key: &str, #[case] what: &str) {
    let checked = check(&format!("[writeback]\ncloses = '15:30'\n{lines}"));
    assert_eq!(checked.problems, []);
    let [hint] = checked.hints.as_slice() else {
        panic!("{:#?}", checked.hints)
    };
    assert_eq!(hint.key, key);
    assert!(hint.message.contains(what), "{hint}");
}

#[rstest]
#[case("leaver_code = 'I'\nprotected = ['/', '\\']")]
#[case("am = { late = '09:00', unauthorised = '09:30' }")]
#[case("am = { unauthorised = '09:20' }\nminutes_late = false")]
fn settings_that_need_no_hint(#[case] lines: &str) {
    assert_eq!(
        check(&format!("[writeback]\ncloses = '15:30'\n{lines}")).hints,
        []
    );
}

/// What the guidance says of the settings, beside what the check finds.
fn guidance(toml: &str) -> Vec<writeback::Hint> {
    let GroupSettings { fields, writeback } = group(toml);
    guidance_hints(GroupKind::Students, &fields, &writeback, &school_book())
}

const NEVER_REPLACED: &str = "['#', 'x', 'Z', 'Q', 'Y1', 'Y2', 'Y3', 'Y4', 'Y5', 'Y6', 'Y7', 'D', 'K', 'V', 'P', 'W', 'B', 'E']";

#[rstest]
#[case("present = true", "writeback.closed", "holidays")]
#[case(
    "leaver_code = 'M'\nprotected = ['/', 'X']",
    "writeback.protected",
    "may overwrite #, Z, Q, Y1"
)]
#[case(
    "present = true\nclosed = ['2026-12-21']\nprotect_on = ['sign_out']\nprotected = ['#']",
    "writeback.protected",
    "overwrite #, X"
)]
fn hints_of_the_guidance(#[case] lines: &str, #[case] key: &str, #[case] what: &str) {
    let hints = guidance(&format!("[writeback]\ncloses = '15:30'\n{lines}"));
    let found = hints
        .iter()
        .any(|hint| hint.key == key && hint.message.contains(what));
    assert!(found, "{hints:#?}");
}

#[rstest]
#[case("")]
#[case("present = true\nclosed = ['2026-12-21']\nprotected = NEVER")]
fn settings_without_guidance_hints(#[case] lines: &str) {
    let lines = lines.replace("NEVER", NEVER_REPLACED);
    assert_eq!(
        guidance(&format!("[writeback]\ncloses = '15:30'\n{lines}")),
        []
    );
}

#[rstest]
#[case("M: Dentist", "no dash follows", "\"M - Dentist\"")]
#[case("M (dentist)", "no dash follows", "\"M - dentist\"")]
#[case("m . Dentist", "no dash follows", "\"M - Dentist\"")]
#[case("M", "no dash follows", "{ text = \"M\", code = \"M\" }")]
#[case("M \u{2043} Dentist", "no dash follows", "\"M - Dentist\"")]
#[case("\u{41c} - Dentist", "look the same", "\"M - Dentist\"")]
#[case("\u{43c}: Dentist", "look the same", "\"M - Dentist\"")]
#[case("\u{ff2d} - Dentist", "look the same", "\"M - Dentist\"")]
fn an_option_that_looks_like_a_code_is_a_hint(
    #[case] option: &str,
    #[case] what: &str,
    #[case] cure: &str,
) {
    let hints = guidance(&with_options(
        &format!("{option:?}").replace("\\u{2043}", "\u{2043}"),
    ));
    let found = hints.iter().any(|hint| {
        hint.message
            .contains("looks like the code M but is not read as one")
            && hint.message.contains(what)
            && hint.help.contains(cure)
    });
    assert!(found, "{hints:#?}");
}

#[rstest]
#[case(
    "\"Bus\", \"I'm ill\", \"Drop-off was late\", \"M - Dentist\", \"M \u{2011} Dentist\", \"B & Q\", \"I was ill\""
)]
#[case("{ text = \"M: Dentist\", code = false }, { text = \"E: Dentist\", code = \"M\" }")]
fn options_that_do_not_look_like_a_code(#[case] options: &str) {
    let hints = guidance(&with_options(options));
    assert!(
        hints
            .iter()
            .all(|hint| !hint.message.contains("looks like")),
        "{hints:#?}"
    );
}

#[test]
fn a_school_with_other_letters_needs_its_present_code_for_a_return() {
    let book = CodeBook::new(
        school_book()
            .iter()
            .filter(|line| !["/", "\\"].contains(&line.code.as_str()))
            .cloned(),
    );
    let of = |lines: &str| {
        let GroupSettings { fields, writeback } = group(&format!(
            "[writeback]\ncloses = '15:30'\nleaver_code = 'M'\n{lines}"
        ));
        guidance_hints(GroupKind::Students, &fields, &writeback, &book)
            .into_iter()
            .map(|hint| hint.key)
            .filter(|key| key.contains("codes."))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        of(""),
        ["writeback.codes.present_am", "writeback.codes.present_pm"]
    );
    assert_eq!(
        of("codes = { present_am = 'P', present_pm = 'P' }"),
        [""; 0]
    );
}

#[rstest]
#[case("'61m'")]
#[case("'soon'")]
fn an_invalid_shortest_stay_is_a_problem(#[case] written: &str) {
    let checked = check(&format!(
        "[writeback]\ncloses = '15:30'\nshortest_stay = {written}"
    ));
    let [problem] = checked.problems.as_slice() else {
        panic!("{:#?}", checked.problems)
    };
    assert_eq!(problem.key, "writeback.shortest_stay");
    assert!(problem.help.contains("60s"), "{problem}");
}

#[rstest]
#[case("H")]
#[case("J")]
#[case("Y")]
#[case("f")]
fn a_withdrawn_code_is_a_hint_where_the_book_still_has_it(#[case] code: &str) {
    let line = |code: &str| mis_core::AttendanceCode::new(code);
    let book = CodeBook::new(school_book().iter().cloned().chain([line(code)]));
    let toml = format!("[writeback]\ncloses = '15:30'\nprotected = ['{code}']");
    let checked = check_as(GroupKind::Students, &toml, Some(&book));
    assert_eq!(checked.problems, []);
    assert!(
        checked
            .hints
            .iter()
            .any(|hint| hint.key == "writeback.protected" && hint.message.contains("withdrawn"))
    );
}

#[test]
fn a_code_in_a_field_without_codes_is_a_hint() {
    let toml = "[[field]]\nname = 'Why'\non = 'sign_in'\noptions = [{ text = 'Bus', code = 'L' }]\n\
                [writeback]\ncloses = '15:30'\n";
    let checked = check(toml);
    assert_eq!(checked.problems, []);
    assert!(
        checked
            .hints
            .iter()
            .any(|hint| hint.message.contains("does nothing")),
        "{:#?}",
        checked.hints
    );
}

#[rstest]
#[case(GroupKind::Students, false)]
#[case(GroupKind::Staff, true)]
#[case(GroupKind::Parents, true)]
fn writeback_of_staff_or_parents_is_a_hint(#[case] kind: GroupKind, #[case] hint: bool) {
    let checked = check_as(kind, "[writeback]\ncloses = '15:30'", Some(&school_book()));
    assert_eq!(
        checked
            .hints
            .iter()
            .any(|hint| hint.message.contains("only groups of students")),
        hint
    );
}

#[rstest]
#[case("close = '15:30'", "unknown field `close`")]
#[case("am = { lates = '09:00' }", "unknown field `lates`")]
#[case("am = { ends = '09:00' }", "unknown field `ends`")]
#[case("codes = { present = 'P' }", "unknown field `present`")]
#[case("custom_codes = { signin = 'Why' }", "unknown field `signin`")]
#[case("protect_on = ['arrival']", "unknown variant `arrival`")]
#[case("present = 'yes'", "expected a boolean")]
fn an_unknown_key_is_an_error_that_shows_the_known_ones(#[case] line: &str, #[case] what: &str) {
    let error = toml::from_str::<WritebackSettings>(line)
        .unwrap_err()
        .to_string();
    assert!(error.contains(what), "{error}");
    // The line itself is shown, with key and value.
    assert!(error.contains(line), "{error}");
}

#[test]
fn the_schema_names_every_setting_and_allows_no_other() {
    let schema = serde_json::to_value(schemars::schema_for!(WritebackSettings)).unwrap();
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["required"], serde_json::json!(["closes"]));
    for key in [
        "am",
        "pm",
        "closes",
        "days",
        "closed",
        "codes",
        "present",
        "leaver_code",
        "custom_codes",
        "comment",
        "minutes_late",
        "protected",
        "protect_on",
        "first_arrival_stands",
        "shortest_stay",
        "employee_id",
    ] {
        assert!(schema["properties"][key].is_object(), "{key}");
    }
    let option =
        serde_json::to_value(schemars::schema_for!(writeback::settings::FieldOption)).unwrap();
    assert!(
        option["anyOf"]
            .as_array()
            .is_some_and(|forms| forms.len() == 2),
        "{option:#}"
    );
}

#[test]
fn a_repeated_code_is_reported() {
    let with = |more: [mis_core::AttendanceCode; 1]| {
        let book = CodeBook::new(school_book().iter().cloned().chain(more));
        let toml = "[writeback]\ncloses = '15:30'\nleaver_code = 'm'\nprotected = ['L']";
        check_as(GroupKind::Students, toml, Some(&book))
    };
    let second = |letters| mis_core::AttendanceCode::new(letters).with_id("second");
    let ambiguous = with([second("M")]);
    let [problem] = ambiguous.problems.as_slice() else {
        panic!("{:#?}", ambiguous.problems);
    };
    assert_eq!(problem.key, "writeback.leaver_code");
    assert!(
        problem.message.contains("M 2 times (ids id of M, second)"),
        "{problem}"
    );

    let told = with([mis_core::AttendanceCode {
        active: Some(true),
        ..second("M")
    }]);
    assert_eq!(told.problems, []);
    let hint = told
        .hints
        .iter()
        .find(|hint| hint.message.contains("2 times"));
    let hint = hint.map(ToString::to_string).unwrap_or_default();
    assert!(
        hint.contains("the active one, with the id second"),
        "{hint}"
    );

    // A repeated code that is only read gives no hint.
    let read = with([second("L")]);
    assert_eq!(read.problems, []);
    assert!(
        read.hints
            .iter()
            .all(|hint| !hint.message.contains("times"))
    );
}

#[rstest]
#[case("am = { opens = '08:30', late = '09:00' }", &[])]
#[case("am = { opens = '08:30', starts = '08:30' }", &[])]
#[case("am = { opens = '08:40', starts = '08:30' }", &["writeback.am.starts"])]
#[case("am = { opens = '12:00' }", &["writeback.am.opens"])]
#[case("am = { opens = 'early' }", &["writeback.am.opens"])]
fn am_opens_precedes_the_other_times(#[case] line: &str, #[case] wrong: &[&str]) {
    let checked = check(&format!("[writeback]\ncloses = '15:30'\n{line}"));
    let keys: Vec<_> = checked
        .problems
        .iter()
        .map(|one| one.key.as_str())
        .collect();
    assert_eq!(keys, wrong);
}
