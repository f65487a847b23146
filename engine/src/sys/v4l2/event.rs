//! `VIDIOC_SUBSCRIBE_EVENT`, `VIDIOC_DQEVENT`, `VIDIOC_ENCODER_CMD`.

use super::{Device, Refusal, bindings, refuse};
use rustix::io::Errno;
use v4l2r::ioctl::{self as vidioc, EncoderCommand, EventType, SubscribeEventFlags};

/// An event, of those that a driver can send. (The type of v4l2r 0.0.6 panics on most of them.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// `V4L2_EVENT_SOURCE_CHANGE`: the input has another size or rate now; `V4L2_EVENT_SRC_CH_*`.
    SourceChange(u32),
    /// `V4L2_EVENT_EOS`
    EndOfStream,
    /// `V4L2_EVENT_CTRL`: this control changed.
    Control(u32),
    /// Any other `V4L2_EVENT_*`.
    Other(u32),
}

impl From<bindings::v4l2_event> for Event {
    fn from(raw: bindings::v4l2_event) -> Self {
        match raw.type_ {
            bindings::V4L2_EVENT_SOURCE_CHANGE => {
                // SAFETY: the type says that `src_change` is the union's member; it is a number.
                Self::SourceChange(unsafe { raw.u.src_change.changes })
            }
            bindings::V4L2_EVENT_EOS => Self::EndOfStream,
            bindings::V4L2_EVENT_CTRL => Self::Control(raw.id),
            other => Self::Other(other),
        }
    }
}

impl Device {
    /// `VIDIOC_SUBSCRIBE_EVENT` for changes of input 0's signal.
    ///
    /// # Errors
    /// `EINVAL` from drivers that do not send it.
    pub fn subscribe_source_change(&self) -> Result<(), Refusal> {
        vidioc::subscribe_event(&self.fd, EventType::SourceChange(0), SubscribeEventFlags::empty())
            .map_err(refuse("VIDIOC_SUBSCRIBE_EVENT", &[]))
    }

    /// `VIDIOC_DQEVENT`; `None` if none is pending.
    pub fn dqevent(&self) -> Option<Event> {
        vidioc::dqevent(&self.fd).ok()
    }

    /// `VIDIOC_ENCODER_CMD` with `V4L2_ENC_CMD_STOP`: encodes what is queued, then ends with a
    /// buffer that has `V4L2_BUF_FLAG_LAST`.
    ///
    /// # Errors
    /// `ENOTTY` from drivers without it.
    pub fn encoder_cmd_stop(&self) -> Result<(), Refusal> {
        let meanings = &[(Errno::BUSY, "the encoder is being drained already")];
        vidioc::encoder_cmd(&self.fd, &EncoderCommand::Stop(false))
            .map_err(refuse("VIDIOC_ENCODER_CMD", meanings))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_event_is_unexpected() {
        for type_ in [0, 1, 2, 3, 4, 5, 6, bindings::V4L2_EVENT_PRIVATE_START, u32::MAX] {
            let _ = Event::from(bindings::v4l2_event { type_, ..Default::default() });
        }
    }
}
