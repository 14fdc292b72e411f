//! Broken day files through the real program: it says that they are good, or exits 2 and says where they are not.
//! The memory and the CPU time of each are limited by the kernel. Many more are read by intake's own tests.

use std::fs;
use std::path::Path;
use std::process::Command;

use dayshift_testkit::{DayMutation, Dice, mutate_day};

use crate::common::{Ran, Site};

const SEED: u64 = 0x5eed_c4ec;
/// Mutants of each file.
const MUTATIONS: usize = 30;
/// The CPU time that one file may take, in seconds, and the address space, in KiB.
const LIMITS: &str = "ulimit -t 2; ulimit -v 204800";

/// Every valid day file with all that it names beside it.
fn site() -> (Site, Vec<(String, String)>) {
    let site = Site::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let valid = fs::read_dir(root.join("../intake/tests/valid")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        valid.filter(|path| path.extension().is_some_and(|ending| ending != "md")).collect();
    files.push(root.join("demo/day.yaml"));
    files.sort();
    let mut texts: Vec<(String, String)> = files
        .iter()
        .map(|path| {
            (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(path).unwrap())
        })
        .collect();
    assert_eq!(site.run(["init", "--repo", site.path().to_str().unwrap()]).code, 0);
    texts.push(("init.yaml".to_owned(), fs::read_to_string(site.path().join("day.yaml")).unwrap()));
    site.repo.write("scenes/one.yaml", "steps:\n  - say: from a file\n");
    (site, texts)
}

fn check(site: &Site, file: &str) -> Ran {
    let found = site.command(["check", file]);
    let program = found.get_program().to_str().unwrap().to_owned();
    let mut limited = Command::new("sh");
    limited.arg("-c").arg(format!("{LIMITS}; exec '{program}' check '{file}'"));
    limited.env_clear().envs(found.get_envs().filter_map(|(name, value)| Some((name, value?))));
    limited.current_dir(found.get_current_dir().unwrap());
    Ran::of(&limited.output().unwrap())
}

#[test]
fn a_broken_day_file_is_refused_with_exit_2_and_its_place() {
    let (site, texts) = site();
    let (mut refused, mut all) = (0, 0);
    for (index, (name, text)) in texts.iter().enumerate() {
        let mut dice = Dice::new(SEED + index as u64);
        fs::write(site.path().join(name), text).unwrap();
        let ran = check(&site, name);
        assert_eq!(ran.code, 0, "{name} is valid as it is: {ran:?}");
        for round in 0..MUTATIONS {
            let DayMutation { bytes, what, .. } = mutate_day(&mut dice, text);
            fs::write(site.path().join(name), bytes).unwrap();
            let ran = check(&site, name);
            let case = format!("{name} seed {:#x} round {round}: {what}: {ran:?}", SEED + index as u64);
            assert!(matches!(ran.code, 0 | 2), "{case}");
            assert!(ran.code == 0 || has_place(&ran.err, name), "{case}");
            refused += u32::from(ran.code == 2);
            all += 1;
        }
    }
    println!("{refused} of {all} refused");
    assert!(refused * 100 >= all * 60 && refused < all, "{refused} of {all} refused");
}

/// Whether `name:LINE:COLUMN` is said, or line and column within the text of a scenario.
fn has_place(said: &str, name: &str) -> bool {
    let is_number =
        |part: Option<&str>| part.is_some_and(|part| part.starts_with(|digit: char| digit.is_ascii_digit()));
    let by_path = said.split(&format!("{name}:")).skip(1).any(|rest| {
        let mut parts = rest.split(':');
        is_number(parts.next()) && is_number(parts.next())
    });
    let in_scenario = said.split("line ").skip(1).any(|rest| {
        let mut parts = rest.split(" column ");
        is_number(parts.next()) && is_number(parts.next())
    });
    by_path || in_scenario
}
