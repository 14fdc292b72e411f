//! What shells and readers of manuals get.

use std::fs;
use std::process::Command;

use crate::common::Site;

/// What bash offers behind `words`, the last of which is being typed.
fn offered(script: &str, words: &[&str]) -> Vec<String> {
    let list = words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
    let (current, before) = (words[words.len() - 1], words[words.len() - 2]);
    let text = format!(
        "{script}\nCOMP_WORDS=({list})\nCOMP_CWORD={}\n_dayshift dayshift '{current}' '{before}'\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n",
        words.len() - 1
    );
    let output = Command::new("bash").arg("-c").arg(text).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn bash_takes_the_completions_and_completes_by_them() {
    let site = Site::new();
    let ran = site.run(["completions", "bash"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let file = site.home.path().join("dayshift.bash");
    fs::write(&file, &ran.out).unwrap();
    let parsed = Command::new("bash").arg("-n").arg(&file).output().unwrap();
    assert!(parsed.status.success(), "{}", String::from_utf8_lossy(&parsed.stderr));
    assert_eq!(offered(&ran.out, &["dayshift", "sta"]), ["start", "status"]);
    assert_eq!(offered(&ran.out, &["dayshift", "run", "--max-p"]), ["--max-parallel"]);
    assert!(offered(&ran.out, &["dayshift", "wor"]).join("").is_empty(), "hidden commands are offered");
}

/// What stands between two steps back, without the letter that is printed again.
fn plain(part: &str) -> &str {
    let mut letters = part.char_indices();
    letters.next_back().map_or("", |(at, _)| &part[..at])
}

#[test]
fn every_shell_that_is_named_has_completions() {
    let site = Site::new();
    for (shell, mark) in [
        ("zsh", "#compdef dayshift"),
        ("fish", "complete -c dayshift"),
        ("elvish", "set edit:completion:arg-completer[dayshift]"),
        ("powershell", "Register-ArgumentCompleter"),
    ] {
        let ran = site.run(["completions", shell]);
        assert!(
            ran.code == 0 && ran.out.contains(mark) && ran.out.contains("list-tasks"),
            "{shell}: {ran:?}"
        );
    }
    assert_eq!(site.run(["completions", "abacus"]).code, 2);
}

#[test]
fn the_manual_has_a_page_for_each_command_and_groff_takes_them() {
    let site = Site::new();
    let folder = site.home.path().join("man");
    let ran = site.run(["man", "--dir", folder.to_str().unwrap()]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let mut pages: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.sort();
    assert!(pages.len() > 15 && folder.join("dayshift.1").exists(), "{pages:?}");
    assert!(!folder.join("dayshift-worker.1").exists(), "a hidden command has a page");
    let single = site.run(["man", "run"]);
    assert_eq!(single.out, fs::read_to_string(folder.join("dayshift-run.1")).unwrap());
    let unknown = site.run(["man", "rnu"]);
    assert!(unknown.code == 2 && unknown.err.contains("the commands are"), "{unknown:?}");
    if !dayshift_testkit::program_or_skip("groff", "the formatter takes the manual pages") {
        return;
    }
    for page in pages {
        let output = Command::new("groff").args(["-man", "-ww", "-z"]).arg(&page).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && told.is_empty(), "{}: {told}", page.display());
    }
    let shown =
        Command::new("groff").args(["-man", "-Tascii"]).arg(folder.join("dayshift.1")).output().unwrap();
    // Bold is a letter, a step back, and the letter again.
    let text: String = String::from_utf8_lossy(&shown.stdout).split('\u{8}').map(plain).collect();
    for word in ["EXIT STATUS", "another dayshift owns the state directory", "DAYSHIFT_STATE", "FILES"] {
        assert!(text.contains(word), "no `{word}` in {text}");
    }
}
