//! What a resumed agent must be told.

use std::fmt::Write as _;

use crate::text;

/// The most interrupted calls that are named.
const NAMED_MAX: usize = 8;

/// Text to put in front of the prompt when a session goes on after an interruption.
///
/// A resumed session does not hold the tool call that was interrupted: the model does not know
/// that it ran. `unfinished` names the calls that had not come back, as
/// [`crate::Conclusion::unfinished`] lists them.
pub fn resume_note(unfinished: &[String]) -> String {
    let mut note = String::from(
        "You were interrupted in the middle of this task and are now resumed. \
         What you were doing last is not in your memory of this session, and it may have run \
         in part or to its end. Before you go on:\n\
         - look at the present state first: run `git status` and `git diff` (or list the files);\n\
         - do not assume that a file is unchanged or that a command did not run;\n\
         - repeat an interrupted command only when repeating it does no harm.\n",
    );
    if !unfinished.is_empty() {
        note.push_str("These calls had not come back:\n");
        for call in unfinished.iter().take(NAMED_MAX) {
            // Writing to a String cannot fail.
            let _ = writeln!(note, "- {}", text::one_line(call));
        }
    }
    note.push('\n');
    note
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_note_names_what_was_running() {
        let note = resume_note(&["Bash sleep 20;\necho slept".to_owned()]);
        assert!(note.contains("git status"));
        assert!(note.ends_with("had not come back:\n- Bash sleep 20; echo slept\n\n"), "{note}");
        assert!(!resume_note(&[]).contains("had not come back"));
        let many = vec!["Bash x".to_owned(); 100];
        assert_eq!(resume_note(&many).matches("- Bash").count(), NAMED_MAX);
    }
}
