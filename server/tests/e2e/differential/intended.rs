//! Where our answers differ from the reference's on purpose. docs/reference/v2.md lists them for operators.

use crate::comparison::Intended;

/// All intended differences. Each must occur, so that the list has no stale entry.
pub const ALL: [Intended; 26] = [
    REQUEST_ID,
    NO_CORS,
    HOME,
    METHODS,
    POST,
    HEAD,
    NO_STORE,
    NEW_READ,
    VERSION,
    DOUBLED_SLASH,
    ANY_TOKEN,
    OTHER_FOLDER,
    REGISTRY_ONLY,
    UNKNOWN_TOKEN,
    USED_TOKEN,
    NO_INDEX,
    SIZE,
    FIXED_SIZE,
    CONFIG_STAYS,
    REGISTRATION,
    TAKEN,
    FORMED,
    PLACE,
    AGAIN,
    WAITS,
    PLAIN_KEYS,
];

pub const REQUEST_ID: Intended = Intended::facts(
    "every answer has an ID",
    "X-Request-Id names the answer's line in the access log",
    &["header x-request-id"],
);

pub const NO_CORS: Intended = Intended::facts(
    "no web page may read an answer",
    "the reference lets every page read and change every cluster whose token it knows; --v2-cors lists the origins that may",
    &["header access-control-"],
);

pub const HOME: Intended =
    Intended::answer("/ is a page", "the reference redirects to a page about discovery.etcd.io that is gone");

pub const METHODS: Intended = Intended::facts(
    "405 lists the supported methods",
    "HTTP demands `Allow`, with those that are really there",
    &["header allow"],
);

pub const POST: Intended = Intended::answer(
    "POST is refused with what to send instead",
    "curl sends POST unless it is given another method, and the reference answers that with nothing or an in-order key",
);

pub const NO_STORE: Intended = Intended::facts(
    "no cache keeps what /new answers",
    "who got a kept answer would join the cluster of somebody else",
    &["header cache-control"],
);

pub const NEW_READ: Intended = Intended::answer(
    "HEAD and OPTIONS of /new make no cluster",
    "nobody would learn its URL; health checks and browsers send them",
);

pub const VERSION: Intended = Intended::facts(
    "/version is that of the last etcd with both protocols",
    "clients want to know what they may send; the server's own version stands beside it",
    &["body /etcd", "body /convene"],
);

pub const HEAD: Intended =
    Intended::answer("HEAD works on every read", "HTTP demands it wherever GET works, and health checks send it");

pub const DOUBLED_SLASH: Intended = Intended::answer(
    "a doubled slash is not redirected",
    "the reference redirects to the clean path, where most clients make a GET of a PUT and so lose a registration",
);

pub const ANY_TOKEN: Intended = Intended::answer(
    "/TOKEN takes tokens of any shape",
    "tokens that were made in the keys form, such as `prod`, work in the short form, too",
);

pub const OTHER_FOLDER: Intended = Intended::answer(
    "an unknown folder is refused with its name",
    "etcd logs the cause of a bad field, but of a missing key only `size key not found`",
);

pub const REGISTRY_ONLY: Intended = Intended::answer(
    "there is nothing but clusters, each with members and a size",
    "a token is a secret, so no client may list the registry; and this is neither a general key-value store nor an \
     etcd",
);

pub const UNKNOWN_TOKEN: Intended = Intended::answer(
    "a token has to be created first",
    "a mistyped token would gather members that never find the others; the reference stores and waits forever",
);

pub const USED_TOKEN: Intended = Intended::answer(
    "a token is never reused",
    "etcds that still wait for the deleted cluster would count members of the new one, and two could form",
);

pub const NO_INDEX: Intended = Intended::facts(
    "without a cluster there is no index",
    "each cluster counts its own changes; the reference counts those of all keys together",
    &["header x-etcd-index", "body /index"],
);

pub const SIZE: Intended = Intended::answer(
    "a size is a number from 1 to --max-cluster-size",
    "no etcd can bootstrap with another, so the server refuses it at once, in plain words",
);

pub const FIXED_SIZE: Intended = Intended::answer(
    "the size is fixed once a member has registered",
    "members that read different sizes would form different clusters",
);

pub const CONFIG_STAYS: Intended =
    Intended::answer("_config stays", "a cluster without size is of no use; the cluster as a whole can be deleted");

pub const REGISTRATION: Intended = Intended::answer(
    "a registration is NAME=PEER-URL under a plain key",
    "every etcd of the cluster would fail on the bad value of one, and none would log whose it is",
);

pub const TAKEN: Intended = Intended::answer(
    "a name or peer URL belongs to one member",
    "every etcd of the cluster would fail with `duplicate name`, or two would answer for one URL",
);

pub const FORMED: Intended = Intended::answer(
    "no member is created in a formed cluster",
    "the others have bootstrapped without the new node, which would wait for a cluster that never forms",
);

pub const PLACE: Intended = Intended::facts(
    "a set keeps the place in a formed cluster",
    "etcds take the first members in the order of creation: a moved place could let in a new node that the others \
     don't know",
    &["body /node/createdIndex"],
);

pub const AGAIN: Intended = Intended::answer(
    "a node may register again as it is while its cluster forms",
    "a node that lost its data before the others came would be locked out with `duplicate id`",
);

pub const WAITS: Intended = Intended::answer(
    "waits for a forming cluster yield new members only",
    "a forming etcd counts every answer as one more member, be it a repeated registration or a removal",
);

pub const PLAIN_KEYS: Intended = Intended::answer(
    "no expiry, directories, in-order keys and streams",
    "no discovery client uses them; a refusal is better than a registration that is not what was asked for",
);
