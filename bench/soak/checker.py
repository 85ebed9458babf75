"""Compares what clients did and saw with what the database has at the end."""

import collections

from history import MADE, REFUSED

KINDS = {
    "create": "cluster_created", "register": "member_registered", "rename": "policy_set", "unregister": "member_removed",
}


class Checker:
    """The checks of one run. `final` has the events of each cluster, as each server shows them at the end."""

    def __init__(self, history, final):
        self.violations = []
        self.stale_reads = []
        self._history = history
        self._final = final

    def check(self):
        for token, by_server in self._final.items():
            events = by_server[0]
            if any(other != events for other in by_server[1:]):
                self._note(token, "the servers show different events at the end")
            self._check_cluster(token, {event["revision"]: event for event in events})
        return self.violations

    def _check_cluster(self, token, events):
        writes = [write for write in self._history.writes if write.token == token]
        if sorted(events) != list(range(1, len(events) + 1)):
            self._note(token, f"the revisions have gaps: {sorted(events)}")
        self._check_writes(token, writes, events)
        self._check_races(token, writes)
        self._check_order(token, writes)
        self._check_reads(token, [read for read in self._history.reads if read.token == token], writes, events)
        self._check_seen(token, events)

    def _check_writes(self, token, writes, events):
        """What was acknowledged is there, what was refused is not, and nothing is there that nobody wrote."""
        made = collections.defaultdict(list)
        for event in events.values():
            made[event["kind"], value_of(event)].append(event["revision"])
        possible = collections.Counter()
        for write in writes:
            key = (KINDS[write.kind], write.value)
            found = made.get(key, [])
            if write.outcome == MADE and write.revision not in found:
                self._note(token, f"LOST: {write} is not among the events {found}")
            if write.outcome == REFUSED and found and write.kind in ("register", "rename"):
                self._note(token, f"{write} was refused, and made as {found}")
            possible[key] += write.outcome != REFUSED
        for key, found in made.items():
            if key[0] in KINDS.values() and len(found) > possible[key]:
                self._note(token, f"{key} was made {len(found)} times as {found}, and requested {possible[key]} times")
            if key[0] == "member_registered" and len(found) > 1:
                self._note(token, f"DOUBLED: {key} was made as {found}")

    def _check_races(self, token, writes):
        winners = collections.defaultdict(list)
        for write in writes:
            if write.outcome != MADE:
                continue
            if write.kind in ("create", "unregister"):
                winners[write.kind, write.expected, write.kind == "create" or write.value].append(write)
            if write.kind == "rename" and write.revision != write.expected + 1:
                self._note(token, f"{write} was made although the cluster had changed")
        for race, won in winners.items():
            if len(won) > 1:
                self._note(token, f"the race {race} has {len(won)} winners: {won}")

    def _check_order(self, token, writes):
        """A write that was sent after the answer to another one has a later revision."""
        for first, later in after_each_other([write for write in writes if write.outcome == MADE]):
            if later.revision <= first.revision:
                self._note(token, f"REORDERED: {later} was sent after {first} was acknowledged")

    def _check_reads(self, token, reads, writes, events):
        made = [write for write in writes if write.outcome == MADE]
        known = sorted(made + [read for read in reads if read.quorum], key=lambda record: record.answered)
        for read in reads:
            if read.revision > len(events):
                self._note(token, f"{read} shows what the database never had")
            before = [record for record in known if record.answered < read.sent]
            newest = max(before, key=lambda record: record.revision, default=None)
            if newest is None or read.revision >= newest.revision:
                continue
            if read.quorum:
                self._note(token, f"STALE: {read} does not show {newest}")
            missed = min(record.answered for record in before if record.revision > read.revision)
            self.stale_reads.append(read.sent - missed)
        for server in {read.server for read in reads}:
            for first, later in after_each_other([read for read in reads if read.server == server]):
                if later.revision < first.revision:
                    self._note(token, f"server {server} went back: {first}, then {later}")

    def _check_seen(self, token, events):
        watchers = collections.defaultdict(list)
        for seen in self._history.seen:
            if seen.token == token:
                watchers[seen.watcher].append(seen)
        formed = min((event["revision"] for event in events.values() if event["kind"] == "formed"), default=len(events) + 1)
        for seen_by_one in watchers.values():
            last = 0
            for seen in seen_by_one:
                event = events.get(seen.revision)
                is_poll = seen.kind == "poll"
                if event is None or (not is_poll and event["kind"] != seen.kind) or event.get("value") != seen.value:
                    self._note(token, f"{seen} never happened; the database has {event}")
                elif seen.revision <= last:
                    self._note(token, f"{seen} came after {last}")
                skipped = range(last + 1, seen.revision)
                if is_poll:
                    registered = lambda number: events.get(number, {}).get("kind") == "member_registered"
                    skipped = [number for number in skipped if number < formed and registered(number)]
                if list(skipped):
                    self._note(token, f"GAP: {seen} came after {last}, without {list(skipped)}")
                last = seen.revision

    def _note(self, token, violation):
        self.violations.append(f"{token[:8]}: {violation}")


def value_of(event):
    """What tells the write of an event from other ones."""
    match event["kind"]:
        case "policy_set":
            return event["message"].removeprefix("settings changed: name ")
        case "member_removed":
            return event["member_id"]
        case _:
            return event["value"]


def after_each_other(records):
    """For each record, the one with the highest revision that was answered before it was sent."""
    by_answer = sorted(records, key=lambda record: record.answered)
    newest, index = None, 0
    for later in sorted(records, key=lambda record: record.sent):
        while index < len(by_answer) and by_answer[index].answered < later.sent:
            if newest is None or by_answer[index].revision > newest.revision:
                newest = by_answer[index]
            index += 1
        if newest is not None:
            yield newest, later
