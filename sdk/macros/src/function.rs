//! What stands below the attribute: a function from an event to an answer.

use proc_macro2::TokenStream;
use syn::spanned::Spanned;
use syn::{Attribute, Expr, FnArg, Ident, ItemFn, Lit, Meta, ReturnType, Type, TypeReference, Visibility};

/// How a plugin's function looks, for errors.
const SHAPE: &str = "fn name(alert: Falco, config: &Config, context: &Context) -> Answer";

/// What an argument after the event gets.
pub(crate) enum Argument {
    /// The configuration.
    Config,
    /// The look-ups.
    Context,
}

/// A function that can be a plugin.
pub(crate) struct Function {
    /// Its name, which becomes the type's too.
    pub(crate) ident: Ident,
    /// Who may name it.
    pub(crate) visibility: Visibility,
    /// Its documentation.
    pub(crate) docs: Vec<Attribute>,
    /// What it takes as the event.
    pub(crate) event: Type,
    /// What follows the event.
    pub(crate) arguments: Vec<Argument>,
    /// What its configuration is, if it takes one.
    pub(crate) config: Option<Type>,
    /// What it returns.
    pub(crate) answer: Type,
}

impl Function {
    /// Reads the item that carries the attribute.
    pub(crate) fn read(item: &TokenStream) -> syn::Result<Self> {
        let function: ItemFn = syn::parse2(item.clone())
            .map_err(|error| syn::Error::new(error.span(), format!("a plugin is a function: `{SHAPE}`")))?;
        refuse_modifiers(&function)?;
        let mut inputs = function.sig.inputs.iter();
        let event = event(inputs.next(), &function)?;
        let (mut arguments, mut config) = (Vec::new(), None);
        for input in inputs {
            let reference = reference(input)?;
            let context = is_context(&reference.elem);
            let repeated = match context {
                true => arguments.iter().any(|argument| matches!(argument, Argument::Context)),
                false => config.is_some(),
            };
            if repeated {
                let reason =
                    format!("a plugin takes one event, one configuration and one context: `{SHAPE}`");
                return Err(syn::Error::new(input.span(), reason));
            }
            if context {
                arguments.push(Argument::Context);
            } else {
                arguments.push(Argument::Config);
                config = Some(reference.elem.as_ref().clone());
            }
        }
        let ReturnType::Type(_, answer) = &function.sig.output else {
            let reason = format!("a plugin returns an answer: `{SHAPE}`");
            return Err(syn::Error::new(function.sig.ident.span(), reason));
        };
        Ok(Self {
            ident: function.sig.ident,
            visibility: function.vis,
            docs: function.attrs.into_iter().filter(|attribute| attribute.path().is_ident("doc")).collect(),
            event,
            arguments,
            config,
            answer: answer.as_ref().clone(),
        })
    }

    /// The first paragraph of the documentation, on one line.
    pub(crate) fn summary(&self) -> Option<String> {
        let lines = self.docs.iter().filter_map(documented);
        let trimmed = lines.map(|line| line.trim().to_owned());
        let paragraph: Vec<String> =
            trimmed.skip_while(String::is_empty).take_while(|line| !line.is_empty()).collect();
        (!paragraph.is_empty()).then(|| paragraph.join(" ").trim_end_matches('.').to_owned())
    }
}

fn refuse_modifiers(function: &ItemFn) -> syn::Result<()> {
    let signature = &function.sig;
    let modifiers = [
        signature.asyncness.as_ref().map(|token| (token.span(), "async: there is nothing to wait for")),
        signature.abi.as_ref().map(|token| (token.span(), "extern: the attribute writes the export")),
        signature.variadic.as_ref().map(|token| (token.span(), "variadic")),
        signature.generics.lt_token.as_ref().map(|_| (signature.generics.span(), "generic")),
    ];
    match modifiers.into_iter().flatten().next() {
        Some((span, what)) => Err(syn::Error::new(span, format!("a plugin is not {what}"))),
        None => Ok(()),
    }
}

/// The first argument's type, which is taken by value.
fn event(input: Option<&FnArg>, function: &ItemFn) -> syn::Result<Type> {
    match input {
        Some(FnArg::Typed(argument)) => match argument.ty.as_ref() {
            Type::Reference(reference) => {
                Err(syn::Error::new(reference.span(), "the event is taken by value: write `alert: Falco`"))
            }
            event => Ok(event.clone()),
        },
        Some(FnArg::Receiver(receiver)) => {
            Err(syn::Error::new(receiver.span(), format!("a plugin is a free function: `{SHAPE}`")))
        }
        None => {
            let reason = format!("a plugin takes the event first: `{SHAPE}`");
            Err(syn::Error::new(function.sig.ident.span(), reason))
        }
    }
}

/// A later argument, which is borrowed and never changed.
fn reference(input: &FnArg) -> syn::Result<&TypeReference> {
    let FnArg::Typed(argument) = input else {
        return Err(syn::Error::new(input.span(), format!("a plugin is a free function: `{SHAPE}`")));
    };
    match argument.ty.as_ref() {
        Type::Reference(reference) if reference.mutability.is_none() => Ok(reference),
        other => {
            let reason =
                "the configuration and the context are borrowed: write `config: &Config, context: &Context`";
            Err(syn::Error::new(other.span(), reason))
        }
    }
}

fn is_context(ty: &Type) -> bool {
    matches!(ty, Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == "Context"))
}

/// The text of a documentation line.
fn documented(attribute: &Attribute) -> Option<String> {
    let Meta::NameValue(pair) = &attribute.meta else { return None };
    match &pair.value {
        Expr::Lit(literal) => match &literal.lit {
            Lit::Str(text) => Some(text.value()),
            _ => None,
        },
        _ => None,
    }
}
