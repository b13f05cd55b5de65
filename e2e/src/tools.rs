//! The programs that are run, and what they may know of the machine around them.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The region that the stand-in for AWS plays.
pub(crate) const REGION: &str = "us-east-1";

/// Where everything is.
pub(crate) struct Tools {
    /// The repository.
    pub(crate) root: PathBuf,
    /// What this run writes and forgets: state, files, the programs' own temporary ones.
    pub(crate) scratch: PathBuf,
    /// What a reader of a failure wants: logs.
    pub(crate) logs: PathBuf,
}

impl Tools {
    /// A program of the virtual environment with AWS SAM CLI.
    pub(crate) fn sam(&self, program: &str) -> PathBuf {
        self.root.join(".venv/bin").join(program)
    }

    /// A program of the virtual environment with MiniStack.
    pub(crate) fn ministack(&self, program: &str) -> PathBuf {
        self.root.join(".venv-ministack/bin").join(program)
    }

    /// The command `callbell`, which was built beside this program.
    pub(crate) fn callbell(&self) -> PathBuf {
        let this = std::env::current_exe().unwrap_or_default();
        this.parent().unwrap_or(Path::new("")).join("callbell")
    }

    /// Gives a program an environment that leads nowhere but to `endpoint`: nothing of the user's own
    /// settings, profiles and proxies for AWS is in it.
    pub(crate) fn environment(&self, command: &mut Command, endpoint: &str) {
        let kept = ["PATH", "HOME", "USER"].map(|name| (name, std::env::var_os(name)));
        command.env_clear();
        for (name, value) in kept {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        let none = self.scratch.join("none");
        command
            .current_dir(&self.root)
            .env("LANG", "C.UTF-8")
            .env("TMPDIR", &self.scratch)
            .env("NO_PROXY", "127.0.0.1,localhost")
            .env("AWS_ENDPOINT_URL", endpoint)
            .env("AWS_REGION", REGION)
            .env("AWS_DEFAULT_REGION", REGION)
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_CONFIG_FILE", &none)
            .env("AWS_SHARED_CREDENTIALS_FILE", &none)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("SAM_CLI_TELEMETRY", "0")
            .env("SAM_CLI_POLL_DELAY", "1");
    }
}
