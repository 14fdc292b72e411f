//! Who has used how much of what limit, in books of our own: each scope has an account, and each
//! day has one of its own, by the clocks of whoever handed in work last.

use std::collections::BTreeMap;

use dayshift_core::event::Entry;
use dayshift_core::ids::{AttemptId, JobId, RunId, TaskId};
use dayshift_core::money::{Amount, Limit, Micros, Spend};
use dayshift_core::state::State;
use dayshift_core::time::Timestamp;
use dayshift_core::types::{Dialect, Exit, HoldReason, JobWork, Level, Outcome, Scope};

use super::super::{Broken, ensure};
use super::{History, TaskBook, at_mut, is_spender};

/// A day in milliseconds.
const DAY: i64 = 86_400_000;

/// From here on nothing that spends is started, in percent.
const STARTS_NOT: u64 = 95;

/// Which account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Day(i64),
    Run(RunId),
    Task(TaskId),
    Job(JobId),
}

#[derive(Debug, Clone, Copy, Default)]
struct Account {
    limit: Limit,
    used: Amount,
    is_warned: bool,
}

/// An account that something came to in this append, from which job, and how far that went.
#[derive(Debug, Clone, Copy)]
struct Touched {
    key: Key,
    job: Option<JobId>,
    used: u64,
    /// How many attempts there had been by then.
    attempts: usize,
}

/// All accounts.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    accounts: BTreeMap<Key, Account>,
    /// The limit of days for which a person set none.
    of_days: Limit,
    /// What a person set for a day.
    set_days: BTreeMap<i64, Limit>,
    offset: i64,
    touched: Vec<Touched>,
    /// Deferred tasks that must be begun after all.
    to_reopen: Vec<TaskId>,
}

impl Ledger {
    fn day(&self, at: Timestamp) -> i64 {
        (i64::try_from(at.0).unwrap_or(0) + self.offset).div_euclid(DAY)
    }

    /// When the first day begins that has something left: when clocks were set, days to come may
    /// be used up already. There is none where nothing is allowed on any day.
    fn next_free_day(&self, at: Timestamp) -> Option<u64> {
        let today = self.day(at);
        let known = self.accounts.keys().filter_map(|key| match key {
            Key::Day(day) => Some(*day),
            Key::Run(_) | Key::Task(_) | Key::Job(_) => None,
        });
        let last = known.chain(self.set_days.keys().copied()).fold(today, i64::max);
        let free = (today + 1..=last + 1).find(|day| percent(self.get(Key::Day(*day))) < STARTS_NOT)?;
        u64::try_from(free * DAY - self.offset).ok()
    }

    fn key(&self, scope: Scope, at: Timestamp) -> Key {
        match scope {
            Scope::Day => Key::Day(self.day(at)),
            Scope::Run(run) => Key::Run(run),
            Scope::Task(task) => Key::Task(task),
            Scope::Job(job) => Key::Job(job),
        }
    }

    fn get(&self, key: Key) -> Account {
        let account = self.accounts.get(&key).copied().unwrap_or_default();
        match key {
            Key::Day(day) => {
                Account { limit: self.set_days.get(&day).copied().unwrap_or(self.of_days), ..account }
            }
            Key::Run(_) | Key::Task(_) | Key::Job(_) => account,
        }
    }

    pub(super) fn is_first_day_only(&self) -> bool {
        self.accounts.keys().filter(|key| matches!(key, Key::Day(_))).count() < 2
    }
}

/// How far a limit is used, in percent of the kind that is used most.
fn percent(account: Account) -> u64 {
    let share = |used: u64, limit: Option<u64>| match limit {
        None => 0,
        Some(0) => 100,
        Some(limit) => u64::try_from(u128::from(used) * 100 / u128::from(limit)).unwrap_or(u64::MAX),
    };
    share(account.used.cost.0, account.limit.cost.map(|cost| cost.0))
        .max(share(account.used.tokens, account.limit.tokens))
}

/// Whether this much more is within the limit.
fn has_room(account: Account, more: Amount) -> bool {
    account.limit.cost.is_none_or(|limit| account.used.cost + more.cost <= limit)
        && account.limit.tokens.is_none_or(|limit| account.used.tokens.saturating_add(more.tokens) <= limit)
}

/// The same, where nothing of a kind is asked for that is short already.
fn has_room_beside(account: Account, more: Amount) -> bool {
    let (cost, tokens) = (account.limit.cost, account.limit.tokens);
    let has_cost =
        more.cost == Micros::ZERO || cost.is_none_or(|limit| account.used.cost + more.cost <= limit);
    let has_tokens = more.tokens == 0
        || tokens.is_none_or(|limit| account.used.tokens.saturating_add(more.tokens) <= limit);
    has_cost && has_tokens
}

fn least(one: Amount, limit: Limit, used: Amount) -> Amount {
    Amount {
        cost: limit.cost.map_or(one.cost, |limit| one.cost.min(limit.saturating_sub(used.cost))),
        tokens: limit.tokens.map_or(one.tokens, |limit| one.tokens.min(limit.saturating_sub(used.tokens))),
    }
}

impl History {
    /// The accounts that a job is charged to: its own, its task's, its run's, the day's.
    fn keys(&self, job: JobId, at: Timestamp) -> Result<[Key; 4], Broken> {
        let task = self.job(job)?.task;
        let run = self.task(task)?.run;
        Ok([Key::Job(job), Key::Task(task), Key::Run(run), Key::Day(self.ledger.day(at))])
    }

    pub(super) fn accounts_opened(&mut self, run: RunId) -> Result<(), Broken> {
        let book = self.run(run)?;
        let (budget, day, tasks) = (book.spec.budget, book.spec.day, book.tasks.clone());
        // The day's limit is another one from now on: what came before was judged by the old one.
        self.ledger.touched.retain(|touched| !matches!(touched.key, Key::Day(_)));
        self.ledger.of_days = day.limit;
        self.ledger.offset = i64::from(day.offset_minutes) * 60_000;
        let new = |limit| Account { limit, ..Account::default() };
        self.ledger.accounts.insert(Key::Run(run), new(budget));
        for task in tasks {
            let spec = self.spec(task)?;
            let (budget, of_job) = (spec.budget, spec.job_budget);
            self.ledger.accounts.insert(Key::Task(task), new(budget));
            for job in self.task(task)?.jobs.clone() {
                self.ledger.accounts.insert(Key::Job(job), new(of_job));
            }
        }
        Ok(())
    }

    /// A job that came later has the limit of its task's jobs.
    pub(super) fn account_opened(&mut self, job: JobId) -> Result<(), Broken> {
        let limit = self.spec(self.job(job)?.task)?.job_budget;
        self.ledger.accounts.insert(Key::Job(job), Account { limit, ..Account::default() });
        Ok(())
    }

    pub(super) fn charged(&mut self, attempt: AttemptId, spend: Spend, at: Timestamp) -> Result<(), Broken> {
        let book = self.open(attempt)?;
        let before = std::mem::replace(&mut book.spend, spend);
        let job = book.job;
        let (more, less) = (spend.amount().saturating_sub(before.amount()), before.amount());
        ensure(less.fits(spend.amount()) && (spend.unpriced || !before.unpriced), "charge-shrinks", || {
            format!("{attempt} was charged less")
        })?;
        if before == spend { Ok(()) } else { self.comes_to(job, more, at) }
    }

    fn comes_to(&mut self, job: JobId, more: Amount, at: Timestamp) -> Result<(), Broken> {
        for key in self.keys(job, at)? {
            let account = self.ledger.accounts.entry(key).or_default();
            account.used = account.used + more;
            let used = percent(self.ledger.get(key));
            self.ledger.touched.push(Touched { key, job: Some(job), used, attempts: self.attempts.len() });
        }
        Ok(())
    }

    /// What nobody knows the price of counts with all that was set aside for it.
    pub(super) fn presumed(
        &mut self,
        attempt: AttemptId,
        presumed: Micros,
        at: Timestamp,
    ) -> Result<(), Broken> {
        let book = self.attempt(attempt)?;
        let has_run = book.started_at.is_some() || book.is_collecting();
        let is_unknown = book.exit == Some(Exit::Lost) || book.spend.unpriced;
        let expected = if has_run && is_unknown {
            book.reserved.cost.saturating_sub(book.spend.cost)
        } else {
            Micros::ZERO
        };
        ensure(presumed == expected, "presumed", || {
            format!("{attempt} is counted with {presumed} more than is known, it should be {expected}")
        })?;
        let job = book.job;
        if presumed == Micros::ZERO {
            return Ok(());
        }
        self.comes_to(job, Amount { cost: presumed, tokens: 0 }, at)
    }

    pub(super) fn budget_set(&mut self, scope: Scope, limit: Limit, at: Timestamp) -> Result<(), Broken> {
        let key = self.ledger.key(scope, at);
        if let Key::Day(day) = key {
            self.ledger.set_days.insert(day, limit);
        }
        let account = self.ledger.accounts.entry(key).or_default();
        (account.limit, account.is_warned) = (limit, false);
        // What was told of the old limit does not count for the new one.
        let touched = self.ledger.touched.iter_mut().filter(|touched| touched.key == key);
        touched.for_each(|touched| touched.job = None);
        self.ledger.touched.push(Touched { key, job: None, used: 0, attempts: self.attempts.len() });
        for index in 0..self.tasks.len() {
            let task = TaskId(u32::try_from(index + 1).unwrap_or(u32::MAX));
            let book = self.task(task)?;
            if !matches!(book.outcome, Some(Outcome::Deferred { .. })) {
                continue;
            }
            let (Some(job), run) = (self.first_spender(book)?, self.run(book.run)?) else { continue };
            let is_of_today =
                run.closed_at.is_none_or(|closed| self.ledger.day(closed) == self.ledger.day(at));
            let is_under = self.keys(job, at)?.contains(&key) && (scope != Scope::Day || is_of_today);
            if is_under && self.exhausted(job, at)?.is_none() {
                self.ledger.to_reopen.push(task);
            }
        }
        Ok(())
    }

    /// A limit of today lets go on what is open or ended today, and leaves older days alone.
    pub(super) fn may_reopen_deferred(&self, task: TaskId, entry: &Entry) -> Result<(), Broken> {
        let book = self.task(task)?;
        let is_by_day = entry.cause.is_some() && entry.cause == self.day_set_by;
        let closed = self.run(book.run)?.closed_at;
        let is_old = closed.is_some_and(|closed| self.ledger.day(closed) != self.ledger.day(entry.at));
        let is_deferred = matches!(book.outcome, Some(Outcome::Deferred { .. }));
        ensure(!(is_by_day && is_old && is_deferred), "reopened", || {
            format!("{task} of another day goes on because of the limit of this one")
        })
    }

    pub(super) fn was_reopened(&mut self, task: TaskId) {
        self.ledger.to_reopen.retain(|other| *other != task);
    }

    pub(super) fn warned(&mut self, scope: Scope, told: u32, at: Timestamp) -> Result<(), Broken> {
        let key = self.ledger.key(scope, at);
        let account = self.ledger.get(key);
        let used = percent(account);
        ensure(u64::from(told) == used, "warned-wrong", || {
            format!("{scope} is said to be used to {told} %, it is {used} %")
        })?;
        ensure(!account.is_warned, "warned-again", || format!("{scope} was told of twice"))?;
        let least = self.runs.iter().map(|run| run.spec.warn_percent).min().unwrap_or(0);
        ensure(told >= least && account.used != Amount::ZERO, "warned-early", || {
            format!("{scope} was told of at {told} %")
        })?;
        self.ledger.accounts.entry(key).or_default().is_warned = true;
        Ok(())
    }

    /// A limit of the job that is used up as far as nothing starts any more; the widest first.
    fn exhausted(&self, job: JobId, at: Timestamp) -> Result<Option<Key>, Broken> {
        let keys = self.keys(job, at)?;
        Ok(keys.into_iter().rev().find(|key| percent(self.ledger.get(*key)) >= STARTS_NOT))
    }

    fn reserves(&self, task: TaskId, job: JobId, at: Timestamp) -> Result<Amount, Broken> {
        let spec = self.spec(task)?;
        let agent = self.agent_of(job)?;
        let table = match spec.complexity {
            Level::Low => Amount { cost: Micros(1_000_000), tokens: 300_000 },
            Level::Medium => Amount { cost: Micros(3_000_000), tokens: 1_000_000 },
            Level::High => Amount { cost: Micros(8_000_000), tokens: 3_000_000 },
        };
        let mut wanted = match agent.map(|agent| &agent.dialect) {
            Some(Dialect::Claude { .. }) => table,
            Some(Dialect::Command { cost, run: _ }) => Amount { cost: *cost, tokens: 0 },
            Some(Dialect::Scripted { .. }) | None => Amount::ZERO,
        };
        for key in [Key::Job(job), Key::Task(task)] {
            wanted = least(wanted, self.ledger.get(key).limit, Amount::ZERO);
        }
        if self.task(task)?.worked > 0 && wanted != Amount::ZERO {
            for key in self.keys(job, at)? {
                let account = self.ledger.get(key);
                wanted = least(wanted, account.limit, account.used);
            }
        }
        Ok(wanted)
    }

    fn is_under(&self, attempt: AttemptId, key: Key, at: Timestamp) -> Result<bool, Broken> {
        Ok(matches!(key, Key::Day(_)) || self.keys(self.attempt(attempt)?.job, at)?.contains(&key))
    }

    fn is_now(&self, key: Key, at: Timestamp) -> bool {
        match key {
            Key::Day(day) => day == self.ledger.day(at),
            Key::Run(_) | Key::Task(_) | Key::Job(_) => true,
        }
    }

    pub(super) fn live_attempts(&self) -> impl Iterator<Item = AttemptId> {
        self.tasks.iter().flat_map(super::TaskBook::all_live)
    }

    /// Every limit has room for what is opened, beside what live attempts have set aside.
    pub(super) fn has_money(
        &self,
        task: TaskId,
        job: JobId,
        reserved: Amount,
        at: Timestamp,
    ) -> Result<(), Broken> {
        if self.job(job)?.gate.is_some() || !is_spender(self.spec(task)?) {
            return ensure(reserved == Amount::ZERO, "reserved-free", || format!("{job} reserves money"));
        }
        let used_up = self.exhausted(job, at)?;
        ensure(used_up.is_none(), "exhausted", || format!("{used_up:?} is used up, {job} was opened"))?;
        let expected = self.reserves(task, job, at)?;
        ensure(reserved == expected, "reserved", || {
            format!("{job} sets {reserved:?} aside, not {expected:?}")
        })?;
        if reserved == Amount::ZERO {
            return Ok(());
        }
        for key in self.keys(job, at)? {
            let mut set_aside = reserved;
            for attempt in self.live_attempts() {
                if self.is_under(attempt, key, at)? {
                    let row = self.attempt(attempt)?;
                    set_aside = set_aside + row.reserved.saturating_sub(row.spend.amount());
                }
            }
            // What sets nothing of a kind aside does not look at how much of it there is.
            if reserved.cost == Micros::ZERO {
                set_aside.cost = Micros::ZERO;
            }
            if reserved.tokens == 0 {
                set_aside.tokens = 0;
            }
            let account = self.ledger.get(key);
            ensure(has_room_beside(account, set_aside), "reserved", || {
                format!(
                    "{job} sets {reserved:?} aside: that makes {set_aside:?} beside {account:?} of {key:?}"
                )
            })?;
        }
        Ok(())
    }

    /// The first job of a task that an agent does, else the first one.
    fn first_spender(&self, book: &TaskBook) -> Result<Option<JobId>, Broken> {
        for job in &book.jobs {
            if matches!(self.job(*job)?.work, JobWork::Work | JobWork::Agent { .. }) {
                return Ok(Some(*job));
            }
        }
        Ok(book.jobs.first().copied())
    }

    /// Work is put off only when some limit does not reach.
    pub(super) fn may_defer(&self, task: TaskId, at: Timestamp) -> Result<(), Broken> {
        let mut is_short = false;
        for job in self.task(task)?.jobs.clone() {
            let wanted = self.reserves(task, job, at)?;
            let keys = self.keys(job, at)?;
            is_short |= keys.into_iter().any(|key| !has_room(self.ledger.get(key), wanted));
            is_short |= self.exhausted(job, at)?.is_some();
        }
        ensure(is_short, "deferred", || format!("{task} was deferred, and every limit reaches"))
    }

    /// An agent is stopped for its budget only when a limit of it is used up.
    pub(super) fn is_out_of_budget(&self, attempt: AttemptId, at: Timestamp) -> Result<(), Broken> {
        let job = self.attempt(attempt)?.job;
        let is_spender = self.job(job)?.gate.is_none() && is_spender(self.spec(self.job(job)?.task)?);
        let is_used_up = self.keys(job, at)?.into_iter().any(|key| percent(self.ledger.get(key)) >= 100);
        ensure(is_spender && is_used_up, "budget-stops", || {
            format!("{attempt} is stopped for its budget, and no limit of it is used up")
        })
    }

    pub(super) fn held(&mut self, job: JobId, reason: &HoldReason, at: Timestamp) -> Result<(), Broken> {
        let book = self.job(job)?;
        let is_next =
            matches!((&book.held, reason), (Some(HoldReason::Question { .. }), HoldReason::Question { .. }));
        ensure(book.held.is_none() || is_next, "held-once", || format!("{job} is held, and was held again"))?;
        if let HoldReason::Budget { scope: Some(scope), message: _ } = reason {
            let key = self.ledger.key(*scope, at);
            let is_its_own = self.keys(job, at)?.contains(&key);
            let used = percent(self.ledger.get(key));
            ensure(is_its_own && used >= STARTS_NOT, "held-for-nothing", || {
                format!("{job} is held by {scope}, which is used to {used} %")
            })?;
        }
        match reason {
            HoldReason::Workspace { .. } => self.waits_for_person(job)?,
            HoldReason::Gate { .. } => self.could_not_be_run(job)?,
            HoldReason::Budget { .. } => {}
            HoldReason::Review { .. } | HoldReason::Question { .. } => self.held_for_people(job, reason)?,
        }
        let book = at_mut(&mut self.jobs, job.0)?;
        // It was held when its time had come: by a clock that is set back it would wait again.
        (book.held, book.not_before) = (Some(reason.clone()), Timestamp(0));
        Ok(())
    }

    pub(super) fn released(&mut self, job: JobId, at: Timestamp, is_asked: bool) -> Result<(), Broken> {
        let held = at_mut(&mut self.jobs, job.0)?.held.take();
        if matches!(held, None | Some(HoldReason::Question { .. })) && self.may_go_on(job, held.is_some())? {
            return Ok(());
        }
        if matches!(held, Some(HoldReason::Gate { .. })) {
            return ensure(is_asked, "released", || format!("{job} goes on, and nobody asked for it"));
        }
        let is_by_limit = matches!(held, Some(HoldReason::Budget { scope: Some(_), .. }));
        let used_up = self.exhausted(job, at)?;
        ensure(is_by_limit && used_up.is_none(), "released", || {
            format!("{job} was held by {held:?} and goes on; used up is {used_up:?}")
        })
    }

    /// What a limit holds waits for a limit that is used up, and for another day where only the
    /// day's is.
    pub(crate) fn held_wait_for_something(
        &self,
        now: Timestamp,
        wake: Option<Timestamp>,
    ) -> Result<(), Broken> {
        for (index, book) in self.jobs.iter().enumerate() {
            if !matches!(book.held, Some(HoldReason::Budget { scope: Some(_), .. })) {
                continue;
            }
            let job = JobId(u32::try_from(index + 1).unwrap_or(u32::MAX));
            let keys = self.keys(job, now)?;
            let used_up: Vec<Key> =
                keys.into_iter().filter(|key| percent(self.ledger.get(*key)) >= STARTS_NOT).collect();
            ensure(!used_up.is_empty(), "held-on", || {
                format!("{job} is held, and no limit of it is used up any more")
            })?;
            let waits_for_day = used_up.iter().all(|key| matches!(key, Key::Day(_)));
            let Some(dawn) = self.ledger.next_free_day(now).filter(|_| waits_for_day) else { continue };
            ensure(wake.is_some_and(|wake| wake.0 <= dawn), "midnight", || {
                format!("{job} is held until {dawn}, the next waking is {wake:?}")
            })?;
        }
        Ok(())
    }

    /// After an append: who spends under a used-up limit was told to stop, a limit that came
    /// near was told of, and what a higher limit lets go on does.
    pub(super) fn limits_are_kept(&mut self, at: Timestamp) -> Result<(), Broken> {
        for Touched { key, job, used: then, attempts } in std::mem::take(&mut self.ledger.touched) {
            let account = self.ledger.get(key);
            let used = percent(account);
            if let Some(job) = job {
                let warn = self.run(self.task(self.job(job)?.task)?.run)?.spec.warn_percent;
                let is_due = account.limit != Limit::NONE && account.used != Amount::ZERO;
                ensure(!is_due || then < u64::from(warn) || account.is_warned, "unwarned", || {
                    format!("{key:?} is used to {then} %, and nobody was told")
                })?;
            }
            if used < 100 {
                continue;
            }
            for attempt in self.live_attempts() {
                let row = self.attempt(attempt)?;
                let job = self.job(row.job)?;
                let spends = job.gate.is_none() && is_spender(self.spec(job.task)?) && !row.is_collecting();
                // By a clock that was set since then, another day may have come.
                let is_of_then = usize::try_from(attempt.0).is_ok_and(|number| number <= attempts);
                let is_under = self.is_under(attempt, key, at)? && (is_of_then || self.is_now(key, at));
                let goes_on = spends && row.stop.is_none() && is_under;
                ensure(!goes_on, "budget-stops", || {
                    format!("{attempt} goes on, although {key:?} is used to {used} %")
                })?;
            }
        }
        let waiting = std::mem::take(&mut self.ledger.to_reopen);
        ensure(waiting.is_empty(), "deferred-on", || {
            format!("{waiting:?} were deferred, and a higher limit does not let them begin")
        })
    }

    /// The core's accounts are what our books say.
    pub(crate) fn accounts_agree(&self, state: &State) -> Result<(), Broken> {
        for key in self.ledger.accounts.keys() {
            let (scope, at) = match *key {
                Key::Day(day) => {
                    let noon = day * DAY - self.ledger.offset + DAY / 2;
                    (Scope::Day, Timestamp(u64::try_from(noon).unwrap_or(0)))
                }
                Key::Run(run) => (Scope::Run(run), Timestamp(0)),
                Key::Task(task) => (Scope::Task(task), Timestamp(0)),
                Key::Job(job) => (Scope::Job(job), Timestamp(0)),
            };
            let ours = self.ledger.get(*key);
            let theirs =
                state.account(scope, at).map(|account| (account.limit, account.used(), account.warned));
            ensure(theirs == Some((ours.limit, ours.used, ours.is_warned)), "accounts", || {
                format!("the account of {key:?} is {theirs:?}, it should be {ours:?}")
            })?;
        }
        Ok(())
    }
}
