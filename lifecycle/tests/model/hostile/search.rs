//! Searches all histories of a few steps from a small alphabet.

use std::{
    collections::{HashSet, VecDeque},
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    time::Instant,
};

use super::{
    rules::{Broken, Rules},
    setting::Setting,
    steps::Step,
    walk::{History, Walked, calm, describe},
    world::World,
};

/// The histories to search: after the first steps, any steps of the alphabet.
pub struct Scope<'a> {
    pub name: &'a str,
    pub setting: Setting,
    /// What happens first.
    pub first: &'a [Step],
    /// What may happen as often as it likes.
    pub steps: &'a [Step],
    /// What may happen so many times in all.
    pub faults: &'a [Step],
    pub most_faults: usize,
    /// How many steps each history has after the first ones.
    pub depth: usize,
}

/// A world on the way, and how it was reached.
struct Node {
    world: World,
    from: usize,
    step: Option<Step>,
    faults: usize,
    depth: usize,
}

/// Searches a scope completely: every safety property holds, and from each state the cluster becomes whole if it can. States
/// that differ only in times and counters count as one for the latter.
pub fn holds(scope: &Scope<'_>, rules: &Rules) {
    let begin = Instant::now();
    let mut searched = Searched::default();
    if let Some((broken, steps)) = search(scope, rules, &mut searched) {
        let history = History { setting: scope.setting, steps, all_return: false };
        panic!("{}: not true that {}:\n{}", scope.name, broken.property(), describe(&history, rules));
    }
    println!(
        "{}: {} states of {} steps, the calm after {}, {:.1?}",
        scope.name,
        searched.states,
        scope.depth,
        searched.calms,
        begin.elapsed()
    );
}

/// How much a search has seen.
#[derive(Default)]
struct Searched {
    states: usize,
    calms: usize,
}

fn search(scope: &Scope<'_>, rules: &Rules, searched: &mut Searched) -> Option<(Broken, Vec<Step>)> {
    let mut world = scope.setting.first_world(rules);
    scope.first.iter().for_each(|step| world.take(*step, rules));
    let mut trail: Vec<(usize, Option<Step>)> = Vec::new();
    let mut known: HashSet<u64> = HashSet::new();
    let mut calmed: HashSet<u64> = HashSet::new();
    let mut queue = VecDeque::from([Node { world, from: 0, step: None, faults: 0, depth: 0 }]);
    while let Some(node) = queue.pop_front() {
        let at = trail.len();
        trail.push((node.from, node.step));
        let broken = node.world.broken.or_else(|| {
            let is_new = calmed.insert(node.world.fingerprint());
            is_new.then(|| calm_breaks(&node.world, rules)).flatten()
        });
        if let Some(broken) = broken {
            return Some((broken, path(scope, &trail, at)));
        }
        if node.depth == scope.depth || node.world.over {
            continue;
        }
        let faults: &[Step] = if node.faults < scope.most_faults { scope.faults } else { &[] };
        let steps = scope.steps.iter().map(|step| (step, 0)).chain(faults.iter().map(|step| (step, 1)));
        for (step, fault) in steps {
            let mut world = node.world.clone();
            world.take(*step, rules);
            let (faults, depth) = (node.faults + fault, node.depth + 1);
            let key = fingerprint(&world).wrapping_mul(31).wrapping_add(faults as u64);
            if known.insert(key) {
                queue.push_back(Node { world, from: at, step: Some(*step), faults, depth });
            }
        }
    }
    (searched.states, searched.calms) = (trail.len(), calmed.len());
    None
}

/// Worlds are known by 64 bits of hash.
fn fingerprint(world: &World) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(world)
}

/// The property that does not hold in the calm after this world.
fn calm_breaks(world: &World, rules: &Rules) -> Option<Broken> {
    let mut world = world.clone();
    if !world.over {
        calm(&mut world, false, rules, &mut Walked::default());
    }
    world.broken
}

fn path(scope: &Scope<'_>, trail: &[(usize, Option<Step>)], mut at: usize) -> Vec<Step> {
    let mut steps = Vec::new();
    while let (from, Some(step)) = trail[at] {
        steps.push(step);
        at = from;
    }
    scope.first.iter().copied().chain(steps.into_iter().rev()).collect()
}
