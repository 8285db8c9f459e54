//! The tool at the far end: 1 KB of JSON for every GET, with as little work as an answer takes.

use std::rc::Rc;

use anyhow::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Bytes of the body.
const BODY: usize = 1_024;

/// Answers until its process is killed.
pub async fn serve() -> Result<()> {
    let listener = super::child::announce().await?;
    let answer: Rc<[u8]> = answer().into();
    accept(&listener, &answer).await
}

async fn accept(listener: &TcpListener, answer: &Rc<[u8]>) -> Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::task::spawn_local(connection(stream, Rc::clone(answer)));
    }
}

/// A head without a body is all a GET is; whatever comes is answered once for each empty line.
async fn connection(mut stream: TcpStream, answer: Rc<[u8]>) -> std::io::Result<()> {
    let mut seen: Vec<u8> = Vec::with_capacity(4_096);
    loop {
        if stream.read_buf(&mut seen).await? == 0 {
            return Ok(());
        }
        while let Some(end) = super::load::head_end(&seen) {
            seen.drain(..end);
            stream.write_all(&answer).await?;
        }
    }
}

fn answer() -> Vec<u8> {
    let mut body = String::from("{\"number\":7,\"title\":\"crash on start\",\"body\":\"");
    while body.len() < BODY - 2 {
        body.push('x');
    }
    body.push_str("\"}");
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())
        .into_bytes()
}
