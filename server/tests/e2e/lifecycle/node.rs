use std::{
    collections::BTreeSet,
    net::TcpStream,
    sync::Arc,
    time::{Duration, Instant},
};

use convene_harness::{
    Place,
    etcd::{Etcd, Version},
};
use serde_json::{Value, json};

use super::registry::Registry;

/// A machine whose client checks in and executes its instructions, with a real etcd and etcdctl.
pub struct Node {
    pub name: String,
    /// Where its data is.
    pub place: Arc<Place>,
    version: Version,
    etcd: Option<Etcd>,
    /// How often the client was started.
    runs: u32,
    /// The last instruction.
    instruction: Value,
    /// The endpoints of the last `observe`.
    endpoints: Vec<String>,
    due: Instant,
    /// Every instruction with its reason, as `wait forming`, and every change of membership that etcd refused.
    pub history: Vec<String>,
}

impl Node {
    /// A node without data.
    pub fn new(version: &Version, name: &str) -> Self {
        let place = Arc::new(Place::new());
        Self {
            name: name.to_owned(),
            version: version.clone(),
            place,
            etcd: None,
            runs: 1,
            instruction: Value::Null,
            endpoints: Vec::new(),
            due: Instant::now(),
            history: Vec::new(),
        }
    }

    /// A node whose etcd runs already.
    pub fn with(version: &Version, name: &str, etcd: Etcd) -> Self {
        Self { place: etcd.place.clone(), etcd: Some(etcd), ..Self::new(version, name) }
    }

    /// Where clients reach its etcd.
    pub fn client_url(&self) -> &str {
        &self.place.client_url
    }

    /// Whether the last instruction and its reason were these.
    pub fn last_was(&self, instruction: &str) -> bool {
        self.history.last().is_some_and(|last| last == instruction)
    }

    /// Ends the etcd with SIGKILL, and the client with it.
    pub fn die(&mut self) {
        self.etcd = None;
        self.instruction = Value::Null;
        self.runs += 1;
    }

    /// Dies and comes back with the same name and address, but without its data.
    pub fn lose_disk(&mut self) {
        self.die();
        self.place.lose_disk();
        self.history.clear();
    }

    /// Checks in if it is due, and executes the instruction.
    pub fn check_in_if_due(&mut self, registry: &Registry) {
        if Instant::now() < self.due {
            return;
        }
        let Some(report) = self.report() else { return };
        self.instruction = registry.check_in(&report);
        self.history.push(format!("{} {}", text(&self.instruction, "instruction"), text(&self.instruction, "reason")));
        self.due = Instant::now() + Duration::from_secs(self.instruction["check_in_after_seconds"].as_u64().unwrap());
        self.execute();
    }

    /// The report; `None` while its etcd is starting.
    fn report(&self) -> Option<Value> {
        let mut report = json!({
            "name": self.name,
            "run_id": format!("run-{}", self.runs),
            "peer_urls": [self.place.peer_url],
            "client_urls": [self.place.client_url],
            "state": "empty",
        });
        if self.etcd.is_some() {
            let header = self.status(&self.place.client_url)?["header"].take();
            report["state"] = "running".into();
            report["member_id"] = hexadecimal(&header["member_id"]).into();
            report["cluster_id"] = hexadecimal(&header["cluster_id"]).into();
        }
        if self.instruction["instruction"] == "observe" {
            report["view"] = self.observe();
        }
        Some(report)
    }

    /// The view of the node.
    fn observe(&self) -> Value {
        let since = &self.instruction["revision"];
        let Some((_, list)) = self.list() else { return json!({ "since": since, "linearizable": false }) };
        let mut leader = Value::Null;
        let member = |member: &Value| {
            let status = self.status_of(member);
            if let Some(known) = status.as_ref().and_then(|status| status.get("leader")) {
                leader = hexadecimal(known).into();
            }
            json!({
                "id": hexadecimal(&member["ID"]),
                "name": member["name"],
                "peer_urls": member["peerURLs"],
                "client_urls": member.get("clientURLs").unwrap_or(&json!([])),
                "learner": member["isLearner"],
                "reachable": status.is_some(),
                "applied_index": status.map(|status| status["raftAppliedIndex"].clone()),
            })
        };
        let members: Vec<Value> = items(&list["members"]).iter().map(member).collect();
        let cluster_id = hexadecimal(&list["header"]["cluster_id"]);
        json!({ "since": since, "cluster_id": cluster_id, "linearizable": true, "leader": leader, "members": members })
    }

    /// etcd's list, and the endpoint that has shown it. etcd 3.4 returns the list as this member has it, but after a read
    /// through the quorum that is current.
    fn list(&self) -> Option<(String, Value)> {
        let own = self.etcd.iter().map(|_| &self.place.client_url);
        own.chain(&self.endpoints).filter(|endpoint| listens(endpoint)).find_map(|endpoint| {
            self.version.etcdctl(endpoint, &["get", "anything"]).ok()?;
            let list = self.version.etcdctl(endpoint, &["member", "list", "-w", "json"]).ok()?;
            Some((endpoint.clone(), serde_json::from_str(&list).unwrap()))
        })
    }

    fn status_of(&self, member: &Value) -> Option<Value> {
        self.status(member.get("clientURLs")?[0].as_str()?)
    }

    fn status(&self, endpoint: &str) -> Option<Value> {
        listens(endpoint).then_some(())?;
        let status =
            self.version.etcdctl(endpoint, &["--command-timeout", "2s", "endpoint", "status", "-w", "json"]).ok()?;
        let mut status: Value = serde_json::from_str(&status).unwrap();
        Some(status[0]["Status"].take())
    }

    fn execute(&mut self) {
        let instruction = self.instruction.clone();
        match text(&instruction, "instruction") {
            "wait" | "stand_by" => {}
            "observe" => self.endpoints = strings(&instruction["endpoints"]["client_urls"]),
            "bootstrap" | "join" => self.etcd = Some(self.start(&instruction["start"])),
            "remove_member" => {
                self.change_membership(&instruction["terms"], &["remove", text(&instruction, "member_id")])
            }
            "promote" => self.change_membership(&instruction["terms"], &["promote", text(&instruction, "member_id")]),
            "add_member" => {
                let peer_urls = format!("--peer-urls={}", strings(&instruction["peer_urls"]).join(","));
                let learner = format!("--learner={}", instruction["learner"]);
                self.change_membership(&instruction["terms"], &["add", &self.name.clone(), &peer_urls, &learner]);
            }
            _ => panic!("{} receives an unexpected instruction: {instruction}", self.name),
        }
    }

    fn start(&self, start: &Value) -> Etcd {
        let flags = start.as_object().unwrap().iter().map(|(name, value)| {
            let value = value.as_str().map_or_else(|| strings(value).join(","), str::to_owned);
            format!("--{}={value}", name.replace('_', "-"))
        });
        let flags: Vec<String> = flags.collect();
        self.version.start(&self.place, &flags.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Changes etcd's membership if the list matches the terms. If not, or if etcd refuses for now, the next check-in
    /// decides again.
    fn change_membership(&mut self, terms: &Value, change: &[&str]) {
        let Some((endpoint, list)) = self.list() else { return };
        let role = |id: String, learner: &Value| (id, learner.as_bool().unwrap_or(false));
        let expected =
            items(&terms["expect"]).iter().map(|member| role(text(member, "id").to_owned(), &member["learner"]));
        let found = items(&list["members"]).iter().map(|member| role(hexadecimal(&member["ID"]), &member["isLearner"]));
        let (expected, found): (BTreeSet<_>, BTreeSet<_>) = (expected.collect(), found.collect());
        if expected != found {
            self.history.push(format!("finds {found:?} and not {expected:?}"));
        } else if let Err(refusal) = self.version.etcdctl(&endpoint, &[&["member"], change].concat()) {
            self.history.push(format!("{change:?} is refused: {refusal}"));
        }
    }
}

/// Whether a process listens there. etcdctl would try for seconds, and failures that are too far apart are no
/// evidence of one outage.
fn listens(endpoint: &str) -> bool {
    TcpStream::connect(endpoint.strip_prefix("http://").unwrap()).is_ok()
}

fn items(list: &Value) -> &[Value] {
    list.as_array().unwrap()
}

fn strings(list: &Value) -> Vec<String> {
    items(list).iter().map(|item| item.as_str().unwrap().to_owned()).collect()
}

fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object[field].as_str().unwrap()
}

/// An ID as etcd prints it to people; its JSON has decimal numbers.
pub fn hexadecimal(id: &Value) -> String {
    format!("{:x}", id.as_u64().unwrap())
}
