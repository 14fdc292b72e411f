//! Names and words from outside break no line, no list, no terminal.

use dayshift_core::ids::RunId;
use dayshift_core::input::Request;
use dayshift_core::state::State;
use dayshift_core::time::Timestamp;
use dayshift_core::types::{Deliverable, Exit, TaskSpec};

use super::World;
use super::world::{START, command, going_on, mixed, run_spec, task};
use crate::text::{code, code_block, fit, line, line_of, md, quote, safe, shell_word};
use crate::{People, ReportExtra, RunLog};

const EVIL: &str = "a\x1b[31m|b\r\n# c\u{202e}d\u{9b}2J <img src=x> [l](u) `x` \u{7}";

fn hostile() -> World {
    let evil = TaskSpec {
        key: EVIL.to_owned(),
        brief: EVIL.repeat(50),
        area: Some(EVIL.to_owned()),
        deliverables: vec![Deliverable::Exists(EVIL.to_owned())],
        gates: vec![EVIL.to_owned()],
        ..task("k", &EVIL.repeat(500))
    };
    let mut spec = run_spec(vec![evil, command("c", EVIL)]);
    spec.label = EVIL.to_owned();
    spec.gates[0].name = EVIL.to_owned();
    spec.warnings = vec![EVIL.repeat(30)];
    spec.sources = vec![EVIL.to_owned()];
    let mut world = World::of(spec);
    world.succeed(EVIL, 0.2, &[EVIL]);
    world.start(EVIL);
    world.end(EVIL, Exit::Code(1), 0.0, &format!("```\n# {EVIL}\n```\n{}", "x".repeat(9_000)));
    world.start("c");
    world.end("c", Exit::Code(1), 0.0, EVIL);
    world
}

/// Every view of a state.
fn views(state: &State, now: Timestamp) -> Vec<String> {
    let zone = jiff::tz::TimeZone::UTC;
    let extra = ReportExtra {
        head: Some(EVIL.to_owned()),
        notes: vec![EVIL.to_owned()],
        people: People::new(),
        now,
        zone,
    };
    let mut texts = vec![
        crate::report(state, RunId(1), &extra),
        crate::status_text(state, now),
        crate::summary(state, &crate::DamagedDays::new()),
        crate::active(state),
        crate::list_tasks(state, None),
        crate::run_brief(state, RunId(1)),
        crate::live_lines(state, now, 40).join("\n"),
        crate::status_json(state).to_string(),
        crate::registry(state, now, &std::collections::BTreeMap::new()).to_string(),
    ];
    for task in state.tasks() {
        texts.push(crate::task_tree(state, task.id, now));
        texts.push(crate::task_json(state, task.id).to_string());
        texts.push(crate::agent_status(state, task.id, now).to_string());
        texts.push(crate::task_state_file(state, task.id).to_string());
    }
    texts
}

fn all_texts(world: &World) -> Vec<String> {
    let mut texts = views(&world.state, world.now);
    let mut log = RunLog::new();
    world.replay(|state, entry| {
        texts.push(log.push(state, entry));
        texts.extend(crate::progress(state, entry, START));
    });
    texts
}

#[test]
fn nothing_steers_the_terminal() {
    let mut world = hostile();
    world.request(Request::PauseRun { run: RunId(1), by: EVIL.to_owned() });
    for text in all_texts(&world) {
        let bad = text.chars().find(|letter| {
            (letter.is_control() && !matches!(letter, '\n' | '\t'))
                || matches!(letter, '\u{202a}'..='\u{202e}')
        });
        assert_eq!(bad, None, "{text}");
    }
}

#[test]
fn every_state_on_the_way_has_its_views() {
    for world in [mixed(), going_on(), hostile()] {
        world.replay(|state, entry| {
            for moment in [Timestamp(0), entry.at, Timestamp(u64::MAX)] {
                assert!(
                    views(state, moment).iter().all(|text| !text.is_empty() || state.live().count() == 0)
                );
                assert!(crate::live_lines(state, moment, 0).iter().all(String::is_empty));
            }
        });
    }
}

#[test]
fn a_large_run_stays_readable() {
    let tasks = (0..1_000).map(|number| command(&format!("t{number}"), "T")).collect();
    let mut world = World::of(run_spec(tasks));
    for number in 0..700 {
        let key = format!("t{number}");
        world.start(&key);
        world.end(&key, Exit::Code(i32::from(number % 7 == 0)), 0.0, &"line\n".repeat(500));
    }
    let zone = jiff::tz::TimeZone::UTC;
    let extra = ReportExtra { head: None, notes: Vec::new(), people: world.people(), now: world.now, zone };
    let report = crate::report(&world.state, RunId(1), &extra);
    assert!(report.len() < 256 * 1024, "{}", report.len());
    assert!(report.contains("- ✅ t699: succeeded"), "tasks beyond the limit get a line");
    let brief = crate::run_brief(&world.state, RunId(1));
    assert!(brief.lines().count() <= 50, "{brief}");
    assert!(brief.contains("❌ t0: failed"), "what needs a look comes first: {brief}");
    assert!(crate::status_text(&world.state, world.now).lines().count() <= 210);
}

/// The lines that are not in a code block, found as a reader of markdown finds them.
fn outside_fences(text: &str) -> Vec<&str> {
    let mut fence: Option<usize> = None;
    let mut lines = Vec::new();
    for line in text.lines() {
        let ticks = line.bytes().take_while(|byte| *byte == b'`').count();
        match fence {
            None if ticks >= 3 => fence = Some(ticks),
            None => lines.push(line),
            Some(open) if ticks >= open && line.len() == ticks => fence = None,
            Some(_) => {}
        }
    }
    assert_eq!(fence, None, "every block is closed");
    lines
}

#[test]
fn no_name_becomes_structure() {
    let world = hostile();
    let zone = jiff::tz::TimeZone::UTC;
    let extra = ReportExtra { head: None, notes: Vec::new(), people: world.people(), now: world.now, zone };
    let report = crate::report(&world.state, RunId(1), &extra);
    let outside = outside_fences(&report);
    let headings = outside.iter().filter(|line| line.starts_with("# ")).count();
    assert_eq!(headings, 1, "only the title");
    let mut tables: Vec<Vec<usize>> = vec![Vec::new()];
    for line in &outside {
        match (line.starts_with('|'), tables.last_mut()) {
            (true, Some(table)) => table.push(line.replace("\\|", "").matches('|').count()),
            (_, _) => tables.push(Vec::new()),
        }
    }
    tables.retain(|table| !table.is_empty());
    assert_eq!(tables.len(), 2, "the summary and the types");
    for table in tables {
        assert!(table.len() >= 3 && table.iter().all(|bars| *bars == table[0]), "{table:?}: {report}");
    }
    for line in outside {
        let bare = line.replace("\\<", "").replace("\\[", "");
        let is_code = bare.contains('`');
        assert!(is_code || !(bare.contains("<img") || bare.contains("[l](")), "{line}");
    }
    assert!(report.lines().all(|line| line.chars().count() < 4_000));
}

#[test]
fn the_filter_knows_its_letters() {
    assert_eq!(safe("a\r\nb\rc\td\u{2028}e\x1b[0m\u{85}"), "a\nb\nc\td\ne[0m");
    assert_eq!(line("  two\n  words\t"), "two words");
    assert_eq!(line_of(&"é".repeat(900), 5), "éééé…");
    assert_eq!(line_of(&"\u{7}".repeat(9_000), 5), "…");
    assert_eq!(line_of("", 0), "");
}

#[test]
fn markdown_is_escaped_where_it_matters() {
    assert_eq!(
        md("a|b *c* my_file _x_ [l](u) <b> ~~s~~ a~b"),
        r"a\|b \*c\* my_file \_x\_ \[l\](u) \<b> \~\~s\~\~ a~b"
    );
    assert_eq!(md("&lt; a & b"), r"\&lt; a & b");
    assert_eq!(code("a`b"), "``a`b``");
    assert_eq!(code("`"), "`` ` ``");
    assert_eq!(code(" \n"), "(empty)");
    assert_eq!(code_block("1\n2\n```\n", 2), "````text\n2\n```\n````\n");
    assert_eq!(quote("# a\n---\n  * b", 9), "> \\# a\n> \\---\n>   \\* b\n");
    assert_eq!(quote("a\nb\nc", 1), "> a\n> … (2 more lines)\n");
}

#[test]
fn commands_can_be_pasted() {
    assert_eq!(shell_word("task-001"), "task-001");
    assert_eq!(shell_word("a b"), "'a b'");
    assert_eq!(shell_word("a'; rm -rf /"), r"'a'\''; rm -rf /'");
    assert_eq!(shell_word("--all"), "'--all'");
    assert_eq!(shell_word(""), "''");
}

#[test]
fn lines_fit_the_width() {
    assert_eq!(fit("abcdef", 6), "abcdef");
    assert_eq!(fit("abcdef", 4), "abc…");
    assert_eq!(fit("日本語", 5), "日本…");
    for width in 0..3 {
        assert!(fit("日本語", width).chars().count() <= width);
    }
}

#[test]
fn live_lines_stay_within_the_screen() {
    let tasks = (0..50).map(|number| command(&format!("t{number}"), "T")).collect();
    let mut spec = run_spec(tasks);
    spec.slots_max = 40;
    let world = World::of(spec);
    let lines = crate::live_lines(&world.state, world.now, 20);
    assert_eq!(lines.len(), 30);
    assert_eq!(lines.last().unwrap(), "… and 11 more");
    assert!(lines.iter().all(|line| line.chars().count() <= 20));
}
