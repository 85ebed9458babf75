#![no_main]

use convene_server::fuzzing::proxies;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| proxies(bytes));
