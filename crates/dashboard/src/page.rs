//! The page's files, embedded: the binary serves them without a folder beside it.

use axum::http::{HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};

/// Path, media type and content. Built from `web/` and committed, so that a build needs no Node.
const FILES: [(&str, &str, &[u8]); 4] = [
    (
        "/",
        "text/html; charset=utf-8",
        include_bytes!("../dist/index.html"),
    ),
    (
        "/page.js",
        "text/javascript; charset=utf-8",
        include_bytes!("../dist/page.js"),
    ),
    (
        "/page.css",
        "text/css; charset=utf-8",
        include_bytes!("../dist/page.css"),
    ),
    ("/icon.svg", "image/svg+xml", include_bytes!("../dist/icon.svg")),
];

/// The file at `uri`, where there is one.
pub(crate) fn file(uri: &Uri) -> Option<Response> {
    let (_, media_type, content) = FILES.into_iter().find(|(path, ..)| *path == uri.path())?;
    let mut response = content.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    // The page belongs to the binary that serves it: after an upgrade the old one must not stay.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Some(response)
}
