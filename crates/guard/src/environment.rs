//! The environment of a process that is not ours, built from nothing.

use std::collections::BTreeMap;
use std::ffi::OsString;

#[cfg(test)]
mod tests;

/// Names that every process gets from our own environment, where we have them.
const ALWAYS: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "TZ",
    "TERM",
    "TMPDIR",
    "XDG_CONFIG_HOME",
    "XDG_CACHE_HOME",
    "XDG_DATA_HOME",
    "XDG_STATE_HOME",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
];

/// What every name of a locale setting begins with.
const LOCALE: &str = "LC_";

/// Our own variables: never passed on, whoever asks. They may still be set outright.
const OURS: &[&str] = &["TELEGRAM_BOT_TOKEN", "TELEGRAM_CHAT_ID"];

/// What the names of our own settings begin with.
const OURS_PREFIX: &str = "DAYSHIFT_";

/// The longest `NAME=VALUE`, in bytes: Linux refuses to start a process with a longer one.
const ENTRY_BYTES_MAX: usize = 128 * 1024 - 1;

/// Variables that only say where tool chains and their certificates are. A caller that runs
/// people's own checks and commands adds them to `builtin_pass`.
pub const TOOL_CHAINS: &[&str] = &[
    "CARGO_HOME",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "GOPATH",
    "GOROOT",
    "GOCACHE",
    "GOMODCACHE",
    "GOFLAGS",
    "JAVA_HOME",
    "PYENV_ROOT",
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
    "NVM_DIR",
    "VOLTA_HOME",
    "PNPM_HOME",
    "PKG_CONFIG_PATH",
    "NIX_SSL_CERT_FILE",
    "GIT_SSL_CAINFO",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
];

/// Builds a process's environment: the allow-list, then what is passed on by name, then what is set.
///
/// `ours` is our own environment; `set` wins over everything; `pass` holds the names that the
/// user's files name, `builtin_pass` those that the agent's dialect needs. Names are whole names,
/// there are no wildcards. The result is sorted by name and holds each name once.
///
/// Left out: entries of ours that are not UTF-8 or longer than Linux takes, our own settings and
/// tokens (`DAYSHIFT_*`, `TELEGRAM_*`) even when they are named, and whatever cannot be an entry at
/// all (an empty name, `=` in a name, a NUL).
pub fn environment(
    ours: &[(OsString, OsString)],
    set: &BTreeMap<String, String>,
    pass: &[String],
    builtin_pass: &[&str],
) -> Vec<(String, String)> {
    let is_wanted = |name: &str| {
        ALWAYS.contains(&name)
            || name.starts_with(LOCALE)
            || builtin_pass.contains(&name)
            || pass.iter().any(|passed| passed == name)
    };
    let mut result = BTreeMap::new();
    for (name, value) in ours {
        let (Some(name), Some(value)) = (name.to_str(), value.to_str()) else { continue };
        let fits = name.len() + 1 + value.len() <= ENTRY_BYTES_MAX;
        if fits && is_wanted(name) && !is_our_own(name) && is_entry(name, value) {
            result.insert(name.to_owned(), value.to_owned());
        }
    }
    for (name, value) in set {
        if is_entry(name, value) {
            result.insert(name.clone(), value.clone());
        }
    }
    result.into_iter().collect()
}

fn is_our_own(name: &str) -> bool {
    name.starts_with(OURS_PREFIX) || OURS.contains(&name)
}

fn is_entry(name: &str, value: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0')
}
