//! What the events of one order's body have in common, whichever shop sends it.

use jiff::Timestamp;

use crate::event::{Body, Customer, Event, Fresh, Head, Name, Order, Shipment, Subject};

/// The order as the body shows it; each fact in it becomes an event of its own.
pub(super) struct OrderFacts {
    /// Name, id and time are those of each event.
    pub(super) head: Head,
    pub(super) customer: Customer,
    /// Whether it is news is said by each event.
    pub(super) subject: Subject,
    pub(super) order: Order,
}

impl OrderFacts {
    /// The event `{connection}/order/{id}/{fact}`.
    pub(super) fn event(&self, name: Name, fact: &str, at: Timestamp, fresh: Fresh) -> Event {
        let head = Head {
            name,
            id: format!("{}/order/{}/{fact}", self.head.source, self.order.id),
            at,
            ..self.head.clone()
        };
        let subject = Subject {
            fresh,
            ..self.subject.clone()
        };
        let body = Body::Order {
            order: Box::new(self.order.clone()),
            shipment: None,
        };
        Event {
            event: head,
            customer: self.customer.clone(),
            subject,
            body,
        }
    }

    /// The same about one parcel, whose changes every shop dates.
    pub(super) fn shipped(
        &self,
        name: Name,
        fact: &str,
        at: Timestamp,
        parcel: &Shipment,
    ) -> Event {
        let mut event = self.event(name, fact, at, Fresh::Dated);
        if let Body::Order { shipment, .. } = &mut event.body {
            *shipment = Some(Box::new(parcel.clone()));
        }
        event
    }
}
