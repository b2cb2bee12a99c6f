//! Quantities of resources: their form, their order, and what containers ask for and are limited to.

use std::cmp::Ordering;

use serde_json::Value;

use super::node::Node;
use super::{Found, names};

/// One in the smallest unit there is.
const NANO: i128 = 1_000_000_000;
/// The most that an API server counts: larger quantities are as large as this.
const UNITS_MAX: i128 = i64::MAX as i128 * NANO;
/// Digits that are read; further ones of a fraction are smaller than the smallest unit.
const DIGITS_MAX: usize = 24;

/// An amount in thousand-millionths, rounded up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Quantity(i128);

impl Quantity {
    /// A number, or a text after the API conventions: `[+-]digits[.digits]` and a suffix.
    pub(super) fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Number(number) => Self::parse(&number.to_string()),
            Value::String(text) => Self::parse(text),
            _ => None,
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let end = unsigned.find(|any: char| !any.is_ascii_digit() && any != '.').unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
            return None;
        }
        let (multiplier, shift) = scale(suffix)?;
        let amount = amount(whole.trim_start_matches('0'), fraction, multiplier, shift);
        Some(Self(if text.starts_with('-') { -amount } else { amount }))
    }

    pub(super) fn is_negative(self) -> bool {
        self.0 < 0
    }

    pub(super) fn is_zero(self) -> bool {
        self.0 == 0
    }

    pub(super) fn is_whole(self) -> bool {
        self.0 % NANO == 0
    }
}

/// A factor, and the places to move the point to the right.
fn scale(suffix: &str) -> Option<(i128, i32)> {
    const DECIMAL: [(&str, i32); 11] = [
        ("n", -9),
        ("u", -6),
        ("m", -3),
        ("", 0),
        ("k", 3),
        ("M", 6),
        ("G", 9),
        ("T", 12),
        ("P", 15),
        ("E", 18),
        ("e0", 0),
    ];
    const BINARY: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    if let Some((_, shift)) = DECIMAL.iter().find(|(name, _)| *name == suffix) {
        return Some((1, *shift));
    }
    if let Some(power) = BINARY.iter().position(|name| *name == suffix) {
        return Some((1 << (10 * (power + 1)), 0));
    }
    let exponent = suffix.strip_prefix(['e', 'E'])?;
    let exponent: i32 = exponent.strip_prefix('+').unwrap_or(exponent).parse().ok()?;
    Some((1, exponent))
}

fn amount(whole: &str, fraction: &str, multiplier: i128, shift: i32) -> i128 {
    let fraction = &fraction[..fraction.len().min(DIGITS_MAX)];
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    // Nanos: nine more places.
    let places = i64::from(shift) + 9 - i64::try_from(fraction.len()).unwrap_or(0);
    let Ok(digits) = (if digits.is_empty() { Ok(0) } else { digits.parse::<i128>() }) else {
        return UNITS_MAX;
    };
    if digits == 0 {
        return 0;
    }
    let Some(product) = digits.checked_mul(multiplier) else { return UNITS_MAX };
    let power = u32::try_from(places.unsigned_abs()).ok().and_then(|places| 10_i128.checked_pow(places));
    let scaled = match (places < 0, power) {
        (false, Some(power)) => product.checked_mul(power).unwrap_or(UNITS_MAX),
        (false, None) => UNITS_MAX,
        (true, Some(power)) => product / power + i128::from(product % power != 0),
        (true, None) => 1,
    };
    scaled.min(UNITS_MAX)
}

/// A quantity at a place; what is none is told.
pub(super) fn read(node: &Node<'_>, found: &mut Found) -> Option<Quantity> {
    let quantity = Quantity::of(node.value());
    if quantity.is_none() {
        found.at(node, format!("is {}, which is no quantity", node.value()));
    }
    quantity
}

/// A quantity that is not negative, if there is one.
pub(super) fn not_negative(node: &Node<'_>, field: &str, found: &mut Found) {
    if let Some(field) = node.get(field)
        && read(&field, found).is_some_and(Quantity::is_negative)
    {
        found.at(&field, "is negative");
    }
}

/// What a container asks for and is limited to: `resources` of a container.
pub(super) fn resources(node: &Node<'_>, found: &mut Found) {
    let Some(resources) = node.get("resources") else { return };
    for list in ["limits", "requests"] {
        for (name, amount) in resources.entries(list) {
            resource(name, &amount, found);
        }
    }
    for (name, request) in resources.entries("requests") {
        let limit = resources.at(&["limits", name]);
        let (asked, limit) = (Quantity::of(request.value()), limit.map(|limit| Quantity::of(limit.value())));
        match (asked, limit) {
            (Some(_), None) if is_whole(name) => {
                found.at(&request, format!("has no limit, and {name} needs one that is the same"));
            }
            (Some(asked), Some(Some(limit))) if is_whole(name) && asked != limit => {
                found.at(&request, format!("of {name} is not its limit, and it cannot be given to several"));
            }
            (Some(asked), Some(Some(limit))) if asked.cmp(&limit) == Ordering::Greater => {
                found.at(&request, format!("asks for more {name} than its limit allows"));
            }
            _ => {}
        }
    }
}

fn resource(name: &str, amount: &Node<'_>, found: &mut Found) {
    const OWN: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];
    let known = OWN.contains(&name) || name.starts_with("hugepages-");
    if !known && !name.contains('/') {
        found.at(amount, format!("has the name {name:?}, which is no resource of a container"));
    } else if let Some(wrong) = names::qualified(name) {
        found.at(amount, format!("has the name {name:?}, {wrong}"));
    }
    let Some(quantity) = read(amount, found) else { return };
    if quantity.is_negative() {
        found.at(amount, "is negative");
    } else if name.contains('/') && !quantity.is_whole() {
        found.at(amount, format!("is {}, and {name} is counted in whole ones", amount.value()));
    }
}

/// Resources that are one's own as long as one has them.
fn is_whole(name: &str) -> bool {
    name.starts_with("hugepages-") || (name.contains('/') && !name.contains("kubernetes.io/"))
}

#[cfg(test)]
mod tests {
    use super::Quantity;

    #[test]
    fn quantities_have_an_order() {
        let ascending = [
            "-1", "0", "1n", "1u", "1m", ".5", "0.6", "1", "1k", "1Ki", "1e4", "1M", "1Mi", "1.5Gi", "2Gi",
            "1T", "1E", "1Ei",
        ];
        let read = |text: &str| Quantity::parse(text).unwrap_or_else(|| panic!("{text}"));
        for pair in ascending.windows(2) {
            assert!(read(pair[0]) < read(pair[1]), "{pair:?}");
        }
        for (one, other) in [
            ("1", "1000m"),
            ("0.5", "500m"),
            ("1Gi", "1073741824"),
            ("1e3", "1k"),
            ("+1.", "1"),
            ("1E3", "1e+3"),
        ] {
            assert_eq!(read(one), read(other), "{one} {other}");
        }
        assert_eq!(read("1e-30"), read("1n"), "rounded up");
        assert_eq!(read(&"9".repeat(200)), read("100E"), "as large as can be counted");
    }

    #[test]
    fn what_is_no_quantity_is_none() {
        for text in [
            "", ".", "-", "1 Gi", "128Mib", "1.2.3", "1K", "1mi", "1e", "0x1", "1ee3", "e3", "１", "1_000",
            "NaN",
        ] {
            assert_eq!(Quantity::parse(text), None, "{text}");
        }
    }
}
