//! From the text of a file to its types, with every mistake at once.

mod actions;
mod at;
mod automation;
mod hours;
mod kinds;
mod message;
pub(super) mod places;
mod posts;
mod reader;
mod reply;
mod tables;

use std::collections::{BTreeMap, BTreeSet};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::{Diagnostic, Severity, nearest};
use super::model::{AUTOMATIONS_MAX, Automations, Crm, RecordTable};
use super::spec;
use reader::{Ctx, Node, Value, name_problem};

pub(crate) use message::key_of;
pub(crate) use reader::Sites;

/// What reading a file gives: as much of it as could be understood, and what could not.
pub(crate) struct Parsed {
    pub(crate) automations: Automations,
    pub(crate) sites: Sites,
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// Tables that something names: kind and name.
    pub(crate) used: BTreeSet<(&'static str, String)>,
    /// Kinds of tables of which some name was wrong.
    pub(crate) doubtful: BTreeSet<&'static str>,
    /// Some of it is no TOML.
    pub(crate) broken: bool,
}

/// Reads a file that has passed `callbell check` before it was pushed.
///
/// # Errors
/// Every mistake of the file's grammar. Expressions are not tried here, see [`super::check()`].
pub fn parse(text: &str) -> Result<Automations, Vec<Diagnostic>> {
    let parsed = read(text);
    let wrong = parsed
        .diagnostics
        .iter()
        .any(|one| one.severity == Severity::Error);
    if wrong {
        Err(parsed.diagnostics)
    } else {
        Ok(parsed.automations)
    }
}

pub(crate) fn read(text: &str) -> Parsed {
    let mut ctx = Ctx::new(text);
    let (document, problems) = DeTable::parse_recoverable(text);
    syntax(&mut ctx, &problems);
    let broken: BTreeSet<usize> = ctx.diagnostics.iter().map(|one| one.line).collect();
    let document = document.get_ref();
    let kinds = top_level(&mut ctx, document);
    let automations = Automations {
        defaults: tables::defaults(&mut ctx, document.get("defaults")),
        channels: each(&mut ctx, &kinds, &spec::CHANNEL, tables::channel),
        sources: each(&mut ctx, &kinds, &spec::SOURCE, tables::source),
        hours: each(&mut ctx, &kinds, &spec::HOURS, hours::hours),
        messages: each(&mut ctx, &kinds, &spec::MESSAGE, message::message),
        contacts: each(&mut ctx, &kinds, &spec::CONTACT, actions::contact),
        replies: each(&mut ctx, &kinds, &spec::REPLY, reply::reply),
        slacks: each(&mut ctx, &kinds, &spec::SLACK, actions::slack),
        sheets: each(&mut ctx, &kinds, &spec::SHEET, actions::sheet),
        webhooks: each(&mut ctx, &kinds, &spec::WEBHOOK, actions::webhook),
        records: records(&mut ctx, &kinds),
        opt_out: actions::opt_out(&mut ctx, document.get("opt_out")),
        automations: BTreeMap::new(),
    };
    let automations = Automations {
        automations: each(&mut ctx, &kinds, &spec::AUTOMATION, |ctx, node| {
            automation::automation(ctx, node, &automations)
        }),
        ..automations
    };
    tables::channel_for_each(&mut ctx, document, &automations);
    // A line that is no TOML is read as something that nobody wrote: one report is enough.
    let count = broken.len();
    let mut diagnostics: Vec<Diagnostic> = ctx.diagnostics;
    let syntax: Vec<Diagnostic> = diagnostics.drain(..count.min(diagnostics.len())).collect();
    diagnostics.retain(|one| !broken.contains(&one.line));
    diagnostics.splice(0..0, syntax);
    Parsed {
        automations,
        sites: ctx.sites,
        diagnostics,
        used: ctx.used,
        doubtful: ctx.doubtful,
        broken: !problems.is_empty(),
    }
}

/// Reports what is no TOML.
fn syntax(ctx: &mut Ctx<'_>, problems: &[toml::de::Error]) {
    // The keys of a table that is there twice fall into the first one and repeat its keys.
    let mut within_second = 0;
    for problem in problems {
        let span = problem.span().unwrap_or(0..0);
        let message = problem.message();
        let text = ctx.source.text;
        let name = text.get(span.clone()).unwrap_or_default();
        if message != "duplicate key" {
            ctx.error(&span, format!("this is no TOML: {message}"));
            continue;
        }
        let header = ctx.header(&span);
        if header != span
            || text
                .get(span.end..)
                .is_some_and(|rest| rest.starts_with(']'))
        {
            let next = text.get(span.end..).and_then(|rest| rest.find("\n["));
            within_second = next.map_or(text.len(), |next| span.end + next);
            let kind = text.get(header.start..span.start).unwrap_or_default();
            ctx.error(&header, format!("{kind}{name}] twice: a name is used once"));
        } else if span.start >= within_second {
            ctx.error(&span, format!("{name} twice in one table"));
        }
    }
}

type Kinds<'a, 't> = BTreeMap<&'static str, &'a Spanned<DeValue<'t>>>;

/// Checks the first parts of all headers, and gathers the names of all tables.
fn top_level<'a, 't>(ctx: &mut Ctx<'t>, document: &'a DeTable<'t>) -> Kinds<'a, 't> {
    let mut kinds = Kinds::new();
    for (key, value) in document {
        let name: &str = key.get_ref();
        let Some(table) = spec::TABLES.iter().find(|table| table.kind == name) else {
            unknown_table(ctx, key, value);
            continue;
        };
        if !table.named {
            continue;
        }
        kinds.insert(table.kind, value);
        if let DeValue::Table(tables) = value.get_ref() {
            let names = tables.keys().map(|key| key.get_ref().to_string()).collect();
            ctx.names.insert(table.kind, names);
        }
    }
    kinds
}

fn unknown_table<'t>(
    ctx: &mut Ctx<'t>,
    key: &Spanned<std::borrow::Cow<'t, str>>,
    value: &Value<'t>,
) {
    let name: &str = key.get_ref();
    let span = key.span();
    let known = spec::TABLES.iter().map(|table| table.kind);
    if let Some(near) = nearest(name, known) {
        ctx.error(
            &span,
            format!("unknown table [{name}]; did you mean [{near}]?"),
        );
        return;
    }
    let is_table = matches!(value.get_ref(), DeValue::Table(_) | DeValue::Array(_));
    let message = if !is_table && spec::DEFAULTS.key(name).is_some() {
        format!("{name} stands outside of every table: put it under [defaults]")
    } else if is_table {
        let known: Vec<String> = spec::TABLES.iter().map(|table| table.header()).collect();
        format!("unknown table [{name}]; there are {}", known.join(", "))
    } else {
        format!("{name} stands outside of every table")
    };
    ctx.error(&span, message);
}

/// Reads the tables of all systems that keep records of people.
fn records<'a, 't>(
    ctx: &mut Ctx<'t>,
    kinds: &Kinds<'a, 't>,
) -> BTreeMap<(Crm, String), RecordTable> {
    let mut all = BTreeMap::new();
    for crm in Crm::ALL {
        let Some(table) = spec::TABLES.iter().find(|table| table.kind == crm.as_str()) else {
            continue;
        };
        let found = each(ctx, kinds, table, |ctx, node| {
            actions::record(ctx, node, crm)
        });
        all.extend(found.into_iter().map(|(name, one)| ((crm, name), one)));
    }
    all
}

/// Reads every `[kind.x]`.
fn each<'a, 't, T>(
    ctx: &mut Ctx<'t>,
    kinds: &Kinds<'a, 't>,
    table: &'static spec::Table,
    mut read: impl FnMut(&mut Ctx<'t>, &Node<'a, 't>) -> T,
) -> BTreeMap<String, T> {
    let mut found = BTreeMap::new();
    let kind = table.kind;
    let tables = match kinds.get(kind).map(|value| (value.span(), value.get_ref())) {
        None => return found,
        Some((_, DeValue::Table(tables))) => tables,
        Some((span, DeValue::Array(_))) => {
            ctx.error(
                &span,
                format!("no [[{kind}]]: lists of tables do not exist here, write [{kind}.NAME]"),
            );
            return found;
        }
        Some((span, _)) => {
            ctx.error(
                &span,
                format!("{kind} is a table with a name: [{kind}.NAME]"),
            );
            return found;
        }
    };
    for (index, (key, value)) in tables.iter().enumerate() {
        let name: &str = key.get_ref();
        let header = ctx.header(&key.span());
        let inner = match value.get_ref() {
            DeValue::Table(inner) => inner,
            DeValue::Array(list) if list.iter().any(|one| one.get_ref().is_table()) => {
                let message = format!(
                    "no [[{kind}.{name}]]: lists of tables do not exist here, write [{kind}.{name}]"
                );
                ctx.error(&header, message);
                continue;
            }
            _ if table.key(name).is_some() => {
                ctx.error(
                    &key.span(),
                    format!("[{kind}] needs a name: write [{kind}.NAME] above {name}"),
                );
                continue;
            }
            _ => {
                ctx.error(
                    &key.span(),
                    format!("{kind}.{name} is a table: write [{kind}.{name}]"),
                );
                continue;
            }
        };
        if let Some(problem) = name_problem(kind, name) {
            ctx.error(&header, problem);
        }
        if kind == spec::AUTOMATION.kind && index == AUTOMATIONS_MAX {
            ctx.error(&header, format!("more than {AUTOMATIONS_MAX} automations"));
        }
        let path = format!("{kind}.{name}");
        ctx.site(&path, &header);
        let node = Node {
            spec: table,
            path,
            header,
            table: inner,
        };
        let one = read(ctx, &node);
        found.insert(name.to_owned(), one);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shop_is_read() {
        let text = include_str!("../../../../examples/shop.toml");
        let file = parse(text)
            .unwrap_or_else(|wrong| panic!("{}", super::super::listing("shop.toml", &wrong)));
        assert_eq!(file.defaults.channel.as_deref(), Some("shop"));
        assert_eq!(file.automations.len(), 5);
        assert_eq!(file.automations["abandoned-cart"].steps.len(), 2);
        assert_eq!(
            file.messages["order-shipped"]
                .values
                .as_ref()
                .map(|values| match values {
                    super::super::model::ByLocale::Each(each) => each.len(),
                    super::super::model::ByLocale::All(_) => 0,
                }),
            Some(2)
        );
    }

    const SMALL: &str =
        "[channel.a]\nuuid = \"35f6f8ccb5504278a2ea099f3a4e0730\"\n[message.m]\ntext = \"Oi\"\n";

    #[test]
    fn line_ends_and_byte_order_marks_of_windows_are_read() {
        let text = format!("\u{feff}{SMALL}[automation.x]\non = \"order.pai\"\nmessage = \"m\"\n");
        for text in [text.clone(), text.replace('\n', "\r\n")] {
            let wrong = parse(&text).expect_err("an unknown event");
            let one = wrong.first().expect("a mistake");
            assert_eq!((wrong.len(), one.line, one.column), (1, 6, 6), "{wrong:?}");
        }
    }

    #[test]
    fn two_hundred_automations_are_enough() {
        let many = |count: usize| {
            let each = |i| format!("[automation.a{i}]\non = \"order.paid\"\nmessage = \"m\"\n");
            SMALL.to_owned() + &(0..count).map(each).collect::<String>()
        };
        assert!(parse(&many(AUTOMATIONS_MAX)).is_ok());
        let wrong = parse(&many(AUTOMATIONS_MAX + 1)).expect_err("one too many");
        assert_eq!(
            wrong.first().map(|one| one.message.as_str()),
            Some("more than 200 automations")
        );
    }

    /// The model keeps what the file says, in the units that workers use.
    #[test]
    fn values_arrive_in_the_model() {
        use super::super::model::{Consent, OnceScope, SendHours, Span};
        let text = SMALL.to_owned()
            + r#"
[defaults]
give_up_after = "3d"
locale_by_country = { br = "pt-br" }
only_to = ["+55 11 98765-4321"]
[hours.day]
fri-mon = ["14:00-24:00", "09:00-13:00"]
closed = [2026-12-25]
[automation.x]
on = ["order.created", "order.paid"]
source = "shopify"
once = "customer every 2w"
consent = true
send_hours = "day"
to = "{{ order.shipping_address.phone }}"
message = "m"
at = "order.created_at + 90m"
"#;
        let file =
            parse(&text).unwrap_or_else(|wrong| panic!("{}", super::super::listing("x", &wrong)));
        assert_eq!(file.defaults.give_up_after, Some(Span::Days(3)));
        assert_eq!(file.defaults.locale_by_country["BR"], "pt-BR");
        assert_eq!(
            file.defaults.only_to,
            Some(vec!["+5511987654321".to_owned()])
        );
        let hours = &file.hours["day"];
        assert_eq!(hours.week.len(), 4);
        assert!(
            hours
                .week
                .values()
                .all(|spans| spans.len() == 2 && spans[0].to <= spans[1].from)
        );
        assert_eq!(hours.dates.values().map(Vec::len).collect::<Vec<_>>(), [0]);
        let one = &file.automations["x"];
        assert_eq!(
            (one.once.scope, one.once.every),
            (OnceScope::Customer, Some(Span::Days(14)))
        );
        assert!(matches!(one.consent, Some(Consent::Held)));
        assert_eq!(one.send_hours, Some(SendHours::Named("day".to_owned())));
        assert_eq!(one.steps.len(), 1);
        assert_eq!(
            one.steps[0].at.as_ref().and_then(|at| at.field.as_deref()),
            Some("order.created_at")
        );
        // The automation's own keys are not repeated on its only step.
        assert!(one.to.is_some() && one.steps[0].to.is_none());
    }

    /// A key of the specification that the parser never looked at would be accepted and ignored.
    #[test]
    fn every_key_is_read() {
        let inner = spec::INNER.iter().map(|(_, table)| *table);
        for table in spec::TABLES.iter().copied().chain(inner) {
            for key in table.keys {
                let wrong = format!("{} = 2026-11-22", key.name);
                let text = match table.kind {
                    "step" => format!(
                        "[automation.x]\non = \"order.paid\"\nsteps = [{{ message = \"m\", {wrong} }}]\n"
                    ),
                    "rule" => format!("[reply.x]\nrules = [{{ {wrong} }}]\n"),
                    "hmac" => format!("[source.x]\nkind = \"webhook\"\nhmac = {{ {wrong} }}\n"),
                    // A time without an action has nothing to wait for.
                    kind if key.name == "at" => format!("[{kind}.x]\nmessage = \"m\"\n{wrong}\n"),
                    kind if table.named => format!("[{kind}.x]\n{wrong}\n"),
                    kind => format!("[{kind}]\n{wrong}\n"),
                };
                // The action of a step is there already: a second one is no TOML.
                let said = parse(&text).err().unwrap_or_default();
                let about = |one: &Diagnostic| one.message.starts_with(key.name);
                assert!(
                    said.iter().any(about),
                    "{}.{}: {said:?}",
                    table.kind,
                    key.name
                );
            }
        }
    }
}
