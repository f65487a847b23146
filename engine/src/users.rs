//! The table of users as the engine sees it: in the control plane's memory, whichever incarnation
//! of that published one last.

use lensd_ffi::auth::{Guard, Lockout, Users};
use lensd_ffi::region::Region;
use lensd_ffi::state::{ControlState, StateReader};
use parking_lot::Mutex;
use std::sync::Arc;

/// Shared by the thread that learns of a new control plane and those that ask for verdicts.
#[derive(Debug, Default)]
pub struct UserTable {
    state: Mutex<State>,
    open: bool,
    lockout: Lockout,
}

#[derive(Debug, Default)]
struct State {
    reader: Option<StateReader<Region>>,
    users: Users,
    /// How many tables there were: each guard has to learn of each.
    edition: u64,
}

impl UserTable {
    /// An empty table: nobody can log in until control has published one. `open` lets everybody
    /// read streams, even then. All guards count failures together.
    pub fn new(open: bool, lockout: Lockout) -> Self {
        Self { state: Mutex::default(), open, lockout }
    }

    /// Reads from another incarnation of control from now on. The last users stay valid until it
    /// has published its own.
    pub fn attach(&self, memory: Arc<Region>) {
        self.state.lock().reader = StateReader::attach(memory);
    }

    /// Brings a guard up to date, and says whether something has changed. Cheap when nothing has.
    pub fn refresh(&self, guard: &mut Guard) -> bool {
        let mut state = self.state.lock();
        let new = state.reader.as_mut().and_then(StateReader::read_new::<ControlState>);
        if let Some(ControlState { mut users, .. }) = new {
            users.open |= self.open;
            state.users = users;
            state.edition += 1;
        }
        if std::mem::replace(guard.edition(), state.edition) == state.edition {
            return false;
        }
        guard.set_users(state.users.clone());
        true
    }

    /// A guard of its own for a thread, with a random key for nonces.
    pub fn guard(&self, key: [u8; 32]) -> Guard {
        let users = Users { open: self.open, ..Users::default() };
        let mut guard = Guard::new(users, key).with_lockout(self.lockout.another());
        self.refresh(&mut guard);
        guard
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lensd_ffi::auth::{Role, User};
    use lensd_ffi::state::{PLANE_WORDS, StateWriter};

    #[test]
    fn every_guard_learns_of_every_table() {
        let memory = Arc::new(Region::create("control", PLANE_WORDS).unwrap());
        let mut control = StateWriter::new(Arc::clone(&memory));
        let table = UserTable::new(false, Lockout::new());
        let mut guards = [table.guard([1; 32]), table.guard([2; 32])];
        table.attach(memory);
        for name in ["ann", "bob"] {
            let users = vec![User::new(name, Role::Viewer, "lensd", "secret")];
            control.set(&ControlState { users: Users { users, ..Users::default() } });
            for guard in &mut guards {
                assert!(table.refresh(guard) && guard.users().find(name).is_some());
                assert!(!table.refresh(guard));
            }
        }
    }
}
