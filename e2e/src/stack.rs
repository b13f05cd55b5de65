//! The stack: MiniStack in the place of AWS, and template.yaml deployed to it.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::aws::Aws;
use crate::failure::{During as _, Failure, Outcome, ensure};
use crate::process::{Group, functions_of};
use crate::tools::Tools;
use crate::wait::until;
use crate::wire::Wire;

/// What the stack is called.
pub(crate) const STACK: &str = "e2e";
/// Where `sam deploy` puts the code.
const BUCKET: &str = "e2e-artifacts";
/// How long MiniStack may take to answer, in seconds.
const START_S: u64 = 60;
/// How long `sam deploy` may take, in seconds.
const DEPLOY_S: u64 = 300;

/// MiniStack, and what lies between it and the functions that it runs. Ends when dropped.
pub(crate) struct Cloud {
    /// The process and, in its group, those of the functions.
    pub(crate) ministack: Group,
    /// Where it answers.
    pub(crate) endpoint: String,
    /// Where the functions ask.
    pub(crate) wire: Wire,
    /// The wire's address.
    wire_address: String,
    /// Questions to it.
    pub(crate) aws: Aws,
}

impl Cloud {
    /// Starts it, empty, on a free port. The functions that it will run find the wire in its own
    /// environment: it hands its `AWS_ENDPOINT_URL` on to them, and without one they would look for AWS itself.
    pub(crate) async fn start(tools: &Tools, http: &reqwest::Client) -> Outcome<Cloud> {
        let port = free_port()?;
        let endpoint = format!("http://127.0.0.1:{port}");
        let (wire, wire_address) = Wire::start(http.clone(), &endpoint).await?;
        let mut command = Command::new(tools.ministack("ministack"));
        tools.environment(&mut command, &wire_address);
        command
            .env("GATEWAY_PORT", port.to_string())
            .env("BIND_HOST", "127.0.0.1")
            .env("STATE_DIR", tools.scratch.join("state"))
            .env("IOT_MTLS_ENABLED", "0")
            .env("SFTP_ENABLED", "0");
        let ministack = Group::start(&mut command, &tools.logs.join("ministack.log"))?;
        let health = format!("{endpoint}/_ministack/health");
        until(
            "MiniStack answers",
            Duration::from_secs(START_S),
            async || {
                let answer = http.get(&health).send().await;
                let answer = answer.and_then(reqwest::Response::error_for_status);
                Ok(answer.map(drop).map_err(|error| error.to_string()))
            },
        )
        .await?;
        let aws = Aws::start(tools, &endpoint)?;
        Ok(Cloud {
            ministack,
            endpoint,
            wire,
            wire_address,
            aws,
        })
    }

    /// Every running function asks the wire, and nobody else; those that ask other systems ask the harness.
    pub(crate) fn ensure_loopback(&self, systems: &Addresses) -> Outcome {
        let functions = functions_of(self.ministack.id());
        let asking = functions
            .iter()
            .filter(|function| !function.systems.is_empty());
        ensure(asking.count() > 0, || {
            "no function that asks other systems runs".to_owned()
        })?;
        for function in functions {
            let endpoint = function.endpoint.as_deref();
            ensure(endpoint == Some(&self.wire_address), || {
                format!("{} looks for AWS at {endpoint:?}", function.name)
            })?;
            let asked = &function.systems;
            let ours = [&systems.callbell, &systems.providers];
            ensure(asked.is_empty() || asked.iter().eq(ours), || {
                format!("{} looks for other systems at {asked:?}", function.name)
            })?;
        }
        Ok(())
    }
}

/// Where the systems around the stack answer, which the harness plays.
pub(crate) struct Addresses {
    /// Callbell.
    pub(crate) callbell: String,
    /// All others, below it as `{host}/{path}`.
    pub(crate) providers: String,
}

/// What the deployed stack told.
pub(crate) struct Stack {
    /// `Host` of requests to the API.
    pub(crate) api_host: String,
}

/// Deploys what `sam build` made of template.yaml, with the systems around it at these addresses.
pub(crate) async fn deploy(
    tools: &Tools,
    cloud: &Cloud,
    architecture: &str,
    systems: &Addresses,
) -> Outcome<Stack> {
    cloud
        .aws
        .ask("s3", "create_bucket", json!({ "Bucket": BUCKET }))
        .await?;
    sam_deploy(tools, cloud, architecture, systems).await?;
    let described = json!({ "StackName": STACK });
    let described = cloud
        .aws
        .ask("cloudformation", "describe_stacks", described)
        .await?;
    let output = |name: &str| {
        let outputs = described.pointer("/Stacks/0/Outputs")?.as_array()?;
        let found = outputs.iter().find(|output| output["OutputKey"] == name)?;
        found["OutputValue"].as_str()
    };
    let url = output("ApiUrl").during("the stack has no output ApiUrl")?;
    let api = url
        .trim_start_matches("https://")
        .split('.')
        .next()
        .unwrap_or_default();
    routes(&cloud.aws, api).await?;
    Ok(Stack {
        api_host: format!("{api}.execute-api.localhost"),
    })
}

async fn sam_deploy(
    tools: &Tools,
    cloud: &Cloud,
    architecture: &str,
    systems: &Addresses,
) -> Outcome {
    // The user's own samconfig.toml has other parameters, and perhaps a real stack.
    let config = tools.scratch.join("samconfig.toml");
    fs::write(&config, "version = 0.1\n").during(config.display())?;
    let log = tools.logs.join("deploy.log");
    let file = File::create(&log).during(log.display())?;
    let mut command = Command::new(tools.sam("sam"));
    tools.environment(&mut command, &cloud.endpoint);
    command
        .arg("deploy")
        .args(["--template-file", ".aws-sam/build/template.yaml"])
        .arg("--config-file")
        .arg(&config)
        .args(["--stack-name", STACK, "--s3-bucket", BUCKET])
        .args(["--capabilities", "CAPABILITY_IAM"])
        .args(["--no-confirm-changeset", "--no-progressbar"])
        .arg("--parameter-overrides")
        .arg(format!("Architecture={architecture}"))
        .arg(format!("CallbellApiUrl={}", systems.callbell))
        .arg(format!("ProvidersApiUrl={}", systems.providers))
        .stdin(Stdio::null())
        .stderr(file.try_clone().during(log.display())?)
        .stdout(file);
    let mut command = tokio::process::Command::from(command);
    let deploying = command.kill_on_drop(true).status();
    let limit = Duration::from_secs(DEPLOY_S);
    let status = tokio::time::timeout(limit, deploying)
        .await
        .during("sam deploy")?
        .during("sam deploy")?;
    ensure(status.success(), || {
        format!("sam deploy failed: {}", log.display())
    })
}

/// MiniStack makes the API of a template's `HttpApi` events without its routes; they stand in the
/// template as SAM expanded it.
async fn routes(aws: &Aws, api: &str) -> Outcome {
    let processed = json!({ "StackName": STACK, "TemplateStage": "Processed" });
    let processed = aws.ask("cloudformation", "get_template", processed).await?;
    let body = &processed["TemplateBody"];
    let template = match body.as_str() {
        Some(text) => serde_json::from_str(text).during("the processed template")?,
        None => body.clone(),
    };
    let resources = template["Resources"].as_object();
    let paths = resources
        .into_iter()
        .flat_map(|resources| resources.values())
        .filter(|resource| resource["Type"] == "AWS::ApiGatewayV2::Api")
        .filter_map(|resource| resource.pointer("/Properties/Body/paths")?.as_object())
        .flatten();
    let mut made = 0;
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            let function =
                function_of(operation).during(format_args!("{path} leads to no function"))?;
            let integration = json!({
                "ApiId": api, "IntegrationType": "AWS_PROXY", "PayloadFormatVersion": "2.0",
                "IntegrationUri": arn(aws, &function).await?,
            });
            let integration = aws
                .ask("apigatewayv2", "create_integration", integration)
                .await?;
            let integration = integration["IntegrationId"].as_str().unwrap_or_default();
            let method = match method.as_str() {
                "x-amazon-apigateway-any-method" => "ANY".to_owned(),
                method => method.to_uppercase(),
            };
            let route = json!({
                "ApiId": api, "RouteKey": format!("{method} {path}"),
                "Target": format!("integrations/{integration}"),
            });
            aws.ask("apigatewayv2", "create_route", route).await?;
            made += 1;
        }
    }
    ensure(made > 0, || {
        "the processed template has no route".to_owned()
    })
}

/// The logical name of the function behind a path: SAM writes it into the integration's address as
/// `${Orders.Arn}`.
fn function_of(operation: &Value) -> Option<String> {
    let uri = &operation["x-amazon-apigateway-integration"]["uri"];
    let uri = uri["Fn::Sub"].as_str().or(uri.as_str())?;
    let (_, name) = uri.split_once("functions/${")?;
    name.split_once(".Arn}").map(|(name, _)| name.to_owned())
}

/// The ARN of the function with this logical name.
pub(crate) async fn arn(aws: &Aws, function: &str) -> Outcome<String> {
    let resource = json!({ "StackName": STACK, "LogicalResourceId": function });
    let resource = aws
        .ask("cloudformation", "describe_stack_resource", resource)
        .await?;
    let name = resource.pointer("/StackResourceDetail/PhysicalResourceId");
    let name = name.and_then(Value::as_str).unwrap_or_default();
    let found = aws
        .ask("lambda", "get_function", json!({ "FunctionName": name }))
        .await?;
    let arn = found.pointer("/Configuration/FunctionArn");
    let arn = arn.and_then(Value::as_str).map(str::to_owned);
    arn.ok_or_else(|| Failure::new(format!("{function} was not deployed")))
}

/// A port that nobody has at this moment.
fn free_port() -> Outcome<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).during("a free port")?;
    Ok(listener.local_addr().during("a free port")?.port())
}
