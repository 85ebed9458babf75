use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned, de::Error};
use serde_json::value::RawValue;

/// A part of a response: the fields that this client knows, and the JSON as the server sent it. `-o json` prints the
/// latter, so that programs also get the fields of a newer server.
#[derive(Clone, Debug)]
pub struct Verbatim<T> {
    /// The fields that this client knows.
    pub value: T,
    json: Box<RawValue>,
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Verbatim<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Box::<RawValue>::deserialize(deserializer)?;
        let value = serde_json::from_str(json.get()).map_err(D::Error::custom)?;
        Ok(Self { value, json })
    }
}

impl<T> Serialize for Verbatim<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.json.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Sized {
        size: u32,
    }

    #[test]
    fn unknown_fields_are_passed_on() {
        let json = r#"[{"zone":"a","size":3},{"size":5}]"#;
        let read: Vec<Verbatim<Sized>> = serde_json::from_str(json).unwrap();
        assert_eq!(read.iter().map(|one| one.value.size).collect::<Vec<_>>(), [3, 5]);
        assert_eq!(serde_json::to_string(&read).unwrap(), json);
    }
}
