//! The closed tables of keys of a template.

use crate::form::{Form, Key, Table};
use crate::tables::{ATTEMPTS_MAX, BACKOFF_FORM, NEED_WHENS};

/// The highest version of a template.
const VERSION_MAX: u32 = 1_000_000;

/// The most that a job may reject before something else happens: beyond it nobody gets on.
const REJECTIONS_MAX: u32 = 20;

/// How many jobs one may ask for.
const SPAWNED_MAX: u32 = 100;

/// The words for roles, in the order of [`dayshift_core::pipeline::Role::ALL`].
pub(crate) const ROLES: [&str; 6] =
    ["planner", "plan_reviewer", "implementer", "code_reviewer", "tester", "verifier"];
const JOINS: [&str; 3] = ["all", "any", "completed"];
const THENS: [&str; 2] = ["human", "fail"];

/// A template.
pub(crate) static TEMPLATE: Table = Table {
    what: "a template",
    definition: "template",
    required: &["name", "version", "stages"],
    keys: &[
        Key::new("name", Form::Line, "What day files call it."),
        Key::new("version", Form::Count { max: VERSION_MAX }, "Which version of it this is, from 1."),
        Key::new("about", Form::Line, "What it is for, one line."),
        Key::new("stages", Form::List(&Form::Table(&STAGE)), "Its stages, in order."),
    ],
};

/// A stage.
pub(crate) static STAGE: Table = Table {
    what: "a stage",
    definition: "stage",
    required: &["name", "jobs"],
    keys: &[
        Key::new("name", Form::Id, "Its name, unique in the template."),
        Key::new("join", Form::OneOf(&JOINS), "When it counts as done."),
        Key::new("for_each", Form::Line, "It is made once for each item of this output: JOB/OUTPUT."),
        Key::new("skippable", Form::Bool, "Whether a task may leave it out."),
        Key::new("jobs", Form::List(&Form::Table(&JOB)), "Its jobs."),
    ],
};

static JOB_NEED_OR_NAME: Form = Form::Either(&Form::Line, &JOB_NEED);

/// A job.
pub(crate) static JOB: Table = Table {
    what: "a job",
    definition: "job",
    required: &["name"],
    keys: &[
        Key::new("name", Form::Id, "Its name, unique in the template."),
        Key::new("role", Form::OneOf(&ROLES), "An agent does it, as this."),
        Key::new("check", Form::Lines, "The gates that it runs: their names, or `all` of the task."),
        Key::new("human", Form::Line, "What a person is asked to decide."),
        Key::new("agent", Form::Line, "The agent that does it."),
        Key::new("prompt", Form::Text, "The template of its prompt."),
        Key::new("prompt_file", Form::Line, "The template of its prompt, in a file beside this one."),
        Key::new("needs", Form::List(&JOB_NEED_OR_NAME), "Jobs that must end first; none: the stage before."),
        Key::new("tries", Form::Count { max: ATTEMPTS_MAX }, "How many attempts it may take."),
        Key::new("backoff", BACKOFF_FORM, "The waits between attempts."),
        Key::new("timeout", Form::Duration, "How long one attempt may take."),
        Key::new("on_reject", Form::Table(&ON_REJECT), "What happens when it rejects what it looked at."),
        Key::new("only_if", Form::Line, "It is left out unless this holds: JOB/OUTPUT FIELD is VALUE."),
        Key::new("may_spawn", Form::Table(&MAY_SPAWN), "What its agent may add to the plan."),
        Key::new("outputs", Form::List(&Form::Table(&OUTPUT)), "What it must leave for others."),
        Key::new("isolated", Form::Bool, "Whether its agent works in a worktree of its own."),
    ],
};

/// A job that another one waits for.
pub(crate) static JOB_NEED: Table = Table {
    what: "an entry of `needs`",
    definition: "job_need",
    required: &["job"],
    keys: &[
        Key::new("job", Form::Line, "The name of the other job."),
        Key::new("when", Form::OneOf(&NEED_WHENS), "How the other job must have ended."),
    ],
};

/// What happens when a job rejects.
pub(crate) static ON_REJECT: Table = Table {
    what: "`on_reject`",
    definition: "on_reject",
    required: &["max"],
    keys: &[
        Key::new("back_to", Form::Line, "This job is done again, and all that wait for it."),
        Key::new("spawn", Form::OneOf(&ROLES), "A new job repairs it, as this."),
        Key::new("agent", Form::Line, "The agent of the new job."),
        Key::new("max", Form::Count { max: REJECTIONS_MAX }, "How often it may reject."),
        Key::new("then", Form::OneOf(&THENS), "What happens the last time."),
    ],
};

/// What an agent may add.
pub(crate) static MAY_SPAWN: Table = Table {
    what: "`may_spawn`",
    definition: "may_spawn",
    required: &["depth", "jobs"],
    keys: &[
        Key::new(
            "depth",
            Form::Count { max: dayshift_core::pipeline::DEPTH_MAX },
            "How deep: 1 lets what it asks for ask for nothing.",
        ),
        Key::new("jobs", Form::Count { max: SPAWNED_MAX }, "How many jobs in all."),
    ],
};

/// What a job must leave.
pub(crate) static OUTPUT: Table = Table {
    what: "an output",
    definition: "output",
    required: &["name"],
    keys: &[
        Key::new("name", Form::Line, "Its name."),
        Key::new("from", Form::Line, "`final` for the agent's last words, or a file in the workspace."),
        Key::new(
            "schema",
            Form::Schema,
            "A JSON Schema that it must meet; `plan` for that of plans, `day` for a day file, `lines` for a text whose lines are items.",
        ),
        Key::new("items", Form::Line, "The list in it whose entries are items, dotted; `.` for all of it."),
    ],
};

/// The agents of roles.
pub(crate) static ROLE_AGENTS: Table = Table {
    what: "`roles`",
    definition: "roles",
    required: &[],
    keys: &[
        Key::new("planner", Form::Line, "The agent that plans."),
        Key::new("plan_reviewer", Form::Line, "The agent that judges plans."),
        Key::new("implementer", Form::Line, "The agent that does the work."),
        Key::new("code_reviewer", Form::Line, "The agent that judges the work."),
        Key::new("tester", Form::Line, "The agent that tests."),
        Key::new("verifier", Form::Line, "The agent that looks at the whole."),
    ],
};
