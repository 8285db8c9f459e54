//! Names for actions, from what a specification calls its operations.

/// The words of a name, in lower case: `listForRepo`, `list-for-repo` and `list_for_repo` are the same three.
pub(super) fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    let mut letters = name.chars().peekable();
    let mut before = ' ';
    while let Some(letter) = letters.next() {
        let next_is_small = letters.peek().is_some_and(|next| next.is_lowercase());
        let begins = letter.is_uppercase() && (before.is_lowercase() || before.is_ascii_digit() || next_is_small);
        if begins || !letter.is_alphanumeric() {
            words.extend(Some(std::mem::take(&mut word)).filter(|word| !word.is_empty()));
        }
        if letter.is_alphanumeric() {
            word.extend(letter.to_lowercase());
        }
        before = letter;
    }
    words.extend(Some(word).filter(|word| !word.is_empty()));
    words
}

/// `issues/list-for-repo` → `issues.list-for-repo`; `createChatCompletion` of the group `Chat` → `chat.create-completion`.
pub(super) fn of_operation(id: &str, group: Option<&str>) -> String {
    let parts: Vec<String> =
        id.split(['/', '.']).map(|part| words(part).join("-")).filter(|part| !part.is_empty()).collect();
    let (Some(group), 0..=1) = (group.map(words).filter(|group| !group.is_empty()), parts.len()) else {
        return parts.join(".");
    };
    let of_group = |word: &String| group.iter().any(|other| singular(word) == singular(other));
    let own: Vec<String> = words(id).into_iter().filter(|word| !of_group(word)).collect();
    let own = if own.is_empty() { words(id) } else { own };
    format!("{}.{}", group.join("-"), own.join("-"))
}

/// `GET /users/{id}/posts` → `users.posts.list`, where nothing else names it.
pub(super) fn of_path(method: &str, path: &str) -> String {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let one = segments.last().is_some_and(|last| last.starts_with('{'));
    let verb = match method {
        "GET" | "HEAD" if one => "get",
        "GET" | "HEAD" => "list",
        "POST" => "create",
        "PUT" => "replace",
        "PATCH" => "update",
        "DELETE" => "delete",
        _ => "call",
    };
    let literal = segments.iter().filter(|segment| !segment.starts_with('{')).map(|segment| words(segment).join("-"));
    let literal: Vec<String> = literal.filter(|segment| !segment.is_empty()).chain([verb.to_owned()]).collect();
    literal.join(".")
}

/// A name that a policy can write.
pub(super) fn of_fact(argument: &str) -> String {
    let ascii: String = words(argument).join("_").chars().filter(char::is_ascii).collect();
    if ascii.starts_with(|first: char| first.is_ascii_alphabetic()) { ascii } else { format!("arg_{ascii}") }
}

/// What one of several is called: `companies` → `company`.
pub(super) fn one_of(several: &str) -> String {
    match several.strip_suffix("ies") {
        Some(stem) if stem.len() > 1 => format!("{stem}y"),
        _ if several.ends_with("ss") || several.ends_with("us") || several.ends_with("is") => several.to_owned(),
        _ => singular(several).to_owned(),
    }
}

fn singular(word: &str) -> &str {
    word.strip_suffix('s').unwrap_or(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_called_what_they_do() {
        for (id, group, name) in [
            ("issues/list-for-repo", Some("issues"), "issues.list-for-repo"),
            ("createChatCompletion", Some("Chat"), "chat.create-completion"),
            ("listAssistants", Some("Assistants"), "assistants.list"),
            ("chat_postMessage", Some("chat"), "chat.post-message"),
            ("pets", Some("Pets"), "pets.pets"),
            ("getHTTPStatus", None, "get-http-status"),
            ("v1.users.list", Some("Users"), "v1.users.list"),
        ] {
            assert_eq!(of_operation(id, group), name);
        }
        assert_eq!(of_path("GET", "/users/{id}/posts"), "users.posts.list");
        assert_eq!(of_path("GET", "/users/{id}"), "users.get");
        assert_eq!(of_path("DELETE", "/"), "delete");
    }
}
