//! The same requests to discovery.etcd.io's server with its etcd, and to ours: the answers have to be the same,
//! but for a short list of differences that are meant to be.

mod answer;
mod intended;
mod reference;
mod scenario;
mod table;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use convene_harness::server::Server;
use reqwest::{Client, redirect};
use serde_json::Value;

use crate::comparison::{Answer, Comparison};
use answer::Particulars;
use reference::Reference;
use scenario::{FURTHER_FOLDER, Form, Kind, Request, Scenario, Step, Target};

/// How long one request may take, waits included.
const LIMIT: Duration = Duration::from_secs(20);

#[test]
fn v2_responses_match_those_of_etcd() {
    let Some(reference) = Reference::start() else { return };
    let server = Server::start_with(&["--v2-folder", FURTHER_FOLDER, "--stock-writes", "allow"]);
    let mut replay = Replay::new(&reference, &server);
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        for scenario in table::scenarios() {
            for form in scenario.forms() {
                replay.run(&scenario, *form).await;
            }
        }
    });
    replay.comparison.conclude(80);
}

/// Both servers, and what has come of comparing them.
struct Replay {
    reference: Peer,
    ours: Peer,
    tokens: u32,
    comparison: Comparison,
}

/// One of the two.
#[derive(Clone)]
struct Peer {
    client: Client,
    discovery_url: String,
    keys_url: String,
    /// Whether the server sends the headers of a long poll at once; the Go server withholds them.
    early_head: bool,
}

/// One of the two, and the cluster that a scenario is about there.
struct Side {
    peer: Peer,
    form: Form,
    particulars: Particulars,
}

impl Replay {
    fn new(reference: &Reference, server: &Server) -> Self {
        let client = Client::builder().redirect(redirect::Policy::none()).no_proxy().timeout(LIMIT).build().unwrap();
        let peer = |discovery_url: &str, keys_url: &str, early_head| Peer {
            client: client.clone(),
            discovery_url: discovery_url.to_owned(),
            keys_url: keys_url.to_owned(),
            early_head,
        };
        Self {
            reference: peer(&reference.discovery_url, &reference.etcd_url, false),
            ours: peer(&server.url, &server.url, true),
            tokens: 0,
            comparison: Comparison::new(&intended::ALL, &[intended::REQUEST_ID, intended::NO_CORS]),
        }
    }

    async fn run(&mut self, scenario: &Scenario, form: Form) {
        let title = format!("{} ({form:?} form)", scenario.title);
        let (reference, ours) = self.sides(scenario, form, &title).await;
        for step in &scenario.steps {
            match &step.kind {
                Kind::Wait(meanwhile) => self.wait(&title, step, meanwhile, &reference, &ours).await,
                Kind::Once => self.send(&title, step, 1, &reference, &ours).await,
                Kind::Times(times) => self.send(&title, step, *times, &reference, &ours).await,
            }
        }
    }

    /// Makes the scenario's cluster on both sides.
    async fn sides(&mut self, scenario: &Scenario, form: Form, title: &str) -> (Side, Side) {
        self.tokens += 1;
        let token = format!("{:032x}", self.tokens);
        let mut reference = self.reference.side(form, &token);
        let mut ours = self.ours.side(form, &token);
        let Some(new) = scenario.cluster else { return (reference, ours) };
        match form {
            Form::Discovery => {
                reference.make(new.size).await;
                ours.make(new.size).await;
            }
            Form::Keys | Form::Folder(_) => {
                let step = scenario::put(new.target, new.body);
                let one = reference.made_by(&step.request).await;
                let other = ours.made_by(&step.request).await;
                self.compare(title, &step, form, &one, &other);
            }
        }
        (reference, ours)
    }

    async fn send(&mut self, title: &str, step: &Step, times: u32, reference: &Side, ours: &Side) {
        let (one, other) = tokio::join!(reference.repeat(&step.request, times), ours.repeat(&step.request, times));
        self.compare(title, step, reference.form, &one, &other);
    }

    async fn wait(&mut self, title: &str, step: &Step, meanwhile: &[Step], reference: &Side, ours: &Side) {
        let (one, other) = tokio::join!(reference.open(&step.request), ours.open(&step.request));
        for step in meanwhile {
            self.send(title, step, 1, reference, ours).await;
        }
        let (one, other) = (one.await.unwrap(), other.await.unwrap());
        self.compare(title, step, reference.form, &one, &other);
    }

    fn compare(&mut self, title: &str, step: &Step, form: Form, reference: &Answer, ours: &Answer) {
        let request = format!("{form:?} {:?}", step.request);
        self.comparison.compare(title, &request, step.differs.as_ref(), reference, ours);
    }
}

impl Peer {
    fn side(&self, form: Form, token: &str) -> Side {
        let particulars = Particulars { token: token.to_owned(), url: self.discovery_url.clone(), created: 1 };
        Side { peer: self.clone(), form, particulars }
    }

    /// How many long polls the reference's etcd holds.
    async fn watchers(&self) -> u64 {
        let answer = self.client.get(format!("{}/v2/stats/store", self.keys_url)).send().await.unwrap();
        answer.json::<Value>().await.unwrap()["watchers"].as_u64().unwrap()
    }
}

impl Side {
    /// Makes a cluster as discovery.etcd.io does.
    async fn make(&mut self, size: u32) {
        let client = &self.peer.client;
        let url = client.get(format!("{}/new?size={size}", self.peer.discovery_url)).send().await.unwrap();
        let url = url.text().await.unwrap();
        self.particulars.token = url.rsplit_once('/').unwrap().1.to_owned();
        let size = client.get(format!("{url}/_config/size")).send().await.unwrap();
        self.particulars.created = created_index(&size.text().await.unwrap());
    }

    /// Creates a cluster by a request of etcd's API. Its response has the index from which the others are counted.
    async fn made_by(&mut self, request: &Request) -> Answer {
        let answer = self.request(request).send().await.unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = answer.text().await.unwrap();
        self.particulars.created = created_index(&body);
        Answer::new(status, &headers, &body, request.asked(), &self.particulars)
    }

    fn request(&self, request: &Request) -> reqwest::RequestBuilder {
        let (target, body) = request.fill(self.form, &self.particulars.token, self.particulars.created);
        let in_keys = self.form != Form::Discovery
            || matches!(request.target, Target::Server(path) if path.starts_with("/v2") || path == "/version");
        let base = if in_keys { &self.peer.keys_url } else { &self.peer.discovery_url };
        let builder = self.peer.client.request(request.method.method(), format!("{base}{target}"));
        match body {
            Some(body) => builder.header("content-type", "application/x-www-form-urlencoded").body(body),
            None => builder,
        }
    }

    /// Sends a request `times` times, and returns the last response.
    async fn repeat(&self, request: &Request, times: u32) -> Answer {
        for _ in 1..times {
            self.request(request).send().await.unwrap().bytes().await.unwrap();
        }
        let answer = self.request(request).send().await;
        let answer = answer.unwrap_or_else(|error| panic!("{request:?}: {error}"));
        Answer::read(answer, request.asked(), &self.particulars).await
    }

    /// Sends a long poll and returns once it is open, or answered already.
    async fn open(&self, request: &Request) -> tokio::task::JoinHandle<Answer> {
        let head = Arc::new(AtomicBool::new(false));
        let (builder, asked, particulars) = (self.request(request), request.asked(), self.particulars.clone());
        let seen = head.clone();
        let task = tokio::spawn(async move {
            let answer = builder.send().await.unwrap();
            seen.store(true, Ordering::Release);
            Answer::read(answer, asked, &particulars).await
        });
        let deadline = Instant::now() + LIMIT;
        let is_open =
            async || head.load(Ordering::Acquire) || (!self.peer.early_head && self.peer.watchers().await > 0);
        while !is_open().await {
            assert!(Instant::now() < deadline, "{request:?} does not open");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        task
    }
}

fn created_index(body: &str) -> i64 {
    let json: Value = serde_json::from_str(body).unwrap();
    json["node"]["createdIndex"].as_i64().unwrap_or_else(|| panic!("the cluster was not made: {body}"))
}
