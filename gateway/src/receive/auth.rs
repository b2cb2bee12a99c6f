//! Who may come in: one of several tokens, shown in one of the ways that senders know.
//!
//! Tokens are compared as digests of equal length, in constant time, so neither a prefix nor a
//! length leaks. A token never appears in `Debug`, a log or a rejection.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, header};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::Rejection;

/// The tokens that let a request in. Without any, every request is let in.
#[derive(Clone)]
pub struct Tokens(Vec<[u8; 32]>);

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({})", self.0.len())
    }
}

impl Tokens {
    /// Any of these lets a request in.
    #[must_use]
    pub fn new(tokens: Vec<String>) -> Self {
        Self(tokens.into_iter().map(|token| Sha256::digest(token).into()).collect())
    }

    /// Every request is let in.
    #[must_use]
    pub fn none() -> Self {
        Self(Vec::new())
    }

    /// Looks for a token: `Authorization: Bearer`, `Authorization: Basic` (any user, the token as
    /// the password), or `access_token` or `token` in the query, percent-decoded.
    ///
    /// # Errors
    /// [`Rejection::Unauthorized`] when none of them is right.
    pub fn check(&self, headers: &HeaderMap, query: Option<&str>) -> Result<(), Rejection> {
        if self.0.is_empty() {
            return Ok(());
        }
        let in_header =
            headers.get_all(header::AUTHORIZATION).iter().filter_map(|value| credential(value.as_bytes()));
        let in_query = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes())
            .filter(|(name, _)| name == "access_token" || name == "token")
            .map(|(_, value)| value.into_owned().into_bytes());
        let mut shown = in_header.chain(in_query);
        if shown.any(|token| self.knows(&token)) { Ok(()) } else { Err(Rejection::Unauthorized) }
    }

    fn knows(&self, token: &[u8]) -> bool {
        let digest = Sha256::digest(token);
        // Every token is compared, so that the time does not tell which one was nearly right.
        let known = self.0.iter().fold(Choice::from(0), |known, token| known | token[..].ct_eq(&digest[..]));
        known.into()
    }
}

/// The secret part of an `Authorization` value.
fn credential(value: &[u8]) -> Option<Vec<u8>> {
    let space = value.iter().position(|byte| *byte == b' ')?;
    let (scheme, rest) = (&value[..space], value[space..].trim_ascii());
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return Some(rest.to_vec());
    }
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return None;
    }
    let pair = STANDARD.decode(rest).ok()?;
    let colon = pair.iter().position(|byte| *byte == b':')?;
    Some(pair[colon + 1..].to_vec())
}
