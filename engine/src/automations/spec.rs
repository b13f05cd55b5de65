//! Every table and key of the language, once. The parser takes its messages from here, the JSON schema
//! and the language's reference are written from here. A key that is not here cannot be read.

mod actions;

use shared::sources;

pub use actions::{
    BACKEND_SECONDS_MAX, CONTACT, GATHER_SECONDS_MAX, HUBSPOT, INTERCOM, MAILCHIMP, NOTE_CHARS_MAX,
    OPT_OUT, PIPEDRIVE, QUIET_HOURS_MAX, REPLY, RULE, RULES_MAX, SALESFORCE, SHEET, SLACK, WEBHOOK,
    ZENDESK,
};

/// What a value may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// `true` or `false`.
    Bool,
    /// A whole number in these bounds, both inside.
    Int {
        /// Least.
        min: u32,
        /// Most.
        max: u32,
    },
    /// Any plain text.
    Plain,
    /// One of these words.
    Words(&'static [&'static str]),
    /// The name of a table of this kind.
    Name(&'static str),
    /// The name of a table of this kind, or this word.
    NameOr(&'static str, &'static str),
    /// `15m`, `2h`, `3d`, `1w`.
    Duration,
    /// An expression: Jinja without braces.
    Expr,
    /// An expression, or `true`.
    ExprOrTrue,
    /// A Jinja text.
    Text,
    /// `at`: the grammar of times.
    Time,
    /// BCP 47.
    Locale,
    /// BCP 47, or an expression that comes out as one.
    LocaleOrExpr,
    /// `{ header = "…" }`: see [`HMAC`].
    Hmac,
    /// Country → locale.
    LocaleByCountry,
    /// ISO 3166 alpha-2.
    Country,
    /// IANA name.
    Zone,
    /// 32 hex digits, dashed or not.
    Uuid,
    /// An e-mail address.
    Email,
    /// A list of E.164 numbers.
    Phones,
    /// A list of paths in the provider's words.
    Paths,
    /// A regular expression.
    Regex,
    /// An event, or a list of events.
    Events,
    /// A connection or kind, or a list of them.
    Sources,
    /// A kind of source.
    SourceKind,
    /// `event`, a subject, `customer`, with `every DUR`.
    Once,
    /// One text, or one a locale.
    LocText,
    /// One uuid, or one a locale.
    LocUuid,
    /// A list of texts, or one a locale.
    LocTexts,
    /// A list of `"HH:MM-HH:MM"`.
    Spans,
    /// A list of dates.
    Dates,
    /// Date → list of `"HH:MM-HH:MM"`.
    SpansByDate,
    /// A list of steps.
    Steps,
    /// A list of Jinja texts.
    Texts,
    /// A list of plain texts.
    Plains,
    /// A list of plain texts, or one a locale.
    LocPlains,
    /// Name → Jinja text.
    TextTable,
    /// HTTP header → Jinja text, or `secret:NAME`.
    Headers,
    /// An https address, written out.
    Url,
    /// The name of an API secret.
    SecretName,
    /// `15s`, `1m`.
    Seconds,
    /// `["phone", "email"]`.
    Match,
    /// `true` alone.
    True,
    /// `true`, or a plain text.
    TrueOrPlain,
    /// `customer every DUR`.
    CustomerEvery,
    /// A list of rules.
    Rules,
}

impl Type {
    /// The type in words, as messages and the reference use it: `a whole number`.
    pub fn words(self) -> String {
        match self {
            Type::Bool => "true or false".into(),
            Type::Int { min, max } => format!("a whole number from {min} to {max}"),
            Type::Plain => "a plain text in quotes".into(),
            Type::Words(words) => format!("one of {}", quoted(words)),
            Type::Name(kind) => format!("the name of a [{kind}.x]"),
            Type::NameOr(kind, word) => format!("the name of a [{kind}.x], or \"{word}\""),
            Type::Duration => "a duration like \"15m\", \"2h\" or \"3d\"".into(),
            Type::Expr => "an expression in quotes, without braces".into(),
            Type::ExprOrTrue => "an expression in quotes, without braces, or true".into(),
            Type::Text => "a text in quotes".into(),
            Type::Time => "a time in quotes, like \"+1h\"".into(),
            Type::Locale => "a locale like \"pt-BR\"".into(),
            Type::LocaleOrExpr => "a locale like \"pt-BR\", or an expression in quotes".into(),
            Type::Hmac => "a table like { header = \"x-signature\" }".into(),
            Type::LocaleByCountry => "a table of country and locale".into(),
            Type::Country => "a country code like \"BR\"".into(),
            Type::Zone => "a time zone like \"America/Sao_Paulo\"".into(),
            Type::Uuid => "32 hex digits in quotes".into(),
            Type::Email => "an e-mail address in quotes".into(),
            Type::Phones => "a list of phone numbers in quotes".into(),
            Type::Paths => "a list of paths in quotes".into(),
            Type::Regex => "a regular expression in quotes".into(),
            Type::Events => "an event in quotes, or a list of events".into(),
            Type::Sources => "the name or kind of a source, or a list of them".into(),
            Type::SourceKind => {
                let kinds: Vec<&str> = sources::ALL.iter().map(|source| source.kind()).collect();
                format!("one of {}", quoted(&kinds))
            }
            Type::Once => {
                "\"event\", the event's subject or \"customer\", with or without \"every 7d\""
                    .into()
            }
            Type::LocText => "a text in quotes, or one a locale".into(),
            Type::LocUuid => "32 hex digits in quotes, or one a locale".into(),
            Type::LocTexts => "a list of texts in quotes, or one list a locale".into(),
            Type::Spans => "a list of spans like \"09:00-13:00\"".into(),
            Type::Dates => "a list of dates like \"2026-12-25\"".into(),
            Type::SpansByDate => "a table of date and list of spans".into(),
            Type::Steps => "a list of { … }, one an action".into(),
            Type::Texts => "a list of texts in quotes".into(),
            Type::Plains => "a list of plain texts in quotes".into(),
            Type::LocPlains => "a list of plain texts in quotes, or one list a locale".into(),
            Type::TextTable => "a table of name and text".into(),
            Type::Headers => "a table of header and text".into(),
            Type::Url => "an https address in quotes".into(),
            Type::SecretName => "the name of an API secret in quotes".into(),
            Type::Seconds => "a duration like \"3s\"".into(),
            Type::Match => "a list of \"phone\" and \"email\"".into(),
            Type::True => "true".into(),
            Type::TrueOrPlain => "true, or a plain text in quotes".into(),
            Type::CustomerEvery => "a text like \"customer every 12h\"".into(),
            Type::Rules => "a list of { … }, one a rule".into(),
        }
    }
}

fn quoted(words: &[&str]) -> String {
    words
        .iter()
        .map(|word| format!("\"{word}\""))
        .collect::<Vec<_>>()
        .join(", ")
}

/// One key of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// As the file writes it.
    pub name: &'static str,
    /// What its value may be.
    pub value: Type,
    /// What holds where the key is absent, as the reference prints it; empty: nothing.
    pub default: &'static str,
    /// The key must be there.
    pub required: bool,
    /// What it does, in one or two sentences.
    pub meaning: &'static str,
    /// A right value, in TOML.
    pub example: &'static str,
}

/// One kind of table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    /// The first part of the header: `channel` of `[channel.x]`.
    pub kind: &'static str,
    /// Whether the header has a name; all but `[defaults]` and a step have one.
    pub named: bool,
    /// What it is.
    pub meaning: &'static str,
    /// Its keys, in the order of the reference.
    pub keys: &'static [Key],
    /// Keys of later versions, which are not typing mistakes.
    pub later: &'static [&'static str],
}

impl Table {
    /// The key called `name`.
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// The header as a user writes it: `[channel.NAME]`.
    pub fn header(&self) -> String {
        if self.named {
            format!("[{}.NAME]", self.kind)
        } else {
            format!("[{}]", self.kind)
        }
    }
}

/// Most characters of a table's name.
pub const NAME_CHARS_MAX: usize = 40;
/// Most messages a second to Callbell.
pub const RATE_MAX: u32 = 250;
/// Longest lateness, in hours.
pub const GIVE_UP_HOURS_MAX: i64 = 72;
/// Most characters of a free text at WhatsApp.
pub const TEXT_CHARS_MAX: usize = 4_096;
/// Most characters of a template once filled in.
pub const TEMPLATE_CHARS_MAX: usize = 1_024;

/// `country`, `locale`, `timezone`: the same three keys of three kinds of tables.
const fn country(default: &'static str) -> Key {
    optional(
        "country",
        Type::Country,
        default,
        "For phone numbers without a country code, after the country that the event gives.",
        "\"BR\"",
    )
}

const fn locale(default: &'static str) -> Key {
    optional(
        "locale",
        Type::Locale,
        default,
        "Language of what is sent, where the event carries none.",
        "\"pt-BR\"",
    )
}

const fn timezone(default: &'static str) -> Key {
    optional(
        "timezone",
        Type::Zone,
        default,
        "The business's zone: times are read and printed in it.",
        "\"America/Sao_Paulo\"",
    )
}

/// Where a source's own word is missing.
const AFTER_SOURCE: &str = "the channel's, then the defaults'";

const fn optional(
    name: &'static str,
    value: Type,
    default: &'static str,
    meaning: &'static str,
    example: &'static str,
) -> Key {
    Key {
        name,
        value,
        default,
        required: false,
        meaning,
        example,
    }
}

const fn required(
    name: &'static str,
    value: Type,
    meaning: &'static str,
    example: &'static str,
) -> Key {
    Key {
        name,
        value,
        default: "",
        required: true,
        meaning,
        example,
    }
}

/// `[defaults]`.
pub const DEFAULTS: Table = Table {
    kind: "defaults",
    named: false,
    meaning: "What holds where nothing nearer says otherwise. Every key is optional.",
    keys: &[
        locale("\"en\""),
        optional(
            "locale_by_country",
            Type::LocaleByCountry,
            "{}",
            "Language from the phone's country, where the event has none (WooCommerce never has one).",
            "{ BR = \"pt-BR\", IT = \"it\" }",
        ),
        country("none"),
        timezone("\"UTC\""),
        optional(
            "channel",
            Type::Name("channel"),
            "the only channel",
            "Which `[channel.x]` sends.",
            "\"shop\"",
        ),
        optional(
            "send_hours",
            Type::Name("hours"),
            "any hour",
            "Hours for messages with `purpose = \"marketing\"`.",
            "\"daytime\"",
        ),
        optional(
            "give_up_after",
            Type::Duration,
            "24h for messages",
            "Latest start after a job's own time, shifted into `send_hours`; at most 72h.",
            "\"24h\"",
        ),
        optional(
            "if_unknown",
            Type::Words(&["hold", "resend"]),
            "\"hold\"",
            "What to do where an answer was lost and Callbell cannot say whether the message exists: leave it to a person, or send again and risk a double.",
            "\"hold\"",
        ),
        optional(
            "only_to",
            Type::Phones,
            "everybody",
            "Safety catch: only these numbers get messages, everyone else's job is `skipped: not in only_to`. Test orders and sample events make jobs that pass only through here.",
            "[\"+5511987654321\"]",
        ),
        optional(
            "rate",
            Type::Int {
                min: 1,
                max: RATE_MAX,
            },
            "20",
            "Messages a second to Callbell.",
            "20",
        ),
        optional(
            "paused",
            Type::Bool,
            "false",
            "Jobs are made and wait; nothing goes out.",
            "true",
        ),
    ],
    later: &[],
};

/// `[channel.NAME]`.
pub const CHANNEL: Table = Table {
    kind: "channel",
    named: true,
    meaning: "A Callbell channel that sends.",
    keys: &[
        required(
            "uuid",
            Type::Uuid,
            "From `callbell channels`.",
            "\"35f6f8ccb5504278a2ea099f3a4e0730\"",
        ),
        optional(
            "kind",
            Type::Words(&["whatsapp", "instagram", "facebook", "telegram"]),
            "\"whatsapp\"",
            "Sent to Callbell as `from`. Templates exist on WhatsApp only.",
            "\"whatsapp\"",
        ),
        country("the defaults'"),
        locale("the defaults'"),
        timezone("the defaults'"),
    ],
    later: &[],
};

/// `[source.NAME]`.
pub const SOURCE: Table = Table {
    kind: "source",
    named: true,
    meaning: "A connected system, where its name alone is not enough: a second store, another channel. A system that is connected once needs no table, its name is its kind. The last part of the webhook's path, the secret and `event.source` follow the name.",
    keys: &[
        optional(
            "kind",
            Type::SourceKind,
            "the name",
            "Which provider.",
            "\"shopify\"",
        ),
        optional(
            "channel",
            Type::Name("channel"),
            "defaults",
            "Sender of what it causes.",
            "\"it\"",
        ),
        country(AFTER_SOURCE),
        optional(
            "locale",
            Type::LocaleOrExpr,
            AFTER_SOURCE,
            "Language of what is sent, where the event carries none. Of the kind `webhook` also an expression that names a field: it becomes `customer.locale`.",
            "\"pt-BR\"",
        ),
        timezone(AFTER_SOURCE),
        optional(
            "phone_from",
            Type::Paths,
            "the provider's order",
            "Which places hold the phone number, in order: `[\"shipping.phone\", \"phone\"]` messages the receiver instead of the buyer.",
            "[\"shipping.phone\", \"phone\"]",
        ),
        optional(
            "phone_question",
            Type::Regex,
            "the word for phone in seven languages",
            "Calendly, Cal.com: which question holds the phone number. Case does not matter.",
            "\"telefono|cellulare|whatsapp\"",
        ),
        optional(
            "auth",
            Type::Words(&["standard-webhooks", "bearer", "basic", "hmac"]),
            "\"standard-webhooks\"",
            "`webhook` alone: how the sender proves itself, with the secret that is called as the source. `bearer`: `Authorization: Bearer SECRET`. `basic`: user and password, the secret being `user:password`, or the password alone of the user called as the source.",
            "\"bearer\"",
        ),
        optional(
            "hmac",
            Type::Hmac,
            "",
            "`webhook` with `auth = \"hmac\"` alone: which header holds the HMAC of the body, and how it is written.",
            "{ header = \"x-linkedstore-hmac-sha256\", hash = \"sha256\", encoding = \"hex\" }",
        ),
        optional(
            "key",
            Type::Expr,
            "",
            "`webhook` alone, and required there: what makes it the same event again. It goes into `event.id`, so it names no person. Where a field of it is absent nothing is done, and the post's record says so.",
            "\"data.numero ~ '/' ~ data.tipo\"",
        ),
        optional(
            "phone",
            Type::Expr,
            "",
            "`webhook` alone: becomes `customer.phone`.",
            "\"data.cliente.celular\"",
        ),
        optional(
            "name",
            Type::Expr,
            "",
            "`webhook` alone: becomes `customer.name`.",
            "\"data.cliente.nome\"",
        ),
        optional(
            "email",
            Type::Expr,
            "",
            "`webhook` alone: becomes `customer.email`.",
            "\"data.cliente.email\"",
        ),
        optional(
            "at",
            Type::Expr,
            "when it was posted",
            "`webhook` alone: becomes `event.at`. ISO 8601, read in the source's zone where it names none, or seconds or milliseconds since 1970.",
            "\"data.emitida_em\"",
        ),
        optional(
            "each",
            Type::Expr,
            "",
            "`webhook` alone: a list in the body. Each of its elements is an event, and `data` in the other expressions and in automations is the element.",
            "\"data.pedidos\"",
        ),
    ],
    later: &[],
};

/// `hmac` of a source.
pub const HMAC: Table = Table {
    kind: "hmac",
    named: false,
    meaning: "An HMAC of the whole body, as its bytes came.",
    keys: &[
        required(
            "header",
            Type::Plain,
            "The header's name; case does not matter.",
            "\"x-linkedstore-hmac-sha256\"",
        ),
        optional(
            "hash",
            Type::Words(&["sha1", "sha256", "sha512"]),
            "\"sha256\"",
            "The digest.",
            "\"sha256\"",
        ),
        optional(
            "encoding",
            Type::Words(&["hex", "base64"]),
            "\"hex\"",
            "How its bytes are written.",
            "\"base64\"",
        ),
        optional(
            "prefix",
            Type::Plain,
            "\"\"",
            "What stands before it.",
            "\"sha256=\"",
        ),
    ],
    later: &[],
};

/// `[hours.NAME]`. Besides these keys, weekdays `mon` … `sun` or ranges of them, see [`WEEKDAYS`].
pub const HOURS: Table = Table {
    kind: "hours",
    named: true,
    meaning: "Opening hours and sending hours, one grammar for both. A day that is not named is closed. Spans over midnight are written as two days.",
    keys: &[
        optional(
            "timezone",
            Type::Zone,
            "the business's",
            "The hours' own zone.",
            "\"Europe/Rome\"",
        ),
        optional(
            "closed",
            Type::Dates,
            "[]",
            "Dates on which it stays closed.",
            "[\"2026-12-25\"]",
        ),
        optional(
            "open",
            Type::SpansByDate,
            "{}",
            "Other hours on single dates.",
            "{ \"2026-12-24\" = [\"09:00-12:00\"] }",
        ),
    ],
    later: &[],
};

/// The keys of `[hours.x]` that are days; a range is `mon-fri`.
pub const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// What the reference says of the weekday keys.
pub const WEEKDAY_KEY: Key = optional(
    "mon … sun, mon-fri",
    Type::Spans,
    "closed",
    "When it is open on a day, or on each day of a range.",
    "[\"09:00-13:00\", \"14:30-19:00\"]",
);

/// `[message.NAME]`.
pub const MESSAGE: Table = Table {
    kind: "message",
    named: true,
    meaning: "What is said, in every language. With `text` and `template`, inside the 24 hours after the person's last message `text` is sent, outside or where nobody knows, `template`.",
    keys: &[
        optional(
            "text",
            Type::LocText,
            "",
            "Free text: only inside 24 hours of the person's last message.",
            "\"Olá {{ customer.first_name | default('cliente') }}!\"",
        ),
        optional(
            "template",
            Type::LocUuid,
            "",
            "Approved template, by its uuid from `callbell templates`.",
            "\"d980fb66fd5043d3ace1aa06ba044342\"",
        ),
        optional(
            "values",
            Type::LocTexts,
            "[]",
            "One a placeholder, in order. A plain list serves every locale; give `values.it` where a translation has another order.",
            "[\"{{ order.number }}\", \"{{ order.total | money }}\"]",
        ),
        optional(
            "image",
            Type::LocText,
            "",
            "An https address; with `text` its caption, with `template` the header.",
            "\"https://minhaloja.com.br/foto.jpg\"",
        ),
        optional(
            "document",
            Type::LocText,
            "",
            "An https address, as `image`.",
            "\"https://minhaloja.com.br/nota.pdf\"",
        ),
        optional(
            "audio",
            Type::LocText,
            "",
            "An https address, as `image`; not with `template`.",
            "\"https://minhaloja.com.br/oi.mp3\"",
        ),
        optional(
            "video",
            Type::LocText,
            "",
            "An https address, as `image`.",
            "\"https://minhaloja.com.br/oi.mp4\"",
        ),
        optional(
            "purpose",
            Type::Words(&["service", "marketing"]),
            "\"service\"",
            "`marketing` needs the consent `customer.accepts_marketing` and keeps to `defaults.send_hours`.",
            "\"marketing\"",
        ),
        optional(
            "assign",
            Type::Email,
            "",
            "The conversation's assigned user.",
            "\"ana@minhaloja.com.br\"",
        ),
        optional(
            "team",
            Type::Plain,
            "",
            "The conversation's team, by name.",
            "\"Comercial\"",
        ),
        optional(
            "bot",
            Type::Words(&["start", "end"]),
            "",
            "Starts or ends Callbell's own bot.",
            "\"end\"",
        ),
    ],
    later: &[],
};

/// An action: the name of a table of its kind.
const fn action(kind: &'static str, meaning: &'static str, example: &'static str) -> Key {
    optional(kind, Type::Name(kind), "", meaning, example)
}

/// The actions, in the order of the reference.
const ACTIONS: [Key; 12] = [
    action(
        "message",
        "The action: send this message.",
        "\"order-confirmed\"",
    ),
    action(
        "contact",
        "The action: make or change the person in Callbell.",
        "\"lead\"",
    ),
    action(
        "reply",
        "The action: let this chatbot answer; only on `message.received`.",
        "\"balcao\"",
    ),
    action("slack", "The action: write this line in Slack.", "\"ops\""),
    action(
        "sheet",
        "The action: write this row of a Google sheet.",
        "\"contatos\"",
    ),
    action("webhook", "The action: make this request.", "\"erp\""),
    action(
        "hubspot",
        "The action: make or change the contact in HubSpot.",
        "\"person\"",
    ),
    action(
        "pipedrive",
        "The action: make or change the person in Pipedrive.",
        "\"person\"",
    ),
    action(
        "salesforce",
        "The action: make or change the record in Salesforce.",
        "\"person\"",
    ),
    action(
        "mailchimp",
        "The action: make or change the member of an audience of Mailchimp.",
        "\"person\"",
    ),
    action(
        "zendesk",
        "The action: make or change the user in Zendesk.",
        "\"person\"",
    ),
    action(
        "intercom",
        "The action: make or change the contact in Intercom.",
        "\"person\"",
    ),
];

/// `[automation.NAME]`.
pub const AUTOMATION: Table = Table {
    kind: "automation",
    named: true,
    meaning: "What happens when: on which event, when, at what time, which action. Either one action key, or `steps`.",
    keys: &[
        required(
            "on",
            Type::Events,
            "What starts it. With a list, only fields common to all may be used unconditionally.",
            "\"order.paid\"",
        ),
        optional(
            "source",
            Type::Sources,
            "any",
            "Only events of these sources.",
            "\"shopify\"",
        ),
        optional(
            "when",
            Type::Expr,
            "true",
            "Asked once, when the event arrives, over the event's own fields. What must be true at sending time goes on the step.",
            "\"order.total >= 50\"",
        ),
        optional(
            "enabled",
            Type::Bool,
            "true",
            "false: no new jobs; its waiting jobs wait.",
            "false",
        ),
        optional(
            "consent",
            Type::ExprOrTrue,
            "by the message's purpose",
            "Must come out true, or its messages are `skipped: no consent`. `true`: consent is held elsewhere.",
            "\"customer.accepts_marketing\"",
        ),
        optional(
            "stop_on",
            Type::Events,
            "[]",
            "The remaining steps end when this person does one of these.",
            "[\"order.paid\"]",
        ),
        optional(
            "once",
            Type::Once,
            "\"event\"; \"shipment\" on order.shipped, \"lead\" on lead.created",
            "How often: once an event, a subject or a customer, for ever or `every` so long.",
            "\"customer every 7d\"",
        ),
        optional(
            "send_hours",
            Type::NameOr("hours", "any"),
            "\"any\"; marketing: defaults'",
            "Times that fall outside move into these hours.",
            "\"daytime\"",
        ),
        optional(
            "give_up_after",
            Type::Duration,
            "defaults",
            "Latest start after a job's own time.",
            "\"6h\"",
        ),
        optional(
            "if_unknown",
            Type::Words(&["hold", "resend"]),
            "defaults",
            "What to do where an answer was lost.",
            "\"resend\"",
        ),
        optional(
            "channel",
            Type::Name("channel"),
            "source, defaults",
            "Which `[channel.x]` sends.",
            "\"it\"",
        ),
        optional(
            "locale",
            Type::Text,
            "customer.locale",
            "The language, as a text.",
            "\"{{ order.attributes.lang }}\"",
        ),
        optional(
            "to",
            Type::Text,
            "customer.phone",
            "Another recipient, e.g. the owner.",
            "\"+5511987654321\"",
        ),
        optional(
            "at",
            Type::Time,
            "at once",
            "When; only with a single action.",
            "\"+1h\"",
        ),
        ACTIONS[0],
        ACTIONS[1],
        ACTIONS[2],
        ACTIONS[3],
        ACTIONS[4],
        ACTIONS[5],
        ACTIONS[6],
        ACTIONS[7],
        ACTIONS[8],
        ACTIONS[9],
        ACTIONS[10],
        ACTIONS[11],
        optional(
            "steps",
            Type::Steps,
            "",
            "Several actions, one line each.",
            "[ { message = \"cart-1\", at = \"+1h\" }, { message = \"cart-2\", at = \"+24h\" } ]",
        ),
    ],
    later: &[],
};

/// One element of `steps`.
pub const STEP: Table = Table {
    kind: "step",
    named: false,
    meaning: "One action of an automation, a job of its own: its own key, retries and end.",
    keys: &[
        ACTIONS[0],
        ACTIONS[1],
        ACTIONS[2],
        ACTIONS[3],
        ACTIONS[4],
        ACTIONS[5],
        ACTIONS[6],
        ACTIONS[7],
        ACTIONS[8],
        ACTIONS[9],
        ACTIONS[10],
        ACTIONS[11],
        optional("at", Type::Time, "at once", "When.", "\"+24h\""),
        optional(
            "when",
            Type::Expr,
            "true",
            "Asked immediately before it acts, over the event, `now` and the person in Callbell (`contact.*`, `conversation.*`).",
            "\"order.payment_status == 'pending'\"",
        ),
        optional(
            "to",
            Type::Text,
            "the automation's",
            "Another recipient.",
            "\"+5511987654321\"",
        ),
        optional(
            "channel",
            Type::Name("channel"),
            "the automation's",
            "Which `[channel.x]` sends.",
            "\"it\"",
        ),
    ],
    later: &[],
};

/// Every kind of table that a file may hold, in the order of the reference.
pub const TABLES: &[&Table] = &[
    &DEFAULTS,
    &CHANNEL,
    &SOURCE,
    &HOURS,
    &MESSAGE,
    &CONTACT,
    &REPLY,
    &SLACK,
    &SHEET,
    &WEBHOOK,
    &HUBSPOT,
    &PIPEDRIVE,
    &SALESFORCE,
    &MAILCHIMP,
    &ZENDESK,
    &INTERCOM,
    &OPT_OUT,
    &AUTOMATION,
];

/// Tables that stand in braces within another one: its kind, and the table.
pub const INNER: &[(&str, &Table)] = &[("source", &HMAC), ("reply", &RULE), ("automation", &STEP)];
