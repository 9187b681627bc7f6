//! The commands about people: syncs paused until a day, and the rehearsal of a change of the MIS.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may stop at the first surprise"
)]

mod cli_support;

use cli_support::{Said, markback};
use wonde_sandbox::{Sandbox, SandboxOptions};

/// A school in a sandbox with settings beside its store.
struct World {
    sandbox: Sandbox,
    school: String,
    folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let options = SandboxOptions {
            schools: 1,
            pupils_per_school: 30,
            history_days: 0,
            ..SandboxOptions::default()
        };
        let sandbox = Sandbox::start(options).await.unwrap();
        let school = sandbox.schools().remove(0).id;
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("token"), sandbox.token()).unwrap();
        let text = format!(
            "wonde_url = '{}'\nstore = 'sqlite:{}'\nrate_per_minute = 60000\n[[school]]\nid = '{school}'\n\
             mis = 'SIMS'\ntoken_file = 'token'\ntimezone = 'Europe/London'\n\
             [[school.group]]\nname = 'Pupils'\nkind = 'students'\nhouses = ['*']\ninclude = ['A1']\n\
             [[school.group]]\nname = 'All'\nkind = 'students'\n\
             [school.group.writeback]\ncloses = '15:30'\nam = {{ late = '09:00' }}\n\
             [[school.group]]\nname = 'Staff'\nkind = 'staff'\nproperties = ['name', 'email']\n",
            sandbox.base_url(),
            path("markback.db").display(),
        );
        std::fs::write(path("markback.toml"), text).unwrap();
        Self {
            sandbox,
            school,
            folder,
        }
    }

    async fn run(&self, args: &[&str]) -> Said {
        let config = self.folder.path().join("markback.toml");
        let mut args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        args.extend(["--config".to_owned(), config.display().to_string()]);
        tokio::task::spawn_blocking(move || markback(args))
            .await
            .unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn syncs_are_paused_until_a_day_and_the_status_says_so() {
    let world = World::new().await;
    let said = world.run(&["sync"]).await;
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    let said = world.run(&["sync", "--pause-until", "2090-09-01"]).await;
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    assert!(said.out.contains("2090-09-01"), "{}", said.out);
    let status = world.run(&["status", "--format", "json"]).await.json();
    assert_eq!(
        status["schools"][0]["sync_paused_until"],
        "2090-08-31T23:00:00Z"
    );
    assert!(world.run(&["status"]).await.out.contains("--resume"));
    // Whoever asks is answered all the same.
    assert_eq!(world.run(&["sync", "--full"]).await.code, 0);
    let said = world.run(&["sync", "--resume"]).await;
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    let status = world.run(&["status", "--format", "json"]).await.json();
    assert!(status["schools"][0]["sync_paused_until"].is_null());
    for (args, code) in [
        (["--pause-until", "2019-09-01"], 2),
        (["--pause-until", "01/09/2090"], 2),
    ] {
        let said = world.run(&["sync", args[0], args[1]]).await;
        assert_eq!(said.code, code, "{}", said.err);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_mis_is_rehearsed_by_name() {
    let world = World::new().await;
    let rehearse = ["migrate", "rehearse", "--school", &world.school, "--to"];
    let with = |to: &'static str| [rehearse.as_slice(), &[to]].concat();
    let said = world.run(&with("ScholarPack")).await;
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    assert!(said.out.contains("lost: session"), "{}", said.out);
    assert!(
        said.out.contains("`writeback` has no effect"),
        "{}",
        said.out
    );
    assert!(
        said.out.contains("must be changed or removed"),
        "{}",
        said.out
    );
    let said = world.run(&with("Bromcomm")).await;
    assert_eq!(said.code, 2);
    assert!(said.err.contains("Bromcom"), "{}", said.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_mis_is_rehearsed_with_its_people_and_nothing_is_kept() {
    let world = World::new().await;
    let token = world.folder.path().join("token").display().to_string();
    let rehearse = [
        "migrate",
        "rehearse",
        "--school",
        &world.school,
        "--format",
        "json",
        "--to",
        &token,
    ];
    let said = world.run(&rehearse).await;
    assert_eq!(said.code, 2, "nobody has been read: {}", said.out);
    assert_eq!(world.run(&["sync"]).await.code, 0);
    let before = world
        .run(&["groups", "export", "--format", "json"])
        .await
        .out;
    world.sandbox.renumber(&world.school).unwrap();
    let said = world.run(&rehearse).await;
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    let report = said.json();
    let of = |kind: &str| {
        let people = report["people"].as_array().unwrap();
        people.iter().find(|one| one["kind"] == kind).unwrap()
    };
    let pupils = world.sandbox.students(&world.school).unwrap();
    let here = pupils.iter().filter(|pupil| pupil.on_roll).count();
    assert_eq!(of("student")["matched"]["count"], here);
    assert_eq!(of("student")["new"]["count"], 0);
    assert!(of("staff")["proposed"]["count"].as_u64().unwrap() > 0);
    assert!(!said.out.contains('@'), "no address is shown");
    assert_eq!(
        world
            .run(&["groups", "export", "--format", "json"])
            .await
            .out,
        before
    );
    // The sync itself holds the staff until a person accepts it, and everybody keeps the key.
    let said = world.run(&["sync", "--full"]).await;
    assert_eq!(said.code, 1, "{}", said.out);
    assert!(said.out.contains("another MIS, staff"), "{}", said.out);
    let said = world.run(&["sync", "--accept"]).await;
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    let keys = |text: &str| {
        let groups: serde_json::Value = serde_json::from_str(text).unwrap();
        let people = groups["groups"].as_array().unwrap().iter();
        let people = people.flat_map(|group| group["people"].as_array().unwrap().iter());
        let mut keys: Vec<_> = people
            .map(|one| one["id"].as_str().unwrap().to_owned())
            .collect();
        keys.sort();
        keys
    };
    let after = world
        .run(&["groups", "export", "--format", "json"])
        .await
        .out;
    assert_eq!(keys(&after), keys(&before));
    assert_ne!(after, before, "the ids at Wonde are others");
}
