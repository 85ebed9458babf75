use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model};

use crate::{liveness, setting::Setting, steps::Step, world::World};

/// Explores a configuration to its end: nothing bad happens, and what is wanted happens in the end.
pub fn holds(setting: Setting) {
    let begin = Instant::now();
    let checker = setting.checker().finish_when(HasDiscoveries::Any).spawn_bfs().join();
    if let Some((property, path)) = shortest(&checker) {
        panic!("{}: {property} does not hold:\n{}", setting.name, tell(path));
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

/// Explores a configuration that is broken on purpose until that shows.
pub fn is_caught(setting: Setting, properties: &[&str]) {
    let begin = Instant::now();
    let checker = setting.checker().finish_when(HasDiscoveries::Any).spawn_bfs().join();
    let found = shortest(&checker);
    let Some((property, path)) = found else { panic!("{}: nothing was found", setting.name) };
    let (states, steps) = (checker.unique_state_count(), path.len() - 1);
    println!(
        "{}: {property:?} does not hold after {steps} steps ({states} states, {:.1?})",
        setting.name,
        begin.elapsed()
    );
    assert!(properties.contains(&property), "{}: {property}\n{}", setting.name, tell(path));
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
