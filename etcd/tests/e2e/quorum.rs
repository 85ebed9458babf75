//! Three voters, which are killed one after another.

use std::time::Duration;

use convene_etcd::{EtcdError, PeerClient, Tls};
use convene_harness::etcd::Etcd;
use convene_lifecycle::{Identity, MemberId};

use crate::{LIMIT, WITHIN, client, dead_url, formed, until, with_every_version};

#[tokio::test(flavor = "multi_thread")]
async fn only_the_leader_can_move_the_leadership() {
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
async fn changes_need_all_voters_and_lists_need_a_quorum() {
    with_every_version(|version| async move {
        let mut etcds = leader_first(formed(&version, &["a", "b", "c"]).await).await;
        let asked = client(&etcds[0]);
        let list = asked.members(WITHIN).await.unwrap();

        etcds[2].kill();
        etcds[0].wait_for_output("lost TCP streaming connection", LIMIT);
        let added = asked.add_member(&[dead_url()], true, WITHIN).await.unwrap_err();
        assert!(matches!(added, EtcdError::Unhealthy { .. }), "{added:?}");
        assert!(!added.may_have_happened());
        assert_eq!(asked.members(WITHIN).await, Ok(list.clone()));

        etcds[1].kill();
        // At first etcd waits for the dead members; later it knows that it has no leader.
        let alone = asked.members(Duration::from_secs(3)).await;
        assert!(matches!(alone, Err(EtcdError::TimedOut { .. } | EtcdError::NoLeader { .. })), "{alone:?}");
        let peers = PeerClient::new(&Tls::default()).unwrap();
        assert_eq!(peers.members(&etcds[0].place.peer_url.parse().unwrap(), WITHIN).await.as_ref(), Ok(&list));
        let lost = |status: &Result<convene_etcd::Status, _>| status.as_ref().is_ok_and(|it| it.leader.is_none());
        let alone = until(|| asked.status(WITHIN), lost).await.unwrap();
        let runs_as = async |member| {
            let url = etcds[0].place.peer_url.parse().unwrap();
            peers.runs_as(&url, Identity { member, cluster: alone.cluster }, WITHIN).await
        };
        for member in list.members.iter().map(|member| member.id) {
            assert_eq!(runs_as(member).await, Ok(member == alone.member));
        }
        let unlisted = runs_as(MemberId(1)).await;
        assert!(matches!(unlisted, Err(EtcdError::Unidentified { .. })), "no member has this ID: {unlisted:?}");

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

/// The etcds with the leader as the first.
pub async fn leader_first(mut etcds: Vec<Etcd>) -> Vec<Etcd> {
    for nth in 0..etcds.len() {
        let status = client(&etcds[nth]).status(WITHIN).await.unwrap();
        if status.leader == Some(status.member) {
            etcds.swap(0, nth);
        }
    }
    etcds
}
