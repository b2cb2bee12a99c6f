//! The `#[plugin]` attribute of `riposte-sdk`.
//!
//! A procedural macro needs a crate of its own; its documentation for authors is at
//! `riposte_sdk::plugin`. `options` reads what stands in the attribute, `function` what stands
//! below it, `expand` writes the plugin. All three work on tokens alone, so tests need no compiler.

mod expand;
mod function;
mod options;

use proc_macro::TokenStream;

/// Makes a function the plugin of this crate; see `riposte_sdk::plugin`.
#[proc_macro_attribute]
pub fn plugin(options: TokenStream, item: TokenStream) -> TokenStream {
    let item = item.into();
    let expanded = expand::expand(options.into(), &item);
    // The function stays in the output beside the error, so that its callers give none of their own.
    let expanded = expanded.unwrap_or_else(|error| {
        let error = error.into_compile_error();
        quote::quote!(#item #error)
    });
    expanded.into()
}
