//! `callbell templates [pull]`.

use engine::automations::templates::{Template, Templates};
use engine::callbell::TemplateInfo;

use super::Outcome;
use crate::args::{AccountArgs, TemplatesAction, TemplatesArgs};
use crate::error::CliError;
use crate::installation::local;
use crate::output::{self, Cell, count, say, table};
use crate::project;
use crate::standin::rules::placeholders;

/// Lists the account's templates with what to paste, or keeps them in a file.
///
/// # Errors
/// The account cannot be asked, the file cannot be written.
pub async fn run(args: &TemplatesArgs) -> Outcome {
    match &args.action {
        None => list(&args.account).await,
        Some(TemplatesAction::Pull { file, account }) => {
            // `templates --local pull` means the same as `templates pull --local`.
            let account = AccountArgs {
                local: account.local.or(args.account.local),
                ..account.clone()
            };
            let templates = local::account(&account).await?.templates().await?;
            let text = kept(&templates).to_json();
            std::fs::write(file, text).map_err(|error| {
                CliError::new(format!("{} cannot be written: {error}", file.display()))
            })?;
            say(format!(
                "{} kept in {}",
                count(templates.len(), "template"),
                file.display()
            ));
            Ok(0)
        }
    }
}

/// The account's templates as the file keeps them.
fn kept(templates: &[TemplateInfo]) -> Templates {
    templates.iter().map(Template::from).collect()
}

async fn list(args: &AccountArgs) -> Outcome {
    let templates = local::account(args).await?.templates().await?;
    if args.json {
        output::json(&templates)?;
        return Ok(0);
    }
    if templates.is_empty() {
        say(format!(
            "the account has no template{}",
            if args.local.is_some() {
                format!(
                    ": the stand-in takes them from {} beside the automations",
                    project::TEMPLATES
                )
            } else {
                String::new()
            }
        ));
        return Ok(0);
    }
    let rows: Vec<Vec<Cell>> = templates
        .iter()
        .map(|template| {
            vec![
                template.title.clone().into(),
                template.status.clone().unwrap_or_default().into(),
                template.category.clone().unwrap_or_default().into(),
                placeholders(&template.text).to_string().into(),
                one_line(&template.text).into(),
            ]
        })
        .collect();
    say(table(&["title", "status", "category", "values", "text"], &rows).trim_end());
    say("\nfor automations.toml:\n");
    for template in &templates {
        say(block(template));
    }
    Ok(0)
}

/// A `[message.x]` to paste.
fn block(template: &TemplateInfo) -> String {
    let values = vec!["\"…\""; placeholders(&template.text)].join(", ");
    format!(
        "[message.{}]{}\ntemplate = \"{}\"  # {}\nvalues   = [{values}]\n",
        name(&template.title),
        match template.category.as_deref() {
            Some(category) if category.eq_ignore_ascii_case("marketing") =>
                "\npurpose  = \"marketing\"",
            _ => "",
        },
        template.uuid,
        one_line(&template.text),
    )
}

/// A template's title as a name that the language allows.
fn name(title: &str) -> String {
    let mut name = String::new();
    for c in title.to_lowercase().chars() {
        if c.is_ascii_lowercase() || c.is_ascii_digit() {
            name.push(c);
        } else if !name.ends_with('-') && !name.is_empty() {
            name.push('-');
        }
    }
    let name: String = name.chars().take(40).collect();
    let name = name.trim_end_matches('-');
    if name.is_empty() {
        "template".to_owned()
    } else {
        name.to_owned()
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_can_be_pasted() {
        let template: TemplateInfo = serde_json::from_value(serde_json::json!({
            "uuid": "a".repeat(32), "title": "Carrinho_1 (pt)", "text": "Oi {{1}},\nveja {{2}}", "category": "MARKETING",
        }))
        .unwrap();
        let block = block(&template);
        let table: toml::Table = block.replace("\"…\"", "\"x\"").parse().unwrap();
        let message = &table["message"]["carrinho-1-pt"];
        assert_eq!(message["values"].as_array().unwrap().len(), 2);
        assert_eq!(message["purpose"].as_str(), Some("marketing"));
        assert_eq!(name("---"), "template");
        let json = kept(&[template]).to_json();
        let read = Templates::from_json(&json).unwrap();
        assert_eq!(
            read.iter().count(),
            1,
            "what Callbell leaves out can be read back"
        );
    }
}
