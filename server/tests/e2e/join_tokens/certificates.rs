//! Clusters that demand a client certificate with the node's name.

use convene_harness::{http, server::Server, tls::Ca};
use serde_json::json;

use super::client::{Credential, Joining};

#[tokio::test]
async fn a_client_certificate_speaks_for_the_node_of_its_name() {
    let ca = Ca::new();
    let trusted = ca.file();
    let arguments = ["--auth", "on", "--tls-client-ca", trusted.to_str().unwrap()];
    let server = Server::start_with_tls(&ca.node(), &arguments);
    let admin = server.create_api_token(&["--role", "admin", "--name", "test"]);
    let client = |name: &str| http::tls_client(&ca.file(), Some(&ca.client(name)));
    let settings = json!({ "size": 3, "policy": { "join": "certificate" } });
    let infra0 = Joining::by(client("infra0"), server, Some(admin), settings).await;

    infra0.admitted("infra0", &Credential::none()).await;
    infra0.admitted("infra0", &Credential::draw()).await;
    infra0.refused("infra1", &Credential::none(), 403, "certificate-of-other-node").await;
    let without = infra0.through(http::tls_client(&ca.file(), None));
    without.refused("infra0", &Credential::draw(), 401, "certificate-required").await;
    without.through(client("infra1")).admitted("infra1", &Credential::none()).await;
}
