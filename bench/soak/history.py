"""What clients did and saw: the history that the checks read."""

import dataclasses
import threading
import time

# What a write came to. An unknown one may have been made: its answer was lost, or it was 503.
MADE, REFUSED, UNKNOWN = "made", "refused", "unknown"


@dataclasses.dataclass
class Write:
    """A write, from the moment at which it was sent until its answer came."""

    token: str
    kind: str
    value: str
    sent: float
    answered: float
    server: int
    outcome: str
    status: int
    # The revision that the answer names; None if it is unknown.
    revision: int | None = None
    # The revision on which the write depended, if it did.
    expected: int | None = None


@dataclasses.dataclass
class Read:
    """A read and the revision that its answer shows."""

    token: str
    sent: float
    answered: float
    server: int
    revision: int
    # Whether the client demanded what all servers have acknowledged.
    quorum: bool


@dataclasses.dataclass
class Seen:
    """An event that a stream or a long poll delivered, in the order of its arrival."""

    watcher: int
    token: str
    server: int
    at: float
    revision: int
    kind: str
    value: str | None


class History:
    """Everything that happened, from all clients."""

    def __init__(self):
        self.writes = []
        self.reads = []
        self.seen = []
        self.refused_reads = 0
        self._lock = threading.Lock()

    def add(self, record):
        into = {Write: self.writes, Read: self.reads, Seen: self.seen}[type(record)]
        with self._lock:
            into.append(record)

    def add_refused_read(self):
        with self._lock:
            self.refused_reads += 1


def now():
    return time.monotonic()
