//! Changing one value of a TOML file that a person wrote.

/// A file's text with one name of a table changed; comments and everything else stay as they are. A line
/// that is commented out (`# shopify = ""`) makes room for the value.
pub fn set(text: &str, table: &str, name: &str, value: &toml::Value) -> String {
    let key = if name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    {
        name.to_owned()
    } else {
        toml::Value::String(name.to_owned()).to_string()
    };
    let line = format!("{key} = {value}");
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let header = format!("[{table}]");
    let Some(start) = lines.iter().position(|line| line.trim() == header) else {
        if !lines.is_empty() {
            lines.push(String::new());
        }
        lines.extend([header, line]);
        return lines.join("\n") + "\n";
    };
    let inside = lines.iter().enumerate().skip(start + 1);
    let end = inside
        .clone()
        .find(|(_, line)| line.trim_start().starts_with('['))
        .map_or(lines.len(), |(index, _)| index);
    let names = |line: &str| {
        line.split_once('=')
            .is_some_and(|(left, _)| left.trim() == key)
    };
    let section = || inside.clone().take_while(|(index, _)| *index < end);
    let live = section()
        .find(|(_, line)| names(line))
        .map(|(index, _)| index);
    let spare = section()
        .find(|(_, line)| line.trim_start().strip_prefix('#').is_some_and(names))
        .map(|(index, _)| index);
    match live.or(spare) {
        Some(index) => {
            // A list over several lines goes with its first one.
            let last = if live.is_some() {
                last_line(&lines, index, end)
            } else {
                index
            };
            lines.splice(index..=last, [line]);
        }
        None => lines.insert(start + 1, line),
    }
    lines.join("\n") + "\n"
}

/// The last line of the value that begins in line `first`.
fn last_line(lines: &[String], first: usize, end: usize) -> usize {
    let mut text = String::new();
    for (index, line) in lines.iter().enumerate().take(end).skip(first) {
        text.push_str(line);
        text.push('\n');
        if text.parse::<toml::Table>().is_ok() {
            return index;
        }
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_added_to_its_table_and_changed_in_place() {
        let text = "version = 0.1 # SAM's\n\n[default.global.parameters]\n# region = \"\"\n\n[default.deploy.parameters]\nresolve_s3 = true\n";
        let value = |text: &str| toml::Value::String(text.to_owned());
        let table = "default.global.parameters";
        let text = set(text, table, "region", &value("sa-east-1"));
        let text = set(&text, table, "stack_name", &value("shop"));
        let text = set(&text, table, "region", &value("eu-west-1"));
        assert_eq!(
            text,
            "version = 0.1 # SAM's\n\n[default.global.parameters]\nstack_name = \"shop\"\nregion = \"eu-west-1\"\n\n\
             [default.deploy.parameters]\nresolve_s3 = true\n"
        );
        assert_eq!(set("", "a", "b c", &value("d")), "[a]\n\"b c\" = \"d\"\n");
    }
}
