//! `-o env`: variables for shells and for systemd's `EnvironmentFile=`.

use super::{CONFLICTING_VARIABLES, OutputError, Setting};

/// A line for each variable, and a line that exports all of them.
///
/// Without the export, etcd would not see variables that were set by `eval`. The export also works with an unquoted
/// `eval $(…)`, which joins the lines, and systemd skips lines without `=` (`src/basic/env-file.c`).
pub(super) fn text(settings: &[Setting]) -> Result<String, OutputError> {
    let mut lines = String::new();
    let mut names = Vec::new();
    for setting in settings {
        lines += &format!("{}={}\n", setting.variable(), quoted(setting.printable()?));
        names.push(setting.variable());
    }
    for variable in CONFLICTING_VARIABLES {
        lines += &format!("{variable}=\n");
        names.push(variable.to_owned());
    }
    Ok(format!("{lines}export {}\n", names.join(" ")))
}

/// The value as shells and systemd read it: unchanged, or in double quotes with a backslash before the four characters
/// that are special there (POSIX, Shell Command Language, 2.2.3; `SHELL_NEED_ESCAPE` in systemd). Single quotes would
/// suffice for most values, but not for a single quote.
fn quoted(value: &str) -> String {
    if !value.is_empty() && value.chars().all(is_plain) {
        return value.to_owned();
    }
    let mut quoted = String::from("\"");
    for character in value.chars() {
        if matches!(character, '"' | '\\' | '$' | '`') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted + "\""
}

/// Whether a character needs no quotes in the value of a variable. Such values are neither split nor expanded as patterns,
/// so the brackets of IPv6 addresses need none. A `~` does, also after a colon.
fn is_plain(character: char) -> bool {
    character.is_ascii_alphanumeric() || "-_./:,=@%+[]".contains(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_values_are_not_quoted() {
        for value in ["infra0", "/var/lib/etcd", "a=http://10.0.0.1:2380,b=https://[2001:db8::1]:2380"] {
            assert_eq!(quoted(value), value);
        }
    }

    #[test]
    fn other_values_are_quoted() {
        for (value, expected) in [
            ("", r#""""#),
            ("a b", r#""a b""#),
            ("~", r#""~""#),
            ("it's", r#""it's""#),
            ("märz", r#""märz""#),
            (r#"$x`y\z""#, r#""\$x\`y\\z\"""#),
        ] {
            assert_eq!(quoted(value), expected);
        }
    }
}
