//! Explores the state space of a configuration once, and checks safety and liveness in it.

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
    state::{Broken, State},
    steps::Step,
};

/// The path to a state: each state with the step that follows it.
pub type Path = Vec<(State, Option<Step>)>;

/// The states of a configuration, and the fair steps between them.
pub struct Exploration {
    fair: DiGraph<Outlook, ()>,
    /// The state and the step from which each state was first reached. The search is breadth-first, so the path is the shortest.
    origins: Vec<Option<(u32, Step)>>,
    /// The first state in which a property does not hold. The search ends there.
    broken: Option<(u32, Broken)>,
}

/// What a state means for the cluster.
#[derive(Clone, Copy)]
struct Outlook {
    can_be_whole: bool,
    is_whole: bool,
}

/// Explores a configuration until a safety property is violated, or completely.
pub fn explore(setting: &Setting) -> Exploration {
    let mut found = Exploration { fair: DiGraph::new(), origins: Vec::new(), broken: None };
    let mut known: HashMap<u64, u32> = HashMap::new();
    let mut queue: VecDeque<(u32, State)> = VecDeque::new();
    let first = setting.first_state();
    known.insert(fingerprint(&first), found.add(setting, &first, None));
    queue.push_back((0, first));
    let mut steps = Vec::new();
    while let Some((at, state)) = queue.pop_front() {
        state.steps(&mut steps, &setting.rules);
        for step in steps.drain(..) {
            let Some(next) = state.after(step, &setting.rules) else { continue };
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
fn fingerprint(state: &State) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(state)
}

impl Exploration {
    pub fn states(&self) -> usize {
        self.origins.len()
    }

    /// The property that is violated, and the path to the violation.
    pub fn broken(&self, setting: &Setting) -> Option<(Broken, Path)> {
        self.broken.map(|(at, broken)| (broken, self.path(setting, at)))
    }

    /// How the cluster gets to where it could become whole but never does, however fair the state is from then on.
    ///
    /// Where every step that stays possible happens in the end, the state ends up in a component that no fair step
    /// leaves, and sees all of it again and again. So each of these has to be whole, all of it.
    pub fn stuck(&self, setting: &Setting) -> Option<Path> {
        let components = kosaraju_scc(&self.fair);
        let mut component_of = vec![0; self.states()];
        for (number, component) in components.iter().enumerate() {
            component.iter().for_each(|state| component_of[state.index()] = number);
        }
        let is_left = |number: usize| {
            let mut next = components[number].iter().flat_map(|state| self.fair.neighbors(*state));
            next.any(|next| component_of[next.index()] != number)
        };
        let is_stuck = |state: &&NodeIndex| {
            let outlook = self.fair[**state];
            outlook.can_be_whole && !outlook.is_whole
        };
        let last = (0..components.len()).filter(|number| !is_left(*number));
        let stuck = last.filter_map(|number| components[number].iter().find(is_stuck)).min()?;
        Some(self.path(setting, stuck.index() as u32))
    }

    fn add(&mut self, setting: &Setting, state: &State, origin: Option<(u32, Step)>) -> u32 {
        let at = self.states() as u32;
        let outlook = Outlook { can_be_whole: state.can_be_whole(&setting.rules), is_whole: state.is_whole() };
        self.fair.add_node(outlook);
        self.origins.push(origin);
        self.broken = self.broken.or(state.broken.map(|broken| (at, broken)));
        at
    }

    fn path(&self, setting: &Setting, mut at: u32) -> Path {
        let mut steps = Vec::new();
        while let Some((from, step)) = self.origins[at as usize] {
            steps.push(step);
            at = from;
        }
        let mut state = setting.first_state();
        let mut path = Vec::new();
        for step in steps.into_iter().rev() {
            let next = state.after(step, &setting.rules).expect("the step was taken before");
            path.push((mem::replace(&mut state, next), Some(step)));
        }
        path.push((state, None));
        path
    }
}
