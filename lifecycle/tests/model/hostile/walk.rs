//! A seeded random walk through the larger world: histories with many faults at once, each followed by a calm time in which
//! the cluster has to become whole.

use std::{
    collections::{BTreeSet, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::{Duration, Instant},
};

use convene_lifecycle::MemberId;

use super::{
    forgery::Forgery,
    random::Random,
    rules::{Broken, Rules},
    setting::Setting,
    steps::Step,
    world::{Flaw, Process, World},
};

/// How many steps each history has before the calm.
const STEPS: usize = 250;

/// How many rounds of calm the cluster has to become whole in. It must outlast the back-off of a node that goes last in line.
const CALM_ROUNDS: usize = 240;

/// How many rounds in a row the cluster has to be whole.
const WHOLE_ROUNDS: usize = 3;

/// A history: how it begins, and its steps.
#[derive(Clone, Debug)]
pub struct History {
    pub setting: Setting,
    pub steps: Vec<Step>,
    /// Whether all machines are up, have no flaw and have their disks mounted in the calm.
    pub all_return: bool,
}

/// What a walk has seen.
#[derive(Default)]
pub struct Walked {
    pub histories: usize,
    pub steps: u64,
    /// The fingerprints of the states, without times and counters.
    pub states: HashSet<u64>,
    /// In how many histories the calm could make the cluster whole, and did.
    pub mended: usize,
    /// In how many histories two processes ran as one member out of each other's and the registry's sight.
    pub over: usize,
}

/// The kinds of faults. Each history has some of them only: most violations need few kinds, but many of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Power,
    Disks,
    Mounts,
    Network,
    Suspension,
    Flaws,
    Copies,
    Forgeries,
    Registry,
    Administration,
    Addresses,
}

impl Kind {
    pub const ALL: [Self; 11] = [
        Self::Power,
        Self::Disks,
        Self::Mounts,
        Self::Network,
        Self::Suspension,
        Self::Flaws,
        Self::Copies,
        Self::Forgeries,
        Self::Registry,
        Self::Administration,
        Self::Addresses,
    ];
}

/// Walks until so many steps are taken. Panics with the shortest history that it finds if a property
/// does not hold.
pub fn walk(name: &str, seed: u64, steps: u64, kinds: &[Kind], rules: &Rules) {
    let begin = Instant::now();
    let mut walked = Walked::default();
    while walked.steps < steps {
        let seed = seed.wrapping_add(walked.histories as u64);
        if let Some((broken, history)) = one_history(seed, kinds, rules, &mut walked) {
            let shortest = shorten(&history, broken, rules);
            panic!("{name}, seed {seed}: not true that {}:\n{}", broken.property(), describe(&shortest, rules));
        }
    }
    println!(
        "{name}: seed {seed}, {} steps in {} histories, {} states, whole again in {}, two processes unseen in {}, {:.1?}",
        walked.steps,
        walked.histories,
        walked.states.len(),
        walked.mended,
        walked.over,
        begin.elapsed()
    );
}

/// Walks with rules that lack one, until the property that the rule protects is violated.
pub fn catches(name: &str, kinds: &[Kind], rules: &Rules, expected: Broken) {
    const MOST_STEPS: u64 = 6_000_000;
    let mut walked = Walked::default();
    while walked.steps < MOST_STEPS {
        let seed = walked.histories as u64;
        let Some((broken, history)) = one_history(seed, kinds, rules, &mut walked) else { continue };
        if broken == expected {
            let steps = shorten(&history, broken, rules).steps;
            println!("{name}: not true that {}: {steps:?} (seed {seed}, {} steps)", broken.property(), walked.steps);
            return;
        }
    }
    panic!("{name}: nothing was found in {} steps", walked.steps);
}

/// Walks one history and the calm after it. Returns the property that it violates.
pub fn one_history(seed: u64, kinds: &[Kind], rules: &Rules, walked: &mut Walked) -> Option<(Broken, History)> {
    let mut random = Random::new(seed);
    let kinds: Vec<Kind> = kinds.iter().copied().filter(|_| random.below(2) == 0).collect();
    let is_open = rules.has_credentials && random.below(2) == 0;
    let setting = Setting { is_open, ..any_setting(&mut random) };
    let mut history = History { setting, steps: Vec::with_capacity(STEPS), all_return: random.below(2) == 0 };
    let mut world = setting.first_world(rules);
    walked.histories += 1;
    for _ in 0..STEPS {
        let step = any_step(&world, &kinds, &mut random);
        history.steps.push(step);
        world.take(step, rules);
        walked.steps += 1;
        walked.states.insert(world.fingerprint());
        if world.broken.is_some() || world.over {
            break;
        }
    }
    walked.over += usize::from(world.over);
    if world.broken.is_none() && !world.over {
        let could = calm(&mut world, history.all_return, rules, walked);
        walked.mended += usize::from(could && world.broken.is_none());
    }
    world.broken.map(|broken| (broken, history))
}

/// Nothing fails any more. The cluster has to become whole if it can. Returns whether it can.
pub fn calm(world: &mut World, all_return: bool, rules: &Rules, walked: &mut Walked) -> bool {
    world.end_faults(all_return);
    let can_be_whole = world.can_be_whole();
    let mut whole = 0;
    for round in 0..CALM_ROUNDS {
        let size = world.cluster.size;
        world.let_administrator_answer(round);
        if world.cluster.size != size {
            // An adoption makes room for all listed members. The administrator wanted fewer.
            world.take(Step::Resize(size.get()), rules);
        }
        world.take(Step::Round, rules);
        walked.steps += 1;
        walked.states.insert(world.fingerprint());
        whole = if world.is_whole() { whole + 1 } else { 0 };
        if world.broken.is_some() || whole == WHOLE_ROUNDS {
            return can_be_whole;
        }
    }
    if can_be_whole && !world.over {
        world.breaks(Broken::NeverWhole);
    }
    can_be_whole
}

impl World {
    /// The network heals and suspended processes go on. Machines that are off stay off, and flaws stay, unless all return. A
    /// person has read the refusals, and switches off the copies of machines that run elsewhere.
    fn end_faults(&mut self, all_return: bool) {
        for row in &mut self.cuts {
            row.fill(false);
        }
        for n in 0..self.machines.len() {
            let is_listed = self.machines[n].disk.as_ref().is_some_and(|disk| {
                let etcd = &self.etcds[disk.etcd];
                etcd.is_real && etcd.members.iter().any(|entry| entry.at == n && entry.id == disk.identity.member)
            });
            let machine = &mut self.machines[n];
            (machine.frozen, machine.client_frozen, machine.offline) = (None, None, false);
            if all_return {
                machine.flaw = None;
            }
            if all_return && machine.disk.is_none() && machine.other_disk.data.is_some() {
                machine.stop();
                machine.on = false;
                machine.remount();
            }
            if all_return && !machine.on && !machine.is_copy {
                machine.on = true;
                machine.start_client();
            }
            if machine.is_copy && !is_listed {
                machine.stop();
                machine.on = false;
            }
        }
        self.elect_and_replicate();
    }

    /// If the founding is held for long, or the registry's record contradicts etcd's list for long, an administrator answers:
    /// with the cluster that exists, or that there is none.
    fn let_administrator_answer(&mut self, round: usize) {
        if round < CALM_ROUNDS / 4 || self.cluster.held.is_none() && self.record_agrees() {
            return;
        }
        let change = match self.real().map(|real| &self.etcds[real]).filter(|etcd| etcd.leader.is_some()) {
            Some(etcd) => self.cluster.adopt(&etcd.list(), self.now),
            None if self.machines.iter().all(|machine| machine.disk.is_none() && machine.other_disk.data.is_none()) => {
                self.etcds.iter_mut().for_each(|etcd| etcd.given_up = true);
                self.cluster.reset(self.now)
            }
            None => None,
        };
        if let Some(after) = change.and_then(|change| change.after) {
            self.cluster = Arc::new(after);
        }
    }

    /// Whether the registry has the members of etcd's list, in their roles. A running node does not look while nothing seems to be
    /// missing.
    fn record_agrees(&self) -> bool {
        let listed = self.real().into_iter().flat_map(|real| &self.etcds[real].members);
        let listed = listed.map(|entry| (entry.id, entry.learner));
        let on_record = self.cluster.members().filter_map(|member| Some((member.key.id()?, !member.is_voter())));
        listed.collect::<BTreeSet<(MemberId, bool)>>() == on_record.collect()
    }

    /// A hash of the state without times, counters and numbers that only grow.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for machine in &self.machines {
            let disk = machine.disk.as_ref().map(|disk| (disk.identity, disk.etcd));
            let client = std::mem::discriminant(&machine.client);
            let frozen = (machine.frozen.is_some(), machine.client_frozen.is_some(), machine.offline);
            (machine.name, machine.on, frozen, machine.flaw, disk, machine.process, client).hash(&mut hasher);
        }
        for etcd in &self.etcds {
            let members: Vec<_> =
                etcd.members.iter().map(|entry| (entry.id, entry.at, entry.name, entry.learner)).collect();
            (etcd.id, members, etcd.leader).hash(&mut hasher);
        }
        self.cuts.hash(&mut hasher);
        let cluster = &self.cluster;
        let ticket = cluster.ticket.as_ref().map(|ticket| (&ticket.holder, &ticket.purpose));
        (cluster.size, cluster.cluster_id, cluster.epoch, cluster.bootstrapped.is_some(), ticket).hash(&mut hasher);
        for member in cluster.members() {
            (&member.key, &member.registration, member.role, member.started, member.eviction.is_some())
                .hash(&mut hasher);
        }
        hasher.finish()
    }
}

fn any_setting(random: &mut Random) -> Setting {
    let (size, spares) = (1 + random.below(3), random.below(3));
    let (size, machines) = (size as u32, (size + spares).min(5) as usize);
    let setting =
        if random.below(5) == 0 { Setting::forming(size, machines) } else { Setting::running(size, machines) };
    let joins_only = if random.below(2) == 0 { random.below(1 << machines) as u8 } else { 0 };
    Setting { learner: random.below(6) != 0, joins_only, ..setting }
}

fn any_step(world: &World, kinds: &[Kind], random: &mut Random) -> Step {
    let n = random.below(world.machines.len() as u64) as usize;
    match random.below(100) {
        0..30 if world.machines[n].process == Process::Loading && random.below(3) > 0 => Step::Settle(n),
        0..30 => Step::CheckIn(n),
        30..52 => Step::Act(n),
        52..62 => Step::Visit(n),
        62..70 => Step::Round,
        70..72 => Step::LoseAnswer(n),
        72..80 => Step::Pass([1, 3, 5, 10, 20, 61, 70, 130][random.below(8) as usize]),
        _ if kinds.is_empty() => Step::Visit(n),
        _ => any_fault(world, kinds[random.below(kinds.len() as u64) as usize], random),
    }
}

fn any_fault(world: &World, kind: Kind, random: &mut Random) -> Step {
    let mut machine = || random.below(world.machines.len() as u64) as usize;
    let (n, m) = (machine(), machine());
    let is_off = !world.machines[n].on;
    match (kind, random.below(8)) {
        (Kind::Power, 0) => Step::PowerCut,
        (Kind::Power, 1..3) => Step::StopEtcd(n),
        (Kind::Mounts, 0..3) if is_off => Step::Remount(n),
        (Kind::Mounts, 0) => Step::PowerCut,
        (Kind::Power | Kind::Disks | Kind::Mounts, 3..) if is_off => Step::PowerOn(n),
        (Kind::Power, _) => Step::PowerOff(n),
        (Kind::Disks, 0..3) if is_off => Step::LoseDisk(n),
        (Kind::Disks | Kind::Mounts, _) => Step::PowerOff(n),
        (Kind::Network, 0..3) => Step::Cut(n, m),
        (Kind::Network, 3) => Step::Offline(n),
        (Kind::Network, 4) => Step::StartAlone(n),
        (Kind::Network, 5) => Step::Online(n),
        (Kind::Network, _) => Step::Heal(n, m),
        (Kind::Suspension, 0..2) => Step::Freeze(n),
        (Kind::Suspension, 2..4) => Step::FreezeClient(n),
        (Kind::Suspension, _) => Step::Thaw(n),
        (Kind::Flaws, 0) => Step::Impair(n, Flaw::CrashLoop),
        (Kind::Flaws, 1) => Step::Impair(n, Flaw::CannotJoin),
        (Kind::Flaws, 2) => Step::Impair(n, Flaw::NoRights),
        (Kind::Flaws, 3) => Step::StopEtcd(n),
        (Kind::Flaws, _) => Step::Mend(n),
        (Kind::Copies, 0..4) => Step::Copy(n, m),
        (Kind::Copies, 4..6) => Step::Drill(n),
        (Kind::Copies, _) if is_off => Step::PowerOn(n),
        (Kind::Copies, _) => Step::PowerOff(n),
        (Kind::Forgeries, _) => Step::Forge(any_forgery(n, random)),
        (Kind::Registry, 0..4) => Step::BackUp,
        (Kind::Registry, _) => Step::GoBack,
        (Kind::Administration, 0..6) => Step::Resize(1 + random.below(4) as u32),
        (Kind::Administration, _) => Step::Evict(n),
        (Kind::Addresses, 0..3) => Step::PowerOff(n),
        (Kind::Addresses, 3..5) => Step::Swap(n, m),
        (Kind::Addresses, _) => Step::PowerOn(n),
    }
}

fn any_forgery(n: usize, random: &mut Random) -> Forgery {
    match random.below(13) {
        0 => Forgery::ListOfAStranger,
        1 => Forgery::ListWithout(n),
        2 => Forgery::SeesOthersDown(n),
        3 => Forgery::OtherCluster(n),
        4 => Forgery::RunsElsewhere(n),
        5 => Forgery::Stopped(n),
        6 => Forgery::Starts(n),
        7 => Forgery::Empty(n),
        8 => Forgery::LaterView,
        9 => Forgery::DeleteKey(n),
        10 => Forgery::FoundersEmpty,
        11 => Forgery::FoundersNeverLed,
        _ => Forgery::RotateNames,
    }
}

/// The property that a history violates.
pub fn replay(history: &History, rules: &Rules) -> Option<Broken> {
    let mut world = history.setting.first_world(rules);
    for step in &history.steps {
        world.take(*step, rules);
    }
    if world.broken.is_none() && !world.over {
        calm(&mut world, history.all_return, rules, &mut Walked::default());
    }
    world.broken
}

/// A shorter history that violates the same property: without every run of steps that makes no difference, long runs first.
fn shorten(history: &History, broken: Broken, rules: &Rules) -> History {
    let begin = Instant::now();
    let mut shortest = history.clone();
    let mut length = shortest.steps.len();
    while length > 0 && begin.elapsed() < Duration::from_secs(60) {
        let mut at = 0;
        let before = shortest.steps.len();
        while at < shortest.steps.len() {
            let mut shorter = shortest.clone();
            shorter.steps.drain(at..(at + length).min(shortest.steps.len()));
            if replay(&shorter, rules) == Some(broken) {
                shortest = shorter;
            } else {
                at += length;
            }
        }
        let is_done = length == 1 && shortest.steps.len() == before;
        length = if is_done { 0 } else { (length / 2).max(1) };
    }
    shortest
}

/// A history with what each step leads to.
pub fn describe(history: &History, rules: &Rules) -> String {
    let mut world = history.setting.first_world(rules);
    let mut lines = vec![format!("{history:?}"), String::new(), world.to_string()];
    for step in &history.steps {
        world.take(*step, rules);
        lines.push(format!("{step:?}: {world}"));
    }
    if world.broken.is_none() {
        world.end_faults(history.all_return);
        lines.push(format!("nothing fails any more: {world}"));
        for round in 0..CALM_ROUNDS {
            world.let_administrator_answer(round);
            world.take(Step::Round, rules);
            if round % (CALM_ROUNDS / 3) == 2 {
                lines.push(format!("after {round} rounds: {world}"));
            }
        }
        lines.push(format!("in the end: {world}"));
    }
    lines.join("\n")
}
