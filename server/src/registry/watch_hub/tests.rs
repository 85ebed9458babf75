use convene_lifecycle::{Action, Cluster, ClusterSize, Revision, UnixMillis};
use futures_util::FutureExt;

use super::{
    recent_events::{RECENT_BYTES, event_bytes},
    *,
};
use crate::store::WriteId;

fn cluster(revision: u64) -> Arc<Snapshot> {
    created(revision, 0)
}

fn created(revision: u64, at: i64) -> Arc<Snapshot> {
    let created = Cluster::create("prod".parse().unwrap(), ClusterSize::DEFAULT, Action::Create, UnixMillis(0));
    let cluster = Cluster { revision: Revision(revision), created_at: UnixMillis(at), ..created.after.unwrap() };
    Arc::new(Snapshot::new(Arc::new(cluster), None))
}

/// The cluster's first event, or one of those after it.
fn event(revision: u64) -> Arc<Event> {
    let created = Cluster::create("prod".parse().unwrap(), ClusterSize::DEFAULT, Action::Create, UnixMillis(0));
    let sized = created.after.unwrap().set_size(ClusterSize::DEFAULT, Action::Set, UnixMillis(0)).unwrap();
    let events = [&created.events[0], &sized.events[0]];
    Arc::new(Event { revision: Revision(revision), ..events[usize::from(revision > 1)].clone() })
}

fn publish(hub: &WatchHub, revision: u64) {
    hub.publish(&event(1).token, &[event(revision)], Some(&cluster(revision)));
}

fn read(hub: &WatchHub, revision: u64) {
    assert!(hub.record_read(&event(1).token, Some(&cluster(revision))), "the cluster is not deleted");
}

fn next(subscription: &mut Subscription) -> Option<Delivery> {
    subscription.next().now_or_never()
}

#[test]
fn a_feed_is_removed_with_its_last_subscriber() {
    let hub = Arc::new(WatchHub::default());
    let token: Token = "prod".parse().unwrap();
    let (one, two) = (hub.subscribe(&token, DeliveredState::Unknown), hub.subscribe(&token, DeliveredState::Unknown));
    drop(one);
    assert_eq!(hub.lock().len(), 1);
    drop(two);
    assert!(hub.lock().is_empty());
}

#[test]
fn a_feed_is_removed_when_its_last_subscribers_leave_at_the_same_time() {
    let hub = Arc::new(WatchHub::default());
    for round in 0..2_000 {
        let token: Token = format!("t{round}").parse().unwrap();
        let both = [hub.subscribe(&token, DeliveredState::Unknown), hub.subscribe(&token, DeliveredState::Unknown)];
        let together = Arc::new(std::sync::Barrier::new(both.len()));
        std::thread::scope(|scope| {
            for one in both {
                let together = together.clone();
                scope.spawn(move || {
                    together.wait();
                    drop(one);
                });
            }
        });
    }
    assert_eq!(hub.lock().len(), 0);
}

#[test]
fn each_subscriber_gets_the_events_after_its_subscription() {
    let hub = Arc::new(WatchHub::default());
    let mut early = hub.subscribe(&event(1).token, DeliveredState::Unknown);
    publish(&hub, 1);
    let mut late = hub.subscribe(&event(1).token, DeliveredState::Unknown);
    assert!(matches!(next(&mut early), Some(Delivery::Event(_))));
    assert!(next(&mut early).is_none() && next(&mut late).is_none());
    publish(&hub, 2);
    assert!(matches!((next(&mut early), next(&mut late)), (Some(Delivery::Event(_)), Some(Delivery::Event(_)))));
}

#[tokio::test]
async fn a_waiting_subscriber_is_woken() {
    let hub = Arc::new(WatchHub::default());
    let mut subscription = hub.subscribe(&event(1).token, DeliveredState::Unknown);
    let waiter = tokio::spawn(async move { matches!(subscription.next().await, Delivery::Event(_)) });
    tokio::task::yield_now().await;
    publish(&hub, 1);
    assert!(waiter.await.unwrap());
}

#[test]
fn a_slow_subscriber_lags_once_and_gets_the_events_that_are_kept() {
    let hub = Arc::new(WatchHub::default());
    let mut subscription = hub.subscribe(&event(1).token, DeliveredState::Unknown);
    let many = 2 * RECENT_BYTES / event_bytes(&event(2));
    (0..many).for_each(|n| publish(&hub, n as u64 + 1));
    assert!(subscription.feed.lock().bytes() <= RECENT_BYTES);
    assert!(matches!(next(&mut subscription), Some(Delivery::Lagged)));
    let rest =
        std::iter::from_fn(|| next(&mut subscription)).map(|delivery| assert!(matches!(delivery, Delivery::Event(_))));
    let rest = rest.count();
    assert!((many / 3..many * 2 / 3).contains(&rest), "{rest} of {many}");
}

#[test]
fn an_event_that_is_published_twice_is_delivered_once() {
    let hub = Arc::new(WatchHub::default());
    let mut subscription = hub.subscribe(&event(1).token, DeliveredState::Cluster(cluster(1)));
    [2, 2].iter().for_each(|revision| publish(&hub, *revision));
    assert!(hub.publish_replicated(
        &event(1).token,
        &DeliveredState::Cluster(cluster(2)),
        &[event(2)],
        Some(&cluster(2))
    ));
    assert!(matches!(next(&mut subscription), Some(Delivery::Event(event)) if event.revision == Revision(2)));
    assert!(next(&mut subscription).is_none());
}

#[test]
fn a_missing_event_makes_subscribers_lag() {
    let hub = Arc::new(WatchHub::default());
    let mut subscription = hub.subscribe(&event(1).token, DeliveredState::Cluster(cluster(1)));
    publish(&hub, 4);
    assert!(matches!(next(&mut subscription), Some(Delivery::Lagged)));
    assert!(matches!(next(&mut subscription), Some(Delivery::Event(event)) if event.revision == Revision(4)));
    let before = DeliveredState::Cluster(cluster(3));
    let is_published = hub.publish_replicated(&event(1).token, &before, &[event(5)], Some(&cluster(5)));
    assert!(!is_published && next(&mut subscription).is_none(), "the feed has moved on since");
}

#[test]
fn the_first_known_state_makes_subscribers_read_the_history() {
    let hub = Arc::new(WatchHub::default());
    let mut subscription = hub.subscribe(&event(1).token, DeliveredState::Unknown);
    assert!(hub.publish_replicated(&event(1).token, &DeliveredState::Unknown, &[], Some(&cluster(7))));
    assert!(matches!(next(&mut subscription), Some(Delivery::Lagged)));
    assert!(next(&mut subscription).is_none());
}

#[test]
fn a_reader_of_an_older_state_lags_instead_of_waiting_for_events_that_are_never_delivered() {
    let hub = Arc::new(WatchHub::default());
    let mut subscription = hub.subscribe(&event(1).token, DeliveredState::Unknown);
    read(&hub, 7);
    assert!(next(&mut subscription).is_none());
    read(&hub, 6);
    assert!(matches!(next(&mut subscription), Some(Delivery::Lagged)));
    publish(&hub, 8);
    read(&hub, 7);
    assert!(matches!(next(&mut subscription), Some(Delivery::Event(_))));
    assert!(next(&mut subscription).is_none());
}

#[test]
fn a_state_that_was_read_stays_the_latest_until_it_is_delivered() {
    let (hub, token) = (Arc::new(WatchHub::default()), &event(1).token);
    let _subscription = hub.subscribe(token, DeliveredState::Cluster(cluster(5)));
    let latest = || match hub.latest_state(token) {
        Some(DeliveredState::Cluster(latest)) => latest.cluster.revision.0,
        other => panic!("{other:?}"),
    };
    [7, 6].iter().for_each(|revision| read(&hub, *revision));
    assert_eq!(latest(), 7);
    publish(&hub, 6);
    assert_eq!(latest(), 7);
    publish(&hub, 8);
    assert_eq!(latest(), 8);
    let again = created(9, 9);
    assert!(hub.record_read(token, Some(&again)));
    assert_eq!(latest(), 8, "the deletion of the delivered cluster is still missing");
    assert!(hub.publish_replicated(token, &DeliveredState::Cluster(cluster(8)), &[], None));
    assert!(matches!(hub.latest_state(token), Some(DeliveredState::NoCluster)));
}

#[test]
fn a_cluster_that_is_created_again_starts_with_the_deletion_of_the_old_one() {
    let hub = Arc::new(WatchHub::default());
    let mut subscription = hub.subscribe(&event(1).token, DeliveredState::Cluster(cluster(5)));
    let again = created(2, 9);
    assert!(hub.publish_replicated(
        &event(1).token,
        &DeliveredState::Cluster(cluster(5)),
        &[event(1), event(2)],
        Some(&again)
    ));
    let delivered: Vec<_> = std::iter::from_fn(|| next(&mut subscription))
        .map(|delivery| match delivery {
            Delivery::Event(event) => (event.kind, event.revision.0),
            Delivery::Lagged | Delivery::HistoryLost => panic!("no event is missing"),
        })
        .collect();
    assert_eq!(delivered, [(EventKind::ClusterDeleted, 6), (EventKind::ClusterCreated, 1), (EventKind::SizeSet, 2)]);
}

#[test]
fn a_deletion_is_delivered_once() {
    let hub = Arc::new(WatchHub::default());
    let mut subscription = hub.subscribe(&event(1).token, DeliveredState::Cluster(cluster(5)));
    let deletion = Arc::new(cluster(5).cluster.delete(UnixMillis(0)).events[0].clone());
    for _ in 0..2 {
        hub.publish(&event(1).token, std::slice::from_ref(&deletion), None);
    }
    assert!(matches!(next(&mut subscription), Some(Delivery::Event(_))));
    assert!(next(&mut subscription).is_none());
}

#[test]
fn a_deletion_by_another_server_is_made_from_the_latest_state_that_was_read() {
    let hub = Arc::new(WatchHub::default());
    let mut subscription = hub.subscribe(&event(1).token, DeliveredState::Cluster(cluster(5)));
    read(&hub, 7);
    assert!(hub.publish_replicated_deletion(&event(1).token, &DeliveredState::Cluster(cluster(5)), UnixMillis(9)));
    assert!(subscription.deletion().is_some_and(|deletion| deletion.revision == Revision(8)));
}

#[test]
fn a_state_that_was_read_before_the_deletion_does_not_count_after_it() {
    let (hub, token) = (Arc::new(WatchHub::default()), &event(1).token);
    let _subscription = hub.subscribe(token, DeliveredState::Cluster(cluster(5)));
    assert!(hub.publish_replicated_deletion(token, &DeliveredState::Cluster(cluster(5)), UnixMillis(9)));
    assert!(!hub.record_read(token, Some(&cluster(7))));
    assert!(hub.record_read(token, None));
    let again = created(1, 9);
    assert!(hub.record_read(token, Some(&again)));
}

/// The cluster at a revision that a write has made, whose ID is not that of any other write.
fn written(revision: u64) -> Arc<Snapshot> {
    Arc::new(Snapshot::new(cluster(revision).cluster.clone(), Some(WriteId::draw())))
}

#[test]
fn a_subscriber_learns_once_that_the_database_has_lost_what_was_delivered() {
    let (hub, token) = (Arc::new(WatchHub::default()), &event(1).token);
    let (lost, present) = (written(5), written(5));
    let mut subscription = hub.subscribe(token, DeliveredState::Cluster(cluster(4)));
    assert!(hub.publish_on(token, Some(cluster(4).stamp()), &[event(5)], Some(&lost)));
    assert!(!hub.publish_on(token, Some(present.stamp()), &[event(6)], Some(&written(6))), "it is another history");
    assert!(hub.forget(token, &DeliveredState::Cluster(lost.clone()), &present));
    assert!(!hub.forget(token, &DeliveredState::Cluster(lost), &present), "it is forgotten already");
    let mut late = hub.subscribe(token, DeliveredState::Unknown);
    assert!(hub.publish_on(token, Some(present.stamp()), &[event(6)], Some(&written(6))));
    assert!(matches!(next(&mut subscription), Some(Delivery::HistoryLost)));
    for subscription in [&mut subscription, &mut late] {
        assert!(matches!(next(subscription), Some(Delivery::Event(event)) if event.revision == Revision(6)));
        assert!(next(subscription).is_none());
    }
}

#[test]
fn a_change_is_not_delivered_before_those_of_other_servers_that_it_follows() {
    let (hub, token) = (Arc::new(WatchHub::default()), &event(1).token);
    let mut subscription = hub.subscribe(token, DeliveredState::Cluster(cluster(5)));
    assert!(!hub.publish_on(token, Some(cluster(6).stamp()), &[event(7)], Some(&cluster(7))));
    assert!(next(&mut subscription).is_none());
    assert!(hub.publish_replicated(
        token,
        &DeliveredState::Cluster(cluster(5)),
        &[event(6), event(7)],
        Some(&cluster(7))
    ));
    assert!(matches!(next(&mut subscription), Some(Delivery::Event(event)) if event.revision == Revision(6)));
}
