//! Long polls, from history and for what comes next.

use super::{A, A_MOVED, B, C};
use crate::differential::{
    intended::{UNKNOWN_TOKEN, WAITS},
    scenario::{ONE, Scenario, Urls::*, delete, get, put, scenario, scenario_of, scenario_without_cluster, wait},
};

pub fn waits() -> Vec<Scenario> {
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
            "a wait from the beginning does not return the size",
            Keys,
            vec![
                put("/a?prevExist=false", A),
                get("?wait=true&recursive=true&waitIndex=@1").differs(WAITS, "200 set", "200 create"),
            ],
        ),
        scenario(
            "a wait for one member is answered by its next change only",
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
            "a wait for a formed cluster is answered by every change",
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
            "waits of a forming cluster that is deleted get an empty answer",
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
        scenario_without_cluster(
            "a wait for an unknown token",
            Both,
            vec![
                wait("?wait=true&recursive=true", vec![put("/a", A).differs(UNKNOWN_TOKEN, "201 set", "404 100")])
                    .differs(UNKNOWN_TOKEN, "200 set", "404 100"),
            ],
        ),
        scenario_of(
            ONE,
            "events more than a thousand changes old are compacted",
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
