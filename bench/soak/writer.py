"""A client that writes all the time, and remembers what was acknowledged."""

import threading
import time

import etcd

PREFIX = "soak/"


class Writer:
    """Writes each key once, through one endpoint until that fails and then through the next."""

    def __init__(self, endpoints):
        self.endpoints = endpoints
        self.acknowledged = []
        self.longest_gap = 0.0
        self._last = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def finish(self):
        """Stops, and returns the acknowledged keys that the cluster does not have; `None` if no etcd returns its keys."""
        self._ended.set()
        self._thread.join()
        for endpoint in self.endpoints * 20:
            found = etcd.keys(endpoint, PREFIX)
            if found is not None:
                return sorted(set(self.acknowledged) - found)
            time.sleep(0.5)
        return None

    def _write(self):
        failures = 0
        number = 0
        while not self._ended.is_set():
            key = f"{PREFIX}{number:08}"
            number += 1
            if etcd.put(self.endpoints[failures % len(self.endpoints)], key, str(number)):
                now = time.monotonic()
                self.acknowledged.append(key)
                self.longest_gap = max(self.longest_gap, now - self._last)
                self._last = now
            else:
                failures += 1
            time.sleep(0.01)
