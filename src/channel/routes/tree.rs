//! Path patterns, and a tree of them that is walked segment by segment.
//!
//! The syntax is that of `matchit`, and so is what matches. The tree is our own
//! because `matchit` refuses patterns that overlap, such as `/{bot}/create`
//! beside `/{*rest}`, and does not fall back where the method does not fit.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use http::Method;

use crate::message::target::{check_path, decode};

/// A path pattern.
#[derive(Clone, Debug, Default)]
pub(super) struct Pattern(Vec<Segment>);

/// A path (without its first slash) as a careless backend reads it: decoded, in
/// lower case, without a slash at the end.
pub(super) fn fold(path: &str) -> String {
    let decoded = decode(path).to_lowercase();
    decoded.strip_suffix('/').unwrap_or(&decoded).to_owned()
}

/// What stands between two slashes of a pattern.
#[derive(Clone, Debug)]
enum Segment {
    Static(Box<str>),
    /// `{name}`, perhaps with text around it.
    Param {
        name: Box<str>,
        affix: Affix,
    },
    /// `{*name}`: everything that is left.
    Rest(Box<str>),
}

/// The text around a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Affix {
    prefix: Box<str>,
    suffix: Box<str>,
}

/// The patterns that share a beginning.
#[derive(Debug, Default)]
pub(super) struct Node {
    statics: BTreeMap<Box<str>, Node>,
    /// The most specific first: longer text before the parameter, then after it.
    params: Vec<(Affix, Node)>,
    /// Patterns that end in a catch-all here.
    rest: Leaf,
    /// Patterns that end here.
    end: Leaf,
}

/// The routes of one pattern, by method.
#[derive(Debug, Default)]
struct Leaf {
    listed: Vec<(Method, usize)>,
    any: Option<usize>,
}

impl Pattern {
    /// Reads `/text/{param}/pre{param}post/{*rest}`. There is no way to write a
    /// brace: no URI has one.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let path = text
            .strip_prefix('/')
            .ok_or_else(|| format!("`{text}` does not begin with `/`"))?;
        let segments = path.split('/').map(Segment::parse);
        let pattern = Self(segments.collect::<Result<_, _>>()?);
        let names: Vec<_> = pattern.0.iter().filter_map(Segment::name).collect();
        if let Some(twice) = (1..names.len()).find(|&n| names[..n].contains(&names[n])) {
            return Err(format!("two parameters are called `{}`", names[twice]));
        }
        if let Some((_, before)) = pattern.0.split_last()
            && before.iter().any(|s| matches!(s, Segment::Rest(_)))
        {
            return Err("a catch-all can only stand at the end".into());
        }
        check_path(&pattern.example())
            .map_err(|_| format!("no request can match `{text}`: such a path is ambiguous"))?;
        Ok(pattern)
    }

    /// The parameters in a path (without its first slash) that matches.
    pub(super) fn capture(&self, path: &str) -> Vec<(Box<str>, Box<str>)> {
        let mut params = Vec::new();
        let mut left = path;
        for segment in &self.0 {
            let (part, after) = left.split_once('/').unwrap_or((left, ""));
            match segment {
                Segment::Static(_) => {}
                Segment::Param { name, affix } => {
                    let value = affix.value(part).unwrap_or_default();
                    params.push((name.clone(), value.into()));
                }
                Segment::Rest(name) => params.push((name.clone(), left.into())),
            }
            left = after;
        }
        params
    }

    /// The pattern of all paths that a careless backend reads like this one's.
    pub(super) fn folded(&self) -> Self {
        let mut segments = self.0.clone();
        for segment in &mut segments {
            match segment {
                Segment::Static(text) => *text = fold(text).into(),
                Segment::Param { affix, .. } => {
                    affix.prefix = fold(&affix.prefix).into();
                    affix.suffix = fold(&affix.suffix).into();
                }
                Segment::Rest(_) => {}
            }
        }
        let trailing = matches!(segments.last(), Some(Segment::Static(text)) if text.is_empty());
        if trailing && segments.len() > 1 {
            segments.pop();
        }
        Self(segments)
    }

    /// A path that it matches.
    fn example(&self) -> String {
        self.0.iter().fold(String::new(), |mut path, segment| {
            path.push('/');
            match segment {
                Segment::Static(text) => path.push_str(text),
                Segment::Param { affix, .. } => {
                    path.extend([&*affix.prefix, "x", &*affix.suffix]);
                }
                Segment::Rest(_) => path.push('x'),
            }
            path
        })
    }
}

impl Segment {
    fn parse(text: &str) -> Result<Self, String> {
        let strange = || {
            format!(
                "`{text}` is neither text, nor one `{{name}}` with text around it, nor `{{*name}}`"
            )
        };
        let Some((prefix, rest)) = text.split_once('{') else {
            let plain = !text.contains('}');
            return plain.then(|| Self::Static(text.into())).ok_or_else(strange);
        };
        let (name, suffix) = rest.split_once('}').ok_or_else(strange)?;
        let catch_all = name.strip_prefix('*');
        let name = catch_all.unwrap_or(name);
        let around = [prefix, suffix].concat();
        if name.is_empty() || name.contains(['{', '*']) || around.contains(['{', '}']) {
            return Err(strange());
        }
        match catch_all {
            Some(_) if !around.is_empty() => Err(strange()),
            Some(_) => Ok(Self::Rest(name.into())),
            None => Ok(Self::Param {
                name: name.into(),
                affix: Affix {
                    prefix: prefix.into(),
                    suffix: suffix.into(),
                },
            }),
        }
    }

    fn name(&self) -> Option<&str> {
        match self {
            Self::Static(_) => None,
            Self::Param { name, .. } | Self::Rest(name) => Some(name),
        }
    }
}

impl Affix {
    /// What the parameter is in a segment: never empty.
    fn value<'s>(&self, segment: &'s str) -> Option<&'s str> {
        let value = segment.strip_prefix(&*self.prefix)?;
        let value = value.strip_suffix(&*self.suffix)?;
        (!value.is_empty()).then_some(value)
    }

    /// Puts the most specific first.
    fn order(&self) -> (Reverse<usize>, Reverse<usize>) {
        (Reverse(self.prefix.len()), Reverse(self.suffix.len()))
    }
}

impl Node {
    /// Adds a route; the routes it ties with, if any.
    pub(super) fn insert(
        &mut self,
        pattern: &Pattern,
        methods: &[Method],
        route: usize,
    ) -> Vec<usize> {
        let mut node = self;
        for segment in &pattern.0 {
            node = match segment {
                Segment::Static(text) => node.statics.entry(text.clone()).or_default(),
                Segment::Param { affix, .. } => node.param(affix),
                Segment::Rest(_) => return node.rest.insert(methods, route),
            };
        }
        node.end.insert(methods, route)
    }

    /// The most specific route for a path without its first slash.
    pub(super) fn find(&self, path: &str, method: &Method) -> Option<usize> {
        let (segment, left) = match path.split_once('/') {
            Some((segment, left)) => (segment, Some(left)),
            None => (path, None),
        };
        let below = |node: &Node| match left {
            Some(left) => node.find(left, method),
            None => node.end.route(method),
        };
        let mut params = self.params.iter();
        self.statics
            .get(segment)
            .and_then(below)
            .or_else(|| {
                params.find_map(|(affix, node)| affix.value(segment).and_then(|_| below(node)))
            })
            .or_else(|| self.rest.route(method).filter(|_| !path.is_empty()))
    }

    /// The patterns with such a parameter.
    fn param(&mut self, affix: &Affix) -> &mut Node {
        let place = match self.params.iter().position(|(known, _)| known == affix) {
            Some(place) => place,
            None => {
                let order = affix.order();
                let place = self.params.partition_point(|(a, _)| a.order() <= order);
                self.params.insert(place, (affix.clone(), Node::default()));
                place
            }
        };
        &mut self.params[place].1
    }
}

impl Leaf {
    fn insert(&mut self, methods: &[Method], route: usize) -> Vec<usize> {
        if methods.is_empty() {
            let ties = self.any.into_iter().collect();
            self.any.get_or_insert(route);
            return ties;
        }
        let mut ties = Vec::new();
        for method in methods {
            match self.listed.iter().find(|(known, _)| known == method) {
                None => self.listed.push((method.clone(), route)),
                Some((_, first)) if *first != route && !ties.contains(first) => ties.push(*first),
                Some(_) => {}
            }
        }
        ties
    }

    fn route(&self, method: &Method) -> Option<usize> {
        let listed = self.listed.iter().find(|(known, _)| known == method);
        listed.map(|(_, route)| *route).or(self.any)
    }
}
