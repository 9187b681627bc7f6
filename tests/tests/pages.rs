//! The pages in a real browser. Node.js runs `tests/browser` with playwright-core and axe-core on Chromium, against a service
//! with a day of events. Where one of them is missing, the test is skipped in one line.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed assertion may panic"
)]

use std::{
    env,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use markback_lab::harness::KEY;
use markback_tests::{Service, World, at, run, school_day, sign_in};
use serde_json::{Value, json};
use tokio::process::Command;
use wonde_sandbox::{Access, Change, Fault, FaultRule, SchoolInfo, StudentInfo};

const MARKBACK: &str = env!("CARGO_BIN_EXE_markback-under-test");
/// Set in CI, where a skipped test is an error.
const REQUIRED: &str = "MARKBACK_REQUIRE_CHROMIUM";
/// The one file of tests to run, as `desk` for `desk.test.mjs`; all of them without it.
const ONLY: &str = "MARKBACK_BROWSER_TEST";
const PASSWORD: &str = "correct horse battery staple";
/// A name whose letters are not all on an English keyboard.
const ACCENTED: (&str, &str) = ("Éloïse", "O’Ñíguez");
/// A name that a page must not take for tags.
const TAGGED: (&str, &str) = ("<b>Bo</b>", "<img src=x>");

/// What the browser tests need.
struct Tools {
    chromium: PathBuf,
    /// The folder with `node_modules`, which `.ci/pages install` fills.
    packages: PathBuf,
}

impl Tools {
    fn find() -> Result<Self, String> {
        let chromium = on_path("chromium").ok_or("Chromium is not installed")?;
        on_path("node").ok_or("Node.js is not installed")?;
        let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/browser-tools");
        for package in ["playwright-core", "axe-core"] {
            if !packages.join("node_modules").join(package).is_dir() {
                return Err(format!(
                    "{package} is not installed; run `.ci/pages install`"
                ));
            }
        }
        let packages = packages.canonicalize().map_err(|error| error.to_string())?;
        Ok(Self { chromium, packages })
    }
}

fn on_path(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_hold_in_a_browser() {
    let tools = match Tools::find() {
        Ok(tools) => tools,
        Err(missing) => {
            assert!(
                env::var_os(REQUIRED).is_none(),
                "{REQUIRED} is set, and {missing}"
            );
            eprintln!("skipped: no pages in a browser, because {missing}");
            return;
        }
    };
    // Two thousand are on roll.
    let world = World::of_size(2_300, GROUPS).await;
    let [school, kept, unread] = &world.sandbox.schools()[..] else {
        panic!("the sandbox has three schools");
    };
    rename(&world, school);
    // Nobody reads the people of this school.
    world
        .sandbox
        .set_access(&unread.id, Access::Revoked)
        .unwrap();
    // The first start makes the database.
    let service = Service::start(MARKBACK, &world, "SIMS").await;
    assert_eq!(
        service.events(),
        format!("/v1/schools/{}/events", school.id)
    );
    let users = users(&world).await;
    adopt(&world, kept).await;
    fill(&service, &world).await;
    let described = json!({
        "address": service.address(),
        "password": PASSWORD,
        "key": KEY,
        "users": users,
        "school": school.id,
        "empty": unread.id,
        "stored": kept.id,
        "date": school_day().to_string(),
        "pupils": ids(&world, school),
        "storedPupils": ids(&world, kept),
        "tagged": format!("{} {}", TAGGED.0, TAGGED.1),
        "accented": format!("{} {}", ACCENTED.0, ACCENTED.1),
    });
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser");
    let output = Command::new("node")
        .args(["--test", "--test-concurrency=1", "--test-reporter=spec"])
        .args(tests_in(&folder))
        .env("MARKBACK_PAGES", described.to_string())
        .env("MARKBACK_CHROMIUM", &tools.chromium)
        .env("MARKBACK_BROWSER_TOOLS", &tools.packages)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
}

/// The files with tests. Node.js would also take those that it finds elsewhere.
fn tests_in(folder: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder).unwrap();
    let paths = files.map(|file| file.unwrap().path());
    let mut tests: Vec<_> = paths
        .filter(|path| match env::var(ONLY) {
            Ok(only) => path.ends_with(format!("{only}.test.mjs")),
            Err(_) => path.to_string_lossy().ends_with(".test.mjs"),
        })
        .collect();
    tests.sort();
    assert!(!tests.is_empty());
    tests
}

/// Gives two of the school's pupils names that are hard for a page: one of them has an event, the other has none.
fn rename(world: &World, school: &SchoolInfo) {
    let pupils = world.pupils(school);
    for (pupil, (forename, surname)) in [(&pupils[0], TAGGED), (&pupils[199], ACCENTED)] {
        let change = Change::Rename {
            student: pupil.id.clone(),
            forename: Some(forename.to_owned()),
            surname: Some(surname.to_owned()),
        };
        world.sandbox.change(&school.id, &change).unwrap();
    }
}

/// The ids of a few pupils for whom `fill` makes no event.
fn ids(world: &World, school: &SchoolInfo) -> Vec<String> {
    let pupils = world.pupils(school).into_iter();
    pupils.skip(200).take(10).map(|pupil| pupil.id).collect()
}

/// Runs a command that must succeed.
async fn markback(args: &[&str], input: &str) {
    let done = run(MARKBACK, args, input).await;
    assert_eq!(done.code, 0, "{done:?}");
}

/// Moves a school from the settings file into the store, so that its rules can be changed on the pages.
async fn adopt(world: &World, school: &SchoolInfo) {
    let settings = world.settings_path();
    let settings = settings.to_str().unwrap();
    markback(&["schools", "adopt", &school.id, "--config", settings], "").await;
}

/// A user of each role. Returns their names by role.
async fn users(world: &World) -> Value {
    let settings = world.settings_path();
    let settings = settings.to_str().unwrap();
    let mut names = json!({});
    for role in ["look", "tend", "set", "admin"] {
        let name = format!("{role}@school.example");
        let (role_of, file) = (["--role", role], ["--password-file", "-"]);
        let args = [
            &["users", "add", &name],
            &role_of[..],
            &file,
            &["--config", settings],
        ]
        .concat();
        markback(&args, PASSWORD).await;
        names[role] = json!(name);
    }
    names
}

/// A group whose reasons contain a code that the school does not have, and characters of HTML.
const GROUPS: &str = r#"
name = "St <i>Mary’s</i> & All Saints"
[[school.group]]
name = "Pupils"
kind = "students"

[[school.group.field]]
name = "Why?"
on = "sign_in"
options = ["<b>Bus</b> & train", "Overslept", "M - Medical appointment", "Ω - Unknown code"]

[school.group.writeback]
present = true
closes = "15:30"
am = { late = "09:00", unauthorised = "09:20" }
pm = { late = "13:00", unauthorised = "13:15" }
protected = ["/", "\\"]
custom_codes = { sign_in = "Why?" }
comment = { sign_in = "Why?" }
"#;

/// A day with every kind of outcome.
async fn fill(service: &Service, world: &World) {
    let school = &world.sandbox.schools()[0];
    let pupils = world.pupils(school);
    let events: Vec<Value> = pupils
        .iter()
        .take(120)
        .enumerate()
        .map(|(n, pupil)| {
            let (hour, minute) = (8 + n / 60, n % 60);
            let answer = match n % 10 {
                7 => "<b>Bus</b> & train",
                8 => "M - Medical appointment",
                9 => "Ω - Unknown code",
                _ => "Overslept",
            };
            json!({
                "id": format!("day-{n}"),
                "person": pupil.id,
                "kind": "sign_in",
                "at": at(&format!("{hour:02}:{minute:02}:00")),
                "answers": {"Why?": answer},
            })
        })
        .collect();
    let events = json!(events).to_string();
    // Until the people are known.
    let answer = loop {
        let answer = service.post(events.as_str()).await;
        if answer.status != 503 {
            break answer;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    assert_eq!(answer.status, 202, "{answer:?}");
    // The fault that follows is for none of these.
    for n in 0..120 {
        service
            .wait_for(&format!("day-{n}"), |event| {
                event["state"] != "received"
                    && event["state"] != "planned"
                    && event["state"] != "sent"
            })
            .await;
    }
    refuse_marks(service, world, &pupils[150..153]).await;
}

/// Sign-ins whose marks the MIS refuses.
async fn refuse_marks(service: &Service, world: &World, pupils: &[StudentInfo]) {
    let message = Some("<b>Locked</b> & closed".to_owned());
    let rule = FaultRule::new(Fault::RejectWriteback { message });
    world.sandbox.add_fault(rule.method("POST")).unwrap();
    let ids: Vec<_> = (0..pupils.len()).map(|n| format!("refused-{n}")).collect();
    let signed_in = ids.iter().zip(pupils);
    let events: Vec<_> = signed_in
        .map(|(id, pupil)| sign_in(id, pupil, "09:05:00"))
        .collect();
    let answer = service.post(json!(events).to_string()).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    for id in &ids {
        service.wait_until(id, "rejected").await;
    }
    world.sandbox.clear_faults();
}
