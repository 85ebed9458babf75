use convene_lifecycle::Token;

use super::{Registry, Unavailable, unavailable};

impl Registry {
    /// Frees the token of a deleted cluster that had members, so that a new cluster can have it. Returns whether it was used.
    ///
    /// No server remembers used tokens: the committer reads them with each batch of writes. So the token is free on all servers
    /// of the database at once.
    pub async fn forget_used(&self, token: &Token) -> Result<bool, Unavailable> {
        self.store.forget_used(token).await.map_err(unavailable)
    }
}
