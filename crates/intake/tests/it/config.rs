//! Layers of settings.

use dayshift_core::money::Micros;
use dayshift_intake::config::{Level, Origin, read_config, read_variables};
use dayshift_intake::{Config, SecretSource, Source};

use crate::common::read;

fn file(text: &str) -> Source {
    Source { path: "dayshift.toml".to_owned(), text: text.to_owned() }
}

const FULL: &str = r#"
max_daily_cost_usd = 20
cost_warning_threshold = 0.5
max_concurrent_agents = 4
agent = "fixer"
tasks = ["days/today.yaml"]
disk_budget_gb = 5
disk_pause_mb = 0

[gates]
unit = "cargo test"
slow = { run = "make slow", timeout = "1h", required = false }

[agents.fixer]
kind = "command"
run = "./fix.sh"

[telegram]
enabled = true
"#;

#[test]
fn layers_win_in_order_and_know_their_origin() {
    let built_in = Config::default();
    let user = read_config(&file(FULL), Level::User, &built_in, &read).unwrap();
    assert_eq!(user.warnings.len(), 1, "{:?}", user.warnings);
    let config = built_in.with(user.partial);
    let repository =
        read_config(&file("max_daily_cost_usd = 10.5\n"), Level::Repository, &config, &read).unwrap();
    let config = config.with(repository.partial);
    let variables =
        read_variables(&|name| (name == "DAYSHIFT_MAX_CONCURRENT_AGENTS").then(|| " 8 ".to_owned())).unwrap();
    let config = config.with(variables);
    assert_eq!(config.max_daily_cost.value, Micros(10_500_000));
    assert_eq!(config.max_daily_cost.origin, Origin::Repository("dayshift.toml:1".to_owned()));
    assert_eq!(config.max_concurrent_agents.value, 8);
    let rows: Vec<_> =
        config.rows().into_iter().map(|(name, value, origin)| (name, value, origin.to_string())).collect();
    insta::assert_json_snapshot!("config-rows", rows);
}

#[test]
fn a_repository_cannot_bring_commands_or_raise_limits() {
    let below = Config::default();
    let text = FULL.replace("= 20", "= 200");
    let report = read_config(&file(&text), Level::Repository, &below, &read).unwrap_err();
    insta::assert_snapshot!("config-untrusted", report);
    let modest = "max_daily_cost_usd = 5\nmax_concurrent_agents = 2\ntasks = [\"days/today.yaml\"]\n";
    read_config(&file(modest), Level::Repository, &below, &read).unwrap();

    let trusted = read_config(&file(&text), Level::TrustedRepository, &below, &read).unwrap();
    assert_eq!((trusted.partial.gates.len(), trusted.partial.agents.len()), (2, 1));
    assert_eq!(trusted.partial.max_daily_cost.unwrap().value, Micros(200_000_000));
}

/// What tells people is a command: the user's own, or one of a repository that they trust.
#[test]
fn a_repository_brings_no_command_that_tells_people_without_trust() {
    let mine = "[notify]\ncommand = \"ring\"\npass_env = [\"RING_HOOK\"]\n";
    let mine = read_config(&file(mine), Level::User, &Config::default(), &read).unwrap();
    let below = Config::default().with(mine.partial);
    let notify = below.notify.notify().expect("a command");
    assert_eq!((notify.command.as_str(), notify.timeout.to_string().as_str()), ("ring", "30s"));
    assert_eq!(notify.pass_env, ["RING_HOOK"]);

    let theirs = file("[notify]\ntimeout = \"5s\"\n");
    let report = read_config(&theirs, Level::Repository, &below, &read).unwrap_err();
    assert!(report.to_string().contains("`notify` (line 1)"), "{report}");
    let trusted = read_config(&theirs, Level::TrustedRepository, &below, &read).unwrap();
    let both = below.with(trusted.partial);
    assert_eq!(both.notify.notify().map(|notify| notify.timeout.to_string()), Some("5.0s".to_owned()));
    assert_eq!(Config::default().notify.notify(), None);
    let long = file("[notify]\ncommand = \"ring\"\ntimeout = \"11m\"\n");
    let report = read_config(&long, Level::User, &Config::default(), &read).unwrap_err();
    assert!(report.to_string().contains("dayshift.toml:3:11"), "{report}");
}

/// Without a word the cap is a share of the machine, so a repository's number may be a looser one.
#[test]
fn a_repository_loosens_no_cap_of_memory_without_trust() {
    let text = file("memory_max_mb = 4000\n");
    let report = read_config(&text, Level::Repository, &Config::default(), &read).unwrap_err();
    assert!(report.to_string().contains("`memory_max_mb` (line 1)"), "{report}");
    let mine = read_config(&file("memory_max_mb = 5000\n"), Level::User, &Config::default(), &read).unwrap();
    let below = Config::default().with(mine.partial);
    let tighter = read_config(&text, Level::Repository, &below, &read).unwrap();
    assert_eq!(below.with(tighter.partial).memory_max_mb.value, Some(4_000));
}

#[test]
fn every_mistake_of_a_configuration_has_a_place() {
    let text = "max_daily_cost = 5\ncost_warning_threshold = 75\nmax_concurrent_agents = -1\ntasks = \"a.yaml\"\n\n[gates]\nunit = { runn = \"x\" }\n\n[agents.a]\nkind = \"comand\"\n";
    let report = read_config(&file(text), Level::User, &Config::default(), &read).unwrap_err();
    insta::assert_snapshot!("config-mistakes", report);
    let torn = "max_daily_cost_usd = \nagent = 'x\ntypo = 1\n[gates\n";
    let report = read_config(&file(torn), Level::User, &Config::default(), &read).unwrap_err();
    insta::assert_snapshot!("config-torn", report);
}

#[test]
fn secrets_are_sources_and_never_values() {
    let good = "[secrets]\nAPI_TOKEN_cmd = \"pass show api\"\nDEPLOY_KEY_file = \"~/.secrets/deploy\"\n[telegram]\nbot_token = \"hunter2\"\n";
    let layer = read_config(&file(good), Level::User, &Config::default(), &read).unwrap();
    let shown = format!("{:?}", Config::default().with(layer.partial.clone()).rows());
    assert_eq!(shown.matches("(set)").count(), 3, "{shown}");
    assert!(!shown.contains("hunter2") && !shown.contains("pass show"), "{shown}");
    assert_eq!(layer.partial.secrets["API_TOKEN"].value, SecretSource::Command("pass show api".to_owned()));

    let bad = "[secrets]\nAPI_TOKEN = \"hunter2\"\nA_cmd = \"x\"\nA_file = \"/hunter2\"\nB_file = \"hunter2\"\n9_cmd = \"hunter2\"\n";
    let report = read_config(&file(bad), Level::User, &Config::default(), &read).unwrap_err();
    assert!(!report.to_string().contains("hunter2"), "{report}");
    insta::assert_snapshot!("config-secrets", report);

    let report = read_config(&file(good), Level::TrustedRepository, &Config::default(), &read).unwrap_err();
    assert!(report.to_string().contains("your own configuration"), "{report}");
}

#[test]
fn what_new_worktrees_get_is_layered_key_by_key() {
    let mine =
        "[workspace]\nports = 20\nsetup = \"make deps\"\ndependencies = [\"node_modules/\", \".venv\"]\n";
    let user = read_config(&file(mine), Level::User, &Config::default(), &read).unwrap();
    let config = Config::default().with(user.partial);
    let modest = "[workspace]\nports = 0\ninclude = [\".env*\"]\ncopy_mb = 5\n";
    let layer = read_config(&file(modest), Level::Repository, &config, &read).unwrap();
    let held = config.with(layer.partial).workspace.part().furnishing();
    assert_eq!((held.ports, held.copy_mb, held.setup.as_deref()), (0, 5, Some("make deps")));
    assert_eq!(held.dependencies, ["node_modules", ".venv"]);
    assert_eq!((held.include, held.teardown), (vec![".env*".to_owned()], None));

    for line in ["setup = \"make\"", "teardown = \"make\"", "hard_links = [\"vendor\"]"] {
        let text = format!("[workspace]\n{line}\n");
        read_config(&file(&text), Level::TrustedRepository, &Config::default(), &read).unwrap();
        let report = read_config(&file(&text), Level::Repository, &Config::default(), &read).unwrap_err();
        assert!(report.to_string().contains("`workspace` (line 1)"), "{report}");
    }
    for path in ["../x", "/etc", ".git/modules", ".dayshift", "a/../../b"] {
        let text = format!("[workspace]\nhard_links = [\"vendor\", \"{path}\"]\n");
        let report = read_config(&file(&text), Level::User, &Config::default(), &read).unwrap_err();
        assert!(report.to_string().contains("dayshift.toml:2:25"), "{path}: {report}");
    }
}

#[test]
fn a_layout_stays_inside_the_repository() {
    for (path, is_good) in [
        ("results", true),
        (".gadugi/monitoring/processes.json", true),
        ("./a/b", true),
        ("../results", false),
        ("a/../../b", false),
        ("/tmp/results", false),
        (".git/hooks", false),
        ("a/.GIT", false),
        (".", false),
        ("", false),
        (".dayshift/status", false),
    ] {
        let text = format!("[layout]\nreports = \"{path}\"\n");
        let read = read_config(&file(&text), Level::User, &Config::default(), &read);
        assert_eq!(read.is_ok(), is_good, "{path}: {read:?}");
        if let Err(report) = read {
            assert!(report.to_string().contains("dayshift.toml:2:11"), "{report}");
        }
    }
    let twice = "[layout]\nstatus = \"x/y\"\nstate = \"./x//y\"\n";
    let report = read_config(&file(twice), Level::User, &Config::default(), &read).unwrap_err();
    assert!(report.to_string().contains("`state` and `status` are at the same path"), "{report}");
    for name in ["s1", "s2", "s4"] {
        let section = dayshift_intake::layout::section(name).unwrap();
        let layer =
            read_config(&file(&section), Level::TrustedRepository, &Config::default(), &read).unwrap();
        let untrusted =
            read_config(&file(&section), Level::Repository, &Config::default(), &read).unwrap_err();
        assert!(untrusted.to_string().contains("`layout` (line 1)"), "{untrusted}");
        let rows = Config::default().with(layer.partial).rows();
        assert!(rows.iter().any(|(name, ..)| name.starts_with("layout.")), "{rows:?}");
    }
    assert_eq!(dayshift_intake::layout::section("s3"), None);
}

#[test]
fn bad_variables_are_all_told() {
    let get = |name: &str| match name {
        "DAYSHIFT_MAX_DAILY_COST_USD" => Some("-5".to_owned()),
        "DAYSHIFT_COST_WARNING_THRESHOLD" => Some("NaN".to_owned()),
        "DAYSHIFT_MAX_CONCURRENT_AGENTS" => Some("0".to_owned()),
        "DAYSHIFT_DISK_BUDGET_GB" => Some("0.5".to_owned()),
        "DAYSHIFT_DISK_PAUSE_MB" => Some("-1".to_owned()),
        "DAYSHIFT_AGENT" => Some(String::new()),
        _ => None,
    };
    insta::assert_snapshot!("config-variables", read_variables(&get).unwrap_err());
}

#[test]
fn deep_configuration_ends_in_a_finding_not_in_a_crash() {
    let texts = [
        format!("a = {}", "[".repeat(50_000)),
        format!("a = {}", "{a=".repeat(50_000)),
        "[a".repeat(9_000),
        "a.".repeat(50_000) + "b = 1",
    ];
    let check = move || {
        for text in &texts {
            read_config(&file(text), Level::User, &Config::default(), &read).unwrap_err();
        }
    };
    std::thread::Builder::new().stack_size(1024 * 1024).spawn(check).unwrap().join().unwrap();
}
