//! What the program answers when it is asked for what is not there, is no such thing, or is said in another way.

use std::fs;

use crate::common::Site;

/// Each command line exits with `code` and says `words`, in its output or with its error.
fn check(site: &Site, table: &[(&str, i32, &str)]) {
    for (line, code, words) in table {
        let ran = site.run(line.split_whitespace());
        assert_eq!(ran.code, *code, "{line}: {ran:?}");
        assert!(ran.out.contains(words) || ran.err.contains(words), "{line}: `{words}` in {ran:?}");
    }
}

#[test]
fn what_is_not_there_is_named() {
    let site = Site::new();
    site.repo.write("docs/page.md", "# Page\n");
    check(
        &site,
        &[
            ("status", 2, "nothing has been run yet"),
            ("status --state nowhere", 2, "nothing has been run yet"),
            ("status --repo nowhere", 2, "there is no folder"),
            ("status --repo README.md", 2, "is not a folder"),
            ("run", 2, "no file was named"),
            ("check nowhere.yaml", 2, "failed to read nowhere.yaml"),
            ("check docs", 2, "docs is a folder"),
            ("run --budget=-1 docs/page.md", 2, "--budget -1 is no amount of dollars"),
        ],
    );
}

#[test]
fn files_that_cannot_be_day_files_are_refused_before_they_are_read_whole() {
    let site = Site::new();
    let write = |name: &str, bytes: &[u8]| fs::write(site.path().join(name), bytes).unwrap();
    write("bytes.yaml", b"tasks:\n  - id: a\n    goal: caf\xe9\n");
    write("large.yaml", &vec![b'#'; 8 * 1024 * 1024 + 1]);
    write(
        "scene.yaml",
        b"agents:\n  crew:\n    kind: scripted\n    scenario: |\n      steps:\n        - dance: now\ntasks:\n  - {id: a, goal: x, agent: crew}\n",
    );
    write("dayshift.toml", b"max_concurrent_agents = many\n");
    check(&site, &[("check bytes.yaml", 2, "dayshift.toml:1:")]);
    fs::remove_file(site.path().join("dayshift.toml")).unwrap();
    check(
        &site,
        &[
            ("check bytes.yaml", 2, "bytes.yaml:3:14: not UTF-8"),
            ("check large.yaml", 2, "large.yaml is larger than"),
            ("check scene.yaml", 2, "the scenario of agent `crew`, line 2 column"),
        ],
    );
}

#[test]
fn what_is_there_is_found_by_every_name_it_has() {
    let site = Site::new();
    let day = "date: 2026-11-20\ntasks:\n  - {id: first, name: First, run: 'echo hello'}\n  \
               - {id: never, name: Never, run: 'true', needs: [{task: first, when: failure}]}\n";
    site.repo.write("day.yaml", day);
    site.repo.commit("A day");
    let ran = site.run(["run", "day.yaml", "--budget", "3"]);
    assert_eq!(ran.code, 1, "one was skipped: {ran:?}");
    let state = site.state().display().to_string();
    check(
        &site,
        &[
            ("task T1", 0, "Goal: First"),
            ("task first", 0, "Goal: First"),
            ("task first --json", 0, "\"api_calls\""),
            ("task nobody", 2, "there is no task `nobody`"),
            ("logs A1", 0, "hello"),
            ("logs first", 0, "hello"),
            ("logs A99", 2, "there is no attempt A99"),
            ("logs never", 2, "has not been begun"),
            ("report", 0, "reports/"),
            ("report R1 --json", 0, "\"report\""),
            ("report day.yaml", 0, "reports/"),
            ("report R9", 2, "there is no run `R9`"),
            ("status --watch", 0, "first"),
            ("summary --json", 0, "{"),
            ("active", 0, ""),
            ("list-tasks --state skipped", 0, "[failed] never: Never (skipped)"),
            ("list-tasks --state sleeping", 2, "is neither a state, nor an outcome, nor a state directory"),
            (&format!("list-tasks --state {state}"), 0, "first"),
        ],
    );
    for word in ["done", "failed"] {
        let listed = site.run(["list-tasks", "--state", word]);
        assert_eq!(listed.code, 0, "{listed:?}");
    }
    site.wait_for_worker_to_leave();
}
