//! Which versions of an agent's program the parsers were tried with.

use dayshift_core::types::Dialect;

/// The lowest and the highest version of the dialect's program that the recordings in this
/// crate's tests come from; `None` for a dialect without a program of its own.
pub fn tested_versions(dialect: &Dialect) -> Option<(&'static str, &'static str)> {
    match dialect {
        Dialect::Claude { .. } => Some(("2.1.197", "2.1.197")),
        Dialect::Command { .. } | Dialect::Scripted { .. } => None,
    }
}

/// What to tell people about `version`; `None` when it lies in the tested range.
pub fn version_warning(dialect: &Dialect, version: &str) -> Option<String> {
    let (lowest, highest) = tested_versions(dialect)?;
    let number = numbers(version);
    if number.is_some() && number >= numbers(lowest) && number <= numbers(highest) {
        return None;
    }
    let range = if lowest == highest { lowest.to_owned() } else { format!("{lowest} to {highest}") };
    Some(format!(
        "claude {} was not tested with dayshift (tested: {range}); costs and outcomes may be misread",
        crate::text::one_line(version)
    ))
}

/// The three numbers of a version, which may be followed by something after a blank, `-` or `+`.
fn numbers(version: &str) -> Option<[u64; 3]> {
    let core = version.trim().split([' ', '-', '+']).next()?;
    let mut parts = core.split('.').map(|part| part.parse().ok());
    let numbers = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_tested_range_is_silent() {
        let claude = Dialect::Claude { program: "claude".into(), allowed_tools: vec![] };
        assert_eq!(version_warning(&claude, "2.1.197"), None);
        assert_eq!(version_warning(&claude, "2.1.197 (Claude Code)"), None);
        for version in [
            "2.1.196",
            "2.1.198",
            "2.2.0",
            "1.9.999",
            "3",
            "",
            "two",
            "2.1.197.1",
            "99999999999999999999.1.1",
        ] {
            assert!(version_warning(&claude, version).is_some(), "{version:?}");
        }
        let scripted = Dialect::Scripted { scenario: String::new() };
        assert_eq!(version_warning(&scripted, "0.1.0"), None);
    }
}
