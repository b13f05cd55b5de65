//! What a post of a system of the user's own says: the expressions of its `[source.x]` over its body.
//!
//! A problem names fields and kinds of values, never a value.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};
use shared::event::TEXT_CHARS_MAX;

use super::context::Scope;
use super::expr::{self, is_absent, kind, printed};
use super::model::{Expr, Posts};
use super::parse::places;
use super::{syntax, times};

/// A number from here on counts milliseconds since 1970, a smaller one seconds.
const MILLIS_MIN: i64 = 100_000_000_000;

/// What stands for a phone in an example: nobody's number, and no number at all.
const PHONE: &str = "YOUR OWN NUMBER";

/// What is read from one body, or one element of it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// What makes it the same event again.
    pub key: String,
    /// As it is written there.
    pub phone: Option<String>,
    /// The whole name.
    pub name: Option<String>,
    /// Small letters.
    pub email: Option<String>,
    /// BCP 47.
    pub locale: Option<String>,
    /// When it happened.
    pub at: Option<Timestamp>,
    /// What could not be read and was left out.
    pub notes: Vec<String>,
}

/// The elements of the body that are an event each; without `each` the body itself. `over` makes the scope of
/// some data.
///
/// # Errors
/// Why there are none.
pub fn elements(
    posts: &Posts,
    data: &Value,
    over: &impl Fn(&Value) -> Scope,
) -> Result<Vec<Value>, String> {
    let Some(each) = &posts.each else {
        return Ok(vec![data.clone()]);
    };
    let label = |why: String| format!("each: {why}");
    // What is named outright stays as it was posted: no number is written anew.
    if let Some(value) = outright(each, data) {
        return match value {
            Value::Array(list) => Ok(list.clone()),
            Value::Null => Err(label(format!("{} is absent", each.0))),
            _ => Err(label(format!("{} is no list", each.0))),
        };
    }
    let scope = over(data);
    let value = expr::eval_value(each, &scope).map_err(|error| label(error.to_string()))?;
    if is_absent(&value) {
        return Err(label(absent(each, &scope)));
    }
    match expr::typed(&value) {
        Value::Array(list) => Ok(list),
        _ => Err(label(format!("gives {}, no list", kind(&value)))),
    }
}

/// What one element says.
///
/// # Errors
/// Why it is no event: it has no key.
pub fn said(posts: &Posts, data: &Value, over: &impl Fn(&Value) -> Scope) -> Result<Said, String> {
    let scope = over(data);
    let mut said = Said {
        key: key(&posts.key, &scope).map_err(|why| format!("key: {why}"))?,
        ..Said::default()
    };
    let mut notes = Vec::new();
    let mut read = |name: &str, expr: Option<&Expr>| {
        let text = text(expr?, &scope);
        text.unwrap_or_else(|why| {
            notes.push(format!("{name}: {why}"));
            None
        })
    };
    said.phone = read("phone", posts.phone.as_ref());
    said.name = read("name", posts.name.as_ref());
    let email = read("email", posts.email.as_ref());
    let locale = read("locale", posts.locale.as_ref());
    let at = read("at", posts.at.as_ref());
    let mut understood = |name: &str, what: &str, is_there: bool, is_read: bool| {
        if is_there && !is_read {
            notes.push(format!("{name} is no {what}"));
        }
    };
    said.email = email.as_deref().and_then(address);
    understood("email", "address", email.is_some(), said.email.is_some());
    let tag = |text: &String| places::locale(&text.replace('_', "-")).ok();
    said.locale = locale.as_ref().and_then(tag);
    understood("locale", "locale", locale.is_some(), said.locale.is_some());
    said.at = at.as_deref().and_then(|text| instant(text, scope.zone()));
    understood(
        "at",
        "time: it counts as when it was posted",
        at.is_some(),
        said.at.is_some(),
    );
    said.notes = notes;
    Ok(said)
}

/// Whose data an element is, though it is no event: what an erasure is found by.
pub fn person(posts: &Posts, data: &Value, over: &impl Fn(&Value) -> Scope) -> Said {
    let scope = over(data);
    let read = |expr: Option<&Expr>| text(expr?, &scope).ok().flatten();
    Said {
        phone: read(posts.phone.as_ref()),
        email: read(posts.email.as_ref()).as_deref().and_then(address),
        ..Said::default()
    }
}

/// The key; an absent field that it hangs on leaves none, or half of the others would be the same event.
fn key(expr: &Expr, scope: &Scope) -> Result<String, String> {
    let value = text(expr, scope)?;
    match expr.lacks(scope) {
        Some(part) => Err(format!("{part} is absent")),
        None => value.ok_or_else(|| absent(expr, scope)),
    }
}

fn is_there(scope: &Scope, path: &str) -> bool {
    let value = scope.field(path);
    !is_absent(&value) && !printed(&value).trim().is_empty()
}

/// Puts a value where the path leads.
fn put(data: &mut Value, path: &str, value: Value) {
    let mut place = data;
    for name in path.split('.').skip(1) {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        let Value::Object(table) = place else { return };
        place = table.entry(name).or_insert(Value::Null);
    }
    *place = value;
}

/// A body that these expressions can read, with a stand-in for the phone: it is to be tried out.
pub fn example(posts: &Posts) -> Value {
    let mut element = Value::Object(Map::new());
    let mut fill = |expr: Option<&Expr>, value: &str| {
        let paths = expr.map(paths).unwrap_or_default();
        for path in paths.iter().filter(|path| !path.contains('[')) {
            put(&mut element, path, Value::from(value));
        }
    };
    fill(posts.name.as_ref(), "Maria");
    fill(posts.phone.as_ref(), PHONE);
    fill(Some(&posts.key), "1");
    let Some(each) = &posts.each else {
        return element;
    };
    let mut body = Value::Object(Map::new());
    let path = paths(each).into_iter().next().unwrap_or_default();
    put(&mut body, &path, Value::Array(vec![element]));
    body
}

/// Every field that an expression names.
fn paths(expr: &Expr) -> Vec<String> {
    let found = syntax::expression(&expr.0).unwrap_or_default();
    found.fields.into_iter().map(|field| field.path).collect()
}

/// The first field of an expression that is absent, in words.
fn absent(expr: &Expr, scope: &Scope) -> String {
    match paths(expr).into_iter().find(|path| !is_there(scope, path)) {
        Some(path) => format!("{path} is absent"),
        None => "comes out blank".to_owned(),
    }
}

/// A value as a text; `None`: absent or blank.
fn text(expr: &Expr, scope: &Scope) -> Result<Option<String>, String> {
    let value = expr::eval_value(expr, scope).map_err(|error| error.to_string())?;
    match expr::typed(&value) {
        Value::Array(_) | Value::Object(_) => Err(format!("gives {}, no text", kind(&value))),
        _ => {
            let text = printed(&value).trim().to_owned();
            Ok((!text.is_empty()).then_some(text))
        }
    }
}

/// The value of an expression that is nothing but a path.
fn outright<'v>(expr: &Expr, data: &'v Value) -> Option<&'v Value> {
    let mut parts = expr.0.trim().split('.');
    let is_name = |part: &str| {
        let plain = |c: char| c.is_alphanumeric() || c == '_';
        !part.is_empty() && part.chars().all(plain)
    };
    if parts.next()? != "data" || !parts.clone().all(is_name) {
        return None;
    }
    Some(parts.fold(data, |value, name| value.get(name).unwrap_or(&Value::Null)))
}

/// An e-mail address in small letters.
fn address(text: &str) -> Option<String> {
    let (local, host) = text.split_once('@')?;
    let fits = !local.is_empty()
        && host.contains('.')
        && !host.contains('@')
        && !text.contains(char::is_whitespace)
        && text.chars().count() <= TEXT_CHARS_MAX;
    fits.then(|| text.to_lowercase())
}

/// ISO 8601, a date or a wall clock in `zone`, or seconds or milliseconds since 1970.
fn instant(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    if let Ok(number) = text.parse::<i64>() {
        return match number.abs() < MILLIS_MIN {
            true => Timestamp::from_second(number).ok(),
            false => Timestamp::from_millisecond(number).ok(),
        };
    }
    let fraction = text.parse::<f64>().ok().filter(|number| number.is_finite());
    if let Some(seconds) = fraction {
        let since = jiff::SignedDuration::try_from_secs_f64(seconds).ok()?;
        return Timestamp::from_duration(since).ok();
    }
    times::read_instant(text, zone)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::locale::Home;
    use super::super::testing::automations;
    use super::*;

    fn posts(key: &str) -> Posts {
        Posts {
            key: Expr(key.to_owned()),
            phone: None,
            name: None,
            email: None,
            locale: None,
            at: None,
            each: None,
        }
    }

    fn over(data: &Value) -> Scope {
        let file = automations();
        let now = "2026-11-22T12:00:00Z".parse().unwrap();
        let mut event = super::super::samples::sample(
            shared::event::Name::CustomReceived,
            super::super::samples::Kind::Full,
            now,
            [],
        );
        event.body = shared::event::Body::Custom { data: data.clone() };
        Scope::new(&file, &Home::of(&file, &event, None), &event).over_data()
    }

    fn read(posts: &Posts, data: &Value) -> Result<Said, String> {
        said(posts, data, &over)
    }

    #[test]
    fn a_key_hangs_on_each_of_its_fields() {
        let both = "data.numero ~ '/' ~ data.tipo";
        let choice = "data.id if data.id else data.numero";
        let default = "data.id | default(data.numero)";
        let rows = [
            (
                both,
                json!({"numero": 4711, "tipo": "nota"}),
                Ok("4711/nota"),
            ),
            (
                both,
                json!({"numero": "4711"}),
                Err("key: data.tipo is absent"),
            ),
            (
                both,
                json!({"numero": " ", "tipo": "nota"}),
                Err("key: data.numero is absent"),
            ),
            (
                both,
                json!({"numero": null, "tipo": "nota"}),
                Err("key: data.numero is absent"),
            ),
            (both, json!({"numero": [1], "tipo": "nota"}), Ok("[1]/nota")),
            (both, json!([]), Err("key: data.numero is absent")),
            (choice, json!({"id": "a"}), Ok("a")),
            (choice, json!({"numero": "b"}), Ok("b")),
            (choice, json!({}), Err("key: data.numero is absent")),
            (default, json!({"id": "a"}), Ok("a")),
            (default, json!({"numero": 1.5}), Ok("1.5")),
            (default, json!({}), Err("key: data.numero is absent")),
            ("data.a.b.c", json!({"a": {"b": {"c": true}}}), Ok("true")),
            (
                "data.a.b.c",
                json!({"a": "x"}),
                Err("key: data.a.b.c is absent"),
            ),
            (
                "data['um dois']",
                json!({"um dois": 9_007_199_254_740_993_i64}),
                Ok("9007199254740993"),
            ),
            (
                "data.a",
                json!({"a": {"b": 1}}),
                Err("key: gives a table, no text"),
            ),
            (
                "data.a",
                json!({"a": []}),
                Err("key: gives a list, no text"),
            ),
            ("data.a - 1", json!({"a": "x"}), Err("key: ")),
        ];
        for (key, data, expected) in rows {
            let found = read(&posts(key), &data).map(|said| said.key);
            match expected {
                Ok(expected) => assert_eq!(found.as_deref(), Ok(expected), "{key} {data}"),
                Err(why) => {
                    let found = found.expect_err(key);
                    assert!(found.starts_with(why), "{key} {data}: {found}");
                }
            }
        }
    }

    /// However a field is named, without it there is no key.
    #[test]
    fn a_key_hangs_on_places_and_quoted_names_too() {
        let place = "data.items[0].id ~ '/' ~ data.tipo";
        let first = "(data.items | first).id ~ '/' ~ data.tipo";
        let joined = "[data.id, data.tipo] | join('/')";
        let choice = "data.id | default(data.numero) ~ '/' ~ data.tipo";
        let either = "(data.id or data.numero) ~ '/' ~ data.tipo";
        let nota = json!({"tipo": "nota"});
        let items = json!({"items": [{"id": 7}], "tipo": "nota"});
        let numero = json!({"numero": 8, "tipo": "nota"});
        let rows = [
            (place, &items, Ok("7/nota")),
            (place, &nota, Err("key: data.items[0].id is absent")),
            (
                place,
                &json!({"items": [], "tipo": "nota"}),
                Err("key: data.items[0].id is absent"),
            ),
            (first, &items, Ok("7/nota")),
            (first, &nota, Err("key: ")),
            (
                "data['a.b'] ~ '/' ~ data.tipo",
                &json!({"a.b": 1, "tipo": "nota"}),
                Ok("1/nota"),
            ),
            (
                "data['a.b'] ~ '/' ~ data.tipo",
                &json!({"a": {"b": 1}, "tipo": "nota"}),
                Err("key: data['a.b'] is absent"),
            ),
            (joined, &json!({"id": 1, "tipo": "nota"}), Ok("1/nota")),
            (joined, &nota, Err("key: data.id is absent")),
            (choice, &numero, Ok("8/nota")),
            (choice, &nota, Err("key: data.numero is absent")),
            (either, &numero, Ok("8/nota")),
            (either, &nota, Err("key: data.numero is absent")),
            ("data.tipo ~ data.sufixo | default('')", &nota, Ok("nota")),
            (
                "(data.id ~ '/' ~ data.tipo) | upper",
                &nota,
                Err("key: data.id is absent"),
            ),
            ("data.tipo | replace('a', '')", &nota, Ok("not")),
            (
                "data.tipo ~ '/' ~ ('a' if data.id is present else 'b')",
                &nota,
                Ok("nota/b"),
            ),
        ];
        for (key, data, expected) in rows {
            let found = read(&posts(key), data).map(|said| said.key);
            match expected {
                Ok(expected) => assert_eq!(found.as_deref(), Ok(expected), "{key} {data}"),
                Err(why) => {
                    let found = found.expect_err(key);
                    assert!(found.starts_with(why), "{key} {data}: {found}");
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_read_is_left_out_with_a_note() {
        let expr = |text: &str| Some(Expr(text.to_owned()));
        let posts = Posts {
            phone: expr("data.fone"),
            name: expr("data.nome"),
            email: expr("data.email"),
            locale: expr("data.lang"),
            at: expr("data.quando"),
            ..posts("data.id")
        };
        let said = read(
            &posts,
            &json!({"id": 1, "fone": 5511980100001_i64, "nome": " Maria ", "email": "Maria@Example.com",
                "lang": "pt_BR", "quando": "2026-11-22T10:00:00-03:00"}),
        );
        let expected = Said {
            key: "1".to_owned(),
            phone: Some("5511980100001".to_owned()),
            name: Some("Maria".to_owned()),
            email: Some("maria@example.com".to_owned()),
            locale: Some("pt-BR".to_owned()),
            at: "2026-11-22T13:00:00Z".parse().ok(),
            notes: Vec::new(),
        };
        assert!(said == Ok(expected));
        let said = read(
            &posts,
            &json!({"id": 1, "fone": ["x"], "nome": "", "email": "maria", "lang": "Klingon", "quando": "ontem"}),
        );
        let notes = [
            "phone: gives a list, no text",
            "email is no address",
            "locale is no locale",
            "at is no time: it counts as when it was posted",
        ];
        let expected = Said {
            key: "1".to_owned(),
            notes: notes.map(str::to_owned).to_vec(),
            ..Said::default()
        };
        assert!(said == Ok(expected));
        // What is absent is no mistake.
        let expected = Said {
            key: "1".to_owned(),
            ..Said::default()
        };
        assert!(read(&posts, &json!({"id": 1})) == Ok(expected));
    }

    #[test]
    fn an_example_can_be_read() {
        let expr = |text: &str| Some(Expr(text.to_owned()));
        let one = Posts {
            phone: expr("data.cliente.fone | default(data.fone)"),
            name: expr("data.cliente.nome"),
            ..posts("data.id ~ '/' ~ data.tipo")
        };
        let element = json!({"id": "1", "tipo": "1", "fone": PHONE, "cliente": {"fone": PHONE, "nome": "Maria"}});
        assert_eq!(example(&one), element);
        assert_eq!(read(&one, &element).unwrap().key, "1/1");
        let each = |path: &str| Posts {
            each: expr(path),
            ..one.clone()
        };
        assert_eq!(example(&each("data.a.b")), json!({"a": {"b": [element]}}));
        assert_eq!(example(&each("data")), json!([element]));
    }

    #[test]
    fn times_come_in_many_forms() {
        let zone = TimeZone::get("America/Sao_Paulo").unwrap();
        for (text, expected) in [
            ("2026-11-22T10:00:00-03:00", Some("2026-11-22T13:00:00Z")),
            ("2026-11-22T13:00:00Z", Some("2026-11-22T13:00:00Z")),
            ("2026-11-22 10:00:00", Some("2026-11-22T13:00:00Z")),
            ("2026-11-22T10:00", Some("2026-11-22T13:00:00Z")),
            ("2026-11-22", Some("2026-11-22T03:00:00Z")),
            ("1795352400", Some("2026-11-22T13:00:00Z")),
            ("1795352400000", Some("2026-11-22T13:00:00Z")),
            ("1795352400.5", Some("2026-11-22T13:00:00.5Z")),
            ("22/11/2026", None),
            ("inf", None),
            ("9999999999999999999", None),
        ] {
            let expected: Option<Timestamp> = expected.map(|text| text.parse().unwrap());
            assert_eq!(instant(text, &zone), expected, "{text}");
        }
    }

    #[test]
    fn each_is_a_list_of_the_body() {
        let with = |each: &str| Posts {
            each: Some(Expr(each.to_owned())),
            ..posts("data.id")
        };
        let all = |each: &str, data: Value| elements(&with(each), &data, &over);
        let list = json!([{"id": 1, "x": 0.123_456_789_012}, 2]);
        let of = |list: &Value| list.as_array().unwrap().clone();
        assert_eq!(all("data.a.b", json!({"a": {"b": list}})), Ok(of(&list)));
        assert_eq!(all("data", list.clone()), Ok(of(&list)));
        assert_eq!(all("data['a b']", json!({"a b": [1]})), Ok(vec![json!(1)]));
        assert_eq!(
            all("data.a | default(data.b)", json!({"b": [1]})),
            Ok(vec![json!(1)])
        );
        for (each, data, why) in [
            ("data.a", json!({"a": "x"}), "each: data.a is no list"),
            ("data.a", json!({}), "each: data.a is absent"),
            ("data['a']", json!({}), "each: data.a is absent"),
            (
                "data['a']",
                json!({"a": {}}),
                "each: gives a table, no list",
            ),
        ] {
            assert_eq!(all(each, data), Err(why.to_owned()));
        }
    }
}
