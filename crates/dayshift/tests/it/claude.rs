//! The real Claude Code CLI against a scripted model server on loopback.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use dayshift_testkit::{Call, ModelServer, Prices, Scenario, Turn, Usage, claude_cli_or_skip, wait_until};

use rustix::process::Signal;

use crate::common::{LONG, Ran, Site, signal};

/// Puts `claude` on a PATH of its own and points it to the server.
pub(crate) fn with_claude(
    site: &Site,
    cli: &Path,
    server: &ModelServer,
    words: &[&str],
) -> std::process::Command {
    let bin = site.home.path().join("bin");
    fs::create_dir_all(&bin).unwrap();
    let link = bin.join("claude");
    if !link.exists() {
        symlink(cli, &link).unwrap();
    }
    let mut command = site.command(words);
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    command.env("PATH", path);
    command.env("ANTHROPIC_API_KEY", "dummy-key").env("ANTHROPIC_BASE_URL", server.url());
    command
}

fn day(site: &Site, marker: &str, more: &str) -> String {
    let text = format!(
        "date: 2026-11-20\nmax_cost_usd: 20\ntasks:\n  - id: hello\n    name: Say hello\n    agent: claude\n    \
         estimated_complexity: low\n    description: |\n      {marker}\n      Write hello.txt and check it.\n{more}"
    );
    // Beside the repository, so that the checkout stays as it is.
    let file = site.home.path().join("day.yaml");
    fs::write(&file, text).unwrap();
    file.display().to_string()
}

fn usage(output: u64) -> Usage {
    Usage { input: 1_500, output, cache_read: 8_000, cache_write: 500 }
}

#[test]
fn claude_writes_a_file_and_runs_a_command_in_its_worktree_and_the_checkout_stays_as_it_was() {
    let Some(cli) = claude_cli_or_skip("claude writes a file") else { return };
    let site = Site::new();
    site.repo.write("untracked.txt", "mine\n");
    site.repo.write("README.md", "# Sample, edited and not committed\n");
    let scenario = Scenario::new(
        "hello",
        vec![
            Turn::say_and_call("I write the file.", [Call::write("hello.txt", "hello world\n")])
                .reporting(usage(40)),
            Turn::tools([Call::bash("cat hello.txt && echo ran-ok > ran.txt")]).reporting(usage(30)),
            Turn::say("Done: hello.txt is written and checked.").reporting(usage(20)),
        ],
    );
    let marker = scenario.marker("one");
    let server = ModelServer::start([scenario]).unwrap();
    let day = day(&site, &marker, "    deliverables: [hello.txt, ran.txt]\n");
    // The folder of the state is made first: it is excepted.
    let before = site.repo.fingerprint();
    let repo = site.path().display().to_string();
    let words = ["run", &day, "--repo", &repo];
    let ran = Ran::of(&with_claude(&site, &cli, &server, &words).output().unwrap());
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(before.differences(&site.repo.fingerprint()), Vec::<String>::new());
    let show = |what: &str| site.repo.git(&["show", what]);
    assert_eq!(show("dayshift/R1/hello:hello.txt").trim_end(), "hello world");
    assert_eq!(show("dayshift/R1/hello:ran.txt").trim_end(), "ran-ok");
    let task = site.json(["task", "hello", "--json"]);
    let used = server.usage_of("hello", "one");
    assert_eq!(used, usage(40) + usage(30) + usage(20));
    let status = site.tasks();
    let cost = status[0]["cost_usd"].as_f64().unwrap();
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let expected = used.cost_nanos(Prices::CLAUDE_DEFAULT) as f64 / 1e9;
    assert!((cost - expected).abs() < 1e-6, "{cost} is not {expected}: {task}");
    let file: serde_json::Value =
        serde_json::from_slice(&fs::read(site.state().join("status/hello.json")).unwrap()).unwrap();
    assert_eq!(file["tokens_used"]["output"], used.output);
    let version = site.report();
    assert!(version.contains("2.1.197"), "the agent's version is not in the report: {version}");
    site.wait_for_worker_to_leave();
}

#[test]
fn an_interrupted_claude_session_is_resumed() {
    let Some(cli) = claude_cli_or_skip("claude is resumed") else { return };
    let site = Site::new();
    let scenario = Scenario::new(
        "long",
        vec![
            Turn::say_and_call("First.", [Call::write("first.txt", "1\n")]).reporting(usage(10)),
            Turn::say_and_call(
                "Now it takes a while.",
                [Call::bash("touch waiting; test -e go || sleep 300; echo 2 > second.txt")],
            )
            .reporting(usage(10)),
            Turn::say("Done.").reporting(usage(10)),
        ],
    );
    let marker = scenario.marker("one");
    let server = ModelServer::start([scenario]).unwrap();
    let day = day(&site, &marker, "    deliverables: [first.txt, second.txt]\n");
    let repo = site.path().display().to_string();
    let mut engine = with_claude(&site, &cli, &server, &["run", &day, "--repo", &repo]).spawn().unwrap();
    let session = || site.json(["task", "hello", "--json"]).to_string();
    let workspaces = site.home.path().join("state");
    wait_until(LONG, "the command to run", || found(&workspaces, "waiting").is_some());
    wait_until(LONG, "the session to be known", || session().contains("session"));
    // The worker dies with the engine: everything of the attempt is gone, its session is not.
    let worker = site.worker().expect("a worker lives");
    assert!(!site.agents().is_empty(), "nobody is at work");
    engine.kill().unwrap();
    engine.wait().unwrap();
    signal(worker, Signal::KILL);
    let folder = found(&workspaces, "waiting").unwrap();
    fs::write(folder.join("go"), "").unwrap();
    let ran = Ran::of(&with_claude(&site, &cli, &server, &["resume", "--repo", &repo]).output().unwrap());
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(site.agents(), [0; 0], "processes are left");
    let task = site.json(["task", "hello", "--json"]);
    assert_eq!(site.repo.git(&["show", "dayshift/R1/hello:second.txt"]).trim_end(), "2", "{task}");
    let resumed = server.requests().iter().any(|request| request.body.contains("interrupted"));
    assert!(resumed, "the model was not told that it had been interrupted");
    assert_eq!(task["jobs"][0]["attempts"].as_array().map_or(0, Vec::len), 2, "{task}");
}

/// The folder under `root` that holds `name`.
fn found(root: &Path, name: &str) -> Option<std::path::PathBuf> {
    for entry in fs::read_dir(root).ok()?.flatten() {
        let path = entry.path();
        if path.is_dir() && !path.is_symlink() {
            if path.join(name).exists() {
                return Some(path);
            }
            if let Some(folder) = found(&path, name) {
                return Some(folder);
            }
        }
    }
    None
}
