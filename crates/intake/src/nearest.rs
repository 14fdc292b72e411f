//! The nearest known word, for hints.

/// Longest word that is compared; hints for longer ones would not help anyway.
const WORD_MAX: usize = 64;

/// The candidate that `word` was most likely meant to be, if one is near enough.
pub(crate) fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let wanted = word.to_lowercase();
    let length = wanted.chars().count();
    if length == 0 || length > WORD_MAX {
        return None;
    }
    // One slip in a short word, more in a long one.
    let reach = (length / 3).max(1);
    candidates
        .into_iter()
        // Words of very different lengths are far apart without being compared letter by letter.
        .filter(|candidate| candidate.chars().count().abs_diff(length) <= reach || holds(candidate, &wanted))
        .filter(|candidate| candidate.chars().count() <= WORD_MAX)
        .map(|candidate| (distance(&wanted, &candidate.to_lowercase()), candidate))
        .filter(|(away, candidate)| *away <= reach || holds(candidate, &wanted))
        .min_by_key(|(away, candidate)| (*away, *candidate))
        .map(|(_, candidate)| candidate)
}

/// `complexity` is a part of `estimated_complexity`, `max_cost` the beginning of `max_cost_usd`.
fn holds(candidate: &str, word: &str) -> bool {
    let ends_at =
        |long: &str, short: &str| long.strip_prefix(short).is_some_and(|rest| rest.starts_with('_'));
    let begins_at =
        |long: &str, short: &str| long.strip_suffix(short).is_some_and(|rest| rest.ends_with('_'));
    word.len() >= 4 && (ends_at(candidate, word) || begins_at(candidate, word) || ends_at(word, candidate))
}

/// Insertions, deletions, replacements and swaps of neighbours between two words.
fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().collect();
    let right: Vec<char> = right.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for (row, letter) in left.iter().enumerate() {
        let mut line = vec![row + 1];
        for (column, other) in right.iter().enumerate() {
            let mut best = (above[column + 1] + 1).min(line[column] + 1);
            best = best.min(above[column] + usize::from(letter != other));
            if row > 0 && column > 0 && left[row - 1] == *other && right[column - 1] == *letter {
                best = best.min(before[column - 1] + 1);
            }
            line.push(best);
        }
        before = std::mem::replace(&mut above, line);
    }
    above[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_strangers_are_not() {
        let keys = ["needs", "name", "description", "estimated_complexity", "max_cost_usd"];
        for (word, found) in [
            ("neds", Some("needs")),
            ("nmae", Some("name")),
            ("Description", Some("description")),
            ("complexity", Some("estimated_complexity")),
            ("max_cost", Some("max_cost_usd")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, keys), found, "{word}");
        }
    }
}
