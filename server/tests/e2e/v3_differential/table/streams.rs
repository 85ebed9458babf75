//! Responses of a stream besides events: several watches, watch IDs, cancellation and progress.

use convene_etcd::wire::WatchCreateRequest;

use crate::v3_differential::{
    conversation::Move::{self, AskForProgress, Cancel, Create, Do, Receive, SayNothing},
    scenario::{Keys, Scenario, scenario, watch},
};

pub fn streams() -> Vec<Scenario> {
    vec![
        scenario("two watches on one stream", |keys| {
            let moves = vec![
                Create(keys.members().watch()),
                Create(keys.size().watch()),
                Receive(2),
                Do(keys.size().put("5").into()),
                Receive(1),
                Do(keys.registration("a").into()),
                Receive(1),
            ];
            vec![keys.create(3), watch(moves)]
        }),
        scenario("watches with the same key on one stream", |keys| {
            let members = || Create(keys.members().watch());
            let moves =
                vec![members(), members(), members(), Receive(3), Do(keys.registration("a").into()), Receive(3)];
            vec![keys.create(3), watch(moves)]
        }),
        scenario("watches with chosen IDs", |keys| {
            let moves = vec![
                with_id(keys, 1),
                with_id(keys, 0),
                with_id(keys, 0),
                with_id(keys, 77),
                with_id(keys, -7),
                Receive(5),
                Do(keys.registration("a").into()),
                Receive(5),
            ];
            vec![keys.create(3), watch(moves)]
        }),
        scenario("watches with an ID that is taken", |keys| {
            let moves = vec![
                with_id(keys, 0),
                Receive(1),
                with_id(keys, 7),
                with_id(keys, 7),
                Receive(2),
                Cancel(7),
                with_id(keys, 7),
                Receive(2),
                Do(keys.registration("a").into()),
                Receive(2),
            ];
            vec![keys.create(3), watch(moves)]
        }),
        scenario("watches that are canceled", |keys| {
            let moves = vec![
                with_id(keys, 0),
                with_id(keys, 0),
                Receive(2),
                Cancel(0),
                Receive(1),
                Do(keys.registration("a").into()),
                Receive(1),
                Cancel(0),
                Cancel(99),
                Cancel(-1),
                with_id(keys, 0),
                Receive(1),
                Do(keys.registration("b").into()),
                Receive(2),
            ];
            vec![keys.create(3), watch(moves)]
        }),
        scenario("a watch from before the beginning", |keys| {
            let before = |start_revision, watch_id| {
                Create(WatchCreateRequest { start_revision, watch_id, ..keys.members().watch() })
            };
            let moves = vec![before(-1, 0), before(-100, 7), Receive(2), with_id(keys, 0), Receive(1)];
            vec![keys.create(3), watch(moves.clone()), keys.register("a"), watch(moves)]
        }),
        scenario("progress of one watch", |keys| {
            let moves = vec![
                with_id(keys, 0),
                Receive(1),
                AskForProgress,
                Receive(1),
                Do(keys.registration("a").into()),
                Receive(1),
                AskForProgress,
                Receive(1),
                Do(keys.size().put("3").into()),
                AskForProgress,
                Receive(1),
            ];
            vec![keys.create(3), watch(moves)]
        }),
        scenario("progress of several watches", |keys| {
            let size = keys.size().watch();
            let moves = vec![
                with_id(keys, 0),
                Create(size.clone()),
                Receive(2),
                Do(keys.registration("a").into()),
                Receive(1),
                AskForProgress,
                Receive(1),
                Cancel(0),
                Receive(1),
                AskForProgress,
                Receive(1),
            ];
            vec![keys.create(3), watch(moves)]
        }),
        scenario("progress without any watch", |keys| {
            let refused = Create(WatchCreateRequest { start_revision: -1, ..keys.members().watch() });
            vec![keys.create(3), watch(vec![AskForProgress]), watch(vec![refused, Receive(1), AskForProgress])]
        }),
        scenario("progress of a watch that waits for a later revision", |keys| {
            let later = WatchCreateRequest { start_revision: 3, ..keys.members().watch() };
            let moves = vec![
                Create(later),
                Receive(1),
                AskForProgress,
                Do(keys.registration("a").into()),
                Do(keys.registration("b").into()),
                Receive(1),
                AskForProgress,
                Receive(1),
            ];
            vec![keys.create(3), watch(moves)]
        }),
        scenario("watches with progress notifications and fragments", |keys| {
            let wants = WatchCreateRequest { progress_notify: true, fragment: true, ..keys.members().watch() };
            let moves = vec![Create(wants), Receive(1), Do(keys.registration("a").into()), Receive(1)];
            vec![keys.create(3), watch(moves)]
        }),
        scenario("empty requests", |keys| {
            let moves = vec![
                SayNothing,
                with_id(keys, 0),
                SayNothing,
                Receive(1),
                Do(keys.registration("a").into()),
                Receive(1),
            ];
            vec![keys.create(3), watch(moves)]
        }),
    ]
}

/// A watch of the members whose ID is chosen; 0 leaves it to the server.
fn with_id(keys: &Keys, watch_id: i64) -> Move {
    Create(WatchCreateRequest { watch_id, ..keys.members().watch() })
}
