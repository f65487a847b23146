//! `VIDIOC_QUERY_EXT_CTRL`, `VIDIOC_QUERYCTRL`, `VIDIOC_QUERYMENU`, `VIDIOC_G_EXT_CTRLS`,
//! `VIDIOC_S_EXT_CTRLS`.

use super::{Device, Refusal, bindings, refuse, text};
use rustix::io::Errno;
use v4l2r::ioctl::{self as vidioc, CtrlId, CtrlWhich, QueryCtrlFlags};

/// A control as the driver describes it (`struct v4l2_query_ext_ctrl`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// `V4L2_CID_*`
    pub id: u32,
    /// `enum v4l2_ctrl_type`
    pub kind: u32,
    /// Name for people.
    pub name: String,
    /// Least value; of a string its least length.
    pub minimum: i64,
    /// Greatest value; of a string its greatest length.
    pub maximum: i64,
    /// Step.
    pub step: u64,
    /// Default.
    pub default: i64,
    /// `V4L2_CTRL_FLAG_*`
    pub flags: u32,
    /// Bytes of one element.
    pub element_size: u32,
    /// Elements: 1 unless it is an array.
    pub elements: u32,
}

impl From<bindings::v4l2_query_ext_ctrl> for Description {
    fn from(raw: bindings::v4l2_query_ext_ctrl) -> Self {
        Self {
            id: raw.id,
            kind: raw.type_,
            name: text(&raw.name.map(i8_to_u8)),
            minimum: raw.minimum,
            maximum: raw.maximum,
            step: raw.step,
            default: raw.default_value,
            flags: raw.flags,
            element_size: raw.elem_size,
            elements: raw.elems,
        }
    }
}

/// `c_char` is signed on some machines and not on others.
#[allow(clippy::unnecessary_cast)]
fn i8_to_u8(c: std::ffi::c_char) -> u8 {
    c as u8
}

impl From<bindings::v4l2_queryctrl> for Description {
    fn from(raw: bindings::v4l2_queryctrl) -> Self {
        Self {
            id: raw.id,
            kind: raw.type_,
            name: text(&raw.name),
            minimum: i64::from(raw.minimum),
            maximum: i64::from(raw.maximum),
            step: u64::from(raw.step.unsigned_abs()),
            default: i64::from(raw.default_value),
            flags: raw.flags,
            element_size: 4,
            elements: 1,
        }
    }
}

/// A control's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Raw {
    /// Of up to 32 bits.
    Integer(i32),
    /// Of 64 bits.
    Integer64(i64),
    /// Characters without their NUL.
    Text(Vec<u8>),
}

const MEANINGS: &[(Errno, &str)] = &[
    (Errno::INVAL, "no such control, or not a value that it takes"),
    (Errno::RANGE, "not a value that it takes"),
    (Errno::BUSY, "the control cannot be changed while the device streams"),
    (Errno::ACCESS, "the control is read-only, write-only or inactive"),
];

impl Device {
    /// `VIDIOC_QUERY_EXT_CTRL`, or `VIDIOC_QUERYCTRL` of drivers that have only that: the first
    /// control whose id is greater than `after`. `None` past the last.
    pub fn query_next_ctrl(&self, after: u32) -> Option<Description> {
        let id = || CtrlId::new(after & bindings::V4L2_CTRL_ID_MASK).ok();
        vidioc::query_ext_ctrl(&self.fd, id()?, QueryCtrlFlags::NEXT)
            .ok()
            .or_else(|| vidioc::queryctrl(&self.fd, id()?, QueryCtrlFlags::NEXT).ok())
            // A driver that does not count upwards would have us ask for ever.
            .filter(|next: &Description| next.id > after)
    }

    /// `VIDIOC_QUERY_EXT_CTRL` of one control; `None` if the device does not have it.
    pub fn query_ext_ctrl(&self, id: u32) -> Option<Description> {
        vidioc::query_ext_ctrl(&self.fd, CtrlId::new(id).ok()?, QueryCtrlFlags::empty())
            .ok()
            .filter(|d: &Description| d.flags & bindings::V4L2_CTRL_FLAG_DISABLED == 0)
    }

    /// `VIDIOC_QUERYMENU`: the name of an item, or its number in an integer menu.
    ///
    /// # Errors
    /// `EINVAL` for items that the device does not have: menus have gaps.
    pub fn querymenu(&self, id: u32, index: u32, integer: bool) -> Result<MenuItem, Refusal> {
        let raw: bindings::v4l2_querymenu =
            vidioc::querymenu(&self.fd, id, index).map_err(refuse("VIDIOC_QUERYMENU", &[]))?;
        // The structure is packed: its union is copied out, not borrowed.
        let item = raw.__bindgen_anon_1;
        Ok(if integer {
            // SAFETY: the kernel filled in `value` for an integer menu; any bits are a number.
            MenuItem::Number(unsafe { item.value })
        } else {
            // SAFETY: the kernel filled in `name`; any bits are bytes.
            MenuItem::Name(text(&unsafe { item.name }))
        })
    }

    /// `VIDIOC_G_EXT_CTRLS` of one control. `like` says what kind of value; a text's length is the
    /// room for it.
    ///
    /// # Errors
    /// `EACCES` if it is write-only.
    pub fn g_ext_ctrl(&self, id: u32, like: Raw) -> Result<Raw, Refusal> {
        exchange(id, like, |ctrls| {
            vidioc::g_ext_ctrls(&self.fd, CtrlWhich::Current, ctrls)
                .map_err(refuse("VIDIOC_G_EXT_CTRLS", MEANINGS))
        })
    }

    /// `VIDIOC_S_EXT_CTRLS` of one control; answers what the driver made of it.
    ///
    /// # Errors
    /// `ERANGE`, `EINVAL`: not a value of it. `EACCES`: read-only or inactive. `EBUSY`: not now.
    pub fn s_ext_ctrl(&self, id: u32, value: Raw) -> Result<Raw, Refusal> {
        exchange(id, value, |ctrls| {
            vidioc::s_ext_ctrls(&self.fd, CtrlWhich::Current, ctrls)
                .map_err(refuse("VIDIOC_S_EXT_CTRLS", MEANINGS))
        })
    }
}

/// An item of a menu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MenuItem {
    /// Of a menu.
    Name(String),
    /// Of an integer menu.
    Number(i64),
}

/// Runs `call` on one control that holds `value`, and reads what it holds afterwards.
fn exchange(
    id: u32,
    value: Raw,
    call: impl FnOnce(&mut [bindings::v4l2_ext_control]) -> Result<(), Refusal>,
) -> Result<Raw, Refusal> {
    let mut ctrl = bindings::v4l2_ext_control { id, ..Default::default() };
    match value {
        Raw::Integer(n) => {
            ctrl.__bindgen_anon_1.value = n;
            call(std::slice::from_mut(&mut ctrl))?;
            let union = ctrl.__bindgen_anon_1;
            // SAFETY: any bits are a number, and the kernel wrote `value`.
            Ok(Raw::Integer(unsafe { union.value }))
        }
        Raw::Integer64(n) => {
            ctrl.__bindgen_anon_1.value64 = n;
            call(std::slice::from_mut(&mut ctrl))?;
            let union = ctrl.__bindgen_anon_1;
            // SAFETY: any bits are a number, and the kernel wrote `value64`.
            Ok(Raw::Integer64(unsafe { union.value64 }))
        }
        Raw::Text(mut bytes) => {
            bytes.push(0);
            // The pointer is to `bytes`, which lives past the call and is `size` bytes long.
            ctrl.size = u32::try_from(bytes.len()).unwrap_or(0);
            ctrl.__bindgen_anon_1.string = bytes.as_mut_ptr().cast();
            call(std::slice::from_mut(&mut ctrl))?;
            let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
            bytes.truncate(end);
            Ok(Raw::Text(bytes))
        }
    }
}
