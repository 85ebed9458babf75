use std::io::{self, Write};

use serde_json::ser::Formatter;

/// Lays out a cluster for people and for `diff`: each field, each member and each event has a line of its own.
#[derive(Default)]
pub struct LineFormatter {
    /// The nesting of objects. All objects inside the cluster are in one line.
    objects: usize,
    /// Whether the innermost list has items.
    has_items: bool,
}

const FIELD: &[u8] = b"\n      ";
const ITEM: &[u8] = b"\n        ";
const END: &[u8] = b"\n    ";

impl LineFormatter {
    fn is_in_one_line(&self) -> bool {
        self.objects > 1
    }

    fn separate<W: Write + ?Sized>(&self, writer: &mut W, first: bool, line: &[u8]) -> io::Result<()> {
        match (first, self.is_in_one_line()) {
            (true, true) => Ok(()),
            (false, true) => writer.write_all(b", "),
            (true, false) => writer.write_all(line),
            (false, false) => {
                writer.write_all(b",")?;
                writer.write_all(line)
            }
        }
    }
}

impl Formatter for LineFormatter {
    fn begin_object<W: Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.objects += 1;
        writer.write_all(b"{")
    }

    fn end_object<W: Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        if !self.is_in_one_line() {
            writer.write_all(END)?;
        }
        self.objects -= 1;
        writer.write_all(b"}")
    }

    fn begin_object_key<W: Write + ?Sized>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.separate(writer, first, FIELD)
    }

    fn begin_object_value<W: Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }

    fn begin_array<W: Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.has_items = false;
        writer.write_all(b"[")
    }

    fn begin_array_value<W: Write + ?Sized>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.separate(writer, first, ITEM)
    }

    fn end_array_value<W: Write + ?Sized>(&mut self, _: &mut W) -> io::Result<()> {
        self.has_items = true;
        Ok(())
    }

    fn end_array<W: Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        if self.has_items && !self.is_in_one_line() {
            writer.write_all(FIELD)?;
        }
        writer.write_all(b"]")
    }
}
