use super::*;

const ME: u32 = 100;

#[derive(Default)]
struct Fake {
    marks: HashMap<u32, &'static str>,
    cwds: HashMap<u32, &'static str>,
    gone: Vec<u32>,
}

impl Facts for Fake {
    fn mark(&self, pid: u32) -> Mark {
        match self.marks.get(&pid) {
            Some(&"") => Mark::Blank,
            Some(mark) => Mark::Is((*mark).to_owned()),
            None => Mark::None,
        }
    }

    fn cwd(&self, pid: u32) -> Option<PathBuf> {
        self.cwds.get(&pid).map(PathBuf::from)
    }

    fn is_there(&self, who: Identity) -> bool {
        !self.gone.contains(&who.pid)
    }
}

fn stat(pid: u32, parent: u32, group: u32, session: u32, start: u64) -> Stat {
    Stat {
        pid,
        state: b'S',
        ppid: parent,
        pgid: group,
        sid: session,
        cpu_ticks: 0,
        start,
        threads: 1,
        is_systemd: false,
    }
}

fn base() -> Vec<Stat> {
    vec![stat(1, 0, 1, 1, 0), stat(50, 1, 50, 50, 5), stat(ME, 50, 100, 100, 10)]
}

fn quarry(number: u32, leader: Option<(u32, u64)>, inherited: bool) -> Quarry {
    Quarry {
        attempt: AttemptId(number),
        leader: leader.map(|(pid, start)| Identity { pid, start }),
        mark: format!("m{number}"),
        private_cwd: Some(PathBuf::from(format!("/w/{number}"))),
        known: Vec::new(),
        inherited,
    }
}

fn pids(found: &Found, number: u32) -> Vec<u32> {
    let mut pids: Vec<u32> =
        found.members.get(&AttemptId(number)).into_iter().flatten().map(|member| member.pid).collect();
    pids.sort_unstable();
    pids
}

fn look(extra: &[Stat], quarries: &[Quarry], facts: &Fake) -> Found {
    let mut all = base();
    all.extend_from_slice(extra);
    find(&Table::new(&all), ME, quarries, facts)
}

#[test]
fn descendants_belong_to_their_main_process() {
    let extra = [
        stat(200, ME, 200, 100, 20),
        stat(201, 200, 200, 100, 21),
        stat(202, 201, 202, 202, 22),
        stat(300, ME, 300, 100, 23),
        stat(301, 300, 300, 100, 24),
        stat(400, 1, 400, 400, 25),
    ];
    let quarries = [quarry(2, Some((200, 20)), false), quarry(3, Some((300, 23)), false)];
    let found = look(&extra, &quarries, &Fake::default());
    assert_eq!((pids(&found, 2), pids(&found, 3)), (vec![201, 202], vec![301]));
    assert!(found.unclaimed.is_empty() && found.zombies.is_empty());
}

#[test]
fn an_orphan_is_told_by_group_mark_folder_and_memory() {
    let leaders = [stat(200, ME, 200, 100, 20), stat(300, ME, 300, 100, 20)];
    let mut quarries = [quarry(2, Some((200, 20)), false), quarry(3, Some((300, 20)), false)];
    let mut facts = Fake::default();
    let mut extra = leaders.to_vec();
    extra.push(stat(401, ME, 300, 100, 30));
    extra.push(stat(402, ME, 402, 402, 30));
    facts.marks.insert(402, "m3");
    extra.push(stat(403, ME, 403, 403, 30));
    facts.cwds.insert(403, "/w/3/sub");
    extra.push(stat(404, ME, 404, 404, 30));
    extra.push(stat(405, 404, 404, 404, 30));
    quarries[1].known.push(Identity { pid: 405, start: 30 });
    extra.push(stat(406, ME, 406, 406, 30));
    let found = look(&extra, &quarries, &facts);
    assert_eq!(pids(&found, 3), [401, 402, 403, 404, 405]);
    assert!(pids(&found, 2).is_empty());
    assert_eq!(found.unclaimed, [Identity { pid: 406, start: 30 }]);
}

#[test]
fn the_only_attempt_that_can_have_started_an_orphan_owns_it() {
    let extra = [stat(200, ME, 200, 100, 20), stat(300, ME, 300, 100, 40), stat(400, ME, 400, 400, 30)];
    let quarries = [quarry(2, Some((200, 20)), false), quarry(3, Some((300, 40)), false)];
    let found = look(&extra, &quarries, &Fake::default());
    assert_eq!(pids(&found, 2), [400]);
}

#[test]
fn dead_orphans_are_to_be_reaped_and_not_members() {
    let mut zombie = stat(400, ME, 200, 100, 30);
    zombie.state = b'Z';
    let found =
        look(&[stat(200, ME, 200, 100, 20), zombie], &[quarry(2, Some((200, 20)), false)], &Fake::default());
    assert_eq!((pids(&found, 2), found.zombies), (vec![], vec![400]));
}

#[test]
fn what_a_dead_worker_left_is_found_without_parent_chains() {
    let mut facts = Fake::default();
    let extra = [
        stat(200, 1, 200, 90, 20),
        stat(201, 200, 201, 201, 21),
        stat(202, 1, 200, 90, 22),
        stat(203, 1, 203, 203, 23),
        stat(204, 1, 204, 204, 24),
        stat(205, 204, 204, 204, 25),
    ];
    facts.marks.insert(203, "m2");
    facts.cwds.insert(204, "/w/2");
    let found = look(&extra, &[quarry(2, Some((200, 20)), true)], &facts);
    assert_eq!(pids(&found, 2), [200, 201, 202, 203, 204, 205]);
}

#[test]
fn people_and_other_attempts_are_left_alone() {
    let mut facts = Fake::default();
    let extra = [
        // The number 200 was given out again: its group is not ours.
        stat(200, 1, 200, 200, 99),
        stat(201, 200, 200, 200, 99),
        // A member of the group that is older than its leader was.
        stat(202, 1, 200, 200, 15),
        // A person's shell in the workspace, not an orphan.
        stat(203, 50, 203, 203, 30),
        // An orphan of another attempt in the same folder.
        stat(204, 1, 204, 204, 30),
    ];
    facts.cwds.insert(203, "/w/2");
    facts.cwds.insert(204, "/w/2");
    facts.marks.insert(204, "m9");
    let found = look(&extra, &[quarry(2, Some((200, 20)), true)], &facts);
    assert!(pids(&found, 2).is_empty());
}

#[test]
fn neither_the_worker_nor_what_started_it_is_ever_found() {
    let mut facts = Fake::default();
    for pid in [1, 50, ME, 200] {
        facts.marks.insert(pid, "m2");
        facts.cwds.insert(pid, "/w/2");
    }
    let quarries = [quarry(2, Some((50, 5)), true), quarry(3, Some((200, 20)), false)];
    let found = look(&[stat(200, ME, 200, 100, 20)], &quarries, &facts);
    assert_eq!((pids(&found, 2), pids(&found, 3)), (vec![], vec![]));
}

#[test]
fn an_orphan_that_ended_during_the_look_makes_it_unsure() {
    let extra = [stat(200, 1, 200, 200, 30), stat(201, 50, 201, 201, 30)];
    let mut facts = Fake { gone: vec![201], ..Fake::default() };
    assert!(!look(&extra, &[quarry(2, None, true)], &facts).vanished, "no orphan");
    facts.gone.push(200);
    assert!(look(&extra, &[quarry(2, None, true)], &facts).vanished);
    assert!(!look(&extra, &[quarry(2, Some((300, 1)), false)], &facts).vanished, "nobody inherited");
}

#[test]
fn an_orphan_without_an_environment_is_told() {
    let extra = [stat(200, 1, 200, 200, 30), stat(201, 200, 201, 201, 30)];
    let mut facts = Fake::default();
    facts.marks.extend([(200, ""), (201, "")]);
    let found = look(&extra, &[quarry(2, None, true)], &facts);
    assert_eq!(found.blank, BTreeSet::from([Identity { pid: 200, start: 30 }]));
}

#[test]
fn a_circle_in_the_table_ends() {
    let found =
        look(&[stat(200, 201, 1, 1, 1), stat(201, 200, 1, 1, 1)], &[quarry(2, None, true)], &Fake::default());
    assert!(pids(&found, 2).is_empty());
}
