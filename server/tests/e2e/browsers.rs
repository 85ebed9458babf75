//! What a web page can do to the server through the browser of somebody who reaches it: nothing.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    process::Command,
    sync::mpsc,
    thread,
    time::Duration,
};

use convene_harness::{Process, http, peers, server::Server};
use serde_json::Value;
use tempfile::TempDir;

const PAGE: &str = include_str!("browsers/attack.html");

/// How long a page may take.
const LIMIT: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_page_of_another_origin_reads_and_changes_nothing() {
    // By a loopback address, browsers show in `Sec-Fetch-Site` where a request comes from; by a name without TLS they don't.
    for name in [None, Some("discovery.example")] {
        let server = Server::start_with(&["--allowed-hosts", "discovery.example"]);
        let target = name.map_or_else(|| server.url.clone(), |name| format!("http://{name}"));
        assert_harmless(&server, "http://evil.example", &target).await;
    }
}

#[tokio::test]
async fn a_page_whose_name_is_bound_to_the_server_reads_and_changes_nothing() {
    let server = Server::start();
    // The page and the server have one origin, so the browser lets the page read every answer.
    assert_harmless(&server, "http://rebound.example", "http://rebound.example").await;
}

/// A page at `page` attacks the server as `target`, and nothing happens.
async fn assert_harmless(server: &Server, page: &str, target: &str) {
    let Some(chromium) = peers::program("chromium/bin", "chromium") else { return };
    let url = server.new_cluster(3).await;
    let before = state(server, &url).await;

    let (report, reports) = mpsc::channel();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let attacker = listener.local_addr().unwrap();
    let token = url.rsplit('/').next().unwrap();
    let html =
        PAGE.replace("BASE", target).replace("TOKEN", token).replace("REPORT", "http://evil.example/evil/report");
    let address = server.address().to_owned();
    thread::spawn(move || serve(&listener, &address, &html, &report));

    let profile = TempDir::new().unwrap();
    let rules = format!(
        "MAP evil.example {attacker}, MAP rebound.example {attacker}, MAP discovery.example {}",
        server.address()
    );
    let mut command = Command::new(chromium);
    command.args(["--no-sandbox", "--disable-gpu", "--no-proxy-server", "--remote-debugging-port=0"]);
    // Browsers ask people before a page of the internet reaches a private address. Here nobody is asked.
    command.arg("--disable-features=LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests,HttpsUpgrades");
    command.arg(format!("--host-resolver-rules={rules}"));
    command.arg(format!("--user-data-dir={}", profile.path().display()));
    command.arg(format!("{page}/evil/page"));
    let browser = Process::spawn("chromium", &mut command);
    let results = reports.recv_timeout(LIMIT).unwrap_or_else(|_| panic!("no report: {}", browser.output()));

    assert!(results.lines().count() > 90, "the page did not try everything:\n{results}");
    let learned = |line: &&str| {
        let nothing = [": blocked", ": opaque", ": status 403", ": status 421"];
        !nothing.iter().any(|end| line.ends_with(end))
    };
    let learned: Vec<&str> = results.lines().filter(learned).collect();
    assert!(learned.is_empty(), "a page of {page} learned something of {target}:\n{}", learned.join("\n"));
    assert_eq!(state(server, &url).await, before, "a page of {page} changed something");
}

/// All clusters and the keys of one.
async fn state(server: &Server, url: &str) -> (Value, Value) {
    let read = async |url: String| http::get(url).await.unwrap().json::<Value>().await.unwrap();
    (read(format!("{}/v1/clusters", server.url)).await, read(format!("{url}?recursive=true")).await)
}

/// Serves a page below `/evil`, and passes all else on to the server, as if the page's name were bound to it.
fn serve(listener: &TcpListener, server: &str, html: &str, report: &mpsc::Sender<String>) {
    for browser in listener.incoming() {
        let (mut browser, server, html, report) =
            (browser.unwrap(), server.to_owned(), html.to_owned(), report.clone());
        thread::spawn(move || {
            let mut begin = [0; 4096];
            let Ok(count @ 1..) = browser.read(&mut begin) else { return };
            let begin = &begin[..count];
            if begin.starts_with(b"POST /evil/report") {
                let mut request = begin.to_vec();
                let _ = browser.set_read_timeout(Some(Duration::from_millis(500)));
                let _ = browser.read_to_end(&mut request);
                let request = String::from_utf8_lossy(&request).into_owned();
                let _ =
                    report.send(request.split_once("\r\n\r\n").map_or_else(String::new, |(_, body)| body.to_owned()));
            } else if begin.windows(11).any(|window| window == b" /evil/page") {
                let length = html.len();
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
                );
                let _ = browser.write_all(format!("{head}{html}").as_bytes());
            } else {
                pass_on(browser, begin, &server);
            }
        });
    }
}

fn pass_on(mut browser: TcpStream, begin: &[u8], server: &str) {
    let mut server = TcpStream::connect(server).unwrap();
    server.write_all(begin).unwrap();
    let (mut from_server, mut to_browser) = (server.try_clone().unwrap(), browser.try_clone().unwrap());
    let answers = thread::spawn(move || {
        let _ = std::io::copy(&mut from_server, &mut to_browser);
        let _ = to_browser.shutdown(Shutdown::Both);
    });
    let _ = std::io::copy(&mut browser, &mut server);
    let _ = server.shutdown(Shutdown::Both);
    let _ = answers.join();
}
