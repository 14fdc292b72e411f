//! What people were told of already.

use std::collections::BTreeMap;

use dayshift_core::time::{Millis, Timestamp};

/// How often people hear of a trouble that stays the same.
const TELL_AGAIN: Millis = Millis::minutes(10);

/// When people were last told of a trouble, by its words.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    told: BTreeMap<String, Timestamp>,
}

impl Troubles {
    /// Whether people heard the same trouble of something else, or of an earlier try, lately; if not,
    /// they hear it now. A worker that cannot be reached, or has no room, is one story, however many
    /// attempts wait for it.
    pub(super) fn is_told(&mut self, message: &str, at: Timestamp) -> bool {
        let is_lately = |told: Timestamp| told <= at && at - told < TELL_AGAIN;
        if self.told.get(message).is_some_and(|told| is_lately(*told)) {
            return true;
        }
        self.told.retain(|_, told| at - *told < TELL_AGAIN);
        self.told.insert(message.to_owned(), at);
        false
    }
}
