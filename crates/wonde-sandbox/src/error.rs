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
        /// The port asked for.
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
    /// Something that a call names does not exist.
    #[error("no such {what}: {id}")]
    Unknown {
        /// What sort of thing.
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
            "another program has it, perhaps another sandbox: end that, or name another port with --port (0 takes any that is free)"
        }
        std::io::ErrorKind::PermissionDenied => {
            "a port below 1024 takes more rights than this user has: name a higher one with --port"
        }
        _ => "name another port with --port",
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
    fn a_port_that_somebody_has_is_told_with_what_to_do() {
        let source = std::io::Error::from(std::io::ErrorKind::AddrInUse);
        let told = Error::Listen { port: 8090, source }.to_string();
        assert!(told.contains("8090") && told.contains("--port"), "{told}");
    }
}
