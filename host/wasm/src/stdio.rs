//! Standard output and standard error of a guest: pipes whose other end the host holds, with a limit for each call.
//!
//! A write past the limit ends the call: what came before is kept, and the guest gets no chance to go on.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

/// One output of a guest. Clones write to the same pipe.
#[derive(Clone)]
pub(super) struct OutputPipe(Arc<Mutex<Captured>>);

struct Captured {
    bytes: Vec<u8>,
    bytes_max: usize,
    exceeded: bool,
}

impl OutputPipe {
    pub(super) fn new(bytes_max: u64) -> Self {
        let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        Self(Arc::new(Mutex::new(Captured { bytes: Vec::new(), bytes_max, exceeded: false })))
    }

    /// What was written, up to the limit, which counts anew from here.
    pub(super) fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.captured().bytes)
    }

    /// Whether more was written than may be.
    pub(super) fn exceeded(&self) -> bool {
        self.captured().exceeded
    }

    fn captured(&self) -> MutexGuard<'_, Captured> {
        // A panic cannot leave the bytes half written in a way that matters here.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what fits; false where not all did.
    fn push(&self, bytes: &[u8]) -> bool {
        let mut captured = self.captured();
        let fits = bytes.len().min(captured.bytes_max - captured.bytes.len());
        captured.bytes.extend_from_slice(&bytes[..fits]);
        captured.exceeded |= fits < bytes.len();
        fits == bytes.len()
    }
}

#[async_trait]
impl OutputStream for OutputPipe {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if self.push(&bytes) { Ok(()) } else { Err(StreamError::trap("the output limit was reached")) }
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    /// One byte more than fits, so that a write of any length is whole, as on a real pipe or file: programs call
    /// `os.write` once and do not look at what it returns.
    fn check_write(&mut self) -> StreamResult<usize> {
        let captured = self.captured();
        Ok((captured.bytes_max - captured.bytes.len()).saturating_add(1))
    }
}

#[async_trait]
impl Pollable for OutputPipe {
    async fn ready(&mut self) {}
}

impl AsyncWrite for OutputPipe {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.push(bytes) {
            Poll::Ready(Ok(bytes.len()))
        } else {
            Poll::Ready(Err(io::Error::other("the output limit was reached")))
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl IsTerminal for OutputPipe {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for OutputPipe {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_fits() {
        let pipe = OutputPipe::new(5);
        assert!(pipe.push(b"abcde"));
        assert!(!pipe.exceeded());
        assert!(!pipe.push(b"f"));
        assert!(pipe.exceeded());
        assert_eq!(pipe.take(), b"abcde");
    }

    #[test]
    fn what_was_taken_makes_room() {
        let pipe = OutputPipe::new(5);
        for _ in 0..3 {
            assert!(pipe.push(b"abcde"));
            assert_eq!(pipe.take(), b"abcde");
        }
        assert!(!pipe.exceeded());
    }

    #[test]
    fn a_write_of_any_length_is_permitted_whole() {
        let mut pipe = OutputPipe::new(5);
        assert_eq!(pipe.check_write().ok(), Some(6));
        assert!(pipe.push(b"abcd"));
        assert_eq!(pipe.check_write().ok(), Some(2));
        assert_eq!(OutputPipe::new(u64::MAX).check_write().ok(), Some(usize::MAX));
    }
}
