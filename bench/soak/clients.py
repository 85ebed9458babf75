"""Clients that race for the same clusters at random servers, and record what they did and saw."""

import http.client
import itertools
import json
import random
import threading
import time
import urllib.parse

from history import MADE, REFUSED, UNKNOWN, Read, Seen, Write, now

# Longer than the 15 s after which a silent stream sends a comment.
TIMEOUT = 20
# A cluster is left after so many seconds, and its history is complete.
CLUSTER_LIFE = 20
SIZE = 7
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}


class Clients:
    """All clients of a run. `clusters` has the tokens of every cluster that they made."""

    def __init__(self, servers, seed, history):
        self.servers = servers
        self.history = history
        self.clusters = []
        self.errors = []
        self._active = []
        self._stopped = threading.Event()
        self._names = itertools.count()
        self._watchers = itertools.count()
        self._threads = []
        self._random = random.Random(seed)

    def start(self, writers=6, readers=3):
        self._spawn(self._make_clusters)
        for _ in range(writers):
            self._spawn(self._write)
        for _ in range(readers):
            self._spawn(self._read)

    def finish(self):
        """Ends all clients, and waits for their last requests."""
        self._stopped.set()
        for thread in self._threads:
            thread.join(4 * TIMEOUT)

    def events(self, server, token):
        """All events of a cluster, as one server shows them; an empty list if no server could make it."""
        events, after = [], 0
        while True:
            status, _, body = ask(server, "GET", f"/v1/clusters/{token}/events?after={after}")
            if status == 404 and not events:
                return events
            if status != 200:
                raise RuntimeError(f"server {server.number} answers {status} to the events of {token}")
            page = json.loads(body)
            events += page["events"]
            if not page["events"]:
                return events
            after = page["last_revision"]

    def _spawn(self, work, *arguments):
        def guarded():
            try:
                work(random.Random(self._random.random()), *arguments)
            except Exception as error:  # A client that ends early would hide faults.
                self.errors.append(f"{work.__name__}: {error!r}")

        thread = threading.Thread(target=guarded)
        self._threads.append(thread)
        thread.start()

    def _make_clusters(self, rng):
        """Makes a cluster every few seconds, by racing requests for the same token at all servers."""
        while not self._stopped.is_set():
            token = f"{rng.getrandbits(128):032x}"
            self.clusters.append(token)
            racers = [threading.Thread(target=self._create, args=(token, server)) for server in self.servers]
            for racer in racers:
                racer.start()
            for racer in racers:
                racer.join()
            self._active.append((token, now()))
            for server in rng.sample(self.servers, 2):
                self._spawn(self._stream, token, server)
            self._spawn(self._poll, token, rng.choice(self.servers))
            self._stopped.wait(rng.uniform(1, 3))
            self._active = [(token, born) for token, born in self._active if now() - born < CLUSTER_LIFE]

    def _create(self, token, server):
        body = json.dumps({"size": SIZE, "token": token})
        self._record_write(server, token, "create", str(SIZE), "POST", "/v1/clusters", body, JSON)

    def _write(self, rng):
        while not self._stopped.is_set():
            if not self._active:
                time.sleep(0.1)
                continue
            token, _ = rng.choice(self._active)
            rng.choice([self._register, self._register, self._rename, self._unregister])(rng, token)
            time.sleep(rng.uniform(0, 0.05))

    def _register(self, rng, token):
        number = next(self._names)
        value = f"node{number}=http://10.0.{number // 250 % 250}.{number % 250}:{2000 + number // 62500}"
        body = urllib.parse.urlencode({"value": value})
        path = f"/v2/keys/_etcd/registry/{token}/{number + 1:x}?prevExist=false"
        self._record_write(rng.choice(self.servers), token, "register", value, "PUT", path, body, FORM)

    def _rename(self, rng, token):
        """Changes the name, if nobody has changed the cluster since this client read it."""
        revision = self._read_once(rng.choice(self.servers), token, quorum=False)
        if revision is None:
            return
        value = f"name{next(self._names)}"
        headers = {**JSON, "If-Match": f'"{revision}"'}
        server, path, body = rng.choice(self.servers), f"/v1/clusters/{token}", json.dumps({"name": value})
        self._record_write(server, token, "rename", value, "PATCH", path, body, headers, expected=revision)

    def _unregister(self, rng, token):
        """Two clients delete a member at two servers, if it has not changed since."""
        status, _, body = ask(rng.choice(self.servers), "GET", f"/v2/keys/_etcd/registry/{token}")
        nodes = json.loads(body).get("node", {}).get("nodes", []) if status == 200 else []
        if not nodes or rng.random() < 0.7:
            return
        node = rng.choice(nodes)
        path, index = f"/v2/keys{node['key']}", node["modifiedIndex"]
        racers = [
            threading.Thread(
                target=self._record_write,
                args=(server, token, "unregister", node["key"].rsplit("/", 1)[1], "DELETE", f"{path}?prevIndex={index}", None, {}, index),
            )
            for server in rng.sample(self.servers, 2)
        ]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join()

    def _record_write(self, server, token, kind, value, method, path, body, headers, expected=None):
        sent = now()
        status, answer_headers, _ = ask(server, method, path, body, headers)
        revision = None
        if 200 <= status < 300:
            outcome = MADE
            revision = int(answer_headers.get("X-Etcd-Index") or answer_headers.get("ETag", "").strip('"'))
        elif 400 <= status < 500:
            outcome = REFUSED
        else:
            outcome = UNKNOWN
        write = Write(token, kind, value, sent, now(), server.number, outcome, status, revision, expected)
        self.history.add(write)

    def _read(self, rng):
        while not self._stopped.is_set():
            if self._active:
                self._read_once(rng.choice(self.servers), rng.choice(self._active)[0], quorum=rng.random() < 0.5)
            time.sleep(rng.uniform(0, 0.05))

    def _read_once(self, server, token, quorum):
        """Reads a cluster, and returns its revision. `None` if there is no answer, or no cluster yet."""
        sent = now()
        path = f"/v2/keys/_etcd/registry/{token}?quorum=true" if quorum else f"/v1/clusters/{token}"
        status, headers, _ = ask(server, "GET", path)
        if status != 200:
            self.history.add_refused_read()
            return None
        revision = int(headers["X-Etcd-Index"] if quorum else headers["ETag"].strip('"'))
        self.history.add(Read(token, sent, now(), server.number, revision, quorum))
        return revision

    def _stream(self, rng, token, server):
        """Follows the events of a cluster as a browser does: it connects again, to any server, after the last event."""
        watcher, last, born = next(self._watchers), 0, now()
        while now() - born < CLUSTER_LIFE + 2 * TIMEOUT and not self._stopped.is_set():
            connection = http.client.HTTPConnection(server.address, timeout=TIMEOUT)
            try:
                connection.request("GET", f"/v1/clusters/{token}/events?after={last}", headers={"Accept": "text/event-stream"})
                answer = connection.getresponse()
                while answer.status == 200 and (line := answer.readline()) and not self._stopped.is_set():
                    if line.startswith(b"data:"):
                        event = json.loads(line[5:])
                        last = event["revision"]
                        self.history.add(seen(watcher, token, server, event))
            except (OSError, http.client.HTTPException):
                pass
            finally:
                connection.close()
            server = rng.choice(self.servers)
            time.sleep(0.2)

    def _poll(self, rng, token, server):
        """Waits for the members of a cluster as etcd's v2 discovery does."""
        watcher, index, born = next(self._watchers), 2, now()
        while now() - born < CLUSTER_LIFE and not self._stopped.is_set():
            path = f"/v2/keys/_etcd/registry/{token}?wait=true&recursive=true&waitIndex={index}"
            status, _, body = ask(server, "GET", path)
            if status == 200 and body:
                node = json.loads(body)["node"]
                index = node["modifiedIndex"] + 1
                event = {"revision": node["modifiedIndex"], "kind": "poll", "value": node.get("value")}
                self.history.add(seen(watcher, token, server, event))
            elif status != 200:
                time.sleep(0.2)
                server = rng.choice(self.servers)


def seen(watcher, token, server, event):
    return Seen(watcher, token, server.number, now(), event["revision"], event["kind"], event.get("value"))


def ask(server, method, path, body=None, headers=None):
    """Makes a request, and returns status, headers and body. Status 0 means that no answer came."""
    connection = http.client.HTTPConnection(server.address, timeout=TIMEOUT)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    except (OSError, http.client.HTTPException):
        return 0, {}, b""
    finally:
        connection.close()
