//! What can go wrong when the sandbox is started or worked behind the API.

/// An error of the sandbox itself; the API's own errors are HTTP answers.
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
        /// What the system said.
        source: std::io::Error,
    },
    /// An option is out of its range.
    #[error("option {option}: {problem}")]
    Option {
        /// Name of the option.
        option: &'static str,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// Something named in a call behind the API is not there.
    #[error("no such {what}: {id}")]
    Unknown {
        /// What sort of thing.
        what: &'static str,
        /// The id or name given.
        id: String,
    },
    /// The call makes no sense at this school.
    #[error("{0}")]
    Impossible(String),
}

/// What to do when a port cannot be had.
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
