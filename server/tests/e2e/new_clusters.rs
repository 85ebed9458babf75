//! Who may create clusters by `/new`, v2 and v3.

use convene_harness::{http, server::Server};
use serde_json::{Value, json};

/// `/_etcd/registry/prod/_config/size` and `3`, in base64.
const SIZE_KEY: &str = "L19ldGNkL3JlZ2lzdHJ5L3Byb2QvX2NvbmZpZy9zaXpl";
const THREE: &str = "Mw==";

/// Tries to create a cluster by each protocol, and returns the statuses and answers.
async fn create(server: &Server, credential: Option<&str>) -> Vec<(u16, String)> {
    let with = |request: reqwest::RequestBuilder| match credential {
        Some(secret) => request.bearer_auth(secret),
        None => request,
    };
    let (client, url) = (http::client(), &server.url);
    let requests = [
        client.get(format!("{url}/new")),
        client.post(format!("{url}/new")).form(&[("size", "5")]),
        client.put(format!("{url}/v2/keys/_etcd/registry/mine/_config/size")).form(&[("value", "3")]),
        client.post(format!("{url}/v3/kv/put")).json(&json!({ "key": SIZE_KEY, "value": THREE })),
    ];
    let mut answers = Vec::new();
    for request in requests {
        let answer = with(request).send().await.unwrap();
        answers.push((answer.status().as_u16(), answer.text().await.unwrap()));
    }
    answers
}

#[tokio::test]
async fn with_new_admin_only_administrators_create_clusters_and_others_learn_how_to_get_one() {
    let (server, admin) = Server::start_with_auth(&["--new", "admin"]);
    let reader = server.create_api_token(&["--role", "reader", "--name", "reader"]);
    for (credential, statuses) in [(None, [401, 401, 401, 403]), (Some(&*reader), [403; 4])] {
        let refused = create(&server, credential).await;
        assert_eq!(refused.iter().map(|(status, _)| *status).collect::<Vec<_>>(), statuses);
        for (_, text) in refused {
            assert!(text.contains("ask one for a discovery URL"), "{text}");
        }
    }
    let list = http::client().get(format!("{}/v1/clusters", server.url)).bearer_auth(&admin).send();
    let list: Value = list.await.unwrap().json().await.unwrap();
    assert_eq!(list["clusters"], json!([]));
    let made = create(&server, Some(&admin)).await;
    assert_eq!(made.iter().map(|(status, _)| *status).collect::<Vec<_>>(), [200, 200, 201, 200]);
}

#[tokio::test]
async fn with_new_open_everyone_creates_clusters() {
    let (server, admin) = Server::start_with_auth(&[]);
    let made = create(&server, None).await;
    assert_eq!(made.iter().map(|(status, _)| *status).collect::<Vec<_>>(), [200, 200, 201, 200]);
    // Nobody is there to hand out a join token.
    let list = http::client().get(format!("{}/v1/clusters", server.url)).bearer_auth(&admin).send();
    let list: Value = list.await.unwrap().json().await.unwrap();
    let policies = list["clusters"].as_array().unwrap().iter().map(|cluster| &cluster["policy"]["join"]);
    assert_eq!(policies.collect::<Vec<_>>(), ["open"; 4]);
}
