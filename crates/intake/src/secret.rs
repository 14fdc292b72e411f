//! Finds values that look like keys, so that none ends up in a journal or on a screen.

// `dayshift-guard` has the whole list, and the binary looks through every file with it. Adapters do not know
// each other, so this short one stands here for what must happen before the binary sees a finding: a line is
// masked before it is cut to the screen's width, since half a key is no longer known for one.

/// How each kind of key begins, and how many key characters must follow at least.
const SHAPES: [(&str, usize); 12] = [
    ("sk-ant-", 8),
    ("sk-", 16),
    ("ghp_", 16),
    ("gho_", 16),
    ("ghs_", 16),
    ("github_pat_", 16),
    ("glpat-", 16),
    ("xoxb-", 10),
    ("xoxp-", 10),
    ("AKIA", 16),
    ("ASIA", 16),
    ("AIza", 30),
];
const PRIVATE_KEY: &str = "PRIVATE KEY-----";

/// Whether `value` holds something that looks like a key.
pub(crate) fn looks_like_one(value: &str) -> bool {
    value.contains(PRIVATE_KEY) || find(value).is_some()
}

/// `text` with everything that looks like a key replaced by `***`.
pub(crate) fn mask(text: &str) -> String {
    let text = if text.contains(PRIVATE_KEY) { before_private_key(text) } else { text };
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((start, end)) = find(rest) {
        masked.push_str(&rest[..start]);
        masked.push_str("***");
        rest = &rest[end..];
    }
    masked.push_str(rest);
    masked
}

/// What stands in front of a private key block.
fn before_private_key(text: &str) -> &str {
    let begin = text.find("-----BEGIN").or_else(|| text.find(PRIVATE_KEY)).unwrap_or_default();
    &text[..begin]
}

/// The byte range of the first thing that looks like a key.
fn find(text: &str) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    (0..bytes.len()).find_map(|start| {
        // A key begins a word: `task-...` holds `sk-` and is none.
        if start > 0 && is_key_byte(bytes[start - 1]) {
            return None;
        }
        SHAPES.iter().find_map(|(prefix, least)| {
            let rest = bytes[start..].strip_prefix(prefix.as_bytes())?;
            let length = rest.iter().take_while(|byte| is_key_byte(**byte)).count();
            (length >= *least).then_some((start, start + prefix.len() + length))
        })
    })
}

fn is_key_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_and_words_are_not() {
        for bad in [
            "sk-ant-api03-abcdefgh",
            "Bearer sk-0123456789abcdefXYZ",
            "ghp_0123456789abcdefghij",
            "AKIAIOSFODNN7EXAMPLE",
            "-----BEGIN OPENSSH PRIVATE KEY-----\nabc",
        ] {
            assert!(looks_like_one(bad), "{bad}");
        }
        for good in [
            "task-0123456789abcdefgh",
            "sk-short",
            "AKIA",
            "http://localhost:8080",
            "",
            "ask-me-anything-now-please",
        ] {
            assert!(!looks_like_one(good), "{good}");
        }
    }

    #[test]
    fn masking_keeps_the_rest() {
        assert_eq!(mask("KEY: sk-ant-api03-abcdefgh, x"), "KEY: ***, x");
        assert_eq!(mask("ä nothing"), "ä nothing");
    }
}
