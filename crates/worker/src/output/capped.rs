//! A file that keeps the head and the tail of what is written to it, and survives a full disk.

use std::collections::VecDeque;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The tail is kept in segments of an eighth of the cap; this many of them.
const SEGMENTS_MAX: usize = 4;
const SEGMENTS_PER_CAP: u64 = 8;
/// The smallest cap that makes sense.
pub(crate) const CAP_MIN: u64 = 64 * 1024;
/// How much is held back at most, to make one write of many pieces.
const PENDING_BYTES_MAX: usize = 256 * 1024;

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
    segments_made: u32,
    /// The file that is being written.
    file: Option<File>,
    pending: Vec<u8>,
    pending_source: u64,
    fault: Option<Fault>,
    dropped: Dropped,
}

#[derive(Debug)]
struct Segment {
    path: PathBuf,
    bytes: u64,
    source_bytes: u64,
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
            file: None,
            pending: Vec::new(),
            pending_source: 0,
            fault: None,
            dropped: Dropped::default(),
        }
    }

    /// Takes one piece that must not be torn by a gap; it stands for `source_bytes` of the agent.
    ///
    /// A piece should be far smaller than an eighth of the cap, which it may exceed by itself.
    pub(crate) fn push(&mut self, piece: &[u8], source_bytes: u64) {
        let length = piece.len() as u64;
        let in_head = self.segments.is_empty();
        let used = self.current_bytes() + self.pending.len() as u64;
        let max = if in_head { self.head_max } else { self.segment_max };
        if used + length > max && (in_head || used > 0) {
            self.rotate();
        } else if self.pending.len() >= PENDING_BYTES_MAX {
            self.flush();
        }
        self.pending.extend_from_slice(piece);
        self.pending_source += source_bytes;
    }

    fn current_bytes(&self) -> u64 {
        self.segments.back().map_or(self.head_bytes, |segment| segment.bytes)
    }

    /// Bytes that can be read in the file itself now.
    pub(crate) fn readable_bytes(&self) -> u64 {
        self.head_bytes
    }

    fn rotate(&mut self) {
        self.flush();
        self.file = None;
        self.segments_made += 1;
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".tail{}", self.segments_made));
        self.segments.push_back(Segment { path: name.into(), bytes: 0, source_bytes: 0 });
        if self.segments.len() > SEGMENTS_MAX
            && let Some(oldest) = self.segments.pop_front()
        {
            self.dropped.capped += oldest.source_bytes;
            // It may never have come to be, on a full disk.
            let _ = fs::remove_file(&oldest.path);
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
            let path = self.segments.back().map_or(&self.path, |segment| &segment.path);
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
        let mut head = open(&self.path)?;
        if self.dropped.capped > 0 {
            let mark = match self.gaps {
                Gaps::Told => told(self.dropped.capped),
                Gaps::Newline => "\n".to_owned(),
            };
            head.write_all(mark.as_bytes())?;
            self.head_bytes += mark.len() as u64;
        }
        while let Some(segment) = self.segments.front() {
            if segment.bytes > 0 {
                let mut tail = open_tail(&segment.path)?;
                self.head_bytes += io::copy(&mut tail, &mut head)?;
                fs::remove_file(&segment.path)?;
            }
            self.segments.pop_front();
        }
        Ok(())
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
            file.push(format!("{number:08}\n").as_bytes(), 9);
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
            file.push(piece, 1000);
        }
        assert_eq!(file.finish(told), Dropped::default());
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        assert_eq!(file.readable_bytes(), text.len() as u64);
    }

    #[test]
    fn a_full_disk_drops_and_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        let mut file = CappedFile::new(path.clone(), CAP_MIN, Gaps::Told);
        file.push(b"lost\n", 5);
        file.flush();
        // The disk gets room again.
        fs::remove_file(&path).unwrap();
        file.file = None;
        file.push(b"kept\n", 5);
        let dropped = file.finish(told);
        assert_eq!(dropped.failed, 5);
        assert!(dropped.error.unwrap().contains("No space left"));
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("[5 bytes are missing here: No space left"), "{text}");
        assert!(text.ends_with("\nkept\n"), "{text}");
    }
}
