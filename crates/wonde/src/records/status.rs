//! How far a register has come, out of whatever word Wonde has for it.

/// How far a register that was handed in has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WritebackStatus {
    /// It is in the MIS.
    Done,
    /// It is not, and will not be.
    Refused,
    /// Neither is known. Settle it in time by reading the register back.
    Open,
}

impl WritebackStatus {
    /// Reads Wonde's word. Which words there are is not known \[?\]: those that can only mean an end count as one, and
    /// every other leaves it open.
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
