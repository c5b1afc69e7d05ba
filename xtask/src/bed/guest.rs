//! One boot of the virtual host, and the line to the agent in it.

use anyhow::{Context, Result, bail};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A boot takes 11 to 37 s on a quiet machine.
const BOOT: Duration = Duration::from_mins(4);
/// A boot that failed is tried once more: emulated hosts lose one now and then.
const BOOTS: usize = 2;
/// Record separator: begins what is ours and not a script's output.
const MARK: char = '\u{1e}';
const SCRIPT_ID: &str = "1";

/// A running virtual host; it ends when this is dropped.
pub(super) struct Guest {
    qemu: Child,
    line: UnixStream,
}

/// What a script said and how it ended.
pub(super) struct Answer {
    pub(super) output: String,
    pub(super) status: i32,
}

impl Drop for Guest {
    fn drop(&mut self) {
        // It runs on a snapshot: there is nothing to lose.
        self.qemu.kill().ok();
        self.qemu.wait().ok();
    }
}

impl Guest {
    /// Boots the image in `folder`; `payload`'s files are offered as a disk that holds a tar.
    pub(super) fn boot(folder: &Path, payload: Option<&Path>) -> Result<Self> {
        let mut tries = 0;
        loop {
            tries += 1;
            match Self::boot_once(folder, payload) {
                Err(error) if tries < BOOTS => eprintln!("boot failed, once more: {error:#}"),
                result => return result,
            }
        }
    }

    fn boot_once(folder: &Path, payload: Option<&Path>) -> Result<Self> {
        let socket = folder.join("commands.sock");
        std::fs::remove_file(&socket).ok();
        let mut command = qemu(folder, &socket)?;
        if let Some(payload) = payload {
            let tar = pack(folder, payload)?;
            command.arg("-drive").arg(format!(
                "file={},if=none,id=payload,format=raw,readonly=on",
                tar.display()
            ));
            command.args(["-device", "virtio-blk-pci,drive=payload,serial=payload"]);
        }
        let log = std::fs::File::create(folder.join("qemu.log")).context("cannot make qemu.log")?;
        let start = Instant::now();
        let qemu = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn();
        let mut qemu = qemu.context("cannot start qemu-system-x86_64")?;
        match connect(&socket, &mut qemu, start) {
            Ok(line) => {
                eprintln!("booted in {:.0} s", start.elapsed().as_secs_f64());
                Ok(Self { qemu, line })
            }
            Err(error) => {
                qemu.kill().ok();
                qemu.wait().ok();
                let said = std::fs::read_to_string(folder.join("qemu.log")).unwrap_or_default();
                Err(error.context(format!(
                    "see {}/console.log; qemu said: {}",
                    folder.display(),
                    said.trim()
                )))
            }
        }
    }

    /// Runs a bash script as root, showing its output as it comes.
    pub(super) fn run(&self, script: &str, patience: Duration) -> Result<Answer> {
        let mut line = &self.line;
        writeln!(line, "RUN {SCRIPT_ID} {}", base64(script.as_bytes()))
            .context("the virtual host is gone")?;
        let deadline = Instant::now() + patience;
        let end = format!("{MARK}END {SCRIPT_ID} ");
        let mut said = String::new();
        while Instant::now() < deadline {
            let shown = said.len();
            if !read_some(line, &mut said)? {
                continue;
            }
            print!("{}", said[shown..].split(MARK).next().unwrap_or_default());
            if let Some((output, rest)) = said.split_once(&end)
                && let Some((status, _)) = rest.split_once('\n')
            {
                return Ok(Answer {
                    output: output.to_owned(),
                    status: status.trim().parse()?,
                });
            }
        }
        bail!("the script had not ended after {} s", patience.as_secs())
    }
}

/// Waits for the agent's hello.
fn connect(socket: &Path, qemu: &mut Child, start: Instant) -> Result<UnixStream> {
    let mut line = None;
    let mut said = String::new();
    while start.elapsed() < BOOT {
        if let Some(status) = qemu.try_wait()? {
            bail!("qemu ended with {status}");
        }
        let Some(open) = &line else {
            line = UnixStream::connect(socket).ok();
            std::thread::sleep(Duration::from_millis(50));
            continue;
        };
        open.set_read_timeout(Some(Duration::from_millis(500)))?;
        read_some(open, &mut said)?;
        if said.contains(&format!("{MARK}READY")) {
            return line.context("no line");
        }
    }
    bail!("no sign of life after {} s", BOOT.as_secs())
}

/// Appends what is there; false where nothing came in time.
fn read_some(mut line: &UnixStream, said: &mut String) -> Result<bool> {
    let mut buffer = [0; 4096];
    match line.read(&mut buffer) {
        Ok(0) => bail!("the virtual host is gone"),
        Ok(count) => {
            said.push_str(&String::from_utf8_lossy(&buffer[..count]));
            Ok(true)
        }
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
            ) =>
        {
            Ok(false)
        }
        Err(error) => Err(error).context("the virtual host is gone"),
    }
}

/// Four CPUs, 2 GiB, the root image as an NVMe disk (its driver is in the kernel), one serial port for the agent.
fn qemu(folder: &Path, socket: &Path) -> Result<Command> {
    let show = |name: &str| folder.join(name).display().to_string();
    // The emulated clock counter is the host's: telling its rate keeps the guest's clock right on a busy host.
    let kernel = format!(
        "root=/dev/nvme0n1 rw console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable tsc_early_khz={} \
         no_timer_check psi=1 systemd.unified_cgroup_hierarchy=1 net.ifnames=0",
        host_khz()?
    );
    let mut command = Command::new("qemu-system-x86_64");
    command
        .args([
            "-M",
            "q35",
            "-accel",
            "tcg,thread=multi,tb-size=256",
            "-smp",
            "4",
            "-m",
            "2048",
        ])
        // Without it, parallel emulation corrupts guests: 16-byte exchanges are not atomic there.
        .args(["-cpu", "max,-cx16"])
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"])
        .args(["-kernel", &show("vmlinuz"), "-append", &kernel])
        .args([
            "-chardev",
            &format!("file,id=console,path={}", show("console.log")),
            "-serial",
            "chardev:console",
        ])
        .args(["-device", "nvme,drive=root,serial=root"])
        .args([
            "-drive",
            &format!(
                "file={},if=none,id=root,format=raw,snapshot=on,cache=unsafe",
                show("root.ext4")
            ),
        ])
        .args(["-device", "virtio-rng-pci", "-device", "virtio-serial-pci"])
        .args([
            "-chardev",
            &format!("socket,id=commands,path={},server=on,wait=off", socket.display()),
        ])
        .args(["-device", "virtserialport,chardev=commands,name=bed.commands"]);
    Ok(command)
}

fn host_khz() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/cpuinfo").context("cannot read the CPU's rate")?;
    let mhz = text.lines().find_map(|line| {
        line.strip_prefix("cpu MHz")?
            .split_once(':')?
            .1
            .trim()
            .parse::<f64>()
            .ok()
    });
    Ok((mhz.context("the CPU's rate is not told")? * 1e3) as u64)
}

fn pack(folder: &Path, payload: &Path) -> Result<PathBuf> {
    let tar = folder.join("payload.tar");
    let status = Command::new("tar")
        .arg("-chf")
        .arg(&tar)
        .arg("-C")
        .arg(payload)
        .arg(".")
        .status();
    if !status.context("cannot run tar")?.success() {
        bail!("cannot pack {}", payload.display());
    }
    Ok(tar)
}

/// Base64 with padding (RFC 4648), so that a script is one word on the line.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let at = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for place in 0..4 {
            let index = (bits >> (18 - 6 * place)) as usize & 63;
            text.push(if place <= chunk.len() {
                char::from(ALPHABET[index])
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_as_everyone_writes_it() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
        ] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }
}
