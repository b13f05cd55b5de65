//! The checked automations file as types. Only the parser makes them, so what is here is consistent:
//! every name leads somewhere, every list is in its bounds.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use shared::connections::Auth;
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
    /// `[contact.x]`.
    pub contacts: BTreeMap<String, ContactTable>,
    /// `[reply.x]`.
    pub replies: BTreeMap<String, ReplyTable>,
    /// `[slack.x]`.
    pub slacks: BTreeMap<String, SlackTable>,
    /// `[sheet.x]`.
    pub sheets: BTreeMap<String, SheetTable>,
    /// `[webhook.x]`.
    pub webhooks: BTreeMap<String, WebhookTable>,
    /// `[hubspot.x]` … `[intercom.x]`, by system and name.
    pub records: BTreeMap<(Crm, String), RecordTable>,
    /// `[opt_out]`; its defaults hold where the file has none.
    pub opt_out: OptOut,
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

    /// The kind of this word of Callbell's.
    pub fn parse(word: &str) -> Option<ChannelKind> {
        [
            ChannelKind::Whatsapp,
            ChannelKind::Instagram,
            ChannelKind::Facebook,
            ChannelKind::Telegram,
        ]
        .into_iter()
        .find(|kind| kind.as_str() == word)
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
    /// How its sender proves itself; `None`: by Standard Webhooks. Of the kind `webhook` alone.
    pub auth: Option<Auth>,
    /// How what it posts is read. Of the kind `webhook` alone.
    pub posts: Option<Posts>,
}

/// How the posts of a `[source.x]` of the kind `webhook` are read: expressions over `data` alone.
#[derive(Clone, Debug)]
pub struct Posts {
    /// What makes it the same event again.
    pub key: Expr,
    /// Becomes `customer.phone`.
    pub phone: Option<Expr>,
    /// Becomes `customer.name`.
    pub name: Option<Expr>,
    /// Becomes `customer.email`.
    pub email: Option<Expr>,
    /// Becomes `customer.locale`.
    pub locale: Option<Expr>,
    /// Becomes `event.at`.
    pub at: Option<Expr>,
    /// A list in the body: one event an element.
    pub each: Option<Expr>,
}

impl Posts {
    /// Each expression under its key, in the order of the reference.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, &Expr)> {
        let others = [
            ("phone", &self.phone),
            ("name", &self.name),
            ("email", &self.email),
            ("locale", &self.locale),
            ("at", &self.at),
            ("each", &self.each),
        ];
        let others = others
            .into_iter()
            .filter_map(|(key, expr)| Some((key, expr.as_ref()?)));
        std::iter::once(("key", &self.key)).chain(others)
    }
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
pub struct Action {
    /// Which table: `message` of `[message.x]`.
    pub kind: ActionKind,
    /// Its name: `x`.
    pub name: String,
}

impl Action {
    /// `message.order-confirmed`.
    pub fn key(&self) -> String {
        format!("{}.{}", self.kind.as_str(), self.name)
    }

    /// The name of the message that it sends, where it sends one.
    pub fn message(&self) -> Option<&str> {
        (self.kind == ActionKind::Message).then_some(self.name.as_str())
    }
}

/// The kinds of actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ActionKind {
    /// Send `[message.x]`.
    Message,
    /// Answer by `[reply.x]`.
    Reply,
    /// Create or update the person in Callbell.
    Contact,
    /// A line in Slack.
    Slack,
    /// A row of a Google sheet.
    Sheet,
    /// A signed request to any system.
    Webhook,
    /// A record in another system.
    Record(Crm),
}

/// Systems that keep records of people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Crm {
    /// HubSpot.
    Hubspot,
    /// Pipedrive.
    Pipedrive,
    /// Salesforce.
    Salesforce,
    /// Mailchimp.
    Mailchimp,
    /// Zendesk.
    Zendesk,
    /// Intercom.
    Intercom,
}

impl Crm {
    /// All of them, in the order of the reference.
    pub const ALL: [Crm; 6] = [
        Crm::Hubspot,
        Crm::Pipedrive,
        Crm::Salesforce,
        Crm::Mailchimp,
        Crm::Zendesk,
        Crm::Intercom,
    ];

    /// The word of tables, secrets and job keys.
    pub fn as_str(self) -> &'static str {
        match self {
            Crm::Hubspot => "hubspot",
            Crm::Pipedrive => "pipedrive",
            Crm::Salesforce => "salesforce",
            Crm::Mailchimp => "mailchimp",
            Crm::Zendesk => "zendesk",
            Crm::Intercom => "intercom",
        }
    }
}

impl ActionKind {
    /// All of them, in the order of the reference.
    pub const ALL: [ActionKind; 12] = [
        ActionKind::Message,
        ActionKind::Contact,
        ActionKind::Reply,
        ActionKind::Slack,
        ActionKind::Sheet,
        ActionKind::Webhook,
        ActionKind::Record(Crm::Hubspot),
        ActionKind::Record(Crm::Pipedrive),
        ActionKind::Record(Crm::Salesforce),
        ActionKind::Record(Crm::Mailchimp),
        ActionKind::Record(Crm::Zendesk),
        ActionKind::Record(Crm::Intercom),
    ];

    /// The word of tables and job keys.
    pub fn as_str(self) -> &'static str {
        match self {
            ActionKind::Message => "message",
            ActionKind::Reply => "reply",
            ActionKind::Contact => "contact",
            ActionKind::Slack => "slack",
            ActionKind::Sheet => "sheet",
            ActionKind::Webhook => "webhook",
            ActionKind::Record(crm) => crm.as_str(),
        }
    }

    /// The kind of this word.
    pub fn parse(word: &str) -> Option<ActionKind> {
        ActionKind::ALL
            .into_iter()
            .find(|kind| kind.as_str() == word)
    }
}

/// `[contact.x]`.
#[derive(Clone, Debug)]
pub struct ContactTable {
    /// The whole name.
    pub name: Option<Text>,
    /// The e-mail address.
    pub email: Option<Text>,
    /// The note, at most 1,000 characters.
    pub note: Option<Text>,
    /// Added to those there.
    pub tags: Vec<Text>,
    /// Taken from those there.
    pub remove_tags: Vec<Text>,
    /// Custom fields by their Callbell name.
    pub fields: BTreeMap<String, Text>,
    /// E-mail of the assigned user.
    pub assign: Option<String>,
    /// Team by name.
    pub team: Option<String>,
    /// Callbell's own bot.
    pub bot: Option<Bot>,
    /// Funnel by name.
    pub funnel: Option<String>,
    /// Opens or closes the conversation.
    pub conversation: Option<OpenOrClose>,
    /// Makes a person who is not there.
    pub create: bool,
    /// Changes one who is.
    pub update: bool,
}

/// `conversation` of `[contact.x]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenOrClose {
    /// `open`.
    Open,
    /// `close`.
    Close,
}

/// `[slack.x]`.
#[derive(Clone, Debug)]
pub struct SlackTable {
    /// Slack's own markup; interpolated values are escaped.
    pub text: Text,
    /// `#name` or an id; needs the bot token. `None`: the incoming webhook.
    pub channel: Option<String>,
    /// The name of the API secret: `slack`, or `slack-bot` where there is a channel, unless told.
    pub secret: String,
}

/// `[sheet.x]`.
#[derive(Clone, Debug)]
pub struct SheetTable {
    /// The id in the sheet's address.
    pub spreadsheet: String,
    /// The tab's name.
    pub tab: String,
    /// Header → value.
    pub columns: BTreeMap<String, Text>,
    /// The header whose value tells rows apart; `None`: every job appends.
    pub key: Option<String>,
    /// `mode = "append"`: never updates a row.
    pub append: bool,
    /// The name of the API secret.
    pub secret: String,
}

/// `[webhook.x]`: an outgoing request.
#[derive(Clone, Debug)]
pub struct WebhookTable {
    /// https, its host a literal.
    pub url: Text,
    /// `POST`, `PUT`, `PATCH`.
    pub method: String,
    /// Name → value; `None`: the whole event as documented.
    pub body: Option<BTreeMap<String, Text>>,
    /// Header → value.
    pub headers: BTreeMap<String, HeaderValue>,
    /// The name of the API secret that signs.
    pub secret: String,
}

/// A header of `[webhook.x]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderValue {
    /// As written.
    Text(Text),
    /// `secret:NAME`: the value of an API secret.
    Secret(String),
}

/// `[hubspot.x]`, …: a record in another system.
#[derive(Clone, Debug)]
pub struct RecordTable {
    /// Which system.
    pub crm: Crm,
    /// What finds the record after our own memory of it, in order.
    pub match_by: Vec<MatchBy>,
    /// Their field → value. Blank values are left out, never written over what is there.
    pub fields: BTreeMap<String, Text>,
    /// Added to those there, where the system has tags.
    pub tags: Vec<Text>,
    /// Makes a record that is not there.
    pub create: bool,
    /// Changes one that is.
    pub update: bool,
    /// Mailchimp: the audience's id.
    pub list: Option<String>,
    /// Mailchimp: `subscribed`, `unsubscribed`, `pending`, `transactional`.
    pub status_if_new: String,
    /// Salesforce: `Contact`, `Lead`.
    pub object: String,
    /// Zendesk: no verification mail.
    pub verified: bool,
    /// The name of the API secret.
    pub secret: String,
}

/// What finds a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatchBy {
    /// `phone`.
    Phone,
    /// `email`.
    Email,
}

/// `[reply.x]`: the chatbot.
#[derive(Clone, Debug)]
pub struct ReplyTable {
    /// The first that matches wins.
    pub rules: Vec<Rule>,
    /// Asked where no rule matched.
    pub backend: Option<Backend>,
    /// Message where the backend failed, or where there is none and no rule matched.
    pub otherwise: Option<String>,
    /// Waits for the rest of a burst.
    pub gather: SignedDuration,
    /// Silent for so long after a team member wrote.
    pub quiet_after_human: SignedDuration,
    /// Automated answers a conversation; then handover.
    pub max_turns: u32,
    /// Team that takes over.
    pub handover: Option<String>,
}

/// A rule of `[reply.x]`.
#[derive(Clone, Debug)]
pub struct Rule {
    /// One condition, or none: always.
    pub condition: RuleCondition,
    /// What it does.
    pub deed: RuleDeed,
    /// `customer every DUR`: how often for one person.
    pub once_every: Option<Span>,
}

/// When a rule matches.
#[derive(Clone, Debug)]
pub enum RuleCondition {
    /// Always.
    Always,
    /// Whole words; case and accents do not count.
    Words(Vec<String>),
    /// A regular expression.
    Pattern(String),
    /// The id of a tapped button, or the title of a list's row.
    Button(String),
    /// An expression over the event and `now`.
    When(Expr),
}

/// What a rule does.
#[derive(Clone, Debug)]
pub enum RuleDeed {
    /// Answers with a message.
    Say(String),
    /// Hands over to a team, with an answer and a note.
    Handover {
        /// Team by name; `None`: the table's `handover`.
        team: Option<String>,
        /// Message that says so.
        say: Option<String>,
        /// Note for the team.
        note: Option<Text>,
    },
    /// Says nothing.
    Ignore,
}

/// Who is asked where no rule matched.
#[derive(Clone, Debug)]
pub struct Backend {
    /// How it is asked.
    pub kind: BackendKind,
    /// https, no private address.
    pub url: String,
    /// Name of the API secret.
    pub secret: String,
    /// `ai`: the model.
    pub model: Option<String>,
    /// `ai`: what it is told first.
    pub prompt: Option<Text>,
    /// Earlier messages that it sees.
    pub history: u32,
    /// `ai`: longest answer.
    pub max_tokens: u32,
    /// How long it may take.
    pub timeout: SignedDuration,
}

/// `backend` of `[reply.x]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendKind {
    /// Any HTTP bot.
    Http,
    /// An OpenAI-compatible chat endpoint.
    Ai,
}

/// `[opt_out]`.
#[derive(Clone, Debug, Default)]
pub struct OptOut {
    /// Words that opt out, as the file gives them; `None`: the default lists.
    pub words: Option<ByLocale<Vec<String>>>,
    /// Words that opt in again; `None`: the default lists.
    pub back: Option<ByLocale<Vec<String>>>,
    /// Message that confirms.
    pub confirm: Option<String>,
    /// Callbell tag set and removed with it.
    pub tag: Option<String>,
    /// `service = "send"`: order messages go out all the same.
    pub service_goes_on: bool,
}

/// A Jinja expression without braces, checked to compile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expr(pub String);

/// A Jinja text, checked to compile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
