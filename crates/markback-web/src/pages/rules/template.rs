//! A template: which schools share it, what a draft of it changes there, and activating that for all of them.

use markback::configuration::TemplateUse;

use super::*;

pub(super) fn routes() -> Router<Markback> {
    Router::new()
        .route("/schools/{school}/rules/template", get(show).post(keep))
        .route("/schools/{school}/rules/template/try", get(try_it))
        .route(
            "/schools/{school}/rules/template/activate",
            post(activate_for_all),
        )
}

#[derive(Template)]
#[template(path = "rules_template.html")]
struct TemplatePage {
    frame: Frame,
    told: Option<&'static str>,
    version: String,
    /// Why it cannot be changed here.
    fixed: Option<&'static str>,
    conflict: Option<ConflictView>,
    draft: Option<DraftView>,
    /// How many schools and groups the draft changes, as a sentence.
    changes: String,
    uses: Vec<UseView>,
    text: String,
    base_number: u32,
    rules: String,
    may_change: bool,
}

/// A school that the template is of.
struct UseView {
    name: String,
    rules: String,
    groups: usize,
    changed: String,
    may_try: bool,
}

/// A school's template as the page needs it.
struct Shared {
    name: String,
    key: SettingsKey,
    owner: Option<Owner>,
    active: Option<u32>,
    text: String,
    newest: u32,
    draft: Option<StoredVersion>,
    /// All schools that name it, also those that the visitor does not see.
    uses: Vec<TemplateUse>,
}

impl Shared {
    async fn of(configuration: &Configuration, school: &School) -> Result<Self, PageError> {
        let name = school.template.clone();
        let name = name.ok_or_else(|| PageError::new(ErrorKind::NotFound))?;
        let key = SettingsKey::template(name.as_ref());
        let present = configuration.look_at(&key).await.map_err(refused)?;
        let present = present.ok_or_else(|| PageError::new(ErrorKind::NotFound))?;
        let draft = configuration.draft_of(&key).await?;
        let text = draft.as_ref().map(|draft| draft.body.as_str());
        let uses = configuration.template_uses(&name, text).await?;
        Ok(Self {
            name: name.to_string(),
            owner: present.owner,
            active: present.number,
            newest: present.newest.unwrap_or_default(),
            text: text.map(str::to_owned).or(present.body).unwrap_or_default(),
            key,
            draft,
            uses,
        })
    }

    /// Why it cannot be changed here by this visitor; `None` if it can.
    fn fixed(&self, at: &AtSchool) -> Option<&'static str> {
        if self.owner == Some(Owner::File) {
            return Some(
                "The settings file has this template. It is shown here and cannot be saved here: whoever looks after the file \
                 changes it there.",
            );
        }
        if !self.uses.iter().all(|one| at.visitor.sees(&one.school)) {
            return Some(
                "This template may be that of schools that you do not look after, so you can only look. Somebody who looks \
                 after all of its schools can change it.",
            );
        }
        None
    }

    /// Checks that the visitor may change it.
    fn must_be_changeable(&self, at: &AtSchool) -> Result<(), PageError> {
        match self.fixed(at) {
            Some(why) if self.owner == Some(Owner::File) => {
                Err(PageError::new(ErrorKind::Conflict).detail(why))
            }
            Some(why) => Err(PageError::new(ErrorKind::Forbidden).detail(why)),
            None => Ok(()),
        }
    }

    /// The draft with its problems, also those of single schools that the visitor sees.
    async fn draft_view(
        &self,
        configuration: &Configuration,
        at: &AtSchool,
    ) -> Result<Option<DraftView>, PageError> {
        let Some(draft) = &self.draft else {
            return Ok(None);
        };
        let name = format!("{}, draft", self.key);
        let (mut problems, hints) = match configuration.check(&self.key, &name, &draft.body).await {
            Ok(hints) => (Vec::new(), hints),
            Err(ChangeError::Problems { problems, hints }) => (problems, hints),
            Err(error) => return Err(refused(error)),
        };
        if self.fixed(at).is_some() {
            // Those of other schools name them.
            problems.retain(|problem| *problem.file == *name);
        }
        let mut words: Vec<_> = problems.iter().map(in_words).collect();
        words.dedup();
        Ok(Some(DraftView {
            number: draft.number,
            by: written_by(draft, &at.school),
            problems: words,
            hints: hints.iter().map(in_words).collect(),
        }))
    }
}

async fn page(
    configuration: &Configuration,
    at: &AtSchool,
    shared: Shared,
    told: Option<&'static str>,
    conflict: Option<(String, ConflictView)>,
) -> Result<Response, PageError> {
    let draft = shared.draft_view(configuration, at).await?;
    let fixed = shared.fixed(at);
    let tries = draft
        .as_ref()
        .is_some_and(|draft| draft.problems.is_empty());
    let settings = configuration.settings();
    let seen: Vec<_> = shared
        .uses
        .iter()
        .filter(|one| at.visitor.sees(&one.school))
        .collect();
    let groups: usize = seen.iter().map(|one| one.changed.len()).sum();
    let schools = seen.iter().filter(|one| !one.changed.is_empty()).count();
    let (conflict, text, base_number) = match conflict {
        Some((yours, view)) => {
            let number = view.number;
            (Some(view), yours, number)
        }
        None => (None, shared.text, shared.newest),
    };
    html(&TemplatePage {
        frame: Frame::of_school(
            format!("Template: {}", shared.name),
            &at.visitor,
            &at.school,
            Some(Section::Rules),
        ),
        told,
        version: match shared.active {
            Some(number) => format!("Version {number} counts."),
            None => "The settings file counts.".to_owned(),
        },
        fixed,
        conflict,
        draft,
        changes: format!(
            "It changes {} at {}.",
            counted(groups, "group", "groups"),
            counted(schools, "school", "schools")
        ),
        uses: seen
            .into_iter()
            .map(|one| UseView {
                name: settings
                    .school(&one.school)
                    .map_or(one.school.as_str(), School::title)
                    .to_owned(),
                rules: format!("{}/rules", base(&one.school)),
                groups: one.groups.len(),
                changed: one.changed.join(", "),
                may_try: tries,
            })
            .collect(),
        text,
        base_number,
        rules: format!("{}/rules", base(&at.school.id)),
        may_change: fixed.is_none() && at.visitor.may(Role::Set),
    })
}

async fn show(
    State(markback): State<Markback>,
    at: AtSchool,
    Query(told): Query<Told>,
) -> Result<Response, PageError> {
    let configuration = markback.configuration().await;
    let shared = Shared::of(&configuration, &at.school).await?;
    page(&configuration, &at, shared, told.words(), None).await
}

/// Saves the text as a draft.
async fn keep(
    State(markback): State<Markback>,
    at: AtSchool,
    Form(fields): Form<Vec<(String, String)>>,
) -> Result<Response, PageError> {
    at.visitor.needs(Role::Set)?;
    let mut configuration = markback.configuration().await;
    let shared = Shared::of(&configuration, &at.school).await?;
    shared.must_be_changeable(&at)?;
    // Browsers send line ends as two characters.
    let text = field(&fields, "text").replace("\r\n", "\n");
    let base_number = number(&fields, "base")?;
    check_places(&configuration, &at, &shared.key, &text).await?;
    let actor = at.visitor.actor(note(field(&fields, "note")));
    let written = configuration.draft(&shared.key, &text, Some(base_number), &actor);
    match written.await {
        Ok(_) => {
            let to = format!("{}/rules/template?said=saved", base(&at.school.id));
            Ok(Redirect::to(&to).into_response())
        }
        Err(ChangeError::Conflict(conflict)) => {
            let theirs = &conflict.theirs;
            let view = ConflictView {
                by: written_by(theirs, &at.school),
                number: theirs.number,
                difference: diff(&text, &theirs.body, "yours", "theirs"),
            };
            page(&configuration, &at, shared, None, Some((text, view))).await
        }
        Err(error) => Err(refused(error)),
    }
}

/// Tries the draft on last week at one of its schools.
async fn try_it(State(markback): State<Markback>, at: AtSchool) -> Result<Response, PageError> {
    let configuration = markback.configuration().await;
    let shared = Shared::of(&configuration, &at.school).await?;
    let Some(draft) = &shared.draft else {
        let back = format!("{}/rules/template", base(&at.school.id));
        return Ok(Redirect::to(&back).into_response());
    };
    let tried = Tried {
        title: "The template’s draft on last week",
        number: draft.number,
        by: written_by(draft, &at.school),
        may_set: at.visitor.may(Role::Set) && shared.fixed(&at).is_none(),
        why_not: why_not(&configuration, &at, draft),
        may_wait: false,
        back: format!("{}/rules/template", base(&at.school.id)),
    };
    let report = markback.try_template(&at.school.id, DAYS).await;
    try_page(&markback, &at, tried, report).await
}

/// Activates the draft for all of its schools.
async fn activate_for_all(
    State(markback): State<Markback>,
    at: AtSchool,
    Form(fields): Form<Vec<(String, String)>>,
) -> Result<Response, PageError> {
    at.visitor.needs(Role::Set)?;
    let mut configuration = markback.configuration().await;
    let shared = Shared::of(&configuration, &at.school).await?;
    shared.must_be_changeable(&at)?;
    let actor = at.visitor.actor(note(field(&fields, "note")));
    let number = Some(number(&fields, "number")?);
    let done = configuration.activate(&shared.key, number, &actor).await;
    done.map_err(refused)?;
    markback.refresh_settings().await?;
    let to = format!("{}/rules/template?said=active", base(&at.school.id));
    Ok(Redirect::to(&to).into_response())
}
