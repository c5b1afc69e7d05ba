#!/bin/bash
# Builds the virtual host's kernel and root image from Debian's own packages, without loop devices.
#
# usage: image.sh FOLDER     leaves FOLDER/vmlinuz and FOLDER/root.ext4; what is there already is kept
# needs: mmdebstrap, e2fsprogs, kmod
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
cd "$1"
folder=$PWD
mirror=${TIDEGATE_BED_MIRROR:-http://deb.debian.org/debian}
suite=bookworm

if [ ! -e kernel/complete ]; then
    # An apt of our own: the host's lists and packages stay as they are.
    rm -rf kernel apt
    mkdir -p kernel apt/lists/partial apt/cache/archives/partial
    : > apt/status
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" > apt/sources.list
    options=(-qq "-oDir::State::Lists=$folder/apt/lists" "-oDir::State::status=$folder/apt/status"
        "-oDir::Cache=$folder/apt/cache" "-oDir::Etc::SourceList=$folder/apt/sources.list"
        "-oDir::Etc::SourceParts=/dev/null" "-oAPT::Sandbox::User=root")
    apt-get "${options[@]}" update
    package=$(apt-cache "${options[@]}" depends linux-image-cloud-amd64 | awk '/Depends: linux-image/ { print $2; exit }')
    (cd kernel && apt-get "${options[@]}" download "$package" && dpkg -x ./*.deb . && rm ./*.deb)
    cp kernel/boot/vmlinuz-* vmlinuz
    touch kernel/complete
    echo "kernel: $package" >&2
fi

if [ ! -e root.tar ]; then
    mmdebstrap --quiet --variant=minbase --include=systemd,systemd-sysv,dbus,udev,kmod,procps \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --aptopt='APT::Install-Recommends "false"' \
        "$suite" root.partial.tar "$mirror"
    mv root.partial.tar root.tar
    echo "root: $(du -h root.tar | cut -f1)" >&2
fi

if [ ! -e root.ext4 ] || [ "$here/agent.sh" -nt root.ext4 ] || [ "$0" -nt root.ext4 ]; then
    tree=$(mktemp -d "$folder/tree.XXXX")
    trap 'rm -rf "$tree"' EXIT
    tar -xf root.tar -C "$tree" --exclude='./dev/*'
    for modules in kernel/lib/modules/* kernel/usr/lib/modules/*; do
        [ -d "$modules" ] || continue
        mkdir -p "$tree/usr/lib/modules"
        cp -a "$modules" "$tree/usr/lib/modules/"
        depmod -b "$tree" "$(basename "$modules")"
    done
    echo bed > "$tree/etc/hostname"
    : > "$tree/etc/fstab"
    : > "$tree/etc/machine-id"
    install -m 755 "$here/agent.sh" "$tree/usr/local/sbin/bed-agent"
    install -m 644 "$here/bed-agent.service" "$tree/etc/systemd/system/"
    mkdir -p "$tree/etc/systemd/system/sysinit.target.wants"
    ln -sf /etc/systemd/system/bed-agent.service "$tree/etc/systemd/system/sysinit.target.wants/"
    # Nothing should wake up while something is measured.
    for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \
        fstrim.timer systemd-timesyncd.service serial-getty@ttyS0.service getty@tty1.service; do
        ln -sf /dev/null "$tree/etc/systemd/system/$unit"
    done
    rm -f root.partial.ext4
    truncate -s 1G root.partial.ext4
    mkfs.ext4 -q -F -O '^has_journal,^metadata_csum' -E lazy_itable_init=1 -d "$tree" root.partial.ext4
    mv root.partial.ext4 root.ext4
    echo "image: $(du -h root.ext4 | cut -f1)" >&2
fi
