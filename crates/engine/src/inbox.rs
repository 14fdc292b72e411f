//! The loop of a real process: one inbox, one thread that decides, one sleep.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::time::Duration;

use dayshift_core::ids::RunId;
use dayshift_core::input::{Input, Refusal, Report, Request};
use dayshift_core::state::State;
use dayshift_core::time::Timestamp;

use crate::ports::{Clock, Journal, Outside};
use crate::turn::{Engine, EngineError};

/// How many messages one turn takes at most.
const TURN_MAX: usize = 1_024;

/// The longest sleep: a clock that was set back is noticed after this.
const SLEEP_MAX: Duration = Duration::from_mins(1);

/// How long nothing must have come in before housekeeping is worth its while: between two jobs
/// it would be in the way.
const IDLE_AFTER: Duration = Duration::from_millis(500);

/// What a request came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It was taken, or had been taken before; with the run that it made.
    Taken(Option<RunId>),
    /// It makes no sense now.
    Refused(Refusal),
    /// The journal cannot be written; nothing was taken.
    Frozen(String),
}

/// One thing in the inbox.
#[derive(Debug)]
pub enum Message {
    /// Reports of an adapter, in order.
    Reports(Vec<Report>),
    /// A request, with where to answer once it is durable.
    Request {
        /// Unique to the request.
        id: String,
        /// What is wanted.
        request: Request,
        /// Where the answer goes; a caller that has gone is no error.
        reply: SyncSender<Answer>,
    },
    /// Look again: something the loop's end depends on has changed.
    Wake,
}

/// The way into an inbox; cheap to clone.
///
/// Sending never blocks, because the engine's own thread sends too (an obligation that fails
/// at once). What can wait in the inbox is bounded by its senders: each obligation in flight
/// has one answer, and each attempt tells of its spending a few times a second at most.
#[derive(Debug, Clone)]
pub struct Handle {
    sender: Sender<Message>,
}

impl Handle {
    /// Hands in a report. A closed inbox is no error: the engine is gone, and the next one
    /// asks again for everything it owes.
    pub fn report(&self, report: Report) {
        self.reports(vec![report]);
    }

    /// Hands in reports that came together: one turn decides on them all.
    pub fn reports(&self, reports: Vec<Report>) {
        let _ = self.sender.send(Message::Reports(reports));
    }

    /// Hands in a request and waits until it is durable or refused; `None` when the engine
    /// is gone.
    pub fn request(&self, id: String, request: Request) -> Option<Answer> {
        self.post(id, request)?.recv().ok()
    }

    /// Hands in a request and returns where its answer will arrive.
    pub fn post(&self, id: String, request: Request) -> Option<Receiver<Answer>> {
        let (reply, answer) = sync_channel(1);
        self.sender.send(Message::Request { id, request, reply }).ok()?;
        Some(answer)
    }

    /// Makes the loop look again.
    pub fn wake(&self) {
        let _ = self.sender.send(Message::Wake);
    }
}

/// Looks on after every turn, on the engine's thread.
pub trait Observer {
    /// Whether the loop shall end. `state` is what is durable.
    fn is_over(&mut self, state: &State, now: Timestamp) -> bool;

    /// The journal cannot be written for now: nothing is decided and nothing performed. Whether
    /// the loop shall end all the same.
    fn is_over_frozen(&mut self, message: &str) -> bool {
        let _ = message;
        false
    }
}

/// An engine with its inbox and clock.
#[derive(Debug)]
pub struct Service<J, O, C> {
    engine: Engine<J, O>,
    inbox: Receiver<Message>,
    clock: C,
    /// Nothing has come in since the last housekeeping.
    is_tidy: bool,
}

impl<J: Journal, O: Outside, C: Clock> Service<J, O, C> {
    /// Makes the inbox, then the outside world that reports to it, then the engine.
    pub fn open(
        journal: J,
        clock: C,
        outside: impl FnOnce(Handle) -> O,
    ) -> Result<(Self, Handle), EngineError> {
        let (sender, inbox) = channel();
        let handle = Handle { sender };
        let engine = Engine::open(journal, outside(handle.clone()))?;
        Ok((Self { engine, inbox, clock, is_tidy: false }, handle))
    }

    /// What is true now.
    pub fn state(&self) -> &State {
        self.engine.state()
    }

    /// Takes the engine apart; the state is what was true last.
    pub fn into_parts(self) -> (J, O, State) {
        self.engine.into_parts()
    }

    /// Turns until the observer says that it is over.
    pub fn run(&mut self, observer: &mut impl Observer) -> Result<(), EngineError> {
        let mut messages = Vec::new();
        loop {
            let mut callers = Vec::new();
            let now = self.clock.now();
            let inputs = if self.engine.thaw(now)? {
                sort(messages, &mut callers)
            } else {
                // What is true cannot be read now, so nothing can be said against a request either.
                self.turn_away(messages);
                Vec::new()
            };
            let mut turned = self.engine.turn(now, inputs)?;
            let mut answers = std::mem::take(&mut turned.answers).into_iter();
            for reply in callers {
                let answer = match answers.next() {
                    Some(Ok(run)) => Answer::Taken(run),
                    Some(Err(refusal)) => Answer::Refused(refusal),
                    None => self.not_taken(),
                };
                let _ = reply.try_send(answer);
            }
            let now = self.clock.now();
            if turned.is_durable && observer.is_over(self.engine.state(), now) {
                return Ok(());
            }
            if let Some(failure) = self.engine.frozen()
                && observer.is_over_frozen(&failure.message)
            {
                return Ok(());
            }
            messages = self.wait(turned.wake, now);
        }
    }

    /// The journal cannot be written: who asked may ask again, and what was reported is asked for again.
    fn turn_away(&self, messages: Vec<Message>) {
        let why = self.engine.frozen().map_or_else(String::new, |failure| failure.message.clone());
        for message in messages {
            match message {
                Message::Request { reply, .. } => {
                    let _ = reply.try_send(Answer::Frozen(why.clone()));
                }
                Message::Reports(_) | Message::Wake => {}
            }
        }
    }

    fn not_taken(&self) -> Answer {
        let reason = self.engine.frozen().map(|failure| failure.message.clone());
        Answer::Frozen(reason.unwrap_or_else(|| "note it: the journal was just read again".to_owned()))
    }

    /// Sleeps until something comes in or is due, then takes everything that is there.
    fn wait(&mut self, wake: Option<Timestamp>, now: Timestamp) -> Vec<Message> {
        let mut messages: Vec<Message> = self.inbox.try_iter().take(TURN_MAX).collect();
        if !messages.is_empty() {
            return messages;
        }
        let pause = wake.map_or(SLEEP_MAX, |wake| Duration::from_millis((wake - now).0).min(SLEEP_MAX));
        match self.sleep(pause) {
            Ok(message) => {
                self.is_tidy = false;
                messages.push(message);
                messages.extend(self.inbox.try_iter().take(TURN_MAX - 1));
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
        messages
    }

    /// Sleeps until something comes in, at most `pause`; a long sleep begins with housekeeping,
    /// once nothing has come for a while.
    fn sleep(&mut self, pause: Duration) -> Result<Message, RecvTimeoutError> {
        if self.is_tidy || pause <= IDLE_AFTER {
            return self.inbox.recv_timeout(pause);
        }
        match self.inbox.recv_timeout(IDLE_AFTER) {
            Err(RecvTimeoutError::Timeout) => {
                self.engine.idle();
                self.is_tidy = true;
                self.inbox.recv_timeout(pause.saturating_sub(IDLE_AFTER))
            }
            other => other,
        }
    }
}

/// Splits messages into inputs and, in the order of the requests among them, who waits for an answer.
fn sort(messages: Vec<Message>, callers: &mut Vec<SyncSender<Answer>>) -> Vec<Input> {
    let mut inputs = Vec::with_capacity(messages.len());
    for message in messages {
        match message {
            Message::Reports(reports) => inputs.extend(reports.into_iter().map(Input::Report)),
            Message::Request { id, request, reply } => {
                inputs.push(Input::Request { id, request });
                callers.push(reply);
            }
            Message::Wake => {}
        }
    }
    inputs
}
