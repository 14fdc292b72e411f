//! Files in all the forms, good and broken, through the command line.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::Site;

fn samples(folder: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../intake/tests").join(folder);
    let mut files: Vec<PathBuf> = fs::read_dir(&root)
        .unwrap_or_else(|error| panic!("{}: {error}", root.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| matches!(path.extension().and_then(|end| end.to_str()), Some("yaml" | "md" | "json")))
        .collect();
    files.sort();
    files
}

#[test]
fn every_good_form_is_valid_by_check_and_by_dry_run() {
    let files = samples("valid");
    assert!(files.len() >= 5, "the samples are missing");
    for file in files {
        let site = Site::new();
        let copy = site.home.path().join(file.file_name().unwrap());
        fs::copy(&file, &copy).unwrap();
        fs::create_dir_all(site.home.path().join("scenes")).unwrap();
        fs::write(site.home.path().join("scenes/one.yaml"), "steps: []\n").unwrap();
        let (file, repo) = (copy.display().to_string(), site.path().display().to_string());
        // One prompt file needs the task of the other.
        let other = site.home.path().join("word-count.md");
        fs::copy(samples("valid").iter().find(|path| path.ends_with("word-count.md")).unwrap(), &other)
            .unwrap();
        let other = other.display().to_string();
        let more = if file.ends_with("with-front-matter.md") { vec![other.as_str()] } else { Vec::new() };
        for words in
            [["check", &file, "--repo", &repo].as_slice(), &["run", &file, "--dry-run", "--repo", &repo]]
        {
            let ran = site.run(words.iter().copied().chain(more.iter().copied()));
            assert_eq!(ran.code, 0, "{file}: {ran:?}");
        }
        assert!(!site.state().exists(), "{file}: a dry run made state");
    }
}

#[test]
fn every_broken_file_is_refused_with_line_and_column_and_starts_nothing() {
    let files = samples("broken");
    assert!(files.len() >= 20, "only {} broken samples", files.len());
    for file in files {
        let site = Site::new();
        let (path, repo) = (file.display().to_string(), site.path().display().to_string());
        for command in ["check", "run"] {
            let ran = site.run([command, &path, "--repo", &repo]);
            assert_eq!(ran.code, 2, "{path}: {ran:?}");
            let errors = ran.err.matches("\nerror: ").count();
            let places = ran.err.lines().filter(|line| is_place(line, &path)).count();
            assert!(errors > 0 && places >= errors, "{path}: {}", ran.err);
        }
        assert!(!site.state().exists(), "{path}: something was started");
    }
}

/// ` --> PATH:LINE:COLUMN`
fn is_place(line: &str, path: &str) -> bool {
    let Some((_, place)) = line.split_once("--> ") else { return false };
    let Some(rest) = place.strip_prefix(path).and_then(|rest| rest.strip_prefix(':')) else { return false };
    let numbers: Vec<Option<u32>> = rest.split(':').map(|number| number.trim().parse().ok()).collect();
    matches!(numbers[..], [Some(line), Some(column)] if line >= 1 && column >= 1)
}

#[test]
fn check_tells_programs_what_is_wrong_with_its_place() {
    let site = Site::new();
    site.repo.write("day.yaml", "tasks:\n  - id: a\n    nmae: A\n    run: \"true\"\n");
    let ran = site.run(["check", "day.yaml", "--json"]);
    assert!(ran.code == 2 && ran.err.is_empty(), "{ran:?}");
    let told: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let first = &told["findings"][0];
    assert_eq!(told["valid"], false);
    assert_eq!(
        (first["file"].as_str(), first["line"].as_u64(), first["column"].as_u64()),
        (Some("day.yaml"), Some(3), Some(5))
    );
    assert_eq!(first["hint"], "did you mean `name`?");
    let missing = site.json(["check", "nothing.yaml", "--json"]);
    assert!(missing["findings"][0]["message"].as_str().unwrap().contains("nothing.yaml"), "{missing}");
}

#[test]
fn init_writes_a_file_that_check_takes_and_the_schema_is_json() {
    let site = Site::new();
    site.repo.write("Cargo.toml", "[package]\nname = \"sample\"\nversion = \"0.1.0\"\n");
    assert_eq!(site.run(["init"]).code, 0);
    let text = fs::read_to_string(site.path().join("day.yaml")).unwrap();
    assert!(text.contains("cargo test"), "no gate was proposed: {text}");
    let checked = site.run(["check", "day.yaml"]);
    assert_eq!(checked.code, 0, "{checked:?}");
    let other = site.json(["init", "other.yaml", "--json"]);
    assert_eq!(other["wrote"], "other.yaml");
    let again = site.run(["init"]);
    assert_eq!(again.code, 2, "a file that is there is not replaced: {again:?}");
    let schema = site.json(["schema"]);
    assert!(schema["$schema"].is_string() && schema.to_string().contains("\"deliverables\""), "{schema}");
}

#[test]
fn only_regular_files_within_the_limit_are_read() {
    let site = Site::new();
    let pipe = site.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    let large = site.path().join("large.yaml");
    fs::File::create(&large).unwrap().set_len(8 * 1024 * 1024 + 1).unwrap();
    for (file, why) in [
        (Path::new("/dev/zero"), "is no regular file"),
        (&pipe, "is no regular file"),
        (&large, "is larger than 8388608 bytes"),
    ] {
        for command in ["check", "run"] {
            let ran = site.run([command, file.to_str().unwrap(), "--repo", site.path().to_str().unwrap()]);
            assert!(ran.code == 2 && ran.err.contains(why), "{command} {}: {ran:?}", file.display());
        }
    }
    assert!(!site.state().exists(), "something was started");
}
