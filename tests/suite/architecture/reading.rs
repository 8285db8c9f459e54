//! Reads one source file: every path, call, attribute and definition in it that a wall could care about.

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, Item, Meta};

use super::attributes::{is_test_only, is_test_switch, literals, mentions_test, text, words};
use super::names::Scopes;
use super::tokens::{Segments, Token, leaves, scan};

/// A file of the package: its path from the root, `/` between folders, and its text.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) path: String,
    pub(super) text: String,
}

/// Something found in a file.
#[derive(Clone, Debug)]
pub(super) struct Spot {
    pub(super) found: Found,
    /// From 1.
    pub(super) line: usize,
    /// The module it stands in, from `crate` or `main`.
    pub(super) module: Segments,
    /// Whether it stands in a `#[cfg(test)]` module.
    pub(super) in_test: bool,
}

/// What was found.
#[derive(Clone, Debug)]
pub(super) enum Found {
    /// A path, as written.
    Path(Segments),
    /// A method call; the receiver if it is a path.
    Method { receiver: Segments, name: String, arguments: bool },
    /// `async` or `.await`.
    Async,
    /// A `static` item, or a macro that makes one.
    Static,
    /// A type, trait or module is defined, by this name.
    Defined(String),
    /// An enum is defined, by this name.
    Enum(String),
    /// A trait (path as written) is implemented for a type (its last word).
    Implemented { of: Segments, by: String },
    /// A `match` ends in an arm that takes whatever is left; the paths in its other arms, as written.
    CatchAll { others: Vec<Segments>, by: Option<String> },
    /// `#[allow(…)]`.
    Allow,
    /// `#[ignore]`, its reason, and the test it stands on.
    Ignored { test: String, reason: Option<String> },
    /// `#[path = …]` or `include!`: source from elsewhere.
    Elsewhere,
    /// `cfg(test)` on anything but a module.
    TestSwitch,
    /// A module in a file of its own is declared under `#[cfg(test)]`.
    TestModule(Segments),
    /// An item that is not a module declaration, at the top of the file.
    TopItem,
}

/// Reads one file that is part of the crate at `module`; `scopes` learns the names its modules know.
pub(super) fn read(text: &str, module: Segments, scopes: &mut Scopes) -> syn::Result<Vec<Spot>> {
    let file = syn::parse_file(text)?;
    scopes.module(&module);
    let mut reader = Reader { spots: Vec::new(), scopes, module, tests: 0, implements: None, test: String::new() };
    for item in &file.items {
        if !matches!(item, Item::Mod(declared) if declared.content.is_none()) {
            reader.note(item.span(), Found::TopItem);
        }
    }
    reader.visit_file(&file);
    Ok(reader.spots)
}

struct Reader<'a> {
    spots: Vec<Spot>,
    scopes: &'a mut Scopes,
    module: Segments,
    /// How many `#[cfg(test)]` modules stand around this.
    tests: usize,
    /// The type whose `impl` stands around this.
    implements: Option<String>,
    /// The function that stands around this.
    test: String,
}

impl Reader<'_> {
    fn note(&mut self, span: Span, found: Found) {
        self.note_at(span.start().line, found);
    }

    fn note_at(&mut self, line: usize, found: Found) {
        self.spots.push(Spot { found, line, module: self.module.clone(), in_test: self.tests > 0 });
    }

    fn defines(&mut self, name: &syn::Ident) {
        self.scopes.module(&self.module).own.insert(name.to_string());
        self.note(name.span(), Found::Defined(name.to_string()));
    }

    fn tokens(&mut self, stream: proc_macro2::TokenStream) {
        let mut told = Vec::new();
        scan(stream, &mut |token, line| told.push((token, line)));
        for (token, line) in told {
            match token {
                Token::Path(path) => self.note_at(line, Found::Path(path)),
                Token::Method { receiver, name, arguments } => {
                    self.note_at(line, Found::Method { receiver, name, arguments });
                }
                Token::Word(word) if word == "async" || word == "await" => self.note_at(line, Found::Async),
                Token::Word(word) if word == "static" => self.note_at(line, Found::Static),
                Token::Word(_) => {}
                Token::Use(item) => self.visit_item_use(&item),
            }
        }
    }

    fn qualified(&mut self, qself: Option<&syn::QSelf>, path: &syn::Path) {
        if let Some(qself) = qself
            && qself.position == 0
            && let syn::Type::Path(of) = &*qself.ty
        {
            let joined = segments(&of.path).into_iter().chain(path.segments.iter().map(|part| part.ident.to_string()));
            self.note(path.span(), Found::Path(joined.collect()));
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        for attribute in &item.attrs {
            self.visit_attribute(attribute);
        }
        for (path, name) in leaves(item) {
            let scope = self.scopes.module(&self.module);
            if name == "*" {
                scope.globs.push(path[..path.len() - 1].to_vec());
            } else {
                scope.aliases.insert(name, path.clone());
            }
            self.note(item.span(), Found::Path(path));
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.defines(&item.ident);
        let (switches, others): (Vec<_>, Vec<_>) = item.attrs.iter().partition(|attribute| is_test_only(attribute));
        for attribute in others {
            self.visit_attribute(attribute);
        }
        self.module.push(item.ident.to_string());
        self.tests += switches.len();
        match &item.content {
            Some((_, items)) => {
                self.scopes.module(&self.module);
                for item in items {
                    self.visit_item(item);
                }
            }
            None if !switches.is_empty() => self.note(item.span(), Found::TestModule(self.module.clone())),
            None => {}
        }
        self.tests -= switches.len();
        self.module.pop();
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        let outer = std::mem::replace(&mut self.test, item.sig.ident.to_string());
        visit::visit_item_fn(self, item);
        self.test = outer;
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.defines(&item.ident);
        visit::visit_item_struct(self, item);
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.defines(&item.ident);
        self.note(item.ident.span(), Found::Enum(item.ident.to_string()));
        visit::visit_item_enum(self, item);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.defines(&item.ident);
        visit::visit_item_trait(self, item);
    }

    fn visit_item_type(&mut self, item: &'ast syn::ItemType) {
        if let syn::Type::Path(of) = &*item.ty
            && of.qself.is_none()
        {
            self.scopes.module(&self.module).aliases.insert(item.ident.to_string(), segments(&of.path));
        }
        self.note(item.ident.span(), Found::Defined(item.ident.to_string()));
        visit::visit_item_type(self, item);
    }

    fn visit_item_static(&mut self, item: &'ast syn::ItemStatic) {
        // The allocator of the whole program can be said in no other way, and is no state of ours.
        if !item.attrs.iter().any(|attribute| attribute.path().is_ident("global_allocator")) {
            self.note(item.span(), Found::Static);
        }
        visit::visit_item_static(self, item);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let by = match &*item.self_ty {
            syn::Type::Path(of) => of.path.segments.last().map(|last| last.ident.to_string()),
            _ => None,
        };
        if let (Some((_, of, _)), Some(by)) = (&item.trait_, &by) {
            self.note(of.span(), Found::Implemented { of: segments(of), by: by.clone() });
        }
        let outer = std::mem::replace(&mut self.implements, by);
        visit::visit_item_impl(self, item);
        self.implements = outer;
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.note(path.span(), Found::Path(segments(path)));
        visit::visit_path(self, path);
    }

    fn visit_expr_path(&mut self, path: &'ast syn::ExprPath) {
        self.qualified(path.qself.as_ref(), &path.path);
        visit::visit_expr_path(self, path);
    }

    fn visit_type_path(&mut self, path: &'ast syn::TypePath) {
        self.qualified(path.qself.as_ref(), &path.path);
        visit::visit_type_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        let name = call.path.segments.last().map(|last| last.ident.to_string()).unwrap_or_default();
        match name.as_str() {
            "include" => self.note(call.span(), Found::Elsewhere),
            "thread_local" | "lazy_static" => self.note(call.span(), Found::Static),
            "cfg" if mentions_test(call.tokens.clone()) => self.note(call.span(), Found::TestSwitch),
            _ => {}
        }
        visit::visit_macro(self, call);
        self.tokens(call.tokens.clone());
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        let path = attribute.path();
        if path.is_ident("doc") {
            return;
        }
        if is_test_switch(attribute) {
            self.note(attribute.span(), Found::TestSwitch);
        }
        if path.is_ident("allow") {
            self.note(attribute.span(), Found::Allow);
        }
        if path.is_ident("path") {
            self.note(attribute.span(), Found::Elsewhere);
        }
        if path.is_ident("ignore") {
            let reason = match &attribute.meta {
                Meta::NameValue(pair) => text(&pair.value),
                Meta::Path(_) | Meta::List(_) => None,
            };
            self.note(attribute.span(), Found::Ignored { test: self.test.clone(), reason });
        }
        visit::visit_attribute(self, attribute);
        if let Meta::List(list) = &attribute.meta {
            if path.is_ident("cfg_attr") && words(list.tokens.clone()).iter().any(|word| word == "allow") {
                self.note(attribute.span(), Found::Allow);
            }
            for quoted in literals(list.tokens.clone()) {
                if let Ok(path) = syn::parse_str::<syn::Path>(&quoted) {
                    self.note(attribute.span(), Found::Path(segments(&path)));
                }
            }
            self.tokens(list.tokens.clone());
        }
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        let receiver = match &*call.receiver {
            syn::Expr::Path(path) => segments(&path.path),
            _ => Segments::new(),
        };
        let arguments = !call.args.is_empty();
        self.note(call.method.span(), Found::Method { receiver, name: call.method.to_string(), arguments });
        visit::visit_expr_method_call(self, call);
    }

    fn visit_expr_match(&mut self, of: &'ast syn::ExprMatch) {
        let (rest, others): (Vec<_>, Vec<_>) =
            of.arms.iter().partition(|arm| arm.guard.is_none() && takes_all(&arm.pat));
        if let Some(rest) = rest.first() {
            let mut named = Named { paths: Vec::new(), wrapped: matches!(rest.pat, syn::Pat::Wild(_)) };
            for arm in others {
                named.visit_pat(&arm.pat);
            }
            self.note(rest.pat.span(), Found::CatchAll { others: named.paths, by: self.implements.clone() });
        }
        visit::visit_expr_match(self, of);
    }

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        if signature.asyncness.is_some() {
            self.note(signature.span(), Found::Async);
        }
        visit::visit_signature(self, signature);
    }

    fn visit_expr_closure(&mut self, closure: &'ast syn::ExprClosure) {
        if closure.asyncness.is_some() {
            self.note(closure.span(), Found::Async);
        }
        visit::visit_expr_closure(self, closure);
    }

    fn visit_expr_async(&mut self, block: &'ast syn::ExprAsync) {
        self.note(block.span(), Found::Async);
        visit::visit_expr_async(self, block);
    }

    fn visit_expr_await(&mut self, awaited: &'ast syn::ExprAwait) {
        self.note(awaited.span(), Found::Async);
        visit::visit_expr_await(self, awaited);
    }
}

/// The paths in a pattern.
struct Named {
    paths: Vec<Segments>,
    /// Whether to look into `Ok(…)` and the like. An arm that hands on what is left, `other => other?`, loses nothing.
    wrapped: bool,
}

impl<'ast> Visit<'ast> for Named {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.paths.push(segments(path));
    }

    fn visit_pat_tuple_struct(&mut self, pattern: &'ast syn::PatTupleStruct) {
        self.visit_path(&pattern.path);
        if self.wrapped {
            pattern.elems.iter().for_each(|inner| self.visit_pat(inner));
        }
    }
}

fn takes_all(pattern: &syn::Pat) -> bool {
    match pattern {
        syn::Pat::Wild(_) => true,
        syn::Pat::Ident(name) => {
            name.subpat.is_none()
                && name.ident.to_string().starts_with(|first: char| first.is_lowercase() || first == '_')
        }
        _ => false,
    }
}

fn segments(path: &syn::Path) -> Segments {
    let start = path.leading_colon.as_ref().map(|_| "::".to_owned());
    start.into_iter().chain(path.segments.iter().map(|part| part.ident.to_string())).collect()
}
