use std::time::Instant;

use crate::{
    explore::{Path, explore},
    setting::Setting,
    world::Broken,
};

/// Explores a configuration to its end: nothing bad happens, and what is wanted happens in the end.
pub fn holds(setting: Setting) {
    let begin = Instant::now();
    let found = explore(&setting);
    if let Some((broken, path)) = found.broken(&setting) {
        panic!("{}: not true that {}:\n{}", setting.name, broken.property(), tell(path));
    }
    if let Some(path) = found.stuck(&setting) {
        panic!("{}: the cluster never becomes whole:\n{}", setting.name, tell(path));
    }
    println!("{}: {} worlds in {:.1?}", setting.name, found.worlds(), begin.elapsed());
}

/// Explores a configuration that is broken on purpose until something bad happens, which is this.
pub fn is_unsafe(setting: Setting, expected: Broken) {
    let found = explore(&setting);
    let Some((broken, path)) = found.broken(&setting) else { panic!("{}: nothing was found", setting.name) };
    let (worlds, steps) = (found.worlds(), path.len() - 1);
    println!("{}: not true after {steps} steps that {} ({worlds} worlds)", setting.name, broken.property());
    assert_eq!(broken, expected, "{}: {}", setting.name, tell(path));
}

/// Explores a configuration that is broken on purpose: what is wanted does not always happen.
pub fn is_stuck(setting: Setting) {
    let found = explore(&setting);
    let Some(path) = found.stuck(&setting) else { panic!("{}: nothing was found", setting.name) };
    let (worlds, steps) = (found.worlds(), path.len() - 1);
    println!("{}: not true after {steps} steps that the cluster becomes whole ({worlds} worlds)", setting.name);
}

fn tell(path: Path) -> String {
    let last = path.last().map(|(world, _)| format!("\nin the end: {world:#?}"));
    let steps: Vec<String> = path.iter().filter_map(|(_, step)| Some(format!("{:?}", step.as_ref()?))).collect();
    steps.join(", ") + &last.unwrap_or_default()
}
