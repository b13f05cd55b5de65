//! `[reply.x]` and its rules.

use jiff::SignedDuration;
use toml::de::DeValue;

use super::super::model::{Backend, BackendKind, ReplyTable, Rule, RuleCondition, RuleDeed, Span};
use super::super::spec::{self, BACKEND_SECONDS_MAX, GATHER_SECONDS_MAX, QUIET_HOURS_MAX};
use super::actions::{not_blank, outside, own_name, plains, secret, text_of};
use super::at;
use super::message::expr;
use super::reader::{Ctx, Node};

/// Waits for the rest of a burst, unless told.
const GATHER: SignedDuration = SignedDuration::from_secs(3);
/// Silent after a team member wrote, unless told.
const QUIET_AFTER_HUMAN: SignedDuration = SignedDuration::from_hours(12);
/// Answers a conversation, unless told.
const TURNS: u32 = 20;
/// Earlier messages that a backend sees, unless told.
const HISTORY: u32 = 10;
/// Longest answer of a model, unless told, in its tokens.
const TOKENS: u32 = 300;
/// How long a backend may take, unless told.
const TIMEOUT: SignedDuration = SignedDuration::from_secs(15);

/// The keys that a backend alone has a use for, and those that only a model has.
const OF_BACKEND: [&str; 4] = ["url", "secret", "history", "timeout"];
const OF_MODEL: [&str; 3] = ["model", "prompt", "max_tokens"];

const CONDITIONS: [&str; 4] = ["words", "pattern", "button", "when"];

pub(super) fn reply<'t>(ctx: &mut Ctx<'t>, node: &Node<'_, 't>) -> ReplyTable {
    node.unknown_keys(ctx, |_| false, &[]);
    if !["rules", "backend", "otherwise"]
        .iter()
        .any(|key| node.has(key))
    {
        let message = format!(
            "{} says nothing: it needs rules, a backend, or otherwise",
            node.path
        );
        ctx.error(&node.header, message);
    }
    let gather = seconds(ctx, node, "gather", GATHER_SECONDS_MAX);
    ReplyTable {
        rules: rules(ctx, node),
        backend: backend(ctx, node),
        otherwise: ctx.name_of(node, "otherwise"),
        gather: gather.unwrap_or(GATHER),
        quiet_after_human: quiet(ctx, node).unwrap_or(QUIET_AFTER_HUMAN),
        max_turns: ctx.int(node, "max_turns").unwrap_or(TURNS),
        handover: ctx.parsed(node, "handover", |text| not_blank("team", text)),
    }
}

fn seconds<'t>(
    ctx: &mut Ctx<'t>,
    node: &Node<'_, 't>,
    key: &'static str,
    most: i64,
) -> Option<SignedDuration> {
    ctx.parsed(node, key, |text| {
        let wait = at::seconds(text).map_err(|said| format!("{key}: {said}"))?;
        if wait > SignedDuration::from_secs(most) {
            return Err(format!("{key} is at most {most}s, not {text}"));
        }
        Ok(wait)
    })
}

fn quiet<'t>(ctx: &mut Ctx<'t>, node: &Node<'_, 't>) -> Option<SignedDuration> {
    ctx.parsed(node, "quiet_after_human", |text| {
        let span = at::duration(text).map_err(|said| format!("quiet_after_human: {said}"))?;
        let length = match span {
            Span::Exact(length) => length,
            Span::Days(days) => SignedDuration::from_hours(24 * i64::from(days)),
        };
        if length > SignedDuration::from_hours(QUIET_HOURS_MAX) {
            let days = QUIET_HOURS_MAX / 24;
            return Err(format!("quiet_after_human is at most {days}d, not {text}"));
        }
        Ok(length)
    })
}

fn backend<'t>(ctx: &mut Ctx<'t>, node: &Node<'_, 't>) -> Option<Backend> {
    let kind = ctx.word(node, "backend").map(|word| match word {
        "ai" => BackendKind::Ai,
        _ => BackendKind::Http,
    });
    let useless: &[&[&str]] = match kind {
        // A backend that is wrong itself has its own report.
        None if node.has("backend") => &[],
        None => &[&OF_BACKEND, &OF_MODEL],
        Some(BackendKind::Http) => &[&OF_MODEL],
        Some(BackendKind::Ai) => &[],
    };
    for key in useless.iter().copied().flatten() {
        if let Some(entry) = node.get(key) {
            let needs = match OF_MODEL.contains(key) {
                true => "backend = \"ai\"",
                false => "a backend, which is not there: backend = \"http\" or \"ai\"",
            };
            ctx.error(&entry.span(), format!("{key} is for {needs}"));
        }
    }
    let url = ctx.parsed(node, "url", |text| match outside(text) {
        Ok(()) if text.contains('{') => Err("url is written out, without braces".to_owned()),
        Ok(()) => Ok(text.to_owned()),
        Err(said) => Err(format!("url {said}")),
    });
    let model = ctx.parsed(node, "model", |text| not_blank("model", text));
    let prompt = text_of(ctx, node, "prompt");
    let history = ctx.int(node, "history");
    let max_tokens = ctx.int(node, "max_tokens");
    let timeout = seconds(ctx, node, "timeout", BACKEND_SECONDS_MAX);
    let secret = secret(ctx, node, own_name(node));
    let kind = kind?;
    let mut needed = vec!["url"];
    if kind == BackendKind::Ai {
        needed.push("model");
    }
    for key in needed {
        if !node.has(key) {
            let example = spec::REPLY.key(key).map_or("", |key| key.example);
            let message = format!(
                "{} has a backend and no {key}: {key} = {example}",
                node.path
            );
            ctx.error(&node.header, message);
        }
    }
    Some(Backend {
        kind,
        url: url.unwrap_or_default(),
        secret,
        model,
        prompt,
        history: history.unwrap_or(HISTORY),
        max_tokens: max_tokens.unwrap_or(TOKENS),
        timeout: timeout.unwrap_or(TIMEOUT),
    })
}

fn rules<'t>(ctx: &mut Ctx<'t>, node: &Node<'_, 't>) -> Vec<Rule> {
    let Some(entry) = node.get("rules") else {
        return Vec::new();
    };
    let Some(list) = entry.value.get_ref().as_array() else {
        ctx.wrong_type(entry.key, entry.value);
        return Vec::new();
    };
    if list.len() > spec::RULES_MAX {
        let most = spec::RULES_MAX;
        ctx.error(&entry.span(), format!("more than {most} rules"));
    }
    let mut found: Vec<Rule> = Vec::with_capacity(list.len());
    let mut ended: Option<usize> = None;
    for (place, value) in list.iter().enumerate() {
        let DeValue::Table(table) = value.get_ref() else {
            ctx.wrong_type(entry.key, value);
            continue;
        };
        if let Some(last) = ended {
            let message = format!(
                "rule {} never gets its turn: rule {last} always matches",
                place + 1
            );
            ctx.error(&value.span(), message);
        }
        // Numbered as the model has them.
        let path = format!("{}.rules[{}]", node.path, found.len());
        ctx.site(&path, &value.span());
        let inner = Node {
            spec: &spec::RULE,
            path,
            header: value.span(),
            table,
        };
        let before = ctx.diagnostics.len();
        inner.unknown_keys(ctx, |_| false, &[]);
        let conditions = CONDITIONS.iter().filter(|key| inner.has(key)).count();
        let Some(rule) = rule(ctx, &inner, conditions) else {
            continue;
        };
        // One that is wrong somewhere perhaps only seems to have no condition.
        let always = conditions == 0 && !inner.has("once") && ctx.diagnostics.len() == before;
        if always && ended.is_none() {
            ended = Some(place + 1);
        }
        found.push(rule);
    }
    found
}

fn rule<'t>(ctx: &mut Ctx<'t>, node: &Node<'_, 't>, conditions: usize) -> Option<Rule> {
    if conditions > 1 {
        ctx.error(
            &node.header,
            "a rule has one condition: words, pattern, button or when",
        );
    }
    let once_every = ctx.parsed(node, "once", once);
    // Both are read whatever the other is, for every mistake at once.
    let condition = condition(ctx, node);
    let deed = deed(ctx, node);
    Some(Rule {
        condition: condition?,
        deed: deed?,
        once_every,
    })
}

fn condition<'t>(ctx: &mut Ctx<'t>, node: &Node<'_, 't>) -> Option<RuleCondition> {
    if let Some(entry) = node.get("words") {
        return plains(ctx, &entry).map(RuleCondition::Words);
    }
    if node.has("pattern") {
        return ctx
            .parsed(node, "pattern", pattern)
            .map(RuleCondition::Pattern);
    }
    if node.has("button") {
        let read = |text: &str| not_blank("button", text);
        return ctx.parsed(node, "button", read).map(RuleCondition::Button);
    }
    match node.get("when") {
        Some(entry) => expr(ctx, &entry).map(RuleCondition::When),
        None => Some(RuleCondition::Always),
    }
}

fn pattern(text: &str) -> Result<String, String> {
    match regex_lite::Regex::new(text) {
        Ok(found) if found.is_match("") => Err(format!(
            "pattern = \"{text}\" matches every message: leave it out, and the rule always matches"
        )),
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(format!("pattern = \"{text}\" is no regular expression")),
    }
}

fn deed<'t>(ctx: &mut Ctx<'t>, node: &Node<'_, 't>) -> Option<RuleDeed> {
    let say = ctx.name_of(node, "say");
    let handover = handover(ctx, node);
    let ignore = ignore(ctx, node);
    let note = text_of(ctx, node, "note");
    if node.has("note") && !node.has("handover") {
        let span = node.span_of("note");
        ctx.error(
            &span,
            "note is for whoever takes over: it goes with handover",
        );
    }
    match (node.has("say"), node.has("handover"), node.has("ignore")) {
        (false, false, false) => {
            ctx.error(
                &node.header,
                "a rule without a deed: say = \"NAME\", handover = true, or ignore = true",
            );
            None
        }
        (true, _, true) | (_, true, true) => {
            ctx.error(
                &node.header,
                "ignore says nothing and asks nobody: it stands alone",
            );
            None
        }
        (_, true, false) => handover.map(|team| RuleDeed::Handover { team, say, note }),
        (true, false, false) => say.map(RuleDeed::Say),
        (false, false, true) => ignore.map(|()| RuleDeed::Ignore),
    }
}

/// The team, where one is named.
fn handover<'t>(ctx: &mut Ctx<'t>, node: &Node<'_, 't>) -> Option<Option<String>> {
    let entry = node.get("handover")?;
    match entry.value.get_ref() {
        DeValue::Boolean(true) => Some(None),
        DeValue::String(_) => {
            let read = |text: &str| not_blank("team", text);
            ctx.parsed(node, "handover", read).map(Some)
        }
        _ => {
            ctx.wrong_type(entry.key, entry.value);
            None
        }
    }
}

fn ignore<'t>(ctx: &mut Ctx<'t>, node: &Node<'_, 't>) -> Option<()> {
    let entry = node.get("ignore")?;
    match entry.value.get_ref() {
        DeValue::Boolean(true) => Some(()),
        _ => {
            ctx.wrong_type(entry.key, entry.value);
            None
        }
    }
}

/// `customer every 12h`.
fn once(text: &str) -> Result<Span, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    match words.as_slice() {
        ["customer", "every", duration] => {
            at::duration(duration).map_err(|said| format!("once: {said}"))
        }
        _ => Err(format!(
            "once = \"{text}\": of a rule it is \"customer every 12h\""
        )),
    }
}
