//! Ids are counters that people can say: `R1`, `T3`, `J12`, `A40`.
//!
//! The attempt id doubles as the fencing token: a report that names an attempt which has
//! already ended is dropped and counted, never applied.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $letter:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u32);

        impl $name {
            /// The letter that people see in front of the number.
            pub const LETTER: char = $letter;

            /// The position in a table whose first id is 1.
            pub(crate) fn index(self) -> usize {
                (self.0 as usize).wrapping_sub(1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{}", Self::LETTER, self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let digits = text.strip_prefix(Self::LETTER).ok_or(IdError)?;
                if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                    return Err(IdError);
                }
                let number: u32 = digits.parse().map_err(|_| IdError)?;
                if number == 0 { Err(IdError) } else { Ok(Self(number)) }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(|_| {
                    serde::de::Error::custom(format!("`{text}` is not an id like {}1", $letter))
                })
            }
        }
    };
}

/// Text that is not an id of the wanted kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdError;

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an id")
    }
}

impl std::error::Error for IdError {}

id!(
    /// One submission of work: a day, an orchestration.
    RunId,
    'R'
);
id!(
    /// One piece of work that a person asked for.
    TaskId,
    'T'
);
id!(
    /// One step of a task's plan: the work itself, or a gate.
    JobId,
    'J'
);
id!(
    /// One try of a job: one process tree, one exit.
    AttemptId,
    'A'
);

id!(
    /// One question that an agent asked a person.
    QuestionId,
    'Q'
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_what_they_print() {
        assert_eq!("A40".parse(), Ok(AttemptId(40)));
        assert_eq!(AttemptId(40).to_string(), "A40");
        for bad in ["", "A", "A0", "40", "a40", "A-1", "A+1", "A99999999999", "T4"] {
            assert_eq!(bad.parse::<AttemptId>(), Err(IdError), "{bad}");
        }
    }
}
