//! The user's files: `automations.toml`, and beside it `templates.json`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use engine::automations::model::Automations;
use engine::automations::{Diagnostic, Severity};
use engine::callbell::TemplateInfo;
use shared::connections::{Connection, Connections};

use crate::error::CliError;
use crate::standin::rules::{Channel, Template};

/// The user's automations where no file is named.
pub const AUTOMATIONS: &str = "automations.toml";
/// What `callbell templates pull` writes, beside the automations.
pub const TEMPLATES: &str = "templates.json";

/// Both files as they were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// Where the automations stand.
    pub path: PathBuf,
    /// The automations.
    pub text: String,
    /// The templates, `[]` where there is no file.
    pub templates: String,
}

/// A file that can be used.
pub struct Checked {
    /// The automations.
    pub automations: Automations,
    /// What is better changed.
    pub warnings: Vec<Diagnostic>,
}

impl Files {
    /// Reads them. A missing `templates.json` is an empty one.
    ///
    /// # Errors
    /// The automations cannot be read, or the templates are there and cannot.
    pub fn read(path: &Path) -> Result<Files, CliError> {
        let failed = |path: &Path, error: std::io::Error| {
            CliError::new(format!("{} cannot be read: {error}", path.display()))
        };
        let text = std::fs::read_to_string(path).map_err(|error| {
            failed(path, error).hint("callbell init writes a first one; another file goes behind the command's name or --automations")
        })?;
        let beside = path.with_file_name(TEMPLATES);
        let templates = match std::fs::read_to_string(&beside) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => "[]".to_owned(),
            Err(error) => return Err(failed(&beside, error)),
        };
        Ok(Files {
            path: path.to_owned(),
            text,
            templates,
        })
    }

    /// Checks them.
    ///
    /// # Errors
    /// Every mistake, warnings among them.
    pub fn check(&self) -> Result<Checked, Vec<Diagnostic>> {
        let automations = engine::automations::parse(&self.text)?;
        let (errors, warnings): (Vec<Diagnostic>, Vec<Diagnostic>) = Vec::new()
            .into_iter()
            .partition(|one: &Diagnostic| one.severity == Severity::Error);
        if errors.is_empty() {
            return Ok(Checked {
                automations,
                warnings,
            });
        }
        Err(errors.into_iter().chain(warnings).collect())
    }

    /// The templates; what cannot be read is none.
    pub fn templates(&self) -> Vec<TemplateInfo> {
        templates(&self.templates)
    }
}

/// Reads `templates.json`; what cannot be read is none.
pub fn templates(json: &str) -> Vec<TemplateInfo> {
    serde_json::from_str(json).unwrap_or_default()
}

/// The `[source.x]` tables as doors read them.
pub fn connections(automations: &Automations) -> Connections {
    let connection = |(name, table): (&String, &engine::automations::model::SourceTable)| {
        let connection = Connection {
            name: name.clone(),
            kind: table.kind.clone(),
            country: table.place.country.clone(),
            phone_from: table.phone_from.clone(),
        };
        (name.clone(), connection)
    };
    Connections(
        automations
            .sources
            .iter()
            .map(connection)
            .collect::<BTreeMap<_, _>>(),
    )
}

/// What the stand-in's account has, so that the file's own channels, teams and templates are known to it.
pub fn account(
    automations: &Automations,
    templates: &[TemplateInfo],
) -> (Vec<Channel>, Vec<Template>, Vec<String>) {
    let channels = automations.channels.iter().map(|(name, channel)| Channel {
        uuid: channel.uuid.clone(),
        title: name.clone(),
        kind: channel.kind.as_str().to_owned(),
    });
    let templates = templates.iter().map(|template| Template {
        uuid: template.uuid.clone(),
        title: template.title.clone(),
        text: template.text.clone(),
        kind: template.template_type.clone().unwrap_or_default(),
        category: template.category.clone().unwrap_or_default(),
        status: template
            .status
            .clone()
            .unwrap_or_else(|| "approved".to_owned()),
    });
    let teams = automations
        .messages
        .values()
        .filter_map(|message| message.team.clone());
    (channels.collect(), templates.collect(), teams.collect())
}
