//! Settings that the database keeps: versions, drafts, activation, undo, and moving schools between file and database.

use std::sync::Arc;

use markback::{
    audit_log::Caller,
    configuration::{ChangeError, Configuration, diff},
    operator::Actor,
    service::{Markback, OpenError, Options},
    settings::{self, LoadError, Owner, Settings},
    store::{BesideFile, SettingsKey, Store},
};
use markback_lab::harness::SettingsFolder;
use mis_core::SchoolId;
use outbox::SystemClock;
use proptest::prelude::*;

use crate::support::ann;

const FILE: &str = "
[[template]]
name = 'secondary'
timezone = 'Europe/London'
token_env = 'TOKEN'
[[template.group]]
name = 'Students'
kind = 'students'
writeback.am = { opens = '08:00', late = '09:00' }
writeback.pm = { opens = '12:30', late = '13:00' }
writeback.closes = '15:30'

# The one school of the file.
[[school]]
id = 'F1'
template = 'secondary'
mis = 'SIMS'
";

/// A folder with [`FILE`] for each kind of database.
async fn folders() -> Vec<SettingsFolder> {
    let all = SettingsFolder::each().await;
    for world in &all {
        world.write(FILE);
    }
    all
}

async fn open_node(world: &SettingsFolder) -> Result<Markback, OpenError> {
    Markback::open(world.settings(), Options::default()).await
}

fn school(id: &str) -> SettingsKey {
    SettingsKey::school(id)
}

fn version(settings: &Settings, id: &str) -> Option<String> {
    let school = settings.school(&SchoolId::from(id))?;
    Some(school.version.to_string())
}

fn mis(settings: &Settings, id: &str) -> Option<String> {
    let school = settings.school(&SchoolId::from(id))?;
    school.mis.as_deref().map(str::to_owned)
}

fn problems<T: std::fmt::Debug>(result: Result<T, ChangeError>) -> String {
    match result {
        Err(error @ ChangeError::Problems { .. }) => error.to_string(),
        other => panic!("expected problems, not {other:?}"),
    }
}

#[tokio::test]
async fn a_school_is_added_changed_and_undone() {
    for world in folders().await {
        let mut all = world.configuration().await;
        let key = school("S1");
        let added = all
            .add(&key, "template = 'secondary'\n", false, &ann("new"))
            .await
            .unwrap();
        assert_eq!((added.number, added.active), (1, true));
        assert_eq!(all.owner(&key), Some(Owner::Store));
        let settings = all.settings();
        let found = version(&settings, "S1").unwrap();
        assert!(found.starts_with("store 1 with template file "), "{found}");
        // It shares the rules of the file's template.
        let groups = |id: &str| settings.school(&id.into()).unwrap().groups.clone();
        assert!(Arc::ptr_eq(&groups("S1"), &groups("F1")));

        let text = "# agreed with Ann\ntemplate = 'secondary'\nmis = 'Arbor'\n";
        let draft = all.draft(&key, text, Some(1), &ann("moves")).await.unwrap();
        assert_eq!((draft.number, draft.active), (2, false));
        assert_eq!(mis(&all.settings(), "S1"), None);
        all.activate(&key, Some(2), &ann("now")).await.unwrap();
        assert_eq!(mis(&all.settings(), "S1").as_deref(), Some("Arbor"));
        let again = all.activate(&key, None, &ann("now")).await;
        assert!(
            matches!(again, Err(ChangeError::RulesAlready { number: 2, .. })),
            "{again:?}"
        );

        let undone = all.undo(&key, None, &ann("too early")).await.unwrap();
        assert_eq!((undone.number, undone.active), (3, true));
        assert_eq!(mis(&all.settings(), "S1"), None);
        let versions = world.store.settings_versions(&key).await.unwrap();
        let told: Vec<_> = versions
            .iter()
            .map(|one| (one.number, one.base, one.note.as_deref().unwrap()))
            .collect();
        assert_eq!(
            told,
            [
                (3, 2, "as version 1: too early"),
                (2, 1, "moves"),
                (1, 0, "new")
            ]
        );
        assert_eq!(versions[1].body, text);
        assert_eq!(versions[0].body, versions[2].body);
        let ruled = world.store.settings_activations(&key).await.unwrap();
        let ruled: Vec<_> = ruled.iter().map(|one| one.number).collect();
        assert_eq!(ruled, [Some(3), Some(2), Some(1)]);
        assert_eq!(
            diff(&versions[2].body, text, "1", "2"),
            "--- 1\n+++ 2\n@@ -1 +1,3 @@\n+# agreed with Ann\n template = 'secondary'\n+mis = 'Arbor'\n"
        );
    }
}

#[tokio::test]
async fn a_school_that_was_removed_comes_back_by_undo() {
    for world in folders().await {
        let mut all = world.configuration().await;
        let key = school("S1");
        all.add(&key, "template = 'secondary'\n", false, &ann("new"))
            .await
            .unwrap();
        all.remove(&key, None, &ann("closed")).await.unwrap();
        assert_eq!(all.owner(&key), None);
        let other = world.configuration().await;
        assert_eq!(version(&other.settings(), "S1"), None);
        let again = all.remove(&key, None, &ann("closed")).await;
        assert!(
            matches!(again, Err(ChangeError::Unknown { .. })),
            "{again:?}"
        );
        all.undo(&key, None, &ann("not closed")).await.unwrap();
        let found = version(&all.settings(), "S1").unwrap();
        assert!(found.starts_with("store 2"), "{found}");
    }
}

#[tokio::test]
async fn of_two_people_who_change_at_once_the_second_sees_both() {
    for world in folders().await {
        let mut one = world.configuration().await;
        let key = school("S1");
        one.add(&key, "template = 'secondary'\n", false, &ann("new"))
            .await
            .unwrap();
        let mut other = world.configuration().await;
        let theirs = "template = 'secondary'\nmis = 'Arbor'\n";
        one.draft(&key, theirs, Some(1), &ann("first"))
            .await
            .unwrap();
        let yours = "template = 'secondary'\nmis = 'SIMS'\n";
        match other.draft(&key, yours, Some(1), &ann("second")).await {
            Err(ChangeError::Conflict(conflict)) => {
                assert_eq!(conflict.yours.as_deref(), Some(yours));
                assert_eq!(conflict.base, 1);
                assert_eq!(
                    (conflict.theirs.number, &*conflict.theirs.body),
                    (2, theirs)
                );
                assert_eq!(conflict.theirs.note.as_deref(), Some("first"));
            }
            other => panic!("expected a conflict, not {other:?}"),
        }
        // The first one's draft is newer than the version that is to rule.
        let stale = other.activate(&key, Some(1), &ann("")).await;
        assert!(matches!(stale, Err(ChangeError::Conflict(_))), "{stale:?}");
        assert_eq!(world.store.settings_versions(&key).await.unwrap().len(), 2);
    }
}

#[tokio::test]
async fn many_people_at_once_get_numbers_without_gaps() {
    for world in folders().await {
        let mut all = world.configuration().await;
        let key = school("S1");
        all.add(&key, "template = 'secondary'\n", false, &ann("new"))
            .await
            .unwrap();
        let writers = (0..8).map(|number| {
            let mut own = all.clone();
            let key = key.clone();
            tokio::spawn(async move {
                let text = format!("template = 'secondary'\n# {number}\n");
                let mut written = 0;
                while written == 0 {
                    match own.draft(&key, &text, None, &ann("")).await {
                        Ok(draft) => written = draft.number,
                        // Somebody was faster between the look and the write.
                        Err(ChangeError::Conflict(_)) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
                written
            })
        });
        let mut numbers: Vec<u32> = Vec::new();
        for writer in writers.collect::<Vec<_>>() {
            numbers.push(writer.await.unwrap());
        }
        numbers.sort_unstable();
        assert_eq!(numbers, (2..10).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_draft_with_problems_is_kept_and_never_rules() {
    for world in folders().await {
        let mut all = world.configuration().await;
        let key = school("S1");
        all.add(&key, "template = 'secondary'\n", false, &ann("new"))
            .await
            .unwrap();
        let text = "template = 'secundary'\ntimezone = 'Europe/Lundon'\n";
        let draft = all.draft(&key, text, None, &ann("")).await.unwrap();
        assert_eq!(draft.problems.len(), 2, "{:?}", draft.problems);
        assert_eq!(draft.problems[0].line, Some(1));
        let refused = problems(all.activate(&key, None, &ann("")).await);
        assert!(
            refused.contains("school S1, version 2:1: template"),
            "{refused}"
        );
        assert!(
            refused.contains("school S1, version 2:2: timezone"),
            "{refused}"
        );
        let rules = version(&world.configuration().await.settings(), "S1").unwrap();
        assert!(rules.starts_with("store 1"), "{rules}");
    }
}

#[tokio::test]
async fn a_template_rules_only_if_every_school_that_names_it_holds() {
    for world in folders().await {
        let mut all = world.configuration().await;
        let template = SettingsKey::template("primary");
        let text = "timezone = 'Europe/London'\ntoken_env = 'PRIMARY'\n";
        all.add(&template, text, false, &ann("new")).await.unwrap();
        for id in ["S1", "S2"] {
            all.add(&school(id), "template = 'primary'\n", false, &ann("new"))
                .await
                .unwrap();
        }
        assert_eq!(
            version(&all.settings(), "S1").as_deref(),
            Some("store 1 with template store 1")
        );
        let without = "timezone = 'Europe/London'\n";
        let told = problems(all.check(&template, "draft", without).await);
        assert!(told.contains("school S1, version 1: token_env"), "{told}");
        assert!(told.contains("school S2, version 1: token_env"), "{told}");
        all.draft(&template, without, None, &ann("")).await.unwrap();
        problems(all.activate(&template, None, &ann("")).await);
        problems(all.remove(&template, None, &ann("")).await);

        let other = "timezone = 'Europe/Dublin'\ntoken_env = 'PRIMARY'\n";
        all.draft(&template, other, None, &ann("")).await.unwrap();
        all.activate(&template, None, &ann("")).await.unwrap();
        let settings = all.settings();
        let timezone = settings.school(&"S2".into()).unwrap().timezone;
        assert_eq!(timezone, chrono_tz::Europe::Dublin);
        assert_eq!(
            version(&settings, "S2").as_deref(),
            Some("store 1 with template store 3")
        );
    }
}

#[tokio::test]
async fn what_another_process_activated_is_checked_with_under_the_lock() {
    for world in folders().await {
        let mut one = world.configuration().await;
        let template = SettingsKey::template("primary");
        let text = "timezone = 'Europe/London'\ntoken_env = 'PRIMARY'\n";
        one.add(&template, text, false, &ann("new")).await.unwrap();
        let mut other = world.configuration().await;
        one.remove(&template, None, &ann("")).await.unwrap();
        // It still believes that there is such a template.
        let told = problems(
            other
                .add(&school("S1"), "template = 'primary'\n", false, &ann(""))
                .await,
        );
        assert!(told.contains("there is no such template"), "{told}");
    }
}

#[tokio::test]
async fn a_school_has_one_owner() {
    for world in folders().await {
        let mut all = world.configuration().await;
        let of_file = school("F1");
        assert_eq!(all.owner(&of_file), Some(Owner::File));
        let add = all
            .add(&of_file, "template = 'secondary'\n", false, &ann(""))
            .await;
        assert!(matches!(add, Err(ChangeError::OfFile { .. })), "{add:?}");
        let draft = all.draft(&of_file, "", None, &ann("")).await;
        assert!(
            matches!(draft, Err(ChangeError::OfFile { .. })),
            "{draft:?}"
        );
        let unknown = all.draft(&school("S9"), "", None, &ann("")).await;
        assert!(
            matches!(unknown, Err(ChangeError::Unknown { .. })),
            "{unknown:?}"
        );

        // The file gains a school that the database has.
        all.add(&school("S1"), "template = 'secondary'\n", false, &ann(""))
            .await
            .unwrap();
        let node = open_node(&world).await.unwrap();
        world.write(&format!(
            "{FILE}\n[[school]]\nid = 'S1'\ntemplate = 'secondary'\n"
        ));
        let refused = node.reload(world.settings()).await.unwrap_err().to_string();
        assert!(
            refused.contains("the store has this school as well"),
            "{refused}"
        );
        let rules = version(&node.settings(), "S1").unwrap();
        assert!(rules.starts_with("store 1"), "{rules}");
        match open_node(&world).await {
            Err(OpenError::Settings(LoadError::Problems { problems, .. })) => {
                assert_eq!(problems[0].value.as_deref(), Some("S1"));
            }
            other => panic!("expected problems, not {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_school_moves_from_the_file_to_the_database_and_back() {
    for world in folders().await {
        let mut all = world.configuration().await;
        let key = school("F1");
        all.adopt(&["F1".to_owned()], &ann("to be edited"))
            .await
            .unwrap();
        assert_eq!(all.owner(&key), Some(Owner::Store));
        let kept = all.present(&key).await.unwrap().unwrap();
        assert_eq!(
            kept.body,
            "# The one school of the file.\ntemplate = 'secondary'\nmis = 'SIMS'\n"
        );
        let again = all.adopt(&["F1".to_owned()], &ann("")).await;
        assert!(
            matches!(again, Err(ChangeError::Exists { .. })),
            "{again:?}"
        );

        // The entry of the file counts no more, and a hint says so.
        let hints = all.hints();
        assert!(
            hints[0]
                .message
                .starts_with("the store owns this school since 20"),
            "{}",
            hints[0]
        );
        let node = open_node(&world).await.unwrap();
        assert_eq!(node.settings().schools.len(), 1);
        all.draft(
            &key,
            "template = 'secondary'\nmis = 'Arbor'\n",
            None,
            &ann(""),
        )
        .await
        .unwrap();
        all.activate(&key, None, &ann("")).await.unwrap();
        assert_eq!(node.refresh_settings().await.unwrap(), ["F1".into()]);
        assert_eq!(mis(&node.settings(), "F1").as_deref(), Some("Arbor"));

        // Released, it goes by the file as soon as that has it.
        world.write(&FILE.replace("id = 'F1'", "id = 'F2'"));
        node.reload(world.settings()).await.unwrap();
        let mut all = world.configuration().await;
        all.release(&["F1".to_owned()], &ann("")).await.unwrap();
        node.refresh_settings().await.unwrap();
        assert_eq!(mis(&node.settings(), "F1").as_deref(), Some("Arbor"));
        let exported = all.export(&["F1".to_owned()]).await.unwrap();
        let whole = format!(
            "{}{}",
            FILE.replace("id = 'F1'", "id = 'F2'"),
            exported
                .split_once("[[school]]")
                .map(|(_, school)| format!("[[school]]{school}"))
                .unwrap()
        );
        world.write(&whole);
        node.reload(world.settings()).await.unwrap();
        assert_eq!(mis(&node.settings(), "F1").as_deref(), Some("Arbor"));
        let rules = version(&node.settings(), "F1").unwrap();
        assert!(rules.starts_with("file "), "{rules}");
        assert_eq!(world.configuration().await.owner(&key), Some(Owner::File));
        let rows = world.store.settings_summaries().await.unwrap();
        assert_eq!(rows[0].beside_file, BesideFile::File);
    }
}

#[tokio::test]
async fn a_file_is_imported_whole_or_not_at_all() {
    for world in folders().await {
        let mut all = world.configuration().await;
        let path = world.path("more.toml");
        let bad = "listen = '[::]:1'\n[[template]]\nname = 'primary'\ntimezone = 'Europe/London'\ntoken_env = 'P'\n\
                   [[school]]\nid = 'S1'\ntemplate = 'primary'\n[[school]]\nid = 'F1'\ntemplate = 'primary'\n\
                   [[school]]\nid = 'S2'\ntemplate = 'primery'\n";
        std::fs::write(&path, bad).unwrap();
        let told = problems(all.import(&path, &ann("")).await);
        for part in [
            "listen",
            "the file has it already",
            "did you mean `primary`?",
        ] {
            assert!(told.contains(part), "{part} in {told}");
        }
        assert!(world.store.settings_summaries().await.unwrap().is_empty());

        let good = "[[template]]\nname = 'primary'\ntimezone = 'Europe/London'\ntoken_env = 'P'\n\
                    [[school]]\nid = 'S1'\ntemplate = 'primary'\n[[school]]\nid = 'S2'\ntemplate = 'secondary'\n";
        std::fs::write(&path, good).unwrap();
        let (written, _) = all.import(&path, &ann("")).await.unwrap();
        assert_eq!(written.len(), 3);
        let list = world.path("more.csv");
        std::fs::write(
            &list,
            "id,template,token_env\nS3,primary,\nS4,secondary,FOUR\n",
        )
        .unwrap();
        all.import(&list, &ann("")).await.unwrap();
        let settings = world.configuration().await.settings();
        let ids: Vec<_> = settings.schools.iter().map(|one| one.id.as_str()).collect();
        assert_eq!(ids, ["F1", "S1", "S2", "S3", "S4"]);
        let again = all.import(&list, &ann("")).await;
        assert!(problems(again).contains("the store has it already"));
    }
}

#[tokio::test]
async fn every_node_goes_by_what_another_activated() {
    for world in folders().await {
        let (one, other) = if world.url.starts_with("sqlite") {
            let node = open_node(&world).await.unwrap();
            (node.clone(), node)
        } else {
            (
                open_node(&world).await.unwrap(),
                open_node(&world).await.unwrap(),
            )
        };
        let mut all = one.configuration().await;
        let key = school("S1");
        all.add(&key, "template = 'secondary'\n", false, &ann(""))
            .await
            .unwrap();
        assert_eq!(other.school(&"S1".into()).map(|one| one.id), None);
        assert_eq!(other.refresh_settings().await.unwrap(), ["S1".into()]);
        assert!(other.school(&"S1".into()).is_some());
        assert!(other.refresh_settings().await.unwrap().is_empty());
        all.remove(&key, None, &ann("")).await.unwrap();
        assert_eq!(other.refresh_settings().await.unwrap(), ["S1".into()]);
        assert!(other.school(&"S1".into()).is_none());
        drop(one);
    }
}

#[tokio::test]
async fn a_version_that_a_node_cannot_read_leaves_the_school_as_it_was_and_is_told() {
    for world in folders().await {
        let node = open_node(&world).await.unwrap();
        let mut all = world.configuration().await;
        let key = school("S1");
        all.add(
            &key,
            "template = 'secondary'\nmis = 'SIMS'\n",
            false,
            &ann(""),
        )
        .await
        .unwrap();
        node.refresh_settings().await.unwrap();
        // Another node has a settings file with a template that this one does not have.
        world.write(&format!("{FILE}\n[[template]]\nname = 'new'\n"));
        let mut newer = world.configuration().await;
        let text = "template = 'new'\nmis = 'Arbor'\ntimezone = 'Europe/London'\ntoken_env = 'T'\n";
        newer.draft(&key, text, None, &ann("")).await.unwrap();
        newer.activate(&key, None, &ann("")).await.unwrap();
        node.refresh_settings().await.unwrap();
        assert_eq!(mis(&node.settings(), "S1").as_deref(), Some("SIMS"));
        let all = node.configuration().await;
        let (whose, trouble) = all.troubles().next().unwrap();
        assert_eq!(whose, &key);
        assert!(
            trouble.message.contains("there is no such template"),
            "{trouble}"
        );
        node.reload(world.settings()).await.unwrap();
        assert_eq!(mis(&node.settings(), "S1").as_deref(), Some("Arbor"));
        assert_eq!(node.configuration().await.troubles().next(), None);
    }
}

#[tokio::test]
async fn a_file_without_schools_is_taken_for_a_slip_unless_the_database_has_them() {
    for world in folders().await {
        let node = Markback::open(world.settings(), Options::default())
            .await
            .unwrap();
        world.write("");
        let refused = node.reload(world.settings()).await.unwrap_err().to_string();
        for told in ["1 are served by it", "restart the service", "schools adopt"] {
            assert!(refused.contains(told), "{refused}");
        }
        assert!(node.school(&"F1".into()).is_some());
        // An emptied file is what comes after all of its schools have moved.
        world.write(FILE);
        let mut all = world.configuration().await;
        all.adopt(&["F1".to_owned()], &ann("")).await.unwrap();
        node.refresh_settings().await.unwrap();
        let template = FILE.split("# The one school").next().unwrap();
        world.write(template);
        node.reload(world.settings()).await.unwrap();
        assert!(node.school(&"F1".into()).is_some());
    }
}

#[tokio::test]
async fn how_marks_are_gathered_follows_the_file_and_the_rest_needs_a_restart() {
    for world in folders().await {
        let node = Markback::open(world.settings(), Options::default())
            .await
            .unwrap();
        world.write(&format!(
            "gather = {{ window = '7s' }}\nworkers = {{ confirm_after = '9s', lease = '50s' }}\nrate_per_minute = 7\n{FILE}"
        ));
        let reloaded = node.reload(world.settings()).await.unwrap();
        assert_eq!(reloaded.needs_restart, ["workers", "rate_per_minute"]);
        let service = node.settings().service.clone();
        assert_eq!(service.gather.window.as_secs(), 7);
        assert_eq!(service.workers.confirm_after.as_secs(), 9);
        assert_eq!(service.workers.lease.as_secs(), 20);
        // The same once more differs no further than before.
        let again = node.reload(world.settings()).await.unwrap();
        assert_eq!(again.needs_restart, ["workers", "rate_per_minute"]);
    }
}

/// A random settings file of templates and schools, and what a person may write around them.
fn some_file() -> impl Strategy<Value = String> {
    let comment = prop_oneof![
        Just(""),
        Just("# Ask Ann first.\n"),
        Just("\n# 9:00 \"sharp\" [[school]]\n")
    ];
    // With placeholders for the table that it belongs to, and for its name.
    let group = (0..60u32, 0..30u32, any::<bool>(), comment.clone()).prop_map(
        |(late, later, present, comment)| {
            format!(
                "{comment}[[PREFIX.group]]\nname = 'NAME'\nkind = 'students'\nyears = ['{late}']\n\
                 [PREFIX.group.writeback] # by the handbook\npresent = {present}\ncloses = '15:30'\n\
                 am = {{ opens = '08:00', late = '09:{late:02}', unauthorised = '10:{later:02}' }}\n\
                 pm = {{ opens = '12:00', late = '13:{later:02}' }}\n"
            )
        },
    );
    let group_of = |group: &str, prefix: &str, name: &str| {
        group.replace("PREFIX", prefix).replace("NAME", name)
    };
    let school = (
        any::<bool>(),
        prop::option::of(prop::sample::select(vec!["SIMS", "Arbor", "Bromcom"])),
        prop::option::of(prop::sample::select(vec![
            "comment",
            "early_leaver",
            "minutes_late",
        ])),
        prop::sample::select(vec!["token_env = 'OWN'\n", "token_file = 'to/ken'\n"]),
        prop::collection::vec(group.clone(), 0..3),
        comment,
        any::<bool>(),
    );
    (group, prop::collection::vec(school, 1..5)).prop_map(move |(shared, schools)| {
        let mut text = format!(
            "[[template]]\nname = 'shared'\ntimezone = 'Europe/London'\ntoken_env = 'SHARED'\n{}",
            group_of(&shared, "template", "Shared")
        );
        for (number, (templated, mis, without, token, groups, comment, by_upn)) in
            schools.into_iter().enumerate()
        {
            text += &format!("\n{comment}[[school]]\n");
            text += if templated {
                "template = 'shared'\n"
            } else {
                "timezone = 'Europe/Dublin'\n"
            };
            text += &format!("id = 'S{number}' # {number}\n");
            if !templated {
                text += token;
            }
            if let Some(mis) = mis {
                text += &format!("mis = '{mis}'\n");
            }
            if let Some(word) = without {
                text += &format!("without = [\n  '{word}', # not used\n]\n");
            }
            if by_upn {
                text += "persons.by = ['upn', 'id']\n";
            }
            for (place, group) in groups.into_iter().enumerate() {
                text += &group_of(&group, "school", &format!("Group {place}"));
            }
        }
        text
    })
}

/// Everything that a school goes by, without its version.
fn goes_by(settings: &Settings) -> Vec<String> {
    let mut schools: Vec<_> = settings
        .schools
        .iter()
        .map(|one| {
            format!(
                "{} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
                one.id,
                one.mis,
                one.timezone,
                one.token,
                one.without,
                one.persons,
                one.calendar,
                one.groups
            )
        })
        .collect();
    schools.sort();
    schools
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]

    #[test]
    fn what_is_imported_and_exported_decides_the_same(text in some_file()) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("markback.toml");
            let first = settings::from_text(&path, &text).unwrap().settings;
            std::fs::write(&path, "").unwrap();
            let (more, again) = (folder.path().join("more.toml"), folder.path().join("again.toml"));
            std::fs::write(&more, &text).unwrap();
            let store = Store::open("sqlite::memory:", outbox::Settings::default(), Arc::new(SystemClock));
            let store = store.await.unwrap();
            let empty = settings::load(&path).unwrap().settings;
            let mut all = Configuration::open(store, empty).await.unwrap();
            all.import(&more, &ann("")).await.unwrap();
            assert_eq!(goes_by(&all.settings()), goes_by(&first));
            let exported = all.export(&[]).await.unwrap();
            std::fs::write(&again, &exported).unwrap();
            let last = settings::load(&again).unwrap().settings;
            assert_eq!(goes_by(&last), goes_by(&first), "{exported}");
            // No comment is lost.
            assert_eq!(exported.matches('#').count(), text.matches('#').count(), "{exported}");
        });
    }
}

/// A caller who has proved to be this user, whatever they call themselves.
fn user(name: &str) -> Actor {
    Actor {
        caller: Caller::user(Some(name.to_owned())),
        ..ann("")
    }
}

#[tokio::test]
async fn with_four_eyes_somebody_else_activates() {
    for world in SettingsFolder::each().await {
        world.write(&format!("four_eyes = true\n{FILE}"));
        let (ann, ben) = (user("ann"), user("ben"));
        let key = school("A1");
        let mut all = world.configuration().await;
        let text = "template = 'secondary'\n";
        let error = all.add(&key, text, false, &ann).await.unwrap_err();
        assert!(
            matches!(error, ChangeError::FourEyesForNew { .. }),
            "{error}"
        );
        all.add(&key, text, true, &ann).await.unwrap();
        let later = chrono::NaiveDate::from_ymd_opt(2099, 1, 5).unwrap();
        for error in [
            all.activate(&key, None, &ann).await.unwrap_err(),
            all.activate_from(&key, None, later, &ann)
                .await
                .unwrap_err(),
            // Nobody knows who this is.
            all.activate(&key, None, &Actor::default())
                .await
                .unwrap_err(),
        ] {
            assert!(
                matches!(error, ChangeError::FourEyes { number: 1, .. }),
                "{error}"
            );
        }
        all.activate(&key, None, &ben).await.unwrap();

        // The second version is Ben's, so it is Ann who looks at it.
        let second = "template = 'secondary'\nmis = 'Arbor'\n";
        all.draft(&key, second, None, &ben).await.unwrap();
        assert!(all.activate(&key, None, &ben).await.is_err());
        let error = all.undo(&key, Some(2), &ann).await.unwrap_err();
        assert!(
            matches!(error, ChangeError::NeverRuled { number: 2, .. }),
            "{error}"
        );
        all.activate(&key, Some(2), &ann).await.unwrap();
        assert_eq!(mis(&all.settings(), "A1").as_deref(), Some("Arbor"));

        // What has ruled is brought back by one alone.
        all.undo(&key, None, &ann).await.unwrap();
        assert_eq!(mis(&all.settings(), "A1"), None);
    }
}
