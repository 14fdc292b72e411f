use dayshift_core::ids::AttemptId;

use super::*;

fn launch(program: Program) -> Launch {
    Launch {
        attempt: AttemptId(1),
        program,
        cwd: "/".into(),
        make_cwd: false,
        cwd_private: false,
        env: vec![("PATH".into(), "/usr/bin:/bin".into())],
        stdin: Stdin::Null,
        folder: "/nowhere".into(),
        stream: false,
        log_bytes_max: 0,
        line_bytes_max: 0,
        hash_output: false,
        secrets: Vec::new(),
        hidden: Vec::new(),
        refused: None,
        mark: "spawn-test".into(),
    }
}

fn argv(words: &[&str]) -> Program {
    Program::Argv(words.iter().map(|word| (*word).to_owned()).collect())
}

fn class_of(launch: &Launch) -> FailureClass {
    spawn(launch, &Descriptors::raise().unwrap()).map(|_| ()).unwrap_err().class
}

#[test]
fn programs_are_found_before_the_spawn() {
    let resolved = |program| resolve(&launch(program)).unwrap();
    assert_eq!(resolved(Program::Shell("a b".into())), ["/bin/sh", "-c", "a b"]);
    assert_eq!(resolved(argv(&["/x/y", "z"])), ["/x/y", "z"]);
    assert_eq!(resolved(argv(&["./y"])), ["/./y"]);
    assert!(resolved(argv(&["true"]))[0].ends_with("bin/true"));
}

#[test]
fn what_cannot_start_says_whether_another_try_can_help() {
    let mut no_folder = launch(argv(&["true"]));
    no_folder.cwd = "/no/such/folder".into();
    assert_eq!(class_of(&no_folder), FailureClass::Transient);
    assert_eq!(class_of(&launch(argv(&["no-such-program"]))), FailureClass::Permanent);
    assert_eq!(class_of(&launch(argv(&["/etc/passwd"]))), FailureClass::Permanent);
    assert_eq!(class_of(&launch(argv(&[]))), FailureClass::Permanent);
    assert_eq!(class_of(&launch(argv(&["/bin/true", "a\0b"]))), FailureClass::Permanent);
}
