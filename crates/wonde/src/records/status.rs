//! The status of a register, derived from Wonde's word for it.

/// The status of a submitted register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WritebackStatus {
    /// It is in the MIS.
    Done,
    /// It is not in the MIS, and will not be.
    Rejected,
    /// Not known yet. Read the register back to settle it after a while.
    Open,
}

impl WritebackStatus {
    /// Parses Wonde's status. The values are not known \[?\]: only those that clearly mean an end count as one; all
    /// others leave the status open.
    pub fn from_word(word: &str) -> Self {
        match word.trim().to_ascii_lowercase().as_str() {
            "success" | "successful" | "complete" | "completed" | "processed" | "written" => {
                Self::Done
            }
            "fail" | "failed" | "error" | "rejected" | "cancelled" => Self::Rejected,
            _ => Self::Open,
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::WritebackStatus::{self, Done, Open, Rejected};

    #[rstest]
    #[case("success", Done)]
    #[case("successful", Done)]
    #[case("complete", Done)]
    #[case("Completed", Done)]
    #[case("processed", Done)]
    #[case(" WRITTEN ", Done)]
    #[case("fail", Rejected)]
    #[case("failed", Rejected)]
    #[case("error", Rejected)]
    #[case("Rejected", Rejected)]
    #[case("cancelled", Rejected)]
    #[case("pending", Open)]
    #[case("unsuccessful", Open)]
    #[case("incomplete", Open)]
    #[case("", Open)]
    fn status_words_are_parsed(#[case] word: &str, #[case] status: WritebackStatus) {
        assert_eq!(WritebackStatus::from_word(word), status);
    }
}
