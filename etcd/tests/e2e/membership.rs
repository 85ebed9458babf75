//! Membership changes of a cluster with one voter.

use std::{sync::Arc, time::Duration};

use convene_etcd::{EtcdError, ListedMember, MemberList, PeerClient, Tls};
use convene_harness::{
    Place,
    etcd::{Etcd, Version},
};
use convene_lifecycle::{MemberId, PeerUrl};

use crate::{WITHIN, changed, client, dead_url, formed, until, until_done, with_every_version};

#[tokio::test(flavor = "multi_thread")]
async fn a_single_voter_returns_its_status_and_member_list() {
    with_every_version(|version| async move {
        let etcds = formed(&version, &["a"]).await;
        let (a, place) = (client(&etcds[0]), &etcds[0].place);

        let status = a.status(WITHIN).await.unwrap();
        assert!(status.version.starts_with(version.name) && status.applied_index > 0 && status.raft_term > 0);
        assert_eq!((status.leader, status.learner), (Some(status.member), false));

        let list = a.members(WITHIN).await.unwrap();
        let itself = ListedMember {
            id: status.member,
            name: "a".to_owned(),
            peer_urls: vec![url(place)],
            client_urls: vec![place.client_url.parse().unwrap()],
            learner: false,
        };
        assert_eq!(list, MemberList { cluster: status.cluster, members: vec![itself] });
        assert_eq!(PeerClient::new(&Tls::default()).unwrap().members(&url(place), WITHIN).await.unwrap(), list);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_learner_is_added_promoted_and_removed() {
    with_every_version(|version| async move {
        let etcds = formed(&version, &["a"]).await;
        let (a, b_place) = (client(&etcds[0]), Arc::new(Place::new()));

        let id = a.add_member(&[url(&b_place)], true, WITHIN).await.unwrap();
        let list = a.members(WITHIN).await.unwrap();
        let not_started = ListedMember {
            id,
            name: String::new(),
            peer_urls: vec![url(&b_place)],
            client_urls: vec![],
            learner: true,
        };
        assert_eq!(member(&list, id), &not_started);
        let another = [dead_url()];
        let second = changed(|| a.add_member(&another, true, WITHIN)).await;
        assert!(matches!(second, Err(EtcdError::TooManyLearners { .. })), "{second:?}");
        // 3.4.23 would promote it and lose its quorum.
        if version.name != "3.4" {
            let early = changed(|| a.promote_member(id, WITHIN)).await;
            assert!(matches!(early, Err(EtcdError::LearnerNotReady { .. })), "{early:?}");
        }

        let etcd = join(&version, "b", &b_place, &etcds[0]);
        let b = client(&etcd);
        let status = until(|| b.status(WITHIN), |status| status.is_ok()).await.unwrap();
        assert_eq!((status.member, status.learner, status.cluster), (id, true, list.cluster));
        let refused = b.members(WITHIN).await;
        assert!(matches!(refused, Err(EtcdError::LearnerCannotServe { .. })), "{refused:?}");
        let (peers, b_url) = (PeerClient::new(&Tls::default()).unwrap(), etcd_url(&etcd));
        let listed = until(|| peers.members(&b_url, WITHIN), |list| list.is_ok()).await.unwrap();
        assert!(member(&listed, id).learner, "{listed:?}");

        until_done(
            |error| matches!(error, EtcdError::LearnerNotReady { .. } | EtcdError::Unhealthy { .. }),
            || changed(|| a.promote_member(id, WITHIN)),
        )
        .await;
        // The member is behind until it has applied the entry of its promotion.
        let again = until(
            || changed(|| a.promote_member(id, WITHIN)),
            |again| !matches!(again, Err(EtcdError::LearnerNotReady { .. } | EtcdError::Unhealthy { .. })),
        );
        let again = again.await;
        assert!(matches!(again, Err(EtcdError::NotLearner { .. })), "{again:?}");
        let unknown = changed(|| a.promote_member(MemberId(1), WITHIN)).await;
        assert!(matches!(unknown, Err(EtcdError::MemberNotFound { .. })), "{unknown:?}");
        assert!(!member(&a.members(WITHIN).await.unwrap(), id).learner);

        until_done(|error| matches!(error, EtcdError::Unhealthy { .. }), || changed(|| a.remove_member(id, WITHIN)))
            .await;
        let again = changed(|| a.remove_member(id, WITHIN)).await;
        assert!(matches!(again, Err(EtcdError::MemberNotFound { .. })), "{again:?}");
        assert_eq!(a.members(WITHIN).await.unwrap().members.len(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_members_cannot_share_a_peer_url() {
    with_every_version(|version| async move {
        let etcds = formed(&version, &["a"]).await;
        let (a, taken) = (client(&etcds[0]), [dead_url()]);

        // etcd computes the ID from the URLs and the second. In the same second the ID is taken, later the URL.
        let twice = async || {
            let id = changed(|| a.add_member(&taken, true, WITHIN)).await.unwrap();
            let at_once = changed(|| a.add_member(&taken, true, WITHIN)).await.unwrap_err();
            (id, at_once)
        };
        let (mut id, mut error) = twice().await;
        while !has_reason(&error, "member ID already exist") {
            assert!(has_reason(&error, "Peer URLs already exists"), "{error:?}");
            changed(|| a.remove_member(id, WITHIN)).await.unwrap();
            (id, error) = twice().await;
        }
        let again = || async { changed(|| a.add_member(&taken, true, WITHIN)).await.unwrap_err() };
        until(again, |error| has_reason(error, "Peer URLs already exists")).await;

        let own = a.status(WITHIN).await.unwrap().member;
        let taken = changed(|| a.update_member(own, &taken, WITHIN)).await;
        assert!(matches!(taken, Err(EtcdError::AlreadyMember { .. })), "{taken:?}");
        let moved: PeerUrl = etcds[0].place.peer_url.replace("127.0.0.1", "localhost").parse().unwrap();
        let both = [moved.clone(), etcd_url(&etcds[0])];
        changed(|| a.update_member(own, &both, WITHIN)).await.unwrap();
        let mut listed = member(&a.members(WITHIN).await.unwrap(), own).peer_urls.clone();
        listed.sort_by_key(PeerUrl::to_string);
        assert_eq!(listed, [etcd_url(&etcds[0]), moved]);
        let nowhere = [dead_url()];
        let unknown = changed(|| a.update_member(MemberId(1), &nowhere, WITHIN)).await;
        assert!(matches!(unknown, Err(EtcdError::MemberNotFound { .. })), "{unknown:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voter_that_has_not_started_costs_the_quorum() {
    with_every_version(|version| async move {
        let etcds = formed(&version, &["a"]).await;
        let (a, soon) = (client(&etcds[0]), Duration::from_secs(2));
        let id = a.add_member(&[dead_url()], false, WITHIN).await.unwrap();

        let nowhere = [dead_url()];
        let third = changed(|| a.add_member(&nowhere, false, WITHIN)).await.unwrap_err();
        assert!(matches!(third, EtcdError::NotEnoughStarted { .. }), "{third:?}");
        assert!(!third.may_have_happened());

        let list = a.members(soon).await;
        assert!(matches!(list, Err(EtcdError::TimedOut { .. })), "{list:?}");
        let removed = a.remove_member(id, soon).await.unwrap_err();
        assert!(matches!(removed, EtcdError::TimedOut { .. }) && removed.may_have_happened(), "{removed:?}");

        let peers = PeerClient::new(&Tls::default()).unwrap();
        assert_eq!(peers.members(&etcd_url(&etcds[0]), WITHIN).await.unwrap().members.len(), 2);
        assert_eq!(a.status(WITHIN).await.unwrap().version.get(..3), Some(version.name));
    })
    .await;
}

/// Starts an etcd that was added to the cluster of the first one.
pub fn join(version: &Version, name: &str, place: &Arc<Place>, first: &Etcd) -> Etcd {
    let all = format!("a={},{name}={}", first.place.peer_url, place.peer_url);
    let own = ["--name", name, "--initial-advertise-peer-urls", &place.peer_url];
    version.start(place, &[&own[..], &["--initial-cluster", &all, "--initial-cluster-state", "existing"]].concat())
}

fn member(list: &MemberList, id: MemberId) -> &ListedMember {
    list.members.iter().find(|member| member.id == id).unwrap()
}

fn has_reason(error: &EtcdError, text: &str) -> bool {
    matches!(error, EtcdError::AlreadyMember { reason, .. } if reason.ends_with(text))
}

fn url(place: &Place) -> PeerUrl {
    place.peer_url.parse().unwrap()
}

fn etcd_url(etcd: &Etcd) -> PeerUrl {
    url(&etcd.place)
}
