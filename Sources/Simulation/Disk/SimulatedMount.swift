// The simulated disk as one process sees it: the port's methods, each a system call that may be its last.

import DiskPort
import Glibc
import SystemPackage

/// The disk, for one process.
struct SimulatedMount: Disk {
    let disk: SimulatedDisk
    let generation: Int
    let root: Inode

    /// - Parameter path: absolute; only its last component may be missing.
    func openFolder(_ path: String) throws(Errno) -> any DiskFolder {
        var folder: any DiskFolder = SimulatedFolder(mount: self, inode: root, path: "")
        for name in path.split(separator: "/") { folder = try folder.openFolder(String(name)) }
        return folder
    }
}

// @unchecked: the simulation has one thread; so everywhere below.
final class SimulatedFolder: DiskFolder, @unchecked Sendable {
    private let mount: SimulatedMount
    fileprivate let inode: Inode
    private let path: String
    private var disk: SimulatedDisk { mount.disk }

    init(mount: SimulatedMount, inode: Inode, path: String) {
        self.mount = mount
        self.inode = inode
        self.path = path
    }

    func openFolder(_ name: String) throws(Errno) -> any DiskFolder {
        let dies = try disk.begin("open folder", mount.generation, inode, mayFail: false)
        if dies { throw disk.die() }
        if name == ".." { return SimulatedFolder(mount: mount, inode: inode.parent ?? inode, path: "\(path)/..") }
        if let found = inode.entries[name] {
            guard found.isFolder else { throw .notDirectory }
            return SimulatedFolder(mount: mount, inode: found, path: "\(path)/\(name)")
        }
        let new = disk.makeInode(isFolder: true, parent: inode)
        disk.change([.init(folder: inode, name: name, old: nil, new: new)])
        return SimulatedFolder(mount: mount, inode: new, path: "\(path)/\(name)")
    }

    func open(_ name: String, _ access: DiskAccess) throws(Errno) -> any DiskFile {
        let found = inode.entries[name]
        let makes = found == nil && access != .read && access != .readAndWrite
        let dies = try disk.begin("open", mount.generation, inode, grows: makes)
        if dies, !makes || disk.chance(2) == 0 { throw disk.die() }
        let file: Inode
        if let found {
            if access == .makeNew { throw .fileExists }
            guard !found.isFolder || access == .read else { throw .isDirectory }
            file = found
            if access == .replace { file.change(.truncate(size: 0), now: disk.now) }
        } else {
            guard makes else { throw .noSuchFileOrDirectory }
            file = disk.makeInode(isFolder: false, parent: nil)
            disk.change([.init(folder: inode, name: name, old: nil, new: file)])
        }
        disk.trace.note("open", inode.number, file.number, text: "\(path)/\(name) \(access)")
        if dies { throw disk.die() }
        return SimulatedFile(mount: mount, inode: file)
    }

    func names() throws(Errno) -> any FolderNames {
        if try disk.begin("list", mount.generation, inode) { throw disk.die() }
        // In no order that anybody could rely on, and in the same for the same seed.
        var names = inode.entries.keys.sorted()
        if names.count > 1, disk.chance(2) == 0 { names.reverse() }
        return SimulatedNames(names)
    }

    func contains(_ name: String) -> Bool { mount.generation == disk.generation && inode.entries[name] != nil }

    func move(_ name: String, to folder: any DiskFolder, as newName: String) throws(Errno) {
        guard let target = (folder as? SimulatedFolder)?.inode else { throw .improperLink }
        let dies = try disk.begin("move", mount.generation, inode)
        guard let file = inode.entries[name] else { throw .noSuchFileOrDirectory }
        if let replaced = target.entries[newName], replaced.isFolder { throw .isDirectory }
        if !dies || disk.chance(2) == 0 {
            disk.trace.note("move", inode.number, target.number, file.number, text: "\(path)/\(name) to \(newName)")
            disk.change([
                .init(folder: inode, name: name, old: file, new: nil),
                .init(folder: target, name: newName, old: target.entries[newName], new: file),
            ])
        }
        if dies { throw disk.die() }
    }

    func link(_ name: String, in folder: any DiskFolder, as newName: String) throws(Errno) {
        guard let target = (folder as? SimulatedFolder)?.inode else { throw .improperLink }
        let dies = try disk.begin("link", mount.generation, inode, grows: true)
        guard let file = inode.entries[name] else { throw .noSuchFileOrDirectory }
        guard target.entries[newName] == nil else { throw .fileExists }
        if !dies || disk.chance(2) == 0 { disk.change([.init(folder: target, name: newName, old: nil, new: file)]) }
        if dies { throw disk.die() }
    }

    func remove(_ name: String) throws(Errno) {
        let dies = try disk.begin("remove", mount.generation, inode)
        guard let file = inode.entries[name] else { throw .noSuchFileOrDirectory }
        guard !file.isFolder else { throw .isDirectory }
        if !dies || disk.chance(2) == 0 {
            disk.trace.note("remove", inode.number, file.number, text: "\(path)/\(name)")
            disk.change([.init(folder: inode, name: name, old: file, new: nil)])
        }
        if dies { throw disk.die() }
    }

    func setModified(_ time: timespec, of name: String) throws(Errno) {
        guard let file = inode.entries[name] else { throw .noSuchFileOrDirectory }
        try SimulatedFile(mount: mount, inode: file).setModified(time)
    }

    func sync() throws(Errno) {
        let dies = try disk.begin("sync folder", mount.generation, inode)
        if !dies || disk.chance(2) == 0 {
            disk.trace.note("sync folder", inode.number, text: path)
            disk.sync(inode)
        }
        if dies { throw disk.die() }
    }

    func freeBytes() throws(Errno) -> Int {
        if try disk.begin("free bytes", mount.generation, inode) { throw disk.die() }
        return disk.isFull ? 0 : 1 << 40
    }

    func lock(_ name: String) throws(Errno) -> any DiskLock {
        if try disk.begin("lock", mount.generation, inode, mayFail: false) { throw disk.die() }
        if inode.entries[name] == nil {
            disk.change([.init(folder: inode, name: name, old: nil, new: disk.makeInode(isFolder: false, parent: nil))])
        }
        guard disk.locked.insert("\(path)/\(name)").inserted else { throw .wouldBlock }
        return SimulatedLock(mount: mount, path: "\(path)/\(name)")
    }
}

private final class SimulatedNames: FolderNames, @unchecked Sendable {
    private var names: ArraySlice<String>

    init(_ names: [String]) { self.names = names[...] }

    func next() throws(Errno) -> String? { names.popFirst() }
}

private final class SimulatedLock: DiskLock, @unchecked Sendable {
    private let mount: SimulatedMount
    private let path: String

    init(mount: SimulatedMount, path: String) {
        self.mount = mount
        self.path = path
    }

    func release() { if mount.generation == mount.disk.generation { mount.disk.locked.remove(path) } }
}
