//! The automations file, pushed at start and whenever it changes.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use engine::automations::listing;
use shared::sources::callbell;

use super::{World, secrets};
use crate::project::{self, Files};
use crate::standin::{AccountData, webhooks};

/// How often the file is looked at, in milliseconds.
const WATCH_MS: u64 = 300;

/// Looks at the file again and again; what is wrong with it is said, and the last good one stays.
pub(super) async fn watch(world: Arc<World>, path: std::path::PathBuf, mut seen: Option<Files>) {
    while !*world.stopping.borrow() {
        tokio::time::sleep(Duration::from_millis(WATCH_MS)).await;
        // An editor may be between removing and writing the file: the next look finds it.
        let Ok(files) = Files::read(&path) else {
            continue;
        };
        if seen.as_ref() != Some(&files) {
            world.push(&files).await;
            seen = Some(files);
        }
    }
}

/// Takes over secrets that were changed; a file that cannot be read leaves those that are in use.
pub(super) async fn watch_secrets(world: Arc<World>, path: std::path::PathBuf) {
    let changed_at = || {
        std::fs::metadata(&path)
            .and_then(|file| file.modified())
            .ok()
    };
    let mut seen = changed_at();
    while !*world.stopping.borrow() {
        tokio::time::sleep(Duration::from_millis(WATCH_MS)).await;
        let now = changed_at();
        if now == seen {
            continue;
        }
        seen = now;
        match secrets::Files::read(&path) {
            Ok(files) => {
                *world
                    .secrets
                    .write()
                    .unwrap_or_else(PoisonError::into_inner) = files;
                world.reload().await;
                (world.notice)(&format!("{} read again", path.display()));
            }
            Err(error) => (world.notice)(&error.to_string()),
        }
    }
}

impl World {
    /// Checks the files and pushes them; says what is wrong instead where something is.
    pub(super) async fn push(&self, files: &Files) {
        let name = files.path.display().to_string();
        let report = files.check(self.clock.now());
        let listed = listing(&name, &report.diagnostics);
        let Some(automations) = &report.automations else {
            (self.notice)(&format!(
                "{listed}{name} is not pushed: {}",
                report.summary()
            ));
            return;
        };
        if !listed.is_empty() {
            (self.notice)(listed.trim_end());
        }
        let connections = project::connections(automations);
        let templates = files.templates_json();
        let pushed = match self.store.config().await {
            // What was pushed before a restart need not become a version again.
            Ok(Some(row)) if row.file == files.text && row.templates == templates => {
                Ok(row.version)
            }
            Ok(_) => {
                self.store
                    .push_config(&files.text, templates, &connections)
                    .await
            }
            Err(error) => Err(error),
        };
        self.connect_mailbox(automations).await;
        // Said when it is in use, not before.
        self.reload().await;
        match pushed {
            Ok(version) => (self.notice)(&format!("{name} pushed: version {version}")),
            Err(error) => (self.notice)(&format!("{name} could not be pushed: {error}")),
        }
    }

    /// Takes over what was pushed last, whoever pushed it: new functions read it afresh, and the
    /// stand-in's account has its channels, templates, teams and funnels. Secrets are read again as well: who
    /// changed them asks for this and goes on at once.
    pub(super) async fn reload(&self) {
        if let Some(path) = &self.settings.secrets
            && let Ok(files) = secrets::Files::read(path)
        {
            *self.secrets.write().unwrap_or_else(PoisonError::into_inner) = files;
        }
        let secrets = self.secrets();
        let tokens = secrets.apis.get(secrets::CALLBELL);
        let tokens = tokens
            .iter()
            .map(|token| token.expose().to_owned())
            .collect();
        let (signing, _) = webhooks::signing_and_path(secrets.webhooks.get(callbell::KIND));
        self.stand_in.sign_webhooks(signing);
        let mut account = AccountData {
            tokens,
            ..AccountData::default()
        };
        if let Ok(Some(row)) = self.store.config().await
            && let Ok(automations) = engine::automations::parse(&row.file)
        {
            let templates = project::templates(&row.templates);
            (account.channels, account.templates, account.teams) =
                project::account(&automations, &templates);
            if self.settings.secrets.is_none() {
                let files = secrets::Files::demo_for(&automations);
                *self.secrets.write().unwrap_or_else(PoisonError::into_inner) = files;
            }
            account.funnels = project::funnels(&automations);
            // A sheet is there, with the headers that the file names, unless a test put another one there.
            for table in automations.sheets.values() {
                let headers = table.columns.keys().map(String::as_str);
                let sheets = &self.told.sheets;
                sheets.prepare(&table.spreadsheet, &table.tab, headers);
            }
        }
        self.stand_in.set_account(account);
        self.renew_functions().await;
    }
}
