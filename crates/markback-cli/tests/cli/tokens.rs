//! `markback token`, on the database of a service that runs in the meantime.

use std::process::Command;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use markback::service::EventState;
use markback_lab::harness::{ApiEnv, CommandOutput, Setup, run};

/// Runs the program with the settings of a world. Nothing that it ever says has a token or a key.
struct Program<'w> {
    world: &'w ApiEnv,
    secrets: Vec<String>,
}

impl Program<'_> {
    async fn run(&self, args: &[&str], input: &str) -> CommandOutput {
        let mut command = Command::new(env!("CARGO_BIN_EXE_markback"));
        command
            .args(args)
            .env("MARKBACK_CONFIG", self.world.settings_path())
            .env("USER", "operator")
            .env_remove("SUDO_USER");
        let said = run(command, input).await;
        for secret in &self.secrets {
            let told = said.out.contains(secret) || said.err.contains(secret);
            assert!(!told, "{args:?} tells a secret: {said:?}");
        }
        said
    }

    async fn ok(&self, args: &[&str], input: &str) -> CommandOutput {
        let said = self.run(args, input).await;
        assert_eq!(said.code, 0, "{args:?}: {said:?}");
        said
    }
}

#[tokio::test]
async fn a_token_is_set_used_listed_sealed_again_and_removed() {
    let mut world = ApiEnv::with(Setup {
        extra: "webhook_secret_file = 'webhook-secret'\nseal_key_file = 'seal'\n\
                seal_key_before_file = 'seal-before'\n",
        ..Setup::default()
    })
    .await;
    let key = |byte: u8| STANDARD.encode([byte; 32]);
    std::fs::write(world.path("seal"), key(1)).unwrap();
    std::fs::write(world.path("seal-before"), key(2)).unwrap();
    let token = world.school.token.clone();
    let id = world.id().to_string();
    {
        let program = Program {
            world: &world,
            secrets: vec![token.clone(), key(1), key(2)],
        };
        let of_file = program
            .run(&["token", "set", "--school", &id], &token)
            .await;
        assert_eq!(of_file.code, 1);
        assert!(
            of_file.err.contains("the settings file has the school"),
            "{of_file:?}"
        );
        program.ok(&["schools", "adopt", &id], "").await;
        let text = program.ok(&["settings", "show", "--school", &id], "").await;
        let text = text.out.replace("token_file = \"token\"", "");
        let draft = ["settings", "draft", "--school", &id, "-"];
        program.ok(&draft, &text).await;
        let ruled = program
            .ok(&["settings", "activate", "--school", &id], "")
            .await;
        assert!(ruled.err.contains("has no token yet"), "{ruled:?}");
    }
    world.markback.refresh_settings().await.unwrap();
    let ready = world.get("/readyz").await.1;
    let told = ready["settings"].as_str().unwrap();
    assert!(told.contains("token") && told.contains(": 1;"), "{told}");
    world.run();
    {
        let program = Program {
            world: &world,
            secrets: vec![token.clone(), key(1), key(2)],
        };
        for (input, told) in [("", "it is empty"), ("two words", "a space")] {
            let said = program.run(&["token", "set", "--school", &id], input).await;
            assert_eq!(said.code, 2, "{said:?}");
            assert!(said.err.contains(told), "{said:?}");
        }
        let set = ["token", "set", "--school", &id, "--note", "from the portal"];
        let said = program.ok(&set, &format!("{token}\n")).await;
        assert!(said.out.contains("the token is kept"), "{said:?}");
        // The service takes it up by itself.
        world.known().await;
        world.take(vec![world.sign_in("e1", 0, "08:50")]).await;
        world.until("e1", EventState::Confirmed).await;
        assert_eq!(world.get("/readyz").await.1["settings"], "in force");

        let status = program.ok(&["status", "--format", "json"], "").await;
        let school = &status.json()["schools"][0];
        assert_eq!(
            (&school["owner"], &school["version"]),
            (&"store".into(), &"store 2".into())
        );
        let listed = program.ok(&["token", "ls", "--format", "json"], "").await;
        let line = listed.json()["tokens"][0].clone();
        for (field, wanted) in [
            ("school", id.as_str().into()),
            ("by", "operator".into()),
            ("via", "command line".into()),
            ("problem", serde_json::Value::Null),
            ("unused", serde_json::Value::Null),
        ] {
            assert_eq!(line[field], wanted, "{line}");
        }
        // The keys change places.
        std::fs::write(world.path("seal"), key(2)).unwrap();
        std::fs::write(world.path("seal-before"), key(1)).unwrap();
        let said = program.ok(&["token", "reseal"], "").await;
        assert!(
            said.out.contains("1 tokens are sealed with it now"),
            "{said:?}"
        );
        assert!(
            said.out
                .contains("0 secrets of webhook endpoints are sealed with it now"),
            "{said:?}"
        );
        std::fs::write(world.path("seal-before"), key(2)).unwrap();
        let table = program.ok(&["token", "ls"], "").await;
        assert!(!table.out.contains("sealed with the key"), "{table:?}");
        std::fs::write(world.path("seal"), key(1)).unwrap();
        std::fs::write(world.path("seal-before"), key(1)).unwrap();
        let lost = program.run(&["token", "reseal"], "").await;
        assert_eq!(lost.code, 1, "{lost:?}");
        assert!(lost.err.contains(&format!("school {id}")), "{lost:?}");
        let table = program.ok(&["token", "ls"], "").await;
        assert!(table.out.contains("sealed with"), "{table:?}");

        let exported = program.ok(&["schools", "export", &id], "").await;
        assert!(exported.out.contains("The token is not in this file"));
        let gone = ["token", "remove", "--school", &id];
        program.ok(&gone, "").await;
        assert_eq!(program.run(&gone, "").await.code, 1);
        let history = ["settings", "history", "--school", &id];
        let told = program.ok(&history, "").await;
        for what in ["removed", "resealed", "set", "from the portal"] {
            assert!(told.out.contains(what), "{what}: {told:?}");
        }
        let json = program
            .ok(&[&history[..], &["--format", "json"]].concat(), "")
            .await;
        assert_eq!(json.json()["tokens"].as_array().unwrap().len(), 3);
    }
    world.rest().await;
}

#[tokio::test]
async fn a_token_cannot_be_given_as_an_argument() {
    let world = ApiEnv::new().await;
    let program = Program {
        world: &world,
        secrets: Vec::new(),
    };
    let said = program
        .run(&["token", "set", "--school", "S1", "hush"], "")
        .await;
    assert_eq!(said.code, 2);
    let said = program
        .run(&["token", "set", "--school", "S1"], "a-token")
        .await;
    assert_eq!(said.code, 1);
    assert!(said.err.contains("no school S1"), "{said:?}");
}
