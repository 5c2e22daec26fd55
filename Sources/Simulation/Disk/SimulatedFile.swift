// An open file of the simulated disk.

import DiskPort
import Glibc
import SystemPackage

/// A file, for one process.
// @unchecked: the simulation has one thread.
final class SimulatedFile: DiskFile, @unchecked Sendable {
    private let mount: SimulatedMount
    private let inode: Inode
    private var disk: SimulatedDisk { mount.disk }

    init(mount: SimulatedMount, inode: Inode) {
        self.mount = mount
        self.inode = inode
    }

    func read(at offset: Int, count: Int) throws(Errno) -> [UInt8] {
        if try disk.begin("read", mount.generation, inode) { throw disk.die() }
        guard !inode.isFolder else { throw .isDirectory }
        return Array(inode.content.dropFirst(offset).prefix(count))
    }

    func write(_ bytes: [UInt8], at offset: Int) throws(Errno) {
        let grows = offset + bytes.count > inode.content.count
        do throws(Errno) {
            let dies = try disk.begin("write", mount.generation, inode, grows: grows)
            guard dies else {
                disk.trace.note("write", inode.number, offset, bytes.count)
                return inode.change(.write(offset: offset, bytes: bytes), now: disk.now)
            }
        } catch {
            // As much as there was room for, or as the disk took.
            if mount.generation == disk.generation { tear(bytes, at: offset) }
            throw error
        }
        tear(bytes, at: offset)
        throw disk.die()
    }

    private func tear(_ bytes: [UInt8], at offset: Int) {
        let count = disk.chance(UInt64(bytes.count) + 1)
        guard count > 0 else { return }
        disk.counts.tornWrites += 1
        disk.trace.note("torn write", inode.number, offset, count)
        inode.change(.write(offset: offset, bytes: Array(bytes.prefix(count))), now: disk.now)
    }

    func truncate(to size: Int) throws(Errno) {
        let dies = try disk.begin("truncate", mount.generation, inode)
        disk.trace.note("truncate", inode.number, size)
        inode.change(.truncate(size: size), now: disk.now)
        if dies { throw disk.die() }
    }

    func sync() throws(Errno) {
        let dies: Bool
        do throws(Errno) { dies = try disk.begin("sync", mount.generation, inode) } catch {
            if mount.generation == disk.generation, !inode.pending.isEmpty {
                disk.counts.failedSyncs += 1
                inode.failSync()
            }
            throw error
        }
        if !dies || disk.chance(2) == 0 {
            disk.trace.note("sync", inode.number)
            inode.sync()
        }
        if dies { throw disk.die() }
    }

    func syncData() throws(Errno) { try sync() }

    func status() throws(Errno) -> FileStatus {
        if try disk.begin("status", mount.generation, inode) { throw disk.die() }
        return FileStatus(size: inode.content.count, isRegular: !inode.isFolder, modified: inode.modified)
    }

    func setModified(_ time: timespec) throws(Errno) {
        if try disk.begin("set time", mount.generation, inode) { throw disk.die() }
        inode.change(.modified(time), now: disk.now)
    }
}
