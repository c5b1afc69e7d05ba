//! Fields of messages, read and written with bounds checks.
//!
//! Why so: readers borrow from the buffer and writers fill one, for the runtime has no heap.
//!
//! Not here: which message has which fields.

use super::{BODY_LIMIT_BYTES, HEADER_BYTES, MessageError, Reason, TEXT_LIMIT_BYTES, VERSION, cut_text};
use crate::scenario::Scenario;

/// The unread part of a body.
#[derive(Clone, Debug)]
pub(super) struct Fields<'a> {
    pub(super) bytes: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], MessageError> {
        let (head, tail) = self.bytes.split_at_checked(count).ok_or(MessageError::Short)?;
        self.bytes = tail;
        Ok(head)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], MessageError> {
        self.take(N)?.try_into().map_err(|_| MessageError::Short)
    }

    pub(super) fn u8(&mut self) -> Result<u8, MessageError> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub(super) fn u16(&mut self) -> Result<u16, MessageError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> Result<u32, MessageError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, MessageError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(super) fn flag(&mut self) -> Result<bool, MessageError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(MessageError::Value),
        }
    }

    pub(super) fn scenario(&mut self) -> Result<Scenario, MessageError> {
        Scenario::from_number(self.u8()?).ok_or(MessageError::Value)
    }

    pub(super) fn reason(&mut self) -> Result<Reason, MessageError> {
        Reason::from_wire(self.u8()?).ok_or(MessageError::Value)
    }

    pub(super) fn short_bytes(&mut self) -> Result<&'a [u8], MessageError> {
        let count = usize::from(self.u16()?);
        if count > TEXT_LIMIT_BYTES {
            return Err(MessageError::TooLong(count));
        }
        self.take(count)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, MessageError> {
        core::str::from_utf8(self.short_bytes()?).map_err(|_| MessageError::Value)
    }

    pub(super) fn rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.bytes)
    }

    pub(super) fn end(&self) -> Result<(), MessageError> {
        if self.bytes.is_empty() {
            Ok(())
        } else {
            Err(MessageError::Trailing)
        }
    }
}

/// A position in a buffer.
#[derive(Debug)]
pub(super) struct Writer<'b> {
    pub(super) buffer: &'b mut [u8],
    pub(super) length: usize,
}

impl Writer<'_> {
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<(), MessageError> {
        let end = self
            .length
            .checked_add(bytes.len())
            .ok_or(MessageError::BufferFull)?;
        let place = self
            .buffer
            .get_mut(self.length..end)
            .ok_or(MessageError::BufferFull)?;
        place.copy_from_slice(bytes);
        self.length = end;
        Ok(())
    }

    pub(super) fn short_bytes(&mut self, bytes: &[u8]) -> Result<(), MessageError> {
        if bytes.len() > TEXT_LIMIT_BYTES {
            return Err(MessageError::TooLong(bytes.len()));
        }
        self.bytes(&(bytes.len() as u16).to_le_bytes())?;
        self.bytes(bytes)
    }

    pub(super) fn text(&mut self, text: &str) -> Result<(), MessageError> {
        self.short_bytes(cut_text(text).as_bytes())
    }
}

/// A frame in the making: the header's length is filled in at the end.
pub(super) struct FrameWriter<'b> {
    pub(super) writer: Writer<'b>,
}

impl<'b> FrameWriter<'b> {
    pub(super) fn new(buffer: &'b mut [u8], kind: u16) -> Result<Self, MessageError> {
        let mut writer = Writer { buffer, length: 0 };
        writer.bytes(&0_u32.to_le_bytes())?;
        writer.bytes(&VERSION.to_le_bytes())?;
        writer.bytes(&kind.to_le_bytes())?;
        Ok(Self { writer })
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<(), MessageError> {
        self.writer.bytes(bytes)
    }

    pub(super) fn short_bytes(&mut self, bytes: &[u8]) -> Result<(), MessageError> {
        self.writer.short_bytes(bytes)
    }

    pub(super) fn text(&mut self, text: &str) -> Result<(), MessageError> {
        self.writer.text(text)
    }

    pub(super) fn u8(&mut self, value: u8) -> Result<(), MessageError> {
        self.bytes(&[value])
    }

    pub(super) fn u32(&mut self, value: u32) -> Result<(), MessageError> {
        self.bytes(&value.to_le_bytes())
    }

    pub(super) fn u64(&mut self, value: u64) -> Result<(), MessageError> {
        self.bytes(&value.to_le_bytes())
    }

    pub(super) fn finish(self) -> Result<usize, MessageError> {
        let Writer { buffer, length } = self.writer;
        let body_bytes = length - HEADER_BYTES;
        if body_bytes > BODY_LIMIT_BYTES {
            return Err(MessageError::TooLong(body_bytes));
        }
        let place = buffer.get_mut(..4).ok_or(MessageError::BufferFull)?;
        place.copy_from_slice(&(body_bytes as u32).to_le_bytes());
        Ok(length)
    }
}
