//! Tokens that the database keeps, sealed: set, listed, sealed again, and never shown.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use markback::{
    configuration::{Configuration, TokenError},
    service::{Markback, Options},
    settings,
    store::{SettingsKey, TokenChange},
};
use markback_lab::harness::SettingsFolder;
use mis_core::SchoolId;
use rstest::rstest;
use secrecy::{ExposeSecret as _, SecretString};

use crate::support::ann;

const FILE_SCHOOL: &str = "[[school]]\nid = 'F1'\ntimezone = 'Europe/London'\ntoken_env = 'T'\n";
const SCHOOL: &str = "timezone = 'Europe/London'\n";

/// A folder with two keys for each kind of database.
async fn folders() -> Vec<SettingsFolder> {
    let all = SettingsFolder::each().await;
    for world in &all {
        for (name, byte) in [("first", 1), ("second", 2)] {
            std::fs::write(world.path(name), STANDARD.encode([byte; 32])).unwrap();
        }
    }
    all
}

/// The settings with these keys of the service.
async fn with(world: &SettingsFolder, service: &str) -> Configuration {
    world.write(&format!("{service}\n{FILE_SCHOOL}"));
    world.configuration().await
}

/// The tokens as the schools have them.
fn tokens(all: &Configuration) -> Vec<Result<String, String>> {
    let settings = all.settings();
    let schools = settings
        .schools
        .iter()
        .filter(|one| one.id.as_str() != "F1");
    schools
        .map(|school| match school.token() {
            Ok(token) => Ok(token.expose_secret().to_owned()),
            Err(error) => Err(error.to_string()),
        })
        .collect()
}

fn secret(text: &str) -> SecretString {
    text.to_owned().into()
}

const FIRST: &str = "seal_key_file = 'first'";

/// Schools S1 and S2 with the tokens `hush-1` and `hush-2`, sealed with the first key.
async fn two_schools(world: &SettingsFolder) -> Configuration {
    let mut all = with(world, FIRST).await;
    for (id, token) in [("S1", "hush-1"), ("S2", "hush-2")] {
        let key = SettingsKey::school(id);
        all.add(&key, SCHOOL, false, &ann("new token"))
            .await
            .unwrap();
        let set = all
            .set_token(&id.into(), &secret(token), &ann("new token"))
            .await;
        assert_eq!(set.unwrap().elsewhere, None);
    }
    with(world, FIRST).await
}

#[tokio::test]
async fn a_school_without_a_place_uses_its_sealed_token() {
    for world in folders().await {
        let mut all = with(&world, FIRST).await;
        let key = SettingsKey::school("S1");
        let added = all
            .add(&key, SCHOOL, false, &ann("new token"))
            .await
            .unwrap();
        assert!(
            added.hints[0].to_string().contains("has no token yet"),
            "{:?}",
            added.hints
        );
        let without = tokens(&all).remove(0).unwrap_err();
        assert!(without.contains("`markback token set"), "{without}");
        all.set_token(&"S1".into(), &secret(" hush-1\n"), &ann("new token"))
            .await
            .unwrap();
        let all = with(&world, FIRST).await;
        assert_eq!(tokens(&all), [Ok("hush-1".to_owned())]);

        let listed = world.store.tokens().await.unwrap();
        assert_eq!(
            (listed[0].school.as_str(), listed[0].by.as_deref()),
            ("S1", Some("Ann"))
        );
        all.remove_token(&"S1".into(), &ann("new token"))
            .await
            .unwrap();
        let again = all
            .remove_token(&"S1".into(), &ann("new token"))
            .await
            .unwrap_err();
        assert!(matches!(again, TokenError::None { .. }), "{again}");
        let history = world.store.token_history(&"S1".into()).await.unwrap();
        let what: Vec<_> = history.iter().map(|entry| entry.what).collect();
        assert_eq!(what, [TokenChange::Removed, TokenChange::Set]);
        assert_eq!(history[1].note.as_deref(), Some("new token"));
        assert_eq!(history[1].key_id.as_ref(), Some(&listed[0].key_id));
    }
}

#[tokio::test]
async fn a_named_place_counts_before_a_sealed_token() {
    for world in folders().await {
        let mut all = with(&world, FIRST).await;
        let key = SettingsKey::school("S1");
        let named = format!("{SCHOOL}token_env = 'NO_SUCH_VARIABLE_OF_MARKBACK'\n");
        let added = all
            .add(&key, &named, false, &ann("new token"))
            .await
            .unwrap();
        assert_eq!(added.hints, []);
        let set = all
            .set_token(&"S1".into(), &secret("hush-1"), &ann("new token"))
            .await
            .unwrap();
        assert!(set.elsewhere.unwrap().contains("NO_SUCH_VARIABLE"));
        let told = tokens(&with(&world, FIRST).await).remove(0).unwrap_err();
        assert!(told.contains("NO_SUCH_VARIABLE"), "{told}");
    }
}

#[rstest]
#[case::of_the_file("F1", "hush", "the settings file has the school F1")]
#[case::unknown("S9", "hush", "no school S9 in the store")]
#[case::empty("S1", " \n", "it is empty")]
#[case::two_lines("S1", "hush\nhush", "a line end")]
#[case::letters("S1", "hüsh", "other than those of ASCII")]
#[tokio::test]
async fn what_is_wrong_is_told_without_the_token(
    #[case] school: &str,
    #[case] token: &str,
    #[case] told: &str,
) {
    for world in folders().await {
        let mut all = with(&world, FIRST).await;
        let key = SettingsKey::school("S1");
        // A draft can have a token before it rules.
        all.add(&key, "timezone = 'nowhere'", true, &ann("new token"))
            .await
            .unwrap();
        let error = all
            .set_token(&school.into(), &secret(token), &ann("new token"))
            .await;
        let error = error.unwrap_err();
        assert!(error.to_string().contains(told), "{error}");
        for shown in [error.to_string(), format!("{error:?}")] {
            assert!(
                !shown.contains("hush") && !shown.contains("hüsh"),
                "{shown}"
            );
        }
        assert_eq!(world.store.tokens().await.unwrap(), []);
        let good = all
            .set_token(&"S1".into(), &secret("hush"), &ann("new token"))
            .await;
        assert!(good.is_ok());
    }
}

#[rstest]
#[case::none("", "name no key")]
#[case::absent("seal_key_file = 'nowhere'", "cannot be read")]
#[case::no_key("seal_key_file = 'markback.toml'", "not 32 bytes in Base64")]
#[case::other("seal_key_file = 'second'", "sealed with the key")]
#[tokio::test]
async fn without_its_key_a_token_is_neither_set_nor_used(#[case] keys: &str, #[case] told: &str) {
    for world in folders().await {
        two_schools(&world).await;
        let all = with(&world, keys).await;
        for token in tokens(&all) {
            let error = token.unwrap_err();
            assert!(error.contains(told), "{error}");
        }
        let unread = all.tokens_unread().await.unwrap();
        assert_eq!(unread.len(), 2);
        let settings = all.settings();
        let sealed: Vec<_> = settings
            .absent_tokens()
            .into_iter()
            .filter(|(_, schools)| *schools == 2)
            .collect();
        assert_eq!(sealed.len(), 1, "{sealed:?}");
        if !keys.contains("second") {
            let set = all
                .set_token(&"S1".into(), &secret("hush"), &ann("new token"))
                .await;
            assert!(set.unwrap_err().to_string().contains(told));
            assert!(all.reseal_tokens(&ann("new token")).await.is_err());
        }
    }
}

#[tokio::test]
async fn all_tokens_are_sealed_with_the_present_key_in_one_go() {
    for world in folders().await {
        two_schools(&world).await;
        let both = "seal_key_file = 'second'\nseal_key_before_file = 'first'";
        let all = with(&world, both).await;
        assert_eq!(
            tokens(&all),
            [Ok("hush-1".to_owned()), Ok("hush-2".to_owned())]
        );
        let third = SchoolId::from("S2");
        all.set_token(&third, &secret("hush-3"), &ann("new token"))
            .await
            .unwrap();
        let done = all.reseal_tokens(&ann("new token")).await.unwrap();
        assert_eq!((done.resealed, done.already), (1, 1), "{done:?}");
        let again = all.reseal_tokens(&ann("new token")).await.unwrap();
        assert_eq!((again.resealed, again.already), (0, 2));
        // The key before is no longer needed.
        let all = with(&world, "seal_key_file = 'second'").await;
        assert_eq!(
            tokens(&all),
            [Ok("hush-1".to_owned()), Ok("hush-3".to_owned())]
        );
        let keys: Vec<_> = world.store.tokens().await.unwrap();
        assert!(keys.iter().all(|token| token.key_id == done.key_id));
        let history = world.store.token_history(&"S1".into()).await.unwrap();
        assert_eq!(history[0].what, TokenChange::Resealed);
        // A key that is gone is told for each token, and nothing is lost.
        let all = with(&world, FIRST).await;
        let failed = all.reseal_tokens(&ann("new token")).await.unwrap();
        assert_eq!((failed.resealed, failed.failed.len()), (0, 2));
        assert!(failed.failed.values().all(|why| why.contains(&done.key_id)));
    }
}

#[tokio::test]
async fn a_node_takes_up_a_changed_token_and_leaves_others_alone() {
    for world in folders().await {
        let all = two_schools(&world).await;
        let file = settings::load(&world.path("markback.toml")).unwrap();
        let node = Markback::open(file.settings, Options::default())
            .await
            .unwrap();
        assert_eq!(node.tokens_unread(), 0);
        let token = |id: &str| node.school(&id.into()).unwrap().token();
        let set = all
            .set_token(&"S1".into(), &secret("hush-9"), &ann("new token"))
            .await;
        set.unwrap();
        assert_eq!(token("S1").unwrap().expose_secret(), "hush-1");
        assert_eq!(node.refresh_settings().await.unwrap(), ["S1".into()]);
        assert_eq!(token("S1").unwrap().expose_secret(), "hush-9");
        assert_eq!(token("S2").unwrap().expose_secret(), "hush-2");
        all.remove_token(&"S2".into(), &ann("new token"))
            .await
            .unwrap();
        assert_eq!(node.refresh_settings().await.unwrap(), ["S2".into()]);
        assert_eq!(node.tokens_unread(), 1);
        assert_eq!(token("S1").unwrap().expose_secret(), "hush-9");
        // The same tokens under another key are no change.
        let both = "seal_key_file = 'second'\nseal_key_before_file = 'first'";
        let all = with(&world, both).await;
        assert_eq!(
            all.reseal_tokens(&ann("new token")).await.unwrap().resealed,
            1
        );
        assert_eq!(node.refresh_settings().await.unwrap(), [] as [SchoolId; 0]);
    }
}

#[tokio::test]
async fn no_token_is_exported_or_shown() {
    for world in folders().await {
        let all = two_schools(&world).await;
        let exported = all.export(&[]).await.unwrap();
        assert!(
            exported.contains("The token is not in this file")
                && exported.contains("markback token set"),
            "{exported}"
        );
        let shown = format!(
            "{exported}{all:?}{:?}{:?}",
            all.settings(),
            world.store.tokens().await.unwrap()
        );
        assert!(!shown.contains("hush"), "{shown}");
        // It can be taken in again, and then waits for its token.
        let one = all.export(&["S1".to_owned()]).await.unwrap();
        std::fs::write(world.path("more.toml"), one.replace("S1", "S7")).unwrap();
        let mut all = with(&world, FIRST).await;
        let (written, _) = all
            .import(&world.path("more.toml"), &ann("new token"))
            .await
            .unwrap();
        assert!(
            written[0].hints[0].message.contains("no token yet"),
            "{written:?}"
        );
        let again = all.export(&["S7".to_owned()]).await.unwrap();
        assert_eq!(again.matches("The token is not in this file").count(), 1);
    }
}

#[tokio::test]
async fn a_template_may_drop_its_place_once_its_schools_have_tokens_of_their_own() {
    for world in folders().await {
        let mut all = with(&world, FIRST).await;
        let template = SettingsKey::template("primary");
        let text = "timezone = 'Europe/London'\ntoken_env = 'NO_SUCH_VARIABLE_OF_MARKBACK'\n";
        all.add(&template, text, false, &ann("new token"))
            .await
            .unwrap();
        let key = SettingsKey::school("S1");
        all.add(&key, "template = 'primary'\n", false, &ann("new token"))
            .await
            .unwrap();
        all.draft(&template, SCHOOL, None, &ann("new token"))
            .await
            .unwrap();
        let lost = all
            .activate(&template, None, &ann("new token"))
            .await
            .unwrap_err();
        assert!(lost.to_string().contains("would lose its token"), "{lost}");
        all.set_token(&"S1".into(), &secret("hush-1"), &ann("new token"))
            .await
            .unwrap();
        let mut all = with(&world, FIRST).await;
        all.activate(&template, None, &ann("new token"))
            .await
            .unwrap();
        assert_eq!(tokens(&all), [Ok("hush-1".to_owned())]);
    }
}
