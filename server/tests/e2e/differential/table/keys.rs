//! Reading and writing: what a cluster holds, under every condition.

use super::{A, A_MOVED, B, C, D};
use crate::differential::{
    intended::{AGAIN, CONFIG_STAYS, FIXED_SIZE, NO_INDEX, PLACE, SIZE, TAKEN, USED_TOKEN},
    scenario::{
        NEW_FIVE, ONE, Scenario, Urls::*, Verb::*, delete, get, put, scenario, scenario_of, scenario_without_cluster,
        send, wait,
    },
};

pub fn bootstrap() -> Vec<Scenario> {
    vec![
        scenario(
            "three etcds find each other, and a fourth comes too late",
            Everywhere,
            vec![
                get("/_config/size"),
                get(""),
                put("/5e3c1f09?prevExist=false", A),
                put("/5e3c1f09?prevExist=false", A).differs(AGAIN, "412 105", "201 create"),
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

pub fn reads() -> Vec<Scenario> {
    vec![
        scenario(
            "every node can be read",
            Everywhere,
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
        scenario_without_cluster(
            "the token is unknown",
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

pub fn writes() -> Vec<Scenario> {
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
                put("/a?prevExist=false", A).differs(AGAIN, "412 105", "201 create"),
                put("/a?prevExist=false", A_MOVED),
                put("/a?prevExist=false&prevIndex=@2", A).differs(AGAIN, "412 105", "201 create"),
                put("/a?prevExist=false", "value=infra7=http://10.0.0.1:2380").differs(TAKEN, "412 105", "412 101"),
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
            "a write with noValueOnSuccess returns no value",
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

pub fn removals() -> Vec<Scenario> {
    vec![
        scenario(
            "a member is removed and registers again",
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
            "the directory of the size is not removed",
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
                put("/_config/size", "value=3").differs(USED_TOKEN, "201 set", "412 101"),
            ],
        ),
    ]
}

pub fn sizes() -> Vec<Scenario> {
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
