//! What a macro's tokens and a `use` tree say, as paths and words.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::UseTree;

/// A path as written, one string a segment. A leading `::` is a segment of its own, a glob ends in `*`.
pub(super) type Segments = Vec<String>;

/// Something that stands in a macro's tokens.
pub(super) enum Token {
    /// Two or more words joined by `::`.
    Path(Segments),
    /// A method call: its receiver if that is a path, its name, whether it is handed anything.
    Method { receiver: Segments, name: String, arguments: bool },
    /// A single word.
    Word(String),
    /// A `use` declaration.
    Use(Box<syn::ItemUse>),
}

/// Tells `tell` everything in `stream`, groups included, with its line.
pub(super) fn scan(stream: TokenStream, tell: &mut dyn FnMut(Token, usize)) {
    let tokens: Vec<TokenTree> = stream.into_iter().collect();
    let mut at = 0;
    let mut receiver = Segments::new();
    while let Some(token) = tokens.get(at) {
        let line = token.span().start().line;
        match token {
            TokenTree::Group(group) => {
                scan(group.stream(), tell);
                receiver = Segments::new();
                at += 1;
            }
            TokenTree::Ident(word) if word == "use" => {
                let end =
                    tokens[at..].iter().position(|token| is_punct(token, ';')).map_or(tokens.len(), |n| at + n + 1);
                if let Ok(item) = syn::parse2(tokens[at..end].iter().cloned().collect()) {
                    tell(Token::Use(Box::new(item)), line);
                }
                at = end;
            }
            TokenTree::Punct(_) if joins(&tokens, at) && starts_path(&tokens, at) => {
                let path = path_from(&tokens, &mut at, vec!["::".to_owned()]);
                tell(Token::Path(path.clone()), line);
                receiver = path;
            }
            TokenTree::Ident(_) => {
                let path = path_from(&tokens, &mut at, Segments::new());
                if path.len() > 1 {
                    tell(Token::Path(path.clone()), line);
                } else {
                    tell(Token::Word(path.join("")), line);
                }
                receiver = path;
            }
            TokenTree::Punct(punct) if punct.as_char() == '.' => {
                at += 1;
                if let Some((name, arguments)) = method(&tokens, at) {
                    tell(Token::Method { receiver: receiver.clone(), name, arguments }, line);
                }
            }
            TokenTree::Punct(punct) if punct.as_char() == '\'' => at += 2,
            TokenTree::Punct(_) | TokenTree::Literal(_) => {
                receiver = Segments::new();
                at += 1;
            }
        }
    }
}

fn is_punct(token: &TokenTree, wanted: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == wanted)
}

fn joins(tokens: &[TokenTree], at: usize) -> bool {
    tokens.get(at).is_some_and(|token| is_punct(token, ':'))
        && tokens.get(at + 1).is_some_and(|token| is_punct(token, ':'))
}

/// Whether the `::` here opens a path, rather than following `>` or `)`.
fn starts_path(tokens: &[TokenTree], at: usize) -> bool {
    matches!(tokens.get(at + 2), Some(TokenTree::Ident(_))) && (at == 0 || !is_punct(&tokens[at - 1], '>'))
}

fn path_from(tokens: &[TokenTree], at: &mut usize, mut path: Segments) -> Segments {
    if !path.is_empty() {
        *at += 2;
    }
    while let Some(TokenTree::Ident(word)) = tokens.get(*at) {
        path.push(word.to_string());
        *at += 1;
        if !(joins(tokens, *at) && matches!(tokens.get(*at + 2), Some(TokenTree::Ident(_)))) {
            break;
        }
        *at += 2;
    }
    path
}

fn method(tokens: &[TokenTree], at: usize) -> Option<(String, bool)> {
    let TokenTree::Ident(name) = tokens.get(at)? else { return None };
    let open = tokens[at + 1..].iter().take_while(|token| !matches!(token, TokenTree::Group(_))).count();
    let TokenTree::Group(group) = tokens.get(at + 1 + open)? else { return None };
    let turbofish = open == 0 || joins(tokens, at + 1);
    (turbofish && group.delimiter() == Delimiter::Parenthesis).then(|| (name.to_string(), !group.stream().is_empty()))
}

/// Every leaf of a `use` tree: the path it brings in, and the name it gives it (`*` for a glob).
pub(super) fn leaves(item: &syn::ItemUse) -> Vec<(Segments, String)> {
    let start = if item.leading_colon.is_some() { vec!["::".to_owned()] } else { Segments::new() };
    let mut found = Vec::new();
    grow(&item.tree, start, &mut found);
    found
}

fn grow(tree: &UseTree, mut prefix: Segments, found: &mut Vec<(Segments, String)>) {
    match tree {
        UseTree::Path(path) => {
            prefix.push(path.ident.to_string());
            grow(&path.tree, prefix, found);
        }
        UseTree::Name(name) => leaf(&name.ident.to_string(), None, prefix, found),
        UseTree::Rename(rename) => leaf(&rename.ident.to_string(), Some(rename.rename.to_string()), prefix, found),
        UseTree::Glob(_) => {
            prefix.push("*".to_owned());
            found.push((prefix, "*".to_owned()));
        }
        UseTree::Group(group) => group.items.iter().for_each(|tree| grow(tree, prefix.clone(), found)),
    }
}

fn leaf(word: &str, rename: Option<String>, mut prefix: Segments, found: &mut Vec<(Segments, String)>) {
    if word != "self" || prefix.is_empty() {
        prefix.push(word.to_owned());
    }
    let name = rename.or_else(|| prefix.last().cloned()).unwrap_or_default();
    found.push((prefix, name));
}
