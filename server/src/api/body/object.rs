use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use utoipa::openapi::{
    RefOr, Schema,
    schema::{AdditionalProperties, ObjectBuilder},
};

use super::{
    place::Place,
    value::{Check, Scalar, Schemas, Value, is_null},
};
use crate::api::problem::shown;

/// An object with declared fields: a whole body, or a part of one. [`body!`](super::body) implements it.
pub trait Object: Sized {
    /// Its name among the schemas of the API.
    const NAME: &'static str;

    /// How unknown fields are handled.
    const UNKNOWN_FIELDS: UnknownFields;

    /// The names of the fields.
    fn field_names() -> Vec<String>;

    /// Reads each field, and checks rules that concern several fields.
    fn read_fields(fields: &mut Fields<'_, '_>) -> Option<Self>;

    /// The schema.
    fn describe() -> ObjectBuilder;

    /// Adds the named schemas of the fields.
    fn add_field_schemas(schemas: &mut Schemas);
}

/// How unknown fields are handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownFields {
    /// Reported, because they are probably mistyped.
    Refused,
    /// Ignored, because a newer client may send them.
    Ignored,
}

/// The fields of an object that is being read.
pub struct Fields<'a, 'c> {
    given: Vec<(Cow<'a, str>, &'a RawValue)>,
    place: Place<'a>,
    check: &'a mut Check<'c>,
}

impl<'a> Fields<'a, '_> {
    /// Reads a field.
    pub fn read<T: Value>(&mut self, name: &str) -> Option<T> {
        let place = Place::Field(&self.place, name);
        let mut values = values(&self.given, name);
        let Some(value) = values.next() else {
            let omitted = T::omitted();
            if omitted.is_none() {
                self.check.report_missing::<T>(place);
            }
            return omitted;
        };
        match values.count() {
            0 => T::read(value, place, self.check),
            more => {
                self.check.report(place, format!("is given {} times", more + 1));
                None
            }
        }
    }

    /// Reports a missing field that another field's value requires.
    pub fn require<T: Value>(&mut self, name: &str) {
        let place = Place::Field(&self.place, name);
        let mut values = values(&self.given, name);
        match (values.next(), values.next()) {
            (None, _) => self.check.report_missing::<T>(place),
            (Some(value), None) if is_null(value) => self.check.report_unexpected::<T>(place, value),
            _ => {}
        }
    }

    /// The value of a field, if it is valid.
    pub fn peek<T: Scalar + DeserializeOwned>(&self, name: &str) -> Option<T> {
        values(&self.given, name).next().and_then(|value| serde_json::from_str(value.get()).ok())
    }
}

/// The values of a field: several if it is repeated.
fn values<'a>(given: &[(Cow<'a, str>, &'a RawValue)], name: &str) -> impl Iterator<Item = &'a RawValue> {
    given.iter().filter(move |(given, _)| given == name).map(|(_, value)| *value)
}

/// Reads an object with all its fields.
pub fn read<T: Object + Value>(json: &RawValue, place: Place<'_>, check: &mut Check<'_>) -> Option<T> {
    let Ok(Given(given)) = serde_json::from_str(json.get()) else {
        check.report_unexpected::<T>(place, json);
        return None;
    };
    let mut fields = Fields { given, place, check };
    let object = T::read_fields(&mut fields);
    if T::UNKNOWN_FIELDS == UnknownFields::Refused {
        let known = T::field_names();
        for (name, _) in fields.given.iter().filter(|(name, _)| !known.iter().any(|known| known == name)) {
            let message = format!("is not a field of this object; the fields are: {}", known.join(", "));
            fields.check.report(Place::Field(&place, &shown(name)), message);
        }
    }
    object
}

/// The schema of an object without its fields.
pub fn without_fields(unknown_fields: UnknownFields, description: &[&str]) -> ObjectBuilder {
    let closed = (unknown_fields == UnknownFields::Refused).then_some(AdditionalProperties::FreeForm(false));
    ObjectBuilder::new().description(Some(doc_text(description))).additional_properties(closed)
}

/// Adds a field to the schema of an object.
pub fn add_field<T: Value>(
    object: ObjectBuilder,
    name: &str,
    description: &[&str],
    example: Option<serde_json::Value>,
) -> ObjectBuilder {
    let object = object.property(name, described(T::schema(), doc_text(description), example));
    if T::omitted().is_none() { object.required(name) } else { object }
}

fn described(mut schema: RefOr<Schema>, text: String, example: Option<serde_json::Value>) -> RefOr<Schema> {
    match &mut schema {
        RefOr::Ref(reference) => reference.description = text,
        RefOr::T(Schema::Object(object)) => {
            object.description = Some(text);
            object.example = example;
        }
        RefOr::T(Schema::Array(array)) => {
            array.description = Some(text);
            array.example = example;
        }
        RefOr::T(Schema::OneOf(one_of)) => {
            if let Some(RefOr::Ref(reference)) = one_of.items.first_mut() {
                reference.description = text;
            }
        }
        RefOr::T(_) => {}
    }
    schema
}

/// The text of a doc comment.
pub fn doc_text(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join("\n")
}

/// An object's fields as sent, including repeated ones.
struct Given<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// A name of a field, which is copied only if it is written with escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for Given<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(GivenVisitor)
    }
}

struct GivenVisitor;

impl<'de> Visitor<'de> for GivenVisitor {
    type Value = Given<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Given<'de>, A::Error> {
        let mut given = Vec::with_capacity(16);
        while let Some((Name(name), value)) = map.next_entry()? {
            given.push((name, value));
        }
        Ok(Given(given))
    }
}
