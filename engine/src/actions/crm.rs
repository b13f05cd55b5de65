//! What the systems that keep records of people have in common: how a request gets its token and what
//! happens when one is refused, and the course of an upsert: our own memory, then what finds the record,
//! then a new one.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use reqwest::{Method, Url};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use shared::secrets::Secret;

use super::deed::{ActError, Desk, Done, Wanted};
use super::tokens::Token;
use crate::apis::{Auth, Body, Call, Reply};
use crate::automations::model::MatchBy;
use crate::phone;

/// How often one upsert follows a system that says whose record is in the way, or finds one gone.
const TURNS_MAX: u32 = 3;
/// How long an access token is used where its endpoint does not say, in seconds.
const TOKEN_SECONDS: i64 = 3_600;
/// Longest code of an answer that is repeated, in characters.
const CODE_CHARS_MAX: usize = 60;
/// What ids that we give begin with: by them a webhook about our own record is known.
const OUR_PREFIX: &str = "callbell:";
/// How many hex digits follow.
const OUR_ID_DIGITS: usize = 32;
/// How many digits at its end a phone is searched by where a search knows parts of it: no form of one number
/// differs in them.
const TAIL_DIGITS: usize = 8;

/// One system's API.
pub(super) struct Api {
    /// `HubSpot`.
    pub(super) name: &'static str,
    /// What a secret has to be, for whoever wrote another one: `a token, or JSON of …`.
    pub(super) secret: &'static str,
    /// Reads a secret; `None`: it is nothing of that.
    pub(super) credentials: fn(&Secret) -> Option<Credentials>,
    /// Headers of every request.
    pub(super) headers: &'static [(&'static str, &'static str)],
    /// What an answer that is no success means.
    pub(super) error: fn(&Reply, Timestamp) -> ActError,
}

/// What an API secret holds.
pub(super) enum Credentials {
    /// It goes into every request.
    Key(Access),
    /// It makes access tokens.
    Grant(Grant),
}

/// Where requests go, and how they prove themselves.
pub(super) struct Access {
    pub(super) host: String,
    pub(super) proof: Proof,
}

/// How a request proves itself.
pub(super) enum Proof {
    Bearer(Secret),
    Basic(String, Secret),
    Header(&'static str, Secret),
}

impl Proof {
    fn auth(&self) -> Auth<'_> {
        match self {
            Proof::Bearer(token) => Auth::Bearer(token.expose()),
            Proof::Basic(user, password) => Auth::Basic(user, password.expose()),
            Proof::Header(name, value) => Auth::Header(name, value.expose()),
        }
    }
}

/// How an access token is made.
pub(super) struct Grant {
    /// Where.
    pub(super) host: String,
    pub(super) path: &'static [&'static str],
    /// `Authorization: Basic` of the request, where the endpoint wants one.
    pub(super) basic: Option<(String, Secret)>,
    pub(super) form: Vec<(&'static str, String)>,
    /// Where the token is good, unless the answer says.
    pub(super) api_host: String,
    /// The field of the answer that says so, and what a host in it has to end with.
    pub(super) says_host: Option<(&'static str, &'static str)>,
}

/// One request.
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) path: &'a [&'a str],
    pub(super) query: &'a [(&'a str, String)],
    pub(super) body: Body<'a>,
    pub(super) headers: &'a [(&'static str, &'a str)],
}

impl<'a> Ask<'a> {
    pub(super) fn get(path: &'a [&'a str], query: &'a [(&'a str, String)]) -> Ask<'a> {
        Ask {
            method: Method::GET,
            path,
            query,
            body: Body::None,
            headers: &[],
        }
    }

    pub(super) fn json(method: Method, path: &'a [&'a str], json: &'a Value) -> Ask<'a> {
        Ask {
            method,
            path,
            query: &[],
            body: Body::Json(json),
            headers: &[],
        }
    }
}

/// The requests of one attempt: each with the first secret that was not refused so far.
pub(super) struct Line<'a> {
    api: &'static Api,
    desk: Desk<'a>,
    /// The secret in use.
    at: usize,
    /// A cached token of it was refused already.
    renewed: bool,
    why: Option<ActError>,
}

impl<'a> Line<'a> {
    pub(super) fn new(api: &'static Api, desk: Desk<'a>) -> Line<'a> {
        Line {
            api,
            desk,
            at: 0,
            renewed: false,
            why: None,
        }
    }

    /// Carries out one request. A token that was cached and is refused is made anew, once; then the next
    /// secret has its turn. Every other status is an answer.
    pub(super) async fn send(&mut self, ask: &Ask<'_>) -> Result<Reply, ActError> {
        loop {
            let (access, cached) = self.access().await?;
            let headers = [self.api.headers, ask.headers].concat();
            let call = Call {
                method: ask.method.clone(),
                host: &access.host,
                path: ask.path,
                query: ask.query,
                auth: access.proof.auth(),
                body: ask.body.clone(),
            };
            let reply = self.desk.apis.call_with(&call, &headers).await?;
            if reply.status != 401 {
                return Ok(reply);
            }
            let why = self.error(&reply);
            match self.desk.secrets.get(self.at) {
                Some(secret) if cached && !self.renewed => {
                    self.desk.tokens.forget(&self.key(secret));
                    self.renewed = true;
                }
                _ => self.give_up(why),
            }
        }
    }

    /// [`Line::send`], where only a success is one.
    pub(super) async fn json(&mut self, ask: &Ask<'_>) -> Result<Value, ActError> {
        let reply = self.send(ask).await?;
        match reply.is_success() {
            true => Ok(reply.json()),
            false => Err(self.error(&reply)),
        }
    }

    /// [`Line::json`], where 404 and 410 are none.
    pub(super) async fn find(&mut self, ask: &Ask<'_>) -> Result<Option<Value>, ActError> {
        let reply = self.send(ask).await?;
        match reply.status {
            404 | 410 => Ok(None),
            _ if reply.is_success() => Ok(Some(reply.json())),
            _ => Err(self.error(&reply)),
        }
    }

    /// What an answer that is no success means.
    pub(super) fn error(&self, reply: &Reply) -> ActError {
        (self.api.error)(reply, self.desk.now)
    }

    /// An answer that lacks what it must have.
    pub(super) fn unreadable(&self) -> ActError {
        ActError::Unavailable(format!("{}'s answer is not as documented", self.api.name))
    }

    fn give_up(&mut self, why: ActError) {
        self.at += 1;
        self.renewed = false;
        self.why = Some(why);
    }

    /// A whole digest: with a short one, two secrets of one account each might share a token.
    fn key(&self, secret: &Secret) -> String {
        let digest = hex::encode(Sha256::digest(secret.expose().as_bytes()));
        format!("{}/{digest}", self.api.name)
    }

    /// Where the next request goes and with which proof; whether that was cached.
    async fn access(&mut self) -> Result<(Access, bool), ActError> {
        loop {
            let Some(secret) = self.desk.secrets.get(self.at) else {
                let none = || ActError::Refused(format!("there is no secret of {}", self.api.name));
                return Err(self.why.clone().unwrap_or_else(none));
            };
            let grant = match (self.api.credentials)(secret) {
                Some(Credentials::Key(access)) => return Ok((access, false)),
                Some(Credentials::Grant(grant)) => grant,
                None => {
                    let (name, form) = (self.api.name, self.api.secret);
                    self.give_up(ActError::Refused(format!(
                        "the secret of {name} is not {form}"
                    )));
                    continue;
                }
            };
            let key = self.key(secret);
            if let Some(token) = self.desk.tokens.get(&key, self.desk.now) {
                return Ok((access(token, grant.api_host), true));
            }
            match self.grant(&grant).await {
                Ok(token) => {
                    self.desk.tokens.put(&key, token.clone());
                    return Ok((access(token, grant.api_host), false));
                }
                Err(why @ ActError::Refused(_)) => self.give_up(why),
                Err(error) => return Err(error),
            }
        }
    }

    async fn grant(&self, grant: &Grant) -> Result<Token, ActError> {
        let form: Vec<(&str, &str)> = grant
            .form
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let auth = grant.basic.as_ref().map_or(Auth::None, |(user, password)| {
            Auth::Basic(user, password.expose())
        });
        let call = Call {
            method: Method::POST,
            host: &grant.host,
            path: grant.path,
            query: &[],
            auth,
            body: Body::Form(&form),
        };
        let reply = self.desk.apis.call(&call).await?;
        let answer = reply.json();
        if !reply.is_success() {
            let code = code(answer.get("error").or_else(|| answer.get("status")));
            let why = ActError::of(self.api.name, &reply, code);
            return Err(match reply.status {
                400..404 => ActError::Refused(format!("{why} (the credentials)")),
                _ => why,
            });
        }
        let value = answer.get("access_token").and_then(Value::as_str);
        let value = value.filter(|value| !value.is_empty());
        let value = value.ok_or_else(|| self.unreadable())?;
        let seconds = answer.get("expires_in").and_then(Value::as_i64);
        let life = SignedDuration::from_secs(seconds.unwrap_or(TOKEN_SECONDS));
        let host = grant.says_host.and_then(|(field, end)| {
            let url = Url::parse(answer.get(field)?.as_str()?).ok()?;
            let host = url.host_str()?.to_owned();
            host.ends_with(end).then_some(host)
        });
        Ok(Token {
            value: Secret::new(value),
            until: self.desk.now.saturating_add(life).unwrap_or(self.desk.now),
            host,
        })
    }
}

fn access(token: Token, api_host: String) -> Access {
    Access {
        host: token.host.unwrap_or(api_host),
        proof: Proof::Bearer(token.value),
    }
}

/// The fields of a secret that is JSON; `None`: it is a plain text.
pub(super) fn read_secret(secret: &Secret) -> Option<BTreeMap<String, String>> {
    serde_json::from_str(secret.expose()).ok()
}

/// A name in front of a system's own domain: `minha-empresa` of `.pipedrive.com`, also where somebody wrote
/// the whole host.
pub(super) fn host_of(name: &str, domain: &str) -> Option<String> {
    let name = name.trim().trim_start_matches("https://");
    let name = name.trim_end_matches('/').trim_end_matches(domain);
    let good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let is_name = !name.is_empty() && name.chars().all(good) && !name.starts_with('.');
    is_name.then(|| format!("{name}{domain}").to_ascii_lowercase())
}

/// A code of an answer, where it is one: a word that cannot be anything of a person's.
pub(super) fn code(value: Option<&Value>) -> Option<&str> {
    let text = value?.as_str()?;
    let is_code = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().count() <= CODE_CHARS_MAX
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    is_code.then_some(text)
}

/// `{system} {status}: {said}`, to be asked again after `wait`, or when the answer itself says.
pub(super) fn limited(
    system: &str,
    reply: &Reply,
    said: Option<&str>,
    wait: Option<Duration>,
) -> ActError {
    let said = said.map(|said| format!(": {said}")).unwrap_or_default();
    ActError::Limited {
        why: format!("{system} {}{said}", reply.status),
        retry_after: reply.retry_after.or(wait),
    }
}

/// A number of seconds in a header of the provider's own.
pub(super) fn seconds_in(reply: &Reply, header: &str) -> Option<Duration> {
    let seconds = reply.header(header)?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// A person's record as the system has it.
pub(super) struct Record {
    pub(super) id: String,
    /// As far as it was read; null where nothing was.
    pub(super) is: Value,
}

/// What writing came to.
pub(super) enum Written {
    /// It is there. The id finds it again.
    Done(String, &'static str),
    /// The record that was to be changed is not there any more.
    Gone,
    /// Another record has the person already.
    Exists(Record),
    /// Nothing is to be done, for this reason.
    Never(String),
}

/// One system's records, as [`upsert`] uses them.
pub(super) trait Book: Send {
    /// `HubSpot`.
    fn name(&self) -> &'static str;

    /// The record of an id that we remember; where it was deleted or merged away, none, or the one that
    /// took it in.
    fn by_id(&mut self, id: &str) -> impl Future<Output = Result<Option<Record>, ActError>> + Send;

    /// The record that a phone or an e-mail address finds.
    fn by(
        &mut self,
        by: MatchBy,
        value: &str,
    ) -> impl Future<Output = Result<Option<Record>, ActError>> + Send;

    /// Makes a record.
    fn create(&mut self) -> impl Future<Output = Result<Written, ActError>> + Send;

    /// Changes a record.
    fn update(&mut self, record: &Record)
    -> impl Future<Output = Result<Written, ActError>> + Send;
}

/// Makes or changes a person's record, once.
pub(super) async fn upsert<B: Book>(book: &mut B, wanted: &Wanted<'_>) -> Result<Done, ActError> {
    let mut found = match wanted.id {
        Some(id) => book.by_id(id).await?,
        None => None,
    };
    if found.is_none() {
        found = find(book, wanted).await?;
    }
    for _ in 0..TURNS_MAX {
        let written = match &found {
            Some(record) if !wanted.update => {
                return Ok(done(Some(record.id.clone()), "unchanged"));
            }
            Some(record) => book.update(record).await?,
            None if !wanted.create => {
                let name = book.name();
                let why = format!("no such record in {name}, and create = false");
                return Ok(Done::Skipped(why));
            }
            None if !is_findable(wanted) => {
                let why = "neither phone nor email of match, which would find the record again";
                return Ok(Done::Skipped(why.to_owned()));
            }
            None => book.create().await?,
        };
        match written {
            Written::Done(id, what) => return Ok(done(Some(id), what)),
            Written::Gone => found = find(book, wanted).await?,
            Written::Exists(record) => found = Some(record),
            Written::Never(why) => return Ok(Done::Skipped(why)),
        }
    }
    let name = book.name();
    Err(ActError::Unavailable(format!(
        "{name}'s records of this person change too fast"
    )))
}

async fn find<B: Book>(book: &mut B, wanted: &Wanted<'_>) -> Result<Option<Record>, ActError> {
    for by in wanted.match_by {
        if let Some(value) = value_of(wanted, *by)
            && let Some(record) = book.by(*by, value).await?
        {
            return Ok(Some(record));
        }
    }
    Ok(None)
}

fn done(id: Option<String>, what: &'static str) -> Done {
    Done::Done { id, what }
}

fn is_findable(wanted: &Wanted<'_>) -> bool {
    let mut by = wanted.match_by.iter();
    by.any(|by| value_of(wanted, *by).is_some())
}

/// What a record is looked for by.
pub(super) fn value_of<'a>(wanted: &Wanted<'a>, by: MatchBy) -> Option<&'a str> {
    match by {
        MatchBy::Phone => wanted.phone,
        MatchBy::Email => wanted.email,
    }
}

/// What a new record needs beside its fields, so that it is found again: the phone or the e-mail address that
/// it was looked for by.
pub(super) fn found_by<'a>(wanted: &Wanted<'a>) -> impl Iterator<Item = (MatchBy, &'a str)> {
    let wanted = *wanted;
    let by = wanted.match_by.iter();
    by.filter_map(move |by| Some((*by, value_of(&wanted, *by)?)))
}

/// The id at the other system that we give a person of whom it knows none: the same one whenever we are asked
/// again, so that a record is not made twice though a search does not show it yet. It is of what the person
/// would be found by: two people with one phone stay two where the address alone finds them.
pub(super) fn our_id(wanted: &Wanted<'_>) -> Option<String> {
    let found_by = match found_by(wanted).next()? {
        (MatchBy::Phone, number) => format!("phone/{}", phone::identity(number)),
        (MatchBy::Email, email) => format!("email/{}", email.trim().to_lowercase()),
    };
    let digest = hex::encode(Sha256::digest(found_by.as_bytes()));
    let short: String = digest.chars().take(OUR_ID_DIGITS).collect();
    Some(format!("{OUR_PREFIX}{short}"))
}

/// The end of a number, which all its forms share.
pub(super) fn tail(e164: &str) -> &str {
    let digits = e164.trim_start_matches('+');
    let from = digits.len().saturating_sub(TAIL_DIGITS);
    digits.get(from..).unwrap_or(digits)
}

/// What stands for a person without a name, where a system insists on one.
pub(super) fn any_name<'a>(wanted: &Wanted<'a>) -> Option<&'a str> {
    wanted.name.or(wanted.email).or(wanted.phone)
}

/// The fields of a record where a system's `own` stand beside all others, which are in a table of theirs and hold
/// one text or number each.
pub(super) fn body(
    fields: &BTreeMap<String, Value>,
    own: &[&str],
    others: &str,
) -> Map<String, Value> {
    let mut body = Map::new();
    let mut table = Map::new();
    for (name, value) in fields {
        match (own.contains(&name.as_str()), value) {
            (true, value) => body.insert(name.clone(), value.clone()),
            (false, Value::Array(_)) => table.insert(name.clone(), text(value).into()),
            (false, value) => table.insert(name.clone(), value.clone()),
        };
    }
    if !table.is_empty() {
        body.insert(others.to_owned(), Value::Object(table));
    }
    body
}

/// A value as a text: lists as `a;b`.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().map(text).collect::<Vec<_>>().join(";"),
        other => other.to_string(),
    }
}

/// A text in an answer.
pub(super) fn text_at<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    let text = value.pointer(pointer)?.as_str()?;
    (!text.is_empty()).then_some(text)
}

/// An id in an answer, which may be a number.
pub(super) fn id_at(value: &Value, pointer: &str) -> Option<String> {
    match value.pointer(pointer)? {
        Value::String(id) if !id.is_empty() => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    }
}

/// The list in an answer.
pub(super) fn list_at<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    let list = value.pointer(pointer).and_then(Value::as_array);
    list.map_or(&[], Vec::as_slice)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An answer, for the tests of what it means.
    pub(in crate::actions) fn reply(
        status: u16,
        headers: &[(&'static str, &str)],
        body: &Value,
    ) -> Reply {
        let mut map = reqwest::header::HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        Reply {
            status,
            retry_after: crate::http::retry_after(&map),
            headers: map,
            body: body.to_string().into_bytes(),
        }
    }

    /// `limited 10`, `refused`: what is done next.
    pub(in crate::actions) fn next(error: &ActError) -> String {
        match error {
            ActError::Limited { retry_after, .. } => {
                format!("limited {}", retry_after.unwrap_or_default().as_secs())
            }
            ActError::Unavailable(_) => "unavailable".to_owned(),
            ActError::Refused(_) => "refused".to_owned(),
            ActError::Rejected(_) => "rejected".to_owned(),
        }
    }

    #[test]
    fn a_code_is_a_word_and_nothing_of_a_person_s() {
        for good in ["INVALID_EMAIL", "phone", "ERR-1", "Custom__c"] {
            assert_eq!(code(Some(&Value::from(good))), Some(good));
        }
        for bad in [
            "maria@example.com",
            "+5511987654321",
            "5511987654321",
            "Maria da Silva",
            "",
        ] {
            assert_eq!(code(Some(&Value::from(bad))), None, "{bad}");
        }
        assert_eq!(code(Some(&Value::from("x".repeat(61)))), None);
    }

    #[test]
    fn a_host_is_one_of_the_system() {
        let host = |name: &str| host_of(name, ".pipedrive.com");
        let minha = Some("minha-empresa.pipedrive.com".to_owned());
        for name in [
            "minha-empresa",
            "minha-empresa.pipedrive.com",
            "https://Minha-Empresa.pipedrive.com/",
        ] {
            assert_eq!(host(name), minha, "{name}");
        }
        for name in [
            "",
            ".",
            "a/b",
            "evil.com#",
            "evil.com?x=",
            "a@b",
            "a:80",
            "a b",
        ] {
            assert_eq!(host(name), None, "{name}");
        }
    }

    #[test]
    fn our_id_is_of_what_finds_the_person() {
        let fields = BTreeMap::new();
        let id = |by: &[MatchBy], phone, email| {
            our_id(&Wanted {
                id: None,
                match_by: by,
                phone,
                email,
                name: None,
                fields: &fields,
                tags: &[],
                create: true,
                update: true,
                list: None,
                status_if_new: "",
                object: "",
                verified: true,
            })
        };
        let both = [MatchBy::Phone, MatchBy::Email];
        let long = id(&both, Some("+5511987654321"), Some("a@example.com"));
        assert_eq!(
            long,
            id(&both, Some("+551187654321"), None),
            "one person of two forms"
        );
        assert_ne!(
            long,
            id(
                &[MatchBy::Email],
                Some("+5511987654321"),
                Some("a@example.com")
            )
        );
        assert_eq!(
            id(&[MatchBy::Email], None, Some("A@example.com")),
            id(&both, None, Some("a@example.com"))
        );
        assert_eq!(id(&[MatchBy::Email], Some("+5511987654321"), None), None);
    }
}
