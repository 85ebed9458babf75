//! Text from outside, made harmless for terminals, logs, shells and files.
//!
//! Servers, etcds and other nodes choose names, messages and errors. Such a text must not begin another line, give a terminal an
//! order, or change the order in which the characters around it are shown.

use std::borrow::Cow;

pub use convene_lifecycle::is_invisible as is_unsafe;

/// The text with a space for each unsafe character.
pub fn one_line(text: &str) -> Cow<'_, str> {
    if text.contains(is_unsafe) { text.replace(is_unsafe, " ").into() } else { text.into() }
}

/// Lines of text with a space for each unsafe character but the end of a line.
pub fn lines(text: &str) -> Cow<'_, str> {
    let is_unsafe = |character| character != '\n' && is_unsafe(character);
    if text.contains(is_unsafe) { text.replace(is_unsafe, " ").into() } else { text.into() }
}

/// JSON that was written without white space, except for parts of it as a server sent them, on one line and without unsafe
/// characters. In strings of JSON, such characters are escaped; outside of strings, only white space is allowed.
pub fn json_line(json: &str) -> String {
    escaped(json, |character| character < ' ')
}

/// JSON on several lines, without unsafe characters, and without those with which a shell begins a command in double quotes.
pub fn json_lines(json: &str) -> String {
    escaped(json, |_| false)
}

fn escaped(json: &str, is_omitted: impl Fn(char) -> bool) -> String {
    let mut safe = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            _ if is_omitted(character) => {}
            '\n' => safe.push('\n'),
            '$' | '`' => escape(character, &mut safe),
            _ if is_unsafe(character) => escape(character, &mut safe),
            _ => safe.push(character),
        }
    }
    safe
}

fn escape(character: char, into: &mut String) {
    let mut units = [0; 2];
    for unit in character.encode_utf16(&mut units) {
        *into += &format!("\\u{unit:04x}");
    }
}

/// The text for a comment that a shell may evaluate, even one that knows no comments: without the characters that begin another
/// command, or a command in this one.
pub fn shell_comment(text: &str) -> String {
    let separates = |character| matches!(character, ';' | '&' | '|' | '<' | '>' | '$' | '\\' | '!');
    one_line(text).replace(separates, " ").replace('`', "'")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\nb\r\tc\u{1b}[2Jd\u{7f}\u{9b}e\u{202e}f\u{2066}g\u{2028}h\u{85}i\u{feff}\u{e0041}j";

    #[test]
    fn no_control_or_bidirectional_character_is_left() {
        let safe = one_line(HOSTILE);
        assert!(!safe.contains(is_unsafe), "{safe:?}");
        assert_eq!(safe.split_whitespace().collect::<String>(), "abc[2Jdefghij");
        assert_eq!(lines("a\nb\u{1b}"), "a\nb ");
        for harmless in ["infra0 – März, 東京, שלום, مرحبا, 👍🏽", ""] {
            assert!(matches!(one_line(harmless), Cow::Borrowed(text) if text == harmless));
        }
    }

    #[test]
    fn json_stays_the_same_and_is_one_line() {
        let sent = serde_json::json!({ "a": HOSTILE, "b": ["$(id)", "`id`", "\\u0024", "\"$x\""], "c": 1.5 });
        for written in
            [sent.to_string(), serde_json::to_string_pretty(&sent).unwrap(), sent.to_string().replace(',', "\r\n,\t")]
        {
            let line = json_line(&written);
            assert!(!line.contains(is_unsafe) && !line.contains(['$', '`']), "{line}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap(), sent);
            let lines = json_lines(&written.replace(['\r', '\t'], ""));
            assert!(!lines.replace('\n', "").contains(is_unsafe) && !lines.contains(['$', '`']), "{lines}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&lines).unwrap(), sent);
        }
    }

    #[test]
    fn a_comment_begins_no_command() {
        let comment = shell_comment("run `touch x`; touch y && $(touch z) | sh > /etc/x \\\n!!");
        assert_eq!(comment, "run 'touch x'  touch y     (touch z)   sh   /etc/x     ");
    }
}
