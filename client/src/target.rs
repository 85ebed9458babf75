//! Which cluster a command for administrators means, and where it is.

use clap::Args;
use convene_lifecycle::{ClusterName, Token};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use serde::Serialize;

use crate::{
    cli::{RegistryTlsArgs, ServerArgs},
    command_error::CommandError,
    discovery_url::{DiscoveryUrl, ServerUrl},
    node::registry_tls,
    registry::{Cluster, ClusterPage, Registry, RegistryError, Request, Verbatim},
};

/// How often a change is tried again because somebody else was faster.
const TRIES: u32 = 5;

/// A cluster that may be left out.
#[derive(Debug, Args)]
pub struct ClusterArgs {
    /// A discovery URL, or the token or the name of one of the server's clusters [default: that of --discovery]
    pub cluster: Option<String>,
    #[command(flatten)]
    pub server: ServerArgs,
}

/// A cluster that is there.
#[derive(Debug)]
pub struct Target {
    /// Its server.
    pub registry: Registry,
    /// As it was last read.
    pub cluster: Verbatim<Cluster>,
}

/// Which clusters are listed.
#[derive(Debug, Default)]
pub struct Filter<'a> {
    /// Those that are called so.
    pub name: Option<&'a ClusterName>,
    /// Those that have formed, or those that have not.
    pub formed: Option<bool>,
    /// Those that are paused, or those that are not.
    pub paused: Option<bool>,
}

/// The server that is meant, and its URL.
pub fn server(arguments: &ServerArgs) -> Result<Registry, CommandError> {
    let of_cluster = || arguments.discovery.as_ref().map(|discovery| discovery.server.clone());
    let server = arguments.server.clone().or_else(of_cluster).ok_or_else(|| {
        CommandError::Usage(
            "which server? Give --server http://HOST:PORT (or CONVENE_SERVER), or a cluster's --discovery URL"
                .to_owned(),
        )
    })?;
    connect(server, &arguments.tls)
}

/// All clusters, page by page.
pub async fn list(registry: &Registry, filter: &Filter<'_>) -> Result<Vec<Verbatim<Cluster>>, RegistryError> {
    let mut parameters = String::new();
    if let Some(name) = filter.name {
        parameters += &format!("&name={}", utf8_percent_encode(name.as_str(), NON_ALPHANUMERIC));
    }
    for (name, value) in [("formed", filter.formed), ("paused", filter.paused)] {
        parameters += &value.map(|value| format!("&{name}={value}")).unwrap_or_default();
    }
    let mut clusters = Vec::new();
    let mut after = String::new();
    loop {
        let page: ClusterPage = registry.get(&format!("/v1/clusters?limit=100{parameters}{after}")).await?;
        clusters.extend(page.clusters);
        let Some(next) = page.next else { return Ok(clusters) };
        after = format!("&after={}", utf8_percent_encode(&next, NON_ALPHANUMERIC));
    }
}

impl ClusterArgs {
    /// The cluster that is meant.
    pub async fn find(&self) -> Result<Target, CommandError> {
        match (&self.cluster, &self.server.discovery) {
            (Some(cluster), _) => Target::find(cluster, &self.server).await,
            (None, Some(discovery)) => Target::at(discovery, &self.server.tls).await,
            (None, None) => Err(CommandError::Usage(
                "which cluster? Give its discovery URL (or CONVENE_DISCOVERY), or with --server its token or name"
                    .to_owned(),
            )),
        }
    }
}

impl Target {
    /// The cluster of a discovery URL.
    pub async fn at(url: &DiscoveryUrl, tls: &RegistryTlsArgs) -> Result<Self, CommandError> {
        let registry = connect(url.server.clone(), tls)?;
        let cluster = read(&registry, &url.token).await.map_err(|error| explain(&registry, &url.token, error))?;
        Ok(Self { registry, cluster })
    }

    /// The cluster of a discovery URL, or the one of a server that has this token or, if none has, this name.
    pub async fn find(cluster: &str, server: &ServerArgs) -> Result<Self, CommandError> {
        // What is empty by mistake, such as a variable of a script, must not mean another cluster.
        if cluster.is_empty() {
            return Err(CommandError::Usage("CLUSTER is empty".to_owned()));
        }
        if cluster.contains("://") {
            let url: DiscoveryUrl = cluster.parse().map_err(|error| CommandError::Usage(format!("CLUSTER {error}")))?;
            return Self::at(&url, &server.tls).await;
        }
        let registry = self::server(server)?;
        if let Ok(token) = cluster.parse::<Token>() {
            match read(&registry, &token).await {
                Ok(cluster) => return Ok(Self { registry, cluster }),
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Self::named(registry, cluster).await
    }

    async fn named(registry: Registry, text: &str) -> Result<Self, CommandError> {
        let name: ClusterName = text.parse().map_err(|error| CommandError::Usage(format!("CLUSTER {error}")))?;
        let mut named = list(&registry, &Filter { name: Some(&name), ..Filter::default() }).await?;
        match (named.pop(), named.len()) {
            (Some(cluster), 0) => Ok(Self { registry, cluster }),
            (None, _) => Err(CommandError::Refused(format!(
                "the registry at {} has no cluster with the token or the name {}; `convene cluster list` shows those \
                 that there are",
                registry.server(),
                shortened(text)
            ))),
            (Some(_), others) => Err(CommandError::Refused(format!(
                "{} clusters are called {name}; say which by its token: `convene cluster list --name NAME -o json` shows \
                 the tokens",
                others + 1
            ))),
        }
    }

    /// Its secret.
    pub fn token(&self) -> &Token {
        &self.cluster.value.token
    }

    /// One of the API's paths about it.
    pub fn path(&self, rest: &str) -> String {
        path(self.token(), rest)
    }

    /// Reads one of the API's paths about it.
    pub async fn get<T: serde::de::DeserializeOwned>(&self, rest: &str) -> Result<T, CommandError> {
        self.registry.get(&self.path(rest)).await.map_err(|error| self.explain(error))
    }

    /// Makes a change that rests on what was read of the cluster. If somebody was faster, it is read again, and the
    /// change is decided anew: `None` means that there is none to make.
    pub async fn change<B: Serialize>(
        &mut self,
        method: Method,
        rest: &str,
        body: impl Fn(&Cluster) -> Option<B>,
    ) -> Result<Option<Verbatim<Cluster>>, CommandError> {
        let mut tries = 1;
        loop {
            let Some(body) = body(&self.cluster.value) else { return Ok(None) };
            let request = Request::new(method.clone(), self.path(rest)).body(Some(&body));
            let answer = self.registry.send(request.if_revision(self.cluster.value.revision)).await;
            match answer {
                Ok(changed) => return Ok(Some(changed)),
                Err(error) if error.is_precondition_failed() && tries < TRIES => tries += 1,
                Err(error) => return Err(self.explain(error)),
            }
            self.cluster = self.get("").await?;
        }
    }

    /// What an error about the cluster means for who has asked.
    pub fn explain(&self, error: RegistryError) -> CommandError {
        explain(&self.registry, self.token(), error)
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.cluster.value.name {
            Some(name) => write!(f, "cluster {name} ({})", self.token()),
            None => write!(f, "cluster {}", self.token()),
        }
    }
}

fn connect(server: ServerUrl, tls: &RegistryTlsArgs) -> Result<Registry, CommandError> {
    Ok(Registry::new(server, &registry_tls(tls)?)?)
}

async fn read(registry: &Registry, token: &Token) -> Result<Verbatim<Cluster>, RegistryError> {
    registry.get(&path(token, "")).await
}

/// Nothing in it has to be escaped: a token is of characters that may stand in a path.
fn path(token: &Token, rest: &str) -> String {
    format!("/v1/clusters/{}{rest}", token.as_str())
}

fn explain(registry: &Registry, token: &Token, error: RegistryError) -> CommandError {
    if !error.is_not_found() {
        return error.into();
    }
    CommandError::Refused(format!(
        "the registry at {} has no cluster with the token {token}: it was never made, or was deleted; `convene cluster \
         list` shows those that there are",
        registry.server()
    ))
}

/// What may be a token, and so a secret, as it may be shown.
fn shortened(text: &str) -> String {
    match text.parse::<Token>() {
        Ok(token) => token.to_string(),
        // A URL that is not quite one has the token in it.
        Err(_) if text.contains('/') => "…".to_owned(),
        Err(_) => text.to_owned(),
    }
}
