//! Stream-json lines to reports: what is known so far about one run.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

use dayshift_core::money::{Spend, Tokens};
use dayshift_core::time::{Millis, Timestamp};

use crate::claude::FinalRecord;
use crate::claude::record::usage_tokens;
use crate::claude::trouble::Trouble;
use crate::heard::Heard;
use crate::json::Json;
use crate::repeats::Repeats;
use crate::text;
use crate::tool::summary;

/// Repeated lines of one message come close together; this many messages are told apart.
const MESSAGES_REMEMBERED: usize = 1_024;
/// Tool calls that may be open at once; older ones are forgotten.
const OPEN_TOOLS_MAX: usize = 64;
/// The model's name on lines that the agent made up itself.
const SYNTHETIC: &str = "<synthetic>";

/// A tool call that has not come back.
#[derive(Debug)]
struct OpenTool {
    id: String,
    /// One line for people.
    summary: String,
    /// A hash of its name and all of its input.
    call: u64,
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// What the lines so far told.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    pub(crate) session: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) spend: Spend,
    pub(crate) cost_known: bool,
    /// The last final record.
    pub(crate) record: Option<FinalRecord>,
    /// The failure that the run was last seen in and has not come out of.
    pub(crate) trouble: Option<Trouble>,
    /// When a limit that refused calls opens again.
    pub(crate) limit_resets_at: Option<Timestamp>,
    /// The last line that was no JSON object.
    pub(crate) plain_line: Option<String>,
    open_tools: VecDeque<OpenTool>,
    repeats: Repeats,
    messages: Remembered,
    denials: Remembered,
}

impl Stream {
    /// Takes one line of the protocol.
    pub(crate) fn line(&mut self, line: &[u8], heard: &mut Vec<Heard>) {
        match Json::parse(line) {
            Some(value @ Json::Mapping(_)) => self.value(&value, heard),
            Some(
                Json::Null | Json::Bool(_) | Json::Count(_) | Json::Real(_) | Json::Text(_) | Json::List(_),
            )
            | None => self.plain(line),
        }
    }

    /// Takes a line of a command, of which only a final record is understood.
    pub(crate) fn command_line(&mut self, line: &[u8], heard: &mut Vec<Heard>) {
        let value = Some(line)
            .filter(|line| line.trim_ascii_start().starts_with(b"{"))
            .and_then(Json::parse)
            .filter(|value| value.text("type") == Some("result"));
        match value {
            Some(value) => self.result(&value, heard),
            None => self.plain(line),
        }
    }

    /// Tool calls that have not come back, oldest first.
    pub(crate) fn open_tools(&self) -> impl Iterator<Item = &str> {
        self.open_tools.iter().map(|tool| tool.summary.as_str())
    }

    fn plain(&mut self, line: &[u8]) {
        let shown = text::one_line(&String::from_utf8_lossy(line));
        if !shown.is_empty() {
            self.plain_line = Some(shown);
        }
    }

    fn value(&mut self, value: &Json, heard: &mut Vec<Heard>) {
        match value.text("type") {
            Some("system") => match value.text("subtype") {
                Some("init") => self.init(value, heard),
                Some("api_retry") => self.retry(value, heard),
                // Hooks, status and thinking lines carry nothing that is asked for.
                Some(_) | None => {}
            },
            Some("assistant") => self.assistant(value, heard),
            Some("user") => self.user(value, heard),
            Some("rate_limit_event") => self.limit(value, heard),
            Some("result") => self.result(value, heard),
            // Later versions add types; an unknown one is no error.
            Some(_) | None => {}
        }
    }

    fn init(&mut self, value: &Json, heard: &mut Vec<Heard>) {
        let Some(id) = value.text("session_id").and_then(text::plain_id) else { return };
        let told = (
            Some(id.to_owned()),
            value.text("model").map(text::one_line),
            value.text("claude_code_version").or_else(|| value.text("agent_version")).map(text::one_line),
        );
        // Repeated on every turn of a two-way session.
        if told == (self.session.clone(), self.model.clone(), self.version.clone()) {
            return;
        }
        (self.session, self.model, self.version) = told;
        heard.push(Heard::Session {
            id: id.to_owned(),
            model: self.model.clone(),
            version: self.version.clone(),
        });
    }

    fn retry(&mut self, value: &Json, heard: &mut Vec<Heard>) {
        let trouble = Trouble::from_retry(value);
        heard.push(Heard::Retrying {
            class: trouble.class,
            attempt: value.count("attempt").map_or(0, |count| u32::try_from(count).unwrap_or(u32::MAX)),
            delay: Millis(value.count("retry_delay_ms").unwrap_or_default()),
            message: trouble.message.clone(),
        });
        self.trouble = Some(trouble);
    }

    fn assistant(&mut self, value: &Json, heard: &mut Vec<Heard>) {
        let Some(message) = value.get("message") else { return };
        let content = message.get("content").map(Json::items).unwrap_or_default();
        let made_up = message.text("model") == Some(SYNTHETIC);
        self.trouble = made_up.then(|| Trouble::from_synthetic(value.text("error"), content)).flatten();
        if !made_up {
            self.estimate(message, heard);
        }
        for block in content {
            match block.text("type") {
                Some("text") => {
                    let said = text::block(block.text("text").unwrap_or_default());
                    if !said.is_empty() {
                        heard.push(Heard::Said(said));
                    }
                }
                Some("tool_use") => self.tool_called(block, heard),
                // Thoughts are the model's own business; later versions add kinds of blocks.
                Some(_) | None => {}
            }
        }
    }

    /// Adds the input side of one message, once per id: the same message comes on several lines,
    /// and its output tokens are those of its beginning.
    fn estimate(&mut self, message: &Json, heard: &mut Vec<Heard>) {
        let Some(id) = message.text("id") else { return };
        if !self.messages.is_new(id) {
            return;
        }
        let usage = message.get("usage").map(usage_tokens).unwrap_or_default();
        let input_side = Tokens { output: 0, ..usage };
        self.spend.api_calls = self.spend.api_calls.saturating_add(1);
        self.spend.tokens = self.spend.tokens + input_side;
        heard.push(Heard::Spend(self.spend));
    }

    fn tool_called(&mut self, block: &Json, heard: &mut Vec<Heard>) {
        let id = text::one_line(block.text("id").unwrap_or_default());
        let name = text::one_line(block.text("name").unwrap_or_default());
        let input = block.get("input").map(summary).unwrap_or_default();
        if self.open_tools.len() == OPEN_TOOLS_MAX {
            self.open_tools.pop_front();
        }
        let call = hash(&(&name, block.get("input").map(|input| format!("{input:?}"))));
        let summary = text::one_line(&format!("{name} {input}"));
        self.open_tools.push_back(OpenTool { id: id.clone(), summary, call });
        heard.push(Heard::ToolCalled { id, name, input });
    }

    fn user(&mut self, value: &Json, heard: &mut Vec<Heard>) {
        let content = value.get("message").and_then(|message| message.get("content"));
        for block in content.map(Json::items).unwrap_or_default() {
            if block.text("type") != Some("tool_result") {
                continue;
            }
            let id = text::one_line(block.text("tool_use_id").unwrap_or_default());
            if let Some(place) = self.open_tools.iter().position(|tool| tool.id == id)
                && let Some(tool) = self.open_tools.remove(place)
            {
                let result = hash(&block.get("content").map(|content| format!("{content:?}")));
                let times = self.repeats.seen(tool.call, result);
                if times > 1 {
                    heard.push(Heard::Repeated { call: tool.summary, times });
                }
            }
            heard.push(Heard::ToolEnded { id, is_error: block.bool("is_error").unwrap_or(false) });
        }
    }

    fn limit(&mut self, value: &Json, heard: &mut Vec<Heard>) {
        let Some(info) = value.get("rate_limit_info") else { return };
        let rejected = info.text("status") == Some("rejected");
        let resets_at = info.count("resetsAt").map(|seconds| Timestamp(seconds.saturating_mul(1_000)));
        self.limit_resets_at = resets_at.filter(|_| rejected);
        heard.push(Heard::LimitSeen { resets_at, rejected });
    }

    fn result(&mut self, value: &Json, heard: &mut Vec<Heard>) {
        for denial in value.get("permission_denials").map(Json::items).unwrap_or_default() {
            if self.denials.is_new(denial.text("tool_use_id").unwrap_or_default()) {
                heard.push(Heard::Denied {
                    tool: text::one_line(denial.text("tool_name").unwrap_or_default()),
                });
            }
        }
        let record = FinalRecord::read(value);
        let before = self.spend;
        // Totals of the process, told again at every turn: the highest is the last.
        if let Some(cost) = record.cost {
            self.spend.cost = self.spend.cost.max(cost);
            self.cost_known = true;
        }
        if let Some(tokens) = record.tokens {
            self.spend.tokens = higher(self.spend.tokens, tokens);
        }
        if self.spend != before {
            heard.push(Heard::Spend(self.spend));
        }
        self.record = Some(record);
        heard.push(Heard::Final);
    }
}

fn higher(one: Tokens, other: Tokens) -> Tokens {
    Tokens {
        input: one.input.max(other.input),
        output: one.output.max(other.output),
        cache_read: one.cache_read.max(other.cache_read),
        cache_write: one.cache_write.max(other.cache_write),
    }
}

/// The last ids that were seen, as hashes, so that an id's length does not matter.
#[derive(Debug, Default)]
struct Remembered(VecDeque<u64>);

impl Remembered {
    /// Whether `id` was not seen lately; from now on it was.
    fn is_new(&mut self, id: &str) -> bool {
        let hash = hash(&id);
        if self.0.iter().rev().any(|seen| *seen == hash) {
            return false;
        }
        if self.0.len() == MESSAGES_REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(hash);
        true
    }
}
