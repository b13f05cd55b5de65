//! The catalogue of fields: what expressions and texts may name, of which type, in which events.
//!
//! A test holds it to what [`shared::event`] serialises; the reference is written from it.

use shared::event::{Name, SubjectKind};

use super::diagnostic::nearest;

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldType {
    /// Any text; ids are texts too.
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
    /// An address on the web.
    Url,
    /// An instant: print it through `date` or `time`.
    Time,
    /// A number in major units: print it through `money`.
    Money,
    /// A number.
    Number,
    /// True or false.
    Bool,
    /// A list of texts.
    List,
    /// A list of lines of an order; their fields are below `[]`.
    Items,
    /// Keys that the sender chose, any value.
    FreeMap,
    /// Fields below it.
    Group,
}

impl FieldType {
    /// `a number`: for messages.
    pub(crate) fn is_a(self) -> &'static str {
        match self {
            FieldType::Text | FieldType::Word(_) | FieldType::Url => "a text",
            FieldType::Time => "a time",
            FieldType::Money | FieldType::Number => "a number",
            FieldType::Bool => "true or false",
            FieldType::List | FieldType::Items => "a list",
            FieldType::FreeMap | FieldType::Group => "a table",
        }
    }

    /// The word of the reference.
    pub fn words(self) -> String {
        match self {
            FieldType::Text => "text".into(),
            FieldType::Word(words) => words.join(", "),
            FieldType::Url => "URL".into(),
            FieldType::Time => "time".into(),
            FieldType::Money => "money".into(),
            FieldType::Number => "number".into(),
            FieldType::Bool => "true or false".into(),
            FieldType::List => "list of texts".into(),
            FieldType::Items => "list of items".into(),
            FieldType::FreeMap => "free map".into(),
            FieldType::Group => "group".into(),
        }
    }
}

/// One field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// `order.items[].title`.
    pub path: &'static str,
    /// What it holds.
    pub kind: FieldType,
    /// It may be absent.
    pub optional: bool,
    /// As a text prints it, or how it is used.
    pub example: &'static str,
    /// What it means.
    pub meaning: &'static str,
}

const fn f(
    path: &'static str,
    kind: FieldType,
    example: &'static str,
    meaning: &'static str,
) -> Field {
    Field {
        path,
        kind,
        optional: false,
        example,
        meaning,
    }
}

const fn opt(
    path: &'static str,
    kind: FieldType,
    example: &'static str,
    meaning: &'static str,
) -> Field {
    Field {
        path,
        kind,
        optional: true,
        example,
        meaning,
    }
}

use FieldType::{Bool, FreeMap, Group, Items, List, Money, Number, Text, Time, Url, Word};

/// Every field, in the order of the reference.
pub const FIELDS: &[Field] = &[
    f("event.name", Text, "order.created", "What happened."),
    f("event.source", Text, "loja-it", "The connection."),
    f("event.kind", Text, "shopify", "The provider."),
    opt(
        "event.account",
        Text,
        "minha-loja.myshopify.com",
        "The account at the provider.",
    ),
    f(
        "event.id",
        Text,
        "shopify/order/6171/created",
        "The business key; no personal data.",
    ),
    f(
        "event.at",
        Time,
        "2026-11-22T10:00:00Z",
        "When it happened at the source.",
    ),
    f("customer", Group, "", "The one whom this event is about."),
    opt(
        "customer.name",
        Text,
        "Maria da Silva",
        "The whole name. On `appointment.*` it needs no `default`: who takes bookings asks for it.",
    ),
    opt("customer.first_name", Text, "Maria", "The given name."),
    opt("customer.last_name", Text, "da Silva", "The family name."),
    opt(
        "customer.phone",
        Text,
        "+5511987654321",
        "E.164: the first candidate that is valid for its own country.",
    ),
    opt(
        "customer.country",
        Text,
        "BR",
        "ISO 3166, of the phone, else of the address.",
    ),
    opt(
        "customer.email",
        Text,
        "maria@example.com",
        "Synthetic addresses are absent.",
    ),
    opt("customer.locale", Text, "pt-BR", "BCP 47."),
    opt("customer.timezone", Text, "America/Sao_Paulo", "IANA name."),
    opt("customer.id", Text, "7321", "The id at the source."),
    opt(
        "customer.accepts_marketing",
        Bool,
        "true",
        "Consent to messages on the phone, as the system itself recorded it (Shopify: SMS consent). An e-mail tick is not it.",
    ),
    opt(
        "customer.accepts_email",
        Bool,
        "true",
        "Consent to marketing by e-mail.",
    ),
    f(
        "customer.tags",
        List,
        "vip",
        "The customer's tags at the source.",
    ),
    f("order", Group, "", "The order as the source shows it now."),
    f("order.id", Text, "6171", "The id at the source."),
    f(
        "order.number",
        Text,
        "#1001",
        "The number as the buyer sees it.",
    ),
    f(
        "order.created_at",
        Time,
        "2026-11-22T10:00:00Z",
        "When it was placed.",
    ),
    opt(
        "order.paid_at",
        Time,
        "2026-11-22T10:05:00Z",
        "When payment was complete.",
    ),
    opt(
        "order.cancelled_at",
        Time,
        "2026-11-22T11:00:00Z",
        "When it was cancelled.",
    ),
    f(
        "order.total",
        Money,
        "129.9",
        "What the buyer pays, after edits and refunds, in the currency that the buyer saw.",
    ),
    f("order.subtotal", Money, "119.9", "Items after discounts."),
    f("order.shipping", Money, "10", "Shipping."),
    f("order.tax", Money, "0", "Taxes."),
    f("order.discount", Money, "20", "Discounts, positive."),
    f(
        "order.refunded",
        Money,
        "0",
        "Money that went back, positive.",
    ),
    f("order.currency", Text, "BRL", "ISO 4217."),
    f(
        "order.payment_status",
        Word(&[
            "pending",
            "authorized",
            "paid",
            "partially_refunded",
            "refunded",
            "voided",
            "failed",
        ]),
        "pending",
        "Where payment stands. Pix and boleto stay `pending` until they are paid.",
    ),
    opt(
        "order.payment_method",
        Text,
        "pix",
        "`pix`, `boleto`, `cod`, else the gateway's name.",
    ),
    f(
        "order.fulfillment_status",
        Word(&["none", "partial", "fulfilled"]),
        "none",
        "Where delivery stands.",
    ),
    f(
        "order.items",
        Items,
        "{{ order.items | summary }}",
        "The lines of the order, at most 50.",
    ),
    f("order.items[].title", Text, "Camiseta", "What was bought."),
    opt("order.items[].variant", Text, "M / azul", "Which variant."),
    f("order.items[].quantity", Number, "2", "How many."),
    f("order.items[].price", Money, "59.95", "One of them."),
    f(
        "order.items[].total",
        Money,
        "119.9",
        "All of them, after the line's discounts.",
    ),
    opt(
        "order.items[].sku",
        Text,
        "CAM-M-AZ",
        "The shop's own number.",
    ),
    opt(
        "order.items[].product_id",
        Text,
        "8123",
        "The id at the source.",
    ),
    f(
        "order.item_count",
        Number,
        "3",
        "The sum of all quantities.",
    ),
    opt(
        "order.status_url",
        Url,
        "https://minhaloja.com.br/orders/6171",
        "Carries a key: treated as a secret in logs.",
    ),
    opt(
        "order.payment_url",
        Url,
        "https://minhaloja.com.br/pagar/6171",
        "Where to pay. Carries a key: treated as a secret in logs.",
    ),
    opt("order.shipping_address", Group, "", "Where it goes."),
    opt(
        "order.shipping_address.name",
        Text,
        "Maria da Silva",
        "Who lives there.",
    ),
    opt(
        "order.shipping_address.street",
        Text,
        "Rua Augusta, 1500, ap 42",
        "Street and number, all lines.",
    ),
    opt("order.shipping_address.city", Text, "São Paulo", "City."),
    opt(
        "order.shipping_address.province",
        Text,
        "SP",
        "Province or state.",
    ),
    opt(
        "order.shipping_address.zip",
        Text,
        "01304-001",
        "Postal code.",
    ),
    opt("order.shipping_address.country", Text, "BR", "ISO 3166."),
    opt(
        "order.shipping_address.phone",
        Text,
        "11 98765-4321",
        "As typed.",
    ),
    opt("order.billing_address", Group, "", "Who pays."),
    opt(
        "order.billing_address.name",
        Text,
        "Maria da Silva",
        "Who lives there.",
    ),
    opt(
        "order.billing_address.street",
        Text,
        "Rua Augusta, 1500, ap 42",
        "Street and number, all lines.",
    ),
    opt("order.billing_address.city", Text, "São Paulo", "City."),
    opt(
        "order.billing_address.province",
        Text,
        "SP",
        "Province or state.",
    ),
    opt(
        "order.billing_address.zip",
        Text,
        "01304-001",
        "Postal code.",
    ),
    opt("order.billing_address.country", Text, "BR", "ISO 3166."),
    opt(
        "order.billing_address.phone",
        Text,
        "11 98765-4321",
        "As typed.",
    ),
    opt("order.shipping_method", Text, "PAC", "How it is sent."),
    f(
        "order.discount_codes",
        List,
        "BEMVINDO",
        "Codes that were used.",
    ),
    opt(
        "order.note",
        Text,
        "Deixar na portaria",
        "The buyer's note.",
    ),
    f("order.tags", List, "atacado", "The order's tags."),
    f(
        "order.attributes",
        FreeMap,
        "order.attributes.cpf",
        "Note attributes (Shopify), meta data (WooCommerce).",
    ),
    f(
        "order.channel",
        Word(&["web", "pos", "draft", "other"]),
        "web",
        "Where it was placed.",
    ),
    opt(
        "order.is_first",
        Bool,
        "true",
        "The customer's first order, where the source says.",
    ),
    f(
        "order.test",
        Bool,
        "false",
        "A test gateway; such events never leave except to `only_to`.",
    ),
    opt(
        "order.cancel_reason",
        Text,
        "inventory",
        "Why it was cancelled.",
    ),
    f("shipment", Group, "", "The parcel."),
    f("shipment.id", Text, "4411", "The id at the source."),
    f("shipment.number", Text, "#1001.1", "The parcel's number."),
    opt("shipment.company", Text, "Correios", "The carrier."),
    opt(
        "shipment.tracking_number",
        Text,
        "BR123456789BR",
        "The carrier's number.",
    ),
    opt(
        "shipment.tracking_url",
        Url,
        "https://rastreio.example.com/BR123456789BR",
        "Where to follow it.",
    ),
    opt(
        "shipment.status",
        Word(&["in_transit", "out_for_delivery", "delivered", "failure"]),
        "in_transit",
        "Where the parcel is.",
    ),
    f(
        "shipment.items",
        Items,
        "{{ shipment.items | summary }}",
        "What is in it.",
    ),
    f(
        "shipment.items[].title",
        Text,
        "Camiseta",
        "What was bought.",
    ),
    opt(
        "shipment.items[].variant",
        Text,
        "M / azul",
        "Which variant.",
    ),
    f("shipment.items[].quantity", Number, "2", "How many."),
    f("shipment.items[].price", Money, "59.95", "One of them."),
    f(
        "shipment.items[].total",
        Money,
        "119.9",
        "All of them, after the line's discounts.",
    ),
    opt(
        "shipment.items[].sku",
        Text,
        "CAM-M-AZ",
        "The shop's own number.",
    ),
    opt(
        "shipment.items[].product_id",
        Text,
        "8123",
        "The id at the source.",
    ),
    f(
        "shipment.is_last",
        Bool,
        "true",
        "The last parcel of the order.",
    ),
    f(
        "checkout",
        Group,
        "",
        "The checkout as the source shows it now.",
    ),
    f(
        "checkout.id",
        Text,
        "b1946ac92492d234",
        "The checkout's token.",
    ),
    f(
        "checkout.created_at",
        Time,
        "2026-11-22T10:00:00Z",
        "When it was begun.",
    ),
    f(
        "checkout.updated_at",
        Time,
        "2026-11-22T10:10:00Z",
        "When it last changed.",
    ),
    f("checkout.total", Money, "129.9", "What it would cost."),
    f("checkout.currency", Text, "BRL", "ISO 4217."),
    f(
        "checkout.items",
        Items,
        "{{ checkout.items | summary(2) }}",
        "What is in the basket, at most 50 lines.",
    ),
    f(
        "checkout.items[].title",
        Text,
        "Camiseta",
        "What is in the basket.",
    ),
    opt(
        "checkout.items[].variant",
        Text,
        "M / azul",
        "Which variant.",
    ),
    f("checkout.items[].quantity", Number, "2", "How many."),
    f("checkout.items[].price", Money, "59.95", "One of them."),
    f(
        "checkout.items[].total",
        Money,
        "119.9",
        "All of them, after the line's discounts.",
    ),
    opt(
        "checkout.items[].sku",
        Text,
        "CAM-M-AZ",
        "The shop's own number.",
    ),
    opt(
        "checkout.items[].product_id",
        Text,
        "8123",
        "The id at the source.",
    ),
    f(
        "checkout.item_count",
        Number,
        "3",
        "The sum of all quantities.",
    ),
    f(
        "checkout.url",
        Url,
        "https://minhaloja.com.br/checkout/b1946ac9",
        "Back to the basket.",
    ),
    f(
        "checkout.discount_codes",
        List,
        "BEMVINDO",
        "Codes that were entered.",
    ),
    f(
        "checkout.attributes",
        FreeMap,
        "checkout.attributes.cpf",
        "Note attributes.",
    ),
    f(
        "appointment",
        Group,
        "",
        "The appointment as the source shows it now.",
    ),
    f(
        "appointment.id",
        Text,
        "evt-8812",
        "The first id that the source gave it: the same through all reschedules.",
    ),
    opt(
        "appointment.series",
        Text,
        "igiene-2026",
        "The series that it is one of.",
    ),
    f(
        "appointment.title",
        Text,
        "Igiene dentale",
        "What it is called.",
    ),
    opt(
        "appointment.type",
        Text,
        "igiene-dentale",
        "The event type's slug or id, to filter by.",
    ),
    f(
        "appointment.start",
        Time,
        "2026-11-24T09:00:00Z",
        "When it begins.",
    ),
    f(
        "appointment.end",
        Time,
        "2026-11-24T09:45:00Z",
        "When it ends.",
    ),
    f("appointment.minutes", Number, "45", "How long it takes."),
    f(
        "appointment.timezone",
        Text,
        "Europe/Rome",
        "IANA name: the place's zone for a visit in person, the invitee's for a call or video. Where the source does not know the place's, the connection's.",
    ),
    f(
        "appointment.in_person",
        Bool,
        "true",
        "A visit, not a call or a video.",
    ),
    f("appointment.all_day", Bool, "false", "A day without hours."),
    opt(
        "appointment.location",
        Text,
        "Via Roma 1, Milano",
        "An address, or the number that is called.",
    ),
    opt(
        "appointment.join_url",
        Url,
        "https://meet.example.com/abc",
        "Where the video is.",
    ),
    f("appointment.host", Group, "", "With whom."),
    opt(
        "appointment.host.name",
        Text,
        "Dott.ssa Bianchi",
        "The whole name.",
    ),
    opt(
        "appointment.host.email",
        Text,
        "bianchi@example.com",
        "The e-mail address.",
    ),
    opt(
        "appointment.cancel_url",
        Url,
        "https://booking.example.com/cancel/8812",
        "Where the invitee cancels. Carries a key: treated as a secret in logs.",
    ),
    opt(
        "appointment.reschedule_url",
        Url,
        "https://booking.example.com/reschedule/8812",
        "Where the invitee picks another time. Carries a key: treated as a secret in logs.",
    ),
    f(
        "appointment.answers",
        FreeMap,
        "appointment.answers['Prima visita?']",
        "What the invitee answered, by question or slug.",
    ),
    opt(
        "appointment.previous_start",
        Time,
        "2026-11-23T09:00:00Z",
        "On rescheduled: when it would have begun.",
    ),
    opt(
        "appointment.previous_end",
        Time,
        "2026-11-23T09:45:00Z",
        "On rescheduled: when it would have ended.",
    ),
    opt(
        "appointment.cancelled_by",
        Word(&["host", "customer"]),
        "customer",
        "Who called it off.",
    ),
    opt(
        "appointment.reason",
        Text,
        "Raffreddore",
        "Why it was cancelled, moved or declined.",
    ),
    f(
        "appointment.wants_reschedule",
        Bool,
        "false",
        "The host asked for another time.",
    ),
    opt(
        "appointment.paid",
        Bool,
        "true",
        "Whether it is paid, where it costs something.",
    ),
    opt("appointment.price", Money, "80", "What it costs."),
    opt("appointment.currency", Text, "EUR", "ISO 4217."),
    f(
        "appointment.guests",
        List,
        "marco@example.com",
        "E-mail addresses of others who were asked to come.",
    ),
    f(
        "appointment.utm",
        FreeMap,
        "appointment.utm.source",
        "`source`, `medium`, `campaign`, `term`, `content` of the link that led to the booking.",
    ),
    f("form", Group, "", "An answer to a form."),
    f("form.id", Text, "u6nXL7", "The form."),
    f(
        "form.title",
        Text,
        "Fale conosco",
        "What the form is called.",
    ),
    f(
        "form.response_id",
        Text,
        "21085286190ffad1248d17c4135ee56f",
        "This answer to it.",
    ),
    f(
        "form.submitted_at",
        Time,
        "2026-11-22T10:00:00Z",
        "When it was sent.",
    ),
    f(
        "form.answers",
        FreeMap,
        "form.answers.cidade",
        "By the question's reference, or its title made into a slug: text, number, true or false, or a list.",
    ),
    f(
        "form.labels",
        FreeMap,
        "form.labels.cidade",
        "The question, by the same keys.",
    ),
    f(
        "form.hidden",
        FreeMap,
        "form.hidden.utm_source",
        "Typed by the visitor's address: no proof of anything.",
    ),
    opt("form.score", Number, "7", "What the form counted."),
    opt(
        "form.response_url",
        Url,
        "https://form.example.com/answers/1",
        "Shows the answer at the source.",
    ),
    f(
        "lead",
        Group,
        "",
        "A person in a CRM, a list or a help desk; one in Callbell is `contact`.",
    ),
    f("lead.id", Text, "512", "The id at the source."),
    f(
        "lead.kind",
        Word(&["contact", "person", "lead", "subscriber", "user"]),
        "contact",
        "What the source calls such a person.",
    ),
    opt(
        "lead.url",
        Url,
        "https://app.hubspot.com/contacts/62515/contact/512",
        "Shows the person at the source.",
    ),
    opt(
        "lead.created_at",
        Time,
        "2026-11-22T10:00:00Z",
        "When the person came into being there.",
    ),
    f("lead.owner", Group, "", "Who takes care of them."),
    opt("lead.owner.name", Text, "Ana Souza", "The whole name."),
    opt(
        "lead.owner.email",
        Text,
        "ana@minhaloja.com.br",
        "The e-mail address.",
    ),
    opt("lead.company", Text, "Padaria Central", "Where they work."),
    opt(
        "lead.stage",
        Text,
        "lead",
        "How far they have come: a lifecycle stage, a status.",
    ),
    f(
        "lead.fields",
        FreeMap,
        "lead.fields.lifecyclestage",
        "Everything else, by the system's own names.",
    ),
    f(
        "lead.changed",
        List,
        "phone",
        "On `lead.updated`, what changed, by what the system says and what was seen before: `phone`, `email`, `name`, `company`, `stage`, `owner`, `tags`, and names of `fields`. Who gets a phone later is welcomed by `on = [\"lead.created\", \"lead.updated\"]`, `when = \"event.name == 'lead.created' or 'phone' in lead.changed\"`, `once = \"customer\"`.",
    ),
    opt("lead.list", Text, "a6b5da1054", "Mailchimp: the audience."),
    f("deal", Group, "", "A deal as the CRM shows it now."),
    f("deal.id", Text, "77", "The id at the source."),
    f("deal.title", Text, "Plano anual", "What it is called."),
    f("deal.value", Money, "1200", "What it is worth."),
    f("deal.currency", Text, "BRL", "ISO 4217."),
    f(
        "deal.stage",
        Text,
        "Proposta",
        "Where it stands: the stage's name, or its id where the source does not say the name.",
    ),
    opt("deal.pipeline", Text, "Vendas", "In which pipeline."),
    f(
        "deal.status",
        Word(&["open", "won", "lost"]),
        "open",
        "Whether it is decided.",
    ),
    opt(
        "deal.previous_stage",
        Text,
        "Contato",
        "Where it stood before this change.",
    ),
    f("deal.owner", Group, "", "Who takes care of it."),
    opt("deal.owner.name", Text, "Ana Souza", "The whole name."),
    opt(
        "deal.owner.email",
        Text,
        "ana@minhaloja.com.br",
        "The e-mail address.",
    ),
    opt(
        "deal.url",
        Url,
        "https://minhaloja.pipedrive.com/deal/77",
        "Shows it at the source.",
    ),
    f(
        "deal.fields",
        FreeMap,
        "deal.fields.origem",
        "Everything else, by the system's own names.",
    ),
    f("email", Group, "", "An e-mail that arrived."),
    f(
        "email.id",
        Text,
        "18f3c2a9d4b7e610",
        "The id at the source.",
    ),
    f(
        "email.from",
        Group,
        "",
        "Who sent it, as its header says: anybody can write that.",
    ),
    opt("email.from.name", Text, "Maria da Silva", "The name."),
    f(
        "email.from.address",
        Text,
        "maria@example.com",
        "The address, in lower case.",
    ),
    f(
        "email.to",
        List,
        "vendas@minhaloja.com.br",
        "Whom it was sent to.",
    ),
    f("email.subject", Text, "Orçamento", "What it is about."),
    f("email.snippet", Text, "Olá, gostaria", "Its first words."),
    f(
        "email.text",
        Text,
        "Olá, gostaria de um orçamento. Meu celular: 11 98765-4321",
        "Its words without mark-up, at most 2,000 characters.",
    ),
    f("email.at", Time, "2026-11-22T10:00:00Z", "When it arrived."),
    f("email.labels", List, "INBOX", "The labels that it has."),
    f(
        "email.has_attachments",
        Bool,
        "true",
        "Whether files came with it.",
    ),
    f(
        "data",
        FreeMap,
        "data.pedido.numero",
        "On `custom.received`: the JSON as it was posted.",
    ),
    f("contact", Group, "", "The person in Callbell."),
    f(
        "contact.id",
        Text,
        "9c2d5f7e1b3a4c6d8e0f9a8b7c6d5e4f",
        "Callbell's number of the person.",
    ),
    opt("contact.name", Text, "Maria da Silva", "The whole name."),
    opt("contact.first_name", Text, "Maria", "The given name."),
    opt(
        "contact.phone",
        Text,
        "+5511987654321",
        "E.164; a person who hides the number has none.",
    ),
    opt(
        "contact.bsuid",
        Text,
        "BR.2187634598712",
        "WhatsApp's id of a person who hides the number.",
    ),
    opt(
        "contact.email",
        Text,
        "maria@example.com",
        "The e-mail address.",
    ),
    f(
        "contact.url",
        Url,
        "https://dash.callbell.eu/contacts/9c2d5f7e",
        "Opens the inbox.",
    ),
    f("contact.tags", List, "vip", "Tags in Callbell."),
    f(
        "contact.fields",
        FreeMap,
        "contact.fields.Cidade",
        "Custom fields by their Callbell name.",
    ),
    opt(
        "contact.assigned_to",
        Text,
        "ana@minhaloja.com.br",
        "E-mail address of the assigned user.",
    ),
    opt("contact.team", Text, "Comercial", "The team's name."),
    opt("contact.funnel", Text, "71", "The funnel's id."),
    opt("contact.note", Text, "Prefere à tarde", "The note."),
    opt(
        "contact.avatar_url",
        Url,
        "https://cdn.example.com/maria.jpg",
        "The picture.",
    ),
    f(
        "contact.channel",
        Text,
        "br",
        "The channel's name in this file, else its uuid.",
    ),
    f(
        "contact.channel_kind",
        Word(&["whatsapp", "instagram", "facebook", "telegram"]),
        "whatsapp",
        "Over which network the person writes.",
    ),
    f(
        "contact.created_at",
        Time,
        "2026-11-22T09:00:00Z",
        "When the person came into being there.",
    ),
    opt(
        "contact.closed_at",
        Time,
        "2026-11-21T18:00:00Z",
        "When the conversation was closed.",
    ),
    f("contact.blocked", Bool, "false", "Blocked by the team."),
    f(
        "contact.changed",
        List,
        "fields.Cidade",
        "On contact.updated: what changed against what we last saw, `tags`, `fields.Cidade`. Our own writes are taken out.",
    ),
    f(
        "contact.added_tags",
        List,
        "vip",
        "On contact.updated: tags that are new.",
    ),
    f(
        "contact.removed_tags",
        List,
        "lead",
        "On contact.updated: tags that are gone.",
    ),
    f(
        "contact.opted_out",
        Bool,
        "false",
        "Asked to be left alone.",
    ),
    f(
        "contact.window_open",
        Bool,
        "true",
        "Wrote within the last 24 hours.",
    ),
    f(
        "conversation",
        Group,
        "",
        "The talk with the person in Callbell.",
    ),
    f(
        "conversation.id",
        Text,
        "9c2d5f7e1b3a4c6d8e0f9a8b7c6d5e4f",
        "Callbell has none of its own: the contact's.",
    ),
    f(
        "conversation.url",
        Url,
        "https://dash.callbell.eu/chat/9c2d5f7e",
        "Opens the inbox.",
    ),
    opt(
        "conversation.opened_at",
        Time,
        "2026-11-22T09:00:00Z",
        "When it was opened.",
    ),
    opt(
        "conversation.closed_at",
        Time,
        "2026-11-22T12:00:00Z",
        "When it was closed.",
    ),
    opt(
        "conversation.closing_reason",
        Text,
        "Resolvido",
        "Why it was closed.",
    ),
    f(
        "conversation.human",
        Bool,
        "false",
        "Somebody is assigned, or a team member wrote lately.",
    ),
    opt(
        "conversation.last_sent",
        Text,
        "visit",
        "The automation whose message this person got last, within 7 days: so that \"SÌ\" can be read as the answer to the reminder.",
    ),
    f("message", Group, "", "The message."),
    opt(
        "message.text",
        Text,
        "Olá, vocês abrem hoje?",
        "What was written; absent where there are attachments alone.",
    ),
    f(
        "message.kind",
        Word(&[
            "text", "image", "document", "audio", "video", "location", "contact", "button", "list",
            "reaction",
        ]),
        "text",
        "What it is.",
    ),
    opt(
        "message.button",
        Text,
        "confirm",
        "The id of a button that was tapped.",
    ),
    opt(
        "message.choice",
        Text,
        "Confirmar",
        "The title of a button or list's row that was tapped.",
    ),
    f(
        "message.attachments",
        List,
        "https://cdn.example.com/foto.jpg",
        "Addresses of files. They carry keys: treated as secrets in logs.",
    ),
    opt("message.location", Group, "", "A place."),
    opt(
        "message.location.latitude",
        Number,
        "-23.55",
        "Degrees north.",
    ),
    opt(
        "message.location.longitude",
        Number,
        "-46.63",
        "Degrees east.",
    ),
    opt(
        "message.card",
        Text,
        "João, +5511912345678",
        "A contact card, in words.",
    ),
    opt(
        "message.reaction",
        Text,
        "👍",
        "The emoji on an earlier message.",
    ),
    f(
        "message.forwarded",
        Bool,
        "false",
        "Forwarded from somewhere else.",
    ),
    f(
        "message.is_first",
        Bool,
        "true",
        "The first message of this person that we saw.",
    ),
    f(
        "message.at",
        Time,
        "2026-11-22T10:00:00Z",
        "When it was written, or when its status changed.",
    ),
    opt(
        "message.id",
        Text,
        "c4d5e6f7a8b94c0d8e1f2a3b4c5d6e7f",
        "Callbell's number of the message, on delivered, read and failed.",
    ),
    f(
        "message.status",
        Word(&["received", "sent", "delivered", "read", "failed"]),
        "received",
        "Where it stands.",
    ),
    opt(
        "message.reason",
        Text,
        "Message undeliverable",
        "On failed: WhatsApp's reason.",
    ),
    opt(
        "message.corrected_phone",
        Text,
        "+551187654321",
        "The number that WhatsApp made of ours.",
    ),
    f("job", Group, "", "What we did, or could not do."),
    f(
        "job.key",
        Text,
        "order-confirmed/message.order-confirmed#shopify/order/6171/paid",
        "The job's readable key, as `callbell jobs show` takes it.",
    ),
    f(
        "job.automation",
        Text,
        "order-confirmed",
        "Which automation made it.",
    ),
    f(
        "job.action",
        Text,
        "message.order-confirmed",
        "What it does.",
    ),
    f("job.status", Text, "dead", "Where it stands."),
    f(
        "job.reason",
        Text,
        "Callbell 400: template_uuid",
        "Why; no personal data.",
    ),
    f("job.attempts", Number, "3", "How often it was tried."),
    f(
        "now",
        Time,
        "2026-11-22T10:00:00Z",
        "The moment of sending.",
    ),
];

/// First parts of the fields that every event has.
const EVERYWHERE: [&str; 3] = ["event", "customer", "now"];

/// The first part of a path: `order` of `order.items[].title`.
pub fn root(path: &str) -> &str {
    path.split(['.', '[']).next().unwrap_or(path)
}

/// Whether fields with this first part exist in an event.
pub fn has_root(event: Name, root: &str) -> bool {
    EVERYWHERE.contains(&root)
        || match event.subject() {
            SubjectKind::Order => root == "order",
            SubjectKind::Shipment => root == "order" || root == "shipment",
            SubjectKind::Checkout => root == "checkout",
            SubjectKind::Appointment => root == "appointment",
            SubjectKind::Contact => root == "contact",
            SubjectKind::Conversation => matches!(root, "contact" | "conversation"),
            SubjectKind::Message if is_ours(event) => {
                matches!(root, "contact" | "conversation" | "message" | "job")
            }
            SubjectKind::Message => matches!(root, "contact" | "conversation" | "message"),
            SubjectKind::Job => root == "job",
            SubjectKind::Form => root == "form",
            SubjectKind::Lead => root == "lead",
            SubjectKind::Deal => root == "deal",
            SubjectKind::Email => root == "email",
            SubjectKind::Custom => root == "data",
            SubjectKind::Source | SubjectKind::Privacy => false,
        }
}

/// Messages that we sent: what Callbell says of them belongs to a job.
fn is_ours(event: Name) -> bool {
    matches!(
        event,
        Name::MessageDelivered | Name::MessageRead | Name::MessageFailed
    )
}

/// First parts of the fields that are asked of Callbell, for events that do not bring them.
const ASKED_FOR: [&str; 2] = ["contact", "conversation"];

/// Whether fields with this first part are asked of Callbell where the event does not bring them.
pub(crate) fn is_asked_for(root: &str) -> bool {
    ASKED_FOR.contains(&root)
}

/// Whether fields with this first part may be named for an event: those that it has and, from the moment
/// that a step acts, the person in Callbell. `asked_once` is where that is not known yet.
pub(crate) fn is_known_in(event: Name, root: &str, asked_once: bool) -> bool {
    has_root(event, root) || (!asked_once && ASKED_FOR.contains(&root))
}

/// Optional fields that events about such a subject have all the same: who takes bookings asks for a name.
/// Where a calendar has none after all, the value is blank and the message skipped, as every blank value is.
const ASKED_OF_ALL: [(&str, SubjectKind); 1] = [("customer.name", SubjectKind::Appointment)];

/// Whether a field may be absent in one of these events: the person need not be in Callbell.
pub(crate) fn is_optional_in(field: &Field, events: &[Name]) -> bool {
    let root = root(field.path);
    let is_there = |event: &Name| ASKED_OF_ALL.contains(&(field.path, event.subject()));
    (field.optional && !events.iter().all(is_there))
        || (ASKED_FOR.contains(&root) && events.iter().any(|event| !has_root(*event, root)))
}

/// The fields of an event, in the order of the reference.
pub fn of(event: Name) -> impl Iterator<Item = &'static Field> {
    FIELDS
        .iter()
        .filter(move |field| has_root(event, root(field.path)))
}

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// A field of the catalogue.
    Field(&'static Field),
    /// Something inside this free map: any type, or absent.
    Free(&'static Field),
    /// Nothing.
    Unknown,
}

/// Finds a path, in whichever event it is. Indexes are `[]`; an attribute of a list that is no index
/// is nothing.
pub fn lookup(path: &str) -> Lookup {
    if let Some(field) = FIELDS.iter().find(|field| field.path == path) {
        return Lookup::Field(field);
    }
    // An element of a list: `order.tags[]` is a text, `order.items[]` a group.
    if let Some(list) = path.strip_suffix("[]")
        && let Some(field) = FIELDS
            .iter()
            .find(|field| field.path == list && matches!(field.kind, List | Items))
    {
        return Lookup::Field(field);
    }
    let inside = |field: &&Field| {
        field.kind == FreeMap
            && path
                .strip_prefix(field.path)
                .is_some_and(|rest| rest.starts_with(['.', '[']))
    };
    match FIELDS.iter().find(inside) {
        Some(field) => Lookup::Free(field),
        None => Lookup::Unknown,
    }
}

/// What is wrong with a path in these events, where something is. `asked_once` is where `now` is not
/// known yet: the `when` and `consent` of an automation.
pub(crate) fn problem(path: &str, events: &[Name], asked_once: bool) -> Option<String> {
    let first = root(path);
    let asked_too_early =
        ASKED_FOR.contains(&first) && events.iter().any(|event| !has_root(*event, first));
    if asked_once && (first == "now" || asked_too_early) {
        return Some(format!(
            "{first}: not known yet when the event arrives: move it to the step's when"
        ));
    }
    let known = |event: &Name| is_known_in(*event, first, asked_once);
    let found = lookup(path);
    if found != Lookup::Unknown {
        let lacking = events.iter().find(|event| !known(event))?;
        let roots: Vec<&str> = [
            "event",
            "customer",
            "order",
            "shipment",
            "checkout",
            "appointment",
            "form",
            "lead",
            "deal",
            "email",
            "data",
            "contact",
            "conversation",
            "message",
            "job",
        ]
        .into_iter()
        .filter(|root| has_root(*lacking, root))
        .collect();
        return Some(format!(
            "{lacking} has no {first}.*; it has {}",
            roots.join(", ")
        ));
    }
    let here: Vec<&str> = FIELDS
        .iter()
        .map(|field| field.path)
        .filter(|path| {
            let root = root(path);
            // Near to a typing mistake are the event's own fields first.
            let near = |event: &Name| has_root(*event, root) || (root == first && known(event));
            events.iter().all(near)
        })
        .collect();
    Some(match nearest_field(path, &here) {
        Some(near) => format!("unknown field {path}; did you mean {near}?"),
        None => {
            let group = path.rsplit_once('.').map_or("", |(group, _)| group);
            let known = below(group, &here);
            match known.is_empty() {
                true => format!("unknown field {path}"),
                false => format!("unknown field {path}; {group} has {}", known.join(", ")),
            }
        }
    })
}

/// The last parts of the fields right below a group.
fn below<'f>(group: &str, fields: &[&'f str]) -> Vec<&'f str> {
    let part = |field: &&'f str| {
        let rest = field.strip_prefix(group)?.strip_prefix('.')?;
        (!rest.contains(['.', '['])).then_some(rest)
    };
    fields.iter().filter_map(part).collect()
}

/// The field that was meant: of the same group first, then by its last part alone.
fn nearest_field<'f>(path: &str, fields: &[&'f str]) -> Option<&'f str> {
    let (group, last) = path.rsplit_once('.').unwrap_or(("", path));
    let in_group = fields
        .iter()
        .copied()
        .filter(|field| field.rsplit_once('.').is_some_and(|(one, _)| one == group));
    let by_last = |field: &&&str| field.rsplit_once('.').is_some_and(|(_, one)| one == last);
    let known_group = fields.contains(&group);
    let near_in_group = nearest(
        last,
        in_group.filter_map(|field| field.rsplit_once('.').map(|(_, one)| one)),
    )
    .and_then(|one| {
        fields
            .iter()
            .copied()
            .find(|field| field.rsplit_once('.') == Some((group, one)))
    });
    near_in_group
        .or_else(|| {
            if known_group {
                None
            } else {
                nearest(path, fields.iter().copied())
            }
        })
        .or_else(|| fields.iter().find(by_last).copied())
        .or_else(|| nearest(path, fields.iter().copied()))
}

/// What is wrong with a field of `at` in these events, where something is.
pub(crate) fn time_problem(path: &str, events: &[Name]) -> Option<String> {
    if path == "now" {
        return Some("now moves: count from the event, +1h, or from a field".to_owned());
    }
    let first = root(path);
    if ASKED_FOR.contains(&first) && events.iter().any(|event| !has_root(*event, first)) {
        return Some(format!(
            "{first}: not known yet when the event arrives: count from the event, or from one of its own fields"
        ));
    }
    if let Some(problem) = problem(path, events, false) {
        return Some(problem);
    }
    match lookup(path) {
        Lookup::Field(field) if field.kind == Time => None,
        // A free map may hold a time; the worker skips the job where it does not.
        Lookup::Free(_) => None,
        Lookup::Field(_) | Lookup::Unknown => {
            let times: Vec<&str> = FIELDS
                .iter()
                .filter(|field| field.kind == Time && field.path != "now")
                .map(|field| field.path)
                .filter(|path| events.iter().all(|event| has_root(*event, root(path))))
                .collect();
            Some(format!(
                "{path} is no time; there are: {}",
                times.join(", ")
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use jiff::Timestamp;
    use serde_json::Value;

    use super::super::context::Scope;
    use super::super::locale::Home;
    use super::super::samples::{Kind, sample};
    use super::*;

    /// What events carry for the planner and automations do not see.
    const HIDDEN: [&str; 8] = [
        "subject",
        "event.test",
        "event.depth",
        "event.notes",
        "customer.phones",
        "customer.bsuid",
        "job.id",
        "job.event",
    ];

    fn flatten(path: &str, value: &Value, found: &mut BTreeMap<String, Value>) {
        // An empty text is absent to the engine.
        if HIDDEN.contains(&path) || value.as_str() == Some("") {
            return;
        }
        if !path.is_empty() {
            found.insert(path.to_owned(), value.clone());
        }
        let free = matches!(lookup(path), Lookup::Field(field) if field.kind == FreeMap);
        match value {
            Value::Object(map) if !free => {
                for (key, inner) in map {
                    let path = if path.is_empty() {
                        key.clone()
                    } else {
                        format!("{path}.{key}")
                    };
                    flatten(&path, inner, found);
                }
            }
            Value::Array(list) => {
                for inner in list.iter().filter(|inner| inner.is_object()) {
                    flatten(&format!("{path}[]"), inner, found);
                }
            }
            _ => {}
        }
    }

    fn written(event: Name, kind: Kind) -> BTreeMap<String, Value> {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().expect("a time");
        let event = serde_json::to_value(sample(event, kind, now, [])).expect("JSON");
        let mut found = BTreeMap::new();
        flatten("", &event, &mut found);
        found.remove("event");
        found.retain(|path, _| !path.ends_with("[]"));
        found
    }

    fn events() -> impl Iterator<Item = Name> {
        Name::ALL.iter().copied().filter(|name| !name.is_internal())
    }

    #[test]
    fn the_catalogue_has_what_events_write_and_nothing_else() {
        for event in events() {
            let catalogue: BTreeSet<String> = of(event)
                .map(|field| field.path.to_owned())
                .filter(|path| path != "now")
                .collect();
            let full: BTreeSet<String> = written(event, Kind::Full).into_keys().collect();
            assert_eq!(catalogue, full, "{event}");
            let required: BTreeSet<String> = written(event, Kind::Required).into_keys().collect();
            let promised: BTreeSet<String> = of(event)
                .filter(|field| !is_optional_in(field, &[event]) && field.path != "now")
                .map(|field| field.path.to_owned())
                .collect();
            assert_eq!(promised, required, "{event}, required only");
        }
    }

    #[test]
    fn types_are_those_of_what_events_write() {
        for event in events() {
            let full = written(event, Kind::Full);
            for field in of(event).filter(|field| field.path != "now") {
                let value = full.get(field.path).expect(field.path);
                let right = match field.kind {
                    Text => value.is_string(),
                    Word(words) => value.as_str().is_some_and(|word| words.contains(&word)),
                    Url => value
                        .as_str()
                        .is_some_and(|url| url.starts_with("https://")),
                    Time => value
                        .as_str()
                        .is_some_and(|time| time.parse::<Timestamp>().is_ok()),
                    Money => value
                        .as_str()
                        .is_some_and(|money| shared::event::Money::parse(money).is_some()),
                    Number => value.is_number(),
                    Bool => value.is_boolean(),
                    List => value
                        .as_array()
                        .is_some_and(|list| !list.is_empty() && list.iter().all(Value::is_string)),
                    Items => value
                        .as_array()
                        .is_some_and(|list| !list.is_empty() && list.iter().all(Value::is_object)),
                    FreeMap | Group => value.is_object(),
                };
                assert!(right, "{event}: {} is {value}", field.path);
            }
        }
    }

    /// Every word that a type can write is in the catalogue, and no other.
    #[test]
    fn words_are_those_of_the_types() {
        fn reads<T: serde::de::DeserializeOwned>(path: &str) {
            let Lookup::Field(Field {
                kind: Word(words), ..
            }) = lookup(path)
            else {
                panic!("{path}")
            };
            for word in *words {
                serde_json::from_value::<T>(Value::from(*word))
                    .unwrap_or_else(|why| panic!("{path}: {why}"));
            }
            let refused = serde_json::from_value::<T>(Value::from("?"))
                .err()
                .expect("a refusal")
                .to_string();
            // The refusal of an unknown word names all that there are.
            assert_eq!(
                refused.matches('`').count() / 2,
                words.len() + 1,
                "{path}: {refused}"
            );
        }
        reads::<shared::event::PaymentStatus>("order.payment_status");
        reads::<shared::event::FulfillmentStatus>("order.fulfillment_status");
        reads::<shared::event::SalesChannel>("order.channel");
        reads::<shared::event::ShipmentStatus>("shipment.status");
        reads::<shared::event::CancelledBy>("appointment.cancelled_by");
        reads::<shared::event::MessageKind>("message.kind");
        reads::<shared::event::LeadKind>("lead.kind");
        reads::<shared::event::DealStatus>("deal.status");
    }

    /// What the engine sees is the same again.
    #[test]
    fn the_engine_sees_every_field() {
        let file = super::super::parse::read("").automations;
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().expect("a time");
        for event in events() {
            for kind in [Kind::Full, Kind::Required] {
                let sample = sample(event, kind, now, []);
                let scope = Scope::new(&file, &Home::of(&file, &sample, None), &sample).at(now);
                for field in of(event).filter(|field| !field.path.contains('[')) {
                    let seen = !scope.field(field.path).is_undefined();
                    assert_eq!(
                        seen,
                        kind == Kind::Full || !is_optional_in(field, &[event]),
                        "{event}, {kind:?}: {}",
                        field.path
                    );
                }
            }
        }
    }

    #[test]
    fn paths_are_found() {
        assert!(matches!(lookup("order.attributes.a.b"), Lookup::Free(_)));
        assert!(matches!(lookup("order.items[].title"), Lookup::Field(_)));
        assert!(matches!(lookup("order.tags[]"), Lookup::Field(_)));
        assert_eq!(lookup("order.attributesx"), Lookup::Unknown);
        assert_eq!(lookup("order.items.title"), Lookup::Unknown);
    }

    #[test]
    fn the_nearest_field_is_named() {
        let said = |path: &str| problem(path, &[Name::OrderCreated], false).unwrap_or_default();
        assert_eq!(
            said("order.totl"),
            "unknown field order.totl; did you mean order.total?"
        );
        assert_eq!(
            said("ordr.total"),
            "unknown field ordr.total; did you mean order.total?"
        );
        assert_eq!(
            said("phone"),
            "unknown field phone; did you mean customer.phone?"
        );
        assert_eq!(
            said("order.items.title"),
            "unknown field order.items.title; did you mean order.items[].title?"
        );
        assert!(
            said("customer.shoe_size")
                .starts_with("unknown field customer.shoe_size; customer has name, first_name")
        );
        assert_eq!(
            said("order.items[].nome"),
            "unknown field order.items[].nome; order.items[] has title, variant, quantity, price, total, sku, product_id"
        );
        assert_eq!(
            said("checkout.total"),
            "order.created has no checkout.*; it has event, customer, order"
        );
    }
}
