//! `config show`: every value and where it comes from.

use std::fs;

use serde_json::Value;

use crate::common::Site;

/// The setting of that name as `[value, origin, place]`.
fn setting(shown: &Value, name: &str) -> [String; 3] {
    let all = shown["settings"].as_array().unwrap();
    let row = all.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("no {name} in {shown}"));
    ["value", "origin", "place"].map(|key| row[key].as_str().unwrap_or_default().to_owned())
}

#[test]
fn every_value_is_shown_with_its_source_and_no_secret() {
    let site = Site::new();
    let folder = site.home.path().join(".config/dayshift");
    fs::create_dir_all(&folder).unwrap();
    let user = "max_daily_cost_usd = 20\nagent = \"scripted\"\n[secrets]\nDEPLOY_TOKEN_cmd = \"echo hunter2\"\n[telegram]\nbot_token = \"hunter2\"\n";
    fs::write(folder.join("config.toml"), user).unwrap();
    site.repo.write("dayshift.toml", "max_daily_cost_usd = 10\n");
    let repo = site.path().display().to_string();
    let mut command = site.command(["config", "show", "--json", "--repo", &repo]);
    command.env("DAYSHIFT_MAX_CONCURRENT_AGENTS", "7");
    let output = command.output().unwrap();
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    let check = |name: &str, value: &str, origin: &str, place_end: &str| {
        let [found, from, place] = setting(&shown, name);
        assert_eq!((found.as_str(), from.as_str()), (value, origin), "{name}");
        assert!(place.ends_with(place_end), "{name}: {place}");
    };
    check("max_daily_cost_usd", "10.00", "repository_file", "dayshift.toml:1");
    check("agent", "scripted", "user_file", "config.toml:2");
    check("max_concurrent_agents", "7", "environment", "DAYSHIFT_MAX_CONCURRENT_AGENTS");
    check("cost_warning_threshold", "0.75", "built_in", "");
    check("repo", &repo, "flag", "--repo");
    check("secrets.DEPLOY_TOKEN", "(set)", "user_file", "config.toml:4");
    check("telegram.bot_token", "(set)", "user_file", "config.toml:6");

    for words in [["config", "--origin"].as_slice(), &["config", "show", "--origin"]] {
        let ran = site.run(words);
        assert_eq!(ran.code, 0, "{ran:?}");
        let line = ran.out.lines().find(|line| line.starts_with("max_daily_cost_usd")).unwrap();
        assert!(line.contains("= 10.00") && line.contains("(repository file "), "{line}");
        assert!(!ran.out.contains("hunter2") && !ran.err.contains("hunter2"), "{ran:?}");
    }
    assert!(!site.run(["config"]).out.contains("repository file /"), "origins are shown unasked");
}

/// Settings that are there and cannot be read are no settings that are not there: limits are in them.
#[test]
fn settings_that_cannot_be_read_are_told_and_nothing_is_started() {
    let file = "tasks:\n  - {id: a, name: A, run: 'true', workspace: scratch}\n";
    let check = |site: &Site, place: &str| {
        site.repo.write("day.yaml", file);
        for words in [["config", "show"].as_slice(), &["check", "day.yaml"], &["run", "day.yaml"]] {
            let ran = site.run(words.iter().copied());
            assert!(ran.code == 2 && ran.err.contains(place), "{words:?}: {ran:?}");
        }
        assert!(!site.state().exists(), "something was started");
    };
    let site = Site::new();
    let user = site.home.path().join(".config/dayshift");
    fs::create_dir_all(&user).unwrap();
    // A loop is one that root cannot enter either.
    std::os::unix::fs::symlink("config.toml", user.join("config.toml")).unwrap();
    check(&site, "config.toml: ");
    fs::remove_dir_all(&user).unwrap();
    std::os::unix::fs::symlink("dayshift", &user).unwrap();
    check(&site, "config.toml: ");
    fs::remove_file(&user).unwrap();
    let shown = site.run(["config", "show"]);
    assert!(shown.code == 0 && shown.out.contains("config.toml (not there)"), "{shown:?}");

    let site = Site::new();
    let own = site.path().join("dayshift.toml");
    fs::create_dir(&own).unwrap();
    check(&site, "dayshift.toml is a folder");
    fs::remove_dir(&own).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, &own, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    check(&site, "dayshift.toml is no regular file");
    fs::remove_file(&own).unwrap();
    std::os::unix::fs::symlink("dayshift.toml", &own).unwrap();
    check(&site, "dayshift.toml: ");
}

/// With few descriptors anything would fail anywhere; the reason is told at the start.
#[test]
fn few_open_files_are_told_at_the_start() {
    let site = Site::new();
    for most in [12, 30] {
        let bin = site.command([""; 0]).get_program().to_owned();
        let line = format!("ulimit -n {most}; exec {} status", bin.to_str().unwrap());
        let ran =
            std::process::Command::new("sh").args(["-c", &line]).current_dir(site.path()).output().unwrap();
        let told = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.code() == Some(2) && told.contains("raise it: `ulimit -n 1024`"), "{ran:?}");
    }
}
