//! `-o dropin`: a drop-in for etcd's systemd unit.

use super::{CONFLICTING_VARIABLES, OutputError, Setting};

/// A `[Service]` section.
///
/// There is no `[Unit]` section: it could only name a unit that joins before etcd is started, whose name is the
/// user's choice, and `Requires=` on one that does not exist keeps etcd down. That unit says itself what it
/// comes before (`Before=` and `RequiredBy=`), which also holds when this file is not there yet.
///
/// `UnsetEnvironment=` (systemd 235) also drops what etcd's unit reads from an `EnvironmentFile=`, where an empty
/// `Environment=` would be overridden (systemd.exec(5)).
pub(super) fn text(settings: &[Setting]) -> Result<String, OutputError> {
    let mut lines = String::from("[Service]\n");
    for setting in settings {
        lines += &format!("Environment=\"{}={}\"\n", setting.variable(), escaped(setting.printable()?));
    }
    Ok(format!("{lines}UnsetEnvironment={}\n", CONFLICTING_VARIABLES.join(" ")))
}

/// The value as it stands in double quotes: systemd unquotes as C does, then expands specifiers, which begin with
/// `%`. A `$` is no variable here (systemd.exec(5), `Environment=`).
fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', "\\\"").replace('%', "%%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_systemd_would_read_otherwise_is_escaped() {
        assert_eq!(escaped(r#"50% "of" C:\ is $5"#), r#"50%% \"of\" C:\\ is $5"#);
    }
}
