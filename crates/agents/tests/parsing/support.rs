//! The recorded streams and how they ended.

use std::path::Path;

use dayshift_agents::{Conclusion, Heard, Parser};
use dayshift_core::types::{Dialect, Exit};
use serde_json::Value;

/// One recording: the agent's stdout and its exit.
pub(crate) struct Recording {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) exit: Exit,
}

/// All recordings of `claude` 2.1.197, by name.
pub(crate) fn recordings() -> Vec<Recording> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/claude-2.1.197");
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .expect("the fixtures are as they were recorded")
        .filter_map(|entry| {
            entry.expect("an entry").file_name().to_str()?.strip_suffix(".jsonl").map(str::to_owned)
        })
        .collect();
    names.sort();
    names.into_iter().map(|name| recording(&folder, name)).collect()
}

fn recording(folder: &Path, name: String) -> Recording {
    let bytes =
        std::fs::read(folder.join(format!("{name}.jsonl"))).expect("the fixtures are as they were recorded");
    let meta = std::fs::read(folder.join(format!("{name}.meta.json")))
        .expect("the fixtures are as they were recorded");
    let meta: Value = serde_json::from_slice(&meta).expect("the fixtures are as they were recorded");
    let code = i32::try_from(meta["exit_code"].as_i64().expect("the fixtures are as they were recorded"))
        .expect("the fixtures are as they were recorded");
    let exit = if code < 0 { Exit::Signal(-code) } else { Exit::Code(code) };
    // Two-way recordings hold both directions, each line in an envelope.
    let bytes = if name.starts_with("bidi-") { from_agent(&bytes) } else { bytes };
    Recording { name, bytes, exit }
}

fn from_agent(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let envelope: Value = serde_json::from_slice(line).expect("the fixtures are as they were recorded");
        if envelope["dir"] == "cli->host" {
            serde_json::to_writer(&mut out, &envelope["msg"])
                .expect("the fixtures are as they were recorded");
            out.push(b'\n');
        }
    }
    out
}

pub(crate) fn claude() -> Dialect {
    Dialect::Claude { program: "claude".into(), allowed_tools: vec![] }
}

/// Everything heard of `chunks` and the conclusion.
pub(crate) fn run<'a>(
    dialect: &Dialect,
    chunks: impl IntoIterator<Item = &'a [u8]>,
    exit: &Exit,
) -> (Vec<Heard>, Conclusion) {
    let mut parser = Parser::new(dialect);
    let mut heard = Vec::new();
    for chunk in chunks {
        heard.extend(parser.feed(chunk));
    }
    let conclusion = parser.conclude(exit);
    (heard, conclusion)
}

/// A small seeded generator (xorshift), so that a failure can be run again.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("the fixtures are as they were recorded")
    }
}
