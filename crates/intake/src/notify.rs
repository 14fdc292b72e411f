//! What the settings say about telling people that a question waits.

use dayshift_core::notify::{NOTIFY_TIMEOUT, NOTIFY_TIMEOUT_MAX, Notify};
use dayshift_core::time::Millis;

use crate::config::{Origin, Setting};
use crate::fields::Fields;
use crate::sink::{Sink, code};
use crate::tables::NOTIFY;
use crate::tree::{Entry, Pos};

/// What one layer says, or all of them together; what it is silent about is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NotifySettings {
    command: Option<Setting<String>>,
    timeout: Option<Setting<Millis>>,
    pass_env: Option<Setting<Vec<String>>>,
}

impl NotifySettings {
    /// Reads the section `entry` of a file of settings; `place` says where a position is.
    pub(crate) fn read(sink: &mut Sink<'_>, entry: &Entry, place: impl Fn(Pos) -> Origin) -> Self {
        let fields = Fields::new(&entry.value, &NOTIFY);
        if let Some(entry) = fields.entry("timeout")
            && fields.duration("timeout").is_some_and(|time| time > NOTIFY_TIMEOUT_MAX)
        {
            let message = format!("`timeout` is at most {NOTIFY_TIMEOUT_MAX} here");
            sink.error_hint(
                entry.value.pos,
                code::BAD_VALUE,
                message,
                "notices wait for each other: let none take long",
            );
        }
        let origin = |name: &str| fields.entry(name).map_or(Origin::BuiltIn, |entry| place(entry.pos));
        Self {
            command: fields
                .text("command")
                .map(|line| Setting::new(line.trim().to_owned(), origin("command"))),
            timeout: fields.duration("timeout").map(|time| Setting::new(time, origin("timeout"))),
            pass_env: fields
                .entry("pass_env")
                .map(|entry| Setting::new(fields.words("pass_env"), place(entry.pos))),
        }
    }

    /// These settings with `layer` on top.
    #[must_use]
    pub(crate) fn with(self, layer: Self) -> Self {
        Self {
            command: layer.command.or(self.command),
            timeout: layer.timeout.or(self.timeout),
            pass_env: layer.pass_env.or(self.pass_env),
        }
    }

    /// What holds; `None` where there is no command.
    pub fn notify(&self) -> Option<Notify> {
        Some(Notify {
            command: self.command.as_ref()?.value.clone(),
            timeout: self.timeout.as_ref().map_or(NOTIFY_TIMEOUT, |time| time.value),
            pass_env: self.pass_env.as_ref().map(|names| names.value.clone()).unwrap_or_default(),
        })
    }

    /// Every setting as name, value and origin.
    pub(crate) fn rows(&self) -> Vec<(String, String, Origin)> {
        fn row<T>(
            name: &str,
            setting: Option<&Setting<T>>,
            told: impl Fn(&T) -> String,
            built_in: &str,
        ) -> (String, String, Origin) {
            let value = setting.map_or_else(|| built_in.to_owned(), |setting| told(&setting.value));
            let origin = setting.map_or(Origin::BuiltIn, |setting| setting.origin.clone());
            (format!("notify.{name}"), value, origin)
        }
        let names = |names: &Vec<String>| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        vec![
            row("command", self.command.as_ref(), String::clone, "none"),
            row("timeout", self.timeout.as_ref(), Millis::to_string, &NOTIFY_TIMEOUT.to_string()),
            row("pass_env", self.pass_env.as_ref(), names, "none"),
        ]
    }
}
