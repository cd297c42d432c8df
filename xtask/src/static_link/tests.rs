use super::*;

#[test]
fn scratch() -> Result<()> {
    let linked = static_link(&std::fs::read("/work/notes/python-runner.orig.wasm")?)?;
    std::fs::write("/tmp/linked.wasm", &linked)?;
    Ok(())
}
