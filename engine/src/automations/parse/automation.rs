//! `[automation.x]` and its steps.

use std::collections::BTreeSet;
use std::ops::Range;

use jiff::SignedDuration;
use shared::event::{Name, SubjectKind};
use toml::de::DeValue;

use super::super::diagnostic::nearest;
use super::super::model::{
    Action, ActionKind, At, Automation, Automations, Consent, Offset, Once, OnceScope, STEPS_MAX,
    SendHours, Span, Step, Text,
};
use super::super::{fields, spec, syntax};
use super::message::{expr, text};
use super::reader::{Ctx, Entry, Node};
use super::{at, tables};

/// Least wait after an abandoned checkout: without it buyers would be messaged while they type.
const CHECKOUT_WAIT_MIN: SignedDuration = SignedDuration::from_mins(15);

pub(super) fn automation<'t>(
    ctx: &mut Ctx<'t>,
    node: &Node<'_, 't>,
    file: &Automations,
) -> Automation {
    node.unknown_keys(ctx, |_| false, &[]);
    let on = events(ctx, node, "on");
    let source = source(ctx, node, &on, file);
    let when = node.get("when").and_then(|entry| expr(ctx, &entry));
    let country = file.defaults.country.as_deref();
    let steps = steps(ctx, node, &on, country);
    let stop_on = stop_on(ctx, node);
    Automation {
        source,
        when,
        enabled: ctx.bool(node, "enabled").unwrap_or(true),
        consent: consent(ctx, node),
        stop_on,
        once: once(ctx, node, &on),
        send_hours: send_hours(ctx, node),
        give_up_after: tables::give_up_after(ctx, node),
        if_unknown: tables::if_unknown(ctx, node),
        channel: ctx.name_of(node, "channel"),
        locale: node.get("locale").and_then(|entry| locale(ctx, &entry)),
        to: node
            .get("to")
            .and_then(|entry| recipient(ctx, &entry, country)),
        steps,
        on,
    }
}

/// The events of `on` or `stop_on`.
fn events<'t>(ctx: &mut Ctx<'t>, node: &Node<'_, 't>, key: &'static str) -> Vec<Name> {
    let Some(entry) = node.get(key) else {
        return Vec::new();
    };
    let before = ctx.diagnostics.len();
    let mut found = Vec::new();
    for (text, span) in ctx.strings(&entry, true) {
        match Name::parse(text) {
            Some(name) if found.contains(&name) => ctx.error(&span, format!("{text} twice")),
            Some(name) => found.push(name),
            None => {
                let message = unknown_event(text);
                ctx.error(&span, message);
            }
        }
    }
    if found.is_empty() && ctx.diagnostics.len() == before && key == "on" {
        ctx.error(&entry.span(), "on names no event: on = \"order.paid\"");
    }
    found
}

fn unknown_event(text: &str) -> String {
    let names = || {
        Name::ALL
            .iter()
            .filter(|name| !name.is_internal())
            .map(|name| name.as_str())
    };
    if text.contains('*') {
        return format!(
            "\"{text}\": no patterns: name each event, [\"order.created\", \"order.paid\"]"
        );
    }
    match nearest(text, names()) {
        Some(near) => format!("unknown event \"{text}\": did you mean {near}?"),
        None => format!(
            "unknown event \"{text}\"; there are: {}",
            names().collect::<Vec<_>>().join(", ")
        ),
    }
}

fn source<'t>(
    ctx: &mut Ctx<'t>,
    node: &Node<'_, 't>,
    on: &[Name],
    file: &Automations,
) -> Vec<String> {
    let Some(entry) = node.get("source") else {
        return Vec::new();
    };
    let found = tables::sources(ctx, &entry);
    for (name, span) in &found {
        let kind = file
            .sources
            .get(name)
            .map_or(name.as_str(), |source| source.kind.as_str());
        let Some(provider) = shared::sources::by_kind(kind) else {
            continue;
        };
        for event in on.iter().filter(|event| !provider.events().contains(event)) {
            ctx.error(span, format!("{name} never makes {event}"));
        }
    }
    found.into_iter().map(|(name, _)| name).collect()
}

fn stop_on<'t>(ctx: &mut Ctx<'t>, node: &Node<'_, 't>) -> Vec<Name> {
    let found = events(ctx, node, "stop_on");
    let Some(entry) = node.get("stop_on") else {
        return found;
    };
    let waits = node.has("at")
        || node.get("steps").is_some_and(|steps| {
            let steps = steps.value.get_ref().as_array();
            steps
                .into_iter()
                .flat_map(|list| list.iter())
                .any(|step| step.get_ref().get("at").is_some())
        });
    if !waits {
        ctx.error(&entry.span(), "stop_on: no step has an at: nothing to stop");
    }
    found
}

fn consent<'t>(ctx: &mut Ctx<'t>, node: &Node<'_, 't>) -> Option<Consent> {
    let entry = node.get("consent")?;
    match entry.value.get_ref() {
        DeValue::Boolean(true) => return Some(Consent::Held),
        DeValue::Boolean(false) => {
            ctx.error(
                &entry.span(),
                "consent = false would never send: write enabled = false, or leave the message out",
            );
            return None;
        }
        _ => {}
    }
    let found = expr(ctx, &entry)?;
    let hidden = syntax::expression(&found.0).is_ok_and(|uses| {
        uses.fields
            .iter()
            .any(|field| field.path.starts_with("form.hidden"))
    });
    if hidden {
        ctx.error(
            &entry.span(),
            "consent names form.hidden: typed by the visitor, proves nothing",
        );
        return None;
    }
    Some(Consent::Expr(found))
}

fn send_hours<'t>(ctx: &mut Ctx<'t>, node: &Node<'_, 't>) -> Option<SendHours> {
    let entry = node.get("send_hours")?;
    if entry.value.get_ref().as_str() == Some("any") {
        return Some(SendHours::Any);
    }
    ctx.name_of(node, "send_hours").map(SendHours::Named)
}

/// `to`: a literal number must be valid.
fn recipient<'t>(ctx: &mut Ctx<'t>, entry: &Entry<'_, 't>, country: Option<&str>) -> Option<Text> {
    let found = text(ctx, entry)?;
    if !syntax::is_literal(&found.0) {
        return Some(found);
    }
    if let Err(said) = tables::phone(&found.0, country) {
        let message = match syntax::expression(&found.0) {
            Ok(uses) if uses.fields.iter().any(|field| field.path.contains('.')) => {
                format!("to is a text: to = \"{{{{ {} }}}}\"", found.0)
            }
            _ => said,
        };
        ctx.error(&entry.span(), message);
        return None;
    }
    Some(found)
}

/// `locale` of an automation: a literal must be one.
fn locale<'t>(ctx: &mut Ctx<'t>, entry: &Entry<'_, 't>) -> Option<Text> {
    let found = text(ctx, entry)?;
    if !syntax::is_literal(&found.0) {
        return Some(found);
    }
    match super::places::locale(&found.0) {
        Ok(locale) => Some(Text(locale)),
        Err(said) => {
            ctx.error(&entry.span(), said);
            None
        }
    }
}

fn once<'t>(ctx: &mut Ctx<'t>, node: &Node<'_, 't>, on: &[Name]) -> Once {
    // A parcel makes its event again when its tracking appears, and some systems tell of a person that came
    // into being whenever it is subscribed anew.
    let unless_told = if matches!(on, [Name::OrderShipped | Name::LeadCreated]) {
        OnceScope::Subject
    } else {
        OnceScope::Event
    };
    let default = Once {
        scope: unless_told,
        every: None,
    };
    ctx.parsed(node, "once", |text| read_once(text, on))
        .unwrap_or(default)
}

fn read_once(text: &str, on: &[Name]) -> Result<Once, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (scope, every) = match words.as_slice() {
        [scope] => (*scope, None),
        [scope, "every", duration] => (
            *scope,
            Some(at::duration(duration).map_err(|said| format!("once: {said}"))?),
        ),
        [_, "every", number, unit] => {
            return Err(format!(
                "once: {}",
                at::duration(&format!("{number} {unit}"))
                    .err()
                    .unwrap_or_default()
            ));
        }
        _ => {
            return Err(format!(
                "once = \"{text}\": write \"event\", the subject, or \"customer\", and every 7d where it may come again"
            ));
        }
    };
    let scope = match scope {
        "event" => OnceScope::Event,
        "customer" => OnceScope::Customer,
        subject => {
            for event in on {
                let right = event.subject().as_str();
                if right != subject {
                    let family = family(*event);
                    return Err(format!(
                        "once: {family} has the subject \"{right}\", not \"{subject}\""
                    ));
                }
            }
            OnceScope::Subject
        }
    };
    Ok(Once { scope, every })
}

/// The events that share a subject, as people speak of them.
fn family(event: Name) -> String {
    match event.subject() {
        SubjectKind::Order => "order.*".to_owned(),
        SubjectKind::Checkout => "checkout.*".to_owned(),
        SubjectKind::Appointment => "appointment.*".to_owned(),
        SubjectKind::Contact => "contact.*".to_owned(),
        SubjectKind::Conversation => "conversation.*".to_owned(),
        SubjectKind::Message => "message.*".to_owned(),
        SubjectKind::Lead => "lead.*".to_owned(),
        SubjectKind::Deal => "deal.*".to_owned(),
        SubjectKind::Shipment
        | SubjectKind::Form
        | SubjectKind::Email
        | SubjectKind::Custom
        | SubjectKind::Job
        | SubjectKind::Source
        | SubjectKind::Privacy => event.to_string(),
    }
}

/// The actions that a table names.
fn actions(node: &Node<'_, '_>) -> Vec<ActionKind> {
    let mut all = ActionKind::ALL.to_vec();
    all.retain(|kind| node.has(kind.as_str()));
    all
}

fn count(number: usize) -> String {
    match number {
        2 => "two".to_owned(),
        more => more.to_string(),
    }
}

/// A chatbot answers what a person wrote, at once, and by the channel on which they wrote.
fn only_answers<'t>(ctx: &mut Ctx<'t>, node: &Node<'_, 't>, on: &[Name]) {
    let span = node.span_of(ActionKind::Reply.as_str());
    if let Some(event) = on.iter().find(|event| **event != Name::MessageReceived) {
        ctx.error(
            &span,
            format!("reply answers message.received alone, not {event}"),
        );
    }
    for (key, why) in [
        (
            "at",
            "reply answers at once: how long it waits for the rest of a burst is its gather",
        ),
        ("to", "reply answers whoever wrote: to is for other actions"),
        (
            "channel",
            "reply leaves by the channel on which the person wrote: channel is for other actions",
        ),
    ] {
        if let Some(entry) = node.get(key) {
            ctx.error(&entry.span(), why);
        }
    }
}

/// The steps of an automation; a single action is one.
fn steps<'t>(
    ctx: &mut Ctx<'t>,
    node: &Node<'_, 't>,
    on: &[Name],
    country: Option<&str>,
) -> Vec<Step> {
    let actions = actions(node);
    let Some(entry) = node.get("steps") else {
        match actions.as_slice() {
            [] => {
                let message = format!(
                    "{} does nothing: message = \"NAME\", or steps = [ … ]",
                    node.path
                );
                ctx.error(&node.header, message);
                return Vec::new();
            }
            [_] => {}
            [_, _, ..] => ctx.error(
                &node.header,
                format!(
                    "{} has {} actions: use steps = [ … ] for several actions",
                    node.path,
                    count(actions.len())
                ),
            ),
        }
        return step(ctx, node, on, false, country).into_iter().collect();
    };
    if !actions.is_empty() {
        let message = format!(
            "{} has an action beside steps: use steps = [ … ] for several actions",
            node.path
        );
        ctx.error(&node.header, message);
    }
    if let Some(at) = node.get("at") {
        ctx.error(&at.span(), "at stands beside steps: each step has its own");
    }
    let Some(list) = entry.value.get_ref().as_array() else {
        ctx.wrong_type(entry.key, entry.value);
        return Vec::new();
    };
    if list.is_empty() {
        ctx.error(
            &entry.span(),
            format!("{} has no step: steps = {}", node.path, entry.key.example),
        );
    }
    if list.len() > STEPS_MAX {
        ctx.error(
            &entry.span(),
            format!(
                "{} has {} steps: at most {STEPS_MAX}",
                node.path,
                list.len()
            ),
        );
    }
    let mut found: Vec<Step> = Vec::new();
    let mut keys = BTreeSet::new();
    for value in list.iter() {
        let DeValue::Table(table) = value.get_ref() else {
            ctx.wrong_type(entry.key, value);
            continue;
        };
        // Numbered as the model has them: a step that cannot be read is not in it.
        let path = format!("{}.steps[{}]", node.path, found.len());
        ctx.site(&path, &value.span());
        let inner = Node {
            spec: &spec::STEP,
            path,
            header: value.span(),
            table,
        };
        inner.unknown_keys(ctx, |_| false, &[]);
        let Some(one) = step(ctx, &inner, on, true, country) else {
            continue;
        };
        if !keys.insert(one.action.key()) {
            let message = format!(
                "{} twice in {}: a job's key needs each action once",
                one.action.key(),
                node.path
            );
            ctx.error(&value.span(), message);
        }
        found.push(one);
    }
    found
}

/// One step; not `in_list` where the automation itself is the step. `country` reads a literal `to`.
fn step<'t>(
    ctx: &mut Ctx<'t>,
    node: &Node<'_, 't>,
    on: &[Name],
    in_list: bool,
    country: Option<&str>,
) -> Option<Step> {
    let actions = actions(node);
    if in_list {
        match actions.as_slice() {
            [] => {
                let key = node
                    .table
                    .keys()
                    .find_map(|key| super::message::unknown_action(key.get_ref()));
                if key.is_none() {
                    ctx.error(
                        &node.header,
                        "a step without an action: { message = \"NAME\" }",
                    );
                }
                return None;
            }
            [_] => {}
            _ => ctx.error(&node.header, "two actions in a step: one step each"),
        }
    }
    let kind = *actions.first()?;
    let names: Vec<Option<String>> = actions
        .iter()
        .map(|kind| ctx.name_of(node, kind.as_str()))
        .collect();
    let name = names.into_iter().next().flatten();
    if in_list && kind != ActionKind::Message && kind != ActionKind::Reply {
        let kind = kind.as_str();
        if let Some(entry) = node.get("to") {
            ctx.error(
                &entry.span(),
                format!("to is for messages: {kind} has no recipient"),
            );
        }
    }
    if kind == ActionKind::Reply {
        only_answers(ctx, node, on);
    }
    let at = read_at(ctx, node, on);
    checkout_waits(ctx, node, on, at.as_ref());
    // The keys of a single action are the automation's.
    let (when, to, channel) = if in_list {
        (
            node.get("when").and_then(|entry| expr(ctx, &entry)),
            node.get("to")
                .and_then(|entry| recipient(ctx, &entry, country)),
            ctx.name_of(node, "channel"),
        )
    } else {
        (None, None, None)
    };
    Some(Step {
        action: Action { kind, name: name? },
        at,
        when,
        to,
        channel,
    })
}

fn read_at<'t>(ctx: &mut Ctx<'t>, node: &Node<'_, 't>, on: &[Name]) -> Option<At> {
    let entry = node.get("at")?;
    ctx.parsed(node, "at", |text| {
        let at = at::at(text)?;
        if let Some(field) = &at.field {
            fields::time_problem(field, on)
                .map_or(Ok(()), |problem| Err(format!("at = \"{text}\": {problem}")))?;
        }
        Ok(at)
    })
    .inspect(|_| ctx.site(&entry.path, &entry.span()))
}

/// `checkout.abandoned` demands an `at` of at least [`CHECKOUT_WAIT_MIN`] after its last change.
fn checkout_waits<'t>(ctx: &mut Ctx<'t>, node: &Node<'_, 't>, on: &[Name], at: Option<&At>) {
    if !on.contains(&Name::CheckoutAbandoned) {
        return;
    }
    let place: Range<usize> = node
        .get("at")
        .map_or_else(|| node.header.clone(), |entry| entry.span());
    if node.has("at") && at.is_none() {
        // The time itself is wrong and was reported.
        return;
    }
    let from_last_change =
        at.is_some_and(|at| matches!(at.field.as_deref(), None | Some("checkout.updated_at")));
    let long_enough = match at.and_then(|at| at.offset.map(|offset| (offset, at.wall))) {
        Some((
            Offset {
                before: false,
                span: Span::Exact(wait),
            },
            None,
        )) => wait >= CHECKOUT_WAIT_MIN,
        Some((
            Offset {
                before: false,
                span: Span::Days(days),
            },
            _,
        )) => days >= 1,
        _ => false,
    };
    if !(from_last_change && long_enough) {
        ctx.error(&place, "checkout.abandoned needs an at of at least 15m: at = \"+1h\"; without it buyers would be messaged while they type");
    }
}
