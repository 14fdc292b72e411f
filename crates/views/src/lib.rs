#![doc = include_str!("../README.md")]

mod brief;
mod budgets;
mod files;
mod lists;
mod money;
mod notice;
mod people;
mod pipeline;
mod progress;
mod proposal;
mod report;
mod review;
mod run_log;
mod status;
mod steps;
mod tally;
mod task;
mod text;
mod words;

#[cfg(test)]
mod tests;

pub use brief::run_brief;
pub use budgets::{budgets, budgets_json};
pub use files::{ProcessFacts, agent_status, registry, task_state_file};
pub use lists::{active, active_json, list_tasks, list_tasks_json, summary, summary_json};
pub use notice::{ESCALATED, NoticeKind, notice};
pub use people::People;
pub use pipeline::{
    artifacts, artifacts_json, explanation, explanation_json, question, questions, questions_json,
};
pub use progress::{limits, live_lines, progress, stays};
pub use proposal::proposal;
pub use report::{ReportExtra, report};
pub use review::{DamagedDays, review, review_json};
pub use run_log::RunLog;
pub use status::{status_json, status_text};
pub use task::{task_json, task_tree};
pub use text::{date, iso, shell_word};
pub use words::{OUTCOMES, TASK_STATES, task_state_word, waiting_for};
