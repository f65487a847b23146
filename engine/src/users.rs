//! The table of users as the engine sees it: in the control plane's memory, whichever incarnation
//! of that published one last.

use lensd_ffi::auth::{Guard, Users};
use lensd_ffi::region::Region;
use lensd_ffi::state::{ControlState, StateReader};
use parking_lot::Mutex;
use std::sync::Arc;

/// Shared by the thread that learns of a new control plane and those that ask for verdicts.
#[derive(Debug, Default)]
pub struct UserTable {
    state: Mutex<Option<StateReader<Region>>>,
    open: bool,
}

impl UserTable {
    /// An empty table: nobody can log in until control has published one. `open` lets everybody
    /// read streams, even then.
    pub fn new(open: bool) -> Self {
        Self { state: Mutex::default(), open }
    }

    /// Reads from another incarnation of control from now on. The last users stay valid until it
    /// has published its own.
    pub fn attach(&self, memory: Arc<Region>) {
        *self.state.lock() = StateReader::attach(memory);
    }

    /// Brings a guard up to date, and says whether something has changed. Cheap when nothing has.
    pub fn refresh(&self, guard: &mut Guard) -> bool {
        let new = self.state.lock().as_mut().and_then(StateReader::read_new::<ControlState>);
        let Some(mut state) = new else { return false };
        state.users.open |= self.open;
        guard.set_users(state.users);
        true
    }

    /// A guard of its own for a thread, with a random key for nonces.
    pub fn guard(&self, key: [u8; 32]) -> Guard {
        let mut guard = Guard::new(Users { open: self.open, ..Users::default() }, key);
        self.refresh(&mut guard);
        guard
    }
}
