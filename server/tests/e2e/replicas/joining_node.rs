//! A node that joins a cluster by check-ins, with a member list in place of its etcd.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{LIMIT, retrying_client::RetryingClient};

/// How long a change takes after the view that allows it, as with a slow etcd. Another node could make a change meanwhile.
const SLOW: Duration = Duration::from_millis(30);

/// The member list of a cluster's etcds, and the changes to it.
#[derive(Default)]
pub struct MemberList {
    members: Mutex<BTreeMap<u64, Entry>>,
    changes: Mutex<Vec<Change>>,
}

struct Entry {
    name: String,
    peer_url: String,
    learner: bool,
    started: bool,
}

/// A change that was begun, with its ticket.
pub struct Change {
    pub ticket: u64,
    pub holder: String,
    pub what: String,
}

impl MemberList {
    /// The first member, which runs.
    pub fn add_founder(&self, id: &str, name: &str, peer_url: &str) {
        let id = u64::from_str_radix(id, 16).unwrap();
        let entry = Entry { name: name.to_owned(), peer_url: peer_url.to_owned(), learner: false, started: true };
        self.members.lock().unwrap().insert(id, entry);
    }

    /// The number of running voters, if no member is about to become one.
    pub fn settled_voters(&self) -> Option<usize> {
        let members = self.members.lock().unwrap();
        members.values().all(|member| member.started && !member.learner).then_some(members.len())
    }

    /// The changes that were begun, in order.
    pub fn changes(&self) -> std::sync::MutexGuard<'_, Vec<Change>> {
        self.changes.lock().unwrap()
    }

    /// Changes the members as instructed, if they match the terms.
    async fn change(&self, holder: &str, instruction: &Value, change: impl FnOnce(&mut BTreeMap<u64, Entry>)) {
        let expected = instruction["terms"]["expect"].as_array().unwrap();
        let expected: BTreeSet<(u64, bool)> =
            expected.iter().map(|member| (id(&member["id"]), member["learner"] == true)).collect();
        let found = || self.members.lock().unwrap().iter().map(|(id, entry)| (*id, entry.learner)).collect();
        if expected != found() {
            return;
        }
        let what = format!("{} of {}", instruction["instruction"], instruction["member_id"]);
        let ticket = instruction["terms"]["ticket"].as_u64().unwrap();
        self.changes().push(Change { ticket, holder: holder.to_owned(), what });
        tokio::time::sleep(SLOW).await;
        change(&mut self.members.lock().unwrap());
    }

    fn start(&self, peer_url: &str) -> u64 {
        let mut members = self.members.lock().unwrap();
        let own = members.iter_mut().find(|(_, entry)| entry.peer_url == peer_url);
        let (id, entry) = own.expect("a node that joins has been added");
        entry.started = true;
        *id
    }

    fn view(&self, since: &Value, cluster_id: &str) -> Value {
        let members = self.members.lock().unwrap();
        let seen = |(id, entry): (&u64, &Entry)| {
            json!({ "id": format!("{id:x}"), "name": if entry.started { &entry.name } else { "" },
                    "peer_urls": [entry.peer_url], "learner": entry.learner, "reachable": entry.started,
                    "applied_index": 10, "round_trips": 1 })
        };
        let leader = members.iter().find(|(_, entry)| entry.started && !entry.learner).unwrap().0;
        let seen: Vec<Value> = members.iter().map(seen).collect();
        json!({ "since": since, "cluster_id": cluster_id, "linearizable": true, "leader": format!("{leader:x}"),
                "members": seen })
    }
}

/// A node that joins a formed cluster.
#[derive(Clone)]
pub struct JoiningNode {
    pub name: String,
    pub peer_url: String,
    /// Where it checks in.
    pub url: String,
    pub cluster_id: String,
    pub etcds: Arc<MemberList>,
    pub client: RetryingClient,
    /// Its member, once its etcd runs.
    pub member: Option<u64>,
}

impl JoiningNode {
    /// Checks in and executes its instructions until this number of voters runs.
    pub async fn run(mut self, voters: usize) {
        let deadline = Instant::now() + LIMIT * 3;
        let mut instruction = Value::Null;
        while self.etcds.settled_voters() != Some(voters) {
            assert!(Instant::now() < deadline, "{} received last: {instruction}", self.name);
            let report = self.report(&instruction);
            let answer = self.client.ask(|http| http.post(&self.url).json(&report)).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            instruction = answer.json();
            self.execute(&instruction).await;
            tokio::time::sleep(Duration::from_secs(instruction["check_in_after_seconds"].as_u64().unwrap())).await;
        }
    }

    fn report(&self, instruction: &Value) -> Value {
        let mut report = json!({
            "name": self.name, "run_id": "run", "state": "empty", "peer_urls": [self.peer_url], "strategy": "add",
        });
        if let Some(member) = self.member {
            report["state"] = json!("running");
            report["member_id"] = json!(format!("{member:x}"));
            report["cluster_id"] = json!(self.cluster_id);
        }
        if instruction["instruction"] == "observe" {
            report["view"] = self.etcds.view(&instruction["revision"], &self.cluster_id);
        }
        report
    }

    async fn execute(&mut self, instruction: &Value) {
        match instruction["instruction"].as_str().unwrap() {
            "wait" | "stand_by" | "observe" => {}
            "add_member" => {
                let entry = Entry {
                    name: self.name.clone(),
                    peer_url: self.peer_url.clone(),
                    learner: instruction["learner"] == true,
                    started: false,
                };
                let add = |members: &mut BTreeMap<u64, Entry>| {
                    members.insert(members.keys().max().unwrap_or(&0) / 2 + members.len() as u64, entry);
                };
                self.etcds.change(&self.name, instruction, add).await;
            }
            "promote" => {
                let learner = id(&instruction["member_id"]);
                let promote = |members: &mut BTreeMap<u64, Entry>| {
                    members.get_mut(&learner).expect("the promoted member is in the list").learner = false;
                };
                self.etcds.change(&self.name, instruction, promote).await;
            }
            "join" => self.member = Some(self.etcds.start(&self.peer_url)),
            _ => panic!("{} receives an unexpected instruction: {instruction}", self.name),
        }
    }
}

fn id(text: &Value) -> u64 {
    u64::from_str_radix(text.as_str().unwrap(), 16).unwrap()
}
