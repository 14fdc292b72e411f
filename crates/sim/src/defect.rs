//! Defects that can be planted in the code, to see whether the simulator notices.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// A change of one place in the code. Its file begins with `file: PATH`; after a line
/// `--- find` follows the text that is there now, after `--- replace` what takes its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defect {
    /// The name: the file's, without its ending.
    pub name: String,
    /// The file to change, from the workspace's folder.
    pub file: PathBuf,
    find: String,
    replace: String,
}

impl Defect {
    /// Reads all defects of a folder, in the order of their names.
    pub fn read_all(folder: &Path) -> io::Result<Vec<Self>> {
        let mut defects = Vec::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let text = fs::read_to_string(&path)?;
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let defect = Self::parse(name, &text)
                .ok_or_else(|| io::Error::other(format!("{} is not a defect file", path.display())))?;
            defects.push(defect);
        }
        defects.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(defects)
    }

    fn parse(name: String, text: &str) -> Option<Self> {
        let (file, rest) = text.strip_prefix("file: ")?.split_once("\n--- find\n")?;
        let (find, replace) = rest.split_once("\n--- replace\n")?;
        let replace = replace.strip_suffix('\n')?;
        Some(Self { name, file: PathBuf::from(file), find: find.to_owned(), replace: replace.to_owned() })
    }

    /// The code with the defect in it; an error when it is not clear where it belongs.
    pub fn plant(&self, code: &str) -> Result<String, String> {
        let count = code.matches(&self.find).count();
        if count == 1 {
            return Ok(code.replacen(&self.find, &self.replace, 1));
        }
        let (name, file) = (&self.name, self.file.display());
        Err(format!("the text of `{name}` occurs {count} times in {file}, not once: write it anew"))
    }
}
