//! Mailchimp (Marketing): members of audiences.
//!
//! A webhook is a form with PHP's brackets in its names, about one member of one audience, without an id of its own.
//! <https://mailchimp.com/developer/marketing/guides/sync-audience-data-webhooks/>
//!
//! | type | event | key |
//! | --- | --- | --- |
//! | `subscribe` | `lead.created`, the first time: coming back to an audience is the same member | `{audience}-{member}/created` |
//! | `profile` | `lead.updated` | `…/updated/{fired_at}-profile` |
//! | `upemail` | `lead.updated`, changed: `email`. The member has a new id, and nothing names the old one | `…/updated/{fired_at}-upemail` |
//! | `unsubscribe` | `lead.updated`, changed: `stage` | `…/updated/{fired_at}-unsubscribe` |
//! | `cleaned`, `campaign` | none: they are about an address that bounces, and about a mailing | |
//!
//! `fired_at` has a resolution of a second, and a `profile` comes right beside a `subscribe` or `upemail`, so the type
//! is part of the key.
//!
//! **Consent.** Who subscribes agrees to e-mail, so `customer.accepts_email` is true on `subscribe` and false on
//! `unsubscribe`, and absent on the others, which say nothing of it. `customer.accepts_marketing`, about the phone, is
//! never set: no webhook says whether a member agreed to messages.
//!
//! **Proof.** The address ends in `?key=SECRET`, always. Where Mailchimp signs too (a webhook of its API for which
//! signing was turned on), the signing secret, which it shows once, may be added to the connection's secret as a value
//! that begins with `sign:`; from then on the signature is asked for as well as the key.
//!
//! Mailchimp tries again for 75 minutes what is not answered 2xx within 10 seconds, drops a webhook that keeps failing,
//! and disables one at once for a 410, which no door answers.

mod form;
mod member;

use http::Method;
use jiff::Timestamp;

use super::sign::{self, Dated};
use super::{Answer, OnUnreadable, Proofs, Reading, Refusal, Source, Unreadable, Unsigned};
use crate::connections::Connection;
use crate::event::Name;
use crate::raw::{Raw, Verified};
use crate::secrets::Secret;

/// The provider's name.
pub const KIND: &str = "mailchimp";
/// What a signing secret stands behind, among the values of the secret.
pub const SIGNING_PREFIX: &str = "sign:";
/// The signature's header: `t=1773252000,v1=<hex>`.
const SIGNATURE: &str = "x-mailchimp-signature";
/// How old a signature may be, in seconds: the 75 minutes for which Mailchimp tries again, and five more. Its guide has
/// five alone, and nothing says that an attempt is signed anew: if it is not, five would lose whatever an outage held up
/// for longer. The key is asked for besides, and a replay finds its event stored.
const AGE_MAX_S: i64 = 80 * 60;
/// How far ahead of us Mailchimp's clock may be, in seconds: as its guide says.
const AHEAD_MAX_S: i64 = 5 * 60;
/// Most signatures of one header: one a secret, while one is replaced.
const SIGNATURES_MAX: usize = 5;

/// The source.
pub struct Mailchimp;

impl Source for Mailchimp {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn function(&self) -> &'static str {
        "leads"
    }

    fn events(&self) -> &'static [Name] {
        &[Name::LeadCreated, Name::LeadUpdated]
    }

    fn phone_paths(&self) -> &'static [&'static str] {
        member::PHONE_PATHS
    }

    fn phone_prefixes(&self) -> &'static [&'static str] {
        &[member::MERGES]
    }

    fn proven_by(&self) -> &'static str {
        "a key in the address; HMAC-SHA256 of time and body, where Mailchimp signs"
    }

    /// The address is asked by GET when a webhook is made or changed, and has to answer 200. That proves nothing and
    /// brings nothing.
    fn handshake(&self, raw: &Raw) -> Option<Answer> {
        [Method::GET, Method::HEAD]
            .contains(&raw.method)
            .then(|| Answer {
                status: 200,
                body: "ok".to_owned(),
            })
    }

    fn is_keyed(&self) -> bool {
        true
    }

    fn is_key(&self, secret: &Secret) -> bool {
        !secret.expose().starts_with(SIGNING_PREFIX)
    }

    /// An empty body brings nothing, so its key is enough: nobody says whether such a check is signed.
    fn verify<'a>(
        &self,
        raw: &'a Raw,
        proofs: &Proofs<'_>,
        now: Timestamp,
    ) -> Result<Verified<'a>, Refusal> {
        let (keys, signing): (Vec<Secret>, Vec<Secret>) = proofs
            .secrets
            .iter()
            .cloned()
            .partition(|secret| self.is_key(secret));
        sign::keyed(raw, &keys)?;
        if !signing.is_empty() && !is_blank(&raw.body) {
            is_signed(raw, &signing, now)?;
        }
        Ok(raw.accept())
    }

    fn read(
        &self,
        verified: &Verified<'_>,
        connection: &Connection,
        _now: Timestamp,
    ) -> Result<Reading, Unreadable> {
        if is_blank(verified.body()) {
            return Ok(Reading::Nothing("a connection check"));
        }
        member::read(form::read(verified.body()), connection)
    }

    fn on_unreadable(&self) -> OnUnreadable {
        OnUnreadable::Record
    }

    /// A key of the address signs nothing.
    fn sign(&self, unsigned: &Unsigned<'_>) -> Vec<(String, String)> {
        match unsigned.secret.expose().strip_prefix(SIGNING_PREFIX) {
            Some(key) => {
                let value = Dated::of(key, unsigned.body, unsigned.now);
                vec![(SIGNATURE.to_owned(), value)]
            }
            None => Vec::new(),
        }
    }
}

fn is_blank(body: &[u8]) -> bool {
    body.iter().all(u8::is_ascii_whitespace)
}

/// Whether one of these secrets made one of the header's signatures, and lately.
fn is_signed(raw: &Raw, signing: &[Secret], now: Timestamp) -> Result<(), Refusal> {
    let value = raw
        .header(SIGNATURE)
        .ok_or(Refusal::NoSignature(SIGNATURE))?;
    let (time, hex) = parts(value);
    let alone: Vec<String> = hex.map(|hex| format!("{time},{hex}")).collect();
    let signatures: Vec<Dated<'_>> = alone.iter().filter_map(|one| Dated::parse(one)).collect();
    let Some(first) = signatures.first() else {
        return Err(Refusal::Malformed(SIGNATURE));
    };
    let key = |secret: &Secret| {
        let key = secret.expose().strip_prefix(SIGNING_PREFIX);
        key.unwrap_or_default().to_owned()
    };
    let made = |secret: &&Secret| {
        let mut all = signatures.iter();
        all.any(|one| one.matches(&key(secret), &raw.body))
    };
    if signing.iter().filter(made).count() == 0 {
        return Err(Refusal::NoMatch {
            secrets: signing.len(),
        });
    }
    let age_s = first.age_s(now);
    if !(-AHEAD_MAX_S..=AGE_MAX_S).contains(&age_s) {
        return Err(Refusal::Stale {
            seconds: age_s.saturating_abs(),
        });
    }
    Ok(())
}

/// The time of a header, and its signatures one by one: while a secret is replaced there may be one of each.
fn parts(value: &str) -> (String, impl Iterator<Item = &str>) {
    let named = |name: &'static str| {
        let all = value.split(',').map(str::trim);
        all.filter(move |part| part.starts_with(name))
    };
    // Two times stay two, which no signature has.
    let time: Vec<&str> = named("t=").collect();
    (time.join(","), named("v1=").take(SIGNATURES_MAX))
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    const BODY: &[u8] = b"type=profile&data%5Bid%5D=8a25ff1d98";
    const NOW: &str = "2026-03-16T15:00:00Z";

    fn raw(header: Option<&str>, query: &str, body: &[u8]) -> Raw {
        let mut headers = http::HeaderMap::new();
        if let Some(value) = header {
            headers.insert(SIGNATURE, value.parse().unwrap());
        }
        Raw {
            method: Method::POST,
            connection: KIND.to_owned(),
            path_secret: None,
            headers,
            query: query.to_owned(),
            url: String::new(),
            body: body.to_vec(),
        }
    }

    fn verify(raw: &Raw, secrets: &[&str]) -> Result<(), Refusal> {
        let secrets: Vec<Secret> = secrets.iter().map(|value| Secret::new(*value)).collect();
        let connection = Connection::plain(KIND);
        let proofs = Proofs::of(&connection, &secrets);
        let verified = Mailchimp.verify(raw, &proofs, NOW.parse().unwrap());
        verified.map(|_| ())
    }

    fn header(key: &str, late_s: i64) -> String {
        let now: Timestamp = NOW.parse().unwrap();
        Dated::of(key, BODY, now - SignedDuration::from_secs(late_s))
    }

    #[test]
    fn the_key_is_always_asked_for_and_a_signature_where_its_secret_is_known() {
        let good = header("s1", 10);
        let both = ["k", "sign:s1"];
        assert_eq!(verify(&raw(None, "key=k", BODY), &["k"]), Ok(()));
        assert_eq!(verify(&raw(Some(&good), "key=k", BODY), &both), Ok(()));
        assert_eq!(
            verify(&raw(None, "key=k", BODY), &both),
            Err(Refusal::NoSignature(SIGNATURE))
        );
        assert_eq!(
            verify(&raw(Some(&good), "", BODY), &both),
            Err(Refusal::NoKey)
        );
        // A signature in place of the key, a signing secret in place of it, and another's signature.
        let none = |secrets| Err(Refusal::NoMatch { secrets });
        let wrong = raw(Some(&good), "key=sign:s1", BODY);
        assert_eq!(verify(&wrong, &both), none(1));
        assert_eq!(verify(&wrong, &["sign:s1"]), none(0));
        let other = raw(Some(&header("s2", 10)), "key=k", BODY);
        assert_eq!(verify(&other, &both), none(1));
        let tampered = raw(Some(&good), "key=k", b"type=subscribe");
        assert_eq!(verify(&tampered, &both), none(1));
        // The beginning alone is no secret: everybody knows it.
        let by_nothing = raw(Some(&header("", 10)), "key=k", BODY);
        assert_eq!(verify(&by_nothing, &["k", "sign:"]), none(1));
        // A check brings nothing.
        assert_eq!(verify(&raw(None, "key=k", b""), &both), Ok(()));
    }

    #[test]
    fn any_of_several_signatures_is_enough_and_none_may_be_old() {
        let both = ["k", "sign:s1"];
        let (ours, theirs) = (header("s1", 10), header("s2", 10));
        let (_, other) = theirs.split_once(',').unwrap();
        let (time, own) = ours.split_once(',').unwrap();
        for value in [
            format!("{time},{other},{own}"),
            format!("{own}, {other}, {time}"),
        ] {
            assert_eq!(verify(&raw(Some(&value), "key=k", BODY), &both), Ok(()));
        }
        let many = format!("{time},{}{own}", format!("{other},").repeat(SIGNATURES_MAX));
        let refused = verify(&raw(Some(&many), "key=k", BODY), &both);
        assert_eq!(refused, Err(Refusal::NoMatch { secrets: 1 }));
        for (late_s, outcome) in [
            (4_800, Ok(())),
            (-300, Ok(())),
            (4_801, Err(Refusal::Stale { seconds: 4_801 })),
            (-301, Err(Refusal::Stale { seconds: 301 })),
        ] {
            let value = header("s1", late_s);
            assert_eq!(verify(&raw(Some(&value), "key=k", BODY), &both), outcome);
        }
        for value in [
            "",
            "t=1",
            own,
            "v1=abcd,t=1",
            &format!("{time},{time},{own}"),
        ] {
            let refused = verify(&raw(Some(value), "key=k", BODY), &both);
            assert_eq!(refused, Err(Refusal::Malformed(SIGNATURE)), "{value}");
        }
    }

    #[test]
    fn what_it_would_sign_it_believes() {
        let connection = Connection::plain(KIND);
        let secret = Secret::new("sign:s1");
        let unsigned = Unsigned::of(&connection, &secret, BODY, NOW.parse().unwrap());
        let headers = Mailchimp.sign(&unsigned);
        let value = headers.first().map(|(_, value)| value.as_str());
        assert_eq!(
            verify(&raw(value, "key=k", BODY), &["sign:s0", "k", "sign:s1"]),
            Ok(())
        );
    }

    #[test]
    fn validation_by_get_and_head_is_answered() {
        for (method, status) in [
            (Method::GET, Some(200)),
            (Method::HEAD, Some(200)),
            (Method::POST, None),
        ] {
            let mut asked = raw(None, "", b"");
            asked.method = method;
            let answer = Mailchimp.handshake(&asked);
            assert_eq!(answer.map(|answer| answer.status), status);
        }
    }
}
