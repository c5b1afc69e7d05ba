//! Who may come in, and what every answer carries.
//!
//! The TCP port can be reached by any page that the user's browser has open. Three checks keep such a page
//! out: only `GET` and `HEAD`, a `Host` that names this machine's loopback (a rebound DNS name does not),
//! and, where the browser says where a request comes from, an `Origin` that is this page's own. The socket
//! needs none of them: its callers are processes, named by the kernel.

use crate::backend::Caller;
use crate::problem::Problem;
use axum::extract::connect_info::ConnectInfo;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Names of this machine that no other machine can answer for.
const LOOPBACK_NAMES: [&str; 3] = ["127.0.0.1", "localhost", "[::1]"];

/// The page may load what is embedded beside it and nothing else; nothing is inline.
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Whether `host` (the value of a `Host` header) is this server's loopback name with this port.
fn is_loopback_host(host: &str, port: u16) -> bool {
    let Some((name, given)) = host.rsplit_once(':').filter(|(_, tail)| !tail.ends_with(']')) else {
        return port == 80 && LOOPBACK_NAMES.contains(&host);
    };
    given.parse() == Ok(port) && LOOPBACK_NAMES.iter().any(|own| own.eq_ignore_ascii_case(name))
}

/// Whether `origin` (the value of an `Origin` header) is this server's own page.
fn is_own_origin(origin: &str, port: u16) -> bool {
    origin
        .strip_prefix("http://")
        .is_some_and(|host| is_loopback_host(host, port))
}

/// Why a request on the TCP port is refused, if it is.
fn refusal(method: &Method, headers: &HeaderMap, port: u16) -> Option<Problem> {
    if method != Method::GET && method != Method::HEAD {
        return Some(
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this port can only be read")
                .hint("acting goes through the control socket: use the tidegate command"),
        );
    }
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    if !text(header::HOST).is_some_and(|host| is_loopback_host(host, port)) {
        return Some(
            Problem::new(
                StatusCode::MISDIRECTED_REQUEST,
                "the Host header is not this machine's loopback",
            )
            .hint(format!("open http://127.0.0.1:{port}/")),
        );
    }
    if text(header::ORIGIN).is_some_and(|origin| !is_own_origin(origin, port)) {
        return Some(Problem::new(
            StatusCode::FORBIDDEN,
            "another site's page may not read this",
        ));
    }
    let foreign_site = headers
        .get("sec-fetch-site")
        .is_some_and(|site| site != "same-origin" && site != "none");
    // Following a link to the page itself is fine; everything else from another site is not.
    let navigation = headers
        .get("sec-fetch-mode")
        .is_some_and(|mode| mode == "navigate");
    (foreign_site && !navigation)
        .then(|| Problem::new(StatusCode::FORBIDDEN, "another site's page may not read this"))
}

/// Middleware of the TCP port; its state is the port.
pub(crate) async fn only_own_pages(State(port): State<u16>, request: Request, next: Next) -> Response {
    match refusal(request.method(), request.headers(), port) {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
    }
}

/// Whether `caller` may use the socket of a daemon that runs as `own_uid`.
pub(crate) fn may_use_socket(caller: Caller, own_uid: u32) -> bool {
    caller.uid == 0 || caller.uid == own_uid
}

/// Middleware of the socket; its state is the daemon's user id.
pub(crate) async fn only_own_user(
    State(own_uid): State<u32>,
    ConnectInfo(peer): ConnectInfo<crate::door::Peer>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(caller) = peer.0.filter(|caller| may_use_socket(*caller, own_uid)) else {
        return Problem::new(
            StatusCode::FORBIDDEN,
            "only root and the daemon's own user may use this socket",
        )
        .hint("run the command with sudo")
        .into_response();
    };
    request.extensions_mut().insert(caller);
    next.run(request).await
}

/// Middleware of both doors: headers that hold the browser to the rules of this page.
pub(crate) async fn security_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(
        "cross-origin-resource-policy",
        HeaderValue::from_static("same-origin"),
    );
    headers.insert(
        "cross-origin-opener-policy",
        HeaderValue::from_static("same-origin"),
    );
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_with_the_own_port_are_hosts() {
        for host in ["127.0.0.1:7979", "localhost:7979", "LOCALHOST:7979", "[::1]:7979"] {
            assert!(is_loopback_host(host, 7979), "{host}");
        }
        for host in [
            "",
            "localhost",
            "[::1]",
            "127.0.0.1:80",
            "evil.example:7979",
            "localhost.evil.example:7979",
            "127.0.0.1.evil.example:7979",
            "127.0.0.1:7979@evil.example",
            "10.0.0.1:7979",
        ] {
            assert!(!is_loopback_host(host, 7979), "{host}");
        }
        assert!(is_loopback_host("localhost", 80));
        assert!(is_loopback_host("[::1]", 80));
    }

    #[test]
    fn only_the_own_page_is_an_origin() {
        assert!(is_own_origin("http://127.0.0.1:7979", 7979));
        for origin in [
            "null",
            "https://127.0.0.1:7979",
            "http://127.0.0.1:8080",
            "http://evil.example",
        ] {
            assert!(!is_own_origin(origin, 7979), "{origin}");
        }
    }

    #[test]
    fn root_and_the_own_user_may_use_the_socket() {
        let caller = |uid| Caller {
            uid,
            gid: 1,
            pid: None,
        };
        assert!(may_use_socket(caller(0), 1000));
        assert!(may_use_socket(caller(1000), 1000));
        assert!(!may_use_socket(caller(1001), 1000));
        assert!(!may_use_socket(caller(1000), 0));
    }
}
