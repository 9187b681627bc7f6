//! `markback doctor` against schools in the sandbox.

use crate::support::markback_on as markback;
use markback_lab::harness::{CommandOutput, TestBed, quick_sandbox};
use rstest::rstest;
use serde_json::Value;
use wonde_sandbox::{Access, CodeChange, Fault, FaultRule, SandboxOptions, SchoolInfo};

/// A test bed with a school of each kind: SIMS, Arbor, ScholarPack.
async fn test_bed() -> TestBed {
    let options = SandboxOptions {
        pupils_per_school: 20,
        ..quick_sandbox()
    };
    TestBed::start(None, options).await
}

const WRITEBACK: &str = "
[[school.group]]
name = 'Pupils'
kind = 'students'
[school.group.writeback]
closes = '15:30'
am = { late = '09:00' }
";

/// Runs the doctor with settings for one school.
async fn doctor(bed: &TestBed, school: &SchoolInfo, more: &str) -> CommandOutput {
    doctor_with(bed, "", school, more, &[]).await
}

/// Runs the doctor with settings for the service and one school, and with further arguments.
async fn doctor_with(
    bed: &TestBed,
    service: &str,
    school: &SchoolInfo,
    more: &str,
    args: &[&str],
) -> CommandOutput {
    let timezone = if more.contains("timezone") {
        ""
    } else {
        "timezone = 'Europe/London'\n"
    };
    let text = format!("token_file = 'token'\n{timezone}{more}");
    bed.write_settings_of(service, "", std::slice::from_ref(school), &text);
    markback(bed, &[&["doctor", "--format", "json"], args].concat()).await
}

/// The verdicts of one check, each with the result and the help.
fn answers(said: &CommandOutput, asked: &str) -> Vec<(String, String)> {
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
fn assert_answer(said: &CommandOutput, asked: &str, verdict: &str, words: &str) {
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
async fn a_school_that_allows_everything_passes() {
    let bed = test_bed().await;
    let school = bed.school_with("SIMS");
    let said = doctor(&bed, &school, WRITEBACK).await;
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
    assert!(
        !said.out.contains(&bed.sandbox.token()),
        "the token is shown"
    );
}

/// Such a school only uses groups, which is not an error.
#[tokio::test(flavor = "multi_thread")]
async fn a_school_whose_mis_takes_no_marks_passes() {
    let bed = test_bed().await;
    let school = bed.school_with("ScholarPack");
    let said = doctor(&bed, &school, WRITEBACK).await;
    assert_eq!(said.code, 0, "{}", said.out);
    assert_answer(&said, "writing", "ok", "does not accept marks");
    assert_answer(&said, "codes", "ok", "does not accept marks");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_changes_nothing() {
    let bed = test_bed().await;
    let school = bed.school_with("SIMS");
    let before = bed.sandbox.mis_marks(&school.id).unwrap();
    doctor(&bed, &school, WRITEBACK).await;
    assert_eq!(bed.sandbox.mis_marks(&school.id).unwrap(), before);
    assert_eq!(bed.sandbox.waiting(&school.id).unwrap(), 0);
}

/// This rate allows five requests at once, and one more every 1.2 seconds.
#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_respects_the_rate_limit_and_counts_its_requests() {
    let bed = test_bed().await;
    let school = bed.school_with("SIMS");
    let start = std::time::Instant::now();
    let said = doctor_with(&bed, "rate_per_minute = 50", &school, WRITEBACK, &[]).await;
    let took = start.elapsed();
    let made = bed.sandbox.requests().total;
    assert_eq!(said.json()["requests"], made, "{}", said.out);
    assert!(made > 5 && took.as_secs() >= 1, "{made} in {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_token_fails() {
    let bed = test_bed().await;
    let school = bed.school_with("SIMS");
    std::fs::write(bed.path("token"), "not-the-token").unwrap();
    let said = doctor(&bed, &school, WRITEBACK).await;
    assert_eq!(said.code, 1);
    assert_answer(&said, "token", "fail", "put the right token into the file");
    assert!(!said.out.contains("not-the-token"), "the token is shown");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_token_fails() {
    let bed = test_bed().await;
    let school = bed.school_with("SIMS");
    std::fs::write(bed.path("token"), " ").unwrap();
    let said = doctor(&bed, &school, WRITEBACK).await;
    assert_eq!(said.code, 1);
    assert_answer(&said, "token", "fail", "is empty");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_school_without_data_may_be_in_another_region() {
    let bed = test_bed().await;
    let school = bed.school_with("SIMS");
    for on in ["counts", "students"] {
        bed.sandbox
            .add_fault(FaultRule::new(Fault::Empty).on(on))
            .unwrap();
    }
    let said = doctor(&bed, &school, WRITEBACK).await;
    assert_eq!(said.code, 1);
    assert_answer(&said, "region", "fail", "wrong region");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_school_in_another_region_is_found() {
    let bed = test_bed().await;
    let school = bed.school_with("SIMS");
    bed.sandbox.set_other_region(&school.id, true).unwrap();
    let said = doctor(&bed, &school, WRITEBACK).await;
    assert_answer(&said, "region", "ok", " students");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_school_that_withdrew_its_approval_fails() {
    let bed = test_bed().await;
    let school = bed.school_with("SIMS");
    bed.sandbox.set_access(&school.id, Access::Revoked).unwrap();
    let said = doctor(&bed, &school, WRITEBACK).await;
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
async fn an_offline_mis_is_a_warning() {
    let bed = test_bed().await;
    let school = bed.school_with("SIMS");
    bed.sandbox
        .set_offline(&school.id, Some(std::time::Duration::from_secs(3600)))
        .unwrap();
    let said = doctor(&bed, &school, WRITEBACK).await;
    assert_eq!(said.code, 0, "{}", said.out);
    assert_answer(&said, "online", "warn", "cannot reach");
}

#[rstest]
#[case::other(
    "mis = 'Arbor'\n",
    "warn",
    "Wonde says SIMS, but the settings say Arbor"
)]
#[case::same("mis = 'sims .net'\n", "ok", "`sims`")]
#[case::unknown("mis = 'Nonesuch'\n", "warn", "Nonesuch")]
#[tokio::test(flavor = "multi_thread")]
async fn the_mis_in_the_settings_is_compared_with_wondes(
    #[case] mis: &str,
    #[case] verdict: &str,
    #[case] words: &str,
) {
    let bed = test_bed().await;
    let school = bed.school_with("SIMS");
    let said = doctor(&bed, &school, &format!("{mis}{WRITEBACK}")).await;
    assert_answer(&said, "MIS", verdict, words);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_different_time_zone_from_wondes_is_a_warning() {
    let bed = test_bed().await;
    let school = bed.school_with("SIMS");
    let more = format!("timezone = 'Europe/Paris'\n{WRITEBACK}");
    let said = doctor(&bed, &school, &more).await;
    assert_answer(&said, "time zone", "warn", "Europe/London");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_missing_from_the_schools_list_fails() {
    let bed = test_bed().await;
    let school = bed.school_with("SIMS");
    let more = format!("{WRITEBACK}leaver_code = 'QQ'\n");
    let said = doctor(&bed, &school, &more).await;
    assert_eq!(said.code, 1);
    assert_answer(&said, "codes", "fail", "QQ");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_school_can_be_selected_and_the_table_is_plain() {
    let bed = test_bed().await;
    let school = bed.school_with("Arbor");
    let (other, text) = (
        "[[school]]\nid = 'A0'\ntimezone = 'Europe/London'\ntoken_file = 'token'\n",
        "timezone = 'Europe/London'\ntoken_file = 'token'\n",
    );
    bed.write_settings_of("", other, std::slice::from_ref(&school), text);
    let asked = markback(&bed, &["doctor", "--school", &school.id]).await;
    let unknown = markback(&bed, &["doctor", "--school", "A9"]).await;
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
async fn codes_listed_twice_are_reported() {
    let bed = test_bed().await;
    let school = bed.school_with("SIMS");
    let repeat = |code, active| {
        let change = CodeChange {
            active,
            ..CodeChange::default()
        };
        bed.sandbox.repeat_code(&school.id, code, change).unwrap()
    };
    let active = repeat("M", Some(true));
    repeat("I", None);
    let said = doctor(&bed, &school, WRITEBACK).await;
    assert_eq!(said.code, 0, "{}", said.out);
    let words = format!("marks use M ({active}, the active one)");
    assert_answer(&said, "codes", "warn", &words);
    assert_answer(&said, "codes", "warn", "has I more than once");

    // For a code in the settings it is an error.
    repeat("L", None);
    let said = doctor(&bed, &school, WRITEBACK).await;
    assert_eq!(said.code, 1, "{}", said.out);
    assert_answer(&said, "codes", "fail", "has L 2 times");
}

#[tokio::test(flavor = "multi_thread")]
async fn unreadable_values_of_people_are_reported_without_the_value() {
    let bed = test_bed().await;
    let school = bed.school_with("SIMS");
    let said = doctor(&bed, &school, WRITEBACK).await;
    assert_answer(&said, "people", "ok", "records of students");
    let pupils = bed.sandbox.students(&school.id).unwrap();
    let pupil = pupils.into_iter().find(|pupil| pupil.on_roll).unwrap().id;
    let pointer = "/education_details/data/admission_date";
    bed.sandbox
        .set_value(
            &school.id,
            &pupil,
            pointer,
            serde_json::json!("in the autumn"),
        )
        .unwrap();
    let said = doctor(&bed, &school, WRITEBACK).await;
    let found = format!("`education_details.admission_date` of {pupil} on page 1");
    assert_answer(&said, "people", "warn", &found);
    assert!(!said.out.contains("in the autumn"));
}

#[tokio::test]
async fn a_probe_reports_forms_and_no_personal_data() {
    let bed = test_bed().await;
    for mis in ["SIMS", "Arbor", "ScholarPack"] {
        let school = bed.school_with(mis);
        let said = doctor_with(&bed, "", &school, "", &["--probe"]).await;
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
        assert!(found("time in ISO format").starts_with("no rows"));
        assert!(found("includes of students").contains("education_details"));
        assert_eq!(found("rate limit headers"), "none");
        let text = report.to_string();
        let students = bed.sandbox.students(&school.id).unwrap();
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
}
