//! `-o dropin`: a drop-in for the systemd unit of etcd.

use super::{CONFLICTING_VARIABLES, OutputError, Setting};

/// A `[Service]` section.
///
/// There is no `[Unit]` section. It could only name the unit that runs `convene join`, whose name the user chooses, and
/// `Requires=` on a missing unit would keep etcd down. The unit itself has `Before=` and `RequiredBy=`, which also work
/// while this file does not exist yet.
///
/// `UnsetEnvironment=` (systemd 235) also removes variables from an `EnvironmentFile=`, which would override an empty
/// `Environment=` (systemd.exec(5)).
pub(super) fn text(settings: &[Setting]) -> Result<String, OutputError> {
    let mut lines = String::from("[Service]\n");
    for setting in settings {
        lines += &format!("Environment=\"{}={}\"\n", setting.variable(), escaped(setting.printable()?));
    }
    Ok(format!("{lines}UnsetEnvironment={}\n", CONFLICTING_VARIABLES.join(" ")))
}

/// The value for double quotes: systemd unquotes like C, then expands specifiers, which begin with `%`. A `$` has no
/// meaning here (systemd.exec(5), `Environment=`), but would have one for a shell that evaluates the file by mistake.
fn escaped(value: &str) -> String {
    let value = value.replace('\\', r"\\").replace('"', "\\\"").replace('%', "%%");
    value.replace('$', r"\x24").replace('`', r"\x60")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_are_special_to_systemd_are_escaped() {
        assert_eq!(escaped(r#"50% "of" C:\ is $5"#), r#"50%% \"of\" C:\\ is \x245"#);
    }
}
