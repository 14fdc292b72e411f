//! The ways in which a known secret can be spelt.

/// The shortest secret that is looked for, in bytes: a shorter one would be found in ordinary words.
pub(super) const SECRET_BYTES_MIN: usize = 8;
/// The longest piece of a secret that is looked for at once, in bytes; longer ones are looked for
/// piece by piece. It bounds the time that one comparison can take.
const PIECE_BYTES_MAX: usize = 4 * 1024;
/// How much of a value is looked at, in bytes.
const VALUE_BYTES_MAX: usize = 64 * 1024;

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Every spelling of `value` that is to be looked for; none when it is too short to be a secret.
pub(super) fn spellings(value: &[u8]) -> Vec<Vec<u8>> {
    let value = value[..value.len().min(VALUE_BYTES_MAX)].trim_ascii();
    let mut result = Vec::new();
    // Lines are redacted one at a time, so each line of a value has to be found by itself; spelt
    // as JSON or base64 the whole value can stand on one line.
    let lines = value.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    for piece in lines.chain([value]).flat_map(|line| line.chunks(PIECE_BYTES_MAX)) {
        if piece.len() < SECRET_BYTES_MIN {
            continue;
        }
        result.push(piece.to_vec());
        result.push(as_json(piece));
        for digits in [b"0123456789ABCDEF", b"0123456789abcdef"] {
            for (kept, space) in [(&b"-_.~"[..], &b"%20"[..]), (b"-_.!~*'()", b"%20"), (b"*-._", b"+")] {
                result.push(as_url(piece, digits, kept, space));
            }
        }
        for skipped in 0..3 {
            result.push(as_base64(piece, skipped, STANDARD));
            result.push(as_base64(piece, skipped, URL_SAFE));
        }
    }
    result.sort_unstable();
    result.dedup();
    result
}

/// As it stands between the quotes of a JSON string.
fn as_json(value: &[u8]) -> Vec<u8> {
    let mut result = Vec::with_capacity(value.len() + 8);
    for byte in value {
        match byte {
            b'"' | b'\\' => result.extend([b'\\', *byte]),
            b'\n' => result.extend(b"\\n"),
            b'\r' => result.extend(b"\\r"),
            b'\t' => result.extend(b"\\t"),
            _ => result.push(*byte),
        }
    }
    result
}

/// With everything but letters, digits and `kept` as `%XX`.
fn as_url(value: &[u8], digits: &[u8; 16], kept: &[u8], space: &[u8]) -> Vec<u8> {
    let mut result = Vec::with_capacity(value.len() + 16);
    for byte in value {
        if *byte == b' ' {
            result.extend(space);
        } else if byte.is_ascii_alphanumeric() || kept.contains(byte) {
            result.push(*byte);
        } else {
            result.extend([b'%', digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]);
        }
    }
    result
}

/// The base64 characters that depend on `value` alone, when `skipped` bytes stand before it in
/// its group of three: so it is found inside of a longer encoded text too (`user:password`).
fn as_base64(value: &[u8], skipped: usize, alphabet: &[u8; 64]) -> Vec<u8> {
    let bits = 8 * (skipped + value.len());
    let first = (8 * skipped).div_ceil(6);
    let at = |index: usize| index.checked_sub(skipped).and_then(|index| value.get(index)).map_or(0, |b| *b);
    (first..bits / 6)
        .map(|character| {
            let bit = 6 * character;
            let pair = u16::from_be_bytes([at(bit / 8), at(bit / 8 + 1)]);
            alphabet[usize::from(pair >> (10 - bit % 8) & 63)]
        })
        .collect()
}
