//! The API's reference as pages without scripts, made from the OpenAPI document, and the document itself.

use std::{
    fmt::{self, Write as _},
    sync::LazyLock,
};

use axum::{
    Json,
    http::header::{self, HeaderName},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    error::{About, ApiError, Kind},
    extract::Path,
    openapi::{ProblemBody, document},
};
use markback::service::Markback;

/// Only the page's own style is loaded, and no page may frame it.
const POLICY: &str = "default-src 'none'; style-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'";
const STYLE: &str = include_str!("reference.css");
/// How deep a schema is shown inside another one.
const DEPTH_MAX: usize = 4;

/// The sub-router.
pub(super) fn routes() -> OpenApiRouter<Markback> {
    OpenApiRouter::new()
        .routes(routes!(openapi))
        .routes(routes!(docs))
        .routes(routes!(style))
        .routes(routes!(problems))
        .routes(routes!(problem))
}

/// The OpenAPI document
#[utoipa::path(get, path = "/openapi.json", operation_id = "openapi", tag = "service",
    responses((status = 200, description = "The document, in OpenAPI 3.1.", body = Object)))]
async fn openapi() -> Json<&'static Value> {
    Json(document())
}

/// This reference as a page
#[utoipa::path(get, path = "/docs", operation_id = "docs", tag = "service",
    responses((status = 200, description = "The page.", body = String, content_type = "text/html")))]
async fn docs() -> Response {
    static PAGE: LazyLock<String> = LazyLock::new(|| written(|out| reference(out, document())));
    page(PAGE.as_str())
}

/// The style of the pages
#[utoipa::path(get, path = "/docs/style.css", operation_id = "docs_style", tag = "service",
    responses((status = 200, description = "The style.", body = String, content_type = "text/css")))]
async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE).into_response()
}

/// All types of problems as a page
#[utoipa::path(get, path = "/problems", operation_id = "problems", tag = "service",
    responses((status = 200, description = "The page.", body = String, content_type = "text/html")))]
async fn problems() -> Response {
    static PAGE: LazyLock<String> = LazyLock::new(|| written(|out| about(out, Kind::ALL)));
    page(PAGE.as_str())
}

/// A type of problem as a page
///
/// Its address is the `type` of such problems.
#[utoipa::path(get, path = "/problems/{kind}", operation_id = "problem", tag = "service",
    responses(
        (status = 200, description = "The page.", body = String, content_type = "text/html"),
        (status = 404, description = "There is no such type.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn problem(Path(name): Path<String>) -> Result<Response, ApiError> {
    let kind = Kind::ALL.iter().find(|kind| kind.as_str() == name);
    let kind =
        *kind.ok_or_else(|| ApiError::new(Kind::NotFound, "there is no such type of problem"))?;
    Ok(page(written(|out| about(out, &[kind]))))
}

fn page(html: impl IntoResponse) -> Response {
    let headers: [(HeaderName, &str); 4] = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, html).into_response()
}

/// The text that a function writes.
fn written(write: impl FnOnce(&mut String) -> fmt::Result) -> String {
    let mut out = String::new();
    // Writing to a `String` never fails.
    let _ = write(&mut out);
    out
}

fn head(out: &mut String, title: &str) -> fmt::Result {
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{title}</title>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <link rel=\"stylesheet\" href=\"/docs/style.css\">\n</head>\n<body>\n"
    )
}

fn about(out: &mut String, kinds: &[Kind]) -> fmt::Result {
    head(out, "Markback: problems")?;
    out.write_str(
        "<div class=\"page\"><nav aria-label=\"Contents\"><p><a href=\"/docs\">Reference</a></p>",
    )?;
    out.write_str("<p><a href=\"/problems\">All problems</a></p><ul>")?;
    for kind in kinds {
        write!(out, "<li><a href=\"#{0}\">{0}</a></li>", kind.as_str())?;
    }
    out.write_str("</ul></nav><main><h1>Problems</h1><p>The <code>type</code> of an error response is one of these.</p>")?;
    for kind in kinds {
        let About {
            status,
            title,
            help,
        } = kind.about();
        write!(
            out,
            "<h2 id=\"{}\">{title}</h2><p><code>{}</code>, status {}</p>{}",
            kind.as_str(),
            kind.uri(),
            status.as_u16(),
            Prose(help),
        )?;
    }
    out.write_str("</main></div></body></html>\n")
}

/// An operation of the document.
struct Operation<'d> {
    method: &'d str,
    path: &'d str,
    about: &'d Value,
}

impl Operation<'_> {
    fn id(&self) -> &str {
        text(self.about, "operationId")
    }
}

/// The operations by tag.
fn by_tag(document: &Value) -> Vec<(&str, Vec<Operation<'_>>)> {
    let mut tags: Vec<(&str, Vec<Operation<'_>>)> = Vec::new();
    for (path, item) in fields(document.get("paths")) {
        for (method, about) in fields(Some(item)) {
            let tag = about
                .pointer("/tags/0")
                .and_then(Value::as_str)
                .unwrap_or_default();
            let operation = Operation {
                method,
                path,
                about,
            };
            match tags.iter_mut().find(|(other, _)| *other == tag) {
                Some((_, operations)) => operations.push(operation),
                None => tags.push((tag, vec![operation])),
            }
        }
    }
    // What runs the service comes last.
    tags.sort_by_key(|(tag, _)| (*tag == "service", *tag));
    tags
}

fn reference(out: &mut String, document: &Value) -> fmt::Result {
    head(out, "Markback: API reference")?;
    let tags = by_tag(document);
    out.write_str("<div class=\"page\"><nav aria-label=\"Contents\">")?;
    for (tag, operations) in &tags {
        write!(out, "<h2>{}</h2><ul>", Escaped(tag))?;
        for operation in operations {
            write!(
                out,
                "<li><a href=\"#{}\">{}</a></li>",
                Escaped(operation.id()),
                Escaped(text(operation.about, "summary"))
            )?;
        }
        out.write_str("</ul>")?;
    }
    out.write_str("<h2><a href=\"#schemas\">Schemas</a></h2><h2><a href=\"/problems\">Problems</a></h2></nav><main>")?;
    let info = document.get("info").unwrap_or(&Value::Null);
    write!(
        out,
        "<h1>Markback API</h1><p class=\"soft\">Version {}. ",
        Escaped(text(info, "version"))
    )?;
    out.write_str("<a href=\"/openapi.json\">OpenAPI document</a></p>")?;
    write!(out, "{}", Prose(text(info, "description")))?;
    for (tag, operations) in &tags {
        write!(out, "<h2>{}</h2>", Escaped(tag))?;
        for operation in operations {
            one_operation(out, document, operation)?;
        }
    }
    out.write_str("<h2 id=\"schemas\">Schemas</h2>")?;
    for (name, schema) in fields(document.pointer("/components/schemas")) {
        write!(out, "<h3 id=\"schema-{0}\">{0}</h3>", Escaped(name))?;
        one_schema(out, schema)?;
    }
    out.write_str("</main></div></body></html>\n")
}

fn one_operation(out: &mut String, document: &Value, operation: &Operation<'_>) -> fmt::Result {
    let Operation {
        method,
        path,
        about,
    } = operation;
    write!(
        out,
        "<h3 id=\"{}\">{}</h3>",
        Escaped(operation.id()),
        Escaped(text(about, "summary"))
    )?;
    write!(
        out,
        "<p><span class=\"method\">{}</span> <code>{}</code></p>",
        Escaped(method),
        Escaped(path)
    )?;
    write!(out, "{}", Prose(text(about, "description")))?;
    if about.get("security").is_none() {
        out.write_str("<p class=\"soft\">No key is needed.</p>")?;
    }
    let parameters = about.get("parameters").and_then(Value::as_array);
    if let Some(parameters) = parameters {
        out.write_str("<h4>Parameters</h4><div class=\"scroll\"><table><tr><th>name</th><th>in</th><th>type</th><th></th></tr>")?;
        for parameter in parameters {
            let needed = parameter.get("required") == Some(&Value::Bool(true));
            write!(
                out,
                "<tr><td><code>{}</code>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                Escaped(text(parameter, "name")),
                if needed { NEEDED } else { "" },
                Escaped(text(parameter, "in")),
                Type(parameter.get("schema").unwrap_or(&Value::Null), 0),
                Prose(text(parameter, "description")),
            )?;
        }
        out.write_str("</table></div>")?;
    }
    if let Some(body) = about.get("requestBody") {
        write!(
            out,
            "<h4>Body</h4><p>{} {}</p>",
            Contents(body),
            Prose(text(body, "description"))
        )?;
    }
    out.write_str("<h4>Answers</h4><div class=\"scroll\"><table><tr><th>status</th><th>body</th><th></th></tr>")?;
    for (status, response) in fields(about.get("responses")) {
        let response = resolved(document, response);
        write!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{}</td></tr>",
            Escaped(status),
            Contents(response),
            Prose(text(response, "description")),
        )?;
    }
    out.write_str("</table></div>")
}

const NEEDED: &str = " <span class=\"needed\">required</span>";

fn one_schema(out: &mut String, schema: &Value) -> fmt::Result {
    write!(out, "{}", Prose(text(schema, "description")))?;
    for choice in ["oneOf", "anyOf"] {
        if let Some(Value::Array(choices)) = schema.get(choice) {
            out.write_str("<p>One of:</p>")?;
            for schema in choices {
                match schema.get("const") {
                    Some(value) => write!(
                        out,
                        "<p><code>{}</code></p>{}",
                        Escaped(&value.to_string()),
                        Prose(text(schema, "description"))
                    )?,
                    None => one_schema(out, schema)?,
                }
            }
        }
    }
    if schema.get("properties").is_none() {
        if schema.get("oneOf").or(schema.get("anyOf")).is_none() {
            write!(out, "<p>{}</p>", Type(schema, 0))?;
        }
        return Ok(());
    }
    out.write_str("<div class=\"scroll\"><table><tr><th>name</th><th>type</th><th></th></tr>")?;
    let required = schema.get("required").and_then(Value::as_array);
    for (name, property) in fields(schema.get("properties")) {
        let needed = required.is_some_and(|required| required.iter().any(|other| other == name));
        write!(
            out,
            "<tr><td><code>{}</code>{}</td><td>{}</td><td>{}</td></tr>",
            Escaped(name),
            if needed { NEEDED } else { "" },
            Type(property, 0),
            Prose(text(property, "description")),
        )?;
    }
    out.write_str("</table></div>")
}

fn fields(value: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    value
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(Map::iter)
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn resolved<'d>(document: &'d Value, value: &'d Value) -> &'d Value {
    let reference = value.get("$ref").and_then(Value::as_str);
    let there = reference.and_then(|to| document.pointer(to.strip_prefix('#')?));
    there.unwrap_or(value)
}

/// The content types of a body, and their schemas.
struct Contents<'d>(&'d Value);

impl fmt::Display for Contents<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (mime, content)) in fields(self.0.get("content")).enumerate() {
            if place > 0 {
                f.write_str("<br>")?;
            }
            let schema = content.get("schema").unwrap_or(&Value::Null);
            write!(
                f,
                "{} <span class=\"soft\">{}</span>",
                Type(schema, 0),
                Escaped(mime)
            )?;
        }
        Ok(())
    }
}

/// A schema in one line, at this depth.
struct Type<'d>(&'d Value, usize);

impl fmt::Display for Type<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(schema, depth) = *self;
        if depth > DEPTH_MAX {
            return f.write_str("…");
        }
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            let name = reference.rsplit('/').next().unwrap_or_default();
            return write!(f, "<a href=\"#schema-{0}\">{0}</a>", Escaped(name));
        }
        if let Some(only) = schema.get("const") {
            return write!(f, "<code>{}</code>", Escaped(&only.to_string()));
        }
        let listed = |name| schema.get(name).and_then(Value::as_array);
        if let Some(values) = listed("enum") {
            return separated(f, values, |f, value| {
                write!(f, "<code>{}</code>", Escaped(&value.to_string()))
            });
        }
        if let Some(choices) = listed("oneOf").or(listed("anyOf")).or(listed("allOf")) {
            return separated(f, choices, |f, choice| Type(choice, depth + 1).fmt(f));
        }
        let names = match schema.get("type") {
            Some(Value::String(one)) => vec![one.as_str()],
            Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
            _ => vec!["any"],
        };
        separated(f, &names, |f, name| {
            match (
                *name,
                schema.get("items"),
                schema.get("additionalProperties"),
            ) {
                ("array", Some(items), _) => write!(f, "list of {}", Type(items, depth + 1)),
                ("object", _, Some(values @ Value::Object(_))) => {
                    write!(f, "object of {}", Type(values, depth + 1))
                }
                (name, ..) => match schema.get("format").and_then(Value::as_str) {
                    Some(format) if name != "null" => write!(f, "{name} ({})", Escaped(format)),
                    _ => f.write_str(name),
                },
            }
        })
    }
}

fn separated<T>(
    f: &mut fmt::Formatter<'_>,
    values: &[T],
    each: impl Fn(&mut fmt::Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    for (place, value) in values.iter().enumerate() {
        if place > 0 {
            f.write_str(" or ")?;
        }
        each(f, value)?;
    }
    Ok(())
}

/// Text as paragraphs, in which backticks mark code.
struct Prose<'t>(&'t str);

impl fmt::Display for Prose<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for paragraph in self.0.split("\n\n").filter(|text| !text.trim().is_empty()) {
            f.write_str("<p>")?;
            for (place, part) in paragraph.split('`').enumerate() {
                if place % 2 == 1 {
                    write!(f, "<code>{}</code>", Escaped(part))?;
                } else {
                    write!(f, "{}", Escaped(part))?;
                }
            }
            f.write_str("</p>")?;
        }
        Ok(())
    }
}

/// Text in HTML, also between quotation marks.
struct Escaped<'t>(&'t str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The values of an attribute in a page.
    fn all<'p>(page: &'p str, attribute: &str) -> Vec<&'p str> {
        let begin = format!(" {attribute}=\"");
        page.split(&begin)
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect()
    }

    #[test]
    fn every_link_within_the_reference_leads_somewhere() {
        let page = written(|out| reference(out, document()));
        let ids = all(&page, "id");
        let distinct: BTreeSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
        let inner: Vec<_> = all(&page, "href")
            .into_iter()
            .filter_map(|to| to.strip_prefix('#'))
            .collect();
        assert!(inner.len() > 50);
        for to in inner {
            assert!(ids.contains(&to), "{to}");
        }
    }

    #[test]
    fn every_operation_and_schema_is_in_the_reference() {
        let page = written(|out| reference(out, document()));
        for (path, _) in fields(document().get("paths")) {
            assert!(page.contains(&format!("<code>{path}</code>")), "{path}");
        }
        for (name, _) in fields(document().pointer("/components/schemas")) {
            assert!(page.contains(&format!("id=\"schema-{name}\"")), "{name}");
        }
    }

    #[test]
    fn text_of_the_document_is_no_markup() {
        let shown = Prose("a <b> & `x < \"y\"`\n\nnext").to_string();
        assert_eq!(
            shown,
            "<p>a &lt;b&gt; &amp; <code>x &lt; &quot;y&quot;</code></p><p>next</p>"
        );
        let schema = serde_json::json!({"type": ["array", "null"], "items": {"$ref": "#/components/schemas/A<"}});
        assert_eq!(
            Type(&schema, 0).to_string(),
            "list of <a href=\"#schema-A&lt;\">A&lt;</a> or null"
        );
    }

    #[test]
    fn the_pages_load_nothing_from_elsewhere_and_run_nothing() {
        for page in [
            written(|out| reference(out, document())),
            written(|out| about(out, Kind::ALL)),
        ] {
            assert!(
                !page.contains("<script") && !page.contains("style="),
                "{page}"
            );
            assert!(
                all(&page, "href")
                    .iter()
                    .all(|to| to.starts_with(['#', '/']))
            );
            assert!(all(&page, "src").is_empty());
        }
    }
}
