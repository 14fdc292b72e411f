//! Bytes from and to the agents. Bounded per turn, and stopped while the disk is behind.

use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::Duration;

use dayshift_core::ids::AttemptId;
use rustix::event::epoll::{self, EventFlags};
use rustix::io::Errno;

use super::live::Stage;
use super::{Hooks, Token, Worker, wall};
use crate::output::lines::Source;
use crate::output::recorder::{Plan, Redactor, Summary};
use crate::output::writer::Bytes;
use crate::proc;
use crate::protocol::Launch;

pub(super) const STDOUT: usize = 0;
pub(super) const STDERR: usize = 1;

/// What an escaped process may still add after its tree was proven dead.
const DRAIN_BYTES_MAX: usize = 1024 * 1024;
/// Memory is sampled at most this often.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// What one read of a pipe came to.
enum Gulp {
    Bytes(usize),
    Empty,
    Closed,
    /// The disk is behind.
    NoRoom,
}

impl Worker {
    /// One read of one pipe that has something.
    pub(super) fn read_pipe(&mut self, attempt: AttemptId, which: usize) {
        match self.gulp(attempt, which) {
            Gulp::Bytes(_) => self.sample(attempt),
            Gulp::Empty => {}
            Gulp::Closed => self.close_pipe(attempt, which),
            Gulp::NoRoom => self.starve(attempt, which),
        }
    }

    fn gulp(&mut self, attempt: AttemptId, which: usize) -> Gulp {
        let Some(live) = self.live.get_mut(&attempt) else { return Gulp::Empty };
        let Some(pipe) = &live.pipes[which] else { return Gulp::Empty };
        if !self.writer.has_room(&live.gauge) {
            return Gulp::NoRoom;
        }
        let length = match rustix::io::read(pipe, &mut self.scratch[..]) {
            Ok(0) => return Gulp::Closed,
            Ok(length) => length,
            Err(Errno::AGAIN | Errno::INTR) => return Gulp::Empty,
            Err(_) => return Gulp::Closed,
        };
        if !live.is_recorded {
            let Some(launch) = &live.launch else { return Gulp::Closed };
            live.is_recorded = true;
            let plan = Plan {
                folder: PathBuf::from(&launch.folder),
                keep_stream: launch.stream,
                log_bytes_max: launch.log_bytes_max,
                line_bytes_max: launch.line_bytes_max,
                hash: launch.hash_output,
                redactor: redactor(&self.hooks, launch),
            };
            self.writer.open(attempt, plan);
        }
        live.output_bytes += length as u64;
        live.heard = self.now;
        let source = if which == STDOUT { Source::Stdout } else { Source::Stderr };
        let bytes = Bytes::take(&mut self.scratch, length, &self.writer);
        self.writer.chunk(attempt, source, wall(), bytes, &live.gauge);
        Gulp::Bytes(length)
    }

    fn close_pipe(&mut self, attempt: AttemptId, which: usize) {
        if let Some(live) = self.live.get_mut(&attempt) {
            // Closing takes it out of epoll: no other descriptor means this end.
            live.pipes[which] = None;
        }
    }

    /// Leaves a pipe alone until the disk has caught up: the agent waits, nobody else.
    fn starve(&mut self, attempt: AttemptId, which: usize) {
        if let Some(pipe) = self.live.get(&attempt).and_then(|live| live.pipes[which].as_ref()) {
            // Taken out altogether: epoll would tell of a closed other end again and again.
            let _ = epoll::delete(&self.epoll, pipe);
            self.starved.insert(attempt);
        }
    }

    /// The writer made room: reads on.
    fn feed_starved(&mut self) {
        for attempt in std::mem::take(&mut self.starved) {
            let Some(live) = self.live.get(&attempt) else { continue };
            if !self.writer.has_room(&live.gauge) {
                self.starved.insert(attempt);
                continue;
            }
            if live.stage == Stage::Draining {
                self.drain(attempt);
                continue;
            }
            let tokens = [Token::Stdout(attempt), Token::Stderr(attempt)];
            for (pipe, token) in live.pipes.iter().zip(tokens) {
                if let Some(pipe) = pipe {
                    // The other pipe of the two may never have been taken out.
                    let _ = epoll::add(&self.epoll, pipe, token.data(), EventFlags::IN);
                }
            }
        }
    }

    /// What the writer thread has to tell.
    pub(super) fn writer_news(&mut self) {
        let news = self.writer.news();
        for (attempt, stream_bytes) in news.written {
            if let Some(live) = self.live.get_mut(&attempt) {
                live.stream_bytes = stream_bytes;
                self.tell_output(attempt);
            }
        }
        for (attempt, summary) in news.finished {
            self.complete(attempt, summary);
        }
        self.feed_starved();
    }

    /// Reads what is left in the pipes of a tree that is proven dead, then ends the attempt.
    pub(super) fn drain(&mut self, attempt: AttemptId) {
        for which in [STDOUT, STDERR] {
            let mut drained = 0;
            loop {
                match self.gulp(attempt, which) {
                    Gulp::Bytes(length) => drained += length,
                    Gulp::NoRoom => return self.starve(attempt, which),
                    // Empty, yet open: something that escaped holds it. It is not waited for.
                    Gulp::Empty | Gulp::Closed => break,
                }
                if drained > DRAIN_BYTES_MAX {
                    break;
                }
            }
            self.close_pipe(attempt, which);
        }
        let Some(live) = self.live.get_mut(&attempt) else { return };
        live.stdin = None;
        if live.is_recorded {
            live.stage = Stage::Flushing;
            self.writer.finish(attempt);
        } else {
            self.complete(attempt, Summary::default());
        }
    }

    /// Writes as much of its standard input as the agent takes now.
    pub(super) fn feed_stdin(&mut self, attempt: AttemptId) {
        let Some(live) = self.live.get_mut(&attempt) else { return };
        let Some(feed) = &mut live.stdin else { return };
        let is_first = feed.written == 0;
        let is_over = loop {
            if feed.written == feed.text.len() {
                break true;
            }
            match rustix::io::write(&feed.pipe, &feed.text[feed.written..]) {
                Ok(written) => feed.written += written,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break false,
                // It does not want to read any more, which is its right.
                Err(_) => break true,
            }
        };
        if is_over {
            live.stdin = None;
        } else if is_first {
            watch_stdin(&self.epoll, &feed.pipe, attempt);
        }
    }

    /// The main process's memory, while it lives and talks.
    fn sample(&mut self, attempt: AttemptId) {
        let now = self.now;
        let Some(live) = self.live.get_mut(&attempt) else { return };
        let Some(leader) = &live.leader else { return };
        if live.rss_sampled.is_some_and(|sampled| sampled + SAMPLE_EVERY > now) {
            return;
        }
        live.rss_sampled = Some(now);
        live.rss_bytes = live.rss_bytes.max(proc::rss_peak(leader.identity.pid).unwrap_or(0));
    }
}

/// The hook's redactor. If making it fails, nothing is shown.
fn redactor(hooks: &Hooks, launch: &Launch) -> Redactor {
    catch_unwind(AssertUnwindSafe(|| (hooks.redactor)(launch)))
        .unwrap_or_else(|_| Box::new(|line: &mut Vec<u8>| *line = b"[line withheld: no redactor]".to_vec()))
}

fn watch_stdin(epoll: &OwnedFd, pipe: &OwnedFd, attempt: AttemptId) {
    // Called for each write that stopped before its first byte; a second time is refused, rightly.
    let _ = epoll::add(epoll, pipe, Token::Stdin(attempt).data(), EventFlags::OUT);
}
