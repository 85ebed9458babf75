//! What has to happen in the end. stateright's own `eventually` is unsound where paths join or run in circles, and
//! knows no fairness; so the graph is gone over once more here.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
};

use petgraph::{algo::kosaraju_scc, graph::DiGraph};
use stateright::Model;

use crate::{setting::Setting, steps::Step, world::World};

/// The worlds of a configuration, and how they follow each other if nothing fails any more.
pub struct Graph {
    fair: DiGraph<Outlook, ()>,
    /// By which step each world was first reached, and from which.
    origins: Vec<Option<(u32, Step)>>,
}

/// What a world means for the cluster.
#[derive(Clone, Copy)]
struct Outlook {
    can_be_whole: bool,
    is_whole: bool,
}

/// Finds every world of a configuration.
pub fn explore(setting: &Setting) -> Graph {
    let mut graph = Graph { fair: DiGraph::new(), origins: Vec::new() };
    let mut known: HashMap<u64, u32> = HashMap::new();
    let mut queue: VecDeque<(u32, World)> = VecDeque::new();
    for world in setting.init_states() {
        known.insert(fingerprint(&world), graph.add(setting, &world, None));
        queue.push_back((0, world));
    }
    let mut steps = Vec::new();
    while let Some((at, world)) = queue.pop_front() {
        setting.actions(&world, &mut steps);
        for step in steps.drain(..) {
            let Some(next) = setting.next_state(&world, step) else { continue };
            let to = *known.entry(fingerprint(&next)).or_insert_with(|| {
                let to = graph.add(setting, &next, Some((at, step)));
                queue.push_back((to, next));
                to
            });
            if step.is_fair() {
                graph.fair.add_edge(at.into(), to.into(), ());
            }
        }
    }
    graph
}

/// As stateright does, worlds are known by 64 bits of hash, so that memory holds a million of them.
fn fingerprint(world: &World) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(world)
}

impl Graph {
    pub fn worlds(&self) -> usize {
        self.origins.len()
    }

    /// How the cluster gets to where it could become whole but never does, however fair the world is from then on.
    ///
    /// Where every step that stays possible happens in the end, the world ends up in a component that no fair step
    /// leaves, and sees all of it again and again. So each of these has to be whole, all of it.
    pub fn stuck(&self, setting: &Setting) -> Option<Vec<(World, Option<Step>)>> {
        let components = kosaraju_scc(&self.fair);
        let mut component_of = vec![0; self.worlds()];
        for (number, component) in components.iter().enumerate() {
            component.iter().for_each(|world| component_of[world.index()] = number);
        }
        let is_left = |number: usize| {
            let mut next = components[number].iter().flat_map(|world| self.fair.neighbors(*world));
            next.any(|next| component_of[next.index()] != number)
        };
        let is_stuck = |world: &&petgraph::graph::NodeIndex| {
            let outlook = self.fair[**world];
            outlook.can_be_whole && !outlook.is_whole
        };
        let last = (0..components.len()).filter(|number| !is_left(*number));
        let stuck = last.filter_map(|number| components[number].iter().find(is_stuck)).min()?;
        Some(self.path(setting, stuck.index() as u32))
    }

    fn add(&mut self, setting: &Setting, world: &World, origin: Option<(u32, Step)>) -> u32 {
        let outlook = Outlook { can_be_whole: world.can_be_whole(&setting.rules), is_whole: world.is_whole() };
        self.fair.add_node(outlook);
        self.origins.push(origin);
        self.origins.len() as u32 - 1
    }

    fn path(&self, setting: &Setting, mut at: u32) -> Vec<(World, Option<Step>)> {
        let mut steps = Vec::new();
        while let Some((from, step)) = self.origins[at as usize] {
            steps.push(step);
            at = from;
        }
        let mut world = setting.init_states().remove(0);
        let mut path = Vec::new();
        for step in steps.into_iter().rev() {
            let next = setting.next_state(&world, step).expect("the step was taken before");
            path.push((std::mem::replace(&mut world, next), Some(step)));
        }
        path.push((world, None));
        path
    }
}
