//! What to do with the webhooks that are there, so that doing it twice changes nothing.

use reqwest::Url;

use super::Hook;

/// What is to be had.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// Where our door is.
    pub url: &'a str,
    /// The topics to have.
    pub topics: &'a [&'static str],
    /// A webhook has one topic alone.
    pub one_each: bool,
    /// The scope to have, where there are scopes.
    pub scope: Option<&'a str>,
    /// Nobody here knows what the webhooks that are there are signed with, or they shall be signed with
    /// something else.
    pub renew: bool,
}

/// What to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Right as they are.
    pub keep: Vec<Hook>,
    /// To be replaced: by which topics, and why.
    pub replace: Vec<(Hook, Vec<&'static str>, String)>,
    /// Ours and of no use: doubles, topics that nobody reads.
    pub surplus: Vec<(Hook, &'static str)>,
    /// Our path at another address: an older stack, or another one that is in use.
    pub elsewhere: Vec<Hook>,
    /// To be registered, each list as one webhook.
    pub register: Vec<Vec<&'static str>>,
}

impl Plan {
    /// Nothing has to be asked of the provider.
    pub fn is_done(&self) -> bool {
        self.replace.is_empty() && self.surplus.is_empty() && self.register.is_empty()
    }
}

/// Compares what is there with what is to be had.
pub fn plan(hooks: &[Hook], wish: &Wish<'_>) -> Plan {
    let mut plan = Plan::default();
    let mut ours: Vec<&Hook> = Vec::new();
    for hook in hooks {
        if is_same(&hook.url, wish.url) {
            ours.push(hook);
        } else if path(&hook.url).is_some_and(|one| Some(one) == path(wish.url)) {
            plan.elsewhere.push(hook.clone());
        }
    }
    // The best one of several stays: the fewest things wrong with it.
    ours.sort_by_key(|hook| faults(hook, wish.topics, wish).len());
    let wanted: Vec<Vec<&'static str>> = if wish.one_each {
        wish.topics.iter().map(|topic| vec![*topic]).collect()
    } else {
        vec![wish.topics.to_vec()]
    };
    for topics in wanted {
        let serves = |hook: &&Hook| !wish.one_each || has(hook, topics.first().copied());
        let Some(index) = ours.iter().position(serves) else {
            plan.register.push(topics);
            continue;
        };
        let hook = ours.remove(index);
        let faults = faults(hook, &topics, wish);
        if faults.is_empty() {
            plan.keep.push(hook.clone());
        } else {
            plan.replace.push((hook.clone(), topics, faults.join(", ")));
        }
    }
    for hook in ours {
        if is_beside(&plan, hook, wish) {
            let faults = faults(hook, wish.topics, wish);
            if faults.is_empty() {
                plan.keep.push(hook.clone());
            } else {
                let topics = wish.topics.to_vec();
                plan.replace.push((hook.clone(), topics, faults.join(", ")));
            }
            continue;
        }
        let known = hook
            .topics
            .iter()
            .any(|topic| wish.topics.contains(&topic.as_str()));
        let why = if known { "a double" } else { "nobody reads it" };
        plan.surplus.push((hook.clone(), why));
    }
    plan
}

/// Where nobody chose a scope, a webhook of another scope than those that stay is no double: another form of one
/// account.
fn is_beside(plan: &Plan, hook: &Hook, wish: &Wish<'_>) -> bool {
    let replaced = plan.replace.iter().map(|(hook, ..)| hook);
    let mut staying = plan.keep.iter().chain(replaced);
    wish.scope.is_none() && hook.scope.is_some() && staying.all(|one| one.scope != hook.scope)
}

fn has(hook: &Hook, topic: Option<&str>) -> bool {
    topic.is_some_and(|topic| hook.topics.iter().any(|other| other == topic))
}

/// What is wrong with a webhook of ours.
fn faults(hook: &Hook, topics: &[&'static str], wish: &Wish<'_>) -> Vec<String> {
    let mut faults: Vec<String> = hook.off.iter().cloned().collect();
    let missing: Vec<&str> = topics
        .iter()
        .copied()
        .filter(|topic| !has(hook, Some(topic)))
        .collect();
    if !missing.is_empty() {
        faults.push(format!("without {}", missing.join(", ")));
    }
    if wish.scope.is_some() && hook.scope.as_deref() != wish.scope {
        let scope = hook.scope.as_deref().unwrap_or("none");
        faults.push(format!("scope {scope}"));
    }
    if wish.renew {
        faults.push("signed with another secret".to_owned());
    }
    faults
}

/// Whether two addresses are one.
pub fn is_same(one: &str, other: &str) -> bool {
    match (Url::parse(one), Url::parse(other)) {
        (Ok(one), Ok(other)) => {
            let plain = |url: &Url| url.path().trim_end_matches('/').to_owned();
            one.origin() == other.origin() && plain(&one) == plain(&other)
        }
        _ => one == other,
    }
}

/// The path of an address, without a slash at its end.
fn path(url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    Some(url.path().trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(id: &str, url: &str, topics: &[&str]) -> Hook {
        Hook {
            id: id.to_owned(),
            url: url.to_owned(),
            topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
            off: None,
            scope: None,
            failing: None,
        }
    }

    const URL: &str = "https://a.example/appointments/calendly";

    fn wish(one_each: bool, renew: bool) -> Wish<'static> {
        Wish {
            url: URL,
            topics: &["a", "b"],
            one_each,
            scope: None,
            renew,
        }
    }

    /// Ids and reasons, in a line.
    fn told(plan: &Plan) -> String {
        let ids =
            |hooks: &[Hook]| -> String { hooks.iter().map(|hook| hook.id.as_str()).collect() };
        let replaced: Vec<String> = plan
            .replace
            .iter()
            .map(|(hook, topics, why)| format!("{} to {} ({why})", hook.id, topics.concat()))
            .collect();
        let surplus: Vec<String> = plan
            .surplus
            .iter()
            .map(|(hook, why)| format!("{} ({why})", hook.id))
            .collect();
        let register: Vec<String> = plan.register.iter().map(|topics| topics.concat()).collect();
        format!(
            "keep {}; replace {}; surplus {}; elsewhere {}; register {}",
            ids(&plan.keep),
            replaced.join(" "),
            surplus.join(" "),
            ids(&plan.elsewhere),
            register.join(" ")
        )
    }

    #[test]
    fn what_is_there_is_compared_with_what_is_to_be_had() {
        let mut off = hook("1", URL, &["a", "b"]);
        off.off = Some("disabled".to_owned());
        let good = hook("2", &format!("{URL}/"), &["b", "a", "c"]);
        let half = hook("3", URL, &["a"]);
        let old = hook("4", "https://b.example/appointments/calendly", &["a", "b"]);
        let foreign = hook("5", "https://hooks.example/1", &["a"]);
        let cases = [
            (
                false,
                false,
                vec![],
                "keep ; replace ; surplus ; elsewhere ; register ab",
            ),
            (
                false,
                false,
                vec![good.clone(), foreign],
                "keep 2; replace ; surplus ; elsewhere ; register ",
            ),
            (
                false,
                true,
                vec![good.clone()],
                "keep ; replace 2 to ab (signed with another secret); surplus ; elsewhere ; register ",
            ),
            (
                false,
                false,
                vec![off.clone(), good.clone(), old],
                "keep 2; replace ; surplus 1 (a double); elsewhere 4; register ",
            ),
            (
                false,
                false,
                vec![off],
                "keep ; replace 1 to ab (disabled); surplus ; elsewhere ; register ",
            ),
            (
                false,
                false,
                vec![half.clone()],
                "keep ; replace 3 to ab (without b); surplus ; elsewhere ; register ",
            ),
            (
                true,
                false,
                vec![half.clone(), half.clone(), hook("6", URL, &["z"])],
                "keep 3; replace ; surplus 3 (a double) 6 (nobody reads it); elsewhere ; register b",
            ),
            (
                true,
                true,
                vec![half],
                "keep ; replace 3 to a (signed with another secret); surplus ; elsewhere ; register b",
            ),
        ];
        for (one_each, renew, hooks, wanted) in cases {
            let found = plan(&hooks, &wish(one_each, renew));
            assert_eq!(told(&found), wanted);
        }
        // Two forms of one account, one of them twice.
        let of = |id: &str, form: &str| Hook {
            scope: Some(form.to_owned()),
            ..hook(id, URL, &["a", "b"])
        };
        let forms = [of("7", "x"), of("8", "y"), of("9", "y")];
        for (renew, wanted) in [
            (
                false,
                "keep 78; replace ; surplus 9 (a double); elsewhere ; register ",
            ),
            (
                true,
                "keep ; replace 7 to ab (signed with another secret) 8 to ab (signed with another secret); surplus 9 (a double); elsewhere ; register ",
            ),
        ] {
            assert_eq!(told(&plan(&forms, &wish(false, renew))), wanted);
        }
        let scoped = Wish {
            scope: Some("organization"),
            ..wish(false, false)
        };
        let found = plan(&[good], &scoped);
        assert!(told(&found).contains("(scope none)"), "{}", told(&found));
    }
}
