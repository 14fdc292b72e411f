//! Where we are: the repository, the cache, whether this is CI.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

/// The place that the commands work in.
#[derive(Debug)]
pub(crate) struct House {
    /// The repository.
    pub(crate) root: PathBuf,
    /// Where tools are kept between runs.
    pub(crate) cache: PathBuf,
    /// Whether a check that cannot run is a failure.
    pub(crate) is_ci: bool,
}

impl House {
    /// Reads it off the environment.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = here.parent().context("failed to find the repository above xtask")?.to_owned();
        let is_ci = env::var_os("CI").is_some_and(|ci| ci == "true");
        Ok(Self { root, cache: cache_folder(|name| env::var_os(name).map(PathBuf::from))?, is_ci })
    }

    /// The cargo that runs us, in the repository.
    pub(crate) fn cargo(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(words).current_dir(&self.root);
        command
    }

    /// Like [`House::cargo`], and in CI with the lock file as it was committed.
    pub(crate) fn cargo_locked(&self, words: &[&str]) -> Command {
        let mut command = self.cargo(words);
        if self.is_ci {
            command.arg("--locked");
        }
        command
    }

    /// The target folder that this program was built in.
    pub(crate) fn target() -> anyhow::Result<PathBuf> {
        let program = env::current_exe()?;
        let target = program.ancestors().nth(2).context("failed to find the target folder above xtask")?;
        Ok(target.to_owned())
    }

    /// Programs that we installed for ourselves.
    pub(crate) fn tool(&self, name: &str) -> PathBuf {
        self.cache.join("tools/bin").join(name)
    }

    /// The claude CLI that the tests drive.
    pub(crate) fn claude(&self) -> PathBuf {
        self.cache.join("npm/node_modules/.bin/claude")
    }
}

/// `$DAYSHIFT_TEST_CACHE`, else a folder in the user's cache.
fn cache_folder(variable: impl Fn(&str) -> Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let set = |name| variable(name).filter(|path| path.is_absolute());
    set("DAYSHIFT_TEST_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|path| path.join("dayshift-tests")))
        .or_else(|| set("HOME").map(|path| path.join(".cache/dayshift-tests")))
        .context("failed to find a cache folder: set DAYSHIFT_TEST_CACHE to an absolute path")
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::cache_folder;

    #[test]
    fn the_first_absolute_cache_folder_counts() {
        let check = |set: &[(&str, &str)]| {
            let find = |name: &str| {
                set.iter().find(|(known, _)| *known == name).map(|(_, value)| PathBuf::from(value))
            };
            cache_folder(find).ok().map(|path| path.display().to_string())
        };
        assert_eq!(check(&[]), None);
        assert_eq!(check(&[("HOME", "/h")]).as_deref(), Some("/h/.cache/dayshift-tests"));
        let xdg = [("HOME", "/h"), ("XDG_CACHE_HOME", "/x"), ("DAYSHIFT_TEST_CACHE", "relative")];
        assert_eq!(check(&xdg).as_deref(), Some("/x/dayshift-tests"));
        assert_eq!(check(&[("HOME", "/h"), ("DAYSHIFT_TEST_CACHE", "/d")]).as_deref(), Some("/d"));
    }
}
