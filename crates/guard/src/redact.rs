//! Secrets out of text, line by line.

mod finder;
mod glance;
mod names;
mod search;
mod shapes;
mod spellings;
#[cfg(test)]
mod tests;

pub use names::is_secret_name;
pub use search::{Credential, credentials};

use std::sync::LazyLock;

use finder::Finder;
use shapes::{Look, Shape};

/// The same for all redactors, and never changed.
static TRIGGERS: LazyLock<Finder<2>> = LazyLock::new(|| Finder::new(shapes::triggers()));

/// How many lines a private key may have; then its end is believed to be missing.
const KEY_LINES_MAX: u32 = 1_000;
/// How many lines of something else may stand between those of a private key.
const KEY_OTHERS_MAX: u32 = 20;
/// A line of a private key holds at least this much base64 in one piece, unless it is the last.
const KEY_RUN_MIN: usize = 32;

/// Replaces secrets by `[redacted NAME]`: known values in several spellings, and things that look
/// like keys, tokens and passwords.
///
/// One redactor follows one stream of text: a private key goes over many lines, and it remembers
/// that it is inside of one.
#[derive(Debug)]
pub struct Redactor {
    /// What people read in place of each known value.
    names: Vec<String>,
    /// The known values, all spellings.
    known: Finder<3>,
    /// For each spelling, its value's place in `names`.
    owners: Vec<usize>,
    longest: usize,
    key: Option<Key>,
    /// Kept between calls only to save allocations.
    spans: Vec<Span>,
    rewritten: Vec<u8>,
}

/// A private key whose end has not been seen.
#[derive(Debug, Clone, Copy)]
struct Key {
    /// Lines until its end is believed to be missing.
    lines_left: u32,
    /// Lines of something else in between that are put up with: two streams may be mixed.
    others_left: u32,
    /// Whether the line before was part of it.
    is_close: bool,
}

/// A part of a line that is not to be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    start: usize,
    end: usize,
    label: Label,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Label {
    Known(usize),
    Shape(Shape),
}

impl Redactor {
    /// A redactor that knows the values of those `variables` whose names look like a secret's
    /// ([`is_secret_name`]) and that are at least eight bytes long. All else about it is in
    /// [`Redactor::redact`].
    pub fn new<N, V>(variables: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: AsRef<str>,
        V: AsRef<[u8]>,
    {
        Self::knowing(variables.into_iter().filter(|(name, _)| is_secret_name(name.as_ref())))
    }

    /// Like [`Redactor::new`], where the variables named in `secrets` are known too, whatever
    /// their names look like.
    pub fn of_process(
        variables: &[(String, String)],
        secrets: &[String],
        hidden: &[(String, String)],
    ) -> Self {
        let is_secret = |name: &String| is_secret_name(name) || secrets.iter().any(|secret| secret == name);
        let own = variables.iter().filter(|(name, _)| is_secret(name));
        let is_own = |(_, value): &&(String, String)| variables.iter().any(|(_, own)| own == value);
        let others = hidden.iter().filter(|other| !is_own(other));
        Self::knowing(own.chain(others).map(|(name, value)| (name, value)))
    }

    /// Like [`Redactor::new`], for values that are secrets whatever their names look like.
    pub fn knowing<N, V>(secrets: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: AsRef<str>,
        V: AsRef<[u8]>,
    {
        let (mut names, mut owners, mut needles) = (Vec::new(), Vec::new(), Vec::new());
        for (name, value) in secrets {
            let spellings = spellings::spellings(value.as_ref());
            owners.extend(spellings.iter().map(|_| names.len()));
            needles.extend(spellings);
            names.push(names::printable(name.as_ref()));
        }
        Self {
            longest: needles.iter().map(Vec::len).max().unwrap_or(0),
            names,
            known: Finder::new(needles),
            owners,
            key: None,
            spans: Vec::new(),
            rewritten: Vec::new(),
        }
    }

    /// The length in bytes of the longest spelling of a known value. Who has to hand in a line in
    /// pieces must let them overlap by this much.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// Takes the secrets out of `line`, which is one line with or without its line end, in any
    /// encoding. A line without secrets is left as it is.
    pub fn redact(&mut self, line: &mut Vec<u8>) {
        self.spans.clear();
        let body = self.inside_key(line);
        self.find_shapes(line, body);
        self.find_known(line);
        if !self.spans.is_empty() {
            self.rewrite(line);
        }
    }

    /// Whether [`Redactor::redact`] would leave every one of these lines as it is and remember
    /// nothing of them; far quicker than to ask about each of them. A no may be wrong.
    pub fn is_clean(&self, lines: &[u8]) -> bool {
        self.key.is_none() && !glance::has_trigger(lines) && self.known.find(lines, 0).is_none()
    }

    /// `text` without its secrets, line by line, apart from the stream that
    /// [`Redactor::redact`] follows. Bytes that were no UTF-8 cannot arise.
    pub fn redact_text(&mut self, text: &str) -> String {
        let stream = self.key.take();
        let mut result = Vec::with_capacity(text.len());
        for line in text.split_inclusive('\n') {
            let mut line = line.as_bytes().to_vec();
            self.redact(&mut line);
            result.append(&mut line);
        }
        self.key = stream;
        String::from_utf8(result)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }

    fn find_known(&mut self, line: &[u8]) {
        let mut from = 0;
        while let Some(hit) = self.known.find(line, from) {
            // Not behind the hit: another secret may begin inside of this one.
            from = hit.start + 1;
            let label = Label::Known(self.owners[hit.needle]);
            self.hide(hit.start, hit.start + hit.len, label);
        }
    }

    fn find_shapes(&mut self, line: &[u8], mut from: usize) {
        while let Some(hit) = TRIGGERS.find(line, from) {
            from = match shapes::look(line, hit.start, hit.needle) {
                Look::Nothing => hit.start + 1,
                Look::Secret(shape, range) => {
                    self.hide(range.start, range.end, Label::Shape(shape));
                    range.end
                }
                Look::KeyBody(start) => {
                    self.key =
                        Some(Key { lines_left: KEY_LINES_MAX, others_left: KEY_OTHERS_MAX, is_close: true });
                    self.key_body(line, start)
                }
            };
        }
    }

    /// Goes on with a private key that an earlier line began. Returns where the ordinary part of
    /// the line begins.
    fn inside_key(&mut self, line: &[u8]) -> usize {
        let Some(key) = &mut self.key else { return 0 };
        key.lines_left = key.lines_left.saturating_sub(1);
        let is_part = is_key_line(line, key.is_close);
        key.is_close = is_part;
        if !is_part {
            key.others_left = key.others_left.saturating_sub(1);
        }
        if key.lines_left == 0 || key.others_left == 0 {
            self.key = None;
        }
        if is_part { self.key_body(line, 0) } else { 0 }
    }

    /// Hides the body of a private key from `start` to the key's end mark or the line's end, and
    /// returns where that is.
    fn key_body(&mut self, line: &[u8], start: usize) -> usize {
        let rest = &line[start..];
        let mark = rest.windows(8).position(|bytes| bytes == b"-----END");
        let end = mark.unwrap_or_else(|| rest.trim_ascii_end().len());
        if mark.is_some() {
            self.key = None;
        }
        // A quote or a line break alone is no body.
        if rest[..end].iter().any(u8::is_ascii_alphanumeric) {
            self.hide(start, start + end, Label::Shape(Shape::PrivateKey));
        }
        start + end
    }

    /// Marks a part of the line, as one with the mark before it where they overlap and are of a kind.
    fn hide(&mut self, start: usize, end: usize, label: Label) {
        if let Some(last) = self.spans.last_mut()
            && std::mem::discriminant(&last.label) == std::mem::discriminant(&label)
            && last.start <= start
            && (start < last.end || (start == last.end && label == last.label))
        {
            last.end = last.end.max(end);
            return;
        }
        self.spans.push(Span { start, end, label });
    }

    fn rewrite(&mut self, line: &mut Vec<u8>) {
        // Two runs, each in order: a stable sort merges them in linear time.
        self.spans.sort_by_key(|span| span.start);
        self.rewritten.clear();
        let mut shown = 0;
        let mut index = 0;
        while let Some(first) = self.spans.get(index) {
            let mut whole = *first;
            index += 1;
            while let Some(next) = self.spans.get(index).filter(|next| next.start < whole.end) {
                whole.end = whole.end.max(next.end);
                // The name of a known value says more than its looks.
                if let (Label::Shape(_), Label::Known(_)) = (whole.label, next.label) {
                    whole.label = next.label;
                }
                index += 1;
            }
            let name = match whole.label {
                Label::Known(owner) => &self.names[owner],
                Label::Shape(shape) => shape.name(),
            };
            self.rewritten.extend_from_slice(&line[shown..whole.start]);
            self.rewritten.extend_from_slice(b"[redacted ");
            self.rewritten.extend_from_slice(name.as_bytes());
            self.rewritten.push(b']');
            shown = whole.end;
        }
        self.rewritten.extend_from_slice(&line[shown..]);
        line.clear();
        line.extend_from_slice(&self.rewritten);
    }
}

/// Whether a line can belong to the body of a private key: its end mark, base64, or one of the
/// headers that old formats have; short or empty ones only when the line before did too.
fn is_key_line(line: &[u8], is_close: bool) -> bool {
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    let line = line.trim_ascii();
    let headers: [&[u8]; 4] = [b"Proc-Type:", b"DEK-Info:", b"Version:", b"Comment:"];
    (is_close && line.iter().all(is_base64))
        || line.windows(8).any(|bytes| bytes == b"-----END")
        || (is_close && headers.iter().any(|header| line.starts_with(header)))
        || line.split(|byte| !is_base64(byte)).any(|run| run.len() >= KEY_RUN_MIN)
}
