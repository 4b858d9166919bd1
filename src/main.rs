//! The `tollgate` binary: command line, configuration, composition of the services.
fn main() {}
