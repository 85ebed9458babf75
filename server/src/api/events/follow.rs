use std::{collections::VecDeque, sync::Arc};

use convene_lifecycle::{Event, Revision, Token};

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

/// Why there is no next event.
#[derive(Debug)]
pub enum Ended {
    /// Events that come next have been forgotten, because this follower was too slow.
    Behind,
    /// The database does not answer.
    Unavailable,
}

impl Follower {
    /// Follows from after a revision; `None` is from the oldest event that is remembered.
    pub async fn new(app: Arc<App>, token: Token, after: Option<Revision>) -> Result<Self, Problem> {
        // First subscribe, then look: an event of in between is then seen twice, and not lost.
        let subscription = app.registry.subscribe(&token);
        app.registry.cluster(&token).await?.ok_or_else(Problem::no_such_cluster)?;
        let from = after.map_or(Revision::FIRST, Revision::next);
        let mut follower = Self { app, token, subscription, from, pending: VecDeque::new() };
        follower.look_back().await?;
        if let (Some(first), Some(_)) = (follower.pending.front(), after)
            && first.revision > from
        {
            return Err(Problem::forgotten(first.revision));
        }
        Ok(follower)
    }

    /// The next event if there is one already.
    pub async fn next_present(&mut self) -> Result<Option<Arc<Event>>, Unavailable> {
        if self.pending.is_empty() {
            self.look_back().await?;
        }
        Ok(self.take())
    }

    /// The next event, however long it takes.
    pub async fn next(&mut self) -> Result<Arc<Event>, Ended> {
        loop {
            if let Some(event) = self.take() {
                return Ok(event);
            }
            match self.subscription.next().await {
                Heard::Event(event) if event.revision == self.from => self.pending.push_back(event),
                Heard::Event(event) if event.revision < self.from => {}
                _ => self.catch_up().await?,
            }
        }
    }

    async fn catch_up(&mut self) -> Result<(), Ended> {
        self.look_back().await.map_err(|Unavailable| Ended::Unavailable)?;
        match self.pending.front() {
            Some(first) if first.revision > self.from => Err(Ended::Behind),
            _ => Ok(()),
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
