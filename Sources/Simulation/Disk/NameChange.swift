// A change of names that no sync of a directory has made durable.

/// Names made, moved or removed by one system call: durable as a whole or not at all.
struct NameChange {
    struct Edit {
        var folder: Inode
        var name: String
        var old: Inode?
        var new: Inode?
    }

    var edits: [Edit]

    func concerns(_ folder: Inode) -> Bool { edits.contains { $0.folder === folder } }

    /// Whether a disk must keep the order of the two: they concern the same file, or the same name.
    func isTied(to other: NameChange) -> Bool {
        edits.contains { own in
            other.edits.contains { theirs in
                own.folder === theirs.folder && own.name == theirs.name
                    || [own.old, own.new].contains { file in file != nil && (file === theirs.old || file === theirs.new) }
            }
        }
    }

    func makeDurable() { for edit in edits { edit.folder.durableEntries[edit.name] = edit.new } }
}
