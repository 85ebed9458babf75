use std::sync::Arc;

use convene_lifecycle::{Event, Revision, Token};

use crate::{
    api::problem::Problem,
    app::App,
    metrics::WaitKind,
    registry::{self, FollowStep},
};

/// Follows an existing cluster from a revision on.
pub struct Follower {
    app: Arc<App>,
    follower: registry::Follower,
    seen: Revision,
}

impl Follower {
    /// Follows the events after a revision; `None` begins with the oldest retained event.
    pub async fn new(app: Arc<App>, token: Token, after: Option<Revision>) -> Result<Self, Problem> {
        let seen = after.unwrap_or(Revision(0));
        // Subscribe first, then read: an event in between is then seen twice instead of being lost.
        let mut follower = app.registry.follow(&token, seen.next(), WaitKind::Events);
        let known = app.registry.latest_known(&token).await?.ok_or_else(Problem::no_such_cluster)?;
        let present = known.snapshot.cluster.revision;
        // The snapshot in memory may be older than the history that a client has read, so the history decides.
        if seen > present && app.registry.history(&token, seen).await?.is_empty() {
            return Err(Problem::unknown_revision(seen, present));
        }
        match (follower.oldest_if_compacted(&app.registry).await?, after) {
            (Some(oldest), Some(_)) => return Err(Problem::forgotten(oldest)),
            (Some(oldest), None) => follower.resume_from(oldest),
            (None, _) => {}
        }
        Ok(Self { app, follower, seen })
    }

    /// The next event, if it is available now.
    pub async fn next_present(&mut self) -> Result<Option<Arc<Event>>, Problem> {
        let step = self.follower.next_available(&self.app.registry).await?;
        step.map(|step| self.event(step)).transpose()
    }

    /// Waits for the next event. The last event is the cluster's deletion.
    pub async fn next(&mut self) -> Result<Arc<Event>, Problem> {
        let step = self.follower.next(&self.app.registry).await?;
        self.event(step)
    }

    fn event(&mut self, step: FollowStep) -> Result<Arc<Event>, Problem> {
        match step {
            FollowStep::Event(event) => {
                self.seen = event.revision;
                Ok(event)
            }
            FollowStep::Compacted { oldest } => Err(Problem::forgotten(oldest)),
            FollowStep::FutureRevision { current } => Err(Problem::unknown_revision(self.seen, current)),
            FollowStep::HistoryLost => Err(Problem::history_lost()),
            FollowStep::NoCluster => Err(Problem::no_such_cluster()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use convene_lifecycle::{Actor, EventKind, Settings};

    use super::*;
    use crate::app::testing::{app, delete, set_size};

    async fn follow(follower: &mut Follower) -> Result<Arc<Event>, Problem> {
        tokio::time::timeout(Duration::from_secs(5), follower.next())
            .await
            .expect("waits for an event that never comes")
    }

    #[tokio::test]
    async fn a_follower_that_lags_at_the_end_of_a_cluster_receives_the_deletion() {
        let (_dir, app, token) = app().await;
        let mut follower = Follower::new(app.clone(), token.clone(), Some(Revision::FIRST)).await.unwrap();
        set_size(&app, &token, 1_000).await;
        delete(&app, &token).await;
        assert_eq!(follow(&mut follower).await.unwrap().kind, EventKind::ClusterDeleted);
    }

    #[tokio::test]
    async fn a_follower_that_missed_the_deletion_is_refused_if_a_new_cluster_has_the_token() {
        let (_dir, app, token) = app().await;
        set_size(&app, &token, 1_200).await;
        let mut follower = Follower::new(app.clone(), token.clone(), Some(Revision(1_201))).await.unwrap();
        delete(&app, &token).await;
        app.registry.create(token.clone().try_into().unwrap(), &Actor::server(), Settings::default()).await.unwrap();
        set_size(&app, &token, 1_000).await;
        let problem = serde_json::to_value(follow(&mut follower).await.unwrap_err()).unwrap();
        assert_eq!((&problem["status"], &problem["revision"]), (&410.into(), &1_001.into()));
    }

    #[tokio::test]
    async fn a_follower_that_lags_behind_the_history_gets_the_oldest_revision() {
        let (_dir, app, token) = app().await;
        let mut follower = Follower::new(app.clone(), token.clone(), Some(Revision::FIRST)).await.unwrap();
        set_size(&app, &token, 1_300).await;
        let problem = serde_json::to_value(follow(&mut follower).await.unwrap_err()).unwrap();
        assert_eq!(problem["status"], 410);
        assert!(problem["revision"].as_u64().unwrap() > 100, "{problem}");
    }

    #[tokio::test]
    async fn following_from_a_future_revision_is_refused() {
        let (_dir, app, token) = app().await;
        let follow = |after| Follower::new(app.clone(), token.clone(), Some(Revision(after)));
        assert!(follow(1).await.is_ok());
        let problem = serde_json::to_value(follow(2).await.err().unwrap()).unwrap();
        assert_eq!((&problem["status"], &problem["revision"]), (&410.into(), &1.into()));
    }
}
