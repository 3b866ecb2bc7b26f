//! The `hikagen` program.

fn main() {}
