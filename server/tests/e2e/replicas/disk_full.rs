//! The disk of the database is full for a while.

use std::time::{Duration, Instant};

use convene_harness::{Postgres, http, server::Server};

use super::{LIMIT, members, register};

const PAUSE: Duration = Duration::from_millis(20);

#[tokio::test(flavor = "multi_thread")]
async fn a_server_keeps_reading_while_the_disk_of_its_database_is_full() {
    let Some(postgres) = Postgres::start_on_small_disk() else { return };
    let server = Server::start_on(&postgres.create_database(), &[]);
    let cluster = server.new_cluster(3).await;
    assert_eq!(register(&cluster, 1).send().await.unwrap().status(), 201);

    let begun = Instant::now();
    postgres.fill_disk();
    let mut made = 0;
    while let Some(token) = create(&server).await {
        made += 1;
        assert!(begun.elapsed() < LIMIT, "{made} clusters fit on a full disk, such as {token}");
    }
    eprintln!("{made} clusters still fit");
    let mut slowest = Duration::ZERO;
    for _ in 0..10 {
        let asked = Instant::now();
        let shown = http::get(&cluster).await.unwrap();
        let status = shown.status();
        assert_eq!(status, 200, "{}", shown.text().await.unwrap());
        slowest = slowest.max(asked.elapsed());
        assert!(create(&server).await.is_none(), "{}", postgres.log());
    }
    eprintln!("read within {slowest:?}");

    postgres.free_disk();
    let freed = Instant::now();
    while create(&server).await.is_none() {
        assert!(freed.elapsed() < LIMIT, "writes still fail: {}\n{}", server.output(), postgres.log());
        tokio::time::sleep(PAUSE).await;
    }
    eprintln!("written again after {:?}", freed.elapsed());
    for n in [2, 3] {
        assert_eq!(members(&cluster).await, n - 1);
        assert_eq!(register(&cluster, n).send().await.unwrap().status(), 201);
    }
}

/// The URL of a new cluster; none if the answer is 503.
async fn create(server: &Server) -> Option<String> {
    let made = http::get(format!("{}/new?size=3", server.url)).await.unwrap();
    let (status, text) = (made.status(), made.text().await.unwrap());
    assert!(status == 200 || status == 503, "{status} {text}\n{}", server.output());
    (status == 200).then_some(text)
}
