//! Reads.

use convene_etcd::wire::{
    RangeRequest,
    range_request::{SortOrder, SortTarget},
};

use crate::v3_differential::scenario::{Keys, Scenario, Span, Step, once, scenario};

pub fn ranges() -> Vec<Scenario> {
    vec![
        scenario("reads of one key and of ranges", |keys| {
            let mut steps = changed_a_few_times(keys);
            steps.extend([
                once(keys.size().get()),
                once(keys.member("a").get()),
                once(keys.member("nobody").get()),
                once(keys.all().get()),
                once(keys.prefix("").get()),
                once(keys.members().get()),
                once(keys.prefix("/members/").get()),
                once(keys.prefix("/_config").get()),
                once(keys.prefix("/nothing").get()),
                once(keys.key("/members").get()),
                once(keys.key("/_config").get()),
                once(keys.key("").get()),
                once(keys.member("a").to(keys.member("c")).get()),
                once(keys.member("b").to(keys.member("zzz")).get()),
                once(keys.member("b").to(keys.member("b")).get()),
                once(keys.member("c").to(keys.member("a")).get()),
                once(RangeRequest { serializable: true, ..keys.all().get() }),
            ]);
            steps
        }),
        scenario("reads in every order", |keys| {
            let mut steps = changed_a_few_times(keys);
            for target in 0..=4 {
                for order in 0..=2 {
                    steps.push(once(sorted(keys.all(), order, target, 0)));
                    steps.push(once(sorted(keys.all(), order, target, 2)));
                }
            }
            steps
        }),
        scenario("reads with limits and filters", |keys| {
            let mut steps = changed_a_few_times(keys);
            steps.extend([1, 3, 4, 5, -1].map(|limit| once(RangeRequest { limit, ..keys.all().get() })));
            let part = |part: fn(&mut RangeRequest)| {
                let mut request = keys.all().get();
                part(&mut request);
                once(request)
            };
            steps.extend([
                part(|all| all.keys_only = true),
                part(|all| (all.keys_only, all.limit) = (true, 2)),
                part(|all| all.count_only = true),
                part(|all| (all.count_only, all.limit) = (true, 2)),
                part(|all| (all.count_only, all.keys_only) = (true, true)),
                part(|all| all.min_mod_revision = 5),
                part(|all| all.max_mod_revision = 4),
                part(|all| (all.min_mod_revision, all.max_mod_revision) = (4, 5)),
                part(|all| all.min_create_revision = 3),
                part(|all| all.max_create_revision = 2),
                part(|all| (all.min_create_revision, all.limit) = (2, 1)),
                part(|all| (all.min_mod_revision, all.count_only) = (5, true)),
                part(|all| (all.max_create_revision, all.max_mod_revision) = (-1, -1)),
            ]);
            steps
        }),
        scenario("reads of earlier revisions", |keys| {
            let mut steps = changed_a_few_times(keys);
            steps.push(once(keys.member("b").delete()));
            steps.extend((1..=8).map(|revision| once(RangeRequest { revision, ..keys.all().get() })));
            steps.extend([
                once(RangeRequest { revision: 1000, ..keys.all().get() }),
                once(RangeRequest { revision: -1, ..keys.all().get() }),
                once(RangeRequest { revision: 3, limit: 2, ..keys.all().get() }),
                once(RangeRequest { revision: 3, count_only: true, ..keys.all().get() }),
                once(RangeRequest { revision: 4, ..sorted(keys.all(), 2, SortTarget::Mod.into(), 0) }),
                once(RangeRequest { revision: 2, ..keys.member("a").get() }),
                once(RangeRequest { revision: 2, ..keys.member("b").get() }),
            ]);
            steps
        }),
        scenario("invalid reads", |keys| {
            let ascending = SortOrder::Ascend.into();
            vec![
                once(Span::of("").get()),
                once(Span::of("").before("\0").get()),
                once(sorted(keys.all(), 99, 0, 0)),
                once(sorted(keys.all(), -1, 0, 0)),
                once(sorted(keys.all(), ascending, 99, 0)),
                once(sorted(Span::of(""), 99, 99, 0)),
            ]
        }),
        scenario("the key of etcdctl's health check", |_| vec![once(Span::of("health").get())]),
    ]
}

/// Six changes of a cluster of three members: their creation, modification, version and value put them in different
/// orders, and two of them have the same version.
fn changed_a_few_times(keys: &Keys) -> Vec<Step> {
    let moved = |id: &str, to: &str| once(keys.member(id).put(&format!("{id}=http://{to}.example.com:2380")));
    vec![
        keys.create(3),
        keys.register("c"),
        keys.register("a"),
        keys.register("b"),
        moved("a", "moved"),
        moved("a", "and-again"),
    ]
}

fn sorted(span: Span, sort_order: i32, sort_target: i32, limit: i64) -> RangeRequest {
    RangeRequest { sort_order, sort_target, limit, ..span.get() }
}
