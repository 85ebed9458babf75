//! Transactions.

use convene_etcd::wire::{
    Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest,
    compare::{
        CompareResult::{self, Equal, Greater, Less, NotEqual},
        CompareTarget,
        TargetUnion::{self, CreateRevision, Lease, ModRevision, Value, Version},
    },
};

use crate::v3_differential::{
    call::Call,
    intended::{ONE_WRITE, PRESENT_ONLY},
    scenario::{Keys, Scenario, Span, Step, once, scenario, txn},
};

pub fn txns() -> Vec<Scenario> {
    vec![
        scenario("a transaction that puts an absent key", |keys| {
            let create = || {
                let absent = compare(keys.member("a"), Equal, CreateRevision(0));
                once(txn(vec![absent], vec![keys.registration("a").into()], vec![keys.member("a").get().into()]))
            };
            let make = || {
                let absent = compare(keys.size(), Equal, ModRevision(0));
                once(txn(vec![absent], vec![keys.size().put("3").into()], vec![keys.all().get().into()]))
            };
            vec![make(), make(), create(), create(), once(keys.all().get())]
        }),
        scenario("a transaction that deletes an unchanged key", |keys| {
            let delete = |revision| {
                let unchanged = compare(keys.member("a"), Equal, ModRevision(revision));
                let success = DeleteRangeRequest { prev_kv: true, ..keys.member("a").delete() };
                once(txn(vec![unchanged], vec![success.into()], vec![keys.member("a").get().into()]))
            };
            vec![keys.create(3), keys.register("a"), keys.register("a"), delete(2), delete(3), delete(3)]
        }),
        scenario("a transaction that reads before and after its write", |keys| {
            let put = PutRequest { prev_kv: true, ..keys.registration("a") };
            let around = vec![keys.all().get().into(), put.into(), keys.all().get().into(), keys.size().get().into()];
            let delete =
                vec![keys.members().get().into(), keys.member("a").delete().into(), keys.members().get().into()];
            vec![
                keys.create(3),
                once(txn(vec![], around.clone(), vec![])),
                once(txn(vec![], around, vec![])),
                once(txn(vec![], delete, vec![])),
            ]
        }),
        scenario("transactions that only read", |keys| {
            let reads: Vec<Call> = vec![
                RangeRequest { limit: 1, ..keys.all().get() }.into(),
                RangeRequest { revision: 3, ..keys.all().get() }.into(),
                RangeRequest { count_only: true, ..keys.members().get() }.into(),
                RangeRequest { keys_only: true, sort_order: 2, ..keys.members().get() }.into(),
            ];
            let future = RangeRequest { revision: 100, ..keys.all().get() };
            vec![
                once(txn(vec![], vec![keys.size().get().into()], vec![])),
                keys.create(3),
                keys.register("a"),
                keys.register("b"),
                once(txn(vec![], reads.clone(), vec![])),
                once(txn(vec![compare(keys.size(), Equal, Version(2))], vec![], reads)),
                once(txn(vec![compare(keys.size(), Equal, Version(1))], vec![], vec![])),
                once(txn(vec![], vec![keys.size().get().into(), future.into()], vec![])),
            ]
        }),
        scenario("transactions that read earlier revisions", |keys| {
            let past = |revision| Call::from(RangeRequest { revision, ..keys.all().get() });
            let refused = |txn| once(txn).differs(PRESENT_ONLY, "Ok", "Unimplemented");
            vec![
                keys.create(3),
                keys.register("a"),
                refused(txn(vec![], vec![past(1)], vec![])),
                refused(txn(vec![], vec![keys.member("a").delete().into(), past(2)], vec![])),
            ]
        }),
        scenario("comparisons of every kind", compares),
        scenario("invalid transactions", |keys| {
            let many = |n: usize| vec![Call::from(keys.size().get()); n];
            let empty = RequestOp { request: None };
            vec![
                keys.create(3),
                once(txn(vec![], many(128), vec![])),
                once(txn(vec![], many(129), vec![])),
                once(txn(vec![], vec![], many(129))),
                once(txn(vec![compare(keys.size(), Equal, Version(1)); 129], vec![], vec![])),
                once(txn(vec![compare(Span::of(""), Equal, Version(1))], vec![], vec![])),
                once(txn(vec![], vec![Span::of("").get().into()], vec![])),
                once(txn(vec![], vec![], vec![Span::of("").put("").into()])),
                once(txn(vec![], vec![Span::of("").delete().into()], vec![])),
                once(txn(vec![], vec![RangeRequest { sort_order: 99, ..keys.all().get() }.into()], vec![])),
                once(txn(vec![], vec![PutRequest { ignore_value: true, ..keys.size().put("3") }.into()], vec![])),
                once(txn(vec![], vec![PutRequest { lease: 7, ..keys.size().put("3") }.into()], vec![])),
                once(txn(vec![], vec![PutRequest { ignore_value: true, ..keys.member("a").put("") }.into()], vec![])),
                once(txn(vec![], vec![keys.size().put("3").into(), keys.size().put("5").into()], vec![])),
                once(txn(vec![], vec![keys.all().delete().into(), keys.size().put("5").into()], vec![])),
                once(TxnRequest { success: vec![empty], ..TxnRequest::default() }),
                once(keys.all().get()),
            ]
        }),
        scenario("a transaction that writes twice", |keys| {
            let twice = vec![keys.registration("a").into(), keys.registration("b").into()];
            vec![keys.create(3), once(txn(vec![], twice, vec![])).differs(ONE_WRITE, "Ok", "Unimplemented")]
        }),
        scenario("a transaction within another", |keys| {
            let inner = txn(vec![], vec![keys.size().get().into()], vec![]);
            vec![
                keys.create(3),
                once(txn(vec![], vec![inner.into()], vec![])).differs(ONE_WRITE, "Ok", "Unimplemented"),
            ]
        }),
    ]
}

/// Whether each comparison holds shows in the answer, with nothing to do either way.
fn compares(keys: &Keys) -> Vec<Step> {
    let mut steps = vec![keys.create(3), keys.register("a"), keys.register("b"), keys.register("a")];
    let test = |compare| once(txn(vec![compare], vec![], vec![]));
    // The member `a` came with revision 2 and has changed with 4, so that it has version 2.
    let values = [b"a=http://a".to_vec(), b"a=http://a.example.com:2380".to_vec(), b"b".to_vec()];
    let mut unions: Vec<_> = values.into_iter().map(Value).collect();
    for n in [1, 2, 3, 4, 5] {
        unions.extend([Version(n), CreateRevision(n), ModRevision(n)]);
    }
    unions.extend([Version(0), CreateRevision(0), ModRevision(0), Lease(0), Lease(1), Lease(-1)]);
    for union in unions {
        for result in [Equal, NotEqual, Greater, Less] {
            steps.push(test(compare(keys.member("a"), result, union.clone())));
        }
    }
    let absent = || keys.member("nobody");
    steps.extend([
        test(compare(absent(), Equal, Value(Vec::new()))),
        test(compare(absent(), NotEqual, Value(b"b".to_vec()))),
        test(compare(absent(), Equal, Version(0))),
        test(compare(absent(), Less, ModRevision(1))),
        test(compare(absent(), Equal, Lease(0))),
        test(compare(keys.prefix("/nothing"), Equal, CreateRevision(0))),
        test(compare(keys.prefix("/nothing"), NotEqual, Value(b"b".to_vec()))),
        test(compare(keys.members(), Greater, CreateRevision(1))),
        test(compare(keys.members(), Greater, CreateRevision(2))),
        test(compare(keys.all(), Greater, Version(0))),
        test(compare(keys.all(), Equal, Lease(0))),
        test(compare(keys.prefix(""), Less, ModRevision(5))),
        test(compare(keys.prefix(""), Less, ModRevision(4))),
        // What is compared with is of another kind than what is compared, or missing, and stands for nothing.
        test(Compare { target: CompareTarget::Mod.into(), ..compare(keys.member("a"), Greater, Version(100)) }),
        test(Compare { target: CompareTarget::Value.into(), ..compare(keys.member("a"), Greater, Version(100)) }),
        test(Compare { target_union: None, ..compare(keys.member("a"), Greater, Version(100)) }),
        test(Compare { target: 99, ..compare(keys.member("a"), Equal, Version(100)) }),
        test(Compare { result: 99, ..compare(keys.member("a"), Equal, Version(100)) }),
    ]);
    let one = || compare(keys.size(), Equal, Version(1));
    let other = |version| compare(keys.member("a"), Equal, Version(version));
    steps.extend([once(txn(vec![one(), other(2)], vec![], vec![])), once(txn(vec![one(), other(1)], vec![], vec![]))]);
    steps
}

fn compare(span: Span, result: CompareResult, with: TargetUnion) -> Compare {
    let target = match with {
        Version(_) => CompareTarget::Version,
        CreateRevision(_) => CompareTarget::Create,
        ModRevision(_) => CompareTarget::Mod,
        Value(_) => CompareTarget::Value,
        Lease(_) => CompareTarget::Lease,
    };
    span.compare(target, result, with)
}
