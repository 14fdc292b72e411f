//! A file that keeps the head and the tail of what is written to it, and survives a full disk.
//!
//! The tail is a queue of segments. A log's first ones lie in the file itself, behind the head, so
//! that what fits under the cap is written once; what is dropped of them is cut out at the end.
//! All others lie in files beside it. Of a stream, which is parsed by offset while it grows,
//! nothing may move once it was written: all its segments lie beside it.

use std::collections::VecDeque;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The tail is kept in segments of an eighth of the cap; this many of them.
const SEGMENTS_MAX: usize = 4;
const SEGMENTS_PER_CAP: u64 = 8;
/// The smallest cap that makes sense.
pub(crate) const CAP_MIN: u64 = 64 * 1024;
/// How much is held back at most, to make one write of many pieces.
const PENDING_BYTES_MAX: usize = 256 * 1024;

/// How much is copied at once when head and tail are joined.
const COPY_BYTES: usize = 256 * 1024;

/// Held while a file is opened: a child may be started meanwhile only in the slower way, because
/// the quick way lowers the process's limit on descriptors for a moment.
pub(crate) static OPENING: Mutex<()> = Mutex::new(());

/// What a gap looks like in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gaps {
    /// A line that tells how many bytes are missing.
    Told,
    /// An empty line, after which a parser finds whole lines again.
    Newline,
}

/// See the module. Nothing is created before the first byte.
#[derive(Debug)]
pub(crate) struct CappedFile {
    path: PathBuf,
    gaps: Gaps,
    head_max: u64,
    segment_max: u64,
    head_bytes: u64,
    /// The tail; the last one is being written. Empty while the head has room.
    segments: VecDeque<Segment>,
    segments_made: usize,
    /// Bytes behind the head in the file itself that are to be cut out.
    gone_bytes: u64,
    /// The file that is being written.
    file: Option<File>,
    pending: Vec<u8>,
    pending_source: u64,
    fault: Option<Fault>,
    dropped: Dropped,
}

#[derive(Debug)]
struct Segment {
    place: Place,
    bytes: u64,
    source_bytes: u64,
}

#[derive(Debug)]
enum Place {
    /// In the file itself, behind the head and the segments before.
    Inside,
    /// In a file of its own.
    Beside(PathBuf),
}

#[derive(Debug)]
struct Fault {
    source_bytes: u64,
    /// A part of a line was written before it.
    torn: bool,
    message: String,
}

/// Bytes of the agent that are in no file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Dropped {
    /// For the cap.
    pub(crate) capped: u64,
    /// For errors of the disk.
    pub(crate) failed: u64,
    /// The last such error.
    pub(crate) error: Option<String>,
}

impl CappedFile {
    pub(crate) fn new(path: PathBuf, cap: u64, gaps: Gaps) -> Self {
        let cap = cap.max(CAP_MIN);
        Self {
            path,
            gaps,
            head_max: cap / 2,
            segment_max: cap / SEGMENTS_PER_CAP,
            head_bytes: 0,
            segments: VecDeque::new(),
            segments_made: 0,
            gone_bytes: 0,
            file: None,
            pending: Vec::new(),
            pending_source: 0,
            fault: None,
            dropped: Dropped::default(),
        }
    }

    /// Takes one piece, in parts, that must not be torn by a gap; it stands for `source_bytes` of
    /// the agent.
    ///
    /// A piece should be far smaller than an eighth of the cap, which it may exceed by itself.
    pub(crate) fn push(&mut self, parts: &[&[u8]], source_bytes: u64) {
        let length: u64 = parts.iter().map(|part| part.len() as u64).sum();
        let in_head = self.segments.is_empty();
        let used = self.current_bytes() + self.pending.len() as u64;
        let max = if in_head { self.head_max } else { self.segment_max };
        if used + length > max && (in_head || used > 0) {
            self.rotate();
        } else if self.pending.len() >= PENDING_BYTES_MAX {
            self.flush();
        }
        for part in parts {
            self.pending.extend_from_slice(part);
        }
        self.pending_source += source_bytes;
    }

    fn current_bytes(&self) -> u64 {
        self.segments.back().map_or(self.head_bytes, |segment| segment.bytes)
    }

    /// Bytes that can be read in the file itself now.
    pub(crate) fn readable_bytes(&self) -> u64 {
        self.head_bytes
    }

    /// Begins the next segment, and drops the oldest when there are too many.
    fn rotate(&mut self) {
        self.flush();
        self.segments_made += 1;
        let place = match self.gaps {
            Gaps::Told if self.segments_made <= SEGMENTS_MAX => Place::Inside,
            Gaps::Told | Gaps::Newline => {
                self.file = None;
                let mut name = self.path.clone().into_os_string();
                name.push(format!(".tail{}", self.segments_made));
                Place::Beside(name.into())
            }
        };
        self.segments.push_back(Segment { place, bytes: 0, source_bytes: 0 });
        if self.segments.len() > SEGMENTS_MAX
            && let Some(oldest) = self.segments.pop_front()
        {
            self.dropped.capped += oldest.source_bytes;
            match oldest.place {
                Place::Inside => self.gone_bytes += oldest.bytes,
                // It may never have come to be, on a full disk.
                Place::Beside(path) => drop(fs::remove_file(path)),
            }
        }
    }

    /// Hands everything to the operating system, or counts it as dropped.
    pub(crate) fn flush(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let mut bytes = std::mem::take(&mut self.pending);
        let source_bytes = std::mem::take(&mut self.pending_source);
        if let Some(fault) = &self.fault {
            let mut gap = gap_mark(self.gaps, fault);
            gap.extend_from_slice(&bytes);
            bytes = gap;
        }
        match self.write(&bytes) {
            Ok(()) => {
                self.fault = None;
                self.written(bytes.len() as u64, source_bytes);
            }
            Err((written, error)) => {
                self.written(written as u64, 0);
                self.fail(source_bytes, written > 0, &error);
            }
        }
        bytes.clear();
        self.pending = bytes;
    }

    fn written(&mut self, bytes: u64, source_bytes: u64) {
        match self.segments.back_mut() {
            Some(segment) => {
                segment.bytes += bytes;
                segment.source_bytes += source_bytes;
            }
            None => self.head_bytes += bytes,
        }
    }

    fn fail(&mut self, source_bytes: u64, torn: bool, error: &io::Error) {
        self.dropped.failed += source_bytes;
        self.dropped.error = Some(error.to_string());
        let before = self.fault.take();
        self.fault = Some(Fault {
            source_bytes: source_bytes + before.as_ref().map_or(0, |fault| fault.source_bytes),
            torn: torn || before.is_some_and(|fault| fault.torn),
            message: error.to_string(),
        });
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        if self.file.is_none() {
            let path = match self.segments.back().map(|segment| &segment.place) {
                None | Some(Place::Inside) => &self.path,
                Some(Place::Beside(path)) => path,
            };
            self.file = Some(open(path).map_err(|error| (0, error))?);
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut written = 0;
        while written < bytes.len() {
            match file.write(&bytes[written..]) {
                Ok(0) => return Err((written, io::ErrorKind::WriteZero.into())),
                Ok(more) => written += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err((written, error)),
            }
        }
        Ok(())
    }

    /// Joins head and tail; `told` makes the line that tells of a number of dropped bytes.
    pub(crate) fn finish(&mut self, told: impl FnOnce(u64) -> String) -> Dropped {
        self.flush();
        if self.segments.is_empty() {
            return self.dropped.clone();
        }
        self.file = None;
        if let Err(error) = self.join(told) {
            // What could not be joined stays beside it under its own name: nothing is lost by that.
            self.dropped.error = Some(format!("join the tail: {error}"));
        }
        self.dropped.clone()
    }

    fn join(&mut self, told: impl FnOnce(u64) -> String) -> io::Result<()> {
        let mark = match (self.dropped.capped, self.gaps) {
            (0, _) => String::new(),
            (bytes, Gaps::Told) => told(bytes),
            (_, Gaps::Newline) => "\n".to_owned(),
        };
        let mut copy = vec![0; COPY_BYTES];
        self.close_gap(mark.as_bytes(), &mut copy)?;
        let mut whole = open(&self.path)?;
        while let Some(segment) = self.segments.front() {
            if let Place::Beside(path) = &segment.place
                && segment.bytes > 0
            {
                let tail = open_tail(path)?;
                let mut at = 0;
                while let length @ 1.. = tail.read_at(&mut copy, at)? {
                    whole.write_all(&copy[..length])?;
                    at += length as u64;
                }
                self.head_bytes += at;
                fs::remove_file(path)?;
            }
            self.segments.pop_front();
        }
        Ok(())
    }

    /// Puts `mark` behind the head and moves up what is kept of the segments inside; from then on
    /// they belong to the head.
    fn close_gap(&mut self, mark: &[u8], copy: &mut [u8]) -> io::Result<()> {
        let inside = self.segments.iter().filter(|segment| matches!(segment.place, Place::Inside));
        let kept: u64 = inside.map(|segment| segment.bytes).sum();
        let gone = std::mem::take(&mut self.gone_bytes);
        if gone == 0 {
            // Nothing lies inside that something was dropped before, but on a disk that was full.
            self.head_bytes += kept;
            open(&self.path)?.write_all(mark)?;
            self.head_bytes += mark.len() as u64;
            return Ok(());
        }
        let file = reopen(&self.path)?;
        let mut from = self.head_bytes + gone;
        let end = from + kept;
        // Shorter than the segment that made room for it.
        file.write_all_at(mark, self.head_bytes)?;
        self.head_bytes += mark.len() as u64;
        while from < end {
            let wanted = usize::try_from(end - from).unwrap_or(usize::MAX).min(copy.len());
            file.read_exact_at(&mut copy[..wanted], from)?;
            file.write_all_at(&copy[..wanted], self.head_bytes)?;
            from += wanted as u64;
            self.head_bytes += wanted as u64;
        }
        file.set_len(self.head_bytes)
    }
}

fn gap_mark(gaps: Gaps, fault: &Fault) -> Vec<u8> {
    let end = if fault.torn { "\n" } else { "" };
    match gaps {
        Gaps::Told => {
            format!("{end}[{} bytes are missing here: {}]\n", fault.source_bytes, fault.message).into()
        }
        Gaps::Newline => b"\n".to_vec(),
    }
}

/// Opens for changing in the middle.
fn reopen(path: &Path) -> io::Result<File> {
    let _gate = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
    OpenOptions::new().read(true).write(true).open(path)
}

fn open_tail(path: &Path) -> io::Result<File> {
    let _gate = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
    File::open(path)
}

/// Opens for appending; makes the folder, private to the user, when it is missing.
fn open(path: &Path) -> io::Result<File> {
    let _gate = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
    let open = || OpenOptions::new().append(true).create(true).mode(0o600).open(path);
    match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Some(folder) = path.parent() {
                DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            }
            open()
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(bytes: u64) -> String {
        format!("[{bytes} dropped]\n")
    }

    #[test]
    fn nothing_is_created_before_the_first_byte() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/log");
        let mut file = CappedFile::new(path.clone(), 0, Gaps::Told);
        file.flush();
        assert_eq!(file.finish(told), Dropped::default());
        assert!(!folder.path().join("a").exists());
    }

    #[test]
    fn head_and_tail_are_kept_and_the_gap_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut file = CappedFile::new(path.clone(), CAP_MIN, Gaps::Told);
        let lines = 40_000_u64;
        for number in 0..lines {
            file.push(&[format!("{number:08}\n").as_bytes()], 9);
            if number % 100 == 0 {
                file.flush();
            }
        }
        let dropped = file.finish(told);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.len() as u64 <= CAP_MIN + 40, "{}", text.len());
        assert!(text.len() as u64 > CAP_MIN * 3 / 4, "{}", text.len());
        assert!(text.starts_with("00000000\n00000001\n") && text.ends_with("00039999\n"));
        let kept = text.lines().filter(|line| !line.starts_with('[')).count() as u64;
        assert_eq!(dropped.capped, (lines - kept) * 9);
        assert!(text.contains(&told(dropped.capped)));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_tail_without_a_gap_is_joined_seamlessly() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stream");
        let mut file = CappedFile::new(path.clone(), CAP_MIN, Gaps::Newline);
        let text = "0123456789".repeat(5000);
        for piece in text.as_bytes().chunks(1000) {
            file.push(&[piece], 1000);
        }
        assert_eq!(file.finish(told), Dropped::default());
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        assert_eq!(file.readable_bytes(), text.len() as u64);
    }

    #[test]
    fn what_is_dropped_is_cut_out_wherever_it_lies() {
        // From a log that just fits to one whose tail has long left the file itself.
        for lines in (6_000..16_000_u64).step_by(250) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("log");
            let mut file = CappedFile::new(path.clone(), CAP_MIN, Gaps::Told);
            for number in 0..lines {
                file.push(&[format!("{number:08}\n").as_bytes()], 9);
            }
            let dropped = file.finish(told).capped;
            let text = fs::read_to_string(&path).unwrap();
            let kept: Vec<u64> = text.lines().filter_map(|line| line.parse().ok()).collect();
            let gap = kept.windows(2).position(|pair| pair[1] != pair[0] + 1).map_or(0, |at| at + 1);
            let missing = if gap == 0 { 0 } else { kept[gap] - kept[gap - 1] - 1 };
            assert_eq!((kept[0], *kept.last().unwrap(), missing * 9), (0, lines - 1, dropped), "{lines}");
            assert_eq!(kept.len() as u64 + missing, lines);
            if dropped > 0 {
                let mark = told(dropped);
                assert_eq!(text.find(&mark), Some(gap * 9), "{lines}");
            }
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn a_full_disk_drops_and_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        let mut file = CappedFile::new(path.clone(), CAP_MIN, Gaps::Told);
        file.push(&[b"lost\n"], 5);
        file.flush();
        // The disk gets room again.
        fs::remove_file(&path).unwrap();
        file.file = None;
        file.push(&[b"kept\n"], 5);
        let dropped = file.finish(told);
        assert_eq!(dropped.failed, 5);
        assert!(dropped.error.unwrap().contains("No space left"));
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("[5 bytes are missing here: No space left"), "{text}");
        assert!(text.ends_with("\nkept\n"), "{text}");
    }
}
