//! What an etcd takes and ours does not.

use crate::v3_differential::{
    conversation::Move::{Create, Receive},
    intended::{FORMED, REGISTRATION, REGISTRY_ONLY, SIZE, TAKEN, UNKNOWN_TOKEN, USED_TOKEN},
    scenario::{Scenario, Span, once, scenario, watch},
};

pub fn refusals() -> Vec<Scenario> {
    vec![
        scenario("reads beyond one cluster", |keys| {
            let denied = |span: Span| once(span.get()).differs(REGISTRY_ONLY, "Ok", "PermissionDenied");
            vec![
                denied(Span::of("greeting")),
                denied(Span::of("\0").before("\0")),
                denied(Span::of("/_etcd/registry/")),
                denied(Span::of("/_etcd/registry/").before("/_etcd/registry0")),
                denied(keys.key("").before("\0")),
                denied(keys.key("/members/").before("/_etcd/registry/zzz")),
            ]
        }),
        scenario("a put of another key", |_| {
            vec![once(Span::of("greeting").put("hello")).differs(REGISTRY_ONLY, "Ok", "PermissionDenied")]
        }),
        scenario("a deletion of the whole registry", |_| {
            let registry = Span::of("/_etcd/nothing/").before("/_etcd/nothing0");
            vec![once(registry.delete()).differs(REGISTRY_ONLY, "Ok", "PermissionDenied")]
        }),
        scenario("a put of another key of the token", |keys| {
            vec![keys.create(3), once(keys.key("/state").put("on")).differs(REGISTRY_ONLY, "Ok", "PermissionDenied")]
        }),
        scenario("a watch of the whole registry", |_| {
            let registry = Span::of("/_etcd/registry/").before("/_etcd/registry0");
            vec![watch(vec![Create(registry.watch()), Receive(1)]).differs(REGISTRY_ONLY, "Ok", "canceled")]
        }),
        scenario("a watch of another key", |_| {
            let greeting = Span::of("greeting").watch();
            vec![watch(vec![Create(greeting), Receive(1)]).differs(REGISTRY_ONLY, "Ok", "canceled")]
        }),
        scenario("a member without a cluster", |keys| {
            vec![keys.register("a").differs(UNKNOWN_TOKEN, "Ok", "NotFound")]
        }),
        scenario("a size of nothing", |keys| vec![keys.create(0).differs(SIZE, "Ok", "InvalidArgument")]),
        scenario("a size beyond all clusters", |keys| vec![keys.create(100).differs(SIZE, "Ok", "InvalidArgument")]),
        scenario("a size that is no number", |keys| {
            vec![once(keys.size().put("three")).differs(SIZE, "Ok", "InvalidArgument")]
        }),
        scenario("a registration without a URL", |keys| {
            let nowhere = once(keys.member("a").put("a"));
            vec![keys.create(3), nowhere.differs(REGISTRATION, "Ok", "InvalidArgument")]
        }),
        scenario("a registration of two names", |keys| {
            let two = once(keys.member("a").put("a=http://a.example.com:2380,b=http://b.example.com:2380"));
            vec![keys.create(3), two.differs(REGISTRATION, "Ok", "InvalidArgument")]
        }),
        scenario("a name that another member has", |keys| {
            let same = once(keys.member("b").put("a=http://b.example.com:2380"));
            vec![keys.create(3), keys.register("a"), same.differs(TAKEN, "Ok", "FailedPrecondition")]
        }),
        scenario("another name for the peer URL of a member", |keys| {
            let same = once(keys.member("a").put("b=http://a.example.com:2380"));
            vec![keys.create(3), keys.register("a"), same.differs(TAKEN, "Ok", "FailedPrecondition")]
        }),
        scenario("a peer URL that another member has", |keys| {
            let same = once(keys.member("b").put("b=http://a.example.com:2380"));
            vec![keys.create(3), keys.register("a"), same.differs(TAKEN, "Ok", "FailedPrecondition")]
        }),
        scenario("a new node in the place of a member of a formed cluster", |keys| {
            let leaves = once(keys.member("b").delete());
            let comes = keys.register("c");
            let formed = vec![keys.create(2), keys.register("a"), keys.register("b"), leaves];
            formed.into_iter().chain([comes.differs(FORMED, "Ok", "FailedPrecondition")]).collect()
        }),
        scenario("a token of a cluster that was deleted", |keys| {
            let again = keys.create(3).differs(USED_TOKEN, "Ok", "FailedPrecondition");
            vec![keys.create(3), keys.register("a"), once(keys.all().delete()), again]
        }),
    ]
}
