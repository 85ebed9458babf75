#![no_main]

use std::sync::LazyLock;

use convene_server::fuzzing::Target;
use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<Target> = LazyLock::new(Target::default);

fuzz_target!(|bytes: &[u8]| {
    TARGET.check_in(bytes);
});
