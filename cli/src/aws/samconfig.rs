//! `samconfig.toml`: what `sam deploy` and `make deploy` take, and so where the stack is that commands work
//! on. <https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/serverless-sam-cli-config.html>

use std::path::Path;

use crate::error::CliError;

/// The file, in the folder that a command is started in.
pub const FILE: &str = "samconfig.toml";

/// The table that all of SAM's commands read.
pub const GLOBAL: &str = "default.global.parameters";

/// The table that `sam deploy` reads before it, which `sam deploy --guided` writes.
const DEPLOY: &str = "default.deploy.parameters";

/// Where a setting stands, or is to be written: what the file says for `deploy` hides what it says for all.
pub fn table_of(text: &str, name: &str) -> &'static str {
    let file: toml::Table = text.parse().unwrap_or_default();
    let of = |command: &str| {
        file.get("default")?
            .get(command)?
            .get("parameters")?
            .get(name)
    };
    if of("deploy").is_some() {
        DEPLOY
    } else {
        GLOBAL
    }
}

/// What it says about the stack. SAM's environment `default` alone is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SamConfig {
    /// `stack_name`.
    pub stack: Option<String>,
    /// `region`.
    pub region: Option<String>,
    /// `profile`.
    pub profile: Option<String>,
    /// `parameter_overrides`, as name and value.
    pub parameters: Vec<(String, String)>,
}

impl SamConfig {
    /// Reads the file; nothing where there is none.
    ///
    /// # Errors
    /// It is there and is no TOML.
    pub fn read(path: &Path) -> Result<SamConfig, CliError> {
        match std::fs::read_to_string(path) {
            Ok(text) => SamConfig::parse(&text).map_err(|problem| {
                CliError::new(format!("{} cannot be read: {problem}", path.display()))
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(SamConfig::default()),
            Err(error) => Err(CliError::new(format!(
                "{} cannot be read: {error}",
                path.display()
            ))),
        }
    }

    /// Reads the file's text. What is said for `deploy` goes before what is said for all commands.
    fn parse(text: &str) -> Result<SamConfig, String> {
        let file: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            let line = text
                .get(..error.span().map_or(0, |span| span.start))
                .unwrap_or_default()
                .matches('\n')
                .count()
                + 1;
            format!("line {line}: {}", error.message())
        })?;
        let look = |name: &str| {
            ["deploy", "global"].into_iter().find_map(|command| {
                let parameters = file.get("default")?.get(command)?.get("parameters")?;
                parameters.get(name)
            })
        };
        let text = |name: &str| {
            let value = look(name)?.as_str()?.trim();
            (!value.is_empty()).then(|| value.to_owned())
        };
        Ok(SamConfig {
            stack: text("stack_name"),
            region: text("region"),
            profile: text("profile"),
            parameters: look("parameter_overrides").map_or_else(Vec::new, overrides),
        })
    }

    /// The value of a template's parameter.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let mut of = self.parameters.iter().filter(|(other, _)| other == name);
        of.next_back().map(|(_, value)| value.as_str())
    }
}

/// SAM takes one text of `Name=value` or `Name="value"` parts, or a list of such.
fn overrides(value: &toml::Value) -> Vec<(String, String)> {
    let texts: Vec<&str> = match value {
        toml::Value::Array(list) => list.iter().filter_map(toml::Value::as_str).collect(),
        other => other.as_str().into_iter().collect(),
    };
    let parts = texts.into_iter().flat_map(str::split_whitespace);
    parts
        .filter_map(|part| part.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deploy_table_goes_first_and_both_forms_of_overrides_are_read() {
        let text = r#"
            version = 0.1
            [default.global.parameters]
            stack_name = "callbell"
            region = "sa-east-1"
            [default.deploy.parameters]
            stack_name = "shop"
            profile = "work"
            parameter_overrides = "Architecture=arm64 AlarmEmail=\"\""
        "#;
        let sam = SamConfig::parse(text).unwrap();
        assert_eq!(sam.stack.as_deref(), Some("shop"));
        assert_eq!(sam.region.as_deref(), Some("sa-east-1"));
        assert_eq!(sam.profile.as_deref(), Some("work"));
        assert_eq!(sam.parameter("Architecture"), Some("arm64"));
        assert_eq!(sam.parameter("AlarmEmail"), Some(""));
        assert_eq!(sam.parameter("Other"), None);
        assert_eq!(table_of(text, "parameter_overrides"), DEPLOY);
        assert_eq!(table_of(text, "region"), GLOBAL);
        assert_eq!(table_of("", "region"), GLOBAL);
        let list = text.replace(
            r#""Architecture=arm64 AlarmEmail=\"\"""#,
            r#"["Architecture=x86_64", "AlarmEmail=me@example.com"]"#,
        );
        let sam = SamConfig::parse(&list).unwrap();
        assert_eq!(sam.parameter("AlarmEmail"), Some("me@example.com"));
        assert_eq!(
            SamConfig::parse("version = 0.1\n[default").unwrap_err(),
            "line 2: unclosed table, expected `]`"
        );
    }

    #[test]
    fn no_file_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let sam = SamConfig::read(&folder.path().join(FILE)).unwrap();
        assert_eq!(sam, SamConfig::default());
    }
}
