//! Finds every world of a configuration, once, and judges what must never happen as well as what has to happen in the end.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    mem,
};

use petgraph::{
    algo::kosaraju_scc,
    graph::{DiGraph, NodeIndex},
};

use crate::{
    setting::Setting,
    steps::Step,
    world::{Broken, World},
};

/// How the world came to be as it is in the end: each world with the step that follows it.
pub type Path = Vec<(World, Option<Step>)>;

/// The worlds of a configuration, and how they follow each other if nothing fails any more.
pub struct Exploration {
    fair: DiGraph<Outlook, ()>,
    /// By which step each world was first reached, and from which; the shortest way, because the search is by breadth.
    origins: Vec<Option<(u32, Step)>>,
    /// The first world in which a property does not hold. The search ends there.
    broken: Option<(u32, Broken)>,
}

/// What a world means for the cluster.
#[derive(Clone, Copy)]
struct Outlook {
    can_be_whole: bool,
    is_whole: bool,
}

/// Explores a configuration until something bad happens, or to its end.
pub fn explore(setting: &Setting) -> Exploration {
    let mut found = Exploration { fair: DiGraph::new(), origins: Vec::new(), broken: None };
    let mut known: HashMap<u64, u32> = HashMap::new();
    let mut queue: VecDeque<(u32, World)> = VecDeque::new();
    let first = setting.first_world();
    known.insert(fingerprint(&first), found.add(setting, &first, None));
    queue.push_back((0, first));
    let mut steps = Vec::new();
    while let Some((at, world)) = queue.pop_front() {
        world.steps(&mut steps, &setting.rules);
        for step in steps.drain(..) {
            let Some(next) = world.after(step, &setting.rules) else { continue };
            let to = *known.entry(fingerprint(&next)).or_insert_with(|| {
                let to = found.add(setting, &next, Some((at, step)));
                queue.push_back((to, next));
                to
            });
            if found.broken.is_some() {
                return found;
            }
            if step.is_fair() {
                found.fair.add_edge(at.into(), to.into(), ());
            }
        }
    }
    found
}

/// Worlds are known by 64 bits of hash, so that memory holds a million of them.
fn fingerprint(world: &World) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(world)
}

impl Exploration {
    pub fn worlds(&self) -> usize {
        self.origins.len()
    }

    /// The property that does not hold, and how it comes to that.
    pub fn broken(&self, setting: &Setting) -> Option<(Broken, Path)> {
        self.broken.map(|(at, broken)| (broken, self.path(setting, at)))
    }

    /// How the cluster gets to where it could become whole but never does, however fair the world is from then on.
    ///
    /// Where every step that stays possible happens in the end, the world ends up in a component that no fair step
    /// leaves, and sees all of it again and again. So each of these has to be whole, all of it.
    pub fn stuck(&self, setting: &Setting) -> Option<Path> {
        let components = kosaraju_scc(&self.fair);
        let mut component_of = vec![0; self.worlds()];
        for (number, component) in components.iter().enumerate() {
            component.iter().for_each(|world| component_of[world.index()] = number);
        }
        let is_left = |number: usize| {
            let mut next = components[number].iter().flat_map(|world| self.fair.neighbors(*world));
            next.any(|next| component_of[next.index()] != number)
        };
        let is_stuck = |world: &&NodeIndex| {
            let outlook = self.fair[**world];
            outlook.can_be_whole && !outlook.is_whole
        };
        let last = (0..components.len()).filter(|number| !is_left(*number));
        let stuck = last.filter_map(|number| components[number].iter().find(is_stuck)).min()?;
        Some(self.path(setting, stuck.index() as u32))
    }

    fn add(&mut self, setting: &Setting, world: &World, origin: Option<(u32, Step)>) -> u32 {
        let at = self.worlds() as u32;
        let outlook = Outlook { can_be_whole: world.can_be_whole(&setting.rules), is_whole: world.is_whole() };
        self.fair.add_node(outlook);
        self.origins.push(origin);
        self.broken = self.broken.or(world.broken.map(|broken| (at, broken)));
        at
    }

    fn path(&self, setting: &Setting, mut at: u32) -> Path {
        let mut steps = Vec::new();
        while let Some((from, step)) = self.origins[at as usize] {
            steps.push(step);
            at = from;
        }
        let mut world = setting.first_world();
        let mut path = Vec::new();
        for step in steps.into_iter().rev() {
            let next = world.after(step, &setting.rules).expect("the step was taken before");
            path.push((mem::replace(&mut world, next), Some(step)));
        }
        path.push((world, None));
        path
    }
}
