use std::process::{Command, Stdio};
use std::time::Duration;

use super::{dayshift_bin, processes_with_env, wait_for_value, wait_until};

#[test]
fn processes_are_found_by_their_environment() {
    let marker = format!("TESTKIT_MARKER=m{}", std::process::id());
    let (key, value) = marker.split_once('=').expect("as written above");
    assert_eq!(processes_with_env(&marker), [] as [u32; 0]);
    let mut child = Command::new("cat").env(key, value).stdin(Stdio::piped()).spawn().expect("cat starts");
    assert_eq!(processes_with_env(&marker), [child.id()]);
    assert_eq!(processes_with_env(&marker[..marker.len() - 1]), [] as [u32; 0], "an entry counts as a whole");
    assert_eq!(processes_with_env(value), [child.id()], "a word may be part of an entry");
    drop(child.stdin.take());
    child.wait().expect("our own child");
    assert_eq!(processes_with_env(&marker), [] as [u32; 0]);
}

#[test]
fn waiting_ends_with_the_condition() {
    let mut looks = 0;
    wait_until(Duration::from_secs(10), "three looks", || {
        looks += 1;
        looks == 3
    });
    assert_eq!(looks, 3);
    assert_eq!(wait_for_value(Duration::ZERO, "a value", || Some(7)), 7);
}

#[test]
#[should_panic(expected = "in vain for what never comes")]
fn waiting_in_vain_ends_and_names_what_was_waited_for() {
    wait_until(Duration::from_millis(20), "what never comes", || false);
}

#[test]
fn the_binary_is_the_given_one_or_an_error_names_it() {
    let own = std::env::current_exe().expect("a test has a path");
    assert_eq!(dayshift_bin(own.to_str()), Ok(own));
    let error = dayshift_bin(Some("/nowhere/dayshift")).unwrap_err();
    assert!(error.contains("/nowhere/dayshift") && error.contains("cargo build"), "{error}");
}
