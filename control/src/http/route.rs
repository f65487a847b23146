//! Finds who answers a request, in a table that also documents them.

use super::limit::Class;
use super::parse::{Method, Request};
use lensd_ffi::auth::Access;

/// One row of a table of routes.
#[derive(Debug)]
pub struct Route<H> {
    /// Method. GET also answers HEAD.
    pub method: Method,
    /// Path; `{name}` stands for one segment, `{*name}` at its end for one or more.
    pub path: &'static str,
    /// What one must be allowed; none: nothing is asked.
    pub access: Option<Access>,
    /// Which limit holds.
    pub class: Class,
    /// Who answers.
    pub handler: H,
    /// One line of documentation.
    pub doc: &'static str,
}

/// The segments that stand for `{name}` in a path.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Params(Vec<(&'static str, String)>);

impl Params {
    /// The segment that stands for `{name}`.
    pub fn find(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_str())
    }
}

/// What a table says to a request.
#[derive(Debug)]
pub enum Found<H: 'static> {
    /// This row answers.
    Route(&'static Route<H>, Params),
    /// The path is there, for these methods.
    Methods(String),
    /// Nothing is there.
    Nothing,
}

/// Looks a request up.
pub fn find<H>(table: &'static [Route<H>], request: &Request) -> Found<H> {
    let mut methods: Vec<&str> = Vec::new();
    for route in table {
        let Some(params) = matches(route.path, &request.segments) else { continue };
        let head = request.method == Method::Head && route.method == Method::Get;
        if route.method == request.method || head {
            return Found::Route(route, params);
        }
        methods.push(route.method.name());
        if route.method == Method::Get {
            methods.push("HEAD");
        }
    }
    if methods.is_empty() {
        return Found::Nothing;
    }
    methods.push("OPTIONS");
    Found::Methods(methods.join(", "))
}

fn matches(pattern: &'static str, segments: &[String]) -> Option<Params> {
    let mut params = Params::default();
    let mut segments = segments.iter();
    for part in pattern.split('/').filter(|p| !p.is_empty()) {
        if let Some(name) = part.strip_prefix("{*").and_then(|p| p.strip_suffix('}')) {
            // All that is left, at least one. A slash inside a segment separates nothing.
            let rest: Vec<&str> = segments.map(String::as_str).collect();
            let plain = !rest.is_empty() && rest.iter().all(|segment| !segment.contains('/'));
            params.0.push((name, rest.join("/")));
            return plain.then_some(params);
        }
        let segment = segments.next()?;
        match part.strip_prefix('{').and_then(|p| p.strip_suffix('}')) {
            Some(name) => params.0.push((name, segment.clone())),
            None if part == segment => {}
            None => return None,
        }
    }
    segments.next().is_none().then_some(params)
}

#[cfg(test)]
mod tests {
    use super::*;

    static TABLE: &[Route<u8>] = &[
        row(Method::Get, "/", 0),
        row(Method::Get, "/a/{x}/b", 1),
        row(Method::Post, "/a/{x}/b", 2),
        row(Method::Get, "/f/{*x}", 3),
    ];

    const fn row(method: Method, path: &'static str, handler: u8) -> Route<u8> {
        Route { method, path, access: None, class: Class::Free, handler, doc: "" }
    }

    fn ask(method: Method, segments: &[&str]) -> String {
        let request = Request {
            method,
            target: String::new(),
            segments: segments.iter().map(|s| (*s).to_owned()).collect(),
            query: Vec::new(),
            headers: Vec::new(),
            body: Vec::new(),
        };
        match find(TABLE, &request) {
            Found::Route(route, params) => {
                format!("{} {}", route.handler, params.find("x").unwrap_or("-"))
            }
            Found::Methods(allow) => allow,
            Found::Nothing => "nothing".to_owned(),
        }
    }

    #[test]
    fn rows_are_found() {
        assert_eq!(ask(Method::Get, &[]), "0 -");
        assert_eq!(ask(Method::Head, &["a", "q/r", "b"]), "1 q/r");
        assert_eq!(ask(Method::Post, &["a", "q", "b"]), "2 q");
        assert_eq!(ask(Method::Put, &["a", "q", "b"]), "GET, HEAD, POST, OPTIONS");
        assert_eq!(ask(Method::Get, &["a", "q"]), "nothing");
        assert_eq!(ask(Method::Get, &["a", "..", "b", "c"]), "nothing");
        assert_eq!(ask(Method::Get, &["f", "q", "r"]), "3 q/r");
        assert_eq!(ask(Method::Get, &["f"]), "nothing");
        assert_eq!(ask(Method::Get, &["f", "q/r"]), "nothing");
    }
}
