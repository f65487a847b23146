//! What an order means for the three axes of one camera. It has no clock and no motor: it is told
//! the time, and says where everything is.

use super::{Course, Options};
use lensd_ffi::ptz::{PtzAct, PtzAxis, PtzReach, PtzVector};
use lensd_ffi::time::Nanos;

/// Names of the axes, in their order.
const NAMES: [&str; 3] = ["pan", "tilt", "zoom"];
/// Longest time that a move may be told to go on.
const LONGEST: u64 = 24 * 3600 * 1000;

/// Why an order was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(pub String);

/// An axis.
#[derive(Debug, Clone, Copy)]
struct Axis {
    reach: PtzReach,
    /// Of one with positions.
    course: Course,
    /// Of one without: how fast it goes, and how long.
    velocity: (f64, Nanos),
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Machine {
    axes: [Axis; 3],
}

impl Default for Machine {
    fn default() -> Self {
        let axis =
            Axis { reach: PtzReach::None, course: Course::rest(0.0), velocity: (0.0, Nanos(0)) };
        Self { axes: [axis; 3] }
    }
}

impl Machine {
    /// What the axes can do, from now on.
    pub fn set_reach(&mut self, reach: [PtzReach; 3]) {
        for (axis, reach) in self.axes.iter_mut().zip(reach) {
            axis.reach = reach;
        }
    }

    /// Notes where an axis that rests really is.
    pub fn note(&mut self, axis: usize, position: f64, at: Nanos) {
        if let Some(axis) = self.axes.get_mut(axis).filter(|axis| axis.end(at).is_none()) {
            axis.course = Course::rest(position);
        }
    }

    /// Ends everything where it is.
    pub fn halt(&mut self, at: Nanos) {
        for axis in &mut self.axes {
            axis.halt(at);
        }
    }

    /// Does what is told. An order that is refused changes nothing.
    ///
    /// # Errors
    /// What is not possible, and what is.
    pub fn act(&mut self, act: &PtzAct, options: &Options, at: Nanos) -> Result<(), Refusal> {
        let mut axes = self.axes;
        match act {
            PtzAct::Look => return Ok(()),
            PtzAct::Stop { pan_tilt, zoom } => {
                let meant = [*pan_tilt, *pan_tilt, *zoom];
                axes.iter_mut().zip(meant).filter(|(_, m)| *m).for_each(|(axis, _)| axis.halt(at));
            }
            PtzAct::Absolute { to, speed } => {
                for (i, to) in named(to)? {
                    let (least, most) = (options.least[i], options.most[i]);
                    if !(least..=most).contains(&to) {
                        let name = NAMES[i];
                        return Err(Refusal(format!(
                            "{name} must be between {least} and {most}, not {to}"
                        )));
                    }
                    axes[i].go(i, to, speed, options, at)?;
                }
            }
            PtzAct::Relative { by, speed } => {
                for (i, by) in named(by)? {
                    let range = TRAVEL[i];
                    if !(-range..=range).contains(&by) {
                        let name = NAMES[i];
                        let why = format!("{name} must be between -{range} and {range}, not {by}");
                        return Err(Refusal(why));
                    }
                    let to = axes[i].course.position(at) + by;
                    let to = to.max(options.least[i]).min(options.most[i]);
                    axes[i].go(i, to, speed, options, at)?;
                }
            }
            PtzAct::Continuous { velocity, timeout_ms } => {
                let timeout =
                    timeout_ms.map_or(options.timeout, |ms| Nanos::from_millis(ms.min(LONGEST)));
                let until = at.plus(timeout);
                for (i, velocity) in named(velocity)? {
                    if !(-1.0..=1.0).contains(&velocity) {
                        let name = NAMES[i];
                        let why = format!("the speed of {name} must be between -1 and 1");
                        return Err(Refusal(why));
                    }
                    // Clients name all axes, with 0 for those that they do not mean.
                    if velocity == 0.0 {
                        axes[i].halt(at);
                        continue;
                    }
                    axes[i].run(i, velocity, until, options, at)?;
                }
            }
        }
        self.axes = axes;
        Ok(())
    }

    /// The axes as they are.
    pub fn axes(&self, options: &Options, at: Nanos) -> [PtzAxis; 3] {
        std::array::from_fn(|i| {
            let axis = &self.axes[i];
            let (least, most) = match axis.reach {
                PtzReach::Position => (options.least[i], options.most[i]),
                PtzReach::Speed => (-1.0, 1.0),
                PtzReach::None => (0.0, 0.0),
            };
            let known = axis.reach == PtzReach::Position;
            PtzAxis {
                reach: axis.reach,
                least,
                most,
                position: known.then(|| axis.course.position(at)),
                moving: axis.end(at).is_some(),
            }
        })
    }

    /// Where the axes are.
    pub fn position(&self, at: Nanos) -> [f64; 3] {
        self.axes.map(|axis| axis.course.position(at))
    }

    /// Their ways.
    pub fn courses(&self) -> [Course; 3] {
        self.axes.map(|axis| axis.course)
    }

    /// How fast an axis without positions goes.
    pub fn velocity(&self, axis: usize, at: Nanos) -> f64 {
        let (velocity, until) = self.axes[axis].velocity;
        if until > at { velocity } else { 0.0 }
    }

    /// When the next axis comes to rest; `None`: all have.
    pub fn next_end(&self, at: Nanos) -> Option<Nanos> {
        self.axes.iter().filter_map(|axis| axis.end(at)).min()
    }
}

/// From one end to the other.
const TRAVEL: [f64; 3] = [2.0, 2.0, 1.0];

/// The axes that are meant; at least one, and numbers.
fn named(vector: &PtzVector) -> Result<impl Iterator<Item = (usize, f64)>, Refusal> {
    let axes = vector.axes();
    if axes.iter().all(Option::is_none) {
        return Err(Refusal("name at least one of pan, tilt and zoom".to_owned()));
    }
    if axes.iter().flatten().any(|n| !n.is_finite()) {
        return Err(Refusal("pan, tilt and zoom must be numbers".to_owned()));
    }
    Ok(axes.into_iter().enumerate().filter_map(|(i, n)| Some((i, n?))))
}

impl Axis {
    fn end(&self, at: Nanos) -> Option<Nanos> {
        match self.reach {
            PtzReach::Position => self.course.end(at),
            PtzReach::Speed => {
                let (velocity, until) = self.velocity;
                (velocity != 0.0 && until > at).then_some(until)
            }
            PtzReach::None => None,
        }
    }

    fn halt(&mut self, at: Nanos) {
        self.course = Course::rest(self.course.position(at));
        self.velocity = (0.0, Nanos(0));
    }

    fn go(
        &mut self,
        i: usize,
        to: f64,
        speed: &PtzVector,
        options: &Options,
        at: Nanos,
    ) -> Result<(), Refusal> {
        let name = NAMES[i];
        match self.reach {
            PtzReach::Position => {}
            PtzReach::Speed => {
                let why =
                    format!("{name} can only be moved at a speed here: nobody knows where it is");
                return Err(Refusal(why));
            }
            PtzReach::None => return Err(Refusal(format!("this camera has no {name}"))),
        }
        let speed = match speed.axes()[i] {
            // Clients that mean "as usual" say 0.
            None | Some(0.0) => options.speed,
            Some(speed) if (0.0..=1.0).contains(&speed) => speed,
            Some(_) => return Err(Refusal(format!("the speed of {name} must be between 0 and 1"))),
        };
        let rate = TRAVEL[i] / options.travel_secs * speed;
        self.course = Course::to(self.course.position(at), to, rate, at, None);
        Ok(())
    }

    fn run(
        &mut self,
        i: usize,
        velocity: f64,
        until: Nanos,
        options: &Options,
        at: Nanos,
    ) -> Result<(), Refusal> {
        match self.reach {
            PtzReach::Position => {
                let end = if velocity > 0.0 { options.most[i] } else { options.least[i] };
                let from = self.course.position(at);
                // What is outside of new limits does not turn round.
                let to = if velocity > 0.0 { end.max(from) } else { end.min(from) };
                let rate = TRAVEL[i] / options.travel_secs * velocity;
                self.course = Course::to(from, to, rate, at, Some(until));
            }
            PtzReach::Speed => self.velocity = (velocity, until),
            PtzReach::None => return Err(Refusal(format!("this camera has no {}", NAMES[i]))),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Nanos {
        Nanos::from_millis(ms)
    }

    fn vector(pan: f64, tilt: f64, zoom: f64) -> PtzVector {
        PtzVector::of([Some(pan), Some(tilt), Some(zoom)])
    }

    fn pan(pan: f64) -> PtzVector {
        PtzVector { pan: Some(pan), ..PtzVector::default() }
    }

    fn machine() -> Machine {
        let mut machine = Machine::default();
        machine.set_reach([PtzReach::Position; 3]);
        machine
    }

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-6
    }

    #[test]
    fn it_goes_where_it_is_told_and_says_when_it_is_there() {
        let (mut machine, options) = (machine(), Options::default());
        let to = PtzAct::Absolute { to: vector(0.5, -0.5, 0.5), speed: PtzVector::default() };
        machine.act(&to, &options, ms(0)).unwrap();
        let half = machine.axes(&options, ms(500));
        assert!(half.iter().all(|a| a.moving) && near(half[0].position.unwrap(), 0.25));
        // Zoom has half as far to go in all, and so has the longest way here.
        assert_eq!(machine.next_end(ms(1500)), Some(ms(2000)));
        assert_eq!(machine.next_end(ms(2000)), None);
        let by = PtzAct::Relative { by: pan(-0.2), speed: pan(0.5) };
        machine.act(&by, &options, ms(3000)).unwrap();
        assert_eq!(machine.next_end(ms(3000)), Some(ms(3800)));
        assert!(near(machine.position(ms(9000))[0], 0.3));
        // Beyond a limit is at the limit.
        let by = PtzAct::Relative { by: pan(1.9), speed: PtzVector::default() };
        machine.act(&by, &options, ms(9000)).unwrap();
        assert!(near(machine.position(ms(99_000))[0], 1.0));
    }

    #[test]
    fn what_goes_on_ends_by_itself_at_a_limit_or_when_told() {
        let (mut machine, options) = (machine(), Options::default());
        let go = |velocity, timeout_ms| PtzAct::Continuous { velocity, timeout_ms };
        machine.act(&go(pan(-0.5), Some(1000)), &options, ms(0)).unwrap();
        assert!(near(machine.position(ms(5000))[0], -0.25));
        machine.act(&go(pan(-1.0), None), &options, ms(5000)).unwrap();
        assert!(near(machine.position(ms(60_000))[0], -1.0), "the limit");
        assert_eq!(machine.next_end(ms(5000)), Some(ms(6500)));
        machine.act(&go(vector(0.0, 1.0, 1.0), None), &options, ms(60_000)).unwrap();
        machine.act(&PtzAct::Stop { pan_tilt: false, zoom: true }, &options, ms(61_000)).unwrap();
        let axes = machine.axes(&options, ms(61_500));
        assert!(axes[1].moving && !axes[2].moving && !axes[0].moving);
        assert!(near(axes[2].position.unwrap(), 0.25));
        machine.halt(ms(61_500));
        assert!(near(machine.position(ms(99_000))[1], 0.75));
    }

    #[test]
    fn what_cannot_be_is_refused_and_changes_nothing() {
        let (mut machine, options) = (machine(), Options::default());
        let narrow = Options { least: [-0.5, -1.0, 0.0], ..options.clone() };
        let none = PtzVector::default;
        for (act, word) in [
            (PtzAct::Absolute { to: pan(-0.6), speed: none() }, "between -0.5 and 1"),
            (PtzAct::Absolute { to: pan(f64::NAN), speed: none() }, "numbers"),
            (PtzAct::Absolute { to: none(), speed: none() }, "at least one"),
            (PtzAct::Absolute { to: vector(0.1, 0.0, 2.0), speed: none() }, "zoom"),
            (PtzAct::Absolute { to: pan(0.1), speed: pan(1.5) }, "speed of pan"),
            (PtzAct::Relative { by: pan(3.0), speed: none() }, "between -2 and 2"),
            (PtzAct::Continuous { velocity: pan(-1.1), timeout_ms: None }, "speed of pan"),
        ] {
            let why = machine.act(&act, &narrow, ms(0)).unwrap_err();
            assert!(why.0.contains(word), "{why:?}");
            assert_eq!(machine.next_end(ms(0)), None);
        }
        machine.set_reach([PtzReach::None, PtzReach::Speed, PtzReach::Position]);
        let to = |to| PtzAct::Absolute { to, speed: none() };
        assert!(machine.act(&to(pan(0.0)), &options, ms(0)).unwrap_err().0.contains("no pan"));
        let tilt = PtzVector { tilt: Some(0.5), ..none() };
        assert!(machine.act(&to(tilt), &options, ms(0)).is_err());
        let go = PtzAct::Continuous { velocity: tilt, timeout_ms: Some(100) };
        machine.act(&go, &options, ms(0)).unwrap();
        assert!(near(machine.velocity(1, ms(50)), 0.5) && near(machine.velocity(1, ms(100)), 0.0));
        assert_eq!(machine.axes(&options, ms(50))[1].position, None);
    }
}
