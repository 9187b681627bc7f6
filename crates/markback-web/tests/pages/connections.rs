//! Keys, webhook endpoints and users on the pages, and the audit log that has it all.
use markback::users::Role;
use markback_lab::harness::{ApiEnv, answer};

use crate::support::browser::{Browser, PASSWORD, add_user};

const OTHER: &str = "staple of another kind";

fn between<'t>(text: &'t str, before: &str, after: &str) -> &'t str {
    let (_, rest) = text.split_once(before).expect("the text before");
    rest.split(after).next().unwrap()
}

async fn audit(browser: &mut Browser, query: &str) -> String {
    let page = browser.get(&format!("/audit{query}")).await;
    assert_eq!(page.status, 200, "{}", page.text);
    page.text
}

#[tokio::test]
async fn a_key_is_made_shown_once_and_revoked() {
    let world = ApiEnv::new().await;
    let markback = &world.markback;
    add_user(markback, "amy", Role::Admin, None).await;
    let mut amy = Browser::signed_in(markback, "amy").await;
    let form = amy.get("/connections/keys/new").await;
    assert!(form.text.contains("events:write"));
    let school = world.school.id.as_str();
    let made = amy
        .post(
            "/connections/keys/new",
            &[
                ("name", "the <b>host</b>"),
                ("scope", "events:read"),
                ("which", "some"),
                ("school", school),
                ("days", "90"),
            ],
        )
        .await;
    assert_eq!(made.status, 200, "{}", made.text);
    let key = between(&made.text, "<code class=\"secret\">", "<").to_owned();
    assert!(key.starts_with("mb_"), "{key}");
    assert!(!made.text.contains("<b>host"));
    let path = format!("{}/v1/schools/{school}/events", world.address);
    let get = async || answer(world.http.get(&path).bearer_auth(&key)).await.0;
    assert_eq!(get().await, 200);
    let list = amy.get("/connections").await.text;
    assert!(
        list.contains("the &#60;b&#62;host") && !list.contains(&key),
        "{list}"
    );
    let revoke = between(&list, "<a href=\"/connections/keys/", "\"");
    let revoke = format!("/connections/keys/{revoke}");
    // First it is told what will happen, and nothing is done.
    let asked = amy.get(&revoke).await;
    assert!(asked.text.contains("cannot be undone") && asked.text.contains("Do nothing"));
    assert_eq!(get().await, 200);
    let done = amy.post(&revoke, &[]).await;
    assert_eq!(done.header("location"), "/connections?done=key-revoked");
    assert_eq!(get().await, 401);
    let told = audit(&mut amy, "").await;
    assert!(
        told.contains("key added") && told.contains("key revoked"),
        "{told}"
    );
    assert!(!told.contains(&key[14..]));
}

#[tokio::test]
async fn a_form_with_a_mistake_says_so_and_keeps_what_was_typed() {
    let world = ApiEnv::new().await;
    let markback = &world.markback;
    add_user(markback, "amy", Role::Admin, None).await;
    let mut amy = Browser::signed_in(markback, "amy").await;
    let all = ("which", "all");
    let some = ("which", "some");
    let typed = [("password", OTHER), ("again", OTHER)];
    let user = |fields: &[(&'static str, &'static str)]| {
        [&[("name", "bob"), ("role", "look")], &typed[..], fields].concat()
    };
    let cases = [
        (
            "/connections/keys/new",
            vec![("name", "host"), all],
            "scope",
        ),
        (
            "/connections/keys/new",
            vec![("scope", "admin"), all],
            "name",
        ),
        (
            "/connections/keys/new",
            vec![("name", "x"), ("scope", "admin"), some],
            "at least one school",
        ),
        (
            "/connections/keys/new",
            vec![("name", "x"), ("scope", "admin"), some, ("school", "A0")],
            "no school A0",
        ),
        (
            "/connections/users/new",
            user(&[some]),
            "at least one school",
        ),
        (
            "/connections/users/new",
            user(&[some, ("school", "A0")]),
            "no school A0",
        ),
        (
            "/connections/users/new",
            vec![("name", "bob"), ("role", "look"), all, ("password", OTHER)],
            "differ",
        ),
        (
            "/connections/users/new",
            vec![("name", "a b"), ("role", "look"), all, typed[0], typed[1]],
            "name for signing in",
        ),
        (
            "/connections/users/new",
            vec![("name", "amy"), ("role", "look"), all, typed[0], typed[1]],
            "already",
        ),
        (
            "/connections/webhooks/new",
            vec![("url", "nowhere")],
            "https",
        ),
        (
            "/connections/webhooks/new",
            vec![("url", "https://10.0.0.1/x")],
            "url",
        ),
        (
            "/connections/webhooks/new",
            vec![("url", "https://x.example/"), ("school", "A0")],
            "no school A0",
        ),
    ];
    for (path, fields, told) in cases {
        let page = amy.post(path, &fields).await;
        assert_eq!(page.status, 422, "{path} {fields:?}: {}", page.text);
        let problem = between(&page.text, "role=\"alert\">", "</p>");
        assert!(problem.contains(told), "{path}: {problem}");
        assert!(!page.text.contains(OTHER), "a password is not shown again");
    }
    assert!(markback.store().keys().await.unwrap().is_empty());
    assert_eq!(markback.store().users().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_user_is_added_changed_disabled_and_removed() {
    let world = ApiEnv::new().await;
    let markback = &world.markback;
    add_user(markback, "amy", Role::Admin, None).await;
    let mut amy = Browser::signed_in(markback, "amy").await;
    let school = world.school.id.as_str();
    let fields = [
        ("name", "Bob@hill.example"),
        ("shown", "Bob"),
        ("role", "tend"),
        ("which", "some"),
        ("school", school),
        ("password", PASSWORD),
        ("again", PASSWORD),
    ];
    let added = amy.post("/connections/users/new", &fields).await;
    assert_eq!(
        added.header("location"),
        "/connections?done=user-added",
        "{}",
        added.text
    );
    let page = amy.get("/connections?done=user-added").await;
    assert!(page.text.contains("The user is added") && page.text.contains("bob@hill.example"));
    let mut bob = Browser::signed_in(markback, "bob@hill.example").await;
    assert_eq!(bob.get("/connections").await.status, 403);
    let here = "/connections/users/bob%40hill.example";
    let page = amy.get(here).await;
    assert_eq!(page.status, 200);
    assert!(
        page.text.contains("value=\"tend\" checked"),
        "{}",
        page.text
    );
    let role = [("role", "admin"), ("which", "some"), ("school", school)];
    let set = amy.post(&format!("{here}/role"), &role).await;
    assert_eq!(set.header("location"), "/connections?done=user-changed");
    assert_eq!(bob.get("/connections").await.status, 200);

    // An administrator of one school does not see those who see more, and gives nobody more than they have.
    assert_eq!(bob.get("/connections/users/amy").await.status, 404);
    assert!(!bob.get("/connections").await.text.contains("users/amy"));
    let all = bob
        .post(
            "/connections/users/new",
            &[
                ("name", "cat"),
                ("role", "look"),
                ("which", "all"),
                ("password", PASSWORD),
                ("again", PASSWORD),
            ],
        )
        .await;
    assert_eq!(all.status, 422, "{}", all.text);

    // Nobody locks themselves out.
    for action in ["disable", "remove"] {
        let own = format!("/connections/users/amy/{action}");
        assert_eq!(amy.get(&own).await.status, 409);
        assert_eq!(amy.post(&own, &[]).await.status, 409);
    }
    assert_eq!(
        amy.post("/connections/users/amy/role", &role).await.status,
        409
    );

    let typed = [("password", OTHER), ("again", OTHER)];
    let set = amy.post(&format!("{here}/password"), &typed).await;
    assert_eq!(set.header("location"), "/connections?done=user-password");
    assert_eq!(bob.get("/connections").await.status, 303);
    for (action, done) in [
        ("disable", "user-disabled"),
        ("enable", "user-enabled"),
        ("remove", "user-removed"),
    ] {
        let asked = amy.get(&format!("{here}/{action}")).await;
        assert!(
            asked.text.contains("What this does"),
            "{action}: {}",
            asked.text
        );
        let page = amy.post(&format!("{here}/{action}"), &[]).await;
        assert_eq!(page.header("location"), format!("/connections?done={done}"));
    }
    assert_eq!(amy.get(here).await.status, 404);
    let told = audit(&mut amy, "?by=amy").await;
    for action in [
        "user added",
        "user role set",
        "user password set",
        "user disabled",
        "user enabled",
        "user removed",
    ] {
        assert!(told.contains(action), "{action}: {told}");
    }
}

#[tokio::test]
async fn an_endpoint_is_added_tested_switched_and_removed() {
    let world = ApiEnv::new().await;
    let markback = &world.markback;
    add_user(markback, "amy", Role::Admin, None).await;
    let mut amy = Browser::signed_in(markback, "amy").await;
    let fields = [
        ("url", "https://hooks.invalid/in"),
        ("kind", "event"),
        ("note", "the host"),
    ];
    let added = amy.post("/connections/webhooks/new", &fields).await;
    assert_eq!(added.status, 200, "{}", added.text);
    let secret = between(&added.text, "<code class=\"secret\">", "<").to_owned();
    assert!(secret.starts_with("whsec_"), "{secret}");
    let id = markback.endpoints().list().await.unwrap()[0].id.clone();
    let here = format!("/connections/webhooks/{id}");
    let page = amy.get(&here).await;
    assert!(page.text.contains("hooks.invalid") && !page.text.contains(&secret));
    let tested = amy.post(&format!("{here}/test"), &[]).await;
    assert_eq!(tested.status, 200);
    assert!(tested.text.contains("did not arrive"), "{}", tested.text);
    for (action, done) in [
        ("disable", "webhook-disabled"),
        ("enable", "webhook-enabled"),
    ] {
        assert!(
            amy.get(&format!("{here}/{action}"))
                .await
                .text
                .contains("What this does")
        );
        let page = amy.post(&format!("{here}/{action}"), &[]).await;
        assert_eq!(page.header("location"), format!("/connections?done={done}"));
    }
    let asked = amy.get(&format!("{here}/resend")).await;
    let since = between(&asked.text, "name=\"since\" value=\"", "\"").replace("&#43;", "+");
    let page = amy
        .post(&format!("{here}/resend"), &[("since", &since)])
        .await;
    assert_eq!(
        page.header("location"),
        "/connections?done=webhook-resent",
        "{}",
        page.text
    );
    let rotated = amy.post(&format!("{here}/rotate"), &[]).await;
    let second = between(&rotated.text, "<code class=\"secret\">", "<");
    assert!(second.starts_with("whsec_") && second != secret);
    let page = amy.post(&format!("{here}/remove"), &[]).await;
    assert_eq!(page.header("location"), "/connections?done=webhook-removed");
    assert_eq!(amy.get(&here).await.status, 404);
    let told = audit(&mut amy, "").await;
    for action in [
        "endpoint added",
        "endpoint disabled",
        "endpoint enabled",
        "endpoint resent",
        "endpoint rotated",
        "endpoint removed",
    ] {
        assert!(told.contains(action), "{action}: {told}");
    }
}

#[tokio::test]
async fn the_audit_log_is_filtered_paged_and_limited_to_the_own_schools() {
    let world = ApiEnv::new().await;
    let markback = &world.markback;
    let school = world.school.id.as_str();
    add_user(markback, "amy", Role::Admin, None).await;
    add_user(markback, "bob", Role::Admin, Some(&[school])).await;
    let mut amy = Browser::signed_in(markback, "amy").await;
    let mut bob = Browser::signed_in(markback, "bob").await;
    for number in 0..120 {
        let entry = markback::audit_log::NewAuditEntry::new(
            markback::audit_log::AuditAction::EventRetried,
            &markback::audit_log::Caller::user(Some("operator".to_owned())),
            "command line",
        );
        let entry = entry.school(&world.id()).subject(format!("event-{number}"));
        markback.audit_log().change(entry).await.unwrap();
    }
    let first = audit(&mut amy, "?by=operator").await;
    assert!(
        first.contains("event-119") && !first.contains("event-19<"),
        "{first}"
    );
    let older = between(&first, "href=\"/audit?by=operator&#38;before=", "\"");
    let second = audit(&mut amy, &format!("?by=operator&before={older}")).await;
    assert!(second.contains("event-19<") && !second.contains("event-20<"));
    assert!(!second.contains(">Older<"));
    // What concerns no school is for those who see all.
    assert!(audit(&mut amy, "?by=bob").await.contains("user signed in"));
    let own = audit(&mut bob, "").await;
    assert!(own.contains("event-119") && !own.contains("user signed in"));
    assert!(
        audit(&mut bob, "?school=elsewhere")
            .await
            .contains("no such entries")
    );
    assert!(
        audit(&mut amy, "?since=2126-01-01")
            .await
            .contains("no such entries")
    );
    assert!(
        audit(&mut amy, "?since=yesterday")
            .await
            .contains("The date is not one")
    );
}
