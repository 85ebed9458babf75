use std::sync::Arc;

use convene_lifecycle::{Event, Revision, Token};

use crate::{
    api::problem::Problem,
    app::App,
    registry::{self, FollowStep},
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
        match (follower.oldest_if_compacted(&app.registry).await?, after) {
            (Some(oldest), Some(_)) => return Err(Problem::forgotten(oldest)),
            (Some(oldest), None) => follower.resume_from(oldest),
            (None, _) => {}
        }
        Ok(Self { app, follower, seen })
    }

    /// The next event if there is one already.
    pub async fn next_present(&mut self) -> Result<Option<Arc<Event>>, Problem> {
        let step = self.follower.next_available(&self.app.registry).await?;
        step.map(|step| self.event(step)).transpose()
    }

    /// The next event, however long it takes. The last is the cluster's deletion.
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
            FollowStep::NoCluster => Err(Problem::no_such_cluster()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use convene_lifecycle::{EventKind, Settings};

    use super::*;
    use crate::app::testing::{app, delete, set_size};

    async fn follow(follower: &mut Follower) -> Result<Arc<Event>, Problem> {
        tokio::time::timeout(Duration::from_secs(5), follower.next()).await.expect("waits for what never comes")
    }

    #[tokio::test]
    async fn who_was_too_slow_for_the_last_events_of_a_cluster_hears_of_its_end() {
        let (_dir, app, token) = app().await;
        let mut follower = Follower::new(app.clone(), token.clone(), Some(Revision::FIRST)).await.unwrap();
        set_size(&app, &token, 1_000).await;
        delete(&app, &token).await;
        assert_eq!(follow(&mut follower).await.unwrap().kind, EventKind::ClusterDeleted);
    }

    #[tokio::test]
    async fn who_heard_nothing_of_the_end_of_a_cluster_is_told_that_another_has_its_token() {
        let (_dir, app, token) = app().await;
        set_size(&app, &token, 1_200).await;
        let mut follower = Follower::new(app.clone(), token.clone(), Some(Revision(1_201))).await.unwrap();
        delete(&app, &token).await;
        app.registry.create(token.clone().try_into().unwrap(), Settings::default()).await.unwrap();
        set_size(&app, &token, 1_000).await;
        let problem = serde_json::to_value(follow(&mut follower).await.unwrap_err()).unwrap();
        assert_eq!((&problem["status"], &problem["revision"]), (&410.into(), &1_001.into()));
    }

    #[tokio::test]
    async fn who_was_too_slow_for_the_history_is_told_where_it_begins() {
        let (_dir, app, token) = app().await;
        let mut follower = Follower::new(app.clone(), token.clone(), Some(Revision::FIRST)).await.unwrap();
        set_size(&app, &token, 1_300).await;
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
