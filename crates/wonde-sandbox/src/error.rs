//! What can go wrong when the sandbox is started or worked behind the API.

/// An error of the sandbox itself; the API's own errors are HTTP answers.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address could not be bound.
    #[error("the sandbox could not listen on port {port}: {source}")]
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

impl Error {
    pub(crate) fn unknown(what: &'static str, id: &str) -> Self {
        Self::Unknown {
            what,
            id: id.to_owned(),
        }
    }
}
