//! Every page and action with wrong credentials. The list of addresses is read from the source, so that none is forgotten.
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use axum::http::Method;
use markback::users::Role;
use markback_lab::harness::ApiEnv;

use crate::support::{
    Page,
    browser::{Browser, add_user},
};

/// An address and how it is asked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Route {
    pattern: String,
    posts: bool,
}

/// What needs no session: the way in, and files.
const OPEN: [&str; 2] = ["/sign-in", "/assets/{name}"];

/// The role that a route needs; the first that fits. What is not listed would be open to everybody, so it is an error.
const ROLES: &[(&str, bool, Role)] = &[
    ("/connections", false, Role::Admin),
    ("/connections", true, Role::Admin),
    ("/audit", false, Role::Admin),
    ("/sign-out", true, Role::Look),
    ("/account", false, Role::Look),
    ("/account", true, Role::Look),
    ("/schools/{school}/desk", true, Role::Tend),
    ("/schools/{school}/desk", false, Role::Tend),
    ("/schools/{school}/syncs", false, Role::Set),
    ("/schools/{school}/syncs", true, Role::Set),
    ("/schools/{school}/problems", true, Role::Tend),
    ("/schools/{school}/rules", true, Role::Set),
    ("/schools/{school}/connection", true, Role::Set),
    ("/schools/{school}", false, Role::Look),
    ("/schools", false, Role::Look),
    ("/live", false, Role::Look),
    ("/{*elsewhere}", false, Role::Look),
    ("/{*elsewhere}", true, Role::Look),
    ("/", false, Role::Look),
];

fn role_of(route: &Route) -> Role {
    let fits = |pattern: &str| {
        let rest = route.pattern.strip_prefix(pattern);
        rest.is_some_and(|rest| rest.is_empty() || (pattern != "/" && rest.starts_with('/')))
    };
    let found = ROLES
        .iter()
        .find(|(pattern, posts, _)| *posts == route.posts && fits(pattern));
    found
        .unwrap_or_else(|| panic!("{route:?} has no role in the list of this test"))
        .2
}

/// All calls of `.route(…)` below `src`.
fn routes() -> BTreeSet<Route> {
    let mut found = BTreeSet::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let constants = constants(&text);
            for call in text.split(".route(").skip(1) {
                found.extend(route_of(call, &constants));
            }
        }
    }
    found
}

/// Names of addresses: `const HERE: &str = "/connections";` or `let person = "/…";`
fn constants(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::from([("SIGN_IN".to_owned(), "/sign-in".to_owned())]);
    for line in text.lines() {
        if let Some((name, value)) = line.split_once(": &str = \"/") {
            let name = name.rsplit(' ').next().unwrap();
            let value = value.split('"').next().unwrap();
            found.insert(name.to_owned(), format!("/{value}"));
        } else if let Some((name, value)) = line
            .trim()
            .strip_prefix("let ")
            .and_then(|line| line.split_once(" = \"/"))
        {
            let value = value.split('"').next().unwrap();
            found.insert(name.to_owned(), format!("/{value}"));
        }
    }
    found
}

/// The routes of one call, from its arguments on.
fn route_of(call: &str, constants: &BTreeMap<String, String>) -> Vec<Route> {
    let mut depth = 1;
    let end = call.char_indices().find_map(|(at, char)| {
        match char {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        (depth == 0).then_some(at)
    });
    let arguments = &call[..end.expect("a call that ends")];
    let (address, methods) = arguments
        .split_once(',')
        .expect("an address and its methods");
    let address = address.trim();
    let known = |name: &str| {
        let found = constants.get(name);
        found.unwrap_or_else(|| panic!("the address {name} is not known"))
    };
    let pattern = if let Some(literal) = address.strip_prefix('"') {
        literal.trim_end_matches('"').to_owned()
    } else if let Some(format) = address.strip_prefix("&format!(\"{") {
        let (name, rest) = format.split_once('}').expect("a name in the format");
        format!("{}{}", known(name), rest.trim_end_matches(&['"', ')'][..]))
    } else {
        known(address).clone()
    };
    let (any, gets, posts) = (
        methods.contains("any("),
        methods.contains("get("),
        methods.contains("post("),
    );
    assert!(any || gets || posts, "{pattern}: no method is known");
    let route = |posts| Route {
        pattern: pattern.clone(),
        posts,
    };
    let mut routes = Vec::new();
    if any || gets {
        routes.push(route(false));
    }
    if any || posts {
        routes.push(route(true));
    }
    routes
}

/// The address with this school, and something in the place of everything else.
fn address(pattern: &str, school: &str) -> String {
    let parts = pattern.split('/').map(|part| match part {
        "{school}" => school,
        "{*elsewhere}" => "elsewhere",
        part if part.starts_with('{') => "something",
        part => part,
    });
    parts.collect::<Vec<_>>().join("/")
}

/// So that a form is read and the role asked for. What they say is nothing that exists.
const FIELDS: [(&str, &str); 8] = [
    ("events", "[]"),
    ("reason", "a reason"),
    ("text", "nothing"),
    ("base", "1"),
    ("number", "1"),
    ("active", "1"),
    ("to", "1"),
    ("version", "1"),
];

async fn ask(browser: &mut Browser, route: &Route, school: &str, token: &str) -> Page {
    let path = address(&route.pattern, school);
    if route.posts {
        browser.post_with(&path, &FIELDS, token).await
    } else {
        browser.send(Method::GET, &path, None).await
    }
}

#[test]
fn the_routes_are_read_from_the_source() {
    let routes = routes();
    for (pattern, posts) in [
        ("/", false),
        ("/sign-in", true),
        ("/schools/{school}/today", false),
        ("/connections", false),
        ("/connections/keys/{key}/revoke", true),
        ("/connections/users/{user}/role", true),
    ] {
        let route = Route {
            pattern: pattern.to_owned(),
            posts,
        };
        assert!(routes.contains(&route), "{route:?} in {routes:#?}");
    }
}

#[tokio::test]
async fn without_a_session_every_page_leads_to_the_sign_in() {
    let world = ApiEnv::new().await;
    let markback = &world.markback;
    add_user(markback, "amy", Role::Admin, None).await;
    let nobody = Browser::new(markback);
    let mut garbage = nobody.clone();
    garbage
        .cookies
        .insert("__Host-markback".to_owned(), "%00garbage".to_owned());
    let mut guessed = nobody.clone();
    guessed.cookies.insert(
        "__Host-markback".to_owned(),
        "AAAAAAAAAAAAAAAAAAAAAA".to_owned(),
    );
    let mut signed_out = Browser::signed_in(markback, "amy").await;
    let kept = signed_out.clone();
    signed_out.post("/sign-out", &[]).await;
    let expired = Browser::signed_in(markback, "amy").await;
    world.clock.advance(Duration::from_secs(13 * 60 * 60));
    let all = [nobody, garbage, guessed, kept, expired];
    for route in routes()
        .iter()
        .filter(|route| !OPEN.contains(&route.pattern.as_str()))
    {
        for (number, browser) in all.iter().enumerate() {
            let page = ask(&mut browser.clone(), route, world.school.id.as_str(), "").await;
            let location = page.header("location");
            assert_eq!(page.status, 303, "{route:?} {number}");
            let to = location.split('?').next().unwrap();
            assert_eq!(to, "/sign-in", "{route:?} {number}");
        }
    }
}

#[tokio::test]
async fn a_foreign_school_is_like_one_that_does_not_exist() {
    let world = ApiEnv::new().await;
    let markback = &world.markback;
    add_user(markback, "amy", Role::Admin, Some(&["elsewhere"])).await;
    let mut amy = Browser::signed_in(markback, "amy").await;
    let token = amy.token().await;
    for route in routes()
        .iter()
        .filter(|route| route.pattern.contains("{school}"))
    {
        let foreign = ask(&mut amy, route, world.school.id.as_str(), &token).await;
        let unknown = ask(&mut amy, route, "nowhere", &token).await;
        assert_eq!((foreign.status, unknown.status), (404, 404), "{route:?}");
        assert_eq!(foreign.text, unknown.text, "{route:?}");
    }
}

#[tokio::test]
async fn a_lower_role_may_not_do_what_a_page_is_for() {
    let world = ApiEnv::new().await;
    let markback = &world.markback;
    let mut browsers = BTreeMap::new();
    for role in Role::ALL {
        add_user(markback, role.as_str(), *role, None).await;
        let mut browser = Browser::signed_in(markback, role.as_str()).await;
        let token = browser.token().await;
        browsers.insert(*role, (browser, token));
    }
    let routes = routes();
    let walked = routes
        .iter()
        .filter(|route| !OPEN.contains(&route.pattern.as_str()) && route.pattern != "/sign-out");
    for route in walked {
        let needed = role_of(route);
        for (role, (browser, token)) in &mut browsers {
            let page = ask(browser, route, world.school.id.as_str(), token).await;
            assert_eq!(
                page.status == 403,
                *role < needed,
                "{route:?} as {role}: {}",
                page.status
            );
            if *role < needed {
                assert!(
                    page.text.contains(needed.as_str()),
                    "{route:?} does not tell the role"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_form_needs_the_token_of_its_session_and_our_origin() {
    let world = ApiEnv::new().await;
    let markback = &world.markback;
    for name in ["amy", "bob"] {
        add_user(markback, name, Role::Admin, None).await;
    }
    let mut amy = Browser::signed_in(markback, "amy").await;
    let own = amy.token().await;
    let of_bob = Browser::signed_in(markback, "bob").await.token().await;
    for route in routes().iter().filter(|route| route.posts) {
        for token in ["", "0", of_bob.as_str()] {
            let page = ask(&mut amy, route, world.school.id.as_str(), token).await;
            assert_eq!(page.status, 403, "{route:?}");
        }
        for origin in [
            None,
            Some("null"),
            Some("https://evil.example"),
            Some("https://hill.example.evil.example"),
        ] {
            let mut elsewhere = amy.clone();
            elsewhere.origin = origin.map(str::to_owned);
            let page = ask(&mut elsewhere, route, world.school.id.as_str(), &own).await;
            assert_eq!(page.status, 403, "{route:?} from {origin:?}");
        }
    }
    // Nothing of it has ended the session.
    assert_eq!(amy.get("/audit").await.status, 200);
}

#[tokio::test]
async fn asking_for_a_page_changes_nothing() {
    let world = ApiEnv::new().await;
    let markback = &world.markback;
    add_user(markback, "amy", Role::Admin, None).await;
    let mut amy = Browser::signed_in(markback, "amy").await;
    let changes = async || {
        markback.audit_log().write().await.unwrap();
        let filter = markback::audit_log::AuditFilter {
            limit: 1_000,
            ..Default::default()
        };
        let entries = markback.store().audit_entries(&filter).await.unwrap();
        entries
            .iter()
            .filter(|entry| entry.kind == "change")
            .count()
    };
    let before = changes().await;
    for route in routes().iter().filter(|route| !route.posts) {
        ask(&mut amy, route, world.school.id.as_str(), "").await;
    }
    assert_eq!(changes().await, before);
    assert_eq!(amy.get("/audit").await.status, 200);
}
