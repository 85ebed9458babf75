//! Three voters, of which fewer and fewer are left.

use std::time::Duration;

use convene_etcd::{EtcdError, PeerClient, Tls};
use convene_harness::etcd::Etcd;

use crate::{LIMIT, WITHIN, client, formed, nobody, until, with_every_version};

#[tokio::test(flavor = "multi_thread")]
async fn only_the_leader_gives_leadership_away() {
    with_every_version(|version| async move {
        let etcds = leader_first(formed(&version, &["a", "b", "c"]).await).await;
        let (leader, follower) = (client(&etcds[0]), client(&etcds[1]));
        let to = follower.status(WITHIN).await.unwrap().member;

        let refused = follower.move_leader(to, WITHIN).await;
        assert!(matches!(refused, Err(EtcdError::NotLeader { .. })), "{refused:?}");
        leader.move_leader(to, WITHIN).await.unwrap();
        until(|| leader.status(WITHIN), |status| status.as_ref().is_ok_and(|status| status.leader == Some(to)))
            .await
            .unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_are_changed_only_while_all_are_well_and_listed_while_a_quorum_is() {
    with_every_version(|version| async move {
        let mut etcds = leader_first(formed(&version, &["a", "b", "c"]).await).await;
        let asked = client(&etcds[0]);
        let list = asked.members(WITHIN).await.unwrap();

        etcds[2].kill();
        etcds[0].wait_for_output("lost TCP streaming connection", LIMIT);
        let added = asked.add_member(&[nobody()], true, WITHIN).await.unwrap_err();
        assert!(matches!(added, EtcdError::Unhealthy { .. }), "{added:?}");
        assert!(!added.may_have_happened());
        assert_eq!(asked.members(WITHIN).await, Ok(list.clone()));

        etcds[1].kill();
        // Until etcd has noticed it asks the dead, and then it has nobody to ask.
        let alone = asked.members(Duration::from_secs(3)).await;
        assert!(matches!(alone, Err(EtcdError::TimedOut { .. } | EtcdError::NoLeader { .. })), "{alone:?}");
        let peers = PeerClient::new(&Tls::default()).unwrap();
        assert_eq!(peers.members(&etcds[0].place.peer_url.parse().unwrap(), WITHIN).await, Ok(list));
        let lost = |status: &Result<convene_etcd::Status, _>| status.as_ref().is_ok_and(|it| it.leader.is_none());
        until(|| asked.status(WITHIN), lost).await.unwrap();

        let url = etcds[0].place.client_url.clone();
        etcds[0].kill();
        let dead = asked.members(WITHIN).await.unwrap_err();
        assert!(dead.to_string().contains(&url), "{dead}");
        let dead = client(&etcds[0]).members(WITHIN).await.unwrap_err();
        assert!(matches!(&dead, EtcdError::Unreachable { reason, .. } if reason.contains("refused")), "{dead:?}");
        let dead = peers.members(&etcds[0].place.peer_url.parse().unwrap(), WITHIN).await.unwrap_err();
        assert!(matches!(&dead, EtcdError::Unreachable { reason, .. } if reason.contains("refused")), "{dead:?}");
    })
    .await;
}

async fn leader_first(mut etcds: Vec<Etcd>) -> Vec<Etcd> {
    for nth in 0..etcds.len() {
        let status = client(&etcds[nth]).status(WITHIN).await.unwrap();
        if status.leader == Some(status.member) {
            etcds.swap(0, nth);
        }
    }
    etcds
}
