//! What the tests of all crates run.
