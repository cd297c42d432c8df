//! The command line: a file and a struct per subcommand.

pub mod model_probe;
