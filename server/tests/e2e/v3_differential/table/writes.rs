//! Puts and deletions.

use convene_etcd::wire::{DeleteRangeRequest, PutRequest};

use crate::v3_differential::{
    intended::{FIXED_SIZE, ONE_BY_ONE, OWN_REVISIONS, SIZE_STAYS},
    scenario::{Scenario, Span, once, scenario},
};

pub fn writes() -> Vec<Scenario> {
    vec![
        scenario("a size that is put again before the first registration", |keys| {
            vec![
                once(PutRequest { prev_kv: true, ..keys.size().put("3") }),
                once(PutRequest { prev_kv: true, ..keys.size().put("5") }),
                once(PutRequest { prev_kv: true, ..keys.size().put("5") }),
                once(PutRequest { ignore_value: true, prev_kv: true, ..keys.size().put("") }),
                once(PutRequest { ignore_lease: true, ..keys.size().put("7") }),
                once(PutRequest { ignore_lease: true, ignore_value: true, ..keys.size().put("") }),
                once(keys.size().get()),
            ]
        }),
        scenario("a size that is put again as it is", |keys| {
            vec![
                keys.create(3),
                keys.register("a"),
                once(PutRequest { prev_kv: true, ..keys.size().put("3") }),
                once(PutRequest { ignore_value: true, ..keys.size().put("") }),
                once(keys.all().get()),
                keys.create(5).differs(FIXED_SIZE, "Ok", "FailedPrecondition"),
            ]
        }),
        scenario("a member that registers again and moves", |keys| {
            let moved = keys.member("a").put("a=http://moved.example.com:2380,a=http://10.0.0.1:2380");
            vec![
                keys.create(3),
                once(PutRequest { prev_kv: true, ..keys.registration("a") }),
                once(PutRequest { prev_kv: true, ..keys.registration("a") }),
                once(PutRequest { prev_kv: true, ..moved }),
                once(PutRequest { ignore_value: true, ..keys.member("a").put("") }),
                once(PutRequest { ignore_lease: true, ..keys.registration("a") }),
                once(keys.members().get()),
            ]
        }),
        scenario("invalid puts", |keys| {
            vec![
                once(Span::of("").put("3")),
                once(PutRequest { ignore_value: true, ..keys.size().put("") }),
                keys.create(3),
                once(PutRequest { ignore_value: true, ..keys.size().put("3") }),
                once(PutRequest { ignore_value: true, ..keys.member("a").put("") }),
                once(PutRequest { ignore_lease: true, ..keys.registration("a") }),
                once(PutRequest { ignore_lease: true, lease: 7, ..keys.size().put("3") }),
                once(PutRequest { lease: 7, ..keys.size().put("3") }),
                once(PutRequest { lease: 7, ..keys.registration("a") }),
                once(keys.all().get()),
            ]
        }),
        scenario("a member that is removed and registers again", |keys| {
            vec![
                keys.create(3),
                keys.register("a"),
                keys.register("b"),
                once(keys.member("a").delete()),
                once(keys.member("a").delete()),
                once(keys.member("a").get()),
                keys.register("a"),
                once(keys.members().get()),
                once(DeleteRangeRequest { prev_kv: true, ..keys.member("b").delete() }),
                once(DeleteRangeRequest { prev_kv: true, ..keys.prefix("/members/a").delete() }),
                once(DeleteRangeRequest { prev_kv: true, ..keys.members().delete() }),
                once(keys.all().get()),
            ]
        }),
        scenario("deletions of nothing", |keys| {
            vec![
                once(keys.size().delete()),
                once(keys.all().delete()),
                once(Span::of("").delete()),
                keys.create(3),
                once(keys.members().delete()),
                once(keys.member("a").to(keys.member("a")).delete()),
                once(DeleteRangeRequest { prev_kv: true, ..keys.member("nobody").delete() }),
                once(keys.all().get()),
            ]
        }),
        scenario("the deletion of several members", |keys| {
            let members = DeleteRangeRequest { prev_kv: true, ..keys.members().delete() };
            vec![
                keys.create(3),
                keys.register("a"),
                keys.register("b"),
                once(members).differs(ONE_BY_ONE, "Ok", "Ok"),
                once(keys.all().get()).differs(ONE_BY_ONE, "Ok", "Ok"),
            ]
        }),
        scenario("the deletion of a cluster", |keys| {
            vec![
                keys.create(3),
                keys.register("a"),
                keys.register("b"),
                once(DeleteRangeRequest { prev_kv: true, ..keys.all().delete() }),
                once(keys.all().get()).differs(OWN_REVISIONS, "Ok", "Ok"),
                once(keys.members().delete()).differs(OWN_REVISIONS, "Ok", "Ok"),
            ]
        }),
        scenario("the deletion of a cluster as prefix of its token", |keys| {
            vec![keys.create(3), keys.register("a"), once(keys.prefix("").delete())]
        }),
        scenario("the deletion of a cluster without registrations", |keys| {
            vec![keys.create(3), once(DeleteRangeRequest { prev_kv: true, ..keys.size().delete() })]
        }),
        scenario("the deletion of the size alone", |keys| {
            vec![
                keys.create(3),
                keys.register("a"),
                once(keys.size().delete()).differs(SIZE_STAYS, "Ok", "FailedPrecondition"),
            ]
        }),
    ]
}
