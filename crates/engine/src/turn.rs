//! The turn: inputs in, decisions durable, obligations started.

use std::collections::BTreeSet;

use dayshift_core::event::{Entry, Event};
use dayshift_core::ids::RunId;
use dayshift_core::input::{Input, Refusal, Report};
use dayshift_core::state::State;
use dayshift_core::time::{Millis, Timestamp};
use dayshift_core::types::Obligation;
use dayshift_core::{next_deadline, owed, step};

use crate::ports::{Journal, JournalFailure, Outside};

/// How long news that nobody waits for may stay in memory before they are made durable.
const LAZY_MAX: Millis = Millis::seconds(1);

/// How long a frozen engine waits before it tries its journal again.
const FROZEN_WAIT: Millis = Millis::seconds(1);

/// The engine cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The journal cannot be read, and waiting does not help.
    #[error("{0}")]
    Journal(String),
}

/// What a turn came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turned {
    /// Whether the decisions are durable. If not, they were not made: the engine is frozen,
    /// or has just replayed.
    pub is_durable: bool,
    /// When to turn again even if nothing comes in.
    pub wake: Option<Timestamp>,
    /// What each request came to, in the order of the inputs: the run that it made, if it made one,
    /// or why it made no sense after all that was decided before it. Nothing when not durable.
    pub answers: Vec<Result<Option<RunId>, Refusal>>,
}

impl Turned {
    /// Nothing was decided.
    fn undecided(wake: Option<Timestamp>) -> Self {
        Self { is_durable: false, wake, answers: Vec::new() }
    }
}

/// One state, one journal, one outside world.
#[derive(Debug)]
pub struct Engine<J, O> {
    state: State,
    journal: J,
    outside: O,
    in_flight: BTreeSet<Obligation>,
    /// Decided and applied, not durable yet, with nothing owed because of them.
    lazy: Vec<Entry>,
    lazy_since: Option<Timestamp>,
    /// The last failure of the journal; while it is there, nothing is opened or performed.
    frozen: Option<(JournalFailure, Timestamp)>,
    /// How many entries the outside knows to be durable.
    told: u64,
    dropped: u64,
}

impl<J: Journal, O: Outside> Engine<J, O> {
    /// Replays the journal. Nothing is performed before the first turn.
    pub fn open(journal: J, outside: O) -> Result<Self, EngineError> {
        let mut engine = Self {
            state: State::new(),
            journal,
            outside,
            in_flight: BTreeSet::new(),
            lazy: Vec::new(),
            lazy_since: None,
            frozen: None,
            told: 0,
            dropped: 0,
        };
        let replayed = engine.replay().map_err(|failure| EngineError::Journal(failure.message))?;
        // Whoever made the outside has read the same journal.
        engine.told = replayed.durable;
        Ok(engine)
    }

    /// What is true now.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The outside world.
    pub fn outside(&mut self) -> &mut O {
        &mut self.outside
    }

    /// Why nothing happens, if the journal cannot be written.
    pub fn frozen(&self) -> Option<&JournalFailure> {
        self.frozen.as_ref().map(|(failure, _)| failure)
    }

    /// Reports that came too late or twice and were dropped.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Decisions that are applied to the state and wait for the next append: the state is what
    /// the journal makes, followed by these.
    pub fn lazy(&self) -> &[Entry] {
        &self.lazy
    }

    /// Takes the engine apart, as a crash would: what was not durable is gone.
    pub fn into_parts(self) -> (J, O, State) {
        (self.journal, self.outside, self.state)
    }

    /// Housekeeping while nothing waits.
    pub fn idle(&mut self) {
        self.journal.idle();
    }

    /// Decides on the inputs, makes the decisions durable in one append, then starts what is
    /// owed because of them.
    pub fn turn(&mut self, now: Timestamp, inputs: Vec<Input>) -> Result<Turned, EngineError> {
        if !self.thaw(now)? {
            return Ok(Turned::undecided(self.frozen.as_ref().map(|(_, until)| *until)));
        }
        let mut batch = std::mem::take(&mut self.lazy);
        let lazy_count = batch.len();
        let mut answers = Vec::new();
        for input in inputs {
            self.forget_reported(&input);
            let request = match &input {
                Input::Request { id, .. } => Some(id.clone()),
                Input::Report(_) | Input::Tick => None,
            };
            let decided = step(&mut self.state, now, input);
            self.dropped += u64::from(decided.dropped);
            batch.extend(decided.entries);
            if let Some(id) = request {
                answers.push(decided.refused.map_or_else(|| Ok(self.state.answered(&id).flatten()), Err));
            }
        }
        // Deadlines come to pass without any input.
        batch.extend(step(&mut self.state, now, Input::Tick).entries);
        batch.iter().skip(lazy_count).for_each(|entry| self.forget_settled(&entry.event));
        let since = *self.lazy_since.get_or_insert(now);
        let is_urgent = batch.iter().skip(lazy_count).any(|entry| !is_lazy(&entry.event));
        if batch.is_empty() {
            self.lazy_since = None;
        } else if !is_urgent && now - since < LAZY_MAX && now >= since {
            self.lazy = batch;
        } else {
            self.lazy_since = None;
            if let Err(failure) = self.journal.append(&batch) {
                return self.freeze(now, failure);
            }
            self.committed(&batch);
        }
        self.perform(now);
        Ok(Turned { is_durable: true, wake: self.wake(now), answers })
    }

    fn committed(&mut self, entries: &[Entry]) {
        self.told += u64::try_from(entries.len()).unwrap_or(0);
        self.outside.committed(&self.state, entries);
    }

    fn wake(&self, now: Timestamp) -> Option<Timestamp> {
        let lazy = if self.lazy.is_empty() { None } else { self.lazy_since.map(|since| since + LAZY_MAX) };
        [next_deadline(&self.state, now), lazy].into_iter().flatten().min()
    }

    /// An obligation that failed is not in flight any more: it is owed again after its delay. Nor is telling people
    /// that is over: what it told of may be less than what there is to tell by now, and that is owed.
    fn forget_reported(&mut self, input: &Input) {
        if let Input::Report(Report::Failed { obligation, .. }) = input {
            self.in_flight.remove(obligation);
        } else if let Input::Report(Report::Notified { question, .. }) = input {
            self.in_flight.remove(&Obligation::Notify(*question));
        }
    }

    /// What speaks of a task or a run can be settled and owed afresh in one turn, and is then
    /// not in flight, although it stands before and after: a run closes again with another
    /// story than the report that is being written tells.
    fn forget_settled(&mut self, event: &Event) {
        let settled = match event {
            Event::RunClosed { run, .. } | Event::ReportWritten { run, .. } => Obligation::WriteReport(*run),
            Event::WorkspaceReleased { task, .. } => Obligation::ReleaseWorkspace(*task),
            // The next look at the same attempt is another one.
            Event::AttemptProbed { attempt, .. } => Obligation::ProbeAgent(*attempt),
            Event::AnswerDelivered { question } => Obligation::DeliverAnswer(*question),
            Event::RunSubmitted { .. }
            | Event::RunPaused { .. }
            | Event::RunDraining { .. }
            | Event::RunResumed { .. }
            | Event::TaskClosed { .. }
            | Event::TaskReopened { .. }
            | Event::AttemptOpened { .. }
            | Event::WorkspaceReady { .. }
            | Event::AgentStarted { .. }
            | Event::SessionNamed { .. }
            | Event::CostCharged { .. }
            | Event::ProcessEnded { .. }
            | Event::StopOrdered { .. }
            | Event::AttemptEnded { .. }
            | Event::GateDecided { .. }
            | Event::RetryScheduled { .. }
            | Event::WorkSentBack { .. }
            | Event::JobsAdded { .. }
            | Event::QuestionAsked { .. }
            | Event::QuestionAnswered { .. }
            | Event::QuestionReminded { .. }
            | Event::PeopleNotified { .. }
            | Event::ReviewDecided { .. }
            | Event::JobHeld { .. }
            | Event::JobReleased { .. }
            | Event::JobFinished { .. }
            | Event::BudgetWarned { .. }
            | Event::BudgetSet { .. }
            | Event::RepetitionSeen { .. }
            | Event::DiskChanged { .. }
            | Event::CeilingSet { .. }
            | Event::ObligationFailed { .. } => return,
        };
        self.in_flight.remove(&settled);
    }

    fn perform(&mut self, now: Timestamp) {
        // What waits after a failure still stands: a clock that is set back must not make the
        // engine forget that the next try of it is under way.
        let standing: BTreeSet<Obligation> = owed(&self.state, Timestamp(u64::MAX)).into_iter().collect();
        self.in_flight.retain(|obligation| standing.contains(obligation));
        for obligation in owed(&self.state, now) {
            if self.in_flight.insert(obligation) {
                self.outside.perform(&self.state, obligation);
            }
        }
        self.outside.performed();
    }

    /// A failed append is a crash in small: what was decided is dropped, and the state is
    /// read again. Until that works, nothing is opened and nothing performed.
    fn freeze(&mut self, now: Timestamp, failure: JournalFailure) -> Result<Turned, EngineError> {
        if !failure.is_passing {
            return Err(EngineError::Journal(failure.message));
        }
        self.state = State::new();
        self.frozen = Some((failure, now + FROZEN_WAIT));
        Ok(Turned::undecided(Some(now + FROZEN_WAIT)))
    }

    /// Tries to read the journal again after a failure, at most once a second. True when the engine can
    /// go on; until then there is no state, and a turn does nothing.
    pub fn thaw(&mut self, now: Timestamp) -> Result<bool, EngineError> {
        let Some((_, until)) = &self.frozen else { return Ok(true) };
        if now < *until && *until - now <= FROZEN_WAIT {
            return Ok(false);
        }
        match self.replay() {
            Ok(replayed) if replayed.durable < self.told => Err(EngineError::Journal(format!(
                "failed to read the journal again: it holds {} entries, and {} were durable before: it was cut or exchanged",
                replayed.durable, self.told
            ))),
            Ok(replayed) => {
                self.frozen = None;
                // A failed append may have been durable all the same: then nobody was told of it.
                if !replayed.untold.is_empty() {
                    self.committed(&replayed.untold);
                }
                Ok(true)
            }
            Err(failure) if failure.is_passing => {
                self.frozen = Some((failure, now + FROZEN_WAIT));
                Ok(false)
            }
            Err(failure) => Err(EngineError::Journal(failure.message)),
        }
    }

    fn replay(&mut self) -> Result<Replayed, JournalFailure> {
        let (mut state, mut replayed, told) = (State::new(), Replayed::default(), self.told);
        // Before anything was told, whoever listens reads for itself.
        let is_opening = self.frozen.is_none();
        self.journal.replay(&mut |entry| {
            state.apply(entry);
            replayed.durable += 1;
            if !is_opening && replayed.durable > told {
                replayed.untold.push(entry.clone());
            }
        })?;
        self.state = state;
        self.in_flight.clear();
        self.lazy.clear();
        self.lazy_since = None;
        Ok(replayed)
    }
}

/// What a journal was found to hold.
#[derive(Debug, Default)]
struct Replayed {
    /// How many entries.
    durable: u64,
    /// Those that the outside was never told of.
    untold: Vec<Entry>,
}

/// Whether an event can wait for the next commit: nothing is owed because of it, and after a
/// crash the same report comes again.
fn is_lazy(event: &Event) -> bool {
    match event {
        Event::AgentStarted { .. }
        | Event::SessionNamed { .. }
        | Event::CostCharged { .. }
        | Event::AttemptProbed { .. } => true,
        Event::RunSubmitted { .. }
        | Event::RunPaused { .. }
        | Event::RunDraining { .. }
        | Event::RunResumed { .. }
        | Event::RunClosed { .. }
        | Event::TaskClosed { .. }
        | Event::TaskReopened { .. }
        | Event::AttemptOpened { .. }
        | Event::WorkspaceReady { .. }
        | Event::ProcessEnded { .. }
        | Event::StopOrdered { .. }
        | Event::AttemptEnded { .. }
        | Event::GateDecided { .. }
        | Event::RetryScheduled { .. }
        | Event::WorkSentBack { .. }
        | Event::JobsAdded { .. }
        | Event::QuestionAsked { .. }
        | Event::QuestionAnswered { .. }
        | Event::AnswerDelivered { .. }
        | Event::QuestionReminded { .. }
        | Event::PeopleNotified { .. }
        | Event::ReviewDecided { .. }
        | Event::JobHeld { .. }
        | Event::JobReleased { .. }
        | Event::JobFinished { .. }
        | Event::BudgetWarned { .. }
        | Event::BudgetSet { .. }
        | Event::RepetitionSeen { .. }
        | Event::DiskChanged { .. }
        | Event::CeilingSet { .. }
        | Event::ObligationFailed { .. }
        | Event::WorkspaceReleased { .. }
        | Event::ReportWritten { .. } => false,
    }
}
