//! Salesforce: contacts and leads.
//!
//! Two forms come to the same address, and both show the whole record, so nothing has to be asked.
//!
//! - **An Outbound Message**, which a record-triggered flow sends: SOAP, up to 100 notifications, repeated for 24
//!   hours until it is acknowledged. What a notification shows is the record as it is when it is *sent*, and the
//!   fields that are empty are absent.
//!   <https://developer.salesforce.com/docs/atlas.en-us.api.meta/api/sforce_api_om_outboundmessaging_understanding.htm>
//! - **JSON**, for whoever prefers Flow's HTTP callout or has Apex, one record or a list of them. Nobody repeats it:
//!
//!   ```json
//!   {
//!     "object": "Contact",
//!     "id": "003Hp00002abcDEIAY",
//!     "organizationId": "00DHp0000001abcMAA",
//!     "url": "https://minha-empresa.my.salesforce.com/003Hp00002abcDEIAY",
//!     "fields": { "FirstName": "Maria", "LastName": "da Silva", "MobilePhone": "+55 11 98003-0001",
//!                 "CreatedDate": "2026-03-16T14:00:00.000Z", "LastModifiedDate": "2026-03-16T14:00:00.000Z" }
//!   }
//!   ```
//!
//!   `organizationId` and `url` may be absent. `fields` are called as Salesforce calls them; `OwnerName` and
//!   `OwnerEmail`, which an Outbound Message cannot carry, may be among them.
//!
//! **Proof.** Salesforce signs nothing and sends no header of ours, so the address ends in `?key=SECRET`. A value of
//! the connection's secret that begins with `org:` is no such key but the id of an organisation, as Setup, Company
//! Information shows it; where there is one, or several, whatever comes has to be of one of them.
//!
//! **Created or updated.** Neither form says it. `CreatedDate` and `LastModifiedDate` (or `SystemModstamp`) do, where
//! they were ticked: a few seconds apart, the record is new. Further apart it was changed, and a record that is younger
//! than a message is repeated is told as both: a flow for new records shows it as somebody has changed it since. The
//! key of its creation is the same however often it is told. Without the two dates every record is new, once.

mod lead;
mod record;

use jiff::Timestamp;

use super::{
    Acknowledgement, Answer, OnUnreadable, Proofs, Reading, Refusal, Source, Unreadable, Unsigned,
    sign,
};
use crate::connections::Connection;
use crate::event::Name;
use crate::raw::{Raw, Verified};
use crate::secrets::Secret;

/// The provider's name.
pub const KIND: &str = "salesforce";
/// What the id of an organisation stands behind, among the values of the secret.
pub const ORGANISATION_PREFIX: &str = "org:";
/// The one answer that Salesforce counts as delivered; an empty body or JSON makes it send the message again, for 24
/// hours. It stands for the whole message.
/// <https://developer.salesforce.com/docs/atlas.en-us.api.meta/api/sforce_api_om_outboundmessaging_notifications.htm>
const ACKNOWLEDGEMENT: Acknowledgement = Acknowledgement {
    content_type: "text/xml",
    body: concat!(
        r#"<?xml version="1.0" encoding="UTF-8"?>"#,
        r#"<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>"#,
        r#"<notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>true</Ack></notificationsResponse>"#,
        "</soapenv:Body></soapenv:Envelope>"
    ),
};

/// The source.
pub struct Salesforce;

impl Source for Salesforce {
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
        lead::PHONE_PATHS
    }

    fn phone_prefixes(&self) -> &'static [&'static str] {
        &[lead::FIELDS]
    }

    fn proven_by(&self) -> &'static str {
        "a key in the address; the organisation, where told"
    }

    fn handshake(&self, _raw: &Raw) -> Option<Answer> {
        None
    }

    fn is_keyed(&self) -> bool {
        true
    }

    fn is_key(&self, secret: &Secret) -> bool {
        !secret.expose().starts_with(ORGANISATION_PREFIX)
    }

    /// A body that cannot be read says nothing of its organisation: its key has proven it, and all that is kept of
    /// it is that it came.
    fn verify<'a>(
        &self,
        raw: &'a Raw,
        proofs: &Proofs<'_>,
        _now: Timestamp,
    ) -> Result<Verified<'a>, Refusal> {
        let (keys, organisations): (Vec<Secret>, Vec<Secret>) = proofs
            .secrets
            .iter()
            .cloned()
            .partition(|secret| self.is_key(secret));
        sign::keyed(raw, &keys)?;
        let Ok(records) = record::read(&raw.body) else {
            return Ok(raw.accept());
        };
        let is_ours = |record: &record::Record| {
            let own = record.organisation.as_deref();
            own.is_some() && organisations.iter().any(|one| organisation(one) == own)
        };
        if organisations.is_empty() || records.iter().all(is_ours) {
            Ok(raw.accept())
        } else {
            Err(Refusal::Account {
                accounts: organisations.len(),
            })
        }
    }

    fn read(
        &self,
        verified: &Verified<'_>,
        connection: &Connection,
        now: Timestamp,
    ) -> Result<Reading, Unreadable> {
        lead::read(record::read(verified.body())?, connection, now)
    }

    fn on_unreadable(&self) -> OnUnreadable {
        OnUnreadable::Record
    }

    /// A callout of JSON reads no answer.
    fn acknowledgement(&self, raw: &Raw) -> Option<Acknowledgement> {
        let kind = raw.header("content-type").unwrap_or_default();
        (record::is_xml(&raw.body) || kind.contains("xml")).then_some(ACKNOWLEDGEMENT)
    }

    /// Its key is in the address.
    fn sign(&self, _unsigned: &Unsigned<'_>) -> Vec<(String, String)> {
        Vec::new()
    }
}

/// The organisation that a value of the secret names. An id is no secret: it is compared as any text.
fn organisation(secret: &Secret) -> Option<&str> {
    let id = secret.expose().strip_prefix(ORGANISATION_PREFIX)?;
    record::organisation(id.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    const XML: &str = r#"<Envelope><b:notifications xmlns:b="http://soap.sforce.com/2005/09/outbound">
        <b:OrganizationId>ORG</b:OrganizationId><b:Notification><b:Id>04l000000000001AAA</b:Id>
        <b:sObject xmlns:x="http://www.w3.org/2001/XMLSchema-instance" xmlns:s="urn:sobject.enterprise.soap.sforce.com"
        x:type="s:Lead"><s:Id>00QHp00001aaaAAMAY</s:Id><s:LastName>Souza</s:LastName></b:sObject>
        </b:Notification></b:notifications></Envelope>"#;

    fn raw(body: String) -> Raw {
        Raw {
            method: http::Method::POST,
            connection: KIND.to_owned(),
            path_secret: None,
            headers: http::HeaderMap::new(),
            query: "key=k".to_owned(),
            url: String::new(),
            body: body.into_bytes(),
        }
    }

    fn verify(body: &str, secrets: &[&str]) -> Result<(), Refusal> {
        let secrets: Vec<Secret> = secrets.iter().map(|value| Secret::new(*value)).collect();
        let connection = Connection::plain(KIND);
        let raw = raw(body.to_owned());
        let proofs = Proofs::of(&connection, &secrets);
        let verified = Salesforce.verify(&raw, &proofs, Timestamp::UNIX_EPOCH);
        verified.map(|_| ())
    }

    #[test]
    fn an_organisation_that_is_named_has_to_be_the_message_s() {
        let of = |id: &str| XML.replace("ORG", id);
        let json = r#"[{"object":"Lead","id":"00QHp00001aaaAA","organizationId":"00DHp0000001abc","fields":{"LastName":"A"}},
            {"object":"Lead","id":"00QHp00001aaaAB","fields":{"LastName":"B"}}]"#;
        let other = Err(Refusal::Account { accounts: 1 });
        // Without one any organisation passes.
        assert_eq!(verify(&of("00D000000000009AAA"), &["k"]), Ok(()));
        for own in ["org:00DHp0000001abcMAA", "org:00DHp0000001abc"] {
            let known = ["k", own];
            assert_eq!(verify(&of("00DHp0000001abcMAA"), &known), Ok(()));
            assert_eq!(verify(&of("00DHp0000001abc"), &known), Ok(()));
            // Case tells organisations apart.
            assert_eq!(verify(&of("00DHp0000001aBCMAA"), &known), other);
            assert_eq!(verify(&of("00DHp0000001ab"), &known), other);
            assert_eq!(verify(&of(""), &known), other);
            assert_eq!(verify(json, &known), other, "one of two says nothing");
        }
        // Half of an id is none.
        for own in ["org:", "org:00D", "org:00DHp0000001abcMAAx"] {
            assert_eq!(verify(&of("00D"), &["k", own]), other, "{own}");
        }
        let two = ["org:00D000000000009", "k", "org:00DHp0000001abc"];
        assert_eq!(verify(&of("00D000000000009AAA"), &two), Ok(()));
    }

    #[test]
    fn an_organisation_is_no_key_and_what_cannot_be_read_has_none() {
        let no_match = Err(Refusal::NoMatch { secrets: 0 });
        assert_eq!(verify(XML, &["org:00DHp0000001abc"]), no_match);
        let secrets = [Secret::new("org:00DHp0000001abc")];
        let mut by_org = raw(XML.to_owned());
        by_org.query = "key=org:00DHp0000001abc".to_owned();
        let connection = Connection::plain(KIND);
        let proofs = Proofs::of(&connection, &secrets);
        let refusal = Salesforce.verify(&by_org, &proofs, Timestamp::UNIX_EPOCH);
        assert_eq!(refusal.err(), Some(Refusal::NoMatch { secrets: 0 }));
        assert_eq!(verify("<a", &["k", "org:00DHp0000001abc"]), Ok(()));
    }

    #[test]
    fn xml_alone_is_acknowledged() {
        for body in ["<a", "\u{feff} \n<a/>"] {
            assert!(Salesforce.acknowledgement(&raw(body.into())).is_some());
        }
        for body in ["", "{}", "[<a>]"] {
            assert_eq!(Salesforce.acknowledgement(&raw(body.into())), None);
        }
        let mut empty = raw(String::new());
        let kind = "text/xml; charset=utf-8".parse().unwrap();
        empty.headers.insert("content-type", kind);
        assert!(Salesforce.acknowledgement(&empty).is_some());
        let answer = roxmltree::Document::parse(ACKNOWLEDGEMENT.body).unwrap();
        let space = "http://soap.sforce.com/2005/09/outbound";
        let ack = answer
            .descendants()
            .find(|n| n.has_tag_name((space, "Ack")));
        assert_eq!(ack.unwrap().text(), Some("true"));
    }
}
