//! The tables of what automations do beside sending messages: `[contact.x]`, `[reply.x]`, `[slack.x]`,
//! `[sheet.x]`, `[webhook.x]`, the systems that keep records of people, and `[opt_out]`.

use super::{Key, Table, Type, optional, required};

/// Longest wait for the rest of a burst of messages, in seconds.
pub const GATHER_SECONDS_MAX: i64 = 30;
/// Longest wait for a backend's answer, in seconds: with the burst it fits into the function's minute.
pub const BACKEND_SECONDS_MAX: i64 = 30;
/// Longest silence after a team member wrote, in hours.
pub const QUIET_HOURS_MAX: i64 = 30 * 24;
/// Most characters of a note at Callbell.
pub const NOTE_CHARS_MAX: usize = 1_000;
/// Most rules of one chatbot.
pub const RULES_MAX: usize = 100;

const ASSIGN: Key = optional(
    "assign",
    Type::Email,
    "",
    "The conversation's assigned user.",
    "\"ana@minhaloja.com.br\"",
);

const CREATE: Key = optional(
    "create",
    Type::Bool,
    "true",
    "false: only somebody who is there is changed.",
    "false",
);

const UPDATE: Key = optional(
    "update",
    Type::Bool,
    "true",
    "false: whoever is there stays as they are.",
    "false",
);

/// `[contact.NAME]`.
pub const CONTACT: Table = Table {
    kind: "contact",
    named: true,
    meaning: "Makes or changes the person in Callbell, found by phone on the channel, or by bsuid. What comes out blank is left as it is.",
    keys: &[
        optional(
            "name",
            Type::Text,
            "",
            "The whole name.",
            "\"{{ customer.name }}\"",
        ),
        optional(
            "email",
            Type::Text,
            "",
            "The e-mail address: goes into the person's custom field of that type, else into the one called `Email`.",
            "\"{{ customer.email }}\"",
        ),
        optional(
            "note",
            Type::Text,
            "",
            "The note, at most 1,000 characters.",
            "\"Pedido {{ order.number }}\"",
        ),
        optional(
            "tags",
            Type::Texts,
            "[]",
            "Added to those that are there. They must exist at Callbell.",
            "[\"cliente\"]",
        ),
        optional(
            "remove_tags",
            Type::Texts,
            "[]",
            "Taken from those that are there.",
            "[\"lead\"]",
        ),
        optional(
            "fields",
            Type::TextTable,
            "{}",
            "Custom fields by their Callbell name. A text that is one {{ … }} keeps its type: a checkbox takes a list.",
            "{ \"Cidade\" = \"{{ order.shipping_address.city }}\" }",
        ),
        ASSIGN,
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
        optional(
            "funnel",
            Type::Plain,
            "",
            "The funnel, by name.",
            "\"Vendas\"",
        ),
        optional(
            "conversation",
            Type::Words(&["open", "close"]),
            "",
            "Opens or closes the conversation.",
            "\"close\"",
        ),
        CREATE,
        UPDATE,
    ],
    later: &[],
};

/// `[reply.NAME]`.
pub const REPLY: Table = Table {
    kind: "reply",
    named: true,
    meaning: "The chatbot: only on `message.received`, and by the channel on which the person wrote. The first rule that matches answers; where none does, the backend; where that fails or there is none, `otherwise`.",
    keys: &[
        optional(
            "rules",
            Type::Rules,
            "[]",
            "The first that matches wins.",
            "[ { words = [\"horário\"], say = \"horario\" }, { words = [\"humano\"], handover = true } ]",
        ),
        optional(
            "backend",
            Type::Words(&["http", "ai"]),
            "none",
            "Asked where no rule matched. `http`: your own bot, a signed POST of message and history, answered by `say`, `ignore` or `handover`. `ai`: an OpenAI-compatible chat endpoint; an answer that is just `HANDOVER` hands over.",
            "\"ai\"",
        ),
        optional(
            "url",
            Type::Url,
            "",
            "The backend's address: https, no private address.",
            "\"https://api.openai.com/v1/chat/completions\"",
        ),
        optional(
            "secret",
            Type::SecretName,
            "the table's name",
            "The API secret of the backend: what signs, or the token.",
            "\"openai\"",
        ),
        optional(
            "model",
            Type::Plain,
            "",
            "`ai`: the model.",
            "\"gpt-4o-mini\"",
        ),
        optional(
            "prompt",
            Type::Text,
            "",
            "`ai`: what it is told first.",
            "\"Você atende a Minha Loja. Responda em até três frases.\"",
        ),
        optional(
            "history",
            Type::Int { min: 0, max: 50 },
            "10",
            "Earlier messages that the backend sees.",
            "10",
        ),
        optional(
            "max_tokens",
            Type::Int { min: 1, max: 4_000 },
            "300",
            "`ai`: longest answer.",
            "300",
        ),
        optional(
            "timeout",
            Type::Seconds,
            "\"15s\"",
            "How long the backend may take, at most 30s.",
            "\"15s\"",
        ),
        optional(
            "otherwise",
            Type::Name("message"),
            "silence",
            "The message where the backend failed, or where there is none and no rule matched.",
            "\"menu\"",
        ),
        optional(
            "gather",
            Type::Seconds,
            "\"3s\"",
            "Waits for the rest of a burst and answers once, at most 30s.",
            "\"3s\"",
        ),
        optional(
            "quiet_after_human",
            Type::Duration,
            "\"12h\"",
            "Silent for so long after a team member wrote, and while somebody is assigned; ends when the conversation is closed.",
            "\"12h\"",
        ),
        optional(
            "max_turns",
            Type::Int { min: 1, max: 1_000 },
            "20",
            "Automated answers a conversation; then handover.",
            "20",
        ),
        optional(
            "handover",
            Type::Plain,
            "no team",
            "The team that takes over where `handover = true`.",
            "\"Atendimento\"",
        ),
    ],
    later: &[],
};

/// One element of `rules`.
pub const RULE: Table = Table {
    kind: "rule",
    named: false,
    meaning: "One condition or none (then it always matches), and one deed. `say` goes with `handover` too.",
    keys: &[
        optional(
            "words",
            Type::Plains,
            "",
            "Condition: one of these words, or words in a row, is in the message; case and accents do not count.",
            "[\"horário\", \"aberto hoje\"]",
        ),
        optional(
            "pattern",
            Type::Regex,
            "",
            "Condition: this regular expression matches; case does not count.",
            "\"pedido +#?[0-9]+\"",
        ),
        optional(
            "button",
            Type::Plain,
            "",
            "Condition: a tapped button's id, or the title of a list's row.",
            "\"confirm\"",
        ),
        optional(
            "when",
            Type::Expr,
            "true",
            "Condition: this is true, over the event and `now`.",
            "\"not is_open('loja')\"",
        ),
        optional(
            "say",
            Type::Name("message"),
            "",
            "Deed: answers with this message.",
            "\"horario\"",
        ),
        optional(
            "handover",
            Type::TrueOrPlain,
            "",
            "Deed: hands over to the table's team, or to this one.",
            "true",
        ),
        optional(
            "note",
            Type::Text,
            "",
            "With `handover`: a note for the team.",
            "\"Quer trocar: {{ message.text }}\"",
        ),
        optional(
            "ignore",
            Type::True,
            "",
            "Deed: says nothing, and asks no further rule.",
            "true",
        ),
        optional(
            "once",
            Type::CustomerEvery,
            "every time",
            "How often for one person; in between the rule does not match.",
            "\"customer every 12h\"",
        ),
    ],
    later: &[],
};

/// `[slack.NAME]`.
pub const SLACK: Table = Table {
    kind: "slack",
    named: true,
    meaning: "A line in Slack. `<!here>` written in the file works, typed by a customer it does not: values are escaped.",
    keys: &[
        required(
            "text",
            Type::Text,
            "The line, in Slack's own markup.",
            "\"<!here> {{ customer.name | default(customer.phone) }}: {{ message.text }}\"",
        ),
        optional(
            "channel",
            Type::Plain,
            "the incoming webhook's",
            "`#name` or an id; needs a bot's token.",
            "\"#vendas\"",
        ),
        optional(
            "secret",
            Type::SecretName,
            "\"slack\"; \"slack-bot\" with a channel",
            "The API secret: the incoming webhook's address, or a bot's token.",
            "\"slack-vendas\"",
        ),
    ],
    later: &["thread"],
};

/// `[sheet.NAME]`.
pub const SHEET: Table = Table {
    kind: "sheet",
    named: true,
    meaning: "A row of a Google sheet. Values go under the header of that name in row 1, wherever it stands, as they are.",
    keys: &[
        required(
            "spreadsheet",
            Type::Plain,
            "The id in the sheet's address, between /d/ and /edit.",
            "\"1AbCdEfGhIjKlMnOpQrStUvWxYz\"",
        ),
        required("tab", Type::Plain, "The tab's name.", "\"Contatos\""),
        required(
            "columns",
            Type::TextTable,
            "Header → value. A header that is missing in row 1 is a dead job that names it.",
            "{ \"Telefone\" = \"{{ customer.phone }}\", \"Nome\" = \"{{ customer.name }}\" }",
        ),
        optional(
            "key",
            Type::Plain,
            "none: every job appends",
            "One of the headers: the row with this value is changed, or appended.",
            "\"Telefone\"",
        ),
        optional(
            "mode",
            Type::Words(&["update", "append"]),
            "\"update\" with a key",
            "`append` never changes a row.",
            "\"append\"",
        ),
        optional(
            "secret",
            Type::SecretName,
            "\"google-sheets\"",
            "The API secret: a service account's JSON, or a refresh token's.",
            "\"google-sheets\"",
        ),
    ],
    later: &[],
};

/// `[webhook.NAME]`.
pub const WEBHOOK: Table = Table {
    kind: "webhook",
    named: true,
    meaning: "A request to any system, signed by Standard Webhooks. No redirect is followed.",
    keys: &[
        required(
            "url",
            Type::Text,
            "https, no private address; the host is written out.",
            "\"https://erp.example.com/hooks/{{ customer.id }}\"",
        ),
        optional(
            "method",
            Type::Words(&["POST", "PUT", "PATCH"]),
            "\"POST\"",
            "The HTTP method.",
            "\"PUT\"",
        ),
        optional(
            "body",
            Type::TextTable,
            "the whole event",
            "Name → value, sent as JSON. A text that is one {{ … }} keeps its type.",
            "{ pedido = \"{{ order.number }}\" }",
        ),
        optional(
            "headers",
            Type::Headers,
            "{}",
            "Header → value; `secret:NAME` is the value of an API secret.",
            "{ authorization = \"secret:erp-token\" }",
        ),
        optional(
            "secret",
            Type::SecretName,
            "the table's name",
            "The API secret that signs.",
            "\"erp\"",
        ),
    ],
    later: &[],
};

const MATCH: Key = optional(
    "match",
    Type::Match,
    "[\"phone\", \"email\"]",
    "What finds the record after our own memory of it, in order.",
    "[\"email\"]",
);

const TAGS: Key = optional(
    "tags",
    Type::Texts,
    "[]",
    "Added to those that are there.",
    "[\"whatsapp\"]",
);

const fn fields(example: &'static str) -> Key {
    optional(
        "fields",
        Type::TextTable,
        "{}",
        "Their field → value. Blank values are left out, never written over what is there.",
        example,
    )
}

const fn secret(default: &'static str, meaning: &'static str, example: &'static str) -> Key {
    optional("secret", Type::SecretName, default, meaning, example)
}

/// What every table of a system that keeps records of people is.
const RECORD: &str =
    "The person's record there: made, or changed where it is found. Each person has one.";

/// `[hubspot.NAME]`.
pub const HUBSPOT: Table = Table {
    kind: "hubspot",
    named: true,
    meaning: RECORD,
    keys: &[
        MATCH,
        fields(
            "{ firstname = \"{{ contact.first_name }}\", callbell_tags = \"{{ contact.tags | join(';') }}\" }",
        ),
        CREATE,
        UPDATE,
        secret("\"hubspot\"", "The API secret.", "\"hubspot-it\""),
    ],
    later: &[],
};

/// `[pipedrive.NAME]`.
pub const PIPEDRIVE: Table = Table {
    kind: "pipedrive",
    named: true,
    meaning: RECORD,
    keys: &[
        MATCH,
        fields("{ name = \"{{ contact.name }}\" }"),
        CREATE,
        UPDATE,
        secret("\"pipedrive\"", "The API secret.", "\"pipedrive-it\""),
    ],
    later: &[],
};

/// `[salesforce.NAME]`.
pub const SALESFORCE: Table = Table {
    kind: "salesforce",
    named: true,
    meaning: RECORD,
    keys: &[
        optional(
            "object",
            Type::Words(&["Contact", "Lead"]),
            "\"Contact\"",
            "What the record is.",
            "\"Lead\"",
        ),
        MATCH,
        fields("{ LastName = \"{{ contact.name | default('WhatsApp') }}\" }"),
        CREATE,
        UPDATE,
        secret("\"salesforce\"", "The API secret.", "\"salesforce-it\""),
    ],
    later: &[],
};

/// `[mailchimp.NAME]`.
pub const MAILCHIMP: Table = Table {
    kind: "mailchimp",
    named: true,
    meaning: "The person in an audience: made, or changed where they are there. Without an e-mail address they are skipped.",
    keys: &[
        required("list", Type::Plain, "The audience's id.", "\"a1b2c3d4e5\""),
        optional(
            "status_if_new",
            Type::Words(&["transactional", "subscribed", "pending", "unsubscribed"]),
            "\"transactional\"",
            "The status of whoever is new. `subscribed` says that you hold their consent, `pending` sends a mail that asks for it.",
            "\"pending\"",
        ),
        optional(
            "match",
            Type::Match,
            "[\"email\"]",
            "Mailchimp finds people by their e-mail address alone.",
            "[\"email\"]",
        ),
        fields("{ FNAME = \"{{ contact.first_name }}\", PHONE = \"{{ contact.phone }}\" }"),
        TAGS,
        CREATE,
        UPDATE,
        secret("\"mailchimp\"", "The API secret.", "\"mailchimp-it\""),
    ],
    later: &[],
};

/// `[zendesk.NAME]`.
pub const ZENDESK: Table = Table {
    kind: "zendesk",
    named: true,
    meaning: RECORD,
    keys: &[
        optional(
            "verified",
            Type::Bool,
            "false",
            "true: no verification mail goes to whoever is new.",
            "true",
        ),
        MATCH,
        fields("{ notes = \"{{ contact.note }}\" }"),
        TAGS,
        CREATE,
        UPDATE,
        secret("\"zendesk\"", "The API secret.", "\"zendesk-it\""),
    ],
    later: &[],
};

/// `[intercom.NAME]`.
pub const INTERCOM: Table = Table {
    kind: "intercom",
    named: true,
    meaning: RECORD,
    keys: &[
        MATCH,
        fields("{ name = \"{{ contact.name }}\" }"),
        TAGS,
        CREATE,
        UPDATE,
        secret("\"intercom\"", "The API secret.", "\"intercom-it\""),
    ],
    later: &[],
};

/// `[opt_out]`.
pub const OPT_OUT: Table = Table {
    kind: "opt_out",
    named: false,
    meaning: "Who asks to be left alone gets nothing but a `reply`. A word counts only where it is the whole message. Every key is optional; without the table the default words hold.",
    keys: &[
        optional(
            "words",
            Type::LocPlains,
            "lists for pt, es, it, en, fr, de",
            "Words that opt out, instead of the default lists.",
            "[\"SAIR\", \"PARAR\"]",
        ),
        optional(
            "back",
            Type::LocPlains,
            "lists for pt, es, it, en, fr, de",
            "Words that opt in again, instead of the default lists.",
            "[\"VOLTAR\"]",
        ),
        optional(
            "confirm",
            Type::Name("message"),
            "",
            "The message that confirms an opt-out.",
            "\"saiu\"",
        ),
        optional(
            "tag",
            Type::Plain,
            "",
            "Callbell tag that is set and removed with it.",
            "\"não perturbe\"",
        ),
        optional(
            "service",
            Type::Words(&["skip", "send"]),
            "\"skip\"",
            "`send`: messages with `purpose = \"service\"` go out all the same.",
            "\"send\"",
        ),
    ],
    later: &[],
};
