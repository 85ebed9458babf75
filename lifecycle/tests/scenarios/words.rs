use std::collections::BTreeMap;

use convene_lifecycle::{Cluster, EtcdFlags, MemberKey, PeerUrl, Plan, Task, Terms};

/// Writes answers in a short form. `remove c #1 of a b c: dead + ticket_granted` is the task with its ticket and the
/// members that it expects, the reason, and the kinds of the recorded events.
///
/// A member is named like its node; the node's second member is `c'`, its third `c''`. Learners have a `~`. The URL
/// `http://x:2380` is `x`.
#[derive(Default)]
pub struct Words {
    names: BTreeMap<MemberKey, String>,
}

impl Words {
    /// The short form of an answer. `before` is the cluster when the node checked in.
    pub fn answer(&self, plan: &Plan, before: &Cluster, own_urls: &[PeerUrl]) -> String {
        let after = plan.change.as_ref().and_then(|change| change.after.as_ref()).unwrap_or(before);
        let mut text = format!("{}: {}", self.task(&plan.instruction.task, after, own_urls), plan.instruction.reason);
        let events = plan.change.iter().flat_map(|change| &change.events);
        for (at, event) in events.enumerate() {
            text += if at == 0 { " + " } else { " " };
            text += event.kind.as_str();
        }
        text
    }

    fn task(&self, task: &Task, after: &Cluster, own_urls: &[PeerUrl]) -> String {
        match task {
            Task::Bootstrap(start) => {
                format!("bootstrap {} in epoch {}", self.start(start, after, own_urls), after.epoch)
            }
            Task::Join(start) => format!("join {}", self.start(start, after, own_urls)),
            Task::Start(Some(start)) => format!("start {}", self.pairs(start, after, own_urls)),
            Task::RemoveMember { member, terms } => format!("remove {} {}", self.names[member], self.terms(terms)),
            Task::AddMember { peer_urls, learner, terms } => {
                assert_eq!(peer_urls, own_urls, "a node only adds itself");
                let role = if *learner { "learner" } else { "voter" };
                format!("add {role} {} {}", hosts(peer_urls), self.terms(terms))
            }
            Task::UpdateMember { member, peer_urls, terms } => {
                format!("update {} to {} {}", self.names[member], hosts(peer_urls), self.terms(terms))
            }
            Task::Promote { member, terms } => format!("promote {} {}", self.names[member], self.terms(terms)),
            Task::Leave { member, terms } => format!("leave {} {}", self.names[member], self.terms(terms)),
            _ => task.as_str().to_owned(),
        }
    }

    /// The initial cluster of an etcd without data, which must be in it.
    fn start(&self, start: &EtcdFlags, after: &Cluster, own_urls: &[PeerUrl]) -> String {
        assert!(start.initial_cluster.contains(&format!("{}={}", start.name, own_urls[0])));
        self.pairs(start, after, own_urls)
    }

    /// The initial cluster: each member's name, and its host if that is another.
    fn pairs(&self, start: &EtcdFlags, after: &Cluster, own_urls: &[PeerUrl]) -> String {
        assert_eq!(start.peer_urls, own_urls);
        assert_eq!(start.initial_cluster_token, after.epoch.initial_cluster_token(&after.token));
        let pairs = start.initial_cluster.split(',').map(|pair| {
            let (name, url) = pair.split_once('=').unwrap();
            let host = host(url);
            if name == host { host.to_owned() } else { format!("{name}@{host}") }
        });
        pairs.collect::<Vec<_>>().join(" ")
    }

    fn terms(&self, terms: &Terms) -> String {
        let expect = terms.expect.iter().map(|one| self.role(&one.id.into(), one.learner));
        format!("#{} of {}", terms.ticket, sorted(expect))
    }

    fn role(&self, key: &MemberKey, learner: bool) -> String {
        format!("{}{}", if learner { "~" } else { "" }, self.names[key])
    }

    /// A cluster's present members.
    pub fn members(&self, cluster: &Cluster) -> String {
        sorted(cluster.members().map(|member| self.role(&member.key, !member.is_voter())))
    }

    /// Names the members of a cluster.
    pub fn name_members(&mut self, cluster: &Cluster) {
        for member in &cluster.record {
            self.name(member.key.clone(), member.name().as_str());
        }
    }

    /// Names a member like its node, unless it has a name.
    pub fn name(&mut self, key: MemberKey, node: &str) {
        if self.names.contains_key(&key) {
            return;
        }
        let earlier = self.names.values().filter(|name| name.trim_end_matches('\'') == node).count();
        self.names.insert(key, format!("{node}{}", "'".repeat(earlier)));
    }

    /// The member with this name.
    pub fn key(&self, name: &str) -> MemberKey {
        self.names.iter().find(|(_, named)| *named == name).expect("a member has this name").0.clone()
    }
}

fn sorted(names: impl Iterator<Item = String>) -> String {
    let mut names: Vec<String> = names.collect();
    names.sort_unstable_by(|a, b| a.trim_start_matches('~').cmp(b.trim_start_matches('~')));
    names.join(" ")
}

fn hosts(urls: &[PeerUrl]) -> String {
    urls.iter().map(|url| host(url.as_str())).collect::<Vec<_>>().join(" ")
}

fn host(url: &str) -> &str {
    url.strip_prefix("http://").and_then(|rest| rest.strip_suffix(":2380")).unwrap_or(url)
}
