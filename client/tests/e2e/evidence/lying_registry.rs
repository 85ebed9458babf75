//! A registry that gives one instruction, whatever a node reports.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use convene_harness::Place;
use serde_json::{Value, json};

use crate::node::Registry;

/// A server of which only check-ins work. It instructs a node to observe, and then gives it always the same instruction. It
/// serves until the test ends.
pub struct LyingRegistry {
    /// For nodes that check in with it.
    pub registry: Registry,
    reports: Arc<Mutex<Vec<Value>>>,
}

impl LyingRegistry {
    /// Starts a server that knows members at these places. `lie` has the fields of the instruction that not all
    /// instructions have in common.
    pub fn start(members: &[&Place], lie: Value) -> Self {
        let client_urls: Vec<&str> = members.iter().map(|place| place.client_url.as_str()).collect();
        let peer_urls: Vec<&str> = members.iter().map(|place| place.peer_url.as_str()).collect();
        Self::start_with_urls(&client_urls, &peer_urls, lie)
    }

    /// The same with members at these URLs.
    pub fn start_with_urls(client_urls: &[&str], peer_urls: &[&str], lie: Value) -> Self {
        let observe = with_common_fields(json!({
            "instruction": "observe",
            "reason": "look_needed",
            "endpoints": { "client_urls": client_urls, "peer_urls": peer_urls },
        }));
        let lie = with_common_fields(lie);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/6c007a14875d53d9bf0ef5a6fc0257c8", listener.local_addr().unwrap());
        let reports: Arc<Mutex<Vec<Value>>> = Arc::default();
        let kept = reports.clone();
        thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                let Some(report) = read_request(&connection) else { continue };
                let answer = if report["view"].is_null() { &observe } else { &lie };
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(report);
                respond(connection, &answer.to_string());
            }
        });
        Self { registry: Registry::at(url), reports }
    }

    /// What nodes have reported that they refused.
    pub fn refusals(&self) -> Vec<String> {
        let reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        let refusals = reports.iter().map(|report| &report["refusal"]).filter(|refusal| !refusal.is_null());
        let text = |refusal: &Value, field: &str| refusal[field].as_str().unwrap().to_owned();
        refusals.map(|refusal| format!("{}: {}", text(refusal, "instruction"), text(refusal, "found"))).collect()
    }
}

fn with_common_fields(mut instruction: Value) -> Value {
    instruction["message"] = "as instructed".into();
    instruction["check_in_after_seconds"] = 1.into();
    instruction["revision"] = 1.into();
    instruction["epoch"] = 1.into();
    instruction
}

/// The body of a request.
fn read_request(connection: &TcpStream) -> Option<Value> {
    let mut reader = BufReader::new(connection);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim_end().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.trim().parse().ok()?,
            None if line.trim_end().is_empty() => break,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    serde_json::from_slice(&body).ok()
}

fn respond(mut connection: TcpStream, body: &str) {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length";
    // The node may have exited meanwhile.
    let _ = write!(connection, "{head}: {}\r\n\r\n{body}", body.len());
}
