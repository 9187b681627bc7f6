//! A browser with its cookies, for tests that sign in.
use std::{collections::BTreeMap, net::SocketAddr};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::ConnectInfo,
    http::{HeaderMap, Method, Request, header},
};
use markback::{
    operator::Actor,
    service::Markback,
    users::{self, NewUser, Role},
};
use tower::ServiceExt as _;

use super::Page;

/// The password of each user in tests.
pub(crate) const PASSWORD: &str = "correct horse battery";
pub(crate) const HOST: &str = "hill.example";

/// Adds a user at these schools, or at all.
pub(crate) async fn add_user(
    markback: &Markback,
    name: &str,
    role: Role,
    schools: Option<&[&str]>,
) {
    let new = NewUser {
        name: name.to_owned(),
        shown: String::new(),
        role,
        schools: schools.map(|ids| ids.iter().map(|id| (*id).into()).collect()),
    };
    let added = users::add(markback.store(), &new, &PASSWORD.into(), &Actor::program()).await;
    added.unwrap();
}

/// A browser on the pages of a service.
#[derive(Clone)]
pub(crate) struct Browser {
    router: Router,
    pub(crate) cookies: BTreeMap<String, String>,
    /// What it says of where a form comes from.
    pub(crate) origin: Option<String>,
    /// The address from which it connects.
    pub(crate) peer: String,
}

impl Browser {
    pub(crate) fn new(markback: &Markback) -> Self {
        Self {
            router: markback_web::router(markback.clone()),
            cookies: BTreeMap::new(),
            origin: Some(format!("https://{HOST}")),
            peer: "192.0.2.1:50000".to_owned(),
        }
    }

    /// Signs in, and goes to the first page.
    pub(crate) async fn signed_in(markback: &Markback, name: &str) -> Self {
        let mut browser = Self::new(markback);
        let page = browser.sign_in(name, PASSWORD, "").await;
        assert_eq!(
            (page.status, page.header("location")),
            (303, "/"),
            "{}",
            page.text
        );
        browser
    }

    pub(crate) async fn sign_in(&mut self, name: &str, password: &str, next: &str) -> Page {
        let page = self.get("/sign-in").await;
        assert_eq!(page.status, 200, "{}", page.text);
        let token = token_of(&page.text);
        let fields = [("name", name), ("password", password), ("next", next)];
        self.post_with("/sign-in", &fields, &token).await
    }

    pub(crate) async fn get(&mut self, path: &str) -> Page {
        self.send(Method::GET, path, None).await
    }

    /// Sends a form with the token of the present session, as the page of errors has it.
    pub(crate) async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Page {
        let token = self.token().await;
        self.post_with(path, fields, &token).await
    }

    /// The token of the session; empty if there is none.
    pub(crate) async fn token(&mut self) -> String {
        let page = self.get("/no-such-page").await;
        if page.status == 303 {
            return String::new();
        }
        token_of(&page.text)
    }

    pub(crate) async fn post_with(
        &mut self,
        path: &str,
        fields: &[(&str, &str)],
        token: &str,
    ) -> Page {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("csrf", token);
        for (name, value) in fields {
            form.append_pair(name, value);
        }
        self.send(Method::POST, path, Some(form.finish())).await
    }

    pub(crate) async fn send(&mut self, method: Method, path: &str, form: Option<String>) -> Page {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, HOST);
        let cookies: Vec<_> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        if !cookies.is_empty() {
            request = request.header(header::COOKIE, cookies.join("; "));
        }
        if let Some(origin) = &self.origin {
            request = request.header(header::ORIGIN, origin);
        }
        if form.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        let peer: SocketAddr = self.peer.parse().unwrap();
        let request = request
            .extension(ConnectInfo(peer))
            .body(form.map_or(Body::empty(), Body::from))
            .unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        self.keep(&headers);
        let policy = headers.get(header::CONTENT_SECURITY_POLICY);
        assert!(policy.is_some(), "{path} has no policy");
        let kind = headers.get(header::CONTENT_TYPE);
        let is_stream = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        let body = if is_stream {
            Body::empty()
        } else {
            response.into_body()
        };
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Page {
            status,
            headers,
            text,
        }
    }

    /// Keeps cookies as a browser does that was given a secure address.
    fn keep(&mut self, headers: &HeaderMap) {
        for cookie in headers.get_all(header::SET_COOKIE) {
            let cookie = cookie.to_str().unwrap();
            let (pair, attributes) = cookie.split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            if attributes.contains("Max-Age=0") {
                self.cookies.remove(name);
                continue;
            }
            for needed in ["Secure", "HttpOnly", "SameSite=Lax", "Path=/"] {
                assert!(attributes.contains(needed), "{cookie}");
            }
            assert!(
                name.starts_with("__Host-") && !attributes.contains("Domain"),
                "{cookie}"
            );
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
    }
}

/// The token in the first form of a page.
pub(crate) fn token_of(text: &str) -> String {
    let (_, rest) = text
        .split_once(r#"name="csrf" value=""#)
        .expect("a form with a token");
    rest.split('"').next().unwrap().to_owned()
}
