//! Settings in layers: built-in, user, repository, environment, flags. Each value knows
//! where it came from.

use std::collections::BTreeMap;
use std::fmt;

use dayshift_core::money::Micros;
use dayshift_core::pipeline::Role;
use dayshift_core::types::{Agent, Gate};

use crate::check::check;
use crate::diagnostic::{Diagnostic, Report};
use crate::fields::Fields;
use crate::form::Form;
use crate::layout::read_layout;
use crate::load::{Source, flag_error, read_agent, read_gate, read_roles};
use crate::named_secret::{SecretSource, read_secrets};
use crate::notify::NotifySettings;
use crate::sink::{Sink, code};
use crate::tables::{CONFIG, DISK_GB_MAX, DISK_MB_MAX, MEMORY_MB_MAX, SLOTS_MAX};
use crate::tree::{Node, Pos, SOURCE_BYTES_MAX, read_toml};
use crate::value;
use crate::workspace::WorkspaceSettings;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    BuiltIn,
    /// The user's own file, as `PATH:LINE`.
    User(String),
    /// The repository's file, as `PATH:LINE`.
    Repository(String),
    /// The environment variable of this name.
    Environment(String),
    /// The flag of this name.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("built in"),
            Self::User(place) | Self::Repository(place) => f.write_str(place),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// A value with its origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// Where it came from.
    pub origin: Origin,
}

impl<T> Setting<T> {
    /// A value of that origin.
    pub fn new(value: T, origin: Origin) -> Self {
        Self { value, origin }
    }
}

/// The settings that hold, all layers seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// What all runs of a day together may cost; 50 dollars when nobody says.
    pub max_daily_cost: Setting<Micros>,
    /// How many tokens all runs of a day together may use; no limit when nobody says.
    pub max_daily_tokens: Setting<Option<u64>>,
    /// The share of the limit at which to warn, from 0 to 1; 0.75 when nobody says.
    pub cost_warning_threshold: Setting<f64>,
    /// How many attempts may be live at once; 3 when nobody says.
    pub max_concurrent_agents: Setting<u32>,
    /// Whether tasks that change the same files wait for each other; they do when nobody says.
    pub detect_conflicts: Setting<bool>,
    /// How much memory all agents may use together, in megabytes; three quarters of the machine's when nobody says.
    pub memory_max_mb: Setting<Option<u32>>,
    /// How much disk state and workspaces may use before old logs are freed, in gigabytes (1,000
    /// megabytes); 20 when nobody says.
    pub disk_budget_gb: Setting<u32>,
    /// How much of dayshift's own log goes into one file, in megabytes (1,048,576 bytes); 10 when
    /// nobody says.
    pub log_size_mb: Setting<u32>,
    /// How long old files of that log are kept, in days; 30 when nobody says.
    pub log_keep_days: Setting<u32>,
    /// How much of one attempt's output is kept, in megabytes (1,048,576 bytes); 256 when nobody says.
    pub task_log_size_mb: Setting<u32>,
    /// Below how many free megabytes people are warned; 1,000 when nobody says.
    pub disk_warn_mb: Setting<u32>,
    /// Below how many free megabytes nothing new starts; 500 when nobody says.
    pub disk_pause_mb: Setting<u32>,
    /// The agent of tasks that name none; `claude` when nobody says.
    pub agent: Setting<String>,
    /// The files that a run without files reads, as written.
    pub tasks: Setting<Vec<String>>,
    /// Gates that every day file may name.
    pub gates: BTreeMap<String, Setting<Gate>>,
    /// Agents that every day file may name, besides the built-in ones.
    pub agents: BTreeMap<String, Setting<Agent>>,
    /// The agents of the roles of templates.
    pub roles: BTreeMap<Role, Setting<String>>,
    /// Where the user's secrets come from, by the variable that they are passed in.
    pub secrets: BTreeMap<String, Setting<SecretSource>>,
    /// What new worktrees get before work begins in them.
    pub workspace: WorkspaceSettings,
    /// How people are told that a question waits.
    pub notify: NotifySettings,
    /// Where in the repository files are written too, by what is written there.
    pub layout: BTreeMap<String, Setting<String>>,
    /// What is said and not acted on yet, as `telegram.enabled` and its value; a secret's value is
    /// `(set)`.
    pub later: BTreeMap<String, Setting<String>>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_daily_cost: Setting::new(Micros(50_000_000), Origin::BuiltIn),
            max_daily_tokens: Setting::new(None, Origin::BuiltIn),
            cost_warning_threshold: Setting::new(0.75, Origin::BuiltIn),
            max_concurrent_agents: Setting::new(3, Origin::BuiltIn),
            detect_conflicts: Setting::new(true, Origin::BuiltIn),
            memory_max_mb: Setting::new(None, Origin::BuiltIn),
            disk_budget_gb: Setting::new(20, Origin::BuiltIn),
            log_size_mb: Setting::new(10, Origin::BuiltIn),
            log_keep_days: Setting::new(30, Origin::BuiltIn),
            task_log_size_mb: Setting::new(256, Origin::BuiltIn),
            disk_warn_mb: Setting::new(1_000, Origin::BuiltIn),
            disk_pause_mb: Setting::new(500, Origin::BuiltIn),
            agent: Setting::new("claude".to_owned(), Origin::BuiltIn),
            tasks: Setting::new(Vec::new(), Origin::BuiltIn),
            gates: BTreeMap::new(),
            agents: BTreeMap::new(),
            roles: BTreeMap::new(),
            secrets: BTreeMap::new(),
            workspace: WorkspaceSettings::default(),
            notify: NotifySettings::default(),
            layout: BTreeMap::new(),
            later: BTreeMap::new(),
        }
    }
}

/// What one layer says; everything it is silent about is absent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Partial {
    /// See [`Config::max_daily_cost`].
    pub max_daily_cost: Option<Setting<Micros>>,
    /// See [`Config::max_daily_tokens`].
    pub max_daily_tokens: Option<Setting<Option<u64>>>,
    /// See [`Config::cost_warning_threshold`].
    pub cost_warning_threshold: Option<Setting<f64>>,
    /// See [`Config::max_concurrent_agents`].
    pub max_concurrent_agents: Option<Setting<u32>>,
    /// See [`Config::detect_conflicts`].
    pub detect_conflicts: Option<Setting<bool>>,
    /// See [`Config::memory_max_mb`].
    pub memory_max_mb: Option<Setting<Option<u32>>>,
    /// See [`Config::disk_budget_gb`].
    pub disk_budget_gb: Option<Setting<u32>>,
    /// See [`Config::log_size_mb`].
    pub log_size_mb: Option<Setting<u32>>,
    /// See [`Config::log_keep_days`].
    pub log_keep_days: Option<Setting<u32>>,
    /// See [`Config::task_log_size_mb`].
    pub task_log_size_mb: Option<Setting<u32>>,
    /// See [`Config::disk_warn_mb`].
    pub disk_warn_mb: Option<Setting<u32>>,
    /// See [`Config::disk_pause_mb`].
    pub disk_pause_mb: Option<Setting<u32>>,
    /// See [`Config::agent`].
    pub agent: Option<Setting<String>>,
    /// See [`Config::tasks`].
    pub tasks: Option<Setting<Vec<String>>>,
    /// See [`Config::gates`]; a gate of the same name is replaced.
    pub gates: BTreeMap<String, Setting<Gate>>,
    /// See [`Config::agents`]; an agent of the same name is replaced.
    pub agents: BTreeMap<String, Setting<Agent>>,
    /// See [`Config::roles`].
    pub roles: BTreeMap<Role, Setting<String>>,
    /// See [`Config::secrets`].
    pub secrets: BTreeMap<String, Setting<SecretSource>>,
    /// See [`Config::workspace`]; each key by itself.
    pub workspace: WorkspaceSettings,
    /// See [`Config::notify`]; each key by itself.
    pub notify: NotifySettings,
    /// See [`Config::layout`].
    pub layout: BTreeMap<String, Setting<String>>,
    /// See [`Config::later`].
    pub later: BTreeMap<String, Setting<String>>,
}

impl Config {
    /// These settings with `layer` on top.
    #[must_use]
    pub fn with(mut self, layer: Partial) -> Self {
        fn put<T>(below: &mut Setting<T>, above: Option<Setting<T>>) {
            if let Some(above) = above {
                *below = above;
            }
        }
        put(&mut self.max_daily_cost, layer.max_daily_cost);
        put(&mut self.max_daily_tokens, layer.max_daily_tokens);
        put(&mut self.cost_warning_threshold, layer.cost_warning_threshold);
        put(&mut self.max_concurrent_agents, layer.max_concurrent_agents);
        put(&mut self.detect_conflicts, layer.detect_conflicts);
        put(&mut self.memory_max_mb, layer.memory_max_mb);
        put(&mut self.disk_budget_gb, layer.disk_budget_gb);
        put(&mut self.log_size_mb, layer.log_size_mb);
        put(&mut self.log_keep_days, layer.log_keep_days);
        put(&mut self.task_log_size_mb, layer.task_log_size_mb);
        put(&mut self.disk_warn_mb, layer.disk_warn_mb);
        put(&mut self.disk_pause_mb, layer.disk_pause_mb);
        put(&mut self.agent, layer.agent);
        put(&mut self.tasks, layer.tasks);
        self.gates.extend(layer.gates);
        self.agents.extend(layer.agents);
        self.roles.extend(layer.roles);
        self.secrets.extend(layer.secrets);
        self.workspace = self.workspace.with(layer.workspace);
        self.notify = self.notify.with(layer.notify);
        self.layout.extend(layer.layout);
        self.later.extend(layer.later);
        self
    }

    /// The share of a limit at which to warn, in percent.
    pub fn warn_percent(&self) -> u32 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share lies between 0 and 1"
        )]
        let percent = (self.cost_warning_threshold.value * 100.0).round() as u32;
        percent
    }

    /// Every setting as name, value and origin, for `config show`. A secret's value is `(set)`.
    pub fn rows(&self) -> Vec<(String, String, Origin)> {
        let row = |name: &str, value: String, origin: &Origin| (name.to_owned(), value, origin.clone());
        let mut rows = vec![
            row(
                "max_daily_cost_usd",
                format!("{:.2}", self.max_daily_cost.value.usd()),
                &self.max_daily_cost.origin,
            ),
            row(
                "max_daily_tokens",
                self.max_daily_tokens.value.map_or("no limit".to_owned(), |tokens| tokens.to_string()),
                &self.max_daily_tokens.origin,
            ),
            row(
                "cost_warning_threshold",
                self.cost_warning_threshold.value.to_string(),
                &self.cost_warning_threshold.origin,
            ),
            row(
                "max_concurrent_agents",
                self.max_concurrent_agents.value.to_string(),
                &self.max_concurrent_agents.origin,
            ),
            row("detect_conflicts", self.detect_conflicts.value.to_string(), &self.detect_conflicts.origin),
            row(
                "memory_max_mb",
                self.memory_max_mb.value.map_or("75 % of the machine".to_owned(), |mb| mb.to_string()),
                &self.memory_max_mb.origin,
            ),
            row("disk_budget_gb", self.disk_budget_gb.value.to_string(), &self.disk_budget_gb.origin),
            row("log_size_mb", self.log_size_mb.value.to_string(), &self.log_size_mb.origin),
            row("log_keep_days", self.log_keep_days.value.to_string(), &self.log_keep_days.origin),
            row("task_log_size_mb", self.task_log_size_mb.value.to_string(), &self.task_log_size_mb.origin),
            row("disk_warn_mb", self.disk_warn_mb.value.to_string(), &self.disk_warn_mb.origin),
            row("disk_pause_mb", self.disk_pause_mb.value.to_string(), &self.disk_pause_mb.origin),
            row("agent", self.agent.value.clone(), &self.agent.origin),
            row("tasks", self.tasks.value.join(", "), &self.tasks.origin),
        ];
        let gates = self.gates.iter();
        rows.extend(
            gates.map(|(name, gate)| row(&format!("gates.{name}"), gate.value.run.clone(), &gate.origin)),
        );
        let agents = self.agents.iter();
        rows.extend(
            agents.map(|(name, agent)| row(&format!("agents.{name}"), kind(&agent.value), &agent.origin)),
        );
        rows.extend(self.workspace.rows());
        rows.extend(self.notify.rows());
        let roles = self.roles.iter();
        rows.extend(
            roles.map(|(role, agent)| {
                row(&format!("roles.{}", role.word()), agent.value.clone(), &agent.origin)
            }),
        );
        let secrets = self.secrets.iter();
        rows.extend(
            secrets.map(|(name, secret)| row(&format!("secrets.{name}"), "(set)".to_owned(), &secret.origin)),
        );
        rows.extend(
            self.layout
                .iter()
                .map(|(name, path)| row(&format!("layout.{name}"), path.value.clone(), &path.origin)),
        );
        rows.extend(
            self.later.iter().map(|(name, setting)| row(name, setting.value.clone(), &setting.origin)),
        );
        rows
    }
}

fn kind(agent: &Agent) -> String {
    use dayshift_core::types::Dialect;
    match &agent.dialect {
        Dialect::Claude { program, .. } => format!("claude ({program})"),
        Dialect::Command { run, .. } => format!("command ({run})"),
        Dialect::Scripted { .. } => "scripted".to_owned(),
    }
}

/// Whose file it is, and so what it may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The user's own: it may say everything.
    User,
    /// The repository's, trusted by the user: it may say everything but the user's secrets.
    TrustedRepository,
    /// The repository's: no commands, no agents, no keys, no higher limit than the one below.
    /// Where it says such a thing nevertheless, it is refused as a whole.
    Repository,
}

/// A layer out of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// What it says.
    pub partial: Partial,
    /// What has no effect yet.
    pub warnings: Vec<Diagnostic>,
}

/// Reads a configuration file (TOML) that comes above the settings `below`. Every mistake is in
/// the report at once. `read` gives the text of a file that it names (see [`crate::Context`]).
pub fn read_config(
    source: &Source,
    level: Level,
    below: &Config,
    read: &dyn Fn(&str) -> Option<String>,
) -> Result<Layer, Report> {
    let mut sink = Sink::new(&source.path, &source.text);
    let mut partial = Partial::default();
    if source.text.len() > SOURCE_BYTES_MAX {
        sink.error(Pos::START, code::TOO_LARGE, format!("the file is larger than {SOURCE_BYTES_MAX} bytes"));
    } else {
        let text = source.text.strip_prefix('\u{feff}').unwrap_or(&source.text);
        let (root, errors) = read_toml(text);
        let broken = errors.iter().map(|error| error.pos.line).collect();
        for error in errors {
            sink.error(error.pos, code::SYNTAX, error.message);
        }
        sink.distrust(broken);
        check(&mut sink, &root, Form::Table(&CONFIG), "the configuration");
        partial = read_partial(&mut sink, &root, level, below, read);
    }
    let failed = sink.has_errors();
    let (diagnostics, left_out) = sink.into_findings();
    if failed { Err(Report { diagnostics, left_out }) } else { Ok(Layer { partial, warnings: diagnostics }) }
}

#[expect(clippy::too_many_lines, reason = "one key after the other")]
fn read_partial(
    sink: &mut Sink<'_>,
    root: &Node,
    level: Level,
    below: &Config,
    read: &dyn Fn(&str) -> Option<String>,
) -> Partial {
    let fields = Fields::new(root, &CONFIG);
    let path = sink.path();
    let place = |pos: Pos| match level {
        Level::User => Origin::User(format!("{path}:{}", pos.line)),
        Level::TrustedRepository | Level::Repository => Origin::Repository(format!("{path}:{}", pos.line)),
    };
    let origin = |name: &str| fields.entry(name).map_or(Origin::BuiltIn, |entry| place(entry.pos));
    let count = |name: &str| fields.count(name).map(|value| Setting::new(value, origin(name)));
    let mut partial = Partial {
        max_daily_cost: fields
            .money("max_daily_cost_usd")
            .map(|value| Setting::new(value, origin("max_daily_cost_usd"))),
        max_daily_tokens: fields
            .tokens("max_daily_tokens")
            .map(|value| Setting::new(Some(value), origin("max_daily_tokens"))),
        cost_warning_threshold: fields
            .share("cost_warning_threshold")
            .map(|value| Setting::new(value, origin("cost_warning_threshold"))),
        max_concurrent_agents: fields
            .count("max_concurrent_agents")
            .map(|value| Setting::new(value, origin("max_concurrent_agents"))),
        detect_conflicts: fields
            .bool("detect_conflicts")
            .map(|value| Setting::new(value, origin("detect_conflicts"))),
        memory_max_mb: fields
            .count("memory_max_mb")
            .map(|value| Setting::new(Some(value), origin("memory_max_mb"))),
        disk_budget_gb: fields
            .count("disk_budget_gb")
            .map(|value| Setting::new(value, origin("disk_budget_gb"))),
        log_size_mb: count("log_size_mb"),
        log_keep_days: count("log_keep_days"),
        task_log_size_mb: count("task_log_size_mb"),
        disk_warn_mb: fields.whole("disk_warn_mb").map(|value| Setting::new(value, origin("disk_warn_mb"))),
        disk_pause_mb: fields
            .whole("disk_pause_mb")
            .map(|value| Setting::new(value, origin("disk_pause_mb"))),
        agent: fields.line("agent").map(|value| Setting::new(value, origin("agent"))),
        tasks: fields.entry("tasks").map(|entry| Setting::new(fields.words("tasks"), place(entry.pos))),
        ..Partial::default()
    };
    for entry in fields.named("gates") {
        if let Some(gate) = read_gate(entry) {
            partial.gates.insert(entry.key.clone(), Setting::new(gate, place(entry.pos)));
        }
    }
    for entry in fields.named("agents") {
        if let Some(agent) = read_agent(sink, entry, read) {
            partial.agents.insert(entry.key.clone(), Setting::new(agent, place(entry.pos)));
        }
    }
    if let Some(entry) = fields.entry("workspace") {
        partial.workspace = WorkspaceSettings::read(sink, entry, place);
    }
    if let Some(entry) = fields.entry("notify") {
        partial.notify = NotifySettings::read(sink, entry, place);
    }
    for (pos, role, agent) in read_roles(fields) {
        partial.roles.insert(role, Setting::new(agent, place(pos)));
    }
    for (entry, path) in read_layout(sink, &fields.named("layout")) {
        partial.layout.insert(entry.key.clone(), Setting::new(path, place(entry.pos)));
    }
    for entry in fields.named("telegram") {
        let value = if entry.key == "bot_token" { Some("(set)") } else { value::text(&entry.value) };
        let value = value.unwrap_or_default().to_owned();
        partial.later.insert(format!("telegram.{}", entry.key), Setting::new(value, place(entry.pos)));
    }
    match level {
        Level::User => {
            for (entry, name, source) in read_secrets(sink, &fields.named("secrets")) {
                partial.secrets.insert(name, Setting::new(source, place(entry.pos)));
            }
        }
        Level::TrustedRepository => refuse_secrets(sink, fields),
        Level::Repository => {
            refuse_secrets(sink, fields);
            refuse_untrusted(sink, fields, &partial, below);
        }
    }
    partial
}

/// No repository says where a person's secrets come from, trusted or not.
fn refuse_secrets(sink: &mut Sink<'_>, fields: Fields<'_>) {
    if let Some(entry) = fields.entry("secrets") {
        let message = "`secrets` belongs into your own configuration, not into a repository";
        let hint = "move it to ~/.config/dayshift/config.toml";
        sink.error_hint(entry.pos, code::CONTRADICTION, message, hint);
    }
}

/// Refuses what a repository may not say before the user trusts it: a cloned repository must
/// not run code or spend more by being opened. All of it is one finding.
fn refuse_untrusted(sink: &mut Sink<'_>, fields: Fields<'_>, partial: &Partial, below: &Config) {
    let is_higher = |limit: &Setting<Micros>| limit.value > below.max_daily_cost.value;
    let is_lower = |limit: Option<&Setting<u32>>, mine: &Setting<u32>| {
        limit.is_some_and(|limit| limit.value < mine.value)
    };
    let is_more = |limit: &Setting<Option<u64>>| {
        below.max_daily_tokens.value.is_some_and(|mine| limit.value > Some(mine))
    };
    let is_larger =
        |limit: &Setting<Option<u32>>| below.memory_max_mb.value.is_none_or(|mine| limit.value > Some(mine));
    let needs_trust = [
        ("gates", true),
        ("agents", true),
        ("agent", partial.agent.as_ref().is_some_and(|agent| agent.value != below.agent.value)),
        ("roles", true),
        ("notify", true),
        ("telegram", true),
        ("workspace", fields.entry("workspace").is_some_and(WorkspaceSettings::needs_trust)),
        ("layout", true),
        ("max_daily_cost_usd", partial.max_daily_cost.as_ref().is_some_and(is_higher)),
        ("disk_budget_gb", is_lower(partial.disk_budget_gb.as_ref(), &below.disk_budget_gb)),
        ("disk_warn_mb", is_lower(partial.disk_warn_mb.as_ref(), &below.disk_warn_mb)),
        ("disk_pause_mb", is_lower(partial.disk_pause_mb.as_ref(), &below.disk_pause_mb)),
        ("max_daily_tokens", partial.max_daily_tokens.as_ref().is_some_and(is_more)),
        // Without a word the cap depends on the machine, so any number may be a looser one.
        ("memory_max_mb", partial.memory_max_mb.as_ref().is_some_and(is_larger)),
    ];
    let said: Vec<_> = needs_trust
        .iter()
        .filter(|(_, needs_trust)| *needs_trust)
        .filter_map(|(name, _)| fields.entry(name))
        .collect();
    let Some(first) = said.iter().min_by_key(|entry| entry.pos) else { return };
    let list: Vec<String> =
        said.iter().map(|entry| format!("`{}` (line {})", entry.key, entry.pos.line)).collect();
    let message = format!(
        "you have not trusted this repository, and its own file sets {}: commands, agents, keys and looser limits need your word",
        list.join(", ")
    );
    let hint = "look at the file, then `dayshift trust`; or put it into your own configuration";
    sink.error_hint(first.pos, code::UNTRUSTED, message, hint);
}

/// Reads the layer of environment variables through `get`: `DAYSHIFT_MAX_DAILY_COST_USD`,
/// `DAYSHIFT_COST_WARNING_THRESHOLD`, `DAYSHIFT_MAX_CONCURRENT_AGENTS`, `DAYSHIFT_MEMORY_MAX_MB`,
/// `DAYSHIFT_DISK_BUDGET_GB`, `DAYSHIFT_AGENT`.
/// Empty ones count as absent; every bad one is in the report.
pub fn read_variables(get: &dyn Fn(&str) -> Option<String>) -> Result<Partial, Report> {
    let mut diagnostics = Vec::new();
    let given = |name: &str| get(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let mut bad = |name: &str, text: &str, hint: &str| {
        let mut finding =
            flag_error(&format!("{name}={text}"), &format!("`{name}` cannot be `{text}`"), hint);
        "environment".clone_into(&mut finding.path);
        diagnostics.push(finding);
    };
    let mut partial = Partial::default();
    let origin = |name: &str| Origin::Environment(name.to_owned());
    let name = "DAYSHIFT_MAX_DAILY_COST_USD";
    if let Some(text) = given(name) {
        match text.parse().ok().and_then(Micros::from_usd).filter(|amount| *amount <= value::MONEY_MAX) {
            Some(amount) => partial.max_daily_cost = Some(Setting::new(amount, origin(name))),
            None => bad(name, &text, "give dollars as a number of zero or more"),
        }
    }
    let name = "DAYSHIFT_COST_WARNING_THRESHOLD";
    if let Some(text) = given(name) {
        match text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share)) {
            Some(share) => partial.cost_warning_threshold = Some(Setting::new(share, origin(name))),
            None => bad(name, &text, "give a share from 0 to 1, such as 0.75"),
        }
    }
    let name = "DAYSHIFT_MAX_CONCURRENT_AGENTS";
    if let Some(text) = given(name) {
        match text.parse::<u32>().ok().filter(|count| (1..=SLOTS_MAX).contains(count)) {
            Some(count) => partial.max_concurrent_agents = Some(Setting::new(count, origin(name))),
            None => bad(name, &text, &format!("give a whole number from 1 to {SLOTS_MAX}")),
        }
    }
    let name = "DAYSHIFT_MEMORY_MAX_MB";
    if let Some(text) = given(name) {
        match text.parse::<u32>().ok().filter(|count| (1..=MEMORY_MB_MAX).contains(count)) {
            Some(count) => partial.memory_max_mb = Some(Setting::new(Some(count), origin(name))),
            None => bad(name, &text, &format!("give whole megabytes from 1 to {MEMORY_MB_MAX}")),
        }
    }
    let name = "DAYSHIFT_DISK_BUDGET_GB";
    if let Some(text) = given(name) {
        match text.parse::<u32>().ok().filter(|count| (1..=DISK_GB_MAX).contains(count)) {
            Some(count) => partial.disk_budget_gb = Some(Setting::new(count, origin(name))),
            None => bad(name, &text, &format!("give whole gigabytes from 1 to {DISK_GB_MAX}")),
        }
    }
    for (name, mark) in [
        ("DAYSHIFT_DISK_WARN_MB", &mut partial.disk_warn_mb),
        ("DAYSHIFT_DISK_PAUSE_MB", &mut partial.disk_pause_mb),
    ] {
        if let Some(text) = given(name) {
            match text.parse::<u32>().ok().filter(|count| *count <= DISK_MB_MAX) {
                Some(count) => *mark = Some(Setting::new(count, origin(name))),
                None => bad(name, &text, &format!("give whole megabytes from 0 to {DISK_MB_MAX}")),
            }
        }
    }
    let name = "DAYSHIFT_AGENT";
    partial.agent = given(name).map(|agent| Setting::new(agent, origin(name)));
    if diagnostics.is_empty() { Ok(partial) } else { Err(Report { diagnostics, left_out: 0 }) }
}
