//! What an attribute says: whether it knows of tests, which words and which quoted paths it holds.

use proc_macro2::{TokenStream, TokenTree};
use syn::{Attribute, Meta};

use super::tokens::{Segments, Token, scan};

/// Exactly `#[cfg(test)]`: `#[cfg(not(test))]` on a module is a switch like any other.
pub(super) fn is_test_only(attribute: &Attribute) -> bool {
    attribute.path().is_ident("cfg") && matches!(&attribute.meta, Meta::List(list) if list.tokens.to_string() == "test")
}

pub(super) fn is_test_switch(attribute: &Attribute) -> bool {
    let switch = attribute.path().is_ident("cfg") || attribute.path().is_ident("cfg_attr");
    switch && matches!(&attribute.meta, Meta::List(list) if mentions_test(list.tokens.clone()))
}

pub(super) fn mentions_test(stream: TokenStream) -> bool {
    words(stream).iter().any(|word| word == "test")
}

pub(super) fn words(stream: TokenStream) -> Segments {
    let mut found = Segments::new();
    scan(stream, &mut |token, _| {
        if let Token::Word(word) = token {
            found.push(word);
        }
    });
    found
}

/// The string literals in an attribute: `#[serde(with = "crate::…")]` names a path in one.
pub(super) fn literals(stream: TokenStream) -> Vec<String> {
    let literals = stream.into_iter().filter_map(|token| match token {
        TokenTree::Literal(literal) => syn::parse_str::<syn::LitStr>(&literal.to_string()).ok(),
        _ => None,
    });
    literals.map(|literal| literal.value()).filter(|value| value.contains("::")).collect()
}

pub(super) fn text(value: &syn::Expr) -> Option<String> {
    match value {
        syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => Some(text.value()),
        _ => None,
    }
}
