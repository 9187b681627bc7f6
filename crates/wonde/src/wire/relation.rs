//! References between records: an id, the record itself, the record wrapped in `data`, or nothing.

use std::{fmt, iter, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{
        DeserializeOwned, DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor, value,
    },
};

/// One related record, whatever its wrapping.
pub(crate) enum One<T> {
    Absent,
    Id(String),
    Full(T),
}

impl<T> One<T> {
    fn full(self) -> Option<T> {
        match self {
            Self::Full(full) => Some(full),
            Self::Absent | Self::Id(_) => None,
        }
    }
}

/// A part of a record that has no id of its own, such as `education_details`.
pub(crate) fn detail<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    One::deserialize(deserializer).map(One::full)
}

/// A list of related records. If only ids are given, the records contain only the id.
pub(crate) fn many<'de, D, T>(deserializer: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    deserializer.deserialize_any(ManyVisitor(PhantomData))
}

/// A record of which only the id is known.
fn bare<T: DeserializeOwned, E: Error>(id: String) -> Result<T, E> {
    T::deserialize(value::MapDeserializer::<_, value::Error>::new(iter::once(
        ("id", id),
    )))
    .map_err(|_| super::scalar::expected("a record, not an id alone"))
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for One<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneVisitor(PhantomData))
    }
}

struct OneVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OneVisitor<T> {
    type Value = One<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record, its id, or null")
    }

    fn visit_unit<E: Error>(self) -> Result<One<T>, E> {
        Ok(One::Absent)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<One<T>, E> {
        if value {
            Err(super::scalar::expected("a record, its id, or null"))
        } else {
            Ok(One::Absent)
        }
    }

    fn visit_str<E: Error>(self, id: &str) -> Result<One<T>, E> {
        Ok(if id.is_empty() {
            One::Absent
        } else {
            One::Id(id.to_owned())
        })
    }

    fn visit_u64<E: Error>(self, id: u64) -> Result<One<T>, E> {
        Ok(One::Id(id.to_string()))
    }

    fn visit_i64<E: Error>(self, id: i64) -> Result<One<T>, E> {
        Ok(One::Id(id.to_string()))
    }

    /// An empty list is how PHP writes an empty object. Of several the first counts.
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<One<T>, A::Error> {
        let first = seq.next_element()?.unwrap_or(One::Absent);
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(first)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<One<T>, A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "data" => {
                    let wrapped = map.next_value()?;
                    drain(map)?;
                    return Ok(wrapped);
                }
                "meta" | "links" => drop(map.next_value::<IgnoredAny>()?),
                _ => {
                    return T::deserialize(value::MapAccessDeserializer::new(Resumed::new(
                        key, map,
                    )))
                    .map(One::Full);
                }
            }
        }
        Ok(One::Absent)
    }
}

struct ManyVisitor<T>(PhantomData<T>);

impl<'de, T: DeserializeOwned> Visitor<'de> for ManyVisitor<T> {
    type Value = Option<Vec<T>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of records, or null")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut all = Vec::new();
        while let Some(one) = seq.next_element::<One<T>>()? {
            match one {
                One::Full(full) => all.push(full),
                One::Id(id) => all.push(bare(id)?),
                One::Absent => {}
            }
        }
        Ok(Some(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "data" => {
                    let wrapped = map.next_value_seed(ManySeed(PhantomData))?;
                    drain(map)?;
                    return Ok(wrapped);
                }
                "meta" | "links" => drop(map.next_value::<IgnoredAny>()?),
                _ => {
                    let one =
                        T::deserialize(value::MapAccessDeserializer::new(Resumed::new(key, map)))?;
                    return Ok(Some(vec![one]));
                }
            }
        }
        Ok(None)
    }
}

struct ManySeed<T>(PhantomData<T>);

impl<'de, T: DeserializeOwned> DeserializeSeed<'de> for ManySeed<T> {
    type Value = Option<Vec<T>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        many(deserializer)
    }
}

/// Consumes the rest of an object, which the deserializer requires.
fn drain<'de, A: MapAccess<'de>>(mut map: A) -> Result<(), A::Error> {
    while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(())
}

/// An object whose first key has already been read.
///
/// It continues from there without buffering, so that the path to an invalid field stays complete.
struct Resumed<A> {
    first: Option<String>,
    rest: A,
}

impl<A> Resumed<A> {
    fn new(first: String, rest: A) -> Self {
        Self {
            first: Some(first),
            rest,
        }
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Resumed<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        match self.first.take() {
            Some(key) => seed
                .deserialize(value::StringDeserializer::new(key))
                .map(Some),
            None => self.rest.next_key_seed(seed),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.rest.next_value_seed(seed)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde::Deserialize;
    use serde_json::{Value, json};

    use super::{One, many};

    #[derive(Debug, Deserialize, PartialEq)]
    struct Thing {
        #[serde(deserialize_with = "crate::wire::scalar::id")]
        id: String,
        #[serde(default)]
        size: Option<u8>,
    }

    fn one(value: Value) -> Result<Option<Thing>, serde_json::Error> {
        One::<Thing>::deserialize(value).map(One::full)
    }

    #[rstest]
    #[case(json!({"id": "A1", "size": 3}))]
    #[case(json!({"size": 3, "id": "A1", "unknown": [1]}))]
    #[case(json!({"data": {"id": "A1", "size": 3}}))]
    #[case(json!({"meta": {"a": 1}, "data": {"id": "A1", "size": 3}, "links": []}))]
    #[case(json!({"data": {"data": {"id": "A1", "size": 3}}}))]
    #[case(json!([{"id": "A1", "size": 3}, {"id": "A2"}]))]
    fn every_form_of_a_relation_is_read(#[case] value: Value) {
        assert_eq!(
            one(value).unwrap(),
            Some(Thing {
                id: "A1".into(),
                size: Some(3)
            })
        );
    }

    #[rstest]
    #[case(json!(null))]
    #[case(json!({"data": null}))]
    #[case(json!({"data": []}))]
    #[case(json!({}))]
    #[case(json!([]))]
    #[case(json!(""))]
    #[case(json!(false))]
    fn empty_relations_are_absent(#[case] value: Value) {
        assert!(matches!(
            One::<Thing>::deserialize(value).unwrap(),
            One::Absent
        ));
    }

    #[rstest]
    #[case(json!("A1"))]
    #[case(json!({"data": "A1"}))]
    fn a_relation_may_contain_only_an_id(#[case] value: Value) {
        assert!(matches!(One::<Thing>::deserialize(value).unwrap(), One::Id(id) if id == "A1"));
    }

    #[rstest]
    #[case(json!([{"id": "A1"}, {"data": {"id": "A2"}}]))]
    #[case(json!({"data": [{"id": "A1"}, {"id": "A2"}]}))]
    #[case(json!({"data": ["A1", "A2"]}))]
    #[case(json!(["A1", null, "A2"]))]
    fn every_form_of_a_list_relation_is_read(#[case] value: Value) {
        let things: Option<Vec<Thing>> = many(value).unwrap();
        let ids: Vec<String> = things.unwrap().into_iter().map(|thing| thing.id).collect();
        assert_eq!(ids, ["A1", "A2"]);
    }

    #[test]
    fn an_empty_list_is_not_none() {
        assert_eq!(many::<_, Thing>(json!({"data": []})).unwrap(), Some(vec![]));
        assert_eq!(many::<_, Thing>(json!({"data": null})).unwrap(), None);
        assert_eq!(many::<_, Thing>(json!(null)).unwrap(), None);
    }

    #[rstest]
    #[case(r#"{"data": {"data": {"id": "A1", "size": "big"}}}"#, "data.data.size")]
    #[case(r#"{"id": "A1", "size": "big"}"#, "size")]
    #[case(r#"{"meta": 1, "data": {"size": 1}}"#, "data")]
    fn errors_contain_the_full_path_of_a_field(#[case] text: &str, #[case] path: &str) {
        let mut reader = serde_json::Deserializer::from_str(text);
        let error = serde_path_to_error::deserialize::<_, One<Thing>>(&mut reader)
            .err()
            .unwrap();
        assert_eq!(error.path().to_string(), path);
    }
}
