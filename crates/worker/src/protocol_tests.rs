use super::*;

fn launch() -> Launch {
    Launch {
        attempt: AttemptId(40),
        program: Program::Argv(vec!["cargo".into(), "test".into()]),
        cwd: "/tmp/w".into(),
        make_cwd: false,
        cwd_private: true,
        env: vec![("PATH".into(), "/bin".into())],
        stdin: Stdin::Text("hello\n".into()),
        folder: "/tmp/a/A40".into(),
        stream: true,
        log_bytes_max: LOG_BYTES_MAX,
        line_bytes_max: LINE_BYTES_MAX,
        hash_output: false,
        secrets: Vec::new(),
        hidden: Vec::new(),
        refused: None,
        mark: "m-A40".into(),
    }
}

#[test]
fn a_message_is_one_line_and_reads_back() {
    let message = ToWorker::Start(Box::new(launch()));
    let bytes = encode(&message).unwrap();
    assert_eq!(bytes.iter().position(|byte| *byte == b'\n'), Some(bytes.len() - 1));
    assert_eq!(serde_json::from_slice::<ToWorker>(&bytes).unwrap(), message);
}

#[test]
fn a_launch_without_the_optional_fields_gets_the_defaults() {
    let text = r#"{"attempt":"A1","program":{"shell":"true"},"cwd":"/","env":[],"stdin":"null",
        "folder":"/f","stream":false,"mark":"m"}"#;
    let launch: Launch = serde_json::from_str(text).unwrap();
    assert_eq!((launch.log_bytes_max, launch.line_bytes_max), (LOG_BYTES_MAX, LINE_BYTES_MAX));
    assert!(!launch.make_cwd && !launch.cwd_private && !launch.hash_output);
}

#[test]
fn the_framer_cuts_lines_however_they_arrive() {
    let mut framer = Framer::default();
    framer.push(b"one\ntw");
    assert_eq!(framer.next_line(), Ok(Some(b"one".to_vec())));
    assert_eq!(framer.next_line(), Ok(None));
    framer.push(b"o\n\nthree");
    assert_eq!(framer.next_line(), Ok(Some(b"two".to_vec())));
    assert_eq!(framer.next_line(), Ok(Some(Vec::new())));
    assert_eq!(framer.next_line(), Ok(None));
}

#[test]
fn a_line_without_end_is_refused() {
    let mut framer = Framer::default();
    framer.push(&vec![b'x'; MESSAGE_BYTES_MAX + 1]);
    assert_eq!(framer.next_line(), Err(TooLong));
}
