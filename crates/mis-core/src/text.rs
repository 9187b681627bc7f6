//! Unicode normalisation, so that texts that look the same compare as equal.

use std::borrow::Cow;

use unicode_normalization::{UnicodeNormalization as _, is_nfc};

/// The text in Unicode Normalization Form C (NFC). Devices and MISs differ in whether they send "é" as one character or
/// as two; compare texts that people wrote in this form.
pub fn nfc(text: &str) -> Cow<'_, str> {
    if is_nfc(text) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.nfc().collect())
    }
}

/// Whether two texts are the same once both are in NFC.
pub fn same_text(a: &str, b: &str) -> bool {
    a == b || nfc(a) == nfc(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn composed_and_decomposed_letters_are_the_same() {
        assert_eq!(nfc("Re\u{301}gis"), "R\u{e9}gis");
        assert!(matches!(nfc("Régis"), Cow::Borrowed(_)));
        assert!(same_text("Re\u{301}gis", "R\u{e9}gis"));
        assert!(!same_text("Regis", "R\u{e9}gis"));
    }
}
