//! Nodes of one cluster that were given two spellings of its discovery URL: etcd would compute two cluster IDs.

use std::{sync::Arc, time::Duration};

use convene_harness::{
    Place, Postgres,
    cluster::every_member_serves_what_another_wrote,
    etcd::{Etcd, Version},
    http,
    server::Server,
};
use convene_lifecycle::{MemberId, PeerUrl};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

const LIMIT: Duration = Duration::from_secs(60);

/// How people spell one URL, with the address of the server and the token.
const SPELLINGS: [fn(&str, &str) -> String; 4] = [
    |address, token| format!("http://{address}/{token}"),
    |address, token| format!("http://{address}/{token}/"),
    |address, token| format!("http://{}/{token}", address.replace("127.0.0.1", "localhost")),
    |address, token| format!("http://{address}/v2/keys/_etcd/registry/{token}"),
];

#[test]
fn an_etcd_2_3_with_another_spelling_is_refused() {
    an_etcd_with_another_spelling_logs_both_and_forms_the_cluster_with_the_first("2.3");
}

#[test]
fn an_etcd_3_4_with_another_spelling_is_refused() {
    an_etcd_with_another_spelling_logs_both_and_forms_the_cluster_with_the_first("3.4");
}

#[test]
fn an_etcd_3_5_with_another_spelling_is_refused() {
    an_etcd_with_another_spelling_logs_both_and_forms_the_cluster_with_the_first("3.5");
}

#[test]
fn an_etcd_3_6_with_another_spelling_is_refused() {
    an_etcd_with_another_spelling_logs_both_and_forms_the_cluster_with_the_first("3.6");
}

fn an_etcd_with_another_spelling_logs_both_and_forms_the_cluster_with_the_first(version: &'static str) {
    let Some(version) = Version::find(version) else { return };
    let server = Server::start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for (n, spell) in SPELLINGS.iter().enumerate() {
        let token = runtime.block_on(server.new_cluster(2)).rsplit_once('/').unwrap().1.to_owned();
        let url = spell(server.address(), &token);
        let other = SPELLINGS[(n + 1) % SPELLINGS.len()](server.address(), &token);
        let first = version.discover("infra0", &url);
        first.wait_for_output(version.waits_by_v2(), LIMIT);

        let place = Arc::new(Place::new());
        let refused = discover_at(&version, &place, &other);
        refused.wait_for_output(&both(&other, &url), LIMIT);
        server.wait_for_output("was given --discovery", LIMIT);
        drop(refused);
        // An etcd 3.4 or 3.5 that was refused has run on as a proxy.
        let _ = std::fs::remove_dir_all(place.data_dir());

        let members = [first, discover_at(&version, &place, &url)];
        members.iter().for_each(|member| member.wait_until_healthy(LIMIT));
        every_member_serves_what_another_wrote(&members);
    }
}

fn discover_at(version: &Version, place: &Arc<Place>, url: &str) -> Etcd {
    version.start(place, &["--discovery", url, "--name", "infra1", "--initial-advertise-peer-urls", &place.peer_url])
}

fn both(own: &str, first: &str) -> String {
    format!("was given --discovery {own}, and the first node of this cluster {first};")
}

/// Registers a node as its etcd does that was given a discovery URL, and asks for it as the headers say; the response.
async fn register(server: &str, token: &str, n: u32, given: &str, headers: &[(&'static str, &str)]) -> (u16, String) {
    let peer_url = format!("http://10.0.0.{n}:2380");
    let key = MemberId::of_founder(&[PeerUrl::parse(&peer_url).unwrap()], given);
    let headers: HeaderMap = headers
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
        .collect();
    let value = format!("infra{n}={peer_url}");
    let request = http::client().put(format!("{server}/{token}/{key}?prevExist=false")).form(&[("value", &value)]);
    let answer = request.headers(headers).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test]
async fn the_likely_spellings_of_every_proxy_are_recognised() {
    let server = Server::start_with(&["--public-url", "https://disc.example.com/etcd"]);
    let direct = &[("host", "10.0.0.9:8087")][..];
    let no_headers = &[("host", "inner")][..];
    let forwarded = &[
        ("host", "inner"),
        ("x-forwarded-host", "disc.corp"),
        ("x-forwarded-port", "8443"),
        ("x-forwarded-proto", "https"),
    ];
    for (first, first_headers, second, second_headers) in [
        ("http://10.0.0.9:8087/T", direct, "https://10.0.0.9:8087/T", direct),
        ("http://10.0.0.9:8087/T", direct, "http://10.0.0.9:8087//T", direct),
        ("http://10.0.0.9:8087/T", direct, "http://disc.corp/T", &[("host", "disc.corp")]),
        ("http://disc.corp/T", &[("host", "disc.corp")], "http://disc.corp:80/T", &[("host", "disc.corp:80")]),
        ("https://disc.corp:443/T/", &[("host", "disc.corp:443")], "https://disc.corp/T/", &[("host", "disc.corp")]),
        ("https://disc.corp:8443/T", forwarded, "https://disc.corp/T", forwarded),
        ("https://disc.example.com/etcd/T", no_headers, "https://disc.example.com/etcd/T/", no_headers),
    ] {
        let token = server.new_cluster(3).await.rsplit_once('/').unwrap().1.to_owned();
        let (first, second) = (first.replace('T', &token), second.replace('T', &token));
        assert_eq!(register(&server.url, &token, 1, &first, first_headers).await.0, 201, "{first}");
        // The same node registers again, as it has before.
        assert_eq!(register(&server.url, &token, 1, &first, first_headers).await.0, 201, "{first}");
        for n in [1, 2] {
            let (status, body) = register(&server.url, &token, n, &second, second_headers).await;
            assert!(status == 412 && body.contains(&both(&second, &first)), "{first}, {second}: {status} {body}");
            assert!(body.contains("\"errorCode\":101"), "{body}");
        }
        assert_eq!(register(&server.url, &token, 2, &first, first_headers).await.0, 201, "{first}");
    }
}

#[tokio::test]
async fn a_spelling_that_is_unknown_passes() {
    let server = Server::start();
    let token = server.new_cluster(4).await.rsplit_once('/').unwrap().1.to_owned();
    for (n, given) in [(1, "https://outside.example.com/T"), (2, "http://user@inner/T"), (3, "http://inner/T?token")] {
        let answer = register(&server.url, &token, n, &given.replace('T', &token), &[("host", "inner")]).await;
        assert_eq!(answer.0, 201, "{given}: {}", answer.1);
    }
    let known = format!("http://inner/{token}");
    assert_eq!(register(&server.url, &token, 4, &known, &[("host", "inner")]).await.0, 201);
}

#[tokio::test]
async fn the_first_spelling_is_kept_with_the_cluster_and_known_to_every_server() {
    let server = Server::start();
    let token = server.new_cluster(3).await.rsplit_once('/').unwrap().1.to_owned();
    let (first, second) = (format!("http://10.0.0.9:8087/{token}/"), format!("http://disc.corp/{token}"));
    let with_slash = [("host", "10.0.0.9:8087")];
    assert_eq!(register(&server.url, &token, 1, &first, &with_slash).await.0, 201);
    let server = server.crash().restart();
    let (status, body) = register(&server.url, &token, 2, &second, &[("host", "disc.corp")]).await;
    assert!(status == 412 && body.contains(&both(&second, &first)), "{body}");
    assert_eq!(register(&server.url, &token, 2, &first, &[("host", "rewritten")]).await.0, 201);

    let Some(postgres) = Postgres::start() else { return };
    let database = postgres.create_database();
    let [one, other] = [(); 2].map(|()| Server::start_on(&database, &[]));
    let token = one.new_cluster(3).await.rsplit_once('/').unwrap().1.to_owned();
    let (first, second) = (format!("{}/{token}", one.url), format!("{}/{token}", other.url));
    assert_eq!(register(&one.url, &token, 1, &first, &[]).await.0, 201);
    let (status, body) = register(&other.url, &token, 2, &second, &[]).await;
    assert!(status == 412 && body.contains(&both(&second, &first)), "{body}");
}

#[tokio::test]
async fn the_log_shows_both_spellings_without_the_token() {
    let server = Server::start();
    let token = server.new_cluster(3).await.rsplit_once('/').unwrap().1.to_owned();
    let urls = ["", "/"].map(|end| format!("{}/{token}{end}", server.url));
    assert_eq!(register(&server.url, &token, 1, &urls[0], &[]).await.0, 201);
    assert_eq!(register(&server.url, &token, 2, &urls[1], &[]).await.0, 412);
    let shown = format!("{}…", &token[..6]);
    let output = server.wait_for_output(&both(&urls[1], &urls[0]).replace(&token, &shown), LIMIT);
    assert!(!output.contains(&token), "{output}");
}
