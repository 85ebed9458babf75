//! The cluster of an administrator's command: found by discovery URL, token or name.

use clap::Args;
use convene_lifecycle::{ClusterName, PublicId, Token};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use serde::Serialize;

use crate::{
    cli::{RegistryTlsArgs, ServerArgs},
    command_error::CommandError,
    discovery_url::{DiscoveryUrl, ServerUrl},
    node::registry_access,
    registry::{Cluster, ClusterPage, PublicName, Registry, RegistryError, Request, Verbatim},
};

/// How often a change is attempted if others change the cluster at the same time.
const MAX_ATTEMPTS: u32 = 5;

/// A cluster on the command line; by default the cluster of the discovery URL.
#[derive(Debug, Args)]
pub struct ClusterArgs {
    /// Discovery URL, ID, token or name of the cluster [default: that of --discovery]
    pub cluster: Option<String>,
    #[command(flatten)]
    pub server: ServerArgs,
}

/// An existing cluster and its server.
#[derive(Debug)]
pub struct Target {
    /// The server.
    pub registry: Registry,
    /// The cluster in paths: its token, or its public ID, which has the form of a token.
    reference: Token,
    /// The cluster, as it was last read.
    pub cluster: Verbatim<Cluster>,
}

/// A filter for clusters.
#[derive(Debug, Default)]
pub struct Filter<'a> {
    /// Only clusters with this name.
    pub name: Option<&'a ClusterName>,
    /// Only formed clusters, or only those that have not formed.
    pub formed: Option<bool>,
    /// Only paused clusters, or only those that are not paused.
    pub paused: Option<bool>,
    /// Whether to show the tokens, too.
    pub show_token: bool,
}

/// The server of the command.
pub fn server(arguments: &ServerArgs) -> Result<Registry, CommandError> {
    let of_cluster = || arguments.discovery().map(|discovery| discovery.server.clone());
    let server = arguments.server.clone().or_else(of_cluster).ok_or_else(|| {
        CommandError::Usage(
            "no server is given; set --server https://HOST:PORT (or CONVENE_SERVER), or a discovery URL".to_owned(),
        )
    })?;
    Ok(connect(server, &arguments.tls)?.with_admin_token(arguments.admin_token_file.clone())?)
}

/// All clusters that pass the filter. Reads page after page.
pub async fn list_clusters(registry: &Registry, filter: &Filter<'_>) -> Result<Vec<Verbatim<Cluster>>, RegistryError> {
    let mut parameters = String::new();
    if let Some(name) = filter.name {
        parameters += &format!("&name={}", utf8_percent_encode(name.as_str(), NON_ALPHANUMERIC));
    }
    for (name, value) in [("formed", filter.formed), ("paused", filter.paused)] {
        parameters += &value.map(|value| format!("&{name}={value}")).unwrap_or_default();
    }
    if filter.show_token {
        parameters += "&show_token=true";
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

/// The token of a discovery URL, of a cluster with this token or name, or else the text itself, if it can be the token of a cluster
/// that was deleted.
pub async fn find_token(cluster: &str, server: &ServerArgs) -> Result<(Registry, Token), CommandError> {
    if let Some(url) = discovery_url(cluster)? {
        let registry = connect(url.server, &server.tls)?.with_admin_token(server.admin_token_file.clone())?;
        return Ok((registry, url.token));
    }
    let registry = self::server(server)?;
    let found = match Target::find_on(registry.clone(), cluster).await? {
        Some(target) => Some(target.token().clone()),
        None => cluster.parse().ok(),
    };
    found.map(|token| (registry.clone(), token)).ok_or_else(|| no_such_cluster(&registry, cluster))
}

impl ClusterArgs {
    /// Finds the cluster.
    pub async fn find(&self) -> Result<Target, CommandError> {
        self.find_as(self.cluster.as_deref()).await
    }

    /// Finds another cluster than that of these arguments, or the default one.
    pub async fn find_as(&self, cluster: Option<&str>) -> Result<Target, CommandError> {
        match (cluster, self.server.discovery()) {
            (Some(cluster), _) => Target::find(cluster, &self.server).await,
            (None, Some(discovery)) => Target::of_url(discovery, &self.server).await,
            (None, None) => Err(CommandError::Usage(
                "no cluster is given; give its discovery URL (or set CONVENE_DISCOVERY), or its token or name and --server"
                    .to_owned(),
            )),
        }
    }
}

impl Target {
    /// Reads the cluster of a discovery URL.
    pub async fn at(url: &DiscoveryUrl, tls: &RegistryTlsArgs) -> Result<Self, CommandError> {
        Self::read(connect(url.server.clone(), tls)?, &url.token).await
    }

    /// Reads the cluster of a discovery URL, as an administrator.
    async fn of_url(url: &DiscoveryUrl, server: &ServerArgs) -> Result<Self, CommandError> {
        let registry = connect(url.server.clone(), &server.tls)?;
        Self::read(registry.with_admin_token(server.admin_token_file.clone())?, &url.token).await
    }

    async fn read(registry: Registry, token: &Token) -> Result<Self, CommandError> {
        let cluster = read(&registry, token).await.map_err(|error| explain(&registry, token, error))?;
        Ok(Self { registry, reference: token.clone(), cluster })
    }

    /// Finds a cluster by its discovery URL, or by its token on a server, or else by its name.
    pub async fn find(cluster: &str, server: &ServerArgs) -> Result<Self, CommandError> {
        if let Some(url) = discovery_url(cluster)? {
            return Self::of_url(&url, server).await;
        }
        let registry = self::server(server)?;
        let found = Self::find_on(registry.clone(), cluster).await?;
        found.ok_or_else(|| no_such_cluster(&registry, cluster))
    }

    /// Finds a cluster on a server by its token, or else by its name; `None` if there is none.
    async fn find_on(registry: Registry, cluster: &str) -> Result<Option<Self>, CommandError> {
        if let Ok(token) = cluster.parse::<Token>() {
            match read(&registry, &token).await {
                Ok(cluster) => return Ok(Some(Self { registry, reference: token, cluster })),
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Self::named(registry, cluster).await
    }

    async fn named(registry: Registry, text: &str) -> Result<Option<Self>, CommandError> {
        let name: ClusterName = text.parse().map_err(|error| CommandError::Usage(format!("CLUSTER {error}")))?;
        let mut named = list_clusters(&registry, &Filter { name: Some(&name), ..Filter::default() }).await?;
        match (named.pop(), named.len()) {
            (Some(cluster), 0) => {
                let id = cluster.value.id.and_then(|PublicName(id)| id.to_string().parse().ok());
                let reference = cluster.value.token.clone().or(id).ok_or_else(|| {
                    CommandError::Unreachable(format!(
                        "the registry at {} shows no ID of the cluster",
                        registry.server()
                    ))
                })?;
                Ok(Some(Self { registry, reference, cluster }))
            }
            (None, _) => Ok(None),
            (Some(_), others) => Err(CommandError::Refused(format!(
                "{} clusters have the name {name}; give the ID of one of them (`convene cluster list --name NAME` lists the IDs)",
                others + 1
            ))),
        }
    }

    /// The cluster's token, or its public ID, as it stands in paths.
    pub fn token(&self) -> &Token {
        &self.reference
    }

    /// A path of the API about the cluster.
    pub fn path(&self, rest: &str) -> String {
        path(self.token(), rest)
    }

    /// Reads a path of the API about the cluster.
    pub async fn get<T: serde::de::DeserializeOwned>(&self, rest: &str) -> Result<T, CommandError> {
        self.registry.get(&self.path(rest)).await.map_err(|error| self.explain(error))
    }

    /// Makes a change that depends on the cluster as it was read. If the cluster has changed since, reads it and decides
    /// again. Returns `None` if no change is needed.
    pub async fn change<B: Serialize>(
        &mut self,
        method: Method,
        rest: &str,
        body: impl Fn(&Cluster) -> Option<B>,
    ) -> Result<Option<Verbatim<Cluster>>, CommandError> {
        let mut attempt = 1;
        loop {
            let Some(body) = body(&self.cluster.value) else { return Ok(None) };
            let request = Request::new(method.clone(), self.path(rest)).body(Some(&body));
            let answer = self.registry.send(request.if_revision(self.cluster.value.revision)).await;
            match answer {
                Ok(changed) => return Ok(Some(changed)),
                Err(error) if error.is_precondition_failed() && attempt < MAX_ATTEMPTS => attempt += 1,
                Err(error) => return Err(self.explain(error)),
            }
            self.cluster = self.get("").await?;
        }
    }

    /// The command's error for an error of the API about this cluster.
    pub fn explain(&self, error: RegistryError) -> CommandError {
        explain(&self.registry, self.token(), error)
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.cluster.value.name {
            Some(name) => write!(f, "cluster {name} ({})", shown(&self.reference)),
            None => write!(f, "cluster {}", shown(&self.reference)),
        }
    }
}

fn connect(server: ServerUrl, tls: &RegistryTlsArgs) -> Result<Registry, CommandError> {
    Ok(Registry::new(server, &registry_access(tls)?)?)
}

async fn read(registry: &Registry, token: &Token) -> Result<Verbatim<Cluster>, RegistryError> {
    registry.get(&path(token, "")).await
}

/// The discovery URL, if the text is one and not a token or a name.
fn discovery_url(cluster: &str) -> Result<Option<DiscoveryUrl>, CommandError> {
    // A script's variable that is empty by mistake must not select the default cluster.
    if cluster.is_empty() {
        return Err(CommandError::Usage("CLUSTER is empty".to_owned()));
    }
    if !cluster.contains("://") {
        return Ok(None);
    }
    cluster.parse().map(Some).map_err(|error| CommandError::Usage(format!("CLUSTER {error}")))
}

/// A path of the API about a cluster. A token needs no escaping: all its characters are allowed in a path.
pub fn path(token: &Token, rest: &str) -> String {
    format!("/v1/clusters/{}{rest}", token.as_str())
}

fn explain(registry: &Registry, token: &Token, error: RegistryError) -> CommandError {
    if !error.is_not_found() {
        return error.into();
    }
    CommandError::Refused(format!(
        "the registry at {} has no cluster with the token or ID {} (deleted, or never created); `convene cluster list` lists its \
         clusters",
        registry.server(),
        shown(token)
    ))
}

fn no_such_cluster(registry: &Registry, text: &str) -> CommandError {
    CommandError::Refused(format!(
        "the registry at {} has no cluster with the token, ID or name {}; `convene cluster list` lists its clusters",
        registry.server(),
        redacted(text)
    ))
}

/// A token in part, or a public ID, which is no secret, as a whole.
fn shown(reference: &Token) -> String {
    let id = reference.as_str().parse::<PublicId>();
    id.map_or_else(|_| reference.to_string(), |id| id.to_string())
}

/// The text for a message, without the secret part of a token.
fn redacted(text: &str) -> String {
    match text.parse::<Token>() {
        Ok(token) => shown(&token),
        // An incomplete URL contains the token.
        Err(_) if text.contains('/') => "…".to_owned(),
        Err(_) => text.to_owned(),
    }
}
