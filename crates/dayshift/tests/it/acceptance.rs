//! What was promised, as whole stories: each begins with files that a person writes and goes on by commands alone.

mod a_reviewed_task;
mod a_whole_day;
mod plan_dev_test_verify;
mod prompt_files_in_parallel;

use std::fs;

use crate::common::{Ran, Site};

/// Writes a file beside the repository, where `HOME` stands for the site's folder. Gives its path.
fn file(site: &Site, name: &str, text: &str) -> String {
    let path = site.home.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text.replace("HOME", &site.home.path().display().to_string())).unwrap();
    path.display().to_string()
}

/// The settings of the person who works here.
fn settings(site: &Site, text: &str) {
    file(site, ".config/dayshift/config.toml", text);
}

/// The words that run these files in the site's repository.
fn run_of<'a>(site: &'a Site, files: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    let mut words = vec!["run"];
    words.extend(files);
    words.extend(["--repo", site.path().to_str().unwrap()]);
    words.extend(more);
    words
}

/// What a command prints that must succeed.
fn told(site: &Site, line: &str) -> String {
    let ran: Ran = site.run(line.split(' '));
    assert_eq!(ran.code, 0, "{line}: {ran:?}");
    ran.out
}

/// The parts must stand in the text, each behind the one before.
#[track_caller]
fn in_order(text: &str, parts: &[&str]) {
    let mut rest = text;
    for part in parts {
        let Some(at) = rest.find(part) else { panic!("`{part}` is not where it must be in:\n{text}") };
        rest = &rest[at + part.len()..];
    }
}
