//! Deaths and returns: of the engine, of the worker, of the records' last line.

mod common;

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use common::*;
use dayshift_core::ids::AttemptId;
use dayshift_core::types::Exit;
use dayshift_worker::protocol::{FromWorker, Refusal, ToWorker, encode};

#[test]
fn a_killed_worker_s_attempts_are_proven_dead_and_lost() {
    let mut home = Home::new();
    let engine = home.engine();
    let (count, left) = (home.path("count"), home.path("left"));
    let line = format!(
        "trap '' TERM PIPE; echo x >> {}; setsid nohup sh -c 'echo $$ > {}; while :; do sleep 0.1; done' >/dev/null 2>&1 & \
         while :; do sleep 0.1; done",
        count.display(),
        left.display()
    );
    let launch = home.shell(1, &line);
    engine.start(&launch);
    engine.start(&home.shell(2, "exit 7"));
    assert_eq!(code(&engine.wait_ended(2)), Some(7));
    let pid = pid_in(&left);
    home.murder_worker();
    assert!(engine.is_gone() && is_alive(pid));

    home.start_worker();
    let engine = home.engine();
    let end = engine.run(&launch);
    assert_eq!(end.exit, Exit::Lost);
    assert!(end.leftovers >= 2, "{end:?}");
    assert!(!is_alive(pid));
    assert!(home.marked().is_empty());
    assert_eq!(home.text("count"), "x\n", "it must not run twice");
    // The end that was known before is still known.
    assert_eq!(code(&engine.run(&home.shell(2, "exit 8"))), Some(7));
    assert_eq!(engine.run(&launch), end);
}

#[test]
fn attempts_lost_at_a_random_moment_leave_no_orphan_and_run_at_most_once() {
    let mut home = Home::new();
    for round in 0_u32..8 {
        let engine = home.engine();
        let numbers = round * 10 + 1..=round * 10 + 10;
        let launch = |home: &Home, number: u32| {
            let mark = home.path(&format!("ran{number}"));
            home.shell(
                number,
                &format!("echo x >> {}; setsid sleep 600 & sleep 0.0{}; exit 0", mark.display(), number % 10),
            )
        };
        for number in numbers.clone() {
            engine.start(&launch(&home, number));
        }
        // Somewhere in the middle of it, another place each round.
        engine.wait_started(round * 10 + 1 + round);
        home.murder_worker();
        home.start_worker();
        let engine = home.engine();
        for number in numbers.clone() {
            let end = engine.run(&launch(&home, number));
            assert!(matches!(end.exit, Exit::Lost | Exit::Code(0)), "{end:?}");
            assert!(home.text(&format!("ran{number}")).len() <= 2, "A{number} ran twice");
        }
        assert!(home.marked().is_empty());
    }
}

#[test]
fn a_marked_process_without_a_record_is_found_and_killed() {
    let mut home = Home::new();
    let engine = home.engine();
    let launch = home.shell(1, "exec sleep 600");
    engine.start(&launch);
    let pid = engine.wait_started(1);
    home.murder_worker();
    std::fs::remove_file(home.path("worker/records")).unwrap();
    home.start_worker();
    let engine = home.engine();
    let end = engine.run(&launch);
    assert_eq!((end.exit, is_alive(pid)), (Exit::Lost, false));
}

#[test]
fn a_torn_last_record_does_not_matter() {
    let mut home = Home::new();
    let engine = home.engine();
    assert_eq!(code(&engine.run(&home.shell(1, "exit 3"))), Some(3));
    home.murder_worker();
    let mut file = std::fs::OpenOptions::new().append(true).open(home.path("worker/records")).unwrap();
    file.write_all(b"{\"begun\":{\"attempt\":\"A2\",\"mar").unwrap();
    home.start_worker();
    let engine = home.engine();
    assert_eq!(code(&engine.run(&home.shell(1, "exit 4"))), Some(3));
    assert_eq!(code(&engine.run(&home.shell(2, "exit 5"))), Some(5));
}

#[test]
fn agents_outlive_the_engine_and_their_output_is_kept() {
    let home = Home::new();
    let engine = home.engine();
    let fifo = home.path("fifo");
    let line = format!("mkfifo {0}; echo one; read x < {0}; echo two; exit 9", fifo.display());
    let mut launch = home.shell(1, &line);
    launch.stream = true;
    engine.start(&launch);
    let pid = engine.wait_started(1);
    engine.wait(|message| matches!(message, FromWorker::Output { .. }).then_some(()));
    drop(engine);
    std::fs::write(&fifo, "\n").unwrap();
    wait_until(LONG, || home.text("attempts/A1/stream") == "one\ntwo\n" && !is_alive(pid));
    let engine = home.engine();
    let end = engine.run(&launch);
    assert_eq!((code(&end), end.output_tail.as_str()), (Some(9), "one\ntwo\n"));
}

#[test]
fn a_new_engine_hears_of_what_runs_and_of_its_output() {
    let home = Home::new();
    let engine = home.engine();
    let mut launch = home.shell(1, "echo one; exec sleep 600");
    launch.stream = true;
    engine.start(&launch);
    engine.wait(|message| matches!(message, FromWorker::Output { .. }).then_some(()));
    let second = home.engine();
    assert!(engine.is_gone(), "the latest engine wins");
    second.start(&launch);
    let bytes = second.wait(|message| match message {
        FromWorker::Output { stream_bytes, .. } => Some(*stream_bytes),
        _ => None,
    });
    assert_eq!(bytes, 4);
    second.stop(1, 1000, true);
    second.wait_ended(1);
}

#[test]
fn the_worker_ends_when_it_has_nothing_to_do() {
    let mut home = Home::with_idle(300);
    let engine = home.engine();
    engine.start(&home.shell(1, "sleep 0.8; exit 6"));
    engine.wait_started(1);
    drop(engine);
    let begin = Instant::now();
    assert!(home.wait_worker_end());
    assert!(begin.elapsed() > Duration::from_millis(800), "it must outlive its agent");
    assert!(!home.socket().exists());
    home.idle_ms = 600_000;
    home.start_worker();
    assert_eq!(code(&home.engine().run(&home.shell(1, "exit 1"))), Some(6));
}

#[test]
fn there_is_one_worker_per_state_directory() {
    let home = Home::new();
    let engine = home.engine();
    let mut second = home.spawn_worker();
    assert!(second.wait().unwrap().success(), "it ends quietly");
    assert_eq!(code(&engine.run(&home.shell(1, "exit 2"))), Some(2));
}

#[test]
fn settled_attempts_are_forgotten_by_the_records_too() {
    let mut home = Home::with_idle(3_000);
    let engine = home.engine();
    for number in 1..=50 {
        engine.run(&home.shell(number, ":"));
        if number != 50 {
            engine.send(&ToWorker::Settled { attempt: AttemptId(number) });
        }
    }
    drop(engine);
    assert!(home.wait_worker_end());
    let records = home.text("worker/records");
    assert_eq!(records.lines().count(), 1, "{records}");
    assert!(records.contains("A50"));
}

#[test]
fn only_an_engine_of_a_fitting_version_may_order() {
    let mut home = Home::new();
    let guest = home.guest();
    let refusal = |engine: &Engine| {
        engine.wait(|message| match message {
            FromWorker::Refused { reason, .. } => Some(*reason),
            _ => None,
        })
    };
    guest.start(&home.shell(1, "true"));
    assert_eq!(refusal(&guest), Refusal::NotTheEngine);
    guest.send(&ToWorker::Hello { protocol: 99, engine_pid: 1 });
    assert_eq!(refusal(&guest), Refusal::Protocol);
    assert!(home.wait_worker_end(), "with nothing alive it makes room at once");
}

#[test]
fn nonsense_on_the_socket_is_refused() {
    let home = Home::new();
    assert_eq!(std::fs::metadata(home.path("s")).unwrap().permissions().mode() & 0o777, 0o700);
    let engine = home.engine();
    let mut socket = UnixStream::connect(home.socket()).unwrap();
    socket.write_all(b"\xff\xfe\n{}\n{\"start\":7}\n").unwrap();
    socket.write_all(&encode(&ToWorker::ListLive).unwrap()).unwrap();
    let mut text = String::new();
    let mut reader = std::io::BufReader::new(socket);
    for expected in ["not_understood", "not_understood", "not_understood", "live"] {
        text.clear();
        std::io::BufRead::read_line(&mut reader, &mut text).unwrap();
        assert!(text.contains(expected), "{text}");
    }
    assert_eq!(code(&engine.run(&home.shell(1, "exit 2"))), Some(2));
}

#[test]
fn an_orphan_that_only_its_folder_tells_of_is_killed_where_the_folder_is_private() {
    for is_private in [true, false] {
        let mut home = Home::new();
        let engine = home.engine();
        let left = home.path("left");
        let mut launch = home.shell(
            1,
            &format!(
                "(env -i setsid sh -c 'echo $$ > {}; exec sleep 600' &) ; exec sleep 600",
                left.display()
            ),
        );
        launch.cwd_private = is_private;
        engine.start(&launch);
        let pid = pid_in(&left);
        home.murder_worker();
        home.start_worker();
        assert_eq!(home.engine().run(&launch).exit, Exit::Lost);
        assert_eq!(is_alive(pid), !is_private);
        if !is_private {
            kill(pid);
        }
    }
}

#[test]
fn a_hopping_process_of_a_killed_worker_is_caught() {
    let mut home = Home::new();
    let engine = home.engine();
    let launch = home.shell(1, &format!("{} & exec sleep 600", hopper(&home)));
    engine.start(&launch);
    engine.wait_started(1);
    wait_until(LONG, || home.path("hopped").exists());
    home.murder_worker();
    home.start_worker();
    let end = home.engine().run(&launch);
    let is_dead = !comes_true(Duration::from_millis(300), || {
        let _ = std::fs::remove_file(home.path("hopped"));
        std::thread::sleep(Duration::from_millis(30));
        home.path("hopped").exists()
    });
    std::fs::write(home.path("stop"), "").unwrap();
    assert_eq!((end.exit, is_dead), (Exit::Lost, true));
}

#[test]
fn what_died_with_its_worker_is_lost_and_does_not_run_again() {
    let mut home = Home::new();
    let engine = home.engine();
    let launch = home.shell(1, &format!("echo x >> {}; exec sleep 600", home.path("count").display()));
    engine.start(&launch);
    let pid = engine.wait_started(1);
    wait_until(LONG, || home.text("count") == "x\n");
    home.murder_worker();
    kill(pid);
    wait_until(LONG, || !is_alive(pid));
    home.start_worker();
    let end = home.engine().run(&launch);
    assert_eq!((end.exit, end.leftovers), (Exit::Lost, 0));
    assert_eq!(home.text("count"), "x\n");
}

#[test]
fn a_member_of_the_group_is_found_without_a_mark() {
    let mut home = Home::new();
    let engine = home.engine();
    let left = home.path("left");
    let line = format!(
        "env -i sh -c 'echo $$ > {}; exec sleep 600' & while ! [ -s {0} ]; do :; done; sleep 600",
        left.display()
    );
    let launch = home.shell(1, &line);
    engine.start(&launch);
    let leader = engine.wait_started(1);
    let pid = pid_in(&left);
    home.murder_worker();
    // The main process is gone, the number of its group is all that tells.
    kill(leader);
    wait_until(LONG, || !is_alive(leader));
    home.start_worker();
    assert_eq!(home.engine().run(&launch).exit, Exit::Lost);
    assert!(!is_alive(pid));
}

#[expect(clippy::unwrap_used, reason = "a helper of tests")]
fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}
