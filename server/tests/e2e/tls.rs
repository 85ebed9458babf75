//! TLS: protocols, client certificates, new certificates, and clients that make trouble.

mod bootstrap;
mod credentials;
mod init;

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{PermissionsExt, symlink},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use convene_harness::{
    Process, free_port, http,
    server::{self, Server, sqlite_url},
    tls::{Ca, Identity},
    wait_for,
};
use reqwest::Client;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const LIMIT: Duration = Duration::from_secs(20);

#[test]
fn one_port_serves_every_version_of_http_over_tls() {
    let ca = Ca::new();
    let server = Server::start_with_tls(&ca.node(), &[]);
    assert!(server.output().contains(&format!("listens on {}", server.url)), "{}", server.output());
    let ask = |flags: &[&str]| curl(&ca, &server, &[flags, &["/new?size=1"]].concat());
    for flags in [
        &["--http1.1"][..],
        &["--http2"],
        &["--no-alpn"],
        &["--no-alpn", "--http2-prior-knowledge"],
        &["--tlsv1.2", "--tls-max", "1.2"],
        &["--tlsv1.3"],
    ] {
        let url = ask(flags).unwrap_or_else(|error| panic!("{flags:?}: {error}"));
        assert!(url.starts_with(&format!("{}/", server.url)), "{flags:?}: {url}");
    }
    assert!(ask(&["--tls-max", "1.1"]).is_err());
    for (flag, version) in [("--http2", "2"), ("--http1.1", "1.1")] {
        assert_eq!(ask(&[flag, "--output", "/dev/null", "--write-out", "%{http_version}"]).unwrap(), version);
    }
}

#[tokio::test]
async fn a_port_that_speaks_tls_refuses_plain_http_in_words() {
    let ca = Ca::new();
    let server = Server::start_with_tls(&ca.node(), &[]);
    let answer = http::get(format!("http://{}/livez", server.address())).await.unwrap();
    assert_eq!(answer.status(), 400);
    assert_eq!(answer.text().await.unwrap(), "this port speaks TLS: use https://\n");
}

#[tokio::test]
async fn a_client_certificate_is_optional_and_must_be_of_the_ca() {
    let (ca, clients, stranger) = (Ca::new(), Ca::new(), Ca::new());
    let client_ca = clients.file();
    let server = Server::start_with_tls(&ca.node(), &["--tls-client-ca", client_ca.to_str().unwrap()]);
    let ask = async |identity: Option<&Identity>| {
        let client = http::tls_client(&ca.file(), identity);
        Ok::<_, reqwest::Error>(client.get(format!("{}/livez", server.url)).send().await?.status().as_u16())
    };
    assert_eq!(ask(None).await.unwrap(), 200);
    assert_eq!(ask(Some(&clients.client("infra0"))).await.unwrap(), 200);
    assert!(ask(Some(&stranger.client("infra0"))).await.is_err());
}

#[test]
fn files_that_cannot_be_used_are_refused_in_words_at_the_start() {
    let (ca, dir) = (Ca::new(), TempDir::new().unwrap());
    let (one, other, old) = (ca.node(), ca.node(), ca.expired_node());
    let text = |file: &std::path::Path| file.to_str().unwrap().to_owned();
    let (empty, missing) = (dir.path().join("empty"), dir.path().join("missing"));
    fs::write(&empty, "").unwrap();
    for (certificate, key, says) in [
        (&one.certificate, &other.key, "can't be used with the certificate"),
        (&old.certificate, &old.key, "is valid from Jan  1"),
        (&empty, &one.key, "has no certificate"),
        (&one.certificate, &empty, "must be PEM"),
        (&missing, &one.key, "can't read"),
    ] {
        let arguments = ["--tls-cert".to_owned(), text(certificate), "--tls-key".to_owned(), text(key)];
        let address = format!("127.0.0.1:{}", free_port());
        let mut command = server::command(&address, &sqlite_url(&dir.path().join("c.db")), &arguments);
        let mut process = Process::spawn("convene-server", &mut command);
        assert_eq!(process.wait_for_exit(LIMIT), Some(1));
        assert!(process.output().contains(says), "{says}: {}", process.output());
        assert_eq!(process.output().lines().count(), 1, "{}", process.output());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_changes_of_the_certificate_under_load_fail_no_request() {
    change_certificates(10).await;
}

#[tokio::test]
async fn a_bad_new_certificate_is_refused_and_the_old_one_stays() {
    let ca = Ca::new();
    let identity = ca.node();
    let server = Server::start_with_tls(&identity, &[]);
    let served = shown(&server);
    let bad = |certificate: &[u8], says: &str| {
        let refusals = || server.output().matches("the new certificate can't be used").count();
        let before = refusals();
        fs::write(&identity.certificate, certificate).unwrap();
        wait_for(LIMIT, || (refusals() > before).then_some(())).unwrap();
        assert!(server.output().contains(says), "{}", server.output());
        assert_eq!(shown(&server), served);
        // It is refused once, not each second.
        server.signal("HUP");
        wait_for(LIMIT, || (refusals() > before + 1).then_some(())).unwrap();
        assert_eq!(refusals(), before + 2);
    };
    bad(b"nonsense", "has no certificate");
    bad(&fs::read(ca.node().certificate).unwrap(), "can't be used with the certificate");
    bad(&fs::read(ca.expired_node().certificate).unwrap(), "is valid from Jan  1");
    assert_eq!(
        http::tls_client(&ca.file(), None).get(format!("{}/livez", server.url)).send().await.unwrap().status(),
        200
    );

    // The end of the certificate in use is a metric.
    let metrics = curl(&ca, &server, &["/metrics"]).unwrap();
    assert!(metrics.contains("\nconvene_tls_certificate_not_after_seconds "), "{metrics}");
}

#[test]
fn certificates_are_replaced_as_kubernetes_does_and_on_sighup() {
    let (ca, dir) = (Ca::new(), TempDir::new().unwrap());
    let place = |name: &str, identity: &Identity| {
        let folder = dir.path().join(name);
        fs::create_dir(&folder).unwrap();
        fs::copy(&identity.certificate, folder.join("tls.crt")).unwrap();
        fs::copy(&identity.key, folder.join("tls.key")).unwrap();
        folder
    };
    let data = dir.path().join("..data");
    symlink(place("one", &ca.node()), &data).unwrap();
    let mounted = ca.node().at(dir.path());
    symlink("..data/tls.crt", &mounted.certificate).unwrap();
    symlink("..data/tls.key", &mounted.key).unwrap();
    fs::set_permissions(dir.path().join("one/tls.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let server = Server::start_with_tls(&mounted, &[]);
    assert!(server.output().contains("every user of this machine can read the private key"), "{}", server.output());

    let before = shown(&server);
    let new = dir.path().join("..data_tmp");
    symlink(place("two", &ca.node()), &new).unwrap();
    fs::rename(new, data).unwrap();
    wait_for(LIMIT, || (shown(&server) != before).then_some(())).unwrap();

    server.signal("HUP");
    server.wait_for_output("the certificate is still the same", LIMIT);
}

#[tokio::test(flavor = "multi_thread")]
async fn stalled_handshakes_end_after_ten_seconds_and_delay_nobody() {
    let ca = Ca::new();
    let server = Server::start_with_tls(&ca.node(), &[]);
    let begun = Instant::now();
    let mut stalled = Vec::new();
    for sent in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"].iter().cycle().take(100) {
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        stream.write_all(sent).await.unwrap();
        stalled.push(stream);
    }
    let client = http::tls_client(&ca.file(), None);
    let answer = client.get(format!("{}/livez", server.url)).timeout(Duration::from_secs(2)).send().await;
    assert_eq!(answer.unwrap().status(), 200);
    for stream in &mut stalled {
        let read = tokio::time::timeout(LIMIT, stream.read(&mut [0; 16])).await.expect("it is cut");
        assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    }
    assert!((8..14).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

/// Replaces the certificate again and again while clients send requests, on connections that stay and on new ones.
async fn change_certificates(times: usize) {
    let ca = Ca::new();
    let identity = ca.node();
    let server = Server::start_with_tls(&identity, &["--wait-timeout", "10m"]);
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let cluster = curl(&ca, &server, &["/new?size=3"]).unwrap();
    // Two clients that keep their connection, one with new connections, and polls that stay open.
    let kept = http::tls_client(&ca.file(), None);
    let clients = [Some(kept.clone()), Some(http::tls_client(&ca.file(), None)), None];
    let clients = clients.map(|client| {
        let (stop, answered, url, ca) = (stop.clone(), answered.clone(), cluster.clone(), ca.file());
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let client = client.clone().unwrap_or_else(|| http::tls_client(&ca, None));
                let answer = client.get(&url).send().await.expect("no request fails");
                assert_eq!(answer.status(), 200);
                answer.bytes().await.expect("no answer is broken off");
                answered.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    let poll = format!("{}?wait=true&recursive=true", cluster.strip_prefix(&server.url).unwrap());
    let polls = ["--http1.1", "--http2"].map(|version| {
        let mut curl = curl_command(&ca, &server, &[version, &poll]);
        curl.stdout(Stdio::piped()).spawn().unwrap()
    });
    for change in 0..times {
        let before = shown(&server);
        identity.replace_by(&ca.node());
        // The others are noticed without a signal.
        if change % 3 > 0 {
            server.signal("HUP");
        }
        let changed = wait_for(LIMIT, || (shown(&server) != before).then_some(()));
        changed.unwrap_or_else(|| panic!("change {change}: {}", server.output()));
    }
    register(&kept, &cluster).await;
    for poll in polls {
        let output = poll.wait_with_output().unwrap();
        let answer = String::from_utf8(output.stdout).unwrap();
        assert!(answer.contains("infra1=http://10.0.0.1:2380"), "{answer}");
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    let answered = answered.load(Ordering::Relaxed);
    assert!(answered > times, "{answered}");
    say(&format!("{times} changes of the certificate: {answered} requests, none failed"));
}

async fn register(client: &Client, cluster: &str) {
    let answer = client.put(format!("{cluster}/1")).form(&[("value", "infra1=http://10.0.0.1:2380")]).send().await;
    assert_eq!(answer.unwrap().status(), 201);
}

/// The certificate that the server shows, as PEM.
fn shown(server: &Server) -> String {
    let mut openssl = Command::new("openssl");
    openssl.args(["s_client", "-connect", server.address()]).stdin(Stdio::null()).stderr(Stdio::null());
    let output = String::from_utf8(openssl.output().unwrap().stdout).unwrap();
    let certificate = output.split_once("-----BEGIN").and_then(|(_, rest)| rest.split_once("-----END"));
    certificate.unwrap_or_else(|| panic!("no certificate: {output}")).0.to_owned()
}

/// What curl gets of the server; the last argument is the path.
fn curl(ca: &Ca, server: &Server, arguments: &[&str]) -> Result<String, String> {
    let output = curl_command(ca, server, arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

fn curl_command(ca: &Ca, server: &Server, arguments: &[&str]) -> Command {
    let (path, flags) = arguments.split_last().unwrap();
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--fail", "--noproxy", "*", "--cacert"]).arg(ca.file()).args(flags);
    curl.arg(format!("{}{path}", server.url));
    curl
}

#[expect(clippy::explicit_write, reason = "what is written to standard error itself shows for tests that pass, too")]
fn say(line: &str) {
    writeln!(std::io::stderr(), "{line}").unwrap();
}

mod large {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_hundred_changes_of_the_certificate_under_load_fail_no_request() {
        change_certificates(100).await;
    }
}
