//! The plugin log: what plugins print while they are called, for those who write them. A record of the log is one line of
//! one output, without anything that a terminal would obey; whoever wants to see them listens to the log's target.
//!
//! What a program prints that a runner runs is its output, and no part of this.

use hilora_contract::plugin::PluginIdentity;
use hilora_contract::terminal::visible_line;

/// The target of the records, which are of the level `debug`.
pub const PLUGIN_LOG_TARGET: &str = "plugin";

/// The most characters of a line.
const LINE_CHARACTERS_MAX: usize = 2_000;

/// Tells what a call has printed.
pub(super) fn log(plugin: &PluginIdentity, call: &str, stdout: &[u8], stderr: &[u8]) {
    if stdout.is_empty() && stderr.is_empty() || !tracing::enabled!(target: PLUGIN_LOG_TARGET, tracing::Level::DEBUG) {
        return;
    }
    let name = &plugin.name;
    for (output, bytes) in [("stdout", stdout), ("stderr", stderr)] {
        for line in lines(bytes) {
            tracing::debug!(target: PLUGIN_LOG_TARGET, "{name} {call} {output}: {line}");
        }
    }
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = String> {
    let lines = bytes.strip_suffix(b"\n").unwrap_or(bytes).split(|byte| *byte == b'\n');
    let shown = |line| visible_line(&String::from_utf8_lossy(line), LINE_CHARACTERS_MAX);
    lines.map(shown).take(if bytes.is_empty() { 0 } else { usize::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_short_and_nothing_in_it_is_obeyed() {
        let told: Vec<String> = lines(b"one\n\x1b[2Jtwo\r\n\xff\n").collect();
        assert_eq!(told, ["one", "␛[2Jtwo␍", "�"]);
        assert_eq!(lines(b"").count(), 0);
        assert_eq!(lines(&[b'x'; 10_000]).next().map(|line| line.chars().count()), Some(LINE_CHARACTERS_MAX + 1));
    }
}
