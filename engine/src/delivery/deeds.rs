//! What is done at other systems: by which secret, once a person, and what an outcome means for the job.
//!
//! All of it is idempotent, so an answer that was lost is no reason to ask anybody: the same is done again.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use shared::secrets::Secret;
use shared::store::{
    Digests, End, JobRow, LEASE_MS, Leased, OwnWrite, Owner, PersonId, RecordKey, Store,
    StoreError, WroteTo,
};

use super::acting::waits_for_a_person;
use super::attempt::Ready;
use super::backoff::after_long_limit;
use super::decide::{Decision, RECHECK, Wait};
use super::route::{API, Sender};
use super::{Run, Worker};
use crate::actions::contact::{self, Expect, Office, Person, Written};
use crate::actions::deed::{ActError, CREATED, Desk, Done, UNCHANGED};
use crate::actions::record::{self, Record};
use crate::actions::render::{Deed, Header};
use crate::actions::{CALLBELL, sheet, slack, webhook};
use crate::fetch::{FetchError, Fetching};
use crate::phone;
use crate::plan::Known;

/// Longest that one deed may take, its questions included. With the finish behind it, it ends before its
/// lease does.
const DEED_TIMEOUT: Duration = Duration::from_secs(40);
/// How long a job waits while another is at the same person's record.
const BUSY_WAIT: SignedDuration = SignedDuration::from_secs(2);

/// Systems that asked for a break, by the name of what holds them, and until when.
#[derive(Debug, Default)]
pub(super) struct Breaks(Mutex<HashMap<String, Timestamp>>);

impl Breaks {
    fn take(&self, name: &str, until: Timestamp) {
        let mut breaks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = breaks.entry(name.to_owned()).or_insert(until);
        *known = until.max(*known);
    }

    /// Until when nothing goes there.
    fn until(&self, name: &str, now: Timestamp) -> Option<Timestamp> {
        let breaks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        breaks.get(name).copied().filter(|until| *until > now)
    }
}

/// A deed with what it takes.
pub(super) struct Errand {
    pub(super) deed: Deed,
    /// The values of its secret; none for what Callbell's own client does.
    secrets: Vec<Secret>,
    /// Headers with their secrets.
    headers: Vec<(String, String)>,
    /// By which channel the person is with us.
    from: Option<Sender>,
    /// Callbell's number of the person on that channel.
    contact: Option<String>,
}

impl Errand {
    /// Whether it spends a place in the send rate.
    pub(super) fn asks_callbell(&self) -> bool {
        matches!(self.deed, Deed::Contact(_))
    }
}

/// What a deed is prepared with.
pub(super) struct Preparing<'a> {
    pub(super) deed: Deed,
    pub(super) from: Option<Sender>,
    pub(super) contact: Option<String>,
    /// `api:` and the name of its secret.
    pub(super) hold: &'a str,
    /// From when lateness counts.
    pub(super) late_from: Timestamp,
}

impl Worker {
    /// Gets a deed's secrets; or says that the job waits: the system asked for a break, or nobody has the
    /// secret, which holds everything that goes by it.
    pub(super) async fn prepare(
        &self,
        preparing: Preparing<'_>,
        run: &Run,
    ) -> Result<Result<Errand, Decision>, StoreError> {
        let now = self.store.clock().now();
        let Preparing {
            deed,
            from,
            contact,
            hold,
            late_from,
        } = preparing;
        let wait = |at: Timestamp, due_at: Option<Timestamp>, reason: String| {
            Ok(Err(Decision::Wait(Wait { at, due_at, reason })))
        };
        if let Some(until) = self.breaks.until(hold, now) {
            let reason = format!("{} wants to be asked less often", deed.system());
            return wait(until, None, reason);
        }
        let name = hold.strip_prefix(API).unwrap_or_default();
        let mut errand = Errand {
            deed,
            secrets: Vec::new(),
            headers: Vec::new(),
            from,
            contact,
        };
        if name == CALLBELL {
            return Ok(Ok(errand));
        }
        let Some(fetching) = &self.fetching else {
            return wait(
                now + RECHECK,
                None,
                "nobody here asks other systems".to_owned(),
            );
        };
        let failed = match fetching.secrets(name).await {
            Ok(secrets) => {
                errand.secrets = secrets;
                match headers(fetching, &errand.deed).await {
                    Ok(headers) => {
                        errand.headers = headers;
                        return Ok(Ok(errand));
                    }
                    Err(failed) => failed,
                }
            }
            Err(error) => (name.to_owned(), error),
        };
        match failed {
            (secret, FetchError::Refused(_)) => {
                let reason = format!("there is no API secret called {secret}");
                self.hold(hold, &reason, now, run).await?;
                // The wait is not the job's fault: lateness stands still.
                wait(now + RECHECK, Some(late_from + RECHECK), reason)
            }
            (_, error) => wait(now + RECHECK, None, error.to_string()),
        }
    }

    /// Does it, and says what that means for the job.
    pub(super) async fn do_errand(
        &self,
        job: &JobRow,
        owner: &Owner,
        ready: &Ready,
        errand: &Errand,
        run: &Run,
    ) -> Result<End, StoreError> {
        let known = &ready.known;
        let done = match &errand.deed {
            Deed::Record(record) => self.keep_record(job, owner, known, errand, record).await?,
            Deed::Contact(change) => self.keep_contact(owner, known, errand, change).await?,
            _ => Some(in_time(self.tell(job, errand)).await),
        };
        let Some(done) = done else {
            return Ok(End::Due {
                at: self.store.clock().now() + BUSY_WAIT,
                reason: "another job is at this person's record".to_owned(),
                attempt_spent: false,
                due_at: None,
            });
        };
        let system = errand.deed.system();
        self.end_of_errand(job, ready, system, done, run).await
    }

    /// One person's record, by one job at a time. `None`: another is at it.
    async fn keep_record(
        &self,
        job: &JobRow,
        owner: &Owner,
        known: &Known,
        errand: &Errand,
        record: &Record,
    ) -> Result<Option<Result<Done, ActError>>, StoreError> {
        let Some(person) = person(known) else {
            let why = "nothing says who the person is: no phone number, no e-mail address, no id";
            return Ok(Some(Ok(Done::Skipped(why.to_owned()))));
        };
        let (key, digests) = (record.key(&person), known.digests());
        let lease = self.store.lease_record(&key, owner, LEASE_MS, &digests);
        let id = match lease.await? {
            Leased::Leased { id } => id,
            Leased::Busy => return Ok(None),
        };
        let noted = self.note_write(job, known, record, id.as_deref()).await?;
        let done = match self.desk(job, errand) {
            Some(desk) => {
                let wanted = record.wanted(id.as_deref());
                in_time(record::system(record.crm).upsert(desk, wanted)).await
            }
            None => Err(nobody_asks()),
        };
        let made = match &done {
            Ok(Done::Done { id, .. }) => id.as_deref(),
            _ => None,
        };
        let id = made.or(id.as_deref());
        self.note_written(known, record, id, noted, &done).await?;
        // Before the job's own end: if the process stops here, the same is done again and finds the record.
        self.store.finish_record(&key, owner, made).await?;
        Ok(Some(done))
    }

    /// Notes that we are about to write to a person's record: what its system tells of that is no news.
    async fn note_write(
        &self,
        job: &JobRow,
        known: &Known,
        record: &Record,
        id: Option<&str>,
    ) -> Result<OwnWrite, StoreError> {
        let persons = persons_of(known, record);
        let now = self.store.clock().now();
        let write = OwnWrite::begun(now, job.depth, &persons);
        let to = wrote_to(&persons, id);
        let (system, digests) = (record.crm.as_str(), known.digests());
        self.store.note_write(system, &to, &write, &digests).await?;
        Ok(write)
    }

    /// Notes how that ended. Of a request that failed nobody knows whether it did anything, so its note stays
    /// as it is.
    async fn note_written(
        &self,
        known: &Known,
        record: &Record,
        id: Option<&str>,
        mut write: OwnWrite,
        done: &Result<Done, ActError>,
    ) -> Result<(), StoreError> {
        let persons = persons_of(known, record);
        let to = wrote_to(&persons, id);
        let (system, digests) = (record.crm.as_str(), known.digests());
        match done {
            Ok(
                Done::Skipped(_)
                | Done::Done {
                    what: UNCHANGED, ..
                },
            ) => self.store.forget_write(system, &to, &write, &digests).await,
            Ok(Done::Done { what, .. }) => {
                write.to = Some(self.store.clock().now());
                write.created = *what == CREATED;
                self.store.note_write(system, &to, &write, &digests).await
            }
            Err(_) => Ok(()),
        }
    }

    /// One person in Callbell, by one job at a time: tags are read, merged and written whole, and two jobs at
    /// once would each undo the other's. `None`: another is at it.
    async fn keep_contact(
        &self,
        owner: &Owner,
        known: &Known,
        errand: &Errand,
        change: &contact::Change,
    ) -> Result<Option<Result<Done, ActError>>, StoreError> {
        let change = in_time(self.change_contact(known, errand, change));
        let Some(person) = person(known) else {
            return Ok(Some(change.await));
        };
        let key = RecordKey::new(CALLBELL, Some("write"), &person);
        let digests = known.digests();
        let lease = self.store.lease_record(&key, owner, LEASE_MS, &digests);
        if lease.await? == Leased::Busy {
            return Ok(None);
        }
        let done = change.await;
        self.store.finish_record(&key, owner, None).await?;
        Ok(Some(done))
    }

    async fn change_contact(
        &self,
        known: &Known,
        errand: &Errand,
        change: &contact::Change,
    ) -> Result<Done, ActError> {
        let Some(from) = &errand.from else {
            return Ok(Done::Skipped("no channel of Callbell's".to_owned()));
        };
        let customer = &known.event.customer;
        let person = Person {
            id: errand.contact.as_deref(),
            phone: known.phone.as_ref().ok().map(|phone| phone.e164.as_str()),
            bsuid: customer.bsuid.as_deref(),
            name: customer.name.as_deref(),
            channel: &from.channel.uuid,
            kind: from.channel.kind,
        };
        let noting = Noting {
            store: &self.store,
            digests: known.digests(),
        };
        let office = Office {
            lists: &self.lists,
            expect: &noting,
            now: self.store.clock().now(),
        };
        let applied = contact::apply(&self.callbell(), person, change, office).await?;
        Ok(applied.done)
    }

    /// A line, a row, a request.
    async fn tell(&self, job: &JobRow, errand: &Errand) -> Result<Done, ActError> {
        let Some(desk) = self.desk(job, errand) else {
            return Err(nobody_asks());
        };
        match &errand.deed {
            Deed::Slack { text, channel } => {
                let channel = channel.as_deref();
                slack::post(desk, slack::Line { text, channel }).await
            }
            Deed::Sheet {
                spreadsheet,
                tab,
                columns,
                key,
                append,
            } => {
                let row = sheet::Row {
                    spreadsheet,
                    tab,
                    columns,
                    key: key.as_deref(),
                    append: *append,
                };
                sheet::write(desk, row).await
            }
            Deed::Webhook {
                url, method, body, ..
            } => {
                let request = webhook::Request {
                    url,
                    method,
                    body,
                    headers: &errand.headers,
                };
                webhook::post(desk, request).await
            }
            Deed::Contact(_) | Deed::Record(_) => Err(ActError::Unavailable(
                "this version cannot do it".to_owned(),
            )),
        }
    }

    fn desk<'a>(&'a self, job: &'a JobRow, errand: &'a Errand) -> Option<Desk<'a>> {
        let fetching = self.fetching.as_ref()?;
        Some(Desk {
            apis: fetching.apis(),
            secrets: &errand.secrets,
            tokens: fetching.tokens(),
            job: job.id.as_str(),
            now: self.store.clock().now(),
        })
    }

    async fn end_of_errand(
        &self,
        job: &JobRow,
        ready: &Ready,
        system: &str,
        done: Result<Done, ActError>,
        run: &Run,
    ) -> Result<End, StoreError> {
        let now = self.store.clock().now();
        let hold = ready.hold.as_deref().unwrap_or_default();
        Ok(match done {
            Ok(Done::Done { .. }) => End::Sent { uuid: None },
            Ok(Done::Skipped(why)) => End::Skipped(why),
            Err(ActError::Unavailable(why)) => {
                let named = why.starts_with(system);
                let reason = if named {
                    why
                } else {
                    format!("{system}: {why}")
                };
                self.try_again(job, ready, now, reason)
            }
            Err(ActError::Rejected(why)) => End::Dead(why),
            Err(ActError::Limited { why, retry_after }) => {
                let at = after_long_limit(now, retry_after, &self.random);
                self.breaks.take(hold, at);
                if hold.strip_prefix(API) == Some(CALLBELL) {
                    self.tokens.take_a_break(at);
                }
                End::Due {
                    at,
                    reason: why,
                    attempt_spent: false,
                    due_at: None,
                }
            }
            Err(ActError::Refused(why)) => {
                if hold.strip_prefix(API) == Some(CALLBELL) {
                    self.refused.store(true, Ordering::Relaxed);
                } else if let Some(fetching) = &self.fetching {
                    fetching.forget_secrets();
                }
                self.hold(hold, &why, now, run).await?;
                waits_for_a_person(ready, now, why)
            }
        })
    }
}

/// Whose record it is, by everything that the event and the record know of them.
fn persons_of(known: &Known, record: &Record) -> Vec<PersonId> {
    let phone = record.phone.iter();
    let phone = phone.map(|number| PersonId::phone(&phone::identity(number)));
    let email = record.email.iter().map(|address| PersonId::email(address));
    let all: BTreeSet<PersonId> = known
        .persons()
        .into_iter()
        .chain(phone)
        .chain(email)
        .collect();
    all.into_iter().collect()
}

/// What a write to a record is noted under.
fn wrote_to<'a>(persons: &'a [PersonId], id: Option<&'a str>) -> Vec<WroteTo<'a>> {
    let persons = persons.iter().map(WroteTo::Person);
    persons.chain(id.map(WroteTo::Record)).collect()
}

fn nobody_asks() -> ActError {
    ActError::Unavailable("nobody here asks other systems".to_owned())
}

/// Notes what we are about to write at Callbell, so that the webhook that it causes is no news.
struct Noting<'a> {
    store: &'a Store,
    digests: Digests,
}

impl Expect for Noting<'_> {
    fn expect<'a>(&'a self, written: &'a Written) -> BoxFuture<'a, Result<(), ActError>> {
        Box::pin(async move {
            let noted = self
                .store
                .expect_contact(&written.contact, &written.values, &self.digests);
            noted
                .await
                .map_err(|error| ActError::Unavailable(error.to_string()))
        })
    }
}

/// Ends with the time for it. What it did by then is done again.
async fn in_time(deed: impl Future<Output = Result<Done, ActError>>) -> Result<Done, ActError> {
    let late = |_| Err(ActError::Unavailable("took too long".to_owned()));
    tokio::time::timeout(DEED_TIMEOUT, deed)
        .await
        .unwrap_or_else(late)
}

/// Whose record it is: by the number, Meta's id or the e-mail address, which every event of a person may have,
/// so that one person has one record; by their number in a system only where there is nothing else.
fn person(known: &Known) -> Option<PersonId> {
    let event = &known.event;
    let contact = event.contact().map(|contact| ("callbell", &contact.id));
    let customer = event.customer.id.as_ref();
    let customer = customer.map(|id| (event.event.source.as_str(), id));
    let mut ids = contact.into_iter().chain(customer);
    let by_id = ids
        .find(|(_, id)| !id.is_empty())
        .map(|(system, id)| PersonId::customer(system, id));
    let mut persons = known.persons().into_iter();
    persons
        .find(|person| Some(person) != by_id.as_ref())
        .or(by_id)
}

/// A webhook's headers with their secrets; or the name of the one that is missing.
async fn headers(
    fetching: &Fetching,
    deed: &Deed,
) -> Result<Vec<(String, String)>, (String, FetchError)> {
    let mut written = Vec::new();
    let Deed::Webhook { headers, .. } = deed else {
        return Ok(written);
    };
    for (name, value) in headers {
        let value = match value {
            Header::Text(text) => text.clone(),
            Header::Secret(secret) => {
                let values = fetching.secrets(secret).await;
                let values = values.map_err(|error| (secret.clone(), error))?;
                let first = values.first().map(|value| value.expose().to_owned());
                first.unwrap_or_default()
            }
        };
        written.push((name.clone(), value));
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::automations::parse;
    use crate::plan::tests::{merge, order};

    fn who(customer: Value, change: Value) -> Option<PersonId> {
        let mut event = order("order.created", "1", Timestamp::UNIX_EPOCH, json!({}));
        event["customer"] = customer;
        if change.get("contact").is_some() {
            event.as_object_mut().unwrap().remove("order");
        }
        merge(&mut event, change);
        let event = serde_json::from_value(event).unwrap();
        person(&Known::new(event, &parse("").unwrap()))
    }

    #[test]
    fn one_person_is_one_whichever_system_tells() {
        let at = Timestamp::UNIX_EPOCH;
        let callbell = || {
            json!({
                "event": {"name": "message.received", "source": "callbell", "kind": "callbell"},
                "subject": {"kind": "message"},
                "message": {"text": "Oi", "kind": "text", "status": "received", "at": at},
                "contact": {"id": "c1"}
            })
        };
        let phone = "+5511987654321";
        let phones = json!([{"path": "p", "number": phone}]);
        let cases = [
            (json!({"phones": phones}), PersonId::phone(phone)),
            (json!({"bsuid": "BR.1"}), PersonId::bsuid("BR.1")),
            (json!({"email": "a@b.it"}), PersonId::email("a@b.it")),
        ];
        for (mut customer, expected) in cases {
            customer["id"] = json!("c1");
            assert_eq!(who(customer.clone(), callbell()), Some(expected.clone()));
            customer["id"] = json!("4711");
            assert_eq!(who(customer, json!({})), Some(expected));
        }
        let number = Some(PersonId::customer("callbell", "c1"));
        assert_eq!(who(json!({"id": "c1"}), callbell()), number);
        assert_eq!(who(json!({}), callbell()), number);
        assert_eq!(who(json!({}), json!({})), None);
    }
}
