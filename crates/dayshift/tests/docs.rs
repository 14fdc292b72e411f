//! The commands in `docs/` do what the pages say.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use std::fs;
use std::path::Path;
use std::process::Command;

/// The day of the quick start, word for word as its page shows it.
fn day_of_the_page(page: &str) -> &str {
    let (_, rest) = page.split_once("```yaml\n").unwrap();
    rest.split_once("```").unwrap().0
}

/// The sample repository that every page begins with.
fn sample(folder: &Path, day: &str) {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("list.txt"), "one\ntwo\n").unwrap();
    fs::write(
        folder.join("helper.sh"),
        "#!/bin/sh\ncat > /dev/null\necho three >> list.txt\necho added a line\n",
    )
    .unwrap();
    fs::write(folder.join("day.yaml"), day).unwrap();
    fs::write(folder.join("broken.yaml"), "taks: []\n").unwrap();
    if folder.ends_with("configuration.in") {
        fs::write(folder.join("dayshift.toml"), "max_concurrent_agents = 2\n").unwrap();
    }
    for words in [
        &["init", "-q", "-b", "main"][..],
        &["add", "-A"],
        &["update-index", "--chmod=+x", "helper.sh"],
        &["-c", "user.name=sample", "-c", "user.email=sample@localhost", "commit", "-qm", "A list"],
        &["checkout", "-q", "--", "."],
    ] {
        assert!(Command::new("git").args(words).current_dir(folder).status().unwrap().success(), "{words:?}");
    }
    fs::remove_file(folder.join("helper.sh")).unwrap();
    assert!(
        Command::new("git")
            .args(["checkout", "-q", "--", "helper.sh"])
            .current_dir(folder)
            .status()
            .unwrap()
            .success()
    );
}

#[test]
fn every_page_is_true() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let place = tempfile::tempdir().unwrap();
    let day = day_of_the_page(&fs::read_to_string(docs.join("quick-start.md")).unwrap()).to_owned();
    let pages = ["quick-start", "configuration", "troubleshooting", "best-practices", "recovery", "upgrade"];
    for page in pages {
        fs::copy(docs.join(format!("{page}.md")), place.path().join(format!("{page}.md"))).unwrap();
        let folder = place.path().join(format!("{page}.in"));
        sample(&folder, &day);
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
