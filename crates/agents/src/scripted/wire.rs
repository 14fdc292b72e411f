//! What the scripted agent prints: the same lines as `claude`, so that one parser reads both.

use std::io::{self, Write};

use dayshift_core::money::{Spend, Tokens};
use dayshift_core::types::FailureClass;
use serde_json::{Value, json};

use crate::text;

/// The model that the scripted agent says it is.
pub(crate) const MODEL: &str = "scripted";

/// Output of a tool that is printed at most, in bytes.
pub(crate) const OUTPUT_BYTES_MAX: usize = 30_000;

/// The output stream and its counters.
pub(crate) struct Wire<'out> {
    pub(crate) out: &'out mut dyn Write,
    pub(crate) session: String,
    pub(crate) messages: u64,
    pub(crate) tools: u64,
}

impl Wire<'_> {
    fn line(&mut self, value: &Value) -> io::Result<()> {
        let mut line = value.to_string();
        line.push('\n');
        self.out.write_all(line.as_bytes())?;
        self.out.flush()
    }

    /// The first line of a run.
    pub(crate) fn init(&mut self, cwd: &str) -> io::Result<()> {
        self.line(&json!({
            "type": "system", "subtype": "init", "session_id": self.session, "cwd": cwd,
            "model": MODEL, "tools": ["Write", "Edit", "Delete", "Bash", "AskHuman"], "mcp_servers": [],
            "agent_version": env!("CARGO_PKG_VERSION"),
        }))
    }

    /// One message of the model, with what it used.
    pub(crate) fn message(&mut self, content: &Value, used: Tokens) -> io::Result<()> {
        self.messages += 1;
        self.line(&json!({
            "type": "assistant",
            "message": {
                "id": format!("msg_{:08}", self.messages), "type": "message", "role": "assistant",
                "model": MODEL, "content": content,
                // As with a real agent: the output side is only known at the end.
                "usage": {
                    "input_tokens": used.input, "output_tokens": 1,
                    "cache_read_input_tokens": used.cache_read,
                    "cache_creation_input_tokens": used.cache_write,
                },
            },
            "parent_tool_use_id": null, "session_id": self.session,
        }))
    }

    /// Words.
    pub(crate) fn say(&mut self, said: &str) -> io::Result<()> {
        self.message(&json!([{"type": "text", "text": said}]), Tokens::default())
    }

    /// A tool call; gives its id.
    pub(crate) fn call(&mut self, name: &str, input: &Value) -> io::Result<String> {
        self.tools += 1;
        let id = format!("toolu_{:08}", self.tools);
        self.message(
            &json!([{"type": "tool_use", "id": id, "name": name, "input": input}]),
            Tokens::default(),
        )?;
        Ok(id)
    }

    /// What a tool call came back with.
    pub(crate) fn answer(&mut self, id: &str, outcome: &Result<String, String>) -> io::Result<()> {
        let (content, is_error) = match outcome {
            Ok(content) => (content, false),
            Err(content) => (content, true),
        };
        self.line(&json!({
            "type": "user",
            "message": {"role": "user", "content": [{
                "type": "tool_result", "tool_use_id": id,
                "content": text::head(content, OUTPUT_BYTES_MAX), "is_error": is_error,
            }]},
            "parent_tool_use_id": null, "session_id": self.session,
        }))
    }

    /// The final record of a run that went well.
    pub(crate) fn success(&mut self, said: &str, spend: Spend) -> io::Result<()> {
        self.result("success", None, said, spend)
    }

    /// The final record of a run that did not.
    pub(crate) fn failure(&mut self, class: FailureClass, message: &str, spend: Spend) -> io::Result<()> {
        let subtype = match class {
            FailureClass::Budget => "error_max_budget_usd",
            FailureClass::Transient
            | FailureClass::Work
            | FailureClass::Permanent
            | FailureClass::Timeout
            | FailureClass::Safety
            | FailureClass::Conflict => "success",
        };
        self.result(subtype, Some(class), message, spend)
    }

    fn result(
        &mut self,
        subtype: &str,
        class: Option<FailureClass>,
        said: &str,
        spend: Spend,
    ) -> io::Result<()> {
        let Tokens { input, output, cache_read, cache_write } = spend.tokens;
        let usd = spend.cost.usd();
        self.line(&json!({
            "type": "result", "subtype": subtype, "is_error": class.is_some(), "failure_class": class,
            "result": said, "num_turns": self.messages, "session_id": self.session,
            "total_cost_usd": usd,
            "usage": {
                "input_tokens": input, "output_tokens": output,
                "cache_read_input_tokens": cache_read, "cache_creation_input_tokens": cache_write,
            },
            "modelUsage": {MODEL: {
                "inputTokens": input, "outputTokens": output, "cacheReadInputTokens": cache_read,
                "cacheCreationInputTokens": cache_write, "costUSD": usd,
            }},
            "permission_denials": [],
        }))
    }
}
