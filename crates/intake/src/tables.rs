//! The closed tables of keys of a day file and of the configuration.

use crate::form::{Form, Key, Table};
use crate::template::tables::ROLE_AGENTS;

/// The largest number of attempts live at once that can be asked for.
pub(crate) const SLOTS_MAX: u32 = 1_000;

/// The largest disk budget, in gigabytes: a petabyte.
pub(crate) const DISK_GB_MAX: u32 = 1_000_000;

/// The largest log that can be asked for, in megabytes (1,048,576 bytes).
const LOG_MB_MAX: u32 = 4_096;
/// The longest time that a log can be kept, in days: ten years.
const LOG_DAYS_MAX: u32 = 3_650;

/// The highest mark for a disk's free room, in megabytes: a petabyte.
pub(crate) const DISK_MB_MAX: u32 = 1_000_000_000;

/// The most memory that can be named, in megabytes: no machine has more.
pub(crate) const MEMORY_MB_MAX: u32 = 1_000_000_000;

/// The largest number of attempts a task may ask for.
pub(crate) const ATTEMPTS_MAX: u32 = 100;

/// The largest block of ports that a task can have to itself.
const PORTS_MAX: u32 = 1_000;

/// The most equal answers to the same call that can be waited for.
const REPEATS_MAX: u32 = 1_000;

/// The most tests that a gate can be asked to run.
const TESTS_MAX: u32 = 1_000_000;

/// How often a red gate may run again on the same result.
const RERUNS_MAX: u32 = 20;

pub(crate) const LEVELS: [&str; 3] = ["low", "medium", "high"];
const PRIORITIES: [&str; 4] = ["low", "medium", "high", "urgent"];
pub(crate) const NEED_WHENS: [&str; 4] = ["success", "failure", "always", "completed"];
const WORKSPACES: [&str; 3] = ["worktree", "in_place", "scratch"];
const BACKOFFS: [&str; 4] = ["immediate", "exponential", "fixed", "never"];
const KINDS: [&str; 4] = ["claude", "command", "scripted", "acp"];

const DETECT_CONFLICTS: &str = "Whether tasks that change the same files wait for each other.";

/// A day file.
pub(crate) static DAY: Table = Table {
    what: "a day file",
    definition: "day",
    required: &["tasks"],
    keys: &[
        Key::new("date", Form::Date, "The day, YYYY-MM-DD; it names the run and its report."),
        Key::new("max_cost_usd", Form::Money, "What all tasks together may cost, in dollars."),
        Key::new("max_tokens", Form::Tokens, "How many tokens all tasks together may use."),
        Key::new("max_parallel", Form::Count { max: SLOTS_MAX }, "How many attempts may be live at once."),
        Key::new("priority", Form::OneOf(&PRIORITIES), "The priority of tasks that give none."),
        Key::new("agent", Form::Line, "The agent of tasks that give none."),
        Key::new("template", Form::Line, "The template of tasks that give none."),
        Key::new("roles", Form::Table(&ROLE_AGENTS), "The agents of the roles of templates."),
        Key::new("env", Form::Variables, "Variables set for the processes of every task."),
        Key::new(
            "pass_env",
            Form::List(&Form::Variable),
            "Variables of your environment passed on to every task.",
        ),
        Key::new("agents", Form::Named(&Form::Table(&AGENT)), "Agents of your own, by name."),
        Key::new("gates", Form::Named(&Form::Either(&Form::Text, &GATE)), "Checks of the result, by name."),
        Key::new("workspace", Form::Table(&WORKSPACE), "What new worktrees get before work begins in them."),
        Key::new("detect_conflicts", Form::Bool, DETECT_CONFLICTS),
        Key::new("tasks", Form::List(&Form::Table(&TASK)), "The tasks."),
    ],
};

static NEED_OR_ID: Form = Form::Either(&Form::Line, &NEED);

static TASK_KEYS: [Key; 31] = [
    Key::new("id", Form::Id, "The task's own id, unique in its run."),
    Key::new("name", Form::Line, "A short name."),
    Key::new("description", Form::Text, "What has to be done, in full."),
    Key::new("goal", Form::Text, "What has to be done: name and description in one."),
    Key::new("module", Form::Line, "The part of the code base.").or(&["area"]),
    Key::new("risk", Form::OneOf(&LEVELS), "How much can go wrong."),
    Key::new("estimated_complexity", Form::OneOf(&LEVELS), "How much work it is."),
    Key::new("priority", Form::OneOf(&PRIORITIES), "How soon it is wanted."),
    Key::new("context_files", Form::List(&Form::Path), "Files and folders to read first."),
    Key::new(
        "deliverables",
        Form::List(&Form::Deliverable),
        "Paths that must exist at the end; `Updated PATH` must also differ.",
    ),
    Key::new("constraints", Form::List(&Form::Text), "Sentences that bind the agent."),
    Key::new("needs", Form::List(&NEED_OR_ID), "Tasks that must end first.").or(&["depends_on"]),
    Key::new("agent", Form::Line, "The agent that does the work."),
    Key::new("run", Form::Text, "A plain command that is the work; no agent then."),
    Key::new("gates", Form::List(&Form::Line), "Names of the gates that check the result."),
    Key::new("workspace", Form::OneOf(&WORKSPACES), "Where the task's files lie."),
    Key::new("budget_usd", Form::Money, "What the task may cost, in dollars."),
    Key::new("budget_tokens", Form::Tokens, "How many tokens the task may use."),
    Key::new("job_budget_usd", Form::Money, "What each of its jobs may cost, in dollars."),
    Key::new("job_budget_tokens", Form::Tokens, "How many tokens each of its jobs may use."),
    Key::new("max_attempts", Form::Count { max: ATTEMPTS_MAX }, "How many attempts the work may take."),
    Key::new("timeout", Form::Duration, "How long one attempt may take."),
    Key::new("backoff", Form::Either(&Form::OneOf(&BACKOFFS), &BACKOFF), "The waits between attempts."),
    Key::new("backoff_on", Form::Table(&BACKOFF_ON), "Other waits after failures of a kind."),
    Key::new("stall", Form::Duration, "How long its agent may be silent and idle before it is stopped."),
    Key::new("env", Form::Variables, "Variables set for the task's processes."),
    Key::new("pass_env", Form::List(&Form::Variable), "Variables of your environment passed on."),
    Key::new("template", Form::Line, "The template of the pipeline that the task goes through."),
    Key::new("skip_stages", Form::List(&Form::Line), "Stages of the template that are left out."),
    Key::new("conflicts_with", Form::List(&Form::Line), "Tasks that must not run at the same time."),
    Key::new("policy", Form::Table(&POLICY), "Exceptions from the safety rules.").later(),
];

/// A task in a day file or list.
pub(crate) static TASK: Table =
    Table { what: "a task", definition: "task", required: &["id"], keys: &TASK_KEYS };

/// A task in the front matter of a prompt file.
pub(crate) static FRONT_MATTER: Table =
    Table { what: "the front matter", definition: "task", required: &[], keys: &TASK_KEYS };

/// A dependency.
pub(crate) static NEED: Table = Table {
    what: "an entry of `needs`",
    definition: "need",
    required: &["task"],
    keys: &[
        Key::new("task", Form::Line, "The id of the other task."),
        Key::new("when", Form::OneOf(&NEED_WHENS), "How the other task must have ended."),
    ],
};

/// The waits between attempts.
pub(crate) static BACKOFF: Table = Table {
    what: "a backoff",
    definition: "backoff",
    required: &["kind"],
    keys: &[
        Key::new("kind", Form::OneOf(&BACKOFFS), "How the waits grow."),
        Key::new("first", Form::Duration, "The first wait."),
        Key::new("cap", Form::Duration, "The longest wait."),
    ],
};

pub(crate) static BACKOFF_FORM: Form = Form::Either(&Form::OneOf(&BACKOFFS), &BACKOFF);

/// Waits by the kind of failure. Failures of other kinds are never tried again.
pub(crate) static BACKOFF_ON: Table = Table {
    what: "`backoff_on`",
    definition: "backoff_on",
    required: &[],
    keys: &[
        Key::new("transient", BACKOFF_FORM, "After an overload, a rate limit, a lost connection."),
        Key::new("work", BACKOFF_FORM, "After a red gate, a missing deliverable, a bad exit."),
        Key::new("timeout", BACKOFF_FORM, "After the time limit, or a stall."),
    ],
};

/// Exceptions from the safety rules.
pub(crate) static POLICY: Table = Table {
    what: "a policy",
    definition: "policy",
    required: &[],
    keys: &[Key::new("allow_delete", Form::List(&Form::Line), "Files that may be deleted, as patterns.")],
};

/// A gate.
pub(crate) static GATE: Table = Table {
    what: "a gate",
    definition: "gate",
    required: &["run"],
    keys: &[
        Key::new("run", Form::Text, "The command line."),
        Key::new("timeout", Form::Duration, "How long one run of it may take."),
        Key::new("required", Form::Bool, "Whether its failure fails the task."),
        Key::new("red_on_base", Form::Bool, "Whether it must fail before the work to count."),
        Key::new(
            "min_tests",
            Form::FromZero { max: TESTS_MAX },
            "How many tests it must run at least; 0 for a gate that may run none.",
        ),
        Key::new(
            "reruns",
            Form::FromZero { max: RERUNS_MAX },
            "How often it runs again on the same result before its red counts.",
        ),
    ],
};

/// An agent.
pub(crate) static AGENT: Table = Table {
    what: "an agent",
    definition: "agent",
    required: &["kind"],
    keys: &[
        Key::new("kind", Form::OneOf(&KINDS), "How it is driven."),
        Key::new("run", Form::Text, "The command line, for kind command.").or(&["command"]),
        Key::new("cost_usd", Form::Money, "What one attempt is charged, for kind command."),
        Key::new("program", Form::Line, "The program to start, for kind claude."),
        Key::new("allowed_tools", Form::List(&Form::Line), "Tools used without asking, for kind claude."),
        Key::new("scenario", Form::Text, "The scenario itself, for kind scripted."),
        Key::new("scenario_file", Form::Line, "A scenario beside this file, for kind scripted."),
        Key::new("model", Form::Line, "The model to ask for."),
        Key::new("stall", Form::Duration, "How long it may be silent and idle before it is stopped."),
        Key::new("slots", Form::Count { max: SLOTS_MAX }, "How many attempts of it may be live at once."),
        Key::new(
            "repeats_told_at",
            Form::Count { max: REPEATS_MAX },
            "From how many equal answers to the same call on people are told.",
        ),
        Key::new(
            "repeats_stopped_at",
            Form::Count { max: REPEATS_MAX },
            "At how many equal answers to the same call it is stopped.",
        ),
        Key::new("env", Form::Variables, "Variables set for it."),
        Key::new("pass_env", Form::List(&Form::Variable), "Variables of your environment passed on to it."),
    ],
};

/// A configuration file.
pub(crate) static CONFIG: Table = Table {
    what: "the configuration",
    definition: "config",
    required: &[],
    keys: &[
        Key::new("max_daily_cost_usd", Form::Money, "What all runs of a day together may cost, in dollars."),
        Key::new("max_daily_tokens", Form::Tokens, "How many tokens all runs of a day together may use."),
        Key::new("cost_warning_threshold", Form::Share, "The share of a limit at which to warn."),
        Key::new(
            "max_concurrent_agents",
            Form::Count { max: SLOTS_MAX },
            "How many attempts may be live at once.",
        ),
        Key::new("detect_conflicts", Form::Bool, DETECT_CONFLICTS),
        Key::new(
            "memory_max_mb",
            Form::Count { max: MEMORY_MB_MAX },
            "How much memory all agents may use together, in megabytes.",
        ),
        Key::new(
            "disk_budget_gb",
            Form::Count { max: DISK_GB_MAX },
            "How many gigabytes state and workspaces may use before old logs are freed.",
        ),
        Key::new(
            "log_size_mb",
            Form::Count { max: LOG_MB_MAX },
            "How many megabytes of dayshift's own log go into one file.",
        ),
        Key::new(
            "log_keep_days",
            Form::Count { max: LOG_DAYS_MAX },
            "How long old files of that log are kept.",
        ),
        Key::new(
            "task_log_size_mb",
            Form::Count { max: LOG_MB_MAX },
            "How many megabytes of one attempt's output are kept: its beginning and its end.",
        ),
        Key::new(
            "disk_warn_mb",
            Form::FromZero { max: DISK_MB_MAX },
            "Below how many free megabytes people are warned; 0 is never.",
        ),
        Key::new(
            "disk_pause_mb",
            Form::FromZero { max: DISK_MB_MAX },
            "Below how many free megabytes nothing new starts; 0 is never.",
        ),
        Key::new("agent", Form::Line, "The agent of tasks that give none."),
        Key::new("roles", Form::Table(&ROLE_AGENTS), "The agents of the roles of templates."),
        Key::new("tasks", Form::List(&Form::Line), "The files that `run` without files reads."),
        Key::new(
            "gates",
            Form::Named(&Form::Either(&Form::Text, &GATE)),
            "Gates that any day file may name.",
        ),
        Key::new("agents", Form::Named(&Form::Table(&AGENT)), "Agents that any day file may name."),
        Key::new(
            "secrets",
            Form::Named(&Form::Line),
            "Where secrets come from: `NAME_cmd` is a command that prints one, `NAME_file` a file that holds it.",
        ),
        Key::new("workspace", Form::Table(&WORKSPACE), "What new worktrees get before work begins in them."),
        Key::new("notify", Form::Table(&NOTIFY), "How you are told that a question waits."),
        Key::new("telegram", Form::Table(&TELEGRAM), "Messages to a telephone.").later(),
        Key::new("layout", Form::Table(&LAYOUT), "Where in the repository files are written too."),
    ],
};

/// What new worktrees get.
pub(crate) static WORKSPACE: Table = Table {
    what: "the workspace section",
    definition: "workspace",
    required: &[],
    keys: &[
        Key::new("setup", Form::Text, "The command line that makes a new worktree fit for work."),
        Key::new("setup_timeout", Form::Duration, "How long one run of it may take."),
        Key::new("teardown", Form::Text, "The command line that is run before a worktree is taken down."),
        Key::new("teardown_timeout", Form::Duration, "How long one run of it may take."),
        Key::new(
            "include",
            Form::List(&Form::Line),
            "Ignored files that are copied from your checkout, as patterns like those of .gitignore.",
        ),
        Key::new(
            "dependencies",
            Form::List(&Form::Path),
            "Ignored folders of your checkout of which each worktree gets a copy of its own.",
        ),
        Key::new(
            "hard_links",
            Form::List(&Form::Path),
            "Such folders whose files nobody writes in place: their files may be links to your own.",
        ),
        Key::new(
            "copy_mb",
            Form::FromZero { max: DISK_MB_MAX },
            "Up to how many megabytes such a folder is copied where it cannot be cloned.",
        ),
        Key::new("ports", Form::FromZero { max: PORTS_MAX }, "How many ports each task has to itself."),
    ],
};

/// Telling people of questions.
pub(crate) static NOTIFY: Table = Table {
    what: "the notify section",
    definition: "notify",
    required: &[],
    keys: &[
        Key::new("command", Form::Text, "The command line that is run when a question waits for you."),
        Key::new("timeout", Form::Duration, "How long one run of it may take."),
        Key::new(
            "pass_env",
            Form::List(&Form::Variable),
            "Variables of your environment, or secrets, passed on to it.",
        ),
    ],
};

/// Paths in the repository where the files of the state directory are written as well.
pub(crate) static LAYOUT: Table = Table {
    what: "the layout section",
    definition: "layout",
    required: &[],
    keys: &[
        Key::new("status", Form::Line, "The folder of status files, one per task."),
        Key::new("state", Form::Line, "The folder of state files, one per task."),
        Key::new("logs", Form::Line, "The folder of links to the tasks' logs."),
        Key::new("reports", Form::Line, "The folder of reports."),
        Key::new("questions", Form::Line, "The folder of agents' questions; answers are read there too."),
        Key::new("run_log", Form::Line, "The run log."),
        Key::new("processes", Form::Line, "The registry of processes."),
        Key::new(
            "workspaces",
            Form::Line,
            "The folder of what each agent was told and left, one folder per task.",
        ),
    ],
};

/// The Telegram part of the configuration.
pub(crate) static TELEGRAM: Table = Table {
    what: "the telegram section",
    definition: "telegram",
    required: &[],
    keys: &[
        Key::new("enabled", Form::Bool, "Whether messages are sent."),
        Key::new("bot_token", Form::Line, "The bot's token."),
        Key::new("chat_id", Form::Line, "The chat to send to."),
    ],
};
