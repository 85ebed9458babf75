"""Each fault is a function that makes it, lets it last, and ends it. agent_faults.py has those of agents.

A fault returns a description. If the cluster can recover before the fault ends, the fault also returns since when.
"""

import signal
import time


def kill_etcd(soak):
    """An etcd is killed; its supervisor starts it again."""
    machine = soak.pick_member()
    machine.signal_all(signal.SIGKILL, "etcd")
    return machine.name


def freeze_machine(soak):
    """All processes of a member's machine stand still."""
    return _freeze(soak, soak.pick_member(), "")


def freeze_etcd(soak):
    """An etcd stands still; the kernel goes on to acknowledge what it gets."""
    return _freeze(soak, soak.pick_member(), "etcd")


def freeze_clients(soak):
    """All of Convene's clients stand still, in the middle of what they do."""
    seconds = soak.pick_duration()
    for machine in soak.machines:
        machine.signal_all(signal.SIGSTOP, "convene")
    time.sleep(seconds)
    for machine in soak.machines:
        machine.signal_all(signal.SIGCONT, "convene")
    return f"{seconds} s"


def cut_one_way(soak):
    """What one machine sends to another is lost."""
    one, other = soak.random.sample(soak.machines, 2)
    seconds = soak.pick_duration()
    # An agent reports that its etcd answers, whoever else does not reach it.
    if not soak.has_agents:
        soak.excuse_if_long(one, seconds)
        soak.excuse_if_long(other, seconds)
    cut([one.host], [other.host], seconds)
    return f"{one.name} to {other.name} for {seconds} s"


def isolate(soak):
    """What a machine sends to all others and to the registry is lost."""
    machine = soak.pick_member()
    seconds = soak.pick_duration()
    soak.excuse_if_long(machine, seconds)
    cut([machine.host], [host for host in soak.hosts() if host is not machine.host], seconds)
    return f"{machine.name} for {seconds} s"


def cut_from_registry(soak):
    """A machine does not reach the registry."""
    machine = soak.random.choice(soak.machines)
    seconds = soak.pick_duration()
    cut([machine.host], [soak.registry.host], seconds)
    return f"{machine.name} for {seconds} s"


def cut_off_registry(soak, seconds=None):
    """No machine reaches the registry."""
    seconds = seconds or soak.pick_duration()
    cut([soak.registry.host], [machine.host for machine in soak.machines], seconds, both_ways=True)
    return f"{seconds} s"


def lose_disk(soak):
    """A member's machine comes back with an empty disk."""
    machine = soak.pick_member()
    soak.observer.excuse(machine.name)
    machine.lose_disk()
    return machine.name


def fill_disk(soak):
    """A member's disk is full for a while."""
    machine = soak.pick_member()
    seconds = soak.pick_duration()
    soak.excuse_if_long(machine, seconds)
    machine.fill_disk()
    machine.signal_all(signal.SIGKILL, "etcd")
    time.sleep(seconds)
    machine.free_disk()
    return f"{machine.name} for {seconds} s"


def crash_loop(soak):
    """A member's etcd ends at once after each start, until a spare has taken its place."""
    machine, began = fail_until_replaced(soak, lambda machine: machine.break_etcd())
    machine.repair_etcd()
    return machine.name, began


def fail_until_replaced(soak, fail):
    """A member's machine fails in this way, and a spare takes its place. Returns the machine, and when it failed."""
    soak.wait_for_spares()
    machine = soak.pick_member()
    soak.observer.excuse(machine.name)
    member = soak.member_of(machine)
    began = time.monotonic()
    fail(machine)
    soak.wait_until_replaced(member)
    return machine, began


def kill_server(soak, seconds=None):
    """The server is killed, and started again after a while."""
    seconds = seconds or soak.pick_duration()
    soak.registry.kill()
    time.sleep(seconds)
    soak.registry.start()
    return f"{seconds} s"


def freeze_server(soak, seconds=None):
    """The server stands still."""
    seconds = seconds or soak.pick_duration()
    soak.registry.freeze()
    time.sleep(seconds)
    soak.registry.thaw()
    return f"{seconds} s"


def set_registry_back(soak):
    """The registry's database is restored from a copy of before. The record may be too old for the nodes to bring it up to
    date, and no node checks in while all machines are members. So an administrator adopts the cluster, and sets the size."""
    soak.registry.restore_copy()
    soak.administer("cluster", "adopt", "--endpoints", ",".join(machine.client_url for machine in soak.machines))
    soak.set_size()
    return "to the copy of before the first fault"


def resize(soak):
    """An administrator changes the size. Without agents no node checks in while all machines are members, so `convene leave` removes
    the surplus ones."""
    soak.observer.excuse("*")
    soak.size = soak.random.choice([size for size in soak.sizes if size != soak.size])
    soak.set_size()
    began = time.monotonic()
    if not soak.has_agents:
        soak.leave_with_surplus()
    return f"to {soak.size}", began


def evict(soak):
    """An administrator evicts a member, and withdraws that once it is gone."""
    soak.wait_for_spares()
    machine = soak.pick_member()
    soak.observer.excuse(machine.name)
    member = soak.member_of(machine)
    began = time.monotonic()
    # The server may carry out a request whose answer the administrator does not get.
    soak.administer("member", "evict", machine.name, unless=lambda: soak.is_removed(member))
    soak.wait_until_replaced(member)
    soak.administer("member", "evict", "--withdraw", machine.name)
    return machine.name, began


def _freeze(soak, machine, program):
    seconds = soak.pick_duration()
    soak.excuse_if_long(machine, seconds)
    machine.signal_all(signal.SIGSTOP, program)
    time.sleep(seconds)
    machine.signal_all(signal.SIGCONT, program)
    return f"{machine.name} for {seconds} s"


def cut(some, others, seconds, both_ways=False):
    """What some hosts send to others is lost for a while."""
    ways = [(one, other) for one in some for other in others]
    ways += [(other, one) for one, other in ways] if both_ways else []
    for one, other in ways:
        one.cut_to(other.address)
    time.sleep(seconds)
    for one, other in ways:
        one.mend_to(other.address)


ALL = [
    kill_etcd, freeze_machine, freeze_etcd, freeze_clients, cut_one_way, isolate, cut_from_registry, lose_disk, fill_disk,
    cut_off_registry, crash_loop, kill_server, freeze_server, set_registry_back, resize, evict,
]

# The cluster recovers only if a spare takes the member's place. In all others the member comes back, or its own machine takes
# its place.
WITH_SPARE = [crash_loop, evict]

OF_REGISTRY = [kill_server, freeze_server, cut_off_registry, set_registry_back]

# These may happen together with any fault that is not of the registry itself.
TOGETHER = [kill_server, freeze_server, cut_off_registry]
