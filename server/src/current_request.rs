use std::sync::{Arc, OnceLock};

use axum::http::HeaderValue;
use convene_lifecycle::Token;

tokio::task_local! {
    static CURRENT: CurrentRequest;
}

/// The request that a task answers. Each line that the task logs names it.
#[derive(Clone, Debug)]
pub struct CurrentRequest(Arc<Names>);

#[derive(Debug)]
struct Names {
    id: HeaderValue,
    cluster: OnceLock<Token>,
}

impl CurrentRequest {
    /// A request with this ID.
    pub fn new(id: HeaderValue) -> Self {
        Self(Arc::new(Names { id, cluster: OnceLock::new() }))
    }

    /// The request that the present task answers, if it answers one.
    pub fn of_task() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok()
    }

    /// Runs a future as part of the request.
    pub fn scope<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, future)
    }

    /// Names the cluster in the log lines of a request whose path does not. The first one stays.
    pub fn show_cluster(&self, token: &Token) {
        let _ = self.0.cluster.set(token.clone());
    }

    /// The request's ID.
    pub fn id(&self) -> &str {
        self.0.id.to_str().unwrap_or_default()
    }

    /// The cluster, if it is known by something else than the path.
    pub fn cluster(&self) -> Option<&Token> {
        self.0.cluster.get()
    }
}

/// [`CurrentRequest::show_cluster`] for the request that the present task answers.
pub fn show_cluster(token: &Token) {
    if let Some(request) = CurrentRequest::of_task() {
        request.show_cluster(token);
    }
}
