//! The action `sheet`: one row of a Google sheet. Columns are found by their header in row 1, wherever it
//! stands; values are written as they are (`RAW`), as texts: a phone number keeps its `+`, and what a
//! customer writes is never a formula. <https://developers.google.com/workspace/sheets/api/reference/rest>
//!
//! The secret is the JSON key of a service account, with whose address the sheet has to be shared as
//! editor, or JSON of `client_id`, `client_secret` and `refresh_token` of a person.
//!
//! **Once or twice?** A row with a `key` is looked for first, so doing the same again changes nothing, also
//! where an answer was lost. Google cannot append a row only if it is not there: two jobs that append one key
//! at the same time make two rows. Whoever appends looks again; where an earlier row has the key, that one
//! gets the values and the new one is emptied. A row without a `key`, or with `mode = "append"`, may stand
//! there twice where an answer was lost.
//!
//! **How often.** Google takes 60 reads and 60 writes a minute of one user, and a service account is one.
//! This process stays below that; others may not, and then Google's 429 says so.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use shared::secrets::Secret;

use super::deed::{ActError, Desk, Done};
use super::tokens::Token;
use crate::apis::{Auth, Body, Call, Reply};
use crate::fetch::{FetchError, google_auth};

const HOST: &str = "sheets.googleapis.com";
/// Reads, and writes, that Google takes of one user a minute.
/// <https://developers.google.com/workspace/sheets/api/limits>
const REQUESTS_PER_MINUTE_MAX: usize = 60;
/// When a 429 without a time is over at the latest: the quota is a minute's.
const QUOTA_BACK: Duration = Duration::from_secs(60);
/// Most characters of a cell. <https://support.google.com/drive/answer/37603>
const CELL_CHARS_MAX: usize = 50_000;

/// A rendered `[sheet.x]`.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    /// The id in the sheet's address.
    pub spreadsheet: &'a str,
    /// The tab's name.
    pub tab: &'a str,
    /// Header → value.
    pub columns: &'a BTreeMap<String, String>,
    /// The header whose value tells rows apart.
    pub key: Option<&'a str>,
    /// Never updates a row.
    pub append: bool,
}

impl<'a> Row<'a> {
    /// The header and the value that find the row, where it may be found.
    fn wanted(&self) -> Option<(&'a str, &'a str)> {
        let key = self.key.filter(|_| !self.append)?;
        let value = self.columns.get(key).map_or("", |value| value.trim());
        Some((key, value))
    }
}

/// Writes the row, once a secret that Google does not refuse.
///
/// # Errors
/// [`ActError`].
pub async fn write(desk: Desk<'_>, row: Row<'_>) -> Result<Done, ActError> {
    if let Some((key, "")) = row.wanted() {
        return Ok(Done::Skipped(format!("the key {key} is blank")));
    }
    let long = |value: &String| value.chars().count() > CELL_CHARS_MAX;
    if let Some((name, _)) = row.columns.iter().find(|(_, value)| long(value)) {
        let why = format!("{name} has more than {CELL_CHARS_MAX} characters");
        return Err(ActError::Rejected(why));
    }
    let mut refused = ActError::Refused("there is no API secret".to_owned());
    for secret in desk.secrets {
        match with_secret(desk, secret, row).await {
            Err(error @ ActError::Refused(_)) => refused = error,
            other => return other,
        }
    }
    Err(refused)
}

async fn with_secret(desk: Desk<'_>, secret: &Secret, row: Row<'_>) -> Result<Done, ActError> {
    let key = format!(
        "google-sheets {}",
        hex::encode(Sha256::digest(secret.expose().as_bytes()))
    );
    let reads = if row.wanted().is_some() { 3 } else { 1 };
    pace(desk, &key, "reads", reads)?;
    pace(desk, &key, "writes", 1)?;
    if let Some(held) = desk.tokens.get(&key, desk.now) {
        match (Sheet {
            desk,
            token: &held.value,
            row,
        })
        .write()
        .await
        {
            // It may have been taken back before its time.
            Err(ActError::Refused(_)) => desk.tokens.forget(&key),
            other => return other,
        }
    }
    let (token, seconds) = google_auth::ask(desk.apis, secret, google_auth::SHEETS, desk.now)
        .await
        .map_err(unanswered)?;
    let value = token.into_secret();
    let until = desk
        .now
        .saturating_add(jiff::SignedDuration::from_secs(seconds))
        .unwrap_or(desk.now);
    let held = Token {
        value: value.clone(),
        until,
        host: None,
    };
    desk.tokens.put(&key, held);
    Sheet {
        desk,
        token: &value,
        row,
    }
    .write()
    .await
}

fn pace(desk: Desk<'_>, key: &str, what: &str, requests: usize) -> Result<(), ActError> {
    desk.tokens
        .pace(
            &format!("{key} {what}"),
            desk.now,
            requests,
            REQUESTS_PER_MINUTE_MAX,
        )
        .map_err(|wait| ActError::Limited {
            why: format!("Google Sheets takes {REQUESTS_PER_MINUTE_MAX} {what} a minute"),
            retry_after: Some(wait),
        })
}

fn unanswered(error: FetchError) -> ActError {
    match error {
        FetchError::Refused(why) => ActError::Refused(why),
        FetchError::Unavailable {
            why,
            retry_after: Some(wait),
        } => ActError::Limited {
            why,
            retry_after: Some(wait),
        },
        other => ActError::Unavailable(other.to_string()),
    }
}

/// A tab that is written to.
struct Sheet<'a> {
    desk: Desk<'a>,
    token: &'a Secret,
    row: Row<'a>,
}

impl Sheet<'_> {
    async fn write(&self) -> Result<Done, ActError> {
        let columns = self.columns().await?;
        let Some((key, value)) = self.row.wanted() else {
            self.append(&columns).await?;
            return Ok(done("appended"));
        };
        let column = self.named(&columns, key)?;
        if let Some(number) = self.rows_with(column, value).await?.first() {
            self.update(*number, &columns).await?;
            return Ok(done("updated"));
        }
        let ours = self.append(&columns).await?;
        // Somebody else may have appended the same key since we looked.
        let earlier = self.rows_with(column, value).await?.first().copied();
        match (ours, earlier) {
            (Some(ours), Some(first)) if first < ours => {
                self.update(first, &columns).await?;
                self.clear(ours, &columns).await?;
                Ok(done("updated"))
            }
            _ => Ok(done("appended")),
        }
    }

    /// Index of the column → its value, for every column of the row.
    async fn columns(&self) -> Result<Columns, ActError> {
        let header = self.read(&self.range("1:1"), "ROWS").await?;
        let mut columns = Columns::default();
        for (index, name) in header.iter().enumerate() {
            columns.headers.push((plain(name).trim().to_owned(), index));
        }
        for (name, value) in self.row.columns {
            let index = self.named(&columns, name)?;
            columns.cells.insert(index, value.clone());
        }
        Ok(columns)
    }

    fn named(&self, columns: &Columns, name: &str) -> Result<usize, ActError> {
        let found = columns
            .headers
            .iter()
            .find(|(header, _)| header == name.trim());
        found.map(|(_, index)| *index).ok_or_else(|| {
            let tab = self.row.tab;
            ActError::Rejected(format!("row 1 of the tab {tab} has no column {name}"))
        })
    }

    /// Numbers of the rows, from the top, that have this value in a column.
    async fn rows_with(&self, column: usize, value: &str) -> Result<Vec<usize>, ActError> {
        let letters = letters(column);
        let cells = self
            .read(&self.range(&format!("{letters}2:{letters}")), "COLUMNS")
            .await?;
        let rows = cells.iter().zip(2_usize..);
        Ok(rows
            .filter(|(cell, _)| plain(cell).trim() == value)
            .map(|(_, number)| number)
            .collect())
    }

    async fn update(&self, number: usize, columns: &Columns) -> Result<(), ActError> {
        let data: Vec<Value> = columns
            .cells
            .iter()
            .map(|(index, value)| {
                let cell = self.range(&format!("{}{number}", letters(*index)));
                json!({ "range": cell, "values": [[value]] })
            })
            .collect();
        self.write_cells(&data).await
    }

    async fn write_cells(&self, data: &[Value]) -> Result<(), ActError> {
        let body = json!({ "valueInputOption": "RAW", "data": data });
        let path = [
            "v4",
            "spreadsheets",
            self.row.spreadsheet,
            "values:batchUpdate",
        ];
        self.call(Method::POST, &path, &[], Body::Json(&body))
            .await
            .map(drop)
    }

    /// Appends the row; its number, where the answer says.
    async fn append(&self, columns: &Columns) -> Result<Option<usize>, ActError> {
        let Some((first, last)) = columns.span() else {
            return Ok(None);
        };
        let cells: Vec<&str> = (first..=last)
            .map(|index| columns.cells.get(&index).map_or("", String::as_str))
            .collect();
        let body = json!({ "majorDimension": "ROWS", "values": [cells] });
        let range = self.range(&format!("{}1:{}1", letters(first), letters(last)));
        let path = [
            "v4",
            "spreadsheets",
            self.row.spreadsheet,
            "values",
            &format!("{range}:append"),
        ];
        let query = [
            ("valueInputOption", "RAW".to_owned()),
            ("insertDataOption", "INSERT_ROWS".to_owned()),
        ];
        let reply = self
            .call(Method::POST, &path, &query, Body::Json(&body))
            .await?;
        let json = reply.json();
        let updated = json
            .pointer("/updates/updatedRange")
            .and_then(Value::as_str);
        let Some((column, number)) = updated.and_then(first_cell) else {
            return Ok(None);
        };
        if column != first {
            self.shift(column, first, last, number, columns).await?;
        }
        Ok(Some(number))
    }

    /// Google takes what it thinks is the table, and begins where that does: a cell beside the headers moves
    /// the row. It goes where it belongs.
    async fn shift(
        &self,
        from: usize,
        first: usize,
        last: usize,
        number: usize,
        columns: &Columns,
    ) -> Result<(), ActError> {
        let left = from.min(first);
        let right = from.saturating_add(last.saturating_sub(first)).max(last);
        let cells: Vec<&str> = (left..=right)
            .map(|index| columns.cells.get(&index).map_or("", String::as_str))
            .collect();
        let range = format!("{}{number}:{}{number}", letters(left), letters(right));
        let data = json!({ "range": self.range(&range), "values": [cells] });
        self.write_cells(&[data]).await
    }

    async fn clear(&self, number: usize, columns: &Columns) -> Result<(), ActError> {
        let Some((first, last)) = columns.span() else {
            return Ok(());
        };
        let range = format!("{}{number}:{}{number}", letters(first), letters(last));
        let path = [
            "v4",
            "spreadsheets",
            self.row.spreadsheet,
            "values",
            &format!("{}:clear", self.range(&range)),
        ];
        let nothing = json!({});
        self.call(Method::POST, &path, &[], Body::Json(&nothing))
            .await
            .map(drop)
    }

    /// The cells of one row or column.
    async fn read(&self, range: &str, dimension: &str) -> Result<Vec<Value>, ActError> {
        let path = ["v4", "spreadsheets", self.row.spreadsheet, "values", range];
        let query = [
            ("majorDimension", dimension.to_owned()),
            ("valueRenderOption", "UNFORMATTED_VALUE".to_owned()),
        ];
        let reply = self.call(Method::GET, &path, &query, Body::None).await?;
        // Nothing written yet: no values.
        let cells = reply.json();
        let cells = cells.pointer("/values/0").and_then(Value::as_array);
        Ok(cells.cloned().unwrap_or_default())
    }

    async fn call(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: Body<'_>,
    ) -> Result<Reply, ActError> {
        let call = Call {
            method,
            host: HOST,
            path,
            query,
            auth: Auth::Bearer(self.token.expose()),
            body,
        };
        let reply = self.desk.apis.call(&call).await?;
        if reply.is_success() {
            return Ok(reply);
        }
        Err(failure(&reply, self.row.tab))
    }

    /// `'Tab'!A1:B2`.
    fn range(&self, cells: &str) -> String {
        format!("'{}'!{cells}", self.row.tab.replace('\'', "''"))
    }
}

/// Where the row's values go.
#[derive(Default)]
struct Columns {
    /// Header and index; the first of equal ones counts.
    headers: Vec<(String, usize)>,
    /// Index → value.
    cells: BTreeMap<usize, String>,
}

impl Columns {
    /// The first and the last column with a header: the table's own width, so that Google sees the table.
    fn span(&self) -> Option<(usize, usize)> {
        let named = || self.headers.iter().filter(|(name, _)| !name.is_empty());
        let first = named().map(|(_, index)| *index).min()?;
        let last = named().map(|(_, index)| *index).max()?;
        Some((first, last))
    }
}

fn done(what: &'static str) -> Done {
    Done::Done { id: None, what }
}

/// What Google's refusal means.
fn failure(reply: &Reply, tab: &str) -> ActError {
    let json = reply.json();
    let status = json.pointer("/error/status").and_then(Value::as_str);
    let is_word = |word: &&str| {
        word.bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte == b'_')
    };
    let status = status.filter(is_word);
    match ActError::of("Google Sheets", reply, status) {
        ActError::Limited { why, retry_after } => ActError::Limited {
            why,
            retry_after: retry_after.or(Some(QUOTA_BACK)),
        },
        ActError::Refused(why) if reply.status == 403 => ActError::Refused(format!(
            "{why}: is the sheet shared with the account, as editor?"
        )),
        ActError::Rejected(why) if reply.status == 400 => {
            ActError::Rejected(format!("{why}: is there a tab called {tab}?"))
        }
        ActError::Rejected(why) if reply.status == 404 => {
            ActError::Rejected(format!("{why}: there is no such spreadsheet"))
        }
        other => other,
    }
}

/// A cell as text: a number that somebody typed finds the text that we write.
fn plain(cell: &Value) -> String {
    match cell {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// `A`, …, `Z`, `AA`, … of an index from 0.
fn letters(index: usize) -> String {
    let mut letters = Vec::new();
    let mut rest = index.saturating_add(1);
    while rest > 0 {
        let digit = (rest - 1) % 26;
        letters.push(char::from(
            b'A'.saturating_add(u8::try_from(digit).unwrap_or(0)),
        ));
        rest = (rest - 1) / 26;
    }
    letters.iter().rev().collect()
}

/// Column and row of `'Tab'!B7:F7`'s first cell.
fn first_cell(range: &str) -> Option<(usize, usize)> {
    let cells = range.rsplit_once('!').map_or(range, |(_, cells)| cells);
    let first = cells.split(':').next()?;
    let split = first.find(|character: char| character.is_ascii_digit())?;
    let (letters, number) = first.split_at_checked(split)?;
    let mut column = 0_usize;
    for letter in letters.bytes() {
        let digit = letter.checked_sub(b'A').filter(|digit| *digit < 26)?;
        column = column
            .checked_mul(26)?
            .checked_add(usize::from(digit) + 1)?;
    }
    Some((column.checked_sub(1)?, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_have_letters() {
        for (index, expected) in [
            (0, "A"),
            (25, "Z"),
            (26, "AA"),
            (51, "AZ"),
            (52, "BA"),
            (701, "ZZ"),
            (702, "AAA"),
        ] {
            assert_eq!(letters(index), expected);
            let cell = format!("'A!1'!{expected}7:ZZ7");
            assert_eq!(first_cell(&cell), Some((index, 7)), "{cell}");
        }
        for none in ["", "7", "A", "a1", "'T'!"] {
            assert_eq!(first_cell(none), None, "{none}");
        }
    }

    #[test]
    fn a_refusal_says_what_to_look_at() {
        let failure = |status, word: &str| {
            let body =
                json!({ "error": { "code": status, "status": word, "message": "of Maria" } });
            let reply = Reply {
                status,
                retry_after: None,
                headers: reqwest::header::HeaderMap::new(),
                body: body.to_string().into_bytes(),
            };
            failure(&reply, "Contatos")
        };
        let rows = [
            (
                400,
                "INVALID_ARGUMENT",
                ActError::Rejected(
                    "Google Sheets 400: INVALID_ARGUMENT: is there a tab called Contatos?".to_owned(),
                ),
            ),
            (401, "UNAUTHENTICATED", ActError::Refused("Google Sheets 401: UNAUTHENTICATED".to_owned())),
            (
                403,
                "PERMISSION_DENIED",
                ActError::Refused(
                    "Google Sheets 403: PERMISSION_DENIED: is the sheet shared with the account, as editor?"
                        .to_owned(),
                ),
            ),
            (
                404,
                "NOT_FOUND",
                ActError::Rejected(
                    "Google Sheets 404: NOT_FOUND: there is no such spreadsheet".to_owned(),
                ),
            ),
            (
                429,
                "RESOURCE_EXHAUSTED",
                ActError::Limited {
                    why: "Google Sheets 429: RESOURCE_EXHAUSTED".to_owned(),
                    retry_after: Some(QUOTA_BACK),
                },
            ),
            (503, "of Maria", ActError::Unavailable("Google Sheets 503".to_owned())),
        ];
        for (status, word, expected) in rows {
            assert_eq!(failure(status, word), expected);
        }
    }
}
