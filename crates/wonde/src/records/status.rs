//! The status of a register, derived from Wonde's word for it.

/// The status of a submitted register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WritebackStatus {
    /// It is in the MIS.
    Done,
    /// It is not in the MIS, and will not be.
    Refused,
    /// Not known yet. Read the register back to settle it after a while.
    Open,
}

impl WritebackStatus {
    /// Reads Wonde's word. The words are not known \[?\]: those that can only mean an end count as one, and every other
    /// leaves the status open.
    pub fn from_word(word: &str) -> Self {
        match word.trim().to_ascii_lowercase().as_str() {
            "success" | "successful" | "complete" | "completed" | "processed" | "written" => {
                Self::Done
            }
            "fail" | "failed" | "error" | "rejected" | "cancelled" => Self::Refused,
            _ => Self::Open,
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::WritebackStatus::{self, Done, Open, Refused};

    #[rstest]
    #[case("success", Done)]
    #[case("successful", Done)]
    #[case("complete", Done)]
    #[case("Completed", Done)]
    #[case("processed", Done)]
    #[case(" WRITTEN ", Done)]
    #[case("fail", Refused)]
    #[case("failed", Refused)]
    #[case("error", Refused)]
    #[case("Rejected", Refused)]
    #[case("cancelled", Refused)]
    #[case("pending", Open)]
    #[case("unsuccessful", Open)]
    #[case("incomplete", Open)]
    #[case("", Open)]
    fn words(#[case] word: &str, #[case] status: WritebackStatus) {
        assert_eq!(WritebackStatus::from_word(word), status);
    }
}
