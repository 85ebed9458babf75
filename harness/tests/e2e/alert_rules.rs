//! The alert rules of docs/monitoring.md fire when their table says so, evaluated by Prometheus' own tool.

use std::{fmt::Write, fs, process::Command};

use convene_harness::{Page, peers};
use tempfile::TempDir;

/// The minutes for which a series is there.
const MINUTES: usize = 60;

#[test]
fn a_node_that_alternates_between_states_makes_no_progress() {
    // Two minutes in each state, and never fifteen.
    let alternating = |turn: usize| (0..MINUTES).map(|minute| format!("{} ", (minute / 2 + turn) % 2)).collect();
    let series = [
        (node_state("infra0", "changing"), alternating(1)),
        (node_state("infra0", "waiting"), alternating(0)),
        (node_state("infra1", "voter"), always(1)),
        (node_state("infra1", "waiting"), always(0)),
    ];
    fires("ConveneNodeWaits", &series, &[r#"cluster: prod, instance: infra0, job: convene-node, severity: ticket"#]);
}

#[test]
fn a_voter_too_few_is_noticed_even_if_no_node_answers() {
    let voters = |voters: &[&str]| -> Vec<(String, String)> {
        let states = voters.iter().map(|node| (node_state(node, "voter"), always(1)));
        states.chain([(up("infra0"), always(1))]).collect()
    };
    let fired = [r#"cluster: prod, severity: page"#];
    fires("ConveneTooFewVoters", &voters(&["infra0", "infra1", "infra2"]), &[]);
    fires("ConveneTooFewVoters", &voters(&["infra0", "infra1"]), &fired);
    fires("ConveneTooFewVoters", &[(up("infra0"), always(0)), (up("infra1"), always(0))], &fired);
}

#[test]
fn a_client_port_that_does_not_answer_is_noticed() {
    let etcd_up = |node: &str| of_node("convene_node_etcd_up", node, "");
    let series = [
        (etcd_up("infra0"), always(1)),
        (etcd_up("infra1"), always(1)),
        (of_node("convene_node_etcd_database_bytes", "infra1", ""), always(20_480)),
        // A spare.
        (etcd_up("infra3"), always(0)),
    ];
    let fired = r#"cluster: prod, instance: infra0, job: convene-node, severity: page"#;
    fires("ConveneClientPortSilent", &series, &[fired]);
}

fn always(value: usize) -> String {
    format!("{value}+0x{MINUTES}")
}

fn node_state(node: &str, state: &str) -> String {
    of_node("convene_node_state", node, &format!(", state=\"{state}\""))
}

fn up(node: &str) -> String {
    of_node("up", node, "")
}

fn of_node(metric: &str, node: &str, labels: &str) -> String {
    format!("{metric}{{job=\"convene-node\", cluster=\"prod\", instance=\"{node}\"{labels}}}")
}

/// Checks with which labels an alert has fired after 40 minutes.
fn fires(alert: &str, series: &[(String, String)], labels: &[&str]) {
    let Some(promtool) = peers::program("prometheus", "promtool") else { return };
    let folder = TempDir::new().unwrap();
    let rules = Page::read("docs/monitoring.md").blocks("Alert rules", "yaml").concat();
    fs::write(folder.path().join("convene.rules.yml"), rules).unwrap();
    let mut test = "rule_files: [convene.rules.yml]\ntests:\n  - interval: 1m\n    input_series:\n".to_owned();
    for (name, values) in series {
        writeln!(test, "      - series: '{name}'\n        values: '{}'", values.trim_end()).unwrap();
    }
    let expected: Vec<_> = labels.iter().map(|labels| format!("{{exp_labels: {{{labels}}}}}")).collect();
    writeln!(
        test,
        "    alert_rule_test:\n      - {{eval_time: 40m, alertname: {alert}, exp_alerts: [{}]}}",
        expected.join(", ")
    )
    .unwrap();
    fs::write(folder.path().join("test.yml"), &test).unwrap();
    let output =
        Command::new(promtool).current_dir(folder.path()).args(["test", "rules", "test.yml"]).output().unwrap();
    let report = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{report}\n{test}");
}
