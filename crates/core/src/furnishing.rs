//! What a new worktree gets before work begins in it.

use serde::{Deserialize, Serialize};

use crate::time::Millis;
use crate::types::FailureClass;

/// How long a set-up may take, unless told otherwise.
pub const SETUP_TIMEOUT: Millis = Millis::minutes(10);

/// How long a teardown may take, unless told otherwise.
pub const TEARDOWN_TIMEOUT: Millis = Millis::minutes(1);

/// The megabytes (1,048,576 bytes) up to which a dependency folder is copied where it can be neither
/// cloned nor linked, unless told otherwise.
pub const COPY_MB: u32 = 1_024;

/// How many ports a task has to itself, unless told otherwise.
pub const PORTS: u32 = 10;

/// How often in a row a workspace may fail to be made for reasons that may pass, before a person is
/// asked: after about 3½ minutes at least.
const PREPARE_TRIES_MAX: u32 = 12;

/// The same where its set-up failed, or did not end in time: that is mostly the command's own fault, and
/// may take minutes each time.
const SETUP_TRIES_MAX: u32 = 3;

/// How often in a row a workspace is tried to be made when it failed for `class`.
pub(crate) fn prepare_tries_max(class: FailureClass) -> u32 {
    match class {
        FailureClass::Work | FailureClass::Timeout => SETUP_TRIES_MAX,
        FailureClass::Transient
        | FailureClass::Permanent
        | FailureClass::Safety
        | FailureClass::Budget
        | FailureClass::Conflict => PREPARE_TRIES_MAX,
    }
}

/// What each new worktree of a run gets before work begins in it, and what is done before it goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Furnishing {
    /// The command line that makes a new worktree fit for work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub setup: Option<String>,
    /// How long one run of it may take.
    pub setup_timeout: Millis,
    /// The command line that undoes, outside of the worktree, what the set-up has done there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teardown: Option<String>,
    /// How long one run of it may take.
    pub teardown_timeout: Millis,
    /// Patterns of ignored files that are copied from the user's checkout, besides those of the
    /// repository's `.worktreeinclude`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<String>,
    /// Ignored folders of which each worktree gets a copy of its own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<String>,
    /// The same for folders whose files nobody writes in place: they may be hard links to the user's own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hard_links: Vec<String>,
    /// Up to which size a folder is copied byte by byte, in megabytes (1,048,576 bytes).
    pub copy_mb: u32,
    /// How many ports each task has to itself; 0 for none.
    pub ports: u32,
}

impl Default for Furnishing {
    fn default() -> Self {
        Self {
            setup: None,
            setup_timeout: SETUP_TIMEOUT,
            teardown: None,
            teardown_timeout: TEARDOWN_TIMEOUT,
            include: Vec::new(),
            dependencies: Vec::new(),
            hard_links: Vec::new(),
            copy_mb: COPY_MB,
            ports: PORTS,
        }
    }
}

impl Furnishing {
    /// Whether nobody asked for anything: then a run spec says nothing of it.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
