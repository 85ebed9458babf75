//! Text without characters that people don't see.

use std::borrow::Cow;

use convene_lifecycle::is_invisible;

/// A text, with an escape of JSON for each character that is invisible or changes the direction of text. Control characters of ASCII stay:
/// the formats of logs and JSON escape those in texts from outside themselves.
pub fn visible(text: &str) -> Cow<'_, str> {
    let is_escaped = |character: char| !character.is_ascii() && is_invisible(character);
    // Most texts are ASCII, which is found out quickly.
    if text.is_ascii() || !text.contains(is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len());
    let mut units = [0; 2];
    for character in text.chars() {
        if is_escaped(character) {
            character.encode_utf16(&mut units).iter().for_each(|unit| escaped += &format!("\\u{unit:04x}"));
        } else {
            escaped.push(character);
        }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invisible_characters_are_escaped_and_json_has_the_same_value() {
        let value = serde_json::json!({ "name": "a\u{202e}b\u{e0041}", "other": "März" });
        let text = visible(&value.to_string()).into_owned();
        assert_eq!(text, r#"{"name":"a\u202eb\udb40\udc41","other":"März"}"#);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
        assert_eq!(visible("plain\u{feff}\n"), "plain\\ufeff\n");
    }
}
