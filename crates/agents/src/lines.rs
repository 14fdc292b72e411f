//! Bytes to lines, with a cap: a line that is longer is skipped and counted.

/// Collects bytes until a line is whole.
#[derive(Debug)]
pub(crate) struct Lines {
    partial: Vec<u8>,
    bytes_max: usize,
    /// Whether the line that is being read is already too long.
    skipping: bool,
    skipped: u64,
}

impl Lines {
    /// Nothing read yet; lines above `bytes_max` bytes are skipped.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { partial: Vec::new(), bytes_max, skipping: false, skipped: 0 }
    }

    /// How many lines were too long.
    pub(crate) fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Hands every line that `bytes` completes to `take`, without its line break.
    pub(crate) fn feed(&mut self, bytes: &[u8], mut take: impl FnMut(&[u8])) {
        let mut rest = bytes;
        while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(at);
            rest = after.get(1..).unwrap_or_default();
            if self.skipping {
                self.skipping = false;
            } else if self.partial.len() + line.len() > self.bytes_max {
                self.skipped = self.skipped.saturating_add(1);
                self.partial = Vec::new();
            } else if self.partial.is_empty() {
                take(line);
            } else {
                self.partial.extend_from_slice(line);
                take(&self.partial);
                self.partial.clear();
            }
        }
        self.keep(rest);
    }

    /// Hands the last line to `take`, when it has no line break.
    pub(crate) fn finish(&mut self, take: impl FnOnce(&[u8])) {
        let last = std::mem::take(&mut self.partial);
        self.skipping = false;
        if !last.is_empty() {
            take(&last);
        }
    }

    fn keep(&mut self, rest: &[u8]) {
        if self.skipping {
            return;
        }
        if self.partial.len() + rest.len() > self.bytes_max {
            self.skipping = true;
            self.skipped = self.skipped.saturating_add(1);
            self.partial = Vec::new();
        } else {
            self.partial.extend_from_slice(rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(chunks: &[&str], bytes_max: usize) -> (Vec<String>, u64) {
        let mut lines = Lines::new(bytes_max);
        let mut out = Vec::new();
        for chunk in chunks {
            lines.feed(chunk.as_bytes(), |line| out.push(String::from_utf8_lossy(line).into_owned()));
        }
        lines.finish(|line| out.push(String::from_utf8_lossy(line).into_owned()));
        (out, lines.skipped())
    }

    #[test]
    fn lines_come_whole_however_they_are_cut() {
        let table: [(&[&str], &[&str], u64); 7] = [
            (&["a\nb\n"], &["a", "b"], 0),
            (&["a", "\n", "b"], &["a", "b"], 0),
            (&["", "\n\n"], &["", ""], 0),
            (&["12345\n123456\nok\n"], &["12345", "ok"], 1),
            (&["123", "456", "789\nok"], &["ok"], 1),
            (&["123", "456\nok\n", "1234567"], &["ok"], 2),
            (&["12345", "6\n", "x\n"], &["x"], 1),
        ];
        for (chunks, wanted, skipped) in table {
            let (got, counted) = all(chunks, 5);
            assert_eq!((got, counted), (wanted.iter().map(ToString::to_string).collect(), skipped));
        }
    }
}
