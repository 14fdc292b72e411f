//! One attempt from its start to its end: exits, environment, output, idempotence.

mod common;

use std::os::unix::fs::PermissionsExt;

use common::*;
use dayshift_core::ids::AttemptId;
use dayshift_core::types::{Exit, Failure, FailureClass};
use dayshift_worker::protocol::{FromWorker, Program, Refusal, Stdin, ToWorker};

fn argv(words: &[&str]) -> Program {
    Program::Argv(words.iter().map(|word| (*word).to_owned()).collect())
}

#[test]
fn exits_and_signals_are_reported() {
    let home = Home::new();
    let engine = home.engine();
    let exits = [
        (argv(&["true"]), Exit::Code(0)),
        (argv(&["false"]), Exit::Code(1)),
        (Program::Shell("exit 77".into()), Exit::Code(77)),
        (Program::Shell("kill -TERM $$".into()), Exit::Signal(15)),
        (Program::Shell("kill -KILL $$".into()), Exit::Signal(9)),
        (Program::Shell("ulimit -c 0; kill -SEGV $$".into()), Exit::Signal(11)),
    ];
    for (number, (program, exit)) in (1..).zip(exits) {
        let end = engine.run(&home.launch(number, program));
        assert_eq!(end.exit, exit);
        assert_eq!((end.output_bytes, end.leftovers), (0, 0));
    }
    assert!(!home.path("attempts").exists(), "nothing was printed, so nothing may be made");
}

#[test]
fn what_cannot_start_ends_at_once_with_its_reason() {
    let home = Home::new();
    let engine = home.engine();
    let end = engine.run(&home.launch(1, argv(&["no-such-program-here"])));
    assert!(matches!(end.exit, Exit::NotStarted { class: FailureClass::Permanent, .. }), "{end:?}");
    let mut launch = home.launch(2, argv(&["true"]));
    launch.cwd = "/no/such/folder".into();
    let end = engine.run(&launch);
    assert!(matches!(end.exit, Exit::NotStarted { class: FailureClass::Transient, .. }), "{end:?}");
}

#[test]
fn the_environment_is_the_given_one_and_the_mark() {
    let home = Home::new();
    let engine = home.engine();
    let mut launch = home.launch(1, argv(&["/usr/bin/env"]));
    launch.env = vec![("ONE".into(), "1".into()), ("TWO".into(), "zwei drei".into())];
    let end = engine.run(&launch);
    let mut lines: Vec<&str> = end.output_tail.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, [&format!("DAYSHIFT_MARK={}", launch.mark), "ONE=1", "TWO=zwei drei"]);
}

#[test]
fn a_child_has_its_own_group_and_no_descriptors_of_ours() {
    let home = Home::new();
    let engine = home.engine();
    let end = engine
        .run(&home.shell(1, "cut -d' ' -f5 /proc/$$/stat; echo $$; ulimit -Sn; readlink /proc/$$/fd/0; for f in /proc/$$/fd/*; do case $f in */[012]) ;; *) readlink $f ;; esac; done"));
    let lines: Vec<&str> = end.output_tail.lines().collect();
    assert_eq!(lines[0], lines[1], "the leader of its group");
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let ours =
        limits.lines().find(|line| line.starts_with("Max open files")).unwrap().split_whitespace().nth(3);
    assert_eq!(Some(lines[2]), ours);
    // What whoever started the tests left open goes through to everyone.
    let inherited: Vec<_> = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
        .collect();
    let extra: Vec<_> = lines[4..].iter().filter(|link| !inherited.contains(&link.into())).collect();
    assert_eq!(lines[3], "/dev/null");
    assert!(extra.is_empty(), "{extra:?}");
}

#[test]
fn text_is_fed_to_stdin_and_then_closed() {
    let home = Home::new();
    let engine = home.engine();
    let mut launch = home.shell(1, "wc -c; sleep 0.01; cat");
    launch.stdin = Stdin::Text("x".repeat(1_000_000));
    let end = engine.run(&launch);
    assert_eq!((code(&end), end.output_tail.as_str()), (Some(0), "1000000\n"));
    // One that does not read it.
    let mut launch = home.shell(2, "exec <&-; echo done");
    launch.stdin = Stdin::Text("x".repeat(1_000_000));
    assert_eq!(engine.run(&launch).output_tail, "done\n");
    // One that has none.
    assert_eq!(engine.run(&home.shell(3, "cat; echo over")).output_tail, "over\n");
}

#[test]
fn output_is_stamped_redacted_hashed_and_private() {
    let home = Home::new();
    let engine = home.engine();
    let mut launch = home.shell(1, "printf 'a SECRET b\\n\\033[1mbold\\n'; echo err >&2; printf 'no end'");
    launch.stream = true;
    launch.hash_output = true;
    let end = engine.run(&launch);
    assert_eq!(end.output_bytes, 11 + 9 + 4 + 6);
    assert!(end.output_sha256.is_some_and(|hash| hash.len() == 64));
    assert!(end.output_tail.contains("a [REDACTED] b\n\\x1b[1mbold\n"), "{}", end.output_tail);
    let log = home.text("attempts/A1/log");
    assert_eq!(log.lines().count(), 4, "{log}");
    for line in log.lines() {
        assert!(line.as_bytes()[23] == b'Z' && [b'o', b'e'].contains(&line.as_bytes()[25]), "{line}");
    }
    assert!(log.contains("Z e err\n") && !log.contains("SECRET"));
    assert_eq!(home.text("attempts/A1/stream"), "a SECRET b\n\x1b[1mbold\nno end");
    for file in ["attempts/A1/log", "attempts/A1/stream"] {
        assert_eq!(std::fs::metadata(home.path(file)).unwrap().permissions().mode() & 0o777, 0o600);
    }
    // A silent one has a hash, too.
    let mut silent = home.shell(2, ":");
    silent.hash_output = true;
    let hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(engine.run(&silent).output_sha256.as_deref(), Some(hash));
}

#[test]
fn a_stream_is_announced_before_the_end() {
    let home = Home::new();
    let engine = home.engine();
    let mut launch = home.shell(1, "echo one; read x; echo two");
    launch.stream = true;
    let fifo = home.path("fifo");
    launch.program = Program::Shell(format!("mkfifo {0}; echo one; read x < {0}; echo two", fifo.display()));
    engine.start(&launch);
    let heard = |bytes: u64| {
        engine.wait(|message| match message {
            FromWorker::Output { stream_bytes, .. } if *stream_bytes == bytes => Some(()),
            FromWorker::Ended { .. } => panic!("the end came first"),
            _ => None,
        });
    };
    heard(4);
    assert_eq!(home.text("attempts/A1/stream"), "one\n");
    std::fs::write(&fifo, "\n").unwrap();
    heard(8);
    assert_eq!(code(&engine.wait_ended(1)), Some(0));
}

#[test]
fn a_huge_line_is_cut_in_the_log_and_whole_in_the_stream() {
    let home = Home::new();
    let engine = home.engine();
    let mut launch = home.shell(1, "head -c 50000000 /dev/zero | tr '\\0' x; echo; echo after");
    launch.stream = true;
    let end = engine.run(&launch);
    assert_eq!(end.output_bytes, 50_000_007);
    assert_eq!(std::fs::metadata(home.path("attempts/A1/stream")).unwrap().len(), 50_000_007);
    let log = home.text("attempts/A1/log");
    assert!(log.len() < 70_000, "{}", log.len());
    let first = log.lines().next().unwrap();
    assert!(first.ends_with("bytes of this line]"), "{}", &first[first.len() - 80..]);
    assert!(log.ends_with(" o after\n"));
}

#[test]
fn a_flood_keeps_head_and_tail_and_counts_the_rest() {
    let home = Home::new();
    let engine = home.engine();
    let mut launch = home.launch(1, argv(&["seq", "1", "2000000"]));
    launch.log_bytes_max = 1024 * 1024;
    launch.stream = true;
    let end = engine.run(&launch);
    assert_eq!((code(&end), end.output_bytes), (Some(0), 14_888_896));
    let log = home.text("attempts/A1/log");
    assert!(log.len() <= 1024 * 1024 + 200 && log.len() > 700_000, "{}", log.len());
    assert!(log.lines().next().unwrap().ends_with("Z o 1") && log.ends_with(" o 2000000\n"));
    let mark = log.lines().find(|line| line.contains("were dropped here")).unwrap();
    let dropped: u64 = mark.split(['[', ' ']).find_map(|word| word.parse().ok()).unwrap();
    let kept: u64 =
        log.lines().filter(|line| !line.contains("dropped")).map(|line| line.len() as u64 - 26).sum();
    assert_eq!(dropped + kept, end.output_bytes);
    let stream = home.text("attempts/A1/stream");
    assert!(stream.len() <= 1024 * 1024 && stream.starts_with("1\n2\n") && stream.ends_with("\n2000000\n"));
    assert_eq!(std::fs::read_dir(home.path("attempts/A1")).unwrap().count(), 2);
    assert!(end.output_tail.ends_with("1999999\n2000000\n") && end.output_tail.len() <= 4096);
}

#[test]
fn a_full_disk_drops_and_counts_and_reaps_all_the_same() {
    let home = Home::new();
    let engine = home.engine();
    std::fs::create_dir_all(home.path("attempts/A1")).unwrap();
    std::os::unix::fs::symlink("/dev/full", home.path("attempts/A1/log")).unwrap();
    engine.start(&home.launch(1, argv(&["seq", "1", "100000"])));
    let notice = engine.wait(|message| match message {
        FromWorker::Notice { attempt: Some(AttemptId(1)), message } => Some(message.clone()),
        FromWorker::Ended { .. } => panic!("the end came first"),
        _ => None,
    });
    assert!(notice.starts_with("588895 bytes of its output are missing in `log`: No space left"), "{notice}");
    let end = engine.wait_ended(1);
    assert_eq!((code(&end), end.output_bytes), (Some(0), 588_895));
    assert!(end.output_tail.ends_with("\n100000\n"));
}

#[test]
fn a_start_is_idempotent_while_it_runs_and_after_the_end() {
    let home = Home::new();
    let engine = home.engine();
    let count = home.path("count");
    let launch = home.shell(1, &format!("echo x >> {}; exec sleep 600", count.display()));
    engine.start(&launch);
    let pid = engine.wait_started(1);
    wait_until(LONG, || home.text("count") == "x\n");
    engine.start(&launch);
    assert_eq!(engine.wait_started(1), pid);
    let second = home.engine();
    second.start(&launch);
    assert_eq!(second.wait_started(1), pid);
    second.stop(1, 5_000, false);
    let end = second.wait_ended(1);
    assert_eq!(end.exit, Exit::Signal(2));
    second.start(&launch);
    assert_eq!(second.wait_ended(1), end);
    assert_eq!(home.text("count"), "x\n");
    second.send(&ToWorker::Settled { attempt: AttemptId(1) });
    second.send(&ToWorker::ListLive);
    let live = second.wait(|message| match message {
        FromWorker::Live { live } => Some(live.clone()),
        _ => None,
    });
    assert!(live.is_empty());
}

#[test]
fn a_stop_before_the_start_fences_the_start() {
    let home = Home::new();
    let engine = home.engine();
    engine.stop(1, 1_000, false);
    let end = engine.wait_ended(1);
    assert!(matches!(end.exit, Exit::NotStarted { .. }));
    assert_eq!(engine.run(&home.shell(1, "exit 0")), end);
}

#[test]
fn a_scratch_folder_is_made_and_goes_when_it_is_empty() {
    let home = Home::new();
    let engine = home.engine();
    for (number, line) in [(1, "pwd"), (2, "echo > kept")] {
        let mut launch = home.shell(number, line);
        launch.make_cwd = true;
        launch.cwd = home.path(&format!("scratch/{number}")).to_str().unwrap().into();
        assert_eq!(code(&engine.run(&launch)), Some(0));
    }
    assert!(!home.path("scratch/1").exists());
    assert!(home.path("scratch/2/kept").exists());
}

#[test]
fn time_and_memory_are_measured() {
    let home = Home::new();
    let engine = home.engine();
    let work = "echo begin; i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; echo end";
    let end = engine.run(&home.shell(1, work));
    assert!(end.cpu.0 > 20 && end.elapsed.0 >= end.cpu.0 / 2, "{end:?}");
    assert!(end.rss_bytes > 100_000, "{end:?}");
}

#[test]
fn a_disk_that_hangs_stops_its_writer_and_nobody_else() {
    let home = Home::new();
    let engine = home.engine();
    // Whoever opens this log for writing waits until someone reads it.
    std::fs::create_dir_all(home.path("attempts/A1")).unwrap();
    let log = home.path("attempts/A1/log");
    assert!(std::process::Command::new("mkfifo").arg(&log).status().unwrap().success());
    engine.start(&home.launch(1, argv(&["seq", "1", "3000000"])));
    let pid = engine.wait_started(1);
    let pipe_wait =
        || std::fs::read_to_string(format!("/proc/{pid}/wchan")).is_ok_and(|wait| wait.contains("pipe"));
    wait_until(LONG, pipe_wait);
    // Silent runs go on as if nothing were.
    for number in 2..=20 {
        assert_eq!(code(&engine.run(&home.launch(number, argv(&["true"])))), Some(0));
    }
    let worker = home.worker.as_ref().unwrap().id();
    let status = std::fs::read_to_string(format!("/proc/{worker}/status")).unwrap();
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kib: u64 = rss.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kib < 60_000, "{kib} KiB");
    let reader = std::thread::spawn(move || {
        std::io::copy(&mut std::fs::File::open(log).unwrap(), &mut std::io::sink())
    });
    let end = engine.wait_ended(1);
    assert_eq!((code(&end), end.output_bytes), (Some(0), 22_888_896));
    assert!(reader.join().unwrap().unwrap() > 22_888_896);
}

#[test]
fn no_more_is_admitted_than_there_are_descriptors_for() {
    let home = Home::with(600_000, "ulimit -Sn 90; ulimit -Hn 100");
    let engine = home.engine();
    for number in [1, 2] {
        engine.start(&home.shell(number, "exec sleep 600"));
        engine.wait_started(number);
    }
    engine.start(&home.shell(3, "echo started"));
    let told = engine.wait(|message| match message {
        FromWorker::Refused { attempt: Some(AttemptId(3)), reason: Refusal::NoRoom, message } => {
            Some(message.clone())
        }
        _ => None,
    });
    assert!(told.contains("more than 2 attempts") && told.contains("ulimit -n"), "{told}");
    engine.stop(1, 1000, true);
    engine.wait_ended(1);
    // Asked again, it starts as if for the first time.
    assert_eq!(engine.run(&home.shell(3, "echo started")).output_tail, "started\n");
    assert_eq!(engine.run(&home.shell(4, "ulimit -Sn; ulimit -Hn")).output_tail, "90\n100\n");
}

#[test]
fn a_refused_start_ends_unstarted_and_harms_none_that_runs() {
    let home = Home::new();
    let engine = home.engine();
    let refused = Some(Failure::new(FailureClass::Permanent, "its key cannot be read"));
    let mut launch = home.shell(1, "touch started");
    launch.refused.clone_from(&refused);
    let end = engine.run(&launch);
    assert!(matches!(&end.exit, Exit::NotStarted { message, .. } if message.contains("its key")), "{end:?}");
    assert!(!home.path("cwd/started").exists());

    let mut running = home.shell(2, "read line");
    running.program = Program::Shell("while ! test -e go; do sleep 0.02; done".into());
    engine.start(&running);
    engine.wait_started(2);
    running.refused = refused;
    engine.start(&running);
    engine.wait_started(2);
    std::fs::write(home.path("cwd/go"), "").unwrap();
    assert_eq!(code(&engine.wait_ended(2)), Some(0));
}
