//! Money, numbers, dates and times as a locale writes them. The one place that knows icu: the
//! currency formatter is still experimental there, so its version is pinned and its use stays here.

use fixed_decimal::Decimal;
use icu_datetime::fieldsets::{self, YMD, YMDE};
use icu_datetime::input::{Date as IcuDate, Time as IcuTime};
use icu_datetime::options::YearStyle;
use icu_datetime::{DateTimeFormatter, NoCalendarFormatter};
use icu_decimal::DecimalFormatter;
use icu_experimental::dimension::currency::CurrencyType;
use icu_experimental::dimension::currency::formatter::CurrencyFormatter;
use jiff::civil::{Date, Time};

use super::locale::Locale;

/// How much of a date is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DateStyle {
    /// `domenica 22 novembre`.
    NoYear,
    /// `22/11/2026`.
    Short,
    /// `22 novembre 2026`.
    Long,
    /// `domenica 22 novembre 2026`.
    Full,
}

/// `R$ 129,90`; `None` for what is no currency code. The amount goes through its decimal text: a float
/// formatted by itself would show its error.
pub(super) fn money(locale: &Locale, amount: f64, currency: &str) -> Option<String> {
    let currency = CurrencyType::try_from_str(currency).ok()?;
    let amount: Decimal = decimal(amount, 4)?;
    let prefs = (&locale.0).into();
    let formatter =
        CurrencyFormatter::<DecimalFormatter>::try_new_symbol(prefs, currency, Default::default())
            .ok()?;
    Some(formatter.format_fixed_decimal(&amount).to_string())
}

/// `1.234,50` with `digits` digits after the point.
pub(super) fn number(locale: &Locale, value: f64, digits: u8) -> Option<String> {
    let mut value = decimal(value, digits)?;
    value.absolute.pad_end(-i16::from(digits));
    let formatter = DecimalFormatter::try_new((&locale.0).into(), Default::default()).ok()?;
    Some(formatter.format(&value).to_string())
}

fn decimal(value: f64, digits: u8) -> Option<Decimal> {
    let mut decimal: Decimal = format!("{value:.*}", usize::from(digits)).parse().ok()?;
    decimal.absolute.trim_end();
    Some(decimal)
}

/// A date; `None` where icu has no data at all.
pub(super) fn date(locale: &Locale, date: Date, style: DateStyle) -> Option<String> {
    let month = u8::try_from(date.month()).ok()?;
    let day = u8::try_from(date.day()).ok()?;
    let day = IcuDate::try_new_iso(i32::from(date.year()), month, day).ok()?;
    let prefs = (&locale.0).into();
    Some(match style {
        DateStyle::NoYear => {
            let set = fieldsets::MDE::long();
            DateTimeFormatter::try_new(prefs, set)
                .ok()?
                .format(&day)
                .to_string()
        }
        DateStyle::Short => {
            let set = YMD::short().with_year_style(YearStyle::Full);
            DateTimeFormatter::try_new(prefs, set)
                .ok()?
                .format(&day)
                .to_string()
        }
        DateStyle::Long => DateTimeFormatter::try_new(prefs, YMD::long())
            .ok()?
            .format(&day)
            .to_string(),
        DateStyle::Full => DateTimeFormatter::try_new(prefs, YMDE::long())
            .ok()?
            .format(&day)
            .to_string(),
    })
}

/// `14:30`, `2:30 PM`.
pub(super) fn time(locale: &Locale, time: Time) -> Option<String> {
    let hour = u8::try_from(time.hour()).ok()?;
    let minute = u8::try_from(time.minute()).ok()?;
    let at = IcuTime::try_new(hour, minute, 0, 0).ok()?;
    let formatter = NoCalendarFormatter::try_new((&locale.0).into(), fieldsets::T::hm()).ok()?;
    Some(formatter.format(&at).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locale(tag: &str) -> Locale {
        Locale::read(tag)
    }

    /// `~` stands for a no-break space, `^` for a narrow one.
    fn marked(text: Option<String>) -> String {
        text.unwrap_or_default()
            .replace('\u{a0}', "~")
            .replace('\u{202f}', "^")
    }

    #[test]
    fn money_as_each_locale_writes_it() {
        let rows = [
            ("pt-BR", 1_234_567.5, "BRL", "R$~1.234.567,50"),
            ("pt-PT", 1_234_567.5, "EUR", "1~234~567,50~€"),
            ("es", 1_234_567.5, "BRL", "1.234.567,50~R$"),
            ("es", -1234.5, "EUR", "-1234,50~€"),
            ("es-MX", 1234.5, "MXN", "$1,234.50"),
            ("es-AR", 1234.5, "ARS", "$~1.234,50"),
            ("it", 1_234_567.5, "EUR", "1.234.567,50~€"),
            ("en", 1_234_567.5, "BRL", "R$1,234,567.50"),
            ("en", 1000.0, "JPY", "¥1,000"),
            ("en-GB", 9.99, "GBP", "£9.99"),
            ("fr", 1_234_567.5, "EUR", "1^234^567,50~€"),
            ("de", 1_234_567.5, "EUR", "1.234.567,50~€"),
            ("de-AT", 12.0, "EUR", "€~12,00"),
            ("xx", 12.0, "EUR", "€~12.00"),
            ("en", 0.1 + 0.2, "USD", "$0.30"),
            ("en", 129.995, "USD", "$130.00"),
            ("en", -0.001, "USD", "-$0.00"),
            ("en", 12.0, "E1R", ""),
        ];
        let wrong: Vec<String> = rows
            .into_iter()
            .filter_map(|(tag, amount, currency, expected)| {
                let got = marked(money(&locale(tag), amount, currency));
                (got != expected)
                    .then(|| format!("{tag} {amount} {currency}: {got}, not {expected}"))
            })
            .collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn dates_as_each_locale_writes_them() {
        let day: Date = "2026-03-09".parse().unwrap();
        let rows = [
            (
                "pt-BR",
                "segunda-feira, 9 de março",
                "09/03/2026",
                "9 de março de 2026",
                "14:05",
            ),
            (
                "es",
                "lunes, 9 de marzo",
                "9/3/2026",
                "9 de marzo de 2026",
                "14:05",
            ),
            (
                "it",
                "lunedì 9 marzo",
                "09/03/2026",
                "9 marzo 2026",
                "14:05",
            ),
            (
                "en",
                "Monday, March 9",
                "3/9/2026",
                "March 9, 2026",
                "2:05^PM",
            ),
            (
                "en-GB",
                "Monday 9 March",
                "09/03/2026",
                "9 March 2026",
                "14:05",
            ),
            ("fr", "lundi 9 mars", "09/03/2026", "9 mars 2026", "14:05"),
            (
                "de",
                "Montag, 9. März",
                "09.03.2026",
                "9. März 2026",
                "14:05",
            ),
        ];
        for (tag, no_year, short, long, clock) in rows {
            let locale = locale(tag);
            assert_eq!(
                marked(date(&locale, day, DateStyle::NoYear)),
                no_year,
                "{tag}"
            );
            assert_eq!(marked(date(&locale, day, DateStyle::Short)), short, "{tag}");
            assert_eq!(marked(date(&locale, day, DateStyle::Long)), long, "{tag}");
            assert_eq!(
                marked(time(&locale, Time::constant(14, 5, 59, 0))),
                clock,
                "{tag}"
            );
        }
    }

    #[test]
    fn numbers_with_digits() {
        assert_eq!(marked(number(&locale("pt-BR"), 1234.5, 2)), "1.234,50");
        assert_eq!(marked(number(&locale("en"), 1234.567, 0)), "1,235");
        assert_eq!(marked(number(&locale("fr"), -1234.0, 1)), "-1^234,0");
    }
}
