//! As much HTTP/1.1 as the measurements need: a server with a thread a connection, which adds no runtime of
//! its own to what is measured, and a client that keeps its connection.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Largest body of a request or an answer, in bytes: Lambda's own limit for an event.
const BODY_BYTES_MAX: usize = 6 * 1024 * 1024;

/// A request or an answer: the first line, the headers with lower-case names, the body.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// `POST / HTTP/1.1`, `HTTP/1.1 200 OK`.
    pub line: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The whole of it.
    pub body: Vec<u8>,
}

impl Message {
    /// An answer with a body of JSON.
    pub fn json(status: u16, body: impl Into<Vec<u8>>) -> Message {
        Message {
            line: format!("HTTP/1.1 {status} -"),
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: body.into(),
        }
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The second word of the first line: a request's path, an answer's status.
    pub fn second(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or_default()
    }

    /// Reads one; `None`: the other side closed the connection in good order.
    fn read(stream: &mut impl BufRead) -> io::Result<Option<Message>> {
        let mut message = Message::default();
        if stream.read_line(&mut message.line)? == 0 {
            return Ok(None);
        }
        message.line.truncate(message.line.trim_end().len());
        loop {
            let mut line = String::new();
            stream.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else {
                break;
            };
            let header = (name.to_ascii_lowercase(), value.trim().to_owned());
            message.headers.push(header);
        }
        let chunked = message.header("transfer-encoding") == Some("chunked");
        let length = message.header("content-length").map(str::parse);
        message.body = match length {
            _ if chunked => read_chunks(stream)?,
            None => Vec::new(),
            Some(length) => read_exactly(stream, length.map_err(io::Error::other)?)?,
        };
        Ok(Some(message))
    }

    /// Writes it with the length that its body has.
    fn write(&self, stream: &mut impl Write) -> io::Result<()> {
        let mut bytes = format!("{}\r\n", self.line).into_bytes();
        let framing = |name: &str| matches!(name, "content-length" | "transfer-encoding");
        for (name, value) in self.headers.iter().filter(|(name, _)| !framing(name)) {
            bytes.extend(format!("{name}: {value}\r\n").into_bytes());
        }
        bytes.extend(format!("content-length: {}\r\n\r\n", self.body.len()).into_bytes());
        bytes.extend(&self.body);
        stream.write_all(&bytes)
    }
}

fn read_exactly(stream: &mut impl BufRead, length: usize) -> io::Result<Vec<u8>> {
    if length > BODY_BYTES_MAX {
        return Err(io::Error::other("the body is too large"));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(body)
}

fn read_chunks(stream: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).map_err(io::Error::other)?;
        if body.len().saturating_add(size) > BODY_BYTES_MAX {
            return Err(io::Error::other("the body is too large"));
        }
        body.extend(read_exactly(stream, size)?);
        stream.read_line(&mut line)?;
        if size == 0 {
            return Ok(body);
        }
    }
}

/// What is on the other end of a connection that a [`Server`] took.
pub trait Handler: Send + Sync + 'static {
    /// What one connection needs for itself.
    type Connection: Send;

    /// A new connection.
    ///
    /// # Errors
    /// What it needs is not to be had; the connection is closed.
    fn connected(&self) -> io::Result<Self::Connection>;

    /// Answers one request. `answer` is called as soon as the answer is known; what is done afterwards
    /// delays nobody.
    ///
    /// # Errors
    /// The connection is closed.
    fn handle(
        &self,
        connection: &mut Self::Connection,
        request: Message,
        answer: &mut dyn FnMut(Message) -> io::Result<()>,
    ) -> io::Result<()>;
}

/// A listener on a free port of the loopback interface. Dropping it ends it; connections end with their
/// clients.
pub struct Server {
    address: SocketAddr,
    stopping: Arc<AtomicBool>,
}

impl Server {
    /// Begins to listen.
    ///
    /// # Errors
    /// No port, no thread.
    pub fn start<H: Handler>(handler: Arc<H>) -> io::Result<Server> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let stopping = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stopping);
        thread::Builder::new().spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                let handler = Arc::clone(&handler);
                thread::spawn(move || {
                    // A function that ends cuts its connections, as it does on Lambda.
                    let _ = converse(&stream, &*handler);
                });
            }
        })?;
        Ok(Server { address, stopping })
    }

    /// `127.0.0.1:PORT`.
    pub fn authority(&self) -> String {
        self.address.to_string()
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        // Wakes the listener, which then sees that it is to end.
        let _ = TcpStream::connect(self.address);
    }
}

fn converse<H: Handler>(stream: &TcpStream, handler: &H) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    let mut connection = handler.connected()?;
    while let Some(request) = Message::read(&mut reader)? {
        handler.handle(&mut connection, request, &mut |answer| {
            answer.write(&mut writer)
        })?;
    }
    Ok(())
}

/// A client's connection.
pub struct Connection {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
}

impl Connection {
    /// Connects to `127.0.0.1:PORT`.
    ///
    /// # Errors
    /// Nobody listens.
    pub fn open(authority: &str) -> io::Result<Connection> {
        let writer = TcpStream::connect(authority)?;
        writer.set_nodelay(true)?;
        let reader = BufReader::new(writer.try_clone()?);
        Ok(Connection { reader, writer })
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn exchange(&mut self, request: &Message) -> io::Result<Message> {
        request.write(&mut self.writer)?;
        Message::read(&mut self.reader)?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Echo;

    impl Handler for Echo {
        type Connection = ();

        fn connected(&self) -> io::Result<()> {
            Ok(())
        }

        fn handle(
            &self,
            (): &mut (),
            request: Message,
            answer: &mut dyn FnMut(Message) -> io::Result<()>,
        ) -> io::Result<()> {
            answer(Message::json(200, request.body))
        }
    }

    #[test]
    fn a_connection_carries_several_requests() {
        let server = Server::start(Arc::new(Echo)).unwrap();
        let mut connection = Connection::open(&server.authority()).unwrap();
        for body in ["one", "", "three"] {
            let mut request = Message::json(0, body);
            request.line = "POST / HTTP/1.1".to_owned();
            let answer = connection.exchange(&request).unwrap();
            assert_eq!(
                (answer.second(), answer.body.as_slice()),
                ("200", body.as_bytes())
            );
        }
    }

    #[test]
    fn chunks_are_put_together() {
        let mut text: &[u8] = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
        let message = Message::read(&mut text).unwrap().unwrap();
        assert_eq!(message.body, b"abcde");
        assert!(Message::read(&mut text).unwrap().is_none());
    }
}
