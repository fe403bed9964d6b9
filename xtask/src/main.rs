//! The project's own tools: check, tidy, bench, new.

fn main() {}
