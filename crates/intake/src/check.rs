//! Holds a tree against the table of keys. Finds every wrong form in one pass; what the
//! values mean together is judged afterwards, by code that trusts nothing here.

use crate::form::{Form, Key, Table};
use crate::nearest::nearest;
use crate::secret;
use crate::sink::{Sink, code};
use crate::tables::LEVELS;
use crate::tree::{Entry, Kind, Node, Pos};
use crate::value;

/// How many entries one list or mapping may have.
pub(crate) const ENTRIES_MAX: usize = 10_000;

/// Reports every value in `node` that is not of `form`; `what` names it, such as `` `risk` ``.
pub(crate) fn check(sink: &mut Sink<'_>, node: &Node, form: Form, what: &str) {
    match form {
        Form::Table(table) => check_table(sink, node, table),
        Form::Either(plain, table) => match node.kind {
            Kind::Map(_) => check_table(sink, node, table),
            _ => check(sink, node, *plain, what),
        },
        Form::List(item) => check_list(sink, node, *item, what),
        Form::Lines if matches!(node.kind, Kind::List(_)) => check_list(sink, node, Form::Line, what),
        // A mapping is looked at where it is read.
        Form::Schema if matches!(node.kind, Kind::Map(_)) => {}
        Form::Schema | Form::Lines => check_plain(sink, node, Form::Line, what),
        Form::Named(item) => check_named(sink, node, *item, what),
        Form::Variables => check_variables(sink, node, what),
        _ => check_plain(sink, node, form, what),
    }
}

fn check_table(sink: &mut Sink<'_>, node: &Node, table: &'static Table) {
    let Kind::Map(entries) = &node.kind else {
        let message =
            format!("{} must be a mapping of keys and values, found {}", table.what, node.describe());
        return sink.error_hint(
            node.pos,
            code::WRONG_TYPE,
            message,
            format!("its keys are {}", listed(table)),
        );
    };
    repeated_keys(sink, entries, Some(table));
    for entry in entries {
        match table.key(&entry.key) {
            Some(key) => check_key(sink, entry, key),
            None => unknown_key(sink, entry, table),
        }
    }
    for required in table.required {
        let found =
            entries.iter().any(|entry| table.key(&entry.key).is_some_and(|key| key.name == *required));
        if !found {
            missing_key(sink, node.pos, entries, table, required);
        }
    }
}

fn check_key(sink: &mut Sink<'_>, entry: &Entry, key: &'static Key) {
    if !key.acted {
        let message = format!("`{}` is accepted but not acted on yet", entry.key);
        sink.warning(entry.pos, code::NOTICE, message);
    }
    check(sink, &entry.value, key.form, &format!("`{}`", entry.key));
}

fn missing_key(sink: &mut Sink<'_>, pos: Pos, entries: &[Entry], table: &Table, required: &str) {
    // An unknown key that was meant to be this one already says what to do.
    let misspelt = entries
        .iter()
        .any(|entry| table.key(&entry.key).is_none() && nearest(&entry.key, table.names()) == Some(required));
    if !misspelt {
        let doc = table.key(required).map_or("", |key| key.doc);
        let message = format!("{} has no `{required}`", table.what);
        sink.error_hint(pos, code::MISSING_KEY, message, format!("add `{required}`: {}", lower_first(doc)));
    }
}

fn lower_first(sentence: &str) -> String {
    let mut letters = sentence.trim_end_matches('.').chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

fn unknown_key(sink: &mut Sink<'_>, entry: &Entry, table: &Table) {
    let message = format!("unknown key `{}` in {}", entry.key, table.what);
    let hint = match nearest(&entry.key, table.names()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("the keys of {} are {}", table.what, listed(table)),
    };
    sink.error_hint(entry.pos, code::UNKNOWN_KEY, message, hint);
}

fn listed(table: &Table) -> String {
    table.keys.iter().map(|key| key.name).collect::<Vec<_>>().join(", ")
}

/// Reports keys that stand twice, under one name or under two names of the same thing.
fn repeated_keys(sink: &mut Sink<'_>, entries: &[Entry], table: Option<&'static Table>) {
    let mut seen: std::collections::BTreeMap<&str, &Entry> = std::collections::BTreeMap::new();
    for entry in entries {
        let name = table.and_then(|table| table.key(&entry.key)).map_or(entry.key.as_str(), |key| key.name);
        let Some(first) = seen.get(name) else {
            seen.insert(name, entry);
            continue;
        };
        let message = if first.key == entry.key {
            format!("the key `{}` stands twice", entry.key)
        } else {
            format!("`{}` and `{}` are two names of the same key", first.key, entry.key)
        };
        let hint = format!("keep one; the first is on line {}", first.pos.line);
        sink.error_hint(entry.pos, code::DUPLICATE_KEY, message, hint);
    }
}

fn check_list(sink: &mut Sink<'_>, node: &Node, item: Form, what: &str) {
    let items = match &node.kind {
        Kind::List(items) => items,
        Kind::Null => return,
        _ => {
            let hint = match value::text(node) {
                Some(text) if !text.contains('\n') => format!("write it as a list: [{text}]"),
                _ => "write it as a list, each item on a line of its own after `- `".to_owned(),
            };
            let message = format!("{what} must be a list, found {}", node.describe());
            return sink.error_hint(node.pos, code::WRONG_TYPE, message, hint);
        }
    };
    if items.len() > ENTRIES_MAX {
        let message = format!("{what} has {} entries; {ENTRIES_MAX} are allowed", items.len());
        return sink.error(node.pos, code::TOO_LARGE, message);
    }
    let what = format!("an entry of {what}");
    for entry in items {
        check(sink, entry, item, &what);
    }
}

fn check_named(sink: &mut Sink<'_>, node: &Node, item: Form, what: &str) {
    let entries = match &node.kind {
        Kind::Map(entries) => entries,
        Kind::Null => return,
        _ => {
            let message = format!("{what} must be a mapping of names, found {}", node.describe());
            return sink.error_hint(
                node.pos,
                code::WRONG_TYPE,
                message,
                "write `name: value` lines below it",
            );
        }
    };
    if entries.len() > ENTRIES_MAX {
        let message = format!("{what} has {} entries; {ENTRIES_MAX} are allowed", entries.len());
        return sink.error(node.pos, code::TOO_LARGE, message);
    }
    repeated_keys(sink, entries, None);
    for entry in entries {
        if !value::is_id(&entry.key) {
            let message = format!("`{}` cannot be a name", entry.key);
            sink.error_hint(entry.pos, code::BAD_VALUE, message, ID_HINT);
        }
        check(sink, &entry.value, item, &format!("`{}`", entry.key));
    }
}

fn check_variables(sink: &mut Sink<'_>, node: &Node, what: &str) {
    let entries = match &node.kind {
        Kind::Map(entries) => entries,
        Kind::Null => return,
        _ => {
            let message = format!("{what} must be a mapping of variables, found {}", node.describe());
            return sink.error_hint(
                node.pos,
                code::WRONG_TYPE,
                message,
                "write `NAME: value` lines below it",
            );
        }
    };
    repeated_keys(sink, entries, None);
    for entry in entries {
        variable_name(sink, entry.pos, &entry.key);
        match value::text(&entry.value) {
            Some(text) if secret::looks_like_one(text) => {
                let message = format!("the value of `{}` looks like a key", entry.key);
                let hint = format!(
                    "take it out of the file, set it in your environment and write `pass_env: [{}]`",
                    entry.key
                );
                sink.error_hint(entry.pos, code::SECRET, message, hint);
            }
            Some(text) if text.contains('\0') => {
                sink.error(
                    entry.value.pos,
                    code::BAD_VALUE,
                    format!("the value of `{}` holds a NUL", entry.key),
                );
            }
            Some(_) => {}
            None => {
                let message =
                    format!("the value of `{}` must be text, found {}", entry.key, entry.value.describe());
                sink.error_hint(entry.value.pos, code::WRONG_TYPE, message, "an empty value is written \"\"");
            }
        }
    }
}

fn variable_name(sink: &mut Sink<'_>, pos: Pos, name: &str) {
    if !value::is_variable(name) {
        let message = format!("`{name}` cannot be the name of an environment variable");
        sink.error_hint(pos, code::BAD_VALUE, message, "use letters, digits and `_`, no digit first");
    } else if name.starts_with("DAYSHIFT_") {
        let message = format!("`{name}` is a variable that dayshift sets itself");
        sink.error_hint(pos, code::BAD_VALUE, message, "choose another name");
    }
}

const ID_HINT: &str = "use letters, digits, `.`, `_` and `-`, a letter or digit first, at most 64 in all; no `..`, no `.lock` or `.` at the end, not an id like T1";

fn check_plain(sink: &mut Sink<'_>, node: &Node, form: Form, what: &str) {
    if node.kind == Kind::Null {
        let hint = "write a value, or leave the key out";
        return sink.error_hint(node.pos, code::WRONG_TYPE, format!("{what} has no value"), hint);
    }
    if matches!(node.kind, Kind::List(_) | Kind::Map(_)) {
        let message = format!("{what} must be {}, found {}", expected(form), node.describe());
        return sink.error(node.pos, code::WRONG_TYPE, message);
    }
    if value::text(node).is_some_and(|text| text.contains('\0')) {
        let hint = "take it out: no program can be handed one";
        return sink.error_hint(node.pos, code::BAD_VALUE, format!("{what} holds a NUL character"), hint);
    }
    match fault(node, form) {
        Fault::None => {}
        Fault::Form(hint) => {
            let (code, kind) = if is_text_where_a_number_belongs(node, form) {
                (code::WRONG_TYPE, "the text ")
            } else {
                (code::BAD_VALUE, "")
            };
            let message = format!("{what} must be {}, found {kind}{}", expected(form), node.describe());
            sink.error_hint(node.pos, code, message, hint);
        }
        Fault::Path(fault) => {
            let named = value::text(node).filter(|text| !text.trim().is_empty());
            let named = named.map_or_else(String::new, |path| format!(": `{path}`"));
            let message = format!("{what}{named} {fault}");
            sink.error_hint(
                node.pos,
                code::OUTSIDE,
                message,
                "give a path inside the repository, without `..`",
            );
        }
    }
}

enum Fault {
    None,
    /// The value has not the form; the hint.
    Form(String),
    /// The path cannot be used; why.
    Path(&'static str),
}

fn fault(node: &Node, form: Form) -> Fault {
    let text = value::text(node).unwrap_or_default();
    let fits = |fits: bool, hint: &str| if fits { Fault::None } else { Fault::Form(hint.to_owned()) };
    match form {
        Form::Text => fits(!text.trim().is_empty(), "write some text, or leave the key out"),
        Form::Line => {
            fits(!text.trim().is_empty() && !text.trim_end().contains('\n'), "write one line of text")
        }
        Form::Id => fits(value::is_id(text), ID_HINT),
        Form::Date => fits(value::is_date(text), "write the day as 2026-11-20"),
        Form::Money => fits(value::money(node).is_some(), "write dollars as a number, such as 12.50"),
        Form::Share => fits(value::share(node).is_some(), "write it as 0.75"),
        Form::Count { max } => {
            fits(value::count(node, max).is_some(), &format!("write a whole number from 1 to {max}"))
        }
        Form::FromZero { max } => {
            fits(value::from_zero(node, max).is_some(), &format!("write a whole number from 0 to {max}"))
        }
        Form::Tokens => fits(value::tokens(node).is_some(), "write a whole number such as 500000"),
        Form::Duration => {
            fits(value::duration(node).is_some(), "write 300ms, 20m, 4h or 1h30m, or seconds as a number")
        }
        Form::Bool => fits(matches!(node.kind, Kind::Bool(_)), "write true or false"),
        Form::OneOf(words) => one_of(text, words),
        Form::Path => value::path_fault(text).map_or(Fault::None, Fault::Path),
        Form::Deliverable => {
            value::path_fault(updated(text).unwrap_or(text)).map_or(Fault::None, Fault::Path)
        }
        Form::Variable => fits(
            value::is_variable(text) && !text.starts_with("DAYSHIFT_"),
            "give only the name; its value comes from your environment",
        ),
        Form::List(_)
        | Form::Lines
        | Form::Schema
        | Form::Named(_)
        | Form::Variables
        | Form::Table(_)
        | Form::Either(..) => Fault::None,
    }
}

/// The path in `Updated PATH`.
pub(crate) fn updated(text: &str) -> Option<&str> {
    let rest = text.strip_prefix("Updated").or_else(|| text.strip_prefix("updated"))?;
    let path = rest.trim_start();
    (path.len() < rest.len() && !path.is_empty()).then_some(path)
}

fn one_of(text: &str, words: &[&'static str]) -> Fault {
    if words.contains(&text) {
        return Fault::None;
    }
    let choices = words.join(", ");
    // The legend copied as it stands in a documentation.
    if text.contains('|') && text.split('|').all(|word| words.contains(&word.trim())) {
        let legend = if words == LEVELS { "low, medium, high" } else { &choices };
        return Fault::Form(format!(
            "choose one of {legend}; the line in the documentation lists the choices"
        ));
    }
    Fault::Form(match nearest(text, words.iter().copied()) {
        Some(word) => format!("did you mean `{word}`?"),
        None => format!("choose one of {choices}"),
    })
}

fn is_text_where_a_number_belongs(node: &Node, form: Form) -> bool {
    let is_number = matches!(
        form,
        Form::Money | Form::Share | Form::Count { .. } | Form::FromZero { .. } | Form::Tokens | Form::Bool
    );
    is_number && matches!(&node.kind, Kind::Text(text) if !text.trim().is_empty())
}

/// What a form wants, in words.
fn expected(form: Form) -> String {
    match form {
        Form::Text => "text".to_owned(),
        Form::Line => "one line of text".to_owned(),
        Form::Id => "an id".to_owned(),
        Form::Date => "a day".to_owned(),
        Form::Money => "an amount in dollars of zero or more".to_owned(),
        Form::Share => "a share from 0 to 1".to_owned(),
        Form::Count { max } => format!("a whole number from 1 to {max}"),
        Form::FromZero { max } => format!("a whole number from 0 to {max}"),
        Form::Tokens => "a number of tokens".to_owned(),
        Form::Duration => "a span of time above zero and at most 30 days".to_owned(),
        Form::Bool => "true or false".to_owned(),
        Form::OneOf(words) => either(words),
        Form::Path => "a path".to_owned(),
        Form::Deliverable => "a path, or `Updated` and a path".to_owned(),
        Form::Variable => "the name of an environment variable".to_owned(),
        Form::List(_) => "a list".to_owned(),
        Form::Lines => "one line of text, or a list of such".to_owned(),
        Form::Schema => "a JSON Schema".to_owned(),
        Form::Named(_) | Form::Variables | Form::Table(_) | Form::Either(..) => "a mapping".to_owned(),
    }
}

/// `low, medium or high`.
fn either(words: &[&str]) -> String {
    match words {
        [all @ .., last] if !all.is_empty() => format!("{} or {last}", all.join(", ")),
        _ => words.concat(),
    }
}
