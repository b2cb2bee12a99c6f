//! The forms of names: RFC 1123 and RFC 1035, qualified names, label values, ports' names, addresses.

use std::net::IpAddr;

/// What is wrong with a text, if it does not have the form.
pub(super) type Form = fn(&str) -> Option<String>;

/// The longest label of a domain name, in bytes.
const LABEL_BYTES_MAX: usize = 63;
/// The longest domain name, in bytes.
const SUBDOMAIN_BYTES_MAX: usize = 253;
/// The longest name of a port, in bytes.
const PORT_BYTES_MAX: usize = 15;

fn told(fits: bool, wrong: &str) -> Option<String> {
    (!fits).then(|| wrong.to_owned())
}

fn is_lower(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

/// Letters, digits and the bytes of `inner`, which neither begin nor end it.
fn is_plain(text: &str, inner: &[u8], alphanumeric: fn(u8) -> bool) -> bool {
    let (first, last) = (text.bytes().next(), text.bytes().last());
    first.is_some_and(alphanumeric)
        && last.is_some_and(alphanumeric)
        && text.bytes().all(|byte| alphanumeric(byte) || inner.contains(&byte))
}

fn is_label(text: &str) -> bool {
    text.len() <= LABEL_BYTES_MAX && is_plain(text, b"-", is_lower)
}

fn is_subdomain(text: &str) -> bool {
    text.len() <= SUBDOMAIN_BYTES_MAX && text.split('.').all(|label| is_plain(label, b"-", is_lower))
}

/// RFC 1123: lower-case letters, digits and `-`, at most 63.
pub(super) fn label(text: &str) -> Option<String> {
    told(is_label(text), "which is no DNS label: a-z, 0-9 and '-' inside, at most 63")
}

/// RFC 1123 labels with dots between them, at most 253.
pub(super) fn subdomain(text: &str) -> Option<String> {
    told(is_subdomain(text), "which is no DNS name")
}

/// A DNS label that begins with a letter.
pub(super) fn label_1035(text: &str) -> Option<String> {
    let fits = is_label(text) && text.starts_with(|first: char| first.is_ascii_lowercase());
    told(fits, "which is no DNS label that begins with a letter (RFC 1035)")
}

/// A name that is a step of a path.
pub(super) fn path_segment(text: &str) -> Option<String> {
    let fits = !text.is_empty() && text != "." && text != ".." && !text.contains(['/', '%']);
    told(fits, "which cannot be a step of a path: no '/' or '%', not '.' or '..'")
}

/// A name, or a DNS name, a slash and a name.
pub(super) fn qualified(text: &str) -> Option<String> {
    let (prefix, name) = text.split_once('/').map_or((None, text), |(prefix, name)| (Some(prefix), name));
    let named = name.len() <= LABEL_BYTES_MAX && is_plain(name, b"-_.", |byte| byte.is_ascii_alphanumeric());
    told(named && prefix.is_none_or(is_subdomain), "which is no qualified name like example.com/name")
}

/// An annotation's key: a qualified name in either case.
pub(super) fn annotation(text: &str) -> Option<String> {
    qualified(&text.to_lowercase())
}

/// A label's value: empty, or like a name.
pub(super) fn label_value(text: &str) -> Option<String> {
    let named = text.len() <= LABEL_BYTES_MAX && is_plain(text, b"-_.", |byte| byte.is_ascii_alphanumeric());
    told(
        text.is_empty() || named,
        "which is no label value: letters, digits, '-', '_' and '.' inside, at most 63",
    )
}

/// The name of a port after RFC 6335.
pub(super) fn port(text: &str) -> Option<String> {
    let fits = text.len() <= PORT_BYTES_MAX
        && is_plain(text, b"-", is_lower)
        && !text.contains("--")
        && text.contains(|any: char| any.is_ascii_lowercase());
    told(fits, "which is no port's name: at most 15 of a-z, 0-9 and single '-', with a letter")
}

/// The key of a ConfigMap or a Secret.
pub(super) fn config_key(text: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let fits = (1..=SUBDOMAIN_BYTES_MAX).contains(&text.len()) && text.bytes().all(plain);
    let path = text != "." && text != ".." && !text.starts_with("..");
    told(fits && path, "which is no key: letters, digits, '-', '_' and '.', not beginning with '..'")
}

/// The name of an environment variable: printable ASCII without '='.
pub(super) fn env(text: &str) -> Option<String> {
    let printable = |byte: u8| (0x20..0x7f).contains(&byte) && byte != b'=';
    told(!text.is_empty() && text.bytes().all(printable), "which is no environment variable's name")
}

/// An IP address.
pub(super) fn address(text: &str) -> Option<String> {
    told(text.parse::<IpAddr>().is_ok(), "which is no IP address")
}

/// An IP address and the length of its prefix.
pub(super) fn cidr(text: &str) -> Option<String> {
    told(Block::parse(text).is_some(), "which is no block of IP addresses like 10.0.0.0/8")
}

/// A path that stays below where it begins.
pub(super) fn relative_path(text: &str) -> Option<String> {
    if text.starts_with('/') {
        return Some("which is not relative".to_owned());
    }
    told(text.split('/').all(|step| step != ".."), "which has '..' in it")
}

/// A block of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block {
    address: IpAddr,
    length: u8,
}

impl Block {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, length) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let digits = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
        let length = digits.then(|| length.parse().ok()).flatten().filter(|length| *length <= bits)?;
        Some(Self { address, length })
    }

    /// Whether the other block is a smaller part of this one.
    pub(super) fn has_inside(self, other: Self) -> bool {
        let bits = |address: IpAddr| match address {
            IpAddr::V4(four) => (u128::from(u32::from(four)) << 96, false),
            IpAddr::V6(six) => (u128::from(six), true),
        };
        let ((own, own_six), (others, others_six)) = (bits(self.address), bits(other.address));
        let mask = u128::MAX.checked_shl(128 - u32::from(self.length)).unwrap_or(0);
        own_six == others_six && other.length > self.length && own & mask == others & mask
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_has_its_edges() {
        let table: [(Form, &[&str], &[&str]); 9] = [
            (label, &["a", "0", "a-b", "x1"], &["", "-a", "a-", "A", "a.b", "a_b", "ä"]),
            (subdomain, &["a", "a.b", "0.1", "a-b.c"], &["", ".", "a.", ".a", "a..b", "a.-b", "A.b", "a_b"]),
            (label_1035, &["a", "a1", "a-1"], &["1a", "0", "a.b", ""]),
            (path_segment, &["system:node", "A b", "..."], &["", ".", "..", "a/b", "50%"]),
            (
                qualified,
                &["a", "A_b.c-d", "example.com/a"],
                &["", "/a", "a/", "a/b/c", "E.com/a", "-a", "a b"],
            ),
            (label_value, &["", "A", "a_b.c-d", "0"], &["-", "a-", ".a", "a/b", "a b"]),
            (
                port,
                &["http", "a", "p-1", "1a"],
                &["", "1", "-a", "a-", "a--b", "HTTP", "a_b", "sixteen-letters-x"],
            ),
            (config_key, &["a", ".env", "A_b", "-"], &["", ".", "..", "..a", "a/b", "a b"]),
            (relative_path, &["a", "a/b", "..a", ""], &["/a", "..", "a/../b"]),
        ];
        for (form, good, bad) in table {
            let wrong: Vec<_> = good.iter().filter(|text| form(text).is_some()).collect();
            let right: Vec<_> = bad.iter().filter(|text| form(text).is_none()).collect();
            assert!(wrong.is_empty() && right.is_empty(), "{good:?}: {wrong:?} {right:?}");
        }
    }

    #[test]
    fn a_block_has_smaller_ones_inside() {
        let table = [
            ("10.0.0.0/8", "10.1.0.0/16", true),
            ("10.0.0.0/8", "10.0.0.0/8", false),
            ("10.1.0.0/16", "10.0.0.0/8", false),
            ("10.0.0.0/8", "11.0.0.0/16", false),
            ("0.0.0.0/0", "1.2.3.4/32", true),
            ("0.0.0.0/0", "::/64", false),
            ("fd00::/8", "fd00:1::/32", true),
        ];
        for (outer, inner, expected) in table {
            let block = |text| Block::parse(text).expect("a block");
            assert_eq!(block(outer).has_inside(block(inner)), expected, "{inner} in {outer}");
        }
        for text in ["10.0.0.0", "10.0.0.0/33", "10.0.0/8", "10.0.0.0/+8", "::/129", "/8", "a/8"] {
            assert_eq!(Block::parse(text), None, "{text}");
        }
    }
}
