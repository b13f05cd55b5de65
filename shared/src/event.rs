//! What sources speak and automations read.
//!
//! An [`Event`] is a fact about a business: an order was paid, a parcel left. Sources build it from a
//! provider's JSON through constructors that they own; nothing here knows a provider. The shape that
//! `serde` writes is the shape that automations see (`order.total`, `customer.first_name`), and the
//! one in which the event is stored: fields may be added with `#[serde(default)]`, never renamed.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A free map: keys that the sender chose, any JSON as values.
pub type FreeMap = serde_json::Map<String, serde_json::Value>;

/// Most line items that an event keeps; the rest is counted in `item_count` alone.
pub const ITEMS_MAX: usize = 50;
/// Most characters of one text of an event; longer ones are cut.
pub const TEXT_CHARS_MAX: usize = 2_000;
/// Most undated parts of a subject that an event names, the newest; see [`Fresh::Part`].
pub const PARTS_MAX: usize = 40;
/// Events that our own actions cause carry a depth; at this depth the chain stops.
pub const DEPTH_MAX: u8 = 5;

macro_rules! names {
    ($($(#[$doc:meta])* $variant:ident = $text:literal, $subject:ident;)+) => {
        /// The name of an event, as automations write it after `on`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Name {
            $($(#[$doc])* #[serde(rename = $text)] $variant,)+
        }
        impl Name {
            /// Every name, in the order of the documentation.
            pub const ALL: &'static [Name] = &[$(Name::$variant,)+];
            /// The name as automations write it: `order.created`.
            pub fn as_str(self) -> &'static str {
                match self { $(Name::$variant => $text,)+ }
            }
            /// What the event is about: one row each in the store, one scope each of `once`.
            pub fn subject(self) -> SubjectKind {
                match self { $(Name::$variant => SubjectKind::$subject,)+ }
            }
        }
    };
}

names! {
    /// An order was placed, paid or not.
    OrderCreated = "order.created", Order;
    /// Payment is complete.
    OrderPaid = "order.paid", Order;
    /// A parcel left, and again when its tracking first appears or changes.
    OrderShipped = "order.shipped", Shipment;
    /// The carrier says that a parcel was delivered.
    OrderDelivered = "order.delivered", Shipment;
    /// Everything was sent.
    OrderFulfilled = "order.fulfilled", Order;
    /// The order was cancelled.
    OrderCancelled = "order.cancelled", Order;
    /// Money went back, in part or in full.
    OrderRefunded = "order.refunded", Order;
    /// A checkout with a phone number that has not become an order.
    CheckoutAbandoned = "checkout.abandoned", Checkout;
    /// A booking that waits for the host's yes.
    AppointmentRequested = "appointment.requested", Appointment;
    /// An appointment was made.
    AppointmentBooked = "appointment.booked", Appointment;
    /// It has another time now. One event a move, whatever the provider makes of it.
    AppointmentRescheduled = "appointment.rescheduled", Appointment;
    /// It does not take place.
    AppointmentCancelled = "appointment.cancelled", Appointment;
    /// The invitee did not come.
    AppointmentNoShow = "appointment.no_show", Appointment;
    /// A form was filled in to its end.
    FormSubmitted = "form.submitted", Form;
    /// A person came into being in a CRM, a list or a help desk.
    LeadCreated = "lead.created", Lead;
    /// Something about such a person changed: also that a phone number came.
    LeadUpdated = "lead.updated", Lead;
    /// Something about a deal changed that is neither its winning nor its losing.
    DealUpdated = "deal.updated", Deal;
    /// A deal was won.
    DealWon = "deal.won", Deal;
    /// A deal was lost.
    DealLost = "deal.lost", Deal;
    /// An e-mail arrived.
    EmailReceived = "email.received", Email;
    /// A system of the user's own posted something.
    CustomReceived = "custom.received", Custom;
    /// A person came into being in Callbell.
    ContactCreated = "contact.created", Contact;
    /// Something about a person changed in Callbell, by somebody else than us.
    ContactUpdated = "contact.updated", Contact;
    /// A person was deleted from Callbell.
    ContactDeleted = "contact.deleted", Contact;
    /// A conversation was opened.
    ConversationOpened = "conversation.opened", Conversation;
    /// A conversation was closed.
    ConversationClosed = "conversation.closed", Conversation;
    /// A person wrote; never our own or a colleague's message.
    MessageReceived = "message.received", Message;
    /// A team member wrote.
    MessageSent = "message.sent", Message;
    /// A message that we sent is on the phone.
    MessageDelivered = "message.delivered", Message;
    /// A message that we sent was read.
    MessageRead = "message.read", Message;
    /// WhatsApp could not deliver a message that we sent.
    MessageFailed = "message.failed", Message;
    /// We gave up on an action.
    JobDead = "job.dead", Job;
    /// A message that we sent shows up at Callbell. It settles its job; no automation sees it.
    MessageEcho = "message.echo", Message;
    /// A message that we sent has a status that automations do not name: `enqueued`, `sent`, `mismatch`,
    /// `deleted`. No automation sees it.
    MessageStatus = "message.status", Message;
    /// The provider gave the booking another id and says its new time in another webhook. No automation
    /// sees it.
    AppointmentReleased = "appointment.released", Appointment;
    /// Something else than its time changed, or it is no no-show after all. No automation sees it.
    AppointmentUpdated = "appointment.updated", Appointment;
    /// A deal was deleted: its waiting jobs end. No automation sees it.
    DealDeleted = "deal.deleted", Deal;
    /// JSON of a system of the user's own, as it was posted: the worker makes `custom.received` of it, by the
    /// expressions of its `[source.x]`. No automation sees it.
    CustomPosted = "custom.posted", Custom;
    /// A system says that something changed there and not what, or not all of it: the worker asks. No
    /// automation sees it.
    SourceChanged = "source.changed", Source;
    /// A person asked the shop which data it holds: a line for the file, no automation sees it.
    PrivacyDataRequest = "privacy.data_request", Privacy;
    /// Everything about one customer has to be erased. No automation sees it.
    PrivacyRedactCustomer = "privacy.redact_customer", Privacy;
    /// Everything of one shop has to be erased. No automation sees it.
    PrivacyRedactAccount = "privacy.redact_account", Privacy;
}

impl Name {
    /// The event called `text`, where there is one that automations may name.
    pub fn parse(text: &str) -> Option<Name> {
        Name::ALL
            .iter()
            .copied()
            .find(|name| name.as_str() == text && !name.is_internal())
    }

    /// Events that only this program acts upon.
    pub fn is_internal(self) -> bool {
        matches!(
            self,
            Name::MessageEcho
                | Name::MessageStatus
                | Name::AppointmentReleased
                | Name::AppointmentUpdated
                | Name::DealDeleted
                | Name::CustomPosted
                | Name::SourceChanged
                | Name::PrivacyDataRequest
                | Name::PrivacyRedactCustomer
                | Name::PrivacyRedactAccount
        )
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubjectKind {
    /// An order of a shop.
    Order,
    /// One parcel of an order.
    Shipment,
    /// A basket with an address.
    Checkout,
    /// Somebody's time with somebody.
    Appointment,
    /// A person in Callbell.
    Contact,
    /// The talk with a person in Callbell.
    Conversation,
    /// One message, in either direction.
    Message,
    /// One of our own jobs.
    Job,
    /// One answer to a form.
    Form,
    /// A person in another system than Callbell.
    Lead,
    /// A deal of a CRM.
    Deal,
    /// One e-mail.
    Email,
    /// What a system of the user's own posts about.
    Custom,
    /// A connected system itself.
    Source,
    /// A request under data protection law.
    Privacy,
}

impl SubjectKind {
    /// The word that event keys, entity keys and `once` use.
    pub fn as_str(self) -> &'static str {
        match self {
            SubjectKind::Order => "order",
            SubjectKind::Shipment => "shipment",
            SubjectKind::Checkout => "checkout",
            SubjectKind::Appointment => "appointment",
            SubjectKind::Contact => "contact",
            SubjectKind::Conversation => "conversation",
            SubjectKind::Message => "message",
            SubjectKind::Job => "job",
            SubjectKind::Form => "form",
            SubjectKind::Lead => "lead",
            SubjectKind::Deal => "deal",
            SubjectKind::Email => "email",
            SubjectKind::Custom => "custom",
            SubjectKind::Source => "source",
            SubjectKind::Privacy => "privacy",
        }
    }
}

/// One fact, as it is stored and as automations read it.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// What happened, where and when.
    pub event: Head,
    /// Whom it is about.
    pub customer: Customer,
    /// What the planner needs to know of the subject's life; automations do not see it.
    pub subject: Subject,
    /// The order, shipment or checkout itself.
    #[serde(flatten)]
    pub body: Body,
}

/// `event.*` of every event, and what the planner needs beside it.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// `order.created`, …
    pub name: Name,
    /// The connection: `shopify`, `loja-it`.
    pub source: String,
    /// The provider: `shopify`.
    pub kind: String,
    /// The account at the provider: `minha-loja.myshopify.com`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub account: Option<String>,
    /// The event key: `{connection}/{subject}/{id}/{fact}`, over signed facts alone, never per attempt.
    pub id: String,
    /// When it happened at the source.
    pub at: Timestamp,
    /// A test order or sample payload: its messages leave only to `only_to`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub test: bool,
    /// How many of our own actions led to this event.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub depth: u8,
    /// What was left out or could not be read, in words for `callbell events`. No personal data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// The life of the subject, as far as this event shows it. The worker keeps one entity row a subject.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Subject {
    /// What it is. A shipment's entity is its order.
    pub kind: SubjectKind,
    /// Its id at the provider.
    pub id: String,
    /// The provider's version: when the subject was last changed. Of two states the newer holds.
    pub as_of: Timestamp,
    /// When the subject came into being.
    pub created_at: Timestamp,
    /// The state that ends waiting jobs.
    pub state: State,
    /// Facts that are true of the subject at `as_of`: `unpaid`, `paid`, `unfulfilled`, `fulfilled`, …
    /// The entity row keeps when it first saw each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub facts: Vec<Fact>,
    /// Every part that the provider shows without a date: `refund/17`. At most [`PARTS_MAX`], and the
    /// same in all events of one body, so that whichever is planned first, the entity row knows them all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<String>,
    /// Whether this event may be news, see [`Fresh`].
    pub fresh: Fresh,
    /// Other names under which another subject may end this one: a checkout's cart token. An order
    /// `ends` by the same names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<Link>,
    /// Other subjects that this one ends: an order marks its checkout's and its cart's token as ordered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ends: Vec<Link>,
    /// When an appointment begins; `None` where this event does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Timestamp>,
    /// When it ends; also the subject's last instant, until which its rows are needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<Timestamp>,
    /// The id at the provider before a reschedule, where that made a new one. `id` becomes another name
    /// of it: see [`released`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_id: Option<String>,
    /// One of many that came into being at once (an instance of a series, but for its first): its
    /// messages with a time of their own go out, those that answer the booking itself do not.
    #[serde(default, skip_serializing_if = "is_false")]
    pub only_timed: bool,
}

impl Subject {
    /// A subject that came into being at `as_of`, is open, and of which nothing else is known. Its event
    /// is dated.
    pub fn new(kind: SubjectKind, id: impl Into<String>, as_of: Timestamp) -> Subject {
        Subject {
            kind,
            id: id.into(),
            as_of,
            created_at: as_of,
            state: State::Open,
            facts: Vec::new(),
            parts: Vec::new(),
            fresh: Fresh::Dated,
            aliases: Vec::new(),
            ends: Vec::new(),
            start: None,
            end: None,
            previous_id: None,
            only_timed: false,
        }
    }
}

/// The part of a subject that says that the provider's id `id` stands for nothing any more: the booking
/// goes on under another id, at another time. Set once and never taken back, so that it does not matter
/// which of a provider's two webhooks comes first.
pub fn released(id: &str) -> String {
    format!("released/{id}")
}

/// The id that a part of [`released`] names.
pub fn released_id(part: &str) -> Option<&str> {
    part.strip_prefix("released/")
}

/// A subject of the same connection, by kind and id.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// What it is.
    pub kind: SubjectKind,
    /// Its id at the provider.
    pub id: String,
}

/// Where a subject stands, as far as waiting jobs are concerned. The declared order is the rank: among
/// equally old states the higher one holds (providers' times have a resolution of one second).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// An appointment that waits for the host's yes.
    Requested,
    /// Nothing ended it.
    Open,
    /// A checkout without items: its messages end, and it may fill again.
    Emptied,
    /// A checkout that became an order. Final.
    Ordered,
    /// Refunded in full. Final.
    Refunded,
    /// Cancelled. Final, but for appointments: something newer may open them again.
    Cancelled,
    /// An appointment that the invitee did not come to.
    NoShow,
}

impl State {
    /// No newer version brings a subject of this kind back.
    pub fn is_final(self, kind: SubjectKind) -> bool {
        kind != SubjectKind::Appointment
            && matches!(self, State::Ordered | State::Refunded | State::Cancelled)
    }

    /// The word that rows and reasons use.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Requested => "requested",
            State::NoShow => "no_show",
            State::Open => "open",
            State::Emptied => "emptied",
            State::Ordered => "ordered",
            State::Refunded => "refunded",
            State::Cancelled => "cancelled",
        }
    }
}

/// Something true of a subject at one time, and what was true before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// Payment is not complete.
    Unpaid,
    /// Payment is complete.
    Paid,
    /// Something is still to be sent.
    Unfulfilled,
    /// Everything was sent.
    Fulfilled,
    /// Not cancelled.
    Uncancelled,
    /// Cancelled.
    Cancelled,
    /// No money went back.
    Unrefunded,
    /// Money went back.
    Refunded,
}

impl Fact {
    /// The word that rows use.
    pub fn as_str(self) -> &'static str {
        match self {
            Fact::Unpaid => "unpaid",
            Fact::Paid => "paid",
            Fact::Unfulfilled => "unfulfilled",
            Fact::Fulfilled => "fulfilled",
            Fact::Uncancelled => "uncancelled",
            Fact::Cancelled => "cancelled",
            Fact::Unrefunded => "unrefunded",
            Fact::Refunded => "refunded",
        }
    }
}

/// Whether an event is news. An edit to a year-old order repeats every state that it has: that
/// congratulates nobody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fresh {
    /// The provider dates the change itself (`created_at`, `cancelled_at`, `date_paid`): `event.at` is
    /// that date, and lateness does the rest.
    Dated,
    /// The provider shows the state without its date. News only where the entity row held `before`
    /// and `now` was first seen within `give_up_after`, or where the subject itself is that young.
    Transition {
        /// What must have been seen before.
        before: Fact,
        /// What this event says.
        now: Fact,
    },
    /// The provider shows a part of the subject without its date, of which there may be several: a
    /// refund. News only where the entity was seen before without it and it was first seen within
    /// `give_up_after`, or where the subject itself is that young.
    Part {
        /// One of the subject's `parts`.
        part: String,
    },
    /// It was there before we looked: when a calendar was connected, or read anew after its provider
    /// forgot where we were. Remembered, and never news.
    Known,
}

/// `customer.*`.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Customer {
    /// The whole name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The given name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_name: Option<String>,
    /// The family name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_name: Option<String>,
    /// E.164. The worker fills it from `phones`; a source never does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// ISO 3166 alpha-2 of the address; the worker replaces it by the phone's where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// The e-mail address, lower case as it came; synthetic ones are absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// BCP 47, `pt-BR`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// IANA name, `Europe/Rome`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// The id at the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// WhatsApp's id of a person who hides the number. Automations read it as `contact.bsuid`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bsuid: Option<String>,
    /// Consent to marketing on the phone, as the system itself recorded it. An e-mail tick is not it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accepts_marketing: Option<bool>,
    /// Consent to marketing by e-mail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accepts_email: Option<bool>,
    /// The customer's tags at the source.
    pub tags: Vec<String>,
    /// Every place where the event may hold a phone number, in order of preference. Automations do
    /// not see it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub phones: Vec<PhoneCandidate>,
}

/// A place where an event may hold a phone number.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PhoneCandidate {
    /// The path in the provider's words: `shipping.phone`. Reasons name it.
    pub path: String,
    /// The number as typed; `None` where the field is absent, null or empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// ISO 3166 alpha-2 of the object that holds the number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
}

/// What an event carries beside its head and its customer.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Body {
    /// `order.*`, and `shipment.*` on `order.shipped` and `order.delivered`.
    Order {
        /// The order as the source shows it now.
        order: Box<Order>,
        /// The parcel.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        shipment: Option<Box<Shipment>>,
    },
    /// `checkout.*`.
    Checkout {
        /// The checkout as the source shows it now.
        checkout: Box<Checkout>,
    },
    /// `appointment.*`.
    Appointment {
        /// The appointment as the source shows it now.
        appointment: Box<Appointment>,
    },
    /// `appointment.*` where the source does not show the appointment: the worker takes it, and whose it
    /// is, from the newest event that did.
    AppointmentChange {
        /// What is known of the change.
        appointment_change: AppointmentChange,
    },
    /// `message.*`.
    Message {
        /// The message.
        message: Box<Message>,
        /// Whose it is.
        contact: Box<Contact>,
        /// The talk that it is part of, as far as we know it: the worker fills it.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        conversation: Option<Box<Conversation>>,
        /// The job that sent it. A source fills in its `id` alone, the worker the rest.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        job: Option<Box<Job>>,
    },
    /// `conversation.*`.
    Conversation {
        /// The talk.
        conversation: Box<Conversation>,
        /// With whom.
        contact: Box<Contact>,
    },
    /// `contact.*`.
    Contact {
        /// The person in Callbell.
        contact: Box<Contact>,
    },
    /// `job.dead`.
    Job {
        /// The job.
        job: Box<Job>,
    },
    /// `form.submitted`.
    Form {
        /// The answers.
        form: Box<Form>,
    },
    /// `lead.*`.
    Lead {
        /// The person in the other system.
        lead: Box<Lead>,
    },
    /// `deal.*`.
    Deal {
        /// The deal as the system shows it now.
        deal: Box<Deal>,
    },
    /// `email.received`.
    Email {
        /// The e-mail.
        email: Box<Email>,
    },
    /// `custom.*`.
    Custom {
        /// The JSON as it was posted; of a body that holds a list of them, one element.
        data: serde_json::Value,
    },
    /// `source.changed`.
    Changed {
        /// What the worker needs to ask.
        changed: Changed,
    },
    /// What has to be erased or listed.
    Privacy {
        /// Whose data.
        privacy: Privacy,
    },
}

/// Whose data a request under data protection law is about.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Privacy {
    /// The provider's number of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Orders whose rows go too.
    pub order_ids: Vec<String>,
}

/// What a system has to be asked. Only that system's own file in `sources` and `fetch` reads it.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Changed {
    /// The provider's words: a resource, a channel, the part of a webhook that came.
    pub about: FreeMap,
}

/// `appointment.*`.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Appointment {
    /// The id at the source, the same through all reschedules: the worker puts the first one here.
    pub id: String,
    /// The series that it is one of.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub series: Option<String>,
    /// `Igiene dentale`.
    pub title: String,
    /// The event type's slug or id, to filter by.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none", default)]
    pub kind: Option<String>,
    /// When it begins. All day: midnight of its first day, in its zone.
    pub start: Timestamp,
    /// When it ends. All day: midnight after its last day.
    pub end: Timestamp,
    /// How long it takes.
    pub minutes: i64,
    /// IANA name: the place's zone for a visit in person, the invitee's for a call or video. `None`
    /// where the source cannot tell the place's: then it is the connection's.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub timezone: Option<String>,
    /// A visit, not a call or a video.
    pub in_person: bool,
    /// A day without hours.
    #[serde(default)]
    pub all_day: bool,
    /// An address, or the number that is called.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub location: Option<String>,
    /// Where the video is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub join_url: Option<String>,
    /// With whom.
    #[serde(default)]
    pub host: Host,
    /// Holds a key: a secret in logs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cancel_url: Option<String>,
    /// Holds a key: a secret in logs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reschedule_url: Option<String>,
    /// By question or slug.
    #[serde(default)]
    pub answers: FreeMap,
    /// Before the move that this event is about.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub previous_start: Option<Timestamp>,
    /// Before the move that this event is about.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub previous_end: Option<Timestamp>,
    /// Who called it off.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cancelled_by: Option<CancelledBy>,
    /// Why it was cancelled, moved or declined.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// The host asked for another time.
    #[serde(default)]
    pub wants_reschedule: bool,
    /// Whether it is paid, where it costs something.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub paid: Option<bool>,
    /// What it costs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub price: Option<Money>,
    /// ISO 4217.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub currency: Option<String>,
    /// E-mail addresses of others who were asked to come.
    #[serde(default)]
    pub guests: Vec<String>,
    /// `source`, `medium`, `campaign`, `term`, `content` of the link that led to the booking.
    #[serde(default)]
    pub utm: FreeMap,
}

/// `appointment.host`.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Host {
    /// The whole name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The e-mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

/// `appointment.cancelled_by`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CancelledBy {
    /// The business.
    Host,
    /// The invitee.
    Customer,
}

/// What is known of a change to an appointment that the source does not show.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AppointmentChange {
    /// Who called it off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancelled_by: Option<CancelledBy>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// `contact.*`: a person in Callbell.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Contact {
    /// Callbell's number of the person.
    pub id: String,
    /// The whole name; empty where Callbell has none.
    pub name: String,
    /// The given name; empty where there is none. The worker fills it, a source never does.
    pub first_name: String,
    /// As Callbell shows it, with a `+`; the worker makes E.164 of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// WhatsApp's id of a person who hides the number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bsuid: Option<String>,
    /// The e-mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The conversation in the inbox.
    pub url: String,
    /// Tags in Callbell.
    pub tags: Vec<String>,
    /// Custom fields by their Callbell name.
    pub fields: FreeMap,
    /// E-mail address of the assigned user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assigned_to: Option<String>,
    /// The team's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// The funnel's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub funnel: Option<String>,
    /// The note.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar_url: Option<String>,
    /// The channel's uuid; the worker replaces it by the file's name for it where there is one. Empty
    /// where Callbell does not say.
    pub channel: String,
    /// `whatsapp`, `instagram`, `facebook`, `telegram`.
    pub channel_kind: String,
    /// When the person came into being there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// When the conversation was closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Timestamp>,
    /// Blocked by the team.
    pub blocked: bool,
    /// On `contact.updated`, what changed against what we last saw: `tags`, `fields.Cidade`. Our own writes
    /// are taken out. The worker fills it.
    pub changed: Vec<String>,
    /// Tags that are new. The worker fills it.
    pub added_tags: Vec<String>,
    /// Tags that are gone. The worker fills it.
    pub removed_tags: Vec<String>,
    /// Asked us to be left alone. The worker fills it.
    pub opted_out: bool,
    /// Wrote within the last 24 hours. The worker fills it.
    pub window_open: bool,
}

/// `conversation.*`.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Conversation {
    /// Callbell has none of its own: the contact's.
    pub id: String,
    /// Opens the inbox.
    pub url: String,
    /// When it was opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opened_at: Option<Timestamp>,
    /// When it was closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Timestamp>,
    /// Why it was closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closing_reason: Option<String>,
    /// Somebody is assigned, or a team member wrote lately. The worker fills it.
    pub human: bool,
    /// The automation whose message this person got last, within 7 days. The worker fills it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_sent: Option<String>,
}

impl Conversation {
    /// The talk with a person of which nothing else is known.
    pub fn unknown(contact: &Contact) -> Conversation {
        Conversation {
            id: contact.id.clone(),
            url: contact.url.clone(),
            ..Conversation::default()
        }
    }
}

/// `message.*`.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// What was written; absent where there are attachments alone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub text: Option<String>,
    /// What it is.
    pub kind: MessageKind,
    /// The id of a button that was tapped.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub button: Option<String>,
    /// The title of a list's row that was tapped.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub choice: Option<String>,
    /// Addresses of files; they hold keys: secrets in logs.
    #[serde(default)]
    pub attachments: Vec<String>,
    /// A place.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub location: Option<Location>,
    /// A contact card, in words.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub card: Option<String>,
    /// The emoji of a reaction.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reaction: Option<String>,
    /// Forwarded from somewhere else.
    #[serde(default)]
    pub forwarded: bool,
    /// The first message of this person that we saw. The worker fills it.
    #[serde(default)]
    pub is_first: bool,
    /// When it was written, or when its status changed.
    pub at: Timestamp,
    /// Callbell's number of the message; `message_created` has none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub id: Option<String>,
    /// `received`, `sent`, `enqueued`, `delivered`, `read`, `failed`, `mismatch`, `deleted`.
    pub status: String,
    /// WhatsApp's reason, on `failed`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// The number that WhatsApp corrected it to, on `mismatch`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub corrected_phone: Option<String>,
}

/// `message.location`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Location {
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
}

/// `message.kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageKind {
    /// Words.
    Text,
    /// A picture.
    Image,
    /// A file.
    Document,
    /// Sound.
    Audio,
    /// A film.
    Video,
    /// A place.
    Location,
    /// A contact card.
    Contact,
    /// A tapped button.
    Button,
    /// A tapped row of a list.
    List,
    /// An emoji on an earlier message.
    Reaction,
}

/// `job.*`.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Job {
    /// The number, as metadata and `callbell jobs show` have it. Automations do not see it.
    pub id: String,
    /// The readable key.
    pub key: String,
    /// The automation's name.
    pub automation: String,
    /// `message.order-confirmed`.
    pub action: String,
    /// `dead`, or where the job stands.
    pub status: String,
    /// Why.
    pub reason: String,
    /// How often it was tried.
    pub attempts: u32,
    /// The event that made it, so that a chain of our own doing is counted. Automations do not see it.
    pub event: String,
}

/// `form.*`.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Form {
    /// The form's id at the source.
    pub id: String,
    /// What it is called.
    pub title: String,
    /// The id of this answer to it.
    pub response_id: String,
    /// When it was sent.
    pub submitted_at: Timestamp,
    /// By the question's own reference, then by its title made into a slug: a text, a number, true or false,
    /// or a list of texts.
    #[serde(default)]
    pub answers: FreeMap,
    /// By the same keys, the question.
    #[serde(default)]
    pub labels: FreeMap,
    /// What the address that led to the form carried: the visitor may have typed it, so it proves nothing.
    #[serde(default)]
    pub hidden: FreeMap,
    /// What the form counted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub score: Option<f64>,
    /// Shows the answer at the source. Holds a key where the source says so: a secret in logs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub response_url: Option<String>,
}

/// `lead.*`: a person in a CRM, a list or a help desk.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Lead {
    /// The id at the source.
    pub id: String,
    /// What the source calls such a person.
    pub kind: LeadKind,
    /// Shows the person at the source.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub url: Option<String>,
    /// When the person came into being there.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub created_at: Option<Timestamp>,
    /// Who takes care of them.
    #[serde(default)]
    pub owner: Host,
    /// Where they work.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub company: Option<String>,
    /// How far they have come: a lifecycle stage, a status.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stage: Option<String>,
    /// Everything else, by the system's own names.
    #[serde(default)]
    pub fields: FreeMap,
    /// On `lead.updated`, what changed: `phone`, `email`, `name`, `company`, `stage`, `owner`, `tags`, and the
    /// system's own names of `fields`. The worker completes it by what was seen before.
    #[serde(default)]
    pub changed: Vec<String>,
    /// The audience that they are on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub list: Option<String>,
}

/// `lead.kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeadKind {
    /// HubSpot, Salesforce, Intercom's users.
    Contact,
    /// Pipedrive.
    Person,
    /// Salesforce, Intercom's leads.
    Lead,
    /// Mailchimp.
    Subscriber,
    /// Zendesk.
    User,
}

/// `deal.*`.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Deal {
    /// The id at the source.
    pub id: String,
    /// What it is called.
    pub title: String,
    /// What it is worth.
    pub value: Money,
    /// ISO 4217.
    pub currency: String,
    /// Where it stands: the stage's name where the source says it, else its id.
    pub stage: String,
    /// In which pipeline.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pipeline: Option<String>,
    /// Whether it is decided.
    pub status: DealStatus,
    /// Where it stood before this change.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub previous_stage: Option<String>,
    /// Who takes care of it.
    #[serde(default)]
    pub owner: Host,
    /// Shows it at the source.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub url: Option<String>,
    /// Everything else, by the system's own names.
    #[serde(default)]
    pub fields: FreeMap,
}

/// `deal.status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DealStatus {
    /// Undecided.
    Open,
    /// Won.
    Won,
    /// Lost.
    Lost,
}

/// `email.*`.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Email {
    /// The id at the source.
    pub id: String,
    /// Who sent it, as its header says: anybody can write that.
    pub from: Sender,
    /// Whom it was sent to: addresses.
    #[serde(default)]
    pub to: Vec<String>,
    /// What it is about; empty where it says nothing.
    pub subject: String,
    /// Its first words, as the source shows them.
    pub snippet: String,
    /// Its words without mark-up, at most [`TEXT_CHARS_MAX`] characters.
    pub text: String,
    /// When it arrived.
    pub at: Timestamp,
    /// The labels that it has: `INBOX`, and names of the user's own.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Whether files came with it.
    #[serde(default)]
    pub has_attachments: bool,
}

/// `email.from`.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sender {
    /// The name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The address, in lower case.
    pub address: String,
}

/// `order.*`.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// The id at the source.
    pub id: String,
    /// The number as the buyer sees it: `#1001`.
    pub number: String,
    /// When it was placed.
    pub created_at: Timestamp,
    /// When payment was complete.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub paid_at: Option<Timestamp>,
    /// When it was cancelled.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cancelled_at: Option<Timestamp>,
    /// What the buyer pays, after edits and refunds, in the currency that the buyer saw.
    pub total: Money,
    /// Items after discounts.
    pub subtotal: Money,
    /// Shipping.
    pub shipping: Money,
    /// Taxes.
    pub tax: Money,
    /// Discounts, positive.
    pub discount: Money,
    /// Money that went back, positive.
    pub refunded: Money,
    /// ISO 4217.
    pub currency: String,
    /// Where payment stands.
    pub payment_status: PaymentStatus,
    /// `pix`, `boleto`, `cod`, else the gateway's name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub payment_method: Option<String>,
    /// Where delivery stands.
    pub fulfillment_status: FulfillmentStatus,
    /// At most [`ITEMS_MAX`].
    #[serde(default)]
    pub items: Vec<Item>,
    /// The sum of all quantities, of items left out too.
    pub item_count: u64,
    /// Holds a key: a secret in logs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub status_url: Option<String>,
    /// Holds a key: a secret in logs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub payment_url: Option<String>,
    /// Where it goes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub shipping_address: Option<Address>,
    /// Who pays.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub billing_address: Option<Address>,
    /// `PAC`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub shipping_method: Option<String>,
    /// `BEMVINDO`.
    #[serde(default)]
    pub discount_codes: Vec<String>,
    /// The buyer's note.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub note: Option<String>,
    /// The order's tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Note attributes, meta data.
    #[serde(default)]
    pub attributes: FreeMap,
    /// Where it was placed.
    pub channel: SalesChannel,
    /// The customer's first order, where the source says.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub is_first: Option<bool>,
    /// A test gateway or a sample payload.
    pub test: bool,
    /// `inventory`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cancel_reason: Option<String>,
}

/// `order.payment_status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentStatus {
    /// Nothing was paid; Pix and boleto stay here until they are.
    Pending,
    /// The money is reserved.
    Authorized,
    /// All of it was paid.
    Paid,
    /// Some of it went back.
    PartiallyRefunded,
    /// All of it went back.
    Refunded,
    /// The reservation was dropped.
    Voided,
    /// The payment failed.
    Failed,
}

/// `order.fulfillment_status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FulfillmentStatus {
    /// Nothing was sent.
    None,
    /// Some of it was sent.
    Partial,
    /// All of it was sent.
    Fulfilled,
}

/// `order.channel`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SalesChannel {
    /// The shop's site.
    Web,
    /// A till.
    Pos,
    /// Made by the staff.
    Draft,
    /// Anything else.
    Other,
}

/// One line of an order, shipment or checkout.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Item {
    /// `Camiseta`.
    pub title: String,
    /// `M / azul`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// How many.
    pub quantity: u64,
    /// One of them.
    pub price: Money,
    /// All of them, after the line's discounts.
    pub total: Money,
    /// The shop's own number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sku: Option<String>,
    /// The id at the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product_id: Option<String>,
}

/// A postal address.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Address {
    /// Who lives there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Street and number, all lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub street: Option<String>,
    /// City.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
    /// Province or state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub province: Option<String>,
    /// Postal code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zip: Option<String>,
    /// ISO 3166 alpha-2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// As typed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
}

/// `shipment.*`.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Shipment {
    /// The id at the source.
    pub id: String,
    /// `#1001.1`.
    pub number: String,
    /// `Correios`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub company: Option<String>,
    /// `BR123…`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tracking_number: Option<String>,
    /// `https://…`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tracking_url: Option<String>,
    /// Where the parcel is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub status: Option<ShipmentStatus>,
    /// What is in it.
    #[serde(default)]
    pub items: Vec<Item>,
    /// The last parcel of the order.
    pub is_last: bool,
}

/// `shipment.status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShipmentStatus {
    /// On its way.
    InTransit,
    /// Today.
    OutForDelivery,
    /// There.
    Delivered,
    /// Went wrong.
    Failure,
}

/// `checkout.*`.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Checkout {
    /// The checkout's token.
    pub id: String,
    /// When it was begun.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// What it would cost.
    pub total: Money,
    /// ISO 4217.
    pub currency: String,
    /// At most [`ITEMS_MAX`].
    #[serde(default)]
    pub items: Vec<Item>,
    /// The sum of all quantities, of items left out too.
    pub item_count: u64,
    /// Back to the basket.
    pub url: String,
    /// `BEMVINDO`.
    #[serde(default)]
    pub discount_codes: Vec<String>,
    /// Note attributes.
    #[serde(default)]
    pub attributes: FreeMap,
}

/// An amount in major units, exact to four digits after the point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Money {
    ten_thousandths: i64,
}

impl Money {
    const SCALE: i64 = 10_000;

    /// Reads `129.9`, `-10.00`, `1299`. No thousands separators, no currency.
    pub fn parse(text: &str) -> Option<Money> {
        let text = text.trim();
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let only_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if (whole.is_empty() && fraction.is_empty())
            || !only_digits(whole)
            || !only_digits(fraction)
        {
            return None;
        }
        let whole: i64 = if whole.is_empty() {
            0
        } else {
            whole.parse().ok()?
        };
        let mut padded: String = fraction.chars().take(4).collect();
        while padded.len() < 4 {
            padded.push('0');
        }
        let fraction: i64 = padded.parse().ok()?;
        let ten_thousandths = whole.checked_mul(Self::SCALE)?.checked_add(fraction)?;
        Some(Money {
            ten_thousandths: if negative {
                -ten_thousandths
            } else {
                ten_thousandths
            },
        })
    }

    /// The amount as a number, for comparing. Exact up to fifteen digits.
    #[expect(
        clippy::cast_precision_loss,
        reason = "amounts of shops stay far below 2^53 ten-thousandths"
    )]
    pub fn as_f64(self) -> f64 {
        self.ten_thousandths as f64 / Self::SCALE as f64
    }

    /// The sum, or `None` where it does not fit.
    pub fn checked_add(self, other: Money) -> Option<Money> {
        let ten_thousandths = self.ten_thousandths.checked_add(other.ten_thousandths)?;
        Some(Money { ten_thousandths })
    }

    /// The difference, or `None` where it does not fit.
    pub fn checked_sub(self, other: Money) -> Option<Money> {
        let ten_thousandths = self.ten_thousandths.checked_sub(other.ten_thousandths)?;
        Some(Money { ten_thousandths })
    }

    /// The amount `quantity` times, or `None` where it does not fit.
    pub fn checked_mul(self, quantity: u64) -> Option<Money> {
        let quantity = i64::try_from(quantity).ok()?;
        let ten_thousandths = self.ten_thousandths.checked_mul(quantity)?;
        Some(Money { ten_thousandths })
    }

    /// `part` of `whole` equal shares, rounded towards zero; `None` where `whole` is 0.
    pub fn share(self, part: u64, whole: u64) -> Option<Money> {
        let share = i128::from(self.ten_thousandths)
            .checked_mul(i128::from(part))?
            .checked_div(i128::from(whole))?;
        Some(Money {
            ten_thousandths: i64::try_from(share).ok()?,
        })
    }

    /// Without its sign.
    pub fn abs(self) -> Money {
        Money {
            ten_thousandths: self.ten_thousandths.saturating_abs(),
        }
    }

    /// Nothing at all.
    pub fn is_zero(self) -> bool {
        self.ten_thousandths == 0
    }
}

impl fmt::Display for Money {
    /// `129.9`, `10`, `-0.05`: the shortest form, which [`Money::parse`] reads back.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let absolute = self.ten_thousandths.unsigned_abs();
        let scale = Self::SCALE.unsigned_abs();
        if self.ten_thousandths < 0 {
            f.write_str("-")?;
        }
        write!(f, "{}", absolute / scale)?;
        let fraction = format!("{:04}", absolute % scale);
        let fraction = fraction.trim_end_matches('0');
        if fraction.is_empty() {
            Ok(())
        } else {
            write!(f, ".{fraction}")
        }
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Money::parse(&text).ok_or_else(|| serde::de::Error::custom("not an amount"))
    }
}

impl Event {
    /// `{connection}/{subject}/{id}`: the key of the entity row.
    pub fn entity_key(&self) -> String {
        entity_key(&self.event.source, self.subject.kind, &self.subject.id)
    }

    /// `{connection}/{subject}/{id}` of every subject that this one ends.
    pub fn ended_keys(&self) -> impl Iterator<Item = String> + '_ {
        self.subject
            .ends
            .iter()
            .map(|link| entity_key(&self.event.source, link.kind, &link.id))
    }

    /// `{connection}/{subject}/{id}` of every other name of the subject.
    pub fn alias_keys(&self) -> impl Iterator<Item = String> + '_ {
        self.subject
            .aliases
            .iter()
            .map(|link| entity_key(&self.event.source, link.kind, &link.id))
    }

    /// The order, where the event has one.
    pub fn order(&self) -> Option<&Order> {
        match &self.body {
            Body::Order { order, .. } => Some(order),
            _ => None,
        }
    }

    /// The appointment, where the event has one.
    pub fn appointment(&self) -> Option<&Appointment> {
        match &self.body {
            Body::Appointment { appointment } => Some(appointment),
            _ => None,
        }
    }

    /// The person in another system, where the event has one.
    pub fn lead(&self) -> Option<&Lead> {
        match &self.body {
            Body::Lead { lead } => Some(lead),
            _ => None,
        }
    }

    /// The message, where the event has one.
    pub fn message(&self) -> Option<&Message> {
        match &self.body {
            Body::Message { message, .. } => Some(message),
            _ => None,
        }
    }

    /// The person in Callbell, where the event has one.
    pub fn contact(&self) -> Option<&Contact> {
        match &self.body {
            Body::Message { contact, .. }
            | Body::Conversation { contact, .. }
            | Body::Contact { contact } => Some(contact),
            _ => None,
        }
    }

    /// The person in Callbell, where the event has one, to be completed.
    pub fn contact_mut(&mut self) -> Option<&mut Contact> {
        match &mut self.body {
            Body::Message { contact, .. }
            | Body::Conversation { contact, .. }
            | Body::Contact { contact } => Some(contact),
            _ => None,
        }
    }

    /// The free maps of the event, which go first when it is too large.
    pub fn clear_free_maps(&mut self) {
        let attributes: BTreeMap<&str, &mut FreeMap> = match &mut self.body {
            Body::Order { order, .. } => [("order.attributes", &mut order.attributes)].into(),
            Body::Checkout { checkout } => {
                [("checkout.attributes", &mut checkout.attributes)].into()
            }
            Body::Appointment { appointment } => [
                ("appointment.answers", &mut appointment.answers),
                ("appointment.utm", &mut appointment.utm),
            ]
            .into(),
            Body::Message { contact, .. }
            | Body::Conversation { contact, .. }
            | Body::Contact { contact } => [("contact.fields", &mut contact.fields)].into(),
            Body::Form { form } => [
                ("form.answers", &mut form.answers),
                ("form.hidden", &mut form.hidden),
                ("form.labels", &mut form.labels),
            ]
            .into(),
            Body::Lead { lead } => [("lead.fields", &mut lead.fields)].into(),
            Body::Deal { deal } => [("deal.fields", &mut deal.fields)].into(),
            // All that a custom event has is its data: without it there is none. Too large is too large.
            Body::Custom { .. }
            | Body::Email { .. }
            | Body::AppointmentChange { .. }
            | Body::Job { .. }
            | Body::Changed { .. }
            | Body::Privacy { .. } => BTreeMap::new(),
        };
        for (path, map) in attributes {
            if !map.is_empty() {
                map.clear();
                self.event
                    .notes
                    .push(format!("{path} left out: the event was too large"));
            }
        }
    }
}

/// The key of an entity row: `{connection}/{subject}/{id}`.
pub fn entity_key(connection: &str, kind: SubjectKind, id: &str) -> String {
    format!("{connection}/{}/{id}", kind.as_str())
}

impl fmt::Debug for Event {
    /// Name and key alone: everything else may be personal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("name", &self.event.name)
            .field("id", &self.event.id)
            .finish_non_exhaustive()
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde asks for"
)]
fn is_false(value: &bool) -> bool {
    !value
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde asks for"
)]
fn is_zero(value: &u8) -> bool {
    *value == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_reads_back_what_it_prints() {
        for text in [
            "0",
            "129.9",
            "-10",
            "1299",
            "0.05",
            "-0.05",
            "99999999.9999",
        ] {
            assert_eq!(
                Money::parse(text).map(|money| money.to_string()).as_deref(),
                Some(text)
            );
        }
        assert_eq!(Money::parse("10.00"), Money::parse("10"));
        for text in [
            "",
            ".",
            "-",
            "1,50",
            "R$ 1",
            "1e3",
            "1.2.3",
            "--1",
            "99999999999999999999",
        ] {
            assert_eq!(Money::parse(text), None, "{text}");
        }
    }
}
