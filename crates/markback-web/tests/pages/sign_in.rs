//! Signing in and out, and when a session ends.
use std::time::Duration;

use axum::http::Method;
use markback::{
    audit_log::AuditFilter,
    operator::Actor,
    users::{self, Role},
};
use markback_lab::harness::ApiEnv;

use crate::support::browser::{Browser, HOST, PASSWORD, add_user, token_of};

const HOUR: Duration = Duration::from_secs(60 * 60);
const SESSION: &str = "__Host-markback";

#[tokio::test]
async fn somebody_signs_in_goes_on_where_they_were_and_signs_out() {
    let world = ApiEnv::new().await;
    add_user(&world.markback, "amy", Role::Look, None).await;
    let mut browser = Browser::new(&world.markback);
    let today = format!("/schools/{}/today?date=2026-11-23", world.id());
    let page = browser.get(&today).await;
    assert_eq!(page.status, 303);
    let sign_in = page.header("location").to_owned();
    assert!(
        sign_in.starts_with("/sign-in?next=%2Fschools%2F"),
        "{sign_in}"
    );
    let page = browser.get(&sign_in).await;
    let escaped = today.replace('&', "&#38;");
    assert!(
        page.text
            .contains(&format!(r#"name="next" value="{escaped}""#)),
        "{}",
        page.text
    );
    assert!(
        !browser.cookies.contains_key(SESSION),
        "a page that is only shown begins no session"
    );

    let wrong = browser.sign_in("amy", "not the password", &today).await;
    assert_eq!(wrong.status, 422);
    assert!(
        wrong.text.contains("name or the password is wrong")
            && wrong.text.contains(r#"value="amy""#)
    );
    assert!(!wrong.text.contains("not the password"));
    let unknown = browser.sign_in("nobody", "not the password", &today).await;
    assert_eq!(
        unknown.text.replace("nobody", "amy"),
        wrong.text,
        "whether there is such a user is not told"
    );
    let right = browser.sign_in("Amy", PASSWORD, &today).await;
    assert_eq!(
        (right.status, right.header("location")),
        (303, today.as_str())
    );
    let page = browser.get(&today).await;
    assert_eq!(page.status, 200);
    assert!(page.text.contains("Sign out"));
    assert_eq!(browser.get("/sign-in").await.status, 303);

    // A copy of the cookie ends with the session.
    let mut thief = browser.clone();
    let page = browser.post("/sign-out", &[]).await;
    assert_eq!((page.status, page.header("location")), (303, "/sign-in"));
    assert_eq!(thief.get(&today).await.status, 303);
    let entries = world
        .markback
        .store()
        .audit_entries(&AuditFilter {
            limit: 9,
            ..AuditFilter::default()
        })
        .await
        .unwrap();
    let told: Vec<_> = entries
        .iter()
        .filter(|entry| entry.via == "pages" && entry.kind == "change")
        .map(|entry| (entry.action.as_str(), entry.caller.as_deref().unwrap()))
        .collect();
    assert_eq!(
        told,
        [("user_signed_out", "amy"), ("user_signed_in", "amy")]
    );
}

#[tokio::test]
async fn a_session_has_a_new_id_after_each_sign_in() {
    let world = ApiEnv::new().await;
    add_user(&world.markback, "amy", Role::Look, None).await;
    add_user(&world.markback, "bob", Role::Look, None).await;
    let mut browser = Browser::signed_in(&world.markback, "amy").await;
    let first = browser.cookies[SESSION].clone();
    // An id that somebody else has chosen is of no use.
    let mut planted = Browser::new(&world.markback);
    planted
        .cookies
        .insert(SESSION.to_owned(), "AAAAAAAAAAAAAAAAAAAAAA".to_owned());
    planted.sign_in("bob", PASSWORD, "").await;
    assert_ne!(planted.cookies[SESSION], "AAAAAAAAAAAAAAAAAAAAAA");
    let mut old = browser.clone();
    // Bob signs in at Amy's computer, with the form of another window.
    let mut other = Browser::new(&world.markback);
    let page = other.get("/sign-in").await;
    browser.cookies.extend(other.cookies.clone());
    let token = token_of(&page.text);
    let page = browser
        .post_with(
            "/sign-in",
            &[("name", "bob"), ("password", PASSWORD)],
            &token,
        )
        .await;
    assert_eq!(page.status, 303);
    assert_ne!(browser.cookies[SESSION], first);
    assert!(browser.get("/nothing").await.text.contains("bob"));
    assert_eq!(old.get("/nothing").await.status, 303);
}

#[tokio::test]
async fn a_session_ends_by_time() {
    let world = ApiEnv::new().await;
    add_user(&world.markback, "amy", Role::Look, None).await;
    let path = format!("/schools/{}/today", world.id());
    let mut browser = Browser::signed_in(&world.markback, "amy").await;
    for _ in 0..7 {
        world.clock.advance(HOUR + HOUR / 2);
        assert_eq!(browser.get(&path).await.status, 200);
    }
    // Half past ten hours of use; at twelve it ends nevertheless.
    world.clock.advance(HOUR + HOUR / 2);
    assert_eq!(browser.get(&path).await.status, 303);
    let mut browser = Browser::signed_in(&world.markback, "amy").await;
    world.clock.advance(2 * HOUR);
    assert_eq!(browser.get(&path).await.status, 303);
}

#[tokio::test]
async fn a_session_ends_with_the_password_and_the_user() {
    let world = ApiEnv::new().await;
    let store = world.markback.store();
    let by = Actor::program();
    for name in ["amy", "bob", "cat"] {
        add_user(&world.markback, name, Role::Look, None).await;
    }
    let mut amy = Browser::signed_in(&world.markback, "amy").await;
    let mut bob = Browser::signed_in(&world.markback, "bob").await;
    let mut cat = Browser::signed_in(&world.markback, "cat").await;
    let other = "staple of another kind".into();
    users::set_password(store, "amy", &other, &by)
        .await
        .unwrap();
    users::set_disabled(store, "bob", true, &by).await.unwrap();
    users::remove(store, "cat", &by).await.unwrap();
    for browser in [&mut amy, &mut bob, &mut cat] {
        assert_eq!(browser.get("/nothing").await.status, 303);
    }
    // A role holds from the next page on.
    let mut amy = Browser::new(&world.markback);
    amy.sign_in("amy", "staple of another kind", "").await;
    let path = format!("/schools/{}/today", world.id());
    assert_eq!(amy.get(&path).await.status, 200);
    let elsewhere = std::collections::BTreeSet::from(["elsewhere".into()]);
    users::set_role(store, "amy", Role::Look, Some(&elsewhere), &by)
        .await
        .unwrap();
    assert_eq!(amy.get(&path).await.status, 404);
}

#[tokio::test]
async fn who_guesses_is_asked_to_wait_and_others_at_the_address_are_not() {
    let world = ApiEnv::new().await;
    for name in ["amy", "bob"] {
        add_user(&world.markback, name, Role::Look, None).await;
    }
    let mut own = Browser::signed_in(&world.markback, "amy").await;
    own.post("/sign-out", &[]).await;
    let mut guesser = Browser::new(&world.markback);
    let mut tries = 0;
    let last = loop {
        let page = guesser.sign_in("amy", "a wrong password", "").await;
        if page.status != 422 {
            break page;
        }
        tries += 1;
        assert!(tries < 20);
    };
    assert_eq!((last.status, last.header("retry-after")), (429, "20"));
    assert!(
        last.text.contains("too many tries under this name"),
        "{}",
        last.text
    );
    // All come from one address, as behind a proxy. A header that names another changes nothing.
    assert_eq!(own.sign_in("amy", PASSWORD, "").await.status, 303);
    assert_eq!(guesser.sign_in("bob", PASSWORD, "").await.status, 303);
}

#[tokio::test]
async fn a_form_to_sign_in_comes_from_our_page() {
    let world = ApiEnv::new().await;
    add_user(&world.markback, "amy", Role::Look, None).await;
    let fields = [("name", "amy"), ("password", PASSWORD)];
    let mut browser = Browser::new(&world.markback);
    let page = browser.post_with("/sign-in", &fields, "").await;
    assert_eq!(page.status, 403);
    assert!(page.text.contains("keeps no cookies"), "{}", page.text);
    let page = browser.get("/sign-in").await;
    let token = token_of(&page.text);
    browser.origin = Some("https://evil.example".to_owned());
    assert_eq!(
        browser.post_with("/sign-in", &fields, &token).await.status,
        403
    );
    browser.origin = Some(format!("https://{HOST}"));
    // The token of another browser.
    browser.cookies.insert(
        "__Host-markback-browser".to_owned(),
        "00112233445566778899aabbccddeeff".to_owned(),
    );
    assert_eq!(
        browser.post_with("/sign-in", &fields, &token).await.status,
        403
    );
    assert!(!browser.cookies.contains_key(SESSION));
}

#[tokio::test]
async fn without_users_the_page_says_how_to_add_one() {
    let world = ApiEnv::new().await;
    let page = Browser::new(&world.markback).get("/sign-in").await;
    assert_eq!(page.status, 200);
    assert!(page.text.contains("markback users add"));
    assert!(!page.text.contains("type=\"password\""));
}

#[tokio::test]
async fn what_is_long_or_garbage_does_no_harm() {
    let world = ApiEnv::new().await;
    add_user(&world.markback, "amy", Role::Look, None).await;
    let mut browser = Browser::new(&world.markback);
    let long = "x".repeat(100_000);
    assert_eq!(browser.sign_in(&long, PASSWORD, "").await.status, 422);
    assert_eq!(browser.sign_in("amy", &long, "").await.status, 422);
    let page = browser.sign_in("\"><script>", PASSWORD, "").await;
    assert!(!page.text.contains("<script>"), "{}", page.text);
    for garbage in ["%FF=%FF", "{", "csrf", ""] {
        let page = browser
            .send(Method::POST, "/sign-in", Some(garbage.to_owned()))
            .await;
        assert!(
            (400..500).contains(&page.status),
            "{garbage}: {}",
            page.status
        );
    }
}

#[tokio::test]
async fn users_change_their_own_password() {
    const NEW: &str = "nine purple teapots sing";
    let world = ApiEnv::new().await;
    add_user(&world.markback, "amy", Role::Look, None).await;
    let mut browser = Browser::signed_in(&world.markback, "amy").await;
    let mut elsewhere = Browser::signed_in(&world.markback, "amy").await;
    let page = browser.get("/account").await;
    assert!(page.text.contains("see the day, people, groups and rules"));

    for (old, new, again, told) in [
        ("not the password", NEW, NEW, "current password is wrong"),
        (PASSWORD, NEW, PASSWORD, "differ"),
        (PASSWORD, "short", "short", "shorter than 12 characters"),
    ] {
        let typed = [("old", old), ("password", new), ("again", again)];
        let page = browser.post("/account/password", &typed).await;
        assert_eq!(page.status, 422);
        assert!(page.text.contains(told), "{}", page.text);
        assert!(!page.text.contains(NEW) && !page.text.contains(PASSWORD));
    }

    let typed = [("old", PASSWORD), ("password", NEW), ("again", NEW)];
    let page = browser.post("/account/password", &typed).await;
    assert_eq!(page.header("location"), "/account?done=password");
    let page = browser.get("/account?done=password").await;
    assert!(page.text.contains("Your password is changed"));
    assert_eq!(elsewhere.get("/account").await.status, 303);
    assert_eq!(elsewhere.sign_in("amy", PASSWORD, "").await.status, 422);
    assert_eq!(elsewhere.sign_in("amy", NEW, "").await.status, 303);

    // Whoever finds the browser open guesses no faster than at the sign-in.
    let wrong = [
        ("old", "not the password"),
        ("password", NEW),
        ("again", NEW),
    ];
    let mut statuses = Vec::new();
    for _ in 0..12 {
        statuses.push(browser.post("/account/password", &wrong).await.status);
    }
    assert_eq!(statuses.last(), Some(&429), "{statuses:?}");
}
