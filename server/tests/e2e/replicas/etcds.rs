//! Stock etcds form clusters although each of their requests may reach another server.

use std::time::Duration;

use convene_harness::{
    Postgres,
    cluster::every_member_serves_what_another_wrote,
    etcd::{Etcd, Version},
    http,
    replicas::Replicas,
};

const LIMIT: Duration = Duration::from_secs(90);

#[test]
fn etcds_form_a_cluster_by_v2() {
    form_clusters(&["3.4", "3.5", "3.6"], |version, service, token, name| {
        version.discover(name, &format!("{service}/{token}"))
    });
}

#[test]
fn etcds_form_a_cluster_by_v3() {
    form_clusters(&["3.6", "3.7"], |version, service, token, name| version.discover_v3(name, service, token));
}

fn form_clusters(versions: &[&'static str], start: impl Fn(&Version, &str, &str, &str) -> Etcd) {
    let Some(postgres) = Postgres::shared() else { return };
    let Some(replicas) = Replicas::start(3, postgres) else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for version in versions.iter().filter_map(|version| Version::find(version)) {
        let made = runtime.block_on(async { http::get(format!("{}/new?size=3", replicas.url)).await?.text().await });
        let made = made.unwrap();
        let token = made.rsplit_once('/').unwrap().1;
        let member = |n: u32| start(&version, &replicas.url, token, &format!("infra{n}"));
        let members: Vec<Etcd> = (0..3).map(member).collect();
        members.iter().for_each(|member| member.wait_until_healthy(LIMIT));
        every_member_serves_what_another_wrote(&members);
        member(3).wait_for_output("cluster is full", LIMIT);
    }
}
