//! Parses texts, numbers, flags and ids.

use std::fmt;

use serde::de::{Deserializer, Error, Visitor};

/// One plain value.
enum Scalar {
    Null,
    Flag(bool),
    Whole(i128),
    Fraction(f64),
    Text(String),
}

struct ScalarVisitor(&'static str);

impl Visitor<'_> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_unit<E: Error>(self) -> Result<Scalar, E> {
        Ok(Scalar::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Scalar, E> {
        Ok(Scalar::Flag(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Scalar, E> {
        Ok(Scalar::Whole(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Scalar, E> {
        Ok(Scalar::Whole(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Scalar, E> {
        Ok(Scalar::Fraction(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Scalar, E> {
        Ok(Scalar::Text(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Scalar, E> {
        Ok(Scalar::Text(value))
    }
}

/// An error that says what was expected and keeps the value to itself.
pub(crate) fn expected<E: Error>(what: &str) -> E {
    E::custom(format_args!("unreadable, expected {what}"))
}

/// A text; a number becomes its digits. An empty text is `None`.
pub(crate) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(
        match deserializer.deserialize_any(ScalarVisitor("a text"))? {
            Scalar::Null => None,
            Scalar::Text(text) => Some(text).filter(|text| !text.is_empty()),
            Scalar::Whole(number) => Some(number.to_string()),
            Scalar::Fraction(number) => Some(number.to_string()),
            Scalar::Flag(flag) => Some(flag.to_string()),
        },
    )
}

/// An id: a text that is not empty, or a whole number.
pub(crate) fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    match deserializer.deserialize_any(ScalarVisitor("an id"))? {
        Scalar::Text(text) if !text.is_empty() => Ok(text),
        Scalar::Whole(number) => Ok(number.to_string()),
        _ => Err(expected("an id")),
    }
}

/// A flag: a boolean, 0 or 1, or a word for one.
pub(crate) fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    const WHAT: &str = "yes or no";
    match deserializer.deserialize_any(ScalarVisitor(WHAT))? {
        Scalar::Null => Ok(None),
        Scalar::Flag(flag) => Ok(Some(flag)),
        Scalar::Whole(0) => Ok(Some(false)),
        Scalar::Whole(1) => Ok(Some(true)),
        Scalar::Text(text) => match text.trim().to_ascii_lowercase().as_str() {
            "" | "null" => Ok(None),
            "1" | "true" | "yes" | "y" | "t" => Ok(Some(true)),
            "0" | "false" | "no" | "n" | "f" => Ok(Some(false)),
            _ => Err(expected(WHAT)),
        },
        Scalar::Whole(_) | Scalar::Fraction(_) => Err(expected(WHAT)),
    }
}

/// A whole number from 0 that fits `T`, as a number or as digits. An empty text is `None`.
pub(crate) fn whole<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<i128>,
{
    const WHAT: &str = "a whole number from 0";
    let number = match deserializer.deserialize_any(ScalarVisitor(WHAT))? {
        Scalar::Null => return Ok(None),
        Scalar::Whole(number) => Some(number),
        Scalar::Fraction(number) => exact(number),
        Scalar::Text(text) if text.trim().is_empty() => return Ok(None),
        Scalar::Text(text) => {
            let text = text.trim();
            text.parse()
                .ok()
                .or_else(|| text.parse().ok().and_then(exact))
        }
        Scalar::Flag(_) => None,
    };
    number
        .filter(|number| *number >= 0)
        .and_then(|number| T::try_from(number).ok())
        .map(Some)
        .ok_or_else(|| expected(WHAT))
}

/// The whole number of a fraction like `7.0`.
fn exact(number: f64) -> Option<i128> {
    // Above 2^53 a float is not exact; counts are far below that.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "bounded and without a fraction"
    )]
    (number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0).then_some(number as i128)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Deserializer, Value, json};

    #[rstest]
    #[case(json!(null), None)]
    #[case(json!(""), None)]
    #[case(json!("7"), Some("7"))]
    #[case(json!(7), Some("7"))]
    #[case(json!(-1.5), Some("-1.5"))]
    fn texts_are_read(#[case] value: Value, #[case] read: Option<&str>) {
        assert_eq!(super::text(value).unwrap().as_deref(), read);
    }

    #[rstest]
    #[case(json!(null), None)]
    #[case(json!(""), None)]
    #[case(json!(true), Some(true))]
    #[case(json!(0), Some(false))]
    #[case(json!(1), Some(true))]
    #[case(json!("1"), Some(true))]
    #[case(json!("True"), Some(true))]
    #[case(json!(" no "), Some(false))]
    fn flags_are_read(#[case] value: Value, #[case] read: Option<bool>) {
        assert_eq!(super::flag(value).unwrap(), read);
    }

    #[rstest]
    #[case(json!(null), None)]
    #[case(json!(""), None)]
    #[case(json!(7), Some(7))]
    #[case(json!("7"), Some(7))]
    #[case(json!(" 7 "), Some(7))]
    #[case(json!(7.0), Some(7))]
    #[case(json!("7.00"), Some(7))]
    fn whole_numbers_are_read(#[case] value: Value, #[case] read: Option<u32>) {
        assert_eq!(super::whole::<_, u32>(value).unwrap(), read);
    }

    #[rstest]
    #[case(json!(-1))]
    #[case(json!(7.5))]
    #[case(json!("seven"))]
    #[case(json!("NaN"))]
    #[case(json!(1e300))]
    #[case(json!(4_294_967_296_u64))]
    #[case(json!(true))]
    #[case(json!({"minutes": 7}))]
    fn other_values_are_not_whole_numbers(#[case] value: Value) {
        assert!(super::whole::<_, u32>(value).is_err());
    }

    #[test]
    fn errors_do_not_repeat_unreadable_values() {
        let error = super::flag(&mut Deserializer::from_str(r#""Ada Lovelace""#))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("expected yes or no") && !error.contains("Ada"),
            "{error}"
        );
    }
}
