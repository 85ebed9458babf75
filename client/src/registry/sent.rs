use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned, de::Error};
use serde_json::value::RawValue;

/// What is understood of an answer, or of a part of one, and all of it as it was sent: a newer server may say more, and
/// programs that read `-o json` are to have it.
#[derive(Clone, Debug)]
pub struct Sent<T> {
    /// What is understood.
    pub value: T,
    json: Box<RawValue>,
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Sent<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Box::<RawValue>::deserialize(deserializer)?;
        let value = serde_json::from_str(json.get()).map_err(D::Error::custom)?;
        Ok(Self { value, json })
    }
}

impl<T> Serialize for Sent<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.json.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Known {
        size: u32,
    }

    #[test]
    fn what_is_not_understood_is_passed_on_all_the_same() {
        let json = r#"[{"zone":"a","size":3},{"size":5}]"#;
        let sent: Vec<Sent<Known>> = serde_json::from_str(json).unwrap();
        assert_eq!(sent.iter().map(|one| one.value.size).collect::<Vec<_>>(), [3, 5]);
        assert_eq!(serde_json::to_string(&sent).unwrap(), json);
    }
}
