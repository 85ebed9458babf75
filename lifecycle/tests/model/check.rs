use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model};

use crate::{liveness, setting::Setting, steps::Step, world::World};

/// Explores a configuration to its end: nothing bad happens, and what is wanted happens in the end.
pub fn holds(setting: Setting) {
    let begin = Instant::now();
    let checker = setting.checker().finish_when(HasDiscoveries::Any).spawn_bfs().join();
    if let Some((property, path)) = shortest(&checker) {
        panic!("{}: not true that {property}:\n{}", setting.name, tell(path));
    }
    let states = checker.unique_state_count();
    let safe = begin.elapsed();
    drop(checker);
    let graph = liveness::explore(&setting);
    assert_eq!(graph.worlds(), states, "both passes see the same worlds");
    if let Some(path) = graph.stuck(&setting) {
        panic!("{}: the cluster never becomes whole:\n{}", setting.name, tell(path));
    }
    println!("{}: {states} states, safe in {safe:.1?}, live in {:.1?}", setting.name, begin.elapsed() - safe);
}

/// Explores a configuration that is broken on purpose until something bad happens, which is this.
pub fn is_unsafe(setting: Setting, expected: &str) {
    let begin = Instant::now();
    let checker = setting.checker().finish_when(HasDiscoveries::Any).spawn_bfs().join();
    let Some((property, path)) = shortest(&checker) else { panic!("{}: nothing was found", setting.name) };
    let (states, steps, took) = (checker.unique_state_count(), path.len() - 1, begin.elapsed());
    println!("{}: not true after {steps} steps that {property} ({states} states, {took:.1?})", setting.name);
    assert_eq!(property, expected, "{}: {}", setting.name, tell(path));
}

/// Explores a configuration that is broken on purpose: what is wanted does not always happen.
pub fn is_stuck(setting: Setting) {
    let graph = liveness::explore(&setting);
    let Some(path) = graph.stuck(&setting) else { panic!("{}: nothing was found", setting.name) };
    let (states, steps) = (graph.worlds(), path.len() - 1);
    println!("{}: not true after {steps} steps that the cluster becomes whole ({states} states)", setting.name);
}

type Path = Vec<(World, Option<Step>)>;

fn shortest(checker: &impl Checker<Setting>) -> Option<(&'static str, Path)> {
    let paths = checker.discoveries().into_iter().map(|(property, path)| (property, path.into_vec()));
    paths.min_by_key(|(_, path)| path.len())
}

fn tell(path: Path) -> String {
    let last = path.last().map(|(world, _)| format!("\nin the end: {world:#?}"));
    let steps: Vec<String> = path.iter().filter_map(|(_, step)| Some(format!("{:?}", step.as_ref()?))).collect();
    steps.join(", ") + &last.unwrap_or_default()
}
