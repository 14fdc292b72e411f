//! What a world is like. Each world has some faults and features and not others: two that are
//! always present can hide what only one alone would show.

use dayshift_core::types::FailureClass;

use crate::rng::Rng;

/// How a process of the world ends when nobody stops it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Exit code 0; whether it changed the tree and left its deliverables.
    Success { changes: bool, delivers: bool },
    /// An exit with a failure of this class.
    Failure(FailureClass),
    /// It never ends by itself.
    Hang,
    /// It cannot be started.
    NotStarted(FailureClass),
}

/// Rates in thousandths per occasion, and weights.
#[derive(Debug, Clone)]
pub(crate) struct Swarm {
    /// The engine dies during a turn or between two.
    pub(crate) crash: u32,
    /// An append fails and the engine lives on.
    pub(crate) append_fails: u32,
    /// The worker dies with all its processes.
    pub(crate) worker_dies: u32,
    /// A report of the worker is lost: its connection breaks.
    pub(crate) report_lost: u32,
    /// A report comes twice.
    pub(crate) report_repeated: u32,
    /// The longest way of a report, in milliseconds.
    pub(crate) report_delay_max: u64,
    /// A workspace cannot be made.
    pub(crate) prepare_fails: u32,
    /// A result cannot be collected.
    pub(crate) collect_fails: u32,
    /// A workspace cannot be taken down.
    pub(crate) release_fails: u32,
    /// A workspace is kept.
    pub(crate) release_keeps: u32,
    /// A report of a run cannot be written.
    pub(crate) writing_fails: u32,
    /// The worker cannot be reached.
    pub(crate) worker_unreachable: u32,
    /// The clock is set, per turn.
    pub(crate) clock_jumps: u32,
    /// People ask for something, per turn.
    pub(crate) requests: u32,
    /// A request is sent again although it was answered.
    pub(crate) request_repeated: u32,
    /// After how many turns faults and requests stop.
    pub(crate) fault_turns: u64,
    /// How long one turn of an agent takes at most, in milliseconds.
    pub(crate) pace_max: u64,
    /// How the work ends.
    pub(crate) work_ends: Vec<(u32, Ending)>,
    /// How gates end.
    pub(crate) gate_ends: Vec<(u32, Ending)>,
    /// Weights of worktree, in place, scratch.
    pub(crate) places: [u32; 3],
    /// Whether the folder is a git repository.
    pub(crate) is_git: u32,
    /// A task needs an earlier one, per pair within reach.
    pub(crate) needs: u32,
    /// Weights of needs on success, failure, any end, a real end.
    pub(crate) whens: [u32; 4],
    /// An agent has slots of its own.
    pub(crate) agent_slots: u32,
    /// Tasks share something, for each of three groups.
    pub(crate) conflicts: u32,
    /// A task has a gate, for each of three.
    pub(crate) gates: u32,
    /// A gate is not required.
    pub(crate) optional_gates: u32,
    /// A gate must be red on the base.
    pub(crate) red_on_base: u32,
    /// A red gate runs again.
    pub(crate) reruns: u32,
    /// A gate tells how many tests it ran; a gate wants some number of them.
    pub(crate) counts: u32,
    /// A run or task has a limit in money.
    pub(crate) budgets: u32,
    /// A day has a limit in money.
    pub(crate) day_budgets: u32,
    /// The jobs of a task have a limit in money.
    pub(crate) job_budgets: u32,
    /// Whatever may have a limit has one in tokens.
    pub(crate) tokens: u32,
    /// How far local clocks are ahead of UTC, in minutes.
    pub(crate) offset_minutes: i32,
    /// How long before midnight the world begins, in milliseconds.
    pub(crate) evening: u64,
    /// A turn of an agent has no price that anyone knows.
    pub(crate) unpriced: u32,
    /// An agent or a task has a limit of silence.
    pub(crate) stalls: u32,
    /// An agent falls silent, per turn of it.
    pub(crate) silence: u32,
    /// Weights of what a silent agent does: nothing, compute, start one process after the other.
    pub(crate) silent_doing: [u32; 3],
    /// A silent agent cannot be looked at.
    pub(crate) probe_fails: u32,
    /// An agent calls the same once more, per turn of it.
    pub(crate) repeats: u32,
    /// The room on the disk changes, per turn.
    pub(crate) disk_moves: u32,
    /// The machine becomes busy or short of memory, or free again, per turn.
    pub(crate) host_moves: u32,
    /// A task waits differently for a class of failures.
    pub(crate) waits_by_class: u32,
    /// A wait is for ever.
    pub(crate) never: u32,
    /// An append takes long, per turn.
    pub(crate) slow_disk: u32,
    /// Many things come at once, per turn.
    pub(crate) storms: u32,
    /// Weights of what people ask for: to drain, to cancel a job, a limit anew, to forget a
    /// workspace.
    pub(crate) asks: [u32; 4],
    /// Weights of claude-like, command, scripted agents and plain commands.
    pub(crate) works: [u32; 4],
    /// The most tasks of a world.
    pub(crate) tasks_max: u32,
    /// An agent's task has a pipeline.
    pub(crate) pipelines: u32,
    /// An agent asks a person something, per attempt.
    pub(crate) questions: u32,
    /// A reviewer rejects.
    pub(crate) rejections: u32,
    /// An agent wants another job, per attempt.
    pub(crate) wishes: u32,
    /// An output is missing or wrong.
    pub(crate) output_faults: u32,
    /// A run has a command that tells people of questions.
    pub(crate) notifies: u32,
    /// Weights of what people do for agents: answer a question, decide about what was made.
    pub(crate) helps: [u32; 2],
}

/// Off in half of the worlds, else one of the rates.
fn sometimes(rng: &mut Rng, rates: &[u32]) -> u32 {
    if rng.chance(500) { 0 } else { rng.pick(rates) }
}

impl Swarm {
    /// Draws what a world is like.
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        Self {
            crash: sometimes(rng, &[15, 80, 250]),
            append_fails: sometimes(rng, &[5, 40]),
            worker_dies: sometimes(rng, &[3, 20, 60, 500]),
            report_lost: sometimes(rng, &[20, 120, 350]),
            report_repeated: sometimes(rng, &[30, 200]),
            report_delay_max: rng.pick(&[2, 50, 2_000, 20_000]),
            prepare_fails: sometimes(rng, &[30, 200, 600]),
            collect_fails: sometimes(rng, &[30, 200, 700]),
            release_fails: sometimes(rng, &[50, 400, 900]),
            release_keeps: sometimes(rng, &[100, 400]),
            writing_fails: sometimes(rng, &[100, 900]),
            worker_unreachable: sometimes(rng, &[20, 150, 500]),
            clock_jumps: sometimes(rng, &[5, 30]),
            requests: sometimes(rng, &[10, 50, 150, 400]),
            request_repeated: sometimes(rng, &[200, 600]),
            fault_turns: rng.pick(&[0, 30, 100, 300, 1_000]),
            pace_max: rng.pick(&[5, 500, 8_000, 40_000]),
            work_ends: work_ends(rng),
            gate_ends: gate_ends(rng),
            places: rng.pick(&[[1, 0, 0], [0, 1, 0], [0, 0, 1], [4, 1, 1], [1, 1, 1]]),
            is_git: rng.pick(&[0, 700, 1_000]),
            needs: sometimes(rng, &[60, 250, 700]),
            whens: rng.pick(&[[1, 0, 0, 0], [6, 2, 2, 2], [1, 6, 3, 3]]),
            agent_slots: sometimes(rng, &[300, 900]),
            conflicts: sometimes(rng, &[200, 700]),
            gates: sometimes(rng, &[300, 800]),
            optional_gates: sometimes(rng, &[300, 800]),
            red_on_base: sometimes(rng, &[300, 800]),
            reruns: sometimes(rng, &[300, 800]),
            counts: sometimes(rng, &[200, 600]),
            budgets: sometimes(rng, &[300, 900]),
            day_budgets: sometimes(rng, &[600, 1_000]),
            job_budgets: sometimes(rng, &[200, 700]),
            tokens: sometimes(rng, &[200, 700]),
            offset_minutes: rng.pick(&[0, 60, 330, -480, 720]),
            evening: rng.pick(&[3_000, 200_000, 7_200_000, 40_000_000]),
            unpriced: sometimes(rng, &[100, 1_000]),
            stalls: sometimes(rng, &[300, 900]),
            silence: sometimes(rng, &[50, 300]),
            silent_doing: rng.pick(&[[1, 0, 0], [0, 1, 0], [0, 0, 1], [2, 2, 1]]),
            probe_fails: sometimes(rng, &[100, 600]),
            repeats: sometimes(rng, &[400, 950]),
            disk_moves: sometimes(rng, &[20, 120]),
            host_moves: sometimes(rng, &[10, 60]),
            waits_by_class: sometimes(rng, &[300, 800]),
            never: sometimes(rng, &[100, 500]),
            slow_disk: sometimes(rng, &[10, 150]),
            storms: sometimes(rng, &[5, 40]),
            asks: rng.pick(&[[0, 0, 0, 0], [4, 0, 0, 0], [0, 6, 0, 1], [0, 0, 12, 1], [2, 4, 6, 1]]),
            works: rng.pick(&[[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [4, 2, 2, 2]]),
            tasks_max: rng.weighted(&[(45, 8), (32, 12), (17, 24), (6, 60)]),
            pipelines: sometimes(rng, &[300, 900]),
            questions: sometimes(rng, &[50, 400]),
            rejections: sometimes(rng, &[200, 600]),
            wishes: sometimes(rng, &[100, 500]),
            output_faults: sometimes(rng, &[50, 300]),
            notifies: sometimes(rng, &[500, 1_000]),
            helps: rng.pick(&[[0, 0], [30, 0], [0, 30], [30, 30]]),
        }
    }
}

fn work_ends(rng: &mut Rng) -> Vec<(u32, Ending)> {
    let done = |changes, delivers| Ending::Success { changes, delivers };
    vec![
        (rng.pick(&[200, 1_000, 4_000]), done(true, true)),
        (sometimes(rng, &[30, 200]), done(false, true)),
        (sometimes(rng, &[30, 200]), done(true, false)),
        (sometimes(rng, &[50, 300]), Ending::Failure(FailureClass::Transient)),
        (sometimes(rng, &[50, 300]), Ending::Failure(FailureClass::Work)),
        (sometimes(rng, &[20, 80]), Ending::Failure(FailureClass::Permanent)),
        (sometimes(rng, &[20, 80]), Ending::Failure(FailureClass::Safety)),
        (sometimes(rng, &[20, 80]), Ending::Failure(FailureClass::Conflict)),
        (sometimes(rng, &[20, 80]), Ending::Failure(FailureClass::Timeout)),
        (sometimes(rng, &[20, 80]), Ending::Failure(FailureClass::Budget)),
        (sometimes(rng, &[20, 150]), Ending::Hang),
        (sometimes(rng, &[20, 100]), Ending::NotStarted(FailureClass::Transient)),
        (sometimes(rng, &[10, 40]), Ending::NotStarted(FailureClass::Permanent)),
    ]
}

fn gate_ends(rng: &mut Rng) -> Vec<(u32, Ending)> {
    vec![
        (rng.pick(&[100, 300, 1_000]), Ending::Success { changes: false, delivers: false }),
        (sometimes(rng, &[100, 400]), Ending::Failure(FailureClass::Work)),
        (sometimes(rng, &[30, 200]), Ending::Failure(FailureClass::Transient)),
        (sometimes(rng, &[10, 60]), Ending::Failure(FailureClass::Permanent)),
        (sometimes(rng, &[20, 100]), Ending::Hang),
        (sometimes(rng, &[20, 100]), Ending::NotStarted(FailureClass::Transient)),
    ]
}
