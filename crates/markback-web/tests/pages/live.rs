//! The stream of news that pages freshen themselves by.
use axum::{
    body::{Body, BodyDataStream},
    http::Request,
};
use futures::StreamExt as _;
use markback::service::EventState;
use markback_lab::harness::{ApiEnv, Setup};
use markback_web::{Role, SchoolsSeen, Visitor};
use tower::ServiceExt as _;

use crate::support::{get, morning::school, pages, visitor};

async fn open(world: &ApiEnv, visitor: Visitor, last: Option<&str>) -> BodyDataStream {
    let mut request = Request::get("/live");
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    let router = pages(&world.markback, Some(visitor));
    let response = router
        .oneshot(request.body(Body::empty()).unwrap())
        .await
        .unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(response.headers()["cache-control"], "no-cache");
    response.into_body().into_data_stream()
}

/// What comes until a text does, or until the stream ends.
async fn until(stream: &mut BodyDataStream, text: &str) -> String {
    let mut told = String::new();
    while !told.contains(text)
        && let Some(part) = stream.next().await
    {
        told.push_str(std::str::from_utf8(&part.unwrap()).unwrap());
    }
    told
}

#[tokio::test]
async fn an_outcome_is_told_without_the_person_and_can_be_resumed() {
    let mut world = school(5, Setup::default()).await;
    let mut stream = open(&world, visitor(Role::Look), None).await;
    world.take(vec![world.sign_in("a", 0, "09:10")]).await;
    world.until("a", EventState::Confirmed).await;
    let told = until(&mut stream, "}\n\n").await;
    assert!(told.contains("event: news"), "{told}");
    assert!(
        told.contains(&format!("{{\"school\":\"{}\"}}", world.id())),
        "{told}"
    );
    for secret in [world.pupils[0].id.as_str(), "\"a\"", "confirmed"] {
        assert!(!told.contains(secret), "{told}");
    }
    let id = told
        .split("id: ")
        .nth(1)
        .unwrap()
        .split('\n')
        .next()
        .unwrap();
    world.take(vec![world.sign_in("b", 1, "09:10")]).await;
    world.until("b", EventState::Confirmed).await;
    let mut resumed = open(&world, visitor(Role::Look), Some(id)).await;
    assert!(until(&mut resumed, "}\n\n").await.contains("event: news"));

    // It ends with the service.
    let rest = async { while stream.next().await.is_some() {} };
    tokio::join!(rest, world.rest());
    while resumed.next().await.is_some() {}
}

#[tokio::test]
async fn another_schools_news_are_not_told() {
    let mut world = school(5, Setup::default()).await;
    let stranger = Visitor {
        schools: SchoolsSeen::Some(vec!["Another".into()]),
        ..visitor(Role::Admin)
    };
    let mut stream = open(&world, stranger, None).await;
    world.take(vec![world.sign_in("a", 0, "09:10")]).await;
    world.until("a", EventState::Confirmed).await;
    let told = async {
        let mut told = String::new();
        while let Some(part) = stream.next().await {
            told.push_str(std::str::from_utf8(&part.unwrap()).unwrap());
        }
        told
    };
    let (told, ()) = tokio::join!(told, world.rest());
    assert!(!told.contains("news"), "{told}");
}

#[tokio::test]
async fn there_are_as_many_streams_as_the_settings_allow() {
    let setup = Setup {
        extra: "webhook_secret_file = 'webhook-secret'\nfeed = { streams = 1 }\n",
        ..Setup::default()
    };
    let world = school(3, setup).await;
    let first = open(&world, visitor(Role::Look), None).await;
    let router = pages(&world.markback, Some(visitor(Role::Look)));
    let second = get(&router, "/live").await;
    assert_eq!((second.status, second.header("retry-after")), (503, "5"));
    drop(first);
    let _again = open(&world, visitor(Role::Look), None).await;
    let nobody = get(&pages(&world.markback, None), "/live").await;
    assert!(nobody.header("location").starts_with("/sign-in?"));
}
