//! What is asked of both.

use super::{
    intended::*,
    scenario::{
        NEW_FIVE, ONE, Scenario, Urls::*, Verb::*, delete, get, put, scenario, scenario_of, send, server, unmade, wait,
    },
};

const A: &str = "value=infra0=http://10.0.0.1:2380";
const A_MOVED: &str = "value=infra0=http://10.0.0.11:2380";
const B: &str = "value=infra1=http://10.0.0.2:2380";
const C: &str = "value=infra2=http://10.0.0.3:2380";
const D: &str = "value=infra3=http://10.0.0.4:2380";

pub fn scenarios() -> Vec<Scenario> {
    [bootstrap(), reads(), writes(), removals(), sizes(), waits(), fields(), routes(), pages(), refusals()]
        .into_iter()
        .flatten()
        .collect()
}

fn bootstrap() -> Vec<Scenario> {
    vec![
        scenario(
            "three etcds find each other, and a fourth comes too late",
            Both,
            vec![
                get("/_config/size"),
                get(""),
                put("/5e3c1f09?prevExist=false", A),
                put("/5e3c1f09?prevExist=false", A),
                get("/5e3c1f09?wait=true&waitIndex=@2"),
                get("/_config/size?quorum=true"),
                get("?quorum=true"),
                wait("?recursive=true&wait=true&waitIndex=@3", vec![put("/6f4d2e10?prevExist=false", B)]),
                wait("?recursive=true&wait=true&waitIndex=@4", vec![put("/7a5b3c21?prevExist=false", C)]),
                put("/8b6c4d32?prevExist=false", D),
                get(""),
            ],
        ),
        scenario(
            "members have several URLs, and values are percent-encoded",
            Both,
            vec![
                put("/a?prevExist=false", "value=infra0=http://10.0.0.1:2380,infra0=http://10.0.0.1:2381"),
                put("/b?prevExist=false", "value=infra1%3Dhttp%3A%2F%2F10.0.0.2%3A2380"),
                put("/c", "value=a+name+with+spaces=http://%5B2001:db8::1%5D:2380"),
                get("?sorted=true&recursive=true"),
            ],
        ),
    ]
}

fn reads() -> Vec<Scenario> {
    vec![
        scenario(
            "every node can be read",
            Both,
            vec![
                get(""),
                get("/"),
                get("/_config"),
                get("/_config?recursive=true"),
                get("/_config/size"),
                get("/a"),
                put("/b", B),
                put("/a", A),
                get("/a"),
                get(""),
                get("?sorted=true"),
                get("?recursive=true"),
                get("?recursive=1&sorted=T"),
                get("?recursive=true&sorted=true&quorum=true"),
                get("/a?recursive=true&sorted=true"),
                get("/a?unknown=field"),
                get("/missing"),
                get("/missing?quorum=true"),
                get(
                    "?value=x&prevExist=true&prevIndex=@1&prevValue=y&noValueOnSuccess=true&ttl=5&dir=true&stream=true",
                ),
            ],
        ),
        scenario(
            "a read with bad fields is refused, and the first of them named",
            Both,
            vec![
                get("?recursive=maybe"),
                get("?recursive="),
                get("?recursive"),
                get("?sorted=yes"),
                get("?quorum=tRuE"),
                get("?wait=2"),
                get("?stream=on"),
                get("?dir=-1"),
                get("?noValueOnSuccess=never"),
                get("?prevExist=maybe"),
                get("?refresh=maybe"),
                get("?prevValue="),
                get("?prevIndex=NaN"),
                get("?prevIndex=%2B3"),
                get("?waitIndex=soon"),
                get("?waitIndex="),
                get("?waitIndex=-1"),
                get("?waitIndex=99999999999999999999"),
                get("?ttl=long"),
                get("?prevExist=maybe&ttl=long&prevValue=&recursive=maybe&waitIndex=soon"),
                get("?prevExist=maybe&ttl=long"),
                get("?recursive=true&recursive=maybe"),
            ],
        ),
        scenario(
            "etcd's own API answers HEAD",
            Keys,
            vec![send(Head, ""), send(Head, "/_config/size"), send(Head, "/missing"), send(Head, "?wait=true")],
        ),
        unmade(
            "nobody made the token",
            Both,
            vec![
                get("").differs(NO_INDEX, "404 100", "404 100"),
                get("/").differs(NO_INDEX, "404 100", "404 100"),
                get("/_config/size").differs(NO_INDEX, "404 100", "404 100"),
                get("/a").differs(NO_INDEX, "404 100", "404 100"),
                delete("/a").differs(NO_INDEX, "404 100", "404 100"),
                put("/a?prevExist=true", A).differs(NO_INDEX, "404 100", "404 100"),
                put("/a?prevIndex=7", A).differs(NO_INDEX, "404 100", "404 100"),
                get("?recursive=maybe"),
            ],
        ),
    ]
}

fn writes() -> Vec<Scenario> {
    vec![
        scenario(
            "a member sets itself, again, and with another URL",
            Both,
            vec![put("/a", A), put("/a", A), put("/a", A_MOVED), get("/a"), get("")],
        ),
        scenario(
            "a member is created once, whatever else is expected of it",
            Both,
            vec![
                put("/a?prevExist=false", A),
                put("/a?prevExist=false", A),
                put("/a?prevExist=false", A_MOVED),
                put("/a?prevExist=false&prevIndex=@2", A),
                put("/b?prevExist=false&prevIndex=@9&prevValue=x", B),
                get("?sorted=true"),
            ],
        ),
        scenario(
            "a member is updated only if it is there",
            Both,
            vec![
                put("/a?prevExist=true", A),
                put("/a", A),
                put("/a?prevExist=true", A_MOVED),
                put("/a?prevExist=true", A_MOVED),
                get("/a"),
            ],
        ),
        scenario(
            "a member is swapped only if it is as expected",
            Both,
            vec![
                put("/a?prevValue=x", A),
                put("/a?prevIndex=@1", A),
                put("/a", A),
                put("/a?prevValue=x", A_MOVED),
                put("/a?prevIndex=@1", A_MOVED),
                put("/a?prevIndex=@7&prevValue=x", A_MOVED),
                put("/a?prevIndex=@2&prevValue=x", A_MOVED),
                put("/a?prevIndex=@7&prevValue=infra0=http://10.0.0.1:2380", A_MOVED),
                put("/a?prevIndex=@2&prevValue=infra0=http://10.0.0.1:2380", A_MOVED),
                put("/a?prevValue=infra0=http://10.0.0.11:2380", A),
                put("/a?prevIndex=@4", A_MOVED),
                put("/a?prevExist=true&prevIndex=@5", A),
                put("/a?prevExist=true&prevIndex=@5", A),
                put("/a?prevIndex=0", A),
                get("/a"),
            ],
        ),
        scenario(
            "a write with bad fields is refused, and the first of them named",
            Both,
            vec![
                put("/a?prevExist=maybe", A),
                put("/a?prevValue=", A),
                put("/a?prevIndex=NaN", A),
                put("/a?waitIndex=NaN", A),
                put("/a?recursive=maybe", A),
                put("/a?noValueOnSuccess=maybe", A),
                put("/a?ttl=long", A),
                put("/a?refresh=maybe", A),
                put("/a?wait=true", A),
                put("?wait=maybe", A),
                delete("/a?wait=true"),
                delete("/a?prevExist=maybe"),
                get("/a"),
            ],
        ),
        scenario(
            "fields stand in the query or in the body, which goes first",
            Both,
            vec![
                send(Put, "/a?value=infra0=http://10.0.0.1:2380"),
                put("/a?value=infra1=http://10.0.0.2:2380", A),
                put("/a", "prevExist=true&value=infra0=http://10.0.0.1:2380"),
                put("/a?prevExist=false", "prevExist=true&value=infra0=http://10.0.0.1:2380"),
                put("/a?prevExist=true", "prevExist=maybe&value=infra0=http://10.0.0.1:2380"),
                put("/a", "value=infra0=http://10.0.0.11:2380&value=infra1=http://10.0.0.2:2380"),
                put("/a", "prevIndex=@6&value=infra0=http://10.0.0.1:2380"),
                get("/a"),
            ],
        ),
        scenario(
            "who asks for no value gets none",
            Both,
            vec![
                put("/a?noValueOnSuccess=true&prevExist=false", A),
                put("/a?noValueOnSuccess=true", A),
                put("/a?noValueOnSuccess=true&prevExist=true", A),
                put("/a?noValueOnSuccess=true&prevIndex=@4", A),
                put("/a?noValueOnSuccess=false", A),
                put("/a?noValueOnSuccess=true&prevIndex=@1", A),
                put("/b?noValueOnSuccess=true", B),
                delete("/a?noValueOnSuccess=true"),
            ],
        ),
        scenario(
            "a directory takes no value",
            Both,
            vec![
                put("", A),
                put("/", A),
                put("?prevExist=false", A),
                put("?prevExist=true", A),
                put("?prevValue=x", A),
                put("?prevIndex=@1", A),
                put("/_config", A),
                put("/_config?prevExist=false", A),
                put("/_config?prevIndex=@1", A),
                get("/_config"),
            ],
        ),
        scenario_of(
            ONE,
            "members of a formed cluster change, and a plain set keeps their place",
            Both,
            vec![
                put("/a?prevExist=false", A),
                put("/a?prevExist=true", A_MOVED),
                put("/b", B),
                put("/a?prevIndex=@3", A),
                get("?sorted=true"),
                put("/a", A).differs(PLACE, "200 set", "200 set"),
            ],
        ),
    ]
}

fn removals() -> Vec<Scenario> {
    vec![
        scenario(
            "a member is removed, and comes again",
            Both,
            vec![
                put("/a", A),
                put("/b", B),
                delete("/a"),
                get("/a"),
                get(""),
                delete("/a"),
                delete("/missing?recursive=true"),
                put("/a?prevExist=false", A),
                delete("/a?recursive=true"),
                delete("/b?dir=true"),
                get(""),
            ],
        ),
        scenario(
            "a member is removed only if it is as expected",
            Both,
            vec![
                delete("/a?prevValue=x"),
                delete("/a?prevIndex=@1"),
                put("/a", A),
                delete("/a?prevValue=x"),
                delete("/a?prevIndex=@1"),
                delete("/a?prevIndex=@7&prevValue=x"),
                delete("/a?prevValue="),
                delete("/a?prevIndex=NaN"),
                delete("/a?prevIndex=@2&prevValue=infra0=http://10.0.0.1:2380"),
                put("/a", A),
                delete("/a?prevValue=infra0=http://10.0.0.1:2380"),
                put("/a", A),
                delete("/a?prevIndex=@6"),
                get("/a"),
            ],
        ),
        scenario(
            "what holds the size is not removed by accident, and here not at all",
            Both,
            vec![
                delete("/_config"),
                delete("/_config?dir=true"),
                delete("/_config?recursive=true&prevIndex=@1"),
                delete("/_config?recursive=true").differs(CONFIG_STAYS, "200 delete", "400 209"),
            ],
        ),
        scenario(
            "the size is not removed",
            Keys,
            vec![delete("/_config/size").differs(CONFIG_STAYS, "200 delete", "400 209")],
        ),
        scenario(
            "a cluster is deleted with all that is in it, and only on purpose",
            Keys,
            vec![
                put("/a", A),
                delete(""),
                delete("?dir=true"),
                delete("?prevIndex=@1"),
                delete("?recursive=true&prevValue=x"),
                delete("?recursive=true"),
                get("").differs(NO_INDEX, "404 100", "404 100"),
                delete("?recursive=true").differs(NO_INDEX, "404 100", "404 100"),
            ],
        ),
    ]
}

fn sizes() -> Vec<Scenario> {
    vec![
        scenario_of(
            NEW_FIVE,
            "a size is created once",
            Keys,
            vec![put("/_config/size?prevExist=false", "value=5"), get("/_config")],
        ),
        scenario(
            "a size is set and set again, until a member has read it",
            Keys,
            vec![
                put("/_config/size", "value=3"),
                put("/_config/size", "value=5"),
                put("/_config/size?prevExist=true", "value=4"),
                put("/_config/size?prevValue=3", "value=5"),
                put("/_config/size?prevValue=4", "value=3"),
                put("/_config/size?prevIndex=@5&noValueOnSuccess=true", "value=3"),
                get("/_config/size"),
                put("/a", A),
                put("/_config/size", "value=3"),
                put("/_config/size?prevExist=false", "value=3"),
                get("/_config"),
                get(""),
                put("/_config/size", "value=4").differs(FIXED_SIZE, "200 set", "412 101"),
            ],
        ),
        scenario(
            "a size that no cluster can have is refused",
            Keys,
            vec![
                put("/_config/size", "value=0").differs(SIZE, "200 set", "400 209"),
                put("/_config/size", "value=-1").differs(SIZE, "200 set", "400 209"),
                put("/_config/size", "value=32").differs(SIZE, "200 set", "400 209"),
                put("/_config/size", "value=three").differs(SIZE, "200 set", "400 209"),
                send(Put, "/_config/size").differs(SIZE, "200 set", "400 209"),
            ],
        ),
    ]
}

fn waits() -> Vec<Scenario> {
    vec![
        scenario(
            "a wait from an index on is answered from history",
            Both,
            vec![
                put("/a?prevExist=false", A),
                put("/b", B),
                delete("/a"),
                get("/a?wait=true&waitIndex=@1"),
                get("/a?wait=true&waitIndex=@2"),
                get("/a?wait=true&waitIndex=@3"),
                get("/b?wait=true&recursive=true&waitIndex=@1"),
                get("?wait=true&recursive=true&waitIndex=@2"),
                get("?wait=true&recursive=true&waitIndex=@3"),
                get("/_config/size?wait=true&waitIndex=@1"),
                get("/_config?wait=true&recursive=true&waitIndex=@1"),
                wait("?wait=true&recursive=true&waitIndex=@4", vec![put("/c?prevExist=false", C)]).differs(
                    WAITS,
                    "200 delete",
                    "200 create",
                ),
            ],
        ),
        scenario(
            "a size is no member, whoever waits from the beginning",
            Keys,
            vec![
                put("/a?prevExist=false", A),
                get("?wait=true&recursive=true&waitIndex=@1").differs(WAITS, "200 set", "200 create"),
            ],
        ),
        scenario(
            "a wait for one member is answered by what happens to it next, and by nothing else",
            Both,
            vec![
                wait("/a?wait=true", vec![put("/b", B), put("/a", A)]),
                wait("/a?wait=true", vec![put("/b", B), put("/a?prevExist=true", A)]),
                wait("/a?wait=true&waitIndex=0", vec![put("/a?prevIndex=@5", A_MOVED)]),
                wait("/a?wait=true&recursive=true", vec![put("/a", A)]),
                wait("/a?wait=true", vec![delete("/a?prevIndex=@7")]),
                wait("/a?wait=true", vec![put("/a?noValueOnSuccess=true", A)]),
                wait("/a?wait=true", vec![delete("/a")]),
            ],
        ),
        scenario(
            "a wait for members is answered by the next one that comes",
            Both,
            vec![
                wait("?wait=true&recursive=true", vec![put("/a", A)]),
                wait("?wait=true&recursive=true&quorum=true", vec![put("/b?prevExist=false", B)]),
                wait("/?wait=true&recursive=true&waitIndex=@4", vec![put("/c", C)]),
            ],
        ),
        scenario(
            "a wait for the future is not answered before",
            Both,
            vec![
                wait("?wait=true&recursive=true&waitIndex=@3", vec![put("/a", A), put("/b", B)]),
                wait("/a?wait=true&waitIndex=@5", vec![put("/a", A), put("/a", A_MOVED)]),
            ],
        ),
        scenario(
            "while a cluster forms, a registration that is repeated is no new member",
            Both,
            vec![
                put("/a", A),
                wait(
                    "?wait=true&recursive=true",
                    vec![put("/a?prevExist=true", A_MOVED), put("/b?prevExist=false", B)],
                )
                .differs(WAITS, "200 update", "200 create"),
            ],
        ),
        scenario_of(
            ONE,
            "whoever waits for a formed cluster hears of every change",
            Both,
            vec![
                put("/a?prevExist=false", A),
                wait("?wait=true&recursive=true", vec![put("/a?prevExist=true", A_MOVED)]),
                wait("?wait=true&recursive=true", vec![put("/b", B)]),
                wait("?wait=true&recursive=true", vec![put("/b?prevIndex=@4", B)]),
                wait("?wait=true&recursive=true", vec![delete("/a")]),
                wait("?wait=true&recursive=true", vec![delete("/b?prevIndex=@5")]),
                get("?wait=true&recursive=true&waitIndex=@3"),
                get("?wait=true&recursive=true&waitIndex=@5"),
                get("?wait=true&recursive=true&waitIndex=@6"),
            ],
        ),
        scenario(
            "a wait for the directory alone is answered when it is deleted",
            Keys,
            vec![wait("?wait=true", vec![put("/a", A), delete("/a"), delete("?recursive=true")])],
        ),
        scenario(
            "a wait for a member is answered when the whole cluster is deleted",
            Keys,
            vec![put("/a", A), wait("/a?wait=true", vec![delete("?recursive=true")])],
        ),
        scenario_of(
            ONE,
            "a wait for a formed cluster is answered when it is deleted",
            Keys,
            vec![put("/a", A), wait("?wait=true&recursive=true", vec![delete("?recursive=true")])],
        ),
        scenario(
            "waiters of a forming cluster that is deleted are told to ask again",
            Keys,
            vec![
                put("/a", A),
                wait("?wait=true&recursive=true", vec![delete("?recursive=true")]).differs(WAITS, "200 delete", "200"),
            ],
        ),
        scenario(
            "a wait for the size is answered when it is set",
            Keys,
            vec![
                wait("/_config/size?wait=true", vec![put("/_config/size", "value=4")]),
                wait("/_config?wait=true&recursive=true", vec![put("/_config/size?prevExist=true", "value=5")]),
                wait("/_config?wait=true", vec![put("/_config/size", "value=3"), delete("?recursive=true")]),
            ],
        ),
        unmade(
            "nobody waits for a token that nobody made",
            Both,
            vec![
                wait("?wait=true&recursive=true", vec![put("/a", A).differs(UNKNOWN_TOKEN, "201 set", "404 100")])
                    .differs(UNKNOWN_TOKEN, "200 set", "404 100"),
            ],
        ),
        scenario_of(
            ONE,
            "what happened more than a thousand changes ago is forgotten",
            Both,
            vec![
                put("/a", A),
                put("/a?prevExist=true", A).times(1098),
                get("/a?wait=true&waitIndex=@50"),
                get("?wait=true&recursive=true&waitIndex=@100"),
                get("/a?wait=true&waitIndex=@101"),
                get("/a?wait=true&waitIndex=@1100"),
                wait("/a?wait=true", vec![put("/a?prevExist=true", A_MOVED)]),
            ],
        ),
    ]
}

fn fields() -> Vec<Scenario> {
    vec![scenario(
        "a form is read strictly",
        Both,
        vec![
            put("/a", "value=%zz"),
            put("/a", "value=%"),
            put("/a", "%4=1&value=infra0=http://10.0.0.1:2380"),
            put("/a?x=%zz", A),
            put("/a?%", A),
            put("/a", "value=infra0=http://10.0.0.1:2380;prevExist=true"),
            put("/a?prevExist=true;x=1", A),
            get("?recursive=true;sorted=true"),
            get("?x=%e"),
            delete("/a?x=%zz"),
            put("/a", "&&value=infra0=http://10.0.0.1:2380&&x&"),
            put("/a", "value=infra0%3Dhttp://10.0.0.1:2380&value=%31"),
            get("/a?&&x&=&"),
        ],
    )]
}

fn routes() -> Vec<Scenario> {
    vec![
        scenario(
            "discovery.etcd.io has few methods",
            Discovery,
            vec![
                send(Post, "").differs(METHODS, "405", "405"),
                send(Patch, "").differs(METHODS, "405", "405"),
                send(Options, "").differs(METHODS, "405", "405"),
                send(Delete, "").differs(METHODS, "405", "405"),
                send(Delete, "/").differs(METHODS, "405", "405"),
                send(Delete, "?recursive=true").differs(METHODS, "405", "405"),
                send(Post, "/a").form(A).differs(METHODS, "405", "405"),
                send(Patch, "/a").form(A).differs(METHODS, "405", "405"),
                send(Options, "/a").differs(METHODS, "405", "405"),
                put("/_config/size", "value=5").differs(METHODS, "405", "405"),
                send(Post, "/_config/size").form("value=5").differs(METHODS, "405", "405"),
                delete("/_config/size").differs(METHODS, "405", "405"),
                send(Head, "").differs(HEAD, "405", "200"),
                send(Head, "/_config/size").differs(HEAD, "405", "200"),
                send(Head, "/missing").differs(HEAD, "405", "404"),
                get("/_config/size"),
            ],
        ),
        scenario(
            "etcd has more methods",
            Keys,
            vec![
                send(Options, ""),
                send(Options, "/a"),
                send(Options, "/_config/size"),
                server(Options, "/v2/keys"),
                server(Options, "/v2/keys/foo"),
                send(Patch, "").differs(METHODS, "405", "405"),
                send(Patch, "/a").form(A).differs(METHODS, "405", "405"),
                send(Post, "").form(A).differs(PLAIN_KEYS, "201 create", "405"),
            ],
        ),
        scenario(
            "discovery.etcd.io is strict about paths",
            Discovery,
            vec![
                put("/a", A),
                get("/a/"),
                put("/a/", A),
                get("/_config/"),
                get("/_config/size/"),
                get("/_config/other"),
                get("/a/b"),
                get("/a/b/c"),
                server(Get, "//TOKEN").differs(DOUBLED_SLASH, "301", "200 get"),
                server(Get, "/TOKEN//a").differs(DOUBLED_SLASH, "301", "404"),
            ],
        ),
        scenario(
            "etcd looks over a slash at the end",
            Keys,
            vec![
                put("/a/", A),
                get("/a/"),
                get("/"),
                get("/_config/"),
                get("/_config/size/"),
                server(Get, "/v2/keys//_etcd/registry/TOKEN").differs(DOUBLED_SLASH, "301", "404 100"),
            ],
        ),
        scenario(
            "the registry holds clusters, and they hold members and a size",
            Keys,
            vec![
                put("/a", A),
                get("/_config/other").differs(REGISTRY_ONLY, "404 100", "404 100"),
                get("/_hidden").differs(REGISTRY_ONLY, "404 100", "404 100"),
                get("/missing/b").differs(REGISTRY_ONLY, "404 100", "404 100"),
                get("/a/b").differs(REGISTRY_ONLY, "400 104", "404 100"),
                put("/_config/other", "value=1").differs(REGISTRY_ONLY, "201 set", "404 100"),
                server(Get, "/v2/keys/foo").differs(NO_INDEX, "404 100", "404 100"),
                server(Put, "/v2/keys/foo").form("value=bar").differs(REGISTRY_ONLY, "201 set", "404 100"),
                server(Get, "/v2/keys").differs(REGISTRY_ONLY, "200 get", "404 100"),
                server(Get, "/v2/keys/").differs(REGISTRY_ONLY, "200 get", "404 100"),
                server(Get, "/v2/keys/_etcd?recursive=true").differs(REGISTRY_ONLY, "200 get", "404 100"),
                server(Get, "/v2/keys/_etcd/registry").differs(REGISTRY_ONLY, "200 get", "404 100"),
                server(Get, "/v2/machines").differs(REGISTRY_ONLY, "200", "404 100"),
                server(Get, "/v2/stats/self").differs(REGISTRY_ONLY, "200", "404"),
                server(Delete, "/v2/keys/_etcd/registry?recursive=true").differs(
                    REGISTRY_ONLY,
                    "200 delete",
                    "404 100",
                ),
            ],
        ),
    ]
}

fn pages() -> Vec<Scenario> {
    vec![
        unmade(
            "a cluster is made by any method, with its size in the query or in a form",
            Discovery,
            vec![
                server(Get, "/new"),
                server(Get, "/new?size=1"),
                server(Get, "/new?size=31"),
                server(Get, "/new?size="),
                server(Get, "/new?size=5&size=x"),
                server(Post, "/new"),
                server(Post, "/new").form("size=4"),
                server(Post, "/new?size=x").form("size=4"),
                server(Put, "/new?size=7"),
                server(Put, "/new").form("size=5"),
                server(Delete, "/new?size=9"),
                server(Head, "/new"),
            ],
        ),
        unmade(
            "a cluster that no etcd can form is not made",
            Discovery,
            vec![
                server(Get, "/new?size=three").differs(SIZE, "400", "400"),
                server(Post, "/new").form("size=3.0").differs(SIZE, "400", "400"),
                server(Get, "/new?size=0").differs(SIZE, "200", "400"),
                server(Get, "/new?size=-1").differs(SIZE, "200", "400"),
                server(Get, "/new?size=32").differs(SIZE, "200", "400"),
                server(Put, "/new").form("size=0").differs(SIZE, "200", "400"),
                server(Get, "/new?size=%zz").differs(SIZE, "200", "400"),
                server(Get, "/new?size=3;size=5").differs(SIZE, "200", "400"),
            ],
        ),
        unmade(
            "pages for people and machines",
            Discovery,
            vec![
                server(Get, "/health"),
                server(Head, "/health"),
                server(Post, "/health"),
                server(Get, "/robots.txt"),
                server(Head, "/robots.txt"),
                server(Post, "/robots.txt"),
                server(Get, "/no/such/page"),
                server(Get, "/no/such/page/"),
                server(Get, "/").differs(HOME, "301", "200"),
                server(Get, "/prod").differs(ANY_TOKEN, "404", "404 100"),
                server(Get, "/prod/a").differs(ANY_TOKEN, "404", "404 100"),
                server(Put, "/prod/a").form(A).differs(ANY_TOKEN, "404", "404 100"),
                server(Get, "/prod/_config/size").differs(ANY_TOKEN, "404", "404 100"),
            ],
        ),
    ]
}

fn refusals() -> Vec<Scenario> {
    vec![
        scenario(
            "what is no registration is refused",
            Both,
            vec![
                put("/a", "value=nonsense").differs(REGISTRATION, "201 set", "400 209"),
                put("/b", "value=infra1=10.0.0.1:2380").differs(REGISTRATION, "201 set", "400 209"),
                put("/c", "value=").differs(REGISTRATION, "201 set", "400 209"),
                put("/d", "value").differs(REGISTRATION, "201 set", "400 209"),
                put("/e", "value=%ff").differs(REGISTRATION, "201 set", "400 210"),
                send(Put, "/f").differs(REGISTRATION, "201 set", "400 209"),
                put("/g%20h", D).differs(REGISTRATION, "201 set", "400 209"),
                get("/%zz").differs(REGISTRATION, "400", "400 209"),
            ],
        ),
        scenario(
            "what another member has is refused",
            Both,
            vec![
                put("/a", A),
                put("/b", "value=infra0=http://10.0.0.2:2380").differs(TAKEN, "201 set", "412 101"),
                put("/c?prevExist=false", "value=infra2=http://10.0.0.1:2380").differs(TAKEN, "201 create", "412 101"),
            ],
        ),
        unmade(
            "nobody registers under a token that nobody made",
            Both,
            vec![
                put("/a", A).differs(UNKNOWN_TOKEN, "201 set", "404 100"),
                put("/b?prevExist=false", B).differs(UNKNOWN_TOKEN, "201 create", "404 100"),
            ],
        ),
        scenario_of(
            ONE,
            "nobody is created into a free place of a formed cluster",
            Both,
            vec![
                put("/a?prevExist=false", A),
                put("/b?prevExist=false", B),
                delete("/a"),
                delete("/b"),
                put("/c?prevExist=false", C).differs(FORMED, "201 create", "412 101"),
            ],
        ),
        scenario(
            "nothing expires, and there are no directories to make",
            Both,
            vec![
                put("/a?ttl=1000000", A).differs(PLAIN_KEYS, "201 set", "400 209"),
                put("/b?refresh=true&ttl=1000000", "").differs(PLAIN_KEYS, "404 100", "400 209"),
                put("/c?dir=true", "").differs(PLAIN_KEYS, "201 set", "400 209"),
                put("?dir=true", "").differs(PLAIN_KEYS, "403 102", "400 209"),
                put("?prevExist=true", "").differs(PLAIN_KEYS, "200 update", "403 102"),
            ],
        ),
    ]
}
