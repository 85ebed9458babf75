//! `-o flags`: flags for the command line of etcd.

use std::ffi::OsString;

use super::{Action, CONFLICTING_VARIABLES, OutputError, Setting};

/// One line of flags. A shell leaves each of them unchanged in an unquoted `$(…)`.
///
/// etcd refuses a flag whose variable is set, even to the same value or to nothing (`pkg/flags/flag.go:verifyEnv`). So a
/// flag is omitted if its variable has the same value. If etcd starts on its data, it ignores `--initial-…`; such a flag
/// is omitted if its variable has any value, so that the node starts.
pub(super) fn text(
    action: Action,
    settings: &[Setting],
    environment: &dyn Fn(&str) -> Option<OsString>,
) -> Result<String, OutputError> {
    let mut flags = Vec::new();
    for setting in settings {
        let variable = setting.variable();
        match environment(&variable) {
            Some(set) if set == *setting.value && !set.is_empty() => {}
            Some(_) if action == Action::Start && setting.flag.starts_with("initial-") => {}
            Some(set) => {
                let (set, wanted) = (set.to_string_lossy().into_owned(), setting.value.clone());
                return Err(OutputError::Shadowed { variable, set, wanted });
            }
            None => flags.push(flag(setting.flag, word(setting)?)),
        }
    }
    Ok(flags.join(" ") + "\n")
}

/// Warnings about discovery variables. Flags can't override them, so the user has to unset them.
pub(super) fn warnings(environment: &dyn Fn(&str) -> Option<OsString>) -> Vec<String> {
    let is_set = |variable: &&str| environment(variable).is_some_and(|value| !value.is_empty());
    let warn = |variable| {
        format!("{variable} is set: etcd refuses it together with --initial-cluster; run `unset {variable}` first")
    };
    CONFLICTING_VARIABLES.into_iter().filter(is_set).map(warn).collect()
}

/// The flag with its value.
pub(super) fn flag(name: &str, value: &str) -> String {
    format!("--{name}={value}")
}

/// The value, if a shell neither splits it nor expands it as a pattern, nor finds a command in it if it evaluates the flags.
///
/// The brackets of IPv6 addresses are allowed. `http://[::1]:2380` is a pattern too, but it could only match below a
/// directory `--…=http:`, and a shell leaves a pattern without a match unchanged.
fn word(setting: &Setting) -> Result<&str, OutputError> {
    let value = setting.printable()?;
    let special = |character: &char| character.is_whitespace() || r##"*?[]\$`;&|<>(){}'"!"##.contains(*character);
    match value.replace("://[", "").replace("]:", "").chars().find(special) {
        Some(character) => Err(OutputError::ShellUnsafe { flag: setting.flag, value: value.to_owned(), character }),
        None => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(value: &str) -> Setting {
        Setting { flag: "name", value: value.to_owned() }
    }

    fn print(value: &str, set: Option<&str>) -> Result<String, OutputError> {
        let set = set.map(OsString::from);
        text(Action::Join, &[setting(value)], &|variable| set.clone().filter(|_| variable == "ETCD_NAME"))
    }

    #[test]
    fn values_that_a_shell_does_not_change_are_printed() {
        for value in ["infra0", "~a", "b#c", "50%", "märz", "a=http://[::1]:2380,b=https://[::2]:2380"] {
            assert_eq!(print(value, None), Ok(format!("--name={value}\n")));
        }
    }

    #[test]
    fn values_that_a_shell_would_change_are_refused() {
        for (value, character) in [
            ("a b", ' '),
            ("a*", '*'),
            ("a?", '?'),
            ("a[b]", '['),
            ("a]", ']'),
            (r"a\b", '\\'),
            ("$(id)", '$'),
            ("`id`", '`'),
            ("a;b", ';'),
            ("it's", '\''),
            ("a\u{a0}b", '\u{a0}'),
        ] {
            let error = OutputError::ShellUnsafe { flag: "name", value: value.to_owned(), character };
            assert!(error.to_string().ends_with("use -o env"));
            assert_eq!(print(value, None), Err(error));
        }
    }

    #[test]
    fn a_flag_is_omitted_if_its_variable_has_the_same_value() {
        assert_eq!(print("a", Some("a")), Ok("\n".to_owned()));
    }

    #[test]
    fn a_variable_with_another_value_is_an_error() {
        for set in ["b", ""] {
            let message = print("a", Some(set)).expect_err("etcd would not start").to_string();
            assert!(message.starts_with(&format!("ETCD_NAME is {set:?} in the environment")), "{message}");
            assert!(message.contains("must be \"a\"") && message.contains("`unset ETCD_NAME`"), "{message}");
        }
    }

    #[test]
    fn a_stale_initial_variable_does_not_prevent_a_start_on_data() {
        let settings = ["name", "initial-cluster-state"].map(|flag| Setting { flag, value: "existing".to_owned() });
        let new = |variable: &str| (variable == "ETCD_INITIAL_CLUSTER_STATE").then(|| OsString::from("new"));
        assert_eq!(text(Action::Start, &settings, &new), Ok("--name=existing\n".to_owned()));
        assert!(text(Action::Join, &settings, &new).is_err());
    }

    #[test]
    fn discovery_variables_cause_a_warning_unless_they_are_empty() {
        let set = |variable: &str| match variable {
            "ETCD_DISCOVERY" => Some(OsString::from("http://10.0.0.1/x")),
            "ETCD_DISCOVERY_SRV" => Some(OsString::new()),
            _ => None,
        };
        let warnings = warnings(&set);
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].starts_with("ETCD_DISCOVERY is set"));
    }
}
