//! Renders answers in the words of the Messages API: events of a stream, whole messages, errors.

use serde_json::{Value, json};

use crate::scenario::Usage;
use crate::tools::ToolUse;

/// Bytes of text in one delta event, at most.
const DELTA_BYTES_MAX: usize = 4096;

/// One assistant message on its way out.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) id: String,
    pub(crate) model: String,
    pub(crate) text: String,
    pub(crate) tool_uses: Vec<ToolUse>,
    pub(crate) usage: Usage,
}

impl Message {
    fn stop_reason(&self) -> &'static str {
        if self.tool_uses.is_empty() { "end_turn" } else { "tool_use" }
    }

    fn tool_id(&self, index: usize) -> String {
        format!("toolu_{}_{index}", self.id)
    }

    fn usage(&self, output: u64) -> Value {
        json!({
            "input_tokens": self.usage.input,
            "cache_creation_input_tokens": self.usage.cache_write,
            "cache_read_input_tokens": self.usage.cache_read,
            "output_tokens": output,
            "service_tier": "standard",
        })
    }

    /// The whole message, for a client that did not ask for a stream.
    pub(crate) fn whole(&self) -> Value {
        let mut content = Vec::new();
        if !self.text.is_empty() {
            content.push(json!({"type": "text", "text": self.text}));
        }
        for (index, tool_use) in self.tool_uses.iter().enumerate() {
            content.push(json!({"type": "tool_use", "id": self.tool_id(index),
                "name": tool_use.name, "input": tool_use.input}));
        }
        json!({"id": self.id, "type": "message", "role": "assistant", "model": self.model, "content": content,
            "stop_reason": self.stop_reason(), "stop_sequence": null, "usage": self.usage(self.usage.output)})
    }

    /// The first event of the stream; it already reports the input tokens.
    pub(crate) fn start(&self) -> String {
        event(
            &json!({"type": "message_start", "message": {"id": self.id, "type": "message", "role": "assistant",
            "model": self.model, "content": [], "stop_reason": null, "stop_sequence": null,
            "usage": self.usage(1)}}),
        )
    }

    /// The events of the content blocks.
    pub(crate) fn blocks(&self) -> String {
        let mut events = String::new();
        let mut index = 0;
        if !self.text.is_empty() {
            events += &text_block_start(index);
            for piece in pieces(&self.text) {
                events += &text_delta(index, piece);
            }
            events += &block_stop(index);
            index += 1;
        }
        for (number, tool_use) in self.tool_uses.iter().enumerate() {
            events += &event(&json!({"type": "content_block_start", "index": index, "content_block":
                {"type": "tool_use", "id": self.tool_id(number), "name": tool_use.name, "input": {}}}));
            let input = tool_use.input.to_string();
            for piece in pieces(&input) {
                events += &event(&json!({"type": "content_block_delta", "index": index,
                    "delta": {"type": "input_json_delta", "partial_json": piece}}));
            }
            events += &block_stop(index);
            index += 1;
        }
        events
    }

    /// The last events; they report the output tokens.
    pub(crate) fn end(&self) -> String {
        event(&json!({"type": "message_delta",
            "delta": {"stop_reason": self.stop_reason(), "stop_sequence": null},
            "usage": {"output_tokens": self.usage.output}}))
            + &event(&json!({"type": "message_stop"}))
    }
}

/// The beginning of a text block whose rest never comes.
pub(crate) fn half_a_block() -> String {
    text_block_start(0) + &text_delta(0, "This answer will not be ")
}

/// The beginning of a whole message; as a body of its own it is not JSON.
pub(crate) const HALF_A_MESSAGE: &str = "{\"type\":\"message\",\"role\":\"assistant\",\"content\":[";

/// An event whose data is not JSON.
pub(crate) const MALFORMED_EVENT: &str = "event: content_block_delta\ndata: {\"type\":\"content_blo\n\n";

/// The error object that belongs to an HTTP status.
pub(crate) fn error(code: u16, message: &str) -> Value {
    let kind = match code {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    };
    json!({"type": "error", "error": {"type": kind, "message": message}})
}

fn event(data: &Value) -> String {
    let name = data["type"].as_str().unwrap_or_default();
    format!("event: {name}\ndata: {data}\n\n")
}

fn text_block_start(index: usize) -> String {
    event(
        &json!({"type": "content_block_start", "index": index, "content_block": {"type": "text", "text": ""}}),
    )
}

fn text_delta(index: usize, text: &str) -> String {
    event(
        &json!({"type": "content_block_delta", "index": index, "delta": {"type": "text_delta", "text": text}}),
    )
}

fn block_stop(index: usize) -> String {
    event(&json!({"type": "content_block_stop", "index": index}))
}

/// Cuts a text into pieces of at most [`DELTA_BYTES_MAX`] bytes, never inside a character.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (piece, tail) = rest.split_at(rest.floor_char_boundary(DELTA_BYTES_MAX));
        rest = tail;
        Some(piece)
    })
}
