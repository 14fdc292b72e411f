//! `templates`, and runs that name one.

use std::fs;

use crate::common::Site;

const MINE: &str = "name: mine\nversion: 3\nabout: My way\nstages:\n  - name: dev\n    jobs: [{name: dev, role: implementer, prompt_file: dev.md}]\n";

#[test]
fn templates_are_listed_shown_and_printed() {
    let site = Site::new();
    site.repo.write("dayshift/templates/mine.yaml", MINE);
    site.repo.write("dayshift/templates/dev.md", "Do {{ task.name }}.\n");
    let listed = site.run(["templates"]);
    assert_eq!(listed.code, 0, "{listed:?}");
    assert!(listed.out.contains("mine (version 3, of the repository): My way [dev]"), "{listed:?}");
    assert!(listed.out.contains("reviewed (version 1, built in)"), "{listed:?}");
    let shown = site.run(["templates", "reviewed"]);
    assert!(shown.out.contains("steps, once for each item of plan/task_plan.json"), "{shown:?}");
    assert!(shown.out.contains("code_review: code_reviewer, back to implement at most 3 times"), "{shown:?}");
    let printed = site.run(["templates", "mine", "--yaml"]);
    assert_eq!(printed.out.trim_end(), MINE.trim_end());
    let json = site.json(["templates", "mine", "--json"]);
    assert_eq!((json["origin"].as_str(), json["version"].as_u64()), (Some("repository"), Some(3)));
    let unknown = site.run(["templates", "mien"]);
    assert_eq!(unknown.code, 2, "{unknown:?}");
    let schema = site.json(["schema", "--template"]);
    assert_eq!(schema["$ref"], "#/$defs/template");

    // What is printed of a built-in one is a template again.
    let text = site.run(["templates", "full", "--yaml"]).out;
    site.repo.write("dayshift/templates/full.yaml", text);
    assert_eq!(site.json(["templates", "full", "--json"])["origin"], "repository");
}

#[test]
fn mistakes_in_templates_are_told_with_their_places_before_anything_starts() {
    let site = Site::new();
    site.repo.write("dayshift/templates/mine.yaml", MINE);
    site.repo.write("dayshift/templates/dev.md", "Do\n{{ task.nmae }}.\n");
    let listed = site.run(["templates"]);
    assert_eq!(listed.code, 2, "{listed:?}");
    assert!(listed.err.contains("dayshift/templates/dev.md:2:9"), "{listed:?}");
    assert!(listed.err.contains("unknown variable `task.nmae`"), "{listed:?}");
    let day = site.home.path().join("day.yaml");
    fs::write(&day, "tasks: [{id: a, name: A, agent: scripted}]\n").unwrap();
    let day = day.display().to_string();
    let repo = site.path().display().to_string();
    let refused = site.run(["run", &day, "--repo", &repo, "--template", "mine"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.err.contains("dev.md:2:9") && refused.err.contains("nothing was started"), "{refused:?}");
    // Those who do not name it are not stopped by it.
    let dry = site.run(["run", &day, "--repo", &repo, "--template", "plan only", "--dry-run"]);
    assert_eq!(dry.code, 0, "{dry:?}");
    assert!(dry.out.contains("template plan only"), "{dry:?}");
}

#[test]
fn a_link_leads_no_foreign_text_into_a_prompt() {
    let site = Site::new();
    let secret = site.home.path().join("secret.txt");
    fs::write(&secret, "my own words\n").unwrap();
    site.repo.write("dayshift/templates/mine.yaml", MINE);
    std::os::unix::fs::symlink(&secret, site.path().join("dayshift/templates/dev.md")).unwrap();
    let listed = site.run(["templates"]);
    assert_eq!(listed.code, 2, "{listed:?}");
    assert!(listed.err.contains("the prompt `dev.md` cannot be read"), "{listed:?}");
}
