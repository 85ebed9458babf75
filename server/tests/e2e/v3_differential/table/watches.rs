//! Events of single watches.

use convene_etcd::wire::{
    DeleteRangeRequest, PutRequest, WatchCreateRequest,
    watch_create_request::FilterType::{Nodelete, Noput},
};

use crate::v3_differential::{
    conversation::Move::{Create, Do, Receive},
    scenario::{Keys, Scenario, Span, Step, once, scenario, watch},
};

pub fn watches() -> Vec<Scenario> {
    vec![
        scenario("a watch of new events", |keys| {
            let next = vec![
                Create(keys.members().watch()),
                Receive(1),
                Do(keys.registration("a").into()),
                Receive(1),
                Do(keys.registration("a").into()),
                Receive(1),
                Do(keys.size().put("3").into()),
                Do(keys.member("a").delete().into()),
                Receive(1),
                Do(keys.member("a").delete().into()),
                Do(keys.registration("a").into()),
                Receive(1),
            ];
            vec![keys.create(3), watch(next)]
        }),
        scenario("watches of one key and of ranges", |keys| {
            let spans = [
                (keys.size(), 1),
                (keys.member("a"), 1),
                (keys.member("nobody"), 0),
                (keys.members(), 3),
                (keys.all(), 4),
                (keys.prefix(""), 4),
                (keys.member("a").to(keys.member("c")), 2),
                (keys.member("b").to(keys.member("zzz")), 2),
                (keys.key("/members"), 0),
            ];
            let mut steps = vec![keys.create(3)];
            steps.extend(["c", "a", "b"].map(|id| keys.register(id)));
            steps.extend(spans.map(|(span, events)| past(span, 1, events)));
            steps
        }),
        scenario("watches of past events", |keys| {
            let mut steps = changed_a_few_times(keys);
            // There are no events from revision 8 on, and none before the first.
            steps.extend((1..=8).map(|revision| past(keys.all(), revision, usize::try_from(8 - revision).unwrap())));
            let goes_on = vec![
                Create(WatchCreateRequest { start_revision: 6, ..keys.all().watch() }),
                Receive(3),
                Do(keys.registration("c").into()),
                Receive(1),
            ];
            steps.push(watch(goes_on));
            steps
        }),
        scenario("a watch from a future revision", |keys| {
            let later = vec![
                Create(WatchCreateRequest { start_revision: 4, ..keys.members().watch() }),
                Receive(1),
                Do(keys.registration("a").into()),
                Do(keys.registration("b").into()),
                Do(keys.registration("c").into()),
                Receive(1),
            ];
            vec![keys.create(3), watch(later)]
        }),
        scenario("a watch of an unknown cluster", |keys| {
            let early = vec![
                Create(keys.all().watch()),
                Receive(1),
                Do(keys.size().put("3").into()),
                Receive(1),
                Do(keys.registration("a").into()),
                Receive(1),
            ];
            vec![watch(early)]
        }),
        scenario("a watch of an unknown cluster from its beginning", |keys| {
            let from = |start_revision| Create(WatchCreateRequest { start_revision, ..keys.all().watch() });
            let made = vec![Do(keys.size().put("3").into()), Receive(2), Do(keys.registration("a").into()), Receive(3)];
            vec![watch([from(1), from(1), from(2), Receive(3)].into_iter().chain(made).collect())]
        }),
        scenario("watches with filters", |keys| {
            let filtered = |filters: &[i32]| WatchCreateRequest { filters: filters.to_vec(), ..keys.all().watch() };
            let (noput, nodelete) = (Noput.into(), Nodelete.into());
            let all = [filtered(&[noput]), filtered(&[nodelete]), filtered(&[noput, nodelete]), filtered(&[99])];
            let mut moves: Vec<_> = all.into_iter().map(Create).collect();
            moves.extend([
                Receive(4),
                Do(keys.registration("a").into()),
                Receive(2),
                Do(keys.member("a").delete().into()),
                Receive(2),
            ]);
            let past = |filter: i32, events: usize| {
                let from = WatchCreateRequest { start_revision: 1, ..filtered(&[filter]) };
                watch(vec![Create(from), Receive(1 + events)])
            };
            vec![keys.create(3), watch(moves), past(noput, 1), past(nodelete, 2)]
        }),
        scenario("watches with previous values", |keys| {
            let before = WatchCreateRequest { prev_kv: true, ..keys.all().watch() };
            let moves = vec![
                Create(before.clone()),
                Receive(1),
                Do(keys.registration("a").into()),
                Receive(1),
                Do(keys.member("a").put("a=http://moved.example.com:2380").into()),
                Receive(1),
                Do(keys.member("a").delete().into()),
                Receive(1),
                Do(keys.size().put("3").into()),
                Receive(1),
            ];
            let past = watch(vec![Create(WatchCreateRequest { start_revision: 1, ..before }), Receive(6)]);
            vec![keys.create(3), watch(moves), past]
        }),
        scenario("a watch of a put that changes nothing", |keys| {
            let moves = vec![
                Create(keys.size().watch()),
                Receive(1),
                Do(PutRequest { ignore_value: true, ..keys.size().put("") }.into()),
                Receive(1),
            ];
            vec![keys.create(3), watch(moves)]
        }),
        scenario("a watch of the deletion of a cluster", |keys| {
            let moves = vec![
                Create(WatchCreateRequest { prev_kv: true, ..keys.prefix("").watch() }),
                Create(keys.members().watch()),
                Receive(2),
                Do(DeleteRangeRequest { prev_kv: true, ..keys.all().delete() }.into()),
                Receive(5),
            ];
            vec![keys.create(3), keys.register("b"), keys.register("a"), watch(moves)]
        }),
        scenario("a watch of a range without keys", |keys| {
            let [one, other] = [keys.member("b"), keys.member("a")];
            let refused = |span: Span| watch(vec![Create(span.watch()), Receive(1)]);
            vec![keys.create(3), refused(one.clone().to(other)), refused(one.clone().to(one))]
        }),
    ]
}

/// Seven changes of all kinds.
fn changed_a_few_times(keys: &Keys) -> Vec<Step> {
    vec![
        keys.create(3),
        keys.register("a"),
        keys.register("b"),
        once(keys.member("a").delete()),
        keys.register("a"),
        once(keys.member("a").put("a=http://moved.example.com:2380")),
        once(keys.size().put("3")),
    ]
}

/// A watch with this number of past events.
fn past(span: Span, start_revision: i64, events: usize) -> Step {
    watch(vec![Create(WatchCreateRequest { start_revision, ..span.watch() }), Receive(1 + events)])
}
