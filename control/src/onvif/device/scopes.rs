//! Scopes (ONVIF Core 7.3.3): what a client that looks for devices can look for. The fixed ones
//! follow from what this is; the others are a setting.

use super::information;
use crate::desk::Desk;
use crate::onvif::call::{Answer, Call, Done, needed};
use crate::soap::{Fault, Node, Writer};
use serde_json::{Value, json};

/// What all scopes of ONVIF begin with.
const BASE: &str = "onvif://www.onvif.org";

/// The fixed scopes: profiles, what it is, what it runs on, its name.
fn fixed(desk: &Desk) -> Vec<String> {
    let name = information::name(desk);
    vec![
        format!("{BASE}/Profile/Streaming"),
        format!("{BASE}/Profile/T"),
        format!("{BASE}/type/video_encoder"),
        format!("{BASE}/type/Network_Video_Transmitter"),
        format!("{BASE}/hardware/{}", encoded(&information::model(desk))),
        format!("{BASE}/name/{}", encoded(&name)),
    ]
}

/// A segment of a path as RFC 3986 writes it.
fn encoded(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes()
        .map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

/// Those that clients have set.
fn configured(desk: &Desk) -> Vec<String> {
    let held = desk.board.value("onvif-scopes").clone();
    let list = held.as_array().into_iter().flatten();
    list.filter_map(|s| s.as_str().map(str::to_owned)).collect()
}

/// All of them, as they are told who looks for devices.
pub(crate) fn all(desk: &Desk) -> Vec<String> {
    let mut all = fixed(desk);
    all.extend(configured(desk));
    all
}

/// `GetScopes`.
pub(super) fn list(call: &mut Call<'_>, _: Node<'_>, w: &mut Writer) -> Answer {
    w.open("tds:GetScopesResponse");
    let (fixed, configured) = (fixed(call.desk), configured(call.desk));
    for (how, scopes) in [("Fixed", fixed), ("Configurable", configured)] {
        for scope in scopes {
            w.open("tds:Scopes").leaf("tt:ScopeDef", how).leaf("tt:ScopeItem", scope).close();
        }
    }
    w.close();
    Ok(Done::Now)
}

fn items(asked: Node<'_>, name: &str) -> Result<Vec<String>, Fault> {
    let items: Vec<String> = asked
        .children()
        .filter(|n| n.local() == name)
        .map(|n| n.text().to_owned())
        .filter(|t| !t.is_empty())
        .collect();
    if items.is_empty() {
        return Err(Fault::invalid_args(format!("{name} is missing")));
    }
    Ok(items)
}

/// Keeps another list, and answers with `written`.
fn keep(
    call: &mut Call<'_>,
    mut scopes: Vec<String>,
    response: &'static str,
    removed: Vec<String>,
) -> Answer {
    let mut seen = Vec::new();
    scopes.retain(|s| {
        let new = !seen.contains(s);
        seen.push(s.clone());
        new
    });
    if scopes.len() > 32 {
        let why = "there can be 32 scopes besides the fixed ones";
        return Err(Fault::receiver(&["ter:Action", "ter:TooManyScopes"], why));
    }
    let change = vec![("onvif-scopes".to_owned(), json!(scopes))];
    call.change(change, "ter:InvalidScope", move |_, w, _| {
        w.open(response);
        for scope in removed {
            w.leaf("tds:ScopeItem", scope);
        }
        w.close();
        Ok(())
    })
}

/// `SetScopes`: all that clients have set.
pub(super) fn set(call: &mut Call<'_>, asked: Node<'_>, _: &mut Writer) -> Answer {
    let wanted = items(asked, "Scopes")?;
    let fixed = fixed(call.desk);
    if let Some(scope) = wanted.iter().find(|s| fixed.contains(s)) {
        let why = format!("{scope} is fixed: it cannot be set");
        return Err(Fault::prohibited("ter:ScopeOverwrite", why));
    }
    keep(call, wanted, "tds:SetScopesResponse", Vec::new())
}

/// `AddScopes`.
pub(super) fn add(call: &mut Call<'_>, asked: Node<'_>, _: &mut Writer) -> Answer {
    let (fixed, mut scopes) = (fixed(call.desk), configured(call.desk));
    scopes.extend(items(asked, "ScopeItem")?.into_iter().filter(|s| !fixed.contains(s)));
    keep(call, scopes, "tds:AddScopesResponse", Vec::new())
}

/// `RemoveScopes`: all or none.
pub(super) fn remove(call: &mut Call<'_>, asked: Node<'_>, _: &mut Writer) -> Answer {
    let wanted = items(asked, "ScopeItem")?;
    let (fixed, mut scopes) = (fixed(call.desk), configured(call.desk));
    for scope in &wanted {
        if fixed.contains(scope) {
            let why = format!("{scope} is fixed: it cannot be removed");
            return Err(Fault::prohibited("ter:FixedScope", why));
        }
        if !scopes.contains(scope) {
            let why = format!("there is no scope {scope}");
            return Err(Fault::invalid_value("ter:NoScope", why));
        }
    }
    scopes.retain(|s| !wanted.contains(s));
    keep(call, scopes, "tds:RemoveScopesResponse", wanted)
}

/// Whether this device is to be found.
pub(crate) fn is_discoverable(desk: &Desk) -> bool {
    *desk.board.value("discovery") != Value::Bool(false)
}

/// `GetDiscoveryMode`.
pub(super) fn mode(call: &mut Call<'_>, _: Node<'_>, w: &mut Writer) -> Answer {
    let mode = if is_discoverable(call.desk) { "Discoverable" } else { "NonDiscoverable" };
    w.open("tds:GetDiscoveryModeResponse").leaf("tds:DiscoveryMode", mode).close();
    Ok(Done::Now)
}

/// `SetDiscoveryMode`.
pub(super) fn set_mode(call: &mut Call<'_>, asked: Node<'_>, _: &mut Writer) -> Answer {
    let found = match needed(asked, "DiscoveryMode")? {
        "Discoverable" => true,
        "NonDiscoverable" => false,
        _ => {
            let why = "DiscoveryMode is Discoverable or NonDiscoverable";
            return Err(Fault::invalid_args(why));
        }
    };
    let change = vec![("discovery".to_owned(), json!(found))];
    call.change(change, "ter:InvalidArgVal", |_, w, _| {
        w.empty("tds:SetDiscoveryModeResponse");
        Ok(())
    })
}
