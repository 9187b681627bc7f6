//! Asks the pages of a service without a connection.

pub(crate) mod browser;
pub(crate) mod morning;

use axum::{
    Extension, Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Method, Request, header},
};
use markback::service::Markback;
use markback_web::{Role, SchoolsSeen, Visitor, session::FormToken};
use tower::ServiceExt as _;

/// An answer.
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Page {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

/// Somebody with this role at all schools.
pub(crate) fn visitor(role: Role) -> Visitor {
    Visitor {
        user: "j.marsh".to_owned(),
        role,
        schools: SchoolsSeen::All,
        form: FormToken::default(),
    }
}

/// The pages as this visitor gets them.
pub(crate) fn pages(markback: &Markback, visitor: Option<Visitor>) -> Router {
    let router = markback_web::router(markback.clone());
    match visitor {
        Some(visitor) => router.layer(Extension(visitor)),
        None => router,
    }
}

pub(crate) async fn ask(router: &Router, method: Method, path: &str) -> Page {
    let request = Request::builder().method(method).uri(path);
    let request = request.body(Body::empty()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let is_html = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.to_str().unwrap().starts_with("text/html"));
    if is_html {
        assert!(!text.contains("style="), "{path}: a style in the page");
        assert!(!text.contains("<script>"), "{path}: a script in the page");
        assert!(!text.contains(" onclick"), "{path}: a handler in the page");
    }
    let policy = headers.get(header::CONTENT_SECURITY_POLICY);
    let policy = policy.map_or("", |policy| policy.to_str().unwrap());
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self'"),
        "{path}: {policy}"
    );
    Page {
        status,
        headers,
        text,
    }
}

pub(crate) async fn get(router: &Router, path: &str) -> Page {
    ask(router, Method::GET, path).await
}
