use convene_lifecycle::Token;

/// The first segments of the paths that are not about a cluster.
const RESERVED: [&str; 9] = ["docs", "health", "livez", "new", "openapi.yaml", "readyz", "robots.txt", "v1", "v2"];

/// Whether the discovery URL of a token would be another URL of this server.
pub fn is_reserved(token: &Token) -> bool {
    RESERVED.contains(&token.as_str())
}
