use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Mutex, RwLock},
    time::{Duration, Instant},
};

use convene_lifecycle::{SecretHash, UnixMillis};

use super::{ApiToken, ApiTokenId, Denial, Role};
use crate::{
    registry::{Unavailable, unavailable},
    secret::hash_of,
    store::{Store, StoreError},
};

/// How often a server looks for tokens that others have created or revoked.
pub const REFRESH_EVERY: Duration = Duration::from_secs(1);

/// A secret that is not in memory may be a new one. Guessing may make the server ask the database this often, and no more.
const REFRESH_AT_MOST: Duration = Duration::from_millis(100);

/// The API tokens, in memory. A request never waits for the database, unless its token is not known.
pub struct TokenBook {
    store: Arc<Store>,
    loaded: RwLock<Arc<Loaded>>,
    last_refresh: tokio::sync::Mutex<Instant>,
    /// When tokens were used, as far as it is not written yet.
    uses: Mutex<HashMap<ApiTokenId, UnixMillis>>,
}

struct Loaded {
    generation: i64,
    by_hash: HashMap<SecretHash, Arc<ApiToken>>,
    /// Whether any token of an administrator is valid, as far as it was not expired when it was read.
    administrators: Vec<Arc<ApiToken>>,
}

impl TokenBook {
    /// Reads all tokens.
    pub async fn read(store: Arc<Store>) -> Result<Self, StoreError> {
        let loaded = Loaded::read(&store).await?;
        Ok(Self {
            store,
            loaded: RwLock::new(Arc::new(loaded)),
            last_refresh: tokio::sync::Mutex::new(Instant::now()),
            uses: Mutex::default(),
        })
    }

    /// The valid token with this secret.
    pub async fn find(&self, secret: &str, now: UnixMillis) -> Result<Arc<ApiToken>, Denial> {
        let hash = hash_of(secret);
        let mut found = self.loaded().by_hash.get(&hash).cloned();
        if found.is_none() {
            self.refresh_for_unknown().await;
            found = self.loaded().by_hash.get(&hash).cloned();
        }
        let token = check(found, now)?;
        self.uses.lock().expect("no holder panics").insert(token.id.clone(), now);
        Ok(token)
    }

    /// The token with this hash, if it is valid as far as this server knows. Does not count as a use.
    pub fn valid(&self, hash: SecretHash, now: UnixMillis) -> Result<Arc<ApiToken>, Denial> {
        check(self.loaded().by_hash.get(&hash).cloned(), now)
    }

    /// Adds a token, which is valid on this server at once.
    pub async fn create(&self, hash: SecretHash, token: &ApiToken) -> Result<(), Unavailable> {
        self.store.create_api_token(hash, token).await.map_err(unavailable)?;
        self.refresh().await.map_err(unavailable)
    }

    /// Every token, the oldest first.
    pub async fn list(&self) -> Result<Vec<ApiToken>, Unavailable> {
        // So that the list has the last uses.
        self.flush_uses().await.map_err(unavailable)?;
        let tokens = self.store.api_tokens().await.map_err(unavailable)?;
        Ok(tokens.into_iter().map(|(_, token)| token).collect())
    }

    /// Revokes a token, on this server at once. Returns whether there is one.
    pub async fn revoke(&self, id: &ApiTokenId, now: UnixMillis) -> Result<bool, Unavailable> {
        let found = self.store.revoke_api_token(id, now).await.map_err(unavailable)?;
        self.refresh().await.map_err(unavailable)?;
        Ok(found)
    }

    /// Whether there is a token with this hash, a valid one or not.
    pub fn has(&self, hash: SecretHash) -> bool {
        self.loaded().by_hash.contains_key(&hash)
    }

    /// Whether an administrator has a valid token.
    pub fn has_administrator(&self, now: UnixMillis) -> bool {
        self.loaded().administrators.iter().any(|token| token.expires_at.is_none_or(|expires_at| expires_at > now))
    }

    /// Reads the tokens again if any has changed.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        let mut last = self.last_refresh.lock().await;
        *last = Instant::now();
        self.refresh_now().await
    }

    /// Writes when tokens were used.
    pub async fn flush_uses(&self) -> Result<(), StoreError> {
        let uses = mem::take(&mut *self.uses.lock().expect("no holder panics"));
        if uses.is_empty() { Ok(()) } else { self.store.record_api_token_uses(&uses).await }
    }

    /// Reads what has changed until now, also for others who wait here.
    async fn refresh_for_unknown(&self) {
        let arrived = Instant::now();
        let mut last = self.last_refresh.lock().await;
        if *last >= arrived {
            return;
        }
        tokio::time::sleep(REFRESH_AT_MOST.saturating_sub(last.elapsed())).await;
        let begun = Instant::now();
        // If the database is down, that has been logged, and the tokens in memory decide.
        let _ = self.refresh_now().await;
        *last = begun;
    }

    async fn refresh_now(&self) -> Result<(), StoreError> {
        let generation = self.store.api_token_generation().await?;
        if generation != self.loaded().generation {
            let loaded = Loaded::read(&self.store).await?;
            *self.loaded.write().expect("no holder panics") = Arc::new(loaded);
        }
        Ok(())
    }

    fn loaded(&self) -> Arc<Loaded> {
        self.loaded.read().expect("no holder panics").clone()
    }
}

fn check(found: Option<Arc<ApiToken>>, now: UnixMillis) -> Result<Arc<ApiToken>, Denial> {
    let token = found.ok_or(Denial::UnknownCredential)?;
    let id = || token.id.as_str().to_owned();
    if token.revoked_at.is_some() {
        return Err(Denial::Revoked { id: id() });
    }
    if token.expires_at.is_some_and(|expires_at| expires_at <= now) {
        return Err(Denial::Expired { id: id() });
    }
    Ok(token)
}

impl Loaded {
    async fn read(store: &Store) -> Result<Self, StoreError> {
        // The generation first: a change in between is then read twice instead of being missed.
        let generation = store.api_token_generation().await?;
        let by_hash: HashMap<SecretHash, Arc<ApiToken>> =
            store.api_tokens().await?.into_iter().map(|(hash, token)| (hash, Arc::new(token))).collect();
        let is_administrator = |token: &&Arc<ApiToken>| token.role == Role::Admin && token.revoked_at.is_none();
        let administrators = by_hash.values().filter(is_administrator).cloned().collect();
        Ok(Self { generation, by_hash, administrators })
    }
}
