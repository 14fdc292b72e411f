#![doc = include_str!("../README.md")]

mod base;
mod beneath;
mod checkout;
mod collect;
mod deliverables;
mod dependencies;
mod diff;
mod error;
mod filters;
mod fingerprint;
mod furnish;
mod git;
mod holders;
mod in_place;
mod include;
mod inside;
mod left;
mod lfs;
mod locks;
mod merge;
mod order;
mod overrides;
mod paths;
mod plain;
mod prepare;
mod record;
mod recorded;
mod release;
mod remove;
mod repository;
mod result;
mod saved;
mod scan;
mod session;
mod snapshot;
mod submodule;
mod tidy;
mod worktree;

pub use base::{Base, Fetch, resolve_base};
pub use checkout::{Checkout, checkout};
pub use collect::collect;
pub use diff::{Diff, DiffStat, FileStat, diff, read_blob, stat};
pub use error::WorkspaceError;
pub use filters::{FilterOff, filters_off};
pub use fingerprint::{Fingerprint, fingerprint};
pub use furnish::{Furnish, Furnished, Ran, SetUp};
pub use git::{GitEnvironment, Limits, Listener};
pub use inside::Inside;
pub use order::{
    BranchFate, ChangesFate, CollectOrder, DirtyFate, PrepareOrder, ReleaseOrder, Released, Source, TreeFate,
};
pub use prepare::{prepare, prepare_with};
pub use recorded::{Recorded, disown, recorded};
pub use release::release;
pub use remove::remove_all;
pub use repository::Repository;
pub use saved::{
    BranchName, Saved, base_of, branches, bundle, find_commit, is_merged, let_go, refs, restore_branch,
    restore_files, saved,
};
pub use snapshot::{Snapshot, SnapshotOrder, snapshot};
