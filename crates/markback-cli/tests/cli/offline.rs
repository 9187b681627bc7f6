//! The commands that need no service: check, schema, adapters and explain, with the shipped examples.

use crate::support::{examples, markback, markback_with_input, settings_file};
use markback_lab::harness::CommandOutput;
use rstest::rstest;
use serde_json::{Value, json};

// check

#[test]
fn the_example_settings_are_valid() {
    let said = markback(["check", "--config", "markback.toml", "--format", "json"]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    assert_eq!(said.json()["ok"], true);
    assert_eq!(said.json()["problems"], json!([]));
}

#[rstest]
#[case::plain(None)]
#[case::table(Some("table"))]
fn check_reports_all_problems_and_exits_with_2(#[case] format: Option<&str>) {
    let (_folder, path) =
        settings_file("listn = 1\n[[school]]\nid = 'A1'\ntimezone = 'Mars'\ntoken_env = 'T'\n");
    let mut args = vec!["check", "--config", &path];
    args.extend(format.into_iter().flat_map(|format| ["--format", format]));
    let said = markback(args);
    assert_eq!(said.code, 2);
    for words in [
        "listn",
        "did you mean `listen`?",
        "school[0].timezone",
        "\"Mars\"",
        "2 errors",
        "1 hint",
    ] {
        assert!(said.out.contains(words), "{words}: {}", said.out);
    }
    assert!(!said.out.contains('\u{1b}'), "colours outside a terminal");
}

#[test]
fn check_in_json_has_key_value_and_help() {
    let (_folder, path) = settings_file("listn = 1\n");
    let said = markback(["check", "--config", &path, "--format", "json"]);
    assert_eq!(said.code, 2);
    let report = said.json();
    assert_eq!(report["ok"], false);
    let problem = &report["problems"][0];
    assert_eq!(
        *problem,
        json!({"file": path, "line": 1, "key": "listn", "value": "1", "message": "there is no such setting", "help": "did you mean `listen`?"})
    );
}

#[test]
fn check_with_only_hints_exits_with_0() {
    let (_folder, path) = settings_file("");
    let said = markback(["check", "--config", &path]);
    assert_eq!(said.code, 0);
    assert!(
        said.out.contains("hint: ") && said.out.contains("contains no school"),
        "{}",
        said.out
    );
}

#[test]
fn a_missing_file_exits_with_2() {
    let said = markback(["check", "--config", "no such file.toml"]);
    assert_eq!((said.code, said.out.as_str()), (2, ""));
    assert!(said.err.contains("no such file.toml"), "{}", said.err);
}

// schema

#[test]
fn every_key_of_the_example_is_in_the_schema() {
    let schema = markback(["schema"]).json();
    let example = std::fs::read_to_string(examples().join("markback.toml")).unwrap();
    let example: toml::Table = example.parse().unwrap();
    let example = serde_json::to_value(example).unwrap();
    let mut keys = 0;
    look_up(&example, &schema, &schema, "", &mut keys);
    assert!(keys > 80, "only {keys} keys were looked up");
}

/// Checks that each key of a value is a property of its schema, recursively.
fn look_up(value: &Value, schema: &Value, root: &Value, path: &str, keys: &mut usize) {
    match value {
        Value::Object(table) => {
            for (key, value) in table {
                let path = format!("{path}.{key}");
                let below = forms(schema, root)
                    .into_iter()
                    .find_map(|form| form.get("properties")?.get(key));
                *keys += 1;
                look_up(
                    value,
                    below.unwrap_or_else(|| panic!("{path} is not in the schema")),
                    root,
                    &path,
                    keys,
                );
            }
        }
        Value::Array(list) => {
            for value in list {
                let below = forms(schema, root)
                    .into_iter()
                    .find_map(|form| form.get("items"));
                look_up(
                    value,
                    below.unwrap_or_else(|| panic!("{path} is no list in the schema")),
                    root,
                    path,
                    keys,
                );
            }
        }
        _ => {}
    }
}

/// The schema with all schemas that it references or combines.
fn forms<'s>(schema: &'s Value, root: &'s Value) -> Vec<&'s Value> {
    let mut forms = vec![schema];
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let target = root.pointer(reference.trim_start_matches('#')).unwrap();
        forms.extend(self::forms(target, root));
    }
    for choice in ["anyOf", "oneOf", "allOf"] {
        for one in schema
            .get(choice)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            forms.extend(self::forms(one, root));
        }
    }
    forms
}

#[test]
fn the_schema_rejects_unknown_keys_and_lists_required_ones() {
    let schema = markback(["schema"]).json();
    assert_eq!(schema["additionalProperties"], false);
    for (name, required) in [
        ("School", json!(["id"])),
        ("Group", json!(["name", "kind"])),
        ("Field", json!(["name", "on", "options"])),
        ("WritebackSettings", json!(["closes"])),
    ] {
        let table = &schema["$defs"][name];
        assert_eq!(table["additionalProperties"], false, "{name}");
        assert_eq!(table["required"], required, "{name}");
    }
    assert_eq!(schema["properties"]["accept_age"]["default"], "7days");
}

// adapters

#[test]
fn adapters_are_listed_in_json() {
    let said = markback([
        "adapters",
        "--needs",
        "session,early_leaver",
        "--format",
        "json",
    ]);
    assert_eq!(said.code, 0, "{}", said.err);
    let report = said.json();
    let adapter = |id: &str| {
        let adapters = report["adapters"].as_array().unwrap();
        adapters
            .iter()
            .find(|adapter| adapter["id"] == id)
            .unwrap()
            .clone()
    };
    assert_eq!(
        adapter("sims"),
        json!({
            "id": "sims", "name": "SIMS",
            "capabilities": {"session": "session", "comment": true, "minutes_late": true, "early_leaver": true, "roster": true},
            "fits": true, "lacks": [],
        })
    );
    assert_eq!(adapter("arbor")["capabilities"]["session"], "first_lesson");
    assert_eq!(adapter("arbor")["lacks"], json!(["early_leaver"]));
    assert_eq!(adapter("scholarpack")["capabilities"]["session"], "none");
    assert_eq!(adapter("scholarpack")["fits"], false);
    assert_eq!(
        adapter("scholarpack")["lacks"],
        json!(["session", "early_leaver"])
    );
}

#[test]
fn every_adapter_fits_without_requirements() {
    let report = markback(["adapters", "--format", "json"]).json();
    let adapters = report["adapters"].as_array().unwrap();
    assert!(
        adapters
            .iter()
            .all(|adapter| adapter["fits"] == true && adapter["lacks"] == json!([]))
    );
}

#[test]
fn the_table_of_adapters_is_plain_text() {
    let said = markback(["adapters", "--needs", "minutes-late"]);
    assert_eq!(said.code, 0);
    assert!(
        said.out.contains("first lesson") && said.out.contains("lacks minutes_late"),
        "{}",
        said.out
    );
    assert!(!said.out.contains('\u{1b}'), "colours outside a terminal");
}

#[test]
fn an_unknown_ability_exits_with_2() {
    let said = markback(["adapters", "--needs", "lateness"]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("lateness"), "{}", said.err);
}

// explain

const SECONDARY: [&str; 4] = ["--school", "A1930499544", "--group", "Years 7-11"];

fn explain(more: &[&str], event: &str) -> CommandOutput {
    let mut args = vec!["explain", "--config", "markback.toml", "--format", "json"];
    if !more.contains(&"--school") {
        args.extend(SECONDARY);
    }
    args.extend(more);
    args.push("-");
    markback_with_input(args, event)
}

fn event(kind: &str, at: &str, answers: Value) -> String {
    json!({"id": "e1", "person": "A123", "kind": kind, "at": at, "answers": answers}).to_string()
}

fn came(at: &str) -> String {
    event("sign_in", at, json!({}))
}

#[test]
fn a_late_arrival_is_explained() {
    let said = explain(
        &[],
        &event(
            "sign_in",
            "2026-11-23T09:07:12Z",
            json!({"Reason for being late": "Bus"}),
        ),
    );
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    let decision = said.json();
    assert_eq!(decision["outcome"], "write");
    assert_eq!(
        decision["mark"],
        json!({"date": "2026-11-23", "session": "AM", "code": "L", "comment": "Bus", "minutes_late": 7})
    );
    assert_eq!(decision["dropped"], json!([]));
    assert!(decision["steps"].as_array().unwrap().len() > 2);
}

#[test]
fn absent_values_are_null() {
    let decision = explain(&[], &came("2026-11-23T08:52:00Z")).json();
    assert_eq!(
        decision["mark"],
        json!({"date": "2026-11-23", "session": "AM", "code": "/", "comment": null, "minutes_late": null})
    );
}

#[rstest]
#[case(&["--register", "M"], "2026-11-23T09:30:00Z", "protected")]
#[case(&["--register", "m"], "2026-11-23T09:30:00Z", "protected")]
#[case(&["--register", "L"], "2026-11-23T15:30:00Z", "outside_school_day")]
#[case(&[], "2026-11-22T09:30:00Z", "not_a_school_day")]
#[case(&[], "2026-12-21T09:30:00Z", "not_a_school_day")]
#[case(&["--school", "A1930499544", "--group", "Staff"], "2026-11-23T09:30:00Z", "not_written_back")]
#[case(&["--school", "A1000000003", "--group", "Pupils"], "2026-11-23T09:30:00Z", "unsupported")]
fn a_skipped_event_has_a_reason(#[case] more: &[&str], #[case] at: &str, #[case] reason: &str) {
    let said = explain(more, &came(at));
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    let decision = said.json();
    assert_eq!(
        (&decision["outcome"], &decision["reason"]),
        (&json!("skip"), &json!(reason))
    );
    assert!(decision["steps"].is_array());
    if reason == "unsupported" {
        assert_eq!(decision["detail"], "session");
    }
}

#[test]
fn an_ability_removed_by_the_settings_is_dropped() {
    let said = explain(
        &["--school", "A1000000002", "--group", "Pupils"],
        &event("sign_in", "2026-11-23T09:07:12Z", json!({"Why?": "Bus"})),
    );
    let decision = said.json();
    assert_eq!(decision["dropped"], json!(["comment"]));
    assert_eq!(decision["mark"]["comment"], Value::Null);
}

#[test]
fn an_early_leaver_at_arbor_is_unsupported() {
    let said = explain(
        &["--school", "A1000000002", "--group", "Pupils"],
        &event("sign_out", "2026-11-23T14:10:00Z", json!({})),
    );
    assert_eq!(
        (&said.json()["reason"], &said.json()["detail"]),
        (&json!("unsupported"), &json!("early_leaver"))
    );
}

#[rstest]
#[case::text("/ Here\n\nLATE comes late\n", "unknown_code")]
#[case::json_letters(r#"["/", "M"]"#, "unknown_code")]
#[case::json_lines(
    r#"[{"code": "/", "id": "C1"}, {"code": "l", "id": "C2", "description": "Late"}]"#,
    "l"
)]
fn explain_accepts_a_code_book(#[case] book: &str, #[case] expected: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("codes");
    std::fs::write(&path, book).unwrap();
    let decision = explain(
        &["--codes", path.to_str().unwrap()],
        &came("2026-11-23T09:07:12Z"),
    )
    .json();
    let found = if decision["outcome"] == "write" {
        &decision["mark"]["code"]
    } else {
        &decision["reason"]
    };
    assert_eq!(found, expected);
}

#[rstest]
#[case::no_school(&["--school", "A1930499545", "--group", "Staff"], "A1930499545")]
#[case::no_group(&["--school", "A1930499544", "--group", "Years 7-12"], "did you mean `Years 7-11`?")]
#[case::no_codes(&["--codes", "no such file"], "no such file")]
#[case::blank_register(&["--register", " "], "--register")]
fn an_invalid_argument_exits_with_2(#[case] more: &[&str], #[case] words: &str) {
    let said = explain(more, &came("2026-11-23T09:07:12Z"));
    assert_eq!((said.code, said.out.as_str()), (2, ""));
    assert!(said.err.contains(words), "{}", said.err);
}

#[rstest]
#[case::cut_off(r#"{"id":"e1","person":"#, "EOF")]
#[case::empty("", "EOF")]
#[case::no_offset(
    r#"{"id":"e1","person":"A1","kind":"sign_in","at":"2026-11-23T09:07:12"}"#,
    "offset"
)]
#[case::kind(
    r#"{"id":"e1","person":"A1","kind":"signin","at":"2026-11-23T09:07:12Z"}"#,
    "kind"
)]
#[case::unknown_key(
    r#"{"id":"e1","person":"A1","kind":"sign_in","at":"2026-11-23T09:07:12Z","when":1}"#,
    "when"
)]
#[case::missing(
    r#"{"id":"e1","kind":"sign_in","at":"2026-11-23T09:07:12Z"}"#,
    "person"
)]
#[case::no_option(r#"{"id":"e1","person":"A1","kind":"sign_in","at":"2026-11-23T09:07:12Z","answers":{"Reason for being late":"Train"}}"#, "Reason for being late")]
#[case::no_field(r#"{"id":"e1","person":"A1","kind":"sign_in","at":"2026-11-23T09:07:12Z","answers":{"Why":"Bus"}}"#, "answers.Why")]
#[case::two(
    r#"{"id":"e1","person":"A1","kind":"sign_in","at":"2026-11-23T09:07:12Z"} {}"#,
    "several events"
)]
fn a_bad_event_is_reported_and_exits_with_2(#[case] event: &str, #[case] words: &str) {
    let said = explain(&[], event);
    assert_eq!((said.code, said.out.as_str()), (2, ""));
    assert!(said.err.contains(words), "{}", said.err);
}

#[test]
fn explain_needs_the_mis() {
    let (_folder, path) = settings_file(
        "[[school]]\nid = 'A1'\ntimezone = 'UTC'\ntoken_env = 'T'\n[[school.group]]\nname = 'G'\nkind = 'students'\n",
    );
    let args = [
        "explain", "--config", &path, "--school", "A1", "--group", "G", "-",
    ];
    let said = markback_with_input(args, &came("2026-11-23T09:07:12Z"));
    assert_eq!(said.code, 2);
    assert!(said.err.contains("mis"), "{}", said.err);
}

#[test]
fn explain_reports_all_problems_of_the_settings_and_exits_with_2() {
    let (_folder, path) = settings_file("listn = 1\nstor = 'x'\n");
    let args = [
        "explain", "--config", &path, "--school", "A1", "--group", "G", "-",
    ];
    let said = markback_with_input(args, &came("2026-11-23T09:07:12Z"));
    assert_eq!((said.code, said.out.as_str()), (2, ""));
    assert!(
        said.err.contains("listn") && said.err.contains("stor"),
        "{}",
        said.err
    );
}

#[test]
fn each_example_event_is_explained_in_text() {
    let log = std::fs::read_to_string(examples().join("morning.jsonl")).unwrap();
    let mut told = String::new();
    for event in log.lines() {
        let mut args = vec!["explain", "--config", "markback.toml"];
        args.extend(SECONDARY);
        args.push("-");
        let said = markback_with_input(args, event);
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{event}");
        told.push_str(said.out.lines().next().unwrap());
        told.push('\n');
    }
    insta::assert_snapshot!(told);
}

#[test]
fn an_event_is_read_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("event.json");
    std::fs::write(&path, came("2026-11-23T09:21:00Z")).unwrap();
    let mut args = vec!["explain", "--config", "markback.toml"];
    args.extend(SECONDARY);
    args.push(path.to_str().unwrap());
    let said = markback(args);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(
        said.out
            .starts_with("write U in AM of 2026-11-23, 21 minutes late"),
        "{}",
        said.out
    );
}

// invalid usage

#[rstest]
#[case(&["explode"])]
#[case(&["check"])]
#[case(&["adapters", "--format", "xml"])]
fn invalid_usage_exits_with_2(#[case] args: &[&str]) {
    assert_eq!(markback(args.iter().copied()).code, 2);
}
