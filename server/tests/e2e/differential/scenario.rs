use reqwest::Method;

use super::answer::Asked;
use crate::comparison::{Expected, Intended};

/// Requests that are sent one after another, to the reference and to ours, about a cluster of the scenario's own.
pub struct Scenario {
    pub title: &'static str,
    pub urls: Urls,
    /// How the cluster is created; `None` if it is not.
    pub cluster: Option<NewCluster>,
    pub steps: Vec<Step>,
}

/// How a cluster is created.
#[derive(Clone, Copy, Debug)]
pub struct NewCluster {
    pub size: u32,
    /// The request that creates it in the keys form; the discovery form uses `/new`.
    pub target: &'static str,
    pub body: &'static str,
}

/// A cluster of one.
pub const ONE: NewCluster = NewCluster { size: 1, target: "/_config/size", body: "value=1" };

/// A cluster of three.
pub const THREE: NewCluster = NewCluster { size: 3, target: "/_config/size", body: "value=3" };

/// A cluster of five, created only if there is none.
pub const NEW_FIVE: NewCluster = NewCluster { size: 5, target: "/_config/size?prevExist=false", body: "value=5" };

/// The forms of URL in which a scenario runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urls {
    Discovery,
    Keys,
    Both,
    /// Both, and every folder that a server has been given.
    Everywhere,
}

/// One form of URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Form {
    /// `/TOKEN…`, as discovery.etcd.io's server takes it.
    Discovery,
    /// `/v2/keys/_etcd/registry/TOKEN…`, as etcd itself takes it.
    Keys,
    /// `/v2/keys/TOKEN…` in a folder, such as `/discovery`, as etcd itself takes it as well.
    Folder(&'static str),
}

/// A folder that a server has only if a flag names it.
pub const FURTHER_FOLDER: &str = "/deis/discovery";

/// One thing to do, and what to expect of it.
pub struct Step {
    pub request: Request,
    pub kind: Kind,
    pub differs: Option<Expected>,
}

pub enum Kind {
    Once,
    /// Sent this number of times; the last response counts.
    Times(u32),
    /// A long poll, and what is done while it is open.
    Wait(Vec<Step>),
}

/// A request. `@3` in it stands for the index of the cluster's third change; the first is its creation.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Request {
    pub method: Verb,
    pub target: Target,
    pub body: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verb {
    Get,
    Head,
    Put,
    Post,
    Patch,
    Delete,
    Options,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// What follows the cluster's URL, query included.
    Below(&'static str),
    /// A path of the server, query included. `TOKEN` in it is the cluster's.
    Server(&'static str),
}

impl Scenario {
    pub fn forms(&self) -> &'static [Form] {
        match self.urls {
            Urls::Discovery => &[Form::Discovery],
            Urls::Keys => &[Form::Keys],
            Urls::Both => &[Form::Discovery, Form::Keys],
            Urls::Everywhere => &[
                Form::Discovery,
                Form::Keys,
                Form::Folder("/discovery"),
                Form::Folder(""),
                Form::Folder(FURTHER_FOLDER),
            ],
        }
    }
}

impl Step {
    fn new(method: Verb, target: Target) -> Self {
        Self { request: Request { method, target, body: None }, kind: Kind::Once, differs: None }
    }

    /// With a form as body.
    pub fn form(mut self, body: &'static str) -> Self {
        self.request.body = Some(body);
        self
    }

    pub fn times(self, times: u32) -> Self {
        Self { kind: Kind::Times(times), ..self }
    }

    /// The response differs from the reference's on purpose.
    pub fn differs(self, intended: Intended, reference: &'static str, ours: &'static str) -> Self {
        Self { differs: Some(Expected { intended, reference, ours }), ..self }
    }
}

impl Request {
    /// Path and query, and the body, as they are sent about a cluster.
    pub fn fill(&self, form: Form, token: &str, created: i64) -> (String, Option<String>) {
        let target = match (self.target, form) {
            (Target::Server(path), _) => path.replace("TOKEN", token),
            (Target::Below(rest), Form::Discovery) => format!("/{token}{rest}"),
            (Target::Below(rest), Form::Keys) => format!("/v2/keys/_etcd/registry/{token}{rest}"),
            (Target::Below(rest), Form::Folder(folder)) => format!("/v2/keys{folder}/{token}{rest}"),
        };
        (fill_indexes(&target, created), self.body.map(|body| fill_indexes(body, created)))
    }

    pub fn asked(&self) -> Asked {
        let (Target::Below(target) | Target::Server(target)) = self.target;
        let says = |word| target.contains(word) || self.body.is_some_and(|body| body.contains(word));
        Asked { sorted: says("sorted=true"), index: says("Index=@") }
    }
}

impl Verb {
    pub fn method(self) -> Method {
        match self {
            Self::Get => Method::GET,
            Self::Head => Method::HEAD,
            Self::Put => Method::PUT,
            Self::Post => Method::POST,
            Self::Patch => Method::PATCH,
            Self::Delete => Method::DELETE,
            Self::Options => Method::OPTIONS,
        }
    }
}

fn fill_indexes(text: &str, created: i64) -> String {
    let mut pieces = text.split('@');
    let mut filled = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let digits = piece.bytes().take_while(u8::is_ascii_digit).count();
        let change: i64 = piece[..digits].parse().expect("a number follows @");
        filled += &format!("{}{}", created + change - 1, &piece[digits..]);
    }
    filled
}

/// A scenario about a cluster of three.
pub fn scenario(title: &'static str, urls: Urls, steps: Vec<Step>) -> Scenario {
    scenario_of(THREE, title, urls, steps)
}

/// A scenario about another cluster.
pub fn scenario_of(cluster: NewCluster, title: &'static str, urls: Urls, steps: Vec<Step>) -> Scenario {
    Scenario { title, urls, cluster: Some(cluster), steps }
}

/// A scenario with an unknown token.
pub fn scenario_without_cluster(title: &'static str, urls: Urls, steps: Vec<Step>) -> Scenario {
    Scenario { title, urls, cluster: None, steps }
}

pub fn get(rest: &'static str) -> Step {
    Step::new(Verb::Get, Target::Below(rest))
}

pub fn put(rest: &'static str, body: &'static str) -> Step {
    Step::new(Verb::Put, Target::Below(rest)).form(body)
}

pub fn delete(rest: &'static str) -> Step {
    Step::new(Verb::Delete, Target::Below(rest))
}

pub fn send(method: Verb, rest: &'static str) -> Step {
    Step::new(method, Target::Below(rest))
}

/// A request to the server as such.
pub fn server(method: Verb, path: &'static str) -> Step {
    Step::new(method, Target::Server(path))
}

/// A long poll, and what is done while it is open.
pub fn wait(rest: &'static str, meanwhile: Vec<Step>) -> Step {
    Step { kind: Kind::Wait(meanwhile), ..get(rest) }
}
