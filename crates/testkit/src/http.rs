//! As much of HTTP/1.1 as an agent CLI needs from a server on loopback.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

/// Bytes of request line and headers, at most.
const HEAD_BYTES_MAX: u64 = 64 * 1024;
/// Bytes of a request body, at most.
const BODY_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A request as it arrived.
#[derive(Debug)]
pub(crate) struct HttpRequest {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl HttpRequest {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// Reads one request; none at a clean end of the connection.
pub(crate) fn read_request(reader: &mut BufReader<TcpStream>) -> io::Result<Option<HttpRequest>> {
    let mut head = reader.by_ref().take(HEAD_BYTES_MAX);
    let Some(first) = read_line(&mut head)? else { return Ok(None) };
    let mut words = first.split(' ');
    let (Some(method), Some(path)) = (words.next(), words.next()) else {
        return Err(invalid("the request line has no path"));
    };
    let mut headers = Vec::new();
    loop {
        let line = read_line(&mut head)?.ok_or_else(|| invalid("the connection ended inside the headers"))?;
        if line.is_empty() {
            break;
        }
        let (key, value) = line.split_once(':').ok_or_else(|| invalid("a header line has no colon"))?;
        headers.push((key.trim().to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut request =
        HttpRequest { method: method.to_owned(), path: path.to_owned(), headers, body: String::new() };
    request.body = read_body(reader, &request)?;
    Ok(Some(request))
}

fn read_body(reader: &mut BufReader<TcpStream>, request: &HttpRequest) -> io::Result<String> {
    if request.header("transfer-encoding").is_some() {
        return Err(invalid("a request body without content-length is not supported"));
    }
    let length: u64 = match request.header("content-length") {
        Some(text) => text.parse().map_err(|_| invalid("content-length is not a number"))?,
        None => 0,
    };
    if length > BODY_BYTES_MAX {
        return Err(invalid("the request body is too long"));
    }
    let mut body = Vec::new();
    reader.by_ref().take(length).read_to_end(&mut body)?;
    if body.len() as u64 != length {
        return Err(invalid("the connection ended inside the body"));
    }
    String::from_utf8(body).map_err(|_| invalid("the request body is not UTF-8"))
}

fn read_line(reader: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    if !line.ends_with('\n') {
        return Err(invalid("a line of the request head is cut off or too long"));
    }
    Ok(Some(line.trim_end_matches(['\r', '\n']).to_owned()))
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

/// Whether the connection is used again after a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Afterwards {
    KeepAlive,
    Close,
}

impl Afterwards {
    fn header(self) -> &'static str {
        match self {
            Self::KeepAlive => "keep-alive",
            Self::Close => "close",
        }
    }
}

/// Writes a whole response; `extra` are further header lines, each with its line end.
pub(crate) fn write_response(
    stream: &mut TcpStream,
    status: u16,
    extra: &str,
    body: &str,
    afterwards: Afterwards,
) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status} {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: {}\r\n{extra}\r\n",
        reason(status),
        body.len(),
        afterwards.header(),
    );
    stream.write_all(format!("{head}{body}").as_bytes())
}

/// Writes a response whose body is shorter than it says.
pub(crate) fn write_cut_response(stream: &mut TcpStream, body: &str) -> io::Result<()> {
    let length = body.len() + 1000;
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n",
    );
    stream.write_all(format!("{head}{body}").as_bytes())
}

/// Begins an event stream in chunks.
pub(crate) fn begin_stream(stream: &mut TcpStream, afterwards: Afterwards) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n\
         transfer-encoding: chunked\r\nconnection: {}\r\n\r\n",
        afterwards.header(),
    );
    stream.write_all(head.as_bytes())
}

/// Writes one chunk of an event stream; an empty text would end the stream, so nothing is written for it.
pub(crate) fn write_chunk(stream: &mut TcpStream, text: &str) -> io::Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    stream.write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes())
}

/// Ends an event stream.
pub(crate) fn end_stream(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(b"0\r\n\r\n")
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        529 => "Overloaded",
        _ => "Scripted",
    }
}
