//! The one way to write.

use std::sync::Arc;

use convene_lifecycle::{
    Action, Actor, Cluster, Event, NewClusterToken, PublicId, Settings, Token, Transition, UnixMillis,
};
use tokio::{sync::oneshot, time::Instant};

use super::{Registry, Unavailable, WriteError};
use crate::store::LivenessRecord;

/// What a decision needs to know, and therefore what the committer reads for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing, because the token was drawn for this write. If a cluster has the token after all, the commit fails and is
    /// tried again with [`Needs::Cluster`].
    NewToken,
    /// The cluster.
    Cluster,
    /// The cluster, and the liveness that the servers of a shared database have written.
    Liveness,
}

/// What a decision is based on.
#[derive(Debug)]
pub struct Inputs<'a> {
    /// The cluster with all changes before this one; `None` if there is no such cluster.
    pub cluster: Option<&'a Cluster>,
    /// The stored liveness. `None` unless the write [needs](Needs::Liveness) it and there is such a cluster. The committer
    /// writes what the decision changes in it.
    pub liveness: Option<&'a mut LivenessRecord>,
    /// The time at which the change happens.
    pub now: UnixMillis,
}

/// A committed change.
#[derive(Clone, Debug)]
pub struct Committed {
    /// The cluster's public name.
    pub id: PublicId,
    /// The cluster right after the change; `None` if the change deleted it.
    pub after: Option<Arc<Cluster>>,
    /// The events of the change, at least one.
    pub events: Vec<Arc<Event>>,
}

/// A write in the committer's queue.
pub(super) struct Job {
    pub token: Token,
    /// Who asks for the change.
    pub actor: Actor,
    pub needs: Needs,
    pub write: Box<dyn QueuedWrite>,
    /// Since when another session has locked the cluster's row; `None` if it has not, as far as is known.
    pub blocked_since: Option<Instant>,
}

/// A decision, and the caller who waits for its result. Hides the type that the decision returns to its caller.
pub(super) trait QueuedWrite: Send {
    /// Decides on a change; `None` changes nothing. Called again if the commit conflicts with another one.
    fn decide(&mut self, inputs: Inputs<'_>) -> Option<Transition>;

    /// Returns the result to the caller, with what the last decision returned. It is lost if the caller has gone.
    fn reply(self: Box<Self>, result: Result<Option<Committed>, WriteError>);
}

struct Decision<D, T> {
    decide: D,
    /// What the last call of `decide` returned to the caller.
    returned: Option<T>,
    caller: oneshot::Sender<Result<(Option<Committed>, T), WriteError>>,
}

impl<D, T> QueuedWrite for Decision<D, T>
where
    D: FnMut(Inputs<'_>) -> (Option<Transition>, T) + Send,
    T: Send,
{
    fn decide(&mut self, inputs: Inputs<'_>) -> Option<Transition> {
        let (transition, returned) = (self.decide)(inputs);
        self.returned = Some(returned);
        transition
    }

    fn reply(self: Box<Self>, result: Result<Option<Committed>, WriteError>) {
        let Self { returned, caller, .. } = *self;
        let returned = |committed| (committed, returned.expect("the committer decides before it replies"));
        let _ = caller.send(result.map(returned));
    }
}

impl Registry {
    /// Decides on a change of a cluster, commits it, and returns the change with what `decide` returned along with it.
    ///
    /// Decisions on a cluster happen one after another, each on the result of the one before. `decide` runs again if the
    /// commit conflicts with another server's; only its last result is returned. The change happens even if the caller
    /// stops waiting.
    pub async fn transact<T: Send + 'static>(
        &self,
        token: &Token,
        actor: &Actor,
        needs: Needs,
        decide: impl FnMut(Inputs<'_>) -> (Option<Transition>, T) + Send + 'static,
    ) -> Result<(Option<Committed>, T), WriteError> {
        let (caller, result) = oneshot::channel();
        let write = Box::new(Decision { decide, returned: None, caller });
        let job = Job { token: token.clone(), actor: actor.clone(), needs, write, blocked_since: None };
        self.jobs.send(job).await.map_err(|_| Unavailable)?;
        result.await.map_err(|_| Unavailable)?
    }

    /// [`Registry::transact`] for a decision that either changes the cluster or refuses with a reason.
    pub async fn update<R: Send + 'static>(
        &self,
        token: &Token,
        actor: &Actor,
        decide: impl Fn(Option<&Cluster>, UnixMillis) -> Result<Transition, R> + Send + 'static,
    ) -> Result<Result<Committed, R>, WriteError> {
        let decide = move |inputs: Inputs<'_>| match decide(inputs.cluster, inputs.now) {
            Ok(transition) => (Some(transition), Ok(())),
            Err(reason) => (None, Err(reason)),
        };
        let (committed, decided) = self.transact(token, actor, Needs::Cluster, decide).await?;
        Ok(decided.map(|()| committed.expect("the decision made a change")))
    }

    /// Creates a cluster under a token that was drawn for it.
    pub async fn create(
        &self,
        token: NewClusterToken,
        actor: &Actor,
        settings: Settings,
    ) -> Result<Committed, WriteError> {
        let named = token.clone();
        let decide = move |inputs: Inputs<'_>| match inputs.cluster {
            None => (Some(Cluster::create_with(named.clone(), &settings, Action::Create, inputs.now)), ()),
            Some(_) => (None, ()),
        };
        let (committed, ()) = self.transact(&token, actor, Needs::NewToken, decide).await?;
        // If 116 random bits are taken, something is wrong; the caller may try again.
        Ok(committed.ok_or(Unavailable)?)
    }
}
