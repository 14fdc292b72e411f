//! The scripted model server over plain sockets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use dayshift_testkit::{Call, ModelServer, RequestKind, Scenario, Served, Turn, Usage};
use serde_json::{Value, json};

const LONGEST: Duration = Duration::from_secs(20);

/// A response: status and body, the chunks joined; `complete` is false when it was cut off.
#[derive(Debug)]
struct Response {
    status: u16,
    headers: String,
    body: String,
    complete: bool,
}

impl Response {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("a body of JSON")
    }
}

/// A client on one connection that is kept alive.
struct Client {
    reader: BufReader<TcpStream>,
}

impl Client {
    fn connect(server: &ModelServer) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", server.port())).expect("a listening server");
        stream.set_read_timeout(Some(LONGEST)).expect("a timeout");
        Self { reader: BufReader::new(stream) }
    }

    fn send(&mut self, method: &str, path: &str, body: &str) {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nX-Api-Key: dummy-key\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.reader.get_mut().write_all(request.as_bytes()).expect("an open connection");
    }

    fn ask(&mut self, method: &str, path: &str, body: &str) -> Response {
        self.send(method, path, body);
        self.receive(method)
    }

    fn post(&mut self, body: &Value) -> Response {
        self.ask("POST", "/v1/messages?beta=true", &body.to_string())
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).expect("a line within the time");
        line
    }

    fn receive(&mut self, method: &str) -> Response {
        let status_line = self.line();
        let status = status_line.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        let mut headers = String::new();
        loop {
            let line = self.line().to_ascii_lowercase();
            if line.trim().is_empty() {
                break;
            }
            headers += &line;
        }
        let length = headers.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let (body, complete) = match length {
            Some(_) if method == "HEAD" => (String::new(), true),
            Some(length) => self.exactly(length),
            None => self.chunks(),
        };
        Response { status, headers, body, complete }
    }

    fn exactly(&mut self, length: u64) -> (String, bool) {
        let mut body = String::new();
        self.reader.by_ref().take(length).read_to_string(&mut body).expect("text");
        let complete = body.len() as u64 == length;
        (body, complete)
    }

    fn chunks(&mut self) -> (String, bool) {
        let mut body = String::new();
        loop {
            let size = self.line();
            let Ok(size) = u64::from_str_radix(size.trim(), 16) else { return (body, false) };
            body += &self.exactly(size).0;
            self.line();
            if size == 0 {
                return (body, true);
            }
        }
    }
}

fn request(messages: &Value, stream: bool) -> Value {
    let properties = json!({"file_path": {}, "content": {}, "command": {}});
    let tool = |name: &str| json!({"name": name, "input_schema": {"properties": properties}});
    json!({"model": "model-1", "stream": stream, "system": "Working directory: /w", "messages": messages,
        "tools": [tool("Write"), tool("Bash")]})
}

fn user(text: &str) -> Value {
    json!({"role": "user", "content": text})
}

fn first(text: &str) -> Value {
    request(&json!([user(text)]), true)
}

fn hello() -> Scenario {
    Scenario::new("hello", [Turn::tools([Call::write("a", "b")]), Turn::say("Good day, wörld.")])
}

#[test]
fn a_whole_message_and_a_stream_say_the_same() {
    let usage = Usage { input: 1, output: 2, cache_read: 3, cache_write: 4 };
    let long = "é".repeat(5000);
    let scenario = Scenario::new("long", [Turn::say_and_call(&long, [Call::bash("ls")]).reporting(usage)]);
    let server = ModelServer::start([scenario]).expect("loopback");
    let mut client = Client::connect(&server);
    let whole = client.post(&request(&json!([user("SCENARIO: long run=1")]), false)).json();
    let stream = client.post(&first("SCENARIO: long run=1"));
    assert!(stream.complete && stream.headers.contains("text/event-stream"));

    let events: Vec<Value> = stream
        .body
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).expect("JSON"))
        .collect();
    let joined =
        |key: &str| events.iter().filter_map(|event| event["delta"][key].as_str()).collect::<String>();
    assert_eq!(joined("text"), long);
    assert_eq!(whole["content"][0]["text"], long.as_str());
    assert_eq!(
        serde_json::from_str::<Value>(&joined("partial_json")).expect("JSON"),
        json!({"command": "ls"})
    );
    assert_eq!(whole["content"][1]["input"], json!({"command": "ls"}));
    assert_eq!(whole["stop_reason"], "tool_use");
    assert_eq!(whole["usage"]["output_tokens"], 2);
    assert_eq!(events[0]["message"]["usage"]["cache_read_input_tokens"], 3);
    assert_eq!(events[events.len() - 2]["usage"]["output_tokens"], 2);
    assert_eq!(events[events.len() - 1]["type"], "message_stop");
    assert_eq!(
        server.usage_served().into_iter().collect::<Vec<_>>(),
        [("model-1".to_owned(), usage + usage)]
    );
}

#[test]
fn everything_else_is_answered_and_logged() {
    let server = ModelServer::start([hello()]).expect("loopback");
    let mut client = Client::connect(&server);
    assert_eq!(client.ask("HEAD", "/", "").status, 200);
    assert_eq!(client.ask("GET", "/api/hello", "").status, 404);
    let count = client.ask("POST", "/v1/messages/count_tokens?beta=true", "{\"messages\":[]}");
    assert!(count.json()["input_tokens"].is_u64());
    let side =
        client.post(&json!({"model": "small-1", "messages": [user("Make a title. SCENARIO: hello run=1")]}));
    assert_eq!(side.json()["content"][0]["type"], "text");
    let mut without_write = first("SCENARIO: hello run=1");
    without_write["tools"] = json!([{"name": "Bash"}]);
    for (body, hint) in [
        (first("no marker"), "marker"),
        (first("SCENARIO: other run=1"), "known: hello"),
        (without_write, "Write"),
        (Value::Null, "JSON"),
    ] {
        let refused = client.post(&body);
        assert_eq!(refused.status, 400);
        assert!(refused.body.contains(hint), "{hint}: {}", refused.body);
    }
    let kinds: Vec<RequestKind> = server.requests().into_iter().map(|request| request.kind).collect();
    assert_eq!(
        kinds[..4],
        [RequestKind::Probe, RequestKind::Unknown, RequestKind::CountTokens, RequestKind::Side]
    );
    assert!(kinds[4..].iter().all(|kind| matches!(kind, RequestKind::Unscripted(_))) && kinds.len() == 8);
    assert_eq!(server.requests()[0].header("x-api-key"), Some("dummy-key"));
    assert_eq!(server.requests()[4].json(), first("no marker"));
}

#[test]
fn faults_look_like_faults_and_are_counted_for_each_run() {
    let faults = [Turn::Status { code: 429, retry_after: Some(7) }, Turn::Drop { usage: Usage::SMALL }];
    let malformed = [Turn::Malformed { usage: Usage::SMALL }, Turn::say("ok")];
    let scenario = Scenario::new("faults", [&faults[..], &malformed[..]].concat());
    let server = ModelServer::start([scenario]).expect("loopback");
    for run in ["a", "b"] {
        let body = first(&format!("SCENARIO: faults run={run}"));
        let limited = Client::connect(&server).post(&body);
        assert_eq!(
            (limited.status, limited.json()["error"]["type"].as_str()),
            (429, Some("rate_limit_error"))
        );
        assert!(limited.headers.contains("retry-after: 7"));
        let dropped = Client::connect(&server).post(&body);
        assert!(!dropped.complete && dropped.body.contains("message_start"), "{dropped:?}");
        let malformed = Client::connect(&server).post(&body);
        assert!(malformed.complete && !malformed.body.contains("message_stop"), "{malformed:?}");
        assert!(Client::connect(&server).post(&body).body.contains("message_stop"));
        assert_eq!(server.usage_of("faults", run), Usage::SMALL, "only whole answers count");
    }
    let positions: Vec<_> = server.requests().iter().filter_map(|r| r.position_in("faults", "b")).collect();
    assert_eq!(positions, [0; 4]);
}

#[test]
fn faults_without_a_stream_look_like_faults_too() {
    let scenario = Scenario::new(
        "f",
        [Turn::Drop { usage: Usage::SMALL }, Turn::Malformed { usage: Usage::SMALL }, Turn::Hang],
    );
    let server = ModelServer::start([scenario]).expect("loopback");
    let body = request(&json!([user("SCENARIO: f run=1")]), false);
    assert!(!Client::connect(&server).post(&body).complete);
    let malformed = Client::connect(&server).post(&body);
    assert!(malformed.complete && serde_json::from_str::<Value>(&malformed.body).is_err());
}

#[test]
fn a_gate_holds_an_answer_back_until_it_is_opened() {
    let server =
        ModelServer::start([Scenario::new("g", [Turn::gate("go"), Turn::say("through")])]).expect("loopback");
    let mut waiting = Client::connect(&server);
    waiting.send("POST", "/v1/messages", &first("SCENARIO: g run=1").to_string());
    assert!(server.wait_for(LONGEST, |requests| requests.len() == 1));
    assert_eq!(server.usage_of("g", "1"), Usage::default(), "nothing is reported before it is sent");
    server.open_gate("go");
    assert!(waiting.receive("POST").body.contains("through"));
    assert!(!server.wait_for(Duration::from_millis(10), |requests| requests.len() > 1));
}

#[test]
fn many_clients_are_served_though_few_at_a_time() {
    let server = ModelServer::start([hello()]).expect("loopback");
    thread::scope(|scope| {
        for run in 0..100 {
            let server = &server;
            scope.spawn(move || {
                let mut client = Client::connect(server);
                let answer = client.post(&first(&format!("SCENARIO: hello run={run}")));
                assert!(answer.body.contains("tool_use"), "{answer:?}");
            });
        }
    });
    assert_eq!(server.requests().len(), 100);
}

#[test]
fn clients_that_go_away_while_they_wait_free_their_place() {
    let server = ModelServer::start([Scenario::new("h", [Turn::Hang]), hello()]).expect("loopback");
    let hanging: Vec<Client> = (0..32)
        .map(|_| {
            let mut client = Client::connect(&server);
            client.send("POST", "/v1/messages", &first("SCENARIO: h run=1").to_string());
            client
        })
        .collect();
    assert!(server.wait_for(LONGEST, |requests| requests.len() == 32));
    let mut late = Client::connect(&server);
    late.send("POST", "/v1/messages", &first("SCENARIO: hello run=1").to_string());
    for client in &hanging {
        client.reader.get_ref().shutdown(Shutdown::Both).expect("our own connection");
    }
    assert_eq!(late.receive("POST").status, 200);
}

#[test]
fn the_server_ends_when_dropped_whatever_its_clients_do() {
    let slow = Scenario::new("slow", [Turn::Wait(Duration::from_hours(1)), Turn::say("late")]);
    let server = ModelServer::start([Scenario::new("h", [Turn::Hang]), slow]).expect("loopback");
    let port = server.port();
    let mut clients = [Client::connect(&server), Client::connect(&server), Client::connect(&server)];
    clients[0].send("POST", "/v1/messages", &first("SCENARIO: h run=1").to_string());
    clients[1].send("POST", "/v1/messages", &first("SCENARIO: slow run=1").to_string());
    assert!(server.wait_for(LONGEST, |requests| requests.len() == 2));
    let (ended, end) = mpsc::channel();
    thread::spawn(move || {
        drop(server);
        ended.send(()).expect("the test waits");
    });
    end.recv_timeout(LONGEST).expect("the server ends");
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "the listener is closed");
    assert_eq!(clients[0].line(), "", "open connections are cut");
}

#[test]
fn a_position_past_an_answer_gets_the_next_one() {
    let server = ModelServer::start([hello()]).expect("loopback");
    let call = json!({"type": "tool_use", "id": "t", "name": "Write", "input": {}});
    let result = json!({"type": "tool_result", "tool_use_id": "t", "content": "ok"});
    let mut messages = vec![
        user("SCENARIO: hello run=1"),
        json!({"role": "assistant", "content": [call]}),
        json!({"role": "user", "content": [result]}),
    ];
    let mut client = Client::connect(&server);
    assert!(client.post(&request(&json!(messages), true)).body.contains("Good day, wörld."));
    messages.push(json!({"role": "assistant", "content": "Good day, wörld."}));
    messages.push(user("A check failed; repair it."));
    assert!(client.post(&request(&json!(messages), true)).body.contains("nothing is left to do"));
    let kinds = server.requests().into_iter().map(|request| request.kind).collect::<Vec<_>>();
    let turn = |position, served| RequestKind::Turn {
        scenario: "hello".to_owned(),
        run: "1".to_owned(),
        position,
        served,
    };
    assert_eq!(kinds, [turn(1, Served::Say), turn(2, Served::Finished)]);
}
