//! Schedules of CronJobs: five fields, or a word like `@daily`.

/// Names of values, from the least value on.
const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// A field: what it is called, its least and greatest value, and names for values.
type Field = (&'static str, u32, u32, &'static [&'static str]);

const FIELDS: [Field; 5] = [
    ("minute", 0, 59, &[]),
    ("hour", 0, 23, &[]),
    ("day of the month", 1, 31, &[]),
    ("month", 1, 12, &MONTHS),
    ("day of the week", 0, 6, &DAYS),
];

/// What is wrong with a schedule.
pub(super) fn schedule(text: &str) -> Option<String> {
    const WORDS: [&str; 7] =
        ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];
    if WORDS.contains(&text) {
        return None;
    }
    if let Some(duration) = text.strip_prefix("@every ") {
        return (!is_duration(duration)).then(|| "which has no duration like 1h30m".to_owned());
    }
    if text.starts_with('@') {
        return Some(format!("which is none of {}", WORDS.join(", ")));
    }
    if text.contains("TZ=") {
        return Some("which has a time zone: use timeZone".to_owned());
    }
    let fields: Vec<&str> = text.split_ascii_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return Some(format!("which has {} fields, and {} are needed", fields.len(), FIELDS.len()));
    }
    let wrong = fields
        .iter()
        .zip(FIELDS)
        .find(|(field, known)| !field.split(',').all(|part| is_range(part, *known)))?;
    let (name, least, most, _) = wrong.1;
    Some(format!("whose {name} {:?} is not made of {least} to {most}", wrong.0))
}

/// `*`, a value, or two of them, and perhaps a step.
fn is_range(part: &str, (_, least, most, names): Field) -> bool {
    let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
    if step.is_some_and(|step| number(step).is_none_or(|step| step == 0)) {
        return false;
    }
    if range == "*" || range == "?" {
        return true;
    }
    let value = |text: &str| {
        let name = text.to_lowercase();
        let named = names.iter().position(|known| *known == name).and_then(|index| u32::try_from(index).ok());
        named
            .map(|index| index + least)
            .or_else(|| number(text))
            .filter(|value| (least..=most).contains(value))
    };
    match range.split_once('-') {
        None => value(range).is_some(),
        Some((first, last)) => value(first).zip(value(last)).is_some_and(|(first, last)| first <= last),
    }
}

fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// Numbers, each with a unit.
fn is_duration(text: &str) -> bool {
    const UNITS: [&str; 7] = ["ns", "us", "µs", "ms", "s", "m", "h"];
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|any: char| !any.is_ascii_digit() && any != '.').unwrap_or(rest.len());
        let (amount, behind) = rest.split_at(digits);
        let unit = behind.find(|any: char| any.is_ascii_digit() || any == '.').unwrap_or(behind.len());
        if amount.parse::<f64>().is_err() || !UNITS.contains(&&behind[..unit]) {
            return false;
        }
        rest = &behind[unit..];
    }
    !text.is_empty()
}

/// What is wrong with the name of a time zone; which ones there are, the cluster knows.
pub(super) fn time_zone(text: &str) -> Option<String> {
    if text.is_empty() || text.trim() != text || text.eq_ignore_ascii_case("local") {
        return Some("which is no name of a time zone".to_owned());
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/_+-.".contains(&byte);
    (!text.bytes().all(plain)).then(|| "which is no name of a time zone".to_owned())
}

#[cfg(test)]
mod tests {
    use super::schedule;

    #[test]
    fn schedules_have_five_fields_of_their_ranges() {
        let good = [
            "* * * * *",
            "0 0 1 1 0",
            "59 23 31 12 6",
            "*/5 * * * *",
            "1-5 * * * *",
            "1-50/7 * * * *",
            "1,2,3 * * * *",
            "0 0 * JAN-Mar mon",
            "0 0 ? * ?",
            "@daily",
            "@hourly",
            "@every 1h30m",
            "@every 1.5h",
            "5/15 * * * *",
            " 0  0 * * * ",
        ];
        let bad = [
            "",
            "* * * *",
            "* * * * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * * 13 *",
            "* * * * 7",
            "*/0 * * * *",
            "5-1 * * * *",
            "a * * * *",
            "-1 * * * *",
            "1, * * * *",
            "@often",
            "@every",
            "@every 5",
            "@every x",
            "TZ=UTC 0 0 * * *",
            "* * * mon *",
            "1--2 * * * *",
            "1/a * * * *",
        ];
        for text in good {
            assert_eq!(schedule(text), None, "{text}");
        }
        for text in bad {
            assert!(schedule(text).is_some(), "{text}");
        }
    }
}
