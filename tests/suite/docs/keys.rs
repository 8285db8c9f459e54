//! The fields of structs in a source file, and the tables of a page that describe them.

use std::collections::{BTreeMap, BTreeSet};

use syn::visit::{self, Visit};
use syn::{Field, Fields, ItemEnum, ItemStruct};

/// What a source file defines: fields by `Struct` or `Enum::Variant`, and the names of variants without fields of their own.
#[derive(Default)]
pub struct Defined {
    pub fields: BTreeMap<String, BTreeSet<String>>,
    pub words: BTreeMap<String, BTreeSet<String>>,
}

pub fn defined(source: &str) -> Defined {
    let mut defined = Defined::default();
    defined.visit_file(&syn::parse_file(source).unwrap());
    defined
}

/// The first cells of the table behind each `<!-- fields of NAME -->`.
pub fn described(page: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut described = BTreeMap::new();
    for part in page.split("<!-- fields of ").skip(1) {
        let (name, rest) = part.split_once(" -->").expect("the comment is closed");
        let rows = rest.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
        let key =
            |row: &str| row.strip_prefix("| `").and_then(|row| row.split_once('`')).map(|(key, _)| key.to_owned());
        described.insert(name.to_owned(), rows.filter_map(key).collect());
    }
    described
}

impl<'ast> Visit<'ast> for Defined {
    fn visit_item_struct(&mut self, item: &'ast ItemStruct) {
        self.take(item.ident.to_string(), &item.fields);
        visit::visit_item_struct(self, item);
    }

    fn visit_item_enum(&mut self, item: &'ast ItemEnum) {
        for variant in &item.variants {
            match &variant.fields {
                named @ Fields::Named(_) => self.take(format!("{}::{}", item.ident, variant.ident), named),
                Fields::Unit | Fields::Unnamed(_) => {
                    let words = self.words.entry(item.ident.to_string()).or_default();
                    words.insert(variant.ident.to_string().to_ascii_lowercase());
                }
            }
        }
        visit::visit_item_enum(self, item);
    }
}

impl Defined {
    fn take(&mut self, name: String, fields: &Fields) {
        if let Fields::Named(fields) = fields {
            self.fields.insert(name, fields.named.iter().filter_map(spelled).collect());
        }
    }
}

/// A field as it is written down, if it is.
fn spelled(field: &Field) -> Option<String> {
    let mut name = field.ident.as_ref()?.to_string();
    let mut skipped = false;
    for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("serde")) {
        // Whatever else `serde(…)` says is passed over: a value is read, and not looked at.
        let _ = attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("rename") {
                name = meta.value()?.parse::<syn::LitStr>()?.value();
            } else if meta.input.peek(syn::Token![=]) {
                meta.value()?.parse::<syn::Expr>()?;
            } else {
                skipped |= meta.path.is_ident("skip");
            }
            Ok(())
        });
    }
    (!skipped).then_some(name)
}
