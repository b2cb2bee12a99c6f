//! From the options and the function to the plugin.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;

use crate::function::{Argument, Function};
use crate::options::{Grants, Options};

/// The function as it was written, and after it the plugin that calls it.
///
/// The plugin's type has the function's name: types and functions do not share one, so an author has
/// one name to learn, and what is done to it in an editor finds both.
pub(crate) fn expand(options: TokenStream, item: &TokenStream) -> syn::Result<TokenStream> {
    let options = Options::read(options)?;
    let function = Function::read(item)?;
    let Function { ident, visibility, docs, .. } = &function;
    let summary = summary(&options, &function)?;
    let name = match &options.name {
        Some(name) => quote!(#name),
        None => quote!(::core::env!("CARGO_PKG_NAME")),
    };
    let on = &options.on;
    let Grants { kinds, fields, create, delete } = &options.grants;
    let config = match &function.config {
        Some(config) => quote!(#config),
        None => quote!(::riposte_sdk::NoConfig),
    };
    let validate = validate(&options, &function)?;
    let handle = handle(&function);
    Ok(quote! {
        #[allow(
            clippy::missing_errors_doc,
            clippy::needless_pass_by_value,
            reason = "every plugin takes its event by value, and every answer can be a reason"
        )]
        #item

        #(#docs)*
        #[allow(non_camel_case_types, reason = "the plugin has the name of its function")]
        #visibility enum #ident {}

        impl ::riposte_sdk::Plugin for #ident {
            const NAME: &'static str = #name;
            const VERSION: &'static str = ::core::env!("CARGO_PKG_VERSION");
            const SUMMARY: &'static str = #summary;
            const EVENT_TYPES: &'static [&'static str] = &[#(#on),*];
            const GRANTS: ::riposte_sdk::Grants = ::riposte_sdk::Grants {
                kinds: &[#(#kinds),*],
                fields: &[#(#fields),*],
                create: #create,
                delete: #delete,
            };
            type Config = #config;
            #validate
            #handle
        }

        ::riposte_sdk::export!(#ident);
    })
}

/// What the option says, or else the documentation.
fn summary(options: &Options, function: &Function) -> syn::Result<String> {
    let given = options.summary.as_ref().map(syn::LitStr::value);
    given.or_else(|| function.summary()).ok_or_else(|| {
        let reason = "say what the plugin does: `summary = \"…\"`, or documentation on the function";
        syn::Error::new(function.ident.span(), reason)
    })
}

fn validate(options: &Options, function: &Function) -> syn::Result<Option<TokenStream>> {
    let Some(path) = &options.validate else { return Ok(None) };
    if function.config.is_none() {
        let reason = "there is no configuration to validate: the function takes none";
        return Err(syn::Error::new(path.span(), reason));
    }
    let config = local("config");
    // The span of the path: a function of another shape is shown there.
    let call = quote_spanned!(path.span()=> #path(#config));
    Ok(Some(quote! {
        fn validate(#config: &Self::Config) -> ::core::result::Result<(), ::std::string::String> {
            #call
        }
    }))
}

fn handle(function: &Function) -> TokenStream {
    let Function { ident, event, answer, .. } = function;
    let [sent, config, context, read] = ["sent", "config", "context", "read"].map(local);
    let arguments = function.arguments.iter().map(|argument| match argument {
        Argument::Config => &config,
        Argument::Context => &context,
    });
    // The spans of the types: one that is no event, or no answer, is shown there.
    let from_event = quote_spanned!(event.span()=> <#event as ::riposte_sdk::FromEvent>::from_event(#sent));
    let mut answered = local("answered");
    answered.set_span(answered.span().located_at(answer.span()));
    quote! {
        fn handle(
            #sent: ::riposte_sdk::Event,
            #config: &Self::Config,
            #context: &::riposte_sdk::Context,
        ) -> ::riposte_sdk::Answer {
            let #read = #from_event?;
            let #answered = #ident(#read #(, #arguments)*);
            #answered
        }
    }
}

/// A name of the generated code alone, whatever the span of what it stands in.
fn local(name: &str) -> Ident {
    Ident::new(&format!("__{name}"), Span::call_site())
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use super::*;

    const ON: &str = r#"on = "falco.rule.output.v1", summary = "Calms""#;
    const CALM: &str = "fn calm(alert: Falco, config: &Config, context: &Context) -> Answer { todo }";

    fn tokens(text: &str) -> TokenStream {
        TokenStream::from_str(text).expect("tokens")
    }

    /// The expansion as text with single spaces.
    fn expanded(options: &str, item: &str) -> String {
        let expanded = expand(tokens(options), &tokens(item)).expect("a plugin").to_string();
        expanded.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_function_becomes_a_plugin_of_its_name() {
        let text = expanded(ON, CALM);
        for part in [
            "fn calm (alert : Falco ,",
            "enum calm { }",
            "impl :: riposte_sdk :: Plugin for calm",
            r#"NAME : & 'static str = :: core :: env ! ("CARGO_PKG_NAME")"#,
            r#"SUMMARY : & 'static str = "Calms""#,
            r#"& ["falco.rule.output.v1"]"#,
            "type Config = Config ;",
            "calm (__read , __config , __context)",
            ":: riposte_sdk :: export ! (calm)",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("fn validate"), "{text}");
    }

    #[test]
    fn options_and_arguments_can_be_left_out_or_added() {
        let table = [
            (r#"on = ["a", "b",], summary = "s""#, CALM, r#"& ["a" , "b"]"#),
            (r#"on = "a", summary = "s", name = "other""#, CALM, r#"NAME : & 'static str = "other""#),
            (r#"on = "a", summary = "s", validate = rules::check"#, CALM, "rules :: check (__config)"),
            (
                r#"on = "a""#,
                "/// Calms\n/// it.\n///\n/// More.\nfn f(e: Event) -> Answer {}",
                r#""Calms it""#,
            ),
            (ON, "pub fn f(event: Event) -> Answer {}", "pub enum f { }"),
            (ON, CALM, "Grants { kinds : & [] , fields : & [] , create : false , delete : false , }"),
            (
                r#"on = "a", summary = "s", grants(delete, fields = ["/spec"], kinds = ["v1/Pod", "v1/Service"],)"#,
                CALM,
                r#"{ kinds : & ["v1/Pod" , "v1/Service"] , fields : & ["/spec"] , create : false , delete : true , }"#,
            ),
            (ON, "fn f(event: Event) -> Answer {}", "type Config = :: riposte_sdk :: NoConfig ; "),
            (ON, "fn f(event: Event) -> Answer {}", "f (__read)"),
            (ON, "fn f(a: Falco, c: &my::Config) -> Answer {}", "f (__read , __config)"),
            (ON, "fn f(a: Falco, c: &riposte_sdk::Context) -> Answer {}", "f (__read , __context)"),
            (ON, "fn f(a: Falco, x: &Context, c: &Config) -> Answer {}", "f (__read , __context , __config)"),
        ];
        for (options, item, expected) in table {
            let text = expanded(options, item);
            assert!(text.contains(expected), "{options} on {item}: {text}");
        }
    }

    /// Options, item, the text that the error points at (`None`: the attribute), what it says.
    type Wrong = (&'static str, &'static str, Option<&'static str>, &'static str);

    fn assert_refused(table: &[Wrong]) {
        for (options, item, points_at, says) in table {
            let error = expand(tokens(options), &tokens(item)).expect_err(item);
            assert!(error.to_string().contains(says), "{options} on {item}: {error}");
            if points_at.is_some() {
                assert_eq!(error.span().source_text().as_deref(), *points_at, "{options} on {item}: {error}");
            }
        }
    }

    #[test]
    fn wrong_options_are_shown_where_they_stand() {
        assert_refused(&[
            ("", CALM, None, "say for which events"),
            ("on = \"a\", colour = 1", CALM, Some("colour"), "unknown option `colour`; there are `on`"),
            ("on = \"a\", on = \"b\"", CALM, Some("on"), "`on` is given twice"),
            ("on = 7", CALM, Some("7"), "expected string literal"),
            ("on = \" \"", CALM, Some("\" \""), "empty"),
            ("on = []", CALM, Some("[]"), "at least one event type"),
            ("on = \"a\", name = calm", CALM, Some("calm"), "expected string literal"),
            ("on: \"a\"", CALM, Some(":"), "expected `=`"),
            ("on = \"a\"", CALM, Some("calm"), "say what the plugin does"),
            ("on = \"a\", grants(verbs)", CALM, Some("verbs"), "unknown grant `verbs`; there are `kinds`"),
            ("on = \"a\", grants(create, create)", CALM, Some("create"), "`create` is given twice"),
            ("on = \"a\", grants(create delete)", CALM, Some("delete"), "expected `,`"),
            ("on = \"a\", grants(create)", CALM, Some("(create)"), "name the kinds"),
            ("on = \"a\", grants()", CALM, Some("()"), "name the kinds"),
            (
                "on = \"a\", grants(kinds = [\"Pod\"])",
                CALM,
                Some("\"Pod\""),
                "write it like \"apps/v1/Deployment\"",
            ),
            (
                "on = \"a\", grants(kinds = [\"v1/Pod\"], fields = [\"spec\"])",
                CALM,
                Some("\"spec\""),
                "write it like \"/spec/replicas\"",
            ),
            ("on = \"a\", grants = [\"v1/Pod\"]", CALM, Some("="), "expected parentheses"),
            (
                "on = \"a\", summary = \"s\", validate = check",
                "fn calm(alert: Falco) -> Answer {}",
                Some("check"),
                "takes none",
            ),
        ]);
    }

    #[test]
    fn wrong_functions_are_shown_where_they_stand() {
        assert_refused(&[
            (ON, "struct Calm;", Some("struct"), "a plugin is a function"),
            (ON, "fn calm() -> Answer {}", Some("calm"), "takes the event first"),
            (ON, "fn calm(&self) -> Answer {}", Some("&self"), "free function"),
            (ON, "fn calm(alert: &Falco) -> Answer {}", Some("&Falco"), "by value"),
            (ON, "fn calm(alert: Falco, config: Config) -> Answer {}", Some("Config"), "borrowed"),
            (ON, "fn calm(alert: Falco, config: &mut Config) -> Answer {}", Some("&mut Config"), "borrowed"),
            (ON, "fn calm(alert: Falco, a: &A, b: &B) -> Answer {}", Some("b: &B"), "one configuration"),
            (
                ON,
                "fn calm(a: Falco, b: &Context, c: &Context) -> Answer {}",
                Some("c: &Context"),
                "one context",
            ),
            (ON, "fn calm(alert: Falco) {}", Some("calm"), "returns an answer"),
            (ON, "async fn calm(alert: Falco) -> Answer {}", Some("async"), "nothing to wait for"),
            (ON, "fn calm<T>(alert: T) -> Answer {}", Some("<T>"), "not generic"),
        ]);
    }
}
