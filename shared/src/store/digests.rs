//! Whose rows these are, without saying so: digests that an erasure searches for.

use std::collections::BTreeSet;
use std::fmt;

use super::keys::hash128;
use super::rows;
use aws_sdk_dynamodb::types::AttributeValue;

/// The attribute that holds them, a set of texts.
pub(super) const DIGESTS: &str = "digests";

/// Digests of the account, customer, phone numbers and e-mail addresses that a row is about: `p:` and the
/// first 128 bits of a SHA-256, so that a table's reader learns nothing and an erasure finds everything.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Digests(pub(super) BTreeSet<String>);

impl Digests {
    /// None at all.
    pub fn new() -> Digests {
        Digests::default()
    }

    /// Of an account at a provider: `shopify`, `minha-loja.myshopify.com`.
    #[must_use]
    pub fn account(self, kind: &str, account: &str) -> Digests {
        self.with("a", &format!("{kind}/{}", account.trim().to_lowercase()))
    }

    /// Of a customer of a connection, by the source's id.
    #[must_use]
    pub fn customer(self, connection: &str, id: &str) -> Digests {
        self.with("c", &format!("{connection}/{id}"))
    }

    /// Of a phone number: `phone::identity`, or E.164 where nothing is folded.
    #[must_use]
    pub fn phone(self, identity: &str) -> Digests {
        self.with("p", identity)
    }

    /// Of an e-mail address.
    #[must_use]
    pub fn email(self, address: &str) -> Digests {
        self.with("e", &address.trim().to_lowercase())
    }

    /// Of a person at WhatsApp who hides the number, by the bsuid.
    #[must_use]
    pub fn bsuid(self, id: &str) -> Digests {
        self.with("b", id.trim())
    }

    /// All of both.
    #[must_use]
    pub fn and(mut self, other: &Digests) -> Digests {
        self.0.extend(other.0.iter().cloned());
        self
    }

    /// None at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether both name a common account, person or address.
    pub fn meets(&self, other: &Digests) -> bool {
        !self.0.is_disjoint(&other.0)
    }

    fn with(mut self, kind: &str, value: &str) -> Digests {
        if !value.is_empty() && !value.ends_with('/') {
            self.0
                .insert(format!("{kind}:{}", hash128(&format!("{kind}:{value}"))));
        }
        self
    }

    pub(super) fn attribute(&self) -> Option<AttributeValue> {
        rows::set(&self.0)
    }
}

impl fmt::Debug for Digests {
    /// How many: a digest of a phone number can be guessed from a list of all numbers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digests({})", self.0.len())
    }
}
