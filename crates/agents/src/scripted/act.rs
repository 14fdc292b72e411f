//! What the scripted agent does to files and processes.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read, Write as _};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::scripted::scenario::Ask;
use crate::scripted::wire::OUTPUT_BYTES_MAX;

/// The largest file that `edit` reads, in bytes.
const EDIT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How long output may still come from a background process once its command has ended.
const OUTPUT_GRACE: Duration = Duration::from_secs(1);

/// Makes the folders above `path`, then the file.
pub(crate) fn write(cwd: &Path, path: &str, text: &str) -> Result<String, String> {
    let full = cwd.join(path);
    make_parent(&full).and_then(|()| fs::write(&full, text)).map_err(|error| told("write", path, &error))?;
    Ok(format!("{path}: {} bytes written", text.len()))
}

/// Adds `text` at the end of a file, which is made when it does not exist.
pub(crate) fn append(cwd: &Path, path: &str, text: &str) -> Result<String, String> {
    let full = cwd.join(path);
    let mut options = fs::OpenOptions::new();
    options.append(true).create(true);
    make_parent(&full)
        .and_then(|()| options.open(&full))
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| told("append to", path, &error))?;
    Ok(format!("{path}: {} bytes added", text.len()))
}

/// Replaces the first `find` in a file.
pub(crate) fn edit(cwd: &Path, path: &str, find: &str, replace: &str) -> Result<String, String> {
    let full = cwd.join(path);
    let size = fs::metadata(&full).map_err(|error| told("edit", path, &error))?.len();
    if size > EDIT_BYTES_MAX {
        return Err(format!("failed to edit {path}: it has {size} bytes"));
    }
    let text = fs::read_to_string(&full).map_err(|error| told("edit", path, &error))?;
    if !text.contains(find) {
        return Err(format!("failed to edit {path}: it does not contain `{find}`"));
    }
    fs::write(&full, text.replacen(find, replace, 1)).map_err(|error| told("edit", path, &error))?;
    Ok(format!("{path}: edited"))
}

/// Removes a file, or a folder with all that is in it.
pub(crate) fn delete(cwd: &Path, path: &str) -> Result<String, String> {
    let full = cwd.join(path);
    let is_folder = fs::symlink_metadata(&full).is_ok_and(|metadata| metadata.is_dir());
    let removed = if is_folder { fs::remove_dir_all(&full) } else { fs::remove_file(&full) };
    removed.map_err(|error| told("delete", path, &error))?;
    Ok(format!("{path}: deleted"))
}

/// Runs a shell command to its end; gives its output, or the output with how it failed.
pub(crate) fn run(cwd: &Path, command: &str) -> Result<String, String> {
    let (status, output) =
        shell(cwd, command).map_err(|error| format!("failed to run `{command}`: {error}"))?;
    if status.success() { Ok(output) } else { Err(format!("{output}\n{status}").trim().to_owned()) }
}

/// Starts a shell command in a session of its own and leaves it alone.
pub(crate) fn child(cwd: &Path, command: &str) -> Result<String, String> {
    // The shell in between ends at once, so that nobody here has to wait for the process.
    let start = "command -v setsid >/dev/null || { echo 'setsid is not installed'; exit 127; }\n\
                 setsid /bin/sh -c \"$0\" </dev/null >/dev/null 2>&1 &";
    let status = Command::new("/bin/sh")
        .args(["-c", start, command])
        .current_dir(cwd)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .map_err(|error| format!("failed to start `{command}`: {error}"))?;
    if status.success() {
        Ok(format!("started in the background: {command}"))
    } else {
        Err(format!("failed to start `{command}`: the program setsid is missing"))
    }
}

/// A question as people read it.
pub(crate) fn question(task: &str, ask: &Ask) -> String {
    let letters = ('A'..='Z').map(String::from);
    let options: Vec<String> =
        letters.zip(&ask.options).map(|(letter, option)| format!("{letter}) {option}")).collect();
    let options = options.join("\n");
    let sections = [
        ("Context", ask.context.trim()),
        ("Question", ask.question.trim()),
        ("Options", options.as_str()),
        ("Impact", ask.impact.trim()),
    ];
    let mut text = format!("# Question from Agent {task}\n");
    for (title, body) in sections.into_iter().filter(|(_, body)| !body.is_empty()) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "\n## {title}\n{body}");
    }
    text
}

fn told(verb: &str, path: &str, error: &io::Error) -> String {
    format!("failed to {verb} {path}: {error}")
}

fn make_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}

fn shell(cwd: &Path, command: &str) -> io::Result<(ExitStatus, String)> {
    let (reader, writer) = io::pipe()?;
    let mut process = Command::new("/bin/sh")
        .args(["-c", command])
        .current_dir(cwd)
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .spawn()?;
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || read_all(reader, &sender));
    let status = process.wait()?;
    let mut output = Vec::new();
    // A background process may hold the pipe open for as long as it likes.
    while let Ok(bytes) = receiver.recv_timeout(OUTPUT_GRACE) {
        output.extend_from_slice(&bytes);
    }
    Ok((status, String::from_utf8_lossy(&output).into_owned()))
}

/// Sends the first bytes of the output and reads over the rest.
fn read_all(mut reader: impl Read, sender: &mpsc::Sender<Vec<u8>>) {
    let mut left = OUTPUT_BYTES_MAX;
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = reader.read(&mut buffer) {
        let kept = buffer.get(..count.min(left)).unwrap_or_default();
        left -= kept.len();
        if !kept.is_empty() && sender.send(kept.to_vec()).is_err() {
            return;
        }
    }
}
