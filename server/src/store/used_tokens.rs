use convene_lifecycle::Token;

use super::{Store, StoreError, statement::Statement};

impl Store {
    /// Forgets that a deleted cluster used this token. Returns whether one did. A second call changes nothing, so the caller may
    /// repeat one whose outcome is unknown.
    ///
    /// # Errors
    ///
    /// If the database does not answer, also when it is asked again.
    pub async fn forget_used(&self, token: &Token) -> Result<bool, StoreError> {
        match self.forget_used_once(token).await {
            Err(error) if self.may_retry(&error) => self.forget_used_once(token).await,
            result => result,
        }
    }

    async fn forget_used_once(&self, token: &Token) -> Result<bool, StoreError> {
        let forget = Statement::new("delete from used_token where token = $1").bind(token.as_str());
        let mut transaction = self.begin().await?;
        let forgotten = transaction.with_timeout(async |connection| Ok(connection.execute(forget).await?)).await?;
        transaction.commit().await?;
        Ok(forgotten > 0)
    }
}
