//! The apps that are being read: one slot each, kept across looks while its groups stay the same.

use crate::clock::Clock;
use crate::collector::network_of;
use crate::disks::Devices;
use crate::files::{Buffer, DescriptorBudget, KeptFile};
use crate::group_reader::{DiskSlot, GroupReader, Means, NodeSlot};
use crate::groups::GroupIds;
use crate::layout::Roots;
use crate::placement::{Place, Placement};
use crate::process_reader::{Members, ProcessReader, Wanted};
use crate::processes::ProcessTable;
use crate::ranges::{DiskRanges, RangeSlot};
use crate::rate::left_of;
use crate::roster::{Roster, SHORT_LIVED, Wish, upwards};
use crate::sockets::Sockets;
use rustix::fd::OwnedFd;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tidegate_types::{App, AppName, BootTime, Entity, Event, Field, Hierarchy, Row};

/// Limits are read again this often even when nobody was seen to write them, a few apps per look.
const REFRESH_TICKS: u64 = 60;

/// The same where the folders cannot be watched.
const UNWATCHED_REFRESH_TICKS: u64 = 5;

/// Where a confined app's threads may run is looked at this often; of the others, as often as limits.
const CONFINED_TICKS: u64 = 5;

/// Quantities of which a parent has what its children leave.
const ADDITIVE: [Field; 8] = [
    Field::CpuUsage,
    Field::Memory,
    Field::MemoryAnonymous,
    Field::MemoryFile,
    Field::Swap,
    Field::MemoryRefaults,
    Field::MemoryReclaimed,
    Field::MemoryOomKills,
];

/// Additive as well, but of the processes where the groups do not tell them.
const ADDITIVE_IO: [Field; 2] = [Field::AppRead, Field::AppWrite];

/// Waiting of a whole subtree: it cannot be divided, so a parent of other apps has none of its own.
const INDIVISIBLE: [Field; 6] = [
    Field::CpuWaiting,
    Field::CpuStalled,
    Field::MemoryWaiting,
    Field::MemoryStalled,
    Field::IoWaiting,
    Field::IoStalled,
];

const ADDITIVE_DISK: [Field; 4] = [
    Field::AppDiskRead,
    Field::AppDiskWrite,
    Field::AppDiskReadOps,
    Field::AppDiskWriteOps,
];
const ADDITIVE_NODE: [Field; 2] = [Field::AppNodeMemory, Field::AppNodeFile];

/// One app.
#[derive(Debug)]
struct Slot {
    app: App,
    ids: GroupIds,
    group: Option<GroupReader>,
    members: Members,
    /// What its processes answer for.
    wanted: Wanted,
    processes: f64,
    /// Their numbers.
    pids: Vec<u32>,
    /// Whether its processes use this process's network; unknown while it has none.
    own_network: Option<bool>,
    row: usize,
    children: Vec<usize>,
    placement: Placement,
    /// What it does in parts of disks, where that was seen.
    ranges: Vec<RangeSlot>,
}

/// What settling needs.
pub(crate) struct Shared<'collector> {
    pub(crate) roots: &'collector Roots,
    pub(crate) proc_folder: Option<&'collector OwnedFd>,
    pub(crate) descriptors: &'collector DescriptorBudget,
    /// When the look before was.
    pub(crate) last: Option<BootTime>,
    /// Inode of this process's network namespace.
    pub(crate) own_network: Option<u64>,
    /// CPUs that are online.
    pub(crate) online: &'collector [u16],
    /// NUMA nodes, where there are several.
    pub(crate) nodes: &'collector [u16],
}

impl Shared<'_> {
    /// Whether `pid` is in this process's network; unknown where that may not be read.
    fn uses_own_network(&self, pid: u32) -> Option<bool> {
        let network = network_of(self.proc_folder?, &pid.to_string())?;
        Some(network == self.own_network?)
    }
}

/// What one look needs.
pub(crate) struct Look<'collector> {
    pub(crate) proc_folder: &'collector OwnedFd,
    pub(crate) descriptors: &'collector DescriptorBudget,
    pub(crate) ticks: u64,
    /// Writes to limits may go unseen.
    pub(crate) unwatched: bool,
    /// CPU seconds per second of everything on the host.
    pub(crate) busy_cores: f64,
    /// CPUs that are online.
    pub(crate) online: &'collector [u16],
}

/// All apps, sorted by name.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    all: Vec<Slot>,
    /// Parents before their children.
    parents: Vec<usize>,
    /// The app that owns each v2 group, by group id, for socket tables.
    owners: HashMap<u64, usize>,
    /// Something was seen while reading that needs the apps settled anew.
    pub(crate) unsettled: bool,
}

fn wanted(group: Option<&GroupReader>) -> Wanted {
    let Some(group) = group else { return Wanted::ALL };
    Wanted {
        usage: !group.reads_usage(),
        memory: !group.reads_memory(),
        io: !group.reads_io(),
        run_delay: false,
    }
}

impl Slots {
    pub(crate) fn apps(&self) -> impl Iterator<Item = &App> {
        self.all.iter().map(|slot| &slot.app)
    }

    /// Whose process each number is, without those that are too short-lived to be followed.
    pub(crate) fn members(&self) -> BTreeMap<u32, AppName> {
        let followed = self
            .all
            .iter()
            .filter(|slot| slot.app.name.as_str() != SHORT_LIVED);
        followed
            .flat_map(|slot| slot.pids.iter().map(|pid| (*pid, slot.app.name.clone())))
            .collect()
    }

    /// Takes over the slots whose groups stay, opens those that are new, and notes the difference.
    pub(crate) fn settle(
        &mut self,
        roster: Roster,
        shared: &Shared<'_>,
        buffer: &mut Buffer,
        events: &mut Vec<Event>,
    ) {
        let mut before: BTreeMap<AppName, Slot> = std::mem::take(&mut self.all)
            .into_iter()
            .map(|slot| (slot.app.name.clone(), slot))
            .collect();
        let mut came = Vec::new();
        for (name, wish) in roster.wishes {
            let known = before.remove(&name);
            let (slot, changed) = Slot::settle(known, wish, shared, buffer);
            if changed {
                came.push(Event::AppCame(slot.app.clone()));
            }
            self.all.push(slot);
        }
        events.extend(before.into_keys().map(Event::AppWent));
        events.extend(came);
        self.find_children();
    }

    fn find_children(&mut self) {
        let places: HashMap<AppName, usize> = self.apps().map(|app| app.name.clone()).zip(0..).collect();
        let mut children = vec![Vec::new(); self.all.len()];
        for (position, app) in self.apps().enumerate() {
            if let Some(parent) = app.parent.as_ref().and_then(|parent| places.get(parent)) {
                children[*parent].push(position);
            }
        }
        for (slot, children) in self.all.iter_mut().zip(children) {
            slot.children = children;
        }
        self.parents = (0..self.all.len())
            .filter(|position| !self.all[*position].children.is_empty())
            .collect();
        let slots = &self.all;
        self.parents.sort_by_key(|position| slots[*position].depth());
    }

    /// Finds the app of every v2 group: its own, or the nearest above it.
    pub(crate) fn find_owners(&mut self, groups: &BTreeMap<Arc<str>, GroupIds>) {
        let places: HashMap<&str, usize> = self
            .all
            .iter()
            .enumerate()
            .filter_map(|(position, slot)| Some((slot.path()?, position)))
            .collect();
        let owner = |path: &str| upwards(path).find_map(|above| places.get(above).copied());
        self.owners = groups
            .iter()
            .filter(|(_, ids)| ids[Hierarchy::V2 as usize] != 0)
            .filter_map(|(path, ids)| Some((ids[Hierarchy::V2 as usize], owner(path)?)))
            .collect();
    }

    /// Gives every app with a v2 group in this network its share of the traffic.
    pub(crate) fn fill_traffic(&self, sockets: &Sockets, seconds: f64, rows: &mut [Row]) {
        let measured = |slot: &Slot| {
            let group = slot.app.group.as_ref();
            slot.own_network == Some(true)
                && group.is_some_and(|group| group.in_hierarchy(Hierarchy::V2).is_some())
        };
        for slot in self.all.iter().filter(|slot| measured(slot)) {
            rows[slot.row].set(Field::AppReceive, 0.0);
            rows[slot.row].set(Field::AppTransmit, 0.0);
        }
        for (group, traffic) in sockets.traffic() {
            let Some(slot) = self.owners.get(&group).map(|owner| &self.all[*owner]) else {
                continue;
            };
            // Nothing is added to what is not measured: NaN stays NaN.
            let values = &mut rows[slot.row].values;
            values[Field::AppReceive.slot()] += traffic.received as f64 / seconds;
            values[Field::AppTransmit.slot()] += traffic.sent as f64 / seconds;
        }
    }

    /// Gives every app with a v2 group what it asked of parts of disks.
    pub(crate) fn fill_ranges(&mut self, ranges: &mut DiskRanges, seconds: f64, rows: &mut [Row]) {
        for slot in &mut self.all {
            slot.ranges.iter_mut().for_each(RangeSlot::begin);
        }
        ranges.each_increase(|group, place, increase| {
            let Some(owner) = self.owners.get(&group) else {
                return;
            };
            let slots = &mut self.all[*owner].ranges;
            if let Some(known) = slots.iter_mut().find(|known| known.is(place)) {
                known.add(increase);
            } else {
                slots.push(RangeSlot::new(place, increase));
                self.unsettled = true;
            }
        });
        for slot in &self.all {
            slot.ranges.iter().for_each(|range| range.fill(seconds, rows));
        }
    }

    /// The entities of all rows, in any order.
    pub(crate) fn add_entities(&self, devices: &Devices, entities: &mut Vec<Entity>) {
        for slot in &self.all {
            entities.push(Entity::App(slot.app.name.clone()));
            let disks = slot.group.iter().flat_map(|group| &group.disks);
            entities.extend(disks.map(|disk| slot.disk_entity(devices, disk.device)));
            let name = || slot.app.name.clone();
            let cores = slot.placement.cores.iter();
            entities.extend(cores.map(|placed| Entity::AppCore(name(), placed.core)));
            let nodes = slot.group.iter().flat_map(|group| &group.nodes);
            entities.extend(nodes.map(|node| Entity::AppNode(name(), node.node)));
            entities.extend(slot.ranges.iter().map(|range| range.entity(&slot.app.name)));
        }
    }

    /// Tells every slot where its rows are.
    pub(crate) fn assign_rows(&mut self, devices: &Devices, find: &dyn Fn(&Entity) -> usize) {
        for slot in &mut self.all {
            slot.row = find(&Entity::App(slot.app.name.clone()));
            for range in &mut slot.ranges {
                range.row = find(&range.entity(&slot.app.name));
            }
            for placed in &mut slot.placement.cores {
                placed.row = find(&Entity::AppCore(slot.app.name.clone(), placed.core));
            }
            let Some(mut group) = slot.group.take() else {
                continue;
            };
            for disk in &mut group.disks {
                disk.row = find(&slot.disk_entity(devices, disk.device));
            }
            for node in &mut group.nodes {
                node.row = find(&Entity::AppNode(slot.app.name.clone(), node.node));
            }
            slot.group = Some(group);
        }
    }

    /// Reads all apps into their rows.
    pub(crate) fn read(
        &mut self,
        means: &mut Means<'_>,
        clock: &mut Clock,
        look: &Look<'_>,
        rows: &mut [Row],
    ) {
        for position in 0..self.all.len() {
            let slot = &mut self.all[position];
            self.unsettled |= slot.refresh(position as u64, means, look);
            self.unsettled |= slot.look_at_placement(position as u64, means, look);
            let at = clock().boot;
            if let Some(group) = &mut slot.group {
                group.read(means, at, rows, slot.row);
                self.unsettled |= std::mem::take(&mut group.disks_changed);
            }
            if !slot.wanted.nothing() {
                let row = &mut rows[slot.row];
                slot.members
                    .read(look.proc_folder, means.buffer, at, means.online, slot.wanted, row);
            }
            rows[slot.row].set(Field::Processes, slot.processes);
        }
        self.take_children_off(rows);
        self.leave_the_rest(look.busy_cores, rows);
        for slot in &mut self.all {
            let usage = rows[slot.row].values[Field::CpuUsage.slot()];
            slot.placement.read(look.proc_folder, means.buffer, usage, rows);
        }
    }

    /// From subtree values to own values, parents first, so that a child's value is still its subtree's.
    fn take_children_off(&self, rows: &mut [Row]) {
        for parent in self.parents.iter().map(|position| &self.all[*position]) {
            let children = || parent.children.iter().map(|child| &self.all[*child]);
            let mut subtract = |fields: &[Field], told: fn(&Wanted) -> bool| {
                if !told(&parent.wanted) {
                    return;
                }
                for field in fields {
                    let slot = field.slot();
                    let below: f64 = children()
                        .filter(|child| told(&child.wanted))
                        .map(|child| rows[child.row].values[slot])
                        .sum();
                    let own = &mut rows[parent.row].values[slot];
                    *own = left_of(*own, below);
                }
            };
            subtract(&ADDITIVE[..1], |wanted| !wanted.usage);
            subtract(&ADDITIVE[1..], |wanted| !wanted.memory);
            subtract(&ADDITIVE_IO, |wanted| !wanted.io);
            for field in INDIVISIBLE {
                rows[parent.row].set(field, f64::NAN);
            }
            let on_disk = |disk: &DiskSlot| (disk.device, disk.row);
            self.take_children_off_parts(parent, rows, &ADDITIVE_DISK, |group| &group.disks, on_disk);
            let on_node = |node: &NodeSlot| (usize::from(node.node), node.row);
            self.take_children_off_parts(parent, rows, &ADDITIVE_NODE, |group| &group.nodes, on_node);
        }
    }

    /// The same for the rows that the parent has on parts of the host, told by number and row.
    fn take_children_off_parts<Part>(
        &self,
        parent: &Slot,
        rows: &mut [Row],
        fields: &[Field],
        parts: fn(&GroupReader) -> &[Part],
        place: fn(&Part) -> (usize, usize),
    ) {
        for (number, row) in parent.group.iter().flat_map(parts).map(place) {
            let same_part = |child: &usize| {
                let mut others = parts(self.all[*child].group.as_ref()?).iter().map(place);
                others.find(|(other, _)| *other == number)
            };
            let below = parent.children.iter().filter_map(same_part);
            for slot in fields.iter().map(|field| field.slot()) {
                let children = below.clone().filter_map(|(_, row)| rows.get(row));
                let taken: f64 = children.map(|row| row.values[slot]).sum();
                if let Some(row) = rows.get_mut(row) {
                    row.values[slot] = left_of(row.values[slot], taken);
                }
            }
        }
    }

    /// The pseudo-app has the CPU time that no app accounts for: the remainder of the root group.
    fn leave_the_rest(&self, busy_cores: f64, rows: &mut [Row]) {
        let (mut used, mut pseudo) = (0.0, None);
        for slot in &self.all {
            if slot.app.name.as_str() == SHORT_LIVED {
                pseudo = Some(slot.row);
                continue;
            }
            // An app that was not measured now (it just came) counts with the rest.
            let usage = rows[slot.row].values[Field::CpuUsage.slot()];
            used += if usage.is_nan() { 0.0 } else { usage };
        }
        if let Some(row) = pseudo {
            rows[row].set(Field::CpuUsage, left_of(busy_cores, used));
        }
    }

    /// The limits of the group at `path` were written.
    pub(crate) fn limits_touched(&mut self, path: &str) {
        for group in self.all.iter_mut().filter(|slot| slot.path() == Some(path)) {
            if let Some(group) = &mut group.group {
                group.limits_stale = true;
            }
        }
    }

    /// The children of `path` got other controllers, hence other files: they are opened anew.
    pub(crate) fn controllers_touched(&mut self, path: &str) {
        for slot in &mut self.all {
            let is_child = slot
                .path()
                .and_then(|own| own.rsplit_once('/'))
                .is_some_and(|(parent, _)| parent == path);
            if is_child {
                slot.group = None;
                self.unsettled = true;
            }
        }
    }

    /// Looks again at processes that were found ended, whose numbers others may have by now. True when the
    /// table changed.
    pub(crate) fn look_at_ended(&self, table: &mut ProcessTable, buffer: &mut Buffer) -> bool {
        let mut any = false;
        for slot in self.all.iter().filter(|slot| slot.members.lost_some()) {
            for reader in slot.members.readers.iter().filter(|reader| reader.gone) {
                any |= table.look(reader.pid, buffer);
            }
        }
        any
    }

    /// The block devices are others now: what was done on each starts anew.
    pub(crate) fn forget_disks(&mut self) {
        for group in self.all.iter_mut().filter_map(|slot| slot.group.as_mut()) {
            group.disks.clear();
        }
        self.all.iter_mut().for_each(|slot| slot.ranges.clear());
    }

    pub(crate) fn forget(&mut self) {
        for slot in &mut self.all {
            slot.members.forget();
            slot.placement.forget();
            if let Some(group) = &mut slot.group {
                group.forget();
            }
        }
    }

    /// The kept files of all apps.
    pub(crate) fn files(&self) -> impl Iterator<Item = &KeptFile> {
        self.all.iter().flat_map(|slot| {
            let group = slot.group.iter().flat_map(GroupReader::files);
            let members = slot.members.readers.iter().flat_map(ProcessReader::files);
            group.chain(members).chain(slot.placement.files())
        })
    }

    /// CPU and memory limit of the group at `path`, in cores and bytes; infinite without.
    pub(crate) fn limits_of(&self, path: &str) -> Option<(f64, f64)> {
        let slot = self.all.iter().find(|slot| slot.path() == Some(path))?;
        slot.group.as_ref().map(GroupReader::bounds)
    }

    /// Apps that may not use every CPU.
    pub(crate) fn confined(&self) -> usize {
        let slots = self.all.iter();
        slots.filter(|slot| slot.placement.is_confined()).count()
    }

    /// Apps whose memory is told by NUMA node.
    pub(crate) fn on_nodes(&self) -> usize {
        let groups = self.all.iter().filter_map(|slot| slot.group.as_ref());
        groups.filter(|group| !group.nodes.is_empty()).count()
    }

    /// Apps with a group, and those among them whose groups tell I/O and memory.
    pub(crate) fn coverage(&self) -> [usize; 3] {
        let groups = || self.all.iter().filter_map(|slot| slot.group.as_ref());
        [
            groups().count(),
            groups().filter(|group| group.reads_io()).count(),
            groups().filter(|group| group.reads_memory()).count(),
        ]
    }
}

impl Slot {
    fn path(&self) -> Option<&str> {
        let group = self.app.group.as_ref()?;
        group.paths.first().map(|group| &*group.path)
    }

    fn depth(&self) -> usize {
        self.path().map_or(0, |path| path.matches('/').count())
    }

    fn disk_entity(&self, devices: &Devices, device: usize) -> Entity {
        Entity::AppDisk(self.app.name.clone(), devices.leaves[device].1.clone())
    }

    /// The slot that `wish` asks for, and whether the app is new or its groups are.
    fn settle(known: Option<Self>, mut wish: Wish, shared: &Shared<'_>, buffer: &mut Buffer) -> (Self, bool) {
        let ids = wish.group.as_ref().map_or([0; 6], |(_, ids)| *ids);
        let mut changed = true;
        let (mut group, mut members, mut own_network) = (None, Members::default(), None);
        let (mut placement, mut ranges) = (Placement::default(), Vec::new());
        if let Some(known) = known {
            if known.ids == ids && known.app.group == wish.app.group {
                // The first process may end; what it was is still what the app is.
                wish.app.executable = known.app.executable.clone().or(wish.app.executable);
                wish.app.user = known.app.user.clone().or(wish.app.user);
                changed = known.app != wish.app;
                group = known.group.filter(|group| !group.dead);
                own_network = known.own_network;
            }
            members = known.members;
            placement = known.placement;
            ranges = known.ranges;
        }
        if let (None, Some((path, ids))) = (&group, &wish.group) {
            group = Some(GroupReader::open(
                path,
                ids,
                shared.roots,
                shared.descriptors,
                shared.nodes,
                buffer,
            ));
        }
        let mut slot = Self {
            wanted: wanted(group.as_ref()),
            app: wish.app,
            ids,
            group,
            members,
            processes: wish.processes.len() as f64,
            pids: wish.processes.iter().map(|(pid, _)| *pid).collect(),
            own_network: own_network.or_else(|| shared.uses_own_network(wish.processes.first()?.0)),
            row: 0,
            children: Vec::new(),
            placement,
            ranges,
        };
        slot.find_placement(shared, buffer);
        slot.assign(&wish.processes, shared, buffer);
        (slot, changed)
    }

    /// Looks where its processes may run, unless they are those of before.
    fn find_placement(&mut self, shared: &Shared<'_>, buffer: &mut Buffer) {
        if self.app.name.as_str() == SHORT_LIVED {
            return;
        }
        self.placement.assign(&self.pids);
        if let Some(proc_folder) = shared.proc_folder.filter(|_| self.placement.stale) {
            let place = Place {
                proc_folder,
                descriptors: shared.descriptors,
                online: shared.online,
            };
            self.placement.look(&place, buffer);
        }
    }

    /// Looks again where its threads may run, when it is its turn. True when the apps must be settled anew.
    fn look_at_placement(&mut self, position: u64, means: &mut Means<'_>, look: &Look<'_>) -> bool {
        let every = if self.placement.is_confined() {
            CONFINED_TICKS
        } else {
            REFRESH_TICKS
        };
        if !self.placement.stale && look.ticks % every != position % every {
            return false;
        }
        let place = Place {
            proc_folder: look.proc_folder,
            descriptors: look.descriptors,
            online: look.online,
        };
        self.placement.look(&place, means.buffer)
    }

    /// Makes the members those of `processes`, keeping the readers of those that stay.
    fn assign(&mut self, processes: &[(u32, u64)], shared: &Shared<'_>, buffer: &mut Buffer) {
        let mut before: HashMap<u32, ProcessReader> = std::mem::take(&mut self.members.readers)
            .into_iter()
            .map(|reader| (reader.pid, reader))
            .collect();
        let Some(folder) = shared.proc_folder.filter(|_| !self.wanted.nothing()) else {
            return;
        };
        let since = self.members.last().or(shared.last);
        for (pid, start_ticks) in processes {
            let known = before
                .remove(pid)
                .filter(|reader| reader.is(*pid, *start_ticks, self.wanted) && !reader.gone);
            let reader = known.unwrap_or_else(|| {
                let mut reader = ProcessReader::open(
                    *pid,
                    *start_ticks,
                    self.wanted,
                    folder,
                    shared.descriptors,
                    buffer,
                );
                if let Some(since) = since {
                    reader.count_from_start(since);
                }
                reader
            });
            self.members.readers.push(reader);
        }
    }

    /// Does the slow work whose turn it is. True when the apps must be settled anew.
    fn refresh(&mut self, position: u64, means: &mut Means<'_>, look: &Look<'_>) -> bool {
        let every = if look.unwatched {
            UNWATCHED_REFRESH_TICKS
        } else {
            REFRESH_TICKS
        };
        let Some(group) = self
            .group
            .as_mut()
            .filter(|_| look.ticks % every == position % every)
        else {
            return false;
        };
        group.limits_stale = true;
        group.look_for_io(means.roots, look.descriptors, means.buffer);
        self.wanted != wanted(Some(group))
    }
}
