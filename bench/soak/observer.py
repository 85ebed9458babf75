"""Watches the cluster from where nothing is cut off, and notes what must never happen."""

import concurrent.futures
import math
import threading
import time

import etcd

# From a node's last look at a member until its removal is in etcd's list.
REMOVAL_TAKES_AT_MOST = 30


class Observer:
    """Asks all etcds every half second."""

    def __init__(self, machines, dead_after):
        self.violations = []
        self.cluster_ids = set()
        self.listed = {}
        self._machines = machines
        self._dead_after = dead_after
        # When each member last answered, and at which machine.
        self._answers = {}
        # Until when the removal of a machine's member is requested or justified, by machine name; "*" is any.
        self._excused = {}
        # The machines whose member stays, however silent it is.
        self._protected = set()
        self._pool = concurrent.futures.ThreadPoolExecutor(len(machines))
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def excuse(self, machine):
        """The member of this machine (or of any, "*") may be removed until `end_excuses`, and shortly afterwards."""
        self._excused[machine] = math.inf

    def protect(self, machine):
        """The member of this machine must not be removed until `end_excuses`, although it may be silent for long."""
        self._protected.add(machine)

    def end_excuses(self):
        """The cluster is whole. A removal that has already begun is still excused."""
        self._protected.clear()
        until = time.monotonic() + REMOVAL_TAKES_AT_MOST
        self._excused = {machine: min(end, until) for machine, end in self._excused.items()}

    def archived(self, machine, reason, member, line):
        """A machine has archived data. If the cluster lists the data's member, that is a violation."""
        if reason in ("removed_member", "foreign_data") and member in (self.list_now() or {}):
            self.note(f"{machine.name} archived data of a listed member: {line}")

    def list_now(self):
        """The member list of the first etcd that reads it through its quorum."""
        for machine in self._machines:
            found = etcd.members(machine.client_url)
            if found:
                return found
        return None

    def is_whole(self, size):
        """Whether all members are voters that answer, as many as the size."""
        found = self.list_now()
        if not found or len(found) != size or not all(found.values()):
            return False
        return found.keys() <= {answer[0] for answer in self._ask_all() if answer}

    def note(self, violation):
        """Notes what must not happen."""
        violation = f"{time.strftime('%H:%M:%S')} {violation}"
        print(f"\nVIOLATION: {violation}", flush=True)
        self.violations.append(violation)

    def close(self):
        self._over.set()
        self._thread.join()
        self._pool.shutdown()

    def _ask_all(self):
        """What each etcd answers. One that is suspended does not hold up the others."""
        return list(self._pool.map(lambda machine: etcd.status(machine.client_url), self._machines))

    def _watch(self):
        while not self._over.wait(0.5):
            running = {}
            for machine, answer in zip(self._machines, self._ask_all()):
                if answer is None:
                    continue
                member, cluster = answer
                self.cluster_ids.add(cluster)
                if member in running:
                    self.note(f"{machine.name} and {running[member]} both run member {member}")
                running[member] = machine.name
                self._answers[member] = (time.monotonic(), machine.name)
            if len(self.cluster_ids) > 1:
                self.note(f"there are two etcd clusters: {sorted(self.cluster_ids)}")
                self.cluster_ids = set(sorted(self.cluster_ids)[:1])
            found = self.list_now()
            if found:
                for member in self.listed.keys() - found.keys():
                    self._judge_removal(member)
                self.listed = found

    def _judge_removal(self, member):
        now = time.monotonic()
        answered, machine = self._answers.get(member, (0.0, None))
        if machine in self._protected:
            self.note(f"member {member} of {machine} was removed, and nobody may replace it")
        excused = max(self._excused.get(machine, 0), self._excused.get("*", 0)) > now
        if machine and not excused and now - answered < self._dead_after / 2:
            self.note(f"member {member} of {machine} was removed although it answered {now - answered:.1f} s before")
