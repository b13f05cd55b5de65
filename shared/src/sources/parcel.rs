//! What parcels of all shops have in common.

use sha2::{Digest, Sha256};

/// Longest tracking number that stands in a key as it is, in characters.
const TRACKING_CHARS_MAX: usize = 40;
/// Hex digits of the digest of a tracking number that cannot stand in a key.
const DIGEST_DIGITS: usize = 16;

/// The last part of `shipped/{parcel}/{tracking}`: the number itself, or its digest where it holds what
/// divides keys or is very long; `-` where there is none.
pub(super) fn tracking_key(number: Option<&str>) -> String {
    let Some(number) = number else {
        return "-".to_owned();
    };
    let simple = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    if number.len() <= TRACKING_CHARS_MAX && number != "-" && number.bytes().all(simple) {
        return number.to_owned();
    }
    hex::encode(Sha256::digest(number.as_bytes()))
        .chars()
        .take(DIGEST_DIGITS)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::tracking_key;

    #[test]
    fn a_tracking_number_never_divides_a_key() {
        assert_eq!(tracking_key(Some("BR123456789BR")), "BR123456789BR");
        assert_eq!(tracking_key(None), "-");
        for number in ["a/b", "-", "1 2", "é", &"9".repeat(41)] {
            assert_eq!(tracking_key(Some(number)).len(), 16, "{number}");
        }
    }
}
