//! The works that everybody does.

use std::fmt::Write as _;

use super::wide;

/// Bytes that the loud job prints: 200 MiB in lines of 100 bytes.
const LOUD_BYTES: usize = 200 << 20;

/// Jobs that are run at the same time, at most `width` at once.
pub(super) struct Work {
    pub(super) name: &'static str,
    pub(super) width: usize,
    pub(super) command: String,
    /// The jobs that each job waits for.
    pub(super) needs: Vec<Vec<usize>>,
}

impl Work {
    fn new(name: &'static str, width: usize, command: &str, needs: Vec<Vec<usize>>) -> Self {
        Self { name, width, command: command.to_owned(), needs }
    }

    /// Whether once is enough: it takes long and hardly varies.
    pub(super) fn is_long(&self) -> bool {
        self.name == "conc500"
    }

    /// Whether memory is what it is about.
    pub(super) fn is_about_memory(&self) -> bool {
        matches!(self.name, "log200" | "conc500" | wide::NAME)
    }

    /// Whether what the job prints is what it is about.
    pub(super) fn is_loud(&self) -> bool {
        self.name == "log200"
    }

    /// What the column of memory says.
    pub(super) fn memory_word(&self) -> &'static str {
        if self.is_loud() { "peak RSS" } else { "PSS" }
    }

    pub(super) fn has_needs(&self) -> bool {
        self.needs.iter().any(|needs| !needs.is_empty())
    }

    /// As a day file of `run:` tasks in scratch folders.
    pub(super) fn day(&self) -> String {
        let mut day = String::from("date: 2026-11-20\ntasks:\n");
        let command = &self.command;
        for (job, needs) in self.needs.iter().enumerate() {
            let needs: Vec<String> = needs.iter().map(|need| format!("j{need}")).collect();
            let needs = needs.join(", ");
            writeln!(
                day,
                "  - {{id: j{job}, name: j{job}, run: '{command}', workspace: scratch, needs: [{needs}]}}"
            )
            .unwrap();
        }
        day
    }

    /// As a makefile.
    pub(super) fn makefile(&self) -> String {
        let mut text = String::from("all:");
        for job in 0..self.needs.len() {
            write!(text, " j{job}").unwrap();
        }
        for (job, needs) in self.needs.iter().enumerate() {
            let needs: Vec<String> = needs.iter().map(|need| format!("j{need}")).collect();
            write!(text, "\n.PHONY: j{job}\nj{job}: {}\n\t@{}\n", needs.join(" "), self.command).unwrap();
        }
        text + "\n"
    }

    /// One line per job: those that it waits for.
    pub(super) fn lines(&self) -> String {
        let line = |needs: &Vec<usize>| needs.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        self.needs.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

/// All works, cheap ones first.
pub(super) fn all() -> Vec<Work> {
    let alone = |count| vec![Vec::new(); count];
    let chain = (0..200).map(|job: usize| job.checked_sub(1).into_iter().collect()).collect();
    let loud = format!("yes {} | head -c {LOUD_BYTES}", "x".repeat(99));
    vec![
        Work::new("noop1000", 8, "/bin/true", alone(1_000)),
        Work::new("chain200", 8, "/bin/true", chain),
        Work::new("dag1000", 8, "/bin/true", layers(10, 100)),
        Work::new("sleep8", 8, "sleep 1", alone(8)),
        Work::new("log200", 1, &loud, alone(1)),
        Work::new("conc500", 500, "sleep 20", alone(500)),
    ]
}

/// Layers of jobs, each of which waits for three of the layer before.
pub(super) fn layers(count: usize, width: usize) -> Vec<Vec<usize>> {
    let needs = |job: usize| {
        let (layer, place) = (job / width, job % width);
        let three = [place, (place + 7) % width, (place + 31) % width];
        if layer == 0 { Vec::new() } else { three.map(|place| (layer - 1) * width + place).to_vec() }
    };
    (0..count * width).map(needs).collect()
}
