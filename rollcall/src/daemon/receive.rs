//! Reads a request from a connection.

use std::io;
use std::time::Duration;

use common::frame::{self, FrameError, REQUEST_HEADER};
use common::protocol::Request;
use tokio::io::{AsyncRead, AsyncReadExt};
use zeroize::Zeroizing;

/// How long a request may take to arrive. The modules send it in one piece,
/// right after they connect.
const ARRIVAL: Duration = Duration::from_secs(5);

/// Why there is no request.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReceiveError {
    /// The peer went away before it had sent a whole request.
    #[error("it was not sent completely: {0}")]
    Incomplete(#[from] io::Error),
    /// It took too long.
    #[error("it was sent too slowly")]
    Slow,
    /// It is not a request.
    #[error("{0}")]
    Frame(#[from] FrameError),
}

/// Reads one request, and how many milliseconds its sender will wait.
pub(super) async fn receive(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<(Request, u32), ReceiveError> {
    tokio::time::timeout(ARRIVAL, read(stream)).await.map_err(|_| ReceiveError::Slow)?
}

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<(Request, u32), ReceiveError> {
    let mut header = [0; REQUEST_HEADER];
    stream.read_exact(&mut header).await?;
    let (length, ms_left) = frame::request_header(&header)?;
    // At most `frame::MAX_REQUEST`. Of its full size from the start, since a
    // buffer that grew would leave copies of a password behind.
    let mut payload = Zeroizing::new(vec![0; length]);
    stream.read_exact(&mut payload).await?;
    Ok((frame::decode(&payload)?, ms_left))
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::account::Name;
    use tokio::io::AsyncWriteExt;

    fn frame() -> Zeroizing<Vec<u8>> {
        let request = Request::UserByName(Name::parse("alice").unwrap());
        frame::encode_request(&request, 700).unwrap()
    }

    #[tokio::test]
    async fn a_request_is_read_with_the_time_left() {
        let frame = frame();
        let (request, ms) = receive(&mut &frame[..]).await.unwrap();
        assert!(matches!(request, Request::UserByName(name) if name.as_str() == "alice"));
        assert_eq!(ms, 700);
    }

    #[tokio::test]
    async fn half_a_request_is_no_request() {
        let frame = frame();
        let error = receive(&mut &frame[..frame.len() - 1]).await.unwrap_err();
        assert!(matches!(error, ReceiveError::Incomplete(_)), "{error}");
    }

    #[tokio::test]
    async fn garbage_is_no_request() {
        let error = receive(&mut &[0xff; 64][..]).await.unwrap_err();
        assert!(matches!(error, ReceiveError::Frame(FrameError::Magic)), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_trickles_is_cut_off() {
        let (mut ours, mut theirs) = tokio::io::duplex(64);
        let trickle = tokio::spawn(async move {
            for byte in frame().iter() {
                tokio::time::sleep(Duration::from_secs(1)).await;
                if theirs.write_all(&[*byte]).await.is_err() {
                    return;
                }
            }
        });
        assert!(matches!(receive(&mut ours).await, Err(ReceiveError::Slow)));
        trickle.abort();
    }
}
