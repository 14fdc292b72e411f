use crate::credentials;

/// What is found, as `line:column what`.
fn check(text: &str, expected: &[&str]) {
    let found: Vec<String> =
        credentials(text).iter().map(|it| format!("{}:{} {}", it.line, it.column, it.what)).collect();
    assert_eq!(found, expected, "of {text:?}");
}

#[test]
fn credentials_are_found_with_their_places() {
    let body = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAAB";
    for (text, expected) in [
        ("token: ghp_0123456789abcdefghijABCD\n", "1:8 github token"),
        ("a\nä sk-ant-api03-0123456789abcdef0", "2:3 anthropic key"),
        ("AKIAIOSFODNN7EXAMPLE", "1:1 aws access key"),
        ("curl -H 'Authorization: Bearer 0123456789abcdefgh'", "1:32 authorization"),
        ("git clone https://me:hunter2@git.corp.io/x", "1:22 url password"),
        (
            "curl -d x https://hooks.slack.com/services/T0AB12CD3/B0XY98ZW7/q8Zt3LmN0pRs5UvWx2Yz",
            "1:19 web hook",
        ),
        (&format!("x\n-----BEGIN OPENSSH PRIVATE KEY-----\n{body}\n"), "2:1 private key"),
        (&format!("-----BEGIN EC PRIVATE KEY-----\\n{body}"), "1:1 private key"),
    ] {
        check(text, &[expected]);
    }
    check(
        "glpat-abcdefghij0123456789 and npm_0123456789abcdefghij0123456789abcdef",
        &["1:1 gitlab token", "1:32 registry token"],
    );
}

#[test]
fn what_only_speaks_of_credentials_is_not_taken_for_one() {
    for text in [
        "send `Authorization: Bearer $TOKEN` with every call",
        "Authorization: Bearer YOUR_TOKEN",
        "post to https://hooks.slack.com/services/$HOOK, or discord.com/api/webhooks/ID/TOKEN",
        "DATABASE_URL: postgres://postgres:postgres@localhost:5432/test",
        "postgres://app:secret@db:5432/app and redis://:x@127.0.0.1",
        "https://user:$PASSWORD@git.corp.io/x, https://user:***@git.corp.io",
        "http://user:password@api.example.com/",
        "look for -----BEGIN RSA PRIVATE KEY----- in the logs\nand say where",
        "task-0123456789abcdefghijk sk-short ghp_short MAX_TOKENS=4096",
        "",
    ] {
        check(text, &[]);
    }
}

#[test]
fn a_flood_is_told_up_to_a_limit() {
    assert_eq!(credentials(&"AKIAIOSFODNN7EXAMPLE\n".repeat(5_000)).len(), 100);
}
