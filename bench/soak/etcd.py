"""What etcds answer over their HTTP gateway. It is asked from the test's own place in the network."""

import base64
import json
import urllib.error
import urllib.request


def call(endpoint, path, request, timeout=2.0):
    """One call; `None` if there is no answer or an error."""
    body = json.dumps(request).encode()
    try:
        with urllib.request.urlopen(f"{endpoint}{path}", body, timeout) as answer:
            return json.load(answer)
    except (OSError, ValueError):
        return None


def put(endpoint, key, value):
    """Writes a key, and returns whether etcd acknowledged that."""
    encode = lambda text: base64.b64encode(text.encode()).decode()
    return call(endpoint, "/v3/kv/put", {"key": encode(key), "value": encode(value)}, 1.0) is not None


def keys(endpoint, prefix):
    """All keys with a prefix, read through the quorum; `None` if etcd does not answer."""
    first = base64.b64encode(prefix.encode()).decode()
    last = base64.b64encode(prefix[:-1].encode() + bytes([ord(prefix[-1]) + 1])).decode()
    answer = call(endpoint, "/v3/kv/range", {"key": first, "range_end": last, "keys_only": True}, 20.0)
    return answer and {base64.b64decode(one["key"]).decode() for one in answer.get("kvs", [])}


def status(endpoint):
    """The member ID and the cluster ID of an etcd, in hexadecimal; `None` if it does not answer."""
    answer = call(endpoint, "/v3/maintenance/status", {})
    return answer and (hexadecimal(answer["header"]["member_id"]), hexadecimal(answer["header"]["cluster_id"]))


def members(endpoint):
    """The member list, read through the quorum: whether each ID votes. `None` if etcd does not answer."""
    # etcd 3.4 lists what the asked member knows; a read through the quorum before makes that recent.
    if call(endpoint, "/v3/kv/range", {"key": "YQ==", "count_only": True}) is None:
        return None
    answer = call(endpoint, "/v3/cluster/member/list", {"linearizable": True})
    return answer and {hexadecimal(one["ID"]): not one.get("isLearner", False) for one in answer["members"]}


def hexadecimal(number):
    """An ID as etcdctl and Convene print it."""
    return f"{int(number):x}"
