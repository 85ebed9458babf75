use std::{borrow::Cow, collections::BTreeMap, time::Duration};

use convene_lifecycle::{JoinPolicy, Policy, PolicyChange, PolicyField, PolicyKind, PolicyValue, StockWritesError};
use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap};
use serde_json::Value;

use super::problems::Place;

/// Fields that documents of earlier versions don't have. They have their defaults then; and any node may join.
const ADDED_LATER: &[&str] = &["max_failed_starts", "witnesses", "stock_writes", "join"];

/// A policy: an object with every one of [`Policy::FIELDS`] and nothing else. Durations are in milliseconds.
#[derive(Deserialize)]
#[serde(transparent)]
pub struct PolicyDocument(BTreeMap<String, Value>);

impl From<&Policy> for PolicyDocument {
    fn from(policy: &Policy) -> Self {
        let value = |field: &PolicyField| match field.get(policy) {
            PolicyValue::Strategy(strategy) => strategy.as_str().into(),
            PolicyValue::Duration(duration) => u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).into(),
            PolicyValue::Number(number) => number.into(),
            PolicyValue::Bool(is_set) => is_set.into(),
            PolicyValue::StockWrites(stock_writes) => stock_writes.as_str().into(),
            PolicyValue::Join(join) => join.as_str().into(),
        };
        Self(Policy::FIELDS.iter().map(|field| (name(field).into_owned(), value(field))).collect())
    }
}

/// Writes the fields in the order of [`Policy::FIELDS`].
impl Serialize for PolicyDocument {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for name in Policy::FIELDS.iter().map(name) {
            map.serialize_entry(&name, &self.0[&*name])?;
        }
        map.end()
    }
}

impl PolicyDocument {
    pub fn read(&self, mut place: Place<'_>) -> Option<Policy> {
        let mut change = PolicyChange::default();
        let mut is_whole = true;
        for field in Policy::FIELDS {
            let name = name(field);
            if ADDED_LATER.contains(&field.name) && !self.0.contains_key(&*name) {
                continue;
            }
            let read = self.0.get(&*name).ok_or_else(|| "is missing".to_owned());
            let read = read.and_then(|value| read_field(field, value, &mut change));
            is_whole &= place.field(&name, read).is_some();
        }
        for unknown in self.0.keys().filter(|key| !Policy::FIELDS.iter().any(|field| name(field) == key.as_str())) {
            place.inside(unknown).wrong("is not a field of a policy");
            is_whole = false;
        }
        is_whole.then(|| change.apply_to(Policy { join: JoinPolicy::Open, ..Policy::default() }))
    }
}

fn name(field: &PolicyField) -> Cow<'static, str> {
    match field.kind {
        PolicyKind::Duration { .. } => format!("{}_ms", field.name).into(),
        PolicyKind::Strategy
        | PolicyKind::Number { .. }
        | PolicyKind::Bool
        | PolicyKind::StockWrites
        | PolicyKind::Join => field.name.into(),
    }
}

fn read_field(field: &PolicyField, value: &Value, change: &mut PolicyChange) -> Result<(), String> {
    let value = match field.kind {
        PolicyKind::Strategy => {
            let strategy = value.as_str().unwrap_or_default().parse();
            PolicyValue::Strategy(strategy.map_err(|error: convene_lifecycle::StrategyError| error.to_string())?)
        }
        PolicyKind::StockWrites => {
            let stock_writes = value.as_str().unwrap_or_default().parse();
            PolicyValue::StockWrites(stock_writes.map_err(|error: StockWritesError| error.to_string())?)
        }
        PolicyKind::Join => {
            let join = value.as_str().unwrap_or_default().parse();
            PolicyValue::Join(join.map_err(|error: convene_lifecycle::JoinPolicyError| error.to_string())?)
        }
        PolicyKind::Bool => PolicyValue::Bool(value.as_bool().ok_or("must be true or false")?),
        PolicyKind::Number { min, max } => {
            let number = value.as_u64().ok_or_else(|| format!("must be a whole number from {min} to {max}"))?;
            PolicyValue::Number(u32::try_from(number).unwrap_or(u32::MAX))
        }
        PolicyKind::Duration { min, max } => {
            let (min, max) = (min.as_millis(), max.as_millis());
            // Anything but a number might be a token in the wrong place, which must not be shown.
            let millis = value.as_u64().ok_or_else(|| format!("must be a whole number from {min} to {max}"))?;
            if !(min..=max).contains(&u128::from(millis)) {
                return Err(format!("is {millis} and must be from {min} to {max}"));
            }
            PolicyValue::Duration(Duration::from_millis(millis))
        }
    };
    field.set(change, value).map_err(|error| error.to_string())
}
