//! Secrets: refused where they must not be, fetched from where they are, and found nowhere else.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use dayshift_testkit::{processes_with_env, wait_until};

use crate::common::{LONG, Ran, Site, files_below};

const TOKEN: &str = "ghp_0123456789abcdefghijABCDEFGHIJ012345";

#[test]
fn a_secret_in_any_file_is_refused_with_its_place_and_not_shown() {
    let cases = [
        (
            "day.yaml",
            format!(
                "date: 2026-11-20\ntasks:\n  - id: a\n    name: A\n    description: |\n      Use {TOKEN} for it.\n    agent: scripted\n"
            ),
            "day.yaml:6:11",
        ),
        (
            "day.yaml",
            format!("tasks:\n  - {{id: a, name: A, run: \"curl -u x:{TOKEN} y\"}}\n"),
            "day.yaml:2:38",
        ),
        (
            "day.yaml",
            format!("tasks:\n  - {{id: a, name: A, run: \"true\", env: {{T: {TOKEN}}}}}\n"),
            "day.yaml:2:",
        ),
        ("a.md", format!("# Do it\n\nWith {TOKEN}\n"), "a.md:3:6"),
        ("list.yaml", format!("- id: a\n  goal: x\n  constraints: [\"{TOKEN}\"]\n"), "list.yaml:3:18"),
        (
            "bad.yaml",
            format!("tasks:\n  - {{id: a, name: A, run: \"true\", colour: {TOKEN}}}\n"),
            "bad.yaml:2:",
        ),
    ];
    for (name, text, place) in cases {
        let site = Site::new();
        fs::write(site.path().join(name), &text).unwrap();
        for command in ["check", "run"] {
            let ran = site.run([command, name]);
            assert_eq!(ran.code, 2, "{ran:?}");
            assert!(ran.err.contains(place) && ran.err.contains("pass_env"), "{place}: {ran:?}");
            assert!(!ran.err.contains(TOKEN) && !ran.out.contains(TOKEN), "shown: {ran:?}");
        }
        let shown = site.run(["check", name, "--json"]);
        assert!(shown.code == 2 && !shown.out.contains(TOKEN), "{shown:?}");
        assert!(!site.state().exists(), "something was started");
    }
}

#[test]
fn a_secret_in_settings_or_on_the_command_line_is_refused() {
    let site = Site::new();
    site.repo.write("dayshift.toml", format!("# {TOKEN}\nmax_daily_cost_usd = 5\n"));
    site.repo.write("day.yaml", "tasks:\n  - {id: a, name: A, run: \"true\"}\n");
    let ran = site.run(["check", "day.yaml"]);
    assert!(ran.code == 2 && ran.err.contains("dayshift.toml:1:3") && !ran.err.contains(TOKEN), "{ran:?}");
    let ran = site.run(["run", "day.yaml", "--agent", TOKEN]);
    assert!(ran.code == 2 && ran.err.contains("word 4 of the command line"), "{ran:?}");
    assert!(!ran.err.contains(TOKEN), "{ran:?}");
}

/// A site whose user has two secrets: one that a command prints, one in a file.
fn site_with_secrets(file_mode: u32) -> Site {
    let site = Site::new();
    let home = site.home.path();
    fs::create_dir_all(home.join(".config/dayshift")).unwrap();
    fs::create_dir_all(home.join(".secrets")).unwrap();
    let file = home.join(".secrets/deploy");
    fs::write(&file, "from-a-file-1234567\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(file_mode)).unwrap();
    // The halves are joined by the command, so that the file of settings does not hold the secret.
    fs::write(
        home.join(".config/dayshift/config.toml"),
        "[secrets]\nAPI_CREDS_cmd = \"printf 'from-a-%s-7654321' command; echo asked >> $HOME/asked\"\nDEPLOY_TOKEN_file = \"~/.secrets/deploy\"\n",
    )
    .unwrap();
    site
}

/// Every file below `folder` that holds `needle`, in any form in which bytes can hold it.
fn holders(folder: &Path, needle: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            holders(&path, needle, found);
        } else if kind.is_file() {
            let bytes = fs::read(&path).unwrap_or_default();
            if bytes.windows(needle.len()).any(|part| part == needle.as_bytes()) {
                found.push(path);
            }
        }
    }
}

/// Command lines of this machine that hold `needle`.
fn command_lines_with(needle: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let lines = lines.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    lines.filter(|line| line.contains(needle)).collect()
}

#[test]
fn named_secrets_reach_the_process_that_names_them_and_nothing_else() {
    let site = site_with_secrets(0o600);
    let home = site.home.path().display().to_string();
    let script = site.home.path().join("agent.sh");
    // It tells everybody all it knows, and waits in between, so that it can be looked at.
    let text = format!(
        "#!/bin/sh\ncat > /dev/null\necho \"$API_CREDS $DEPLOY_TOKEN\"\necho \"$API_CREDS\" >&2\n\
         printf '%s' \"$API_CREDS,$DEPLOY_TOKEN\" | wc -c > {home}/length\ntouch {home}/ready\n\
         while ! test -e {home}/go; do sleep 0.02; done\necho done > result.txt\n\
         mkdir -p .dayshift-notes\necho \"Left with $API_CREDS\" > .dayshift-notes/summary.md\necho $DEPLOY_TOKEN > .dayshift-notes/notes.md\n\
         echo '{{\"type\":\"result\",\"is_error\":false,\"total_cost_usd\":0.1,\"result\":\"used '$API_CREDS' and '$DEPLOY_TOKEN'\"}}'\n"
    );
    fs::write(&script, text).unwrap();
    let day = format!(
        "date: 2026-11-20\nagents:\n  crew: {{kind: command, run: 'sh {}', pass_env: [API_CREDS]}}\ntasks:\n  \
         - {{id: a, name: A, description: x, agent: crew, pass_env: [DEPLOY_TOKEN]}}\n  \
         - {{id: b, name: B, run: 'test -z \"$API_CREDS$DEPLOY_TOKEN\"'}}\n",
        script.display()
    );
    let file = site.home.path().join("day.yaml");
    fs::write(&file, day).unwrap();
    let repo = site.path().display().to_string();
    let engine = site.start(["run", file.to_str().unwrap(), "--repo", &repo]);
    wait_until(LONG, "the agent to speak", || site.home.path().join("ready").exists());
    let secrets = ["from-a-command-7654321", "from-a-file-1234567"];
    for secret in secrets {
        let shown = command_lines_with(secret);
        assert!(shown.is_empty(), "on a command line: {shown:?}");
        let having = processes_with_env(secret);
        assert!(!having.is_empty(), "no process has it");
        for pid in having {
            // One that has ended meanwhile was a child of the agent's.
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            let environment = String::from_utf8_lossy(&environment);
            assert!(environment.is_empty() || environment.contains("DAYSHIFT_MARK="), "{pid}: {environment}");
        }
    }
    fs::write(site.home.path().join("go"), "").unwrap();
    let ran = Ran::of(&engine.wait_with_output().unwrap());
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!((site.outcome("a"), site.outcome("b")), ("succeeded".to_owned(), "succeeded".to_owned()));
    site.wait_for_worker_to_leave();
    let mut printed = ran.out + &ran.err;
    for words in [["logs", "a"].as_slice(), &["task", "a", "--json"], &["report"], &["config", "--origin"]] {
        let ran = site.run(words);
        printed.push_str(&ran.out);
        printed.push_str(&ran.err);
    }
    for secret in secrets {
        assert!(!printed.contains(secret), "printed: {printed}");
        let mut found = Vec::new();
        for folder in [site.path(), site.home.path()] {
            holders(folder, secret, &mut found);
        }
        found.retain(|path| !path.ends_with(".secrets/deploy"));
        assert!(found.is_empty(), "{secret} lies in {found:?}");
    }
    let length: usize = fs::read_to_string(site.home.path().join("length")).unwrap().trim().parse().unwrap();
    assert_eq!(length, secrets[0].len() + 1 + secrets[1].len(), "the agent had other values");
    assert!(printed.contains("[redacted API_CREDS] [redacted DEPLOY_TOKEN]"), "{printed}");
    let report = site.report();
    assert!(report.contains("Left with "), "the summary is not in the report: {report}");
    assert_eq!(
        fs::read_to_string(site.home.path().join("asked")).unwrap(),
        "asked\n",
        "fetched once, and only when named"
    );
}

/// A variable whose name tells nothing, which the shell around us has set.
#[test]
fn a_named_secret_is_redacted_also_where_the_environment_has_it() {
    let site = site_with_secrets(0o600);
    let settings = site.home.path().join(".config/dayshift/config.toml");
    fs::write(settings, "[secrets]\nHANDLE_cmd = \"printf 'never-%s' asked-for\"\n").unwrap();
    let day = "date: 2026-11-20\nagents:\n  crew: {kind: command, run: 'echo \"I have $HANDLE\"; echo x > x.txt', pass_env: [HANDLE]}\ntasks:\n  \
               - {id: a, name: A, description: x, agent: crew}\n";
    let file = site.home.path().join("day.yaml");
    fs::write(&file, day).unwrap();
    let mut command = site.command(["run", file.to_str().unwrap(), "--repo", site.path().to_str().unwrap()]);
    let ran = Ran::of(&command.env("HANDLE", "plain-words-of-mine").output().unwrap());
    assert_eq!(ran.code, 0, "{ran:?}");
    let logs = site.run(["logs", "a"]).out;
    assert!(logs.contains("I have [redacted HANDLE]"), "{logs}");
    site.wait_for_worker_to_leave();
}

#[test]
fn a_variable_that_is_nowhere_is_told_before_the_work_begins() {
    let site = site_with_secrets(0o600);
    site.repo.write(
        "day.yaml",
        "tasks:\n  - {id: a, name: A, run: 'true', pass_env: [DEPLOY_TOKEN, HOME, NOWHERE_TO_BE_FOUND]}\n",
    );
    let ran = site.run(["check", "day.yaml"]);
    assert!(ran.code == 0 && ran.err.contains("not set here: NOWHERE_TO_BE_FOUND\n"), "{ran:?}");
}

#[test]
fn a_secret_that_others_can_read_starts_nothing_and_says_how_to_repair_it() {
    let site = site_with_secrets(0o640);
    let day = "date: 2026-11-20\ntasks:\n  - {id: a, name: A, run: 'touch ran', workspace: scratch, pass_env: [DEPLOY_TOKEN]}\n";
    let file = site.home.path().join("day.yaml");
    fs::write(&file, day).unwrap();
    let repo = site.path().display().to_string();
    let ran = site.run(["run", file.to_str().unwrap(), "--repo", &repo]);
    assert!(ran.code == 1 || ran.code == 3, "{ran:?}");
    let task = site.run(["task", "a"]);
    assert!(task.out.contains("mode 0640") && task.out.contains("chmod 600"), "{task:?}");
    // Repaired, it goes on.
    let secret = site.home.path().join(".secrets/deploy");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(site.run(["retry", "a"]).code, 0);
    let resumed = site.run(["resume"]);
    assert!(resumed.code == 0 && site.outcome("a") == "succeeded", "{resumed:?}");
    site.wait_for_worker_to_leave();
}

#[test]
fn a_command_that_fails_tells_why_without_the_secret() {
    let site = site_with_secrets(0o600);
    let settings = site.home.path().join(".config/dayshift/config.toml");
    fs::write(settings, "[secrets]\nAPI_CREDS_cmd = \"printf 'half-of-%s' a-secret; printf 'locked: half-of-%s' a-secret >&2; exit 3\"\n").unwrap();
    let day = "date: 2026-11-20\ntasks:\n  - {id: a, name: A, run: 'touch ran', workspace: scratch, max_attempts: 1, pass_env: [API_CREDS]}\n";
    let file = site.home.path().join("day.yaml");
    fs::write(&file, day).unwrap();
    let repo = site.path().display().to_string();
    assert_ne!(site.run(["run", file.to_str().unwrap(), "--repo", &repo]).code, 0);
    let task = site.run(["task", "a"]).out;
    assert!(task.contains("locked: [redacted secret]") && task.contains("API_CREDS"), "{task}");
    assert!(!task.contains("half-of-a-secret"), "{task}");
    site.wait_for_worker_to_leave();
}

/// What dayshift itself says of a secret that is not to be had is no secret.
#[test]
fn why_an_agent_could_not_have_its_secret_is_not_withheld() {
    for (mode, setting, why) in [
        (0o600, "DEPLOY_TOKEN_cmd = \"exit 3\"", "its command ended with exit status: 3"),
        (0o644, "DEPLOY_TOKEN_file = \"~/.secrets/deploy\"", "chmod 600"),
    ] {
        let site = site_with_secrets(mode);
        fs::write(site.home.path().join(".config/dayshift/config.toml"), format!("[secrets]\n{setting}\n"))
            .unwrap();
        let day = "date: 2026-11-20\nagents:\n  h: {kind: command, run: 'true', cost_usd: 0.1, pass_env: [DEPLOY_TOKEN]}\ntasks:\n  - {id: a, description: x, agent: h, max_attempts: 1}\n";
        let file = site.home.path().join("day.yaml");
        fs::write(&file, day).unwrap();
        let repo = site.path().display().to_string();
        let ran = site.run(["run", file.to_str().unwrap(), "--repo", &repo]);
        assert!(ran.out.contains(why), "{ran:?}");
        let task = site.run(["task", "a"]);
        assert!(task.out.contains(why), "{task:?}");
        assert!(site.report().contains(why), "{}", site.report());
        for text in [&ran.out, &ran.err, &task.out, &site.report()] {
            assert!(!text.contains("withheld"), "{text}");
        }
        site.wait_for_worker_to_leave();
    }
}

/// What an agent was given comes out nowhere, whoever finds where it has written it: a gate, the prompt of its own next
/// try, and another agent of the same task.
#[test]
fn what_one_process_was_given_is_hidden_in_the_words_of_all_others() {
    const VALUE: &str = "vaulted-VALUE-77-abcdef";
    let site = Site::new();
    let folder = site.home.path().join(".config/dayshift");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("config.toml"), format!("[secrets]\nVAULTED_cmd = \"printf %s {VALUE}\"\n"))
        .unwrap();
    let day = "date: 2026-11-20\nagents:\n  \
               keeper: {kind: command, run: 'echo \"value $VAULTED\" >> app.txt; mkdir -p .dayshift-notes; \
               cp app.txt .dayshift-notes/summary.md', pass_env: [VAULTED]}\n  \
               other: {kind: command, run: 'cat app.txt; echo more >> more.txt'}\n\
               gates:\n  shown: {run: 'cat app.txt; test \"$(wc -l < app.txt)\" -gt 1'}\n\
               tasks:\n  - {id: a, name: A, description: Write app.txt, agent: keeper, gates: [shown], max_attempts: 2}\n  \
               - {id: b, name: B, description: Read it, agent: other, needs: [a]}\n";
    site.repo.write("day.yaml", day);
    let ran = site.run(["run", "day.yaml"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let shown: Vec<Ran> = ["logs a", "logs b", "--json task a", "explain a", "report"]
        .map(|line| site.run(line.split_whitespace()))
        .into();
    for ran in shown.iter().chain([&ran]) {
        assert!(!ran.out.contains(VALUE) && !ran.err.contains(VALUE), "{ran:?}");
    }
    assert!(shown[1].out.contains("value [redacted VAULTED]"), "{shown:?}");
    site.wait_for_worker_to_leave();
    let holds = |path: &Path| {
        fs::read(path).is_ok_and(|bytes| bytes.windows(VALUE.len()).any(|part| part == VALUE.as_bytes()))
    };
    let leaks: Vec<PathBuf> = files_below(&site.state()).into_iter().filter(|path| holds(path)).collect();
    assert!(leaks.is_empty(), "{leaks:?}");
}
