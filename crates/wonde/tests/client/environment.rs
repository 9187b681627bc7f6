//! The effect of the environment: proxies and certificates.
//!
//! Each test runs one of the ignored tests below in a process with a particular environment.

use crate::common::{Api, SCHOOL, builder};
use tokio::process::Command;
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::path};
use wonde::ErrorKind;

async fn in_a_process_with(variables: &[(&str, &str)], test: &str) -> (bool, String) {
    let test = format!("environment::{test}");
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", &test])
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("running 1 test"), "{text}");
    (output.status.success(), text)
}

const NO_CERTIFICATES: [(&str, &str); 2] = [
    ("SSL_CERT_FILE", "/dev/null"),
    ("SSL_CERT_DIR", "/dev/null"),
];

#[tokio::test]
async fn loopback_requests_bypass_proxies() {
    let proxy = MockServer::start().await;
    let uri = proxy.uri();
    let proxies: Vec<_> = [
        "HTTP_PROXY",
        "http_proxy",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "all_proxy",
    ]
    .into_iter()
    .map(|name| (name, uri.as_str()))
    .collect();
    let (success, text) = in_a_process_with(&proxies, "read_a_school_on_loopback").await;
    assert!(success, "{text}");
    assert!(proxy.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn other_requests_use_the_proxy() {
    let proxy = MockServer::start().await;
    let school = serde_json::json!({"data": {"id": SCHOOL}});
    Mock::given(path(format!("/v1.0/schools/{SCHOOL}")))
        .respond_with(ResponseTemplate::new(200).set_body_json(school))
        .expect(1)
        .mount(&proxy)
        .await;
    let uri = proxy.uri();
    let (success, text) =
        in_a_process_with(&[("http_proxy", uri.as_str())], "read_a_school_elsewhere").await;
    assert!(success, "{text}");
}

#[tokio::test]
async fn without_certificates_only_unencrypted_requests_work() {
    let (success, text) = in_a_process_with(&NO_CERTIFICATES, "read_a_school_on_loopback").await;
    assert!(success, "{text}");
    if cfg!(target_os = "linux") {
        let (success, text) =
            in_a_process_with(&NO_CERTIFICATES, "building_a_client_for_wonde_fails").await;
        assert!(success, "{text}");
    }
}

#[tokio::test]
#[ignore = "run by the tests above in a separate process"]
async fn read_a_school_on_loopback() {
    let api = Api::start().await;
    api.get(&format!("/schools/{SCHOOL}"), &[], "school").await;
    assert!(api.client().school(&SCHOOL.into()).await.is_ok());
}

#[tokio::test]
#[ignore = "run by the tests above in a separate process"]
async fn read_a_school_elsewhere() {
    let client = builder("http://stand-in.invalid/v1.0").build().unwrap();
    assert!(client.school(&SCHOOL.into()).await.is_ok());
}

#[test]
#[ignore = "run by the tests above in a separate process"]
fn building_a_client_for_wonde_fails() {
    let error = builder("https://api.wonde.com/v1.0").build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("CA certificates"), "{error}");
}
