//! What is asked of each part of a disk, and by whom.
//!
//! A disk is divided into at most eight ranges of the same size, a power of two and a gibibyte at least. The kernel
//! side counts the bytes of every request where it enters the block layer, by the v2 group of the task that asks; increases since
//! the look before become rates here. Where BPF is not offered there is nothing of this: no file tells it.

use crate::bpf::RangesByBpf;
use crate::disks::Devices;
use crate::files::text;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use tidegate_types::{AppName, BootTime, Entity, Field, Row};

const SECTOR_BYTES: u64 = 512;
/// Ranges of a disk, at most.
const RANGES_MAX: u64 = 8;
/// Sectors of the smallest range, as a power of two: a gibibyte.
const SHIFT_MIN: u32 = 21;
/// Parts that are remembered; groups come and go, and beyond this all begin anew.
const KNOWN_MAX: usize = 32_768;
/// Bits of a device's minor number.
const MINOR_BITS: u32 = 20;

/// A range of a disk, and a group that asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Part {
    /// Id of the v2 group.
    pub group: u64,
    /// Number of the device, major and 20 bits of minor.
    pub device: u32,
    /// Number of the range.
    pub range: u32,
}

/// What was asked since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Bytes to read.
    pub read: u64,
    /// Bytes to write.
    pub written: u64,
    /// Requests.
    pub requests: u64,
}

impl Asked {
    /// What came since `before`; all of it where a count went back, since it then began anew.
    fn since(self, before: Self) -> Self {
        let anew = self.read < before.read || self.written < before.written;
        let before = if anew { Self::default() } else { before };
        Self {
            read: self.read - before.read,
            written: self.written - before.written,
            requests: self.requests.saturating_sub(before.requests),
        }
    }

    fn add(&mut self, more: Self) {
        self.read += more.read;
        self.written += more.written;
        self.requests += more.requests;
    }
}

/// Into how many sectors, as a power of two, a disk of so many is divided.
pub fn divided(sectors: u64) -> u32 {
    let least = sectors.div_ceil(RANGES_MAX).max(1);
    least.next_power_of_two().trailing_zeros().max(SHIFT_MIN)
}

/// One range of one disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) disk: Arc<str>,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

#[derive(Debug)]
struct Range {
    place: Place,
    row: usize,
    asked: Asked,
}

/// A disk with its ranges.
#[derive(Debug)]
struct Divided {
    device: u32,
    ranges: Vec<Range>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct DiskRanges {
    reader: RangesByBpf,
    disks: Vec<Divided>,
    known: HashMap<Part, Asked>,
    increases: Vec<(Part, Asked)>,
    last: Option<BootTime>,
}

impl DiskRanges {
    /// Divides all leaf devices; the error says why it cannot be done.
    pub(crate) fn open(devices: &Devices, sys_root: &Path) -> Result<Self, String> {
        let mut ranges = Self {
            reader: RangesByBpf::open()?,
            disks: Vec::new(),
            known: HashMap::new(),
            increases: Vec::new(),
            last: None,
        };
        ranges.follow(devices, sys_root);
        Ok(ranges)
    }

    /// The devices are these now.
    pub(crate) fn follow(&mut self, devices: &Devices, sys_root: &Path) {
        let disks = devices.leaves.iter().filter_map(|(number, name)| {
            let size = text(&sys_root.join("block").join(&**name).join("size"))?;
            let sectors: u64 = size.parse().ok()?;
            let device = number.major << MINOR_BITS | number.minor;
            let shift = divided(sectors);
            self.reader.divide(device, shift).ok()?;
            Some(Divided::new(device, name, sectors, shift))
        });
        self.disks = disks.collect();
        self.forget();
    }

    /// The ranges of all disks.
    pub(crate) fn entities(&self) -> impl Iterator<Item = Entity> {
        let ranges = self.disks.iter().flat_map(|disk| &disk.ranges);
        ranges.map(|range| range.place.entity())
    }

    /// Tells every range where its row is.
    pub(crate) fn assign_rows(&mut self, find: &dyn Fn(&Entity) -> usize) {
        for range in self.disks.iter_mut().flat_map(|disk| &mut disk.ranges) {
            range.row = find(&range.place.entity());
        }
    }

    /// Reads what was asked and fills the rows of the ranges: seconds since the look before, for which
    /// [`Self::each_increase`] then holds.
    pub(crate) fn look(&mut self, at: BootTime, rows: &mut [Row]) -> Option<f64> {
        self.increases.clear();
        if self.known.len() > KNOWN_MAX {
            self.forget();
        }
        let ranges = self.disks.iter_mut().flat_map(|disk| &mut disk.ranges);
        ranges.for_each(|range| range.asked = Asked::default());
        let first = self.last.is_none();
        let (known, increases) = (&mut self.known, &mut self.increases);
        self.reader.each(|part, asked| {
            let before = known.insert(part, asked).unwrap_or_default();
            let increase = asked.since(before);
            if !first && increase.requests > 0 {
                increases.push((part, increase));
            }
        });
        for (part, increase) in &self.increases {
            if let Some(range) = range_of(&mut self.disks, part) {
                range.asked.add(*increase);
            }
        }
        let seconds = at.seconds_since(self.last.replace(at)?);
        if seconds <= 0.0 {
            return None;
        }
        for range in self.disks.iter().flat_map(|disk| &disk.ranges) {
            if let Some(row) = rows.get_mut(range.row) {
                row.set(Field::RangeRead, range.asked.read as f64 / seconds);
                row.set(Field::RangeWrite, range.asked.written as f64 / seconds);
                row.set(Field::RangeOps, range.asked.requests as f64 / seconds);
            }
        }
        Some(seconds)
    }

    /// What each group asked of each range since the look before.
    pub(crate) fn each_increase(&mut self, mut each: impl FnMut(u64, &Place, Asked)) {
        for (part, increase) in &self.increases {
            if let Some(range) = range_of(&mut self.disks, part) {
                each(part.group, &range.place, *increase);
            }
        }
    }

    /// Forgets when it last looked, so that no rate spans a gap.
    pub(crate) fn forget(&mut self) {
        self.last = None;
        self.known.clear();
    }
}

fn range_of<'a>(disks: &'a mut [Divided], part: &Part) -> Option<&'a mut Range> {
    let disk = disks.iter_mut().find(|disk| disk.device == part.device)?;
    disk.ranges.get_mut(part.range as usize)
}

impl Divided {
    fn new(device: u32, name: &Arc<str>, sectors: u64, shift: u32) -> Self {
        let bytes = SECTOR_BYTES << shift;
        let count = (sectors * SECTOR_BYTES).div_ceil(bytes);
        let range = |number: u64| Range {
            place: Place {
                disk: name.clone(),
                from: number * bytes,
                to: (number + 1) * bytes,
            },
            row: usize::MAX,
            asked: Asked::default(),
        };
        Self {
            device,
            ranges: (0..count).map(range).collect(),
        }
    }
}

impl Place {
    fn entity(&self) -> Entity {
        Entity::DiskRange(self.disk.clone(), self.from, self.to)
    }
}

/// What one app asks of one range.
#[derive(Debug)]
pub(crate) struct RangeSlot {
    place: Place,
    pub(crate) row: usize,
    asked: Asked,
}

impl RangeSlot {
    /// The app was seen there for the first time.
    pub(crate) fn new(place: &Place, asked: Asked) -> Self {
        Self {
            place: place.clone(),
            row: usize::MAX,
            asked,
        }
    }

    pub(crate) fn is(&self, place: &Place) -> bool {
        self.place == *place
    }

    pub(crate) fn entity(&self, app: &AppName) -> Entity {
        Entity::AppRange(
            app.clone(),
            self.place.disk.clone(),
            self.place.from,
            self.place.to,
        )
    }

    pub(crate) fn begin(&mut self) {
        self.asked = Asked::default();
    }

    pub(crate) fn add(&mut self, more: Asked) {
        self.asked.add(more);
    }

    pub(crate) fn fill(&self, seconds: f64, rows: &mut [Row]) {
        if let Some(row) = rows.get_mut(self.row) {
            row.set(Field::AppRangeRead, self.asked.read as f64 / seconds);
            row.set(Field::AppRangeWrite, self.asked.written as f64 / seconds);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_has_at_most_eight_ranges_of_a_gibibyte_or_more() {
        const GIB: u64 = (1 << 30) / SECTOR_BYTES;
        for (gibibytes, count, of) in [(256, 8, 32), (100, 7, 16), (3, 3, 1), (1, 1, 1), (500, 8, 64)] {
            let sectors = gibibytes * GIB;
            let disk = Divided::new(1, &Arc::from("vda"), sectors, divided(sectors));
            assert_eq!(disk.ranges.len(), count, "{gibibytes}");
            let first = &disk.ranges[0].place;
            assert_eq!((first.from, first.to), (0, of << 30), "{gibibytes}");
        }
        assert_eq!(
            Divided::new(1, &Arc::from("x"), 100, divided(100)).ranges.len(),
            1
        );
    }

    #[test]
    fn a_count_that_went_back_began_anew() {
        let asked = |read| Asked {
            read,
            written: 0,
            requests: read,
        };
        assert_eq!(asked(7).since(asked(5)), asked(2));
        assert_eq!(asked(3).since(asked(5)).read, 3);
    }
}
