//! A real repository in a temporary folder, full of traps: every program that a configuration can
//! name writes a marker file when it runs.
#![allow(dead_code, reason = "every test file uses another part of it")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex, OnceLock};

use dayshift_core::ids::{AttemptId, TaskId};
use dayshift_core::types::{Collected, Deliverable, ReadyWorkspace, WorkspaceKind};
use dayshift_workspaces::{
    BranchFate, ChangesFate, CollectOrder, DirtyFate, Fingerprint, GitEnvironment, Listener, PrepareOrder,
    ReleaseOrder, Released, Repository, Source, TreeFate, WorkspaceError, collect, fingerprint, prepare,
    release,
};

pub(crate) struct World {
    pub(crate) temp: tempfile::TempDir,
    pub(crate) home: PathBuf,
    pub(crate) top: PathBuf,
    pub(crate) folder: PathBuf,
    pub(crate) environment: GitEnvironment,
    pub(crate) found: OnceLock<Repository>,
    /// What was told beside the answers.
    pub(crate) told: Arc<Mutex<Vec<String>>>,
}

pub(crate) const SHA1: &[&str] = &[];

impl World {
    /// A repository with one commit, its user's traps, and a dirty checkout.
    pub(crate) fn new() -> Self {
        let world = Self::empty(SHA1);
        world.write("src/main.rs", "fn main() {}\n");
        world.write("docs/a b.md", "words\n");
        world.write("old.txt", "old\n");
        world.write(".gitignore", "*.log\n/target/\n");
        world.git(&["add", "-A"]);
        world.git(&["commit", "-qm", "first"]);
        world.set_traps(&world.top);
        world
    }

    /// A repository without a commit.
    pub(crate) fn empty(options: &[&str]) -> Self {
        let temp = tempfile::tempdir().expect("temporary folder");
        let root = temp.path().canonicalize().expect("real path");
        let (home, top) = (root.join("home"), root.join("my projects/the repo"));
        fs::create_dir_all(&home).expect("home");
        fs::create_dir_all(&top).expect("top");
        fs::write(
            home.join(".gitconfig"),
            "[user]\n\tname = Sam Example\n\temail = sam@example.org\n[init]\n\tdefaultBranch = main\n",
        )
        .expect("user's configuration");
        let path = std::env::var_os("PATH").expect("PATH");
        let told: Arc<Mutex<Vec<String>>> = Arc::default();
        let heard = Arc::clone(&told);
        let listener = Listener::new(move |line| heard.lock().expect("sound").push(line.to_owned()));
        let environment = GitEnvironment::new(path, Some(home.clone()), listener);
        let world = Self {
            folder: root.join("state/workspaces"),
            temp,
            home,
            top,
            environment,
            found: OnceLock::new(),
            told,
        };
        world.git(&[&["init", "-q"], options].concat());
        world
    }

    pub(crate) fn marker(&self) -> PathBuf {
        self.temp.path().join("a program ran")
    }

    /// A program that leaves a marker with its name; the path of it.
    pub(crate) fn trap(&self, name: &str) -> String {
        let folder = self.temp.path().join("traps");
        fs::create_dir_all(&folder).expect("traps");
        let path = folder.join(name);
        let text = format!("#!/bin/sh\necho {name} \"$@\" >> '{}'\ncat\nexit 1\n", self.marker().display());
        executable(&path, &text);
        path.to_str().expect("UTF-8").to_owned()
    }

    pub(crate) fn assert_nothing_ran(&self) {
        let ran = fs::read_to_string(self.marker()).unwrap_or_default();
        assert_eq!(ran, "", "programs of the configuration ran");
    }

    /// Hooks, fsmonitor, filters, drivers and helpers in the repository at `top`.
    pub(crate) fn set_traps(&self, top: &Path) {
        let hooks = self.git_dir(top).join("hooks");
        fs::create_dir_all(&hooks).expect("hooks");
        let names = [
            "post-checkout",
            "pre-commit",
            "post-commit",
            "commit-msg",
            "prepare-commit-msg",
            "post-index-change",
            "reference-transaction",
            "post-merge",
            "pre-auto-gc",
            "fsmonitor-watchman",
            "post-rewrite",
        ];
        for name in names {
            fs::copy(self.trap(name), hooks.join(name)).expect("hook");
        }
        let configs = [
            ("core.fsmonitor", "fsmonitor"),
            ("core.hooksPath", "hooks-path"),
            ("core.alternateRefsCommand", "alternates"),
            ("core.sshCommand", "ssh"),
            ("core.gitProxy", "proxy"),
            ("core.askPass", "askpass"),
            ("core.pager", "pager"),
            ("core.editor", "editor"),
            ("filter.evil.clean", "clean"),
            ("filter.evil.smudge", "smudge"),
            ("filter.a=b.process", "process"),
            ("filter.a=b.clean", "clean2"),
            ("filter.lfs.smudge", "lfs-smudge"),
            ("filter.lfs.clean", "lfs-clean"),
            ("filter.lfs.process", "lfs-process"),
            ("diff.evil.textconv", "textconv"),
            ("diff.evil.command", "diff-command"),
            ("diff.external", "external-diff"),
            ("merge.evil.driver", "merge-driver"),
            ("credential.helper", "credential"),
            ("gpg.program", "gpg"),
        ];
        let hooks_path = hooks.to_str().expect("UTF-8");
        for (key, name) in configs {
            let trap = if name == "hooks-path" { hooks_path.to_owned() } else { self.trap(name) };
            self.git_quiet(top, &["config", key, &trap]);
        }
        for (key, value) in
            [("commit.gpgSign", "true"), ("filter.evil.required", "true"), ("core.untrackedCache", "true")]
        {
            self.git_quiet(top, &["config", key, value]);
        }
    }

    fn git_dir(&self, top: &Path) -> PathBuf {
        let git = top.join(".git");
        if git.is_dir() { git } else { self.top.join(".git") }
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        write(&self.top, path, text);
    }

    pub(crate) fn git(&self, args: &[&str]) -> String {
        git_in(&self.home, &self.top, args)
    }

    /// Git as an agent runs it in a workspace.
    pub(crate) fn git_at(&self, dir: &Path, args: &[&str]) -> String {
        git_in(&self.home, dir, args)
    }

    /// Git in a repository full of traps, without springing them.
    pub(crate) fn git_quiet(&self, dir: &Path, args: &[&str]) -> String {
        let safe =
            ["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "commit.gpgSign=false"];
        git_in(&self.home, dir, &[&safe, args].concat())
    }

    /// Found once, as in a run: what is done to the repository later does not change what was found.
    pub(crate) fn repository(&self) -> Repository {
        let find = || {
            Repository::discover(&self.environment, &self.top).expect("git answers").expect("a repository")
        };
        self.found.get_or_init(find).clone()
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        fingerprint(&self.repository()).expect("a fingerprint")
    }

    pub(crate) fn order(&self, task: u32, kind: WorkspaceKind) -> PrepareOrder {
        PrepareOrder {
            kind,
            task: TaskId(task),
            job: None,
            key: format!("task-{task:03}"),
            owner: "state R1".into(),
            folder: self.folder.clone(),
            bases: vec!["HEAD".into()],
            base_note: None,
            branch: format!("dayshift/R1/task-{task:03}"),
            tree: TreeFate::AsItIs,
            deliverables: Vec::new(),
            furnish: dayshift_workspaces::Furnish::default(),
        }
    }

    pub(crate) fn prepare(&self, task: u32) -> ReadyWorkspace {
        self.try_prepare(&self.order(task, WorkspaceKind::Worktree)).expect("a workspace")
    }

    pub(crate) fn try_prepare(&self, order: &PrepareOrder) -> Result<ReadyWorkspace, WorkspaceError> {
        prepare(&Source::Git(&self.repository()), order)
    }

    pub(crate) fn collect_order(
        &self,
        task: u32,
        attempt: u32,
        kind: WorkspaceKind,
        workspace: &ReadyWorkspace,
    ) -> CollectOrder {
        CollectOrder {
            kind,
            task: TaskId(task),
            attempt: AttemptId(attempt),
            folder: self.folder.clone(),
            workspace: workspace.clone(),
            deliverables: Vec::new(),
            message: format!("Do task-{task:03}"),
            changes: ChangesFate::Result,
        }
    }

    pub(crate) fn collect(
        &self,
        task: u32,
        attempt: u32,
        kind: WorkspaceKind,
        workspace: &ReadyWorkspace,
    ) -> Collected {
        self.judge(task, attempt, kind, workspace, &[])
    }

    pub(crate) fn judge(
        &self,
        task: u32,
        attempt: u32,
        kind: WorkspaceKind,
        workspace: &ReadyWorkspace,
        deliverables: &[Deliverable],
    ) -> Collected {
        let order = CollectOrder {
            deliverables: deliverables.to_vec(),
            ..self.collect_order(task, attempt, kind, workspace)
        };
        collect(&Source::Git(&self.repository()), &order).expect("collected")
    }

    pub(crate) fn release(&self, task: u32, kind: WorkspaceKind, workspace: &ReadyWorkspace) -> Released {
        self.release_as(task, kind, workspace, DirtyFate::Keep)
    }

    pub(crate) fn release_as(
        &self,
        task: u32,
        kind: WorkspaceKind,
        workspace: &ReadyWorkspace,
        dirty: DirtyFate,
    ) -> Released {
        let order = ReleaseOrder {
            kind,
            task: TaskId(task),
            job: None,
            folder: self.folder.clone(),
            workspace: workspace.clone(),
            dirty,
            branch: BranchFate::Result,
        };
        release(&Source::Git(&self.repository()), &order).expect("released")
    }

    /// The names in a commit's tree.
    pub(crate) fn files_of(&self, commit: &str) -> Vec<String> {
        self.git_quiet(&self.top, &["ls-tree", "-r", "--name-only", commit])
            .lines()
            .map(str::to_owned)
            .collect()
    }

    pub(crate) fn refs(&self, pattern: &str) -> Vec<String> {
        let listing = self.git_quiet(&self.top, &["for-each-ref", "--format=%(refname)", pattern]);
        listing.lines().map(str::to_owned).collect()
    }
}

pub(crate) fn write(root: &Path, path: &str, text: &str) {
    let file = root.join(path);
    fs::create_dir_all(file.parent().expect("a parent")).expect("folder");
    fs::write(file, text).expect("file");
}

/// Makes a program. Another process writes it: were it us, a child that some other test starts at that
/// moment could hold the file open for writing, and it could not be executed.
pub(crate) fn executable(path: &Path, text: &str) {
    let script = "printf '%s' \"$2\" > \"$1\" && chmod 755 \"$1\"";
    let status = Command::new("sh").args(["-c", script, "sh"]).arg(path).arg(text).status().expect("sh runs");
    assert!(status.success());
}

pub(crate) fn root(workspace: &ReadyWorkspace) -> PathBuf {
    PathBuf::from(&workspace.root)
}

pub(crate) fn try_git(home: &Path, dir: &Path, args: &[&str]) -> Output {
    Command::new("git")
        .args(args)
        .current_dir(dir)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").expect("PATH"))
        .env("HOME", home)
        .output()
        .expect("git runs")
}

fn git_in(home: &Path, dir: &Path, args: &[&str]) -> String {
    let output = try_git(home, dir, args);
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}
