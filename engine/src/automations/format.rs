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
