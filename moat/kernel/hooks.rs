// SPDX-License-Identifier: GPL-2.0
//! Functions that C calls, each around a safe one.
//!
//! C header: [`include/linux/moat.h`], `struct moat_ops`, and `moat/kernel/shims.h`.  The tables
//! below say what arguments C has, and what the safe functions may take them for.

use super::anywhere::anywhere;
use super::calls;
use super::candidate::Candidate;
use super::code::Image;
use super::fixed::Fixed;
use super::given::{Given, Out};
use super::lock::{with_lock_held, Locked};
use super::maps::{Gone, Map};
use super::prog::{Isolated, Kind, Mine, Prog};
use super::shims::given_back;
use super::site::Site;
use super::writers::{Log, Seq};
use crate::admin::report;
use crate::admin::show;
use crate::admin::sysctl;
use crate::code::jit;
use crate::edge::ffi::{
    self, bpf_map, bpf_prog, moat_fault, moat_jit, moat_jit_caller, moat_jit_image, moat_run,
    moat_site,
};
use crate::helpers::audit::Allegation;
use crate::jit_hook;
use crate::run::{self, ext, locks, records, sends, tail, timers, violation, Run};
use core::ffi::{c_char, c_int, c_void};
use kernel::bindings::{self, bpf_verifier_log, llist_node, moat_candidate, seq_file};
use kernel::prelude::*;

macro_rules! hooks {
    ($(
        $(#[$attr:meta])*
        fn $name:ident($($arg:ident: $c:ty as $type:ty),*) $(-> $ret:ty)? => $safe:path;
    )*) => {
        $($(#[$attr])*
        ///
        /// # Safety
        ///
        /// The arguments are what C says of them, for as long as this takes.
        pub unsafe extern "C" fn $name($($arg: $c),*) $(-> $ret)? {
            // SAFETY: by contract of this function, and by the table.
            let ($($arg,)*) = unsafe { ($(Given::new($arg),)*) };
            $safe($(<$type>::from($arg)),*)
        })*
    };
}

// Programs that are given as `Mine` are those that only the caller has, since nobody can
// run, attach to, or list them yet, or any more.
hooks! {
    /// `moat_ops.begin`
    fn begin(
        prog: *mut bpf_prog as Mine<'_>,
        kind: bindings::moat_kind as Option<Kind>
    ) -> c_int => jit_hook::begin;
    /// `moat_ops.admit`
    fn admit(candidate: *const moat_candidate as Candidate<'_>) -> c_int => jit_hook::admit;
    /// `moat_ops.attach`
    fn attach(
        log: *mut bpf_verifier_log as Log<'_>,
        prog: *const bpf_prog as Prog<'_>,
        target: *const bpf_prog as Isolated<'_>,
        why: *const c_char as &'static str
    ) -> c_int => report::attach;
    /// `moat_ops.extend`
    fn extend(
        func: *mut bpf_prog as Isolated<'_>,
        ext: *const bpf_prog as Option<Prog<'_>>
    ) => jit_hook::extend;
    /// `moat_ops.trace`
    fn trace(
        func: *mut bpf_prog as Isolated<'_>,
        enter: *const c_void as u64,
        leave: *const c_void as u64
    ) => jit_hook::trace;
    /// `moat_ops.direct_value`
    fn direct_value(
        prog: *mut bpf_prog as Isolated<'_>,
        map: *mut bpf_map as Option<Map<'_>>,
        off: u32 as u32
    ) -> u64 => jit_hook::direct_value;
    /// `moat_ops.release`
    fn release(prog: *mut bpf_prog as Mine<'_>) => jit_hook::release;
    /// `moat_ops.jit_gates`
    fn jit_gates(
        prog: *mut bpf_prog as Isolated<'_>,
        jit: *mut moat_jit as Out<'_, moat_jit>
    ) => jit::gates;
    /// `moat_ops.jit_site`
    fn jit_site(
        prog: *mut bpf_prog as Isolated<'_>,
        n: u32 as u32,
        func: *const c_void as u64,
        map: u32 as u32,
        ret: *const c_void as u64,
        frame: u32 as u32
    ) -> c_int => jit::site;
    /// `moat_ops.jit_return`
    fn jit_return(
        prog: *mut bpf_prog as Isolated<'_>,
        n: u32 as u32,
        func: u32 as u32,
        ret: *const c_void as u64,
        frame: u32 as u32
    ) -> u32 => jit::local_call;
    /// `moat_ops.jit_caller`
    fn jit_caller(
        prog: *mut bpf_prog as Isolated<'_>,
        n: u32 as u32,
        caller: *mut moat_jit_caller as Out<'_, moat_jit_caller>
    ) -> u32 => jit::caller;
    /// `moat_ops.jit_done`
    fn jit_done(
        prog: *mut bpf_prog as Isolated<'_>,
        image: *const moat_jit_image as Image<'_>
    ) -> c_int => jit::done;
    /// `moat_ops.jit_error`
    fn jit_error(prog: *const bpf_prog as Isolated<'_>) -> c_int => jit::error;
    /// `moat_ops.inner_begin`
    fn inner_begin(
        outer: *mut bpf_map as Option<Map<'_>>,
        inner: *mut bpf_map as Option<Map<'_>>
    ) -> c_int => jit_hook::inner_begin;
    /// `moat_ops.inner_end`
    fn inner_end(
        outer: *mut bpf_map as Option<Map<'_>>,
        gone: *mut llist_node as Gone
    ) => jit_hook::inner_end;
    /// `moat_ops.map_grown`
    fn map_grown(map: *mut bpf_map as Option<Map<'_>>, first: u64 as u64, nr: u64 as u64) -> c_int
        => jit_hook::map_grown;
    /// `moat_ops.isolates`
    fn isolates() -> bool => sysctl::any;
    /// `moat_ops.send`
    fn send(prog: *mut bpf_prog as Isolated<'_>, line: *mut u32 as &mut u32) -> bool => sends::send;
    /// `moat_ops.show`
    fn show_program(prog: *mut bpf_prog as Isolated<'_>, m: *mut seq_file as Seq<'_>)
        => show::program;
    /// `moat_ops.violation`; `run` is the current invocation.
    fn fault(run: *mut moat_run as Run<'_>, fault: *const moat_fault as &moat_fault)
        => violation::fault;
    /// A line of `programs` in debugfs: `admin/listing.c`.
    #[no_mangle]
    fn moat_show_program(m: *mut seq_file as Listing<'_>, program: u64 as u64) => show_line;
    /// `domains` in debugfs.
    #[no_mangle]
    fn moat_show_domains(m: *mut seq_file as Seq<'_>, data: *mut c_void as Unused) -> c_int
        => show::domains;
    /// `keys` in debugfs.
    #[no_mangle]
    fn moat_show_keys(m: *mut seq_file as Seq<'_>, data: *mut c_void as Unused) -> c_int
        => show::keys;
}

// Functions for gates, which pass the current invocation, and pointers to kernel memory that
// nobody writes meanwhile.
hooks! {
    /// See [`run::prepare`].
    #[no_mangle]
    fn moat_prepare(run: *mut moat_run as Run<'_>) -> u64 => run::prepare;
    /// See [`run::audited_call`].
    #[no_mangle]
    fn moat_audited_call(
        run: *mut moat_run as Run<'_>,
        site: *const moat_site as Site<'_>,
        args: *const [Allegation; 5] as &[Allegation; 5]
    ) -> u64 => run::audited_call;
    /// See [`locks::audited_lock`].
    #[no_mangle]
    fn moat_audited_lock(
        run: *mut moat_run as Run<'_>,
        site: *const moat_site as Site<'_>,
        args: *const [Allegation; 5] as &[Allegation; 5]
    ) -> u64 => locks::audited_lock;
    /// See [`timers::audited_timer`].
    #[no_mangle]
    fn moat_audited_timer(
        run: *mut moat_run as Run<'_>,
        site: *const moat_site as Site<'_>,
        args: *const [Allegation; 5] as &[Allegation; 5]
    ) -> u64 => timers::audited_timer;
    /// See [`timers::begin`].
    #[no_mangle]
    fn moat_timer_begin(run: *mut moat_run as Run<'_>, map: u64 as u64) -> u64
        => timers::begin;
    /// See [`locks::locked_call`].
    #[no_mangle]
    fn moat_locked_call(run: *mut moat_run as Run<'_>, site: *const moat_site as Site<'_>)
        => locks::locked_call;
    /// See [`run::name_of_map`].
    #[no_mangle]
    fn moat_name_of_map(run: *mut moat_run as Run<'_>, found: u64 as u64) -> u64
        => run::name_of_map;
    /// See [`run::took_long`].
    #[no_mangle]
    fn moat_took_long(run: *mut moat_run as Run<'_>, site: *const moat_site as Site<'_>)
        => run::took_long;
    /// See [`records::give_back`].
    #[no_mangle]
    fn moat_give_back(run: *mut moat_run as Run<'_>) => records::give_back;
    /// See [`records::held_on`].
    #[no_mangle]
    fn moat_held_on(run: *mut moat_run as Run<'_>) => records::held_on;
    /// See [`run::value_of_map`].
    #[no_mangle]
    fn moat_value_of_map(run: *mut moat_run as Run<'_>, map: u64 as u64, value: u64 as u64) -> u64
        => run::value_of_map;
    /// See [`run::no_return`].
    #[no_mangle]
    fn moat_no_return(run: *mut moat_run as Run<'_>) => run::no_return;
    /// See [`tail::tail_map`].
    #[no_mangle]
    fn moat_tail_map(
        run: *mut moat_run as Run<'_>,
        site: *const moat_site as Site<'_>,
        map: u64 as u64
    ) -> u64 => tail::tail_map;
    /// See [`tail::tail_back`].
    #[no_mangle]
    fn moat_tail_back(run: *mut moat_run as Run<'_>) -> u64 => tail::tail_back;
    /// See [`tail::tail_room`].
    #[no_mangle]
    fn moat_tail_room() -> u64 => tail::tail_room;
    /// See [`ext::go`].
    #[no_mangle]
    fn moat_ext_go(
        run: *mut moat_run as Run<'_>,
        site: *const moat_site as Site<'_>,
        args: *mut [u64; 5] as &mut [u64; 5]
    ) -> u64 => ext::go;
    /// See [`ext::trace`].
    #[no_mangle]
    fn moat_trace_go(
        run: *mut moat_run as Run<'_>,
        site: *const moat_site as Site<'_>,
        args: *mut [u64; 5] as &mut [u64; 5]
    ) -> u64 => ext::trace;
    /// See [`ext::traced`].
    #[no_mangle]
    fn moat_traced_go(
        run: *mut moat_run as Run<'_>,
        site: *const moat_site as Site<'_>,
        args: *mut [u64; 5] as &mut [u64; 5]
    ) -> u64 => ext::traced;
    /// See [`ext::back`].
    #[no_mangle]
    fn moat_ext_back(run: *mut moat_run as Run<'_>, site: *const moat_site as Site<'_>) -> u64
        => ext::back;
}

/// An argument that is there for the type only.
pub struct Unused;

impl From<Given<*mut c_void>> for Unused {
    fn from(_: Given<*mut c_void>) -> Unused {
        Unused
    }
}

/// A file that is written to while C holds the lock, but not by way of [`Locked`].
pub struct Listing<'a>(Seq<'a>);

impl<'a> From<Given<*mut seq_file>> for Listing<'a> {
    fn from(m: Given<*mut seq_file>) -> Listing<'a> {
        Listing(m.into())
    }
}

fn show_line(list: Listing<'_>, program: u64) {
    // The lock is held by this thread, as a `Listing` says.
    with_lock_held(|state| show::line(list.0, state, program))
}

/// Called by a worker.  Returns in how many milliseconds again, or 0: not until there
/// are programs.
#[no_mangle]
pub extern "C" fn moat_balance() -> u32 {
    Locked::take().balance()
}

/// The table of hooks, as the kernel has it.
struct Ops(bindings::moat_ops);

anywhere!(Ops);

static OPS: Fixed<Ops> = Fixed::new();

/// The CPUs are ready for runs, and entry code knows the gates.
struct Ready(());

impl Ready {
    /// Context: module initialisation.
    fn make() -> Result<Ready> {
        let gates = jit::addresses();
        // SAFETY: module initialisation; the kernel copies them.
        let err = unsafe { bindings::moat_arch_enable(&gates) };
        if err != 0 {
            let why = match -err as u32 {
                bindings::ENODEV => "this CPU has no supervisor protection keys (PKS), or no SMAP",
                bindings::EOPNOTSUPP => "page table isolation is on; boot with nopti",
                _ => "no memory",
            };
            pr_err!("not loaded: {}\n", why);
            return Err(Error::from_errno(err));
        }
        Ok(Ready(()))
    }
}

/// The registered hooks; gone when dropped, which the kernel allows only once no
/// isolated program is left.
pub struct Hooks {
    /// Until there are no hooks any more.
    _ready: Ready,
}

given_back! {
    Ready => bindings::moat_arch_disable;
    Hooks => bindings::moat_unregister, |_hooks| ops();
}

impl Hooks {
    /// Context: module initialisation.
    pub fn register() -> Result<Hooks> {
        OPS.set(Ops(bindings::moat_ops {
            owner: calls::this_module(),
            begin: Some(begin),
            admit: Some(admit),
            attach: Some(attach),
            extend: Some(extend),
            trace: Some(trace),
            direct_value: Some(direct_value),
            release: Some(release),
            jit_gates: Some(jit_gates),
            jit_site: Some(jit_site),
            jit_return: Some(jit_return),
            jit_caller: Some(jit_caller),
            jit_done: Some(jit_done),
            jit_error: Some(jit_error),
            violation: Some(fault),
            inner_begin: Some(inner_begin),
            inner_end: Some(inner_end),
            map_grown: Some(map_grown),
            isolates: Some(isolates),
            send: Some(send),
            make_one: Some(ffi::moat_shim_make_one),
            timer: Some(ffi::moat_shim_timer),
            show: Some(show_program),
        }));
        let ready = Ready::make()?;
        // SAFETY: module initialisation; the table is not written afterwards.
        match unsafe { bindings::moat_register(ops()) } {
            0 => Ok(Hooks { _ready: ready }),
            err => Err(Error::from_errno(err)),
        }
    }
}

fn ops() -> *const bindings::moat_ops {
    OPS.get().map_or(core::ptr::null(), |ops| &ops.0)
}
