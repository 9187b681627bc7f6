//! `markback users`, on the database of a running service.

use crate::support::markback_on as markback;
use markback::users::{Attempt, SignInError};
use markback_lab::harness::ApiEnv;
use serde_json::{Value, json};

const FIRST: &str = "correct horse battery";
const SECOND: &str = "staple of another kind";

#[tokio::test]
async fn a_user_is_added_changed_and_removed() {
    let world = ApiEnv::new().await;
    let school = world.school.id.as_str();
    let folder = tempfile::tempdir().unwrap();
    let file_of = |password: &str| {
        let path = folder.path().join("password");
        std::fs::write(&path, format!("{password}\n")).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let run = async |args: &[&str]| {
        let said = markback(&world, &[&["users"], args].concat()).await;
        for secret in [FIRST, SECOND] {
            assert!(!said.out.contains(secret) && !said.err.contains(secret));
        }
        said
    };
    let signs_in = async |password: &str| {
        let attempt = Attempt {
            name: "amy".to_owned(),
            password: password.into(),
            peer: None,
            browser: None,
        };
        match world.markback.users().sign_in(attempt).await {
            Ok(_) => true,
            Err(SignInError::Wrong) => false,
            Err(error) => panic!("{error}"),
        }
    };
    let file = file_of(FIRST);
    let add = ["add", "Amy", "--role", "tend", "--school", school];
    let added = run(&[&add[..], &["--shown", "Amy S.", "--password-file", &file]].concat()).await;
    assert_eq!(added.code, 0, "{}", added.err);
    assert!(
        added.out.contains("amy (tend) can sign in"),
        "{}",
        added.out
    );
    assert!(signs_in(FIRST).await);
    let listed = async || -> Value {
        let listed = run(&["ls", "--format", "json"]).await;
        serde_json::from_str(&listed.out).unwrap()
    };
    let found = listed().await;
    let found = &found["users"][0];
    assert_eq!(
        (&found["name"], &found["shown"]),
        (&json!("amy"), &json!("Amy S."))
    );
    assert_eq!(
        (&found["role"], &found["schools"]),
        (&json!("tend"), &json!([school]))
    );
    assert_eq!(
        (&found["state"], &found["created_by"]),
        (&json!("active"), &json!("operator"))
    );
    let table = run(&["ls"]).await;
    for told in ["Amy S.", "tend", school, "active"] {
        assert!(table.out.contains(told), "{told}: {}", table.out);
    }

    let file = file_of(SECOND);
    let set = run(&["passwd", "amy", "--password-file", &file]).await;
    assert_eq!(set.code, 0, "{}", set.err);
    assert!(!signs_in(FIRST).await && signs_in(SECOND).await);
    // The schools stay unless others are named.
    assert_eq!(run(&["role", "amy", "admin"]).await.code, 0);
    assert_eq!(listed().await["users"][0]["schools"], json!([school]));
    assert_eq!(run(&["role", "amy", "set", "--all-schools"]).await.code, 0);
    let found = listed().await;
    let found = &found["users"][0];
    assert_eq!(
        (&found["role"], &found["schools"]),
        (&json!("set"), &Value::Null)
    );
    assert_eq!(run(&["disable", "amy"]).await.code, 0);
    assert!(!signs_in(SECOND).await);
    assert_eq!(run(&["enable", "amy"]).await.code, 0);
    assert!(signs_in(SECOND).await);
    assert_eq!(run(&["remove", "AMY"]).await.code, 0);
    assert!(!signs_in(SECOND).await);
    for again in [
        &["remove", "amy"][..],
        &["disable", "amy"],
        &["role", "amy", "look"],
    ] {
        let said = run(again).await;
        assert_eq!(said.code, 1, "{again:?}");
        assert!(said.err.contains("markback users ls"), "{}", said.err);
    }
}

#[tokio::test]
async fn a_user_with_a_mistake_is_not_added() {
    let world = ApiEnv::new().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    let path = file.to_str().unwrap();
    for (args, password, told) in [
        (&["amy", "--role", "boss"][..], FIRST, "look"),
        (&["a b", "--role", "look"], FIRST, "`name`"),
        (
            &["amy", "--role", "look", "--school", "A0"],
            FIRST,
            "no school `A0`",
        ),
        (&["amy", "--role", "look"], "short", "shorter than 12"),
        (&["amy", "--role", "look"], "", "shorter than 12"),
    ] {
        std::fs::write(&file, password).unwrap();
        let all = [&["users", "add"], args, &["--password-file", path]].concat();
        let said = markback(&world, &all).await;
        assert_eq!(said.code, 2, "{args:?}: {}", said.err);
        assert!(said.err.contains(told), "{args:?}: {}", said.err);
    }
    // Standard input is no terminal here.
    let said = markback(&world, &["users", "add", "amy", "--role", "look"]).await;
    assert_eq!(said.code, 2);
    assert!(said.err.contains("--password-file"), "{}", said.err);
    assert!(world.markback.store().users().await.unwrap().is_empty());
}
