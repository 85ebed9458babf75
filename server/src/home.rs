use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, Uri},
};

use crate::app::App;

/// Introduces Convene and shows the first steps.
pub async fn home(State(app): State<Arc<App>>, uri: Uri, headers: HeaderMap) -> String {
    let url = app.url_as_asked(&uri, &headers);
    let endpoint = if app.has_public_url { &app.endpoint } else { &url };
    format!(
        "This is Convene, a discovery service for etcd. etcd nodes that share a discovery URL find each other\n\
         here and form a cluster.\n\
         \n\
         1. Create a cluster. The response is its discovery URL. Keep it secret, like a password.\n\
         \n\
         \x20   curl '{url}/new?size=3'\n\
         \n\
         2. Start etcd on each of the 3 nodes with the discovery URL and the node's own name and address.\n\
         \n\
         \x20   etcd --name infra0 --discovery DISCOVERY-URL \\\n\
         \x20     --listen-peer-urls http://10.0.0.1:2380 --initial-advertise-peer-urls http://10.0.0.1:2380 \\\n\
         \x20     --listen-client-urls http://10.0.0.1:2379 --advertise-client-urls http://10.0.0.1:2379\n\
         \n\
         \x20  etcd 3.7 needs two flags instead: --discovery-endpoints {endpoint} --discovery-token TOKEN. TOKEN is\n\
         \x20  the last segment of the URL. Use the same flags on all nodes of a cluster.\n\
         \n\
         3. List the registered nodes.\n\
         \n\
         \x20   curl DISCOVERY-URL\n\
         \n\
         {url}/docs/ documents the whole API, for nodes and for administrators.\n"
    )
}
