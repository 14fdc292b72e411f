//! New, moved, copied and damaged state directories.

use super::*;

/// A folder with an identity, the word of where an id was last at work, and what was asked.
#[track_caller]
fn who(state: &Path, word: Option<&Path>) -> Identity {
    of(state, |_| word.map(Path::to_owned)).unwrap()
}

fn copied(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    fs::copy(from.join(FILE), to.join(FILE)).unwrap();
}

struct Scene {
    _root: tempfile::TempDir,
    first: PathBuf,
    second: PathBuf,
}

impl Scene {
    /// A state directory, and a path for another one.
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let base = root.path().canonicalize().unwrap();
        let first = base.join("first");
        fs::create_dir(&first).unwrap();
        give(&first).unwrap();
        Self { _root: root, first, second: base.join("second") }
    }
}

#[test]
fn one_that_is_made_anew_at_the_same_place_is_another_one() {
    let scene = Scene::new();
    let before = who(&scene.first, None);
    give(&scene.first).unwrap();
    assert_eq!(who(&scene.first, None), before);
    fs::remove_dir_all(&scene.first).unwrap();
    fs::create_dir(&scene.first).unwrap();
    give(&scene.first).unwrap();
    let after = who(&scene.first, Some(&scene.first));
    assert_ne!(after.id, before.id);
    assert_eq!(after.copy_of, None);
}

#[test]
fn a_moved_one_stays_itself_and_knows_where_it_was() {
    let scene = Scene::new();
    let id = who(&scene.first, None).id;
    fs::rename(&scene.first, &scene.second).unwrap();
    keep(&scene.second).unwrap();
    let moved = who(&scene.second, Some(&scene.first));
    let paths = vec![scene.first, scene.second];
    assert_eq!(moved, Identity { id, paths, copy_of: None });
}

#[test]
fn one_that_was_moved_by_copying_stays_itself() {
    let scene = Scene::new();
    let id = who(&scene.first, None).id;
    copied(&scene.first, &scene.second);
    fs::remove_dir_all(&scene.first).unwrap();
    assert_eq!(who(&scene.second, Some(&scene.first)).id, id);
}

#[test]
fn a_copy_is_told_from_its_original_also_when_that_was_moved() {
    let scene = Scene::new();
    let id = who(&scene.first, None).id;
    copied(&scene.first, &scene.second);
    let copy = who(&scene.second, None);
    assert_eq!(copy.copy_of.as_ref(), Some(&scene.first));
    assert_ne!(copy.id, id);
    let third = scene.first.with_file_name("third");
    fs::rename(&scene.first, &third).unwrap();
    keep(&third).unwrap();
    assert_eq!(who(&third, None).id, id);
    assert_eq!(who(&scene.second, Some(&third)).copy_of, Some(third));
}

#[test]
fn an_older_one_keeps_the_name_that_its_path_gave_it() {
    let root = tempfile::tempdir().unwrap();
    let state = root.path().canonicalize().unwrap();
    fs::write(state.join("engine.lock"), "").unwrap();
    let before = who(&state, None).id;
    keep(&state).unwrap();
    assert_eq!(who(&state, None).id, before);
}

#[test]
fn a_damaged_one_is_refused() {
    let scene = Scene::new();
    for text in ["", "\n", "0123456789abcdef 1 2\n", "0123456789abcdef 1\n/a\0", "0123456789abcde_ 1 2\n/a\0"]
    {
        fs::write(scene.first.join(FILE), text).unwrap();
        assert!(of(&scene.first, |_| None).is_err(), "{text:?}");
    }
    fs::remove_file(scene.first.join(FILE)).unwrap();
    std::os::unix::fs::symlink("/dev/null", scene.first.join(FILE)).unwrap();
    assert!(of(&scene.first, |_| None).is_err());
}

#[test]
fn what_was_moved_together_is_found_again() {
    let root = tempfile::tempdir().unwrap();
    let base = root.path();
    fs::create_dir_all(base.join("new/inside")).unwrap();
    fs::create_dir_all(base.join("other")).unwrap();
    let at = |name: &str| base.join(name);
    let check = |noted: &str, wanted: &str| {
        let paths = [at("old/.dayshift"), at("new/.dayshift")];
        assert_eq!(now_at(&at("new/.dayshift"), &paths, &at(noted)), at(wanted), "{noted}");
    };
    check("old", "new");
    check("old/inside", "new/inside");
    check("old/gone", "old/gone");
    check("other", "other");
    check("new", "new");
    check("older", "older");
}
