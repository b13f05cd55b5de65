//! The clinic: bookings of Cal.com, as its webhooks tell of them.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// What nobody but the patient, Callbell and the table may read of a booking.
pub(crate) const PRIVATE: &[&str] = &["Giulia", "333111", "giulia@", "Via Roma"];
/// Whom it is about.
const PHONE: &str = "+393331110001";
/// How long a visit takes, in minutes.
const MINUTES: i64 = 45;

/// One booking.
pub(crate) struct Booking {
    /// Its id, which a move changes.
    pub(crate) uid: &'static str,
    /// When it begins.
    pub(crate) start: Timestamp,
}

impl Booking {
    fn end(&self) -> Timestamp {
        let length = SignedDuration::from_mins(MINUTES);
        self.start.saturating_add(length).unwrap_or(self.start)
    }

    /// The webhook of a new booking.
    pub(crate) fn created(&self) -> Value {
        let person = json!({
            "name": "Giulia Conti", "email": "giulia@example.com", "timeZone": "Europe/Rome",
            "language": { "locale": "it" }, "phoneNumber": PHONE, "utcOffset": 60,
        });
        let organizer = json!({
            "name": "Studio", "email": "studio@example.com", "username": "studio",
            "timeZone": "Europe/Rome", "language": { "locale": "it" }, "utcOffset": 60,
        });
        json!({
            "triggerEvent": "BOOKING_CREATED", "createdAt": Timestamp::now().to_string(),
            "payload": {
                "bookerUrl": "https://cal.com", "type": "igiene", "title": "Igiene dentale", "eventTitle": "Igiene dentale",
                "startTime": self.start.to_string(), "endTime": self.end().to_string(), "length": MINUTES,
                "eventTypeId": 11, "organizer": organizer, "attendees": [person],
                "responses": { "attendeePhoneNumber": { "label": "phone_number", "value": PHONE, "isHidden": false } },
                "location": "Via Roma 1, Milano", "uid": self.uid, "bookingId": 900, "status": "ACCEPTED",
                "price": 0, "currency": "eur", "metadata": {},
            },
        })
    }

    /// The webhook of the same booking at another time, which has another id.
    pub(crate) fn instead_of(&self, earlier: &Booking) -> Value {
        let mut body = self.created();
        body["triggerEvent"] = "BOOKING_RESCHEDULED".into();
        let moved = json!({
            "rescheduleUid": earlier.uid, "rescheduleId": 899, "rescheduleStartTime": earlier.start.to_string(),
            "rescheduleEndTime": earlier.end().to_string(), "rescheduledBy": "giulia@example.com",
        });
        for (key, value) in moved.as_object().into_iter().flatten() {
            body["payload"][key] = value.clone();
        }
        body
    }
}
