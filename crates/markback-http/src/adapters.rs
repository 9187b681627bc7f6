//! The adapters over HTTP: what each declares, what of it is in force at a school, and the check of a school's connection.

use axum::{Json, extract::State};
use mis_core::SchoolId;
use schemars::JsonSchema;
use serde::Serialize;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    error::ApiError,
    extract::Path,
    key::{self, Access},
    openapi::{ProblemBody, ResponseBody},
    settings::store_away,
};
use markback::{
    adapters::{self, AdapterInfo, SchoolAdapter},
    audit_log::AuditAction,
    doctor::Examination,
    service::Markback,
    settings::School,
};

/// Seconds after which to retry while the MIS does not answer.
const MIS_AGAIN: u32 = 30;
/// Seconds after which to retry while the school is being checked.
const CHECK_AGAIN: u32 = 10;

type AdaptersBody = ResponseBody<Adapters>;
type SchoolAdapterBody = ResponseBody<SchoolAdapter>;
type ExaminationBody = ResponseBody<Examination>;

/// The sub-router.
pub(super) fn routes() -> OpenApiRouter<Markback> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(of_school))
        .routes(routes!(examine))
}

/// The adapters.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Adapters")]
struct Adapters {
    /// The adapters, sorted by id.
    adapters: Vec<AdapterInfo>,
}

/// The adapters and what they declare
#[utoipa::path(get, path = "/v1/adapters", operation_id = "list_adapters", tag = "schools",
    responses((status = 200, description = "The adapters.", body = AdaptersBody)))]
async fn list(State(markback): State<Markback>) -> Json<Adapters> {
    let adapters = adapters::list(markback.schools().registry());
    Json(Adapters { adapters })
}

/// The adapter of a school, and what of it is in force there
///
/// What the adapter declares, what the school grants of it, what is used of that, and why the rest is not. Wonde is asked
/// unless that was done within the last hour.
#[utoipa::path(get, path = "/v1/schools/{school}/adapter", operation_id = "get_adapter", tag = "schools",
    responses((status = 200, description = "The adapter.", body = SchoolAdapterBody)))]
async fn of_school(
    State(markback): State<Markback>,
    Path(school): Path<String>,
) -> Result<Json<SchoolAdapter>, ApiError> {
    let school = known(&markback, school)?;
    let found = markback.schools().adapter_of(markback.store(), &school);
    let found = found.await.map_err(|error| store_away(&error))?;
    found.map(Json).map_err(|error| no_answer(&error))
}

/// Checks a school's connection to its MIS
///
/// The token, the region, the permissions, the codes and the people, as `markback doctor` does. Nothing is changed. The
/// requests keep to the rate of the school's token, so a check of a large school may take longer than an answer may; the
/// command has no such limit. A node checks a school once at a time.
#[utoipa::path(post, path = "/v1/schools/{school}/doctor", operation_id = "examine_school", tag = "schools",
    responses(
        (status = 200, description = "The results.", body = ExaminationBody),
        (status = 503, description = "The school is being checked already, or the database cannot be reached.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn examine(
    State(markback): State<Markback>,
    access: Access,
    Path(school): Path<String>,
) -> Result<Json<Examination>, ApiError> {
    let school = known(&markback, school)?;
    let look = access.entry(AuditAction::SchoolExamined).school(&school.id);
    key::record(&markback, look).await?;
    let settings = markback.settings();
    let examined = markback.schools().examine(&settings, &school).await;
    examined
        .map(Json)
        .map_err(|busy| ApiError::unavailable(busy.to_string(), CHECK_AGAIN))
}

fn known(markback: &Markback, school: String) -> Result<School, ApiError> {
    let school = markback.school(&SchoolId::from(school));
    school.ok_or_else(ApiError::unknown_school)
}

/// The MIS could not be asked.
fn no_answer(error: &mis_core::Error) -> ApiError {
    ApiError::unavailable(format!("the MIS cannot be asked: {error}"), MIS_AGAIN)
}
