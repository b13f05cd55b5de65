//! What the parser asks about the providers.

use shared::event::Name;

/// What a provider makes.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) events: &'static [Name],
    pub(crate) phone_paths: &'static [&'static str],
}

/// Every provider of this version.
pub(crate) const KINDS: &[Kind] = &[
    Kind {
        name: "shopify",
        events: &[
            Name::OrderCreated,
            Name::OrderPaid,
            Name::OrderShipped,
            Name::OrderDelivered,
            Name::OrderFulfilled,
            Name::OrderCancelled,
            Name::OrderRefunded,
            Name::CheckoutAbandoned,
        ],
        phone_paths: &["phone", "shipping.phone", "billing.phone", "customer.phone", "customer.default_address.phone"],
    },
    Kind {
        name: "woocommerce",
        events: &[
            Name::OrderCreated,
            Name::OrderPaid,
            Name::OrderShipped,
            Name::OrderFulfilled,
            Name::OrderCancelled,
            Name::OrderRefunded,
        ],
        phone_paths: &["billing.phone", "shipping.phone", "meta."],
    },
];

/// The provider called `name`.
pub(crate) fn kind(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name)
}

/// The names of all providers.
pub(crate) fn names() -> Vec<&'static str> {
    KINDS.iter().map(|kind| kind.name).collect()
}

/// What is wrong with a path of `phone_from`, where something is.
pub(crate) fn phone_path_problem(name: &str, path: &str) -> Option<String> {
    let known = kind(name)?.phone_paths;
    let free = |prefix: &str| prefix.ends_with('.') && path.len() > prefix.len() && path.starts_with(prefix);
    if known.iter().any(|one| *one == path || free(one)) {
        return None;
    }
    let list: Vec<String> = known
        .iter()
        .map(|one| if one.ends_with('.') { format!("{one}KEY") } else { (*one).to_owned() })
        .collect();
    Some(format!("{name} has no \"{path}\" with a phone number; there are: {}", list.join(", ")))
}
