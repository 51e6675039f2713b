//! Mistakes in templates that can be found before anything is rendered.

use minijinja::{Environment, ErrorKind};
use serde_json::{Map, Value};

use super::TemplateError;

/// The variables that a template uses have to be among `names`.
pub(super) fn variables(
    text: &str,
    roots: impl IntoIterator<Item = String>,
    nested: impl IntoIterator<Item = String>,
    environment: &Environment<'_>,
    names: &[&str],
) -> Result<(), TemplateError> {
    let known = |name: &str| {
        names.contains(&name) || environment.globals().any(|(global, _)| global == name)
    };
    let dotted = |name: &str| {
        let Some((root, rest)) = name.split_once('.') else {
            return true;
        };
        let first = rest.split('.').next().unwrap_or_default();
        let mut members = names
            .iter()
            .filter_map(|name| name.split_once('.').filter(|(known, _)| *known == root))
            .peekable();
        members.peek().is_none() || members.any(|(_, member)| member == first)
    };
    let mut unknown: Vec<_> = roots.into_iter().filter(|name| !known(name)).collect();
    unknown.extend(nested.into_iter().filter(|name| !dotted(name)));
    // The set has no order; the first in the text is told.
    let first = unknown
        .into_iter()
        .map(|name| (position(text, &name), name))
        .min_by_key(|(at, name)| (at.unwrap_or(usize::MAX), name.clone()));
    let Some((offset, name)) = first else {
        return Ok(());
    };
    let nearest = names
        .iter()
        .map(|known| (strsim::damerau_levenshtein(known, &name), *known))
        .min()
        .filter(|(distance, known)| distance * 2 < known.len());
    let message = match nearest {
        Some((_, known)) => format!("unknown variable `{name}`; did you mean `{known}`?"),
        None if names.is_empty() => format!("unknown variable `{name}`; there are none here"),
        None => format!("unknown variable `{name}`; there are {}", names.join(", ")),
    };
    Err(TemplateError::at(offset, message))
}

/// Where a name stands alone, behind the first tag.
fn position(text: &str, name: &str) -> Option<usize> {
    let start = text.find("{{").into_iter().chain(text.find("{%")).min()?;
    let part_of_name = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(name)
        .map(|(at, _)| at)
        .filter(|at| *at > start)
        .find(|at| {
            let before = text.get(..*at).and_then(|t| t.chars().next_back());
            let after = text.get(at + name.len()..).and_then(|t| t.chars().next());
            !before.is_some_and(|c| part_of_name(c) || c == '.') && !after.is_some_and(part_of_name)
        })
}

/// Values to try a template with.
pub(super) fn trial_values(names: &[&str]) -> Map<String, Value> {
    let names = names.iter().filter(|name| !name.contains('.'));
    names.map(|name| ((*name).to_owned(), "".into())).collect()
}

/// Of a trial's errors those that have nothing to do with the values.
pub(super) fn unknown(error: &minijinja::Error, text: &str) -> Result<(), TemplateError> {
    use ErrorKind::{UnknownFilter, UnknownFunction, UnknownTest};
    match error.kind() {
        UnknownFilter | UnknownTest | UnknownFunction => Err(TemplateError::new(error, text)),
        _ => Ok(()),
    }
}

/// Escaping holds in text and in quoted attributes; elsewhere in HTML it does not.
pub(super) fn html(text: &str) -> Result<(), TemplateError> {
    let lower = text.to_ascii_lowercase();
    for (at, _) in text.match_indices("{{") {
        let before = lower.get(..at).unwrap_or_default();
        let inside = |element: &str| {
            let open = before.rfind(&format!("<{element}"));
            open.is_some_and(|open| {
                before
                    .rfind(&format!("</{element}"))
                    .is_none_or(|c| c < open)
            })
        };
        if inside("script") || inside("style") {
            let message =
                "a value cannot stand in a script or style; put it into a quoted `data-` attribute";
            return Err(TemplateError::at(Some(at), message));
        }
        if before.trim_end().ends_with('=') && before.rfind('<') > before.rfind('>') {
            let message = "put the attribute's value into quotes";
            return Err(TemplateError::at(Some(at), message));
        }
    }
    Ok(())
}
