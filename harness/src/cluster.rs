//! Member lists and health of a cluster.

use std::time::Duration;

use serde_json::Value;

use crate::{
    Access,
    etcd::{Etcd, Version},
    wait_for,
};

/// A member as etcd lists it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// In hexadecimal, as etcd shows it to people.
    pub id: String,
    /// Empty until it has started.
    pub name: String,
    /// Where the other members reach it.
    pub peer_urls: Vec<String>,
    /// Where clients reach it; none until it has started.
    pub client_urls: Vec<String>,
    /// Whether it has no vote yet.
    pub learner: bool,
}

/// Waits until every endpoint lists the same members: so many voters and no other members, all started and healthy.
/// Returns them in the order of their IDs.
pub fn wait_until_members(
    version: &Version,
    access: &Access,
    endpoints: &[&str],
    voters: usize,
    limit: Duration,
) -> Vec<Member> {
    let mut found = Err("no endpoint was asked".to_owned());
    let members = wait_for(limit, || {
        found = listed_by_all(version, access, endpoints);
        let members = found.as_ref().ok()?;
        let complete = members.len() == voters && members.iter().all(|member| member.is_healthy(version, access));
        complete.then(|| members.clone())
    });
    members.unwrap_or_else(|| panic!("never {voters} healthy voters at {endpoints:?}, but {found:#?}"))
}

/// The members that an endpoint lists, in the order of their IDs. From 3.5 on etcd reads the list through the quorum;
/// 3.4 returns the list as this member has it.
pub fn member_list(version: &Version, access: &Access, endpoint: &str) -> Result<Vec<Member>, String> {
    let list = version.etcdctl_as(access, endpoint, &["member", "list", "-w", "json"])?;
    let list: Value = serde_json::from_str(&list).map_err(|error| format!("{error}: {list}"))?;
    let members = list["members"].as_array().ok_or_else(|| format!("no members: {list}"))?;
    let mut members = members.iter().map(Member::read).collect::<Option<Vec<_>>>().ok_or_else(|| list.to_string())?;
    members.sort();
    Ok(members)
}

/// Asserts that these etcds form one cluster without further members: each writes a key, and all read it.
pub fn every_member_serves_what_another_wrote(members: &[Etcd]) {
    let listed = members[0].etcdctl(&["member", "list"]).unwrap();
    assert_eq!(listed.lines().count(), members.len(), "{listed}");
    for (n, writer) in members.iter().enumerate() {
        let (key, value) = (format!("key{n}"), format!("value{n}"));
        writer.put(&key, &value).unwrap_or_else(|error| panic!("{error}\n{}", writer.output()));
        for reader in members {
            let read = reader.get(&key);
            assert_eq!(read.as_deref().map(str::trim), Ok(value.as_str()));
        }
    }
}

impl Member {
    fn read(listed: &Value) -> Option<Self> {
        // etcdctl leaves out what is empty, false or nothing.
        let urls = |field: &str| {
            let urls = listed[field].as_array().into_iter().flatten();
            urls.map(|url| url.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
        };
        Some(Self {
            id: format!("{:x}", listed["ID"].as_u64()?),
            name: listed["name"].as_str().unwrap_or_default().to_owned(),
            peer_urls: urls("peerURLs")?,
            client_urls: urls("clientURLs")?,
            learner: listed["isLearner"].as_bool().unwrap_or(false),
        })
    }

    /// Whether it votes, has started, and takes part in a cluster that has a leader.
    fn is_healthy(&self, version: &Version, access: &Access) -> bool {
        let healthy = |url: &String| version.etcdctl_as(access, url, &["endpoint", "health"]).is_ok();
        !self.learner && self.client_urls.first().is_some_and(healthy)
    }
}

fn listed_by_all(version: &Version, access: &Access, endpoints: &[&str]) -> Result<Vec<Member>, String> {
    let mut lists = endpoints.iter().map(|endpoint| member_list(version, access, endpoint));
    let first = lists.next().ok_or("there is no endpoint")??;
    for other in lists {
        let other = other?;
        if other != first {
            return Err(format!("{first:?} as well as {other:?}"));
        }
    }
    Ok(first)
}
