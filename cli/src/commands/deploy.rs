//! `callbell deploy`, which `make deploy` starts: builds and deploys the stack with AWS SAM, pushes secrets and
//! automations, and says where webhooks go. What it has to know it asks once and keeps in samconfig.toml.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use shared::connections::Connections;
use shared::secrets::Secrets;
use shared::sources;
use tokio::process::Command;

use super::check::{self, Asked};
use super::secrets::cloud;
use super::{Outcome, push};
use crate::args::{DeployArgs, PushArgs, Target};
use crate::aws::samconfig::{self, GLOBAL, SamConfig};
use crate::aws::{self, Session, cloudformation};
use crate::dev::secrets::{CALLBELL, Files as Keys};
use crate::error::CliError;
use crate::installation::stack::{self, Stack};
use crate::output::{self, Cell, say};
use crate::project::{self, AUTOMATIONS, Files, SECRETS};
use crate::{ask, edit};

/// Where `make` puts SAM and cargo-lambda.
const TOOLS: &str = ".venv/bin";
/// The stack's name unless another one is typed.
const STACK: &str = "callbell";
/// The template's parameters that are asked for.
const ARCHITECTURE: &str = "Architecture";
const ALARM_EMAIL: &str = "AlarmEmail";
/// What functions can run on, with the target that cargo compiles them for.
const ARCHITECTURES: [(&str, &str, &str); 2] = [
    ("arm64", "aarch64", "aarch64-unknown-linux-gnu"),
    ("x86_64", "x86_64", "x86_64-unknown-linux-gnu"),
];

/// Says what is wrong with an answer.
type Check = fn(&str) -> Result<(), String>;

/// Builds, deploys and pushes.
///
/// # Errors
/// Something is missing, the automations have errors, or AWS refuses; each in a line.
pub async fn run(args: &DeployArgs) -> Outcome {
    let (files, secrets) = prerequisites()?;
    // Everything that can be wrong is looked at before minutes of compiling.
    let report = check::report(
        &files,
        &Asked {
            local: None,
            offline: false,
        },
    )
    .await
    .0;
    let Some(automations) = &report.automations else {
        check::print(AUTOMATIONS, &report);
        return Err(CliError::new("nothing was deployed").hint("callbell check shows the same"));
    };
    let sam = settings(Path::new(samconfig::FILE))?;
    let name = sam.stack.as_deref().unwrap_or(STACK);
    let architecture = sam.parameter(ARCHITECTURE).unwrap_or("arm64");
    target_is_there(architecture).await?;
    let session = Session::open(&sam).await?;
    same_region(&sam, &session)?;
    match cloudformation::find(&session, name).await? {
        // A first deploy that never began: SAM begins it again.
        Some(found) if found.status == "REVIEW_IN_PROGRESS" => {}
        Some(found) => stack::refuse_unfinished(&found)?,
        None => {}
    }
    let parameters: Vec<String> = sam
        .parameters
        .iter()
        .map(|(name, value)| format!("{name}=\"{value}\""))
        .collect();
    let mut build = vec!["build".to_owned(), "--parameter-overrides".to_owned()];
    build.push(parameters.join(" "));
    if parameters.is_empty() {
        build.truncate(1);
    }
    tool("sam", &build).await?;
    tool("sam", &deploy_arguments(&session, name, &parameters)).await?;
    let stack = Stack::open(Some(name)).await?;
    let known = secrets.clone();
    if cloud::put(secrets, &stack, args.yes).await? != 0 {
        return Ok(1);
    }
    let limited = automations.defaults.only_to.is_some();
    if !limited && stack.store()?.config().await?.is_none() && !args.yes {
        say(format!(
            "{AUTOMATIONS} has no only_to: customers get messages from the first event on"
        ));
        if !ask::confirm("push it?")? {
            say("deployed, and nothing is pushed: events wait. Next: callbell push");
            return Ok(1);
        }
    }
    let pushed = push::run(&push_arguments(name, args.yes)).await?;
    if pushed != 0 {
        return Ok(pushed);
    }
    tell(
        &stack,
        &project::connections(automations),
        &known,
        limited,
        &sam,
    )?;
    say("\ncallbell doctor:");
    super::doctor::after_deploy(name).await?;
    Ok(0)
}

/// A deploy to another region than the one before would make a second stack, with an empty table.
fn same_region(sam: &SamConfig, session: &Session) -> Result<(), CliError> {
    match &sam.region {
        Some(kept) if *kept != session.region => Err(CliError::new(format!(
            "which region? samconfig.toml says {kept}, the environment {}",
            session.region
        ))
        .hint("unset AWS_REGION AWS_DEFAULT_REGION, or change region in samconfig.toml")),
        _ => Ok(()),
    }
}

/// The user's files, in the folder that has the template.
fn prerequisites() -> Result<(Files, Keys), CliError> {
    if !Path::new("template.yaml").exists() {
        return Err(CliError::new("there is no template.yaml here")
            .hint("make deploy, in the folder of callbell-serverless"));
    }
    for file in [AUTOMATIONS, SECRETS] {
        if !Path::new(file).exists() {
            return Err(CliError::new(format!("there is no {file}")).hint(
                "callbell init --example shop writes it (make install brings the command callbell)",
            ));
        }
    }
    Ok((
        Files::read(Path::new(AUTOMATIONS))?,
        Keys::read(Path::new(SECRETS))?,
    ))
}

/// What samconfig.toml says; what it does not say is asked and written into it.
fn settings(path: &Path) -> Result<SamConfig, CliError> {
    let sam = SamConfig::read(path)?;
    let mut text = if path.exists() {
        std::fs::read_to_string(path)?
    } else {
        super::init::SAMCONFIG.to_owned()
    };
    let before = text.clone();
    if !text.lines().any(|line| line.starts_with("version")) {
        // SAM reads no file without it.
        text.insert_str(0, "version = 0.1\n");
    }
    let mut keep = |name: &str, value: &str| {
        let table = samconfig::table_of(&text, name);
        text = edit::set(&text, table, name, &toml::Value::String(value.to_owned()));
    };
    if sam.stack.is_none() {
        keep(
            "stack_name",
            &asked("stack_name", "Name of the stack", STACK, stack_name)?,
        );
    }
    let elsewhere = aws::region(&SamConfig::default());
    if sam.region.is_none() && (ask::is_terminal() || elsewhere.is_none()) {
        let default = elsewhere.as_deref().unwrap_or_default();
        keep(
            "region",
            &asked(
                "region",
                "AWS region (sa-east-1, us-east-1, eu-west-1 …)",
                default,
                region,
            )?,
        );
    }
    let mut parameters = sam.parameters.clone();
    // Both have defaults in the template: without a person they are not needed.
    if sam.parameter(ALARM_EMAIL).is_none() && ask::is_terminal() {
        let question = "E-mail address for alarms (empty: nobody is told when something breaks)";
        parameters.push((ALARM_EMAIL.to_owned(), ask::line(question, "", email)?));
    }
    if sam.parameter(ARCHITECTURE).is_none() && ask::is_terminal() {
        let question = "Architecture: arm64 starts sooner and costs less, x86_64 is the other one";
        parameters.push((
            ARCHITECTURE.to_owned(),
            ask::line(question, "arm64", architecture)?,
        ));
    }
    if parameters != sam.parameters {
        keep("parameter_overrides", &overrides(&parameters));
    }
    if text != before || !path.exists() {
        std::fs::write(path, &text)?;
        say(format!("kept in {}", path.display()));
    }
    SamConfig::read(path)
}

/// SAM takes one text; an empty value needs its quotes.
fn overrides(parameters: &[(String, String)]) -> String {
    let parts: Vec<String> = parameters
        .iter()
        .map(|(name, value)| format!("{name}=\"{value}\""))
        .collect();
    parts.join(" ")
}

fn asked(name: &str, question: &str, default: &str, check: Check) -> Result<String, CliError> {
    if !ask::is_terminal() {
        return Err(CliError::new(format!(
            "samconfig.toml has no {name}, and nobody is here to ask"
        ))
        .hint(format!(
            "write {name} = \"…\" below [{GLOBAL}], or start make deploy in a terminal"
        )));
    }
    ask::line(question, default, check)
}

fn stack_name(text: &str) -> Result<(), String> {
    let fits = cloudformation::is_name(text);
    fits.then_some(())
        .ok_or_else(|| "letters, digits and hyphens, a letter first".to_owned())
}

fn region(text: &str) -> Result<(), String> {
    let parts: Vec<&str> = text.split('-').collect();
    let number = parts.last().is_some_and(|last| last.parse::<u8>().is_ok());
    let fits = parts.len() >= 3 && number && parts.iter().all(|part| !part.is_empty());
    fits.then_some(())
        .ok_or_else(|| "write it as AWS does: sa-east-1".to_owned())
}

fn email(text: &str) -> Result<(), String> {
    let fits = text.is_empty()
        || text
            .split_once('@')
            .is_some_and(|(name, host)| !name.is_empty() && host.contains('.'));
    let fits = fits && !text.contains([' ', '"', '\\']);
    fits.then_some(())
        .ok_or_else(|| "that is no e-mail address".to_owned())
}

fn architecture(text: &str) -> Result<(), String> {
    let known = ARCHITECTURES.iter().any(|(name, ..)| *name == text);
    known
        .then_some(())
        .ok_or_else(|| "write arm64 or x86_64".to_owned())
}

/// Whether cargo can compile for the architecture: on another machine than its own it needs the target's
/// standard library; the linker comes with cargo-lambda.
async fn target_is_there(architecture: &str) -> Result<(), CliError> {
    let found = ARCHITECTURES
        .iter()
        .find(|(name, ..)| *name == architecture);
    let Some((_, machine, target)) = found else {
        return Err(
            CliError::new(format!("Architecture is {architecture} in samconfig.toml"))
                .hint("write arm64 or x86_64"),
        );
    };
    if *machine == std::env::consts::ARCH && std::env::consts::OS == "linux" {
        return Ok(());
    }
    let output = Command::new("rustc")
        .args(["--print", "sysroot"])
        .output()
        .await;
    let sysroot =
        output.map_err(|_| CliError::new("missing: a Rust toolchain").hint("https://rustup.rs"))?;
    let sysroot = String::from_utf8_lossy(&sysroot.stdout).trim().to_owned();
    if Path::new(&sysroot)
        .join("lib/rustlib")
        .join(target)
        .exists()
    {
        return Ok(());
    }
    let other = ARCHITECTURES
        .iter()
        .find(|(_, machine, _)| *machine == std::env::consts::ARCH);
    let other = other.map_or(String::new(), |(name, ..)| {
        format!("; or {ARCHITECTURE}=\"{name}\" in samconfig.toml")
    });
    Err(CliError::new(format!(
        "missing: Rust's standard library for {architecture}"
    ))
    .hint(format!("rustup target add {target}{other}")))
}

/// Prompts and failures that only annoy are off, whatever an older samconfig.toml says; region and profile
/// are those that this command found.
fn deploy_arguments(session: &Session, name: &str, parameters: &[String]) -> Vec<String> {
    let mut arguments: Vec<String> = [
        "deploy",
        "--stack-name",
        name,
        "--region",
        &session.region,
        "--resolve-s3",
        "--capabilities",
        "CAPABILITY_IAM",
        "--no-confirm-changeset",
        "--no-fail-on-empty-changeset",
        "--no-progressbar",
    ]
    .map(str::to_owned)
    .to_vec();
    if let Some(profile) = &session.profile {
        arguments.extend(["--profile".to_owned(), profile.clone()]);
    }
    if !parameters.is_empty() {
        arguments.push("--parameter-overrides".to_owned());
        arguments.push(parameters.join(" "));
    }
    arguments
}

/// Runs one of the tools that `make` installed, on this terminal.
async fn tool(name: &str, arguments: &[String]) -> Result<(), CliError> {
    let own = Path::new(TOOLS).join(name);
    let program = if own.exists() { own } else { name.into() };
    say(format!("$ sam {}", arguments.join(" ")));
    let status = Command::new(&program)
        .args(arguments)
        .env("PATH", path_with_tools())
        .env("SAM_CLI_TELEMETRY", "0")
        .status()
        .await
        .map_err(|_| {
            CliError::new("missing: AWS SAM CLI").hint("make deploy installs it into .venv")
        })?;
    if status.success() {
        return Ok(());
    }
    let what = arguments.first().map_or("", String::as_str);
    Err(
        CliError::new(format!("sam {what} did not work; why stands above"))
            .hint("nothing was pushed; mend it and start make deploy again"),
    )
}

/// cargo-lambda is looked for on the path, by SAM.
fn path_with_tools() -> OsString {
    let here = std::env::current_dir().unwrap_or_default().join(TOOLS);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(here).chain(std::env::split_paths(&path));
    std::env::join_paths(folders).unwrap_or(path)
}

fn push_arguments(stack: &str, yes: bool) -> PushArgs {
    PushArgs {
        file: AUTOMATIONS.into(),
        rollback: None,
        replan: false,
        rename: Vec::new(),
        // They were asked about a moment ago.
        offline: true,
        yes,
        target: Target {
            local: None,
            stack: Some(stack.to_owned()),
        },
    }
}

/// Each webhook's URL, and what comes next.
fn tell(
    stack: &Stack,
    connections: &Connections,
    secrets: &Keys,
    limited: bool,
    sam: &SamConfig,
) -> Result<(), CliError> {
    let (tokens, secrets) = (&secrets.apis, &secrets.webhooks);
    let urls = urls(&stack.described.outputs, connections, secrets);
    say("\nWebhooks:");
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    for (name, url) in &urls {
        let missing = secrets.get(name).is_empty();
        let note = if missing { "no secret yet" } else { "" };
        rows.push(vec![name.as_str().into(), url.as_str().into(), note.into()]);
    }
    if rows.is_empty() {
        let doors = stack.described.outputs.values();
        for url in doors.filter(|url| url.ends_with("/{source}")) {
            say(format!("  {url}"));
        }
        let kinds: Vec<&str> = sources::ALL.iter().map(|source| source.kind()).collect();
        say(format!(
            "  {{source}} is the connection: {}, or a [source.x] of your own",
            kinds.join(", ")
        ));
    } else {
        say(output::table(&["connection", "URL", ""], &rows).trim_end());
    }
    say(
        "\nNext: callbell connect registers them at the provider (or enter them there), let an event come, then callbell events --all and callbell jobs",
    );
    if limited {
        say(
            "until you delete the line only_to and callbell push, messages reach the numbers in it alone",
        );
    }
    if tokens.get(CALLBELL).is_empty() {
        output::warn(
            "there is no Callbell token: messages wait until there is one",
            Some("callbell secrets set callbell --api, then callbell secrets push"),
        );
    }
    match sam.parameter(ALARM_EMAIL) {
        Some("") | None => output::warn(
            "alarms reach nobody",
            Some("AlarmEmail=\"you@example.com\" in samconfig.toml, then make deploy"),
        ),
        Some(_) => say("alarms go to AlarmEmail once the mail that AWS sent there is confirmed"),
    }
    Ok(())
}

/// The URL of each connection that the automations or the secrets name. A door's URL is the output
/// `{Function}Url`, with `{source}` for the name.
fn urls(
    outputs: &BTreeMap<String, String>,
    connections: &Connections,
    secrets: &Secrets,
) -> BTreeMap<String, String> {
    let names = connections
        .0
        .keys()
        .map(String::as_str)
        .chain(secrets.names());
    let url = |name: &str| {
        let source = sources::by_kind(&connections.get(name).kind)?;
        let door: String = source.function().to_owned();
        let output = outputs
            .iter()
            .find(|(key, _)| key.to_lowercase() == format!("{door}url"));
        output.map(|(_, url)| (name.to_owned(), url.replace("{source}", name)))
    };
    names.filter_map(url).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::connections::Connection;

    #[test]
    fn each_connection_has_its_url() {
        let outputs = BTreeMap::from([
            (
                "OrdersUrl".to_owned(),
                "https://a/orders/{source}".to_owned(),
            ),
            ("TableName".to_owned(), "t".to_owned()),
        ]);
        let italy = Connection {
            kind: "shopify".to_owned(),
            ..Connection::plain("loja-it")
        };
        let connections = Connections(BTreeMap::from([("loja-it".to_owned(), italy)]));
        let secrets = Secrets::from_json(r#"{"woocommerce": "a", "unknown": "b"}"#).unwrap();
        let found = urls(&outputs, &connections, &secrets);
        let wanted = [
            ("loja-it", "https://a/orders/loja-it"),
            ("woocommerce", "https://a/orders/woocommerce"),
        ];
        let wanted = wanted.map(|(name, url)| (name.to_owned(), url.to_owned()));
        assert_eq!(found, BTreeMap::from(wanted));
    }

    #[test]
    fn answers_are_checked() {
        let cases: [(Check, &str, bool); 12] = [
            (region, "sa-east-1", true),
            (region, "us-gov-west-1", true),
            (region, "Brazil", false),
            (region, "us-east", false),
            (region, "", false),
            (email, "", true),
            (email, "me@example.com", true),
            (email, "me", false),
            (email, "a b@example.com", false),
            (architecture, "arm64", true),
            (architecture, "arm", false),
            (stack_name, "1shop", false),
        ];
        for (check, text, fits) in cases {
            assert_eq!(check(text).is_ok(), fits, "{text}");
        }
    }

    #[test]
    fn without_a_person_what_is_missing_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(samconfig::FILE);
        if ask::is_terminal() {
            return;
        }
        let error = settings(&path).unwrap_err();
        assert!(error.to_string().contains("no stack_name"), "{error}");
        assert!(!path.exists());
        let text = "[default.global.parameters]\nstack_name = \"shop\"\nregion = \"sa-east-1\"\n";
        std::fs::write(&path, text).unwrap();
        for _ in 0..2 {
            let sam = settings(&path).unwrap();
            assert_eq!(sam.stack.as_deref(), Some("shop"));
            let kept = std::fs::read_to_string(&path).unwrap();
            assert_eq!(kept, format!("version = 0.1\n{text}"));
        }
    }

    #[test]
    fn what_is_kept_is_read_again() {
        let parameters = [
            (ALARM_EMAIL.to_owned(), String::new()),
            (ARCHITECTURE.to_owned(), "arm64".to_owned()),
        ];
        let text = overrides(&parameters);
        assert_eq!(text, "AlarmEmail=\"\" Architecture=\"arm64\"");
        let value = toml::Value::String(text);
        let file = edit::set(
            super::super::init::SAMCONFIG,
            GLOBAL,
            "parameter_overrides",
            &value,
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(samconfig::FILE);
        std::fs::write(&path, file).unwrap();
        assert_eq!(SamConfig::read(&path).unwrap().parameters, parameters);
    }
}
