//! The hash chain: each entry's hash covers the hash before it and everything that is stored.

use std::fmt;

use sha2::{Digest, Sha256};

/// The text whose sha256 is the hash before the first entry.
pub const GENESIS_TEXT: &str = "dayshift journal 1";

/// The end of a journal: the number of its last entry and the hash over all of it.
///
/// Two journals with equal heads hold the same entries. Printed, it is an anchor that a later
/// [`verify_anchored`](crate::verify_anchored) can be held against.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The number of the last entry; 0 when there is none.
    pub seq: u64,
    /// The hash chain's last link.
    pub hash: [u8; 32],
}

impl Head {
    /// The head of an empty journal.
    pub fn genesis() -> Self {
        Self { seq: 0, hash: Sha256::digest(GENESIS_TEXT).into() }
    }

    /// The hash as 64 hexadecimal digits.
    pub fn hex(&self) -> String {
        use fmt::Write;
        self.hash.iter().fold(String::with_capacity(64), |mut text, byte| {
            // Writing to a `String` cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// The head after `fields` was appended to this one.
    pub(crate) fn then(&self, fields: &Fields<'_>) -> Self {
        let seq = self.seq.saturating_add(1);
        let mut hasher = Sha256::new();
        hasher.update(self.hash);
        for number in [seq, fields.at, u64::from(fields.version)] {
            hasher.update(8_u64.to_be_bytes());
            hasher.update(number.to_be_bytes());
        }
        // One byte tells no cause from an empty one.
        match fields.cause {
            None => hasher.update([0]),
            Some(cause) => {
                hasher.update([1]);
                text(&mut hasher, cause);
            }
        }
        text(&mut hasher, fields.kind);
        text(&mut hasher, fields.body);
        Self { seq, hash: hasher.finalize().into() }
    }
}

fn text(hasher: &mut Sha256, bytes: &[u8]) {
    hasher.update((bytes.len() as u64).to_be_bytes());
    hasher.update(bytes);
}

impl fmt::Display for Head {
    /// Prints `1042:ab34…`, with all 64 digits of the hash.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, self.hex())
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Head {
    type Err = HeadError;

    fn from_str(text: &str) -> Result<Self, HeadError> {
        let (seq, hex) = text.split_once(':').ok_or(HeadError)?;
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if hex.len() != 64 || !digits(hex) || !seq.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(HeadError);
        }
        let mut hash = [0; 32];
        for (byte, at) in hash.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&hex[at..at + 2], 16).map_err(|_| HeadError)?;
        }
        Ok(Self { seq: seq.parse().map_err(|_| HeadError)?, hash })
    }
}

/// Text that is not a printed [`Head`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("read a journal head: it looks like `1042:` and 64 hexadecimal digits")]
pub struct HeadError;

/// What a link of the chain covers, apart from its number and the hash before it.
pub(crate) struct Fields<'a> {
    pub(crate) at: u64,
    pub(crate) version: u32,
    pub(crate) cause: Option<&'a [u8]>,
    pub(crate) kind: &'a [u8],
    pub(crate) body: &'a [u8],
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields<'a>(cause: Option<&'a [u8]>, kind: &'a [u8], body: &'a [u8]) -> Fields<'a> {
        Fields { at: 1, version: 1, cause, kind, body }
    }

    #[test]
    fn each_field_counts() {
        let genesis = Head::genesis();
        let heads = [
            genesis.then(&fields(None, b"ab", b"c")),
            genesis.then(&fields(Some(b""), b"ab", b"c")),
            genesis.then(&fields(None, b"a", b"bc")),
            genesis.then(&fields(None, b"ab", b"d")),
            genesis.then(&Fields { at: 2, ..fields(None, b"ab", b"c") }),
            genesis.then(&Fields { version: 2, ..fields(None, b"ab", b"c") }),
            Head { seq: 1, ..genesis }.then(&fields(None, b"ab", b"c")),
            Head { hash: [0; 32], ..genesis }.then(&fields(None, b"ab", b"c")),
        ];
        for (index, head) in heads.iter().enumerate() {
            assert!(heads[..index].iter().all(|other| other.hash != head.hash), "{index}");
        }
    }

    #[test]
    fn heads_read_back_what_they_print() {
        let head = Head::genesis().then(&fields(None, b"a", b"b"));
        assert_eq!(head.to_string().parse(), Ok(head));
        for bad in
            ["", "1", "1:", ":00", "x:00", &format!("1:{}", "é".repeat(32)), &format!(":{}", head.hex())]
        {
            assert_eq!(bad.parse::<Head>(), Err(HeadError), "{bad}");
        }
    }
}
