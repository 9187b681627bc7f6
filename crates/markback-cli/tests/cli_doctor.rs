//! `markback doctor` against schools in the sandbox.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may stop at the first surprise"
)]

mod cli_support;

use cli_support::{Said, markback};
use rstest::rstest;
use serde_json::Value;
use wonde_sandbox::{
    Access, CodeChange, Fault, FaultRule, Handle, Sandbox, SandboxOptions, SchoolInfo,
};

/// A sandbox with a school of each shape: SIMS, Arbor, ScholarPack.
async fn sandbox() -> Sandbox {
    let options = SandboxOptions {
        pupils_per_school: 20,
        history_days: 0,
        ..SandboxOptions::default()
    };
    Sandbox::start(options).await.unwrap()
}

fn school_with(handle: &Handle, mis: &str) -> SchoolInfo {
    handle
        .schools()
        .into_iter()
        .find(|school| school.mis == mis)
        .unwrap()
}

const WRITEBACK: &str = "
[[school.group]]
name = 'Pupils'
kind = 'students'
[school.group.writeback]
closes = '15:30'
am = { late = '09:00' }
";

/// Runs the doctor with settings for one school, with the sandbox's token in a file beside them.
async fn doctor(base_url: String, token: String, school: &SchoolInfo, more: &str) -> Said {
    doctor_with("", base_url, token, school, more).await
}

/// The same with a line for the service.
async fn doctor_with(
    service: &'static str,
    base_url: String,
    token: String,
    school: &SchoolInfo,
    more: &str,
) -> Said {
    run(&[], service, base_url, token, school, more).await
}

async fn run(
    arguments: &'static [&'static str],
    service: &'static str,
    base_url: String,
    token: String,
    school: &SchoolInfo,
    more: &str,
) -> Said {
    let id = school.id.clone();
    let more = more.to_owned();
    tokio::task::spawn_blocking(move || {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), token).unwrap();
        let path = folder.path().join("markback.toml");
        let timezone = if more.contains("timezone") { "" } else { "timezone = 'Europe/London'\n" };
        let text = format!(
            "{service}\nwonde_url = '{base_url}'\n[[school]]\nid = '{id}'\ntoken_file = 'token'\n{timezone}{more}"
        );
        std::fs::write(&path, text).unwrap();
        let path = path.to_str().unwrap();
        markback([&["doctor", "--config", path, "--format", "json"], arguments].concat())
    })
    .await
    .unwrap()
}

/// The verdicts on one question, with what was found and the help.
fn answers(said: &Said, asked: &str) -> Vec<(String, String)> {
    let report = said.json();
    let findings = report["schools"][0]["findings"].as_array().unwrap();
    let of = findings.iter().filter(|finding| finding["asked"] == asked);
    of.map(|finding| {
        (
            word(&finding["verdict"]),
            format!("{} / {}", word(&finding["found"]), word(&finding["help"])),
        )
    })
    .collect()
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[track_caller]
fn assert_answer(said: &Said, asked: &str, verdict: &str, words: &str) {
    let answers = answers(said, asked);
    assert!(
        answers
            .iter()
            .any(|(v, text)| v == verdict && text.contains(words)),
        "{asked}: {verdict} with {words}; but {answers:#?}\n{}",
        said.err
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn all_is_well_at_a_school_that_allows_everything() {
    let sandbox = sandbox().await;
    let school = school_with(&sandbox, "SIMS");
    let said = doctor(sandbox.base_url(), sandbox.token(), &school, WRITEBACK).await;
    let report = said.json();
    assert_eq!(said.code, 0, "{}", said.out);
    assert_eq!(report["ok"], true);
    assert_eq!(report["schools"][0]["school"], school.id);
    for (asked, words) in [
        ("token", school.name.as_str()),
        ("region", " students"),
        ("approved", "approved"),
        ("online", "reaches"),
        ("writing", "allows writing"),
        ("time zone", "Europe/London"),
        ("MIS", "`sims`"),
        (
            "capabilities",
            "session, comment, minutes_late, early_leaver, roster",
        ),
        ("codes", "including all codes"),
    ] {
        assert_answer(&said, asked, "ok", words);
    }
    assert!(!said.out.contains(&sandbox.token()), "the token is shown");
}

/// It takes none: nothing is wrong with that, and groups are what it is there for.
#[tokio::test(flavor = "multi_thread")]
async fn all_is_well_at_a_school_whose_mis_takes_no_marks() {
    let sandbox = sandbox().await;
    let school = school_with(&sandbox, "ScholarPack");
    let said = doctor(sandbox.base_url(), sandbox.token(), &school, WRITEBACK).await;
    assert_eq!(said.code, 0, "{}", said.out);
    assert_answer(&said, "writing", "ok", "does not accept marks");
    assert_answer(&said, "codes", "ok", "does not accept marks");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_changes_nothing() {
    let sandbox = sandbox().await;
    let school = school_with(&sandbox, "SIMS");
    let before = sandbox.mis_marks(&school.id).unwrap();
    doctor(sandbox.base_url(), sandbox.token(), &school, WRITEBACK).await;
    assert_eq!(sandbox.mis_marks(&school.id).unwrap(), before);
    assert_eq!(sandbox.waiting(&school.id).unwrap(), 0);
}

/// At this rate five requests may be made at once, and one more each second and a third.
#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_keeps_to_the_rate_and_tells_its_requests() {
    let sandbox = sandbox().await;
    let school = school_with(&sandbox, "SIMS");
    let (url, token) = (sandbox.base_url(), sandbox.token());
    let start = std::time::Instant::now();
    let said = doctor_with("rate_per_minute = 50", url, token, &school, WRITEBACK).await;
    let took = start.elapsed();
    let made = sandbox.requests().total;
    assert_eq!(said.json()["requests"], made, "{}", said.out);
    assert!(made > 5 && took.as_secs() >= 1, "{made} in {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_nobody_knows_fails() {
    let sandbox = sandbox().await;
    let school = school_with(&sandbox, "SIMS");
    let said = doctor(
        sandbox.base_url(),
        "not-the-token".to_owned(),
        &school,
        WRITEBACK,
    )
    .await;
    assert_eq!(said.code, 1);
    assert_answer(&said, "token", "fail", "put the right token into the file");
    assert!(!said.out.contains("not-the-token"), "the token is shown");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_there_fails() {
    let sandbox = sandbox().await;
    let school = school_with(&sandbox, "SIMS");
    let said = doctor(sandbox.base_url(), " ".to_owned(), &school, WRITEBACK).await;
    assert_eq!(said.code, 1);
    assert_answer(&said, "token", "fail", "is empty");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_school_without_data_is_taken_for_the_wrong_region() {
    let sandbox = sandbox().await;
    let school = school_with(&sandbox, "SIMS");
    for on in ["counts", "students"] {
        sandbox
            .add_fault(FaultRule::new(Fault::Empty).on(on))
            .unwrap();
    }
    let said = doctor(sandbox.base_url(), sandbox.token(), &school, WRITEBACK).await;
    assert_eq!(said.code, 1);
    assert_answer(&said, "region", "fail", "wrong region");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_school_of_another_region_is_found_there() {
    let sandbox = sandbox().await;
    let school = school_with(&sandbox, "SIMS");
    sandbox.set_other_region(&school.id, true).unwrap();
    let said = doctor(sandbox.base_url(), sandbox.token(), &school, WRITEBACK).await;
    assert_answer(&said, "region", "ok", " students");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_school_that_has_withdrawn_its_approval_fails() {
    let sandbox = sandbox().await;
    let school = school_with(&sandbox, "SIMS");
    sandbox.set_access(&school.id, Access::Revoked).unwrap();
    let said = doctor(sandbox.base_url(), sandbox.token(), &school, WRITEBACK).await;
    assert_eq!(said.code, 1);
    let failed = ["token", "approved", "region"]
        .into_iter()
        .flat_map(|asked| answers(&said, asked));
    assert!(
        failed.into_iter().any(|(verdict, _)| verdict == "fail"),
        "{}",
        said.out
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_mis_that_cannot_be_reached_is_a_warning() {
    let sandbox = sandbox().await;
    let school = school_with(&sandbox, "SIMS");
    sandbox
        .set_offline(&school.id, Some(std::time::Duration::from_secs(3600)))
        .unwrap();
    let said = doctor(sandbox.base_url(), sandbox.token(), &school, WRITEBACK).await;
    assert_eq!(said.code, 0, "{}", said.out);
    assert_answer(&said, "online", "warn", "cannot reach");
}

#[rstest]
#[case::other("mis = 'Arbor'\n", "warn", "Wonde says SIMS, the settings say Arbor")]
#[case::same("mis = 'sims .net'\n", "ok", "`sims`")]
#[case::unknown("mis = 'Nonesuch'\n", "warn", "Nonesuch")]
#[tokio::test(flavor = "multi_thread")]
async fn the_mis_of_the_settings_is_held_against_wondes(
    #[case] mis: &str,
    #[case] verdict: &str,
    #[case] words: &str,
) {
    let sandbox = sandbox().await;
    let school = school_with(&sandbox, "SIMS");
    let said = doctor(
        sandbox.base_url(),
        sandbox.token(),
        &school,
        &format!("{mis}{WRITEBACK}"),
    )
    .await;
    assert_answer(&said, "MIS", verdict, words);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_time_zone_than_wondes_is_a_warning() {
    let sandbox = sandbox().await;
    let school = school_with(&sandbox, "SIMS");
    let more = format!("timezone = 'Europe/Paris'\n{WRITEBACK}");
    let said = doctor(sandbox.base_url(), sandbox.token(), &school, &more).await;
    assert_answer(&said, "time zone", "warn", "Europe/London");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_the_school_does_not_know_fails() {
    let sandbox = sandbox().await;
    let school = school_with(&sandbox, "SIMS");
    let more = format!("{WRITEBACK}leaver_code = 'QQ'\n");
    let said = doctor(sandbox.base_url(), sandbox.token(), &school, &more).await;
    assert_eq!(said.code, 1);
    assert_answer(&said, "codes", "fail", "QQ");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_school_may_be_asked_about_and_the_table_is_plain() {
    let sandbox = sandbox().await;
    let school = school_with(&sandbox, "Arbor");
    let (url, token, id) = (sandbox.base_url(), sandbox.token(), school.id.clone());
    let said = tokio::task::spawn_blocking(move || {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), token).unwrap();
        let path = folder.path().join("markback.toml");
        let one = |id: &str| {
            format!("[[school]]\nid = '{id}'\ntimezone = 'Europe/London'\ntoken_file = 'token'\n")
        };
        let text = format!("wonde_url = '{url}'\n{}{}", one("A0"), one(&id));
        std::fs::write(&path, text).unwrap();
        let path = path.to_str().unwrap().to_owned();
        let asked = markback(["doctor", "--config", &path, "--school", &id]);
        let unknown = markback(["doctor", "--config", &path, "--school", "A9"]);
        (asked, unknown)
    })
    .await
    .unwrap();
    let (asked, unknown) = said;
    assert_eq!(asked.code, 0, "{}{}", asked.out, asked.err);
    assert!(
        asked.out.contains("`arbor`") && !asked.out.contains("A0 "),
        "{}",
        asked.out
    );
    assert!(
        asked.out.contains("0 failed; ")
            && asked.out.contains("; requests to Wonde")
            && !asked.out.contains('\u{1b}'),
        "{}",
        asked.out
    );
    assert_eq!(unknown.code, 2);
    assert!(unknown.err.contains("A9"), "{}", unknown.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_that_the_list_has_twice_are_told() {
    let sandbox = sandbox().await;
    let school = school_with(&sandbox, "SIMS");
    let repeat = |code, active| {
        let change = CodeChange {
            active,
            ..CodeChange::default()
        };
        sandbox.repeat_code(&school.id, code, change).unwrap()
    };
    let active = repeat("M", Some(true));
    repeat("I", None);
    let said = doctor(sandbox.base_url(), sandbox.token(), &school, WRITEBACK).await;
    assert_eq!(said.code, 0, "{}", said.out);
    let words = format!("writes M ({active}, the active one)");
    assert_answer(&said, "codes", "warn", &words);
    assert_answer(&said, "codes", "warn", "has I more than once");

    // One that the settings write is an error.
    repeat("L", None);
    let said = doctor(sandbox.base_url(), sandbox.token(), &school, WRITEBACK).await;
    assert_eq!(said.code, 1, "{}", said.out);
    assert_answer(&said, "codes", "fail", "has L 2 times");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_of_people_is_named_without_its_value() {
    let sandbox = sandbox().await;
    let school = school_with(&sandbox, "SIMS");
    let said = doctor(sandbox.base_url(), sandbox.token(), &school, WRITEBACK).await;
    assert_answer(&said, "people", "ok", "records of students");
    let pupils = sandbox.students(&school.id).unwrap();
    let pupil = pupils.into_iter().find(|pupil| pupil.on_roll).unwrap().id;
    let pointer = "/education_details/data/admission_date";
    sandbox
        .set_value(
            &school.id,
            &pupil,
            pointer,
            serde_json::json!("in the autumn"),
        )
        .unwrap();
    let said = doctor(sandbox.base_url(), sandbox.token(), &school, WRITEBACK).await;
    let found = format!("`education_details.admission_date` of {pupil} on page 1");
    assert_answer(&said, "people", "warn", &found);
    assert!(!said.out.contains("in the autumn"));
}

#[tokio::test]
async fn a_probe_tells_forms_and_nobodys_data() {
    let sandbox = sandbox().await;
    for mis in ["SIMS", "Arbor", "ScholarPack"] {
        let school = school_with(&sandbox.handle(), mis);
        let said = run(
            &["--probe"],
            "",
            sandbox.base_url(),
            sandbox.token(),
            &school,
            "",
        )
        .await;
        assert_eq!(said.code, 0, "{}", said.err);
        let report = said.json();
        assert_eq!(report[0]["mis"], mis);
        let found = |asked: &str| {
            let all = report[0]["observations"].as_array().unwrap();
            word(&all.iter().find(|one| one["asked"] == asked).unwrap()["found"])
        };
        let short = match mis {
            "SIMS" => "`meta` without `pagination`",
            "Arbor" => "pagination {",
            _ => "no `meta`",
        };
        assert!(
            found("short list").contains(short),
            "{}",
            found("short list")
        );
        assert!(found("list with per_page").contains("per_page: digits as text"));
        assert!(found("unknown include").starts_with("400"));
        assert!(found("permissions").contains("attendance"));
        assert!(found("time in ISO form").starts_with("no rows"));
        assert!(found("includes of students").contains("education_details"));
        assert_eq!(found("headers about the rate"), "none");
        let text = report.to_string();
        let students = sandbox.students(&school.id).unwrap();
        for student in &students {
            assert!(!text.contains(&student.id), "an id of a pupil");
            for name in [&student.forename, &student.surname] {
                assert!(
                    !text.contains(&format!("\"{name}\"")) && !text.contains(&format!(" {name} ")),
                    "{name}"
                );
            }
        }
    }
    sandbox.stop().await;
}
