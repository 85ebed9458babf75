//! Fields, routes, pages and everything that is refused.

use super::{A, B, C, D};
use crate::differential::{
    intended::{
        ANY_TOKEN, DOUBLED_SLASH, FORMED, HEAD, HOME, METHODS, NEW_READ, NO_INDEX, NO_STORE, OTHER_FOLDER, PLAIN_KEYS,
        POST, REGISTRATION, REGISTRY_ONLY, SIZE, TAKEN, UNKNOWN_TOKEN, VERSION,
    },
    scenario::{
        ONE, Scenario, Urls::*, Verb::*, delete, get, put, scenario, scenario_of, scenario_without_cluster, send,
        server,
    },
};

pub fn fields() -> Vec<Scenario> {
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

pub fn routes() -> Vec<Scenario> {
    vec![
        scenario(
            "discovery.etcd.io has few methods",
            Discovery,
            vec![
                send(Post, "").differs(POST, "405", "405"),
                send(Patch, "").differs(METHODS, "405", "405"),
                send(Options, "").differs(METHODS, "405", "405"),
                send(Delete, "").differs(METHODS, "405", "405"),
                send(Delete, "/").differs(METHODS, "405", "405"),
                send(Delete, "?recursive=true").differs(METHODS, "405", "405"),
                send(Post, "/a").form(A).differs(POST, "405", "405"),
                send(Patch, "/a").form(A).differs(METHODS, "405", "405"),
                send(Options, "/a").differs(METHODS, "405", "405"),
                put("/_config/size", "value=5").differs(METHODS, "405", "405"),
                send(Post, "/_config/size").form("value=5").differs(POST, "405", "405"),
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
                send(Post, "").form(A).differs(POST, "201 create", "405"),
                send(Post, "/_config/size").form("value=5").differs(POST, "400 104", "405"),
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
                server(Get, "/TOKEN//a").differs(DOUBLED_SLASH, "301", "400 209"),
            ],
        ),
        scenario(
            "etcd ignores a slash at the end",
            Keys,
            vec![
                put("/a/", A),
                get("/a/"),
                get("/"),
                get("/_config/"),
                get("/_config/size/"),
                server(Get, "/v2/keys//_etcd/registry/TOKEN").differs(DOUBLED_SLASH, "301", "200 get"),
            ],
        ),
        scenario(
            "the registry holds clusters, and they hold members and a size",
            Keys,
            vec![
                put("/a", A),
                get("/_config/other").differs(REGISTRY_ONLY, "404 100", "404 100"),
                get("/_hidden").differs(REGISTRY_ONLY, "404 100", "404 100"),
                get("/missing/b").differs(REGISTRY_ONLY, "404 100", "400 209"),
                get("/a/b").differs(REGISTRY_ONLY, "400 104", "400 209"),
                put("/_config/other", "value=1").differs(REGISTRY_ONLY, "201 set", "404 100"),
                server(Get, "/v2/keys/foo").differs(NO_INDEX, "404 100", "404 100"),
                server(Put, "/v2/keys/foo").form("value=bar").differs(REGISTRY_ONLY, "201 set", "404 100"),
                server(Get, "/v2/keys").differs(REGISTRY_ONLY, "200 get", "400 209"),
                server(Get, "/v2/keys/").differs(REGISTRY_ONLY, "200 get", "400 209"),
                server(Get, "/v2/keys/_etcd?recursive=true").differs(REGISTRY_ONLY, "200 get", "400 209"),
                server(Get, "/v2/keys/_etcd/registry").differs(REGISTRY_ONLY, "200 get", "400 209"),
                server(Get, "/v2/keys/other/TOKEN/_config/size").differs(OTHER_FOLDER, "404 100", "400 209"),
                server(Put, "/v2/keys/other/TOKEN/_config/size").form("value=3").differs(
                    OTHER_FOLDER,
                    "201 set",
                    "400 209",
                ),
                server(Get, "/v2/keys/a/b/TOKEN/_config/size").differs(OTHER_FOLDER, "404 100", "400 209"),
                server(Get, "/v2/keys/discovery/_config/size").differs(OTHER_FOLDER, "404 100", "400 209"),
                server(Get, "/v2/machines").differs(REGISTRY_ONLY, "200", "404 209"),
                server(Get, "/v2/members").differs(REGISTRY_ONLY, "200", "404 209"),
                server(Get, "/v2/stats/self").differs(REGISTRY_ONLY, "200", "404 209"),
                server(Get, "/version").differs(VERSION, "200", "200"),
                server(Delete, "/v2/keys/_etcd/registry?recursive=true").differs(
                    REGISTRY_ONLY,
                    "200 delete",
                    "400 209",
                ),
            ],
        ),
    ]
}

pub fn pages() -> Vec<Scenario> {
    vec![
        scenario_without_cluster(
            "a cluster is created by any method, with its size in the query or in a form",
            Discovery,
            vec![
                server(Get, "/new").differs(NO_STORE, "200", "200"),
                server(Get, "/new?size=1").differs(NO_STORE, "200", "200"),
                server(Get, "/new?size=31").differs(NO_STORE, "200", "200"),
                server(Get, "/new?size=").differs(NO_STORE, "200", "200"),
                server(Get, "/new?size=5&size=x").differs(NO_STORE, "200", "200"),
                server(Post, "/new").differs(NO_STORE, "200", "200"),
                server(Post, "/new").form("size=4").differs(NO_STORE, "200", "200"),
                server(Post, "/new?size=x").form("size=4").differs(NO_STORE, "200", "200"),
                server(Put, "/new?size=7").differs(NO_STORE, "200", "200"),
                server(Put, "/new").form("size=5").differs(NO_STORE, "200", "200"),
                server(Delete, "/new?size=9").differs(NO_STORE, "200", "200"),
                server(Head, "/new").differs(NO_STORE, "200", "200"),
                server(Head, "/new?size=x"),
                server(Options, "/new").differs(NEW_READ, "200", "200"),
            ],
        ),
        scenario_without_cluster(
            "a cluster that no etcd can form is not created",
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
        scenario_without_cluster(
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
                server(Get, "/discovery/prod/_config/size").differs(OTHER_FOLDER, "404", "400 209"),
                server(Get, "/prod").differs(ANY_TOKEN, "404", "404 100"),
                server(Get, "/prod/a").differs(ANY_TOKEN, "404", "404 100"),
                server(Put, "/prod/a").form(A).differs(ANY_TOKEN, "404", "404 100"),
                server(Get, "/prod/_config/size").differs(ANY_TOKEN, "404", "404 100"),
            ],
        ),
    ]
}

pub fn refusals() -> Vec<Scenario> {
    vec![
        scenario(
            "an invalid registration is refused",
            Both,
            vec![
                put("/a", "value=nonsense").differs(REGISTRATION, "201 set", "400 209"),
                put("/b", "value=infra1=10.0.0.1:2380").differs(REGISTRATION, "201 set", "400 209"),
                put("/c", "value=").differs(REGISTRATION, "201 set", "400 209"),
                put("/d", "value").differs(REGISTRATION, "201 set", "400 209"),
                put("/e", "value=%ff").differs(REGISTRATION, "201 set", "400 210"),
                send(Put, "/f").differs(REGISTRATION, "201 set", "400 209"),
                put("/i", "value=infra3=http://10.0.0.4:2380&infra3=http://10.0.0.4:7001").differs(
                    REGISTRATION,
                    "201 set",
                    "400 209",
                ),
                put("/j?infra3=http://10.0.0.4:7001", D).differs(REGISTRATION, "201 set", "400 209"),
                put("/k", "value=infra3=http://0.0.0.0:2380").differs(REGISTRATION, "201 set", "400 209"),
                put("/g%20h", D).differs(REGISTRATION, "201 set", "400 209"),
                get("/%zz").differs(REGISTRATION, "400", "400 209"),
            ],
        ),
        scenario(
            "a name or peer URL of another member is refused",
            Both,
            vec![
                put("/a", A),
                put("/b", "value=infra0=http://10.0.0.2:2380").differs(TAKEN, "201 set", "412 101"),
                put("/c?prevExist=false", "value=infra2=http://10.0.0.1:2380").differs(TAKEN, "201 create", "412 101"),
            ],
        ),
        scenario_without_cluster(
            "a registration with an unknown token",
            Both,
            vec![
                put("/a", A).differs(UNKNOWN_TOKEN, "201 set", "404 100"),
                put("/b?prevExist=false", B).differs(UNKNOWN_TOKEN, "201 create", "404 100"),
            ],
        ),
        scenario_of(
            ONE,
            "no member is created in a free place of a formed cluster",
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
            "nothing expires, and directories are not created",
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
