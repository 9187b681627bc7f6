//! The right event in place of a wrong one: another person, another time, other answers.

use markback::correction::Correction;

use super::*;

pub(super) fn routes() -> Router<Markback> {
    Router::new()
        .route("/schools/{school}/desk/events/{event}/replace", get(choose))
        .route(
            "/schools/{school}/desk/events/{event}/replace/{kind}/{person}",
            get(open).post(look),
        )
        .route(
            "/schools/{school}/desk/events/{event}/replace/{kind}/{person}/confirm",
            post(confirm),
        )
}

/// Where an event of this person takes the place of another.
pub(super) fn address(base: &str, event: &str, person: &KnownPerson) -> String {
    let (kind, key) = (kind_word(person.kind), segment(person.key.as_str()));
    format!("{base}/desk/events/{}/replace/{kind}/{key}", segment(event))
}

#[derive(Template)]
#[template(path = "desk_replace.html")]
struct ChoosePage {
    frame: Frame,
    wrong: String,
    line: EventLine,
    typed: String,
    found: Vec<FoundPerson>,
    said: Option<String>,
    back: String,
}

/// The wrong event, and what becomes of its mark.
struct Wrong {
    record: EventRecord,
    effect: Effect,
    name: String,
}

async fn wrong(markback: &Markback, at: &AtSchool, id: &str) -> Result<Wrong, PageError> {
    let school = &at.school;
    let found = effect(markback.store(), &school.id, id).await;
    let (record, effect) = found.map_err(not_corrected)?;
    let look = at.visitor.entry(AuditAction::EventShown).school(&school.id);
    markback.audit_log().look(look.subject(id)).await?;
    let names = Roll::of(markback, school).await?;
    Ok(Wrong {
        name: names.name(&record.person, kind_of_person(&record)),
        record,
        effect,
    })
}

fn frame(at: &AtSchool) -> Frame {
    Frame::of_school(
        "What is right?",
        &at.visitor,
        &at.school,
        Some(Section::FrontDesk),
    )
}

/// Searches for the person whose event it should have been.
async fn choose(
    State(markback): State<Markback>,
    at: AtSchool,
    Path((_, id)): Path<(String, String)>,
    Query(Search { q }): Query<Search>,
) -> Result<Response, PageError> {
    at.visitor.needs(Role::Tend)?;
    let wrong = wrong(&markback, &at, &id).await?;
    let base = base(&at.school.id);
    let Found { people, said } =
        found(&markback, &at, &q, |person| address(&base, &id, person)).await?;
    html(&ChoosePage {
        frame: frame(&at),
        line: event_line(&wrong.record, &at.school, &base),
        wrong: wrong.name,
        typed: q.trim().to_owned(),
        found: people,
        said,
        back: format!("{base}/desk/events/{}/correct", segment(&id)),
    })
}

#[derive(Template)]
#[template(path = "desk_replace_person.html")]
struct ReplacePage {
    frame: Frame,
    wrong: String,
    line: EventLine,
    effect: &'static str,
    name: String,
    form: String,
    group: Option<String>,
    here: String,
    back: String,
    out: bool,
    id: String,
    date: String,
    time: String,
    fields: Vec<FieldView>,
    reason: String,
    problems: Vec<(String, String)>,
    expected: Option<Expected>,
    no_id: bool,
}

/// A form that was sent.
struct Sent {
    wrong: Wrong,
    desk: AtDesk,
    typed: Typed,
    reason: String,
}

type Parts = (String, String, String, String);

async fn sent(
    markback: &Markback,
    at: &AtSchool,
    (_, id, kind, key): &Parts,
    pairs: Vec<(String, String)>,
) -> Result<Sent, PageError> {
    at.visitor.needs(Role::Tend)?;
    Ok(Sent {
        wrong: wrong(markback, at, id).await?,
        desk: at_desk(markback, &at.school, kind, key).await?,
        reason: field(&pairs, "reason").to_owned(),
        typed: Typed::read(pairs),
    })
}

/// The form, filled in with what the wrong event says.
async fn open(
    State(markback): State<Markback>,
    at: AtSchool,
    Path((_, id, kind, key)): Path<Parts>,
    Query(opened): Query<Opened>,
) -> Result<Response, PageError> {
    at.visitor.needs(Role::Tend)?;
    let wrong = wrong(&markback, &at, &id).await?;
    let desk = at_desk(&markback, &at.school, &kind, &key).await?;
    let happened = time_of(&wrong.record).unwrap_or_else(|| markback.clock().now());
    let happened = happened.with_timezone(&at.school.timezone);
    let answers = wrong.record.event["answers"].as_object();
    let answers = answers.into_iter().flatten();
    let typed = Typed {
        id: new_id(),
        out: match opened.kind.as_str() {
            "" => wrong.record.event["kind"] == "sign_out",
            kind => kind == "out",
        },
        date: happened.format("%Y-%m-%d").to_string(),
        time: happened.format("%H:%M").to_string(),
        answers: answers
            .filter_map(|(field, answer)| Some((field.clone(), answer.as_str()?.to_owned())))
            .collect(),
    };
    let sent = Sent {
        wrong,
        desk,
        typed,
        reason: String::new(),
    };
    replace_page(&markback, &at, sent, Vec::new(), None).await
}

/// Shows what becomes of the wrong mark, and what the right event makes.
async fn look(
    State(markback): State<Markback>,
    at: AtSchool,
    Path(parts): Path<Parts>,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Result<Response, PageError> {
    let sent = sent(&markback, &at, &parts, pairs).await?;
    let entry = match entry_of(&sent.desk, &sent.typed, &at.school) {
        _ if sent.reason.trim().is_empty() => Err(no_reason()),
        entry => entry,
    };
    let (problems, expected) = match entry {
        Err(problem) => (vec![problem], None),
        Ok(entry) => {
            let wrong = (sent.wrong.record.id.as_str(), sent.wrong.effect);
            let expected = markback.expect_instead(&at.school.id, entry.to_json(), wrong);
            match expected.await {
                Ok(expected) => (Vec::new(), Some(in_words(&expected, &sent.typed))),
                Err(ExpectationError::Problems(problems)) => {
                    (problems.into_iter().map(told).collect(), None)
                }
                Err(ExpectationError::Undecided(why)) => {
                    (Vec::new(), Some(undecided(&why, &sent.typed)))
                }
                Err(ExpectationError::Store(error)) => return Err(error.into()),
                Err(error) => {
                    return Err(PageError::new(ErrorKind::Invalid).detail(error.to_string()));
                }
            }
        }
    };
    replace_page(&markback, &at, sent, problems, expected).await
}

fn no_reason() -> (String, String) {
    let words = "Say why it was wrong; the history keeps it.";
    ("reason".to_owned(), words.to_owned())
}

/// Takes the wrong event back and puts the right one in its place, together. The same form again changes nothing.
async fn confirm(
    State(markback): State<Markback>,
    at: AtSchool,
    Path(parts): Path<Parts>,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Result<Response, PageError> {
    at.visitor.needs(Role::Tend)?;
    let (_, id, kind, key) = &parts;
    let desk = at_desk(&markback, &at.school, kind, key).await?;
    let typed = Typed::read(pairs.clone());
    let entry = match entry_of(&desk, &typed, &at.school) {
        Ok(entry) => entry,
        Err(problem) => {
            let sent = sent(&markback, &at, &parts, pairs).await?;
            return replace_page(&markback, &at, sent, vec![problem], None).await;
        }
    };
    let correction = Correction {
        reason: field(&pairs, "reason").to_owned(),
        replacement: Some(entry.to_json()),
    };
    let (store, settings) = (markback.store(), markback.settings());
    let (people, actor) = (markback.people(), at.visitor.actor(None));
    let school = &at.school.id;
    let done = correct(store, &settings, people, school, id, &correction, &actor).await;
    let problems = match done {
        Ok(_) => {
            let to = format!("{}/desk/events/{}", base(school), segment(&entry.id));
            return Ok(Redirect::to(&to).into_response());
        }
        Err(OperatorError::NoReason) => vec![no_reason()],
        Err(OperatorError::Replacement(problems)) => problems.into_iter().map(told).collect(),
        Err(OperatorError::ReplacementConflict(_)) => {
            return Err(PageError::new(ErrorKind::Conflict)
                .detail("This form was sent before with other values. Open the event again."));
        }
        Err(error) => return Err(not_corrected(error)),
    };
    let sent = sent(&markback, &at, &parts, pairs).await?;
    replace_page(&markback, &at, sent, problems, None).await
}

async fn replace_page(
    markback: &Markback,
    at: &AtSchool,
    sent: Sent,
    problems: Vec<(String, String)>,
    expected: Option<Expected>,
) -> Result<Response, PageError> {
    let Sent {
        wrong,
        desk,
        typed,
        reason,
    } = sent;
    let (school, person) = (&at.school, &desk.person);
    at.looks_at_person(markback, AuditAction::PersonShown, person.key.as_str(), 0)
        .await?;
    let base = base(&school.id);
    html(&ReplacePage {
        frame: frame(at),
        line: event_line(&wrong.record, school, &base),
        wrong: wrong.name,
        effect: effect_words(wrong.effect),
        name: person.name(),
        form: form(person),
        group: person.group.clone(),
        here: address(&base, &wrong.record.id, person),
        back: format!("{base}/desk/events/{}", segment(&wrong.record.id)),
        out: typed.out,
        fields: fields_of(school, person, &typed),
        id: typed.id,
        date: typed.date,
        time: typed.time,
        reason,
        problems,
        expected,
        no_id: desk.id.is_none(),
    })
}
