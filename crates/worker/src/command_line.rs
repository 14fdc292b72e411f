//! From a command line that a person wrote to a program that needs no shell, where it can.
//!
//! A shell in between costs a process image per job and hides the agent from signals, so a
//! command of plain words is executed directly. Everything else keeps the meaning it has in
//! `/bin/sh`.

use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::protocol::Program;

/// Words that mean something else to the shell than to `exec`.
///
/// `true` and `false` are missing on purpose: the programs do just the same.
const SHELL_WORDS: &[&str] = &[
    ".",
    ":",
    "alias",
    "bg",
    "break",
    "builtin",
    "caller",
    "case",
    "cd",
    "chdir",
    "command",
    "compgen",
    "complete",
    "continue",
    "coproc",
    "declare",
    "dirs",
    "disown",
    "do",
    "done",
    "echo",
    "elif",
    "else",
    "enable",
    "esac",
    "eval",
    "exec",
    "exit",
    "export",
    "fc",
    "fg",
    "fi",
    "for",
    "function",
    "getopts",
    "hash",
    "help",
    "history",
    "if",
    "in",
    "jobs",
    "kill",
    "let",
    "local",
    "logout",
    "mapfile",
    "popd",
    "printf",
    "pushd",
    "pwd",
    "read",
    "readarray",
    "readonly",
    "return",
    "select",
    "set",
    "shift",
    "shopt",
    "source",
    "suspend",
    "test",
    "then",
    "time",
    "times",
    "trap",
    "type",
    "typeset",
    "ulimit",
    "umask",
    "unalias",
    "unset",
    "until",
    "wait",
    "while",
];

/// Decides how a command line is run: as words when it is simple, else by the shell.
///
/// Simple means: words of `[A-Za-z0-9_./:=@%+,-]`, the first of them no assignment, no word
/// of the shell, and either an absolute path or found on `path` (a `PATH` value).
pub fn program(text: &str, path: &str) -> Program {
    match simple_words(text, path) {
        Some(words) => Program::Argv(words),
        None => Program::Shell(text.to_owned()),
    }
}

fn simple_words(text: &str, path: &str) -> Option<Vec<String>> {
    let words: Vec<String> =
        text.trim().split([' ', '\t']).filter(|w| !w.is_empty()).map(str::to_owned).collect();
    let first = words.first()?;
    let plain = words.iter().all(|word| word.bytes().all(is_plain));
    if !plain || first.contains('=') || SHELL_WORDS.contains(&first.as_str()) {
        return None;
    }
    let found = if first.starts_with('/') {
        is_program(Path::new(first))
    } else {
        // A path relative to the working directory is the shell's business: it is not known here.
        !first.contains('/') && find(first, path).is_some()
    };
    found.then_some(words)
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_./:=@%+,-".contains(&byte)
}

/// The file that `name` (without a slash) means on `path`; relative entries are not searched.
pub(crate) fn find(name: &str, path: &str) -> Option<PathBuf> {
    path.split(':')
        .filter(|entry| entry.starts_with('/'))
        .map(|entry| Path::new(entry).join(name))
        .find(|candidate| is_program(candidate))
}

fn is_program(path: &Path) -> bool {
    path.is_file() && access(path, Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "relative::/usr/bin:/bin";

    #[test]
    fn plain_words_need_no_shell() {
        for text in ["true", " env  FOO=1 sort\t-k1,2 ", "/bin/sh -c exit", "ls ./a@b/c%20d:e+f"] {
            assert!(matches!(program(text, PATH), Program::Argv(_)), "{text}");
        }
        assert_eq!(
            program(" sort  -u\tx ", PATH),
            Program::Argv(vec!["sort".into(), "-u".into(), "x".into()])
        );
    }

    #[test]
    fn everything_else_goes_to_the_shell() {
        let all = [
            "",
            "  ",
            "A=1 true",
            "cd /tmp",
            "exit 3",
            "if",
            "echo hi",
            "true; true",
            "true | sort",
            "ls *",
            "ls ~",
            "ls $HOME",
            "no-such-program-here",
            "./relative",
            "true\ntrue",
            "sort 'a'",
            "ls \\a",
            "sleep 1 &",
            "käse",
            "/no/such/file",
            "/tmp",
        ];
        for text in all {
            assert_eq!(program(text, PATH), Program::Shell(text.to_owned()), "{text}");
        }
    }
}
