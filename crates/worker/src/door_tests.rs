use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;

use tempfile::TempDir;

use super::*;

/// Folders for sockets, and a state directory with an address in it.
struct Scene {
    folder: TempDir,
}

impl Scene {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        fs::create_dir(folder.path().join("state")).unwrap();
        Self { folder }
    }

    fn socket(&self, name: &str) -> PathBuf {
        self.folder.path().join(name).join("a.sock")
    }

    fn address(&self) -> PathBuf {
        self.folder.path().join("state/address")
    }

    fn open(&self) -> Door {
        Door::open(&[self.socket("run")], &self.address()).unwrap()
    }
}

#[test]
fn who_reads_the_address_finds_who_listens() {
    let scene = Scene::new();
    let door = scene.open();
    assert_eq!(told(&scene.address()), Some(scene.socket("run")));
    assert!(door.is_found());
    UnixStream::connect(told(&scene.address()).unwrap()).unwrap();
    door.close();
    assert_eq!((told(&scene.address()), scene.socket("run").exists()), (None, false));
    assert_eq!(fs::read_dir(scene.folder.path().join("state")).unwrap().count(), 0);
}

#[test]
fn the_next_place_is_taken_where_the_first_cannot_be() {
    let scene = Scene::new();
    fs::write(scene.folder.path().join("taken"), "").unwrap();
    let sockets = [scene.socket("taken"), scene.socket("other")];
    let _door = Door::open(&sockets, &scene.address()).unwrap();
    assert_eq!(told(&scene.address()), Some(scene.socket("other")));
    let error = Door::open(&sockets[..1], &scene.address()).unwrap_err();
    assert!(error.to_string().contains("taken"), "{error}");
}

#[test]
fn a_socket_that_is_gone_or_another_one_is_noticed_and_an_address_is_told_anew() {
    let scene = Scene::new();
    let door = scene.open();
    fs::remove_file(scene.address()).unwrap();
    assert!(door.is_found());
    assert_eq!(told(&scene.address()), Some(scene.socket("run")), "it was not told anew");
    fs::remove_dir_all(scene.folder.path().join("run")).unwrap();
    assert!(!door.is_found());
    let next = scene.open();
    assert!(next.is_found());
    assert!(!door.is_found(), "another socket is taken for its own");
    door.close();
    assert!(next.is_found(), "the old door took the new one away");
}

#[test]
fn an_address_that_cannot_be_trusted_is_none() {
    let check = |what: &str, spoil: &dyn Fn(&Scene)| {
        let scene = Scene::new();
        let _door = scene.open();
        spoil(&scene);
        assert_eq!(told(&scene.address()), None, "{what}");
    };
    check("a relative path", &|scene| fs::write(scene.address(), "run/a.sock").unwrap());
    check("no path", &|scene| fs::write(scene.address(), "").unwrap());
    check("a long file", &|scene| fs::write(scene.address(), "/x".repeat(4096)).unwrap());
    check("no socket", &|scene| {
        fs::remove_file(scene.socket("run")).unwrap();
        fs::write(scene.socket("run"), "").unwrap();
    });
    check("a link to a socket", &|scene| {
        symlink(scene.socket("run"), scene.folder.path().join("run/link")).unwrap();
        let link = scene.folder.path().join("run/link");
        fs::write(scene.address(), link.as_os_str().as_bytes()).unwrap();
    });
    check("a folder that others write into", &|scene| {
        let folder = scene.folder.path().join("run");
        fs::set_permissions(folder, Permissions::from_mode(0o722)).unwrap();
    });
    check("a link to an address", &|scene| {
        let other = scene.folder.path().join("other");
        fs::rename(scene.address(), &other).unwrap();
        symlink(other, scene.address()).unwrap();
    });
    check("a folder", &|scene| {
        fs::remove_file(scene.address()).unwrap();
        fs::create_dir(scene.address()).unwrap();
    });
}
