//! What all pages share: who gets in, headers, errors, assets.
use axum::http::Method;
use markback_lab::harness::{ApiEnv, Setup, quick_sandbox};
use markback_web::{Role, SchoolsSeen, Visitor};
use rstest::rstest;
use wonde_sandbox::SandboxOptions;

use crate::support::{ask, get, pages, visitor};

#[tokio::test]
async fn without_a_visitor_every_address_leads_to_the_sign_in() {
    let world = ApiEnv::new().await;
    let router = pages(&world.markback, None);
    let today = format!("/schools/{}/today", world.id());
    for path in [
        "/",
        &today,
        "/schools/nowhere/today",
        "/nothing/here",
        "/%FF",
    ] {
        for method in [Method::GET, Method::POST] {
            let page = ask(&router, method.clone(), path).await;
            let is_get = method == Method::GET;
            // A form from nowhere is rejected before anybody asks whose it is.
            let expected = if is_get { 303 } else { 403 };
            assert_eq!(page.status, expected, "{method} {path}");
            let leads = page.header("location").split('?').next().unwrap();
            assert_eq!(leads == "/sign-in", is_get, "{method} {path}");
        }
    }
    assert_eq!(get(&router, "/sign-in").await.status, 200);
}

#[tokio::test]
async fn every_answer_has_the_headers_that_keep_it_safe() {
    let world = ApiEnv::new().await;
    let router = pages(&world.markback, Some(visitor(Role::Look)));
    for path in ["/", "/nothing", "/assets/none.css"] {
        let page = get(&router, path).await;
        assert_eq!(
            page.header("content-security-policy"),
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
        );
        assert_eq!(page.header("x-content-type-options"), "nosniff");
        assert_eq!(page.header("referrer-policy"), "same-origin");
        assert_eq!(page.header("cache-control"), "no-store", "{path}");
    }
}

#[tokio::test]
async fn a_school_that_is_not_the_visitors_is_like_one_that_does_not_exist() {
    let world = ApiEnv::new().await;
    let router = pages(
        &world.markback,
        Some(Visitor {
            schools: SchoolsSeen::Some(vec!["Another".into()]),
            ..visitor(Role::Admin)
        }),
    );
    let foreign = get(&router, &format!("/schools/{}/today", world.id())).await;
    let unknown = get(&router, "/schools/nowhere/today").await;
    assert_eq!((foreign.status, unknown.status), (404, 404));
    assert_eq!(foreign.text, unknown.text);
    assert!(foreign.text.contains("There is nothing here"));
    assert!(
        foreign.text.contains("j.marsh"),
        "it has the layout of the other pages"
    );
}

#[rstest]
#[case(Method::GET, "/nothing", 404)]
#[case(Method::POST, "/", 405)]
#[tokio::test]
async fn an_error_is_a_page(#[case] method: Method, #[case] path: &str, #[case] status: u16) {
    let world = ApiEnv::new().await;
    let router = pages(&world.markback, Some(visitor(Role::Look)));
    let page = ask(&router, method, path).await;
    assert_eq!(page.status, status);
    assert!(page.text.starts_with("<!doctype html>"));
    assert_eq!(page.header("allow").is_empty(), status != 405);
}

#[tokio::test]
async fn the_first_page_is_the_day_of_the_only_school_or_a_list() {
    let world = ApiEnv::new().await;
    let router = pages(&world.markback, Some(visitor(Role::Look)));
    let page = get(&router, "/").await;
    let today = format!("/schools/{}/today", world.id());
    assert_eq!(
        (page.status, page.header("location")),
        (303, today.as_str())
    );
    assert_eq!(get(&router, &today).await.status, 200);

    let nobody = Visitor {
        schools: SchoolsSeen::Some(Vec::new()),
        ..visitor(Role::Look)
    };
    let page = get(&pages(&world.markback, Some(nobody)), "/").await;
    assert!(page.text.contains("There is no school here yet."));
}

#[tokio::test]
async fn assets_are_kept_for_good_and_named_by_their_content() {
    let world = ApiEnv::new().await;
    let router = pages(&world.markback, Some(visitor(Role::Look)));
    let page = get(&router, "/nothing").await;
    let names: Vec<_> = page
        .text
        .split('"')
        .filter(|part| part.starts_with("/assets/"))
        .collect();
    assert_eq!(names.len(), 3, "{names:?}");
    for name in names {
        let asset = get(&pages(&world.markback, None), name).await;
        assert_eq!(asset.status, 200, "{name}");
        assert_eq!(
            asset.header("cache-control"),
            "public, max-age=31536000, immutable"
        );
        assert!(!asset.text.is_empty());
    }
}

#[tokio::test]
async fn the_api_and_the_pages_are_beside_each_other() {
    let world = ApiEnv::with(Setup {
        sandbox: SandboxOptions {
            schools: 1,
            pupils_per_school: 3,
            ..quick_sandbox()
        },
        ..Setup::default()
    })
    .await;
    let own = pages(&world.markback, Some(visitor(Role::Look)));
    let both = markback_http::router_with(world.markback.clone(), own).unwrap();
    let page = get(&both, "/nothing").await;
    assert!(page.text.starts_with("<!doctype html>"));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, both).await });
    for (path, status, kind) in [
        ("/v1/nothing", 404, "application/problem+json"),
        ("/v1/schools/x/nothing", 404, "application/problem+json"),
        ("/healthz", 200, "application/json"),
        ("/schools/x/nothing", 404, "text/html; charset=utf-8"),
    ] {
        let answer = world
            .http
            .get(format!("{address}{path}"))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status().as_u16(), status, "{path}");
        assert_eq!(answer.headers()["content-type"], kind, "{path}");
    }
}
