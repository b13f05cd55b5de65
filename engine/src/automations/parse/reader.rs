//! A TOML document with positions, read key by key under the eyes of [`spec`].

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::super::diagnostic::{Diagnostic, Severity, Source, nearest, suggestion};
use super::super::spec::{self, Key, Table, Type};

/// A value with its place.
pub(crate) type Value<'t> = Spanned<DeValue<'t>>;

/// Where in the file something stands: a path like `automation.x.steps[0].when` leads to the span of
/// its value, quotes included. Only what was read without a mistake is here.
pub(crate) type Sites = BTreeMap<String, Range<usize>>;

/// What reading a file gathers.
pub(crate) struct Ctx<'t> {
    pub(crate) source: Source<'t>,
    pub(crate) diagnostics: Vec<Diagnostic>,
    pub(crate) sites: Sites,
    /// Names of all tables, by kind.
    pub(crate) names: BTreeMap<&'static str, BTreeSet<String>>,
    /// Tables that something names: kind and name.
    pub(crate) used: BTreeSet<(&'static str, String)>,
    /// Kinds of tables of which some name was wrong.
    pub(crate) doubtful: BTreeSet<&'static str>,
}

impl<'t> Ctx<'t> {
    pub(crate) fn new(text: &'t str) -> Ctx<'t> {
        Ctx {
            source: Source { text },
            diagnostics: Vec::new(),
            sites: Sites::new(),
            names: BTreeMap::new(),
            used: BTreeSet::new(),
            doubtful: BTreeSet::new(),
        }
    }

    pub(crate) fn error(&mut self, span: &Range<usize>, message: impl Into<String>) {
        self.diagnostics.push(
            self.source
                .diagnostic(Severity::Error, span, message.into()),
        );
    }

    /// Notes the place of a value that was read without a mistake.
    pub(crate) fn site(&mut self, path: &str, span: &Range<usize>) {
        self.sites.insert(path.to_owned(), span.clone());
    }

    /// The name of a table, checked to exist and marked as used.
    pub(crate) fn reference(
        &mut self,
        span: &Range<usize>,
        kind: &'static str,
        name: &str,
    ) -> Option<String> {
        let known = self.names.get(kind);
        if known.is_some_and(|names| names.contains(name)) {
            self.used.insert((kind, name.to_owned()));
            return Some(name.to_owned());
        }
        let names = known.into_iter().flatten().map(String::as_str);
        let message = format!("no [{kind}.x] called \"{name}\"{}", suggestion(name, names));
        self.doubtful.insert(kind);
        self.error(span, message);
        None
    }
}

/// One table of the file and what the language knows of its kind.
pub(crate) struct Node<'a, 't> {
    pub(crate) spec: &'static Table,
    /// `automation.x`, `automation.x.steps[0]`, `defaults`.
    pub(crate) path: String,
    /// Its header, or its brace.
    pub(crate) header: Range<usize>,
    pub(crate) table: &'a DeTable<'t>,
}

/// A key that is there.
pub(crate) struct Entry<'a, 't> {
    pub(crate) key: &'static Key,
    /// `automation.x.when`.
    pub(crate) path: String,
    pub(crate) value: &'a Value<'t>,
}

impl<'a, 't> Entry<'a, 't> {
    pub(crate) fn span(&self) -> Range<usize> {
        self.value.span()
    }
}

impl<'a, 't> Node<'a, 't> {
    /// The key's value, where the file has it.
    pub(crate) fn get(&self, name: &'static str) -> Option<Entry<'a, 't>> {
        let key = self.spec.key(name)?;
        let value = self.table.get(name)?;
        Some(Entry {
            key,
            path: format!("{}.{name}", self.path),
            value,
        })
    }

    /// Where the value of a key stands; the header where the key is not there.
    pub(crate) fn span_of(&self, name: &'static str) -> Range<usize> {
        self.get(name)
            .map_or_else(|| self.header.clone(), |entry| entry.span())
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.table.contains_key(name)
    }

    /// Reports keys that the table does not have. `also` says which others are right, `others` how to
    /// name them in a list.
    pub(crate) fn unknown_keys(
        &self,
        ctx: &mut Ctx<'t>,
        also: impl Fn(&str) -> bool,
        others: &[&'static str],
    ) {
        for (key, _) in self.table {
            let name: &str = key.get_ref();
            if self.spec.key(name).is_some() || also(name) {
                continue;
            }
            if self.spec.later.contains(&name) {
                ctx.error(
                    &key.span(),
                    format!("{name} is not known yet in this version"),
                );
                continue;
            }
            let known = self
                .spec
                .keys
                .iter()
                .map(|key| key.name)
                .chain(others.iter().copied());
            let inner = spec::INNER.iter().any(|(_, inner)| inner == &self.spec);
            let table = if inner {
                format!("a {}", self.spec.kind)
            } else {
                self.spec.header()
            };
            let message = match nearest(name, known.clone()) {
                Some(near) => format!("unknown key {name}; did you mean {near}?"),
                None => {
                    let known: Vec<&str> = known.collect();
                    format!("unknown key {name}; {table} has {}", known.join(", "))
                }
            };
            ctx.error(&key.span(), message);
        }
        for key in self.spec.keys.iter().filter(|key| key.required) {
            if !self.has(key.name) {
                let message = format!(
                    "{} has no {}: {} = {}",
                    self.path, key.name, key.name, key.example
                );
                ctx.error(&self.header, message);
            }
        }
    }
}

impl<'t> Ctx<'t> {
    /// Says that a value has the wrong type.
    pub(crate) fn wrong_type(&mut self, key: &Key, value: &Value<'t>) {
        let found = match value.get_ref() {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) | DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date without quotes",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let message = format!(
            "{} is {}, not {found}: {} = {}",
            key.name,
            key.value.words(),
            key.name,
            key.example
        );
        self.error(&value.span(), message);
    }

    /// A string in quotes.
    pub(crate) fn string<'a>(&mut self, entry: &Entry<'a, 't>) -> Option<&'a str> {
        let text = entry.value.get_ref().as_str();
        if text.is_none() {
            self.wrong_type(entry.key, entry.value);
        }
        text
    }

    pub(crate) fn bool(&mut self, node: &Node<'_, 't>, name: &'static str) -> Option<bool> {
        let entry = node.get(name)?;
        let value = entry.value.get_ref().as_bool();
        if value.is_none() {
            self.wrong_type(entry.key, entry.value);
        }
        value
    }

    pub(crate) fn int(&mut self, node: &Node<'_, 't>, name: &'static str) -> Option<u32> {
        let entry = node.get(name)?;
        let Type::Int { min, max } = entry.key.value else {
            return None;
        };
        let Some(number) = entry.value.get_ref().as_integer() else {
            self.wrong_type(entry.key, entry.value);
            return None;
        };
        let digits: String = number.as_str().chars().filter(|c| *c != '_').collect();
        let parsed = i128::from_str_radix(&digits, number.radix()).ok();
        let inside = parsed
            .and_then(|value| u32::try_from(value).ok())
            .filter(|value| (min..=max).contains(value));
        if inside.is_none() {
            self.error(
                &entry.span(),
                format!("{name} is a whole number from {min} to {max}, not {digits}"),
            );
        }
        inside
    }

    /// One of the words that the key allows.
    pub(crate) fn word(&mut self, node: &Node<'_, 't>, name: &'static str) -> Option<&'static str> {
        let entry = node.get(name)?;
        let text = self.string(&entry)?;
        let Type::Words(words) = entry.key.value else {
            return None;
        };
        let found = words.iter().copied().find(|word| *word == text);
        if found.is_none() {
            let message = match nearest(text, words.iter().copied()) {
                Some(near) => format!("{name} = \"{text}\": did you mean \"{near}\"?"),
                None => format!("{name} is {}, not \"{text}\"", entry.key.value.words()),
            };
            self.error(&entry.span(), message);
        }
        found
    }

    /// A value that `read` understands, or says why not.
    pub(crate) fn parsed<T>(
        &mut self,
        node: &Node<'_, 't>,
        name: &'static str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let entry = node.get(name)?;
        let text = self.string(&entry)?;
        match read(text) {
            Ok(value) => {
                self.site(&entry.path, &entry.span());
                Some(value)
            }
            Err(said) => {
                self.error(&entry.span(), said);
                None
            }
        }
    }

    /// The name of another table.
    pub(crate) fn name_of(&mut self, node: &Node<'_, 't>, name: &'static str) -> Option<String> {
        let entry = node.get(name)?;
        let text = self.string(&entry)?;
        let (Type::Name(kind) | Type::NameOr(kind, _)) = entry.key.value else {
            return None;
        };
        let found = self.reference(&entry.span(), kind, text)?;
        self.site(&entry.path, &entry.span());
        Some(found)
    }

    /// A list of strings, each with its span; where `single` allows it, one string alone.
    pub(crate) fn strings<'a>(
        &mut self,
        entry: &Entry<'a, 't>,
        single: bool,
    ) -> Vec<(&'a str, Range<usize>)> {
        match entry.value.get_ref() {
            DeValue::String(text) if single => vec![(text.as_ref(), entry.span())],
            DeValue::Array(list) => {
                let mut found = Vec::with_capacity(list.len());
                for element in list.iter() {
                    match element.get_ref() {
                        DeValue::String(text) => found.push((text.as_ref(), element.span())),
                        _ => self.wrong_type(entry.key, element),
                    }
                }
                found
            }
            _ => {
                self.wrong_type(entry.key, entry.value);
                Vec::new()
            }
        }
    }
}

/// What is wrong with the name of a table, where something is.
pub(crate) fn name_problem(kind: &str, name: &str) -> Option<String> {
    let right = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !name.is_empty() && name.chars().all(right) && name.chars().count() <= spec::NAME_CHARS_MAX {
        return None;
    }
    let mended: String = name
        .to_lowercase()
        .chars()
        .map(|c| if right(c) { c } else { '-' })
        .take(spec::NAME_CHARS_MAX)
        .collect();
    let mended = mended.trim_matches('-');
    let rule = format!(
        "names are lower-case letters, digits and -, at most {}",
        spec::NAME_CHARS_MAX
    );
    Some(if mended.is_empty() {
        format!("[{kind}.\"{name}\"]: {rule}")
    } else {
        format!("[{kind}.{name}]: {rule}: write [{kind}.{mended}]")
    })
}

impl Ctx<'_> {
    /// The whole header in which a table's name stands, else the name.
    pub(crate) fn header(&self, name: &Range<usize>) -> Range<usize> {
        let before = self.source.text.get(..name.start).unwrap_or_default();
        let line = before.rfind('\n').map_or(0, |newline| newline + 1);
        let start = self.source.text.get(line..name.start).unwrap_or_default();
        let indent = start.len() - start.trim_start().len();
        if start.trim_start().starts_with('[') {
            line + indent..name.end
        } else {
            name.clone()
        }
    }
}
