//! `chatgate explain`: what would be done with a request and an answer, and why.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use super::say;
use crate::config;
use crate::config::units::read_duration;
use crate::gateway::explain::{Answer, Request, Supposed, explain};
use crate::identity::Caches;
use crate::outbound::Outbound;
use crate::time::Clock;

/// `chatgate explain`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration.
    config: PathBuf,
    /// A file with the request as it comes over the wire (HTTP/1.1 text; line
    /// ends may be LF); `-` reads standard input.
    #[arg(long)]
    request: PathBuf,
    /// A file with the backend's answer, likewise.
    #[arg(long)]
    answer: Option<PathBuf>,
    /// Suppose that the interaction is authenticated as this subject.
    #[arg(long, value_name = "SUBJECT")]
    authenticated: Option<String>,
    /// The level of that login; the highest one if not given.
    #[arg(long, requires = "authenticated")]
    level: Option<String>,
    /// How long ago that login was: `6m`.
    #[arg(long, value_name = "DURATION", requires = "authenticated", value_parser = read_duration)]
    since: Option<Duration>,
    /// Suppose that the interaction belongs to another client.
    #[arg(long)]
    foreign: bool,
}

/// Explains. The exit code is 0 when the customer would get the backend's answer
/// (or there is none to judge), 1 when not, 2 when something cannot be read.
pub fn run(args: Args) -> ExitCode {
    match explained(args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn explained(args: Args) -> Result<bool, String> {
    let (config, _warnings) = config::load(&args.config).map_err(|mistakes| {
        mistakes
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n")
    })?;
    let request = parse_request(&read(&args.request)?)
        .map_err(|error| format!("{}: {error}", args.request.display()))?;
    let answer = match &args.answer {
        Some(path) => Some(
            parse_answer(&read(path)?).map_err(|error| format!("{}: {error}", path.display()))?,
        ),
        None => None,
    };
    let supposed = Supposed {
        subject: args.authenticated,
        level: args.level,
        since: args.since.unwrap_or_default(),
        foreign: args.foreign,
    };

    let outbound = Arc::new(Outbound::start(config.extra_roots.as_deref())?);
    let caches = Caches::new(outbound);
    let now = Clock::system().now();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("no runtime: {error}"))?;
    let said = runtime.block_on(explain(
        &config,
        &caches,
        &request,
        answer.as_ref(),
        &supposed,
        now,
    ))?;
    say(&said.to_string());
    let released = said
        .answer
        .as_ref()
        .is_none_or(|verdict| matches!(verdict, crate::decision::ForAnswer::Release { .. }));
    Ok(said.forwarded && released)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|mut file| file.read_to_end(&mut bytes))
    };
    read.map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(bytes)
}

type Headers = Vec<(String, Vec<u8>)>;

/// Reads a request: a request line, headers, an empty line, and all that follows
/// as the body, whatever `Content-Length` says. Chunks are taken apart.
fn parse_request(bytes: &[u8]) -> Result<Request, String> {
    let (line, headers, rest) = split(bytes)?;
    let body = body(&headers, rest)?;
    let mut words = line.split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(format!(
            "`{line}` is no request line; one looks like `POST /path HTTP/1.1`"
        ));
    };
    if !version.starts_with("HTTP/") {
        return Err(format!("`{version}` is no HTTP version"));
    }
    Ok(Request {
        method: method.into(),
        target: target.into(),
        headers,
        body,
    })
}

/// Reads an answer: a status line, headers, an empty line, the body.
fn parse_answer(bytes: &[u8]) -> Result<Answer, String> {
    let (line, headers, rest) = split(bytes)?;
    let body = body(&headers, rest)?;
    let status = line
        .strip_prefix("HTTP/")
        .and_then(|rest| rest.split(' ').nth(1))
        .and_then(|status| status.parse().ok())
        .ok_or_else(|| format!("`{line}` is no status line; one looks like `HTTP/1.1 200 OK`"))?;
    Ok(Answer {
        status,
        headers,
        body,
    })
}

/// The first line, the headers, and what follows them.
fn split(bytes: &[u8]) -> Result<(String, Headers, &[u8]), String> {
    let mut rest = bytes;
    let mut line = || {
        let end = rest
            .iter()
            .position(|byte| *byte == b'\n')
            .unwrap_or(rest.len());
        let (line, after) = rest.split_at(end);
        rest = after.get(1..).unwrap_or_default();
        line.strip_suffix(b"\r").unwrap_or(line)
    };
    let first = String::from_utf8(line().to_vec()).map_err(|_| "the first line is not UTF-8")?;
    let mut headers = Headers::new();
    loop {
        let header = line();
        if header.is_empty() {
            break;
        }
        let colon = header.iter().position(|byte| *byte == b':');
        let (name, value) = colon
            .map(|colon| header.split_at(colon))
            .ok_or_else(|| format!("`{}` is no header", String::from_utf8_lossy(header)))?;
        let name = String::from_utf8(name.to_vec()).map_err(|_| "a header name is not UTF-8")?;
        headers.push((
            name,
            value.get(1..).unwrap_or_default().trim_ascii().to_vec(),
        ));
    }
    Ok((first, headers, rest))
}

fn body(headers: &Headers, rest: &[u8]) -> Result<Vec<u8>, String> {
    if is_chunked(headers) && !rest.trim_ascii().is_empty() {
        return joined(rest).map_err(|(problem, at)| {
            format!(
                "the head says `Transfer-Encoding: chunked`, and the body is not in chunks: \
                 {problem} at byte {at} of it; take that header out where the chunks are joined \
                 already"
            )
        });
    }
    // An editor ends a file with a line end that no client sent.
    Ok(rest.strip_suffix(b"\n").unwrap_or(rest).to_vec())
}

/// Whether the last coding of the body is `chunked` (RFC 9112, section 6.1).
fn is_chunked(headers: &Headers) -> bool {
    let coded = |(name, _): &&(String, Vec<u8>)| name.eq_ignore_ascii_case("transfer-encoding");
    let codings = headers.iter().rev().find(coded);
    let last = codings.and_then(|(_, value)| value.rsplit(|byte| *byte == b',').next());
    last.is_some_and(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"chunked"))
}

/// What is in the chunks (RFC 9112, section 7.1; line ends may be LF), or what is wrong
/// with them and where. Trailers are passed over.
fn joined(body: &[u8]) -> Result<Vec<u8>, (&'static str, usize)> {
    let mut data = Vec::new();
    let mut at = 0;
    loop {
        let rest = body.get(at..).unwrap_or_default();
        let end = rest.iter().position(|byte| *byte == b'\n');
        let line = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        let size = line.split(|byte| *byte == b';').next().unwrap_or_default();
        let size = std::str::from_utf8(size.trim_ascii())
            .ok()
            .filter(|size| size.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .and_then(|size| usize::from_str_radix(size, 16).ok())
            .ok_or(("there is no size of a chunk", at))?;
        if size == 0 {
            return Ok(data);
        }
        let begin = at + line.len() + 1;
        let chunk = begin.checked_add(size).and_then(|end| body.get(begin..end));
        let chunk = chunk.ok_or(("a chunk is longer than what is there", at))?;
        data.extend_from_slice(chunk);
        at = begin + size;
        let after = body.get(at..).unwrap_or_default();
        at += match after {
            [b'\r', b'\n', ..] => 2,
            [b'\n', ..] => 1,
            _ => return Err(("a chunk does not end with its line", at)),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_an_editor_writes() {
        let request =
            parse_request(b"POST /a?b HTTP/1.1\nHost: x\r\nX-A:  1\n\n{\"a\":\n1}\n").unwrap();
        assert_eq!((&*request.method, &*request.target), ("POST", "/a?b"));
        assert_eq!(
            request.headers,
            [
                ("Host".into(), b"x".to_vec()),
                ("X-A".into(), b"1".to_vec())
            ]
        );
        assert_eq!(request.body, b"{\"a\":\n1}");
        let answer = parse_answer(b"HTTP/1.1 204 No Content\n\n").unwrap();
        assert_eq!((answer.status, answer.body.len()), (204, 0));
    }

    #[test]
    fn chunks_are_taken_apart() {
        let answer = |coding: &str, body: &str| {
            let text = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: {coding}\r\n\r\n{body}");
            parse_answer(text.as_bytes()).map(|answer| String::from_utf8(answer.body).unwrap())
        };
        for (body, joined) in [
            (
                "6\r\n{\"a\":\n\r\n2;x=y\r\n1}\r\n0\r\nX: y\r\n\r\n",
                "{\"a\":\n1}",
            ),
            ("A\n0123456789\n0\n\n", "0123456789"),
            ("1\r\na\r\n0", "a"),
            ("0\r\n\r\n", ""),
            ("", ""),
        ] {
            assert_eq!(
                answer("gzip, Chunked", body).as_deref(),
                Ok(joined),
                "{body:?}"
            );
        }
        for (body, problem) in [
            ("{\"a\":1}\n", "no size of a chunk at byte 0"),
            ("1\r\na\r\n\r\n", "no size of a chunk at byte 6"),
            ("1\r\na\r\n", "no size of a chunk at byte 6"),
            ("+1\r\na\r\n0\r\n", "no size of a chunk at byte 0"),
            ("9\r\na\r\n0\r\n", "longer than what is there at byte 0"),
            (
                "ffffffffffffffff\r\na",
                "longer than what is there at byte 0",
            ),
            ("1\r\nab\r\n0\r\n", "does not end with its line at byte 4"),
        ] {
            let said = answer("chunked", body).unwrap_err();
            assert!(said.contains(problem), "{body:?}: {said}");
        }
        assert_eq!(answer("identity", "1\r\na\r\n").as_deref(), Ok("1\r\na\r"));
        let request = "POST / HTTP/1.1\nTransfer-Encoding: chunked\n\n1\na\n0\n\n";
        assert_eq!(parse_request(request.as_bytes()).unwrap().body, b"a");
    }

    #[test]
    fn says_what_is_wrong() {
        assert!(parse_request(b"hello").unwrap_err().contains("POST /path"));
        assert!(
            parse_answer(b"200 OK")
                .unwrap_err()
                .contains("HTTP/1.1 200 OK")
        );
    }
}
