use std::borrow::Cow;

use convene_lifecycle::ClusterSize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use utoipa::openapi::{
    OneOfBuilder, RefOr, Schema,
    schema::{ArrayBuilder, ObjectBuilder, SchemaType, Type},
};

use super::place::Place;
use crate::{
    api::problem::{Violation, shown},
    app::App,
};

/// A value in a body: how to read it, which values are valid, and how OpenAPI describes it.
pub trait Value: Sized {
    /// Completes the sentence "must be …", for example with "a whole number from 1 to 9".
    fn expected(limits: &Limits) -> Cow<'static, str>;

    /// Reads the value at a place. Reports everything that is wrong with it if the result is `None`.
    fn read(json: &RawValue, place: Place<'_>, check: &mut Check<'_>) -> Option<Self>;

    /// The value of a field that is missing or null; `None` if the field is required.
    fn omitted() -> Option<Self> {
        None
    }

    /// The schema.
    fn schema() -> RefOr<Schema>;

    /// Adds the named schemas that the schema refers to.
    fn add_schemas(_: &mut Schemas) {}
}

/// A value without parts. serde reads it from a body, and [`FromStr`](std::str::FromStr) from a query.
pub trait Scalar: Sized {
    /// See [`Value::expected`].
    fn expected(limits: &Limits) -> Cow<'static, str>;

    /// Whether the value is within limits that its type does not know.
    fn fits(&self, _: &Limits) -> bool {
        true
    }

    /// The schema.
    fn schema() -> RefOr<Schema>;

    /// See [`Value::add_schemas`].
    fn add_schemas(_: &mut Schemas) {}
}

/// Schemas with their names.
pub type Schemas = Vec<(String, RefOr<Schema>)>;

/// The limits that the server's configuration sets for a request.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The largest size that a cluster may have.
    pub max_cluster_size: ClusterSize,
}

impl Limits {
    /// The limits of a server.
    pub fn of(app: &App) -> Self {
        Self { max_cluster_size: app.max_cluster_size }
    }
}

/// The check of one body, which collects everything that is wrong.
pub struct Check<'a> {
    limits: &'a Limits,
    violations: Vec<Violation>,
}

impl<'a> Check<'a> {
    /// Reads a whole body, or returns everything that is wrong with it.
    pub fn run<T: Value>(json: &RawValue, limits: &'a Limits) -> Result<T, Vec<Violation>> {
        let mut check = Self { limits, violations: Vec::new() };
        match T::read(json, Place::Whole, &mut check) {
            Some(value) if check.violations.is_empty() => Ok(value),
            _ => Err(check.violations),
        }
    }

    /// Reports a violation.
    pub fn report(&mut self, place: Place<'_>, message: impl Into<String>) {
        self.violations.push(Violation::new(place.to_string(), message));
    }

    /// Reports that a value is not a valid `T`.
    pub fn report_unexpected<T: Value>(&mut self, place: Place<'_>, json: &RawValue) {
        self.report(place, format!("must be {}, not {}", T::expected(self.limits), shown(json.get())));
    }

    /// Reports that a field must have a value.
    pub fn report_missing<T: Value>(&mut self, place: Place<'_>) {
        self.report(place, format!("is missing; must be {}", T::expected(self.limits)));
    }
}

impl<T: Scalar + DeserializeOwned> Value for T {
    fn expected(limits: &Limits) -> Cow<'static, str> {
        T::expected(limits)
    }

    fn read(json: &RawValue, place: Place<'_>, check: &mut Check<'_>) -> Option<Self> {
        let value = serde_json::from_str::<T>(json.get()).ok().filter(|value| value.fits(check.limits));
        if value.is_none() {
            check.report_unexpected::<T>(place, json);
        }
        value
    }

    fn schema() -> RefOr<Schema> {
        T::schema()
    }

    fn add_schemas(schemas: &mut Schemas) {
        T::add_schemas(schemas);
    }
}

/// A value that may be missing or null.
impl<T: Value> Value for Option<T> {
    fn expected(limits: &Limits) -> Cow<'static, str> {
        T::expected(limits)
    }

    fn read(json: &RawValue, place: Place<'_>, check: &mut Check<'_>) -> Option<Self> {
        if is_null(json) { Some(None) } else { T::read(json, place, check).map(Some) }
    }

    fn omitted() -> Option<Self> {
        Some(None)
    }

    fn schema() -> RefOr<Schema> {
        or_null(T::schema())
    }

    fn add_schemas(schemas: &mut Schemas) {
        T::add_schemas(schemas);
    }
}

/// A value of a change: a missing field keeps the value, null clears it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clearable<T>(pub Option<Option<T>>);

impl<T> Default for Clearable<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Value> Value for Clearable<T> {
    fn expected(limits: &Limits) -> Cow<'static, str> {
        T::expected(limits)
    }

    fn read(json: &RawValue, place: Place<'_>, check: &mut Check<'_>) -> Option<Self> {
        Option::read(json, place, check).map(|value| Self(Some(value)))
    }

    fn omitted() -> Option<Self> {
        Some(Self(None))
    }

    fn schema() -> RefOr<Schema> {
        or_null(T::schema())
    }

    fn add_schemas(schemas: &mut Schemas) {
        T::add_schemas(schemas);
    }
}

/// A list of `MIN` to `MAX` items. May be missing if it may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List<T, const MIN: usize, const MAX: usize>(pub Vec<T>);

impl<T: Value, const MIN: usize, const MAX: usize> Value for List<T, MIN, MAX> {
    fn expected(_: &Limits) -> Cow<'static, str> {
        format!("a list of {MIN} to {MAX} items").into()
    }

    fn read(json: &RawValue, place: Place<'_>, check: &mut Check<'_>) -> Option<Self> {
        let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(json.get()) else {
            check.report_unexpected::<Self>(place, json);
            return None;
        };
        let fits = (MIN..=MAX).contains(&items.len());
        if !fits {
            check.report(place, format!("must have {MIN} to {MAX} items, not {}", items.len()));
        }
        let read = items.into_iter().take(MAX).enumerate();
        let read: Vec<Option<T>> = read.map(|(at, item)| T::read(item, Place::Item(&place, at), check)).collect();
        read.into_iter().collect::<Option<Vec<T>>>().filter(|_| fits).map(Self)
    }

    fn omitted() -> Option<Self> {
        (MIN == 0).then_some(Self(Vec::new()))
    }

    fn schema() -> RefOr<Schema> {
        let min_items = (MIN > 0).then_some(MIN);
        ArrayBuilder::new().items(T::schema()).min_items(min_items).max_items(Some(MAX)).into()
    }

    fn add_schemas(schemas: &mut Schemas) {
        T::add_schemas(schemas);
    }
}

/// Whether a value is JSON's null.
pub fn is_null(json: &RawValue) -> bool {
    json.get() == "null"
}

fn or_null(schema: RefOr<Schema>) -> RefOr<Schema> {
    match schema {
        RefOr::T(Schema::Object(mut object)) => {
            if let SchemaType::Type(of_value) = object.schema_type {
                object.schema_type = SchemaType::Array(vec![of_value, Type::Null]);
            }
            Schema::Object(object).into()
        }
        other => OneOfBuilder::new().item(other).item(ObjectBuilder::new().schema_type(Type::Null)).into(),
    }
}
