//! Conversions between the types of `wonde` and those of `mis-core`.

use std::{error::Error as StdError, fmt};

use mis_core::{
    DecodeIssue, Error, ErrorKind, Recovery, RequestGate, RequestInfo, RequestObserver,
    RequestPurpose, Session,
};

/// An id of the other crate. Both keep ids as given.
pub(crate) fn id<A: Into<String>, B: From<String>>(id: A) -> B {
    B::from(id.into())
}

pub(crate) fn session(session: wonde::Session) -> Session {
    match session {
        wonde::Session::Am => Session::Am,
        wonde::Session::Pm => Session::Pm,
    }
}

pub(crate) fn wire_session(session: Session) -> wonde::Session {
    match session {
        Session::Am => wonde::Session::Am,
        Session::Pm => wonde::Session::Pm,
    }
}

pub(crate) fn issue(issue: wonde::DecodeIssue) -> DecodeIssue {
    DecodeIssue::new(issue.id, issue.field, issue.expected)
        .on_page(issue.page)
        .leaving_out(issue.left_out)
}

/// Maps an error of the client to an error of `mis-core`, with its text, source and recovery.
pub fn error(error: wonde::Error) -> Error {
    use wonde::ErrorKind as Wire;
    let kind = match error.kind() {
        Wire::Unauthorized => ErrorKind::Unauthorized,
        Wire::Forbidden => ErrorKind::Forbidden,
        Wire::NotFound => ErrorKind::NotFound,
        Wire::BadRequest | Wire::Validation => ErrorKind::Refused,
        Wire::RateLimited => ErrorKind::RateLimited,
        Wire::Decode => ErrorKind::Decode,
        // Usually the address is wrong or a proxy intercepts the request; both need an operator.
        Wire::Config | Wire::ForeignHost | Wire::Redirected => ErrorKind::Config,
        // Server, Timeout, Connect, Interrupted, and kinds that the client may add.
        _ => ErrorKind::Unavailable,
    };
    let recovery = match error.recovery() {
        wonde::Recovery::Never => Recovery::Never,
        wonde::Recovery::Retry => Recovery::Retry,
        wonde::Recovery::RetryAfter(wait) => Recovery::RetryAfter(wait),
        wonde::Recovery::Unknown => Recovery::Unknown,
    };
    let mut mapped = Error::with_recovery(kind, recovery, error.to_string());
    if let Some(message) = error.server_message() {
        mapped = mapped.with_server_message(message);
    }
    match error.source() {
        Some(_) => mapped.with_source(Cause(error)),
        None => mapped,
    }
}

/// The source of a client's error, whose own text is already that of the mapped error.
struct Cause(wonde::Error);

impl Cause {
    fn cause(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause()
            .map_or(Ok(()), |cause| fmt::Display::fmt(cause, f))
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause()
            .map_or(Ok(()), |cause| fmt::Debug::fmt(cause, f))
    }
}

impl StdError for Cause {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause()?.source()
    }
}

/// Converts the host's gate for the client.
pub fn gate(gate: RequestGate) -> wonde::Gate {
    std::sync::Arc::new(move || {
        let passed = gate();
        Box::pin(async move { passed.await.map_err(|_| wonde::GateClosed) })
    })
}

/// Converts the host's observer for the client.
pub fn observer(observer: RequestObserver) -> wonde::RequestObserver {
    std::sync::Arc::new(move |request: wonde::RequestInfo| {
        let info = RequestInfo::new(request.method, request.status, request.took);
        observer(info.with_purpose(purpose(request.method, request.resource)));
    })
}

/// What a request is for, by the kind of its address.
fn purpose(method: &str, resource: &str) -> RequestPurpose {
    match resource {
        "attendance" if method == "GET" => RequestPurpose::RegisterRead,
        "attendance" => RequestPurpose::RegisterWrite,
        "writebacks" => RequestPurpose::Outcome,
        "attendance-codes" => RequestPurpose::Codes,
        "schools" | "meta" | "permissions" | "request-access" | "revoke-access" => {
            RequestPurpose::Grants
        }
        "students" | "employees" | "contacts" | "classes" | "groups" | "lessons" | "periods"
        | "deletions" => RequestPurpose::People,
        _ => RequestPurpose::Other,
    }
}
