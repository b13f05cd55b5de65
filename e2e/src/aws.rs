//! Questions to AWS's services, as the stand-in for AWS answers them.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::Mutex;

use crate::failure::{During as _, Failure, Outcome};
use crate::tools::Tools;

/// `aws.py`, running.
pub(crate) struct Aws(Mutex<Pipe>);

struct Pipe {
    questions: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    /// Ended when this is dropped.
    _process: Child,
}

impl Aws {
    /// Starts it; questions go to `endpoint`.
    pub(crate) fn start(tools: &Tools, endpoint: &str) -> Outcome<Aws> {
        let mut command = Command::new(tools.sam("python"));
        tools.environment(command.as_std_mut(), endpoint);
        let mut process = command
            .arg(tools.root.join("e2e/aws.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .during("aws.py")?;
        let questions = process.stdin.take().during("aws.py has no input")?;
        let answers = process.stdout.take().during("aws.py has no output")?;
        Ok(Aws(Mutex::new(Pipe {
            questions,
            answers: BufReader::new(answers).lines(),
            _process: process,
        })))
    }

    /// The answer of `service` (`cloudformation`) to `operation` (`get_template`), as boto3 words it.
    pub(crate) async fn ask(&self, service: &str, operation: &str, with: Value) -> Outcome<Value> {
        let mut pipe = self.0.lock().await;
        let question = format!("{}\n", json!([service, operation, with]));
        pipe.questions
            .write_all(question.as_bytes())
            .await
            .during("aws.py")?;
        let line = pipe.answers.next_line().await.during("aws.py")?;
        let line = line.during("aws.py has ended")?;
        let mut answer: Value = serde_json::from_str(&line).during("aws.py")?;
        match answer.get("error").and_then(Value::as_str) {
            Some(error) => Err(Failure::new(error)),
            None => Ok(answer
                .get_mut("answer")
                .map(Value::take)
                .unwrap_or_default()),
        }
    }
}
