//! Sound and analytics, which this device has not: lists are empty, and what would need one of
//! either says so.

use crate::onvif::call::{Answer, Call, Done, needed};
use crate::onvif::profiles;
use crate::soap::{Fault, Node, Writer};

/// The response of the operation that is being answered, with nothing in it.
fn empty(call: &Call<'_>, w: &mut Writer) -> Answer {
    w.empty(call.operation.response());
    Ok(Done::Now)
}

/// A list of what there is none of.
pub(super) fn none(call: &mut Call<'_>, _: Node<'_>, w: &mut Writer) -> Answer {
    empty(call, w)
}

/// A list of what fits into a profile.
pub(super) fn none_fits(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    profiles::find(call, needed(asked, "ProfileToken")?)?;
    empty(call, w)
}

/// One of what there is none of.
pub(super) fn unknown(_: &mut Call<'_>, asked: Node<'_>, _: &mut Writer) -> Answer {
    Err(profiles::no_config(asked.value("ConfigurationToken").unwrap_or_default()))
}

/// What needs sound.
pub(super) fn unsupported(_: &mut Call<'_>, _: Node<'_>, _: &mut Writer) -> Answer {
    let why = "Optional Action Not Implemented: this device has no audio";
    Err(Fault::receiver(&["ter:ActionNotSupported", "ter:AudioNotSupported"], why))
}

/// Taking out of a profile what is in none, which has no effect.
pub(super) fn nothing_removed(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    profiles::find(call, needed(asked, "ProfileToken")?)?;
    empty(call, w)
}
