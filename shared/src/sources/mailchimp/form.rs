//! Forms with PHP's brackets: `data[merges][ADDRESS][city]=…` is a table in a table in a table.

use serde_json::Value;

use crate::event::FreeMap;

/// Most fields of one form; the rest is left out.
const FIELDS_MAX: usize = 1_000;
/// Most tables around a value; what lies deeper is left out.
const LEVELS_MAX: usize = 8;

/// The form as JSON, whatever it is: every value is a text. Of two values of one name the later holds, as in PHP.
pub(super) fn read(body: &[u8]) -> FreeMap {
    let mut form = FreeMap::new();
    for (name, value) in form_urlencoded::parse(body).take(FIELDS_MAX) {
        let parts = parts(&name);
        if let Some((first, rest)) = parts.split_first()
            && parts.len() <= LEVELS_MAX
        {
            put(&mut form, first, rest, &value);
        }
    }
    form
}

/// `data[merges][FNAME]` in its three parts. What is no such name is one part.
fn parts(name: &str) -> Vec<&str> {
    let whole = vec![name];
    let Some((first, rest)) = name.split_once('[') else {
        return whole;
    };
    let Some(inner) = rest.strip_suffix(']').filter(|_| !first.is_empty()) else {
        return whole;
    };
    std::iter::once(first).chain(inner.split("][")).collect()
}

fn put(map: &mut FreeMap, first: &str, rest: &[&str], value: &str) {
    // `name[]` is the next of a list.
    let key = if first.is_empty() {
        map.len().to_string()
    } else {
        first.to_owned()
    };
    let Some((next, rest)) = rest.split_first() else {
        map.insert(key, Value::from(value));
        return;
    };
    let place = map
        .entry(key)
        .or_insert_with(|| Value::Object(FreeMap::new()));
    // What was a text already stays one.
    if let Value::Object(inner) = place {
        put(inner, next, rest, value);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn brackets_are_tables() {
        for (body, form) in [
            ("", json!({})),
            ("a=1&b", json!({"a": "1", "b": ""})),
            (
                "data%5Bmerges%5D%5BFNAME%5D=Jos%C3%A9+Maria&data[list_id]=a1",
                json!({"data": {"merges": {"FNAME": "José Maria"}, "list_id": "a1"}}),
            ),
            (
                "g[0][name]=x&g[0][groups]=a%2C+b&g[1][name]=y",
                json!({"g": {"0": {"name": "x", "groups": "a, b"}, "1": {"name": "y"}}}),
            ),
            ("g[]=x&g[]=y", json!({"g": {"0": "x", "1": "y"}})),
            ("a=1&a=2", json!({"a": "2"})),
            ("a=1&a[b]=2", json!({"a": "1"})),
            ("a[b]=2&a=1", json!({"a": "1"})),
            (
                "a[b=1&[c]=2&d]=3",
                json!({"a[b": "1", "[c]": "2", "d]": "3"}),
            ),
            ("a[b]c=1&a[[b]]=2", json!({"a[b]c": "1", "a": {"[b]": "2"}})),
        ] {
            assert_eq!(Value::Object(read(body.as_bytes())), form, "{body}");
        }
    }

    #[test]
    fn forms_have_limits() {
        let deep = |levels: usize| format!("a{}=1", "[b]".repeat(levels));
        assert_eq!(read(deep(LEVELS_MAX - 1).as_bytes()).len(), 1);
        assert!(read(deep(LEVELS_MAX).as_bytes()).is_empty());
        let many: String = (0..2_000).map(|n| format!("a{n}=1&")).collect();
        assert_eq!(read(many.as_bytes()).len(), FIELDS_MAX);
    }
}
