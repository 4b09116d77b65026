// SPDX-License-Identifier: GPL-2.0
//! Why something could not be had, for the kernel and for people.
//!
//! What runs out says nothing of a program: it is an error like any other, whatever
//! the administrator wants done with programs that cannot be isolated (I8).

use crate::maps::types;
use core::fmt::{self, Write};

/// What an attempt to have something ends in.
pub type Tried<T> = Result<T, Failure>;

/// Why there is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// An allocation failed.
    NoMemory,
    /// The window is full, of programs and maps that others have in it.
    NoRoom,
    /// What it is for cannot be isolated.
    Refused(Reason),
}

impl Failure {
    /// The same, of a map that is in a map of maps.
    #[must_use]
    pub fn inside(mut self) -> Failure {
        if let Failure::Refused(reason) = &mut self {
            if let Subject::Map { inside, .. } = &mut reason.subject {
                *inside = true;
            }
        }
        self
    }
}

/// Why a program cannot be isolated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reason {
    /// The number of the instruction, in the program as it was loaded.
    pub insn: Option<u32>,
    pub subject: Subject,
    /// What of it: one short phrase.
    pub why: &'static str,
}

/// What a reason is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Subject {
    /// The program, or the instruction.
    Program,
    /// A helper, by its name without `bpf_`.
    Helper(&'static str),
    /// Another function of the kernel.
    Function(Text),
    /// A map; `inside` a map of maps.
    Map { name: Text, ty: u32, inside: bool },
    /// A program that is to be changed.
    Target { name: Text, id: u32 },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(insn) = self.insn {
            write!(f, "insn {}: ", insn)?;
        }
        match &self.subject {
            Subject::Program => f.write_str(self.why),
            Subject::Helper(name) => write!(f, "helper bpf_{}: {}", name, self.why),
            Subject::Function(name) => write!(f, "{}: {}", name, self.why),
            Subject::Map { name, ty, inside } => {
                let place = if *inside { " in a map of maps" } else { "" };
                write!(f, "map {} ({}){} {}", name, MapType(*ty), place, self.why)
            }
            Subject::Target { name, id } => {
                write!(
                    f,
                    "{}, in the isolated program {} (id {})",
                    self.why, name, id
                )
            }
        }
    }
}

/// The name of a map type, as `bpftool` has it.
struct MapType(u32);

impl fmt::Display for MapType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match types::NAMES.get(self.0 as usize) {
            Some(name) => name
                .chars()
                .try_for_each(|c| f.write_char(c.to_ascii_lowercase())),
            None => write!(f, "type {}", self.0),
        }
    }
}

/// Bytes of a [`Text`].
const TEXT: usize = 47;

/// A name that somebody else chose.  What does not belong into one is shown as `?`, so
/// that nobody writes a line of the log.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Text {
    bytes: [u8; TEXT],
    len: u8,
}

impl Text {
    /// As much of `bytes` as there is room for, up to the first 0.
    pub fn new(bytes: impl IntoIterator<Item = u8>) -> Text {
        let mut text = Text {
            bytes: [0; TEXT],
            len: 0,
        };
        let bytes = bytes.into_iter().take_while(|&byte| byte != 0);
        for (to, byte) in text.bytes.iter_mut().zip(bytes) {
            let plain = byte.is_ascii_alphanumeric() || b"._-+:/@".contains(&byte);
            *to = if plain { byte } else { b'?' };
            text.len += 1;
        }
        text
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..self.len.into()).unwrap_or(&[]);
        core::str::from_utf8(bytes).unwrap_or("?")
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_empty() {
            true => f.write_str("unnamed"),
            false => f.write_str(self.as_str()),
        }
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Bytes of a [`Line`].
const LINE: usize = 400;

/// A line that is put together before it is shown.  What is too long is cut.
pub struct Line {
    bytes: [u8; LINE],
    len: usize,
}

impl Line {
    pub fn new(text: fmt::Arguments<'_>) -> Line {
        let mut line = Line {
            bytes: [0; LINE],
            len: 0,
        };
        let _ = line.write_fmt(text);
        line
    }

    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            match self.bytes.get_mut(self.len) {
                Some(to) => *to = byte,
                None => return Err(fmt::Error),
            }
            self.len += 1;
        }
        Ok(())
    }
}
