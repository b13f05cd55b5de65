//! What expressions and texts see: the fields of automations.md, made from an event.
//!
//! A field that the event does not have is *undefined* to the engine: it prints as nothing, is false,
//! equals nothing, and so do the fields below it. Money is a number, an instant an object of its own,
//! which prints as ISO 8601.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use minijinja::value::{DynObject, Enumerator, Object, ObjectRepr, Value};
use minijinja::{Error, ErrorKind};
use shared::event::{
    Address, Appointment, Body, Checkout, Contact, Conversation, Customer, Deal, Email, Event,
    Form, FreeMap, Head, Host, Item, Job, Lead, Message, Money, Order, Shipment,
};

use super::locale::{Home, Locale};
use super::model::{Automations, Hours};

/// First names of every path that the language knows. One that the event at hand lacks is absent, any
/// other name is an error.
pub const ROOTS: &[&str] = &[
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
    "now",
];

/// Under this name filters find the [`Scope`]; no file can write it.
pub(super) const SCOPE: &str = "%scope";

/// What one expression or text is evaluated over.
#[derive(Clone, Debug)]
pub struct Scope(pub(super) Arc<Inner>);

/// The fields, and what filters and functions need to know around them.
#[derive(Clone)]
pub(super) struct Inner {
    roots: BTreeMap<&'static str, Value>,
    /// `now` where the language has it: at sending time.
    pub(super) now: Option<Timestamp>,
    /// The event's own time, which `day` and `is_open` go by where there is no `now`.
    pub(super) event_at: Timestamp,
    /// Default zone of `date`, `time` and `day`.
    pub(super) zone: TimeZone,
    /// Zone of opening hours that name none.
    pub(super) business_zone: TimeZone,
    /// In which money, dates and times are written.
    pub(super) locale: Locale,
    /// Country whose phone numbers are printed without their country code.
    pub(super) country: Option<String>,
    /// ISO 4217.
    pub(super) currency: Option<String>,
    pub(super) hours: BTreeMap<String, Hours>,
}

impl fmt::Debug for Inner {
    /// Nothing of the event: it is personal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("locale", &self.locale)
            .finish_non_exhaustive()
    }
}

impl Scope {
    /// The fields of `event`, without `now`: what an automation's own `when` and `consent` see. `home`
    /// is where the event's source and channel are at home, see [`Home::of`].
    pub fn new(automations: &Automations, home: &Home<'_>, event: &Event) -> Scope {
        let mut roots = BTreeMap::new();
        roots.insert("event", head(&event.event));
        roots.insert("customer", customer(&event.customer));
        let mut currency = None;
        match &event.body {
            Body::Order {
                order: one,
                shipment: parcel,
            } => {
                currency = Some(one.currency.clone());
                roots.insert("order", order(one));
                if let Some(parcel) = parcel {
                    roots.insert("shipment", shipment(parcel));
                }
            }
            Body::Checkout { checkout: one } => {
                currency = Some(one.currency.clone());
                roots.insert("checkout", checkout(one));
            }
            Body::Appointment { appointment: one } => {
                currency.clone_from(&one.currency);
                roots.insert("appointment", appointment(one, home));
            }
            Body::Message {
                message: one,
                contact: person,
                conversation: talk,
                job: own,
            } => {
                roots.insert("message", message(one));
                roots.insert("contact", contact(person));
                let talk = talk.as_deref().map_or_else(
                    || conversation(&Conversation::unknown(person)),
                    conversation,
                );
                roots.insert("conversation", talk);
                if let Some(own) = own {
                    roots.insert("job", job(own));
                }
            }
            Body::Conversation {
                conversation: talk,
                contact: person,
            } => {
                roots.insert("conversation", conversation(talk));
                roots.insert("contact", contact(person));
            }
            Body::Contact { contact: person } => {
                roots.insert("contact", contact(person));
            }
            Body::Job { job: own } => {
                roots.insert("job", job(own));
            }
            Body::Form { form: one } => {
                roots.insert("form", form(one));
            }
            Body::Lead { lead: one } => {
                roots.insert("lead", lead(one));
            }
            Body::Deal { deal: one } => {
                currency = Some(one.currency.clone());
                roots.insert("deal", deal(one));
            }
            Body::Email { email: one } => {
                roots.insert("email", email(one));
            }
            Body::Custom { data } => {
                roots.insert("data", json(data));
            }
            Body::AppointmentChange { .. } | Body::Changed { .. } | Body::Privacy { .. } => {}
        }
        Scope(Arc::new(Inner {
            roots,
            now: None,
            event_at: event.event.at,
            zone: own_zone(event).unwrap_or_else(|| home.zone().zone.clone()),
            business_zone: automations.defaults.timezone.zone.clone(),
            locale: Locale::read(&automations.defaults.locale),
            country: home.country().map(str::to_owned),
            currency,
            hours: automations.hours.clone(),
        }))
    }

    /// With `now`: what a step's `when` and every text see.
    #[must_use]
    pub fn at(mut self, now: Timestamp) -> Scope {
        let inner = Arc::make_mut(&mut self.0);
        inner.now = Some(now);
        inner.roots.insert("now", moment(now));
        self
    }

    /// With the person in Callbell, of whom the event itself does not tell. What the event tells stays.
    #[must_use]
    pub fn with_contact(mut self, person: &Contact, talk: Option<&Conversation>) -> Scope {
        let roots = &mut Arc::make_mut(&mut self.0).roots;
        roots.entry("contact").or_insert_with(|| contact(person));
        roots.entry("conversation").or_insert_with(|| {
            talk.map_or_else(
                || conversation(&Conversation::unknown(person)),
                conversation,
            )
        });
        self
    }

    /// The posted body alone: what the expressions of a `[source.x]` see, before there is an event.
    #[must_use]
    pub fn over_data(mut self) -> Scope {
        let inner = Arc::make_mut(&mut self.0);
        inner.roots.retain(|root, _| *root == "data");
        self
    }

    /// With money, dates and times written as `locale` (BCP 47) writes them.
    #[must_use]
    pub fn in_locale(mut self, locale: &str) -> Scope {
        Arc::make_mut(&mut self.0).locale = Locale::read(locale);
        self
    }

    /// The value at a path such as `order.created_at`; undefined where there is none.
    pub fn field(&self, path: &str) -> Value {
        let mut parts = path.split('.');
        let root = parts
            .next()
            .and_then(|name| self.0.roots.get(name))
            .cloned();
        parts.fold(root.unwrap_or_default(), |value, name| {
            value.get_attr(name).unwrap_or_default()
        })
    }

    /// The instant at a path, also one that a free map holds as a text; `None` where the field is absent
    /// or is no instant.
    pub fn instant(&self, path: &str) -> Option<Timestamp> {
        let value = self.field(path);
        let text = || super::times::read_instant(value.as_str()?.trim(), self.zone());
        value
            .downcast_object_ref::<Moment>()
            .map(|moment| moment.at)
            .or_else(text)
    }

    /// The zone that `date` and `time` write in and `at HH:MM` means: the appointment's, else the
    /// customer's, else the business's.
    pub fn zone(&self) -> &TimeZone {
        &self.0.zone
    }
}

/// The zone that an event brings along. An appointment whose source does not know the place's has
/// none: the zone of an invitee who books from abroad would be the wrong one.
pub fn own_zone(event: &Event) -> Option<TimeZone> {
    match event.appointment() {
        Some(appointment) => known_zone(appointment.timezone.as_deref()),
        None => known_zone(event.customer.timezone.as_deref()),
    }
}

fn known_zone(name: Option<&str>) -> Option<TimeZone> {
    name.and_then(|name| TimeZone::get(name).ok())
}

impl Inner {
    /// The moment that the text is read at.
    pub(super) fn present(&self) -> Timestamp {
        self.now.unwrap_or(self.event_at)
    }
}

/// The root of names. Unknown ones are errors: a misspelt name must not count as absent.
#[derive(Debug)]
pub(super) struct Root {
    pub(super) scope: Scope,
    pub(super) failures: super::expr::Failures,
}

impl Object for Root {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        let inner = &self.scope.0;
        if let Some(value) = inner.roots.get(name) {
            return Some(value.clone());
        }
        if name == SCOPE {
            return Some(Value::from_dyn_object(self.clone()));
        }
        let reason = match name {
            "now" => {
                "now is not known yet when the event arrives: move it to the step's when".into()
            }
            _ if ROOTS.contains(&name) => return Some(Value::UNDEFINED),
            _ if super::expr::is_function(name) => return None,
            _ => format!("unknown name {name}"),
        };
        Some(Value::from(Error::new(ErrorKind::UndefinedError, reason)))
    }
}

/// An instant, with the zone that `in_zone` gave it. Prints as ISO 8601.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Moment {
    pub(super) at: Timestamp,
    pub(super) zone: Option<TimeZone>,
}

impl Object for Moment {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }

    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<std::cmp::Ordering> {
        other
            .downcast_ref::<Moment>()
            .map(|other| self.at.cmp(&other.at))
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.zone {
            None => write!(f, "{}", self.at),
            Some(zone) => {
                let offset = zone.to_offset(self.at);
                write!(f, "{}", self.at.display_with_offset(offset))
            }
        }
    }
}

pub(super) fn moment(at: Timestamp) -> Value {
    Value::from_object(Moment { at, zone: None })
}

/// A table of fields. What is absent is not in it.
#[derive(Default)]
struct Fields(BTreeMap<String, Value>);

impl Fields {
    fn put(mut self, name: &str, value: impl Into<Value>) -> Fields {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    fn opt(self, name: &str, value: Option<impl Into<Value>>) -> Fields {
        match value {
            Some(value) => self.put(name, value),
            None => self,
        }
    }

    fn text(self, name: &str, value: &str) -> Fields {
        self.put(name, value)
    }

    fn opt_text(self, name: &str, value: Option<&String>) -> Fields {
        self.opt(name, value.map(String::as_str))
    }

    fn time(self, name: &str, at: Timestamp) -> Fields {
        self.put(name, moment(at))
    }

    fn money(self, name: &str, amount: Money) -> Fields {
        self.put(name, amount.as_f64())
    }

    fn texts(self, name: &str, list: &[String]) -> Fields {
        self.put(
            name,
            list.iter()
                .map(String::as_str)
                .map(Value::from)
                .collect::<Value>(),
        )
    }

    fn done(self) -> Value {
        Value::from(self.0)
    }
}

/// The word that `serde` writes for a variant.
fn word(variant: &impl serde::Serialize) -> Value {
    serde_json::to_value(variant)
        .map(|json_value| json(&json_value))
        .unwrap_or_default()
}

fn head(head: &Head) -> Value {
    Fields::default()
        .text("name", head.name.as_str())
        .text("source", &head.source)
        .text("kind", &head.kind)
        .opt_text("account", head.account.as_ref())
        .text("id", &head.id)
        .time("at", head.at)
        .done()
}

fn customer(customer: &Customer) -> Value {
    Fields::default()
        .opt_text("name", customer.name.as_ref())
        .opt_text("first_name", customer.first_name.as_ref())
        .opt_text("last_name", customer.last_name.as_ref())
        .opt_text("phone", customer.phone.as_ref())
        .opt_text("country", customer.country.as_ref())
        .opt_text("email", customer.email.as_ref())
        .opt_text("locale", customer.locale.as_ref())
        .opt_text("timezone", customer.timezone.as_ref())
        .opt_text("id", customer.id.as_ref())
        .opt("accepts_marketing", customer.accepts_marketing)
        .opt("accepts_email", customer.accepts_email)
        .texts("tags", &customer.tags)
        .done()
}

fn order(order: &Order) -> Value {
    Fields::default()
        .text("id", &order.id)
        .text("number", &order.number)
        .time("created_at", order.created_at)
        .opt("paid_at", order.paid_at.map(moment))
        .opt("cancelled_at", order.cancelled_at.map(moment))
        .money("total", order.total)
        .money("subtotal", order.subtotal)
        .money("shipping", order.shipping)
        .money("tax", order.tax)
        .money("discount", order.discount)
        .money("refunded", order.refunded)
        .text("currency", &order.currency)
        .put("payment_status", word(&order.payment_status))
        .opt_text("payment_method", order.payment_method.as_ref())
        .put("fulfillment_status", word(&order.fulfillment_status))
        .put("items", items(&order.items))
        .put("item_count", order.item_count)
        .opt_text("status_url", order.status_url.as_ref())
        .opt_text("payment_url", order.payment_url.as_ref())
        .opt(
            "shipping_address",
            order.shipping_address.as_ref().map(address),
        )
        .opt(
            "billing_address",
            order.billing_address.as_ref().map(address),
        )
        .opt_text("shipping_method", order.shipping_method.as_ref())
        .texts("discount_codes", &order.discount_codes)
        .opt_text("note", order.note.as_ref())
        .texts("tags", &order.tags)
        .put("attributes", free_map(&order.attributes))
        .put("channel", word(&order.channel))
        .opt("is_first", order.is_first)
        .put("test", order.test)
        .opt_text("cancel_reason", order.cancel_reason.as_ref())
        .done()
}

fn items(items: &[Item]) -> Value {
    items.iter().map(item).collect()
}

fn item(item: &Item) -> Value {
    Fields::default()
        .text("title", &item.title)
        .opt_text("variant", item.variant.as_ref())
        .put("quantity", item.quantity)
        .money("price", item.price)
        .money("total", item.total)
        .opt_text("sku", item.sku.as_ref())
        .opt_text("product_id", item.product_id.as_ref())
        .done()
}

fn address(address: &Address) -> Value {
    Fields::default()
        .opt_text("name", address.name.as_ref())
        .opt_text("street", address.street.as_ref())
        .opt_text("city", address.city.as_ref())
        .opt_text("province", address.province.as_ref())
        .opt_text("zip", address.zip.as_ref())
        .opt_text("country", address.country.as_ref())
        .opt_text("phone", address.phone.as_ref())
        .done()
}

fn shipment(shipment: &Shipment) -> Value {
    Fields::default()
        .text("id", &shipment.id)
        .text("number", &shipment.number)
        .opt_text("company", shipment.company.as_ref())
        .opt_text("tracking_number", shipment.tracking_number.as_ref())
        .opt_text("tracking_url", shipment.tracking_url.as_ref())
        .opt("status", shipment.status.as_ref().map(word))
        .put("items", items(&shipment.items))
        .put("is_last", shipment.is_last)
        .done()
}

fn checkout(checkout: &Checkout) -> Value {
    Fields::default()
        .text("id", &checkout.id)
        .time("created_at", checkout.created_at)
        .time("updated_at", checkout.updated_at)
        .money("total", checkout.total)
        .text("currency", &checkout.currency)
        .put("items", items(&checkout.items))
        .put("item_count", checkout.item_count)
        .text("url", &checkout.url)
        .texts("discount_codes", &checkout.discount_codes)
        .put("attributes", free_map(&checkout.attributes))
        .done()
}

fn appointment(appointment: &Appointment, home: &Home<'_>) -> Value {
    let timezone = appointment.timezone.as_deref();
    let known = timezone.filter(|name| known_zone(Some(name)).is_some());
    Fields::default()
        .text("id", &appointment.id)
        .opt_text("series", appointment.series.as_ref())
        .text("title", &appointment.title)
        .opt_text("type", appointment.kind.as_ref())
        .time("start", appointment.start)
        .time("end", appointment.end)
        .put("minutes", appointment.minutes)
        .text("timezone", known.unwrap_or(&home.zone().name))
        .put("in_person", appointment.in_person)
        .put("all_day", appointment.all_day)
        .opt_text("location", appointment.location.as_ref())
        .opt_text("join_url", appointment.join_url.as_ref())
        .put("host", host(&appointment.host))
        .opt_text("cancel_url", appointment.cancel_url.as_ref())
        .opt_text("reschedule_url", appointment.reschedule_url.as_ref())
        .put("answers", free_map(&appointment.answers))
        .opt("previous_start", appointment.previous_start.map(moment))
        .opt("previous_end", appointment.previous_end.map(moment))
        .opt("cancelled_by", appointment.cancelled_by.as_ref().map(word))
        .opt_text("reason", appointment.reason.as_ref())
        .put("wants_reschedule", appointment.wants_reschedule)
        .opt("paid", appointment.paid)
        .opt("price", appointment.price.map(Money::as_f64))
        .opt_text("currency", appointment.currency.as_ref())
        .texts("guests", &appointment.guests)
        .put("utm", free_map(&appointment.utm))
        .done()
}

fn host(host: &Host) -> Value {
    Fields::default()
        .opt_text("name", host.name.as_ref())
        .opt_text("email", host.email.as_ref())
        .done()
}

fn contact(contact: &Contact) -> Value {
    let known = |text: &String| (!text.is_empty()).then(|| text.clone());
    Fields::default()
        .text("id", &contact.id)
        .opt("name", known(&contact.name))
        .opt("first_name", known(&contact.first_name))
        .opt_text("phone", contact.phone.as_ref())
        .opt_text("bsuid", contact.bsuid.as_ref())
        .opt_text("email", contact.email.as_ref())
        .text("url", &contact.url)
        .texts("tags", &contact.tags)
        .put("fields", free_map(&contact.fields))
        .opt_text("assigned_to", contact.assigned_to.as_ref())
        .opt_text("team", contact.team.as_ref())
        .opt_text("funnel", contact.funnel.as_ref())
        .opt_text("note", contact.note.as_ref())
        .opt_text("avatar_url", contact.avatar_url.as_ref())
        .text("channel", &contact.channel)
        .text("channel_kind", &contact.channel_kind)
        .opt("created_at", contact.created_at.map(moment))
        .opt("closed_at", contact.closed_at.map(moment))
        .put("blocked", contact.blocked)
        .texts("changed", &contact.changed)
        .texts("added_tags", &contact.added_tags)
        .texts("removed_tags", &contact.removed_tags)
        .put("opted_out", contact.opted_out)
        .put("window_open", contact.window_open)
        .done()
}

fn conversation(conversation: &Conversation) -> Value {
    Fields::default()
        .text("id", &conversation.id)
        .text("url", &conversation.url)
        .opt("opened_at", conversation.opened_at.map(moment))
        .opt("closed_at", conversation.closed_at.map(moment))
        .opt_text("closing_reason", conversation.closing_reason.as_ref())
        .put("human", conversation.human)
        .opt_text("last_sent", conversation.last_sent.as_ref())
        .done()
}

fn message(message: &Message) -> Value {
    Fields::default()
        .opt_text("text", message.text.as_ref())
        .put("kind", word(&message.kind))
        .opt_text("button", message.button.as_ref())
        .opt_text("choice", message.choice.as_ref())
        .texts("attachments", &message.attachments)
        .opt(
            "location",
            message.location.map(|place| {
                Fields::default()
                    .put("latitude", place.latitude)
                    .put("longitude", place.longitude)
                    .done()
            }),
        )
        .opt_text("card", message.card.as_ref())
        .opt_text("reaction", message.reaction.as_ref())
        .put("forwarded", message.forwarded)
        .put("is_first", message.is_first)
        .time("at", message.at)
        .opt_text("id", message.id.as_ref())
        .text("status", &message.status)
        .opt_text("reason", message.reason.as_ref())
        .opt_text("corrected_phone", message.corrected_phone.as_ref())
        .done()
}

fn job(job: &Job) -> Value {
    Fields::default()
        .text("key", &job.key)
        .text("automation", &job.automation)
        .text("action", &job.action)
        .text("status", &job.status)
        .text("reason", &job.reason)
        .put("attempts", job.attempts)
        .done()
}

fn form(form: &Form) -> Value {
    Fields::default()
        .text("id", &form.id)
        .text("title", &form.title)
        .text("response_id", &form.response_id)
        .time("submitted_at", form.submitted_at)
        .put("answers", free_map(&form.answers))
        .put("labels", free_map(&form.labels))
        .put("hidden", free_map(&form.hidden))
        .opt("score", form.score)
        .opt_text("response_url", form.response_url.as_ref())
        .done()
}

fn lead(lead: &Lead) -> Value {
    Fields::default()
        .text("id", &lead.id)
        .put("kind", word(&lead.kind))
        .opt_text("url", lead.url.as_ref())
        .opt("created_at", lead.created_at.map(moment))
        .put("owner", host(&lead.owner))
        .opt_text("company", lead.company.as_ref())
        .opt_text("stage", lead.stage.as_ref())
        .put("fields", free_map(&lead.fields))
        .texts("changed", &lead.changed)
        .opt_text("list", lead.list.as_ref())
        .done()
}

fn deal(deal: &Deal) -> Value {
    Fields::default()
        .text("id", &deal.id)
        .text("title", &deal.title)
        .money("value", deal.value)
        .text("currency", &deal.currency)
        .text("stage", &deal.stage)
        .opt_text("pipeline", deal.pipeline.as_ref())
        .put("status", word(&deal.status))
        .opt_text("previous_stage", deal.previous_stage.as_ref())
        .put("owner", host(&deal.owner))
        .opt_text("url", deal.url.as_ref())
        .put("fields", free_map(&deal.fields))
        .done()
}

fn email(email: &Email) -> Value {
    let from = Fields::default()
        .opt_text("name", email.from.name.as_ref())
        .text("address", &email.from.address)
        .done();
    Fields::default()
        .text("id", &email.id)
        .put("from", from)
        .texts("to", &email.to)
        .text("subject", &email.subject)
        .text("snippet", &email.snippet)
        .text("text", &email.text)
        .time("at", email.at)
        .texts("labels", &email.labels)
        .put("has_attachments", email.has_attachments)
        .done()
}

fn free_map(map: &FreeMap) -> Value {
    let known = map.iter().filter(|(_, value)| !value.is_null());
    Value::from(
        known
            .map(|(key, value)| (key.clone(), json(value)))
            .collect::<BTreeMap<_, _>>(),
    )
}

/// JSON as the language has it: `null` is absent.
fn json(value: &serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::UNDEFINED,
        serde_json::Value::Bool(truth) => Value::from(*truth),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => Value::from(whole),
            (None, Some(whole)) => Value::from(whole),
            (None, None) => number.as_f64().map(Value::from).unwrap_or_default(),
        },
        serde_json::Value::String(text) => Value::from(text.as_str()),
        serde_json::Value::Array(list) => list.iter().map(json).collect(),
        serde_json::Value::Object(map) => free_map(map),
    }
}

#[cfg(test)]
mod tests {
    use shared::event::Name;

    use super::super::samples::{Kind, sample};
    use super::super::testing::{at, automations};
    use super::*;

    /// Whose zone an appointment is told in; the customer's never stands in for the place's.
    #[test]
    fn the_zone_of_an_appointment() {
        let file = automations();
        let mut event = sample(
            Name::AppointmentBooked,
            Kind::Full,
            at("2026-11-22T12:00:00Z"),
            [],
        );
        event.customer.timezone = Some("Europe/London".into());
        for (timezone, expected) in [
            (Some("Europe/Rome"), "Europe/Rome"),
            (None, "America/Sao_Paulo"),
            (Some("Nowhere/At_All"), "America/Sao_Paulo"),
        ] {
            let Body::Appointment { appointment } = &mut event.body else {
                panic!("no appointment")
            };
            appointment.timezone = timezone.map(str::to_owned);
            let scope = Scope::new(&file, &Home::of(&file, &event, None), &event);
            assert_eq!(scope.zone().iana_name(), Some(expected));
            let field = scope.field("appointment.timezone");
            assert_eq!(field.as_str(), Some(expected), "{timezone:?}");
        }
    }
}
