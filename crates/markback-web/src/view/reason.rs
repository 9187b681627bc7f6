//! Why nothing was written, in the words of an office.

use writeback::SkipReason;

/// The reason as the end of the sentence `No mark was written: …`, and of a list's cell.
pub fn reason(reason: SkipReason) -> &'static str {
    match reason {
        SkipReason::Withdrawn => "it was withdrawn, and nothing was left to put right",
        SkipReason::NotWrittenBack => "marks are not written for this group",
        SkipReason::AnswerNotWritten => "the answer that was given writes no mark",
        SkipReason::NotASchoolDay => "the group has no school on that day",
        SkipReason::SchoolClosed => "the school was closed",
        SkipReason::OutsideSchoolDay => "the school day was over",
        SkipReason::DoubleTap => "it came moments after the one before, so it counts as the same",
        SkipReason::Unsupported => "the MIS does not take such marks",
        SkipReason::PresentWritebackOff => {
            "in time, and marks for those in time are left to the teacher"
        }
        SkipReason::LeaverWritebackOff => "a sign-out without a reason writes no mark here",
        SkipReason::UnknownCode => "the MIS does not know the code",
        SkipReason::Protected => "the register had a mark that must not be overwritten",
        SkipReason::AlreadyArrived => "the arrival was recorded before",
        SkipReason::LaterEventStands => "a later sign-in or sign-out counts",
        SkipReason::AlreadyRecorded => "the register had the same mark already",
    }
}
