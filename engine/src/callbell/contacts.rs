//! What the API does to a person: found, made, changed, and their conversation. All of it may be repeated:
//! the same again leaves things as they are, but for a note.

use reqwest::Method;
use serde::Serialize;
use serde_json::{Value, json};

use super::outcome::{self, CallError};
use super::types::{self, Contact, ContactBody, Funnel};
use super::{Callbell, unreadable};

/// What Callbell's own bot is to do with a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BotStatus {
    /// Answers.
    Start,
    /// Is silent.
    End,
}

impl BotStatus {
    /// The word of `bot_status` and of `POST /contacts/:uuid/bot`.
    pub fn as_str(self) -> &'static str {
        match self {
            BotStatus::Start => "bot_start",
            BotStatus::End => "bot_end",
        }
    }
}

impl Callbell {
    /// `GET /contacts/:uuid`. `types`: with the types of the custom fields. `None`: there is no such person.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn contact(&self, uuid: &str, types: bool) -> Result<Option<Contact>, CallError> {
        let query: &[(&str, String)] = match types {
            true => &[("include_field_types", "true".to_owned())],
            false => &[],
        };
        self.one_contact(&["contacts", uuid], query, &[]).await
    }

    /// `GET /contacts/phone/:number`, on the given channel. `None`: Callbell does not know the number.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn contact_by_phone(
        &self,
        phone: &str,
        channel: Option<&str>,
    ) -> Result<Option<Contact>, CallError> {
        let query: Vec<(&str, String)> = channel
            .map(|uuid| ("channel_uuid", uuid.to_owned()))
            .into_iter()
            .collect();
        let echoes = [phone, phone.trim_start_matches('+')];
        self.one_contact(&["contacts", "phone", phone], &query, &echoes)
            .await
    }

    /// `GET /contacts/bsuid/:bsuid`. `None`: Callbell does not know it.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn contact_by_bsuid(&self, bsuid: &str) -> Result<Option<Contact>, CallError> {
        self.one_contact(&["contacts", "bsuid", bsuid], &[], &[bsuid])
            .await
    }

    /// `POST /contacts`. `None`: made, but the answer does not show whom.
    ///
    /// # Errors
    /// [`CallError`]; [`CallError::Refused`] also where the person is there already.
    pub async fn create_contact(&self, body: &ContactBody) -> Result<Option<Contact>, CallError> {
        let json = self
            .change(Method::POST, &["contacts"], Some(body), &body.echoes())
            .await?;
        Ok(read(&json).unwrap_or_default())
    }

    /// `PATCH /contacts/:uuid`. `None`: changed, but the answer does not show to what.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn update_contact(
        &self,
        uuid: &str,
        body: &ContactBody,
    ) -> Result<Option<Contact>, CallError> {
        let path = ["contacts", uuid];
        let json = self
            .change(Method::PATCH, &path, Some(body), &body.echoes())
            .await?;
        Ok(read(&json).unwrap_or_default())
    }

    /// `POST /contacts/:uuid/conversation/note`: a note for the team. Again is a second one.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn note(&self, contact: &str, text: &str) -> Result<(), CallError> {
        let path = ["contacts", contact, "conversation", "note"];
        self.change(Method::POST, &path, Some(&json!({ "text": text })), &[text])
            .await
            .map(drop)
    }

    /// `POST /contacts/:uuid/conversation/open`.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn open_conversation(&self, contact: &str) -> Result<(), CallError> {
        let path = ["contacts", contact, "conversation", "open"];
        self.change(Method::POST, &path, None::<&()>, &[])
            .await
            .map(drop)
    }

    /// `POST /contacts/:uuid/conversation/close`.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn close_conversation(&self, contact: &str) -> Result<(), CallError> {
        let path = ["contacts", contact, "conversation", "close"];
        self.change(Method::POST, &path, None::<&()>, &[])
            .await
            .map(drop)
    }

    /// `GET /contacts/:uuid/bot`: `in_progress`, `started`, `ended`. `None`: no bot has to do with the
    /// person.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn bot(&self, contact: &str) -> Result<Option<String>, CallError> {
        let json = self.get(&["contacts", contact, "bot"], &[]).await?;
        let status = json.as_ref().and_then(|json| json.pointer("/bot/status"));
        Ok(status.and_then(Value::as_str).map(str::to_owned))
    }

    /// `POST /contacts/:uuid/bot`.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn set_bot(&self, contact: &str, status: BotStatus) -> Result<(), CallError> {
        let path = ["contacts", contact, "bot"];
        let body = json!({ "status": status.as_str() });
        self.change(Method::POST, &path, Some(&body), &[])
            .await
            .map(drop)
    }

    /// `PUT /contacts/:uuid/conversation/update_funnel`.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn set_funnel(&self, contact: &str, funnel: &str) -> Result<(), CallError> {
        let path = ["contacts", contact, "conversation", "update_funnel"];
        let body = json!({ "funnel_id": funnel });
        self.change(Method::PUT, &path, Some(&body), &[])
            .await
            .map(drop)
    }

    /// `GET /funnels`.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn funnels(&self) -> Result<Vec<Funnel>, CallError> {
        self.all(&["funnels"], "funnels").await
    }

    async fn one_contact(
        &self,
        path: &[&str],
        query: &[(&str, String)],
        echoes: &[&str],
    ) -> Result<Option<Contact>, CallError> {
        let answer = self.call(Method::GET, path, query, None::<&()>).await;
        match outcome::of_question(answer, echoes) {
            Ok(Some(json)) => read(&json).ok_or_else(|| unreadable("contact")),
            Ok(None) => Ok(None),
            // What somebody who is not there is answered with is not documented: 404, nothing, or this.
            Err(CallError::Refused { reason, .. })
                if reason.to_ascii_lowercase().contains("not found") =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn change<B: Serialize>(
        &self,
        method: Method,
        path: &[&str],
        body: Option<&B>,
        echoes: &[&str],
    ) -> Result<Value, CallError> {
        outcome::of_change(self.call(method, path, &[], body).await, echoes)
    }
}

/// The person of an answer; `None` where it cannot be read.
fn read(json: &Value) -> Option<Option<Contact>> {
    types::one(json.get("contact").unwrap_or(json)).ok()
}
