//! What stands in the attribute: `on`, `summary`, `name`, `validate`, `grants`.

use proc_macro2::{Span, TokenStream};
use syn::parse::{ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Ident, LitStr, Path, Token, bracketed, parenthesized, token};

/// The options of `#[plugin(…)]`.
pub(crate) struct Options {
    /// The types of the events it is for; at least one.
    pub(crate) on: Vec<LitStr>,
    /// What it does, where the function's own documentation does not say it.
    pub(crate) summary: Option<LitStr>,
    /// Its name, where it is not the crate's.
    pub(crate) name: Option<LitStr>,
    /// Checks what the configuration's type cannot say.
    pub(crate) validate: Option<Path>,
    /// What it asks to be granted.
    pub(crate) grants: Grants,
}

/// What stands in `grants(…)`.
#[derive(Default)]
pub(crate) struct Grants {
    pub(crate) kinds: Vec<LitStr>,
    pub(crate) fields: Vec<LitStr>,
    pub(crate) create: bool,
    pub(crate) delete: bool,
}

/// One `key = value`, or `grants(…)`.
enum Entry {
    On(Vec<LitStr>),
    Summary(LitStr),
    Name(LitStr),
    Validate(Path),
    Grants(Grants),
}

impl Options {
    /// Reads the tokens between the attribute's parentheses.
    pub(crate) fn read(tokens: TokenStream) -> syn::Result<Self> {
        let entries = Punctuated::<(Ident, Entry), Token![,]>::parse_terminated_with;
        let entries = |input: ParseStream<'_>| entries(input, entry);
        let (mut on, mut summary, mut name, mut validate, mut grants) = (None, None, None, None, None);
        for (key, entry) in entries.parse2(tokens)? {
            let before = match entry {
                Entry::On(value) => on.replace(value).is_some(),
                Entry::Summary(value) => summary.replace(value).is_some(),
                Entry::Name(value) => name.replace(value).is_some(),
                Entry::Validate(value) => validate.replace(value).is_some(),
                Entry::Grants(value) => grants.replace(value).is_some(),
            };
            if before {
                return Err(twice(&key));
            }
        }
        let on = on.ok_or_else(|| {
            let reason = "say for which events the plugin is: `on = \"falco.rule.output.v1\"`";
            syn::Error::new(Span::call_site(), reason)
        })?;
        Ok(Self { on, summary, name, validate, grants: grants.unwrap_or_default() })
    }
}

fn entry(input: ParseStream<'_>) -> syn::Result<(Ident, Entry)> {
    let key: Ident = input.parse()?;
    let known = ["on", "summary", "name", "validate", "grants"];
    if !known.iter().any(|known| key == known) {
        let reason = format!("unknown option `{key}`; there are `{}`", known.join("`, `"));
        return Err(syn::Error::new(key.span(), reason));
    }
    if key == "grants" {
        return Ok((key, Entry::Grants(grants(input)?)));
    }
    input.parse::<Token![=]>()?;
    let entry = match key.to_string().as_str() {
        "on" => Entry::On(event_types(input)?),
        "summary" => Entry::Summary(text(input)?),
        "name" => Entry::Name(text(input)?),
        _ => Entry::Validate(Path::parse_mod_style(input)?),
    };
    Ok((key, entry))
}

fn twice(key: &Ident) -> syn::Error {
    syn::Error::new(key.span(), format!("`{key}` is given twice"))
}

/// `(kinds = […], fields = […], create, delete)`, or some of these.
fn grants(input: ParseStream<'_>) -> syn::Result<Grants> {
    let inner;
    let parentheses = parenthesized!(inner in input);
    let (mut grants, mut seen) = (Grants::default(), Vec::new());
    while !inner.is_empty() {
        let key: Ident = inner.parse()?;
        if seen.contains(&key) {
            return Err(twice(&key));
        }
        match key.to_string().as_str() {
            "kinds" => grants.kinds = listed(&inner, |kind| kind.contains('/'), "apps/v1/Deployment")?,
            "fields" => grants.fields = listed(&inner, |field| field.starts_with('/'), "/spec/replicas")?,
            "create" => grants.create = true,
            "delete" => grants.delete = true,
            _ => {
                let reason =
                    format!("unknown grant `{key}`; there are `kinds`, `fields`, `create`, `delete`");
                return Err(syn::Error::new(key.span(), reason));
            }
        }
        seen.push(key);
        if !inner.is_empty() {
            inner.parse::<Token![,]>()?;
        }
    }
    if grants.kinds.is_empty() {
        let reason = "name the kinds: `grants(kinds = [\"apps/v1/Deployment\"], …)`";
        return Err(syn::Error::new(parentheses.span.join(), reason));
    }
    Ok(grants)
}

/// `= […]`, of texts that look like the example.
fn listed(input: ParseStream<'_>, fits: fn(&str) -> bool, example: &str) -> syn::Result<Vec<LitStr>> {
    input.parse::<Token![=]>()?;
    let inner;
    bracketed!(inner in input);
    let texts = Punctuated::<LitStr, Token![,]>::parse_terminated_with(&inner, text)?;
    match texts.iter().find(|text| !fits(&text.value())) {
        Some(wrong) => Err(syn::Error::new(wrong.span(), format!("write it like {example:?}"))),
        None => Ok(texts.into_iter().collect()),
    }
}

/// One text, or several in brackets.
fn event_types(input: ParseStream<'_>) -> syn::Result<Vec<LitStr>> {
    if !input.peek(token::Bracket) {
        return Ok(vec![text(input)?]);
    }
    let inner;
    let brackets = bracketed!(inner in input);
    let types = Punctuated::<LitStr, Token![,]>::parse_terminated_with(&inner, text)?;
    if types.is_empty() {
        return Err(syn::Error::new(brackets.span.join(), "name at least one event type"));
    }
    Ok(types.into_iter().collect())
}

/// A text that says something.
fn text(input: ParseStream<'_>) -> syn::Result<LitStr> {
    let text: LitStr = input.parse()?;
    if text.value().trim().is_empty() {
        return Err(syn::Error::new(text.span(), "this text is empty"));
    }
    Ok(text)
}
