//! The command line's end of the control socket: HTTP/1.1, one request per connection, blocking.
//!
//! It needs no async runtime and starts in microseconds. It speaks only what this room's server answers.

use crate::problem::Problem;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Bytes of one answer: a thousand apps with their recent values are a few megabytes.
const MAX_ANSWER_BYTES: u64 = 64 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens at the socket.
    #[error("the daemon is not running (nobody answers at {})", path.display())]
    NotRunning {
        /// Where it would listen.
        path: PathBuf,
    },
    /// The socket is there and this user may not open it.
    #[error("{} may only be used by root and the daemon's own user", path.display())]
    NotAllowed {
        /// Where it listens.
        path: PathBuf,
    },
    /// The connection failed.
    #[error("talking to the daemon at {} failed", path.display())]
    Io {
        /// Where it listens.
        path: PathBuf,
        /// The kernel's word.
        source: io::Error,
    },
    /// The daemon said no.
    #[error("{}", .0.detail)]
    Refused(Problem),
    /// The answer is not what this version of the command understands.
    #[error("the daemon's answer was not understood: {0}")]
    Malformed(String),
}

impl ClientError {
    /// What to do about it, where there is something to do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotRunning { .. } => Some("start it with `tidegate run`".to_owned()),
            Self::NotAllowed { .. } => Some("run the command with sudo".to_owned()),
            Self::Refused(problem) => problem.hint.clone(),
            Self::Malformed(_) => Some("the daemon may be of another version: restart it".to_owned()),
            Self::Io { .. } => None,
        }
    }
}

/// The control socket's address, and how long to wait for an answer.
#[derive(Clone, Debug)]
pub struct Client {
    path: PathBuf,
    timeout: Duration,
}

impl Client {
    /// A client of the daemon at `path` that waits 30 seconds for an answer.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            timeout: Duration::from_secs(30),
        }
    }

    /// The same client with another patience: a storm answers only when it is over.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Asks for `target`, such as `/api/v1/map`. Values in a query must be encoded by [`encode`].
    pub fn get<T: DeserializeOwned>(&self, target: &str) -> Result<T, ClientError> {
        parse(&self.request("GET", target, b"")?)
    }

    /// Posts `body` as JSON to `target`.
    pub fn post<B: Serialize, T: DeserializeOwned>(&self, target: &str, body: &B) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| ClientError::Malformed(error.to_string()))?;
        parse(&self.request("POST", target, &body)?)
    }

    fn failed(&self, source: io::Error) -> ClientError {
        let path = self.path.clone();
        match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ClientError::NotRunning { path },
            io::ErrorKind::PermissionDenied => ClientError::NotAllowed { path },
            _ => ClientError::Io { path, source },
        }
    }

    fn request(&self, method: &str, target: &str, body: &[u8]) -> Result<Vec<u8>, ClientError> {
        if target.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return Err(ClientError::Malformed(format!("`{target}` is not an address")));
        }
        self.exchange(method, target, body)
            .map_err(|source| self.failed(source))
    }

    fn exchange(&self, method: &str, target: &str, body: &[u8]) -> io::Result<Vec<u8>> {
        let mut stream = UnixStream::connect(&self.path)?;
        stream.set_read_timeout(Some(self.timeout))?;
        stream.set_write_timeout(Some(self.timeout))?;
        // One write: a server that answers without reading the body may close before a second one arrives.
        let mut request = format!(
            "{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        stream.write_all(&request)?;
        let mut answer = Vec::new();
        stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer)?;
        Ok(answer)
    }
}

/// `get` with a client of its own.
pub fn get<T: DeserializeOwned>(socket: &Path, target: &str) -> Result<T, ClientError> {
    Client::new(socket).get(target)
}

/// `post` with a client of its own.
pub fn post<B: Serialize, T: DeserializeOwned>(
    socket: &Path,
    target: &str,
    body: &B,
) -> Result<T, ClientError> {
    Client::new(socket).post(target, body)
}

/// `value` as it may stand in a path or a query.
pub fn encode(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a `String` cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

fn malformed(text: &str) -> ClientError {
    ClientError::Malformed(text.to_owned())
}

/// The status and the body of a whole answer. This room's server always says the body's length.
fn split(answer: &[u8]) -> Result<(u16, &[u8]), ClientError> {
    let end = answer
        .windows(4)
        .position(|bytes| bytes == b"\r\n\r\n")
        .ok_or_else(|| malformed("it has no end of head"))?;
    let head = std::str::from_utf8(&answer[..end]).map_err(|_| malformed("its head is no text"))?;
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1.1 "))
        .and_then(|line| line.get(..3))
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| malformed("it has no status"))?;
    let length = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, digits)| digits.trim().parse::<usize>().ok())
        .ok_or_else(|| malformed("it does not say its length"))?;
    let body = answer[end + 4..]
        .get(..length)
        .ok_or_else(|| malformed("it is cut off"))?;
    Ok((status, body))
}

fn parse<T: DeserializeOwned>(answer: &[u8]) -> Result<T, ClientError> {
    let (status, body) = split(answer)?;
    if !(200..300).contains(&status) {
        let problem = serde_json::from_slice(body)
            .map_err(|_| ClientError::Malformed(format!("status {status} without a reason")))?;
        return Err(ClientError::Refused(problem));
    }
    serde_json::from_slice(body).map_err(|error| ClientError::Malformed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_answers_are_split_and_cut_ones_refused() {
        let whole = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nContent-Length: 4\r\n\r\ntrue";
        assert!(parse::<bool>(whole).expect("whole"));
        for cut in 0..whole.len() {
            assert!(
                matches!(parse::<bool>(&whole[..cut]), Err(ClientError::Malformed(_))),
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn values_are_encoded_for_addresses() {
        assert_eq!(encode("app:web server/ü?&"), "app%3Aweb%20server%2F%C3%BC%3F%26");
    }

    #[test]
    fn nobody_at_the_socket_is_told_apart() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = get::<bool>(&folder.path().join("none.sock"), "/api/v1/map").expect_err("nobody");
        assert!(matches!(error, ClientError::NotRunning { .. }));
        assert!(error.hint().expect("a hint").contains("tidegate run"));
    }
}
