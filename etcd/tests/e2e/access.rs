//! Certificates, users and passwords.

use std::{sync::Arc, time::Instant};

use convene_etcd::{Access, ClearText, Client, Connector, EtcdError, PeerClient, SendPassword, Status, Tls, User};
use convene_harness::{
    Place,
    tls::{Ca, Identity},
};
use convene_lifecycle::{ClientUrl, MemberId, PeerUrl};
use tokio::task::block_in_place;

use crate::{LIMIT, WITHIN, changed, dead_url, formed, membership::join, until, with_every_version};

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_verified_by_both_sides() {
    with_every_version(|version| async move {
        let (ca, other) = (Ca::new(), Ca::new());
        let place = Arc::new(Place::with_tls(&ca.node()));
        let etcds = version.form(&[("a", place.clone())]);
        block_in_place(|| etcds[0].wait_until_healthy(LIMIT));
        let peer_url: PeerUrl = place.peer_url.parse().unwrap();
        let url: ClientUrl = place.client_url.parse().unwrap();
        let (right, foreign) = (ca.client("root"), other.client("root"));

        let tls = read(&right, Some(&right));
        let root = with_tls(&url, &tls);
        let list = root.members(WITHIN).await.unwrap();
        assert_eq!(PeerClient::new(&tls).unwrap().members(&peer_url, WITHIN).await, Ok(list));

        for tls in [read(&foreign, Some(&right)), Tls { ca: None, ..tls.clone() }] {
            for refused in both(&url, &peer_url, &tls).await {
                let EtcdError::TlsFailed { reason, .. } = &refused else { panic!("{refused:?}") };
                assert!(reason.contains("not signed by a trusted CA"), "{refused:?}");
            }
        }
        // etcd sends an alert for a certificate that it rejects, and closes the connection. If we are still writing, we may only
        // see the latter.
        for tls in [read(&right, None), read(&right, Some(&foreign))] {
            for refused in both(&url, &peer_url, &tls).await {
                assert!(
                    matches!(refused, EtcdError::TlsFailed { .. } | EtcdError::ConnectionLost { .. }),
                    "{refused:?}"
                );
            }
        }

        // With a CA, nothing is called in clear text. Otherwise, a port with TLS closes the connection.
        let [clear, clear_peer] = [&place.client_url, &place.peer_url].map(|url| url.replace("https", "http"));
        let (clear, clear_peer) = (clear.parse().unwrap(), clear_peer.parse().unwrap());
        let not_called = PeerClient::new(&tls).unwrap().members(&clear_peer, WITHIN).await;
        assert!(matches!(not_called, Err(EtcdError::ClearText { .. })), "{not_called:?}");
        assert_eq!([&clear_peer, &peer_url].map(|url| PeerClient::new(&tls).unwrap().calls(url)), [false, true]);
        let called = Tls { clear_text: ClearText::Allowed, ..tls.clone() };
        let [client, peer] = both(&clear, &clear_peer, &called).await;
        assert!(matches!(client, EtcdError::TlsFailed { .. } | EtcdError::ConnectionLost { .. }), "{client:?}");
        assert!(matches!(&peer, EtcdError::TlsFailed { reason, .. } if reason.contains("https")), "{peer:?}");

        // With auth on, etcd takes the user from the certificate.
        block_in_place(|| version.turn_auth_on(&place.access(), &place.client_url, "right-password"));
        let nobody = with_tls(&url, &read(&right, Some(&ca.client("nobody"))));
        let refused = nobody.remove_member(MemberId(1), WITHIN).await.unwrap_err();
        assert!(matches!(refused, EtcdError::NotAllowed { .. }), "{refused:?}");
        let found = changed(|| root.remove_member(MemberId(1), WITHIN)).await.unwrap_err();
        assert!(matches!(found, EtcdError::MemberNotFound { .. }), "{found:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_to_a_member_without_tls_fails_as_a_tls_error() {
    with_every_version(|version| async move {
        let etcds = formed(&version, &["a"]).await;
        let place = &etcds[0].place;
        let [url, peer_url] = [&place.client_url, &place.peer_url].map(|url| url.replace("http", "https"));
        let tls = read(&Ca::new().client("root"), None);
        for failed in both(&url.parse().unwrap(), &peer_url.parse().unwrap(), &tls).await {
            assert!(matches!(failed, EtcdError::TlsFailed { .. }), "{failed:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_with_the_key_of_another_is_unusable() {
    let ca = Ca::new();
    let (one, other) = (ca.client("one"), ca.client("other"));
    let mixed = Tls::read(Some(&one.ca), Some(&one.certificate), Some(&other.key)).unwrap();
    let access = Access { tls: mixed.clone(), user: None, ..Access::default() };
    let client = |url: &str| Client::new(&url.parse().unwrap(), &access);
    for error in [
        client("https://127.0.0.1:1").unwrap_err(),
        client("HTTPS://[::1]:1").unwrap_err(),
        client("https://a.example:1").unwrap_err(),
        PeerClient::new(&mixed).unwrap_err(),
    ] {
        assert!(matches!(error, EtcdError::UnusableTls { .. }), "{error:?}");
    }
    // Clear text does not use them, and is not used with a CA.
    for url in ["http://127.0.0.1:1", "HTTP://[::1]:1"] {
        assert!(matches!(client(url), Err(EtcdError::ClearText { .. })), "{url}");
        let tls = Tls { clear_text: ClearText::Allowed, ..mixed.clone() };
        Client::new(&url.parse().unwrap(), &Access { tls, ..Access::default() }).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_logs_in_when_etcd_requires_it() {
    with_every_version(|version| async move {
        let mut etcds = formed(&version, &["a"]).await;
        let place = etcds[0].place.clone();
        let url: ClientUrl = place.client_url.parse().unwrap();
        let as_user = |name: &str, password: &str| {
            let user = User { name: name.to_owned(), password: password.to_owned() };
            Client::new(&url, &Access { user: Some(user), send_password: SendPassword::Anybody, ..Access::default() })
                .unwrap()
        };
        let root = as_user("root", "right-password");
        let learner = [dead_url()];

        // With auth off, the user is ignored.
        let list = root.members(WITHIN).await.unwrap();
        block_in_place(|| {
            etcds[0].etcdctl(&["user", "add", "bob:right-password"]).unwrap();
            version.turn_auth_on(&place.access(), &place.client_url, "right-password");
        });

        assert_eq!(root.members(WITHIN).await.as_ref(), Ok(&list));
        root.status(WITHIN).await.unwrap();
        let added = root.add_member(&learner, true, WITHIN).await.unwrap();
        changed(|| root.remove_member(added, WITHIN)).await.unwrap();

        let anybody = Client::new(&url, &Access::default()).unwrap();
        for client in [&anybody, &as_user("root", "wrong-password"), &as_user("bob", "right-password")] {
            let refused = changed(|| client.add_member(&learner, true, WITHIN)).await.unwrap_err();
            assert!(matches!(refused, EtcdError::NotAllowed { .. }), "{refused:?}");
            let shown = format!("{refused} {refused:?} {client:?}");
            assert!(!shown.contains("-password"), "{shown}");
        }
        // A user without permission to read keys can still list members.
        assert_eq!(as_user("bob", "right-password").members(WITHIN).await.as_ref(), Ok(&list));

        // A restarted member has forgotten all sessions.
        etcds[0].kill();
        let restarted = version.start(&place, &["--name", "a"]);
        block_in_place(|| restarted.wait_for_output("serving client traffic", LIMIT));
        // It serves before it has replayed its log, and may return the result of an old change for a new one.
        let deadline = Instant::now() + LIMIT;
        loop {
            match root.add_member(&learner, true, WITHIN).await {
                Ok(_) | Err(EtcdError::AlreadyMember { .. }) => break,
                Err(EtcdError::NotAllowed { .. }) => panic!("the client does not log in again"),
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
        }
        let list = root.members(WITHIN).await.unwrap();
        assert!(list.members.iter().any(|member| member.learner && member.peer_urls == learner));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_learner_returns_its_status_to_a_user_who_has_logged_in_at_a_voter() {
    with_every_version(|version| async move {
        let etcds = formed(&version, &["a"]).await;
        let (a_place, b_place) = (&etcds[0].place, Arc::new(Place::new()));
        block_in_place(|| version.turn_auth_on(&a_place.access(), &a_place.client_url, "right-password"));
        let user = User { name: "root".to_owned(), password: "right-password".to_owned() };
        let root =
            Connector::new(Access { user: Some(user), send_password: SendPassword::Anybody, ..Access::default() });
        let a = root.client(&a_place.client_url.parse().unwrap()).unwrap();
        let b = root.client(&b_place.client_url.parse().unwrap()).unwrap();

        let id = a.add_member(&[b_place.peer_url.parse().unwrap()], true, WITHIN).await.unwrap();
        let mut etcd = join(&version, "b", &b_place, &etcds[0]);
        let is_learner = |status: &Result<Status, EtcdError>| status.as_ref().is_ok_and(|status| status.learner);
        let call_both = || async {
            a.members(WITHIN).await.unwrap();
            b.status(WITHIN).await
        };
        assert_eq!(until(call_both, is_learner).await.unwrap().member, id);

        // A restarted learner may have forgotten the token, and accepts no logins.
        etcd.kill();
        let _restarted = version.start(&b_place, &["--name", "b"]);
        assert_eq!(until(call_both, is_learner).await.unwrap().member, id);
    })
    .await;
}

fn read(trusted: &Identity, own: Option<&Identity>) -> Tls {
    let (certificate, key) = own.map(|own| (own.certificate.as_path(), own.key.as_path())).unzip();
    Tls::read(Some(&trusted.ca), certificate, key).unwrap()
}

fn with_tls(url: &ClientUrl, tls: &Tls) -> Client {
    Client::new(url, &Access { tls: tls.clone(), user: None, ..Access::default() }).unwrap()
}

/// The errors of a member at its client URL and at its peer URL.
async fn both(url: &ClientUrl, peer_url: &PeerUrl, tls: &Tls) -> [EtcdError; 2] {
    let client = with_tls(url, tls).members(WITHIN).await.unwrap_err();
    [client, PeerClient::new(tls).unwrap().members(peer_url, WITHIN).await.unwrap_err()]
}
