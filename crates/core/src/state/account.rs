//! Who has used how much of what limit: days, runs, tasks, jobs.

use std::collections::BTreeMap;

use super::State;
use crate::ids::AttemptId;
use crate::money::{Amount, Limit, Micros, Spend, Tokens};
use crate::time::{Day, Timestamp};
use crate::types::{DayRule, Scope};

/// What was used under a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Account {
    /// The limit, as handed in or as a person set it since.
    pub limit: Limit,
    /// Used so far by all attempts.
    pub spent: Spend,
    /// What attempts that ended without a known price are counted with beyond `spent`: as much
    /// as was set aside for them.
    pub presumed: Micros,
    /// Whether it was already told that the limit comes near.
    pub warned: bool,
}

impl Account {
    /// An account that nothing was taken from yet.
    pub(super) fn new(limit: Limit) -> Self {
        Self { limit, ..Self::default() }
    }

    /// What counts against the limit.
    pub fn used(&self) -> Amount {
        self.spent.amount() + Amount { cost: self.presumed, tokens: 0 }
    }

    /// What is left under the limit.
    pub fn left(&self) -> Amount {
        self.limit.left(self.used())
    }

    /// How much of the limit is used, in percent; 0 without a limit.
    pub fn percent_used(&self) -> u32 {
        self.limit.percent_used(self.used())
    }
}

/// The accounts of the days, and the rule for days to come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Days {
    /// As the latest run that was handed in says.
    pub(super) rule: DayRule,
    accounts: BTreeMap<Day, Account>,
    /// Days whose limit a person has set.
    set: BTreeMap<Day, Limit>,
}

impl Days {
    fn of(&self, at: Timestamp) -> Day {
        Day::of(at, self.rule.offset_minutes)
    }

    fn limit(&self, day: Day) -> Limit {
        self.set.get(&day).copied().unwrap_or(self.rule.limit)
    }

    fn account(&self, at: Timestamp) -> Account {
        let day = self.of(at);
        Account { limit: self.limit(day), ..self.accounts.get(&day).copied().unwrap_or_default() }
    }

    fn account_mut(&mut self, at: Timestamp) -> &mut Account {
        let day = self.of(at);
        self.accounts.entry(day).or_default()
    }
}

impl State {
    /// The account of a scope; that of a day is the one of the day that `now` falls on. `None`
    /// for what does not exist.
    pub fn account(&self, scope: Scope, now: Timestamp) -> Option<Account> {
        match scope {
            Scope::Day => Some(self.days.account(now)),
            Scope::Run(run) => self.run(run).map(|run| run.account),
            Scope::Task(task) => self.task(task).map(|task| task.account),
            Scope::Job(job) => self.job(job).map(|job| job.account),
        }
    }

    /// When the day that `now` falls on ends.
    pub fn midnight(&self, now: Timestamp) -> Timestamp {
        self.days.of(now).end(self.days.rule.offset_minutes)
    }

    /// How many days after the one that `now` falls on have an account or a limit of their own.
    pub(crate) fn days_known_after(&self, now: Timestamp) -> usize {
        let next = Day(self.days.of(now).0.saturating_add(1));
        self.days.accounts.range(next..).count() + self.days.set.range(next..).count()
    }

    /// The sum of what was spent on all days.
    pub(crate) fn spent_on_all_days(&self) -> (Spend, Micros) {
        self.days.accounts.values().fold((Spend::default(), Micros::ZERO), |(spent, presumed), account| {
            (spent + account.spent, presumed + account.presumed)
        })
    }

    pub(super) fn charge(&mut self, attempt: AttemptId, total: Spend, at: Timestamp) {
        let row = &mut self.attempts[attempt];
        let before = row.spend;
        row.spend = total;
        // The attempt may have begun on another day: a day is charged with what came to it.
        let more = increase(before, total);
        self.each_account(attempt, at, |account| account.spent = account.spent + more);
    }

    pub(super) fn presume(&mut self, attempt: AttemptId, cost: Micros, at: Timestamp) {
        self.attempts[attempt].presumed = cost;
        self.each_account(attempt, at, |account| account.presumed += cost);
    }

    /// The accounts that an attempt is charged to: its job's, task's, run's and the day's.
    fn each_account(&mut self, attempt: AttemptId, at: Timestamp, change: impl Fn(&mut Account)) {
        let job = self.attempts[attempt].job;
        let task = self.jobs[job].task;
        let run = self.tasks[task].run;
        change(&mut self.jobs[job].account);
        change(&mut self.tasks[task].account);
        change(&mut self.runs[run].account);
        change(self.days.account_mut(at));
    }

    pub(super) fn budget_warned(&mut self, scope: Scope, at: Timestamp) {
        self.change_account(scope, at, |account| account.warned = true);
    }

    pub(super) fn budget_set(&mut self, scope: Scope, limit: Limit, at: Timestamp) {
        if matches!(scope, Scope::Day) {
            let day = self.days.of(at);
            self.days.set.insert(day, limit);
        }
        self.change_account(scope, at, |account| {
            account.limit = limit;
            account.warned = false;
        });
    }

    fn change_account(&mut self, scope: Scope, at: Timestamp, change: impl FnOnce(&mut Account)) {
        match scope {
            Scope::Day => change(self.days.account_mut(at)),
            Scope::Run(run) => change(&mut self.runs[run].account),
            Scope::Task(task) => change(&mut self.tasks[task].account),
            Scope::Job(job) => change(&mut self.jobs[job].account),
        }
    }
}

/// What came to `before` until it was `after`. Totals only grow.
fn increase(before: Spend, after: Spend) -> Spend {
    let more = |before: u64, after: u64| after.saturating_sub(before);
    Spend {
        cost: after.cost.saturating_sub(before.cost),
        tokens: Tokens {
            input: more(before.tokens.input, after.tokens.input),
            output: more(before.tokens.output, after.tokens.output),
            cache_read: more(before.tokens.cache_read, after.tokens.cache_read),
            cache_write: more(before.tokens.cache_write, after.tokens.cache_write),
        },
        api_calls: more(before.api_calls, after.api_calls),
        unpriced: after.unpriced,
    }
}
