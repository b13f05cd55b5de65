//! One notification about one contact.

use jiff::Timestamp;
use serde_json::Value;

use crate::connections::Connection;
use crate::event::{
    Body, Customer, Event, FreeMap, Head, Host, ITEMS_MAX, Lead, LeadKind, Name, PhoneCandidate,
    Subject, SubjectKind,
};
use crate::sources::{Reading, Unreadable, read};

/// The one place of a contact's phone.
const PHONE: &str = "phone";
/// What `phone_from` may name.
pub(super) const PHONE_PATHS: &[&str] = &[PHONE];
/// Attributes of the user's own may be named one by one.
pub(super) const CUSTOM: &str = "custom_attributes.";
/// Where they are.
const ATTRIBUTES: &str = "custom_attributes";
/// What the external id of a contact begins with that an action of ours made.
const OURS: &str = "callbell:";
/// Longest id of an app, in characters.
const APP_CHARS_MAX: usize = 40;
/// What of a contact is no field beside the others.
const OWN: [&str; 14] = [
    "type",
    "id",
    "workspace_id",
    "role",
    "email",
    "phone",
    "name",
    "avatar",
    "created_at",
    "updated_at",
    "location",
    "tags",
    "companies",
    ATTRIBUTES,
];
/// ISO 3166: three letters, then the two that mean the same. Intercom's `country_code` has three.
/// <https://developers.intercom.com/docs/references/rest-api/api.intercom.io/contacts/contact>
const COUNTRIES: &str = "\
    ABWAW AFGAF AGOAO AIAAI ALAAX ALBAL ANDAD AREAE ARGAR ARMAM ASMAS ATAAQ ATFTF ATGAG AUSAU AUTAT \
    AZEAZ BDIBI BELBE BENBJ BESBQ BFABF BGDBD BGRBG BHRBH BHSBS BIHBA BLMBL BLRBY BLZBZ BMUBM BOLBO \
    BRABR BRBBB BRNBN BTNBT BVTBV BWABW CAFCF CANCA CCKCC CHECH CHLCL CHNCN CIVCI CMRCM CODCD COGCG \
    COKCK COLCO COMKM CPVCV CRICR CUBCU CUWCW CXRCX CYMKY CYPCY CZECZ DEUDE DJIDJ DMADM DNKDK DOMDO \
    DZADZ ECUEC EGYEG ERIER ESHEH ESPES ESTEE ETHET FINFI FJIFJ FLKFK FRAFR FROFO FSMFM GABGA GBRGB \
    GEOGE GGYGG GHAGH GIBGI GINGN GLPGP GMBGM GNBGW GNQGQ GRCGR GRDGD GRLGL GTMGT GUFGF GUMGU GUYGY \
    HKGHK HMDHM HNDHN HRVHR HTIHT HUNHU IDNID IMNIM INDIN IOTIO IRLIE IRNIR IRQIQ ISLIS ISRIL ITAIT \
    JAMJM JEYJE JORJO JPNJP KAZKZ KENKE KGZKG KHMKH KIRKI KNAKN KORKR KWTKW LAOLA LBNLB LBRLR LBYLY \
    LCALC LIELI LKALK LSOLS LTULT LUXLU LVALV MACMO MAFMF MARMA MCOMC MDAMD MDGMG MDVMV MEXMX MHLMH \
    MKDMK MLIML MLTMT MMRMM MNEME MNGMN MNPMP MOZMZ MRTMR MSRMS MTQMQ MUSMU MWIMW MYSMY MYTYT NAMNA \
    NCLNC NERNE NFKNF NGANG NICNI NIUNU NLDNL NORNO NPLNP NRUNR NZLNZ OMNOM PAKPK PANPA PCNPN PERPE \
    PHLPH PLWPW PNGPG POLPL PRIPR PRKKP PRTPT PRYPY PSEPS PYFPF QATQA REURE ROURO RUSRU RWARW SAUSA \
    SDNSD SENSN SGPSG SGSGS SHNSH SJMSJ SLBSB SLESL SLVSV SMRSM SOMSO SPMPM SRBRS SSDSS STPST SURSR \
    SVKSK SVNSI SWESE SWZSZ SXMSX SYCSC SYRSY TCATC TCDTD TGOTG THATH TJKTJ TKLTK TKMTM TLSTL TONTO \
    TTOTT TUNTN TURTR TUVTV TWNTW TZATZ UGAUG UKRUA UMIUM URYUY USAUS UZBUZ VATVA VCTVC VENVE VGBVG \
    VIRVI VNMVN VUTVU WLFWF WSMWS YEMYE ZAFZA ZMBZM ZWEZW";

/// What a topic says of a contact.
struct Topic {
    name: Name,
    /// What it says that changed.
    changed: Option<&'static str>,
    /// What it is about, where the contact itself does not say.
    kind: LeadKind,
}

fn topic(text: &str) -> Option<Topic> {
    let (name, changed, kind) = match text {
        "contact.user.created" => (Name::LeadCreated, None, LeadKind::Contact),
        "contact.lead.created" => (Name::LeadCreated, None, LeadKind::Lead),
        "contact.user.updated" => (Name::LeadUpdated, None, LeadKind::Contact),
        "contact.lead.updated" => (Name::LeadUpdated, None, LeadKind::Lead),
        "contact.lead.added_email" => (Name::LeadUpdated, Some("email"), LeadKind::Lead),
        "contact.lead.signed_up" => (Name::LeadUpdated, Some("role"), LeadKind::Contact),
        _ => return None,
    };
    Some(Topic {
        name,
        changed,
        kind,
    })
}

/// What a signed body says.
pub(super) fn read(value: &Value, connection: &Connection) -> Result<Reading, Unreadable> {
    let text = value.get("topic").and_then(Value::as_str);
    if text == Some("ping") {
        return Ok(Reading::Nothing("ping"));
    }
    let Some(topic) = text.and_then(topic) else {
        return Ok(Reading::Nothing("foreign topic"));
    };
    let item = value.pointer("/data/item").and_then(Value::as_object);
    let contact = Contact {
        connection,
        value,
        item: read::required(item, "data.item", "an object")?,
    };
    let external_id = contact.text("external_id").unwrap_or_default();
    if topic.name == Name::LeadCreated && external_id.starts_with(OURS) {
        return Ok(Reading::Nothing("a contact that an action of ours made"));
    }
    Ok(Reading::Events(vec![contact.event(&topic)?]))
}

struct Contact<'a> {
    connection: &'a Connection,
    /// The whole notification.
    value: &'a Value,
    item: &'a FreeMap,
}

impl Contact<'_> {
    fn event(&self, topic: &Topic) -> Result<Event, Unreadable> {
        let id = self.item.get("id").and_then(read::as_id);
        let id = read::required(id, "data.item.id", "an id")?;
        let sent_at = self.value.get("created_at").and_then(read::moment);
        let created_at = self.moment("created_at");
        let as_of = self.moment("updated_at").or(sent_at);
        let (fact, at) = match topic.name {
            Name::LeadCreated => ("created".to_owned(), created_at.or(sent_at).or(as_of)),
            _ => {
                let millis = as_of.map(Timestamp::as_millisecond);
                (format!("updated/{}", millis.unwrap_or_default()), as_of)
            }
        };
        let at = read::required(at, "created_at", "a time")?;
        let as_of = as_of.unwrap_or(at);
        let head = Head {
            name: topic.name,
            source: self.connection.name.clone(),
            kind: self.connection.kind.clone(),
            account: self.app(),
            id: format!("{}/lead/{id}/{fact}", self.connection.name),
            at,
            test: false,
            depth: 0,
            notes: Vec::new(),
        };
        Ok(Event {
            event: head,
            customer: self.customer(&id),
            subject: Subject {
                created_at: created_at.unwrap_or(as_of),
                ..Subject::new(SubjectKind::Lead, &id, as_of)
            },
            body: Body::Lead {
                lead: Box::new(self.lead(&id, topic, created_at)),
            },
        })
    }

    fn text(&self, name: &str) -> Option<String> {
        self.item.get(name).and_then(read::as_text)
    }

    /// Webhooks have texts where the API has numbers.
    fn moment(&self, name: &str) -> Option<Timestamp> {
        self.item.get(name).and_then(read::moment)
    }

    fn flag(&self, name: &str) -> Option<bool> {
        self.item.get(name).and_then(Value::as_bool)
    }

    /// The workspace's id, where it may be a part of an address.
    fn app(&self) -> Option<String> {
        let envelope = self.value.get("app_id").and_then(read::as_text);
        let app = envelope.or_else(|| self.text("workspace_id"))?;
        let fits = app.len() <= APP_CHARS_MAX && app.bytes().all(|b| b.is_ascii_alphanumeric());
        fits.then_some(app)
    }

    fn lead(&self, id: &str, topic: &Topic, created_at: Option<Timestamp>) -> Lead {
        let app = self.app();
        let shown = app.map(|app| format!("https://app.intercom.com/a/apps/{app}/users/{id}"));
        Lead {
            id: id.to_owned(),
            kind: match self.item.get("role").and_then(Value::as_str) {
                Some("user") => LeadKind::Contact,
                Some("lead") => LeadKind::Lead,
                _ => topic.kind,
            },
            url: shown.as_deref().and_then(read::as_url),
            created_at,
            // The owner's id is among the fields.
            owner: Host::default(),
            company: self.names("companies").into_iter().next(),
            stage: None,
            fields: self.fields(),
            changed: topic.changed.into_iter().map(str::to_owned).collect(),
            list: None,
        }
    }

    /// Everything else by Intercom's own names, and the user's own attributes by theirs. Lists of things
    /// that are elsewhere are left out.
    fn fields(&self) -> FreeMap {
        let mut fields = FreeMap::new();
        let attributes = self.item.get(ATTRIBUTES).and_then(Value::as_object);
        for (name, value) in attributes.into_iter().flatten() {
            read::put(&mut fields, name, value.clone());
        }
        for (name, value) in self.item {
            if !OWN.contains(&name.as_str()) && !value.is_object() {
                read::put(&mut fields, name, value.clone());
            }
        }
        fields
    }

    /// The names in a list of things, where it has them: often it has their ids alone.
    fn names(&self, list: &str) -> Vec<String> {
        let list = self.item.get(list).and_then(|list| list.get("data"));
        let list = list.and_then(Value::as_array).into_iter().flatten();
        let names = list.filter_map(|one| read::as_text(one.get("name")?));
        names.take(ITEMS_MAX).collect()
    }

    fn customer(&self, id: &str) -> Customer {
        let country = self.country();
        let locale = |name: &str| read::locale(self.text(name).as_deref());
        Customer {
            name: self.text("name"),
            country: country.clone(),
            email: read::email(self.text("email").as_deref()),
            locale: locale("language_override").or_else(|| locale("browser_language")),
            id: Some(id.to_owned()),
            accepts_marketing: match self.flag("unsubscribed_from_sms") {
                Some(true) => Some(false),
                _ => self.flag("sms_consent"),
            },
            // Whoever did not leave has not agreed.
            accepts_email: self
                .flag("unsubscribed_from_emails")
                .filter(|left| *left)
                .map(|left| !left),
            tags: self.names("tags"),
            phones: self.phones(country.as_deref()),
            ..Customer::default()
        }
    }

    fn country(&self) -> Option<String> {
        let code = self.item.get("location")?.get("country_code")?.as_str()?;
        read::country(Some(code)).or_else(|| of_three_letters(code))
    }

    fn phones(&self, country: Option<&str>) -> Vec<PhoneCandidate> {
        let chosen = self.connection.phone_from.iter().map(String::as_str);
        let paths: Vec<&str> = if self.connection.phone_from.is_empty() {
            PHONE_PATHS.to_vec()
        } else {
            chosen.collect()
        };
        let number = |path: &str| match path.strip_prefix(CUSTOM) {
            Some(name) => read::as_text(self.item.get(ATTRIBUTES)?.get(name)?),
            None => self.text(PHONE).filter(|_| path == PHONE),
        };
        let candidate = |path: &str| PhoneCandidate {
            path: path.to_owned(),
            number: number(path),
            country: country.map(str::to_owned),
        };
        paths.into_iter().map(candidate).collect()
    }
}

/// `BR`, of `BRA`.
fn of_three_letters(code: &str) -> Option<String> {
    let code = code.trim().to_ascii_uppercase();
    if code.len() != 3 {
        return None;
    }
    let mut countries = COUNTRIES.split_whitespace();
    countries.find_map(|country| country.strip_prefix(code.as_str()).map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn countries_have_two_letters() {
        for (three, two) in [
            ("BRA", Some("BR")),
            ("irl", Some("IE")),
            ("DEU", Some("DE")),
            ("ABW", Some("AW")),
            ("ZWE", Some("ZW")),
            ("XXX", None),
            ("BR", None),
            ("", None),
        ] {
            assert_eq!(of_three_letters(three).as_deref(), two, "{three}");
        }
        assert!(
            COUNTRIES
                .split_whitespace()
                .all(|country| country.len() == 5)
        );
    }
}
