// SPDX-License-Identifier: GPL-2.0
//! Helpers leave packets that the kernel can take, in any order and any number.

mod cases;
mod random;
mod real;

use moat_logic::helpers::geometry::*;

/// An Ethernet packet with `head` of its bytes in the linear part, as tc has it.
fn packet(data: i64, l2: i64, head: i64, frags: i64) -> Geometry {
    Geometry {
        data,
        tail: data + head,
        end: data + head + 64,
        len: head + frags,
        data_len: frags,
        mac: data,
        network: data + l2,
        transport: data + l2,
        csum_start: data + l2 + 20,
        csum_end: data + l2 + 20 + 18,
        mac_len: l2,
        protocol: ETH_P_IP,
        max_len: 15_000,
        flags: LIST_FIXED,
        ..Geometry::default()
    }
}

fn gso(mut g: Geometry, size: i64, ty: i64) -> Geometry {
    g.gso_size = size;
    g.gso_type = ty;
    g
}

const PROTO6: u64 = 0xdd86;
const PROTO4: u64 = 0x0008;
const FIXED: u64 = 1;
const IPV4_UDP: u64 = 1 << 1 | 1 << 4;

fn call(g: &Geometry, shape: Shape, args: [u64; 3]) -> Result<Geometry, Why> {
    let args = [0, args[0], args[1], args[2], 0];
    let g2 = model(g, shape, &args)?;
    judge(g, &g2)?;
    Ok(g2)
}
