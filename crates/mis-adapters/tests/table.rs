//! The eleven MISs of the published table: what each keeps, which fit a host's needs, and the names they answer to.
#![cfg(feature = "all")]

use mis_adapters::mis_core::{Ability, Registry, Requirements, SessionWriteback};
use rstest::rstest;

use SessionWriteback::{FirstLesson, No, Session};

#[rstest]
#[case("bromcom", Session, [true, true, true])]
#[case("isams", Session, [true, true, true])]
#[case("pupilasset", Session, [true, true, true])]
#[case("sims", Session, [true, true, true])]
#[case("arbor", FirstLesson, [true, true, false])]
#[case("engage", Session, [true, false, true])]
#[case("facility", Session, [false, false, true])]
#[case("cloudschool", Session, [false, false, true])]
#[case("schoolbase", Session, [false, false, true])]
#[case("integris", No, [false, false, false])]
#[case("scholarpack", No, [false, false, false])]
fn keeps(
    #[case] id: &str,
    #[case] session: SessionWriteback,
    #[case] comment_minutes_leaver: [bool; 3],
) {
    let can = Registry::discover().unwrap().get(id).unwrap().capabilities;
    assert_eq!(can.session, session);
    assert_eq!(
        [can.comment, can.minutes_late, can.early_leaver],
        comment_minutes_leaver
    );
    assert!(can.roster);
}

#[test]
fn five_keep_comment_and_minutes_late_and_the_rest_say_why_not() {
    let registry = Registry::discover().unwrap();
    let needs = Requirements::from_iter([Ability::Session, Ability::Comment, Ability::MinutesLate]);
    let selection = registry.select(&needs);
    let fits: Vec<_> = selection.fits.iter().map(|adapter| adapter.id).collect();
    assert_eq!(fits, ["arbor", "bromcom", "isams", "pupilasset", "sims"]);
    assert_eq!(
        fits.len() + selection.lacking.len(),
        registry.iter().count()
    );
    assert!(selection.lacking.iter().all(|(_, lacks)| !lacks.is_empty()));
}

#[rstest]
#[case("SIMS", Some("sims"))]
#[case("iSAMS REST", Some("isams"))]
#[case("RM Integris", Some("integris"))]
#[case("Pupil Asset", Some("pupilasset"))]
#[case("Horizons", Some("pupilasset"))]
#[case("Facility CMIS", Some("facility"))]
#[case("SchoolBase", Some("schoolbase"))]
#[case("Cloud School", Some("cloudschool"))]
#[case("Progresso", Some("cloudschool"))]
#[case("scholar-pack", Some("scholarpack"))]
#[case("PowerSchool", Some("powerschool"))]
#[case("Nonesuch", None)]
fn a_name_that_wonde_may_use_finds_its_adapter(#[case] name: &str, #[case] id: Option<&str>) {
    let adapter = Registry::discover().unwrap().for_mis(name);
    assert_eq!(adapter.map(|adapter| adapter.id), id);
}
