//! Servers that accept a connection and do not answer like etcd.

use std::time::Duration;

use convene_etcd::{Access, Client, EtcdError, PeerClient, Tls};
use convene_harness::tls::Ca;
use convene_lifecycle::{MemberId, PeerUrl};
use tokio::net::TcpListener;

use crate::{WITHIN, dead_url};

#[tokio::test]
async fn a_call_ends_with_its_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let soon = Duration::from_millis(200);
    let client = Client::new(&url.parse().unwrap(), &Access::default()).unwrap();
    let peers = PeerClient::new(&Tls::default()).unwrap();

    let removed = client.remove_member(MemberId(1), soon).await.unwrap_err();
    assert_eq!(removed.to_string(), format!("{url} timed out: no answer within 200ms"));
    assert!(removed.may_have_happened());
    let peer_url: PeerUrl = url.parse().unwrap();
    let listed = peers.members(&peer_url, soon).await.unwrap_err();
    assert!(matches!(listed, EtcdError::TimedOut { .. }), "{listed:?}");

    // The next call opens another connection, and finds no listener.
    drop(listener);
    let removed = client.remove_member(MemberId(1), WITHIN).await.unwrap_err();
    assert!(matches!(removed, EtcdError::Unreachable { .. }), "{removed:?}");
    assert!(!removed.may_have_happened());
}

#[tokio::test]
async fn an_unfinished_tls_handshake_is_a_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let ca = Ca::new();
    let tls = Tls::read(Some(&ca.file()), None, None).unwrap();
    let soon = Duration::from_millis(200);
    let client =
        Client::new(&url.parse().unwrap(), &Access { tls: tls.clone(), user: None, ..Access::default() }).unwrap();
    let asked = client.status(soon).await.unwrap_err();
    assert!(matches!(asked, EtcdError::TimedOut { .. }), "{asked:?}");
    let peers = PeerClient::new(&tls).unwrap();
    let asked = peers.members(&url.parse().unwrap(), soon).await.unwrap_err();
    assert!(matches!(asked, EtcdError::TimedOut { .. }), "{asked:?}");
}

#[tokio::test]
async fn clear_text_works_without_cas_of_the_system() {
    const NO_CAS: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];
    if std::env::var_os(NO_CAS[0]).is_none_or(|file| file != "/dev/null") {
        // Variables belong to the whole process, so this test needs a process of its own.
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "silence::clear_text_works_without_cas_of_the_system", "--nocapture"]);
        let ended = command.envs(NO_CAS.map(|name| (name, "/dev/null"))).output().unwrap();
        let text = String::from_utf8_lossy(&ended.stdout).into_owned() + &String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    let peers = PeerClient::new(&Tls::default()).unwrap();
    let (clear, secret): (PeerUrl, PeerUrl) = (dead_url(), "https://127.0.0.1:1".parse().unwrap());
    let asked = peers.members(&clear, WITHIN).await.unwrap_err();
    assert!(matches!(asked, EtcdError::Unreachable { .. }), "{asked:?}");
    let asked = peers.members(&secret, WITHIN).await.unwrap_err();
    assert!(matches!(asked, EtcdError::UnusableTls { .. }), "{asked:?}");
    let client = |url: &PeerUrl| Client::new(&url.as_str().parse().unwrap(), &Access::default());
    let asked = client(&clear).unwrap().status(WITHIN).await.unwrap_err();
    assert!(matches!(asked, EtcdError::Unreachable { .. }), "{asked:?}");
    assert!(matches!(client(&secret), Err(EtcdError::UnusableTls { .. })));
}

#[tokio::test]
async fn a_web_server_does_not_answer_like_etcd() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: PeerUrl = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let peers = PeerClient::new(&Tls::default()).unwrap();
    for (answer, reason) in [
        ("404 Not Found\r\nContent-Length: 9\r\n\r\nnot here\n", "404 Not Found \"not here\""),
        ("200 OK\r\nContent-Length: 2\r\n\r\n[]", "the response has no X-Etcd-Cluster-Id"),
        ("200 OK\r\nX-Etcd-Cluster-ID: a1\r\nContent-Length: 2\r\n\r\n{}", "the response is not a member list"),
        (
            "200 OK\r\nX-Etcd-Cluster-ID: a1\r\nContent-Length: 9\r\n\r\n[{\"id\":1}",
            "the response is not a member list",
        ),
    ] {
        let serve = async {
            let (connection, _) = listener.accept().await.unwrap();
            let (mut read, mut write) = connection.into_split();
            let mut request = vec![0; 1024];
            tokio::io::AsyncReadExt::read(&mut read, &mut request).await.unwrap();
            let answer = format!("HTTP/1.1 {}", answer.replacen("\r\n", "\r\nConnection: close\r\n", 1));
            tokio::io::AsyncWriteExt::write_all(&mut write, answer.as_bytes()).await.unwrap();
        };
        let (listed, ()) = tokio::join!(peers.members(&url, WITHIN), serve);
        let listed = listed.unwrap_err();
        assert!(matches!(&listed, EtcdError::BadAnswer { reason: is, .. } if is.contains(reason)), "{listed:?}");
    }
}
