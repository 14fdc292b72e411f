//! Progress while a run goes on: one line per event, and on a terminal one live line per task.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use dayshift_core::event::{Entry, Event};
use dayshift_core::state::State;
use dayshift_core::time::Timestamp;

use super::troubles::Troubles;
use crate::cli::now;

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Plain lines, and live lines below them where standard output is a terminal.
    Lines,
    /// Nothing: somebody wants JSON, or nobody looks.
    Quiet,
}

/// What is on the screen.
pub(super) struct Terminal {
    style: Style,
    is_screen: bool,
    /// Live lines that stand below the plain ones.
    drawn: usize,
    pending: String,
    started: Option<Timestamp>,
    troubles: Troubles,
    /// Why it is still there, as last said.
    stays: Option<String>,
}

impl Terminal {
    pub(super) fn new(style: Style) -> Self {
        let is_screen = io::stdout().is_terminal();
        Self {
            style,
            is_screen,
            drawn: 0,
            pending: String::new(),
            started: None,
            troubles: Troubles::default(),
            stays: None,
        }
    }

    /// A live view moves on even when nothing happens.
    pub(super) fn redraw_every(&self) -> Option<Duration> {
        (self.style == Style::Lines && self.is_screen).then_some(Duration::from_secs(1))
    }

    /// One line that no entry tells.
    pub(super) fn say(&mut self, text: &str) {
        if self.style == Style::Lines {
            self.pending.push_str(text);
            self.pending.push('\n');
        }
    }

    pub(super) fn entry(&mut self, state: &State, entry: &Entry) {
        if self.style == Style::Quiet || self.is_told(entry) {
            return;
        }
        let started = *self.started.get_or_insert(entry.at);
        if let Some(line) = dayshift_views::progress(state, entry, started) {
            self.pending.push_str(&line);
            self.pending.push('\n');
        }
        if let Event::SessionNamed { attempt, version: Some(version), .. } = &entry.event
            && let Some(attempt) = state.attempt(*attempt)
            && let Some(agent) = state.agent_of_job(state.job_of(attempt))
            && let Some(warning) = dayshift_agents::version_warning(&agent.dialect, version)
        {
            let _ = writeln!(self.pending, "warning: {warning}");
        }
    }

    /// Whether people heard of this trouble already.
    fn is_told(&mut self, entry: &Entry) -> bool {
        let Event::ObligationFailed { failure, .. } = &entry.event else { return false };
        self.troubles.is_told(&failure.message, entry.at)
    }

    /// Prints what is new. A closed output stops nothing.
    pub(super) fn draw(&mut self, state: &State) {
        let stays = dayshift_views::stays(state);
        if stays != self.stays {
            if let Some(why) = &stays {
                self.say(why);
            }
            self.stays = stays;
        }
        if self.style == Style::Quiet || (!self.is_screen && self.pending.is_empty()) {
            return;
        }
        let mut text = self.erase();
        text.push_str(&std::mem::take(&mut self.pending));
        if self.is_screen {
            let lines = dayshift_views::live_lines(state, now(), width());
            self.drawn = lines.len();
            for line in lines {
                text.push_str(&line);
                text.push('\n');
            }
        }
        print(&text);
    }

    /// Takes the live lines away.
    pub(super) fn finish(&mut self) {
        let mut text = self.erase();
        text.push_str(&std::mem::take(&mut self.pending));
        print(&text);
    }

    fn erase(&mut self) -> String {
        let lines = std::mem::take(&mut self.drawn);
        if lines == 0 { String::new() } else { format!("\x1b[{lines}A\x1b[J") }
    }
}

fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn width() -> usize {
    rustix::termios::tcgetwinsize(io::stdout()).map_or(80, |size| usize::from(size.ws_col).max(20))
}
