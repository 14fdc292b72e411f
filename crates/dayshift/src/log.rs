//! dayshift's own log: JSON lines in `logs/dayshift.log`, turned over at 10 MB.

use std::fs::{self, OpenOptions};
use std::io::Write;

use crate::paths::Paths;

/// When the log is turned over.
const BYTES_MAX: u64 = 10 * 1024 * 1024;

/// Adds one line. A log that cannot be written stops nothing.
pub(crate) fn line(paths: &Paths, level: &str, message: &str) {
    let folder = paths.logs();
    let path = folder.join("dayshift.log");
    if fs::metadata(&path).is_ok_and(|file| file.len() > BYTES_MAX) {
        let _ = fs::rename(&path, folder.join("dayshift.log.1"));
    }
    let text = serde_json::json!({
        "at": jiff::Timestamp::now().to_string(),
        "level": level,
        "pid": std::process::id(),
        "message": message,
    });
    let _ = fs::create_dir_all(&folder);
    if let Ok(mut file) = OpenOptions::new().create(true).append(true).open(path) {
        let _ = file.write_all(format!("{text}\n").as_bytes());
    }
}
