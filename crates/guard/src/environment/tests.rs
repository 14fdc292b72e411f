use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use super::environment;

fn ours(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
}

fn names(pairs: &[(String, String)]) -> Vec<&str> {
    pairs.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn only_the_allow_list_gets_through() {
    let ours = ours(&[
        ("PATH", "/bin"),
        ("HOME", "/home/a"),
        ("LC_ALL", "C"),
        ("https_proxy", "http://proxy:3128"),
        ("ANTHROPIC_API_KEY", "secret"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("SSH_AUTH_SOCK", "/run/agent"),
        ("LD_PRELOAD", "/evil.so"),
        ("XDG_RUNTIME_DIR", "/run/user/1"),
        ("GIT_DIR", "/elsewhere"),
        ("PATHS", "x"),
        ("path", "x"),
    ]);
    let result = environment(&ours, &BTreeMap::new(), &[], &[]);
    assert_eq!(names(&result), ["HOME", "LC_ALL", "PATH", "https_proxy"]);
}

#[test]
fn named_variables_are_passed_and_set_ones_win() {
    let ours = ours(&[("ANTHROPIC_API_KEY", "key"), ("MY_VAR", "mine"), ("PATH", "/bin"), ("OTHER", "no")]);
    let set = BTreeMap::from([("PATH".into(), "/usr/bin".into()), ("MODEL".into(), "m1".into())]);
    let result = environment(&ours, &set, &["MY_VAR".into(), "ABSENT".into()], &["ANTHROPIC_API_KEY"]);
    let expected = [("ANTHROPIC_API_KEY", "key"), ("MODEL", "m1"), ("MY_VAR", "mine"), ("PATH", "/usr/bin")];
    assert_eq!(result, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[test]
fn our_own_variables_stay_even_when_named() {
    let pairs = [("DAYSHIFT_STATE", "/s"), ("DAYSHIFT_API_TOKEN", "t"), ("TELEGRAM_BOT_TOKEN", "t")];
    let pass: Vec<String> = pairs.iter().map(|(name, _)| (*name).to_owned()).collect();
    let builtin = pairs.map(|(name, _)| name);
    assert_eq!(environment(&ours(&pairs), &BTreeMap::new(), &pass, &builtin), []);
    let set = BTreeMap::from([("DAYSHIFT_TASK".to_owned(), "T1".to_owned())]);
    assert_eq!(names(&environment(&ours(&pairs), &set, &pass, &builtin)), ["DAYSHIFT_TASK"]);
}

#[test]
fn there_are_no_wildcards() {
    let ours = ours(&[("SECRET_KEY", "x"), ("*", "y"), ("SECRET_", "z")]);
    let pass = ["SECRET_*".to_owned(), String::new()];
    assert_eq!(environment(&ours, &BTreeMap::new(), &pass, &[]), []);
}

#[test]
fn what_cannot_be_an_entry_is_left_out() {
    let long = "x".repeat(128 * 1024);
    let mut pairs = ours(&[("TZ", long.as_str()), ("", "x"), ("USER", "a")]);
    pairs.push(("LANG".into(), OsString::from_vec(vec![0xff, 0xfe])));
    pairs.push((OsString::from_vec(b"LC_\xff".to_vec()), "x".into()));
    let set = BTreeMap::from([
        ("A=B".to_owned(), "x".to_owned()),
        ("NUL".to_owned(), "a\0b".to_owned()),
        (String::new(), "x".to_owned()),
        ("GOOD".to_owned(), String::new()),
    ]);
    assert_eq!(names(&environment(&pairs, &set, &[], &[])), ["GOOD", "USER"]);
}

#[test]
fn the_last_of_two_equal_names_counts() {
    let result = environment(&ours(&[("TERM", "a"), ("TERM", "b")]), &BTreeMap::new(), &[], &[]);
    assert_eq!(result, [("TERM".to_owned(), "b".to_owned())]);
}
