//! The real agent CLI that the tests drive, as its lock file pins it.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::house::House;
use crate::steps::{Trouble, must};

/// The files that say what to install, in the repository.
const FOLDER: &str = "crates/testkit/npm";
const FILES: [&str; 2] = ["package.json", "package-lock.json"];
/// Written last: what it holds is the hash of the files that were installed.
const STAMP: &str = ".installed";

/// Installs the pinned CLI, unless the cache has it from the same lock file.
pub(crate) fn claude(house: &House) -> Result<(), Trouble> {
    let _lock = super::lock(house)?;
    let source = house.root.join(FOLDER);
    let mut wanted = Vec::new();
    for file in FILES {
        let path = source.join(file);
        wanted.extend(
            fs::read(&path).map_err(|error| Trouble::CannotRun(format!("{}: {error}", path.display())))?,
        );
    }
    let wanted = format!("{:016x}", hash(&wanted));
    let place = house.cache.join("npm");
    if fs::read_to_string(place.join(STAMP)).is_ok_and(|found| found == wanted) && house.claude().exists() {
        println!("already there: {}", place.display());
        return Ok(());
    }
    // Half an installation must never look like a whole one: made beside, then put in place.
    let fresh = house.cache.join("npm.new");
    remove(&fresh)?;
    install(&source, &fresh)?;
    fs::write(fresh.join(STAMP), wanted)?;
    remove(&place)?;
    fs::rename(&fresh, &place)?;
    Ok(())
}

fn install(source: &Path, fresh: &Path) -> Result<(), Trouble> {
    fs::create_dir_all(fresh)?;
    for file in FILES {
        fs::copy(source.join(file), fresh.join(file))?;
    }
    let cannot = |trouble| match trouble {
        Trouble::Failed(why) | Trouble::CannotRun(why) | Trouble::Unreachable(why) => Trouble::CannotRun(why),
    };
    let mut npm = Command::new("npm");
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(fresh);
    must(&mut npm).map_err(cannot)?;
    // The one script that is needed: it puts the native binary in its place.
    let mut node = Command::new("node");
    node.arg("node_modules/@anthropic-ai/claude-code/install.cjs").current_dir(fresh);
    must(&mut node).map_err(cannot)?;
    let mut version = Command::new(fresh.join("node_modules/.bin/claude"));
    version.arg("--version").env("DISABLE_AUTOUPDATER", "1").env("HOME", fresh);
    must(&mut version).map_err(cannot)
}

fn remove(folder: &Path) -> Result<(), Trouble> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// FNV-1a: enough to tell one lock file from the next.
fn hash(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::hash;

    #[test]
    fn the_hash_is_the_known_one() {
        assert_eq!(hash(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(hash(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
