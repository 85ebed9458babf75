"""The faults of machines with agents."""

import signal
import time

import faults


def kill_agent(soak):
    """An agent is killed. Its etcd goes on, and the next agent takes it over."""
    machine = soak.pick_member()
    _kill_agent(soak, machine)
    return machine.name


def upgrade_agents(soak):
    """The agent of each machine is killed and started again, one machine after the other."""
    for machine in soak.random.sample(soak.machines, len(soak.machines)):
        _kill_agent(soak, machine)
    return "all"


def kill_machine(soak):
    """A member's machine loses its power for a while."""
    machine = soak.pick_member()
    seconds = soak.pick_duration()
    soak.excuse_if_long(machine, seconds)
    machine.cut_power()
    time.sleep(seconds)
    machine.enable()
    return f"{machine.name} for {seconds} s"


def lose_machine(soak):
    """A member's machine is lost with its data, and comes back empty once a spare has taken the place."""
    machine, began = faults.fail_until_replaced(soak, lambda machine: machine.lose_disk(comes_back=False))
    healed = time.monotonic() - began
    machine.enable()
    return f"{machine.name}, which a spare replaced after {healed:.1f} s", began


def restart(soak):
    """A node is stopped in order, and started again after a while. Its member stays, because the downtime was announced."""
    machine = soak.pick_member()
    seconds = soak.pick_duration()
    code, is_announced = machine.stop()
    if code != 0:
        soak.observer.note(f"the agent of {machine.name} has stopped with exit code {code}")
    if is_announced:
        soak.observer.protect(machine.name)
    else:
        soak.excuse_if_long(machine, seconds)
    time.sleep(seconds)
    machine.enable()
    return f"{machine.name} for {seconds} s{'' if is_announced else ', not announced'}"


def cut_spare_from_leader(soak):
    """A spare does not reach the leader."""
    spare = soak.random.choice(soak.wait_for_spares())
    leader = soak.leader()
    seconds = soak.pick_duration()
    faults.cut([spare.host], [leader.host], seconds)
    return f"{spare.name} from {leader.name} for {seconds} s"


def split(soak):
    """A minority of the members, and some spares, are cut off from the others. The registry is on either side."""
    size = soak.random.randint(1, soak.minority())
    minority = []
    while len(minority) < size:
        minority.append(soak.pick_member())
    spares = [machine for machine in soak.machines if machine.is_waiting() and soak.random.random() < 0.5]
    seconds = soak.pick_duration()
    some = [machine.host for machine in minority + spares]
    has_registry = soak.random.random() < 0.5
    if has_registry:
        some.append(soak.registry.host)
    else:
        for machine in minority:
            soak.excuse_if_long(machine, seconds)
    faults.cut(some, [host for host in soak.hosts() if host not in some], seconds, both_ways=True)
    names = ", ".join(machine.name for machine in minority + spares)
    return f"{names}{' and the registry' if has_registry else ''} for {seconds} s"


def _kill_agent(soak, machine):
    before, starts = machine.etcd_processes(), machine.starts
    machine.signal_all(signal.SIGKILL, "convene")
    soak.wait_for_agent(machine, starts)
    after = machine.etcd_processes()
    if before != after:
        soak.observer.note(f"etcd of {machine.name} did not outlive its agent: process {before} before, {after} after")


ALL = [
    *faults.ALL, kill_agent, upgrade_agents, kill_machine, lose_machine, restart, cut_spare_from_leader, split,
]

WITH_SPARE = [*faults.WITH_SPARE, lose_machine, cut_spare_from_leader]

# Each hurts one member at most, so that two of them may happen at once.
OF_ONE_MEMBER = [
    faults.kill_etcd, faults.freeze_machine, faults.freeze_etcd, faults.isolate, faults.cut_from_registry, faults.lose_disk,
    faults.fill_disk, kill_agent, kill_machine, restart,
]
