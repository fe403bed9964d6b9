//! The kutter binary: flags, configuration and wiring; nothing else.

fn main() {}
