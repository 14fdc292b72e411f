//! A state directory that an older version left in mid-run is gone on with to its end.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rusqlite::{Connection, params};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::common::Site;

/// What the last version of format 1 had written when it and its worker were killed: `first` was done,
/// `middle` at work in attempt 2, `last` still to come. `HOME` and `REPO` stand for folders.
fn golden(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1-midrun");
    fs::read_to_string(folder.join(name)).unwrap()
}

/// Notes who begins, and leaves a file.
const AGENT: &str = "echo $DAYSHIFT_TASK >> HOME/marks\necho $DAYSHIFT_TASK > $DAYSHIFT_TASK.txt\n";

/// When its last entry was written, in milliseconds since the epoch.
const WRITTEN_AT: u64 = 1_795_204_732_015;

/// The same with every moment as much later as that was before now: else the time limit of what is at
/// work would have passed long ago.
fn just_now(text: &str) -> String {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let later = u64::try_from(since.as_millis()).unwrap() - WRITTEN_AT;
    let moved = |digits: &str| match digits.parse::<u64>() {
        Ok(moment) if digits.len() == 13 => (moment + later).to_string(),
        Ok(_) | Err(_) => digits.to_owned(),
    };
    let mut told = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(|letter: char| letter.is_ascii_digit()) {
        let end = rest[at..].find(|letter: char| !letter.is_ascii_digit()).map_or(rest.len(), |end| at + end);
        told += &rest[..at];
        told += &moved(&rest[at..end]);
        rest = &rest[end..];
    }
    told + rest
}

fn placed(site: &Site, text: &str) -> String {
    let [home, repo] = [site.home.path(), site.path()].map(|path| path.canonicalize().unwrap());
    text.replace("HOME", home.to_str().unwrap()).replace("REPO", repo.to_str().unwrap())
}

/// The state directory in a place of its own. The journal is chained again, by what format 1 says of
/// itself: other folders stand in it.
fn lay(site: &Site) -> PathBuf {
    fs::write(site.home.path().join("agent.sh"), placed(site, AGENT)).unwrap();
    fs::create_dir_all(site.state().join("worker")).unwrap();
    fs::write(site.state().join("worker/records"), placed(site, &just_now(&golden("records")))).unwrap();
    let file = site.state().join("dayshift.db");
    let journal = Connection::open(&file).unwrap();
    journal
        .execute_batch(
            "PRAGMA application_id = 0x64617973; PRAGMA user_version = 1; PRAGMA journal_mode = WAL;
             CREATE TABLE journal (
                 seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, version INTEGER NOT NULL, cause TEXT,
                 kind TEXT NOT NULL, body TEXT NOT NULL, hash BLOB NOT NULL
             ) STRICT;",
        )
        .unwrap();
    let mut hash: [u8; 32] = Sha256::digest("dayshift journal 1").into();
    for (seq, line) in (1_u64..).zip(just_now(&golden("journal.jsonl")).lines()) {
        let line: Value = serde_json::from_str(line).unwrap();
        let (at, kind) = (line["at"].as_u64().unwrap(), line["kind"].as_str().unwrap());
        let (cause, body) = (line["cause"].as_str(), placed(site, line["body"].as_str().unwrap()));
        hash = linked(hash, [seq, at, 1], cause, [kind, &body]);
        let (seq, at) = (i64::try_from(seq).unwrap(), i64::try_from(at).unwrap());
        journal
            .execute(
                "INSERT INTO journal VALUES (?, ?, 1, ?, ?, ?, ?)",
                params![seq, at, cause, kind, body, hash],
            )
            .unwrap();
    }
    file
}

/// One link of the chain: numbers and texts with their lengths before them.
fn linked(before: [u8; 32], numbers: [u64; 3], cause: Option<&str>, texts: [&str; 2]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(before);
    let told = |bytes: &[u8]| [&(bytes.len() as u64).to_be_bytes(), bytes].concat();
    for number in numbers {
        hasher.update(told(&number.to_be_bytes()));
    }
    // One byte tells no cause from an empty one.
    hasher.update(cause.map_or(vec![0], |cause| [vec![1], told(cause.as_bytes())].concat()));
    for text in texts {
        hasher.update(told(text.as_bytes()));
    }
    hasher.finalize().into()
}

fn versions(journal: &Path) -> Vec<u32> {
    let journal = Connection::open(journal).unwrap();
    let mut rows = journal.prepare("SELECT version FROM journal ORDER BY seq").unwrap();
    rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[test]
fn a_run_that_format_1_left_at_work_is_brought_to_its_end() {
    let site = Site::new();
    let journal = lay(&site);
    let old = versions(&journal);
    assert!(dayshift_journal::verify(&journal).is_ok(), "it is a sound journal of that format");
    let shown = site.run(["status"]);
    assert!(shown.code == 0 && shown.out.contains("middle"), "{shown:?}");
    let ran = site.run(["resume", "--repo", site.path().to_str().unwrap()]);
    assert_eq!(ran.code, 0, "{ran:?}");
    // What was done stays done; what was at work died with its worker and runs once more.
    let marks = fs::read_to_string(site.home.path().join("marks")).unwrap();
    assert_eq!(marks, "middle\nlast\n", "{ran:?}");
    for key in ["first", "middle", "last"] {
        assert_eq!(site.outcome(key), "succeeded", "{ran:?}");
    }
    assert_eq!(site.repo.git(&["show", "dayshift/R1/last:last.txt"]).trim_end(), "last");
    // Its limit is that of the old spelling.
    let status = site.json(["status", "--json"]);
    assert_eq!(status["runs"][0]["budget_usd"], 20.0, "{status}");
    let attempts = site.json(["task", "middle", "--json"]);
    assert!(attempts.to_string().contains("lost"), "{attempts}");
    assert!(site.report().contains("Is at work"));
    let now = versions(&journal);
    assert_eq!(now[..old.len()], old, "what was written stays as it was");
    assert!(now[old.len()..].iter().all(|version| *version == dayshift_core::event::FORMAT_VERSION));
    assert!(dayshift_journal::verify(&journal).is_ok());
    site.wait_for_worker_to_leave();
}
