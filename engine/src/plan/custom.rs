//! What a post of a system of the user's own is: the expressions of its `[source.x]`, which no door knows, make
//! `custom.received` of it.

use serde_json::Value;
use shared::event::{
    Body, Customer, Event, Head, Name, PhoneCandidate, Subject, SubjectKind, TEXT_CHARS_MAX,
};
use shared::sources::webhook;
use shared::store::Digests;

use super::Known;
use crate::automations::context::Scope;
use crate::automations::locale::Home;
use crate::automations::model::{Automations, Posts};
use crate::automations::posts::{self, Said};

/// Most elements of one post.
const ELEMENTS_MAX: usize = 100;

/// Most elements that are looked through for the people whose data they are, where they make no event.
const PEOPLE_ELEMENTS_MAX: usize = 1_000;

/// Last digits of a number that make it somebody's where they are in a key: it may be there with its country and
/// area, or without.
const NUMBER_DIGITS: usize = 8;
/// Fewest characters that count as somebody's name where they are in a key.
const NAME_CHARS_MIN: usize = 4;

/// What a post is.
#[derive(Debug, Default, PartialEq)]
pub struct Read {
    /// One an element that has a key.
    pub events: Vec<Event>,
    /// Why the others are none, in words that repeat nothing of the body.
    pub problems: Vec<String>,
}

/// Reads a `custom.posted`.
pub fn read(posted: &Event, automations: &Automations) -> Read {
    let Body::Custom { data } = &posted.body else {
        return Read::default();
    };
    let name = &posted.event.source;
    let table = automations.sources.get(name);
    let Some(posts) = table.and_then(|table| table.posts.as_ref()) else {
        return none(format!(
            "there is no [source.{name}] with a key: nothing says what it is"
        ));
    };
    let over = over(posted, automations);
    let elements = match posts::elements(posts, data, &over) {
        Ok(elements) if elements.len() > ELEMENTS_MAX => {
            let count = elements.len();
            return none(format!(
                "each: {count} elements, more than {ELEMENTS_MAX}: nothing is done"
            ));
        }
        Ok(elements) if elements.is_empty() => {
            return none("each: the list is empty".to_owned());
        }
        Ok(elements) => elements,
        Err(why) => return none(why),
    };
    let country = table.and_then(|table| table.place.country.as_deref());
    let mut read = Read::default();
    for (index, element) in elements.into_iter().enumerate() {
        match posts::said(posts, &element, &over) {
            Ok(said) => {
                let event = received(posted, posts, said, country, element);
                // Twice in one post is once.
                if !read.events.iter().any(|one| one.event.id == event.event.id) {
                    read.events.push(event);
                }
            }
            Err(why) if posts.each.is_some() => {
                read.problems.push(format!("element {}: {why}", index + 1));
            }
            Err(why) => read.problems.push(why),
        }
    }
    read
}

fn none(problem: String) -> Read {
    Read {
        events: Vec::new(),
        problems: vec![problem],
    }
}

/// Whose data a post holds, for an erasure: of all its elements, those too that make no event, since the post's
/// row keeps them all the same.
pub fn digests(posted: &Event, automations: &Automations) -> Digests {
    let Body::Custom { data } = &posted.body else {
        return Digests::new();
    };
    let table = automations.sources.get(&posted.event.source);
    let Some((table, posts)) = table.and_then(|table| Some((table, table.posts.as_ref()?))) else {
        return Digests::new();
    };
    let over = over(posted, automations);
    // A body without elements may be the one element itself.
    let elements = posts::elements(posts, data, &over).unwrap_or_default();
    let elements = match elements.is_empty() {
        true => std::slice::from_ref(data),
        false => elements.as_slice(),
    };
    let looked = elements.iter().take(PEOPLE_ELEMENTS_MAX);
    looked.fold(Digests::new(), |all, element| {
        let said = posts::person(posts, element, &over);
        let country = table.place.country.as_deref();
        let event = received(posted, posts, said, country, Value::Null);
        all.and(&Known::new(event, automations).digests())
    })
}

/// What makes the scope of some data of a post.
fn over(posted: &Event, automations: &Automations) -> impl Fn(&Value) -> Scope {
    |data: &Value| {
        let event = Event {
            event: posted.event.clone(),
            customer: posted.customer.clone(),
            subject: posted.subject.clone(),
            body: Body::Custom { data: data.clone() },
        };
        Scope::new(automations, &Home::of(automations, &event, None), &event).over_data()
    }
}

/// The event of one element.
fn received(
    posted: &Event,
    posts: &Posts,
    said: Said,
    country: Option<&str>,
    data: Value,
) -> Event {
    let head = &posted.event;
    let at = said.at.unwrap_or(head.at);
    let id = webhook::received_key(&head.source, &impersonal(&said));
    let cut = |text: String| text.chars().take(TEXT_CHARS_MAX).collect::<String>();
    let candidate = posts.phone.as_ref().map(|path| PhoneCandidate {
        path: path.0.clone(),
        number: said.phone.map(cut),
        country: country.map(str::to_owned),
    });
    let subject = id.strip_prefix(&format!(
        "{}/{}/",
        head.source,
        SubjectKind::Custom.as_str()
    ));
    let subject = Subject::new(SubjectKind::Custom, subject.unwrap_or(&id), at);
    Event {
        event: Head {
            name: Name::CustomReceived,
            id,
            at,
            notes: said.notes,
            ..head.clone()
        },
        customer: Customer {
            name: said.name.map(cut),
            email: said.email,
            locale: said.locale,
            phones: candidate.into_iter().collect(),
            ..Customer::default()
        },
        subject,
        body: Body::Custom { data },
    }
}

/// The key, or its digest where it names the person: an event's id goes into logs.
fn impersonal(said: &Said) -> String {
    let digits = |text: &str| {
        text.chars()
            .filter(char::is_ascii_digit)
            .collect::<String>()
    };
    let phone = said.phone.as_deref().map(digits).unwrap_or_default();
    // Digits are a byte each.
    let last = phone.len().checked_sub(NUMBER_DIGITS);
    let last = last.and_then(|start| phone.get(start..));
    let by_phone = last.is_some_and(|last| digits(&said.key).contains(last));
    let key = said.key.to_lowercase();
    let by_email = said.email.as_ref().is_some_and(|email| key.contains(email));
    let name = folded(said.name.as_deref().unwrap_or_default());
    let by_name = name.chars().count() >= NAME_CHARS_MIN && folded(&key).contains(&name);
    if by_phone || by_email || by_name {
        return webhook::digest(&said.key);
    }
    said.key.clone()
}

/// A name without what stands between its parts: `maria-da_silva` is Maria da Silva.
fn folded(text: &str) -> String {
    let between = |c: char| c.is_whitespace() || matches!(c, '-' | '_' | '.');
    text.to_lowercase().replace(between, "")
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shared::connections::{Auth, Connection};
    use shared::sources::{Reading, read_file};

    use super::*;

    fn file(table: &str) -> Automations {
        let text = format!(
            "[defaults]\ncountry = \"BR\"\ntimezone = \"America/Sao_Paulo\"\n[source.erp]\nkind = \"webhook\"\n{table}\n"
        );
        crate::automations::parse(&text).expect("a right file")
    }

    fn posted(body: &Value) -> Event {
        let connection = Connection {
            kind: webhook::KIND.to_owned(),
            auth: Some(Auth::Bearer),
            ..Connection::plain("erp")
        };
        let now = "2026-11-22T14:00:00Z".parse().unwrap();
        let bytes = body.to_string().into_bytes();
        let reading = read_file(
            &webhook::Webhook,
            &connection,
            Default::default(),
            bytes,
            now,
        );
        match reading {
            Ok(Reading::Events(mut events)) => events.remove(0),
            other => panic!("{other:?}"),
        }
    }

    fn ids(read: &Read) -> Vec<&str> {
        read.events
            .iter()
            .map(|event| event.event.id.as_str())
            .collect()
    }

    const ERP: &str = "key = \"data.numero ~ '/' ~ data.tipo\"\nphone = \"data.cliente.celular\"\nname = \"data.cliente.nome\"\n\
        email = \"data.cliente.email\"\nat = \"data.emitida_em\"";

    #[test]
    fn a_post_becomes_an_event_under_its_own_key() {
        let file = file(ERP);
        let body = json!({"numero": "4711", "tipo": "nota_emitida", "emitida_em": "2026-11-22T10:00:00",
            "cliente": {"nome": "MARIA DA SILVA", "celular": "11 98010-0001", "email": "M@example.com"}});
        let read = read(&posted(&body), &file);
        assert!(read.problems.is_empty(), "{:?}", read.problems);
        assert_eq!(ids(&read), ["erp/custom/4711/nota_emitida"]);
        let event = &read.events[0];
        assert_eq!(event.subject.id, "4711/nota_emitida");
        assert_eq!(event.event.at.to_string(), "2026-11-22T13:00:00Z");
        assert_eq!(event.event.name, Name::CustomReceived);
        assert_eq!(event.customer.email.as_deref(), Some("m@example.com"));
        assert!(event.body == Body::Custom { data: body });
        let known = Known::new(event.clone(), &file);
        assert_eq!(
            known.event.customer.phone.as_deref(),
            Some("+5511980100001")
        );
        assert_eq!(known.event.customer.first_name.as_deref(), Some("Maria"));
        assert_eq!(event.customer.phones[0].path, "data.cliente.celular");
    }

    #[test]
    fn a_phone_is_read_in_the_source_s_own_country() {
        let file = file(&format!("{ERP}\ncountry = \"IT\""));
        let body = json!({"numero": 1, "tipo": "x", "cliente": {"celular": "347 123 4567"}});
        let read = read(&posted(&body), &file);
        let known = Known::new(read.events[0].clone(), &file);
        assert_eq!(known.event.customer.phone.as_deref(), Some("+393471234567"));
        // Without one, the reason says where it was looked for.
        let body = json!({"numero": 1, "tipo": "x"});
        let read = super::read(&posted(&body), &file);
        let known = Known::new(read.events[0].clone(), &file);
        let why = known.phone.unwrap_err().to_string();
        assert!(why.contains("data.cliente.celular"), "{why}");
    }

    #[test]
    fn each_element_of_a_list_is_an_event() {
        let table = "each = \"data.pedidos\"\nkey = \"data.id\"";
        let file = file(table);
        let body = json!({"pedidos": [{"id": 1}, {"id": 2}, {"numero": 3}, {"id": 1}, 5]});
        let read = read(&posted(&body), &file);
        assert_eq!(ids(&read), ["erp/custom/1", "erp/custom/2"]);
        assert!(
            read.events[1].body
                == Body::Custom {
                    data: json!({"id": 2})
                }
        );
        assert_eq!(
            read.problems,
            [
                "element 3: key: data.id is absent",
                "element 5: key: data.id is absent"
            ]
        );
        for (body, why) in [
            (json!({"pedidos": {}}), "each: data.pedidos is no list"),
            (json!({}), "each: data.pedidos is absent"),
            (json!({"pedidos": []}), "each: the list is empty"),
            (
                json!({"pedidos": vec![json!({"id": 1}); 101]}),
                "each: 101 elements, more than 100: nothing is done",
            ),
        ] {
            assert_eq!(super::read(&posted(&body), &file), none(why.to_owned()));
        }
    }

    #[test]
    fn whoever_is_in_a_post_is_known_though_nothing_is_made_of_it() {
        let of = |table: &str, body: &Value| {
            let file = file(&format!(
                "{table}\nkey = \"data.id\"\nphone = \"data.fone\"\nemail = \"data.email\""
            ));
            digests(&posted(body), &file)
        };
        let maria = Digests::new().phone("+5511980100001");
        let joao = Digests::new().email("joao@example.com");
        let of_maria = json!({"fone": "11 98010-0001"});
        let of_joao = json!({"email": "Joao@example.com", "fone": "x"});
        assert!(of("", &of_maria) == maria);
        assert!(of("", &json!({"fone": " "})).is_empty());
        let each = "each = \"data.a\"";
        let all = json!({"a": [{"id": 1}, of_maria, 5, {"id": 1, "email": "joao@example.com"}]});
        assert!(of(each, &all) == maria.clone().and(&joao));
        assert!(of(each, &of_maria) == maria);
        let mut many = vec![of_maria; PEOPLE_ELEMENTS_MAX - 1];
        many.push(of_joao.clone());
        assert!(of(each, &json!({"a": many})) == maria.clone().and(&joao));
        many.insert(0, json!({"id": 1}));
        assert!(of(each, &json!({"a": many})) == maria);
        let mut none = file("key = \"data.id\"");
        none.sources.clear();
        assert!(digests(&posted(&of_joao), &none).is_empty());
    }

    #[test]
    fn without_a_table_nothing_is_done() {
        let mut file = file("key = \"data.id\"");
        file.sources.clear();
        let read = read(&posted(&json!({"id": 1})), &file);
        let why = "there is no [source.erp] with a key: nothing says what it is";
        assert_eq!(read, none(why.to_owned()));
    }

    #[test]
    fn no_person_is_in_a_key() {
        let file = file(
            "key = \"data.k\"\nphone = \"data.fone\"\nname = \"data.nome\"\nemail = \"data.email\"",
        );
        for (key, is_kept) in [
            ("4711", true),
            ("pedido-5511980100001", false),
            ("pedido-11980100001", false),
            ("980100001", false),
            ("8010-0001", false),
            ("pedido-80100002", true),
            ("maria-da-silva/4711", false),
            ("Maria_da.Silva", false),
            ("mariadasilva", false),
            ("maria/4711", true),
            ("Maria da Silva", false),
            ("x:maria@example.com", false),
        ] {
            let body = json!({"k": key, "fone": "55 11 98010-0001", "nome": "Maria da Silva", "email": "maria@example.com"});
            let read = read(&posted(&body), &file);
            let kept = ids(&read) == [format!("erp/custom/{key}")];
            assert_eq!(kept, is_kept, "{key}: {:?}", ids(&read));
        }
    }
}
