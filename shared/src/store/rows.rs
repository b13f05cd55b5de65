//! How values stand in a row: texts, numbers, times in milliseconds, compressed JSON. Every row begins with
//! its key and the schema's version; a row of a newer version is refused, not guessed at.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::Read;
use std::str::FromStr;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use flate2::read::ZlibDecoder;
use flate2::{Compress, Compression, FlushCompress, Status};
use jiff::Timestamp;

use super::StoreError;
use super::request::Item;
use super::table::KEY;

/// The version of every row's layout. Fixtures of each version stay readable.
pub(super) const SCHEMA_VERSION: u64 = 1;
/// Most bytes that a compressed attribute may unfold to: four times what the largest configuration has.
const UNPACKED_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// By how much the place for a compressed attribute grows, in bytes.
const PACKED_STEP_BYTES: usize = 1024;
/// Milliseconds of a day.
pub(super) const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// A text.
pub(super) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

/// A number.
pub(super) fn number(value: impl ToString + Copy) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// An instant in milliseconds.
pub(super) fn time(value: Timestamp) -> AttributeValue {
    number(value.as_millisecond())
}

/// Bytes.
pub(super) fn bytes(value: Vec<u8>) -> AttributeValue {
    AttributeValue::B(Blob::new(value))
}

/// A set of texts; `None` where it is empty, which DynamoDB refuses.
pub(super) fn set<'a>(values: impl IntoIterator<Item = &'a String>) -> Option<AttributeValue> {
    let values: Vec<String> = values.into_iter().cloned().collect();
    (!values.is_empty()).then_some(AttributeValue::Ss(values))
}

/// The seconds at which a row may go, rounded up.
pub(super) fn expiry(at: Timestamp) -> AttributeValue {
    number(at.as_millisecond().div_euclid(1000).saturating_add(1))
}

/// The seconds that a condition compares [`expiry`] with.
pub(super) fn expired_by(now: Timestamp) -> AttributeValue {
    number(now.as_millisecond().div_euclid(1000))
}

/// `at` moved by milliseconds, kept within what an instant can be.
pub(super) fn later(at: Timestamp, millis: i64) -> Timestamp {
    Timestamp::from_millisecond(at.as_millisecond().saturating_add(millis))
        .unwrap_or(Timestamp::MAX)
}

/// A new row: its key and the schema's version.
pub(super) fn row(pk: &str) -> Item {
    Item::from([
        (KEY.to_owned(), text(pk)),
        ("v".to_owned(), number(SCHEMA_VERSION)),
    ])
}

thread_local! {
    /// A compressor's tables are 300 KB: made anew for every event, the memory would go back to the system
    /// and come again each time.
    static COMPRESSOR: RefCell<Compress> = RefCell::new(Compress::new(Compression::default(), true));
}

/// Compresses.
pub(super) fn pack(plain: &[u8]) -> Vec<u8> {
    COMPRESSOR.with_borrow_mut(|compressor| {
        compressor.reset();
        let mut packed = Vec::with_capacity(plain.len() / 2 + PACKED_STEP_BYTES);
        let mut rest = plain;
        loop {
            let before = compressor.total_in();
            let status = compressor.compress_vec(rest, &mut packed, FlushCompress::Finish);
            let taken = usize::try_from(compressor.total_in() - before).unwrap_or(usize::MAX);
            rest = rest.get(taken..).unwrap_or_default();
            match status {
                Ok(Status::StreamEnd) => return packed,
                Ok(_) => packed.reserve(PACKED_STEP_BYTES),
                // Compressing into memory cannot fail.
                Err(_) => return Vec::new(),
            }
        }
    })
}

/// Decompresses; `None` where it is damaged or unfolds beyond its limit.
pub(super) fn unpack(packed: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    let mut decoder = ZlibDecoder::new(packed).take(UNPACKED_BYTES_MAX + 1);
    decoder.read_to_end(&mut plain).ok()?;
    (plain.len() as u64 <= UNPACKED_BYTES_MAX).then_some(plain)
}

/// Reads one row's attributes.
pub(super) struct Reader<'a> {
    item: &'a Item,
    kind: &'static str,
}

impl<'a> Reader<'a> {
    /// Checks the schema's version.
    pub(super) fn new(item: &'a Item, kind: &'static str) -> Result<Reader<'a>, StoreError> {
        let reader = Reader { item, kind };
        match reader.number::<u64>("v")? {
            1..=SCHEMA_VERSION => Ok(reader),
            _ => Err(reader.corrupt("v is of a newer version than this program")),
        }
    }

    pub(super) fn corrupt(&self, problem: impl Into<String>) -> StoreError {
        StoreError::Corrupt {
            kind: self.kind,
            problem: problem.into(),
        }
    }

    fn wrong(&self, name: &str) -> StoreError {
        self.corrupt(format!("{name} is absent or of another type"))
    }

    /// The key behind its prefix.
    pub(super) fn key(&self, prefix: &str) -> Result<String, StoreError> {
        let pk = self.text(KEY)?;
        pk.strip_prefix(prefix)
            .map(str::to_owned)
            .ok_or_else(|| self.corrupt("pk has another prefix"))
    }

    pub(super) fn text(&self, name: &str) -> Result<String, StoreError> {
        self.text_opt(name)?.ok_or_else(|| self.wrong(name))
    }

    pub(super) fn text_opt(&self, name: &str) -> Result<Option<String>, StoreError> {
        match self.item.get(name) {
            None | Some(AttributeValue::Null(_)) => Ok(None),
            Some(AttributeValue::S(value)) => Ok(Some(value.clone())),
            Some(_) => Err(self.wrong(name)),
        }
    }

    pub(super) fn number<T: FromStr>(&self, name: &str) -> Result<T, StoreError> {
        self.number_opt(name)?.ok_or_else(|| self.wrong(name))
    }

    pub(super) fn number_opt<T: FromStr>(&self, name: &str) -> Result<Option<T>, StoreError> {
        match self.item.get(name) {
            None | Some(AttributeValue::Null(_)) => Ok(None),
            Some(AttributeValue::N(value)) => value.parse().map(Some).map_err(|_| self.wrong(name)),
            Some(_) => Err(self.wrong(name)),
        }
    }

    pub(super) fn time(&self, name: &str) -> Result<Timestamp, StoreError> {
        self.time_opt(name)?.ok_or_else(|| self.wrong(name))
    }

    pub(super) fn time_opt(&self, name: &str) -> Result<Option<Timestamp>, StoreError> {
        match self.number_opt(name)? {
            None => Ok(None),
            Some(millis) => Timestamp::from_millisecond(millis)
                .map(Some)
                .map_err(|_| self.wrong(name)),
        }
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        matches!(self.item.get(name), Some(AttributeValue::Bool(true)))
    }

    pub(super) fn set(&self, name: &str) -> Result<BTreeSet<String>, StoreError> {
        match self.item.get(name) {
            None => Ok(BTreeSet::new()),
            Some(AttributeValue::Ss(values)) => Ok(values.iter().cloned().collect()),
            Some(_) => Err(self.wrong(name)),
        }
    }

    /// A compressed attribute, unfolded.
    pub(super) fn packed_opt(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        match self.item.get(name) {
            None => Ok(None),
            Some(AttributeValue::B(blob)) => unpack(blob.as_ref())
                .map(Some)
                .ok_or_else(|| self.corrupt(format!("{name} cannot be unpacked"))),
            Some(_) => Err(self.wrong(name)),
        }
    }

    /// Names and texts of all attributes that begin with `prefix`.
    pub(super) fn prefixed(
        &self,
        prefix: &str,
    ) -> impl Iterator<Item = (&'a str, &'a AttributeValue)> {
        let prefix = prefix.to_owned();
        self.item.iter().filter_map(move |(name, value)| {
            name.strip_prefix(prefix.as_str()).map(|rest| (rest, value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_unfolds_whatever_was_packed_before() {
        let noise: Vec<u8> = (0..100_000_u32)
            .map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0])
            .collect();
        let text = b"{\"id\": 1, \"name\": \"Maria\"}".repeat(500);
        for plain in [&noise[..], &text, b"", &noise, b"a", &text] {
            let packed = pack(plain);
            assert_eq!(unpack(&packed).as_deref(), Some(plain));
        }
        assert!(pack(&text).len() < 200);
        assert_eq!(unpack(b"nonsense"), None);
    }
}
