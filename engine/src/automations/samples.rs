//! Four samples of every event: what `callbell check` tries every expression and text on, and what
//! `callbell try` and `callbell send --sample` show.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use shared::event::{
    Address, Appointment, Body, CancelledBy, Checkout, Contact, Conversation, Customer, Deal,
    DealStatus, Email, Event, Fact, Form, FreeMap, FulfillmentStatus, Head, Host, Item, Job, Lead,
    LeadKind, Location, Message, MessageKind, Money, Name, Order, PaymentStatus, PhoneCandidate,
    SalesChannel, Sender, Shipment, ShipmentStatus, State, Subject, SubjectKind,
};

/// Which of the four.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Every field is there.
    Full,
    /// What may be absent is.
    Required,
    /// Every field is there, free maps hold texts.
    Texts,
    /// Every field is there, free maps hold numbers.
    Numbers,
}

impl Kind {
    /// All four, in the order in which check tries them.
    pub const ALL: [Kind; 4] = [Kind::Full, Kind::Required, Kind::Texts, Kind::Numbers];

    /// As a report names it: `in the sample of order.paid with required fields only`.
    pub fn of(self, event: Name) -> String {
        match self {
            Kind::Full => format!("in the full sample of {event}"),
            Kind::Required => format!("in the sample of {event} with required fields only"),
            Kind::Texts => format!("in the sample of {event} with texts in its free maps"),
            Kind::Numbers => format!("in the sample of {event} with numbers in its free maps"),
        }
    }
}

/// How far ahead of `now` the sample's appointment is, in minutes: three days, so that what reminds of
/// it is still to come.
const AHEAD_MINUTES: i64 = 3 * 24 * 60;
/// How long the sample's appointment takes.
const APPOINTMENT_MINUTES: i64 = 45;

/// A sample of an event, with times shortly before `now`; an appointment lies ahead of it. `free` are paths into free maps
/// (`order.attributes.age`), which the samples of [`Kind::Texts`] and [`Kind::Numbers`] fill.
pub fn sample<'p>(
    name: Name,
    kind: Kind,
    now: Timestamp,
    free: impl IntoIterator<Item = &'p str>,
) -> Event {
    let clock = Times { now };
    let mut event = match name.subject() {
        SubjectKind::Checkout => checkout(name, &clock),
        SubjectKind::Appointment => appointment(name, &clock),
        SubjectKind::Contact
        | SubjectKind::Conversation
        | SubjectKind::Message
        | SubjectKind::Job => callbell(name, &clock),
        SubjectKind::Form
        | SubjectKind::Lead
        | SubjectKind::Deal
        | SubjectKind::Email
        | SubjectKind::Custom => elsewhere(name, &clock),
        SubjectKind::Order | SubjectKind::Shipment | SubjectKind::Source | SubjectKind::Privacy => {
            order(name, &clock)
        }
    };
    match kind {
        Kind::Full => {}
        Kind::Required => strip(&mut event),
        Kind::Texts => fill(&mut event, free, &Value::from("7")),
        Kind::Numbers => fill(&mut event, free, &Value::from(7)),
    }
    event
}

struct Times {
    now: Timestamp,
}

impl Times {
    fn minutes_ago(&self, minutes: i64) -> Timestamp {
        self.now
            .checked_sub(SignedDuration::from_mins(minutes))
            .unwrap_or(self.now)
    }
}

fn money(text: &str) -> Money {
    Money::parse(text).unwrap_or_default()
}

fn text(value: &str) -> Option<String> {
    Some(value.to_owned())
}

fn customer() -> Customer {
    Customer {
        name: text("Maria da Silva"),
        first_name: text("Maria"),
        last_name: text("da Silva"),
        phone: text("+5511987654321"),
        country: text("BR"),
        email: text("maria@example.com"),
        locale: text("pt-BR"),
        timezone: text("America/Sao_Paulo"),
        id: text("7321"),
        accepts_marketing: Some(true),
        accepts_email: Some(true),
        tags: vec!["vip".to_owned()],
        bsuid: None,
        phones: vec![PhoneCandidate {
            path: "phone".to_owned(),
            number: text("+5511987654321"),
            country: text("BR"),
        }],
    }
}

fn items() -> Vec<Item> {
    let item = |title: &str, variant: &str, quantity, price: &str, total: &str, sku: &str| Item {
        title: title.to_owned(),
        variant: text(variant),
        quantity,
        price: money(price),
        total: money(total),
        sku: text(sku),
        product_id: text("8123"),
    };
    vec![
        item("Camiseta", "M / azul", 2, "49.95", "99.9", "CAM-M-AZ"),
        item("Boné", "Preto", 1, "30", "30", "BON-P"),
    ]
}

fn address() -> Address {
    Address {
        name: text("Maria da Silva"),
        street: text("Rua Augusta, 1500, ap 42"),
        city: text("São Paulo"),
        province: text("SP"),
        zip: text("01304-001"),
        country: text("BR"),
        phone: text("11 98765-4321"),
    }
}

fn attributes() -> FreeMap {
    FreeMap::from_iter([("cpf".to_owned(), Value::from("123.456.789-09"))])
}

/// The last part of the event's key.
fn fact(name: Name) -> &'static str {
    match name {
        Name::OrderCreated => "created",
        Name::OrderPaid => "paid",
        Name::OrderShipped => "shipped/4411/BR123456789BR",
        Name::OrderDelivered => "delivered/4411",
        Name::OrderFulfilled => "fulfilled",
        Name::OrderCancelled => "cancelled",
        Name::OrderRefunded => "refunded/9001",
        Name::CheckoutAbandoned => "abandoned",
        Name::AppointmentRequested => "requested",
        Name::AppointmentBooked => "booked",
        Name::AppointmentRescheduled => "rescheduled/1795510800",
        Name::AppointmentCancelled => "cancelled",
        Name::AppointmentNoShow => "no_show",
        Name::ContactCreated => "created",
        Name::ContactUpdated => "updated/1f2e3d4c",
        Name::ContactDeleted => "deleted",
        Name::ConversationOpened => "opened/1795510800",
        Name::ConversationClosed => "closed/1795510800",
        Name::MessageReceived => "received",
        Name::MessageSent => "sent",
        Name::MessageDelivered => "delivered",
        Name::MessageRead => "read",
        Name::MessageFailed => "failed",
        Name::JobDead => "dead/3",
        Name::FormSubmitted => "submitted",
        Name::LeadCreated => "created",
        Name::LeadUpdated | Name::DealUpdated => "updated/1795510800",
        Name::DealWon => "won/1795510800",
        Name::DealLost => "lost/1795510800",
        Name::EmailReceived | Name::CustomReceived => "received",
        Name::MessageEcho
        | Name::MessageStatus
        | Name::AppointmentReleased
        | Name::AppointmentUpdated
        | Name::DealDeleted
        | Name::CustomPosted
        | Name::SourceChanged
        | Name::PrivacyDataRequest
        | Name::PrivacyRedactCustomer
        | Name::PrivacyRedactAccount => "request",
    }
}

fn head(name: Name, subject: &str, at: Timestamp) -> Head {
    let (source, account) = match name.subject() {
        SubjectKind::Appointment => ("cal-com", "studio-bianchi"),
        SubjectKind::Contact | SubjectKind::Conversation | SubjectKind::Message => {
            ("callbell", "minha-loja")
        }
        SubjectKind::Job => ("callbell-serverless", "minha-loja"),
        SubjectKind::Form => ("typeform", "minha-loja"),
        SubjectKind::Lead => ("hubspot", "62515"),
        SubjectKind::Deal => ("pipedrive", "minhaloja"),
        SubjectKind::Email => ("gmail", "vendas@minhaloja.com.br"),
        SubjectKind::Custom => ("erp", "minha-loja"),
        _ => ("shopify", "minha-loja.myshopify.com"),
    };
    Head {
        name,
        source: source.to_owned(),
        kind: source.to_owned(),
        account: text(account),
        id: format!("{source}/{subject}/{}", fact(name)),
        at,
        test: false,
        depth: 0,
        notes: Vec::new(),
    }
}

fn order(name: Name, clock: &Times) -> Event {
    let created_at = clock.minutes_ago(60);
    let paid = !matches!(name, Name::OrderCreated | Name::OrderCancelled);
    let refunded = name == Name::OrderRefunded;
    let sent = matches!(
        name,
        Name::OrderShipped | Name::OrderDelivered | Name::OrderFulfilled
    );
    let one = Order {
        id: "6171".to_owned(),
        number: "#1001".to_owned(),
        created_at,
        paid_at: Some(clock.minutes_ago(45)),
        cancelled_at: Some(clock.minutes_ago(2)),
        total: money("129.9"),
        subtotal: money("119.9"),
        shipping: money("10"),
        tax: money("0"),
        discount: money("10"),
        refunded: money(if refunded { "129.9" } else { "0" }),
        currency: "BRL".to_owned(),
        payment_status: match (refunded, paid) {
            (true, _) => PaymentStatus::Refunded,
            (false, true) => PaymentStatus::Paid,
            (false, false) => PaymentStatus::Pending,
        },
        payment_method: text("pix"),
        fulfillment_status: if sent {
            FulfillmentStatus::Fulfilled
        } else {
            FulfillmentStatus::None
        },
        items: items(),
        item_count: 3,
        status_url: text("https://minhaloja.com.br/orders/6171"),
        payment_url: text("https://minhaloja.com.br/pagar/6171"),
        shipping_address: Some(address()),
        billing_address: Some(address()),
        shipping_method: text("PAC"),
        discount_codes: vec!["BEMVINDO".to_owned()],
        note: text("Deixar na portaria"),
        tags: vec!["atacado".to_owned()],
        attributes: attributes(),
        channel: SalesChannel::Web,
        is_first: Some(true),
        test: false,
        cancel_reason: text("inventory"),
    };
    let parcel = (name.subject() == SubjectKind::Shipment).then(|| Box::new(shipment(name)));
    Event {
        event: head(name, "order/6171", clock.minutes_ago(1)),
        customer: customer(),
        subject: Subject {
            created_at,
            facts: vec![if paid { Fact::Paid } else { Fact::Unpaid }],
            ..Subject::new(SubjectKind::Order, "6171", clock.minutes_ago(1))
        },
        body: Body::Order {
            order: Box::new(one),
            shipment: parcel,
        },
    }
}

fn shipment(name: Name) -> Shipment {
    let delivered = name == Name::OrderDelivered;
    Shipment {
        id: "4411".to_owned(),
        number: "#1001.1".to_owned(),
        company: text("Correios"),
        tracking_number: text("BR123456789BR"),
        tracking_url: text("https://rastreio.example.com/BR123456789BR"),
        status: Some(if delivered {
            ShipmentStatus::Delivered
        } else {
            ShipmentStatus::InTransit
        }),
        items: items(),
        is_last: true,
    }
}

fn checkout(name: Name, clock: &Times) -> Event {
    let one = Checkout {
        id: "b1946ac92492d234".to_owned(),
        created_at: clock.minutes_ago(10),
        updated_at: clock.minutes_ago(1),
        total: money("129.9"),
        currency: "BRL".to_owned(),
        items: items(),
        item_count: 3,
        url: "https://minhaloja.com.br/checkout/b1946ac92492d234".to_owned(),
        discount_codes: vec!["BEMVINDO".to_owned()],
        attributes: attributes(),
    };
    Event {
        event: head(name, "checkout/b1946ac92492d234", one.updated_at),
        customer: customer(),
        subject: Subject {
            created_at: one.created_at,
            ..Subject::new(SubjectKind::Checkout, one.id.clone(), one.updated_at)
        },
        body: Body::Checkout {
            checkout: Box::new(one),
        },
    }
}

fn appointment(name: Name, clock: &Times) -> Event {
    // Nobody fails to come to what is still ahead.
    let start = clock.minutes_ago(match name {
        Name::AppointmentNoShow => 60,
        _ => -AHEAD_MINUTES,
    });
    let minutes_later = |at: Timestamp, minutes| {
        at.checked_add(SignedDuration::from_mins(minutes))
            .unwrap_or(at)
    };
    let end = minutes_later(start, APPOINTMENT_MINUTES);
    let previous_start = minutes_later(start, -24 * 60);
    let free = |key: &str, value: &str| FreeMap::from_iter([(key.to_owned(), Value::from(value))]);
    let one = Appointment {
        id: "evt-8812".to_owned(),
        series: text("igiene-2026"),
        title: "Igiene dentale".to_owned(),
        kind: text("igiene-dentale"),
        start,
        end,
        minutes: APPOINTMENT_MINUTES,
        timezone: text("Europe/Rome"),
        in_person: true,
        all_day: false,
        location: text("Via Roma 1, Milano"),
        join_url: text("https://meet.example.com/abc"),
        host: Host {
            name: text("Dott.ssa Bianchi"),
            email: text("bianchi@example.com"),
        },
        cancel_url: text("https://booking.example.com/cancel/8812"),
        reschedule_url: text("https://booking.example.com/reschedule/8812"),
        answers: free("Prima visita?", "sì"),
        previous_start: Some(previous_start),
        previous_end: Some(minutes_later(previous_start, APPOINTMENT_MINUTES)),
        cancelled_by: Some(CancelledBy::Customer),
        reason: text("Raffreddore"),
        wants_reschedule: false,
        paid: Some(true),
        price: Some(money("80")),
        currency: text("EUR"),
        guests: vec!["marco@example.com".to_owned()],
        utm: free("source", "newsletter"),
    };
    Event {
        event: head(name, "appointment/evt-8812", clock.minutes_ago(1)),
        customer: customer(),
        subject: Subject {
            created_at: clock.minutes_ago(60),
            state: match name {
                Name::AppointmentRequested => State::Requested,
                Name::AppointmentCancelled => State::Cancelled,
                Name::AppointmentNoShow => State::NoShow,
                _ => State::Open,
            },
            start: Some(start),
            end: Some(end),
            ..Subject::new(
                SubjectKind::Appointment,
                one.id.clone(),
                clock.minutes_ago(1),
            )
        },
        body: Body::Appointment {
            appointment: Box::new(one),
        },
    }
}

/// Callbell's number of the sample's person.
const CONTACT_ID: &str = "9c2d5f7e1b3a4c6d8e0f9a8b7c6d5e4f";
/// Callbell's number of the sample's message.
const MESSAGE_ID: &str = "c4d5e6f7a8b94c0d8e1f2a3b4c5d6e7f";
/// The number of the sample's job.
const JOB_ID: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";

/// An event of Callbell's own, or of one of our jobs.
fn callbell(name: Name, clock: &Times) -> Event {
    let at = clock.minutes_ago(1);
    let contact = Box::new(contact(clock));
    let conversation = || Box::new(conversation(name, clock));
    let (subject, id, body) = match name.subject() {
        SubjectKind::Contact => ("contact", CONTACT_ID, Body::Contact { contact }),
        SubjectKind::Conversation => {
            let body = Body::Conversation {
                conversation: conversation(),
                contact,
            };
            ("conversation", CONTACT_ID, body)
        }
        SubjectKind::Job => {
            let job = Box::new(job("dead"));
            ("job", JOB_ID, Body::Job { job })
        }
        _ => {
            let ours = !matches!(name, Name::MessageReceived | Name::MessageSent);
            let body = Body::Message {
                message: Box::new(message(name, at)),
                contact,
                conversation: Some(conversation()),
                job: ours.then(|| Box::new(job("sent"))),
            };
            ("message", MESSAGE_ID, body)
        }
    };
    Event {
        event: head(name, &format!("{subject}/{id}"), at),
        customer: Customer {
            id: text(CONTACT_ID),
            bsuid: text("BR.2187634598712"),
            ..customer()
        },
        subject: Subject::new(name.subject(), id, at),
        body,
    }
}

fn contact(clock: &Times) -> Contact {
    Contact {
        id: CONTACT_ID.to_owned(),
        name: "Maria da Silva".to_owned(),
        first_name: "Maria".to_owned(),
        phone: text("+5511987654321"),
        bsuid: text("BR.2187634598712"),
        email: text("maria@example.com"),
        url: format!("https://dash.callbell.eu/contacts/{CONTACT_ID}"),
        tags: vec!["vip".to_owned()],
        fields: FreeMap::from_iter([("Cidade".to_owned(), Value::from("São Paulo"))]),
        assigned_to: text("ana@minhaloja.com.br"),
        team: text("Comercial"),
        funnel: text("71"),
        note: text("Prefere à tarde"),
        avatar_url: text("https://cdn.example.com/maria.jpg"),
        channel: "35f6f8ccb5504278a2ea099f3a4e0730".to_owned(),
        channel_kind: "whatsapp".to_owned(),
        created_at: Some(clock.minutes_ago(60)),
        closed_at: Some(clock.minutes_ago(30)),
        blocked: false,
        changed: vec!["tags".to_owned(), "fields.Cidade".to_owned()],
        added_tags: vec!["vip".to_owned()],
        removed_tags: vec!["lead".to_owned()],
        opted_out: false,
        window_open: true,
    }
}

fn conversation(name: Name, clock: &Times) -> Conversation {
    Conversation {
        id: CONTACT_ID.to_owned(),
        url: format!("https://dash.callbell.eu/chat/{CONTACT_ID}"),
        opened_at: Some(clock.minutes_ago(20)),
        closed_at: Some(clock.minutes_ago(match name {
            Name::ConversationClosed => 1,
            _ => 30,
        })),
        closing_reason: text("Resolvido"),
        human: false,
        last_sent: text("order-confirmed"),
    }
}

fn message(name: Name, at: Timestamp) -> Message {
    Message {
        text: text("Olá, vocês abrem hoje?"),
        kind: MessageKind::Text,
        button: text("confirm"),
        choice: text("Confirmar"),
        attachments: vec!["https://cdn.example.com/foto.jpg".to_owned()],
        location: Some(Location {
            latitude: -23.55,
            longitude: -46.63,
        }),
        card: text("João, +5511912345678"),
        reaction: text("👍"),
        forwarded: false,
        is_first: true,
        at,
        id: text(MESSAGE_ID),
        status: fact(name).to_owned(),
        reason: text("Message undeliverable"),
        corrected_phone: text("+551187654321"),
    }
}

fn job(status: &str) -> Job {
    Job {
        id: JOB_ID.to_owned(),
        key: "order-confirmed/message.order-confirmed#shopify/order/6171/paid".to_owned(),
        automation: "order-confirmed".to_owned(),
        action: "message.order-confirmed".to_owned(),
        status: status.to_owned(),
        reason: "Callbell 400: template_uuid".to_owned(),
        attempts: 3,
        event: "shopify/order/6171/paid".to_owned(),
    }
}

/// An event of a form, a CRM, a mailbox or a system of the user's own.
fn elsewhere(name: Name, clock: &Times) -> Event {
    let at = clock.minutes_ago(1);
    let (subject, id, body) = match name.subject() {
        SubjectKind::Form => ("form", "21085286190f", form(at)),
        SubjectKind::Lead => ("lead", "512", lead(name, clock)),
        SubjectKind::Deal => ("deal", "77", deal(name)),
        SubjectKind::Email => ("email", "18f3c2a9d4b7e610", email(at)),
        _ => {
            let data = FreeMap::from_iter([("numero".to_owned(), Value::from("4711"))]);
            let data = Value::Object(data);
            ("custom", "4711", Body::Custom { data })
        }
    };
    let mut head = head(name, &format!("{subject}/{id}"), at);
    if name.subject() == SubjectKind::Custom {
        head.kind = "webhook".to_owned();
    }
    Event {
        event: head,
        customer: customer(),
        subject: Subject::new(name.subject(), id, at),
        body,
    }
}

fn one(key: &str, value: &str) -> FreeMap {
    FreeMap::from_iter([(key.to_owned(), Value::from(value))])
}

fn owner() -> Host {
    Host {
        name: text("Ana Souza"),
        email: text("ana@minhaloja.com.br"),
    }
}

fn form(at: Timestamp) -> Body {
    let form = Form {
        id: "u6nXL7".to_owned(),
        title: "Fale conosco".to_owned(),
        response_id: "21085286190f".to_owned(),
        submitted_at: at,
        answers: one("cidade", "São Paulo"),
        labels: one("cidade", "Em que cidade você mora?"),
        hidden: one("utm_source", "instagram"),
        score: Some(7.0),
        response_url: text("https://form.example.com/answers/1"),
    };
    Body::Form {
        form: Box::new(form),
    }
}

fn lead(name: Name, clock: &Times) -> Body {
    let changed = if name == Name::LeadUpdated {
        "phone"
    } else {
        "created"
    };
    let lead = Lead {
        id: "512".to_owned(),
        kind: LeadKind::Contact,
        url: text("https://app.hubspot.com/contacts/62515/contact/512"),
        created_at: Some(clock.minutes_ago(2)),
        owner: owner(),
        company: text("Padaria Central"),
        stage: text("lead"),
        fields: one("lifecyclestage", "lead"),
        changed: vec![changed.to_owned()],
        list: text("a6b5da1054"),
    };
    Body::Lead {
        lead: Box::new(lead),
    }
}

fn deal(name: Name) -> Body {
    let deal = Deal {
        id: "77".to_owned(),
        title: "Plano anual".to_owned(),
        value: money("1200"),
        currency: "BRL".to_owned(),
        stage: "Proposta".to_owned(),
        pipeline: text("Vendas"),
        status: match name {
            Name::DealWon => DealStatus::Won,
            Name::DealLost => DealStatus::Lost,
            _ => DealStatus::Open,
        },
        previous_stage: text("Contato"),
        owner: owner(),
        url: text("https://minhaloja.pipedrive.com/deal/77"),
        fields: one("origem", "instagram"),
    };
    Body::Deal {
        deal: Box::new(deal),
    }
}

fn email(at: Timestamp) -> Body {
    let email = Email {
        id: "18f3c2a9d4b7e610".to_owned(),
        from: Sender {
            name: text("Maria da Silva"),
            address: "maria@example.com".to_owned(),
        },
        to: vec!["vendas@minhaloja.com.br".to_owned()],
        subject: "Orçamento".to_owned(),
        snippet: "Olá, gostaria de um orçamento.".to_owned(),
        text: "Olá, gostaria de um orçamento. Meu celular: 11 98765-4321".to_owned(),
        at,
        labels: vec!["INBOX".to_owned()],
        has_attachments: true,
    };
    Body::Email {
        email: Box::new(email),
    }
}

/// The person in Callbell and the talk with them, as events that do not bring them see them. `None`:
/// nobody there.
pub(crate) fn person<'p>(
    kind: Kind,
    now: Timestamp,
    free: impl IntoIterator<Item = &'p str>,
) -> Option<(Contact, Conversation)> {
    match sample(Name::ConversationOpened, kind, now, free).body {
        Body::Conversation {
            conversation,
            contact,
        } if kind != Kind::Required => Some((*contact, *conversation)),
        _ => None,
    }
}

/// Takes out what may be absent. Lists that are never absent stay, as empty as they can be: an order
/// without a line does not exist.
fn strip(event: &mut Event) {
    event.event.account = None;
    // Who takes bookings asks for a name.
    let asked = event.subject.kind == SubjectKind::Appointment;
    let name = event.customer.name.take().filter(|_| asked);
    event.customer = Customer {
        name,
        ..Customer::default()
    };
    match &mut event.body {
        Body::Order { order, shipment } => {
            strip_order(order);
            if let Some(shipment) = shipment {
                shipment.company = None;
                shipment.tracking_number = None;
                shipment.tracking_url = None;
                shipment.status = None;
                strip_items(&mut shipment.items);
            }
        }
        Body::Checkout { checkout } => {
            strip_items(&mut checkout.items);
            checkout.discount_codes.clear();
            checkout.attributes.clear();
        }
        Body::Appointment { appointment } => strip_appointment(appointment),
        Body::Message {
            message,
            contact,
            conversation,
            ..
        } => {
            strip_message(message);
            strip_contact(contact);
            if let Some(conversation) = conversation {
                strip_conversation(conversation);
            }
        }
        Body::Conversation {
            conversation,
            contact,
        } => {
            strip_contact(contact);
            strip_conversation(conversation);
        }
        Body::Contact { contact } => strip_contact(contact),
        Body::Form { form } => {
            form.answers.clear();
            form.labels.clear();
            form.hidden.clear();
            form.score = None;
            form.response_url = None;
        }
        Body::Lead { lead } => strip_lead(lead),
        Body::Deal { deal } => {
            deal.pipeline = None;
            deal.previous_stage = None;
            deal.owner = Host::default();
            deal.url = None;
            deal.fields.clear();
        }
        Body::Email { email } => {
            email.from.name = None;
            email.to.clear();
            email.labels.clear();
            email.has_attachments = false;
        }
        Body::Custom { data } => *data = Value::Object(FreeMap::new()),
        _ => {}
    }
}

fn strip_lead(lead: &mut Lead) {
    lead.url = None;
    lead.created_at = None;
    lead.owner = Host::default();
    lead.company = None;
    lead.stage = None;
    lead.fields.clear();
    lead.changed.clear();
    lead.list = None;
}

fn strip_message(message: &mut Message) {
    message.kind = MessageKind::Image;
    message.text = None;
    message.button = None;
    message.choice = None;
    message.attachments.clear();
    message.location = None;
    message.card = None;
    message.reaction = None;
    message.id = None;
    message.reason = None;
    message.corrected_phone = None;
}

fn strip_contact(contact: &mut Contact) {
    contact.name.clear();
    contact.first_name.clear();
    contact.phone = None;
    contact.bsuid = None;
    contact.email = None;
    contact.tags.clear();
    contact.fields.clear();
    contact.assigned_to = None;
    contact.team = None;
    contact.funnel = None;
    contact.note = None;
    contact.avatar_url = None;
    contact.closed_at = None;
    contact.changed.clear();
    contact.added_tags.clear();
    contact.removed_tags.clear();
}

fn strip_conversation(conversation: &mut Conversation) {
    conversation.opened_at = None;
    conversation.closed_at = None;
    conversation.closing_reason = None;
    conversation.last_sent = None;
}

fn strip_appointment(appointment: &mut Appointment) {
    appointment.series = None;
    appointment.kind = None;
    appointment.location = None;
    appointment.join_url = None;
    appointment.host = Host::default();
    appointment.cancel_url = None;
    appointment.reschedule_url = None;
    appointment.answers.clear();
    appointment.previous_start = None;
    appointment.previous_end = None;
    appointment.cancelled_by = None;
    appointment.reason = None;
    appointment.paid = None;
    appointment.price = None;
    appointment.currency = None;
    appointment.guests.clear();
    appointment.utm.clear();
}

fn strip_order(order: &mut Order) {
    order.paid_at = None;
    order.cancelled_at = None;
    order.payment_method = None;
    order.status_url = None;
    order.payment_url = None;
    order.shipping_address = None;
    order.billing_address = None;
    order.shipping_method = None;
    order.note = None;
    order.is_first = None;
    order.cancel_reason = None;
    order.discount_codes.clear();
    order.tags.clear();
    order.attributes.clear();
    strip_items(&mut order.items);
}

fn strip_items(items: &mut Vec<Item>) {
    items.truncate(1);
    for item in items {
        item.variant = None;
        item.sku = None;
        item.product_id = None;
    }
}

fn fill<'p>(event: &mut Event, free: impl IntoIterator<Item = &'p str>, value: &Value) {
    for path in free {
        let map = match &mut event.body {
            Body::Order { order, .. } => path
                .strip_prefix("order.attributes")
                .map(|rest| (&mut order.attributes, rest)),
            Body::Checkout { checkout } => path
                .strip_prefix("checkout.attributes")
                .map(|rest| (&mut checkout.attributes, rest)),
            Body::Appointment { appointment } => match path.strip_prefix("appointment.answers") {
                Some(rest) => Some((&mut appointment.answers, rest)),
                None => path
                    .strip_prefix("appointment.utm")
                    .map(|rest| (&mut appointment.utm, rest)),
            },
            Body::Message { contact, .. }
            | Body::Conversation { contact, .. }
            | Body::Contact { contact } => path
                .strip_prefix("contact.fields")
                .map(|rest| (&mut contact.fields, rest)),
            Body::Form { form } => {
                let maps = [
                    ("form.answers", &mut form.answers),
                    ("form.labels", &mut form.labels),
                    ("form.hidden", &mut form.hidden),
                ];
                maps.into_iter()
                    .find_map(|(root, map)| Some((map, path.strip_prefix(root)?)))
            }
            Body::Lead { lead } => path
                .strip_prefix("lead.fields")
                .map(|rest| (&mut lead.fields, rest)),
            Body::Deal { deal } => path
                .strip_prefix("deal.fields")
                .map(|rest| (&mut deal.fields, rest)),
            Body::Custom {
                data: Value::Object(data),
            } => path.strip_prefix("data").map(|rest| (data, rest)),
            _ => None,
        };
        if let Some((map, rest)) = map
            && let Some(rest) = rest.strip_prefix('.')
        {
            put(map, rest, value);
        }
    }
}

/// Puts a value at a path: `a.b[]` is a list in `b` of a table in `a`.
fn put(map: &mut FreeMap, path: &str, value: &Value) {
    let (first, rest) = path
        .split_once('.')
        .map_or((path, None), |(first, rest)| (first, Some(rest)));
    let (key, is_list) = first
        .split_once('[')
        .map_or((first, false), |(key, _)| (key, true));
    let inner = match rest {
        None => value.clone(),
        Some(rest) => {
            let mut inner = match map.get(key) {
                Some(Value::Object(earlier)) => earlier.clone(),
                _ => FreeMap::new(),
            };
            put(&mut inner, rest, value);
            Value::Object(inner)
        }
    };
    map.insert(
        key.to_owned(),
        if is_list {
            Value::Array(vec![inner])
        } else {
            inner
        },
    );
}
