//! Text from agents is foreign: it is capped and freed of what a terminal would obey before
//! anyone keeps or prints it.

/// The longest text in a report, in bytes.
pub(crate) const TEXT_BYTES_MAX: usize = 4 * 1024;

/// The longest one-line summary in a report, in bytes.
pub(crate) const LINE_BYTES_MAX: usize = 500;

/// The longest id that is believed to be an id, in bytes.
const ID_BYTES_MAX: usize = 128;

/// Keeps line breaks and tabs, drops terminal sequences and other controls, caps the length.
pub(crate) fn block(text: &str) -> String {
    clean(text, TEXT_BYTES_MAX, Breaks::Kept)
}

/// One line: every run of white space becomes one blank, the rest as in [`block`].
pub(crate) fn one_line(text: &str) -> String {
    clean(text, LINE_BYTES_MAX, Breaks::Folded)
}

/// An id that may go back on a command line: letters, digits, `_`, `-`, no leading dash.
/// Ids come from the agent's own output, so one that looks like an option must not get through.
pub(crate) fn plain_id(text: &str) -> Option<&str> {
    let fits = !text.is_empty()
        && text.len() <= ID_BYTES_MAX
        && !text.starts_with('-')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    fits.then_some(text)
}

/// The part of `text` that fits into `bytes_max` bytes, cut at a character.
pub(crate) fn head(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or(text)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Breaks {
    Kept,
    Folded,
}

const MORE: &str = "...";

fn clean(text: &str, bytes_max: usize, breaks: Breaks) -> String {
    let mut out = String::new();
    let mut rest = text.trim().chars();
    while let Some(character) = rest.next() {
        let kept = match character {
            '\u{1b}' => {
                rest = skip_escape(rest);
                continue;
            }
            '\u{9b}' => {
                rest = skip_csi(rest);
                continue;
            }
            '\n' | '\t' if breaks == Breaks::Kept => character,
            _ if character.is_whitespace() => ' ',
            _ if character.is_control() || steers_display(character) => continue,
            _ => character,
        };
        if kept == ' ' && breaks == Breaks::Folded && (out.is_empty() || out.ends_with(' ')) {
            continue;
        }
        if out.len() + kept.len_utf8() > bytes_max.saturating_sub(MORE.len()) {
            out.push_str(MORE);
            return out;
        }
        out.push(kept);
    }
    out.truncate(out.trim_end().len());
    out
}

/// Characters that reorder or hide their neighbours on a screen.
fn steers_display(character: char) -> bool {
    matches!(
        character,
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}'
    )
}

/// Steps over what follows an escape character.
fn skip_escape(rest: std::str::Chars<'_>) -> std::str::Chars<'_> {
    let mut after = rest.clone();
    match after.next() {
        Some('[') => skip_csi(after),
        // Operating system, device, privacy and application commands end with BEL or ESC `\`.
        Some(']' | 'P' | '^' | '_' | 'X') => {
            while let Some(character) = after.next() {
                match character {
                    '\u{7}' | '\u{9c}' => return after,
                    '\u{1b}' => return skip_escape(after),
                    _ => {}
                }
            }
            after
        }
        Some(character) if character.is_ascii_graphic() => after,
        Some(_) | None => rest,
    }
}

/// Steps over parameters and the final letter of a control sequence.
fn skip_csi(mut rest: std::str::Chars<'_>) -> std::str::Chars<'_> {
    loop {
        let before = rest.clone();
        match rest.next() {
            Some('\u{20}'..='\u{3f}') => {}
            Some('\u{40}'..='\u{7e}') | None => return rest,
            Some(_) => return before,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_sequences_do_not_get_through() {
        let table = [
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("\u{1b}]0;title\u{7}after", "after"),
            ("\u{1b}]8;;http://x\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link"),
            ("\u{9b}2Jclear", "clear"),
            ("a\u{8}b\u{0}c\u{7f}d\u{85}e", "abcd e"),
            ("safe\u{202e}evil", "safeevil"),
            ("  two\r\n lines\tand tab ", "two lines and tab"),
            ("\u{1b}", ""),
            ("\u{1b}[", ""),
            ("\u{1b}]never ended", ""),
        ];
        for (given, wanted) in table {
            assert_eq!(one_line(given), wanted, "{given:?}");
        }
        assert_eq!(block("a\n\u{1b}[1m\tb"), "a\n\tb");
    }

    #[test]
    fn texts_are_capped_at_a_character() {
        let long = "é".repeat(10_000);
        assert!(block(&long).len() <= TEXT_BYTES_MAX);
        assert!(block(&long).ends_with("é..."));
        assert!(one_line(&long).len() <= LINE_BYTES_MAX);
        assert_eq!(head("aé", 2), "a");
        assert_eq!(head("aé", 3), "aé");
    }

    #[test]
    fn an_option_is_not_an_id() {
        assert_eq!(plain_id("8be3d388-1343-4277-a7e5-fd65707603ac").map(str::len), Some(36));
        for bad in ["", "-r", "--dangerous", "a b", "a\n", "../x", &"a".repeat(129)] {
            assert_eq!(plain_id(bad), None, "{bad:?}");
        }
    }
}
