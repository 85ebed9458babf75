use std::time::Instant;

use crate::{
    explore::{Path, explore},
    setting::Setting,
    state::Broken,
};

/// Explores a configuration completely: every safety property holds, and the cluster always becomes whole in the end.
pub fn holds(setting: Setting) {
    let begin = Instant::now();
    let found = explore(&setting);
    if let Some((broken, path)) = found.broken(&setting) {
        panic!("{}: not true that {}:\n{}", setting.name, broken.property(), describe(path));
    }
    if let Some(path) = found.stuck(&setting) {
        panic!("{}: the cluster never becomes whole:\n{}", setting.name, describe(path));
    }
    println!("{}: {} states in {:.1?}", setting.name, found.states(), begin.elapsed());
}

/// Explores a configuration with a broken planner until a safety property is violated: the expected one.
pub fn is_unsafe(setting: Setting, expected: Broken) {
    let found = explore(&setting);
    let Some((broken, path)) = found.broken(&setting) else { panic!("{}: nothing was found", setting.name) };
    let (states, steps) = (found.states(), path.len() - 1);
    println!("{}: not true after {steps} steps that {} ({states} states)", setting.name, broken.property());
    assert_eq!(broken, expected, "{}: {}", setting.name, describe(path));
}

/// Explores a configuration with a broken planner: the cluster does not always become whole.
pub fn is_stuck(setting: Setting) {
    let found = explore(&setting);
    let Some(path) = found.stuck(&setting) else { panic!("{}: nothing was found", setting.name) };
    let (states, steps) = (found.states(), path.len() - 1);
    println!("{}: not true after {steps} steps that the cluster becomes whole ({states} states)", setting.name);
}

fn describe(path: Path) -> String {
    let last = path.last().map(|(state, _)| format!("\nin the end: {state:#?}"));
    let steps: Vec<String> = path.iter().filter_map(|(_, step)| Some(format!("{:?}", step.as_ref()?))).collect();
    steps.join(", ") + &last.unwrap_or_default()
}
