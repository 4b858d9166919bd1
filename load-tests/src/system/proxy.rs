//! A TCP proxy that can be told to misbehave: slow, resetting, answering half, or answering 503 itself.
//!
//! Purpose: failures between two healthy processes, which killing neither of them shows. One stands between clients and the
//! system, one between the system and its event store. What happens to which chunk of bytes is drawn from a seed and a counter.
//!
//! It refuses to understand HTTP: bytes are forwarded as they come, in order, and a connection that is cut is cut for both
//! sides. The one answer it makes up is given on a fresh connection that never reached the other side.

use crate::workload::facts::mix;
use serde::Serialize;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Bytes forwarded at once; a batch of a hundred events is half of it, so that a cut falls inside a request.
const CHUNK: usize = 16 * 1024;
/// How long a connection that is answered 503 may still send its request, so that the answer is not lost to a reset.
const HEAR_OUT: Duration = Duration::from_secs(2);
const UNAVAILABLE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 5\r\nconnection: close\r\n\r\nchaos";

/// What the connections of a proxy go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Weather {
    /// Bytes pass as they come.
    Calm,
    /// Every chunk waits.
    Slow,
    /// One chunk in eight, of either direction, is forwarded in half, then the connection is reset.
    Resets,
    /// One chunk in four of the answers is forwarded in half, then the connection ends.
    HalfAnswers,
    /// Connections end; of new ones every second is answered 503 without reaching the other side.
    Errors,
}

/// How long a chunk waits when it is slow: a store that takes half a second for what takes ten milliseconds.
const SLOW: Duration = Duration::from_millis(120);

impl fmt::Display for Weather {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Weather::Calm => "calm",
            Weather::Slow => "slow",
            Weather::Resets => "reset amid bytes",
            Weather::HalfAnswers => "answering half",
            Weather::Errors => "answering 503",
        })
    }
}

/// A running proxy; ends when dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    sky: Arc<Sky>,
    accepting: JoinHandle<()>,
}

/// What all connections share.
#[derive(Debug)]
struct Sky {
    weather: Mutex<Weather>,
    seed: u64,
    draws: AtomicU64,
    /// Connections cut or answered 503.
    harmed: AtomicU64,
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Request,
    Answer,
}

/// How a forwarding ended early.
#[derive(Debug)]
enum Cut {
    /// With a reset.
    Reset,
    /// With an end of stream.
    End,
    /// One side failed by itself.
    Failed,
}

impl From<io::Error> for Cut {
    fn from(_: io::Error) -> Self {
        Cut::Failed
    }
}

impl Sky {
    fn weather(&self) -> Weather {
        // A plain value: a panic elsewhere cannot have left it half written.
        *self.weather.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True once in `one_in` draws.
    fn draw(&self, one_in: u64) -> bool {
        let number = self.draws.fetch_add(1, Ordering::Relaxed);
        mix(self.seed ^ mix(number)).is_multiple_of(one_in)
    }

    fn note_harm(&self) {
        self.harmed.fetch_add(1, Ordering::Relaxed);
    }
}

impl Proxy {
    /// Listens on a free loopback port and forwards to `upstream`, which need not listen yet.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(upstream: SocketAddr, seed: u64) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (draws, harmed) = (AtomicU64::new(0), AtomicU64::new(0));
        let sky = Arc::new(Sky { weather: Mutex::new(Weather::Calm), seed, draws, harmed });
        let accepting = tokio::spawn(accept(listener, upstream, sky.clone()));
        Ok(Self { address, sky, accepting })
    }

    /// `http://127.0.0.1:port`
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on.
    pub fn set(&self, weather: Weather) {
        *self.sky.weather.lock().unwrap_or_else(PoisonError::into_inner) = weather;
    }

    /// Connections cut or answered 503 so far.
    #[must_use]
    pub fn harmed(&self) -> u64 {
        self.sky.harmed.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, upstream: SocketAddr, sky: Arc<Sky>) {
    loop {
        // Out of descriptors at worst: the next connection may have better luck.
        let Ok((client, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let sky = sky.clone();
        // What becomes of a connection is the business of its two ends.
        tokio::spawn(async move { carry(client, upstream, &sky).await });
    }
}

async fn carry(mut client: TcpStream, upstream: SocketAddr, sky: &Sky) {
    if sky.weather() == Weather::Errors && sky.draw(2) {
        sky.note_harm();
        return refuse(&mut client).await;
    }
    // Nobody there: the client sees its connection end, as it would without a proxy.
    let Ok(mut server) = TcpStream::connect(upstream).await else { return };
    // Without it small answers wait for acknowledgements; should it fail, they wait.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let outcome = {
        let (client_reads, client_writes) = client.split();
        let (server_reads, server_writes) = server.split();
        let requests = forward(client_reads, server_writes, Way::Request, sky);
        let answers = forward(server_reads, client_writes, Way::Answer, sky);
        tokio::try_join!(requests, answers)
    };
    match outcome {
        Err(Cut::Reset) => {
            sky.note_harm();
            // With nothing lingering, closing sends a reset; where that cannot be set, it ends like any other.
            let _ = (client.set_zero_linger(), server.set_zero_linger());
        }
        Err(Cut::End) => sky.note_harm(),
        Err(Cut::Failed) | Ok(_) => {}
    }
}

/// Forwards until the source ends, and passes that on.
async fn forward(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, way: Way, sky: &Sky) -> Result<(), Cut> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return Ok(to.shutdown().await?);
        }
        let chunk = &buffer[..read];
        match (sky.weather(), way) {
            (Weather::Calm, _) | (Weather::HalfAnswers, Way::Request) => to.write_all(chunk).await?,
            (Weather::Slow, _) => {
                tokio::time::sleep(SLOW).await;
                to.write_all(chunk).await?;
            }
            (Weather::Resets, _) if sky.draw(8) => {
                to.write_all(&chunk[..read / 2]).await?;
                return Err(Cut::Reset);
            }
            (Weather::HalfAnswers, Way::Answer) if sky.draw(4) => {
                to.write_all(&chunk[..read / 2]).await?;
                return Err(Cut::End);
            }
            (Weather::Errors, _) => return Err(Cut::End),
            (Weather::Resets | Weather::HalfAnswers, _) => to.write_all(chunk).await?,
        }
    }
}

async fn refuse(client: &mut TcpStream) {
    let mut rest = vec![0; CHUNK];
    let heard = async {
        // The answer goes out after the first bytes of a request: an earlier one belongs to none.
        if client.read(&mut rest).await? == 0 {
            return Ok(());
        }
        client.write_all(UNAVAILABLE).await?;
        client.shutdown().await?;
        while client.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    // A client that hangs up first has its answer or wants none.
    let _ = tokio::time::timeout(HEAR_OUT, heard).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Echoes every byte.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let (mut reads, mut writes) = socket.split();
                    let _ = tokio::io::copy(&mut reads, &mut writes).await;
                    let _ = writes.shutdown().await;
                });
            }
        });
        address
    }

    /// Sends `bytes`, ends, and answers what came back before the connection ended, and how it ended.
    async fn exchange(proxy: &Proxy, bytes: &[u8]) -> (Vec<u8>, Option<io::ErrorKind>) {
        let mut socket = TcpStream::connect(proxy.address).await.unwrap();
        let mut back = Vec::new();
        let sent = async {
            socket.write_all(bytes).await?;
            socket.shutdown().await?;
            socket.read_to_end(&mut back).await
        };
        let ended = sent.await.err().map(|error| error.kind());
        (back, ended)
    }

    #[tokio::test]
    async fn in_calm_and_slow_weather_every_byte_arrives() {
        let proxy = Proxy::start(echo().await, 1).await.unwrap();
        let bytes: Vec<u8> = (0..100_000_u32).map(|byte| byte.to_le_bytes()[0]).collect();
        assert_eq!(exchange(&proxy, &bytes).await, (bytes.clone(), None));
        proxy.set(Weather::Slow);
        assert_eq!(exchange(&proxy, &bytes[..9]).await, (bytes[..9].to_vec(), None));
        assert_eq!(proxy.harmed(), 0);
    }

    #[tokio::test]
    async fn bad_weather_cuts_some_connections_and_spares_others_and_then_it_is_calm_again() {
        let proxy = Proxy::start(echo().await, 1).await.unwrap();
        for weather in [Weather::Resets, Weather::HalfAnswers, Weather::Errors] {
            proxy.set(weather);
            let before = proxy.harmed();
            let mut whole = 0;
            for _ in 0..40 {
                let (back, _) = exchange(&proxy, b"0123456789").await;
                whole += u64::from(back == b"0123456789");
            }
            let harmed = proxy.harmed() - before;
            assert!(harmed > 0 && harmed + whole <= 40, "{weather}: {harmed} harmed, {whole} whole");
            if weather != Weather::Errors {
                assert!(whole > 0, "{weather}");
            }
        }
        proxy.set(Weather::Calm);
        assert_eq!(exchange(&proxy, b"abc").await, (b"abc".to_vec(), None));
    }

    #[tokio::test]
    async fn an_error_is_a_whole_answer_that_never_reached_the_other_side() {
        let nobody: SocketAddr = "127.0.0.1:9".parse().unwrap();
        let proxy = Proxy::start(nobody, 3).await.unwrap();
        proxy.set(Weather::Errors);
        let mut answered = 0;
        for _ in 0..20 {
            let (back, _) = exchange(&proxy, b"GET / HTTP/1.1\r\n\r\n").await;
            answered += u64::from(back == UNAVAILABLE);
        }
        assert!((1..20).contains(&answered), "{answered}");
    }
}
