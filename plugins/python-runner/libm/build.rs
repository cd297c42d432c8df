//! Links a core module that shares the memory of another one: its constants stand where the stack of that one was.

fn main() {
    for argument in
        ["--skip-wit-component", "--import-memory", "--stack-first", "-zstack-size=65536", "--global-base=65536"]
    {
        println!("cargo::rustc-link-arg-cdylib={argument}");
    }
}
