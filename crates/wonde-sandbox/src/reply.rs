//! Error responses of the API.

use serde_json::{Value, json};

/// A response other than 200.
#[derive(Clone, Debug)]
pub(crate) struct Rejection {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

/// The response to a request.
pub(crate) type Reply = Result<Value, Rejection>;

impl Rejection {
    fn new(status: u16, error: &str, description: impl Into<String>) -> Self {
        Self {
            status,
            body: json!({"error": error, "error_description": description.into()}),
        }
    }

    pub(crate) fn unauthorised() -> Self {
        Self::new(
            401,
            "invalid_token",
            "The access token is invalid or has been revoked.",
        )
    }

    pub(crate) fn forbidden(what: &str) -> Self {
        Self::new(
            403,
            "invalid_permissions",
            format!("This token has no permission for {what} at this school."),
        )
    }

    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(404, "resource_not_found", format!("No such {what}."))
    }

    pub(crate) fn wrong_method() -> Self {
        Self::new(
            405,
            "method_not_allowed",
            "This address does not support the method.",
        )
    }

    pub(crate) fn invalid_include(name: &str) -> Self {
        Self::new(
            400,
            "invalid_include",
            format!("{name} cannot be included here."),
        )
    }

    pub(crate) fn invalid_parameter(name: &str, wanted: &str) -> Self {
        Self::new(
            400,
            "invalid_parameter",
            format!("{name} must be {wanted}."),
        )
    }

    pub(crate) fn invalid_json() -> Self {
        Self::new(400, "invalid_json", "The body is not JSON.")
    }

    pub(crate) fn too_many() -> Self {
        Self::new(
            429,
            "too_many_requests",
            "Too many requests; try again later.",
        )
    }

    /// 422 with one list of messages for each field.
    pub(crate) fn invalid(errors: &[(String, String)]) -> Self {
        let mut fields = serde_json::Map::new();
        for (field, message) in errors {
            let list = fields.entry(field.clone()).or_insert_with(|| json!([]));
            if let Some(list) = list.as_array_mut() {
                list.push(json!(message));
            }
        }
        Self {
            status: 422,
            body: json!({
                "error": "validation_failed",
                "error_description": "The given data was invalid.",
                "errors": fields,
            }),
        }
    }
}
