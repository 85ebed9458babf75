use std::{fmt, ops::RangeInclusive};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{Body, Field, Limits};
use crate::api::problem::{Violation, shown};

/// The fields of an object while they are checked: a body declares each, and what is wrong is collected.
pub struct Fields<'a> {
    given: Vec<(String, &'a RawValue)>,
    /// What the object is called: empty for the whole, or `policy.`.
    prefix: String,
    limits: &'a Limits,
    declared: Vec<&'static str>,
    violations: Vec<Violation>,
}

impl<'a> Fields<'a> {
    /// Everything that is wrong with an object, which is called by `prefix`.
    pub fn check<T: Body>(object: &'a RawValue, prefix: String, limits: &'a Limits) -> Vec<Violation> {
        let given = serde_json::from_str(object.get()).map(|Given(given)| given).ok();
        let is_object = given.is_some();
        let mut fields =
            Self { given: given.unwrap_or_default(), prefix, limits, declared: Vec::new(), violations: Vec::new() };
        T::check(&mut fields);
        let declared = fields.declared.join(", ");
        if !is_object {
            let message = format!("must be an object with the fields {declared}, not {}", shown(object.get()));
            return vec![Violation::new(fields.prefix.trim_end_matches('.'), message)];
        }
        if T::REFUSES_UNKNOWN {
            let Self { given, prefix, declared: known, violations, .. } = &mut fields;
            let unknown = given.iter().filter(|(name, _)| !known.contains(&name.as_str()));
            let refused = unknown.map(|(name, _)| {
                let message = format!("is no field here; there are: {declared}");
                Violation::new(format!("{prefix}{}", shown(name)), message)
            });
            violations.extend(refused);
        }
        fields.violations
    }

    /// A field that has to be there.
    pub fn required<T: Field>(&mut self, name: &'static str) {
        let value = self.declare(name);
        match value {
            Some(value) => self.value::<T>(self.path(name), value),
            None if self.count(name) == 0 => {
                let message = format!("is missing; must be {}", T::expected(self.limits));
                self.refuse(self.path(name), message);
            }
            None => {}
        }
    }

    /// A field that may be missing or null.
    pub fn optional<T: Field>(&mut self, name: &'static str) {
        if let Some(value) = self.declare_optional(name) {
            self.value::<T>(self.path(name), value);
        }
    }

    /// An object with fields of its own, which may be missing or null.
    pub fn object<T: Body>(&mut self, name: &'static str) {
        if let Some(value) = self.declare_optional(name) {
            let prefix = format!("{}.", self.path(name));
            self.violations.extend(Fields::check::<T>(value, prefix, self.limits));
        }
    }

    /// A list, which may be missing if it may be empty.
    pub fn list<T: Field>(&mut self, name: &'static str, lengths: RangeInclusive<usize>) {
        let (least, most) = (*lengths.start(), *lengths.end());
        let Some(value) = self.declare(name) else {
            if least > 0 && self.count(name) == 0 {
                self.refuse(self.path(name), format!("is missing; must be a list of {least} to {most} items"));
            }
            return;
        };
        let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(value.get()) else {
            return self.refuse(self.path(name), format!("must be a list, not {}", shown(value.get())));
        };
        if !lengths.contains(&items.len()) {
            self.refuse(self.path(name), format!("must have {least} to {most} items, not {}", items.len()));
        }
        for (at, item) in items.into_iter().enumerate() {
            self.value::<T>(format!("{}[{at}]", self.path(name)), item);
        }
    }

    /// A list of objects with fields of their own, which may be missing.
    pub fn objects<T: Body>(&mut self, name: &'static str, most: usize) {
        let Some(value) = self.declare_optional(name) else { return };
        let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(value.get()) else {
            return self.refuse(self.path(name), format!("must be a list, not {}", shown(value.get())));
        };
        if items.len() > most {
            self.refuse(self.path(name), format!("must have at most {most} items, not {}", items.len()));
        }
        for (at, item) in items.into_iter().take(most).enumerate() {
            let prefix = format!("{}[{at}].", self.path(name));
            self.violations.extend(Fields::check::<T>(item, prefix, self.limits));
        }
    }

    /// A field's value, if it is one, for constraints that depend on another field.
    pub fn peek<T: Field>(&self, name: &str) -> Option<T> {
        let (_, value) = self.given.iter().find(|(given, _)| given == name)?;
        serde_json::from_str(value.get()).ok()
    }

    /// Makes a field known, and returns its value if it was given once.
    fn declare(&mut self, name: &'static str) -> Option<&'a RawValue> {
        self.declared.push(name);
        match self.count(name) {
            0 | 1 => self.given.iter().find(|(given, _)| given == name).map(|(_, value)| *value),
            times => {
                self.refuse(self.path(name), format!("is given {times} times"));
                None
            }
        }
    }

    fn declare_optional(&mut self, name: &'static str) -> Option<&'a RawValue> {
        self.declare(name).filter(|value| value.get() != "null")
    }

    fn value<T: Field>(&mut self, path: String, value: &RawValue) {
        let fits = serde_json::from_str::<T>(value.get()).is_ok_and(|value| value.fits(self.limits));
        if !fits {
            self.refuse(path, format!("must be {}, not {}", T::expected(self.limits), shown(value.get())));
        }
    }

    fn count(&self, name: &str) -> usize {
        self.given.iter().filter(|(given, _)| given == name).count()
    }

    fn path(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn refuse(&mut self, path: String, message: String) {
        self.violations.push(Violation::new(path, message));
    }
}

/// An object's fields as they stand, those that stand there twice included.
struct Given<'a>(Vec<(String, &'a RawValue)>);

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
        let mut given = Vec::new();
        while let Some(field) = map.next_entry()? {
            given.push(field);
        }
        Ok(Given(given))
    }
}
