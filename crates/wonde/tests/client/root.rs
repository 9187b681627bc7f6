//! Requests at the root of the API, and the path from there to a school.

use crate::common::{Api, SCHOOL, TOKEN, builder};
use futures::TryStreamExt as _;
use rstest::rstest;
use secrecy::SecretString;
use wiremock::{
    Mock, ResponseTemplate,
    matchers::{body_json, header, method, path},
};
use wonde::{Client, ErrorKind, School, SchoolList, WritebackStatus};

const LIST: [(&str, &str); 1] = [("per_page", "200")];

#[tokio::test]
async fn schools_are_read_with_all_fields() {
    let api = Api::start().await;
    api.get("/schools", &LIST, "schools").await;
    let schools: Vec<School> = api
        .client()
        .schools(SchoolList::Approved)
        .try_collect()
        .await
        .unwrap();

    let [furlong, southern] = schools.try_into().unwrap();
    assert_eq!(furlong.id.as_str(), SCHOOL);
    assert_eq!(furlong.name.as_deref(), Some("Furlong School"));
    assert_eq!(furlong.establishment_number.as_deref(), Some("6006"));
    assert_eq!(furlong.timezone.as_deref(), Some("Europe/London"));
    assert_eq!(furlong.mis.as_deref(), Some("SIMS"));
    let address = furlong.address.unwrap();
    assert_eq!(address.postcode.as_deref(), Some("CB21 1AA"));
    assert_eq!(address.country.unwrap().code.as_deref(), Some("GBR"));
    assert_eq!(furlong.extended.unwrap().allows_writeback, Some(true));
    let region = furlong.region.unwrap();
    assert_eq!(region.domain.as_deref(), Some("api.wonde.com"));
    assert_eq!(region.identifiers.unwrap()["urn"], 123_456);

    assert_eq!(southern.address, None);
    let extended = southern.extended.unwrap();
    assert_eq!(
        (
            extended.allows_writeback,
            extended.has_timetables,
            extended.has_lesson_attendance
        ),
        (Some(false), Some(true), Some(false))
    );
    assert_eq!(southern.region.unwrap().identifiers, None);
}

#[rstest]
#[case(SchoolList::All, "/schools/all")]
#[case(SchoolList::Pending, "/schools/pending")]
#[case(SchoolList::Audited, "/schools/audited")]
#[case(SchoolList::Offline, "/schools/offline")]
#[case(SchoolList::Revoked, "/schools/revoked")]
#[case(SchoolList::Declined, "/schools/declined")]
#[tokio::test]
async fn each_list_of_schools_has_its_path(#[case] list: SchoolList, #[case] at: &str) {
    let api = Api::start().await;
    api.get(at, &LIST, "schools").await;
    let schools: Vec<School> = api.client().schools(list).try_collect().await.unwrap();
    assert_eq!(schools.len(), 2);
}

#[tokio::test]
async fn a_school_is_read_and_its_region_is_used() {
    let api = Api::start().await;
    api.get(&format!("/schools/{SCHOOL}"), &[], "school").await;
    api.get(&Api::below("attendance-codes"), &LIST, "attendance_codes")
        .await;
    api.get("/writebacks/A9911", &[], "writeback_open").await;
    let client = api.client();
    let school = client.school(&SCHOOL.into()).await.unwrap();
    let at = client.at(&school).unwrap();
    assert_eq!(at.id(), &school.id);
    let codes: Vec<_> = at.attendance_codes().try_collect().await.unwrap();
    assert_eq!(codes.len(), 5);
    // A school's writebacks are read from its own region.
    assert_eq!(
        at.writeback(&"A9911".into()).await.unwrap().status,
        WritebackStatus::Open
    );
}

#[tokio::test]
async fn a_schools_meta_is_read() {
    let api = Api::start().await;
    api.get(&format!("/meta/schools/{SCHOOL}"), &[], "meta")
        .await;
    let meta = api.client().meta(&SCHOOL.into()).await.unwrap();
    assert_eq!(
        (
            meta.online,
            meta.approved,
            meta.audited,
            meta.custom_attendance_codes
        ),
        (Some(true), Some(true), Some(false), None)
    );
}

#[tokio::test]
async fn a_schools_meta_is_read_without_a_wrapper() {
    let api = Api::start().await;
    let flat = ResponseTemplate::new(200).set_body_json(serde_json::json!({"online": false}));
    api.told("GET", &format!("/meta/schools/{SCHOOL}"), &[], flat)
        .expect(1)
        .mount(&api.server)
        .await;
    let meta = api.client().meta(&SCHOOL.into()).await.unwrap();
    assert_eq!((meta.online, meta.approved), (Some(false), None));
}

#[tokio::test]
async fn a_schools_permissions_are_read() {
    let api = Api::start().await;
    api.get(
        &format!("/meta/schools/{SCHOOL}/permissions"),
        &[],
        "permissions",
    )
    .await;
    let permissions = api.client().permissions(&SCHOOL.into()).await.unwrap();
    let writing: Vec<_> = permissions
        .iter()
        .filter(|permission| permission.is_attendance_write())
        .collect();
    assert_eq!(permissions.len(), 3);
    assert_eq!(writing.len(), 1);
    assert_eq!(writing[0].approved, Some(false));
}

#[tokio::test]
async fn access_is_requested_and_revoked() {
    let api = Api::start().await;
    Mock::given(method("POST"))
        .and(path(format!("/v1.0/schools/{SCHOOL}/request-access")))
        .and(header("content-type", "application/json"))
        .and(body_json(serde_json::json!({})))
        .respond_with(api.answer("access_requested"))
        .expect(1)
        .mount(&api.server)
        .await;
    let at = format!("/schools/{SCHOOL}/revoke-access");
    api.told("DELETE", &at, &[], api.answer("access_revoked"))
        .expect(1)
        .mount(&api.server)
        .await;

    let client = api.client();
    let asked = client.request_access(&SCHOOL.into()).await.unwrap();
    assert_eq!(
        (asked.success, asked.state.as_deref()),
        (Some(true), Some("pending"))
    );
    let given_back = client.revoke_access(&SCHOOL.into()).await.unwrap();
    assert_eq!((given_back.success, given_back.message), (Some(true), None));
}

#[tokio::test]
async fn wondes_own_codes_are_read() {
    let api = Api::start().await;
    api.get("/attendance-codes", &LIST, "attendance_codes")
        .await;
    let codes: Vec<_> = api.client().attendance_codes().try_collect().await.unwrap();
    let letters: Vec<_> = codes.iter().map(|code| code.code.as_deref()).collect();
    assert_eq!(letters, [Some("/"), Some("\\"), Some("L"), Some("7"), None]);
    assert_eq!(codes[2].id.as_str(), "113");
    assert_eq!(codes[3].kind.as_deref(), Some("A NEW WORD"));
}

#[rstest]
#[case("writeback_done", WritebackStatus::Done, "Successful", None)]
#[case(
    "writeback_rejected",
    WritebackStatus::Rejected,
    "failed",
    Some("No such code for Augusta Lovelace")
)]
#[case("writeback_open", WritebackStatus::Open, "queued", None)]
#[tokio::test]
async fn the_status_of_a_writeback_is_read(
    #[case] fixture: &str,
    #[case] status: WritebackStatus,
    #[case] word: &str,
    #[case] message: Option<&str>,
) {
    let api = Api::start().await;
    api.get("/writebacks/A9911", &[], fixture).await;
    let writeback = api.client().writeback(&"A9911".into()).await.unwrap();
    assert_eq!(writeback.status, status);
    assert_eq!(writeback.word.as_deref(), Some(word));
    assert_eq!(writeback.message.as_deref(), message);
    assert!(writeback.id.as_str().ends_with("9911"));
}

#[tokio::test]
async fn the_client_sends_a_user_agent() {
    let api = Api::start().await;
    let agent = format!(
        "markback-wonde/{} school-door/2.1",
        env!("CARGO_PKG_VERSION")
    );
    Mock::given(path("/v1.0/schools"))
        .and(header("user-agent", agent.as_str()))
        .respond_with(api.answer("schools"))
        .expect(1)
        .mount(&api.server)
        .await;
    let client = api
        .builder()
        .user_agent_suffix("school-door/2.1")
        .build()
        .unwrap();
    let schools: Vec<School> = client
        .schools(SchoolList::Approved)
        .try_collect()
        .await
        .unwrap();
    assert_eq!(schools.len(), 2);
}

fn school(region: serde_json::Value) -> School {
    serde_json::from_value(serde_json::json!({"id": SCHOOL, "region": region})).unwrap()
}

#[test]
fn the_token_is_only_sent_to_wonde() {
    let client = builder("https://api.wonde.com/v1.0").build().unwrap();
    let at = |region| {
        client
            .at(&school(region))
            .map(|_| ())
            .map_err(|error| error.kind())
    };
    assert_eq!(
        at(serde_json::json!({"domain": "api-af-south-1.wonde.com"})),
        Ok(())
    );
    assert_eq!(
        at(serde_json::json!({"school_url": "https://api.wonde.com/v1.0/schools/A1"})),
        Ok(())
    );
    assert_eq!(
        at(serde_json::json!({"domain": "api.wonde.com.evil.example"})),
        Err(ErrorKind::ForeignHost)
    );
    assert_eq!(
        at(serde_json::json!({"domain": "127.0.0.1:80"})),
        Err(ErrorKind::ForeignHost)
    );
    assert_eq!(
        at(serde_json::json!({"domain": ""})),
        Err(ErrorKind::Config)
    );
    assert_eq!(at(serde_json::json!(null)), Err(ErrorKind::Config));

    let trusting = builder("https://api.wonde.com/v1.0")
        .allow_host("mirror.example:8443")
        .build()
        .unwrap();
    assert!(
        trusting
            .at(&school(
                serde_json::json!({"domain": "mirror.example:8443"})
            ))
            .is_ok()
    );
    assert!(
        trusting
            .at(&school(serde_json::json!({"domain": "mirror.example"})))
            .is_err()
    );
}

#[test]
fn invalid_options_are_rejected_by_the_builder() {
    for builder in [
        Client::builder(SecretString::from("")),
        Client::builder(SecretString::from("two words")),
        Client::builder(SecretString::from(TOKEN)).base_url("api.wonde.com"),
        Client::builder(SecretString::from(TOKEN)).base_url("http://api.wonde.com/v1.0"),
        Client::builder(SecretString::from(TOKEN)).allow_host("https:///"),
        Client::builder(SecretString::from(TOKEN)).user_agent_suffix("two\nlines"),
    ] {
        assert_eq!(builder.build().unwrap_err().kind(), ErrorKind::Config);
    }
}

#[tokio::test]
async fn a_token_may_end_in_a_line_break() {
    let api = Api::start().await;
    api.get(&format!("/schools/{SCHOOL}"), &[], "school").await;
    let token = SecretString::from(format!("{TOKEN}\n"));
    let client = Client::builder(token).base_url(api.base()).build().unwrap();
    assert!(client.school(&SCHOOL.into()).await.is_ok());
}

#[test]
fn clients_and_errors_can_be_shared_between_tasks() {
    fn everywhere<T: Send + Sync + Clone + 'static>() {}
    fn as_an_error<T: std::error::Error + Send + Sync + 'static>() {}
    everywhere::<Client>();
    everywhere::<wonde::SchoolClient>();
    as_an_error::<wonde::Error>();
}
