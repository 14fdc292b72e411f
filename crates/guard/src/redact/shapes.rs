//! Things that look like secrets, wherever they came from.
//!
//! A few bytes trigger a closer look at the place where they stand. A look that finds a secret
//! takes all that it read. One that finds nothing has read a bounded number of bytes, or a run
//! that no other look of its kind reads again; so the whole stays linear.

use std::ops::Range;

/// What a secret looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    AnthropicKey,
    ApiKey,
    GithubToken,
    GitlabToken,
    AwsAccessKey,
    GoogleKey,
    StripeKey,
    SlackToken,
    RegistryToken,
    JsonWebToken,
    Authorization,
    PrivateKey,
    UrlPassword,
    WebHook,
}

impl Shape {
    /// The name that people read in place of the secret.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::AnthropicKey => "anthropic key",
            Self::ApiKey => "api key",
            Self::GithubToken => "github token",
            Self::GitlabToken => "gitlab token",
            Self::AwsAccessKey => "aws access key",
            Self::GoogleKey => "google key",
            Self::StripeKey => "stripe key",
            Self::SlackToken => "slack token",
            Self::RegistryToken => "registry token",
            Self::JsonWebToken => "json web token",
            Self::Authorization => "authorization",
            Self::PrivateKey => "private key",
            Self::UrlPassword => "url password",
            Self::WebHook => "web hook",
        }
    }
}

/// What a closer look found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// A secret.
    Secret(Shape, Range<usize>),
    /// The head of a private key whose body begins here; its end may be on a later line.
    KeyBody(usize),
    /// Nothing.
    Nothing,
}

/// The rule that a trigger leads to.
#[derive(Debug, Clone, Copy)]
enum Rule {
    /// The trigger itself tells; what follows must be at least this many bytes of the alphabet.
    Prefix(Shape, Alphabet, usize),
    Sk,
    Slack,
    JsonWebToken,
    Bearer,
    Header,
    PrivateKey,
    Url,
}

#[derive(Debug, Clone, Copy)]
enum Alphabet {
    /// Letters and digits.
    Alnum,
    /// Capital letters and digits.
    Capitals,
    /// Letters, digits, `-` and `_`.
    Word,
    /// What a token in a header may consist of.
    Token,
}

impl Alphabet {
    fn holds(self, byte: u8) -> bool {
        match self {
            Self::Alnum => byte.is_ascii_alphanumeric(),
            Self::Capitals => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
            Self::Word => byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'),
            Self::Token => {
                byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~' | b'+' | b'/' | b'=')
            }
        }
    }
}

const fn github(bytes: &'static [u8]) -> (&'static [u8], Rule) {
    (bytes, Rule::Prefix(Shape::GithubToken, Alphabet::Alnum, 20))
}

const fn stripe(bytes: &'static [u8]) -> (&'static [u8], Rule) {
    (bytes, Rule::Prefix(Shape::StripeKey, Alphabet::Alnum, 16))
}

const fn aws(bytes: &'static [u8]) -> (&'static [u8], Rule) {
    (bytes, Rule::Prefix(Shape::AwsAccessKey, Alphabet::Capitals, 16))
}

/// Who knows the address may post there.
const fn hook(bytes: &'static [u8]) -> (&'static [u8], Rule) {
    (bytes, Rule::Prefix(Shape::WebHook, Alphabet::Token, 24))
}

const TRIGGERS: &[(&[u8], Rule)] = &[
    (b"sk-", Rule::Sk),
    github(b"ghp_"),
    github(b"gho_"),
    github(b"ghu_"),
    github(b"ghs_"),
    github(b"ghr_"),
    (b"github_pat_", Rule::Prefix(Shape::GithubToken, Alphabet::Word, 20)),
    (b"glpat-", Rule::Prefix(Shape::GitlabToken, Alphabet::Word, 20)),
    aws(b"AKIA"),
    aws(b"ASIA"),
    (b"AIza", Rule::Prefix(Shape::GoogleKey, Alphabet::Word, 35)),
    stripe(b"sk_live_"),
    stripe(b"sk_test_"),
    stripe(b"rk_live_"),
    (b"npm_", Rule::Prefix(Shape::RegistryToken, Alphabet::Alnum, 36)),
    (b"pypi-", Rule::Prefix(Shape::RegistryToken, Alphabet::Word, 50)),
    (b"xox", Rule::Slack),
    (b"eyJ", Rule::JsonWebToken),
    (b"earer ", Rule::Bearer),
    (b"uthorization", Rule::Header),
    (b"UTHORIZATION", Rule::Header),
    (b"-api-key", Rule::Header),
    (b"-Api-Key", Rule::Header),
    (b"-API-KEY", Rule::Header),
    (b"-----BEGIN ", Rule::PrivateKey),
    (b"://", Rule::Url),
    hook(b"hooks.slack.com/services/"),
    hook(b"discord.com/api/webhooks/"),
    hook(b"discordapp.com/api/webhooks/"),
];

/// The bytes to search for; their places in this list are what [`look`] takes.
pub(super) fn triggers() -> impl Iterator<Item = Vec<u8>> {
    TRIGGERS.iter().map(|(bytes, _)| bytes.to_vec())
}

/// Looks closer at `line[at..]`, where trigger number `trigger` begins.
pub(super) fn look(line: &[u8], at: usize, trigger: usize) -> Look {
    let (bytes, rule) = TRIGGERS[trigger];
    let after = at + bytes.len();
    match rule {
        Rule::Prefix(shape, alphabet, least) => {
            let end = run(line, after, alphabet, NO_LIMIT);
            secret_if(end - after >= least, shape, at..end)
        }
        Rule::Sk => look_sk(line, at),
        Rule::Slack => look_slack(line, at, after),
        Rule::JsonWebToken => look_json_web_token(line, at),
        Rule::Bearer => {
            // The space in the trigger ends every other run: none is read twice.
            let end = run(line, after, Alphabet::Token, NO_LIMIT);
            secret_if(is_random(&line[after..end]), Shape::Authorization, after..end)
        }
        Rule::Header => look_header(line, after),
        Rule::PrivateKey => look_private_key(line, after),
        Rule::Url => look_url(line, after),
    }
}

fn secret_if(is_secret: bool, shape: Shape, range: Range<usize>) -> Look {
    if is_secret { Look::Secret(shape, range) } else { Look::Nothing }
}

/// Read on to the end of the run, however long it is.
const NO_LIMIT: usize = usize::MAX;

/// Where the bytes of `alphabet` that begin at `from` end, or `from` plus `most`.
fn run(line: &[u8], from: usize, alphabet: Alphabet, most: usize) -> usize {
    let rest = line.get(from..).unwrap_or_default();
    from + rest.iter().take(most).take_while(|byte| alphabet.holds(**byte)).count()
}

/// Whether a digit stands near the front. Not farther, so that a run is not read again and again.
fn has_digit(bytes: &[u8]) -> bool {
    bytes.iter().take(64).any(u8::is_ascii_digit)
}

/// Long enough and with a digit: words of a sentence are not.
pub(super) fn is_random(bytes: &[u8]) -> bool {
    bytes.len() >= 16 && has_digit(bytes)
}

/// `sk-ant-…` and its like are sure; other `sk-…` must begin a word (not `task-…`) and look random.
fn look_sk(line: &[u8], at: usize) -> Look {
    const SURE: [(&[u8], Shape); 4] = [
        (b"sk-ant-", Shape::AnthropicKey),
        (b"sk-proj-", Shape::ApiKey),
        (b"sk-svcacct-", Shape::ApiKey),
        (b"sk-or-v1-", Shape::ApiKey),
    ];
    for (prefix, shape) in SURE {
        if line[at..].starts_with(prefix) {
            let end = run(line, at, Alphabet::Word, NO_LIMIT);
            return secret_if(end - at >= prefix.len() + 16, shape, at..end);
        }
    }
    if !begins_word(line, at) {
        return Look::Nothing;
    }
    let end = run(line, at, Alphabet::Word, NO_LIMIT);
    secret_if(end - at >= 23 && has_digit(&line[at..end]), Shape::ApiKey, at..end)
}

/// Whether no word reaches up to `at`. The ends of escapes (`\n`, `%3D`, `\u003d`, a colour) are
/// not part of a word although they look so.
fn begins_word(line: &[u8], at: usize) -> bool {
    let before = &line[at.saturating_sub(24)..at];
    let Some(last) = before.last() else { return true };
    if !Alphabet::Word.holds(*last) {
        return true;
    }
    let ends_with_hex = |digits: usize, lead: &[u8]| {
        let (head, tail) = before.split_at(before.len().saturating_sub(digits));
        tail.len() == digits && tail.iter().all(u8::is_ascii_hexdigit) && head.ends_with(lead)
    };
    let colour = || {
        let start = before.iter().rposition(|byte| *byte == 0x1b);
        start.is_some_and(|start| {
            let inner = &before[start + 1..before.len() - 1];
            inner.first() == Some(&b'[')
                && inner[1..].iter().all(|byte| byte.is_ascii_digit() || *byte == b';')
        })
    };
    let escaped = matches!(last, b'n' | b'r' | b't' | b'b' | b'f') && before.ends_with(&[b'\\', *last]);
    escaped || ends_with_hex(2, b"%") || ends_with_hex(4, b"\\u") || (*last == b'm' && colour())
}

/// `xoxb-…` and its like.
fn look_slack(line: &[u8], at: usize, after: usize) -> Look {
    let rest = &line[after..];
    if rest.get(1) != Some(&b'-') || !has_digit(&rest[..run(rest, 0, Alphabet::Word, 64)]) {
        return Look::Nothing;
    }
    let end = run(line, after, Alphabet::Word, NO_LIMIT);
    secret_if(end - after >= 12, Shape::SlackToken, at..end)
}

/// Two or three groups joined by dots, the first of which is an encoded `{"`.
fn look_json_web_token(line: &[u8], at: usize) -> Look {
    if !begins_word(line, at) {
        return Look::Nothing;
    }
    let head = run(line, at, Alphabet::Word, NO_LIMIT);
    let body = run(line, head + 1, Alphabet::Word, NO_LIMIT);
    if head - at < 12 || line.get(head) != Some(&b'.') || body < head + 9 {
        return Look::Nothing;
    }
    let has_signature = line.get(body) == Some(&b'.');
    let end = if has_signature { run(line, body + 1, Alphabet::Word, NO_LIMIT) } else { body };
    Look::Secret(Shape::JsonWebToken, at..end)
}

/// `Authorization: Bearer …`, `"x-api-key": "…"` and the like: the value, without the scheme.
fn look_header(line: &[u8], after: usize) -> Look {
    let skip = |from: usize, bytes: &[u8]| {
        let rest = line[from..].iter().take(4);
        from + rest.take_while(|byte| bytes.contains(*byte)).count()
    };
    let colon = skip(after, b"\"'\\ ");
    if !matches!(line.get(colon), Some(b':' | b'=')) {
        return Look::Nothing;
    }
    let mut start = skip(colon + 1, b"\"'\\ ");
    let scheme = run(line, start, Alphabet::Alnum, 12);
    let is_scheme = ["bearer", "basic", "token", "bot", "digest", "negotiate"]
        .iter()
        .any(|name| name.as_bytes().eq_ignore_ascii_case(&line[start..scheme]));
    if is_scheme && line.get(scheme) == Some(&b' ') {
        start = scheme + 1;
    }
    let front = &line[start..run(line, start, Alphabet::Token, 64)];
    if front.len() < 8 || !(is_scheme || has_digit(front)) {
        return Look::Nothing;
    }
    Look::Secret(Shape::Authorization, start..run(line, start, Alphabet::Token, NO_LIMIT))
}

/// `-----BEGIN … PRIVATE KEY-----`; `after` is behind the `BEGIN `.
fn look_private_key(line: &[u8], after: usize) -> Look {
    const HEAD_BYTES_MAX: usize = 48;
    let head = &line[after..line.len().min(after + HEAD_BYTES_MAX)];
    let Some(dashes) = head.windows(5).position(|bytes| bytes == b"-----") else {
        return Look::Nothing;
    };
    if head[..dashes].windows(11).any(|bytes| bytes == b"PRIVATE KEY") {
        Look::KeyBody(after + dashes + 5)
    } else {
        Look::Nothing
    }
}

/// `user:password@` or a long token before the `@`; `after` is behind the `://`.
fn look_url(line: &[u8], after: usize) -> Look {
    let is_outside = |byte: &u8| byte.is_ascii_whitespace() || b"/?#\"'<>`\\|".contains(byte);
    let length = line[after..].iter().position(is_outside).unwrap_or(line.len() - after);
    let authority = &line[after..after + length];
    let Some(at) = authority.iter().rposition(|byte| *byte == b'@') else {
        return Look::Nothing;
    };
    let user = &authority[..at];
    let colon = user.iter().position(|byte| *byte == b':').unwrap_or(at);
    if is_random(&user[..colon]) {
        Look::Secret(Shape::UrlPassword, after..after + at)
    } else {
        secret_if(colon + 1 < at, Shape::UrlPassword, after + (colon + 1).min(at)..after + at)
    }
}
