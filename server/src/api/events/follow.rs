use std::sync::Arc;

use convene_lifecycle::{Event, Revision, Token};

use crate::{
    api::problem::Problem,
    app::App,
    registry::{self, Step},
};

/// Follows a cluster that is there, for those who have seen it up to a revision.
pub struct Follower {
    app: Arc<App>,
    follower: registry::Follower,
    seen: Revision,
}

impl Follower {
    /// Follows from after a revision; `None` is from the oldest event that is remembered.
    pub async fn new(app: Arc<App>, token: Token, after: Option<Revision>) -> Result<Self, Problem> {
        let seen = after.unwrap_or(Revision(0));
        // First subscribe, then look: an event of in between is then seen twice, and not lost.
        let mut follower = app.registry.follow(&token, seen.next());
        let snapshot = app.registry.cluster(&token).await?.ok_or_else(Problem::no_such_cluster)?;
        let present = snapshot.cluster.revision;
        // What is in memory may be behind what somebody has read from the history meanwhile, so the history has the
        // last word.
        if seen > present && app.registry.history(&token, seen).await?.is_empty() {
            return Err(Problem::unknown_revision(seen, present));
        }
        match (follower.gap(&app.registry).await?, after) {
            (Some(oldest), Some(_)) => return Err(Problem::forgotten(oldest)),
            (Some(oldest), None) => follower.go_on_from(oldest),
            (None, _) => {}
        }
        Ok(Self { app, follower, seen })
    }

    /// The next event if there is one already.
    pub async fn next_present(&mut self) -> Result<Option<Arc<Event>>, Problem> {
        let step = self.follower.next_present(&self.app.registry).await?;
        step.map(|step| self.event(step)).transpose()
    }

    /// The next event, however long it takes. The last is the cluster's deletion.
    pub async fn next(&mut self) -> Result<Arc<Event>, Problem> {
        let step = self.follower.next(&self.app.registry).await?;
        self.event(step)
    }

    fn event(&mut self, step: Step) -> Result<Arc<Event>, Problem> {
        match step {
            Step::Event(event) => {
                self.seen = event.revision;
                Ok(event)
            }
            Step::Forgotten { oldest } => Err(Problem::forgotten(oldest)),
            Step::Behind { present } => Err(Problem::unknown_revision(self.seen, present)),
            Step::Gone => Err(Problem::no_such_cluster()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::http::HeaderValue;
    use convene_lifecycle::{Action, Cluster, ClusterSize, EventKind, Settings};
    use futures_util::future::join_all;
    use tempfile::TempDir;

    use super::*;
    use crate::{registry::Registry, store::Store};

    async fn app() -> (TempDir, Arc<App>, Token) {
        let dir = TempDir::new().unwrap();
        let url = format!("sqlite:{}", dir.path().join("c.db").display());
        let store = Store::open(&url.parse().unwrap()).await.unwrap();
        let app = App {
            registry: Registry::start(Arc::new(store)).0,
            registry_id: HeaderValue::from_static("0"),
            public_url: String::new(),
            max_cluster_size: ClusterSize::DEFAULT,
            wait_timeout: Duration::from_secs(1),
            stopping: Default::default(),
        };
        let token: Token = "one".parse().unwrap();
        app.registry.create(token.clone(), Settings::default()).await.unwrap();
        (dir, Arc::new(app), token)
    }

    /// Sets the size so many times that no follower keeps up with it.
    async fn outrun(app: &App, token: &Token, times: u32) {
        let updates = (0..times).map(|n| {
            let size = ClusterSize::new(1 + n % 5).unwrap();
            app.registry.update(token, move |cluster, at| cluster.unwrap().set_size(size, Action::Set, at))
        });
        for updated in join_all(updates).await {
            updated.unwrap().unwrap();
        }
    }

    async fn delete(app: &App, token: &Token) {
        let delete = |cluster: Option<&Cluster>, at| cluster.map(|cluster| cluster.delete(at)).ok_or(());
        app.registry.update(token, delete).await.unwrap().unwrap();
    }

    async fn follow(follower: &mut Follower) -> Result<Arc<Event>, Problem> {
        tokio::time::timeout(Duration::from_secs(5), follower.next()).await.expect("waits for what never comes")
    }

    #[tokio::test]
    async fn who_was_too_slow_for_the_last_events_of_a_cluster_hears_of_its_end() {
        let (_dir, app, token) = app().await;
        let mut follower = Follower::new(app.clone(), token.clone(), Some(Revision::FIRST)).await.unwrap();
        outrun(&app, &token, 1_000).await;
        delete(&app, &token).await;
        assert_eq!(follow(&mut follower).await.unwrap().kind, EventKind::ClusterDeleted);
    }

    #[tokio::test]
    async fn who_heard_nothing_of_the_end_of_a_cluster_is_told_that_another_has_its_token() {
        let (_dir, app, token) = app().await;
        outrun(&app, &token, 1_200).await;
        let mut follower = Follower::new(app.clone(), token.clone(), Some(Revision(1_201))).await.unwrap();
        delete(&app, &token).await;
        app.registry.create(token.clone(), Settings::default()).await.unwrap();
        outrun(&app, &token, 1_000).await;
        let problem = serde_json::to_value(follow(&mut follower).await.unwrap_err()).unwrap();
        assert_eq!((&problem["status"], &problem["revision"]), (&410.into(), &1_001.into()));
    }

    #[tokio::test]
    async fn who_was_too_slow_for_the_history_is_told_where_it_begins() {
        let (_dir, app, token) = app().await;
        let mut follower = Follower::new(app.clone(), token.clone(), Some(Revision::FIRST)).await.unwrap();
        outrun(&app, &token, 1_300).await;
        let problem = serde_json::to_value(follow(&mut follower).await.unwrap_err()).unwrap();
        assert_eq!(problem["status"], 410);
        assert!(problem["revision"].as_u64().unwrap() > 100, "{problem}");
    }

    #[tokio::test]
    async fn who_asks_for_what_comes_after_a_revision_of_the_future_is_refused() {
        let (_dir, app, token) = app().await;
        let follow = |after| Follower::new(app.clone(), token.clone(), Some(Revision(after)));
        assert!(follow(1).await.is_ok());
        let problem = serde_json::to_value(follow(2).await.err().unwrap()).unwrap();
        assert_eq!((&problem["status"], &problem["revision"]), (&410.into(), &1.into()));
    }
}
