//! `-o env`: variables for shells and for systemd's `EnvironmentFile=`.

use super::{CONFLICTING_VARIABLES, OutputError, Setting};

/// A line for each variable, and one that exports them all.
///
/// Without the last line etcd would not see what `eval` has set. It works as well where `eval $(…)` without
/// quotes makes one line of all, and systemd skips lines without `=` (`src/basic/env-file.c`).
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

/// The value as a shell and systemd both read it: as it is, or in double quotes with a backslash before the
/// four characters that are special there (POSIX, Shell Command Language, 2.2.3; systemd's
/// `SHELL_NEED_ESCAPE`). Single quotes would do for most values, but a single quote itself would need another form.
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

/// Whether a character means itself in a variable's value without quotes. Values of variables are neither
/// split nor matched with files' names, so brackets of IPv6 addresses can stay; `~` can't, after a colon either.
fn is_plain(character: char) -> bool {
    character.is_ascii_alphanumeric() || "-_./:,=@%+[]".contains(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_values_stay_bare() {
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
