//! The checked automations file as types. Only the parser makes them, so what is here is consistent:
//! every name leads somewhere, every list is in its bounds.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use shared::event::Name;

/// Most steps of one automation.
pub const STEPS_MAX: usize = 20;
/// Most automations of one file.
pub const AUTOMATIONS_MAX: usize = 200;

/// The whole file.
#[derive(Clone, Debug)]
pub struct Automations {
    /// `[defaults]`.
    pub defaults: Defaults,
    /// `[channel.x]`.
    pub channels: BTreeMap<String, Channel>,
    /// `[source.x]`.
    pub sources: BTreeMap<String, SourceTable>,
    /// `[hours.x]`.
    pub hours: BTreeMap<String, Hours>,
    /// `[message.x]`.
    pub messages: BTreeMap<String, Message>,
    /// `[automation.x]`.
    pub automations: BTreeMap<String, Automation>,
}

/// `[defaults]`.
#[derive(Clone, Debug)]
pub struct Defaults {
    /// BCP 47.
    pub locale: String,
    /// Country → locale.
    pub locale_by_country: BTreeMap<String, String>,
    /// ISO 3166 alpha-2.
    pub country: Option<String>,
    /// The business's zone and its IANA name.
    pub timezone: Zone,
    /// Name of a channel: the one that the file names, else the only one. `None` where there is none,
    /// or where each automation says its own.
    pub channel: Option<String>,
    /// Name of the hours for marketing.
    pub send_hours: Option<String>,
    /// Lateness for messages; `None`: the action's own default.
    pub give_up_after: Option<Span>,
    /// What to do where an answer was lost.
    pub if_unknown: IfUnknown,
    /// E.164 numbers; `None`: no safety catch. An empty list lets nothing through.
    pub only_to: Option<Vec<String>>,
    /// Messages a second.
    pub rate: u32,
    /// Jobs are made and wait.
    pub paused: bool,
}

/// A time zone with the name that the file gave it.
#[derive(Clone, Debug, PartialEq)]
pub struct Zone {
    /// IANA name.
    pub name: String,
    /// Its rules.
    pub zone: TimeZone,
}

/// What to do where an answer was lost and Callbell cannot say whether the message exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfUnknown {
    /// Leave it to a person.
    Hold,
    /// Send again and risk a double.
    Resend,
}

/// `[channel.x]`.
#[derive(Clone, Debug)]
pub struct Channel {
    /// 32 hex digits.
    pub uuid: String,
    /// Sent as `from`.
    pub kind: ChannelKind,
    /// Overrides of the defaults.
    pub place: Place,
}

/// `from` of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelKind {
    /// WhatsApp.
    Whatsapp,
    /// Instagram.
    Instagram,
    /// Messenger.
    Facebook,
    /// Telegram.
    Telegram,
}

impl ChannelKind {
    /// The word that Callbell uses.
    pub fn as_str(self) -> &'static str {
        match self {
            ChannelKind::Whatsapp => "whatsapp",
            ChannelKind::Instagram => "instagram",
            ChannelKind::Facebook => "facebook",
            ChannelKind::Telegram => "telegram",
        }
    }
}

/// Country, language and zone of a channel or source.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// ISO 3166 alpha-2.
    pub country: Option<String>,
    /// BCP 47.
    pub locale: Option<String>,
    /// IANA.
    pub timezone: Option<Zone>,
}

/// `[source.x]`.
#[derive(Clone, Debug)]
pub struct SourceTable {
    /// The provider.
    pub kind: String,
    /// Sender of what it causes.
    pub channel: Option<String>,
    /// Reading of its phones and times.
    pub place: Place,
    /// Paths that hold the phone, in order.
    pub phone_from: Vec<String>,
    /// Which question asks for the phone: a regular expression.
    pub phone_question: Option<String>,
}

/// `[hours.x]`.
#[derive(Clone, Debug)]
pub struct Hours {
    /// The hours' own zone; `None`: the business's.
    pub timezone: Option<Zone>,
    /// Open spans a weekday, ascending, not overlapping. A day that is not here is closed.
    pub week: BTreeMap<WeekdayKey, Vec<OpenSpan>>,
    /// Exceptions by date; an empty list is closed.
    pub dates: BTreeMap<Date, Vec<OpenSpan>>,
}

/// A weekday that sorts, Monday first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WeekdayKey(i8);

impl From<Weekday> for WeekdayKey {
    fn from(weekday: Weekday) -> Self {
        WeekdayKey(weekday.to_monday_zero_offset())
    }
}

/// From one wall-clock time to a later one of the same day; the end is outside. `24:00` is
/// [`Time::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenSpan {
    /// First instant inside.
    pub from: Time,
    /// First instant outside.
    pub to: Time,
}

/// `[message.x]`.
#[derive(Clone, Debug)]
pub struct Message {
    /// Free text, only inside the 24 hours.
    pub text: Option<ByLocale<Text>>,
    /// Approved template, 32 hex digits.
    pub template: Option<ByLocale<String>>,
    /// One a placeholder.
    pub values: Option<ByLocale<Vec<Text>>>,
    /// At most one.
    pub media: Option<Media>,
    /// What the person agreed to.
    pub purpose: Purpose,
    /// E-mail of the assigned user.
    pub assign: Option<String>,
    /// Team by name.
    pub team: Option<String>,
    /// Callbell's own bot.
    pub bot: Option<Bot>,
}

/// A picture, document, sound or film.
#[derive(Clone, Debug)]
pub struct Media {
    /// Which.
    pub kind: MediaKind,
    /// Its https address.
    pub url: ByLocale<Text>,
}

/// The keys `image`, `document`, `audio`, `video`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaKind {
    /// `image`.
    Image,
    /// `document`.
    Document,
    /// `audio`.
    Audio,
    /// `video`.
    Video,
}

/// `purpose` of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// About something that the person did.
    Service,
    /// Needs consent and keeps to `send_hours`.
    Marketing,
}

/// `bot` of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bot {
    /// `bot_start`.
    Start,
    /// `bot_end`.
    End,
}

/// One value for all locales, or one a locale. The keys are BCP 47, canonical case.
#[derive(Clone, Debug, PartialEq)]
pub enum ByLocale<T> {
    /// Serves every locale.
    All(T),
    /// One a locale.
    Each(BTreeMap<String, T>),
}

/// `[automation.x]`.
#[derive(Clone, Debug)]
pub struct Automation {
    /// What starts it.
    pub on: Vec<Name>,
    /// Connections or kinds; empty: any.
    pub source: Vec<String>,
    /// Asked once, over the event's own fields.
    pub when: Option<Expr>,
    /// `false`: no new jobs, waiting jobs wait.
    pub enabled: bool,
    /// Guards its messages.
    pub consent: Option<Consent>,
    /// Ends the remaining steps.
    pub stop_on: Vec<Name>,
    /// How often.
    pub once: Once,
    /// Hours of this automation.
    pub send_hours: Option<SendHours>,
    /// Lateness.
    pub give_up_after: Option<Span>,
    /// Overrides the default.
    pub if_unknown: Option<IfUnknown>,
    /// Overrides the source's channel.
    pub channel: Option<String>,
    /// Overrides the customer's locale.
    pub locale: Option<Text>,
    /// Another recipient.
    pub to: Option<Text>,
    /// At least one; a single action is one step.
    pub steps: Vec<Step>,
}

/// `consent`.
#[derive(Clone, Debug)]
pub enum Consent {
    /// `true`: held elsewhere.
    Held,
    /// Must come out true.
    Expr(Expr),
}

/// `send_hours` of an automation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendHours {
    /// At any hour.
    Any,
    /// Name of `[hours.x]`.
    Named(String),
}

/// `once`: the scope and the length of the mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Once {
    /// Whose mark.
    pub scope: OnceScope,
    /// `every DUR`; `None`: for ever.
    pub every: Option<Span>,
}

/// Whose mark `once` sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnceScope {
    /// The redelivery guard alone: no mark.
    Event,
    /// The event's subject.
    Subject,
    /// The customer.
    Customer,
}

/// One action of an automation.
#[derive(Clone, Debug)]
pub struct Step {
    /// What it does.
    pub action: Action,
    /// When; `None`: at once.
    pub at: Option<At>,
    /// Asked immediately before it acts.
    pub when: Option<Expr>,
    /// Another recipient than the automation's.
    pub to: Option<Text>,
    /// Another channel than the automation's.
    pub channel: Option<String>,
}

/// What a step does. `{kind}.{name}` is part of the job's key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Send `[message.x]`.
    Message(String),
}

impl Action {
    /// `message.order-confirmed`.
    pub fn key(&self) -> String {
        match self {
            Action::Message(name) => format!("message.{name}"),
        }
    }
}

/// A Jinja expression without braces, checked to compile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expr(pub String);

/// A Jinja text, checked to compile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(pub String);

/// `at`: a field or the event's time, moved, and set to a wall-clock time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    /// `appointment.start`; `None`: the event's own time.
    pub field: Option<String>,
    /// How far, negative before.
    pub offset: Option<Offset>,
    /// `at HH:MM`, in the event's zone.
    pub wall: Option<Time>,
}

/// A signed distance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offset {
    /// Before the base.
    pub before: bool,
    /// How far.
    pub span: Span,
}

/// `15m`, `2h` are exact; `3d`, `1w` are calendar days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// Minutes or hours.
    Exact(SignedDuration),
    /// Days or weeks, in days.
    Days(i32),
}
