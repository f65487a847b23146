//! Pull points, and what is done with subscriptions of both kinds.

use crate::broker::{Filter, Wanted, Woken, Wrong};
use crate::desk::Desk;
use crate::http::At;
use crate::onvif::call::{Answer, Call, Done, needed, number};
use crate::soap::{Fault, Node, Writer, time};
use lensd_ffi::auth::{Access, Permission};
use lensd_ffi::time::Nanos;

/// How long a subscription lasts if nothing is said, and at most.
const USUAL_MS: i64 = 60_000;
const MOST_MS: i64 = 3_600_000;
/// The longest time that a pull waits.
const LONGEST_MS: i64 = 60_000;
/// Most messages of one answer.
const MOST_MESSAGES: usize = 256;
/// The segment of the paths of subscriptions.
const PATH: &str = "subscription";

/// How long a subscription is to last: a span or a moment.
pub(super) fn span(
    call: &Call<'_>,
    text: Option<&str>,
    fault: &'static str,
) -> Result<Nanos, Fault> {
    let wrong = |why: String| {
        Fault::sender(&["ter:InvalidArgVal", "ter:InvalidTime"], why).with_detail(fault)
    };
    let ms = match text {
        None => USUAL_MS,
        Some(text) => match time::parse_duration(text) {
            Some(ms) => ms,
            None => {
                let moment = time::parse_date_time(text).ok_or_else(|| {
                    wrong(format!("{text:?} is neither a span such as PT60S nor a moment in UTC"))
                })?;
                moment - call.at.utc.millis()
            }
        },
    };
    if ms <= 0 {
        return Err(wrong("a subscription must end after now".to_owned()));
    }
    Ok(millis(ms.min(MOST_MS)))
}

fn millis(ms: i64) -> Nanos {
    Nanos::from_millis(u64::try_from(ms).unwrap_or(0))
}

/// What a `Filter` element says.
pub(super) fn filter(asked: Node<'_>) -> Result<Filter, Fault> {
    let Some(node) = asked.child("Filter") else { return Ok(Filter::default()) };
    Filter::of(node).map_err(|Wrong(fault, why)| {
        Fault::sender(&["ter:InvalidArgVal", "ter:InvalidFilter"], why).with_detail(fault)
    })
}

/// A name that nobody guesses.
pub(super) fn new_id() -> Result<String, Fault> {
    let mut bytes = [0; 16];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|_| Fault::busy("there is no randomness"))?;
    Ok(lensd_ffi::auth::digest::hex(&bytes))
}

/// The address of a subscription.
pub(super) fn address_of(call: &Call<'_>, id: &str) -> String {
    call.address.service(&format!("{PATH}/{id}"))
}

/// That there is no more room for subscriptions.
pub(super) fn full() -> Fault {
    let why = "too many subscriptions; end one, or let one expire";
    Fault::receiver(&["ter:Action", "ter:MaxSubscriptions"], why)
        .with_detail("wsnt:SubscribeCreationFailedFault")
}

/// Writes `SubscriptionReference`, in a namespace of its own.
pub(super) fn reference(name: &'static str, address: &str, w: &mut Writer) {
    w.open(name).leaf("wsa:Address", address).close();
}

/// Writes now and the end, both in UTC.
fn times(name: [&'static str; 2], at: At, until: Nanos, w: &mut Writer) {
    let [now, end] = name;
    let utc = at.utc.millis();
    let left = i64::try_from(until.since(at.mono).0 / 1_000_000).unwrap_or(0);
    w.leaf(now, time::date_time(utc)).leaf(end, time::date_time(utc + left));
}

/// Writes them as WS-BaseNotification has them.
pub(super) fn current_and_end(at: At, until: Nanos, w: &mut Writer) {
    times(["wsnt:CurrentTime", "wsnt:TerminationTime"], at, until, w);
}

/// `CreatePullPointSubscription`.
pub(super) fn create_pull_point(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    let span = span(
        call,
        asked.value("InitialTerminationTime"),
        "wsnt:UnacceptableInitialTerminationTimeFault",
    )?;
    let (filter, id) = (filter(asked)?, new_id()?);
    let (owner, now) = (call.who.clone(), call.at.mono);
    if !call.desk.broker.subscribe(id.clone(), owner, filter, Wanted::Pull, span, now) {
        return Err(full());
    }
    w.open("tev:CreatePullPointSubscriptionResponse");
    reference("tev:SubscriptionReference", &address_of(call, &id), w);
    current_and_end(call.at, now.plus(span), w);
    w.close();
    Ok(Done::Now)
}

fn no_such() -> Fault {
    let why = "there is no such subscription: it has ended, or is somebody else's";
    Fault::sender(&["ter:InvalidArgVal", "ter:InvalidSubscription"], why)
        .with_detail("wsrfrw:ResourceUnknownFault")
}

/// The subscription that a request is for: by its path, or by the header's address.
fn subscription(call: &Call<'_>) -> Result<String, Fault> {
    let by_path = match call.segments {
        [first, id] if first == PATH => Some(id.clone()),
        _ => None,
    };
    let by_header = || {
        let (_, id) = call.header.to.as_deref()?.rsplit_once("/onvif/subscription/")?;
        Some(id.to_owned())
    };
    let id = by_path.or_else(by_header).ok_or_else(no_such)?;
    let administers = call.who.allows(Access::write(Permission::System));
    if call.desk.broker.is_of(&id, &call.who, administers) { Ok(id) } else { Err(no_such()) }
}

/// `PullMessages`: answers when there is something, or when the time is over; until then the
/// connection is parked.
pub(super) fn pull_messages(call: &mut Call<'_>, asked: Node<'_>, _: &mut Writer) -> Answer {
    let text = needed(asked, "Timeout")?;
    let wait = time::parse_duration(text).ok_or_else(|| {
        Fault::invalid_value("ter:InvalidTime", format!("{text:?} is no span such as PT5S"))
    })?;
    let limit: i64 = number(asked, "MessageLimit")?.unwrap_or(1);
    let limit = usize::try_from(limit).ok().filter(|l| *l > 0).ok_or_else(|| {
        Fault::invalid_value("ter:InvalidMessageLimit", "MessageLimit is at least 1")
    })?;
    let id = subscription(call)?;
    let now = call.at.mono;
    let deadline = now.plus(millis(wait.min(LONGEST_MS)));
    let ticket = call.ticket();
    let wake = Box::new(move |desk: &mut Desk, woken: Woken, at: At| {
        ticket.answer(desk, at, |_, w| match woken {
            Woken::Messages(messages, until) => {
                w.open("tev:PullMessagesResponse");
                times(["tev:CurrentTime", "tev:TerminationTime"], at, until, w);
                for message in messages {
                    message.write(w);
                }
                w.close();
                Ok(())
            }
            Woken::Gone => Err(no_such()),
            Woken::Replaced => {
                let why = "another PullMessages of this subscription has come";
                Err(Fault::receiver(&["ter:Action"], why))
            }
        });
    });
    let limit = limit.min(MOST_MESSAGES);
    if !call.desk.broker.pull(&id, call.from.key, limit, deadline, now, wake) {
        return Err(no_such());
    }
    Ok(Done::Later)
}

/// `SetSynchronizationPoint`, of both kinds.
pub(super) fn synchronize(call: &mut Call<'_>, _: Node<'_>, w: &mut Writer) -> Answer {
    let id = subscription(call)?;
    if !call.desk.broker.synchronize(&id) {
        return Err(no_such());
    }
    w.empty("tev:SetSynchronizationPointResponse");
    Ok(Done::Now)
}

/// `Renew`, of both kinds.
pub(super) fn renew(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    let id = subscription(call)?;
    let text = asked.value("TerminationTime");
    let span = span(call, text, "wsnt:UnacceptableTerminationTimeFault")?;
    if !call.desk.broker.renew(&id, span, call.at.mono) {
        return Err(no_such());
    }
    w.open("wsnt:RenewResponse");
    let names = ["wsnt:TerminationTime", "wsnt:CurrentTime"];
    let utc = call.at.utc.millis();
    let end = utc + i64::try_from(span.0 / 1_000_000).unwrap_or(0);
    w.leaf(names[0], time::date_time(end)).leaf(names[1], time::date_time(utc)).close();
    Ok(Done::Now)
}

/// `Unsubscribe`, of both kinds.
pub(super) fn unsubscribe(call: &mut Call<'_>, _: Node<'_>, w: &mut Writer) -> Answer {
    let id = subscription(call)?;
    if !call.desk.broker.end(&id) {
        return Err(no_such());
    }
    w.empty("wsnt:UnsubscribeResponse");
    Ok(Done::Now)
}
