//! Moving cameras, for whoever asks: REST and ONVIF. The engine moves them and says where they are;
//! presets and homes are settings of this plane, and going to one is a move like any other.

use crate::board::{Result1, propose};
use crate::desk::{ConnKey, Desk};
use crate::engine::Outcome;
use crate::http::At;
use crate::http::respond::{Fault, Response};
use crate::presets::{self, Home, Preset};
use crate::settings::{self, By};
use lensd_ffi::link::{Answer, Ask};
use lensd_ffi::ptz::{PtzAct, PtzStatus, PtzVector};
use lensd_ffi::time::Nanos;
use serde_json::{Value, json};

/// How long the engine may take: some cameras take a while for each control.
const PATIENCE: Nanos = Nanos::from_secs(3);

/// What a camera is asked to do.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Act {
    /// A move, a stop, or only how it stands ([`PtzAct::Look`]).
    Direct(PtzAct),
    /// Go to the home position.
    GoHome {
        /// How fast; none: as the settings say.
        speed: PtzVector,
    },
    /// Where it looks now becomes the home position.
    SetHome,
    /// Go to a preset.
    GoTo {
        /// Its token.
        token: String,
        /// How fast; none: as the settings say.
        speed: PtzVector,
    },
    /// Where it looks now becomes a preset.
    Save {
        /// Of the one that is replaced; none: a new one.
        token: Option<String>,
        /// Its name; none: as it was, or `Preset N`.
        name: Option<String>,
    },
    /// Forget a preset.
    Remove {
        /// Its token.
        token: String,
    },
}

/// What has become of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Done {
    /// How the camera stands; a move has only begun.
    pub(crate) status: PtzStatus,
    /// The preset that was saved, removed, or is gone to.
    pub(crate) preset: Option<Preset>,
}

/// Does what follows.
type Finish = Box<dyn FnOnce(&mut Desk, Result<Done, Fault>, At) -> Response>;

fn value_of(desk: &Desk, key: &str) -> Value {
    desk.board.value(key).clone()
}

/// All presets of all cameras.
fn all_presets(desk: &Desk) -> Vec<Preset> {
    presets::presets(&value_of(desk, "ptz-presets")).unwrap_or_default()
}

/// The presets of a camera.
pub(crate) fn presets_of(desk: &Desk, camera: u32) -> Vec<Preset> {
    let mut list = all_presets(desk);
    list.retain(|preset| preset.camera == camera);
    list
}

/// The home position of a camera: the middle, if none was set.
pub(crate) fn home_of(desk: &Desk, camera: u32) -> PtzVector {
    let homes = presets::homes(&value_of(desk, "ptz-home")).unwrap_or_default();
    let set = homes.iter().find(|home| home.camera == camera).map(Home::position);
    set.unwrap_or(PtzVector { pan: Some(0.0), tilt: Some(0.0), zoom: Some(0.0) })
}

/// How a camera stood when the engine published its state last, at most half a second ago: what it
/// can do is in that at any time; where it is, only when it rests. 0: the active one.
pub(crate) fn known(desk: &mut Desk, camera: u32) -> Option<PtzStatus> {
    let state = desk.engine.state();
    let id = if camera == 0 { state.main_camera } else { camera };
    state.ptz.iter().find(|status| status.camera == id).cloned()
}

/// Lets a camera (0: the active one) do something on behalf of a user who may; `finish` makes the
/// response for `key` when it has begun, or why not. **The handler returns `Reply::Later`.**
///
/// Faults: 404 `NOT_FOUND` (camera or preset), 422 `INVALID_VALUE` (a position or speed that is not
/// possible), 409 `UNSUPPORTED` (the camera cannot be moved), 409 `CONFLICT` (another preset has that
/// name), 503.
///
/// # Errors
/// Those that are known at once.
pub(crate) fn act(
    desk: &mut Desk,
    camera: u32,
    act: Act,
    user: &str,
    key: ConnKey,
    at: At,
    finish: impl FnOnce(&mut Desk, Result<Done, Fault>, At) -> Response + 'static,
) -> Result<(), Fault> {
    let id = if camera == 0 { desk.engine.state().main_camera } else { camera };
    let mut preset = None;
    let what = match &act {
        Act::Direct(what) => *what,
        Act::GoHome { speed } => to(desk, id, home_of(desk, id), *speed),
        Act::GoTo { token, speed } => {
            let found = find_preset(desk, id, token)?;
            let what = to(desk, id, found.position(), *speed);
            preset = Some(found);
            what
        }
        Act::SetHome | Act::Save { .. } => PtzAct::Look,
        Act::Remove { token } => {
            preset = Some(find_preset(desk, id, token)?);
            PtzAct::Look
        }
    };
    let user = user.to_owned();
    let finish: Finish = Box::new(finish);
    let then = move |desk: &mut Desk, _: &Ask, outcome: &Outcome, at: At| {
        let status = match outcome {
            Outcome::Answer(Answer::Ptz { status }) => status.as_ref().clone(),
            outcome => return Some(finish(desk, Err(failed(outcome)), at)),
        };
        let done = Done { status, preset };
        match act {
            Act::Direct(_) | Act::GoHome { .. } | Act::GoTo { .. } => {
                Some(finish(desk, Ok(done), at))
            }
            act => note(desk, act, done, (&user, key), at, finish),
        }
    };
    desk.ask_then(Ask::Ptz { camera: id, what }, PATIENCE, key, then, at)
}

/// A move to a position; axes that the camera lacks now are left out.
fn to(desk: &mut Desk, camera: u32, position: PtzVector, speed: PtzVector) -> PtzAct {
    use lensd_ffi::ptz::PtzReach::Position;
    let known = known(desk, camera);
    let has = |i: usize| known.as_ref().is_none_or(|s| s.axes()[i].reach == Position);
    let axes = position.axes();
    let to = PtzVector::of(std::array::from_fn(|i| axes[i].filter(|_| has(i))));
    PtzAct::Absolute { to, speed }
}

fn find_preset(desk: &Desk, camera: u32, token: &str) -> Result<Preset, Fault> {
    let found = presets_of(desk, camera).into_iter().find(|preset| preset.token == token);
    found.ok_or_else(|| Fault::not_found("there is no such preset; see GET /api/ptz/presets"))
}

fn failed(outcome: &Outcome) -> Fault {
    match outcome {
        Outcome::Answer(Answer::Fault { code, message }) if code == "UNSUPPORTED" => {
            Fault::new(409, "UNSUPPORTED", "Not supported", message.clone())
        }
        Outcome::Answer(Answer::Fault { code, message }) => {
            Fault::of_engine(code.clone(), message.clone())
        }
        Outcome::Late => Fault::unavailable("TIMEOUT", "the engine did not answer in time"),
        _ => Fault::new(500, "INTERNAL", "Internal error", "the engine answered something else"),
    }
}

/// The list of presets after a change, and the preset that it was about.
fn changed(
    mut list: Vec<Preset>,
    camera: u32,
    token: Option<String>,
    name: Option<String>,
    position: PtzVector,
) -> Result<(Vec<Preset>, Preset), Fault> {
    let own = |p: &Preset| p.camera == camera;
    let place = match &token {
        None => None,
        Some(token) => Some(
            list.iter()
                .position(|p| own(p) && p.token == *token)
                .ok_or_else(|| Fault::not_found("there is no such preset"))?,
        ),
    };
    if place.is_none() && list.iter().filter(|p| own(p)).count() >= presets::MOST {
        let why = format!("a camera has at most {} presets; remove one", presets::MOST);
        return Err(Fault::new(409, "CONFLICT", "Too many presets", why));
    }
    let token = token.unwrap_or_else(|| presets::free_token(&list, camera));
    let name = name.or_else(|| place.map(|at| list[at].name.clone()));
    let name = name.unwrap_or_else(|| format!("Preset {token}"));
    presets::check_name(&name).map_err(|why| Fault::invalid_value("name", why))?;
    if list.iter().any(|p| own(p) && p.name == name && p.token != token) {
        let why = "another preset of this camera has that name";
        return Err(Fault::new(409, "CONFLICT", "Name is taken", why));
    }
    let preset = Preset::new(camera, token, name, position);
    match place {
        Some(at) => list[at] = preset.clone(),
        None => list.push(preset.clone()),
    }
    Ok((list, preset))
}

/// Keeps what is to be kept, as every other setting is.
fn note(
    desk: &mut Desk,
    act: Act,
    done: Done,
    (user, key): (&str, ConnKey),
    at: At,
    finish: Finish,
) -> Option<Response> {
    let (camera, position) = (done.status.camera, done.status.position());
    let (name, value, preset) = match act {
        Act::SetHome => {
            let mut homes = presets::homes(&value_of(desk, "ptz-home")).unwrap_or_default();
            homes.retain(|home| home.camera != camera);
            homes.push(Home::new(camera, position));
            ("ptz-home", json!(homes), None)
        }
        Act::Save { token, name } => {
            match changed(all_presets(desk), camera, token, name, position) {
                Ok((list, preset)) => ("ptz-presets", json!(list), Some(preset)),
                Err(fault) => return Some(finish(desk, Err(fault), at)),
            }
        }
        _ => {
            let mut list = all_presets(desk);
            list.retain(|p| done.preset.as_ref() != Some(p));
            ("ptz-presets", json!(list), done.preset)
        }
    };
    let done = Done { preset, status: done.status };
    let then = move |desk: &mut Desk, results: Vec<Result1>, at: At| {
        let outcome = match results.into_iter().next().map(|result| result.outcome) {
            Some(Ok(_)) => Ok(done),
            Some(Err(why)) => Err(why.fault()),
            None => Err(Fault::unavailable("BUSY", "nothing was kept")),
        };
        let response = finish(desk, outcome, at);
        desk.answer_later(key, response);
    };
    // Whether the user may was asked by whoever called.
    let items = propose(&desk.board, [(name.to_owned(), value)], |_| true);
    settings::set(desk, items, false, By::user(user), at, then);
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_added_replaced_and_refused() {
        let at = PtzVector { pan: Some(0.1), ..PtzVector::default() };
        let save = |list: Vec<Preset>, token: Option<&str>, name: Option<&str>| {
            changed(list, 1, token.map(str::to_owned), name.map(str::to_owned), at)
        };
        let (list, first) = save(Vec::new(), None, None).unwrap();
        assert_eq!((first.token.as_str(), first.name.as_str()), ("1", "Preset 1"));
        let (list, second) = save(list, None, Some("door")).unwrap();
        assert_eq!((second.token.as_str(), list.len()), ("2", 2));
        assert_eq!(save(list.clone(), None, Some("door")).unwrap_err().status, 409);
        let (list, again) = save(list, Some("2"), None).unwrap();
        assert_eq!((again.name.as_str(), list.len()), ("door", 2));
        assert_eq!(save(list.clone(), Some("9"), None).unwrap_err().status, 404);
        assert_eq!(save(list, None, Some("\n")).unwrap_err().status, 422);
        let full: Vec<_> =
            (0..presets::MOST).map(|n| Preset::new(1, n.to_string(), n.to_string(), at)).collect();
        assert_eq!(save(full, None, None).unwrap_err().status, 409);
    }
}
