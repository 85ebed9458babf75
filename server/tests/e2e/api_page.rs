//! The commands in docs/reference/api.md work as they stand, and print what the page describes.

use std::{collections::BTreeSet, path::Path, process::Command, time::Duration};

use convene_harness::{Process, SetUp, etcd::Version, free_port};
use serde_json::{Value, json};

/// How long the whole tour may take; the shell ends itself then, and every etcd with it.
const LIMIT: Duration = Duration::from_secs(150);

#[test]
fn the_tour_works_line_by_line() {
    let Some(version) = Version::find("3.5") else { return };
    let set_up = SetUp::new();
    let _server = set_up.start();
    let tour = tour()
        .replace("127.0.0.1:8087", &set_up.address())
        .replace("$HOME/.cache/convene/peers/etcd-3.5", version.folder());

    let limit = LIMIT.as_secs().to_string();
    let mut command = Command::new("timeout");
    command.current_dir(set_up.parent()).args([&limit, "bash", "-u", "-c", &tour]);
    let mut shell = Process::spawn("the tour", &mut command);
    let code = shell.wait_for_exit(LIMIT + Duration::from_secs(10));
    let output = Output(shell.output());
    assert_eq!(code, Some(0), "{}", output.0);

    a_cluster_is_made_and_a_bad_body_explained(&output);
    three_nodes_bootstrap(&output);
    everybody_shows_the_same_three_members(&output);
    what_administrators_do_is_answered(&output);
    a_spare_replaces_the_member_that_died(&output);
    everybody_shows_the_new_member_and_not_the_old(&output);
    the_end_is_guarded(&output);
}

#[test]
fn every_problem_is_on_the_page() {
    let page = page();
    let description = read("openapi/convene.yaml");
    for problem in description.lines().filter_map(|line| line.trim().strip_prefix("- urn:convene:problem:")) {
        assert!(page.contains(&format!(" | `{problem}` | ")), "{problem}");
    }
}

fn a_cluster_is_made_and_a_bad_body_explained(output: &Output) {
    output.has("Create a cluster", &["HTTP/2 201", "location: /v1/clusters/"]);
    let documents = output.documents("Create a cluster");
    assert_eq!((&documents[0]["name"], &documents[0]["phase"]), (&json!("prod"), &json!("forming")));
    let wrong = values(&documents[1]["violations"], "field");
    assert_eq!(wrong, ["size", "policy.strategy", "policy.dead_after_seconds", "sise"]);
}

fn three_nodes_bootstrap(output: &Output) {
    let instructions = output.instructions("Three nodes check in");
    let (waits, bootstrap) = ("wait forming", "bootstrap roster_complete");
    assert_eq!(instructions, [waits, waits, bootstrap, bootstrap, bootstrap]);
    output.has("Start the etcds", &["--initial-cluster-state=new", "is healthy"]);
    let healthy = "wait healthy";
    assert_eq!(output.instructions("Report that etcd runs"), ["observe look_needed", healthy, healthy, healthy]);
}

fn everybody_shows_the_same_three_members(output: &Output) {
    let documents = output.documents("Read the cluster");
    let [page, cluster, members, v2] = documents.as_slice() else { panic!("{}", output.stage("Read the cluster")) };
    assert_eq!(page["clusters"], json!([cluster]));
    assert_eq!((&cluster["phase"], &cluster["voter_count"]), (&json!("bootstrapped"), &json!(3)));
    assert_eq!(values(&members["members"], "name"), ["infra0", "infra1", "infra2"]);
    assert_same_members(output.stage("Read the cluster"), members, v2);
}

fn what_administrators_do_is_answered(output: &Output) {
    let documents = output.documents("Read the events");
    let [past, _, news, ..] = documents.as_slice() else { panic!("{}", output.stage("Read the events")) };
    assert_eq!(past["events"][0]["kind"], "bootstrapped");
    assert_eq!(values(&news["events"], "kind"), ["paused"]);
    output.has("Read the events", &["event: paused\ndata: {"]);

    assert_eq!(output.instructions("Pause and resume"), ["wait paused"]);
    let settings = "Change settings, but only what you have seen";
    output.has(settings, &["HTTP/2 200", "\"dead_after_seconds\":5,", "HTTP/2 412"]);
    assert_eq!(output.documents(settings)[0]["size"], 3);
    let downtimes: Vec<bool> =
        output.documents("Announce a downtime").iter().map(|member| member["downtime_until"].is_string()).collect();
    assert_eq!(downtimes, [true, false]);
}

fn a_spare_replaces_the_member_that_died(output: &Output) {
    let observed = output.instructions("A fourth node, and its view");
    assert_eq!(observed, ["observe look_needed", "stand_by full"]);

    // While another member takes over the lead there is no quorum for a moment.
    let mut instructions = output.instructions("A member dies");
    instructions.dedup();
    instructions.retain(|instruction| instruction != "wait no_quorum");
    assert_eq!(instructions, ["wait not_dead_yet", "remove_member dead"]);

    // How long the learner takes to catch up, and the leader to probe it, is up to etcd.
    let mut instructions = output.instructions("The member is replaced");
    instructions
        .retain(|instruction| !["wait catching_up", "wait peer_url_unreachable"].contains(&instruction.as_str()));
    assert_eq!(instructions, ["add_member below_size", "join added", "promote caught_up", "wait healthy"]);
    output.has("The member is replaced", &["--initial-cluster-state=existing"]);
}

fn everybody_shows_the_new_member_and_not_the_old(output: &Output) {
    let stage = "The member is replaced";
    let documents = output.documents(stage);
    let shown: Vec<&Value> = documents.iter().filter(|document| document["members"].is_array()).collect();
    let [members, with_removed] = shown.as_slice() else { panic!("{}", output.stage(stage)) };
    assert_eq!(values(&members["members"], "name"), ["infra0", "infra1", "infra3"]);
    assert_eq!(values(&with_removed["members"], "name"), ["infra0", "infra1", "infra2", "infra3"]);
    assert_eq!(with_removed["members"][2]["removed"], true);
    let v2 = documents.iter().find(|document| document["action"] == "get").unwrap();
    output.has(stage, &["member_removed - infra2 removed", "ticket_released - "]);
    // The list before the removal stands above the last view.
    let (_, last_view) = output.stage(stage).rsplit_once("\"wait\"").unwrap();
    assert_same_members(last_view, members, v2);
}

fn the_end_is_guarded(output: &Output) {
    assert_eq!(output.instructions("Evict a member"), ["leave evicted"]);
    let documents = output.documents("Evict a member");
    assert!(documents[0]["evicted_at"].is_string() && documents[2]["evicted_at"].is_null(), "{documents:?}");
    let stage = "Reset and delete";
    output.has(stage, &["HTTP/2 400", "HTTP/2 204", ":not-found", ":token-used-up"]);
    output.has(stage, &["\"deleted\":false,\"forgotten\":true,\"warning\":\""]);
    let violation = output.documents(stage)[0]["violations"][0].take();
    let expected = "is missing; must be the ID or the token of the cluster again, to confirm the reset";
    assert_eq!(violation, json!({ "field": "token", "message": expected }));
}

/// Checks that `/v1`, v2 discovery and etcdctl, which prints `ID, started, name, …`, show the same members.
fn assert_same_members(output: &str, members: &Value, v2: &Value) {
    let members = members["members"].as_array().unwrap();
    let ids: BTreeSet<&str> = members.iter().map(|member| member["id"].as_str().unwrap()).collect();
    let nodes = v2["node"]["nodes"].as_array().unwrap();
    let keys = nodes.iter().map(|node| node["key"].as_str().unwrap().rsplit_once('/').unwrap().1);
    let listed = output.lines().filter_map(|line| line.split_once(", started, ")).map(|(id, _)| id);
    assert_eq!((keys.collect::<BTreeSet<_>>(), listed.collect::<BTreeSet<_>>()), (ids.clone(), ids));
}

fn values<'a>(list: &'a Value, field: &str) -> Vec<&'a str> {
    list.as_array().unwrap().iter().map(|item| item[field].as_str().unwrap()).collect()
}

/// The output of the shell.
struct Output(String);

impl Output {
    /// From one heading of the page to the next.
    fn stage(&self, heading: &str) -> &str {
        let (_, rest) = self.0.split_once(&marker(heading)).unwrap_or_else(|| panic!("no {heading:?}:\n{}", self.0));
        rest.split(MARK).next().unwrap()
    }

    fn has(&self, heading: &str, expected: &[&str]) {
        let output = self.stage(heading);
        for expected in expected {
            assert!(output.contains(expected), "{expected:?} is missing:\n{output}");
        }
    }

    /// Every instruction with its reason, as `wait forming`.
    fn instructions(&self, heading: &str) -> Vec<String> {
        let documents = self.documents(heading);
        let instructions = documents.iter().filter_map(|document| {
            Some(format!("{} {}", document["instruction"].as_str()?, document["reason"].as_str()?))
        });
        instructions.collect()
    }

    /// Every JSON object that begins with a line of its own.
    fn documents(&self, heading: &str) -> Vec<Value> {
        let mut documents = Vec::new();
        let output = format!("\n{}", self.stage(heading));
        let mut rest = output.as_str();
        while let Some(at) = rest.find("\n{") {
            rest = &rest[at + 1..];
            let mut stream = serde_json::Deserializer::from_str(rest).into_iter();
            documents.extend(stream.next().and_then(Result::ok));
            rest = &rest[stream.byte_offset()..];
        }
        documents
    }
}

const MARK: &str = "\n### ";

fn marker(heading: &str) -> String {
    format!("{MARK}{heading}\n")
}

/// The shell lines of the page's tour, each heading printed before its lines. The shell
/// kills its etcds when it ends.
fn tour() -> String {
    let page = page();
    let tour = page.split("\n## ").find(|section| section.starts_with("The tour\n")).unwrap();
    let mut lines = "exec 2>&1\ntrap 'kill $(jobs -p)' EXIT\n".to_owned();
    for stage in tour.split(MARK).skip(1) {
        let (heading, text) = stage.split_once('\n').unwrap();
        lines.push_str(&format!("printf '%s\\n' '' '### {heading}'\n"));
        lines.extend(text.split("```sh\n").skip(1).map(|block| block.split_once("```").unwrap().0));
    }
    with_free_ports(lines)
}

fn page() -> String {
    read("docs/reference/api.md")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).unwrap()
}

/// Every port of an etcd, replaced by one that is free, so that this can run next to other tests.
fn with_free_ports(mut lines: String) -> String {
    const HOST: &str = "127.0.0.1:";
    let ports = lines.split(HOST).skip(1).map(|rest| rest.chars().take_while(char::is_ascii_digit).collect());
    let ports: BTreeSet<String> = ports.filter(|port| port != "8087").collect();
    for port in ports {
        lines = lines.replace(&format!("{HOST}{port}"), &format!("{HOST}{}", free_port()));
    }
    lines
}
