//! Google Sheets' API as far as values go: read, written, appended, emptied.
//! <https://developers.google.com/workspace/sheets/api/reference/rest/v4/spreadsheets.values>
//!
//! Its access tokens are made by `google_calendar`, which stands in for Google's token endpoint. A
//! spreadsheet whose id begins with `private` is not shared.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::google_calendar::ACCESS_TOKEN;
use super::room::bearer;
use super::{Api, Reply, Request};

const HOST: &str = "sheets.googleapis.com";
/// Reads, and writes, of one user a minute.
const REQUESTS_PER_MINUTE_MAX: usize = 60;
/// The furthest row and column.
const SIDE_MAX: usize = 10_000;

/// Rows of cells, from the top; null is an empty cell.
pub type Cells = Vec<Vec<Value>>;

/// The stand-in.
#[derive(Debug, Default)]
pub struct GoogleSheets(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    /// Spreadsheet → tab → cells.
    sheets: BTreeMap<String, BTreeMap<String, Cells>>,
    reads: VecDeque<Timestamp>,
    writes: VecDeque<Timestamp>,
}

impl GoogleSheets {
    /// Puts a tab there, in place of the one before.
    pub fn put(&self, spreadsheet: &str, tab: &str, cells: Cells) {
        let mut held = self.held();
        let tabs = held.sheets.entry(spreadsheet.to_owned()).or_default();
        tabs.insert(tab.to_owned(), cells);
    }

    /// Makes a tab with these headers where there is none.
    pub fn prepare<'a>(
        &self,
        spreadsheet: &str,
        tab: &str,
        headers: impl Iterator<Item = &'a str>,
    ) {
        let mut held = self.held();
        let tabs = held.sheets.entry(spreadsheet.to_owned()).or_default();
        let row = || vec![headers.map(Value::from).collect()];
        tabs.entry(tab.to_owned()).or_insert_with(row);
    }

    /// Spreadsheet → tab → rows, without empty cells and rows at the end.
    pub fn cells(&self) -> BTreeMap<String, BTreeMap<String, Cells>> {
        let mut sheets = self.held().sheets.clone();
        for cells in sheets.values_mut().flat_map(BTreeMap::values_mut) {
            trim(cells);
        }
        sheets
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_empty(cell: &Value) -> bool {
    cell.is_null() || cell.as_str() == Some("")
}

fn trim(cells: &mut Cells) {
    for row in cells.iter_mut() {
        while row.last().is_some_and(is_empty) {
            row.pop();
        }
    }
    while cells.last().is_some_and(Vec::is_empty) {
        cells.pop();
    }
}

/// A rectangle; its ends may be open.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Range {
    tab: String,
    columns: (usize, usize),
    rows: (usize, usize),
}

impl Range {
    /// Reads `'My tab'!B2:D`, `Tab!1:1`, `Tab!A1`.
    fn read(text: &str) -> Option<Range> {
        let (tab, cells) = text.rsplit_once('!')?;
        let tab = match tab.strip_prefix('\'') {
            Some(quoted) => quoted.strip_suffix('\'')?.replace("''", "'"),
            None if tab.chars().all(|letter| letter.is_alphanumeric()) => tab.to_owned(),
            None => return None,
        };
        let (from, to) = cells.split_once(':').unwrap_or((cells, cells));
        let (from, to) = (corner(from)?, corner(to)?);
        let range = Range {
            tab,
            columns: (from.0.unwrap_or(0), to.0.unwrap_or(SIDE_MAX)),
            rows: (from.1.unwrap_or(0), to.1.unwrap_or(SIDE_MAX)),
        };
        (range.columns.0 <= range.columns.1 && range.rows.0 <= range.rows.1).then_some(range)
    }
}

/// Column and row, from 0, of `B7`, `B`, `7`.
fn corner(text: &str) -> Option<(Option<usize>, Option<usize>)> {
    let split = text.find(|one: char| one.is_ascii_digit());
    let (letters, digits) = text.split_at_checked(split.unwrap_or(text.len()))?;
    let mut column = 0_usize;
    for letter in letters.bytes() {
        let digit = letter.checked_sub(b'A').filter(|digit| *digit < 26)?;
        column = column
            .checked_mul(26)?
            .checked_add(usize::from(digit) + 1)?;
    }
    let row = match digits {
        "" => None,
        digits => Some(digits.parse::<usize>().ok()?.checked_sub(1)?),
    };
    if column == 0 && row.is_none() {
        return None;
    }
    Some((column.checked_sub(1), row))
}

fn name(column: usize) -> String {
    let mut letters = String::new();
    let mut rest = column + 1;
    while rest > 0 {
        let digit = u8::try_from((rest - 1) % 26).unwrap_or(0);
        letters.insert(0, char::from(b'A' + digit));
        rest = (rest - 1) / 26;
    }
    letters
}

fn cell(cells: &Cells, row: usize, column: usize) -> Option<&Value> {
    let cell = cells.get(row)?.get(column)?;
    (!is_empty(cell)).then_some(cell)
}

fn set(cells: &mut Cells, row: usize, column: usize, value: Value) {
    if cells.len() <= row {
        cells.resize(row + 1, Vec::new());
    }
    if let Some(line) = cells.get_mut(row) {
        if line.len() <= column {
            line.resize(column + 1, Value::Null);
        }
        if let Some(place) = line.get_mut(column) {
            *place = value;
        }
    }
}

/// The table that a range touches: its filled cells, and every filled cell beside those.
fn table(cells: &Cells, range: &Range) -> Option<Range> {
    let filled: Vec<(usize, usize)> = cells
        .iter()
        .enumerate()
        .flat_map(|(row, line)| {
            let own = line.iter().enumerate();
            own.filter(|(_, cell)| !is_empty(cell))
                .map(move |(column, _)| (row, column))
        })
        .collect();
    let within = |(row, column): &&(usize, usize)| {
        (range.rows.0..=range.rows.1).contains(row)
            && (range.columns.0..=range.columns.1).contains(column)
    };
    let first = filled.iter().find(within)?;
    let mut found = Range {
        tab: range.tab.clone(),
        rows: (first.0, first.0),
        columns: (first.1, first.1),
    };
    loop {
        let before = found.clone();
        for (row, column) in &filled {
            let near = |at: usize, (from, to): (usize, usize)| {
                at + 1 >= from && at <= to.saturating_add(1)
            };
            if near(*row, found.rows) && near(*column, found.columns) {
                found.rows = (found.rows.0.min(*row), found.rows.1.max(*row));
                found.columns = (found.columns.0.min(*column), found.columns.1.max(*column));
            }
        }
        if found == before {
            return Some(found);
        }
    }
}

/// A value as it is kept: `RAW` as it is, `USER_ENTERED` as if it had been typed.
fn kept(value: &Value, option: &str) -> Value {
    match value.as_str() {
        Some(text) if option == "USER_ENTERED" => {
            let number = text.parse::<f64>().ok();
            number.map_or_else(|| value.clone(), |number| json!(number))
        }
        _ => value.clone(),
    }
}

fn is_option(option: &str) -> bool {
    option == "RAW" || option == "USER_ENTERED"
}

impl Held {
    /// Whether a read or write is one too many in this minute.
    fn is_over(&mut self, is_write: bool, now: Timestamp) -> bool {
        let seen = match is_write {
            true => &mut self.writes,
            false => &mut self.reads,
        };
        let old = |at: &Timestamp| now.duration_since(*at) >= SignedDuration::from_mins(1);
        while seen.front().is_some_and(old) {
            seen.pop_front();
        }
        if seen.len() >= REQUESTS_PER_MINUTE_MAX {
            return true;
        }
        seen.push_back(now);
        false
    }

    fn tab(&mut self, spreadsheet: &str, range: &str) -> Result<(Range, &mut Cells), Reply> {
        let unparsable = || problem(400, "INVALID_ARGUMENT");
        let range = Range::read(range).ok_or_else(unparsable)?;
        let tabs = self
            .sheets
            .get_mut(spreadsheet)
            .ok_or_else(|| problem(404, "NOT_FOUND"))?;
        let cells = tabs.get_mut(&range.tab).ok_or_else(unparsable)?;
        Ok((range, cells))
    }

    fn read(&mut self, spreadsheet: &str, range: &str, request: &Request) -> Result<Reply, Reply> {
        let (wanted, cells) = self.tab(spreadsheet, range)?;
        let taken = |row: &Vec<Value>| -> Vec<Value> {
            let width = wanted.columns.1 - wanted.columns.0 + 1;
            let mut row: Vec<Value> = row
                .iter()
                .skip(wanted.columns.0)
                .take(width)
                .map(|cell| {
                    if is_empty(cell) {
                        json!("")
                    } else {
                        cell.clone()
                    }
                })
                .collect();
            while row.last().is_some_and(is_empty) {
                row.pop();
            }
            row
        };
        let height = wanted.rows.1 - wanted.rows.0 + 1;
        let mut rows: Cells = cells
            .iter()
            .skip(wanted.rows.0)
            .take(height)
            .map(taken)
            .collect();
        trim(&mut rows);
        let by_columns = request.query("majorDimension") == Some("COLUMNS");
        let values = if by_columns { turned(&rows) } else { rows };
        let mut body = json!({ "range": range, "majorDimension": if by_columns { "COLUMNS" } else { "ROWS" } });
        // Nothing there: no values.
        if let (Some(body), false) = (body.as_object_mut(), values.is_empty()) {
            body.insert("values".to_owned(), json!(values));
        }
        Ok(Reply::new(200, body))
    }

    fn write(&mut self, spreadsheet: &str, body: &Value) -> Result<Reply, Reply> {
        let option = body.get("valueInputOption").and_then(Value::as_str);
        let option = option.filter(|option| is_option(option));
        let option = option.ok_or_else(|| problem(400, "INVALID_ARGUMENT"))?;
        let data = body.get("data").and_then(Value::as_array);
        for part in data.into_iter().flatten() {
            let range = part.get("range").and_then(Value::as_str);
            let (range, cells) = self.tab(spreadsheet, range.unwrap_or_default())?;
            let rows = part.get("values").and_then(Value::as_array);
            for (row, line) in rows.into_iter().flatten().enumerate() {
                for (column, value) in line.as_array().into_iter().flatten().enumerate() {
                    // Null leaves a cell as it is.
                    if !value.is_null() {
                        let (row, column) = (range.rows.0 + row, range.columns.0 + column);
                        set(cells, row, column, kept(value, option));
                    }
                }
            }
        }
        Ok(Reply::new(200, json!({ "spreadsheetId": spreadsheet })))
    }

    fn append(
        &mut self,
        spreadsheet: &str,
        range: &str,
        request: &Request,
    ) -> Result<Reply, Reply> {
        let option = request.query("valueInputOption").unwrap_or_default();
        if !is_option(option) {
            return Err(problem(400, "INVALID_ARGUMENT"));
        }
        let (wanted, cells) = self.tab(spreadsheet, range)?;
        let lines = request.body.get("values").and_then(Value::as_array);
        let lines: Vec<&Vec<Value>> = lines
            .into_iter()
            .flatten()
            .filter_map(Value::as_array)
            .collect();
        let (start, left) = match table(cells, &wanted) {
            Some(table) => (table.rows.1 + 1, table.columns.0),
            None => (wanted.rows.0, wanted.columns.0),
        };
        let inserts = request.query("insertDataOption") == Some("INSERT_ROWS");
        let mut right = left;
        for (offset, line) in lines.iter().enumerate() {
            let row = start + offset;
            if inserts && row < cells.len() {
                cells.insert(row, Vec::new());
            }
            for (column, value) in line.iter().enumerate() {
                set(cells, row, left + column, kept(value, option));
                right = right.max(left + column);
            }
        }
        let last = start + lines.len().max(1);
        let tab = wanted.tab.replace('\'', "''");
        let updated = format!("'{tab}'!{}{}:{}{last}", name(left), start + 1, name(right));
        let updates = json!({ "updatedRange": updated, "updatedRows": lines.len() });
        Ok(Reply::new(
            200,
            json!({ "spreadsheetId": spreadsheet, "updates": updates }),
        ))
    }

    fn clear(&mut self, spreadsheet: &str, range: &str) -> Result<Reply, Reply> {
        let (wanted, cells) = self.tab(spreadsheet, range)?;
        for row in wanted.rows.0..=wanted.rows.1.min(cells.len()) {
            for column in wanted.columns.0..=wanted.columns.1.min(SIDE_MAX) {
                if cell(cells, row, column).is_some() {
                    set(cells, row, column, Value::Null);
                }
            }
        }
        Ok(Reply::new(200, json!({ "clearedRange": range })))
    }
}

/// Rows as columns.
fn turned(rows: &Cells) -> Cells {
    let width = rows.iter().map(Vec::len).max().unwrap_or(0);
    let column = |index: usize| -> Vec<Value> {
        rows.iter()
            .map(|row| row.get(index).cloned().unwrap_or_else(|| json!("")))
            .collect()
    };
    (0..width).map(column).collect()
}

fn problem(code: u16, status: &str) -> Reply {
    let error =
        json!({ "error": { "code": code, "status": status, "message": "a person's words" } });
    Reply::new(code, error)
}

impl Api for GoogleSheets {
    fn name(&self) -> &'static str {
        "google-sheets"
    }

    fn is_at(&self, host: &str) -> bool {
        host == HOST
    }

    fn failure(&self, status: u16) -> Reply {
        let word = match status {
            401 => "UNAUTHENTICATED",
            403 => "PERMISSION_DENIED",
            404 => "NOT_FOUND",
            409 => "ABORTED",
            429 => "RESOURCE_EXHAUSTED",
            503 => "UNAVAILABLE",
            _ => "INTERNAL",
        };
        problem(status, word)
    }

    fn answer(&self, request: &Request, now: Timestamp) -> Reply {
        if !bearer(request).is_some_and(|token| token.starts_with(ACCESS_TOKEN)) {
            return problem(401, "UNAUTHENTICATED");
        }
        let mut held = self.held();
        if held.is_over(self.changes(request), now) {
            return problem(429, "RESOURCE_EXHAUSTED");
        }
        let parts = request.parts();
        let ["v4", "spreadsheets", sheet, rest @ ..] = parts.as_slice() else {
            return problem(404, "NOT_FOUND");
        };
        if sheet.starts_with("private") {
            return problem(403, "PERMISSION_DENIED");
        }
        let answer = match (&request.method, rest) {
            (&Method::GET, ["values", range]) => held.read(sheet, range, request),
            (&Method::POST, ["values:batchUpdate"]) => held.write(sheet, &request.body),
            (&Method::POST, ["values", range]) => {
                if let Some(range) = range.strip_suffix(":append") {
                    held.append(sheet, range, request)
                } else if let Some(range) = range.strip_suffix(":clear") {
                    held.clear(sheet, range)
                } else {
                    Err(problem(404, "NOT_FOUND"))
                }
            }
            _ => Err(problem(404, "NOT_FOUND")),
        };
        answer.unwrap_or_else(|refused| refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        let range = |columns, rows| Range {
            tab: "Aba's".to_owned(),
            columns,
            rows,
        };
        let rows = [
            ("'Aba''s'!A1", Some(range((0, 0), (0, 0)))),
            ("'Aba''s'!B2:D", Some(range((1, 3), (1, SIDE_MAX)))),
            ("'Aba''s'!1:1", Some(range((0, SIDE_MAX), (0, 0)))),
            ("'Aba''s'!AA7:AB9", Some(range((26, 27), (6, 8)))),
            ("'Aba''s'!B2:A1", None),
            ("Aba 1!A1", None),
            ("A1", None),
            ("'Aba''s'!", None),
        ];
        for (text, expected) in rows {
            assert_eq!(Range::read(text), expected, "{text}");
        }
    }

    #[test]
    fn a_table_is_what_hangs_together() {
        let cells: Cells = vec![
            vec![json!(null), json!("a"), json!("b"), json!(""), json!("x")],
            vec![json!("y"), json!("1")],
            vec![],
            vec![json!("other")],
        ];
        let at = |text: &str| table(&cells, &Range::read(text).unwrap());
        let first = at("T!B1").unwrap();
        assert_eq!((first.columns, first.rows), ((0, 2), (0, 1)));
        let second = at("T!E1").unwrap();
        assert_eq!((second.columns, second.rows), ((4, 4), (0, 0)));
        assert_eq!(at("T!C9"), None);
    }
}
