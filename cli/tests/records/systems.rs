//! What the suite has to know of each system: one entry each.

use engine::actions::deed::System;
use engine::actions::hubspot::Hubspot;
use engine::actions::intercom::Intercom;
use engine::actions::mailchimp::Mailchimp;
use engine::actions::pipedrive::Pipedrive;
use engine::actions::salesforce::Salesforce;
use engine::actions::zendesk::Zendesk;
use serde_json::Value;

/// One system.
pub(crate) struct Fixture {
    pub(crate) name: &'static str,
    pub(crate) system: &'static dyn System,
    /// A secret that is good, one that is refused, and one that makes access tokens, where there is one.
    pub(crate) key: &'static str,
    pub(crate) refused: &'static str,
    pub(crate) grant: Option<&'static str>,
    /// An id that the system could have given, and did not.
    pub(crate) gone: &'static str,
    /// Its names of two fields, and where its records have them.
    pub(crate) first: (&'static str, &'static str),
    pub(crate) last: (&'static str, &'static str),
    /// The same of the phone, where one finds a record.
    pub(crate) phone: Option<(&'static str, &'static str)>,
    /// Where its records have the e-mail address.
    pub(crate) email: &'static str,
    /// Where its records have tags, and the name in one.
    pub(crate) tags: Option<Tags>,
    /// Whether it keeps two records from having one e-mail address, and two of ours from having one phone.
    pub(crate) unique_email: bool,
    pub(crate) unique_phone: bool,
    /// A field that it refuses, and the reason.
    pub(crate) bad: (&'static str, &'static str),
    /// A status that says too many requests beside 429.
    pub(crate) limit: u16,
    /// Mailchimp's audience.
    pub(crate) list: Option<&'static str>,
}

type Tags = (&'static str, fn(&Value) -> &str);

const SALESFORCE: &str =
    r#"{"host":"minha.my.salesforce.com","client_id":"a","client_secret":"b"}"#;

pub(crate) static SYSTEMS: &[Fixture] = &[
    Fixture {
        name: "hubspot",
        system: &Hubspot,
        key: "pat-eu1-good",
        refused: "pat-eu1-revoked",
        grant: Some(r#"{"client_id":"a","client_secret":"b","refresh_token":"c"}"#),
        gone: "123",
        first: ("firstname", "/properties/firstname"),
        last: ("lastname", "/properties/lastname"),
        phone: Some(("phone", "/properties/phone")),
        email: "/properties/email",
        tags: None,
        unique_email: true,
        unique_phone: false,
        bad: (
            "unknown_property",
            "HubSpot 400: VALIDATION_ERROR, unknown_property PROPERTY_DOESNT_EXIST",
        ),
        limit: 429,
        list: None,
    },
    Fixture {
        name: "pipedrive",
        system: &Pipedrive,
        key: r#"{"domain":"minha-empresa","token":"good"}"#,
        refused: r#"{"domain":"minha-empresa","token":"revoked"}"#,
        grant: Some(r#"{"client_id":"a","client_secret":"b","refresh_token":"c"}"#),
        gone: "1",
        first: ("name", "/name"),
        last: (
            "0123456789abcdef0123456789abcdef01234567",
            "/custom_fields/0123456789abcdef0123456789abcdef01234567",
        ),
        phone: Some(("phone", "/phones/0/value")),
        email: "/emails/0/value",
        tags: None,
        unique_email: false,
        unique_phone: false,
        bad: ("no_key", "Pipedrive 400: ERR_SCHEMA_VALIDATION_FAILED"),
        // Cloudflare's page.
        limit: 403,
        list: None,
    },
    Fixture {
        name: "salesforce",
        system: &Salesforce,
        key: SALESFORCE,
        refused: r#"{"host":"minha.my.salesforce.com","client_id":"a","client_secret":"revoked"}"#,
        grant: Some(SALESFORCE),
        gone: "003999999999999AAA",
        first: ("FirstName", "/FirstName"),
        last: ("LastName", "/LastName"),
        phone: Some(("MobilePhone", "/MobilePhone")),
        email: "/Email",
        tags: None,
        unique_email: true,
        unique_phone: true,
        bad: ("Unknown__c", "Salesforce 400: INVALID_FIELD, Unknown__c"),
        // REQUEST_LIMIT_EXCEEDED.
        limit: 403,
        list: None,
    },
    Fixture {
        name: "mailchimp",
        system: &Mailchimp,
        key: "0123456789-us6",
        refused: "revoked-us6",
        grant: None,
        gone: "0123456789abcdef0123456789abcdef",
        first: ("FNAME", "/merge_fields/FNAME"),
        last: ("LNAME", "/merge_fields/LNAME"),
        phone: None,
        email: "/email_address",
        tags: Some(("/tags", |tag| super::world::text(tag, "/name"))),
        unique_email: true,
        unique_phone: false,
        bad: ("UNKNOWN", "Mailchimp 400: Invalid Resource, UNKNOWN"),
        // No JSON, under load.
        limit: 403,
        list: Some("a1b2c3"),
    },
    Fixture {
        name: "zendesk",
        system: &Zendesk,
        key: r#"{"subdomain":"minha-empresa","email":"ana@example.com","token":"good"}"#,
        refused: r#"{"subdomain":"minha-empresa","email":"ana@example.com","token":"revoked"}"#,
        grant: None,
        gone: "1",
        first: ("name", "/name"),
        last: ("notes", "/notes"),
        phone: Some(("phone", "/phone")),
        email: "/email",
        tags: Some(("/tags", |tag| tag.as_str().unwrap_or_default())),
        unique_email: true,
        unique_phone: true,
        bad: (
            "unknown_field",
            "Zendesk 422: RecordInvalid, unknown_field InvalidValue",
        ),
        limit: 429,
        list: None,
    },
    Fixture {
        name: "intercom",
        system: &Intercom,
        key: "good",
        refused: "revoked",
        grant: None,
        gone: "6763b1f0ffffffffffffffff",
        first: ("name", "/name"),
        last: ("apelido", "/custom_attributes/apelido"),
        phone: Some(("phone", "/phone")),
        email: "/email",
        tags: Some(("/tags/data", |tag| super::world::text(tag, "/name"))),
        unique_email: true,
        unique_phone: true,
        bad: ("unknown", "Intercom 400: parameter_invalid"),
        limit: 429,
        list: None,
    },
];
