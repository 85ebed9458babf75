use serde::{Deserialize, Serialize};

use super::{problems::Place, rfc3339_millis::Rfc3339Millis};
use crate::store::UsedToken;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsedTokenDocument {
    pub token: String,
    pub at: Rfc3339Millis,
}

impl From<&UsedToken> for UsedTokenDocument {
    fn from(used: &UsedToken) -> Self {
        Self { token: used.token.as_str().to_owned(), at: used.at.into() }
    }
}

impl UsedTokenDocument {
    pub fn read(&self, mut place: Place<'_>) -> Option<UsedToken> {
        let token = place.field("token", self.token.parse());
        let at = place.field("at", self.at.read());
        Some(UsedToken { at: at?, token: token? })
    }
}
