//! The person behind an order or a checkout: both have the same fields for that.

use serde::Deserialize;
use serde_json::Value;

use crate::connections::Connection;
use crate::event::{self, Customer, FreeMap, Money, PhoneCandidate};
use crate::sources::read;

/// In the order of preference: what was typed for this order, then what the account holds.
pub(super) const PHONE_PATHS: &[&str] = &[
    "phone",
    "customer.phone",
    "shipping.phone",
    "billing.phone",
    "default_address.phone",
    "sms_marketing_phone",
];
/// Note attributes may hold a number under the shop's own name.
pub(super) const ATTRIBUTES: &str = "attributes.";

/// What a shop hears where Shopify takes out every field that holds personal data.
/// <https://shopify.dev/docs/apps/launch/protected-customer-data>
pub(super) const REDACTED: &str = "no phone: app lacks protected customer data access \
     (or the subscription's include_fields leaves the phone out)";

/// The fields of orders and checkouts that are about a person.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Buyer {
    #[serde(deserialize_with = "read::text")]
    phone: Option<String>,
    #[serde(deserialize_with = "read::text")]
    email: Option<String>,
    #[serde(deserialize_with = "read::text")]
    contact_email: Option<String>,
    #[serde(deserialize_with = "read::text")]
    customer_locale: Option<String>,
    #[serde(deserialize_with = "read::flag")]
    buyer_accepts_marketing: Option<bool>,
    #[serde(deserialize_with = "read::flag")]
    buyer_accepts_sms_marketing: Option<bool>,
    #[serde(deserialize_with = "read::text")]
    sms_marketing_phone: Option<String>,
    #[serde(deserialize_with = "read::object")]
    customer: Option<Account>,
    #[serde(deserialize_with = "read::object")]
    shipping_address: Option<Address>,
    #[serde(deserialize_with = "read::object")]
    billing_address: Option<Address>,
    note_attributes: Value,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Account {
    #[serde(deserialize_with = "read::id")]
    id: Option<String>,
    #[serde(deserialize_with = "read::text")]
    first_name: Option<String>,
    #[serde(deserialize_with = "read::text")]
    last_name: Option<String>,
    #[serde(deserialize_with = "read::text")]
    email: Option<String>,
    #[serde(deserialize_with = "read::text")]
    phone: Option<String>,
    #[serde(deserialize_with = "read::text")]
    tags: Option<String>,
    #[serde(deserialize_with = "read::count")]
    orders_count: Option<u64>,
    #[serde(deserialize_with = "read::object")]
    default_address: Option<Address>,
    #[serde(deserialize_with = "read::object")]
    email_marketing_consent: Option<Consent>,
    #[serde(deserialize_with = "read::object")]
    sms_marketing_consent: Option<Consent>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Consent {
    #[serde(deserialize_with = "read::text")]
    state: Option<String>,
}

impl Consent {
    fn given(&self) -> Option<bool> {
        self.state.as_deref().map(|state| state == "subscribed")
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Address {
    #[serde(deserialize_with = "read::text")]
    name: Option<String>,
    #[serde(deserialize_with = "read::text")]
    first_name: Option<String>,
    #[serde(deserialize_with = "read::text")]
    last_name: Option<String>,
    #[serde(deserialize_with = "read::text")]
    address1: Option<String>,
    #[serde(deserialize_with = "read::text")]
    address2: Option<String>,
    #[serde(deserialize_with = "read::text")]
    city: Option<String>,
    #[serde(deserialize_with = "read::text")]
    province: Option<String>,
    #[serde(deserialize_with = "read::text")]
    zip: Option<String>,
    #[serde(deserialize_with = "read::text")]
    country: Option<String>,
    #[serde(deserialize_with = "read::text")]
    country_code: Option<String>,
    #[serde(deserialize_with = "read::text")]
    phone: Option<String>,
}

impl Address {
    /// A customer's default address may hold the code in `country` itself.
    fn country(&self) -> Option<String> {
        read::country(self.country_code.as_deref())
            .or_else(|| read::country(self.country.as_deref()))
    }

    fn full_name(&self) -> Option<String> {
        self.name
            .clone()
            .or_else(|| read::full_name(self.first_name.as_deref(), self.last_name.as_deref()))
    }

    fn to_event(&self) -> event::Address {
        let lines: Vec<&str> = [&self.address1, &self.address2]
            .into_iter()
            .filter_map(Option::as_deref)
            .collect();
        event::Address {
            name: self.full_name(),
            street: (!lines.is_empty()).then(|| lines.join(", ")),
            city: self.city.clone(),
            province: self.province.clone(),
            zip: self.zip.clone(),
            country: self.country(),
            phone: self.phone.clone(),
        }
    }
}

impl Buyer {
    pub(super) fn shipping_address(&self) -> Option<event::Address> {
        self.shipping_address.as_ref().map(Address::to_event)
    }

    pub(super) fn billing_address(&self) -> Option<event::Address> {
        self.billing_address.as_ref().map(Address::to_event)
    }

    /// Whether this is the customer's first order, where the API version still counts them.
    pub(super) fn is_first(&self) -> Option<bool> {
        self.customer
            .as_ref()?
            .orders_count
            .map(|orders| orders <= 1)
    }

    /// Note attributes by name. They come as `[{"name": …, "value": …}]`, in some checkouts as an object.
    pub(super) fn attributes(&self) -> FreeMap {
        let mut map = FreeMap::new();
        match &self.note_attributes {
            Value::Array(pairs) => {
                for pair in pairs {
                    let name = pair.get("name").and_then(Value::as_str);
                    if let (Some(name), Some(value)) = (name, pair.get("value")) {
                        read::put(&mut map, name, value.clone());
                    }
                }
            }
            Value::Object(pairs) => {
                for (name, value) in pairs {
                    read::put(&mut map, name, value.clone());
                }
            }
            _ => {}
        }
        map
    }

    pub(super) fn customer(&self, connection: &Connection) -> Customer {
        let account = self.customer.as_ref();
        let addresses = || {
            let default = account.and_then(|account| account.default_address.as_ref());
            [
                self.shipping_address.as_ref(),
                self.billing_address.as_ref(),
                default,
            ]
            .into_iter()
            .flatten()
        };
        let (first_name, last_name) = match account {
            Some(Account {
                first_name,
                last_name,
                ..
            }) if first_name.is_some() || last_name.is_some() => {
                (first_name.clone(), last_name.clone())
            }
            _ => addresses()
                .find(|address| address.first_name.is_some() || address.last_name.is_some())
                .map_or((None, None), |address| {
                    (address.first_name.clone(), address.last_name.clone())
                }),
        };
        let emails = [
            &self.email,
            &self.contact_email,
            &account.and_then(|account| account.email.clone()),
        ];
        let tags = account
            .and_then(|account| account.tags.as_deref())
            .unwrap_or_default();
        Customer {
            bsuid: None,
            name: read::full_name(first_name.as_deref(), last_name.as_deref())
                .or_else(|| addresses().find_map(Address::full_name)),
            first_name,
            last_name,
            phone: None,
            country: self.country(),
            email: emails
                .into_iter()
                .find_map(|email| read::email(email.as_deref())),
            locale: read::locale(self.customer_locale.as_deref()),
            timezone: None,
            id: account.and_then(|account| account.id.clone()),
            accepts_marketing: account
                .and_then(|account| account.sms_marketing_consent.as_ref())
                .and_then(Consent::given)
                .or(self.buyer_accepts_sms_marketing),
            accepts_email: self.buyer_accepts_marketing.or_else(|| {
                account
                    .and_then(|account| account.email_marketing_consent.as_ref())
                    .and_then(Consent::given)
            }),
            tags: words(tags),
            phones: self.phones(connection),
        }
    }

    /// Where the order goes, else where it is paid, else where the customer lives.
    fn country(&self) -> Option<String> {
        let default = self
            .customer
            .as_ref()
            .and_then(|account| account.default_address.as_ref());
        [
            self.shipping_address.as_ref(),
            self.billing_address.as_ref(),
            default,
        ]
        .into_iter()
        .flatten()
        .find_map(Address::country)
    }

    /// Every place that may hold a number, each with the country of its own object: `phone_from` chooses
    /// and orders them.
    fn phones(&self, connection: &Connection) -> Vec<PhoneCandidate> {
        if connection.phone_from.is_empty() {
            // Most bodies have no such field at all: one line less in the reasons.
            let named = |path: &&&str| {
                **path != "sms_marketing_phone" || self.sms_marketing_phone.is_some()
            };
            return PHONE_PATHS
                .iter()
                .filter(named)
                .map(|path| self.phone_at(path))
                .collect();
        }
        connection
            .phone_from
            .iter()
            .map(|path| self.phone_at(path))
            .collect()
    }

    fn phone_at(&self, path: &str) -> PhoneCandidate {
        let default = self
            .customer
            .as_ref()
            .and_then(|account| account.default_address.as_ref());
        let of_address = |address: Option<&Address>| match address {
            Some(address) => (
                address.phone.clone(),
                address.country().or_else(|| self.country()),
            ),
            None => (None, None),
        };
        let (number, country) = match path {
            "phone" => (self.phone.clone(), self.country()),
            "customer.phone" => (
                self.customer
                    .as_ref()
                    .and_then(|account| account.phone.clone()),
                self.country(),
            ),
            "shipping.phone" => of_address(self.shipping_address.as_ref()),
            "billing.phone" => of_address(self.billing_address.as_ref()),
            "default_address.phone" => of_address(default),
            "sms_marketing_phone" => (self.sms_marketing_phone.clone(), self.country()),
            _ => {
                let name = path.strip_prefix(ATTRIBUTES);
                (
                    name.and_then(|name| read::free_text(&self.attributes(), name)),
                    self.country(),
                )
            }
        };
        let country = number.as_ref().and(country);
        PhoneCandidate {
            path: path.to_owned(),
            number,
            country,
        }
    }
}

/// Without access to protected customer data Shopify removes the keys, not their values: no object of
/// the body has a `phone` at all. (A body of which only the addresses lost theirs still has the key at
/// the top.)
pub(super) fn is_redacted(body: &Value) -> bool {
    let has_phone =
        |value: Option<&Value>| value.is_some_and(|object| object.get("phone").is_some());
    let customer = body.get("customer");
    let places = [
        Some(body),
        customer,
        customer.and_then(|customer| customer.get("default_address")),
        body.get("shipping_address"),
        body.get("billing_address"),
    ];
    !places.into_iter().any(has_phone)
}

/// Shopify writes lists of words with commas.
pub(super) fn words(text: &str) -> Vec<String> {
    text.split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// An amount in the shop's currency and in the one that the buyer saw.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Set {
    #[serde(deserialize_with = "read::object")]
    presentment_money: Option<Amount>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Amount {
    #[serde(deserialize_with = "read::money")]
    amount: Option<Money>,
    #[serde(deserialize_with = "read::text")]
    currency_code: Option<String>,
}

/// Which currency the amounts of a body are read in.
pub(super) struct Currency {
    /// ISO 4217, as the buyer saw it where the body says so.
    pub(super) code: String,
    /// The plain fields (`price` beside `price_set`) are in this currency too.
    plain: bool,
}

impl Currency {
    /// The presentment currency where `total` has an amount in it, else the shop's own.
    pub(super) fn of(shop: &str, presentment: Option<&str>, total: Option<&Set>) -> Currency {
        let seen = total
            .and_then(|set| set.presentment_money.as_ref())
            .filter(|money| money.amount.is_some())
            .and_then(|money| money.currency_code.as_deref())
            .or(presentment.filter(|code| *code == shop));
        Currency {
            code: seen.unwrap_or(shop).to_owned(),
            plain: seen.unwrap_or(shop) == shop,
        }
    }

    /// An amount in this currency.
    pub(super) fn amount(&self, set: Option<&Set>, plain: Option<Money>) -> Option<Money> {
        set.and_then(|set| set.presentment_money.as_ref())
            .filter(|money| money.currency_code.as_deref() == Some(self.code.as_str()))
            .and_then(|money| money.amount)
            .or(plain.filter(|_| self.plain))
    }
}
