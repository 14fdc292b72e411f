//! Names of variables: which of them hold secrets, and how they are printed.

/// How much of a name is printed, in characters.
const NAME_CHARS_MAX: usize = 64;

/// Words that make a name a secret's.
const WORDS: &[&str] = &[
    "KEY",
    "KEYS",
    "TOKEN",
    "TOKENS",
    "SECRET",
    "SECRETS",
    "PASS",
    "PWD",
    "PAT",
    "CREDENTIAL",
    "CREDENTIALS",
];
/// Ends of words that do so too: `AUTHTOKEN`, `apiKey`.
const WORD_ENDS: &[&str] = &["TOKEN", "SECRET", "APIKEY", "ACCESSKEY", "PRIVATEKEY", "SECRETKEY"];
/// Parts of names that do so wherever they stand.
const PARTS: &[&str] = &["PASSWORD", "PASSWD", "PASSPHRASE"];
/// Last words of names that speak about a secret and do not hold it.
const ABOUT: &[&str] =
    &["PATH", "FILE", "DIR", "HOME", "ID", "NAME", "URL", "URI", "SOCK", "CMD", "COMMAND", "TTL", "TYPE"];
/// Parts of `ANTHROPIC_…` names that hold no secret; all other such names may.
const ANTHROPIC_OPEN: &[&str] = &["URL", "MODEL", "REGION", "VERSION", "BETA", "LOG", "PROJECT", "SMALL"];

/// Whether a variable of this name is taken to hold a secret: `*_KEY`, `*_TOKEN`, `*_SECRET`,
/// `*PASSWORD*` and the like, and `ANTHROPIC_*` but for models and addresses.
///
/// A name that only speaks about a secret (`SSH_KEY_PATH`, `AWS_ACCESS_KEY_ID`) is not taken so, nor
/// are the working directories `PWD` and `OLDPWD`.
pub fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    if let Some(rest) = name.strip_prefix("ANTHROPIC_") {
        return !ANTHROPIC_OPEN.iter().any(|open| rest.contains(open));
    }
    if name == "PWD" {
        return false;
    }
    let mut words = name.split(['_', '-', '.']);
    if words.next_back().is_some_and(|last| ABOUT.contains(&last)) {
        return false;
    }
    PARTS.iter().any(|part| name.contains(part))
        || name
            .split(['_', '-', '.'])
            .any(|word| WORDS.contains(&word) || WORD_ENDS.iter().any(|end| word.ends_with(end)))
}

/// `name` as it stands in `[redacted NAME]`: one short plain word.
pub(super) fn printable(name: &str) -> String {
    let name: String = name
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || "_-.".contains(*c))
        .take(NAME_CHARS_MAX)
        .collect();
    if name.is_empty() { "secret".to_owned() } else { name }
}
