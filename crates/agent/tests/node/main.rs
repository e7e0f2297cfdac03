//! The agent as a whole, seen from the control plane's end of its link: on a simulated machine, and with containerd,
//! runc and the kernel under it.

#[allow(dead_code, reason = "shared with the runtime's tests, which use the rest")]
#[path = "../runtime/assemble.rs"]
mod assemble;
mod life;
mod link;
mod machine;
mod session;
mod spec;
