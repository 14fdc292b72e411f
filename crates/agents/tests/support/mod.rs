//! The recorded streams and how they ended.

use std::path::Path;

use dayshift_agents::{Conclusion, Heard, Parser};
use dayshift_core::types::{Dialect, Exit};
use serde_json::Value;

/// One recording: the agent's stdout and its exit.
pub struct Recording {
    pub name: String,
    pub bytes: Vec<u8>,
    pub exit: Exit,
}

/// All recordings of `claude` 2.1.197, by name.
pub fn recordings() -> Vec<Recording> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/claude-2.1.197");
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_suffix(".jsonl").map(str::to_owned))
        .collect();
    names.sort();
    names.into_iter().map(|name| recording(&folder, name)).collect()
}

fn recording(folder: &Path, name: String) -> Recording {
    let bytes = std::fs::read(folder.join(format!("{name}.jsonl"))).unwrap();
    let meta = std::fs::read(folder.join(format!("{name}.meta.json"))).unwrap();
    let meta: Value = serde_json::from_slice(&meta).unwrap();
    let code = i32::try_from(meta["exit_code"].as_i64().unwrap()).unwrap();
    let exit = if code < 0 { Exit::Signal(-code) } else { Exit::Code(code) };
    // Two-way recordings hold both directions, each line in an envelope.
    let bytes = if name.starts_with("bidi-") { from_agent(&bytes) } else { bytes };
    Recording { name, bytes, exit }
}

fn from_agent(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let envelope: Value = serde_json::from_slice(line).unwrap();
        if envelope["dir"] == "cli->host" {
            serde_json::to_writer(&mut out, &envelope["msg"]).unwrap();
            out.push(b'\n');
        }
    }
    out
}

pub fn claude() -> Dialect {
    Dialect::Claude { program: "claude".into(), allowed_tools: vec![] }
}

/// Everything heard of `chunks` and the conclusion.
pub fn run<'a>(
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
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }
}
