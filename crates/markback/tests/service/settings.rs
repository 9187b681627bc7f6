//! The settings: what they mean, and that all that is wrong with them is told.

use std::{fmt::Write as _, path::Path, sync::Arc, time::Duration};

use markback::settings::{self, LoadError, Loaded, Problem};
use mis_core::Ability;
use rstest::rstest;
use secrecy::ExposeSecret as _;

fn load(text: &str) -> Result<Loaded, LoadError> {
    settings::from_text(Path::new("markback.toml"), text)
}

fn problems(text: &str) -> Vec<Problem> {
    match load(text) {
        Err(LoadError::Problems { problems, .. }) => problems,
        other => panic!("expected problems, not {other:?}"),
    }
}

/// A school that holds, with more of it to come.
const SCHOOL: &str = "[[school]]\nid = 'A1'\ntimezone = 'Europe/London'\ntoken_env = 'TOKEN'\n";
/// A group of it that holds, with more of it to come.
const GROUP: &str = "[[school.group]]\nname = 'G'\nkind = 'students'\n";

#[test]
fn what_is_left_out_has_its_default() {
    let service = load(SCHOOL).unwrap().settings.service;
    assert_eq!(service.listen.to_string(), "127.0.0.1:8350");
    assert_eq!(service.wonde_url.as_str(), "https://api.wonde.com/v1.0");
    assert_eq!(service.store, "sqlite:markback.db");
    assert_eq!(service.accept_age, Duration::from_secs(7 * 24 * 60 * 60));
    assert_eq!(service.future_tolerance, Duration::from_secs(5 * 60));
    assert_eq!(service.gather.window, Duration::from_secs(60));
    assert_eq!(service.gather.max.get(), 400);
    assert_eq!(service.rate_per_minute.get(), 600);
}

#[test]
fn what_is_said_is_taken() {
    let text = format!(
        "listen = '[::1]:80'\naccept_age = '36h'\ngather = {{ window = '2s 500ms' }}\n{SCHOOL}mis = 'Arbor'\nwithout = ['comment']\n{GROUP}years = ['7']\nmessage = 'Hi'\n"
    );
    let settings = load(&text).unwrap().settings;
    assert_eq!(settings.service.listen.port(), 80);
    assert_eq!(
        settings.service.accept_age,
        Duration::from_secs(36 * 60 * 60)
    );
    assert_eq!(settings.service.gather.window, Duration::from_millis(2500));
    assert_eq!(settings.service.gather.max.get(), 400);
    let school = settings.school(&"A1".into()).unwrap();
    assert_eq!(school.mis.as_deref(), Some("Arbor"));
    assert_eq!(school.timezone, chrono_tz::Europe::London);
    assert_eq!(*school.without, [Ability::Comment]);
    let group = school.group("G").unwrap();
    assert_eq!(group.membership.years, ["7"]);
    assert_eq!(group.message.as_deref(), Some("Hi"));
    assert!(group.rules.is_none());
    assert!(settings.school(&"A2".into()).is_none());
}

#[test]
fn whom_a_group_takes_and_how_people_are_read() {
    let text = format!(
        "sync = {{ every = '10m', nightly = '01:00', max_shrink = 35, keep_former = '7d' }}\n{SCHOOL}
{GROUP}years = ['7']\nhouses = ['Curie']\nclasses = ['7x/Ma1']\nproperties = ['name', 'email']
[[school.group]]\nname = 'Teachers'\nkind = 'staff'\nteaching = true\ngroups = [{{ type = 'USER', name = 'Choir' }}]
[[school.group]]\nname = 'Parents'\nkind = 'parents'\nof = 'G'\npriority_max = 2\nlives_with = true\nexclude = ['C9']\n"
    );
    let settings = load(&text).unwrap().settings;
    let school = settings.school(&"A1".into()).unwrap();
    let roster = settings.roster(school);
    assert_eq!(roster.guard.max_shrink, 35);
    assert_eq!(roster.keep.former_days, 7);
    let [students, teachers, parents] = roster.groups.as_slice() else {
        panic!("{:?}", roster.groups);
    };
    assert_eq!(students.membership.houses, ["Curie"]);
    assert_eq!(teachers.membership.groups[0].kind.as_deref(), Some("USER"));
    assert_eq!(parents.membership.of, ["G"]);
    assert_eq!(parents.membership.lives_with, Some(true));
    let read: Vec<_> = roster.needs()[&roster::PersonKind::Student]
        .iter()
        .map(|property| property.as_str())
        .collect();
    assert_eq!(
        read,
        ["name", "year", "house", "classes", "contacts", "email"]
    );
}

/// Every key that the roster knows can be written in the file, and the other way round.
#[test]
fn no_condition_of_a_group_is_forgotten() {
    let schema = serde_json::to_value(markback::settings::schema()).unwrap();
    let group = &schema["$defs"]["Group"]["properties"];
    let group = group.as_object().unwrap();
    for key in roster::Membership::KEYS {
        assert!(group.contains_key(key), "{key}");
    }
    let others = ["name", "kind", "message", "field", "writeback"];
    assert_eq!(group.len(), roster::Membership::KEYS.len() + others.len());
}

#[rstest]
// The service.
#[case("listen = 'here'", "listen", "not an IP address")]
#[case("listn = 1", "listn", "did you mean `listen`?")]
#[case("accept_age = '7 fortnights'", "accept_age", "not a duration")]
#[case("accept_age = '5000000000y'", "accept_age", "a hundred years")]
#[case("workers = { lease = '101y' }", "workers.lease", "a hundred years")]
#[case("accept_age = 7", "accept_age", "expected a string")]
#[case("gather = { windw = '1s' }", "gather.windw", "did you mean `window`?")]
#[case("gather = { max = 0 }", "gather.max", "nonzero")]
#[case("rate_per_minute = -1", "rate_per_minute", "nonzero")]
#[case("register_lookback = '1d'", "register_lookback", "enters marks ahead")]
#[case(
    "register_lookback = '400d'",
    "register_lookback",
    "enters marks ahead"
)]
#[case("sync = { every = '1s' }", "sync.every", "too often")]
#[case("sync = { nightly = '25:00' }", "sync.nightly", "not a time of day")]
#[case(
    "sync = { max_shrink = 101 }",
    "sync.max_shrink",
    "more than 100 per cent"
)]
#[case("store = 'mysql://x'", "store", "not the address of a database")]
#[case(
    "store_env = 'postgres://u@h/d'",
    "store_env",
    "not the name of an environment variable"
)]
#[case("wonde_url = 'wonde'", "wonde_url", "relative URL")]
#[case("wonde_url = 'ftp://x'", "wonde_url", "begins with https://")]
#[case(
    "api_key_env = 'K'\napi_key_file = 'f'",
    "api_key_file",
    "keep one of the two"
)]
#[case("api_key_file = ''", "api_key_file", "is empty")]
#[case(
    "webhook_secret_env = 'K'\nwebhook_secret_file = 'f'",
    "webhook_secret_file",
    "two places"
)]
#[case(
    "webhook_secret_env = 'the-secret-itself'",
    "webhook_secret_env",
    "not the name of an environment variable"
)]
#[case("schools_file = 'no such file.csv'", "schools_file", "cannot be read")]
#[case(
    "seal_key_env = 'K'\nseal_key_file = 'f'",
    "seal_key_file",
    "keep one of the two"
)]
#[case(
    "seal_key_before_env = 'the key itself'",
    "seal_key_before_env",
    "not the name of an environment variable"
)]
// Schools.
#[case("[school]\nid = 'A1'", "school", "`[[school]]`")]
#[case(
    "[[school]]\nid = 'A1'\ntemplate = 'primary'",
    "school[0].template",
    "cannot use templates of the database"
)]
#[case(
    "[[school]]\ntimezone = 'UTC'\ntoken_env = 'T'",
    "school[0].id",
    "missing"
)]
#[case(
    "[[school]]\nid = ' '\ntimezone = 'UTC'\ntoken_env = 'T'",
    "school[0].id",
    "empty"
)]
#[case(
    "[[school]]\nid = 'A/1'\ntimezone = 'UTC'\ntoken_env = 'T'",
    "school[0].id",
    "not the id of a school"
)]
#[case(
    "[[school]]\nid = 'A1'\ntoken_env = 'T'",
    "school[0].timezone",
    "missing"
)]
#[case(
    "[[school]]\nid = 'A1'\ntimezone = 'UTC'",
    "school[0].token_env",
    "the place of the school's token"
)]
#[case(
    "[[school]]\nid = 'A1'\ntimezone = 'Europe/Londn'\ntoken_env = 'T'",
    "school[0].timezone",
    "did you mean \"Europe/London\"?"
)]
#[case(
    "[[school]]\nid = 'A1'\ntimezone = 'UTC'\ntoken_env = 'T'\ntoken_file = 'f'",
    "school[0].token_file",
    "keep one of the two"
)]
#[case(
    "[[school]]\nid = 'A1'\ntimezone = 'UTC'\ntoken_env = 'T'\nmis = ''",
    "school[0].mis",
    "empty"
)]
#[case(
    "[[school]]\nid = 'A1'\ntimezone = 'UTC'\ntoken_env = 'T'\nwithout = ['comments']",
    "school[0].without[0]",
    "did you mean \"comment\"?"
)]
#[case(
    "[[school]]\nid = 'A1'\ntimezone = 'UTC'\ntoken_env = 'T'\ntemplate = 'primary'",
    "school[0].template",
    "no such template"
)]
#[case("[[template]]\ntimezone = 'UTC'", "template[0].name", "missing")]
#[case(
    "[[template]]\nname = 'a'\n[[template]]\nname = 'a'",
    "template[1].name",
    "another template"
)]
#[case(
    "[[template]]\nname = 'a'\nid = 'A1'",
    "template[0].id",
    "no such setting"
)]
fn a_problem_is_told_with_its_key(#[case] text: &str, #[case] key: &str, #[case] words: &str) {
    let problems = problems(text);
    let [problem] = problems.as_slice() else {
        panic!("expected one problem, not {problems:?}");
    };
    assert_eq!(problem.key, key);
    assert!(problem.to_string().contains(words), "{problem}");
    assert!(!problem.help.is_empty());
}

#[rstest]
#[case("[[school.group]]\nkind = 'staff'", "group[0].name", "missing")]
#[case("[[school.group]]\nname = 'G'", "group[0].kind", "missing")]
#[case(
    "[[school.group]]\nname = 'G'\nkind = 'student'",
    "group[0].kind",
    "did you mean \"students\"?"
)]
#[case(
    "[[school.group]]\nname = 'G'\nkind = 'staff'\nyears = ['7']",
    "group[0].years",
    "this applies only to students"
)]
#[case(
    "[[school.group]]\nname = 'G'\nkind = 'parents'\nof = 'Nobody'",
    "group[0].of",
    "there is no group \"Nobody\""
)]
#[case(
    "[[school.group]]\nname = 'G'\nkind = 'parents'\nproperties = ['house']",
    "group[0].properties",
    "parents have no `house`"
)]
#[case(
    "[[school.group]]\nname = 'G'\nkind = 'students'\nproperties = ['hous']",
    "group[0].properties[0]",
    "did you mean \"house\"?"
)]
#[case(
    "[[school.group]]\nname = 'G'\nkind = 'staff'\n[[school.group]]\nname = 'G'\nkind = 'parents'",
    "group[1].name",
    "another group"
)]
#[case(
    "[[school.group]]\nname = 'G'\nkind = 'staff'\ncolour = 'red'",
    "group[0].colour",
    "there are: name, kind, years"
)]
#[case(
    "[[school.group]]\nname = 'G'\nkind = 'students'\n[[school.group.field]]\nname = 'Why?'\non = 'sign_in'",
    "group[0].field[0].options",
    "missing"
)]
#[case(
    "[[school.group]]\nname = 'G'\nkind = 'students'\n[[school.group.field]]\nname = 'Why?'\non = 'signin'\noptions = ['a']",
    "group[0].field[0].on",
    "did you mean \"sign_in\"?"
)]
#[case(
    "[[school.group]]\nname = 'G'\nkind = 'students'\n[[school.group.field]]\nname = 'Why?'\non = 'sign_in'\noptions = ['a', { txt = 'b', text = 'b' }]",
    "group[0].field[0].options[1].txt",
    "did you mean `text`?"
)]
#[case(
    "[[school.group]]\nname = 'G'\nkind = 'students'\n[[school.group.field]]\nname = 'Why?'\non = 'sign_in'\noptions = ['a', 'a']",
    "group[0].field[0].options",
    "twice"
)]
#[case(
    "[[school.group]]\nname = 'G'\nkind = 'students'\n[school.group.writeback]",
    "group[0].writeback.closes",
    "missing"
)]
#[case(
    "[[school.group]]\nname = 'G'\nkind = 'students'\n[school.group.writeback]\ncloses = '15:30'\nlat = 1",
    "group[0].writeback.lat",
    "no such setting"
)]
#[case(
    "[[school.group]]\nname = 'G'\nkind = 'students'\n[school.group.writeback]\ncloses = '15:30'\nam = { lat = '09:00' }",
    "group[0].writeback.am.lat",
    "did you mean `late`?"
)]
#[case(
    "[[school.group]]\nname = 'G'\nkind = 'students'\n[school.group.writeback]\ncloses = '25:30'",
    "group[0].writeback.closes",
    "not a time of day"
)]
#[case(
    "[[school.group]]\nname = 'G'\nkind = 'students'\n[school.group.writeback]\ncloses = '15:30'\nam = { late = '09:30', unauthorised = '09:00' }",
    "group[0].writeback.am.late",
    "09:00"
)]
#[case(
    "[[school.group]]\nname = 'G'\nkind = 'students'\n[school.group.writeback]\ncloses = '15:30'\ncomment = { sign_in = 'Nope' }",
    "group[0].writeback.comment.sign_in",
    "no such field"
)]
fn a_problem_of_a_group_is_told_with_its_key(
    #[case] group: &str,
    #[case] key: &str,
    #[case] words: &str,
) {
    let text = format!("[[school]]\nid = 'A1'\ntimezone = 'UTC'\ntoken_env = 'T'\n{group}");
    a_problem_is_told_with_its_key(&text, &format!("school[0].{key}"), words);
}

#[test]
fn a_file_that_is_no_toml_is_one_problem_with_its_line() {
    let problems = problems("listen = '127.0.0.1:1'\n\n[[school\n");
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].line, Some(3));
    assert!(
        problems[0].message.contains("not valid TOML"),
        "{}",
        problems[0]
    );
}

#[test]
fn everything_is_told_at_once_and_in_the_order_of_the_file() {
    let problems = problems(include_str!("fixtures/all_wrong.toml"));
    let told: Vec<_> = problems.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn what_was_told_to_be_wrong_is_not_told_to_be_missing() {
    let text =
        "[[school]]\nid = 7\ntimezone = 7\ntoken_env = 7\n[[school.group]]\nname = 7\nkind = 7\n";
    let problems = problems(text);
    let keys: Vec<_> = problems
        .iter()
        .map(|problem| problem.key.as_str())
        .collect();
    let expected = [
        "id",
        "timezone",
        "token_env",
        "group[0].name",
        "group[0].kind",
    ];
    assert_eq!(keys, expected.map(|key| format!("school[0].{key}")));
}

#[rstest]
#[case("[[school]]\nid = 'A1'\ntimezone = 'UTC'\ntoken = 'hush-hush'")]
#[case("[[school]]\nid = 'A1'\ntimezone = 'UTC'\ntoken_env = 'hush-hush'")]
#[case("[[school]]\nid = 'A1'\ntimezone = 'UTC'\ntoken_env = ['hush-hush']")]
#[case(
    "[[school]]\nid = 'A1'\ntimezone = 'UTC'\ntoken_env = 'hush-hush'\ntoken_file = 'hush-hush'"
)]
#[case("[[school]]\nid = 'A1'\ntimezone = 'UTC'\nwonde_token = 'hush-hush'\ntoken_env = 'T'")]
#[case("api_key = 'hush-hush'")]
#[case("api_key_env = 'hush-hush'")]
#[case("password = 'hush-hush'")]
#[case("store = 'postgres://me:hush-hush@host/db'")]
#[case("store = 'postgres://me@host/db?password=hush-hush'")]
#[case("store_env = 'postgres://me:hush-hush@host/db'")]
fn a_secret_in_the_file_is_refused_and_not_repeated(#[case] text: &str) {
    let error = load(text).unwrap_err();
    assert!(matches!(error, LoadError::Problems { .. }));
    assert!(!format!("{error} {error:?}").contains("hush"), "{error}");
}

#[test]
fn a_token_in_the_file_is_told_where_to_go() {
    let problems = problems("[[school]]\nid = 'A1'\ntimezone = 'UTC'\ntoken = 'hush-hush'");
    let problem = problems
        .iter()
        .find(|problem| problem.key == "school[0].token")
        .unwrap();
    assert!(
        problem.help.contains("`token_env`") && problem.help.contains("`token_file`"),
        "{problem}"
    );
}

#[test]
fn secrets_are_read_from_files_and_shown_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), "hush-hush\n").unwrap();
    let text =
        "api_key_file = 'token'\n[[school]]\nid = 'A1'\ntimezone = 'UTC'\ntoken_file = 'token'";
    let settings = settings::from_text(&folder.path().join("markback.toml"), text)
        .unwrap()
        .settings;
    assert_eq!(
        settings.service.api_key().unwrap().expose_secret(),
        "hush-hush"
    );
    assert_eq!(
        settings.schools[0].token().unwrap().expose_secret(),
        "hush-hush"
    );
    assert!(!format!("{settings:?}").contains("hush"));
}

#[test]
fn a_school_with_another_link_needs_no_token() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("password"), "hush-hush\n").unwrap();
    let text = "[[school]]\nid = 'A1'\ntimezone = 'UTC'\n[school.link]\nadapter = 'sims'\nfolder = 'here'\n\
                password_file = 'password'\n";
    let settings = settings::from_text(&folder.path().join("markback.toml"), text)
        .unwrap()
        .settings;
    let school = &settings.schools[0];
    assert!(school.token.is_none() && settings.absent_tokens().is_empty());
    assert_eq!(school.mis.as_deref(), Some("SIMS"));
    let context = school.context();
    assert_eq!(context.link["folder"], "here");
    assert_eq!(context.folder, folder.path());
    let secret = (context.secrets)("password").unwrap();
    assert_eq!(secret.expose_secret(), "hush-hush");
    let error = (context.secrets)("key").unwrap_err().to_string();
    assert!(error.contains("`key_env`"), "{error}");
}

#[rstest]
#[case("adapter = 'simms'", "sims")]
#[case("folder = 'here'", "adapter")]
fn a_link_without_an_adapter_is_a_problem(#[case] link: &str, #[case] cure: &str) {
    let text = format!("[[school]]\nid = 'A1'\ntimezone = 'UTC'\n[school.link]\n{link}\n");
    let problems = problems(&text);
    let problem = problems
        .iter()
        .find(|problem| problem.key == "school[0].link.adapter")
        .unwrap_or_else(|| panic!("{problems:?}"));
    assert!(problem.help.contains(cure), "{problem}");
}

#[test]
fn a_key_that_is_named_nowhere_is_an_error_that_says_how() {
    let error = load(SCHOOL)
        .unwrap()
        .settings
        .service
        .api_key()
        .unwrap_err();
    assert!(error.to_string().contains("`api_key_env`"), "{error}");
}

const TEMPLATE: &str = "[[template]]\nname = 'primary'\nmis = 'SIMS'\ntimezone = 'Europe/London'\ntoken_env = 'TOKEN'\nwithout = ['comment']\n[[template.group]]\nname = 'Pupils'\nkind = 'students'\n[template.group.writeback]\ncloses = '15:30'\n";

#[test]
fn a_school_takes_from_its_template_what_it_does_not_say() {
    let text = format!(
        "{TEMPLATE}\n[[school]]\nid = 'A1'\ntemplate = 'primary'\n[[school]]\nid = 'A2'\ntemplate = 'primary'\nmis = 'Arbor'\ntimezone = 'UTC'\nwithout = []\n[[school.group]]\nname = 'Own'\nkind = 'staff'\n"
    );
    let settings = load(&text).unwrap().settings;
    let [first, second] = settings.schools.as_slice() else {
        panic!("two schools")
    };
    assert_eq!(first.mis.as_deref(), Some("SIMS"));
    assert_eq!(*first.without, [Ability::Comment]);
    assert!(first.group("Pupils").unwrap().rules.is_some());
    assert_eq!(second.mis.as_deref(), Some("Arbor"));
    assert_eq!(second.timezone, chrono_tz::UTC);
    assert!(second.without.is_empty());
    assert!(second.group("Own").is_some() && second.group("Pupils").is_none());
}

#[test]
fn what_is_wrong_with_a_template_is_told_once() {
    let text = "[[template]]\nname = 'primary'\ntimezone = 'Mars'\ntoken_env = 'T'\n[[school]]\nid = 'A1'\ntemplate = 'primary'\n[[school]]\nid = 'A2'\ntemplate = 'primary'";
    let problems = problems(text);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(problems[0].key, "template[0].timezone");
}

/// A folder with settings that name a list of schools.
fn with_list(list: &str) -> Result<Loaded, LoadError> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("schools.csv"), list).unwrap();
    let path = folder.path().join("markback.toml");
    settings::from_text(
        &path,
        &format!("api_key_env = 'KEY'\nschools_file = 'schools.csv'\n{TEMPLATE}"),
    )
}

#[test]
fn a_long_list_of_schools_shares_what_the_schools_have_in_common() {
    let mut list = "id,template,token_env\n".to_owned();
    for number in 0..24_000 {
        writeln!(list, "A{number},primary,TOKEN_{}", number % 10).unwrap();
    }
    let settings = with_list(&list).unwrap().settings;
    assert_eq!(settings.schools.len(), 24_000);
    let first = &settings.schools[0];
    let last = settings.school(&"A23999".into()).unwrap();
    assert!(Arc::ptr_eq(&first.groups, &last.groups));
    assert!(Arc::ptr_eq(
        first.mis.as_ref().unwrap(),
        last.mis.as_ref().unwrap()
    ));
}

#[test]
fn a_list_may_say_all_that_a_school_without_groups_may() {
    let loaded = with_list(
        "mis, timezone, id, token_file, template\nArbor, UTC, A1, t, primary\n\"SIMS\",Europe/London,A2,t,\n",
    );
    let settings = loaded.unwrap().settings;
    let [first, second] = settings.schools.as_slice() else {
        panic!("two schools")
    };
    assert_eq!(
        (first.mis.as_deref(), first.timezone),
        (Some("Arbor"), chrono_tz::UTC)
    );
    assert_eq!(first.groups.len(), 1);
    assert!(second.groups.is_empty());
}

#[test]
fn each_wrong_line_of_a_list_is_told_and_the_others_are_read() {
    let list = "id,template,timezon,token_env\nA1,primary,,\nA1,primary,,\n,primary,,\nA2,nowhere,,\nA3,primary\nA4,primary,,hush-hush\n";
    let Err(LoadError::Problems { problems, .. }) = with_list(list) else {
        panic!("expected problems")
    };
    let told: Vec<_> = problems.iter().map(|p| (p.line, p.key.as_str())).collect();
    let expected = [
        (Some(1), "timezon"),
        (Some(3), "id"),
        (Some(4), "id"),
        (Some(5), "template"),
        (Some(6), ""),
        (Some(7), "token_env"),
    ];
    assert_eq!(told, expected);
    assert!(
        problems
            .iter()
            .all(|p| p.file.ends_with("schools.csv") && !p.to_string().contains("hush"))
    );
}

#[rstest]
#[case::unix("\n", ',')]
#[case::windows("\r\n", ',')]
#[case::old_mac("\r", ',')]
#[case::semicolons("\r\n", ';')]
#[case::tabs("\n", '\t')]
fn a_list_names_its_lines_however_it_was_saved(#[case] end: &str, #[case] between: char) {
    let lines = [
        "id,template,mis,token_env",
        "A1,primary,SIMS,",
        "",
        "A2,nowhere,SIMS,",
        "A3,primary",
        ",primary,SIMS,",
    ];
    let list = lines.join(end).replace(',', &between.to_string());
    let Err(LoadError::Problems { problems, .. }) = with_list(&format!("\u{feff}{list}{end}"))
    else {
        panic!("expected problems")
    };
    let told: Vec<_> = problems.iter().map(|p| (p.line, p.key.as_str())).collect();
    let expected = [(Some(4), "template"), (Some(5), ""), (Some(6), "id")];
    assert_eq!(told, expected, "{problems:?}");
}

#[test]
fn a_byte_order_mark_does_not_hide_the_first_setting() {
    let loaded = load(&format!("\u{feff}api_key_env = 'KEY'\n{SCHOOL}")).unwrap();
    assert!(loaded.hints.is_empty(), "{:?}", loaded.hints);
}

#[rstest]
#[case("mis = 'Symz'", "school[0].mis", "there is no adapter for this MIS")]
#[case(
    "[[school.group]]\nname = 'All'\nkind = 'students'\n[[school.group]]\nname = 'Year 7'\nkind = 'students'\nyears = ['7']",
    "school[0].group[1].name",
    "stays empty"
)]
#[case(
    "[[school.group]]\nname = 'All'\nkind = 'students'\n[school.group.writeback]\ncloses = '15:30'\nleaver_code = 'QQ'",
    "school[0].group[0].writeback.leaver_code",
    "England's registers"
)]
#[case(
    "mis = 'Arbor'\n[[school.group]]\nname = 'All'\nkind = 'students'\n[school.group.writeback]\ncloses = '15:30'",
    "school[0].group[0].writeback.am.opens",
    "the start of the morning is not set"
)]
fn a_hint_stops_nothing(#[case] more: &str, #[case] key: &str, #[case] words: &str) {
    let loaded = load(&format!("api_key_env = 'KEY'\n{SCHOOL}{more}")).unwrap();
    assert!(
        loaded
            .hints
            .iter()
            .any(|hint| hint.key == key && hint.message.contains(words)),
        "{:?}",
        loaded.hints
    );
}

#[test]
fn the_start_of_the_morning_is_no_hint_where_it_is_set_or_marks_are_not_on_lessons() {
    for (mis, times) in [
        ("mis = 'Arbor'", "am = { opens = '08:30' }"),
        ("mis = 'SIMS'", ""),
        ("", ""),
    ] {
        let text = format!(
            "api_key_env = 'KEY'\n{SCHOOL}{mis}\n[[school.group]]\nname = 'All'\nkind = 'students'\n\
             [school.group.writeback]\ncloses = '15:30'\n{times}\n"
        );
        let hints = load(&text).unwrap().hints;
        let of_the_morning = |hint: &&Problem| hint.key.ends_with("am.opens");
        assert_eq!(hints.iter().find(of_the_morning), None, "{mis:?}");
    }
}

#[test]
fn days_without_school_and_codes_of_the_office_are_hints() {
    let text = format!(
        "api_key_env = 'KEY'\n{SCHOOL}mis = 'SIMS'\n{GROUP}[[school.group.field]]\nname = 'Why'\non = 'sign_in'\noptions = ['M: Dentist']\n\
         [school.group.writeback]\ncloses = '15:30'\npresent = true\ncustom_codes = {{ sign_in = 'Why' }}\n"
    );
    let hints = load(&text).unwrap().hints;
    let told: Vec<_> = hints
        .iter()
        .map(|hint| (hint.key.as_str(), hint.message.as_str()))
        .collect();
    for (key, what) in [
        (
            "school[0].group[0].writeback.closed",
            "no closed day is listed",
        ),
        (
            "school[0].group[0].writeback.protected",
            "a sign-in may overwrite",
        ),
        (
            "school[0].group[0].field[0].options",
            "looks like the code M",
        ),
    ] {
        let found = told.iter().any(|(k, w)| *k == key && w.contains(what));
        assert!(found, "{key}: {told:?}");
    }
}

#[test]
fn group_names_are_the_same_in_any_unicode_form() {
    let text = format!(
        "{SCHOOL}[[school.group]]\nname = 'E\u{301}cole'\nkind = 'students'\n[[school.group]]\nname = 'P'\nkind = 'parents'\nof = '\u{c9}cole'\n"
    );
    let settings = load(&text).unwrap().settings;
    let school = settings.school(&"A1".into()).unwrap();
    assert!(school.group("\u{c9}cole").is_some());
    let twice = text.replace(
        "name = 'P'\nkind = 'parents'\nof = '\u{c9}cole'",
        "name = '\u{c9}cole'\nkind = 'students'",
    );
    assert!(problems(&twice)[0].message.contains("has this name"));
}

#[test]
fn settings_without_fault_have_no_hints() {
    let text = format!(
        "api_key_env = 'KEY'\n{SCHOOL}mis = 'SIMS'\n{GROUP}[school.group.writeback]\ncloses = '15:30'\n"
    );
    assert_eq!(load(&text).unwrap().hints, []);
}

#[test]
fn a_missing_file_is_named() {
    let error = settings::load(Path::new("no/such/file.toml")).unwrap_err();
    assert!(error.to_string().contains("no/such/file.toml"), "{error}");
}

/// Two groups of a school, with these times; both close at 15:30.
fn two_groups(school: &str, one: &str, other: &str) -> String {
    let mut text = school.to_owned();
    for (name, times) in [("One", one), ("Other", other)] {
        let _ = write!(
            text,
            "[[school.group]]\nname = '{name}'\nkind = 'students'\nyears = ['{name}']\n[school.group.writeback]\ncloses = '15:30'\n{times}\n"
        );
    }
    text
}

const PM_1315: &str = "pm = { opens = '13:15' }";

#[rstest]
#[case::on_lessons("mis = 'Arbor'\n", PM_1315, "", "pm.opens")]
#[case::not_known("", PM_1315, "pm = { opens = '12:30' }", "pm.opens")]
#[case::the_morning(
    "mis = 'Arbor'\n",
    "am = { opens = '08:30' }",
    "am = { opens = '08:40' }",
    "am.opens"
)]
fn where_marks_are_kept_on_lessons_a_school_has_one_afternoon(
    #[case] mis: &str,
    #[case] one: &str,
    #[case] other: &str,
    #[case] key: &str,
) {
    let problems = problems(&two_groups(&format!("{SCHOOL}{mis}"), one, other));
    let [problem] = problems.as_slice() else {
        panic!("{problems:#?}");
    };
    assert_eq!(problem.key, format!("school[0].group[1].writeback.{key}"));
    assert!(problem.message.contains("\"One\"") && problem.message.contains("\"Other\""));
    assert!(
        problem.help.contains(&format!("the same {key}")),
        "{problem}"
    );
}

#[test]
fn where_marks_are_kept_by_session_a_difference_is_a_hint() {
    let loaded = load(&two_groups(&format!("{SCHOOL}mis = 'SIMS'\n"), PM_1315, "")).unwrap();
    let told = |hint: &&Problem| hint.message.contains("the afternoon begins");
    assert_eq!(loaded.hints.iter().filter(told).count(), 1);
}

#[rstest]
#[case(PM_1315, PM_1315, None, "13:15:00")]
#[case("am = { opens = '08:30' }", "", Some("08:30:00"), "12:00:00")]
#[case("", "am = { opens = '08:30' }", Some("08:30:00"), "12:00:00")]
fn the_adapter_is_handed_the_schools_sessions(
    #[case] one: &str,
    #[case] other: &str,
    #[case] morning: Option<&str>,
    #[case] afternoon: &str,
) {
    let text = two_groups(&format!("{SCHOOL}mis = 'Arbor'\n"), one, other);
    let settings = load(&text).unwrap().settings;
    let context = settings.schools[0].context();
    let morning = morning.map(|time| time.parse().unwrap());
    assert_eq!(context.morning_from, morning);
    assert_eq!(context.afternoon_from, afternoon.parse().unwrap());
}

#[test]
fn what_a_templates_groups_differ_in_is_told_once() {
    let template = two_groups("", PM_1315, "")
        .replace("[school.", "[template.")
        .replace("[[school.", "[[template.");
    let schools: String = ["A1", "A2"]
        .map(|id| SCHOOL.replace("A1", id) + "template = 'all'\nmis = 'Arbor'\n")
        .concat();
    let text = format!("[[template]]\nname = 'all'\n{template}{schools}");
    let problems = problems(&text);
    let [problem] = problems.as_slice() else {
        panic!("{problems:#?}");
    };
    assert_eq!(problem.key, "school[0].template");
}
