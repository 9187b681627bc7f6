//! Outcomes of several registers: from the list of submitted registers as far as it proves itself, otherwise one by one.
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use mis_wonde::{
    Ability, Capabilities, ConnectContext, Connection, Descriptor, ErrorKind, Mis, Receipt,
    WritebackOutcome, session_marks,
};
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, Request, ResponseTemplate, matchers::any};

use crate::common;

static DESCRIPTOR: Descriptor = Descriptor::new("sessions", "Sessions", |context| {
    session_marks(&DESCRIPTOR, context)
})
.with_capabilities(Capabilities::SESSION_MARKS.with(Ability::Comment));

/// What the server says about submitted registers, and how often it was asked.
#[derive(Default)]
struct State {
    /// Each register by itself.
    alone: BTreeMap<&'static str, Value>,
    /// The list's rows; `None` if there is no list.
    list: Option<Vec<Value>>,
    /// The status of the list's answer.
    list_status: u16,
    /// Requests for the list, and for single registers.
    asked: (usize, usize),
}

struct School {
    server: MockServer,
    connection: Connection,
    mis: Mis,
    state: Arc<Mutex<State>>,
}

impl School {
    async fn open() -> Self {
        let state = Arc::new(Mutex::new(State {
            list_status: 200,
            ..State::default()
        }));
        let server = MockServer::start().await;
        let (shared, address) = (state.clone(), server.address().to_string());
        Mock::given(any())
            .respond_with(move |request: &Request| {
                let path = request.url.path().trim_start_matches("/v1.0/");
                let mut state = shared.lock().unwrap();
                match path.split('/').collect::<Vec<_>>()[..] {
                    ["schools", "A1"] => ok(json!({
                        "id": "A1", "mis": "Sessions", "timezone": "Europe/London", "region": {"domain": address},
                    })),
                    ["writebacks"] => {
                        state.asked.0 += 1;
                        match &state.list {
                            Some(rows) if state.list_status == 200 => ok(json!(rows)),
                            Some(_) => ResponseTemplate::new(state.list_status),
                            None => ResponseTemplate::new(404),
                        }
                    }
                    ["writebacks", id] => {
                        state.asked.1 += 1;
                        match state.alone.get(id) {
                            Some(row) => ok(row.clone()),
                            None => ResponseTemplate::new(404),
                        }
                    }
                    _ => ResponseTemplate::new(404),
                }
            })
            .mount(&server)
            .await;
        let connection = common::open(&server, ConnectContext::new("A1")).await;
        Self {
            mis: adapter(&connection).await,
            connection,
            server,
            state,
        }
    }

    /// Opens another connection, which succeeds this one.
    async fn reconnect(&mut self) {
        let next = common::open(&self.server, ConnectContext::new("A1")).await;
        self.connection = next.succeeding(&self.connection);
        self.mis = adapter(&self.connection).await;
    }

    /// The server knows these registers, alone and in its list.
    fn knows(&self, rows: &[(&'static str, Value)]) {
        let mut state = self.state.lock().unwrap();
        state.alone = rows.iter().cloned().collect();
        state.list = Some(rows.iter().map(|(_, row)| row.clone()).collect());
    }

    /// The outcomes of the first `count` of R1, R2, … as words, and the requests for the list and for single registers.
    async fn ask(&self, count: usize) -> (Vec<&'static str>, (usize, usize)) {
        self.state.lock().unwrap().asked = (0, 0);
        let receipts: Vec<_> = (1..=count)
            .map(|n| Receipt::from(format!("R{n}").as_str()))
            .collect();
        let outcomes = self.mis.outcomes(&receipts).await;
        let words = outcomes.iter().map(|outcome| match outcome {
            Ok(WritebackOutcome::Done) => "done",
            Ok(WritebackOutcome::DoneInPart { .. }) => "in part",
            Ok(WritebackOutcome::Refused { .. }) => "refused",
            Ok(WritebackOutcome::Open { .. }) => "open",
            Err(error) if error.kind() == ErrorKind::NotFound => "not found",
            Err(error) => panic!("{error}"),
        });
        (words.collect(), self.state.lock().unwrap().asked)
    }
}

async fn adapter(connection: &Connection) -> Mis {
    let context = connection.clone().into_context();
    DESCRIPTOR.connect(context).await.unwrap()
}

fn ok(data: Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(json!({ "data": data }))
}

fn row(id: &'static str, status: &str) -> (&'static str, Value) {
    (id, json!({"id": id, "status": status, "errors": []}))
}

#[tokio::test]
async fn one_register_is_asked_about_by_itself() {
    let school = School::open().await;
    school.knows(&[row("R1", "success")]);
    assert_eq!(school.ask(1).await, (vec!["done"], (0, 1)));
}

#[tokio::test]
async fn a_list_is_believed_once_a_settled_register_looks_the_same_in_it() {
    let school = School::open().await;
    school.knows(&[
        row("R1", "processing"),
        row("R2", "queued"),
        row("R3", "queued"),
    ]);
    let open = vec!["open"; 3];
    // Nothing is settled yet: one is asked about by itself each time.
    assert_eq!(school.ask(3).await, (open.clone(), (1, 1)));
    assert_eq!(school.ask(3).await, (open, (1, 1)));
    school.knows(&[
        row("R1", "success"),
        row("R2", "success"),
        row("R3", "queued"),
    ]);
    let some = vec!["done", "done", "open"];
    assert_eq!(school.ask(3).await, (some.clone(), (1, 1)));
    // Proven: the list alone is enough.
    assert_eq!(school.ask(3).await, (some, (1, 0)));
}

#[tokio::test]
async fn the_next_connection_believes_what_was_proved_and_tries_again_what_failed() {
    let mut school = School::open().await;
    school.knows(&[row("R1", "success"), row("R2", "success")]);
    let both = vec!["done"; 2];
    assert_eq!(school.ask(2).await, (both.clone(), (1, 1)));
    school.reconnect().await;
    assert_eq!(school.ask(2).await, (both.clone(), (1, 0)));

    let mut school = School::open().await;
    school.knows(&[row("R1", "success"), row("R2", "success")]);
    let list = school.state.lock().unwrap().list.take();
    assert_eq!(school.ask(2).await, (both.clone(), (1, 2)));
    school.state.lock().unwrap().list = list;
    school.reconnect().await;
    assert_eq!(school.ask(2).await, (both, (1, 1)));
}

#[tokio::test]
async fn the_details_of_a_refusal_are_asked_for_by_itself() {
    let school = School::open().await;
    school.knows(&[row("R1", "success"), row("R2", "success")]);
    assert_eq!(school.ask(2).await.1, (1, 1));
    let in_part = json!({"id": "R3", "status": "success", "errors": [{"index": 0, "message": "This code is not known."}]});
    school.knows(&[row("R1", "failed"), row("R2", "success"), ("R3", in_part)]);
    assert_eq!(
        school.ask(3).await,
        (vec!["refused", "done", "in part"], (1, 2))
    );
}

#[tokio::test]
async fn a_list_that_differs_is_not_believed_and_not_read_again() {
    let school = School::open().await;
    school.knows(&[row("R1", "success"), row("R2", "success")]);
    // By themselves both have an error that the list does not show.
    {
        let mut state = school.state.lock().unwrap();
        for id in ["R1", "R2"] {
            let errors = json!({"id": id, "status": "success", "errors": [{"index": 0, "message": "This code is not known."}]});
            state.alone.insert(id, errors);
        }
    }
    assert_eq!(school.ask(2).await, (vec!["in part"; 2], (1, 2)));
    assert_eq!(school.ask(2).await, (vec!["in part"; 2], (0, 2)));
}

#[tokio::test]
async fn a_list_that_is_behind_costs_a_question_and_nothing_else() {
    let school = School::open().await;
    school.knows(&[row("R1", "success"), row("R2", "success")]);
    school.state.lock().unwrap().list = Some(vec![row("R1", "queued").1, row("R2", "queued").1]);
    assert_eq!(school.ask(2).await, (vec!["done"; 2], (1, 2)));
}

#[tokio::test]
async fn without_a_list_each_is_asked_about_by_itself() {
    let school = School::open().await;
    school.knows(&[row("R1", "success"), row("R2", "queued")]);
    school.state.lock().unwrap().list = None;
    let both = vec!["done", "open"];
    assert_eq!(school.ask(2).await, (both.clone(), (1, 2)));
    assert_eq!(school.ask(2).await, (both, (0, 2)));
    // A list of others' registers is no help either.
    let school = School::open().await;
    school.knows(&[row("R1", "success"), row("R2", "queued")]);
    school.state.lock().unwrap().list = Some(vec![row("X1", "success").1]);
    assert_eq!(school.ask(2).await.1, (1, 2));
    assert_eq!(school.ask(2).await.1, (0, 2));
}

#[tokio::test]
async fn a_list_that_fails_for_a_moment_is_read_again() {
    let school = School::open().await;
    school.knows(&[row("R1", "success"), row("R2", "queued")]);
    school.state.lock().unwrap().list_status = 503;
    assert_eq!(school.ask(2).await.1, (1, 2));
    school.state.lock().unwrap().list_status = 200;
    assert_eq!(school.ask(2).await, (vec!["done", "open"], (1, 1)));
}

#[tokio::test]
async fn a_register_that_the_list_lacks_is_asked_about_by_itself() {
    let school = School::open().await;
    school.knows(&[
        row("R1", "success"),
        row("R2", "success"),
        row("R3", "success"),
    ]);
    school.state.lock().unwrap().list.as_mut().unwrap().pop();
    school.state.lock().unwrap().alone.remove("R3");
    assert_eq!(
        school.ask(3).await,
        (vec!["done", "done", "not found"], (1, 2))
    );
}

#[tokio::test]
async fn no_more_of_the_list_is_read_than_is_worth_it() {
    let school = School::open().await;
    school.knows(&[row("R1", "success"), row("R2", "success")]);
    // All on one page, but far down.
    let mut rows: Vec<Value> = (0..300).map(|_| row("X", "success").1).collect();
    rows.extend(school.state.lock().unwrap().list.take().unwrap());
    school.state.lock().unwrap().list = Some(rows);
    assert_eq!(school.ask(2).await, (vec!["done"; 2], (1, 2)));
    assert_eq!(school.ask(2).await.1, (0, 2));
}
