//! A pupil's session in a small world: an MIS with a teacher, Wonde's copy of it, and ourselves with ledger, view and rules.
//! Whatever happens in whatever order, a protected code of the teacher's that Wonde had shown when a mark was last decided
//! is not written over by that mark, unless a mark of ours has the same code.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, LazyLock},
    time::Duration,
};

use chrono::{DateTime, NaiveDate};
use mis_core::{Ability, Capabilities, CodeBook, EventKind, Mark, Register, Session, StudentId};
use proptest::{prelude::*, sample::select};
use writeback::{
    Decision, DecisionOutcome, Event, GroupContext, Rules, View, decide, settings::GroupKind,
};

use super::*;
use crate::{
    pipeline::view::{Sources, is_ours, view_of, withdrawn_of},
    store::LedgerKey,
};

const CODES: [&str; 5] = ["I", "M", "L", "B", "N"];
const PATIENCE: Duration = Duration::from_secs(3600);

/// What can happen next.
#[derive(Clone, Debug)]
enum Happening {
    /// Seconds go by.
    Time(i64),
    /// A teacher enters a code, or clears the mark.
    Teacher(Option<&'static str>),
    /// Wonde renews its copy.
    Extract,
    /// We read the copy.
    Read,
    /// Both.
    Show,
    /// An event comes in and is decided on what was read last.
    Event {
        kind: EventKind,
        code: &'static str,
    },
    /// The planned mark goes out, after another look or without one, and is answered or not.
    Send {
        look: bool,
        answer: Answer,
    },
    /// The MIS is given the oldest register that is on its way, or refuses it.
    Land {
        refused: bool,
    },
    /// We ask what became of the oldest register that is still open to us.
    Poll,
    /// We wait no longer for that.
    GiveUpWaiting,
    /// A person gives an event up, or tries it again. By its place.
    Discard(usize),
    Retry(usize),
    /// An event is withdrawn. By its place.
    Withdraw(usize),
}

#[derive(Clone, Copy, Debug)]
enum Answer {
    Taken,
    Refused,
    LostAfter,
    LostBefore,
}

/// One version of the mark in the MIS.
#[derive(Clone, Debug)]
struct Version {
    number: usize,
    code: &'static str,
    by_teacher: bool,
    changed: i64,
}

/// A request that Wonde has and the MIS has not.
struct Flight {
    event: usize,
    code: &'static str,
    seen: BTreeSet<usize>,
    /// How it ended, once it has.
    landed: Option<bool>,
    followed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Skipped,
    Planned,
    Unanswered,
    Accepted,
    Confirmed,
    Rejected,
    Unconfirmed,
    Ended,
}

struct Known {
    event: Event,
    code: &'static str,
    state: State,
    /// The mark that is to go out, when planned; and the teacher's versions that had been shown when it was decided last.
    planned: Option<(Mark, DateTime<Utc>)>,
    over: Option<SeenMark>,
    against: Standing,
    seen: BTreeSet<usize>,
    /// Whether a mark of it was ever sent without an answer, and whether Wonde took the last one and has not rejected it.
    unanswered: bool,
    taken: bool,
    withdrawn: bool,
    /// The mark that its present one repairs.
    repairs: Option<LedgerMark>,
}

struct World {
    rules: &'static Rules,
    /// How many seconds Wonde's clock is ahead.
    skew: i64,
    /// Whether the copy's times are those of the copy, not those of the change.
    times_of_copy: bool,
    now: i64,
    versions: usize,
    mis: Option<Version>,
    copy: Option<Version>,
    read: Option<Version>,
    read_at: i64,
    /// What we have been shown and not been shown as changed.
    shown: BTreeSet<usize>,
    flights: VecDeque<Flight>,
    events: Vec<Known>,
    row: LedgerRow,
    /// Why it went wrong.
    wrong: Option<String>,
}

static BOOK: LazyLock<CodeBook> = LazyLock::new(CodeBook::england);
static RULES: LazyLock<[Rules; 2]> =
    LazyLock::new(|| ["['sign_in', 'sign_out']", "['sign_in']"].map(rules));

fn rules(protect_on: &str) -> Rules {
    let options = CODES.map(|code| format!("'{code} - because'")).join(", ");
    let fields = ["sign_in", "sign_out"].map(|on| {
        toml::from_str(&format!(
            "name = '{on}'\non = '{on}'\noptions = [{options}]"
        ))
        .unwrap()
    });
    let settings = toml::from_str(&format!(
        "closes = '15:30'\npm = {{ opens = '12:00' }}\nprotected = ['I', 'M']\nprotect_on = {protect_on}\n\
         custom_codes = {{ sign_in = 'sign_in', sign_out = 'sign_out' }}"
    ))
    .unwrap();
    let checked = Rules::check(GroupKind::Students, &fields, &settings, None);
    assert_eq!(checked.problems, []);
    checked.rules.unwrap()
}

fn moment(seconds: i64) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339("2026-11-23T08:00:00Z")
        .unwrap()
        .to_utc()
        + TimeDelta::seconds(seconds)
}

fn key() -> LedgerKey {
    LedgerKey {
        school: "A1".to_owned(),
        student: "A2".into(),
        date: NaiveDate::from_ymd_opt(2026, 11, 23).unwrap(),
        session: Session::Am,
    }
}

impl World {
    fn new(rules: &'static Rules, skew: i64, times_of_copy: bool) -> Self {
        Self {
            rules,
            skew,
            times_of_copy,
            now: 0,
            versions: 0,
            mis: None,
            copy: None,
            read: None,
            read_at: 0,
            shown: BTreeSet::new(),
            flights: VecDeque::new(),
            events: Vec::new(),
            row: LedgerRow::default(),
            wrong: None,
        }
    }

    fn happen(&mut self, happening: &Happening) {
        match happening {
            Happening::Time(seconds) => self.now += seconds,
            Happening::Teacher(code) => self.enter(*code, true),
            Happening::Extract => {
                self.copy.clone_from(&self.mis);
                if let (Some(copy), true) = (&mut self.copy, self.times_of_copy) {
                    copy.changed = self.now;
                }
            }
            Happening::Read => self.look(),
            Happening::Show => {
                self.happen(&Happening::Extract);
                self.look();
            }
            Happening::Event { kind, code } => self.take(*kind, code),
            Happening::Send { look, answer } => self.send(*look, *answer),
            Happening::Land { refused } => self.land(*refused),
            Happening::Poll => self.poll(),
            Happening::GiveUpWaiting => self.give_up_waiting(),
            Happening::Discard(place) => self.discard(*place),
            Happening::Retry(place) => self.retry(*place),
            Happening::Withdraw(place) => self.withdraw(*place),
        }
        for n in 0..self.events.len() {
            let known = &self.events[n];
            let settled = matches!(known.state, State::Confirmed | State::Unconfirmed);
            if settled && known.withdrawn && known.repairs.is_none() {
                self.repair(n);
            }
        }
    }

    fn withdraw(&mut self, place: usize) {
        let Some(known) = self.events.get_mut(place).filter(|known| !known.withdrawn) else {
            return;
        };
        known.withdrawn = true;
        let on_its_way = matches!(known.state, State::Unanswered | State::Accepted);
        let may_stand = known.unanswered || known.taken || on_its_way;
        if !on_its_way {
            known.state = if may_stand {
                State::Unconfirmed
            } else {
                State::Ended
            };
        }
        let event = known.event.id.clone();
        self.apply(&Change::Withdraw { event, may_stand });
    }

    /// Decides what becomes of a withdrawn mark. It is decided once, on what was read just now.
    fn repair(&mut self, n: usize) {
        self.look();
        self.events[n].state = State::Ended;
        let decision = self.decision(n, None);
        let Some(planned) = decision.planned() else {
            return;
        };
        let id = self.events[n].event.id.clone();
        let first = self.row.mark(&id).cloned();
        let first = first.unwrap_or_else(|| self.own_mark(n, None));
        let (now, over, seen) = (moment(self.now), self.seen_row(), self.shown.clone());
        let known = &mut self.events[n];
        known.code = CODES
            .into_iter()
            .find(|code| *code == planned.mark.code.as_str())
            .unwrap();
        known.repairs = Some(first);
        (known.over, known.seen, known.state) = (over, seen, State::Planned);
        known.planned = Some((planned.mark.clone(), now));
        known.against = self.row.standing.clone();
        let change = Change::Plan {
            mark: self.own_mark(n, None),
            standing: Some(self.row.standing.clone()),
        };
        self.apply(&change);
    }

    fn enter(&mut self, code: Option<&'static str>, by_teacher: bool) {
        self.versions += 1;
        // What says the same changes nothing.
        if self.mis.as_ref().map(|mis| mis.code) == code {
            return;
        }
        self.mis = code.map(|code| Version {
            number: self.versions,
            code,
            by_teacher,
            changed: self.now,
        });
    }

    /// Reads the copy. What it shows no more was changed or cleared.
    fn look(&mut self) {
        (self.read, self.read_at) = (self.copy.clone(), self.now);
        self.shown = self.read.iter().map(|read| read.number).collect();
    }

    fn register(&self) -> Register {
        let row = self.read.as_ref().map(|version| HeldMark {
            student: StudentId::from("A2"),
            session: Session::Am,
            code: HeldCode::Known(Code::new(version.code)),
            comment: None,
            minutes_late: None,
            changed_at: Some(moment(version.changed + self.skew)),
        });
        Register::new(key().date, moment(self.read_at), row)
    }

    fn take(&mut self, kind: EventKind, code: &'static str) {
        let n = self.events.len();
        let field = match kind {
            EventKind::SignIn => "sign_in",
            EventKind::SignOut => "sign_out",
        };
        // Each a little later than the one before, well within the morning.
        let at = moment(1800 + i64::try_from(n).unwrap());
        let event = serde_json::from_value(serde_json::json!({
            "id": format!("e{n}"), "person": "p", "kind": field, "at": at.to_rfc3339(),
            "answers": {field: format!("{code} - because")},
        }))
        .unwrap();
        self.events.push(Known {
            event,
            code,
            state: State::Waiting,
            planned: None,
            over: None,
            against: Standing::default(),
            seen: BTreeSet::new(),
            unanswered: false,
            taken: false,
            withdrawn: false,
            repairs: None,
        });
        self.decide_first(n);
    }

    fn decision(&self, n: usize, planned_at: Option<DateTime<Utc>>) -> Decision {
        let known = &self.events[n];
        let register = Ok(Arc::new(self.register()));
        let sources = Sources {
            ledger: Some(&self.row),
            register: &register,
            planned_at,
            confirm_within: PATIENCE,
            now: moment(self.now),
            must_see: self.rules.must_see_register(known.event.kind),
        };
        let protects = |held: &HeldCode| self.rules.protects(held, known.event.kind, &BOOK);
        let first = || {
            let first = known.repairs.clone();
            first.unwrap_or_else(|| self.own_mark(n, None))
        };
        let withdrawn = known
            .withdrawn
            .then(|| withdrawn_of(&key(), &known.event.id, first, &sources).0);
        let view = View {
            capabilities: Capabilities::SESSION_MARKS.with(Ability::EarlyLeaver),
            quirks: mis_core::Quirks::NONE,
            codes: &BOOK,
            register: view_of(&key(), &known.event.id, &sources, protects),
            arrival: None,
            refused_with: &[],
            previous: None,
            planned_before: planned_at.is_some(),
            standing: match planned_at {
                Some(_) => known.against.clone(),
                None => self.row.standing_but(&known.event.id),
            },
            school_day: writeback::SchoolDay::NoCalendar,
            released: false,
            withdrawn,
            timezone: chrono_tz::Europe::London,
        };
        let group = GroupContext {
            name: "Pupils",
            kind: GroupKind::Students,
            rules: Some(self.rules),
        };
        decide(&known.event, &"A2".into(), Some(group), &view)
    }

    fn decide_first(&mut self, n: usize) {
        let decision = self.decision(n, None);
        let known = &self.events[n];
        let against = self.row.standing_but(&known.event.id);
        let standing = decision.standing.clone();
        match decision.outcome {
            DecisionOutcome::Wait { .. } | DecisionOutcome::Fail { .. } => {}
            DecisionOutcome::Skip { .. } => {
                if let Some(standing) = standing {
                    self.apply(&Change::Stand(standing));
                }
                self.events[n].state = State::Skipped;
            }
            DecisionOutcome::Write(planned) => {
                let unsent: Vec<_> = (0..self.events.len())
                    .filter(|m| matches!(self.events[*m].state, State::Planned | State::Unanswered))
                    .collect();
                let (now, over) = (moment(self.now), self.seen_row());
                let seen = self.shown.clone();
                let known = &mut self.events[n];
                (known.over, known.seen, known.state) = (over, seen, State::Planned);
                known.against = against.clone();
                known.planned = Some((planned.mark, now));
                let change = Change::Plan {
                    mark: self.own_mark(n, None),
                    standing: Some(standing.unwrap_or(against)),
                };
                self.apply(&change);
                for other in unsent {
                    self.events[other].state = State::Ended;
                    self.apply(&Change::Forget(format!("e{other}")));
                }
            }
        }
    }

    fn seen_row(&self) -> Option<SeenMark> {
        SeenMark::of(self.register().held(&"A2".into(), Session::Am)?)
    }

    fn own_mark(&self, n: usize, sent_at: Option<DateTime<Utc>>) -> LedgerMark {
        let known = &self.events[n];
        let (mark, planned_at) = known.planned.clone().unwrap();
        LedgerMark {
            event: known.event.id.clone(),
            code: mark.code,
            comment: None,
            minutes_late: None,
            planned_at,
            answered: sent_at.is_some(),
            sent_at,
            confirmed_at: None,
            against: known.against.clone(),
            over: known.over.clone(),
            found: None,
            held: false,
            withdrawn: known.withdrawn && known.repairs.is_none(),
            repairs: known.repairs.clone().map(Box::new),
        }
    }

    fn apply(&mut self, change: &Change) -> bool {
        self.row.apply(change, moment(self.now))
    }

    fn send(&mut self, look: bool, answer: Answer) {
        let ready = |known: &Known| matches!(known.state, State::Planned | State::Unanswered);
        let Some(n) = self.events.iter().position(ready) else {
            return;
        };
        if (look || self.events[n].state == State::Unanswered) && !self.second_look(n) {
            return;
        }
        let known = &self.events[n];
        if matches!(answer, Answer::Taken | Answer::LostAfter) {
            self.flights.push_back(Flight {
                event: n,
                code: known.code,
                seen: known.seen.clone(),
                landed: None,
                followed: matches!(answer, Answer::Taken),
            });
        }
        let id = known.event.id.clone();
        match answer {
            Answer::Taken => {
                self.events[n].taken = true;
                let mark = self.own_mark(n, Some(moment(self.now)));
                self.apply(&Change::Accept(mark));
                self.events[n].state = State::Accepted;
            }
            Answer::Refused => {
                self.events[n].taken = false;
                self.apply(&Change::Forget(id));
                self.events[n].state = State::Rejected;
            }
            Answer::LostAfter | Answer::LostBefore => {
                self.events[n].unanswered = true;
                self.events[n].state = State::Unanswered;
            }
        }
    }

    /// Looks at the register once more and decides again. Answers whether the mark is to be sent.
    fn second_look(&mut self, n: usize) -> bool {
        self.look();
        let known = &self.events[n];
        let (id, (mark, planned_at)) = (known.event.id.clone(), known.planned.clone().unwrap());
        if self
            .register()
            .held(&"A2".into(), Session::Am)
            .is_some_and(|held| {
                is_ours(held, &mark, planned_at) && !self.row.may_be_earlier(held, &id)
            })
        {
            self.apply(&Change::Confirm(id));
            self.events[n].state = State::Confirmed;
            return false;
        }
        if self.events[n].withdrawn && self.events[n].repairs.is_none() {
            self.events[n].state = State::Unconfirmed;
            return false;
        }
        match self.decision(n, Some(planned_at)).outcome {
            DecisionOutcome::Write(planned) => {
                let (over, seen) = (self.seen_row(), self.shown.clone());
                let known = &mut self.events[n];
                known.planned = Some((planned.mark, planned_at));
                (known.over, known.seen) = (over, seen);
                true
            }
            DecisionOutcome::Skip { .. } => {
                self.apply(&Change::Forget(id));
                self.events[n].state = State::Skipped;
                false
            }
            DecisionOutcome::Wait { .. } | DecisionOutcome::Fail { .. } => false,
        }
    }

    fn land(&mut self, refused: bool) {
        let Some(place) = self.flights.iter().position(|one| one.landed.is_none()) else {
            return;
        };
        self.flights[place].landed = Some(!refused);
        if refused {
            return;
        }
        let (event, code) = (self.flights[place].event, self.flights[place].code);
        let kind = self.events[event].event.kind;
        if let Some(there) = self.mis.clone()
            && there.by_teacher
            && there.code != code
            && self.flights[place].seen.contains(&there.number)
            && !self.looks_like_ours(&there, event)
            && !self.looks_like_the_withdrawn(&there, event)
            && (self.events[event].repairs.is_some()
                || self
                    .rules
                    .protects(&HeldCode::Known(Code::new(there.code)), kind, &BOOK))
        {
            self.wrong = Some(format!("e{event} writes {code} over {there:?}"));
        }
        self.enter(Some(code), false);
    }

    /// Whether an event of the pupil wrote the same code: nobody can tell the two apart, and a return replaces our own.
    fn looks_like_ours(&self, there: &Version, event: usize) -> bool {
        self.events.iter().enumerate().any(|(n, known)| {
            n != event
                && known.code == there.code
                && !matches!(
                    known.state,
                    State::Waiting | State::Skipped | State::Planned
                )
        })
    }

    /// Whether a repair cannot tell the teacher's mark from the withdrawn one: Wonde took the latter, and both say the same and
    /// are of the same moment as far as the clocks tell.
    fn looks_like_the_withdrawn(&self, there: &Version, event: usize) -> bool {
        self.events[event].repairs.as_ref().is_some_and(|first| {
            let changed = moment(there.changed + self.skew);
            let about_then = |sent| self.times_of_copy || changed >= sent - CLOCK_SLACK;
            first.code.as_str() == there.code
                && first.answered
                && first.sent_at.is_some_and(about_then)
        })
    }

    fn poll(&mut self) {
        let open = |one: &Flight| one.landed.is_some() && one.followed;
        let Some(place) = self.flights.iter().position(open) else {
            return;
        };
        let flight = self.flights.remove(place).unwrap();
        let n = flight.event;
        if self.events[n].state != State::Accepted {
            return;
        }
        let id = self.events[n].event.id.clone();
        if flight.landed == Some(true) {
            self.apply(&Change::Confirm(id));
            self.events[n].state = State::Confirmed;
            return;
        }
        self.events[n].taken = false;
        if self.now % 2 == 0 {
            // Believed after a few times; here by chance.
            self.apply(&Change::Forget(id));
            self.events[n].state = State::Rejected;
        } else if self.apply(&Change::SendAgain(id)) {
            // Always with a look before it goes.
            self.events[n].state = State::Unanswered;
        } else {
            self.events[n].state = State::Ended;
        }
    }

    fn give_up_waiting(&mut self) {
        if let Some(known) = self
            .events
            .iter_mut()
            .find(|known| known.state == State::Accepted)
        {
            known.state = State::Unconfirmed;
        }
    }

    fn discard(&mut self, place: usize) {
        let open = [
            State::Waiting,
            State::Planned,
            State::Rejected,
            State::Unconfirmed,
        ];
        if let Some(known) = self.events.get_mut(place)
            && open.contains(&known.state)
        {
            known.state = State::Ended;
            let id = known.event.id.clone();
            self.apply(&Change::Discard(id));
        }
    }

    fn retry(&mut self, place: usize) {
        let again = [State::Waiting, State::Rejected, State::Unconfirmed];
        if self
            .events
            .get(place)
            .is_some_and(|known| again.contains(&known.state) && !known.withdrawn)
        {
            self.events[place].state = State::Waiting;
            self.decide_first(place);
        }
    }
}

fn happening() -> impl Strategy<Value = Happening> {
    let code = || select(&CODES[..]);
    let kind = prop_oneof![Just(EventKind::SignIn), Just(EventKind::SignOut)];
    let answer = prop_oneof![
        6 => Just(Answer::Taken),
        1 => Just(Answer::Refused),
        1 => Just(Answer::LostAfter),
        1 => Just(Answer::LostBefore),
    ];
    prop_oneof![
        4 => select(&[1, 3, 10, 60][..]).prop_map(Happening::Time),
        1 => Just(Happening::Time(4000)),
        4 => prop_oneof![
            4 => select(&CODES[..2]).prop_map(|code| Happening::Teacher(Some(code))),
            1 => code().prop_map(|code| Happening::Teacher(Some(code))),
            1 => Just(Happening::Teacher(None)),
        ],
        1 => Just(Happening::Extract),
        1 => Just(Happening::Read),
        4 => Just(Happening::Show),
        8 => (kind, code()).prop_map(|(kind, code)| Happening::Event { kind, code }),
        8 => (prop::bool::weighted(0.3), answer)
            .prop_map(|(look, answer)| Happening::Send { look, answer }),
        8 => prop::bool::weighted(0.3).prop_map(|refused| Happening::Land { refused }),
        5 => Just(Happening::Poll),
        1 => Just(Happening::GiveUpWaiting),
        1 => (0_usize..6).prop_map(Happening::Discard),
        2 => (0_usize..6).prop_map(Happening::Retry),
        3 => (0_usize..6).prop_map(Happening::Withdraw),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(3000), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_protected_code_that_was_shown_is_written_over(
        sign_outs_too in any::<bool>(),
        skew in -4_i64..=4,
        times_of_copy in any::<bool>(),
        happenings in prop::collection::vec(happening(), 0..50),
    ) {
        let rules: &'static Rules = &RULES[usize::from(!sign_outs_too)];
        let mut world = World::new(rules, skew, times_of_copy);
        for happening in &happenings {
            world.happen(happening);
            prop_assert!(world.wrong.is_none(), "{}", world.wrong.unwrap());
        }
    }
}
