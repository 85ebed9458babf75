use std::{collections::VecDeque, sync::Arc};

use convene_lifecycle::{Event, EventKind, Revision, Token};

use crate::{
    api::problem::Problem,
    app::App,
    registry::{Heard, Subscription, Unavailable},
};

/// Follows a cluster's events in order, from the history into the present.
pub struct Follower {
    app: Arc<App>,
    token: Token,
    subscription: Subscription,
    /// The first revision that was not handed out yet.
    from: Revision,
    /// Events that are there already.
    pending: VecDeque<Arc<Event>>,
}

impl Follower {
    /// Follows from after a revision; `None` is from the oldest event that is remembered.
    pub async fn new(app: Arc<App>, token: Token, after: Option<Revision>) -> Result<Self, Problem> {
        // First subscribe, then look: an event of in between is then seen twice, and not lost.
        let subscription = app.registry.subscribe(&token);
        let snapshot = app.registry.cluster(&token).await?.ok_or_else(Problem::no_such_cluster)?;
        let from = after.map_or(Revision::FIRST, Revision::next);
        let mut follower = Self { app, token, subscription, from, pending: VecDeque::new() };
        if let Some(after) = after.filter(|after| *after > snapshot.cluster.revision) {
            follower.check_known(after, snapshot.cluster.revision).await?;
        }
        follower.look_back().await?;
        if let (Some(first), Some(_)) = (follower.pending.front(), after)
            && first.revision > from
        {
            return Err(Problem::forgotten(first.revision));
        }
        Ok(follower)
    }

    /// Refuses to go on from a revision that is later than the present one. What is in memory may be behind what
    /// somebody has read from the history meanwhile, so the history has the last word.
    async fn check_known(&self, after: Revision, present: Revision) -> Result<(), Problem> {
        match self.app.registry.history(&self.token, after).await?.is_empty() {
            true => Err(Problem::unknown_revision(after, present)),
            false => Ok(()),
        }
    }

    /// The next event if there is one already.
    pub async fn next_present(&mut self) -> Result<Option<Arc<Event>>, Unavailable> {
        if self.pending.is_empty() {
            self.look_back().await?;
        }
        Ok(self.take())
    }

    /// The next event, however long it takes. The last is the cluster's deletion.
    pub async fn next(&mut self) -> Result<Arc<Event>, Problem> {
        loop {
            if let Some(event) = self.take() {
                return Ok(event);
            }
            match self.subscription.next().await {
                // It is in no history, so nobody gets what they may have missed before it.
                Heard::Event(event) if event.kind == EventKind::ClusterDeleted => self.pending.push_back(event),
                Heard::Event(event) if event.revision == self.from => self.pending.push_back(event),
                Heard::Event(event) if event.revision < self.from => {}
                _ => self.catch_up().await?,
            }
        }
    }

    async fn catch_up(&mut self) -> Result<(), Problem> {
        self.look_back().await?;
        match self.pending.front() {
            Some(first) if first.revision > self.from => Err(Problem::forgotten(first.revision)),
            Some(_) => Ok(()),
            None => self.check_there().await,
        }
    }

    /// Ends where there is nothing to follow any more: the cluster is gone, or another one has its token.
    async fn check_there(&mut self) -> Result<(), Problem> {
        let Some(snapshot) = self.app.registry.cluster(&self.token).await? else {
            self.pending.push_back(self.subscription.deletion().ok_or_else(Problem::no_such_cluster)?);
            return Ok(());
        };
        match snapshot.cluster.revision.next() < self.from {
            true => Err(Problem::unknown_revision(Revision(self.from.0 - 1), snapshot.cluster.revision)),
            false => Ok(()),
        }
    }

    fn take(&mut self) -> Option<Arc<Event>> {
        let event = self.pending.pop_front()?;
        self.from = event.revision.next();
        Some(event)
    }

    async fn look_back(&mut self) -> Result<(), Unavailable> {
        self.pending = self.app.registry.history(&self.token, self.from).await?.into();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::http::HeaderValue;
    use convene_lifecycle::{Action, Cluster, ClusterSize, Settings};
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
        outrun(&app, &token, 20).await;
        delete(&app, &token).await;
        assert_eq!(follow(&mut follower).await.unwrap().kind, EventKind::ClusterDeleted);
    }

    #[tokio::test]
    async fn who_heard_nothing_of_the_end_of_a_cluster_is_told_that_another_has_its_token() {
        let (_dir, app, token) = app().await;
        outrun(&app, &token, 20).await;
        let mut follower = Follower::new(app.clone(), token.clone(), Some(Revision(21))).await.unwrap();
        delete(&app, &token).await;
        app.registry.create(token.clone(), Settings::default()).await.unwrap();
        outrun(&app, &token, 18).await;
        let problem = serde_json::to_value(follow(&mut follower).await.unwrap_err()).unwrap();
        assert_eq!((&problem["status"], &problem["revision"]), (&410.into(), &19.into()));
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
