//! Engines and workers of different builds, and files of the binary that are replaced in mid-run.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use dayshift_core::ids::AttemptId;
use dayshift_core::time::Millis;
use dayshift_testkit::wait_until;
use dayshift_worker::client::{Client, list_live};
use dayshift_worker::protocol::{Launch, PROTOCOL_VERSION, Program, Stdin, ToWorker};
use dayshift_worker::server::{Hooks, Options, Redactor, run};
use rustix::process::Signal;
use sha2::{Digest, Sha256};

use crate::common::{LONG, Ran, Site, binary, signal};

const VERSION: &str = "DAYSHIFT_TEST_WORKER_VERSION";
const STATE: &str = "DAYSHIFT_TEST_WORKER_STATE";
const SOCKET: &str = "DAYSHIFT_TEST_WORKER_SOCKET";

/// Not a test: the worker of another build.
#[test]
fn worker_of_another_build() {
    let Ok(version) = std::env::var(VERSION) else { return };
    let variable = |name: &str| PathBuf::from(std::env::var_os(name).unwrap());
    let mut options = Options::new(variable(STATE), vec![variable(SOCKET)]);
    options.protocol = version.parse().unwrap();
    let redactor = |_: &Launch| -> Redactor { Box::new(|_: &mut Vec<u8>| ()) };
    run(options, Hooks { redactor: Box::new(redactor) }).unwrap();
}

/// Where the worker of a site listens.
fn socket(site: &Site) -> PathBuf {
    fs::create_dir_all(site.state()).unwrap();
    // As an older build leaves it: then its sockets are named after its path.
    fs::write(site.state().join("engine.lock"), "").unwrap();
    let digest = Sha256::digest(site.state().canonicalize().unwrap().as_os_str().as_encoded_bytes());
    let mut hash = String::new();
    for byte in digest.iter().take(8) {
        write!(hash, "{byte:02x}").unwrap();
    }
    site.home.path().join("run/dayshift").join(hash).join("worker.sock")
}

fn worker_of(site: &Site, version: u32) -> Child {
    let socket = socket(site);
    let worker = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "versions::worker_of_another_build", "--nocapture"])
        .env(VERSION, version.to_string())
        .env(STATE, site.state())
        .env(SOCKET, &socket)
        .env("HOME", site.home.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_until(LONG, "the worker to listen", || list_live(&socket, Millis::seconds(1)).is_ok());
    worker
}

/// A day of one command that ends when `flag` is there, and the words that run it.
fn waiting(site: &Site, flag: &Path) -> Vec<String> {
    let ran = site.home.path().join("ran");
    let command =
        format!("echo x >> {}; while ! test -e {}; do sleep 0.02; done", ran.display(), flag.display());
    let file = site.home.path().join("day.yaml");
    let text =
        format!("date: 2026-11-20\ntasks:\n  - {{id: a, name: A, run: '{command}', workspace: scratch}}\n");
    fs::write(&file, text).unwrap();
    ["run".to_owned(), file.display().to_string(), "--repo".to_owned(), site.path().display().to_string()]
        .into()
}

fn times_run(site: &Site) -> usize {
    fs::read_to_string(site.home.path().join("ran")).unwrap_or_default().lines().count()
}

#[test]
fn a_worker_of_a_neighbouring_version_is_worked_with() {
    for version in [PROTOCOL_VERSION - 1, PROTOCOL_VERSION + 1] {
        let site = Site::new();
        let mut worker = worker_of(&site, version);
        let flag = site.home.path().join("flag");
        fs::write(&flag, "").unwrap();
        let ran = site.run(waiting(&site, &flag));
        assert_eq!(ran.code, 0, "{version}: {ran:?}");
        assert_eq!(worker.try_wait().unwrap(), None, "{version}: it was not the one that did the work");
        assert_eq!(site.worker(), None, "{version}: another one was started");
        worker.kill().unwrap();
        worker.wait().unwrap();
    }
}

#[test]
fn a_worker_of_a_distant_version_ends_its_agents_work_and_the_engine_waits_and_says_so_once() {
    let site = Site::new();
    let mut worker = worker_of(&site, PROTOCOL_VERSION + 2);
    let (old, flag) = (site.home.path().join("old"), site.home.path().join("flag"));
    fs::write(&flag, "").unwrap();
    let theirs = Client::engage(&socket(&site), PROTOCOL_VERSION + 2, Millis::seconds(5), |_| (), || ());
    let (theirs, _) = theirs.unwrap();
    theirs.send(&ToWorker::Start(Box::new(until(&site, &old)))).unwrap();
    wait_until(LONG, "its agent to run", || !site.agents().is_empty());
    // A journal that knows nothing of a noted attempt has lost its end, and is refused for that.
    fs::write(site.state().join("worker/records"), "").unwrap();
    drop(theirs);

    let engine = site.start(waiting(&site, &flag));
    wait_until(LONG, "the engine to have asked twice", || {
        let log = fs::read_to_string(site.state().join("logs/dayshift.log")).unwrap_or_default();
        log.matches("another dayshift").count() >= 3
    });
    assert_eq!(times_run(&site), 0, "something was started beside the old worker's agents");
    assert!(worker.try_wait().unwrap().is_none(), "the old worker left its agent alone");
    fs::write(&old, "").unwrap();
    let ran = Ran::of(&engine.wait_with_output().unwrap());
    assert_eq!((ran.code, times_run(&site)), (0, 1), "{ran:?}");
    assert!(worker.wait().unwrap().success());
    let told = ran.out.matches("the worker of another dayshift is still there").count();
    assert_eq!(told, 1, "{ran:?}");
    site.wait_for_worker_to_leave();
}

/// An attempt that no journal knows, which ends when `flag` is there.
fn until(site: &Site, flag: &Path) -> Launch {
    let text = |path: &Path| path.display().to_string();
    Launch {
        attempt: AttemptId(900),
        program: Program::Shell(format!("while ! test -e {}; do sleep 0.02; done", flag.display())),
        cwd: text(site.path()),
        make_cwd: false,
        cwd_private: false,
        env: vec![
            ("PATH".to_owned(), "/usr/bin:/bin".to_owned()),
            ("HOME".to_owned(), text(site.home.path())),
        ],
        stdin: Stdin::Null,
        folder: text(&site.state().join("attempts/A900")),
        stream: false,
        log_bytes_max: 1 << 20,
        line_bytes_max: 1 << 10,
        hash_output: false,
        mark: "of-another-build-A900".to_owned(),
        secrets: Vec::new(),
        hidden: Vec::new(),
        refused: None,
    }
}

/// What happens to the file of the running binary.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Replaced,
    Removed,
}

/// A run from a file of its own, which meets its fate while the command runs.
fn begun_with(site: &Site, fate: Fate, flag: &Path) -> (Child, PathBuf) {
    let file = site.home.path().join("dayshift");
    fs::hard_link(binary(), &file).or_else(|_| fs::copy(binary(), &file).map(drop)).unwrap();
    let mut command = site.command_of(&file, waiting(site, flag));
    let engine = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until(LONG, "the command to run", || times_run(site) == 1);
    match fate {
        Fate::Replaced => {
            let next = site.home.path().join("next");
            fs::copy(binary(), &next).unwrap();
            fs::rename(next, &file).unwrap();
        }
        Fate::Removed => fs::remove_file(&file).unwrap(),
    }
    (engine, file)
}

#[test]
fn a_run_goes_on_when_the_file_of_its_binary_is_replaced_or_removed() {
    for fate in [Fate::Replaced, Fate::Removed] {
        let site = Site::new();
        let flag = site.home.path().join("flag");
        let (mut engine, file) = begun_with(&site, fate, &flag);
        // The next worker has to be started from the file that is not there any more.
        signal(site.worker().unwrap(), Signal::KILL);
        wait_until(LONG, "the command to run again", || times_run(&site) == 2);
        let exe = fs::read_link(format!("/proc/{}/exe", site.worker().unwrap())).unwrap();
        assert_eq!(exe.to_str().unwrap(), format!("{} (deleted)", file.display()), "{fate:?}: another build");
        fs::write(&flag, "").unwrap();
        assert_eq!(engine.wait().unwrap().code(), Some(0), "{fate:?}");
        site.wait_for_worker_to_leave();
    }
}

#[test]
fn the_next_binary_takes_over_the_worker_of_the_one_before() {
    let site = Site::new();
    let flag = site.home.path().join("flag");
    let (mut engine, file) = begun_with(&site, Fate::Replaced, &flag);
    let worker = site.worker();
    engine.kill().unwrap();
    engine.wait().unwrap();
    let words = ["resume", "--repo", site.path().to_str().unwrap()];
    let mut command = site.command_of(&file, words);
    let resumed = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until(LONG, "it to take over", || {
        fs::read_to_string(site.state().join("logs/dayshift.log"))
            .unwrap_or_default()
            .contains("taken over: A1")
    });
    fs::write(&flag, "").unwrap();
    let ran = Ran::of(&resumed.wait_with_output().unwrap());
    assert_eq!((ran.code, times_run(&site), site.worker()), (0, 1, worker), "{ran:?}");
    assert!(ran.out.contains("still at work, and taken over: A1"), "{ran:?}");
    site.wait_for_worker_to_leave();
}
