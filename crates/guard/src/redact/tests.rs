mod credentials;
mod properties;
mod speed;

use super::{Redactor, is_secret_name};

/// Redacts the lines of `text` as one stream.
fn check(redactor: &mut Redactor, text: &str, expected: &str) {
    let mut result = Vec::new();
    for line in text.split_inclusive('\n') {
        let mut line = line.as_bytes().to_vec();
        redactor.redact(&mut line);
        result.append(&mut line);
    }
    assert_eq!(String::from_utf8_lossy(&result), expected, "of {text:?}");
}

fn plain() -> Redactor {
    Redactor::new([] as [(&str, &str); 0])
}

#[test]
fn known_values_are_replaced_by_their_names() {
    let variables = [
        ("DEPLOY_TOKEN", "hunter2hunter2"),
        ("DB_PASSWORD", "pässwörd & more"),
        ("SHORT_KEY", "1234567"),
        ("EDITOR", "/usr/bin/vim"),
        ("LONGER_TOKEN", "hunter2hunter2hunter3"),
    ];
    let mut redactor = Redactor::new(variables);
    for (text, expected) in [
        ("a hunter2hunter2 b", "a [redacted DEPLOY_TOKEN] b"),
        ("hunter2hunter2", "[redacted DEPLOY_TOKEN]"),
        ("x=hunter2hunter2\r\n", "x=[redacted DEPLOY_TOKEN]\r\n"),
        ("xhunter2hunter2x", "x[redacted DEPLOY_TOKEN]x"),
        ("hunter2hunter2 hunter2hunter2", "[redacted DEPLOY_TOKEN] [redacted DEPLOY_TOKEN]"),
        ("hunter2hunter2hunter3", "[redacted LONGER_TOKEN]"),
        ("hunter2hunter", "hunter2hunter"),
        ("pässwörd & more!", "[redacted DB_PASSWORD]!"),
        ("p%C3%A4ssw%C3%B6rd%20%26%20more", "[redacted DB_PASSWORD]"),
        ("p%c3%a4ssw%c3%b6rd+%26+more", "[redacted DB_PASSWORD]"),
        ("1234567 /usr/bin/vim", "1234567 /usr/bin/vim"),
    ] {
        check(&mut redactor, text, expected);
    }
}

#[test]
fn base64_is_found_at_every_alignment() {
    let mut redactor = Redactor::new([("API_KEY", "hunter2?hunter2>")]);
    for (text, expected) in [
        // hunter2?hunter2>
        ("aHVudGVyMj9odW50ZXIyPg==", "[redacted API_KEY]g=="),
        // a:hunter2?hunter2>, ab:hunter2?hunter2>
        ("YTpodW50ZXIyP2h1bnRlcjI+", "YTp[redacted API_KEY]"),
        ("YWI6aHVudGVyMj9odW50ZXIyPg==", "YWI6[redacted API_KEY]g=="),
        ("YTpodW50ZXIyP2h1bnRlcjI-", "YTp[redacted API_KEY]"),
    ] {
        check(&mut redactor, text, expected);
    }
}

#[test]
fn values_of_many_lines_are_found_line_by_line_and_as_json() {
    let value = "first line of it\nsecond \"quoted\" line\n";
    let mut redactor = Redactor::knowing([("NOTE", value)]);
    let text = "> first line of it\n> second \"quoted\" line\n";
    check(&mut redactor, text, "> [redacted NOTE]\n> [redacted NOTE]\n");
    let json = r#"{"a":"first line of it\nsecond \"quoted\" line\n"}"#;
    check(&mut redactor, json, r#"{"a":"[redacted NOTE]\n"}"#);
}

#[test]
fn overlapping_values_are_hidden_as_one() {
    let mut redactor = Redactor::knowing([("A", "aaaaaaaa1"), ("B", "1bbbbbbbb")]);
    check(&mut redactor, "<aaaaaaaa1bbbbbbbb>", "<[redacted A]>");
    check(&mut redactor, "<aaaaaaaa11bbbbbbbb>", "<[redacted A][redacted B]>");
}

#[test]
fn a_known_name_says_more_than_a_shape() {
    let mut redactor = Redactor::new([("GH_TOKEN", "ghp_0123456789abcdefghij0123456789abcdef")]);
    check(&mut redactor, "t ghp_0123456789abcdefghij0123456789abcdef", "t [redacted GH_TOKEN]");
    check(&mut redactor, "u ghp_9123456789abcdefghij0123456789abcdef", "u [redacted github token]");
}

#[test]
fn well_known_tokens_are_replaced() {
    for (text, expected) in [
        ("key sk-ant-api03-AbCdEf0123456789_-x ok", "key [redacted anthropic key] ok"),
        ("OPENAI=sk-proj-abcdefghijklmnopqrst1", "OPENAI=[redacted api key]"),
        ("\"sk-abcdefghijklmnopqrst1234\"", "\"[redacted api key]\""),
        (r#"{"t":"a\nsk-abcdefghijklmnopqrst1234"}"#, r#"{"t":"a\n[redacted api key]"}"#),
        ("?k%3Dsk-abcdefghijklmnopqrst1234&b", "?k%3D[redacted api key]&b"),
        ("\x1b[1;32msk-abcdefghijklmnopqrst1234\x1b[0m", "\x1b[1;32m[redacted api key]\x1b[0m"),
        ("gho_0123456789abcdefghij0123456789abcdef", "[redacted github token]"),
        ("github_pat_11ABCDEFG0abcdefghijkl_mnop", "[redacted github token]"),
        ("glpat-abcdefghij0123456789", "[redacted gitlab token]"),
        ("aws AKIAABCDEFGHIJKLMNOP.", "aws [redacted aws access key]."),
        ("xoxb-123456789012-abcdefgh", "[redacted slack token]"),
        ("AIzaSyA0123456789abcdefghijklmnopqrstuv", "[redacted google key]"),
        ("sk_live_0123456789abcdef", "[redacted stripe key]"),
        ("jwt=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl;", "jwt=[redacted json web token];"),
        ("Authorization: Bearer abcdefghijkl", "Authorization: Bearer [redacted authorization]"),
        ("authorization: Basic dXNlcjpwYXNz", "authorization: Basic [redacted authorization]"),
        (r#""Authorization":"token 12345678a""#, r#""Authorization":"token [redacted authorization]""#),
        (r#"{\"x-api-key\": \"abcdefg123456\"}"#, r#"{\"x-api-key\": \"[redacted authorization]\"}"#),
        ("curl -H 'bearer abcdefgh12345678'", "curl -H 'bearer [redacted authorization]'"),
        ("git clone https://me:s3cr@t@host/x.git", "git clone https://me:[redacted url password]@host/x.git"),
        ("postgres://:pw@localhost:5432/db", "postgres://:[redacted url password]@localhost:5432/db"),
        ("https://abcdefghij0123456789@host/", "https://[redacted url password]@host/"),
        ("https://abcdefghij0123456789:x@host/", "https://[redacted url password]@host/"),
        ("https://ghp_0123456789abcdefghij0123456789abcdef/", "https://[redacted github token]/"),
    ] {
        check(&mut plain(), text, expected);
    }
}

#[test]
fn ordinary_text_is_left_alone() {
    for text in [
        "",
        "\n",
        "Compiling task-runner-for-the-2-desk-clerks v0.1.0 (/home/a/risk-assessment-2026-abcdefgh)",
        "bearer authentication is required; Bearer tokens are opaque",
        "authorization: required, see authorization-policy-2026",
        "see http://localhost:8080/a@b?c=d:e@f and ssh://git@github.com/a/b.git",
        "-----BEGIN CERTIFICATE-----",
        "-----BEGIN PUBLIC KEY-----",
        "3f786850e387550fdab836ed7e6dc881de23001b src/lib.rs:10:5",
        "npm_config_cache=/tmp xox eyJ sk- ghp_ AKIA :// earer uthorization",
        "[redacted DEPLOY_TOKEN] https://me:[redacted url password]@host",
        "Authorization: Bearer [redacted authorization]",
        "sk-SK locale, sk-learn-is-a-library-with-a-long-name",
    ] {
        check(&mut plain(), text, text);
    }
}

#[test]
fn private_keys_are_followed_over_lines() {
    let body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj";
    let text = format!(
        "before\n-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\n{body}\n12: {body}\nabcd==\n\
         -----END RSA PRIVATE KEY-----\nafter\n"
    );
    let expected = "before\n-----BEGIN RSA PRIVATE KEY-----\n[redacted private key]\n\n\
                    [redacted private key]\n[redacted private key]\n[redacted private key]\n\
                    -----END RSA PRIVATE KEY-----\nafter\n";
    check(&mut plain(), &text, expected);

    let json = format!(r#"{{"k":"-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n","b":1}}"#);
    let expected =
        r#"{"k":"-----BEGIN PRIVATE KEY-----[redacted private key]-----END PRIVATE KEY-----\n","b":1}"#;
    check(&mut plain(), &json, expected);
}

#[test]
fn the_head_of_a_private_key_alone_hides_nothing_else() {
    let text = "grep: -----BEGIN PRIVATE KEY-----\nand then, some words\nMIIE\n";
    check(&mut plain(), text, text);
    let endless = "-----BEGIN PRIVATE KEY-----\n".to_owned() + &"\n".repeat(1_000) + "word\n";
    check(&mut plain(), &endless, &endless);
}

#[test]
fn other_lines_between_those_of_a_private_key_are_shown() {
    let body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj";
    let text = format!(
        "-----BEGIN PRIVATE KEY-----\n{body}\nwarning: x\n{body}\nab==\n-----END PRIVATE KEY-----\n{body}\n"
    );
    let hidden = "[redacted private key]";
    let expected = format!(
        "-----BEGIN PRIVATE KEY-----\n{hidden}\nwarning: x\n{hidden}\n{hidden}\n-----END PRIVATE KEY-----\n{body}\n"
    );
    check(&mut plain(), &text, &expected);

    let others = "some other line\n".repeat(20);
    let text = format!("-----BEGIN PRIVATE KEY-----\n{others}{body}\n");
    check(&mut plain(), &text, &text);
}

#[test]
fn text_is_apart_from_the_stream() {
    let mut redactor = plain();
    check(&mut redactor, "-----BEGIN PRIVATE KEY-----\n", "-----BEGIN PRIVATE KEY-----\n");
    assert_eq!(redactor.redact_text("word"), "word");
    assert_eq!(
        redactor.redact_text("-----BEGIN PRIVATE KEY-----\nMIIE\n"),
        "-----BEGIN PRIVATE KEY-----\n[redacted private key]\n"
    );
    check(&mut redactor, "MIIE\n", "[redacted private key]\n");
}

#[test]
fn bytes_that_are_no_text_pass() {
    let mut redactor = Redactor::knowing([("RAW", b"\xff\xfe\x00\x01secret".as_slice())]);
    let mut line = b"\x80\xff\xfe\x00\x01secret\xc3".to_vec();
    redactor.redact(&mut line);
    assert_eq!(line, b"\x80[redacted RAW]\xc3");
}

#[test]
fn names_of_secrets() {
    for name in [
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_AUTH_TOKEN",
        "ANTHROPIC_CUSTOM_HEADERS",
        "AWS_SECRET_ACCESS_KEY",
        "CLAUDE_CODE_OAUTH_TOKEN",
        "DB_PWD",
        "GITHUB_PAT",
        "MY_PASSWORD_2",
        "PGPASSWORD",
        "github.token",
        "npm_config_//host/:_authToken",
        "apiKey",
    ] {
        assert!(is_secret_name(name), "{name}");
    }
    for name in [
        "ANTHROPIC_BASE_URL",
        "ANTHROPIC_MODEL",
        "AWS_ACCESS_KEY_ID",
        "HOME",
        "KEYBOARD",
        "MONKEY",
        "OLDPWD",
        "PATH",
        "PWD",
        "SSH_AUTH_SOCK",
        "SSH_KEY_PATH",
        "",
    ] {
        assert!(!is_secret_name(name), "{name}");
    }
}

#[test]
fn names_are_printed_plainly() {
    let mut redactor = Redactor::knowing([("a]\n[b\x1b", "value-one"), ("\u{7}", "value-two")]);
    check(&mut redactor, "value-one value-two", "[redacted ab] [redacted secret]");
    assert_eq!(redactor.longest(), "dmFsdWUtb25l".len());
}
