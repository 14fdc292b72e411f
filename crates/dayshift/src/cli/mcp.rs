//! Tools for agents over MCP: a server on standard input and output, one JSON value a line. It writes into
//! the mailbox of its attempt and reads from there, so that it needs no engine: whichever engine lives
//! next finds what was written.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, Read, Write};
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use clap::Args;
use dayshift_agents::mail::{self, Wish};
use dayshift_core::QUESTIONS_MAX;
use dayshift_core::ids::AttemptId;
use dayshift_workspaces::Inside;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use serde_json::{Value, json};

use super::{Common, place};
use crate::failure::{Code, Failure};
use crate::outside::PUBLISHED_MAX;
use crate::outside::mailbox::{self, CALLS_MAX, LETTER_BYTES_MAX};
use crate::paths::Paths;

/// The variable that names the mailbox to an attempt's processes.
const MAILBOX: &str = "DAYSHIFT_MAILBOX";

/// The variable that says whether the agent may ask for other jobs.
const MAY_SPAWN: &str = "DAYSHIFT_MAY_SPAWN";

/// The version that is spoken when a client names none.
const PROTOCOL: &str = "2025-06-18";

/// The longest line that is read, in bytes.
const LINE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The largest thing that is published, in bytes.
const PUBLISHED_BYTES_MAX: usize = 1024 * 1024;

/// How long a question waits for an answer that is there at once, a standing one for instance.
const ANSWER_MAX: Duration = Duration::from_secs(3);

/// What `mcp` takes.
#[derive(Debug, Args)]
pub(crate) struct McpArgs {
    /// The attempt whose agent it serves [default: the one that it runs in]
    #[arg(long, value_name = "ID")]
    attempt: Option<AttemptId>,
}

/// Serves one agent until it closes our standard input.
pub(crate) fn mcp(common: &Common, args: &McpArgs) -> Result<Code> {
    let mut server = Server { mailbox: mailbox_of(common, args)?, calls: 0, read: BTreeSet::new() };
    fs::create_dir_all(&server.mailbox)
        .with_context(|| format!("failed to make {}", server.mailbox.display()))?;
    let mut input = std::io::stdin().lock();
    loop {
        let mut line = Vec::new();
        let count = (&mut input).take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
        if count == 0 {
            return Ok(Code::Done);
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let reply = match serde_json::from_slice::<Value>(&line) {
            Ok(message) => server.answer(&message),
            Err(error) => Some(refusal(&Value::Null, -32_700, &format!("that is no JSON: {error}"))),
        };
        if let Some(reply) = reply {
            let mut output = std::io::stdout().lock();
            output.write_all(format!("{reply}\n").as_bytes()).and_then(|()| output.flush())?;
        }
    }
}

fn mailbox_of(common: &Common, args: &McpArgs) -> Result<PathBuf> {
    if let Some(attempt) = args.attempt {
        let paths = Paths::of(&place::folder(common)?)?;
        return Ok(paths.attempt(attempt).join(mailbox::FOLDER));
    }
    match std::env::var_os(MAILBOX).map(PathBuf::from).filter(|folder| folder.is_absolute()) {
        Some(folder) => Ok(folder),
        None => Err(Failure::new(Code::Invalid, "this is no process of an attempt")
            .hint("name the attempt: `dayshift mcp --attempt A40`")
            .into()),
    }
}

/// One agent's server.
struct Server {
    mailbox: PathBuf,
    calls: u32,
    /// Messages that were read already.
    read: BTreeSet<String>,
}

impl Server {
    /// What a message is answered with; a notification with nothing.
    fn answer(&mut self, message: &Value) -> Option<Value> {
        let id = message.get("id")?;
        let params = message.get("params").unwrap_or(&Value::Null);
        Some(match message.get("method").and_then(Value::as_str) {
            Some("initialize") => result(id, &welcome(params)),
            Some("ping") => result(id, &json!({})),
            Some("tools/list") => result(id, &json!({"tools": tools()})),
            Some("tools/call") => {
                let called = self.call(params);
                let (text, is_error) = match called {
                    Ok(text) => (text, false),
                    Err(text) => (text, true),
                };
                result(id, &json!({"content": [{"type": "text", "text": text}], "isError": is_error}))
            }
            Some(other) => refusal(id, -32_601, &format!("there is no method `{other}`")),
            // An answer to what we never asked.
            None => return None,
        })
    }

    /// Does what a tool is for. What goes wrong is told to the agent, in a sentence.
    fn call(&mut self, params: &Value) -> Result<String, String> {
        if self.calls >= CALLS_MAX {
            return Err(format!("this attempt has called {CALLS_MAX} times; that is enough"));
        }
        self.calls += 1;
        let given = params.get("arguments").unwrap_or(&Value::Null);
        let text = |name: &str| given.get(name).and_then(Value::as_str).unwrap_or_default().trim().to_owned();
        let needed = |name: &str| match text(name) {
            words if words.is_empty() => Err(format!("`{name}` is missing")),
            words => Ok(words),
        };
        match params.get("name").and_then(Value::as_str) {
            Some("ask_human") => {
                let call = json!({
                    "question": needed("question")?, "context": text("context"), "impact": text("impact"),
                    "options": options(given),
                });
                self.ask(&call)
            }
            Some("report_progress") => {
                self.note("progress", &json!({"text": needed("text")?}))?;
                Ok("noted".to_owned())
            }
            Some("spawn_job") => {
                let (role, reason, brief) = (needed("role")?, needed("reason")?, needed("brief")?);
                if std::env::var(MAY_SPAWN).is_ok_and(|word| word != "1") {
                    return Err(
                        "this job may not ask for other jobs; do the work yourself, or say in your last \
                                words what is left"
                            .to_owned(),
                    );
                }
                Wish::new(&role, &reason, &brief)?;
                self.note("spawn", &json!({"role": role, "reason": reason, "brief": brief}))?;
                Ok("The job is recorded. End your turn now; you are started again when it is over."
                    .to_owned())
            }
            Some("publish_artifact") => self.publish(&needed("name")?, given),
            Some("send_message") => {
                self.note("message", &json!({"to": needed("to")?, "text": needed("text")?}))?;
                Ok("sent".to_owned())
            }
            Some("read_messages") => Ok(self.messages()),
            other => Err(format!("there is no tool `{}`", other.unwrap_or_default())),
        }
    }

    fn open(&self) -> Result<Inside, String> {
        Inside::open(&self.mailbox).map_err(|error| format!("it could not be written down: {error}"))
    }

    /// Notes a call in the mailbox and gives its name.
    fn note(&self, kind: &str, call: &Value) -> Result<String, String> {
        self.note_in(&self.open()?, kind, call)
    }

    fn note_in(&self, inside: &Inside, kind: &str, call: &Value) -> Result<String, String> {
        // Unique beside the calls of another server of the same attempt, which may have the same pid where
        // they are counted for each anew.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let name = format!("{}-{since}-{}", std::process::id(), self.calls);
        let words = call.to_string();
        if words.len() > LETTER_BYTES_MAX {
            return Err(format!("it has {} bytes; {LETTER_BYTES_MAX} are the most", words.len()));
        }
        inside
            .write(&format!("{kind}-{name}.json"), words.as_bytes())
            .map_err(|error| format!("it could not be written down: {error}"))?;
        Ok(name)
    }

    fn ask(&self, call: &Value) -> Result<String, String> {
        let inside = self.open()?;
        let files = inside.own_files(CALLS_MAX as usize);
        let noted = files.iter().filter(|file| file.starts_with("ask-")).count();
        if noted >= QUESTIONS_MAX {
            return Err(format!(
                "{QUESTIONS_MAX} questions are the most that a job may ask, and they are asked; go on with what you \
                 know, and say in your last words what is open"
            ));
        }
        let name = self.note_in(&inside, "ask", call)?;
        match self.answer_to(&name) {
            Some(answer) => Ok(answer),
            None => {
                Ok("The question is recorded. Nobody has answered yet. End your turn now, without guessing; \
                        you are started again with the answer."
                    .to_owned())
            }
        }
    }

    /// The answer, if it comes soon. The kernel tells when it is there.
    fn answer_to(&self, name: &str) -> Option<String> {
        let folder = self.mailbox.join(mailbox::ANSWERS);
        fs::create_dir_all(&folder).ok()?;
        let descriptor = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()?;
        inotify::add_watch(&descriptor, &folder, WatchFlags::MOVED_TO | WatchFlags::CLOSE_WRITE).ok()?;
        let file = folder.join(mail::answer_file(name));
        let end = Instant::now() + ANSWER_MAX;
        loop {
            if let Ok(answer) = fs::read_to_string(&file) {
                // What cannot be noted is told again, in the agent's next prompt.
                let _ = Inside::open(&self.mailbox)
                    .and_then(|inside| inside.write(&format!("{}-{name}.json", mailbox::RECEIVED), b"{}"));
                return Some(answer);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            let timeout = Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(0),
                tv_nsec: i64::from(left.subsec_nanos()),
            };
            let _ = poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], Some(&timeout));
            let mut buffer = [MaybeUninit::<u8>::uninit(); 4096];
            let mut reader = inotify::Reader::new(&descriptor, &mut buffer);
            while reader.next().is_ok() {}
        }
    }

    /// A text, or a file of the workspace.
    fn publish(&self, name: &str, given: &Value) -> Result<String, String> {
        let bytes = match (given.get("content"), given.get("path").and_then(Value::as_str)) {
            (Some(Value::String(text)), _) => text.as_bytes().to_vec(),
            (Some(value), _) if !value.is_null() => value.to_string().into_bytes(),
            (_, Some(path)) => read(path)?,
            (_, None) => return Err("`content` is missing, or `path` of a file".to_owned()),
        };
        if bytes.len() > PUBLISHED_BYTES_MAX {
            return Err(format!("it has {} bytes; {PUBLISHED_BYTES_MAX} are the most", bytes.len()));
        }
        let inside = self.open()?;
        let there = inside.files(mailbox::PUBLISHED, PUBLISHED_MAX);
        let others = there.iter().filter(|other| *other != name).count();
        if others >= PUBLISHED_MAX {
            return Err(format!(
                "`{name}` is not published: {PUBLISHED_MAX} things are the most, and so many are published"
            ));
        }
        inside
            .write(&format!("{}/{name}", mailbox::PUBLISHED), &bytes)
            .map_err(|error| format!("it could not be written: {error}"))?;
        Ok(format!("`{name}` is published: {} bytes", bytes.len()))
    }

    fn messages(&mut self) -> String {
        let Ok(inside) = Inside::open(&self.mailbox) else { return "no new messages".to_owned() };
        let files = inside.files(mailbox::INBOX, CALLS_MAX as usize);
        let new: Vec<String> = files
            .iter()
            .filter(|file| !self.read.contains(*file))
            .filter_map(|file| {
                inside.read(&format!("{}/{file}", mailbox::INBOX), LINE_BYTES_MAX).ok().flatten()
            })
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .collect();
        self.read.extend(files);
        if new.is_empty() { "no new messages".to_owned() } else { new.join("\n---\n") }
    }
}

/// What can be answered, in words: agents give all kinds of things.
fn options(given: &Value) -> Vec<String> {
    let options = given.get("options").and_then(Value::as_array).into_iter().flatten();
    options.map(|option| option.as_str().map_or_else(|| option.to_string(), str::to_owned)).collect()
}

/// A file of the folder that we were started in, which is the agent's.
fn read(path: &str) -> Result<Vec<u8>, String> {
    let folder = std::env::current_dir().map_err(|error| error.to_string())?;
    // Agents name files by their whole path as well.
    let path =
        Path::new(path).strip_prefix(&folder).unwrap_or(Path::new(path)).to_string_lossy().into_owned();
    let found = Inside::open(&folder).and_then(|inside| inside.read(&path, PUBLISHED_BYTES_MAX as u64));
    match found {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => Err(format!("there is no file `{path}` in the workspace")),
        Err(error) => Err(error.to_string()),
    }
}

fn result(id: &Value, result: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "result": result})
}

fn refusal(id: &Value, code: i32, message: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})
}

fn welcome(params: &Value) -> Value {
    json!({
        // Whatever the client speaks: the few methods here are the same in every version.
        "protocolVersion": params.get("protocolVersion").and_then(Value::as_str).unwrap_or(PROTOCOL),
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "dayshift", "version": env!("CARGO_PKG_VERSION")},
        "instructions": "Ask a person, leave things for other jobs, ask for another job. After ask_human and \
                         spawn_job end your turn: you are started again.",
    })
}

/// The tools as a client lists them.
fn tools() -> Value {
    let tool = |name: &str, about: &str, needed: &[&str], fields: Value| {
        json!({
            "name": name, "description": about,
            "inputSchema": {"type": "object", "properties": fields, "required": needed},
        })
    };
    let text = |about: &str| json!({"type": "string", "description": about});
    json!([
        tool(
            "ask_human",
            "Ask a person something that only a person can decide. The answer comes at once or later: \
              then end your turn, and you are started again with it.",
            &["question"],
            json!({
                "question": text("One question"),
                "context": text("What it is about"),
                "options": {"type": "array", "items": {"type": "string"}, "description": "What can be answered"},
                "impact": text("What depends on it"),
            })
        ),
        tool(
            "report_progress",
            "Tell people how far you are, in one sentence.",
            &["text"],
            json!({
                "text": text("One sentence"),
            })
        ),
        tool(
            "spawn_job",
            "Ask for another job, done by another agent before you go on. End your turn afterwards; you \
              are started again when it is over.",
            &["role", "reason", "brief"],
            json!({
                "role": {"type": "string", "enum": dayshift_core::pipeline::Role::ALL.map(dayshift_core::pipeline::Role::word)},
                "reason": text("Why it is wanted, one line"),
                "brief": text("What it is to do"),
            })
        ),
        tool(
            "publish_artifact",
            "Leave something for the jobs after yours: a text, or a file of the workspace.",
            &["name"],
            json!({
                "name": text("What it is called, report.md for instance"),
                "content": text("The text"),
                "path": text("Instead of the text: a file of the workspace"),
            })
        ),
        tool(
            "send_message",
            "Write to another job of your task, by its name, or to another task, by its key.",
            &["to", "text"],
            json!({"to": text("The name or key"), "text": text("The message")})
        ),
        tool("read_messages", "Read what others have written to you since you last looked.", &[], json!({})),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(folder: &Path) -> Server {
        Server { mailbox: folder.to_owned(), calls: 0, read: BTreeSet::new() }
    }

    fn call(server: &mut Server, name: &str, arguments: &Value) -> (String, bool) {
        let message = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call",
            "params": {"name": name, "arguments": arguments}});
        let reply = server.answer(&message).unwrap();
        assert_eq!(reply["id"], 7);
        let text = reply["result"]["content"][0]["text"].as_str().unwrap().to_owned();
        (text, reply["result"]["isError"].as_bool().unwrap())
    }

    #[test]
    fn the_clients_version_is_spoken_and_notifications_are_not_answered() {
        let home = tempfile::tempdir().unwrap();
        let mut server = server(home.path());
        let hello = json!({"id": 0, "method": "initialize", "params": {"protocolVersion": "2025-11-25"}});
        assert_eq!(server.answer(&hello).unwrap()["result"]["protocolVersion"], "2025-11-25");
        assert_eq!(server.answer(&json!({"method": "notifications/initialized"})), None);
        let tools = server.answer(&json!({"id": "a", "method": "tools/list"})).unwrap();
        let names: Vec<&str> = tools["result"]["tools"]
            .as_array()
            .unwrap()
            .iter()
            .map(|tool| tool["name"].as_str().unwrap())
            .collect();
        assert_eq!(
            names,
            [
                "ask_human",
                "report_progress",
                "spawn_job",
                "publish_artifact",
                "send_message",
                "read_messages"
            ]
        );
        assert_eq!(server.answer(&json!({"id": 1, "method": "nonsense"})).unwrap()["error"]["code"], -32_601);
    }

    #[test]
    fn calls_are_noted_and_what_is_missing_is_told() {
        let home = tempfile::tempdir().unwrap();
        let mut server = server(home.path());
        assert_eq!(call(&mut server, "ask_human", &json!({})), ("`question` is missing".to_owned(), true));
        assert!(call(&mut server, "spawn_job", &json!({"role": "boss", "reason": "x", "brief": "y"})).1);
        assert!(!call(&mut server, "spawn_job", &json!({"role": "tester", "reason": "x", "brief": "y"})).1);
        assert!(!call(&mut server, "report_progress", &json!({"text": "half"})).1);
        let (text, is_error) =
            call(&mut server, "publish_artifact", &json!({"name": "../../x", "content": "y"}));
        assert!(is_error && text.contains("leads out"), "{text}");
        assert!(!call(&mut server, "publish_artifact", &json!({"name": "a.md", "content": "words"})).1);
        assert_eq!(fs::read_to_string(home.path().join("out/a.md")).unwrap(), "words");
        let (text, is_error) =
            call(&mut server, "publish_artifact", &json!({"name": "b", "path": "/etc/passwd"}));
        assert!(is_error && text.contains("leads out"), "{text}");
        for number in 1..PUBLISHED_MAX {
            let published = json!({"name": format!("{number}.md"), "content": "more"});
            assert!(!call(&mut server, "publish_artifact", &published).1);
        }
        assert!(!call(&mut server, "publish_artifact", &json!({"name": "a.md", "content": "words"})).1);
        let (text, is_error) =
            call(&mut server, "publish_artifact", &json!({"name": "z.md", "content": "one too many"}));
        assert!(is_error && text.contains("50 things are the most"), "{text}");
        for number in 1..=QUESTIONS_MAX {
            server.note("ask", &json!({"question": number})).unwrap();
            server.calls += 1;
        }
        let (text, is_error) = call(&mut server, "ask_human", &json!({"question": "One more?"}));
        assert!(is_error && text.contains("20 questions are the most"), "{text}");
        assert_eq!(call(&mut server, "read_messages", &json!({})).0, "no new messages");
        Inside::open(home.path()).unwrap().write("inbox/A1-1.md", b"hello").unwrap();
        assert_eq!(call(&mut server, "read_messages", &json!({})).0, "hello");
        assert_eq!(call(&mut server, "read_messages", &json!({})).0, "no new messages");
        let noted = Inside::open(home.path()).unwrap().files("", 100);
        assert!(noted.iter().any(|file| file.starts_with("spawn-")), "{noted:?}");
        assert!(noted.iter().any(|file| file.starts_with("progress-")), "{noted:?}");
    }

    #[test]
    fn an_answer_that_comes_soon_is_the_result_of_the_call() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().to_owned();
        let answerer = std::thread::spawn(move || {
            let inside = Inside::open(&folder).unwrap();
            let end = Instant::now() + Duration::from_secs(2);
            while Instant::now() < end {
                if let Some(name) = inside
                    .files("", 9)
                    .iter()
                    .find_map(|file| file.strip_prefix("ask-")?.strip_suffix(".json").map(str::to_owned))
                {
                    return inside.write(&format!("answers/{name}-answer.md"), b"tabs").unwrap();
                }
                std::thread::yield_now();
            }
        });
        let (text, is_error) = call(&mut server(home.path()), "ask_human", &json!({"question": "Tabs?"}));
        answerer.join().unwrap();
        assert_eq!((text.as_str(), is_error), ("tabs", false));
        let noted = Inside::open(home.path()).unwrap().own_files(100);
        assert!(noted.iter().any(|file| file.starts_with("received-")), "{noted:?}");
    }
}
