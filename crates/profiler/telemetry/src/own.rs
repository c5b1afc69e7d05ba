//! What tidegate itself uses: CPU, memory, descriptors.

use crate::clock::own_cpu_ns;
use crate::files::{Buffer, DescriptorBudget, Extent, KeptFile, open_folder};
use crate::parse;
use crate::rate::Counter;
use rustix::fd::OwnedFd;
use std::path::Path;
use tidegate_types::BootTime;

/// Kernels before 6.2 do not tell the number of descriptors, and counting them costs; so it is done now and then.
const COUNT_EVERY_TICKS: u64 = 60;

/// One reading.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnUse {
    pub(crate) cpu_cores: f64,
    pub(crate) memory_bytes: f64,
    pub(crate) descriptors: f64,
}

/// Readers of this process, always of the real /proc.
#[derive(Debug)]
pub(crate) struct OwnReader {
    folder: Option<OwnedFd>,
    statm: Option<KeptFile>,
    cpu: Counter,
    counted: f64,
}

impl OwnReader {
    pub(crate) fn open() -> Self {
        let folder = open_folder(Path::new("/proc/self")).ok();
        let (budget, mut buffer) = (DescriptorBudget::new(1), Buffer::default());
        let statm = folder.as_ref().and_then(|folder| {
            KeptFile::open(folder, "", "statm", Extent::Single, &budget, &mut buffer).ok()
        });
        Self {
            folder,
            statm,
            cpu: Counter::default(),
            counted: f64::NAN,
        }
    }

    pub(crate) fn read(&mut self, buffer: &mut Buffer, at: BootTime, ticks: u64) -> OwnUse {
        let resident = self
            .folder
            .as_ref()
            .zip(self.statm.as_ref())
            .and_then(|(folder, file)| {
                let bytes = file.read(folder, "", buffer).ok()?;
                Some(parse::process_statm(bytes)?.0)
            });
        let page = rustix::param::page_size() as f64;
        OwnUse {
            cpu_cores: self.cpu.rate(Some(own_cpu_ns()), at) * 1e-9,
            memory_bytes: resident.map_or(f64::NAN, |pages| pages as f64 * page),
            descriptors: self.descriptors(ticks),
        }
    }

    fn descriptors(&mut self, ticks: u64) -> f64 {
        let told = self
            .folder
            .as_ref()
            .and_then(|folder| rustix::fs::statat(folder, "fd", rustix::fs::AtFlags::empty()).ok())
            .filter(|status| status.st_size > 0);
        if let Some(status) = told {
            return status.st_size as f64;
        }
        if ticks.is_multiple_of(COUNT_EVERY_TICKS) {
            self.counted =
                std::fs::read_dir("/proc/self/fd").map_or(f64::NAN, |entries| entries.count() as f64);
        }
        self.counted
    }
}
