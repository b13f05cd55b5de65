//! The language's reference in Markdown, written from the tables that the parser and the engine use.

use std::fmt::Write as _;

use shared::event::{Name, SubjectKind};
use shared::sources;

use super::fields::{self, FIELDS, Field};
use super::filters::{Kind, TABLE};
use super::spec::{self, Key, Table};

/// What each event means; the names and subjects come from the types.
fn meaning(event: Name) -> &'static str {
    match event {
        Name::OrderCreated => "An order was placed, paid or not.",
        Name::OrderPaid => "Payment is complete. Pix and boleto: later than created.",
        Name::OrderShipped => {
            "A parcel left, and again when its tracking first appears or changes; `once` is \"shipment\" unless told."
        }
        Name::OrderDelivered => "The carrier says that a parcel was delivered.",
        Name::OrderFulfilled => "Everything was sent.",
        Name::OrderCancelled => "The order was cancelled.",
        Name::OrderRefunded => "Money went back, in part or in full.",
        Name::CheckoutAbandoned => {
            "A checkout with a phone number has not become an order. Needs an `at` of at least `15m`."
        }
        Name::AppointmentRequested => "A booking waits for the host's yes.",
        Name::AppointmentBooked => "An appointment was made.",
        Name::AppointmentRescheduled => {
            "It has another time. The steps with an `at` of automations that are `on = \"appointment.booked\"` follow by themselves."
        }
        Name::AppointmentCancelled => "It does not take place.",
        Name::AppointmentNoShow => "The invitee did not come.",
        Name::FormSubmitted => "A form was filled in to its end; partial answers never make one.",
        Name::LeadCreated => {
            "A person came into being in a CRM, a list or a help desk; `once` is \"lead\" unless told."
        }
        Name::LeadUpdated => {
            "Something about such a person changed: `lead.changed` says what, `phone` too where the number comes later."
        }
        Name::DealUpdated => {
            "A deal changed and is neither won nor lost by it. `customer` is its person."
        }
        Name::DealWon => "A deal was won.",
        Name::DealLost => "A deal was lost.",
        Name::EmailReceived => "An e-mail arrived.",
        Name::CustomReceived => "A system of your own posted something, see `[source.NAME]`.",
        Name::ContactCreated => "A person came into being in Callbell.",
        Name::ContactUpdated => {
            "Something about a person changed in Callbell, by somebody else than us: `contact.changed` says what."
        }
        Name::ContactDeleted => "A person was deleted from Callbell.",
        Name::ConversationOpened => "A conversation was opened in Callbell.",
        Name::ConversationClosed => "A conversation was closed in Callbell.",
        Name::MessageReceived => "A person wrote; never our own or a colleague's message.",
        Name::MessageSent => "A team member wrote.",
        Name::MessageDelivered => "A message that we sent is on the phone.",
        Name::MessageRead => "A message that we sent was read.",
        Name::MessageFailed => {
            "WhatsApp could not deliver a message that we sent. No automation sees what became of its own messages."
        }
        Name::JobDead => {
            "We gave up on an action. Jobs that come from `job.*` make no `job.*` events."
        }
        Name::MessageEcho
        | Name::MessageStatus
        | Name::AppointmentReleased
        | Name::AppointmentUpdated
        | Name::DealDeleted
        | Name::CustomPosted
        | Name::SourceChanged
        | Name::PrivacyDataRequest
        | Name::PrivacyRedactCustomer
        | Name::PrivacyRedactAccount => "",
    }
}

/// The whole reference: tables and keys, times, events, fields, filters, functions and tests.
pub fn reference() -> String {
    let mut out = String::from(
        "# The language of automations.toml\n\n\
         Written from the code by `UPDATE=1 cargo test -p engine the_committed`; a test holds it to the code.\n\n\
         Expressions stand bare (`when = \"order.total >= 50\"`), texts have braces (`\"Olá {{ customer.first_name }}\"`).\n\
         Every text-like key of a message is one value, or a table by locale (`text.it = \"…\"`).\n\
         Names of tables are lower-case letters, digits and `-`, at most 40.\n\n## Tables and keys\n",
    );
    for table in spec::TABLES {
        self::table(&mut out, table);
        for (_, inner) in spec::INNER.iter().filter(|(kind, _)| *kind == table.kind) {
            self::table(&mut out, inner);
        }
    }
    times(&mut out);
    events(&mut out);
    all_fields(&mut out);
    filters(&mut out);
    out
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

// Writing into a String cannot fail: the results below are dropped.

fn table(out: &mut String, table: &Table) {
    let header = match table.kind {
        "step" => "A step: `{ … }` in `steps`".to_owned(),
        "rule" => "A rule: `{ … }` in `rules`".to_owned(),
        "hmac" => "`hmac` of a source: `{ … }`".to_owned(),
        _ => format!("`{}`", table.header()),
    };
    let _ = writeln!(
        out,
        "\n### {header}\n\n{}\n\n| key | value | default | meaning | example |\n| --- | --- | --- | --- | --- |",
        table.meaning
    );
    if table.kind == spec::HOURS.kind {
        key(out, &spec::WEEKDAY_KEY);
    }
    for one in table.keys {
        key(out, one);
    }
}

fn key(out: &mut String, key: &Key) {
    let default = if key.required {
        "required"
    } else {
        key.default
    };
    let _ = writeln!(
        out,
        "| `{}` | {} | {} | {} | `{}` |",
        key.name,
        cell(&key.value.words()),
        cell(default),
        cell(key.meaning),
        cell(key.example)
    );
}

fn times(out: &mut String) {
    out.push_str(
        "\n## Times (`at`)\n\n\
         `FIELD + DURATION`, `FIELD - DURATION`, `+ DURATION` (after the event), `FIELD`, each with or without `at HH:MM`.\n\
         `m` and `h` are exact, `d` and `w` are calendar days: the same time of day across daylight saving.\n\n\
         | example | means |\n| --- | --- |\n\
         | `+1h` | one hour after the event; for a checkout: after its last change |\n\
         | `order.created_at + 30d at 10:00` | ten o'clock, thirty days after the order was placed |\n\
         | `order.created_at` | that instant |\n\
         | `appointment.start - 24h` | exactly 24 hours before it begins |\n\
         | `appointment.start - 1d` | the same time of day the day before |\n\
         | `appointment.start - 1d at 18:00` | six in the evening of the day before, in the appointment's zone |\n\
         | `appointment.end + 2h` | two hours after it ends |\n\n\
         A time around an appointment belongs to its start: when it moves, the step is made again for the new one, and what waits for the old one ends as `moved`.\n\
         A step whose time had passed when the booking was made is skipped. `+ DURATION` after a booking is counted from the booking: it is not repeated at a move and ends with a cancellation.\n",
    );
}

fn events(out: &mut String) {
    out.push_str(
        "\n## Events\n\n| event | subject | made when | from |\n| --- | --- | --- | --- |\n",
    );
    for event in Name::ALL.iter().filter(|name| !name.is_internal()) {
        let ourselves = (event.subject() == SubjectKind::Job).then_some("ourselves");
        let from: Vec<&str> = sources::ALL
            .iter()
            .filter(|source| source.events().contains(event))
            .map(|source| source.kind())
            .chain(ourselves)
            .collect();
        let subject = event.subject().as_str();
        let _ = writeln!(
            out,
            "| `{event}` | {subject} | {} | {} |",
            cell(meaning(*event)),
            from.join(", ")
        );
    }
}

fn all_fields(out: &mut String) {
    out.push_str("\n## Fields\n\n*opt*: may be absent. Absent prints as nothing, is false and equals nothing.\n");
    let mut group = "";
    for field in FIELDS {
        let root = fields::root(field.path);
        if root != group {
            group = root;
            let _ = writeln!(
                out,
                "\n### `{root}`\n\n{}\n\n| field | type | example | meaning |\n| --- | --- | --- | --- |",
                whereabouts(root)
            );
        }
        self::field(out, field);
    }
}

fn whereabouts(root: &str) -> String {
    if root == "now" {
        return "In steps and messages, of every event.".to_owned();
    }
    let events: Vec<String> = Name::ALL
        .iter()
        .filter(|event| !event.is_internal() && fields::has_root(**event, root))
        .map(|event| format!("`{event}`"))
        .collect();
    let all = Name::ALL
        .iter()
        .filter(|event| !event.is_internal())
        .count();
    if events.len() == all {
        return "In every event.".to_owned();
    }
    let elsewhere = match fields::is_asked_for(root) {
        true => {
            " In a step's `when` and in texts of every other event: asked of Callbell where they are named, \
             absent where the person is not there."
        }
        false => "",
    };
    format!("In {}.{elsewhere}", events.join(", "))
}

fn field(out: &mut String, field: &Field) {
    let optional = if field.optional { " *opt*" } else { "" };
    let example = if field.example.is_empty() {
        String::new()
    } else {
        format!("`{}`", cell(field.example))
    };
    let _ = writeln!(
        out,
        "| `{}`{optional} | {} | {example} | {} |",
        field.path,
        cell(&field.kind.words()),
        cell(field.meaning)
    );
}

fn filters(out: &mut String) {
    for (title, kind) in [
        ("Filters", Kind::Filter),
        ("Functions", Kind::Function),
        ("Tests", Kind::Test),
    ] {
        let _ = writeln!(
            out,
            "\n## {title}\n\n| {} | what it does | example |\n| --- | --- | --- |",
            title.to_lowercase()
        );
        for entry in TABLE.iter().filter(|entry| entry.kind == kind) {
            let example = entry
                .examples
                .first()
                .map(|(locale, text, result)| {
                    format!("`{}` → `{}` ({locale})", cell(text), cell(result))
                })
                .unwrap_or_default();
            let _ = writeln!(
                out,
                "| `{}` | {} | {example} |",
                cell(entry.signature),
                cell(entry.about)
            );
        }
    }
    out.push_str(
        "\nOperators: `and or not in == != < <= > >= ~ + - * / %`, `x if c else y`. A text may also use `{% if %}`, \
         `{% for %}`, `{% set %}` and comments.\n",
    );
}

#[cfg(test)]
mod tests {
    use super::reference;

    /// Regenerate: `UPDATE=1 cargo test -p engine the_committed_reference`.
    #[test]
    fn the_committed_reference_is_the_generated_one() {
        super::super::hold_to_file("../docs/language.md", &reference());
    }
}
