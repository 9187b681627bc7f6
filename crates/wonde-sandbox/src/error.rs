//! Errors of starting and controlling a sandbox.

/// An error of the sandbox itself; errors of the API are HTTP responses.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address could not be bound.
    #[error(
        "the sandbox could not listen on port {port}: {source}; {}",
        cure(source)
    )]
    Listen {
        /// The requested port.
        port: u16,
        /// The system's error.
        source: std::io::Error,
    },
    /// An option is out of its range.
    #[error("option {option}: {problem}")]
    Option {
        /// Name of the option.
        option: &'static str,
        /// What is wrong and what is valid.
        problem: String,
    },
    /// A record in a call does not exist.
    #[error("no such {what}: {id}")]
    Unknown {
        /// The kind of record.
        what: &'static str,
        /// The id or name given.
        id: String,
    },
    /// The call is not possible at this school.
    #[error("{0}")]
    Impossible(String),
}

/// Advice if a port is not available.
fn cure(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            "another program uses it, perhaps another sandbox: stop that program, or choose another port with --port (0 picks a free one)"
        }
        std::io::ErrorKind::PermissionDenied => {
            "a port below 1024 needs more rights than this user has: choose a higher one with --port"
        }
        _ => "choose another port with --port",
    }
}

impl Error {
    pub(crate) fn unknown(what: &'static str, id: &str) -> Self {
        Self::Unknown {
            what,
            id: id.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_used_port_is_an_error_with_a_hint() {
        let source = std::io::Error::from(std::io::ErrorKind::AddrInUse);
        let told = Error::Listen { port: 8090, source }.to_string();
        assert!(told.contains("8090") && told.contains("--port"), "{told}");
    }
}
