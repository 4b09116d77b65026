// SPDX-License-Identifier: GPL-2.0
//! Around the helpers that change a packet: it stays one that the kernel can take (I10).
//!
//! Context: the program's; PKRS open.

#![forbid(unsafe_code)]

use crate::edge::counters::{moat_kept_packets, moat_mispredicted};
use crate::edge::off;
use crate::edge::packet::SkBuff;
use crate::edge::site::Site;
use crate::helpers::contract::Contract;
use crate::helpers::geometry::{self, Geometry, Shape, Why};
use crate::run::violation;
use crate::run::Run;
use core::sync::atomic::Ordering;
use kernel::prelude::*;

/// A call that has been let through.
pub struct Reshaping {
    was: Geometry,
    shape: Shape,
    args: [u64; 5],
}

/// Whether the packet, which is `was`, may be given to the helper.  `Err` holds the answer
/// to give instead.
fn judge(
    run: &Run<'_>,
    site: Site<'_>,
    contract: &Contract,
    was: &Geometry,
    shape: Shape,
    args: &[u64; 5],
) -> core::result::Result<(), u64> {
    let why = match geometry::foresee(was, shape, args) {
        Ok(()) => return Ok(()),
        Err(why) => why,
    };
    if off::geometry() {
        return Ok(());
    }
    Err(keep(run, site, contract, shape, why))
}

/// The answer to a helper that is not given the packet.
fn keep(run: &Run<'_>, site: Site<'_>, contract: &Contract, shape: Shape, why: Why) -> u64 {
    let answer = shape.answer(why);
    moat_kept_packets.fetch_add(1, Ordering::Relaxed);
    violation::kept(run, site, contract, why, answer);
    answer as u64
}

/// Before a call after which nothing is to be looked at: see [`judge`].
#[inline(never)]
pub fn ask(
    run: &Run<'_>,
    site: Site<'_>,
    contract: &Contract,
    shape: Shape,
    args: &[u64; 5],
) -> core::result::Result<(), u64> {
    judge(run, site, contract, &run.geometry(), shape, args)
}

/// Before a call.  `Err` holds the answer to give instead of it.
#[inline(never)]
pub fn before(
    run: &Run<'_>,
    site: Site<'_>,
    contract: &Contract,
    shape: Shape,
    args: &[u64; 5],
) -> core::result::Result<Option<Reshaping>, u64> {
    let writes = matches!(shape, Shape::Store | Shape::Csum | Shape::Pull);
    let skb = run.packet().skb();
    if writes && skb.map_or(false, SkBuff::is_simple) {
        return Ok(None);
    }
    let mut was = run.geometry();
    judge(run, site, contract, &was, shape, args)?;
    if was.is_to_be_one() && shape != Shape::Level {
        // What the program writes was copied from this buffer, and goes back there after the
        // call: it has to stay.  It is no list, unless there was no memory for one buffer.
        if run.program.rewrites {
            return Err(keep(run, site, contract, shape, Why::List));
        }
        // The context is loaded again after such a helper.
        if skb.map_or(false, SkBuff::make_one) && run.program.uncovers {
            run.begin_at_start();
        }
        was = run.geometry();
    }
    Ok(Some(Reshaping {
        was,
        shape,
        args: *args,
    }))
}

impl Reshaping {
    /// After it returned `ret`.  False if the packet is not one to go on with.
    #[inline(never)]
    pub fn after(&self, run: &Run<'_>, site: Site<'_>, contract: &Contract, ret: u64) -> bool {
        let is = run.geometry();
        let mended = geometry::mend(&self.was, &is, self.shape, &self.args, (ret as i64) < 0);
        if mended != is {
            if let Some(skb) = run.packet().skb() {
                skb.mend(&mended);
            }
        }
        if cfg!(CONFIG_BPF_MOAT_TEST) && ret == 0 {
            self.compare(&mended);
        }
        match geometry::judge(&self.was, &mended) {
            Ok(()) => true,
            Err(why) => {
                violation::misshapen(run, site, contract, why);
                if cfg!(CONFIG_BPF_MOAT_TEST) {
                    pr_info!("was {:?}, is {:?}\n", self.was, mended);
                }
                if let Some(skb) = run.packet().skb() {
                    skb.defuse();
                }
                false
            }
        }
    }

    /// In test kernels: whether the model knows what helpers do.
    fn compare(&self, is: &Geometry) {
        let said = match geometry::model(&self.was, self.shape, &self.args) {
            Ok(said) => said,
            Err(_) => return,
        };
        // What is in the packet decides whether there is a second tag.
        let other_tag = self.shape == Shape::VlanPop && said.len != is.len;
        if !other_tag && !geometry::agree(&said, is) {
            moat_mispredicted.fetch_add(1, Ordering::Relaxed);
            pr_info!(
                "{:?} {:x?}: was {:?}, said {:?}, is {:?}\n",
                self.shape,
                self.args,
                self.was,
                said,
                is
            );
        }
    }
}
