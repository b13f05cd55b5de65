//! What is shown, one function each. Every wait is for something that has to come, with a limit.

use std::collections::BTreeMap;
use std::time::Duration;

use cli::standin::faults::{Fault, Kind};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use shared::sources::callbell::SIGNATURE;
use shared::telemetry::{DIMENSION, NAMESPACE};

use crate::clinic::Booking;
use crate::elsewhere;
use crate::failure::{During as _, Outcome, ensure};
use crate::logs;
use crate::process::functions_of;
use crate::shop::Webhook;
use crate::stack::{self, STACK};
use crate::talk;
use crate::wait::{until, until_slowly};
use crate::world::{ERP_SECRET, NEW_SECRET, OLD_SECRET, SECRETS, WRONG_PATH, World, write_secrets};

/// How long what nothing holds up may take.
const AT_ONCE: Duration = Duration::from_secs(20);
/// How long a change may take that functions look for once a minute.
const A_MINUTE: Duration = Duration::from_secs(80);
/// How long the schedule may take with what is due in a minute or so: backoff or grace, a whole minute of
/// the schedule, and the machine.
const A_SWEEP: Duration = Duration::from_secs(240);

/// A paid order goes through API Gateway, the door, the table's stream and the worker to Callbell, once.
pub(crate) async fn a_message(world: &World) -> Outcome {
    let order = Webhook::sign(world, 2001, &world.secrets).await?;
    order.expect(world, 200, "accepted").await?;
    let message = world.message(2001, AT_ONCE).await?;
    let text = "Olá Maria! Recebemos o pagamento do pedido #2001, no valor de R$\u{a0}177,70: 2× Camiseta, \
        1× Boné. Avisamos por aqui quando ele sair.";
    ensure(message.text.as_deref() == Some(text), || {
        format!("the message reads {:?}", message.text)
    })?;
    ensure(message.body["to"] == "+5511987654321", || {
        format!("the message went to {}", message.body["to"])
    })?;
    let job = world.job(2001, "sent", AT_ONCE).await?;
    ensure(job["message_uuid"] == message.uuid.as_str(), || {
        format!("the job names the message {}", job["message_uuid"])
    })?;
    order.expect(world, 200, "duplicate").await?;
    let stored = world.events(2001).await?;
    ensure(stored.len() == 2, || {
        format!("{stored:?} is stored, not that the order was created and paid")
    })?;
    world.is_delivered_once(2001).await
}

/// Callbell answers 503: the job is due again. The other half is [`a_retry_goes_out`].
pub(crate) async fn a_retry_waits(world: &World) -> Outcome {
    let unavailable = Fault {
        kind: Kind::Status { status: 503 },
        times: 1,
        every_request: false,
    };
    world.stand_in.set_faults(vec![unavailable]);
    let order = Webhook::sign(world, 2002, &world.secrets).await?;
    order.expect(world, 200, "accepted").await?;
    until("Callbell answers 503", AT_ONCE, async || {
        let left = world.stand_in.faults_left();
        Ok(if left == 0 {
            Ok(())
        } else {
            Err("nobody asked".to_owned())
        })
    })
    .await?;
    let job = world.job(2002, "due", AT_ONCE).await?;
    ensure(job["attempts"] == 1, || {
        format!("{} attempts were counted", job["attempts"])
    })
}

/// Patients are reminded so long before.
const BEFORE: SignedDuration = SignedDuration::from_mins(30);
/// So long after the booking was moved its reminder is due.
const REMINDED_AFTER: SignedDuration = SignedDuration::from_secs(75);
/// How late a reminder may be: the minute of the schedule, and the machine.
const REMINDED_LATE: SignedDuration = SignedDuration::from_secs(100);
/// The booking's id, and the one that its move gave it.
const BOOKED: &str = "e2eVisitBooked";
const MOVED: &str = "e2eVisitMoved";

/// A booking for tomorrow is moved to half an hour and a bit from now: nothing goes out yet, one job waits
/// for the new time, and the old one ends. When the reminder is due. The other half is
/// [`a_reminder_goes_out`].
pub(crate) async fn a_moved_appointment(world: &World) -> Outcome<Timestamp> {
    let seconds = Timestamp::now().as_second();
    let due = Timestamp::from_second(seconds).during("the clock")? + REMINDED_AFTER;
    let earlier = Booking {
        uid: BOOKED,
        start: due + SignedDuration::from_hours(24),
    };
    let moved = Booking {
        uid: MOVED,
        start: due + BEFORE,
    };
    for body in [earlier.created(), moved.instead_of(&earlier)] {
        let webhook = Webhook::of_body(world, "cal-com", &body).await?;
        webhook.expect(world, 200, "accepted").await?;
    }
    // Both jobs are known under the first id.
    let part = format!("cal-com/appointment/{BOOKED}/");
    until("the reminder waits for its new time", AT_ONCE, async || {
        let jobs = world.jobs_of(&part).await?;
        let at_its_time = |job: &&Value| {
            let at = job["due_at"].as_str().and_then(|at| at.parse().ok());
            job["status"] == "due" && at == Some(due)
        };
        Ok(match jobs.iter().filter(at_its_time).count() {
            1 => Ok(()),
            _ => Err(format!("{jobs:?}")),
        })
    })
    .await?;
    let sent = world.messages_of(BOOKED).len();
    ensure(sent == 0 || Timestamp::now() >= due, || {
        format!("{sent} messages before their time")
    })?;
    Ok(due)
}

/// The real schedule reminds once, at the time of the moved appointment.
pub(crate) async fn a_reminder_goes_out(world: &World, due: Timestamp) -> Outcome {
    let message = until("the reminder", A_SWEEP, async || {
        let message = world.messages_of(BOOKED).pop();
        Ok(message.ok_or_else(|| "there is none".to_owned()))
    })
    .await?;
    let late = message.at.duration_since(due);
    ensure(!late.is_negative() && late <= REMINDED_LATE, || {
        format!(
            "the reminder was due at {due} and went out at {}",
            message.at
        )
    })?;
    let part = format!("cal-com/appointment/{BOOKED}/");
    until(
        "one reminder sent and the other ended",
        AT_ONCE,
        async || {
            let jobs = world.jobs_of(&part).await?;
            let sent = jobs.iter().filter(|job| job["status"] == "sent").count();
            Ok(match sent {
                1 => Ok(()),
                _ => Err(format!("{jobs:?}")),
            })
        },
    )
    .await?;
    let messages = world.messages_of(BOOKED).len();
    ensure(messages == 1, || format!("{messages} reminders went out"))
}

/// The real schedule sends what had to wait.
pub(crate) async fn a_retry_goes_out(world: &World) -> Outcome {
    world.message(2002, A_SWEEP).await?;
    let job = world.job(2002, "sent", AT_ONCE).await?;
    ensure(job["attempts"] == 2, || {
        format!("{} attempts were counted", job["attempts"])
    })
}

/// A body that was not signed so is refused, leaves one line, and nothing else.
pub(crate) async fn a_wrong_signature(world: &World) -> Outcome {
    let order = Webhook::sign(world, 2003, &world.secrets).await?;
    refused(world, "orders", "shopify", &order.tampered()).await?;
    let stored = world.events(2003).await?;
    ensure(stored.is_empty(), || format!("{stored:?} was stored"))
}

/// The door of this function refuses a webhook for this connection with 401 and without telling a secret, and
/// leaves one line.
async fn refused(world: &World, function: &str, connection: &str, webhook: &Webhook) -> Outcome {
    let lines = async || -> Outcome<Vec<Value>> {
        Ok(logs::with_outcome(
            &logs::lines(world, function).await?,
            "refused",
        ))
    };
    let before = lines().await?.len();
    let answer = webhook.post(world).await?;
    let tells = SECRETS.iter().any(|secret| answer.body.contains(secret));
    ensure(answer.status == 401 && !tells, || {
        format!("the webhook got {} {}", answer.status, answer.body)
    })?;
    let line = until("the refusal's log line", AT_ONCE, async || {
        let lines = lines().await?;
        let new = lines.len().saturating_sub(before);
        ensure(new <= 1, || format!("{new} lines tell of the refusal"))?;
        let newest = lines.last().filter(|_| new == 1).cloned();
        Ok(newest.ok_or_else(|| "there is none".to_owned()))
    })
    .await?;
    ensure(
        line["http.status"] == 401 && line["source.name"] == connection,
        || format!("the refusal's line is {line}"),
    )
}

/// A contact that Callbell did not tell of: the signature is another body's, or not there, or the path is
/// mistyped. Nothing is stored.
pub(crate) async fn a_forged_webhook(world: &World) -> Outcome {
    let webhook = talk::sign(world, &talk::created(talk::STRANGER)).await?;
    for forged in [
        webhook.clone().tampered(),
        webhook.clone().without(SIGNATURE),
        webhook.to(WRONG_PATH),
    ] {
        refused(world, "callbell", "callbell", &forged).await?;
    }
    let stored = world.events_of(talk::STRANGER).await?;
    ensure(stored.is_empty(), || format!("{stored:?} was stored"))
}

/// How long an answer may take: the chatbot's own second, functions that have to start first, and the
/// machine.
const ANSWERED_WITHIN: SignedDuration = SignedDuration::from_secs(10);
/// What the keys of messages begin with.
const TALK: &str = "callbell/message/";

/// A person writes twice within the time that the chatbot gathers: one answer goes out, to both. A webhook
/// that comes again is taken, and nothing more is said.
pub(crate) async fn a_conversation(world: &World) -> Outcome {
    let [first, last] = talk::writes(world)?;
    let (signed, signed_last) = (
        talk::sign(world, &first).await?,
        talk::sign(world, &last).await?,
    );
    // AWS reads the stream for each function by itself; MiniStack in one thread, which the chatbot holds up
    // while it gathers. So the worker is shown both messages at once.
    stream(world, false).await?;
    talk::post(world, &signed).await?;
    let posted = Timestamp::now();
    talk::post(world, &signed_last).await?;
    stream(world, true).await?;
    let message = until("the answer", AT_ONCE, async || {
        let message = world.messages_to(talk::PHONE).pop();
        Ok(message.ok_or_else(|| "there is none".to_owned()))
    })
    .await?;
    ensure(message.text.as_deref() == Some(talk::ANSWER), || {
        format!("the answer reads {:?}", message.text)
    })?;
    let took = message.at.duration_since(posted);
    ensure((talk::GATHER..=ANSWERED_WITHIN).contains(&took), || {
        format!("the answer took {took:#}")
    })?;
    let replies = async || -> Outcome<Vec<Value>> {
        let jobs = world.jobs_of(TALK).await?.into_iter();
        Ok(jobs.filter(|job| job["action"] == "reply.e2e").collect())
    };
    let of_both = |jobs: &[Value]| {
        let sent =
            |job: &&Value| job["status"] == "sent" && job["message_uuid"] == message.uuid.as_str();
        let together = |job: &&Value| {
            job["status"] == "skipped" && job["reason"] == "answered together with a later message"
        };
        let count = (
            jobs.len(),
            jobs.iter().filter(sent).count(),
            jobs.iter().filter(together).count(),
        );
        count == (2, 1, 1)
    };
    until(
        "one reply sent, the other covered by it",
        AT_ONCE,
        async || {
            let jobs = replies().await?;
            Ok(if of_both(&jobs) {
                Ok(())
            } else {
                Err(format!("{jobs:?}"))
            })
        },
    )
    .await?;
    comes_again(world, &last).await?;
    let jobs = replies().await?;
    ensure(of_both(&jobs), || {
        format!("the webhook came again: {jobs:?}")
    })?;
    let messages = world.messages_to(talk::PHONE).len();
    ensure(messages == 1, || format!("{messages} answers went out"))
}

/// Callbell posts a webhook again, signed anew: it is taken like the first time, and known.
async fn comes_again(world: &World, body: &Value) -> Outcome {
    let known = async || -> Outcome<usize> {
        let lines = logs::lines(world, "callbell").await?;
        Ok(logs::with_outcome(&lines, "duplicate").len())
    };
    let before = known().await?;
    talk::post(world, &talk::sign(world, body).await?).await?;
    until("the webhook is known", AT_ONCE, async || {
        Ok(match known().await?.saturating_sub(before) {
            1 => Ok(()),
            new => Err(format!("{new} lines tell of a duplicate")),
        })
    })
    .await
}

/// Somebody new in Callbell is in HubSpot, once, also when the webhook comes again.
pub(crate) async fn a_new_contact(world: &World) -> Outcome {
    let body = talk::created(talk::NEW);
    talk::post(world, &talk::sign(world, &body).await?).await?;
    let contact = until("the contact in HubSpot", AT_ONCE, async || {
        let contact = world.in_hubspot().pop();
        Ok(contact.ok_or_else(|| "there is none".to_owned()))
    })
    .await?;
    let properties = &contact["properties"];
    ensure(
        properties["firstname"] == "Beatriz" && properties["phone"] == talk::NEW_PHONE,
        || format!("the contact is {properties}"),
    )?;
    let part = format!("callbell/contact/{}/", talk::NEW);
    until("the contact's job is done", AT_ONCE, async || {
        let jobs = world.jobs_of(&part).await?;
        let done = jobs.len() == 1 && jobs.iter().all(|job| job["status"] == "sent");
        Ok(if done {
            Ok(())
        } else {
            Err(format!("{jobs:?}"))
        })
    })
    .await?;
    comes_again(world, &body).await?;
    let contacts = world.in_hubspot();
    ensure(contacts == [contact], || {
        format!("HubSpot has {contacts:?}")
    })
}

/// Callbell tells that the message of [`a_message`] is on the phone: its job knows it.
pub(crate) async fn a_delivery(world: &World) -> Outcome {
    let body = talk::status(world, &world.message(2001, AT_ONCE).await?, "delivered")?;
    talk::post(world, &talk::sign(world, &body).await?).await?;
    delivery(world, 2001, "delivered").await
}

/// WhatsApp does not deliver a message: its job knows it, and the team is told.
pub(crate) async fn a_failed_message(world: &World) -> Outcome {
    let order = Webhook::sign(world, 2012, &world.secrets).await?;
    order.expect(world, 200, "accepted").await?;
    let body = talk::status(world, &world.message(2012, AT_ONCE).await?, "failed")?;
    talk::post(world, &talk::sign(world, &body).await?).await?;
    let line = until("the line in Slack", AT_ONCE, async || {
        let line = world.told.slack.lines().pop();
        Ok(line.ok_or_else(|| "there is none".to_owned()))
    })
    .await?;
    let expected = format!("<!here> order-confirmed: {}", talk::UNDELIVERABLE);
    let text = line["text"].as_str().unwrap_or_default();
    ensure(text.starts_with(&expected), || {
        format!("the line reads {text}")
    })?;
    delivery(world, 2012, "failed").await
}

/// `callbell jobs show` says of an order's message that this became of it.
async fn delivery(world: &World, number: u32, what: &str) -> Outcome {
    let job = world.job(number, "sent", AT_ONCE).await?;
    until("the message's delivery", AT_ONCE, async || {
        let shown = world.shown(&job).await?;
        let is_so = shown["delivery"] == what && shown["status"] == "sent";
        Ok(if is_so {
            Ok(())
        } else {
            Err(shown.to_string())
        })
    })
    .await
}

/// A changed word is in the messages within a minute, from the very processes that ran before.
pub(crate) async fn a_push(world: &World) -> Outcome {
    let functions = || {
        let all = functions_of(world.cloud.ministack.id());
        let ids = all
            .into_iter()
            .filter(|function| function.name.contains("Deliver"));
        ids.map(|function| function.id).collect::<Vec<_>>()
    };
    let before = functions();
    let text = std::fs::read_to_string(&world.automations).during("the automations")?;
    let (old, new) = (
        "\"{{ order.items | summary }}\"",
        "\"{{ order.items | summary }} — obrigada\"",
    );
    ensure(text.contains(old), || format!("the example has no {old}"))?;
    std::fs::write(&world.automations, text.replace(old, new)).during("the automations")?;
    world.push(&world.automations).await?;
    let mut numbers = 2100..2200;
    until_slowly("the changed word in a message", A_MINUTE, async || {
        let number = numbers.next().during("more orders than expected")?;
        let order = Webhook::sign(world, number, &world.secrets).await?;
        order.expect(world, 200, "accepted").await?;
        let text = world
            .message(number, AT_ONCE)
            .await?
            .text
            .unwrap_or_default();
        Ok(if text.contains("Boné — obrigada.") {
            Ok(())
        } else {
            Err(text)
        })
    })
    .await?;
    let after = functions();
    let same = !before.is_empty() && before.iter().all(|id| after.contains(id));
    ensure(same, || {
        format!("the functions were started anew: {before:?}, then {after:?}")
    })
}

/// Two secrets are accepted while both are listed, and the old one no longer once it is removed.
pub(crate) async fn a_rotated_secret(world: &World) -> Outcome {
    let (both, new) = (world.file("both.toml"), world.file("new.toml"));
    write_secrets(&both, &[NEW_SECRET, OLD_SECRET])?;
    write_secrets(&new, &[NEW_SECRET])?;
    world.push_secrets(&both).await?;
    let with_new = Webhook::sign(world, 2004, &new).await?;
    until_slowly("the new secret is accepted", A_MINUTE, async || {
        let answer = with_new.post(world).await?;
        Ok(if answer.status == 200 {
            Ok(())
        } else {
            Err(answer.body)
        })
    })
    .await?;
    let with_old = Webhook::sign(world, 2005, &world.secrets).await?;
    with_old.expect(world, 200, "accepted").await?;

    world.push_secrets(&new).await?;
    // The door reads its secrets again when a signature fails, so one has to.
    let wrong = Webhook::sign(world, 2006, &new).await?.tampered();
    let with_old = Webhook::sign(world, 2007, &world.secrets).await?;
    until_slowly("the old secret is refused", A_MINUTE, async || {
        wrong.expect(world, 401, "").await?;
        let answer = with_old.post(world).await?;
        Ok(if answer.status == 401 {
            Ok(())
        } else {
            Err(answer.body)
        })
    })
    .await?;
    let with_new = Webhook::sign(world, 2008, &new).await?;
    with_new.expect(world, 200, "accepted").await?;
    write_secrets(&world.secrets, &[NEW_SECRET])
}

/// The door is killed after the event was stored and before it can answer: the shop hears of a failure,
/// sends the webhook again, and one message goes out.
pub(crate) async fn a_killed_door(world: &World) -> Outcome {
    let group = world.cloud.ministack.id();
    let paid = "shopify/order/6171000002009/paid";
    world.cloud.wire.when_stored(paid, move || {
        let all = functions_of(group).into_iter();
        all.filter(|function| function.name.contains("Orders"))
            .for_each(|function| function.kill());
    });
    let order = Webhook::sign(world, 2009, &world.secrets).await?;
    let answer = order.post(world).await?;
    ensure(!world.cloud.wire.is_waiting(), || {
        "no event was stored".to_owned()
    })?;
    ensure(answer.status >= 500, || {
        format!(
            "the killed door's webhook got {} {}",
            answer.status, answer.body
        )
    })?;
    let stored = world.events(2009).await?;
    ensure(stored.iter().any(|key| key == paid), || {
        format!("only {stored:?} was stored")
    })?;
    order.expect(world, 200, "").await?;
    world.is_delivered_once(2009).await
}

/// A form is filled in, a person comes into being at Salesforce, which wants its own answer, and one at HubSpot,
/// whose webhook names nobody: each reads a message, once.
pub(crate) async fn leads(world: &World) -> Outcome {
    let (file, phone) = elsewhere::FORM;
    let form = elsewhere::sample(world, file).await?;
    form.expect(world, 200, "accepted").await?;
    let message = world.message_to(phone, AT_ONCE).await?;
    ensure(
        message
            .text
            .as_deref()
            .unwrap_or_default()
            .contains("Pilates"),
        || format!("the message reads {:?}", message.text),
    )?;
    form.expect(world, 200, "duplicate").await?;
    let (file, phone) = elsewhere::SALESFORCE;
    let contact = elsewhere::sample(world, file).await?;
    for _ in 0..2 {
        elsewhere::is_acknowledged(world, &contact).await?;
    }
    world.message_to(phone, AT_ONCE).await?;
    let lead = elsewhere::at_hubspot(world).await?;
    lead.expect(world, 200, "accepted").await?;
    lead.expect(world, 200, "duplicate").await?;
    world.message_to(elsewhere::HUBSPOT_PHONE, AT_ONCE).await?;
    let jobs = world.jobs_of("/lead/").await?;
    ensure(jobs.len() == 2, || format!("{jobs:?}"))
}

/// An ERP posts the same twice, and somebody else with a token of their own.
pub(crate) async fn an_erp(world: &World) -> Outcome {
    elsewhere::of_erp("e2eMistypedBearer")
        .expect(world, 401, "refused")
        .await?;
    let posted = elsewhere::of_erp(ERP_SECRET);
    let answer = posted.post(world).await?;
    let event = elsewhere::named(&answer.body);
    ensure(
        answer.status == 200 && event.starts_with("erp/posted/"),
        || format!("the ERP got {} {}", answer.status, answer.body),
    )?;
    let message = world.message_to(elsewhere::ERP_PHONE, AT_ONCE).await?;
    ensure(
        message.body["template_values"][1] == "R$\u{a0}129,90",
        || format!("the message is {}", message.body),
    )?;
    posted.expect(world, 200, "duplicate").await?;
    let jobs = world.jobs_of("erp/custom/").await?;
    ensure(jobs.len() == 1, || format!("{jobs:?}"))
}

/// An event whose stream record was lost is found by the minute's sweep.
pub(crate) async fn a_lost_record(world: &World) -> Outcome {
    stream(world, false).await?;
    let order = Webhook::sign(world, 2010, &world.secrets).await?;
    let posted = Timestamp::now();
    order.expect(world, 200, "accepted").await?;
    let message = world.message(2010, A_SWEEP).await?;
    let took = message.at.duration_since(posted);
    ensure(took > SignedDuration::from_mins(1), || {
        format!("the message took {took:#}: the record was not lost")
    })?;
    stream(world, true).await?;
    let order = Webhook::sign(world, 2011, &world.secrets).await?;
    order.expect(world, 200, "accepted").await?;
    world.is_delivered_once(2011).await?;
    world.is_delivered_once(2010).await
}

/// Turns the table's stream to the worker on or off; the chatbot has one of its own. What comes while it is
/// off is read when it is on again.
async fn stream(world: &World, on: bool) -> Outcome {
    let aws = &world.cloud.aws;
    let worker = stack::arn(aws, "Deliver").await?;
    let mappings = aws
        .ask("lambda", "list_event_source_mappings", json!({}))
        .await?;
    let mappings = mappings["EventSourceMappings"].as_array();
    let mut mappings = mappings.into_iter().flatten();
    let mapping = mappings.find(|mapping| mapping["FunctionArn"] == worker.as_str());
    let mapping = mapping.during(format_args!("no event source mapping leads to {worker}"))?;
    let uuid = &mapping["UUID"];
    let change = json!({ "UUID": uuid, "Enabled": on });
    aws.ask("lambda", "update_event_source_mapping", change)
        .await?;
    let wanted = if on { "Enabled" } else { "Disabled" };
    until("the event source mapping", AT_ONCE, async || {
        let question = json!({ "UUID": uuid });
        let state = aws
            .ask("lambda", "get_event_source_mapping", question)
            .await?;
        let state = state["State"].as_str().unwrap_or_default().to_owned();
        Ok(if state == wanted { Ok(()) } else { Err(state) })
    })
    .await
}

/// The logs of the worker and of the chatbot have their figures as CloudWatch reads them: every job that was
/// done is counted once, each message's among them, and the minute tells how old the oldest due work is, also
/// where there is none.
pub(crate) async fn metrics(world: &World) -> Outcome {
    let jobs = world.jobs_of("").await?.into_iter();
    let done: Vec<Value> = jobs.filter(|job| job["status"] == "sent").collect();
    let sent = done.iter().filter(|job| job["message_uuid"].is_string());
    let (sent, accepted) = (sent.count(), world.stand_in.messages().len());
    ensure(sent == accepted, || {
        format!("{sent} jobs have a message, and Callbell accepted {accepted}")
    })?;
    let done = done.len() as u64;
    until("every job in the metrics", AT_ONCE, async || {
        let (of_worker, of_chatbot) = (
            figures(world, "deliver").await?,
            figures(world, "reply").await?,
        );
        let count = |lines: &[Value]| -> u64 {
            let counts = lines.iter().filter_map(|line| line["JobsSent"].as_u64());
            counts.sum()
        };
        let (by_worker, by_chatbot) = (count(&of_worker), count(&of_chatbot));
        let ages = of_worker
            .iter()
            .filter(|line| line["OldestDueAge"].is_u64());
        Ok(
            match (by_worker + by_chatbot == done, by_chatbot, ages.count()) {
                (true, 1, 1..) => Ok(()),
                (_, _, ages) => Err(format!(
                    "{by_worker} and {by_chatbot} of {done} jobs are counted, {ages} lines have an age"
                )),
            },
        )
    })
    .await
}

/// The lines of a function that CloudWatch reads as this stack's metrics.
async fn figures(world: &World, function: &str) -> Outcome<Vec<Value>> {
    let lines = logs::lines(world, function).await?;
    let lines: Vec<Value> = lines
        .iter()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|line: &Value| {
            let metrics = &line["_aws"]["CloudWatchMetrics"][0];
            metrics["Namespace"] == NAMESPACE && metrics["Dimensions"] == json!([[DIMENSION]])
        })
        .collect();
    ensure(lines.iter().all(|line| line[DIMENSION] == STACK), || {
        "a metric is another stack's".to_owned()
    })?;
    Ok(lines)
}

/// No order and no person was told of or answered twice, nobody is in HubSpot twice or was written there
/// again, and the team read no line twice.
pub(crate) fn nothing_twice(world: &World) -> Outcome {
    let messages = world.stand_in.messages();
    let messages = messages.iter().map(|message| {
        let about = &message.body["template_values"][1];
        match about.is_null() {
            true => format!("{} {:?}", message.body["to"], message.text),
            false => about.to_string(),
        }
    });
    let contacts = world.in_hubspot();
    let changed = contacts
        .iter()
        .find(|contact| contact["createdAt"] != contact["updatedAt"]);
    ensure(changed.is_none(), || format!("written again: {changed:?}"))?;
    let contacts = contacts.iter().map(|contact| {
        let phone = &contact["properties"]["phone"];
        format!("{phone} in HubSpot")
    });
    let lines = world.told.slack.lines();
    let lines = lines.iter().map(|line| line["text"].to_string());
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for one in messages.chain(contacts).chain(lines) {
        *counts.entry(one).or_default() += 1;
    }
    let twice: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).collect();
    ensure(twice.is_empty(), || format!("more than once: {twice:?}"))
}
