//! What the parser asks about the providers.

use shared::sources;

use super::super::diagnostic::suggestion;

/// The names of all providers.
pub(crate) fn names() -> Vec<&'static str> {
    sources::ALL.iter().map(|source| source.kind()).collect()
}

/// The names of the providers that ask people questions.
pub(crate) fn with_questions() -> Vec<&'static str> {
    let asking = sources::ALL.iter().filter(|source| source.asks_questions());
    asking.map(|source| source.kind()).collect()
}

/// What is wrong with a path of `phone_from`, where something is.
pub(crate) fn phone_path_problem(kind: &str, path: &str) -> Option<String> {
    let source = sources::by_kind(kind)?;
    let free = |prefix: &&&str| path.len() > prefix.len() && path.starts_with(**prefix);
    if source.phone_paths().contains(&path)
        || source.phone_prefixes().iter().any(|prefix| free(&prefix))
    {
        return None;
    }
    let keys: Vec<String> = source
        .phone_prefixes()
        .iter()
        .map(|prefix| format!("{prefix}KEY"))
        .collect();
    let known = source
        .phone_paths()
        .iter()
        .copied()
        .chain(keys.iter().map(String::as_str));
    Some(format!(
        "{kind} has no \"{path}\" with a phone number{}",
        suggestion(path, known)
    ))
}
