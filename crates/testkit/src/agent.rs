//! Finds and starts the real claude CLI, pinned and kept off the network.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::process::is_file;
use crate::skip::skip;

/// The version of the claude CLI that the tests are written for; the lock file in `npm/` pins it.
pub const CLAUDE_VERSION: &str = "2.1.197";

/// Finds the pinned claude CLI.
///
/// It is `$DAYSHIFT_CLAUDE`, or else `npm/node_modules/.bin/claude` in `$DAYSHIFT_TEST_CACHE`. The error says what
/// was looked for and how to install it. An npm package of another version is refused.
pub fn claude_cli() -> Result<PathBuf, String> {
    let path = match (env::var_os("DAYSHIFT_CLAUDE"), env::var_os("DAYSHIFT_TEST_CACHE")) {
        (Some(path), _) => PathBuf::from(path),
        (None, Some(cache)) => PathBuf::from(cache).join("npm/node_modules/.bin/claude"),
        (None, None) => {
            return Err(
                "failed to find the claude CLI: neither $DAYSHIFT_CLAUDE nor $DAYSHIFT_TEST_CACHE is set; \
                see crates/testkit/README.md"
                    .to_owned(),
            );
        }
    };
    if !is_file(&path) {
        return Err(format!(
            "failed to find the claude CLI at {}: install it as crates/testkit/README.md says",
            path.display()
        ));
    }
    match package_version(&path) {
        Some(version) if version != CLAUDE_VERSION => {
            Err(format!("failed to use {}: it is version {version}, wanted {CLAUDE_VERSION}", path.display()))
        }
        Some(_) | None => Ok(path),
    }
}

/// Finds the pinned claude CLI for a test, or says loudly on stderr that the test is skipped.
///
/// # Panics
/// When the CLI is not found and `$CI` is `true`: a check that did not run must not pass there.
#[track_caller]
pub fn claude_cli_or_skip(test: &str) -> Option<PathBuf> {
    match claude_cli() {
        Ok(path) => Some(path),
        Err(why) => {
            skip(test, &why);
            None
        }
    }
}

/// The environment that the claude CLI gets in tests and nothing besides: the caller clears the rest.
///
/// `home` is a folder of the test's own, `base_url` that of a [`crate::ModelServer`]. No update check, no telemetry,
/// no other network traffic; the key is a dummy.
pub fn claude_environment(home: &Path, base_url: &str) -> Vec<(&'static str, OsString)> {
    let path = env::var_os("PATH").unwrap_or_else(|| OsString::from("/usr/local/bin:/usr/bin:/bin"));
    vec![
        ("PATH", path),
        ("HOME", home.as_os_str().to_owned()),
        ("LANG", "C.UTF-8".into()),
        ("TERM", "dumb".into()),
        ("ANTHROPIC_API_KEY", "dummy-key".into()),
        ("ANTHROPIC_BASE_URL", base_url.into()),
        ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1".into()),
        ("DISABLE_AUTOUPDATER", "1".into()),
        ("DISABLE_TELEMETRY", "1".into()),
    ]
}

/// A command that starts the claude CLI in one-shot mode with the tests' environment, flags and working directory.
///
/// The prompt is still to be given, as the last argument or on stdin.
pub fn claude_command(cli: &Path, home: &Path, base_url: &str, workdir: &Path) -> Command {
    let mut command = Command::new(cli);
    command.env_clear().envs(claude_environment(home, base_url)).current_dir(workdir).args([
        "-p",
        "--output-format",
        "stream-json",
        "--verbose",
        "--allowedTools",
        "Bash,Edit,Write,Read",
        // Not the list of tools at the end: it takes every word that follows, the prompt too.
        "--permission-mode",
        "acceptEdits",
    ]);
    command
}

/// The version in the npm package that a path belongs to, if it belongs to one.
fn package_version(path: &Path) -> Option<String> {
    let real = fs::canonicalize(path).ok()?;
    real.ancestors().skip(1).find_map(|folder| {
        let manifest: Value = serde_json::from_slice(&fs::read(folder.join("package.json")).ok()?).ok()?;
        let name = manifest["name"].as_str()?;
        name.starts_with("@anthropic-ai/claude-code")
            .then(|| manifest["version"].as_str().map(str::to_owned))?
    })
}
