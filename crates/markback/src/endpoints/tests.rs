//! The queue of deliveries, endpoints and signatures, on both databases.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use outbox::TestClock;
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wiremock::{Mock, MockServer, Request, ResponseTemplate, matchers::any};

use super::*;
use crate::{
    audit_log::AuditFilter,
    feed::{Feed, FeedQuery, FeedRead, NoticeWhat},
    seal::SealKeyPlaces,
    settings::{SecretSource, TargetSettings},
    store::NewEntry,
};

const POLL: Duration = Duration::from_millis(5);

struct Stage {
    store: Store,
    endpoints: Endpoints,
    clock: Arc<TestClock>,
    host: MockServer,
    stop: CancellationToken,
    running: Option<JoinHandle<()>>,
}

impl Stage {
    async fn new(url: &str) -> Self {
        let clock = Arc::new(TestClock::at("2026-11-23T08:40:00Z".parse().unwrap()));
        let settings = outbox::Settings::default();
        let store = Store::open(url, settings, clock.clone()).await.unwrap();
        Self {
            endpoints: Endpoints {
                targets: Targets::new(&loopback()),
                ..Endpoints::new(store.clone(), &Service::default())
            },
            store,
            clock,
            host: MockServer::start().await,
            stop: CancellationToken::new(),
            running: None,
        }
    }

    fn run(&mut self) {
        let courier = self.endpoints.courier().unwrap();
        let stop = self.stop.clone();
        let minute = Duration::from_secs(60);
        self.running = Some(tokio::spawn(async move {
            courier.run(POLL, minute, stop).await;
        }));
    }

    async fn add(&self, school: Option<&str>, kinds: &[FeedKind]) -> (Endpoint, Secret) {
        let new = NewEndpoint {
            school: school.map(str::to_owned),
            kinds: kinds.to_vec(),
            url: format!("{}/in?key=1", self.host.uri()).parse().unwrap(),
            note: None,
        };
        self.endpoints.add(new, &Actor::default()).await.unwrap()
    }

    /// The host answers with this status from now on.
    async fn answer(&self, status: u16) {
        self.host.reset().await;
        Mock::given(any())
            .respond_with(ResponseTemplate::new(status).set_body_string("who cares"))
            .mount(&self.host)
            .await;
    }

    /// Writes and numbers the end of a sync.
    async fn publish(&self, school: &str, id: &str) {
        let entry = NewEntry {
            school: school.to_owned(),
            kind: FeedKind::Sync,
            body: json!({ "id": id, "state": "done" }),
        };
        let mut tx = self.store.database().begin().await.unwrap();
        self.store.publish(&mut tx, &[entry]).await.unwrap();
        tx.commit().await.unwrap();
        self.store.number_feed().await.unwrap();
    }

    /// The deliveries to an endpoint, the newest entry first.
    async fn deliveries(&self, id: &str) -> Vec<Delivery> {
        let filter = DeliveryFilter {
            before: None,
            state: None,
            limit: 100,
        };
        self.endpoints.deliveries(id, &filter).await.unwrap()
    }

    /// Waits until the deliveries are as wanted.
    async fn until(&self, id: &str, wanted: impl Fn(&[Delivery]) -> bool) -> Vec<Delivery> {
        for _ in 0..24_000 {
            let found = self.deliveries(id).await;
            if wanted(&found) {
                return found;
            }
            tokio::time::sleep(POLL).await;
        }
        panic!("waited in vain: {:?}", self.deliveries(id).await);
    }

    /// Lets all attempts of the open deliveries be made until none is left.
    async fn until_given_up(&self, id: &str) {
        let open = |one: &Delivery| one.state == DeliveryState::Waiting;
        for (n, wait) in RETRIES.into_iter().enumerate() {
            let is_tried = |one: &Delivery| one.attempts.len() > n || !open(one);
            self.until(id, |now| now.iter().all(is_tried)).await;
            // A little more than the longest wait.
            self.clock.advance(wait.mul_f64(1.11));
        }
        self.until(id, |now| !now.iter().any(open)).await;
    }

    async fn received(&self) -> Vec<Request> {
        self.host.received_requests().await.unwrap()
    }
}

fn loopback() -> TargetSettings {
    TargetSettings {
        loopback: true,
        ..TargetSettings::default()
    }
}

async fn stages() -> Vec<Stage> {
    let mut stages = vec![Stage::new("sqlite::memory:").await];
    if let Some(server) = throwaway_postgres::shared().unwrap() {
        stages.push(Stage::new(&server.create_database().unwrap()).await);
    }
    stages
}

fn is_delivered(one: &Delivery) -> bool {
    one.state == DeliveryState::Delivered
}

fn header<'r>(request: &'r Request, name: &str) -> &'r str {
    request.headers.get(name).unwrap().to_str().unwrap()
}

/// The signature without the check of its time, which is the moved clock's.
fn is_signed_by(secret: &Secret, request: &Request) -> bool {
    let (id, at) = (
        header(request, ID_HEADER),
        header(request, TIMESTAMP_HEADER),
    );
    let expected = Webhook::new(secret.expose()).unwrap();
    let expected = expected
        .sign(id, at.parse().unwrap(), &request.body)
        .unwrap();
    let mut signatures = header(request, SIGNATURE_HEADER).split(' ');
    signatures.any(|signature| signature == expected)
}

#[tokio::test]
async fn each_endpoint_gets_what_it_asked_for_signed_with_its_secret() {
    for mut stage in stages().await {
        stage.publish("A", "before").await;
        stage.answer(204).await;
        let (of_a, secret) = stage.add(Some("A"), &[FeedKind::Sync]).await;
        let (notices, _) = stage.add(None, &[FeedKind::Notice]).await;
        let (all, other) = stage.add(None, &[]).await;
        stage.run();
        stage.publish("A", "1").await;
        stage.publish("B", "2").await;
        let done = |count: usize| {
            move |now: &[Delivery]| now.len() == count && now.iter().all(is_delivered)
        };
        let one = stage.until(&of_a.id, done(1)).await.remove(0);
        assert_eq!((one.resent, one.attempts_in_round), (0, 1));
        assert_eq!(
            (one.attempts[0].status, &one.attempts[0].error),
            (Some(204), &None)
        );
        stage.until(&all.id, done(2)).await;
        assert!(stage.deliveries(&notices.id).await.is_empty());

        let received = stage.received().await;
        assert_eq!(received.len(), 3);
        let of_a: Vec<_> = received
            .iter()
            .filter(|request| header(request, ID_HEADER).contains(&of_a.id))
            .collect();
        let [request] = of_a.as_slice() else {
            panic!("one request")
        };
        assert!(is_signed_by(&secret, request));
        assert!(!is_signed_by(&other, request));
        assert_eq!(header(request, "content-type"), "application/json");
        assert_eq!(request.url.query(), Some("key=1"));
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(body["type"], "sync.done");
        assert_eq!(body["timestamp"], body["data"]["at"]);
        assert_eq!(body["data"]["school"], "A");
        assert_eq!(body["data"]["sync"], json!({ "id": "1", "state": "done" }));
        let listed = stage.endpoints.get(&all.id).await.unwrap();
        assert!(listed.last_success.is_some() && listed.failing_since.is_none());
    }
}

#[tokio::test]
async fn a_failed_attempt_is_made_again_by_the_schedule_until_the_delivery_is_given_up() {
    for mut stage in stages().await {
        stage.answer(500).await;
        let (endpoint, secret) = stage.add(None, &[]).await;
        stage.run();
        stage.publish("A", "1").await;
        for (n, wait) in RETRIES.into_iter().enumerate() {
            let found = stage
                .until(&endpoint.id, |now| now[0].attempts.len() > n)
                .await;
            assert_eq!(found[0].state, DeliveryState::Waiting);
            // Not before its time.
            stage.clock.advance(wait.mul_f64(0.9));
            assert_eq!(
                stage.deliveries(&endpoint.id).await[0].attempts.len(),
                n + 1
            );
            stage.clock.advance(wait.mul_f64(0.21));
        }
        let found = stage
            .until(&endpoint.id, |now| now[0].state == DeliveryState::Failed)
            .await;
        let waits: Vec<_> = found[0]
            .attempts
            .windows(2)
            .map(|two| (two[1].at - two[0].at).to_std().unwrap())
            .collect();
        assert_eq!(waits.len(), RETRIES.len());
        assert!(
            waits
                .iter()
                .zip(RETRIES)
                .all(|(waited, wait)| *waited >= wait),
            "{waits:?}"
        );
        assert_eq!(
            found[0].attempts[0].error.as_deref(),
            Some("it answered 500")
        );

        let received = stage.received().await;
        assert_eq!(received.len(), RETRIES.len() + 1);
        let ids: std::collections::BTreeSet<_> = received
            .iter()
            .map(|request| header(request, ID_HEADER))
            .collect();
        assert_eq!(ids.len(), 1);
        assert!(
            received
                .iter()
                .all(|request| is_signed_by(&secret, request))
        );
        let listed = stage.endpoints.get(&endpoint.id).await.unwrap();
        assert_eq!((listed.state, listed.given_up), (EndpointState::Active, 1));
        assert!(listed.failing_since.is_some());
    }
}

#[tokio::test]
async fn an_endpoint_that_fails_for_long_is_dead_until_it_is_enabled_and_then_gets_what_it_missed()
{
    for mut stage in stages().await {
        stage.answer(503).await;
        let (endpoint, _) = stage.add(Some("A"), &[FeedKind::Sync]).await;
        stage.run();
        let begun = stage.store.now();
        for n in 0..DEAD_AFTER_ROUNDS {
            stage.publish("A", &n.to_string()).await;
        }
        stage.until_given_up(&endpoint.id).await;
        let dead = stage.endpoints.get(&endpoint.id).await.unwrap();
        assert_eq!(dead.state, EndpointState::Dead);
        assert_eq!(dead.last_error.as_deref(), Some("it answered 503"));

        stage.publish("A", "missed").await;
        let many = DEAD_AFTER_ROUNDS as usize;
        assert_eq!(stage.deliveries(&endpoint.id).await.len(), many);
        let feed = Feed::new(stage.store.clone(), POLL, 1);
        let all = FeedQuery {
            limit: 100,
            ..FeedQuery::default()
        };
        let FeedRead::Page(page) = feed.page(&all).await.unwrap() else {
            panic!("nothing was pruned")
        };
        let notices: Vec<_> = page
            .entries
            .iter()
            .filter_map(|one| one.notice.as_ref())
            .collect();
        assert_eq!(notices.len(), 1);
        assert_eq!(notices[0].what, NoticeWhat::EndpointDead);
        assert!(notices[0].text.contains(&endpoint.id));

        stage.answer(200).await;
        let enabled = stage
            .endpoints
            .enable(&endpoint.id, true, &Actor::default())
            .await
            .unwrap();
        assert_eq!(
            (enabled.state, enabled.given_up),
            (EndpointState::Active, 0)
        );
        let resent = stage
            .endpoints
            .resend_since(&endpoint.id, begun, &Actor::default())
            .await
            .unwrap();
        assert_eq!(resent, u64::from(DEAD_AFTER_ROUNDS) + 1);
        stage
            .until(&endpoint.id, |now| {
                now.len() == many + 1 && now.iter().all(is_delivered)
            })
            .await;
        assert_eq!(stage.received().await.len(), many + 1);
        let again = stage
            .endpoints
            .resend_since(&endpoint.id, begun, &Actor::default())
            .await
            .unwrap();
        assert_eq!(again, 0);
    }
}

#[tokio::test]
async fn an_endpoint_that_says_it_is_gone_gets_nothing_more() {
    for mut stage in stages().await {
        stage.answer(410).await;
        let (endpoint, _) = stage.add(None, &[FeedKind::Sync]).await;
        stage.publish("A", "1").await;
        stage.run();
        stage
            .until(&endpoint.id, |now| now[0].state == DeliveryState::Failed)
            .await;
        let gone = stage.endpoints.get(&endpoint.id).await.unwrap();
        assert_eq!(gone.state, EndpointState::Gone);
        let text = "[[school]]\nid = 'A'\ntimezone = 'Europe/London'\ntoken_env = 'NONE'\n";
        let loaded = crate::settings::from_text(std::path::Path::new("m.toml"), text);
        let settings = loaded.unwrap().settings;
        let school = SchoolId::from("A");
        let found = crate::problems::find(&stage.store, &settings, &school, None, None);
        let [told] = found.await.unwrap().endpoints.try_into().unwrap();
        assert_eq!((told.id, told.state), (endpoint.id.clone(), gone.state));
        assert!(
            told.cure
                .contains(&format!("webhooks enable {}", endpoint.id))
        );
        stage.publish("A", "2").await;
        assert_eq!(stage.deliveries(&endpoint.id).await.len(), 1);
        assert_eq!(stage.received().await.len(), 1);
    }
}

#[tokio::test]
async fn while_a_secret_is_rotated_both_sign() {
    for mut stage in stages().await {
        stage.answer(200).await;
        let (endpoint, old) = stage.add(None, &[]).await;
        stage.run();
        let (rotated, new) = stage
            .endpoints
            .rotate(&endpoint.id, &Actor::default())
            .await
            .unwrap();
        assert!(rotated.old_secret_until.is_some());
        stage.publish("A", "1").await;
        stage
            .until(&endpoint.id, |now| now.iter().all(is_delivered))
            .await;
        stage.clock.advance(OLD_SECRET_SIGNS);
        stage.publish("A", "2").await;
        stage
            .until(&endpoint.id, |now| {
                now.len() == 2 && now.iter().all(is_delivered)
            })
            .await;
        let received = stage.received().await;
        let by: Vec<_> = received
            .iter()
            .map(|request| (is_signed_by(&old, request), is_signed_by(&new, request)))
            .collect();
        assert_eq!(by, [(true, true), (false, true)]);
    }
}

#[tokio::test]
async fn one_entry_is_sent_again_with_the_same_id_and_not_while_it_is_on_its_way() {
    for mut stage in stages().await {
        stage.answer(200).await;
        let (endpoint, _) = stage.add(None, &[]).await;
        stage.publish("A", "1").await;
        let entry = stage.deliveries(&endpoint.id).await[0].entry;
        let refused = stage
            .endpoints
            .resend(&endpoint.id, entry, &Actor::default())
            .await;
        assert!(matches!(refused, Err(EndpointError::NotResent)));
        stage.run();
        stage
            .until(&endpoint.id, |now| now.iter().all(is_delivered))
            .await;
        stage
            .endpoints
            .resend(&endpoint.id, entry, &Actor::default())
            .await
            .unwrap();
        let found = stage
            .until(&endpoint.id, |now| {
                now[0].attempts.len() == 2 && is_delivered(&now[0])
            })
            .await;
        assert_eq!((found[0].resent, found[0].attempts_in_round), (1, 1));
        let received = stage.received().await;
        assert_eq!(
            header(&received[0], ID_HEADER),
            header(&received[1], ID_HEADER)
        );
        let unknown = Cursor::new(99);
        let refused = stage
            .endpoints
            .resend(&endpoint.id, unknown, &Actor::default())
            .await;
        assert!(matches!(refused, Err(EndpointError::NotResent)));
        let refused = stage
            .endpoints
            .resend("we_other", entry, &Actor::default())
            .await;
        assert!(matches!(refused, Err(EndpointError::Unknown)));
    }
}

#[tokio::test]
async fn a_disabled_or_removed_endpoint_gets_nothing() {
    for mut stage in stages().await {
        stage.answer(200).await;
        let (disabled, _) = stage.add(None, &[]).await;
        let (removed, _) = stage.add(None, &[]).await;
        stage.publish("A", "1").await;
        stage
            .endpoints
            .enable(&disabled.id, false, &Actor::default())
            .await
            .unwrap();
        stage
            .endpoints
            .remove(&removed.id, &Actor::default())
            .await
            .unwrap();
        assert!(matches!(
            stage.endpoints.remove(&removed.id, &Actor::default()).await,
            Err(EndpointError::Unknown)
        ));
        stage.run();
        stage
            .until(&disabled.id, |now| now[0].state == DeliveryState::Failed)
            .await;
        assert!(stage.deliveries(&disabled.id).await[0].attempts.is_empty());
        assert!(stage.received().await.is_empty());
        assert_eq!(stage.endpoints.list().await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn each_change_of_an_endpoint_is_in_the_audit_log() {
    for stage in stages().await {
        let (endpoint, _) = stage.add(Some("A"), &[]).await;
        let (id, ann) = (endpoint.id.as_str(), Actor::default());
        let endpoints = &stage.endpoints;
        endpoints.rotate(id, &ann).await.unwrap();
        endpoints.enable(id, false, &ann).await.unwrap();
        endpoints.enable(id, true, &ann).await.unwrap();
        let since = stage.store.now();
        endpoints.resend_since(id, since, &ann).await.unwrap();
        endpoints.remove(id, &ann).await.unwrap();
        // What changes nothing leaves no entry.
        assert!(endpoints.enable(id, true, &ann).await.is_err());
        let all = AuditFilter {
            limit: 100,
            ..AuditFilter::default()
        };
        let mut entries = stage.store.audit_entries(&all).await.unwrap();
        entries.reverse();
        let told: Vec<_> = entries.iter().map(|entry| entry.action.as_str()).collect();
        assert_eq!(
            told,
            [
                "endpoint_added",
                "endpoint_rotated",
                "endpoint_disabled",
                "endpoint_enabled",
                "endpoint_resent",
                "endpoint_removed",
            ]
        );
        for entry in entries {
            assert_eq!(entry.school.as_deref(), Some("A"));
            assert_eq!(entry.subject.as_deref(), Some(id));
        }
    }
}

#[tokio::test]
async fn a_name_that_leads_to_this_machine_is_not_called() {
    let stage = Stage::new("sqlite::memory:").await;
    stage.answer(200).await;
    let strict = Endpoints::new(stage.store.clone(), &Service::default());
    let port = stage.host.address().port();
    let new = |url: String| NewEndpoint {
        school: None,
        kinds: Vec::new(),
        url: url.parse().unwrap(),
        note: None,
    };
    let refused = strict
        .add(new(format!("https://127.0.0.1:{port}/")), &Actor::default())
        .await;
    assert!(matches!(
        refused,
        Err(EndpointError::Target(TargetError::NotPublic(_)))
    ));
    let (endpoint, _) = strict
        .add(new(format!("https://localhost:{port}/")), &Actor::default())
        .await
        .unwrap();
    let tested = strict.test(&endpoint.id).await.unwrap();
    assert!(!tested.delivered);
    assert!(tested.error.unwrap().contains("not on the public internet"));
    assert!(stage.received().await.is_empty());
}

#[tokio::test]
async fn a_test_message_is_signed_and_told_at_once() {
    let stage = Stage::new("sqlite::memory:").await;
    stage.answer(202).await;
    let (endpoint, secret) = stage.add(None, &[]).await;
    let tested = stage.endpoints.test(&endpoint.id).await.unwrap();
    assert_eq!((tested.delivered, tested.status), (true, Some(202)));
    let received = stage.received().await;
    assert!(is_signed_by(&secret, &received[0]));
    let body: Value = serde_json::from_slice(&received[0].body).unwrap();
    assert_eq!(body["type"], "test");
    stage.answer(302).await;
    let tested = stage.endpoints.test(&endpoint.id).await.unwrap();
    assert_eq!((tested.delivered, tested.status), (false, Some(302)));
    assert!(stage.deliveries(&endpoint.id).await.is_empty());
}

/// Keeps secrets sealed with these keys, each 32 times the same byte.
fn sealing(present: u8, before: Option<u8>) -> Sealing {
    let key = |byte: u8| SecretSource::Given(STANDARD.encode([byte; 32]).into());
    Sealing::new(&Arc::new(SealKeyPlaces {
        present: Some(key(present)),
        before: before.map(key),
    }))
}

impl Stage {
    /// The secrets as the database has them.
    async fn stored(&self) -> Vec<String> {
        let all = self.store.endpoint_secrets().await.unwrap();
        let texts = all.iter().map(|(_, stored)| stored.as_text().to_owned());
        texts.collect()
    }

    fn with(&self, sealing: Sealing) -> Endpoints {
        Endpoints {
            sealing,
            ..self.endpoints.clone()
        }
    }
}

#[tokio::test]
async fn secrets_of_the_build_before_are_sealed_on_demand_and_go_on_signing() {
    for mut stage in stages().await {
        stage.answer(200).await;
        // Without a key both are in the database in clear, as they were in the build before.
        let (endpoint, old) = stage.add(None, &[]).await;
        let ann = Actor::default();
        let rotated = stage.endpoints.rotate(&endpoint.id, &ann);
        let (_, new) = rotated.await.unwrap();
        assert_eq!(stage.stored().await, [new.expose(), old.expose()]);
        assert_eq!(stage.store.endpoint_secrets_in_clear().await.unwrap(), 1);
        let without = stage.endpoints.seal_secrets(&Actor::default()).await;
        assert!(matches!(without, Err(EndpointError::Secret(_))));

        stage.endpoints = stage.with(sealing(1, None));
        let done = stage.endpoints.seal_secrets(&Actor::default()).await;
        let done = done.unwrap();
        assert_eq!((done.sealed, done.already), (2, 0));
        let again = stage.endpoints.seal_secrets(&Actor::default()).await;
        let again = again.unwrap();
        assert_eq!((again.sealed, again.already), (0, 2));
        assert_eq!(stage.store.endpoint_secrets_in_clear().await.unwrap(), 0);
        // A new one is sealed at once.
        let (_, third) = stage.add(None, &[]).await;
        let stored = stage.stored().await;
        for secret in [&old, &new, &third] {
            let secret = secret.expose().trim_start_matches("whsec_");
            assert!(!stored.iter().any(|text| text.contains(secret)));
        }
        stage.run();
        stage.publish("A", "1").await;
        stage
            .until(&endpoint.id, |now| now.iter().all(is_delivered))
            .await;
        let received = stage.received().await;
        let both = received
            .iter()
            .filter(|request| is_signed_by(&old, request) && is_signed_by(&new, request));
        assert_eq!(both.count(), 1);

        // The key is changed while the old secret signs no longer.
        stage.clock.advance(OLD_SECRET_SIGNS);
        let changed = stage.with(sealing(2, Some(1)));
        let done = changed.seal_secrets(&Actor::default()).await.unwrap();
        assert_eq!((done.sealed, done.already, done.failed.len()), (2, 0, 0));
        let alone = stage.with(sealing(2, None));
        assert!(alone.test(&endpoint.id).await.unwrap().delivered);
        assert_eq!(stage.stored().await.len(), 2);
    }
}

#[tokio::test]
async fn an_endpoint_whose_secret_cannot_be_opened_is_not_asked_and_does_not_die_of_it() {
    for mut stage in stages().await {
        stage.answer(200).await;
        stage.endpoints = stage.with(sealing(1, None));
        let (endpoint, secret) = stage.add(None, &[]).await;
        stage.endpoints = stage.with(sealing(2, None));
        let failed = stage.endpoints.seal_secrets(&Actor::default()).await;
        assert!(failed.unwrap().failed[&endpoint.id].contains("sealed with the key"));
        for n in 0..=DEAD_AFTER_ROUNDS {
            stage.publish("A", &n.to_string()).await;
        }
        stage.run();
        stage.until_given_up(&endpoint.id).await;
        assert!(stage.received().await.is_empty());
        let now = stage.endpoints.get(&endpoint.id).await.unwrap();
        assert_eq!(now.state, EndpointState::Active);
        let error = now.last_error.unwrap();
        assert!(error.contains("seal_key_before_file"), "{error}");
        assert!(now.failing_since.is_some() && !error.contains(secret.expose()));
        // With the key again, the test message arrives.
        let found = stage.with(sealing(2, Some(1)));
        assert!(found.test(&endpoint.id).await.unwrap().delivered);
        let received = stage.received().await;
        assert!(is_signed_by(&secret, &received[0]));
    }
}
