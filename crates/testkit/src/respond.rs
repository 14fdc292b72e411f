//! Answers one request: finds its place in a scenario, waits, sends.

use std::collections::BTreeMap;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};

use crate::conversation::{self, Marker};
use crate::http::{self, Afterwards, HttpRequest};
use crate::log::{LogFull, RequestKind, Served, Shared};
use crate::scenario::{Scenario, Turn, Usage};
use crate::script;
use crate::server::pause;
use crate::tools::{self, Place};
use crate::wire::{self, Message};

/// The scenarios of a server and what its threads share.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) scenarios: BTreeMap<String, Scenario>,
    pub(crate) port: u16,
    pub(crate) shared: Arc<Shared>,
}

const SIDE_ANSWER: &str = "Scripted work";
const FINISHED_ANSWER: &str = "The scenario is over; nothing is left to do.";

/// How the server reacts to a request of the Messages API, before any delay.
struct Plan<'a> {
    kind: RequestKind,
    delays: &'a [Turn],
    reaction: Reaction,
}

enum Reaction {
    Answer { text: String, tool_uses: Vec<tools::ToolUse>, usage: Usage },
    Refuse { code: u16, retry_after: Option<u64>, message: String },
    Drop(Usage),
    Malformed(Usage),
    Hang,
}

/// Answers one request and says whether the connection goes on.
pub(crate) fn respond(
    script: &Script,
    stream: &mut TcpStream,
    request: &HttpRequest,
    wish: Afterwards,
) -> io::Result<Afterwards> {
    let path = request.path.split('?').next().unwrap_or_default();
    let (kind, status, body) = match (request.method.as_str(), path) {
        ("POST", "/v1/messages") => return messages(script, stream, request, wish),
        ("POST", "/v1/messages/count_tokens") => {
            (RequestKind::CountTokens, 200, json!({"input_tokens": request.body.len() / 4}).to_string())
        }
        ("HEAD", "/") => (RequestKind::Probe, 200, String::new()),
        _ => (
            RequestKind::Unknown,
            404,
            wire::error(404, "no such path on the scripted model server").to_string(),
        ),
    };
    let recorded = script.shared.lock().record(request, "", kind);
    script.shared.notify();
    match recorded {
        Ok(_) => http::write_response(stream, status, "", &body, wish)?,
        Err(LogFull) => log_full(stream)?,
    }
    Ok(wish)
}

fn messages(
    script: &Script,
    stream: &mut TcpStream,
    request: &HttpRequest,
    wish: Afterwards,
) -> io::Result<Afterwards> {
    let body: Value = serde_json::from_str(&request.body).unwrap_or(Value::Null);
    let model = body["model"].as_str().unwrap_or_default();
    let (plan, recorded) = {
        // One lock around planning and recording: two requests of one run never get the same fault.
        let mut state = script.shared.lock();
        let plan = plan(script, &mut state, &body);
        let recorded = state.record(request, model, plan.kind.clone());
        (plan, recorded)
    };
    script.shared.notify();
    let Ok(number) = recorded else {
        log_full(stream)?;
        return Ok(Afterwards::Close);
    };
    for delay in plan.delays {
        if !sit_out(script, stream, delay)? {
            return Ok(Afterwards::Close);
        }
    }
    let reply = Reply { script, number, model, streamed: body["stream"] == true };
    reply.send(stream, plan.reaction, wish)
}

fn log_full(stream: &mut TcpStream) -> io::Result<()> {
    let body = wire::error(503, "the request log of the scripted model server is full").to_string();
    http::write_response(stream, 503, "", &body, Afterwards::Close)
}

fn sit_out(script: &Script, stream: &TcpStream, delay: &Turn) -> io::Result<bool> {
    match delay {
        Turn::Wait(duration) => pause(&script.shared, stream, Some(Instant::now() + *duration), |_| false),
        Turn::Gate(name) => pause(&script.shared, stream, None, |state| state.gate_is_open(name)),
        Turn::Say { .. }
        | Turn::Tools { .. }
        | Turn::Status { .. }
        | Turn::Drop { .. }
        | Turn::Malformed { .. }
        | Turn::Hang => Ok(true),
    }
}

fn plan<'a>(script: &'a Script, state: &mut crate::log::State, body: &Value) -> Plan<'a> {
    let declared = body["tools"].as_array().map_or(&[][..], Vec::as_slice);
    if body.is_null() {
        return unscripted("the body is not JSON".to_owned());
    }
    if declared.is_empty() {
        return Plan { kind: RequestKind::Side, delays: &[], reaction: say(SIDE_ANSWER, Usage::SMALL) };
    }
    let Some((marker, turns)) = conversation::marked_turns(body) else {
        return unscripted("no user message holds a marker `SCENARIO: name run=x`".to_owned());
    };
    let Some(scenario) = script.scenarios.get(&marker.scenario) else {
        let known = script.scenarios.keys().cloned().collect::<Vec<_>>().join(", ");
        return unscripted(format!("there is no scenario {}; known: {known}", marker.scenario));
    };
    let position = script::position(scenario, &turns);
    let step = script::step(scenario, position, state.faults_served(&marker));
    let workdir = conversation::working_directory(body);
    let place = Place { workdir: workdir.as_deref(), run: &marker.run };
    match react(step.turn, declared, &place) {
        Ok((served, reaction)) => {
            state.set_faults_served(&marker, step.faults_served);
            let Marker { scenario, run } = marker;
            let kind = RequestKind::Turn { scenario, run, position, served };
            Plan { kind, delays: step.delays, reaction }
        }
        Err(why) => unscripted(why),
    }
}

fn unscripted(why: String) -> Plan<'static> {
    let message = format!("scripted model server: {why}");
    Plan {
        kind: RequestKind::Unscripted(why),
        delays: &[],
        reaction: Reaction::Refuse { code: 400, retry_after: None, message },
    }
}

fn say(text: &str, usage: Usage) -> Reaction {
    Reaction::Answer { text: text.to_owned(), tool_uses: Vec::new(), usage }
}

fn react(turn: Option<&Turn>, declared: &[Value], place: &Place<'_>) -> Result<(Served, Reaction), String> {
    let Some(turn) = turn else { return Ok((Served::Finished, say(FINISHED_ANSWER, Usage::SMALL))) };
    Ok(match turn {
        Turn::Say { text, usage } => (Served::Say, say(&place.fill(text)?, *usage)),
        Turn::Tools { text, calls, usage } => {
            let tool_uses =
                calls.iter().map(|call| tools::translate(call, declared, place)).collect::<Result<_, _>>()?;
            (Served::Tools, Reaction::Answer { text: place.fill(text)?, tool_uses, usage: *usage })
        }
        Turn::Status { code, retry_after } => {
            let message = format!("scripted status {code}");
            (Served::Status(*code), Reaction::Refuse { code: *code, retry_after: *retry_after, message })
        }
        Turn::Drop { usage } => (Served::Drop, Reaction::Drop(*usage)),
        Turn::Malformed { usage } => (Served::Malformed, Reaction::Malformed(*usage)),
        Turn::Hang => (Served::Hang, Reaction::Hang),
        Turn::Wait(_) | Turn::Gate(_) => return Err("a delay stands where a turn should be".to_owned()),
    })
}

/// Where a reaction goes.
struct Reply<'a> {
    script: &'a Script,
    number: usize,
    model: &'a str,
    streamed: bool,
}

impl Reply<'_> {
    fn send(&self, stream: &mut TcpStream, reaction: Reaction, wish: Afterwards) -> io::Result<Afterwards> {
        match reaction {
            Reaction::Answer { text, tool_uses, usage } => {
                let message = self.message(text, tool_uses, usage);
                if self.streamed {
                    self.stream_message(stream, &message, wish)?;
                } else {
                    self.script.shared.report(self.number, usage);
                    http::write_response(stream, 200, "", &message.whole().to_string(), wish)?;
                }
                Ok(wish)
            }
            Reaction::Refuse { code, retry_after, message } => {
                let extra =
                    retry_after.map(|seconds| format!("retry-after: {seconds}\r\n")).unwrap_or_default();
                http::write_response(stream, code, &extra, &wire::error(code, &message).to_string(), wish)?;
                Ok(wish)
            }
            Reaction::Drop(usage) => self.drop_midway(stream, usage),
            Reaction::Malformed(usage) => self.send_malformed(stream, usage, wish),
            Reaction::Hang => {
                pause(&self.script.shared, stream, None, |_| false)?;
                Ok(Afterwards::Close)
            }
        }
    }

    fn drop_midway(&self, stream: &mut TcpStream, usage: Usage) -> io::Result<Afterwards> {
        if self.streamed {
            http::begin_stream(stream, Afterwards::Close)?;
            http::write_chunk(stream, &self.half_a_stream(usage))?;
        } else {
            http::write_cut_response(stream, wire::HALF_A_MESSAGE)?;
        }
        // No last chunk and no full length: the client sees that the answer is cut off.
        stream.shutdown(Shutdown::Both)?;
        Ok(Afterwards::Close)
    }

    fn send_malformed(
        &self,
        stream: &mut TcpStream,
        usage: Usage,
        wish: Afterwards,
    ) -> io::Result<Afterwards> {
        if self.streamed {
            http::begin_stream(stream, wish)?;
            http::write_chunk(stream, &(self.half_a_stream(usage) + wire::MALFORMED_EVENT))?;
            http::end_stream(stream)?;
        } else {
            http::write_response(stream, 200, "", wire::HALF_A_MESSAGE, wish)?;
        }
        Ok(wish)
    }

    fn half_a_stream(&self, usage: Usage) -> String {
        self.message(String::new(), Vec::new(), usage).start() + &wire::half_a_block()
    }

    fn message(&self, text: String, tool_uses: Vec<tools::ToolUse>, usage: Usage) -> Message {
        // The port keeps the ids of two servers apart that one conversation meets before and after a resume.
        let id = format!("msg_{}_{:05}", self.script.port, self.number);
        Message { id, model: self.model.to_owned(), text, tool_uses, usage }
    }

    fn stream_message(&self, stream: &mut TcpStream, message: &Message, wish: Afterwards) -> io::Result<()> {
        http::begin_stream(stream, wish)?;
        http::write_chunk(stream, &message.start())?;
        http::write_chunk(stream, &message.blocks())?;
        // Noted before the end is sent, so that a client that has ended was always counted.
        self.script.shared.report(self.number, message.usage);
        http::write_chunk(stream, &message.end())?;
        http::end_stream(stream)
    }
}
