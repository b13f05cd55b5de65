//! What the stand-in remembers across restarts: one JSON line a change, appended before the answer goes
//! out, so that a killed server cannot have accepted what it does not remember.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An accepted message.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Message {
    /// 32 hex digits.
    pub uuid: String,
    /// When it was accepted, on the development clock.
    pub at: jiff::Timestamp,
    /// As it was posted.
    pub body: Value,
    /// What the person reads, where that is known.
    pub text: Option<String>,
}

/// One line.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// A message was accepted.
    Message(Message),
    /// A person came into being or changed: all of them as they are now.
    Contact(Box<super::contacts::Person>),
    /// A person was deleted.
    Deleted {
        /// The person's number.
        contact: String,
    },
    /// The 24-hour window of a recipient was opened until then, or closed.
    Window {
        /// The phone number's identity.
        phone: String,
        /// `None`: closed.
        until: Option<jiff::Timestamp>,
    },
}

/// The file, open for appending; without one nothing is kept.
#[derive(Debug, Default)]
pub struct Journal(Option<File>);

impl Journal {
    /// Opens `path` and reads what it holds. A last line that was cut off is left out: its message was
    /// never answered.
    ///
    /// # Errors
    /// The file cannot be read or made.
    pub fn open(path: &Path) -> io::Result<(Journal, Vec<Line>)> {
        let mut file = OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        if bytes.last().is_some_and(|last| *last != b'\n') {
            file.write_all(b"\n")?;
        }
        let lines = bytes.split(|byte| *byte == b'\n');
        let lines = lines
            .filter_map(|line| serde_json::from_slice(line).ok())
            .collect();
        Ok((Journal(Some(file)), lines))
    }

    /// Appends one line. The operating system keeps it if the process is killed from here on.
    ///
    /// # Errors
    /// The disk is full.
    pub fn append(&mut self, line: &Line) -> io::Result<()> {
        let Some(file) = &mut self.0 else {
            return Ok(());
        };
        let mut bytes = serde_json::to_vec(line)?;
        bytes.push(b'\n');
        file.write_all(&bytes)
    }
}
