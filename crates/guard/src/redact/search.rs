//! Credentials in texts that people wrote: not to be hidden, but to be refused.

use super::shapes::{self, Look, Shape};
use super::{KEY_RUN_MIN, TRIGGERS};

/// How many are told of one text; who has so many needs no longer list.
const FOUND_MAX: usize = 100;
/// The body of a private key begins at most so many lines behind its head.
const KEY_BODY_WITHIN: usize = 4;

/// Something in a text that looks like a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credential {
    /// 1-based line.
    pub line: usize,
    /// 1-based column, counted in characters.
    pub column: usize,
    /// Characters on that line.
    pub length: usize,
    /// What it looks like, such as `github token`.
    pub what: &'static str,
}

/// Finds what looks like a credential in `text`, at most a hundred of them, in order.
///
/// Stricter than [`super::Redactor`], which may hide too much without harm: names of variables,
/// words in place of a password, addresses of databases on this machine and the bare head of a
/// private key are not taken for credentials.
pub fn credentials(text: &str) -> Vec<Credential> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let bytes = line.as_bytes();
        let mut from = 0;
        while let Some(hit) = TRIGGERS.find(bytes, from) {
            from = hit.start + 1;
            let (what, start, end) = match shapes::look(bytes, hit.start, hit.needle) {
                Look::Secret(shape, range) => {
                    from = from.max(range.end);
                    if !is_certain(shape, bytes, &range) {
                        continue;
                    }
                    (shape, range.start, range.end)
                }
                Look::KeyBody(start) if has_key_body(&lines[index..], start) => {
                    (Shape::PrivateKey, hit.start, start)
                }
                Look::KeyBody(_) | Look::Nothing => continue,
            };
            let before = String::from_utf8_lossy(&bytes[..start]).chars().count();
            let length = String::from_utf8_lossy(&bytes[start..end]).chars().count();
            found.push(Credential { line: index + 1, column: before + 1, length, what: what.name() });
            if found.len() >= FOUND_MAX {
                return found;
            }
        }
    }
    found
}

/// Whether a text with this in it can be refused: some shapes also fit examples.
fn is_certain(shape: Shape, line: &[u8], range: &std::ops::Range<usize>) -> bool {
    let secret = &line[range.clone()];
    match shape {
        Shape::Authorization | Shape::WebHook => shapes::is_random(secret),
        Shape::UrlPassword => {
            let is_stand_in = secret.iter().any(|byte| matches!(byte, b'$' | b'{' | b'*' | b'%'));
            !is_stand_in && !is_near(&line[range.end..])
        }
        Shape::AnthropicKey
        | Shape::ApiKey
        | Shape::GithubToken
        | Shape::GitlabToken
        | Shape::AwsAccessKey
        | Shape::GoogleKey
        | Shape::StripeKey
        | Shape::SlackToken
        | Shape::RegistryToken
        | Shape::JsonWebToken
        | Shape::PrivateKey => true,
    }
}

/// Whether the host behind the `@` is this machine, a service beside it, or an example.
fn is_near(rest: &[u8]) -> bool {
    let host = rest.strip_prefix(b"@").unwrap_or(rest);
    let end = host.iter().position(|byte| !(byte.is_ascii_alphanumeric() || b".-_".contains(byte)));
    let host = String::from_utf8_lossy(&host[..end.unwrap_or(host.len())]).to_lowercase();
    let top = host.rsplit('.').next().unwrap_or_default();
    !host.contains('.')
        || host.starts_with("127.")
        || host.contains("example.")
        || matches!(top, "example" | "test" | "local")
}

/// Whether a private key goes on behind its head, on that line or soon after.
fn has_key_body(lines: &[&str], start: usize) -> bool {
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    let has_run = |bytes: &[u8]| bytes.split(|byte| !is_base64(byte)).any(|run| run.len() >= KEY_RUN_MIN);
    lines.iter().take(KEY_BODY_WITHIN).enumerate().any(|(index, line)| {
        let bytes = line.as_bytes();
        has_run(if index == 0 { bytes.get(start..).unwrap_or_default() } else { bytes })
    })
}
