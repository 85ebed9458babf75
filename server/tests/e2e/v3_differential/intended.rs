//! Where our answers differ from an etcd's on purpose. docs/reference/v3.md lists them for operators.

use crate::comparison::Intended;

/// All intended differences. Each must occur, so that the list has no stale entry.
pub const ALL: [Intended; 14] = [
    REGISTRY_ONLY,
    UNKNOWN_TOKEN,
    OWN_REVISIONS,
    SIZE,
    FIXED_SIZE,
    SIZE_STAYS,
    REGISTRATION,
    TAKEN,
    FORMED,
    USED_TOKEN,
    ONE_BY_ONE,
    ONE_WRITE,
    PRESENT_ONLY,
    NO_ETCD,
];

pub const REGISTRY_ONLY: Intended = Intended::answer(
    "there is nothing but clusters, each with members and a size",
    "a token is a secret, so no client may list the registry; and this is neither a general key-value store nor an \
     etcd",
);

pub const UNKNOWN_TOKEN: Intended = Intended::answer(
    "a cluster is created by its size",
    "a mistyped token would gather members that never find the others",
);

pub const OWN_REVISIONS: Intended = Intended::facts(
    "a cluster's revisions end with it",
    "each cluster counts its own changes, and a deleted cluster has none",
    &["header.revision"],
);

pub const SIZE: Intended = Intended::answer(
    "a size is a number from 1 to --max-cluster-size",
    "no etcd can bootstrap with another, so the server refuses it at once, in plain words",
);

pub const FIXED_SIZE: Intended = Intended::answer(
    "the size is fixed once a member has registered",
    "members that read different sizes would form different clusters",
);

pub const SIZE_STAYS: Intended = Intended::answer(
    "the size stays as long as there is a member",
    "a cluster without size is of no use; the cluster as a whole can be deleted",
);

pub const REGISTRATION: Intended = Intended::answer(
    "a registration is NAME=PEER-URL under a plain key",
    "every etcd of the cluster would fail on the bad value of one, and none would log whose it is",
);

pub const TAKEN: Intended = Intended::answer(
    "a name or peer URL belongs to one member",
    "every etcd of the cluster would fail with `duplicate name`, or two would answer for one URL",
);

pub const FORMED: Intended = Intended::answer(
    "no member is created in a free place of a formed cluster",
    "the others have bootstrapped without the new node, which would wait for a cluster that never forms",
);

pub const USED_TOKEN: Intended = Intended::answer(
    "a token is never reused",
    "etcds that still wait for the deleted cluster would count members of the new one, and two could form",
);

pub const ONE_BY_ONE: Intended = Intended::facts(
    "each removal has a revision of its own",
    "a member's removal is one change of the cluster, whichever protocol asks for it",
    &["header.revision"],
);

pub const ONE_WRITE: Intended = Intended::answer(
    "a transaction writes once",
    "each change of the cluster has a revision of its own, and no discovery client needs more",
);

pub const PRESENT_ONLY: Intended = Intended::answer(
    "a transaction reads the current state only",
    "it is decided on the present cluster, without its history",
);

pub const NO_ETCD: Intended = Intended::facts(
    "there is neither a log nor peers behind it",
    "it is one server, and not an etcd that others could join",
    &["raft_index > 0", "members[0].has peer URLs"],
);
