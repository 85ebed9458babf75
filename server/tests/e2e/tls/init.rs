//! `convene-server tls init`.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use convene_harness::{http, programs, server::Server};
use tempfile::TempDir;

#[tokio::test]
async fn the_first_certificates_are_made_by_one_command() {
    let temporary = TempDir::new().unwrap();
    let dir = temporary.path().join("tls");
    let file = |name: &str| dir.join(name);
    let init = |hosts: &[&str]| {
        let mut command = Command::new(programs::server());
        command.args(["tls", "init", "--dir"]).arg(&dir);
        command.args(hosts.iter().flat_map(|host| ["--host", host]));
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (code, _, error) = init(&["not a host"]);
    assert_eq!(
        (code, error.as_str()),
        (Some(1), "convene-server: \"not a host\" is not a host name or an IP address (--host)\n")
    );
    assert!(!dir.exists());

    let (code, printed, error) = init(&["discovery.example.com", "192.0.2.1"]);
    assert_eq!(code, Some(0), "{error}");
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&dir), mode(&file("ca.key")), mode(&file("server.key"))), (0o700, 0o600, 0o600));

    let openssl = |arguments: &[&str], certificate: &str| {
        let output = Command::new("openssl").args(arguments).arg("-in").arg(file(certificate)).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let digest = openssl(&["x509", "-noout", "-fingerprint", "-sha256"], "ca.crt");
    let digest = digest.trim().split_once('=').unwrap().1.replace(':', "").to_lowercase();
    assert!(printed.contains(&format!("pin of the CA       sha256:{digest}\n")), "{printed}");
    let names = openssl(&["x509", "-noout", "-ext", "subjectAltName"], "server.crt");
    for name in ["DNS:localhost", "IP Address:127.0.0.1", "DNS:discovery.example.com", "IP Address:192.0.2.1"] {
        assert!(names.contains(name), "{name}: {names}");
    }

    // The server sends the CA as well, and a client that trusts only this CA is served.
    let (certificate, key) = (file("server.crt"), file("server.key"));
    let server = Server::start_with(&["--tls-cert", certificate.to_str().unwrap(), "--tls-key", key.to_str().unwrap()]);
    let client = http::tls_client(&file("ca.crt"), None);
    assert_eq!(client.get(format!("{}/livez", server.url)).send().await.unwrap().status(), 200);
    let chain = fs::read_to_string(certificate).unwrap();
    assert!(chain.ends_with(&fs::read_to_string(file("ca.crt")).unwrap()));

    let before = fs::read(file("ca.key")).unwrap();
    let (code, _, error) = init(&[]);
    assert!(code == Some(1) && error.contains("ca.crt exists already"), "{error}");
    assert_eq!(fs::read(file("ca.key")).unwrap(), before);
}
