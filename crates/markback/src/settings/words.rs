//! Suggests the word that was meant.

/// The most similar word, if one is similar enough. Letter case and dashes do not matter.
pub fn nearest<'w>(word: &str, words: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    let plain = |word: &str| word.to_lowercase().replace(['-', ' '], "_");
    let word = plain(word);
    words
        .into_iter()
        .map(|other| {
            let other_plain = plain(other);
            let begins = word.len() >= 3
                && (other_plain.starts_with(&word) || word.starts_with(&other_plain));
            let likeness = strsim::jaro_winkler(&word, &other_plain);
            (if begins { likeness.max(0.9) } else { likeness }, other)
        })
        .filter(|(likeness, _)| *likeness >= 0.8)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, other)| other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_finds_its_word() {
        let words = ["late", "unauthorised", "starts"];
        assert_eq!(nearest("lat", words), Some("late"));
        assert_eq!(nearest("unauthorized", words), Some("unauthorised"));
        assert_eq!(nearest("colour", words), None);
        assert_eq!(nearest("Leaver-Code", ["leaver_code"]), Some("leaver_code"));
    }
}
