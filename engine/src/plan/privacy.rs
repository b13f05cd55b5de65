//! What somebody at the command line asks for: that everything about one person is erased.

use jiff::Timestamp;
use shared::event::{
    Body, Customer, Event, Head, Name, PhoneCandidate, Privacy, Subject, SubjectKind,
};

use super::callbell::OURSELVES;

/// A person who is to be forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// E.164.
    pub phone: Option<String>,
    /// The e-mail address.
    pub email: Option<String>,
}

/// The request to forget them, as it is stored for the worker that may delete rows. Its number is the instant.
pub fn request(person: &Forgotten, now: Timestamp) -> Event {
    let number = now.as_millisecond().to_string();
    let phones = person.phone.iter().map(|phone| PhoneCandidate {
        path: "forget".to_owned(),
        number: Some(phone.clone()),
        country: None,
    });
    Event {
        event: Head {
            name: Name::PrivacyRedactCustomer,
            source: OURSELVES.to_owned(),
            kind: OURSELVES.to_owned(),
            account: None,
            id: format!("{OURSELVES}/privacy/{number}/redact"),
            at: now,
            test: false,
            depth: 0,
            notes: Vec::new(),
        },
        customer: Customer {
            email: person.email.as_ref().map(|email| email.to_lowercase()),
            phones: phones.collect(),
            ..Customer::default()
        },
        subject: Subject::new(SubjectKind::Privacy, &number, now),
        body: Body::Privacy {
            privacy: Privacy {
                request_id: Some(number),
                order_ids: Vec::new(),
            },
        },
    }
}
