//! `/api/v1`: for now a connection that says nothing.

use super::Face;

/// The face.
pub(crate) static FACE: Face = Face {
    protocols: &["lensd.v1"],
    on_open: |_, _, _, _, _| (),
    on_text: |_, _, _, _| (),
    on_binary: |_, _, _, _| (),
    on_close: |_, _, _| (),
};
