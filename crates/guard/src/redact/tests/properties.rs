//! What must hold for any text. The cases are drawn by a seeded generator; a failure prints the seed.

use super::super::{Redactor, spellings};

/// xorshift64*: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from((self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound as u64).expect("it fits")
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    fn bytes(&mut self, alphabet: &[u8], length: usize) -> Vec<u8> {
        (0..length).map(|_| self.pick(alphabet)).collect()
    }
}

const WORDS: &[&str] = &[
    "error[E0308]:",
    "mismatched",
    "types",
    "/usr/local/lib/python3.11/site-packages",
    "--flag=value",
    "0x7ffe",
    "{\"type\":\"assistant\",",
    "\"text\"",
    "https://docs.example/page#anchor",
    "task-042",
    "2026-11-20T12:00:00Z",
    "3f786850e387550fdab836ed7e6dc881de23001b",
    "550e8400-e29b-41d4-a716-446655440000",
    "größer",
    "✓",
    "\t",
    "\\n",
    "user@host:~/src$",
    "a=b&c=d%20e",
    "C:\\dir",
    "[redacted X]",
    "-----",
    "fn",
    "(a,",
    "b);",
    "sk-",
    "ghp_",
    "eyJ",
];

fn sentence(random: &mut Random) -> Vec<u8> {
    let words: Vec<&str> = (0..random.below(12)).map(|_| random.pick(WORDS)).collect();
    words.join(" ").into_bytes()
}

fn holds(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[test]
fn no_spelling_of_a_known_value_survives() {
    for seed in 0..1_000 {
        let mut random = Random::new(seed);
        let few = b"ab1".as_slice();
        let many: Vec<u8> = (0..=255).filter(|byte| *byte != b'\n').collect();
        let alphabet = if seed % 3 == 0 { few } else { many.as_slice() };
        let secrets: Vec<(String, Vec<u8>)> = (0..=random.below(4))
            .map(|number| {
                let length = 8 + random.below(40);
                (format!("NAME{number}"), random.bytes(alphabet, length))
            })
            .collect();
        let mut redactor = Redactor::knowing(secrets.iter().map(|(name, value)| (name, value)));
        let all: Vec<Vec<u8>> = secrets.iter().flat_map(|(_, value)| spellings::spellings(value)).collect();
        if all.is_empty() {
            // Blanks at the ends of a value do not count, so it can be too short after all.
            continue;
        }
        let mut line = sentence(&mut random);
        for _ in 0..=random.below(5) {
            // Without gaps, so that values overlap, repeat and touch.
            line.extend(random.pick(&all));
            if random.below(2) == 0 {
                line.extend(sentence(&mut random));
            }
        }
        redactor.redact(&mut line);
        for part in &all {
            assert!(
                !holds(&line, part),
                "seed {seed}: {part:?} is left in {:?}",
                String::from_utf8_lossy(&line)
            );
        }
    }
}

#[test]
fn no_token_survives_wherever_it_stands() {
    let alnum = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    for seed in 0..3_000 {
        let mut random = Random::new(seed);
        let mut body = random.bytes(alnum, 40);
        body.push(b'7');
        let token =
            [random.pick(&["sk-ant-api03-", "ghp_", "github_pat_", "sk-proj-"]).as_bytes(), &body].concat();
        let mut line = sentence(&mut random);
        line.extend(random.pick(&["", " ", "\"", "=", "\\n", ":", "key", "%3D", "\x1b[31m"]).as_bytes());
        line.extend(&token);
        line.extend(random.pick(&["", " ", "\"", ",", "\\n", "\r\n", "\x1b[0m"]).as_bytes());
        line.extend(sentence(&mut random));
        let mut redactor = Redactor::new([] as [(&str, &str); 0]);
        redactor.redact(&mut line);
        assert!(!holds(&line, &body), "seed {seed}: {:?}", String::from_utf8_lossy(&line));
        let once = line.clone();
        redactor.redact(&mut line);
        assert_eq!(line, once, "seed {seed}: twice is not once");
    }
}

#[test]
fn text_without_secrets_is_unchanged() {
    let mut redactor =
        Redactor::new([("A_TOKEN", "never-in-the-text-1"), ("B_KEY", "nor this one \"here\"")]);
    for seed in 0..5_000 {
        let line = sentence(&mut Random::new(seed));
        let mut redacted = line.clone();
        redactor.redact(&mut redacted);
        assert_eq!(redacted, line, "seed {seed}: {:?}", String::from_utf8_lossy(&redacted));
    }
}

#[test]
fn garbage_never_panics() {
    let pieces: &[&[u8]] = &[
        b"sk-",
        b"ant-",
        b"ghp_",
        b"xox",
        b"b-",
        b"eyJ",
        b".",
        b"earer ",
        b"uthorization",
        b":",
        b"=",
        b" ",
        b"\"",
        b"\\",
        b"-----BEGIN ",
        b"PRIVATE KEY",
        b"-----",
        b"-----END",
        b"://",
        b"@",
        b"a1",
        b"0123456789abcdef",
        b"\xff",
        b"\0",
        b"\x1b[3",
        b"m",
        b"%4",
        b"\\u00",
        b"\n",
        b"-Api-Key",
        b"AKIA",
        b"ABCDEFGHIJKLMNOPQ",
        b"npm_",
        b"[redacted ",
    ];
    for seed in 0..10_000 {
        let mut random = Random::new(seed);
        let line = (0..random.below(24)).map(|_| random.pick(pieces)).collect::<Vec<_>>().concat();
        let mut redacted = line.clone();
        Redactor::new([("K_KEY", "0123456789abcdef")]).redact(&mut redacted);
        assert!(
            !holds(&redacted, b"0123456789abcdef"),
            "seed {seed} of {:?}",
            String::from_utf8_lossy(&line)
        );
    }
}

#[test]
fn what_is_called_clean_is_left_as_it_is_and_not_remembered() {
    let mut clean = 0;
    for seed in 0..4_000 {
        let mut random = Random::new(seed);
        let value = random.bytes(b"ab1-", 12);
        let mut redactor = Redactor::knowing([("NAME", value.clone())]);
        if random.below(8) == 0 {
            redactor.redact(&mut b"-----BEGIN RSA PRIVATE KEY-----".to_vec());
        }
        let block: Vec<Vec<u8>> = (0..random.below(6))
            .map(|_| {
                let mut line = sentence(&mut random);
                match random.below(24) {
                    0 => line.extend_from_slice(&value),
                    1 => line.extend_from_slice(b"ghp_abcdefghij0123456789abcdefghij012345"),
                    2 => line.extend_from_slice(b"-----BEGIN EC PRIVATE KEY-----"),
                    3 => line.extend_from_slice(b"https://user:password@host/"),
                    _ => {}
                }
                line.push(b'\n');
                line
            })
            .collect();
        if !redactor.is_clean(&block.concat()) {
            continue;
        }
        clean += 1;
        for line in &block {
            let mut shown = line.clone();
            redactor.redact(&mut shown);
            assert_eq!(&shown, line, "seed {seed}");
        }
        assert!(redactor.key.is_none(), "seed {seed}");
    }
    assert!(clean > 400, "{clean} blocks say too little");
}

#[test]
fn the_first_look_finds_every_trigger_wherever_it_stands() {
    for trigger in super::super::shapes::triggers() {
        for before in 0..80 {
            for after in [0, 1, 40] {
                let text = [&vec![b'.'; before][..], &trigger, &vec![b'.'; after][..]].concat();
                assert!(super::super::glance::has_trigger(&text), "{before} {trigger:?}");
            }
        }
    }
    assert!(!super::super::glance::has_trigger(&b"nothing of the kind here\n".repeat(50)));
}
