//! Named secrets: fetched when an attempt is started that is to have them, kept in memory alone,
//! and known to whoever takes them out of texts.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use dayshift_core::types::{Failure, FailureClass};
use dayshift_guard::{Redactor, is_secret_name};
use dayshift_intake::SecretSource;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, kill_process_group, pidfd_open};
use rustix::time::Timespec;

use crate::process;

/// How long a command may take that prints a secret: somebody may have to unlock a store first.
const COMMAND_MAX: Duration = Duration::from_secs(30);
/// How long a value that was fetched is used again: many attempts start at once, and asking a
/// store again for each could ask a person each time.
const FRESH: Duration = Duration::from_mins(5);
/// How long a failure is told again without asking.
const FAILED: Duration = Duration::from_secs(5);
/// The largest secret, in bytes.
const SECRET_BYTES_MAX: u64 = 64 * 1024;
/// The shortest secret that can be taken out of texts, in bytes.
const SECRET_BYTES_MIN: usize = 8;
/// How much of what a command complains is told, in bytes.
const COMPLAINT_BYTES_MAX: u64 = 2 * 1024;

/// How often a pipe is read before its reader looks at the time again.
const DRAIN_READS_MAX: u32 = 64;

/// Values by the variables that they are passed in.
pub(super) type Values = BTreeMap<String, String>;

/// What follows once the values are there, or are not to be had.
type Then = Box<dyn FnOnce(Result<Values, Failure>) + Send>;

/// The way to the user's secrets.
#[derive(Debug)]
pub(super) struct Secrets {
    store: Arc<Store>,
    asks: Sender<(Vec<String>, Then)>,
    /// What our own environment holds under the name of a secret.
    pub(super) ours: Vec<(String, String)>,
}

/// What the asking thread and the others share.
struct Store {
    sources: BTreeMap<String, SecretSource>,
    home: Option<PathBuf>,
    known: Mutex<BTreeMap<String, Known>>,
}

/// What was fetched, and when.
struct Known {
    at: Instant,
    value: Result<String, Failure>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("sources", &self.sources.keys()).finish_non_exhaustive()
    }
}

impl Secrets {
    /// Nothing is fetched before somebody asks.
    pub(super) fn new(
        sources: BTreeMap<String, SecretSource>,
        home: Option<PathBuf>,
        environment: &[(OsString, OsString)],
    ) -> Self {
        let text = |(name, value): &(OsString, OsString)| {
            Some((name.to_str()?.to_owned(), value.to_str()?.to_owned()))
        };
        let ours = environment.iter().filter_map(text).filter(|(name, _)| is_secret_name(name)).collect();
        let store = Arc::new(Store { sources, home, known: Mutex::default() });
        let (asks, receiver) = channel::<(Vec<String>, Then)>();
        let asked = store.clone();
        if !store.sources.is_empty() {
            // Without the thread every ask fails at once.
            let _ = std::thread::Builder::new().name("secrets".to_owned()).spawn(move || {
                for (names, then) in receiver {
                    then(asked.fetch_all(&names));
                }
            });
        }
        Self { store, asks, ours }
    }

    /// Which of `names` are secrets of the user's.
    pub(super) fn among<'n>(&self, names: impl Iterator<Item = &'n str>) -> Vec<String> {
        let mut found: Vec<String> =
            names.filter(|name| self.store.sources.contains_key(*name)).map(str::to_owned).collect();
        found.sort();
        found.dedup();
        found
    }

    /// Fetches the values on a thread of its own, one ask after the other, and goes on with `then`.
    pub(super) fn ask(&self, names: Vec<String>, then: Then) {
        if let Err(unsent) = self.asks.send((names, then)) {
            let (_, then) = unsent.0;
            then(Err(Failure::new(FailureClass::Transient, "no thread fetches secrets")));
        }
    }

    /// Fetches the values, which may take a while.
    pub(super) fn wait_for(&self, names: Vec<String>) -> Result<Values, Failure> {
        if names.is_empty() {
            return Ok(Values::new());
        }
        let (answer, answers) = channel();
        // The receiver lives until there is an answer.
        self.ask(names, Box::new(move |values| answer.send(values).unwrap_or_default()));
        let gone = |_| Failure::new(FailureClass::Transient, "no thread fetches secrets");
        answers.recv().map_err(gone)?
    }

    /// All that was fetched so far, by the variables that it is passed in.
    pub(super) fn fetched(&self) -> Vec<(String, String)> {
        let known = self.store.known();
        known.iter().filter_map(|(name, row)| Some((name.clone(), row.value.clone().ok()?))).collect()
    }

    /// The values as far as they were fetched before, however long ago; `None` when one is missing.
    pub(super) fn known(&self, names: &[String]) -> Option<Values> {
        let known = self.store.known();
        names.iter().map(|name| Some((name.clone(), known.get(name)?.value.clone().ok()?))).collect()
    }
}

impl Store {
    fn known(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fetch_all(&self, names: &[String]) -> Result<Values, Failure> {
        names.iter().map(|name| Ok((name.clone(), self.fetch(name)?))).collect()
    }

    fn fetch(&self, name: &str) -> Result<String, Failure> {
        if let Some(known) = self.known().get(name) {
            let limit = if known.value.is_ok() { FRESH } else { FAILED };
            if known.at.elapsed() < limit {
                return known.value.clone();
            }
        }
        let value = match self.sources.get(name) {
            Some(SecretSource::File(path)) => from_file(&expanded(path, self.home.as_deref())),
            Some(SecretSource::Command(line)) => from_command(line, COMMAND_MAX),
            None => Err(Failure::new(FailureClass::Permanent, "nobody says where it is")),
        };
        let value = value.and_then(checked).map_err(|failure| Failure {
            message: format!("the secret {name} cannot be had: {}", failure.message),
            ..failure
        });
        self.known().insert(name.to_owned(), Known { at: Instant::now(), value: value.clone() });
        value
    }
}

/// `~/x` with the home folder in place of `~`.
pub(crate) fn expanded(path: &str, home: Option<&Path>) -> PathBuf {
    match (path.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest),
        (Some(_) | None, _) => PathBuf::from(path),
    }
}

/// Why a file of a secret is not to be used, with what to do about it.
pub(crate) fn fault_of_file(path: &Path) -> Option<String> {
    let shown = path.display();
    let found = match std::fs::metadata(path) {
        Ok(found) => found,
        Err(error) => return Some(format!("{shown} cannot be read: {error}")),
    };
    let mode = found.mode() & 0o7777;
    if !found.is_file() {
        Some(format!("{shown} is no file"))
    } else if found.uid() != rustix::process::getuid().as_raw() {
        Some(format!("{shown} belongs to user {}; chown it to yourself", found.uid()))
    } else if mode & 0o177 != 0 {
        Some(format!("{shown} has mode {mode:04o}, so that others can reach it; chmod 600 {shown}"))
    } else if found.len() > SECRET_BYTES_MAX {
        Some(format!("{shown} is larger than {SECRET_BYTES_MAX} bytes"))
    } else {
        None
    }
}

fn from_file(path: &Path) -> Result<Vec<u8>, Failure> {
    let permanent = |message: String| Failure::new(FailureClass::Permanent, message);
    if let Some(fault) = fault_of_file(path) {
        return Err(permanent(fault));
    }
    std::fs::read(path).map_err(|error| permanent(format!("{} cannot be read: {error}", path.display())))
}

/// Runs a command line and takes what it prints. Its complaints are told, redacted.
fn from_command(line: &str, most: Duration) -> Result<Vec<u8>, Failure> {
    let passing = |message: String| Failure::new(FailureClass::Transient, message);
    let mut child = Command::new("/bin/sh")
        .args(["-c", line])
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|error| passing(format!("its command cannot be started: {error}")))?;
    let (Some(out), Some(complaint)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(passing("its command has no output".to_owned()));
    };
    let mut said = Said::new(out.into(), complaint.into())
        .map_err(|error| passing(format!("its command cannot be read: {error}")))?;
    let has_ended = said.listen(&child, most);
    end_rest(&child, &said);
    let status = child.wait();
    let (value, complaint) = (said.value.kept, said.complaint.kept);
    match has_ended {
        Ok(true) => {}
        Ok(false) => return Err(passing(format!("its command did not end within {most:?}"))),
        Err(error) => return Err(passing(format!("its command cannot be waited for: {error}"))),
    }
    match status {
        Ok(status) if status.success() => Ok(value),
        Ok(status) => {
            // What it printed so far may be the secret, and its complaint may quote it.
            let mut redactor = Redactor::knowing([("secret", value.trim_ascii())]);
            let complaint = redactor.redact_text(&String::from_utf8_lossy(&complaint));
            let complaint = complaint.split_whitespace().collect::<Vec<_>>().join(" ");
            let why = if complaint.is_empty() { String::new() } else { format!(": {complaint}") };
            Err(passing(format!("its command ended with {status}{why}")))
        }
        Err(error) => Err(passing(format!("its command cannot be waited for: {error}"))),
    }
}

/// What a command has said so far.
struct Said {
    value: Pipe,
    complaint: Pipe,
}

impl Said {
    fn new(out: OwnedFd, complaint: OwnedFd) -> io::Result<Self> {
        Ok(Self {
            value: Pipe::new(out, SECRET_BYTES_MAX + 1)?,
            complaint: Pipe::new(complaint, COMPLAINT_BYTES_MAX)?,
        })
    }

    /// Listens until the command itself has ended, whoever else still holds its output; false when
    /// it did not end in time.
    fn listen(&mut self, child: &Child, most: Duration) -> io::Result<bool> {
        let command = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
        let begun = Instant::now();
        loop {
            let left = most.saturating_sub(begun.elapsed());
            let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
            let mut watched = vec![PollFd::new(&command, PollFlags::IN)];
            let pipes = [&self.value, &self.complaint].into_iter().filter(|pipe| pipe.is_open);
            watched.extend(pipes.map(|pipe| PollFd::new(&pipe.from, PollFlags::IN)));
            match poll(&mut watched, Some(&timeout)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let has_ended = !watched[0].revents().is_empty();
            drop(watched);
            // All that it said before its end is in the pipes by now.
            self.value.drain();
            self.complaint.drain();
            if has_ended || left.is_zero() {
                return Ok(has_ended);
            }
        }
    }
}

/// Our end of a pipe, with the beginning of what came out of it.
struct Pipe {
    from: File,
    kept: Vec<u8>,
    most: u64,
    is_open: bool,
}

impl Pipe {
    fn new(from: OwnedFd, most: u64) -> io::Result<Self> {
        fcntl_setfl(&from, fcntl_getfl(&from)? | OFlags::NONBLOCK)?;
        Ok(Self { from: File::from(from), kept: Vec::new(), most, is_open: true })
    }

    /// Takes what is there. Of who never stops, a part: its time runs out, too.
    fn drain(&mut self) {
        let mut chunk = [0_u8; 16 * 1024];
        for _ in 0..DRAIN_READS_MAX {
            match self.from.read(&mut chunk) {
                Ok(0) => self.is_open = false,
                Ok(count) => {
                    let room =
                        usize::try_from(self.most).unwrap_or(usize::MAX).saturating_sub(self.kept.len());
                    self.kept.extend_from_slice(&chunk[..count.min(room)]);
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => self.is_open = false,
            }
            return;
        }
    }

    /// What the system calls the pipe, at both of its ends.
    fn name(&self) -> Option<PathBuf> {
        std::fs::read_link(format!("/proc/self/fd/{}", self.from.as_raw_fd())).ok()
    }
}

/// Ends what a command has left: its group, and whoever else holds its output. What has let go of
/// it, such as the agent of a key store, was meant to stay.
fn end_rest(child: &Child, said: &Said) {
    // Gone already is as good.
    let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
    let names: Vec<PathBuf> = [&said.value, &said.complaint].into_iter().filter_map(Pipe::name).collect();
    let others = process::all().filter(|pid| *pid != std::process::id());
    for pid in others.filter_map(|pid| Pid::from_raw(pid.cast_signed())) {
        let held = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let mut held = held.filter_map(|entry| std::fs::read_link(entry.path()).ok());
        if held.any(|name| names.contains(&name)) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// A value that a variable can hold, without the line end behind it.
fn checked(bytes: Vec<u8>) -> Result<String, Failure> {
    let fault = |message: &str| Failure::new(FailureClass::Permanent, message);
    if bytes.len() as u64 > SECRET_BYTES_MAX {
        return Err(fault("it is longer than 64 KiB"));
    }
    let text = String::from_utf8(bytes).map_err(|_| fault("it is not UTF-8"))?;
    let text = text.trim_end_matches(['\n', '\r']);
    if text.is_empty() {
        return Err(fault("it is empty"));
    }
    if text.len() < SECRET_BYTES_MIN {
        return Err(fault("it has less than 8 bytes: it could not be told from ordinary words in a log"));
    }
    if text.contains('\0') {
        return Err(fault("it holds a NUL"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn fetched(line: &str) -> Result<String, String> {
        let most = Duration::from_secs(20);
        from_command(line, most).and_then(checked).map_err(|failure| failure.message)
    }

    #[test]
    fn what_a_command_prints_is_the_secret_without_its_line_end() {
        assert_eq!(fetched("printf 'a b c d e\\n\\n'"), Ok("a b c d e".to_owned()));
        for (line, why) in [
            ("true", "it is empty"),
            ("echo short", "less than 8 bytes"),
            ("printf 'with a \\0 NUL'", "holds a NUL"),
            ("printf '\\377\\376 is no text'", "not UTF-8"),
            ("head -c 100000 /dev/zero | tr '\\0' x", "longer than 64 KiB"),
            ("echo out-of-order >&2; exit 4", "exit status: 4: out-of-order"),
            ("no-such-program-at-all", "127"),
        ] {
            let told = fetched(line).unwrap_err();
            assert!(told.contains(why), "{line}: {told}");
        }
    }

    #[test]
    fn a_command_that_hangs_is_ended_with_its_children() {
        let begun = Instant::now();
        let mark = format!("4{:05}", std::process::id() % 100_000);
        let line = format!("sleep {mark} & sleep {mark}");
        let told = from_command(&line, Duration::from_millis(300)).unwrap_err().message;
        assert!(told.contains("did not end within 300ms"), "{told}");
        assert!(begun.elapsed() < Duration::from_secs(20));
        wait_for_none_of(&mark);
    }

    #[test]
    fn a_command_has_ended_when_it_has_and_what_holds_its_output_is_ended() {
        let mark = format!("5{:05}", std::process::id() % 100_000);
        let begun = Instant::now();
        assert_eq!(
            fetched(&format!("printf secretsecret; setsid sleep {mark} &")),
            Ok("secretsecret".to_owned())
        );
        assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
        wait_for_none_of(&mark);
    }

    /// Waits until no `sleep` for so many seconds lives.
    fn wait_for_none_of(mark: &str) {
        dayshift_testkit::wait_until(Duration::from_secs(20), "its children to end", || {
            let alive = std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
                let words = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
                words.starts_with(b"sleep\0") && words.windows(mark.len()).any(|part| part == mark.as_bytes())
            });
            !alive
        });
    }

    #[test]
    fn only_files_of_our_own_that_nobody_else_can_reach_are_read() {
        let folder = std::env::temp_dir().join(format!("dayshift-secrets-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("key");
        std::fs::write(&file, "a-secret-of-mine\n").unwrap();
        let set = |mode| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        for (mode, fault) in [
            (0o600, None),
            (0o400, None),
            (0o640, Some("0640")),
            (0o604, Some("0604")),
            (0o700, Some("0700")),
        ] {
            set(mode);
            let told = fault_of_file(&file);
            assert_eq!(
                told.as_deref().is_some_and(|told| told.contains(fault.unwrap_or("?"))),
                fault.is_some(),
                "{told:?}"
            );
        }
        set(0o600);
        assert_eq!(from_file(&file).and_then(checked).unwrap(), "a-secret-of-mine");
        assert!(fault_of_file(&folder).unwrap().contains("is no file"));
        assert!(fault_of_file(&folder.join("none")).unwrap().contains("cannot be read"));
        // Only root can give a file away.
        if std::os::unix::fs::chown(&file, Some(65_534), None).is_ok() {
            assert!(fault_of_file(&file).unwrap().contains("belongs to user 65534"));
        }
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_value_is_fetched_once_for_all_who_ask_soon_after() {
        let folder = std::env::temp_dir().join(format!("dayshift-asked-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let line = format!("echo x >> {0}/asked; echo 0123456789", folder.display());
        let sources = [("A_TOKEN".to_owned(), SecretSource::Command(line))].into();
        let secrets = Secrets::new(sources, None, &[]);
        let names = secrets.among(["HOME", "A_TOKEN", "A_TOKEN"].into_iter());
        assert_eq!(names, ["A_TOKEN"]);
        assert_eq!(secrets.known(&names), None);
        for _ in 0..3 {
            let (sender, receiver) = channel();
            secrets.ask(names.clone(), Box::new(move |values| drop(sender.send(values))));
            let values = receiver.recv_timeout(Duration::from_secs(20)).unwrap().unwrap();
            assert_eq!(values["A_TOKEN"], "0123456789");
        }
        assert!(secrets.known(&names).is_some());
        assert_eq!(std::fs::read_to_string(folder.join("asked")).unwrap(), "x\n");
        assert!(!format!("{secrets:?}").contains("0123456789"), "a secret can be printed by mistake");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
