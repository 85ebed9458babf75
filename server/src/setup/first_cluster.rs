//! The first cluster, with a join token for its nodes.

use std::time::Duration;

use convene_lifecycle::{
    Action, Actor, Cluster, ClusterSize, JoinPolicy, JoinToken, JoinTokenRequest, NewClusterToken, PolicyChange,
    Settings, Token, UnixMillis,
};

use super::{Setup, SetupError};
use crate::{
    app::App,
    draw_token::draw_token,
    secret::{Secret, hash_of},
    store::ClusterFilter,
};

/// The discovery URL of the first cluster. Once it exists, no other one is made, whatever becomes of the cluster.
const DISCOVERY: &str = "discovery";

/// The join token of its nodes.
const JOIN_TOKEN: &str = "join-token";

/// The secrets of a cluster that is being made: its token and the join token, a line each.
const UNFINISHED: &str = ".first-cluster";

/// How long the join token lets nodes in.
const TTL: Duration = Duration::from_secs(24 * 3600);

struct Secrets {
    token: NewClusterToken,
    join_token: Secret,
}

impl Setup {
    /// Makes the first cluster if the registry has none.
    pub(super) async fn make_first_cluster(&self, app: &App) -> Result<(), SetupError> {
        if self.folder.read(DISCOVERY)?.is_some() {
            return self.folder.remove(UNFINISHED);
        }
        let secrets = match self.folder.read(UNFINISHED)? {
            Some(text) => Secrets::parse(&text).ok_or_else(|| SetupError::Content {
                path: self.folder.path(UNFINISHED),
                expected: "the secrets of a cluster",
            })?,
            None => {
                let (clusters, _) = app.registry.list(ClusterFilter::default(), 1).await?;
                if !clusters.is_empty() {
                    return Ok(());
                }
                let secrets = Secrets { token: draw_token(), join_token: Secret::draw(Secret::JOIN_TOKEN) };
                self.folder.write(UNFINISHED, &secrets.text())?;
                secrets
            }
        };
        store(app, &secrets).await?;
        let discovery = format!("{}/{}#{}\n", app.public_url, secrets.token.as_str(), self.pin);
        self.folder.write(JOIN_TOKEN, &format!("{}\n", secrets.join_token.reveal()))?;
        self.folder.write(DISCOVERY, &discovery)?;
        self.folder.remove(UNFINISHED)
    }

    /// How to join the first cluster. `None` if it is gone, or its join token lets nobody in any more.
    pub(super) async fn join_line(&self, app: &App) -> Result<Option<String>, SetupError> {
        let (Some(discovery), Some(join_token)) = (self.folder.read(DISCOVERY)?, self.folder.read(JOIN_TOKEN)?) else {
            return Ok(None);
        };
        let url = discovery.trim().split_once('#').map_or(discovery.trim(), |(url, _)| url);
        let Some(token) = url.rsplit_once('/').and_then(|(_, token)| token.parse::<Token>().ok()) else {
            return Ok(None);
        };
        let Some(snapshot) = app.registry.cluster(&token).await? else { return Ok(None) };
        let hash = hash_of(join_token.trim());
        let now = app.registry.now();
        let found = snapshot.cluster.admission.join_tokens.iter().find(|token| token.hash == hash);
        Ok(found.filter(|token| token.is_valid(now)).map(|token| self.describe(token, now)))
    }

    /// The secrets stay in their files: standard output is often a log.
    fn describe(&self, join_token: &JoinToken, now: UnixMillis) -> String {
        let left = join_token.uses as usize - join_token.used_by.len();
        let nodes = if left == 1 { "1 more node".to_owned() } else { format!("{left} nodes") };
        let until = join_token.expires_at.clock_time(now);
        let path = |name| super::quoted(&self.folder.path(name).display().to_string());
        format!(
            "Until {until}, {nodes} can join the first cluster (join token {}).\nCopy the two files to each node \
             (first line), and start the node (second line):\n\n    scp {} {} NODE:\n    convene run --discovery-file \
             {DISCOVERY} --join-token-file {JOIN_TOKEN} -- etcd …\n",
            join_token.id(),
            path(DISCOVERY),
            path(JOIN_TOKEN),
        )
    }
}

/// Stores the cluster and the join token. What an earlier start has stored stays as it is.
async fn store(app: &App, secrets: &Secrets) -> Result<(), SetupError> {
    let size = ClusterSize::DEFAULT.min(app.max_cluster_size);
    let settings = Settings {
        size: Some(size),
        name: Some(Some("first".parse().expect("a name of a cluster"))),
        policy: PolicyChange { join: Some(JoinPolicy::Token), ..PolicyChange::default() },
    };
    let (token, actor) = (secrets.token.clone(), Actor::server());
    let create = move |cluster: Option<&Cluster>, at| match cluster {
        None => Ok(Cluster::create_with(token.clone(), &settings, Action::Create, at)),
        Some(_) => Err(()),
    };
    // `Err`: it exists.
    let _ = app.registry.update(&secrets.token, &actor, create).await?;
    let request =
        JoinTokenRequest { hash: secrets.join_token.hash(), node: None, cidr: None, ttl: TTL, uses: size.get() };
    let create = move |cluster: Option<&Cluster>, at| match cluster {
        Some(cluster) if !cluster.admission.join_tokens.iter().any(|token| token.hash == request.hash) => {
            cluster.create_join_token(&request, at).map_err(Some)
        }
        // It exists, or somebody has deleted the cluster at this moment.
        _ => Err(None),
    };
    match app.registry.update(&secrets.token, &actor, create).await? {
        Ok(_) | Err(None) => Ok(()),
        Err(Some(refused)) => Err(refused.into()),
    }
}

impl Secrets {
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let token = lines.next()?.parse().ok()?;
        let join_token = Secret::parse(lines.next()?, Secret::JOIN_TOKEN)?;
        Some(Self { token, join_token })
    }

    fn text(&self) -> String {
        format!("{}\n{}\n", self.token.as_str(), self.join_token.reveal())
    }
}
