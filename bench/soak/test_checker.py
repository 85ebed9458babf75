"""The checker finds each kind of violation. `python3 -m unittest discover bench/soak` runs this."""

import copy
import unittest

from checker import Checker
from history import MADE, REFUSED, UNKNOWN, History, Read, Seen, Write

TOKEN = "a" * 32
VALUE = "n1=http://10.0.0.1:2380"


def event(revision, kind, value=None, message="", member_id=None):
    return {"revision": revision, "kind": kind, "value": value, "message": message, "member_id": member_id}


EVENTS = [
    event(1, "cluster_created", "7"),
    event(2, "member_registered", VALUE, member_id="1"),
    event(3, "policy_set", message="settings changed: name b"),
    event(4, "member_removed", member_id="1"),
]


def right():
    """A history without a violation: four writes one after another, a reader, a stream and a long poll."""
    history = History()
    history.writes = [
        Write(TOKEN, "create", "7", 1, 2, 0, MADE, 201, 1),
        Write(TOKEN, "create", "7", 1, 2, 1, REFUSED, 409),
        Write(TOKEN, "register", VALUE, 3, 4, 0, MADE, 201, 2),
        Write(TOKEN, "register", "n2=http://10.0.0.2:2380", 3, 4, 0, UNKNOWN, 503),
        Write(TOKEN, "rename", "b", 5, 6, 1, MADE, 200, 3, expected=2),
        Write(TOKEN, "unregister", "1", 7, 8, 2, MADE, 200, 4, expected=2),
        Write(TOKEN, "unregister", "1", 7, 8, 1, REFUSED, 412, expected=2),
    ]
    history.reads = [Read(TOKEN, 4.5, 4.6, 0, 2, True), Read(TOKEN, 4.7, 4.8, 1, 1, False), Read(TOKEN, 9, 9.1, 1, 4, True)]
    history.seen = [Seen(0, TOKEN, 0, 5, number, EVENTS[number - 1]["kind"], EVENTS[number - 1]["value"]) for number in (1, 2, 3, 4)]
    history.seen.append(Seen(1, TOKEN, 1, 5, 2, "poll", VALUE))
    return history


class CheckerTest(unittest.TestCase):
    def violations(self, change=lambda history, events: None, shown_by_others=EVENTS):
        history, events = right(), copy.deepcopy(EVENTS)
        change(history, events)
        by_server = [events] + [copy.deepcopy(events) if shown_by_others is EVENTS else shown_by_others] * 2
        return Checker(history, {TOKEN: by_server}).check()

    def assert_found(self, text, change):
        found = self.violations(change)
        self.assertTrue(any(text in violation for violation in found), f"{text!r} is not in {found}")

    def test_a_right_history_has_no_violation(self):
        self.assertEqual(self.violations(), [])

    def test_servers_that_differ(self):
        self.assertIn("different events", self.violations(shown_by_others=EVENTS[:3])[0])

    def test_a_lost_write(self):
        def lose(history, events):
            events[1]["value"] = "other=http://10.0.0.9:2380"

        self.assert_found("LOST", lose)

    def test_a_doubled_write(self):
        self.assert_found("DOUBLED", lambda history, events: events.append(event(5, "member_registered", VALUE)))

    def test_a_refused_write_that_was_made(self):
        def refuse(history, events):
            history.writes[2].outcome, history.writes[2].revision = REFUSED, None

        self.assert_found("was refused, and made", refuse)

    def test_a_write_of_nobody(self):
        self.assert_found("requested 0 times", lambda history, events: events.append(event(5, "member_removed", member_id="9")))

    def test_a_race_with_two_winners(self):
        def win(history, events):
            history.writes[6].outcome, history.writes[6].revision = MADE, 4

        self.assert_found("2 winners", win)

    def test_a_change_of_what_had_changed(self):
        self.assert_found("although the cluster had changed", lambda history, events: setattr(history.writes[4], "expected", 1))

    def test_reordered_writes(self):
        def reorder(history, events):
            history.writes[2].sent, history.writes[2].answered = 6.5, 6.6

        self.assert_found("REORDERED", reorder)

    def test_a_stale_quorum_read(self):
        self.assert_found("STALE", lambda history, events: setattr(history.reads[2], "revision", 3))

    def test_a_server_that_goes_back(self):
        def go_back(history, events):
            history.reads.append(Read(TOKEN, 9.2, 9.3, 1, 3, False))

        self.assert_found("went back", go_back)

    def test_a_read_of_what_never_was(self):
        self.assert_found("never had", lambda history, events: setattr(history.reads[1], "revision", 5))

    def test_a_stream_with_a_gap(self):
        self.assert_found("GAP", lambda history, events: history.seen.pop(1))

    def test_a_stream_that_repeats(self):
        self.assert_found("came after", lambda history, events: history.seen.insert(2, history.seen[1]))

    def test_an_event_that_never_happened(self):
        self.assert_found("never happened", lambda history, events: setattr(history.seen[1], "value", "x"))

    def test_a_long_poll_with_a_gap(self):
        def skip(history, events):
            events[2] = event(3, "member_registered", "n3=http://10.0.0.3:2380")
            history.seen.append(Seen(2, TOKEN, 1, 5, 3, "poll", "n3=http://10.0.0.3:2380"))

        self.assert_found("GAP", skip)


if __name__ == "__main__":
    unittest.main()
