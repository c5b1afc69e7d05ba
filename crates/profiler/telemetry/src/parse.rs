//! Typed parsers of kernel files, on bytes and without allocation.
//!
//! Every file that is read each second has one function here. Numbers that do not parse are absent,
//! never zero, and nothing here panics whatever the bytes are (the tests feed them noise). Parsers
//! that yield many records take a closure, so that no list is built on the way.

/// A block device by number, as `io.stat` and `/proc/diskstats` name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Device {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

/// The unsigned number at the start of `bytes`, after blanks; absent when there is none or it overflows.
pub fn number(bytes: &[u8]) -> Option<u64> {
    let digits = bytes.trim_ascii_start();
    let end = digits
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(digits.len());
    if end == 0 {
        return None;
    }
    digits[..end].iter().try_fold(0_u64, |value, digit| {
        value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    })
}

/// A number as `f64`; `max` and the negative numbers of v1 mean without limit, which is infinite.
pub fn limit(bytes: &[u8]) -> Option<f64> {
    let text = bytes.trim_ascii();
    if text == b"max" || text.starts_with(b"-") {
        return Some(f64::INFINITY);
    }
    number(text).map(|value| value as f64)
}

/// The lines of `bytes`, without their ends.
pub fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

/// The blank-separated words of a line.
pub fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
}

/// Calls `each` with every `key number` line; a `:` after the key and a unit after the number are ignored.
pub fn keyed(bytes: &[u8], mut each: impl FnMut(&[u8], u64)) {
    for line in lines(bytes) {
        let Some(gap) = line.iter().position(|byte| *byte == b' ') else {
            continue;
        };
        let key = line[..gap].strip_suffix(b":").unwrap_or(&line[..gap]);
        if let Some(value) = number(&line[gap..]) {
            each(key, value);
        }
    }
}

/// Waiting totals of one pressure file, in microseconds since boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pressure {
    /// Some task waited.
    pub some_us: Option<u64>,
    /// All tasks waited; older kernels do not say it for the CPU.
    pub full_us: Option<u64>,
}

/// A pressure file: `some avg10=… total=N` and `full …`.
pub fn pressure(bytes: &[u8]) -> Pressure {
    let mut pressure = Pressure::default();
    for line in lines(bytes) {
        let total = words(line)
            .filter_map(|word| word.strip_prefix(b"total="))
            .find_map(number);
        if line.starts_with(b"some ") {
            pressure.some_us = total;
        } else if line.starts_with(b"full ") {
            pressure.full_us = total;
        }
    }
    pressure
}

/// A quota in force: microseconds of CPU time (infinite without a limit) per period in microseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CpuMax {
    /// Microseconds of CPU time per period.
    pub quota_us: f64,
    /// Microseconds.
    pub period_us: f64,
}

/// `cpu.max`: `QUOTA PERIOD` or `max PERIOD`.
pub fn cpu_max(bytes: &[u8]) -> Option<CpuMax> {
    let mut parts = words(bytes);
    let quota_us = limit(parts.next()?)?;
    let period_us = number(parts.next()?)? as f64;
    (period_us > 0.0).then_some(CpuMax { quota_us, period_us })
}

/// Bytes and operations on one device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceIo {
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub write_bytes: u64,
    /// Reads done.
    pub read_ops: u64,
    /// Writes done.
    pub write_ops: u64,
}

/// `MAJOR:MINOR`.
pub fn device(word: &[u8]) -> Option<Device> {
    let colon = word.iter().position(|byte| *byte == b':')?;
    Some(Device {
        major: u32::try_from(number(&word[..colon])?).ok()?,
        minor: u32::try_from(number(&word[colon + 1..])?).ok()?,
    })
}

/// `io.stat` of cgroup v2.
pub fn io_stat(bytes: &[u8], mut each: impl FnMut(Device, DeviceIo)) {
    for line in lines(bytes) {
        let mut parts = words(line);
        let Some(device) = parts.next().and_then(device) else {
            continue;
        };
        let mut io = DeviceIo::default();
        for part in parts {
            let Some(equals) = part.iter().position(|byte| *byte == b'=') else {
                continue;
            };
            let Some(value) = number(&part[equals + 1..]) else {
                continue;
            };
            match &part[..equals] {
                b"rbytes" => io.read_bytes = value,
                b"wbytes" => io.write_bytes = value,
                b"rios" => io.read_ops = value,
                b"wios" => io.write_ops = value,
                _ => {}
            }
        }
        each(device, io);
    }
}

/// One line of a v1 `blkio` statistics file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// Reads.
    Read,
    /// Writes.
    Write,
}

/// A v1 `blkio.*.io_service_bytes` or `io_serviced` file: `MAJOR:MINOR Read N`.
pub fn blkio(bytes: &[u8], mut each: impl FnMut(Device, Transfer, u64)) {
    for line in lines(bytes) {
        let mut parts = words(line);
        let (Some(first), Some(operation), Some(value)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let transfer = match operation {
            b"Read" => Transfer::Read,
            b"Write" => Transfer::Write,
            _ => continue,
        };
        if let (Some(device), Some(value)) = (device(first), number(value)) {
            each(device, transfer, value);
        }
    }
}

/// One line of `/proc/diskstats`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskLine {
    /// Bytes and operations.
    pub io: DeviceIo,
    /// Milliseconds of all reads together.
    pub read_ms: u64,
    /// Milliseconds of all writes together.
    pub write_ms: u64,
    /// Milliseconds with a request in flight.
    pub busy_ms: u64,
    /// Milliseconds times requests in flight.
    pub weighted_ms: u64,
}

const SECTOR_BYTES: u64 = 512;

/// `/proc/diskstats`; partitions are lines of their own, so the caller picks devices.
pub fn diskstats(bytes: &[u8], mut each: impl FnMut(Device, DiskLine)) {
    for line in lines(bytes) {
        let mut parts = words(line);
        let (Some(major), Some(minor)) = (parts.next().and_then(number), parts.next().and_then(number))
        else {
            continue;
        };
        let mut values = [0_u64; 11];
        let mut seen = 0;
        for (value, part) in values.iter_mut().zip(parts.skip(1)) {
            let Some(parsed) = number(part) else { break };
            *value = parsed;
            seen += 1;
        }
        if seen < values.len() {
            continue;
        }
        let device = Device {
            major: major as u32,
            minor: minor as u32,
        };
        each(
            device,
            DiskLine {
                io: DeviceIo {
                    read_ops: values[0],
                    read_bytes: values[2].saturating_mul(SECTOR_BYTES),
                    write_ops: values[4],
                    write_bytes: values[6].saturating_mul(SECTOR_BYTES),
                },
                read_ms: values[3],
                write_ms: values[7],
                busy_ms: values[9],
                weighted_ms: values[10],
            },
        );
    }
}

/// One line of `/proc/net/dev`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetLine {
    /// Bytes received.
    pub receive_bytes: u64,
    /// Packets dropped on receive.
    pub receive_drops: u64,
    /// Bytes sent.
    pub transmit_bytes: u64,
    /// Packets dropped on send.
    pub transmit_drops: u64,
}

/// `/proc/net/dev`, without its two heading lines.
pub fn net_dev(bytes: &[u8], mut each: impl FnMut(&[u8], NetLine)) {
    for line in lines(bytes) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let mut values = [0_u64; 12];
        let mut seen = 0;
        for (value, part) in values.iter_mut().zip(words(&line[colon + 1..])) {
            let Some(parsed) = number(part) else { break };
            *value = parsed;
            seen += 1;
        }
        if seen < values.len() {
            continue;
        }
        each(
            line[..colon].trim_ascii(),
            NetLine {
                receive_bytes: values[0],
                receive_drops: values[3],
                transmit_bytes: values[8],
                transmit_drops: values[11],
            },
        );
    }
}

/// One `cpu` line of `/proc/stat`, in clock ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTimes {
    /// User, nice, system, interrupts: work.
    pub busy: u64,
    /// Idle.
    pub idle: u64,
    /// Idle with I/O outstanding.
    pub iowait: u64,
    /// The hypervisor ran others.
    pub steal: u64,
}

/// The `cpu` lines of `/proc/stat`: `None` for all CPUs together, then each online CPU by number.
pub fn cpu_times(bytes: &[u8], mut each: impl FnMut(Option<u16>, CpuTimes)) {
    for line in lines(bytes) {
        let Some(rest) = line.strip_prefix(b"cpu") else {
            break;
        };
        let core = match rest.first() {
            Some(b' ') => None,
            _ => match number(rest).and_then(|core| u16::try_from(core).ok()) {
                Some(core) => Some(core),
                None => continue,
            },
        };
        let mut values = [0_u64; 8];
        for (value, part) in values
            .iter_mut()
            .zip(words(rest).skip(usize::from(core.is_some())))
        {
            *value = number(part).unwrap_or(0);
        }
        let [user, nice, system, idle, iowait, irq, softirq, steal] = values;
        let busy = [nice, system, irq, softirq]
            .iter()
            .fold(user, |sum, part| sum.saturating_add(*part));
        each(
            core,
            CpuTimes {
                busy,
                idle,
                iowait,
                steal,
            },
        );
    }
}

/// `/proc/schedstat`: nanoseconds that tasks waited for each CPU.
pub fn schedstat(bytes: &[u8], mut each: impl FnMut(u16, u64)) {
    for line in lines(bytes) {
        let Some(rest) = line.strip_prefix(b"cpu") else {
            continue;
        };
        let core = number(rest).and_then(|core| u16::try_from(core).ok());
        let waited = words(rest).nth(8).and_then(number);
        if let (Some(core), Some(waited)) = (core, waited) {
            each(core, waited);
        }
    }
}

/// The fields of `/proc/PID/stat` that are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessStat<'bytes> {
    /// The thread's name, up to 15 bytes.
    pub name: &'bytes [u8],
    /// Kernel flags of the process.
    pub flags: u64,
    /// Minor faults of the children that it waited for: it moves exactly when one was.
    pub children_faults: u64,
    /// User and system time, in clock ticks.
    pub cpu_ticks: u64,
    /// Threads.
    pub threads: u64,
    /// Clock ticks after boot at which it started.
    pub start_ticks: u64,
    /// Resident pages.
    pub resident_pages: u64,
    /// The CPU it ran on last.
    pub processor: Option<u16>,
}

/// The flag of kernel threads in [`ProcessStat::flags`].
pub const KERNEL_THREAD: u64 = 0x0020_0000;

/// `/proc/PID/stat`. The name may hold blanks and parentheses, so fields count from its last `)`.
pub fn process_stat(bytes: &[u8]) -> Option<ProcessStat<'_>> {
    let open = bytes.iter().position(|byte| *byte == b'(')?;
    let close = bytes.iter().rposition(|byte| *byte == b')')?;
    let name = bytes.get(open + 1..close)?;
    let mut stat = ProcessStat {
        name,
        ..ProcessStat::default()
    };
    let mut last = 0;
    for (position, word) in words(&bytes[close + 1..]).enumerate() {
        let target = match position {
            6 => &mut stat.flags,
            8 => &mut stat.children_faults,
            11 | 12 => {
                stat.cpu_ticks = stat.cpu_ticks.saturating_add(number(word)?);
                continue;
            }
            17 => &mut stat.threads,
            19 => &mut stat.start_ticks,
            21 => &mut stat.resident_pages,
            36 => {
                stat.processor = number(word).and_then(|core| core.try_into().ok());
                continue;
            }
            _ => continue,
        };
        *target = number(word)?;
        last = position;
    }
    (last == 21).then_some(stat)
}

/// A list such as `0-2,65`: calls `each` with every number. `None` where it is malformed; what came before was called.
pub fn number_list(bytes: &[u8], mut each: impl FnMut(u16)) -> Option<()> {
    let whole = bytes.trim_ascii();
    if whole.is_empty() {
        return Some(());
    }
    for part in whole.split(|byte| *byte == b',') {
        let mut ends = part.splitn(2, |byte| *byte == b'-');
        let from: u16 = ends.next().and_then(number)?.try_into().ok()?;
        let to = match ends.next() {
            Some(to) => number(to)?.try_into().ok()?,
            None => from,
        };
        (from..=to).for_each(&mut each);
    }
    Some(())
}

/// A line of memory per NUMA node: its key, and by node the bytes (v2, `anon N0=5 N1=6`) or pages (v1,
/// `anon=11 N0=5 N1=6`). Calls `each` with key, node and value.
pub fn numa_stat<'bytes>(bytes: &'bytes [u8], mut each: impl FnMut(&'bytes [u8], u16, u64)) {
    for line in lines(bytes) {
        let mut parts = words(line);
        let Some(key) = parts
            .next()
            .and_then(|word| word.split(|byte| *byte == b'=').next())
        else {
            continue;
        };
        for part in parts {
            let node = part.strip_prefix(b"N").and_then(|part| {
                let mut sides = part.splitn(2, |byte| *byte == b'=');
                let node = sides.next().and_then(number)?.try_into().ok()?;
                Some((node, number(sides.next()?)?))
            });
            if let Some((node, value)) = node {
                each(key, node, value);
            }
        }
    }
}

/// `/proc/PID/statm`: resident and, among them, file-backed or shared pages.
pub fn process_statm(bytes: &[u8]) -> Option<(u64, u64)> {
    let mut parts = words(bytes).skip(1);
    Some((number(parts.next()?)?, number(parts.next()?)?))
}

/// `/proc/PID/io`: bytes fetched from and sent to storage.
pub fn process_io(bytes: &[u8]) -> Option<(u64, u64)> {
    let (mut read, mut write) = (None, None);
    keyed(bytes, |key, value| match key {
        b"read_bytes" => read = Some(value),
        b"write_bytes" => write = Some(value),
        _ => {}
    });
    read.zip(write)
}

/// `/proc/PID/schedstat`: nanoseconds that the thread waited to run.
pub fn run_delay_ns(bytes: &[u8]) -> Option<u64> {
    words(bytes).nth(1).and_then(number)
}

/// `/proc/PID/cgroup`: calls `each` with the controllers (empty for v2) and the path of every line.
pub fn process_cgroups<'bytes>(bytes: &'bytes [u8], mut each: impl FnMut(&'bytes [u8], &'bytes [u8])) {
    for line in lines(bytes) {
        let mut parts = line.splitn(3, |byte| *byte == b':');
        if let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) {
            each(controllers, path);
        }
    }
}

/// `/proc/loadavg`: tasks that run or want to.
pub fn runnable(bytes: &[u8]) -> Option<u64> {
    words(bytes).nth(3).and_then(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_and_limits() {
        assert_eq!(number(b" 42\n"), Some(42));
        assert_eq!(number(b"18446744073709551616"), None, "overflow is absent");
        assert_eq!(number(b"x"), None);
        assert_eq!(limit(b"max\n"), Some(f64::INFINITY));
        assert_eq!(limit(b"-1\n"), Some(f64::INFINITY));
        assert_eq!(limit(b"1048576\n"), Some(1_048_576.0));
        assert_eq!(
            cpu_max(b"20000 100000\n"),
            Some(CpuMax {
                quota_us: 20_000.0,
                period_us: 100_000.0
            })
        );
        assert_eq!(cpu_max(b"max 0\n"), None);
    }

    #[test]
    fn pressure_takes_totals_only() {
        let both = pressure(
            b"some avg10=0.29 avg60=0.53 avg300=0.63 total=11090699\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n",
        );
        assert_eq!(
            both,
            Pressure {
                some_us: Some(11_090_699),
                full_us: Some(7)
            }
        );
        assert_eq!(pressure(b"some avg10=0.00 total=5\n").full_us, None);
    }

    #[test]
    fn io_files_of_both_layouts() {
        let mut seen = Vec::new();
        io_stat(
            b"254:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n253:1 \nbad\n",
            |device, io| seen.push((device.major, io.read_bytes, io.write_ops)),
        );
        assert_eq!(seen, [(254, 4096, 2), (253, 0, 0)]);
        let mut seen = Vec::new();
        blkio(
            b"8:0 Read 10\n8:0 Write 20\n8:0 Sync 9\nTotal 30\n",
            |device, transfer, value| seen.push((device.major, transfer, value)),
        );
        assert_eq!(seen, [(8, Transfer::Read, 10), (8, Transfer::Write, 20)]);
    }

    #[test]
    fn host_files() {
        let mut cores = Vec::new();
        cpu_times(
            b"cpu  10 1 2 100 5 0 1 3 0 0\ncpu0 4 0 1 50 2 0 1 3 0 0\nintr 5\n",
            |core, times| cores.push((core, times.busy, times.steal)),
        );
        assert_eq!(cores, [(None, 14, 3), (Some(0), 6, 3)]);
        let mut waited = Vec::new();
        schedstat(
            b"version 15\ntimestamp 4295\ncpu0 0 0 0 0 0 0 71 5000 9\ndomain0 03 1 2\ncpu12 0 0 0 0 0 0 71 6000 9\n",
            |core, nanoseconds| waited.push((core, nanoseconds)),
        );
        assert_eq!(waited, [(0, 5000), (12, 6000)]);
        let mut disks = Vec::new();
        diskstats(
            b" 254       0 vda 37211 8462 6415594 25405 29762 16226 4881104 8385 0 10292 34631 8486 67\n",
            |device, line| disks.push((device, line)),
        );
        assert_eq!(disks[0].1.io.read_bytes, 6_415_594 * 512);
        assert_eq!((disks[0].1.write_ms, disks[0].1.weighted_ms), (8385, 34631));
        let mut nics = Vec::new();
        net_dev(
            b"Inter-| Receive\n face |bytes\n  eth0: 356 84 0 1 0 0 0 0 58 55 0 2 0 0 0 0\n",
            |name, line| nics.push((name.to_vec(), line)),
        );
        assert_eq!(nics.len(), 1);
        assert_eq!(
            (
                nics[0].1.receive_bytes,
                nics[0].1.receive_drops,
                nics[0].1.transmit_drops
            ),
            (356, 1, 2)
        );
        assert_eq!(runnable(b"0.10 0.20 0.30 3/210 4242\n"), Some(3));
    }

    #[test]
    fn memory_by_node_of_both_versions() {
        let read = |text: &str| {
            let mut found = Vec::new();
            numa_stat(text.as_bytes(), |key, node, value| {
                found.push((String::from_utf8_lossy(key).into_owned(), node, value));
            });
            found
        };
        let is = |key: &str, node, value| (key.to_owned(), node, value);
        assert_eq!(read("anon N0=5 N1=6\n"), [is("anon", 0, 5), is("anon", 1, 6)]);
        let v1 = "total=9 N0=4 N1=5\nhierarchical_anon=3 N0=1 N1=2\nbad N=1 Nx=2\n";
        let expect = [
            is("total", 0, 4),
            is("total", 1, 5),
            is("hierarchical_anon", 0, 1),
            is("hierarchical_anon", 1, 2),
        ];
        assert_eq!(read(v1), expect);
    }

    #[test]
    fn a_process_name_may_hold_anything() {
        let stat = process_stat(
            b"42 (a) b (c) S 1 42 42 0 -1 4194304 120 0 0 0 17 5 0 0 20 0 3 0 9001 1000 250 18446744073709551615 1\n",
        )
        .expect("parses");
        assert_eq!(stat.name, b"a) b (c");
        assert_eq!(
            (
                stat.cpu_ticks,
                stat.threads,
                stat.start_ticks,
                stat.resident_pages
            ),
            (22, 3, 9001, 250)
        );
        assert_eq!(process_stat(b"42 (cut S 1"), None);
        assert_eq!(process_statm(b"100 50 20 1 0 9 0\n"), Some((50, 20)));
        assert_eq!(
            process_io(b"rchar: 5\nread_bytes: 6\nwrite_bytes: 7\n"),
            Some((6, 7))
        );
        assert_eq!(run_delay_ns(b"180 157 43\n"), Some(157));
    }

    proptest! {
        #[test]
        fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = (number(&bytes), limit(&bytes), cpu_max(&bytes), pressure(&bytes), process_stat(&bytes));
            let _ = (process_statm(&bytes), process_io(&bytes), run_delay_ns(&bytes), runnable(&bytes));
            keyed(&bytes, |_, _| {});
            io_stat(&bytes, |_, _| {});
            blkio(&bytes, |_, _, _| {});
            diskstats(&bytes, |_, _| {});
            net_dev(&bytes, |_, _| {});
            cpu_times(&bytes, |_, _| {});
            schedstat(&bytes, |_, _| {});
            process_cgroups(&bytes, |_, _| {});
        }

        #[test]
        fn what_the_kernel_would_write_reads_back(
            values in proptest::collection::vec((0_u32..4096, 0_u32..4096, any::<u64>(), any::<u64>()), 0..8),
            total in any::<u64>(),
        ) {
            let mut text = String::new();
            for (major, minor, read, write) in &values {
                let line = format!("{major}:{minor} rbytes={read} wbytes={write} rios=1 wios=2\n");
                text.push_str(&line);
            }
            let mut back = Vec::new();
            io_stat(text.as_bytes(), |device, io| back.push((device.major, device.minor, io.read_bytes, io.write_bytes)));
            prop_assert_eq!(back, values);
            let text = format!("some avg10=1.00 avg60=0.00 avg300=0.00 total={total}\n");
            prop_assert_eq!(pressure(text.as_bytes()).some_us, Some(total));
        }
    }
}
