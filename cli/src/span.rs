//! Lengths of time as people type them: `90s`, `15m`, `25h`, `3d`, `1h30m`.

use jiff::SignedDuration;

/// Reads a length of time. Days are 24 hours, weeks seven days; a `-` in front turns it round.
///
/// # Errors
/// What to write instead.
pub fn parse(text: &str) -> Result<SignedDuration, String> {
    let wrong = || format!("\"{text}\" is no length of time: write 90s, 15m, 25h or 3d");
    let trimmed = text.trim();
    let (negative, mut rest) = match trimmed.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, trimmed),
    };
    if rest.is_empty() {
        return Err(wrong());
    }
    let mut seconds: i64 = 0;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, tail) = rest.split_at(digits);
        let number: i64 = number.parse().map_err(|_| wrong())?;
        let unit = match tail.chars().next() {
            Some('s') => 1,
            Some('m') => 60,
            Some('h') => 3_600,
            Some('d') => 86_400,
            Some('w') => 604_800,
            _ => return Err(wrong()),
        };
        let part = number.checked_mul(unit).ok_or_else(wrong)?;
        seconds = seconds.checked_add(part).ok_or_else(wrong)?;
        rest = tail.get(1..).unwrap_or_default();
    }
    Ok(SignedDuration::from_secs(if negative {
        -seconds
    } else {
        seconds
    }))
}

/// Writes a length of time in its two largest units: `25h`, `3d 2h`, `45s`.
pub fn print(duration: SignedDuration) -> String {
    let seconds = duration.as_secs().unsigned_abs();
    let units = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (unit, size) in units {
        if rest >= size {
            parts.push(format!("{}{unit}", rest / size));
            rest %= size;
        }
    }
    parts.truncate(2);
    if parts.is_empty() {
        "0s".to_owned()
    } else {
        parts.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read() {
        let seconds = |text: &str| parse(text).unwrap().as_secs();
        assert_eq!(seconds("25h"), 90_000);
        assert_eq!(seconds("1h30m"), 5_400);
        assert_eq!(seconds("-2d"), -172_800);
        assert_eq!(seconds("90s"), 90);
        for text in [
            "",
            "-",
            "24",
            "24 hours",
            "h",
            "1.5h",
            "1h30",
            "99999999999999999999d",
            "1é",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn lengths_are_printed_in_two_units() {
        assert_eq!(print(SignedDuration::from_secs(93_784)), "1d 2h");
        assert_eq!(print(SignedDuration::from_secs(-45)), "45s");
        assert_eq!(print(SignedDuration::ZERO), "0s");
    }
}
