//! What became of each mutant, in a file that is written line by line: an interrupted run goes on
//! where it was.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;

use anyhow::Context;

use super::judge::Verdict;
use super::list::Mutant;

/// The file and what is in it.
#[derive(Debug)]
pub(crate) struct Results {
    file: File,
    verdicts: BTreeMap<String, Verdict>,
}

impl Results {
    /// Reads the file; a fresh one knows nothing.
    pub(crate) fn open(path: &Path, is_fresh: bool) -> anyhow::Result<Self> {
        let folder = path.parent().context("failed to find the folder of the results")?;
        fs::create_dir_all(folder)?;
        let mut options = OpenOptions::new();
        options.create(true).append(!is_fresh).write(true).truncate(is_fresh);
        let file = options.open(path).with_context(|| format!("failed to open {}", path.display()))?;
        let text = fs::read_to_string(path)?;
        let verdicts = text.lines().filter_map(parse).collect();
        Ok(Self { file, verdicts })
    }

    /// What became of the mutant, when it was run.
    pub(crate) fn get(&self, mutant: &Mutant) -> Option<&Verdict> {
        self.verdicts.get(&mutant.name)
    }

    /// The numbers of those that are known not to compile.
    pub(crate) fn unviable(&self, mutants: &[Mutant]) -> BTreeSet<usize> {
        let numbered = mutants.iter().enumerate();
        numbered
            .filter(|(_, mutant)| self.get(mutant) == Some(&Verdict::Unviable))
            .map(|(number, _)| number)
            .collect()
    }

    /// Adds a line; a later one about the same mutant counts instead of an earlier one.
    pub(crate) fn add(&mut self, mutant: &Mutant, verdict: Verdict) -> anyhow::Result<()> {
        let (check, seed) = match &verdict {
            Verdict::Killed { check, seed } => (check.as_str(), seed.as_str()),
            Verdict::Survived | Verdict::Unviable => ("", ""),
        };
        writeln!(self.file, "{}\t{check}\t{seed}\t{}", verdict.word(), mutant.name)?;
        self.verdicts.insert(mutant.name.clone(), verdict);
        Ok(())
    }
}

fn parse(line: &str) -> Option<(String, Verdict)> {
    let mut words = line.splitn(4, '\t');
    let (word, check, seed, name) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let verdict = match word {
        "killed" => Verdict::Killed { check: check.to_owned(), seed: seed.to_owned() },
        "survived" => Verdict::Survived,
        "unviable" => Verdict::Unviable,
        _ => return None,
    };
    Some((name.to_owned(), verdict))
}

#[cfg(test)]
mod tests {
    use std::{env, fs, process};

    use super::{Mutant, Results, Verdict};

    #[test]
    fn results_stay_until_they_are_to_be_fresh() {
        let folder = env::temp_dir().join(format!("dayshift-mutants-{}", process::id()));
        let path = folder.join("results.txt");
        let mutant = |name: &str| Mutant {
            file: "a.rs".into(),
            name: name.into(),
            span: ((1, 1), (1, 2)),
            replacement: String::new(),
            function: None,
            code: String::new(),
        };
        let killed = Verdict::Killed { check: "slots".into(), seed: "3".into() };
        let mut results = Results::open(&path, false).expect("a file can be made");
        results.add(&mutant("a"), Verdict::Survived).expect("a line can be written");
        results.add(&mutant("b"), Verdict::Unviable).expect("a line can be written");
        let mut results = Results::open(&path, false).expect("the file is there");
        results.add(&mutant("a"), killed.clone()).expect("a line can be written");
        let results = Results::open(&path, false).expect("the file is there");
        assert_eq!(results.get(&mutant("a")), Some(&killed));
        assert_eq!(results.unviable(&[mutant("a"), mutant("b")]).into_iter().collect::<Vec<_>>(), [1]);
        assert_eq!(Results::open(&path, true).expect("the file is there").get(&mutant("a")), None);
        fs::remove_dir_all(folder).expect("the folder is ours");
    }
}
