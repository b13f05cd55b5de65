use super::super::testing::{checkout, full_order, order, scope};
use super::*;

/// The names of all filters, tests and functions that the engine would find.
pub(in crate::automations) fn names() -> (
    std::collections::BTreeSet<String>,
    std::collections::BTreeSet<String>,
    std::collections::BTreeSet<String>,
) {
    let env = environment();
    let functions = env
        .globals()
        .map(|(name, _)| name.to_owned())
        .filter(|name| !name.starts_with('%'));
    // The engine lists its filters and tests nowhere but in its debug output.
    let debug = format!("{env:?}");
    let section = |name: &str| {
        let start = debug.find(&format!("{name}: ")).unwrap() + name.len() + 2;
        let end = debug[start..].find(['}', ']']).unwrap() + start;
        let quoted = debug[start..end].split('"').skip(1).step_by(2);
        quoted.map(str::to_owned).collect()
    };
    (section("filters"), section("tests"), functions.collect())
}

fn ask(source: &str) -> String {
    match eval_bool(&Expr(source.to_owned()), &scope(&order())) {
        Ok(truth) => format!("{truth:?}"),
        Err(error) => error.to_string(),
    }
}

fn write(source: &str) -> String {
    render(&Text(source.to_owned()), &scope(&order()))
        .unwrap_or_else(|error| format!("error: {error}"))
}

#[test]
fn conditions() {
    let rows = [
        ("order.total > 100", "True"),
        ("order.total >= 129.9 and order.total <= 129.9", "True"),
        ("order.payment_status == 'pending'", "False"),
        ("order.payment_method in ['pix', 'boleto']", "False"),
        ("order.payment_status in ['paid']", "True"),
        ("'vip' in customer.tags", "True"),
        ("'x' not in customer.tags", "True"),
        ("'x' not in customer.nothing", "True"),
        ("'x' not in order.tags", "True"),
        ("order.note", "Absent"),
        ("not order.note", "True"),
        ("order.test", "False"),
        ("order.attributes.a.b.c is present", "False"),
        ("order.attributes.nested.b == 'x'", "True"),
        ("order.attributes['idade'] == '7'", "True"),
        ("order.created_at < now", "True"),
        ("order.created_at == order.created_at", "True"),
        ("order.items | length == 5", "True"),
        ("order.items[0].quantity == 2", "True"),
        ("order.items[9].quantity == 2", "False"),
        ("checkout.total == 1", "False"),
        ("is_open('loja')", "False"),
        ("hours_between(order.created_at, now) > 24", "True"),
        ("customer.name", "gives a text, not true or false"),
        ("order.attributes.n", "gives a number, not true or false"),
        ("order.total and 'x'", "gives a text, not true or false"),
        ("ordr.total > 1", "unknown name ordr"),
        (
            "order.total / 0 > 1",
            "cannot be calculated: a division by zero, or too large a number",
        ),
        (
            "order.total + order.note > 1",
            "+ adds two numbers, texts or lists, not a number and nothing",
        ),
    ];
    for (source, expected) in rows {
        assert_eq!(ask(source), expected, "{source}");
    }
}

#[test]
fn nothing_equals_what_is_absent() {
    let rows = [
        ("order.note == order.cancel_reason", "False"),
        ("order.note != order.cancel_reason", "True"),
        ("order.note == ''", "False"),
        ("order.note in 'any text'", "False"),
        ("order.note not in ['a']", "True"),
        ("order.attributes.gone is defined", "False"),
        ("order.attributes.nested.a is present", "False"),
    ];
    for (source, expected) in rows {
        assert_eq!(ask(source), expected, "{source}");
    }
}

/// `-` stands for an absent field, the rest for texts and numbers.
#[test]
fn a_comparison_that_cannot_be_made_is_false_and_says_so() {
    let rows = [
        (
            "order.attributes.x < 100",
            "comparison with an absent value: order.attributes.x",
        ),
        (
            "order.attributes.x > 100",
            "comparison with an absent value: order.attributes.x",
        ),
        (
            "100 > order.attributes.x",
            "comparison with an absent value: order.attributes.x",
        ),
        (
            "order.attributes.idade > 18",
            "comparison of a text with a number: order.attributes.idade",
        ),
        (
            "order.attributes.idade < 18",
            "comparison of a text with a number: order.attributes.idade",
        ),
        (
            "order.attributes.idade <= 18",
            "comparison of a text with a number: order.attributes.idade",
        ),
        (
            "order.attributes.idade >= 18",
            "comparison of a text with a number: order.attributes.idade",
        ),
        (
            "order.test < 1",
            "comparison of true or false with a number: order.test",
        ),
        (
            "order.created_at > '2026'",
            "comparison of a time with a text: order.created_at",
        ),
        (
            "order.tags > 1",
            "comparison of a list with a number: order.tags",
        ),
        // `not` makes no truth of it, nor does a comparison with it.
        (
            "not (order.attributes.x < 18)",
            "comparison with an absent value: order.attributes.x",
        ),
        (
            "not not (order.attributes.x < 18)",
            "comparison with an absent value: order.attributes.x",
        ),
        (
            "(order.attributes.x < 18) == false",
            "comparison with an absent value: order.attributes.x",
        ),
        (
            "(order.attributes.x < 18) != true",
            "comparison with an absent value: order.attributes.x",
        ),
        (
            "order.total > 1 and order.attributes.x < 1",
            "comparison with an absent value: order.attributes.x",
        ),
        (
            "order.total < 1 or not (order.attributes.x < 1)",
            "comparison with an absent value: order.attributes.x",
        ),
        (
            "false if order.attributes.x < 1 else true",
            "comparison with an absent value: order.attributes.x",
        ),
        (
            "(order.attributes.x < 1) not in [true]",
            "comparison with an absent value: order.attributes.x",
        ),
        (
            "(order.attributes.x < 1) is defined",
            "comparison with an absent value: order.attributes.x",
        ),
        (
            "((order.attributes.x < 1) | default(true)) and true",
            "comparison with an absent value: order.attributes.x",
        ),
        // What does not hang on it is not held up by it.
        ("order.attributes.x < 1 or order.channel == 'web'", "True"),
        ("order.channel == 'web' or order.attributes.x < 1", "True"),
        (
            "order.attributes.x < 1 and order.channel == 'pos'",
            "comparison with an absent value: order.attributes.x",
        ),
        (
            "order.attributes.x is present and order.attributes.x < 1",
            "False",
        ),
        // And this mends it.
        ("order.attributes.x | default(0) < 18", "True"),
        ("order.attributes.idade | number < 18", "True"),
        ("order.attributes.idade > '18'", "True"),
    ];
    for (source, expected) in rows {
        assert_eq!(ask(source), expected, "{source}");
    }
    let noted = expr_notes(
        &Expr("order.attributes.x < 1 or order.channel == 'web'".into()),
        &scope(&order()),
    );
    assert_eq!(
        noted,
        ["comparison with an absent value: order.attributes.x"]
    );
}

#[test]
fn a_failed_comparison_in_a_text_takes_the_other_branch() {
    let text = "{% if order.attributes.x > 1 %}a{% else %}b{% endif %}{% if not (order.attributes.x > 1) %}c{% else %}d{% endif %}";
    assert_eq!(write(text), "bd");
    let notes = text_notes(&Text(text.into()), &scope(&order()));
    assert_eq!(
        notes,
        ["comparison with an absent value: order.attributes.x"]
    );
    let looped = "{% for item in order.items %}{% if item.nothing > 1 %}a{% endif %}{% endfor %}";
    assert_eq!(text_notes(&Text(looped.into()), &scope(&order())).len(), 1);
    assert_eq!(
        text_notes(&Text("{{ order.total > 1 }}".into()), &scope(&order())),
        [""; 0]
    );
}

#[test]
fn texts() {
    let rows = [
        ("Olá {{ customer.first_name }}!", "Olá Maria!"),
        ("[{{ order.note }}]", "[]"),
        ("[{{ order.attributes.gone }}]", "[]"),
        ("[{{ order.attributes.a.b.c }}]", "[]"),
        ("{{ order.total }}", "129.9"),
        ("{{ order.shipping }}", "10"),
        ("{{ order.shipping * 1.5 }}", "15"),
        (
            "{{ 0.1 + 0.2 }} {{ -0.0 }} {{ 100.0 }} {{ 1e15 }} {{ 0.5 }}",
            "0.3 0 100 1000000000000000 0.5",
        ),
        (
            "{{ order.shipping ~ '/' ~ order.note ~ '/' ~ order.number }}",
            "10//#1001",
        ),
        ("{{ order.created_at }}", "2026-11-21T14:30:00Z"),
        (
            "{{ order.created_at | in_zone('America/Sao_Paulo') }}",
            "2026-11-21T11:30:00-03:00",
        ),
        ("{{ customer.tags | first }}{# no #}", "vip"),
        (
            "{% for item in order.items %}{{ item.title }}{% if not loop.last %}, {% endif %}{% endfor %}",
            "Camiseta, Boné, Meia, Cinto, Lenço",
        ),
        (
            "{% for item in checkout.items %}x{% else %}none{% endfor %}",
            "none",
        ),
        ("{% set n = order.number %}{{ n }}", "#1001"),
        ("<b>{{ '<i>' }}</b>", "<b><i></b>"),
        ("{{ 1 if order.test }}", ""),
        ("a\nb\n", "a\nb"),
        ("{{ order.test }}", "false"),
        ("{{ nobody }}", "error: unknown name nobody"),
    ];
    for (source, expected) in rows {
        assert_eq!(write(source), expected, "{source}");
    }
}

#[test]
fn what_the_language_leaves_out_is_refused_before_it_runs() {
    let rows = [
        (
            "{% if false %}{{ 1 | nothing }}{% endif %}",
            "there is no filter nothing",
        ),
        ("{{ 1 is odd }}", "there is no test odd"),
        ("{{ range(3) }}", "there is no function range"),
        (
            "{{ customer.name.upper() }}",
            "there are no methods: write | upper",
        ),
        (
            "{{ 1 < order.total < 3 }}",
            "one comparison at a time: write a < b and b < c",
        ),
        (
            "{{ order.note == none }}",
            "there is no none here: what is absent is asked for with is present, is blank",
        ),
        ("{{ 'x' * 3 }}", "* multiplies two numbers"),
        ("{{ 3 * ('x' ~ 'y') }}", "* multiplies two numbers"),
        ("{{ [1] * 3 }}", "* multiplies two numbers"),
        ("{% include 'x' %}", "unknown statement include"),
        ("{% extends 'x' %}", "unknown statement extends"),
        ("{% import 'x' as y %}", "unknown statement import"),
        (
            "{% if true %}{% with a = 1 %}{% endwith %}{% endif %}",
            "texts know {% if %}, {% for %} and {% set %}, nothing else in {% %}",
        ),
        (
            "{% filter upper %}a{% endfilter %}",
            "texts know {% if %}, {% for %} and {% set %}, nothing else in {% %}",
        ),
        (
            "{% autoescape true %}a{% endautoescape %}",
            "texts know {% if %}, {% for %} and {% set %}, nothing else in {% %}",
        ),
        (
            "{% for a in order.items recursive %}{{ loop(order.items) }}{% endfor %}",
            "there is no function loop",
        ),
        ("{% macro a() %}{% endmacro %}", "unknown statement macro"),
        (
            "{{ order.total",
            "unexpected end of input, expected end of variable block",
        ),
    ];
    for (source, expected) in rows {
        let error = check_text(source).unwrap_err().to_string();
        assert_eq!(error, expected, "{source}");
        assert!(
            render(&Text(source.into()), &scope(&order())).is_err(),
            "{source}"
        );
    }
    assert!(check_expr("{{ order.total }} > 1").is_err());
    for (chain, expected) in [
        (
            "a".to_owned() + &".a".repeat(100_000),
            "more than 400 words and signs",
        ),
        (
            "1".to_owned() + &"+1".repeat(100_000),
            "more than 400 words and signs",
        ),
        (
            "not ".repeat(100_000) + "1",
            "more than 400 words and signs",
        ),
        (
            "1 if a else ".repeat(100_000) + "1",
            "more than 400 words and signs",
        ),
        ("(".repeat(300), "template exceeds maximum recursion limits"),
    ] {
        let error = check_text(&format!("{{{{ {chain} }}}}"))
            .unwrap_err()
            .to_string();
        assert!(error.starts_with(expected), "{error}");
        assert!(eval_bool(&Expr(chain.clone()), &scope(&order())).is_err());
        assert_eq!(explain_false(&Expr(chain), &scope(&order())), "");
    }
    for text in [
        "{% if a %}".to_owned() + &"{% elif a %}".repeat(100_000) + "{% endif %}",
        "{% if a %}".repeat(100_000),
    ] {
        let error = check_text(&text).unwrap_err().to_string();
        assert!(error.starts_with("more than 200 times {% %}"), "{error}");
    }
    let line = check_text("a\nb {{ 1 | nothing }}").unwrap_err();
    assert!(
        matches!(line, EvalError::Syntax { line: 2, .. }),
        "{line:?}"
    );
}

#[test]
fn fuel_ends() {
    let text = "{% for a in order.items %}{% for b in order.items %}{% for c in order.items %}{% for d in order.items %}\
                {% for e in order.items %}{{ a.title }}{% endfor %}{% endfor %}{% endfor %}{% endfor %}{% endfor %}";
    assert_eq!(write(text), "error: takes more than 10000 steps");
}

#[test]
fn texts_cannot_grow_without_bound() {
    let doubled = "{% set s = 'xxxxxxxx' %}".to_owned() + &"{% set s = s ~ s %}".repeat(40);
    let added = doubled.replace('~', "+");
    let replaced = doubled.replace("s ~ s", "s | replace('x', 'xx')");
    for text in [doubled, added, replaced] {
        assert_eq!(write(&text), "error: the text becomes too long");
    }
    let long = "{% set long = 'xxxx' %}".to_owned() + &"{% set long = long ~ long %}".repeat(14);
    let printed = long.clone()
        + "{% for a in order.items %}{% for b in order.items %}{{ long }}{% endfor %}{% endfor %}";
    assert_eq!(write(&printed), "error: the text becomes too long");
    let list = "{% set l = [1, 2] %}".to_owned() + &"{% set l = l + l %}".repeat(20);
    assert_eq!(write(&list), "error: the list becomes too long");
    let nested = long + "{{ long | replace('x', long) }}";
    assert_eq!(write(&nested), "error: the text becomes too long");
    assert_eq!(
        write("{{ order.number * 5000 }}"),
        "error: * multiplies two numbers, not a text and a number"
    );
    assert_eq!(
        write("{{ 1 + 2 }} {{ 1.5 + 2 }} {{ 'a' + 'b' }} {{ ([1] + [2]) | join('/') }}"),
        "3 3.5 ab 1/2"
    );
    assert_eq!(write("{{ 9223372036854775807 + 1 > 1 }}"), "true");
    assert_eq!(
        write(
            "{{ order.item_count * 2 }} {{ order.total * order.item_count }} {{ 9223372036854775807 * 2 > 1 }}"
        ),
        "12 779.4 true"
    );
}

#[test]
fn now_is_known_at_sending_time_only() {
    use crate::automations::locale::Home;
    let automations = crate::automations::testing::automations();
    let event = order();
    let early = Scope::new(&automations, &Home::of(&automations, &event, None), &event);
    let error = eval_bool(&Expr("order.created_at < now".into()), &early).unwrap_err();
    assert_eq!(
        error.to_string(),
        "now is not known yet when the event arrives: move it to the step's when"
    );
}

#[test]
fn explanations_show_what_is_public() {
    let explain = |source: &str| explain_false(&Expr(source.into()), &scope(&order()));
    let rows = [
        (
            "order.payment_status == 'pending'",
            "order.payment_status is \"paid\"",
        ),
        (
            "order.payment_status == 'pending' and order.payment_method in ['pix', 'boleto']",
            "order.payment_status is \"paid\", order.payment_method is absent",
        ),
        (
            "order.total > 1 and order.item_count > 100",
            "order.item_count is 6",
        ),
        ("order.total == 0", "order.total is 129.9"),
        ("customer.name == 'Ana'", "customer.name is set"),
        (
            "order.attributes.idade == '8'",
            "order.attributes.idade is set",
        ),
        ("'x' in customer.tags", "customer.tags is ['vip', 'b2b']"),
        ("order.test", "order.test is false"),
        ("order.items | length > 9", "order.items is a list of 5"),
        ("is_open('loja')", ""),
    ];
    for (source, expected) in rows {
        assert_eq!(explain(source), expected, "{source}");
    }
}

/// The context is written by hand, so that it is held against what `serde` writes.
#[test]
fn every_field_of_an_event_can_be_named() {
    fn compare(path: &str, json: &serde_json::Value, scope: &Scope, missing: &mut Vec<String>) {
        const HIDDEN: [&str; 5] = [
            "subject",
            "customer.phones",
            "event.test",
            "event.depth",
            "event.notes",
        ];
        if HIDDEN.contains(&path) {
            return;
        }
        match json {
            serde_json::Value::Object(map) => {
                for (key, value) in map {
                    let path = if path.is_empty() {
                        key.clone()
                    } else {
                        format!("{path}.{key}")
                    };
                    compare(&path, value, scope, missing);
                }
            }
            serde_json::Value::Null => {}
            _ if is_absent(&scope.field(path)) => missing.push(path.to_owned()),
            _ => {}
        }
    }
    let mut missing = Vec::new();
    for event in [full_order(), checkout()] {
        let scope = scope(&event);
        compare(
            "",
            &serde_json::to_value(&event).unwrap(),
            &scope,
            &mut missing,
        );
        for (index, root) in ["order", "checkout"].into_iter().enumerate() {
            let items = serde_json::to_value(&event).unwrap()[root]["items"].clone();
            let Some(first) = items.get(0).cloned() else {
                continue;
            };
            let seen = scope
                .field(&format!("{root}.items"))
                .get_item_by_index(index)
                .unwrap();
            for key in first.as_object().unwrap().keys() {
                if is_absent(&seen.get_attr(key).unwrap_or_default()) {
                    missing.push(format!("{root}.items[].{key}"));
                }
            }
        }
    }
    assert!(missing.is_empty(), "{missing:?}");
}

/// Claims of the language's page about plain minijinja, which our own comparisons answer: should one
/// of them stop being true, that part can go.
#[test]
fn what_the_engine_does_by_itself() {
    let mut env = Environment::new();
    env.add_filter("default", minijinja::filters::default);
    let eval = |source: &str| env.compile_expression(source).unwrap().eval(()).unwrap();
    assert!(eval("none < 18").is_true());
    assert!(eval("nothing < 18").is_true());
    assert!(eval("'abc' > 50").is_true());
    assert!(eval("nothing == nothing").is_true());
    assert!(eval("nothing in 'text'").is_true());
    let render = |source: &str| env.render_str(source, ()).unwrap();
    assert_eq!(render("{{ none }}"), "None");
    assert_eq!(render("{{ none | default('x') }}"), "None");
    assert_eq!(render("{{ '' | default('x') }}"), "");
    assert_eq!(render("{% if false %}{{ 1 | unheard_of }}{% endif %}"), "");
    assert_eq!(render("{{ 100.0 }}"), "100.0");
}

proptest::proptest! {
    #[test]
    fn no_text_makes_a_panic(source in "\\PC{0,60}", jinja in "[a-z0-9 {}%|.'()<>=\\[\\],+*-]{0,40}") {
        let scope = scope(&order());
        for source in [&source, &jinja, &format!("{{{{ {jinja} }}}}"), &format!("{{% if {jinja} %}}x{{% endif %}}")] {
            let _ = render(&Text(source.clone()), &scope);
            let _ = text_notes(&Text(source.clone()), &scope);
            let expr = Expr(source.clone());
            let _ = (eval_bool(&expr, &scope), eval_value(&expr, &scope), explain_false(&expr, &scope));
        }
    }
}
