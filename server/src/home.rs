use std::sync::Arc;

use axum::extract::State;

use crate::app::App;

/// Says to whoever comes by what this is and how to begin.
pub async fn home(State(app): State<Arc<App>>) -> String {
    let (url, endpoint) = (&app.public_url, &app.endpoint);
    format!(
        "This is Convene, a discovery service for etcd: etcd nodes that know nothing but a common URL find\n\
         each other here and form a cluster.\n\
         \n\
         1. Make a cluster. The answer is its discovery URL, which is also its secret.\n\
         \n\
         \x20   curl '{url}/new?size=3'\n\
         \n\
         2. On each of the 3 nodes, start etcd with that URL, and with the node's own name and address.\n\
         \n\
         \x20   etcd --name infra0 --discovery DISCOVERY-URL \\\n\
         \x20     --listen-peer-urls http://10.0.0.1:2380 --initial-advertise-peer-urls http://10.0.0.1:2380 \\\n\
         \x20     --listen-client-urls http://10.0.0.1:2379 --advertise-client-urls http://10.0.0.1:2379\n\
         \n\
         \x20  etcd 3.7 takes it apart: --discovery-endpoints {endpoint} --discovery-token TOKEN, where TOKEN is what\n\
         \x20  comes after the last slash. All nodes of a cluster are started in one of the two ways.\n\
         \n\
         3. Look who has come.\n\
         \n\
         \x20   curl DISCOVERY-URL\n\
         \n\
         {url}/docs/ shows what else there is: nodes that are told what to do next for the cluster's whole life, and\n\
         what administrators can do.\n"
    )
}
