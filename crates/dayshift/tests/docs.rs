//! The commands in `docs/` do what the pages say.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use std::fs;
use std::path::Path;
use std::process::Command;

/// The first block of that language on the page, word for word.
fn block<'a>(page: &'a str, language: &str) -> &'a str {
    let (_, rest) = page.split_once(&format!("```{language}\n")).unwrap();
    rest.split_once("```").unwrap().0
}

/// The sample repository that every page begins with, made as the quick start has its readers make it.
fn sample(folder: &Path, quick_start: &str) {
    let place = folder.parent().unwrap();
    let made = Command::new("sh")
        .args(["-e", "-c", block(quick_start, "sh")])
        .current_dir(place)
        .env("HOME", place)
        .envs([("GIT_AUTHOR_NAME", "sample"), ("GIT_AUTHOR_EMAIL", "sample@localhost")])
        .envs([("GIT_COMMITTER_NAME", "sample"), ("GIT_COMMITTER_EMAIL", "sample@localhost")])
        .status();
    assert!(made.unwrap().success());
    fs::rename(place.join("sample"), folder).unwrap();
    fs::write(folder.join("day.yaml"), block(quick_start, "yaml")).unwrap();
    fs::write(folder.join("broken.yaml"), "taks: []\n").unwrap();
    if folder.ends_with("configuration.in") {
        fs::write(folder.join("dayshift.toml"), "max_concurrent_agents = 2\n").unwrap();
    }
}

#[test]
fn every_page_is_true() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let place = tempfile::tempdir().unwrap();
    let quick_start = fs::read_to_string(docs.join("quick-start.md")).unwrap();
    let pages = [
        "quick-start",
        "configuration",
        "troubleshooting",
        "best-practices",
        "recovery",
        "upgrade",
        "scripted-agent",
    ];
    for page in pages {
        fs::copy(docs.join(format!("{page}.md")), place.path().join(format!("{page}.md"))).unwrap();
        let folder = place.path().join(format!("{page}.in"));
        sample(&folder, &quick_start);
        if page == "scripted-agent" {
            let text = fs::read_to_string(docs.join("scripted-agent.md")).unwrap();
            fs::write(folder.join("day.yaml"), block(&text, "yaml")).unwrap();
        }
        // The later pages speak of a day that is over.
        if ["troubleshooting", "recovery", "upgrade"].contains(&page) {
            let mut run = Command::new(env!("CARGO_BIN_EXE_dayshift"));
            run.args(["run", "day.yaml", "--json"]).current_dir(&folder).env("HOME", place.path());
            run.env("XDG_STATE_HOME", place.path().join("state"))
                .env("XDG_RUNTIME_DIR", place.path().join("run"));
            let output = run.output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }
    let home = place.path().display().to_string();
    trycmd::TestCases::new()
        .env("HOME", &home)
        .env("XDG_STATE_HOME", format!("{home}/state"))
        .env("XDG_RUNTIME_DIR", format!("{home}/run"))
        .env("TZ", "UTC")
        .case(format!("{home}/*.md"))
        .run();
}
