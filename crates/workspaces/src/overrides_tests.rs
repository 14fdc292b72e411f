use std::collections::BTreeMap;

use super::*;

fn listing(rows: &[(&str, &str, Option<&str>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (scope, key, value) in rows {
        bytes.extend_from_slice(scope.as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(key.as_bytes());
        if let Some(value) = value {
            bytes.push(b'\n');
            bytes.extend_from_slice(value.as_bytes());
        }
        bytes.push(0);
    }
    bytes
}

/// The last value of each key: what git goes by.
fn effective(rows: &[(&str, &str, Option<&str>)], filters: Filters) -> BTreeMap<String, String> {
    let text = |part: OsString| part.into_string().expect("test keys are UTF-8");
    let pairs = overrides(&parse(&listing(rows)), filters).expect("few entries");
    pairs.into_iter().map(|(key, value)| (text(key), text(value))).collect()
}

#[test]
fn every_filter_is_off_whatever_its_name() {
    let rows = [
        ("local", "filter.a=b.clean", Some("run me")),
        ("worktree", "filter.x.y.process", None),
        ("global", "filter.lfs.smudge", Some("git-lfs smudge -- %f")),
    ];
    let all = effective(&rows, Filters::Off);
    for key in ["filter.a=b.clean", "filter.a=b.process", "filter.x.y.smudge", "filter.lfs.smudge"] {
        assert_eq!(all.get(key).map(String::as_str), Some(""), "{key}");
    }
    assert_eq!(all["filter.x.y.required"], "false");
}

#[test]
fn only_the_users_own_lfs_comes_back() {
    let mut rows = vec![
        ("global", "filter.lfs.smudge", Some("git-lfs smudge -- %f")),
        ("global", "filter.lfs.process", Some("git-lfs filter-process")),
        ("local", "filter.lfs.smudge", Some("planted")),
        ("global", "filter.other.smudge", Some("other")),
    ];
    let all = effective(&rows, Filters::UserLfs);
    assert_eq!(all["filter.lfs.smudge"], "git-lfs smudge -- %f");
    assert_eq!(all["filter.lfs.process"], "git-lfs filter-process");
    assert_eq!(all["filter.other.smudge"], "");
    rows.push(("local", "filter.lfs.clean", Some("planted")));
    let all = effective(&rows, Filters::UserLfs);
    assert_eq!((all["filter.lfs.clean"].as_str(), all["filter.lfs.smudge"].as_str()), ("", ""));
    assert_eq!(all["filter.lfs.required"], "false");
}

#[test]
fn programs_of_the_repository_are_off_and_the_users_helpers_stay() {
    let rows = [
        ("global", "credential.helper", Some("store")),
        ("local", "credential.helper", Some("!planted")),
        ("global", "credential.https://example.org.helper", Some("cache")),
        ("local", "merge.m.driver", Some("planted %A")),
        ("local", "remote.origin.uploadpack", Some("planted")),
        ("local", "remote.origin.vcs", Some("planted")),
    ];
    let pairs = overrides(&parse(&listing(&rows)), Filters::Off).expect("few entries");
    let helpers: Vec<_> =
        pairs.iter().filter(|(key, _)| key == "credential.helper").map(|(_, value)| value).collect();
    assert_eq!(helpers, ["", "store"]);
    let all = effective(&rows, Filters::Off);
    assert_eq!(all["credential.https://example.org.helper"], "cache");
    assert_eq!(all["merge.m.driver"], "false");
    assert_eq!(all["remote.origin.uploadpack"], "git-upload-pack");
    assert_eq!(all["remote.origin.vcs"], "");
}

#[test]
fn a_flood_of_filters_is_refused() {
    let names: Vec<String> = (0..OVERRIDES_MAX).map(|number| format!("filter.f{number}.clean")).collect();
    let rows: Vec<_> = names.iter().map(|name| ("local", name.as_str(), Some("x"))).collect();
    assert!(matches!(overrides(&parse(&listing(&rows)), Filters::Off), Err(WorkspaceError::TooMuch { .. })));
}

#[test]
fn any_listing_is_read_without_a_panic() {
    for bytes in [
        &b""[..],
        b"\0",
        b"local",
        b"local\0",
        b"\0\0\0",
        b"local\0filter.\0",
        b"global\0\n\0",
        b"\xff\0\xff\n\xff\0",
    ] {
        assert!(overrides(&parse(bytes), Filters::UserLfs).is_ok());
    }
}
